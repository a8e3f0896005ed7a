//! Directories: granted, or wanted.

use super::list;
use crate::document::decode::{At, Decoder, quoted};
use crate::grant::{DirGrant, DirMode};

const DIR: [&str; 3] = ["Host", "Guest", "Mode"];

pub(super) fn grants(decoder: &mut Decoder<'_>, at: &At<'_>) -> Vec<DirGrant> {
    list(decoder, at, "{\"Host\", \"Guest\", \"Mode\"}", |decoder, at, before: &[DirGrant]| {
        let dir = dir(decoder, at)?;
        if before.iter().any(|other| other.guest == dir.guest) {
            let message = format!("the guest sees another directory as {} already", quoted(&dir.guest));
            decoder.error(&at.get("Guest").unwrap_or_else(|| at.clone()), message);
            return None;
        }
        Some(dir)
    })
}

fn dir(decoder: &mut Decoder<'_>, at: &At<'_>) -> Option<DirGrant> {
    if !decoder.object(at, "{\"Host\", \"Guest\", \"Mode\"}", &DIR) {
        return None;
    }
    let what = "the directory on this host";
    let host = decoder.required(at, "Host", &DIR, what).and_then(|at| {
        let text = decoder.string(&at, what)?;
        decoder.path_text(&at, text)
    });
    let guest = guest(decoder, at, &DIR);
    let mode = mode(decoder, at);
    Some(DirGrant { host: host?.into(), guest: guest?, mode: mode? })
}

/// How the guest calls it.
pub(super) fn guest(decoder: &mut Decoder<'_>, at: &At<'_>, known: &[&str]) -> Option<String> {
    let what = "the absolute path by which the plugin opens it, such as \"/data\"";
    let at = decoder.required(at, "Guest", known, what)?;
    let text = decoder.string(&at, what)?;
    guest_path(decoder, &at, text)
}

/// What it may do there.
pub(super) fn mode(decoder: &mut Decoder<'_>, at: &At<'_>) -> Option<DirMode> {
    let Some(at) = at.get("Mode") else { return Some(DirMode::default()) };
    match decoder.string(&at, "\"ro\" or \"rw\"")? {
        "ro" => Some(DirMode::ReadOnly),
        "rw" => Some(DirMode::ReadWrite),
        _ => {
            decoder.expected(&at, "\"ro\" (read only) or \"rw\" (read and write)");
            None
        }
    }
}

/// A path of the guest's world: absolute, and one name for one place.
fn guest_path(decoder: &mut Decoder<'_>, at: &At<'_>, text: &str) -> Option<String> {
    let wrong = if !text.starts_with('/') {
        Some("expected an absolute path, such as \"/data\"")
    } else if text.split('/').any(|part| part == ".." || part == ".") {
        Some("\".\" and \"..\" are not allowed in the guest's path")
    } else if text.chars().any(char::is_control) {
        Some("the guest's path holds a control character")
    } else {
        None
    };
    if let Some(wrong) = wrong {
        decoder.error(at, format!("{wrong}, found {}", quoted(text)));
        return None;
    }
    let parts: Vec<&str> = text.split('/').filter(|part| !part.is_empty()).collect();
    Some(format!("/{}", parts.join("/")))
}
