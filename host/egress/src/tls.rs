//! What proves who a server is, and who calls it. Read when a plugin is loaded.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use homeostat_core::grant::{ClientIdentity, HttpGrant};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use thiserror::Error;
use zeroize::Zeroizing;

/// The most bytes of a file of certificates. The roots of a whole system have a quarter of a megabyte.
const MOST: u64 = 4 << 20;

/// A grant that cannot work, whatever the guest does.
#[derive(Debug, Error)]
pub enum SetupError {
    /// A file of certificates or of a key.
    #[error("{member} of the grant of {url}: {path} cannot be read", path = path.display())]
    Unreadable {
        /// `Roots`, `Client.Cert` or `Client.Key`.
        member: &'static str,
        /// The `Url` of the grant.
        url: String,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file that holds something else.
    #[error("{member} of the grant of {url}: {path} {reason}", path = path.display())]
    Content {
        /// `Roots`, `Client.Cert` or `Client.Key`.
        member: &'static str,
        /// The `Url` of the grant.
        url: String,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// This machine trusts nobody.
    #[error(
        "the grant of {url} needs roots of trust, and this machine has none: install its package of CA certificates, or name a file in Roots ({reason})"
    )]
    NoRoots {
        /// The `Url` of the grant.
        url: String,
        /// What the search for them met.
        reason: String,
    },
    /// A header that cannot be injected.
    #[error("Inject of the grant of {url}: {reason}")]
    Inject {
        /// The `Url` of the grant.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// What the judgement cannot read.
    #[error("{0}")]
    Grant(String),
    /// The library of TLS refused its settings.
    #[error("the grant of {url}: TLS cannot be set up")]
    Tls {
        /// The `Url` of the grant.
        url: String,
        /// Why.
        #[source]
        source: rustls::Error,
    },
}

/// How connections of one grant are encrypted.
///
/// # Errors
/// A file that cannot be read or that holds something else; a machine without roots.
pub(crate) fn client_config(grant: &HttpGrant) -> Result<Arc<ClientConfig>, SetupError> {
    let tls = |source| SetupError::Tls { url: grant.url.clone(), source };
    let roots = match &grant.roots {
        Some(path) => Arc::new(roots_of(grant, path)?),
        None => system_roots(grant)?,
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(tls)?
        .with_root_certificates(roots);
    let mut config = match &grant.client {
        None => builder.with_no_client_auth(),
        Some(client) => {
            let (chain, key) = identity_of(grant, client)?;
            builder.with_client_auth_cert(chain, key).map_err(|error| SetupError::Content {
                member: "Client.Key",
                url: grant.url.clone(),
                path: client.key.clone(),
                reason: format!("does not fit the certificate in {}: {error}", client.cert.display()),
            })?
        }
    };
    // HTTP/1.1 is all that is spoken: one answer after another, and a fault of one request stays its own.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// The roots of this machine, read once.
fn system_roots(grant: &HttpGrant) -> Result<Arc<RootCertStore>, SetupError> {
    static ROOTS: OnceLock<(Arc<RootCertStore>, String)> = OnceLock::new();
    let (roots, reason) = ROOTS.get_or_init(|| {
        let found = rustls_native_certs::load_native_certs();
        let mut store = RootCertStore::empty();
        // What a distribution ships may hold roots that this library cannot use; the others count.
        store.add_parsable_certificates(found.certs);
        let reasons: Vec<String> = found.errors.iter().map(ToString::to_string).collect();
        (Arc::new(store), if reasons.is_empty() { "none were found".into() } else { reasons.join("; ") })
    });
    if roots.is_empty() {
        return Err(SetupError::NoRoots { url: grant.url.clone(), reason: reason.clone() });
    }
    Ok(roots.clone())
}

fn roots_of(grant: &HttpGrant, path: &Path) -> Result<RootCertStore, SetupError> {
    let mut store = RootCertStore::empty();
    for (index, certificate) in certificates(grant, "Roots", path)?.into_iter().enumerate() {
        store.add(certificate).map_err(|error| {
            content(grant, "Roots", path, format!("has no usable root as certificate {}: {error}", index + 1))
        })?;
    }
    Ok(store)
}

fn identity_of(
    grant: &HttpGrant,
    client: &ClientIdentity,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), SetupError> {
    let chain = certificates(grant, "Client.Cert", &client.cert)?;
    let text = read(grant, "Client.Key", &client.key)?;
    let key = PrivateKeyDer::from_pem_slice(&text).map_err(|_| {
        content(grant, "Client.Key", &client.key, "holds no private key in PEM form, or one that is encrypted".into())
    })?;
    Ok((chain, key))
}

fn certificates(
    grant: &HttpGrant,
    member: &'static str,
    path: &Path,
) -> Result<Vec<CertificateDer<'static>>, SetupError> {
    let text = read(grant, member, path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let found = found.map_err(|error| content(grant, member, path, format!("is no valid PEM: {error}")))?;
    if found.is_empty() {
        return Err(content(grant, member, path, "holds no certificate in PEM form".into()));
    }
    Ok(found)
}

fn read(grant: &HttpGrant, member: &'static str, path: &Path) -> Result<Zeroizing<Vec<u8>>, SetupError> {
    let unreadable = |source| SetupError::Unreadable { member, url: grant.url.clone(), path: path.to_owned(), source };
    let file = File::open(path).map_err(unreadable)?;
    let size = file.metadata().map_err(unreadable)?.len();
    let mut text = Zeroizing::new(Vec::with_capacity(size.min(MOST) as usize + 1));
    file.take(MOST + 1).read_to_end(&mut text).map_err(unreadable)?;
    if text.len() as u64 > MOST {
        return Err(content(grant, member, path, format!("has more than {MOST} bytes")));
    }
    Ok(text)
}

fn content(grant: &HttpGrant, member: &'static str, path: &Path, reason: String) -> SetupError {
    SetupError::Content { member, url: grant.url.clone(), path: path.to_owned(), reason }
}
