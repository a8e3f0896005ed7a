//! The HTTP API on a Unix socket. Bodies are JSON ([`crate::view`]), errors are [`crate::Problem`]s.

mod routes;

use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};

use thiserror::Error;
use tokio::net::UnixListener;

use crate::host::Host;

/// The longest path of a socket: 107 bytes on Linux (unix(7)), less what the name that it is made under may add.
const MAX_PATH: usize = 95;

/// Why the API cannot be served.
#[derive(Debug, Error)]
pub enum ServeError {
    /// The socket cannot be made.
    #[error("the socket {} cannot be made", path.display())]
    Bind {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The kernel takes no socket address that long.
    #[error("the socket path {} is longer than {MAX_PATH} bytes; choose a shorter one with --socket", path.display())]
    TooLong {
        /// Where.
        path: PathBuf,
    },
    /// Something that is no socket is in its place.
    #[error("{} is not a socket; move it away, or choose another --socket", path.display())]
    Occupied {
        /// Where.
        path: PathBuf,
    },
    /// Accepting connections failed.
    #[error("the API cannot go on")]
    Serve(#[source] io::Error),
}

/// A socket that is listened on. It is removed when this is dropped.
pub struct Socket {
    listener: UnixListener,
    path: SocketPath,
}

struct SocketPath(PathBuf);

impl Drop for SocketPath {
    fn drop(&mut self) {
        // It may be gone already, with the state directory.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Listen on a Unix socket that only its owner may use (mode 0600).
///
/// The caller holds the state, so a socket that is there was left by a host that is gone, and is replaced.
///
/// # Errors
/// Where it cannot be made, or something else is in its place.
pub fn bind(path: &Path) -> Result<Socket, ServeError> {
    if path.as_os_str().len() > MAX_PATH {
        return Err(ServeError::TooLong { path: path.to_owned() });
    }
    let fail = |source| ServeError::Bind { path: path.to_owned(), source };
    match std::fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() => std::fs::remove_file(path).map_err(fail)?,
        Ok(_) => return Err(ServeError::Occupied { path: path.to_owned() }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(fail(error)),
    }
    // Made under another name and moved, so that it is never there with a wider mode.
    let hidden = path.with_file_name(format!(".{}", std::process::id()));
    let _ = std::fs::remove_file(&hidden);
    let listener = UnixListener::bind(&hidden).map_err(fail)?;
    let placed = std::fs::set_permissions(&hidden, std::fs::Permissions::from_mode(0o600))
        .and_then(|()| std::fs::rename(&hidden, path));
    if let Err(error) = placed {
        let _ = std::fs::remove_file(&hidden);
        return Err(fail(error));
    }
    Ok(Socket { listener, path: SocketPath(path.to_owned()) })
}

/// Serve the API until `stop` is ready. Requests under way are answered first.
///
/// # Errors
/// Where connections can no longer be accepted.
pub async fn serve(
    host: Host,
    socket: Socket,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<(), ServeError> {
    let Socket { listener, path: _removed_at_the_end } = socket;
    let served = axum::serve(listener, routes::router(host)).with_graceful_shutdown(stop);
    served.await.map_err(ServeError::Serve)
}
