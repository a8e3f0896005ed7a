//! Where a plugin's file comes from, and what it has to be.

use core::net::IpAddr;

use super::parsed;
use crate::document::decode::{At, Decoder};
use crate::spec::PluginSource;

pub(super) const WHAT: &str = "the path of a .wasm file, an https:// URL or an oci:// reference";

pub(super) fn source(decoder: &mut Decoder<'_>, at: &At<'_>) -> Option<PluginSource> {
    let text = decoder.string(at, WHAT)?;
    if PluginSource::is_remote(text) {
        return parsed(decoder, at, WHAT, remote);
    }
    if !text.ends_with(".wasm") {
        if let Some(error) = decoder.expected(at, "a path that ends in .wasm") {
            error.help = Some("a URL begins with https://, and a reference to a registry with oci://".into());
        }
        return None;
    }
    // The path becomes a part of messages and of stored documents, so it has to be text.
    decoder.path_text(at, text).map(|path| PluginSource::File(path.into()))
}

/// A URL or a reference, as far as it can be judged without fetching it.
fn remote(text: &str) -> Result<PluginSource, String> {
    if text.chars().any(|c| c.is_whitespace() || c.is_control() || !c.is_ascii()) {
        return Err(format!("{text:?} holds a character that has to be escaped in a URL"));
    }
    let source: PluginSource = text.parse()?;
    let (scheme, rest) = text.split_once("://").unwrap_or_default();
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    if host.contains('@') {
        return Err(format!("{host:?} holds a user; a document is no place for a password"));
    }
    if matches!(host, "" | ":") || host.starts_with(':') {
        return Err(format!("{text:?} names no host"));
    }
    match scheme {
        "http" if !is_loopback(host) => {
            Err(format!("{text:?} is fetched in the clear, so that anyone on the way could change it; use https://"))
        }
        "oci" if path.is_empty() => {
            Err(format!("{text:?} names no repository; write it as oci://registry.example.com/team/plugin:1.0"))
        }
        "oci" if path.ends_with([':', '@', '/']) || path.starts_with('/') => {
            Err(format!("{text:?} is no whole reference; write it as oci://registry.example.com/team/plugin:1.0"))
        }
        "http" | "https" if text.contains('#') => {
            Err(format!("{text:?} has a fragment, which is not sent; leave it out"))
        }
        _ => Ok(source),
    }
}

/// Whether a host and port is this machine by its address. A name could lead elsewhere.
fn is_loopback(host: &str) -> bool {
    let address = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next(),
        None => host.split(':').next(),
    };
    address.and_then(|it| it.parse::<IpAddr>().ok()).is_some_and(|it| it.is_loopback())
}

/// The SHA-256 of a file, in lower case.
pub(in crate::document) fn sha256(decoder: &mut Decoder<'_>, at: &At<'_>) -> Option<String> {
    let what = "the SHA-256 of the file: 64 hexadecimal digits";
    parsed(decoder, at, what, |text| {
        let digits = text.strip_prefix("sha256:").unwrap_or(text);
        match digits.len() == 64 && digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            true => Ok(digits.to_ascii_lowercase()),
            false if digits.bytes().all(|b| b.is_ascii_hexdigit()) => {
                Err(format!("expected {what}, found {} of them", digits.len()))
            }
            false => Err(format!("expected {what}, found {}", super::quoted(text))),
        }
    })
}
