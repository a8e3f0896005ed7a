//! Reading from a registry.

use hyper::header::ACCEPT;

use super::MANIFEST;
use super::manifest::{self, Descriptor, layer_of};
use super::reference::Reference;
use super::session::{Action, Session};
use crate::digest::sha256;
use crate::error::{Authority, FetchError};
use crate::http::{Call, Http};

/// What a reference means.
#[derive(Debug)]
pub(crate) struct Resolved {
    /// The manifest as it came.
    pub manifest: Vec<u8>,
    /// Its SHA-256.
    pub digest: String,
    /// The file.
    pub layer: Descriptor,
}

/// Ask a registry what a reference means.
///
/// # Errors
/// [`FetchError`]; a manifest that is not the one of the reference's digest is a [`FetchError::Mismatch`].
pub(crate) async fn resolve(http: &Http, reference: &Reference, advice: &str) -> Result<Resolved, FetchError> {
    let url = reference.api(http.config(), &format!("manifests/{}", reference.version()))?;
    let mut session = Session::new(http, reference, Action::Pull);
    let mut attempts = http.attempts();
    let (bytes, claimed) = loop {
        match get_manifest(&mut session, Call::get(url.clone()).header(ACCEPT, manifest::ACCEPT)).await {
            Ok(got) => break got,
            Err(failure) => attempts.after(failure).await?,
        }
    };
    let digest = sha256(&bytes);
    if let Some(expected) = reference.digest.as_ref().filter(|expected| **expected != digest) {
        return Err(FetchError::Mismatch {
            place: reference.to_string(),
            authority: Authority::Reference,
            expected: expected.clone(),
            found: digest,
            advice: advice.to_owned(),
        });
    }
    if let Some(claimed) = claimed.filter(|claimed| *claimed != digest) {
        let reason = format!("it says that its manifest has sha256 {claimed}, and it has {digest}");
        return Err(FetchError::Protocol { place: url.to_string(), reason });
    }
    let layer = layer_of(&reference.to_string(), &bytes)?;
    Ok(Resolved { manifest: bytes, digest, layer })
}

/// A manifest, and the SHA-256 that the registry says it has.
async fn get_manifest(session: &mut Session<'_>, call: Call) -> Result<(Vec<u8>, Option<String>), FetchError> {
    let answer = session.send(call).await?;
    if !answer.status().is_success() {
        return Err(answer.refusal().await);
    }
    if answer.content_type() == "text/html" {
        return Err(FetchError::Page { place: answer.url.to_string() });
    }
    if !manifest::is_manifest_type(&answer.content_type()) {
        let reason = format!("it answers with the type {:?}, which is no manifest's", answer.content_type());
        return Err(FetchError::Protocol { place: answer.url.to_string(), reason });
    }
    let claimed = answer.header("docker-content-digest").and_then(|text| text.strip_prefix("sha256:"));
    let claimed = claimed.map(str::to_owned);
    Ok((answer.bytes(MANIFEST).await?, claimed))
}

/// The file of an artifact. It is exactly the one that the descriptor names.
///
/// # Errors
/// [`FetchError`].
pub(crate) async fn blob(http: &Http, reference: &Reference, layer: &Descriptor) -> Result<Vec<u8>, FetchError> {
    let (place, limit) = (reference.to_string(), http.config().size);
    if layer.size > limit {
        return Err(FetchError::TooBig { place, size: Some(layer.size), limit });
    }
    let url = reference.api(http.config(), &format!("blobs/{}", layer.digest))?;
    let mut session = Session::new(http, reference, Action::Pull);
    let mut attempts = http.attempts();
    let bytes = loop {
        let got = match session.send(Call::get(url.clone())).await {
            Ok(answer) if answer.status().is_success() => answer.bytes(layer.size).await,
            Ok(answer) => Err(answer.refusal().await),
            Err(failure) => Err(failure),
        };
        match got {
            Ok(bytes) => break bytes,
            Err(FetchError::TooBig { place, .. }) => {
                let reason = format!("it sends more than the {} bytes that its manifest says", layer.size);
                return Err(FetchError::Protocol { place, reason });
            }
            Err(failure) => attempts.after(failure).await?,
        }
    };
    let found = sha256(&bytes);
    if layer.sha256() != Some(&*found) {
        let (expected, authority) = (layer.digest.trim_start_matches("sha256:").to_owned(), Authority::Manifest);
        let advice = "the registry, or something before it, damages what it serves; nothing was kept".to_owned();
        return Err(FetchError::Mismatch { place, authority, expected, found, advice });
    }
    Ok(bytes)
}
