//! Writing to a registry.

use std::collections::BTreeMap;
use std::time::SystemTime;

use bytes::Bytes;
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, LOCATION};
use hyper::{Method, StatusCode};
use serde_json::json;

use super::manifest::{CONFIG, Descriptor, IMAGE, LAYER, Manifest};
use super::reference::Reference;
use super::session::{Action, Session};
use crate::digest::sha256;
use crate::error::FetchError;
use crate::http::{Call, Http, tidy};

/// What is said about a plugin in a registry. The same file with the same words, `created` among them, is the same artifact.
#[derive(Clone, Debug)]
pub struct Artifact {
    /// When it was made. For builds that can be repeated, what `SOURCE_DATE_EPOCH` says.
    pub created: SystemTime,
    /// Who made it.
    pub author: Option<String>,
    /// The interfaces that the component exports, such as `homeostat:plugin/instance@0.1.0`.
    pub exports: Vec<String>,
    /// The interfaces that it imports.
    pub imports: Vec<String>,
    /// Words for people and tools, by the keys of the OCI image specification (`org.opencontainers.image.source`, ...).
    pub annotations: BTreeMap<String, String>,
}

/// What was pushed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pushed {
    /// The artifact for good: `oci://...@sha256:...`.
    pub resolved: String,
    /// The SHA-256 of the file: what a pin would say.
    pub sha256: String,
    /// The size of the file in bytes.
    pub size: u64,
}

/// Put a plugin into a registry, under the tag of a reference. A tag that is there already is moved.
///
/// # Errors
/// [`FetchError`]. Until the last request, the manifest's, nobody sees anything of it.
pub(crate) async fn push(
    http: &Http,
    reference: &Reference,
    file: Bytes,
    artifact: &Artifact,
) -> Result<Pushed, FetchError> {
    let (size, limit) = (file.len() as u64, http.config().size);
    let place = reference.to_string();
    if reference.digest.is_some() {
        let reason = "a digest cannot be chosen; push to a tag, and take the digest from the answer".into();
        return Err(FetchError::Source { place, reason });
    }
    if size > limit {
        return Err(FetchError::TooBig { place: "the file".into(), size: Some(size), limit });
    }
    // The preamble of a component: the magic number, the version of the format, and the layer, which is 1.
    if !file.starts_with(b"\0asm") || file.get(6..8) != Some(&[1, 0]) {
        let found = "is no WebAssembly component, and only components are plugins".into();
        return Err(FetchError::NotWasm { place: "the file".into(), found });
    }
    let sha256_of_file = sha256(&file);
    let config = Bytes::from(config(artifact, &sha256_of_file).to_string());
    let describe = |media_type: &str, bytes: &Bytes| Descriptor {
        media_type: media_type.to_owned(),
        digest: format!("sha256:{}", sha256(bytes)),
        size: bytes.len() as u64,
    };
    let manifest = Manifest {
        schema_version: 2,
        media_type: IMAGE.to_owned(),
        config: describe(CONFIG, &config),
        layers: vec![describe(LAYER, &file)],
        annotations: artifact.annotations.clone(),
    };
    let bytes = serde_json::to_vec(&manifest)
        .map_err(|error| FetchError::Protocol { place: place.clone(), reason: error.to_string() })?;
    let digest = sha256(&bytes);

    let mut session = Session::new(http, reference, Action::Push);
    for (blob, digest) in [(file, &manifest.layers[0].digest), (config, &manifest.config.digest)] {
        let mut attempts = http.attempts();
        while let Err(failure) = upload(&mut session, &blob, digest).await {
            attempts.after(failure).await?;
        }
    }
    let mut attempts = http.attempts();
    while let Err(failure) = tag(&mut session, bytes.clone().into()).await {
        attempts.after(failure).await?;
    }
    Ok(Pushed { resolved: reference.resolved(&digest), sha256: sha256_of_file, size })
}

/// What Wasm tools expect to be told.
fn config(artifact: &Artifact, sha256: &str) -> serde_json::Value {
    let mut config = json!({
        "created": humantime::format_rfc3339_seconds(artifact.created).to_string(),
        "architecture": "wasm",
        "os": "wasip2",
        "layerDigests": [format!("sha256:{sha256}")],
        "component": { "exports": artifact.exports, "imports": artifact.imports },
    });
    if let Some(author) = &artifact.author {
        config["author"] = author.as_str().into();
    }
    config
}

/// Upload a blob, where it is not there yet.
async fn upload(session: &mut Session<'_>, blob: &Bytes, digest: &str) -> Result<(), FetchError> {
    let api = |path: &str| session.reference.api(session.http.config(), path);
    let (there, begin) = (api(&format!("blobs/{digest}"))?, api("blobs/uploads/")?);
    if session.send(Call::new(Method::HEAD, there)).await?.status() == StatusCode::OK {
        return Ok(());
    }
    let mut call = Call::new(Method::POST, begin.clone());
    call.headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    let answer = session.send(call).await?;
    if answer.status() != StatusCode::ACCEPTED {
        return Err(answer.refusal().await);
    }
    let strange = |reason: String| FetchError::Protocol { place: begin.to_string(), reason };
    let location = answer.header(LOCATION).ok_or_else(|| strange("it does not say where to upload to".into()))?;
    let mut url = answer
        .url
        .join(location)
        .map_err(|_| strange(format!("it says to upload to {:?}, which is no URL", tidy(location))))?;
    session.http.step(&begin, &url)?;
    drop(answer);
    url.query_pairs_mut().append_pair("digest", digest);
    let call = Call::new(Method::PUT, url).header(CONTENT_TYPE, "application/octet-stream").body(blob.clone());
    let answer = session.send(call).await?;
    match answer.status() {
        StatusCode::CREATED => Ok(()),
        _ => Err(answer.refusal().await),
    }
}

async fn tag(session: &mut Session<'_>, manifest: Bytes) -> Result<(), FetchError> {
    let url = session.reference.api(session.http.config(), &format!("manifests/{}", session.reference.tag))?;
    let call = Call::new(Method::PUT, url).header(CONTENT_TYPE, IMAGE).body(manifest);
    let answer = session.send(call).await?;
    match answer.status() {
        StatusCode::CREATED => Ok(()),
        _ => Err(answer.refusal().await),
    }
}
