//! What an operator can set about fetching.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use homeostat_core::spec::MAX_PLUGIN_SIZE;

/// How files are fetched. The default is right for the public Internet.
#[derive(Clone, Debug)]
pub struct Config {
    /// The largest file that is taken, in bytes.
    pub size: u64,
    /// A file of PEM certificates that are trusted besides those of the system (or of `SSL_CERT_FILE`): the roots of a
    /// private authority.
    pub roots: Option<PathBuf>,
    /// Who we are to a registry that asks.
    pub credentials: Credentials,
    /// Registries (`host` or `host:port`) that are not spoken to as usual, which is TLS, and plain HTTP on loopback.
    pub transports: BTreeMap<String, Transport>,
    /// How long a server may take to accept a connection, TLS included.
    pub connect: Duration,
    /// How long a server may be silent in the middle of an answer.
    pub idle: Duration,
    /// How long one fetch or push may take, with all its requests and attempts.
    pub total: Duration,
    /// How often a request is sent at most. Only what may pass by itself is tried again: 429, 5xx, a connection that
    /// fails or breaks.
    pub attempts: u32,
    /// The wait before the second attempt. It doubles with each, and is spread by a quarter to either side. What a server
    /// asks for (`Retry-After`) is heeded up to 10 seconds.
    pub backoff: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            size: MAX_PLUGIN_SIZE,
            roots: None,
            credentials: Credentials::default(),
            transports: BTreeMap::new(),
            connect: Duration::from_secs(10),
            idle: Duration::from_secs(30),
            total: Duration::from_secs(300),
            attempts: 4,
            backoff: Duration::from_millis(300),
        }
    }
}

/// How a registry is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Encrypted. The default for all but loopback.
    Tls,
    /// Plain HTTP: everybody on the way can read passwords and replace what has neither pin nor lock.
    Plain,
}

/// Where passwords for registries are looked up, when a registry asks for one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Credentials {
    /// Where `docker login` keeps them: `config.json` in `$DOCKER_CONFIG`, or else in `~/.docker`. Its credential helpers
    /// are run.
    #[default]
    Docker,
    /// A file of the same form.
    File(PathBuf),
    /// Nowhere.
    Anonymous,
}

impl Credentials {
    /// The file, where there is one to be looked for.
    pub(crate) fn path(&self) -> Option<PathBuf> {
        match self {
            Self::Docker => std::env::var_os("DOCKER_CONFIG")
                .map(PathBuf::from)
                .or_else(|| std::env::home_dir().map(|home| home.join(".docker")))
                .map(|dir| dir.join("config.json")),
            Self::File(path) => Some(path.clone()),
            Self::Anonymous => None,
        }
    }
}
