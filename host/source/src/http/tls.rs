//! Whom to believe: the system's roots, and the operator's.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

use crate::error::FetchError;

/// The roots of trust. Those of the system are read when the first encrypted connection is made.
pub(super) struct Trust {
    private: Vec<CertificateDer<'static>>,
    config: OnceLock<Arc<ClientConfig>>,
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trust").field("private", &self.private.len()).finish_non_exhaustive()
    }
}

impl Trust {
    /// # Errors
    /// [`FetchError::Roots`] where the operator's file has none.
    pub(super) fn new(path: Option<&Path>) -> Result<Self, FetchError> {
        let private = path.map(read).transpose()?.unwrap_or_default();
        Ok(Self { private, config: OnceLock::new() })
    }

    /// What a TLS connection is made with. Reads files the first time.
    ///
    /// # Errors
    /// [`FetchError::Roots`] where nobody at all is to be believed.
    pub(super) fn config(&self) -> Result<Arc<ClientConfig>, FetchError> {
        if let Some(config) = self.config.get() {
            return Ok(config.clone());
        }
        let config = Arc::new(self.load()?);
        Ok(self.config.get_or_init(|| config).clone())
    }

    fn load(&self) -> Result<ClientConfig, FetchError> {
        let unusable = |reason: String| FetchError::Roots { place: "the system".into(), reason };
        let mut roots = RootCertStore::empty();
        let system = rustls_native_certs::load_native_certs();
        for error in &system.errors {
            tracing::warn!(%error, "some roots of trust of the system cannot be read");
        }
        roots.add_parsable_certificates(system.certs);
        // Each of these was looked at before.
        roots.add_parsable_certificates(self.private.iter().cloned());
        if roots.is_empty() {
            return Err(unusable("it has none; install the package ca-certificates, or name a file of roots".into()));
        }
        let mut config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| unusable(error.to_string()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }
}

fn read(path: &Path) -> Result<Vec<CertificateDer<'static>>, FetchError> {
    let unusable = |reason: String| FetchError::Roots { place: path.display().to_string(), reason };
    let all = CertificateDer::pem_file_iter(path).map_err(|error| unusable(error.to_string()))?;
    let all: Vec<_> = all.collect::<Result<_, _>>().map_err(|error| unusable(error.to_string()))?;
    if all.is_empty() {
        return Err(unusable("it holds no certificate; it has to be a PEM file (-----BEGIN CERTIFICATE-----)".into()));
    }
    let mut store = RootCertStore::empty();
    for (index, certificate) in all.iter().enumerate() {
        let bad = |error: rustls::Error| unusable(format!("its certificate number {} is bad: {error}", index + 1));
        store.add(certificate.clone()).map_err(bad)?;
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_roots_that_is_none_is_refused_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("roots.pem");
        let said = |path: &Path| Trust::new(Some(path)).unwrap_err().to_string();
        assert!(said(&path).contains("roots.pem"), "{}", said(&path));
        std::fs::write(&path, "hello").unwrap();
        assert!(said(&path).contains("no certificate"), "{}", said(&path));
        std::fs::write(&path, "-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n").unwrap();
        assert!(said(&path).contains("number 1 is bad"), "{}", said(&path));
    }
}
