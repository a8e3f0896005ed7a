//! Manifests: what an artifact says that it is.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use crate::digest::is_sha256;
use crate::error::FetchError;
use crate::http::tidy;

/// The type of an image's or artifact's manifest.
pub(super) const IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const DOCKER: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
/// The type of a Wasm artifact's config.
pub(super) const CONFIG: &str = "application/vnd.wasm.config.v0+json";
/// The type of a Wasm artifact's layer.
pub(super) const LAYER: &str = "application/wasm";

/// All that a registry may answer with. What is no plugin is taken too, to be able to say what it is.
pub(super) const ACCEPT: &str = "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, \
     application/vnd.docker.distribution.manifest.v2+json, application/vnd.docker.distribution.manifest.list.v2+json";

/// What a manifest names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Descriptor {
    #[serde(default)]
    pub media_type: String,
    pub digest: String,
    pub size: u64,
}

impl Descriptor {
    /// The SHA-256 in hexadecimal, where the digest is one.
    pub(crate) fn sha256(&self) -> Option<&str> {
        self.digest.strip_prefix("sha256:").filter(|hex| is_sha256(hex))
    }
}

/// An image manifest.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Manifest {
    pub schema_version: u32,
    #[serde(default)]
    pub media_type: String,
    pub config: Descriptor,
    #[serde(default)]
    pub layers: Vec<Descriptor>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// The one layer of a Wasm artifact.
///
/// # Errors
/// [`FetchError::NotAnArtifact`] with what it is instead, [`FetchError::Protocol`] where it is no manifest.
pub(crate) fn layer_of(place: &str, bytes: &[u8]) -> Result<Descriptor, FetchError> {
    let other = |found: String| FetchError::NotAnArtifact { place: place.to_owned(), found };
    let strange = |reason: String| FetchError::Protocol { place: place.to_owned(), reason };
    let value: serde_json::Value =
        serde_json::from_slice(bytes).map_err(|error| strange(format!("its manifest is no JSON: {error}")))?;
    if let Some(images) = value["manifests"].as_array() {
        return Err(other(index(images)));
    }
    if value["schemaVersion"] == 1 {
        return Err(other("a container image of the old schema 1".into()));
    }
    let manifest: Manifest = serde_json::from_value(value)
        .map_err(|error| strange(format!("its manifest is none that can be read: {error}")))?;
    let layers = &manifest.layers;
    let [layer] = &layers[..] else {
        return Err(other(format!("{} with {} layers", kind(&manifest), layers.len())));
    };
    if manifest.config.media_type != CONFIG || layer.media_type != LAYER {
        let layer = tidy(&layer.media_type);
        return Err(other(format!("{} with a layer of type {layer:?}", kind(&manifest))));
    }
    if layer.sha256().is_none() {
        return Err(strange(format!("its layer has the digest {:?}, which is no SHA-256", tidy(&layer.digest))));
    }
    Ok(layer.clone())
}

fn kind(manifest: &Manifest) -> String {
    match &*manifest.config.media_type {
        "application/vnd.oci.image.config.v1+json" | "application/vnd.docker.container.image.v1+json" => {
            "a container image".into()
        }
        "application/vnd.cncf.helm.config.v1+json" => "a Helm chart".into(),
        CONFIG => "a Wasm artifact".into(),
        "" => "an artifact without a type".into(),
        other => format!("an artifact of type {:?}", tidy(other)),
    }
}

fn index(images: &[serde_json::Value]) -> String {
    let platforms: Vec<String> = images
        .iter()
        .filter_map(|image| {
            let platform = &image["platform"];
            Some(tidy(&format!("{}/{}", platform["os"].as_str()?, platform["architecture"].as_str()?)))
        })
        .take(4)
        .collect();
    let for_them = if platforms.is_empty() { String::new() } else { format!(" (for {})", platforms.join(", ")) };
    format!("an index of {} images{for_them}", images.len())
}

/// Whether an answer claims to be a manifest of any kind.
pub(super) fn is_manifest_type(media_type: &str) -> bool {
    // Some servers of static files know JSON alone.
    matches!(media_type, IMAGE | INDEX | DOCKER | DOCKER_LIST | "application/json" | "")
        || media_type.starts_with("application/vnd.docker.distribution.manifest.v1")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn said(value: serde_json::Value) -> String {
        layer_of("oci://a/b:1", value.to_string().as_bytes()).unwrap_err().to_string()
    }

    fn artifact(config: &str, layers: &[&str]) -> serde_json::Value {
        let digest = format!("sha256:{}", crate::sha256(b"x"));
        let layers: Vec<_> =
            layers.iter().map(|kind| json!({"mediaType": kind, "digest": digest, "size": 1})).collect();
        let config = json!({"mediaType": config, "digest": digest, "size": 2});
        json!({"schemaVersion": 2, "mediaType": IMAGE, "config": config, "layers": layers})
    }

    #[test]
    fn a_wasm_artifact_has_one_layer_which_is_the_file() {
        let bytes = artifact(CONFIG, &[LAYER]).to_string();
        let layer = layer_of("x", bytes.as_bytes()).unwrap();
        assert_eq!((layer.sha256(), layer.size), (Some(&*crate::sha256(b"x")), 1));
    }

    #[test]
    fn whatever_else_it_is_is_said() {
        let image = "application/vnd.oci.image.config.v1+json";
        let tar = "application/vnd.oci.image.layer.v1.tar+gzip";
        assert!(said(artifact(image, &[tar, tar])).contains("is a container image with 2 layers, not a plugin"));
        assert!(said(artifact(image, &[tar])).contains("a container image with a layer of type"));
        assert!(said(artifact("application/vnd.cncf.helm.config.v1+json", &[tar])).contains("a Helm chart"));
        assert!(said(artifact(CONFIG, &[LAYER, LAYER])).contains("a Wasm artifact with 2 layers"));
        assert!(said(artifact(CONFIG, &[])).contains("a Wasm artifact with 0 layers"));
        let old =
            said(artifact("application/vnd.wasm.config.v1+json", &["application/vnd.wasm.content.layer.v1+wasm"]));
        assert!(old.contains("application/vnd.wasm.config.v1+json"), "{old}");
        let index = json!({"schemaVersion": 2, "manifests": [{"platform": {"os": "linux", "architecture": "arm64"}}]});
        assert!(said(index).contains("an index of 1 images (for linux/arm64)"));
        assert!(said(json!({"schemaVersion": 1, "fsLayers": []})).contains("schema 1"));
        assert!(said(json!({"hello": 1})).contains("none that can be read"));
        assert!(layer_of("x", b"<html>").unwrap_err().to_string().contains("no JSON"));
        let mut bad = artifact(CONFIG, &[LAYER]);
        bad["layers"][0]["digest"] = "sha256:../../etc".into();
        assert!(said(bad).contains("no SHA-256"));
    }
}
