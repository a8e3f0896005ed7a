//! Whether what came is what was wanted.

use homeostat_core::spec::PluginSource;

use crate::digest::{is_sha256, not_sha256};
use crate::error::{Authority, FetchError};
use crate::http::tidy;
use crate::sources::{Lookup, Wanted};

/// The digest that has to come, and who says so.
pub(crate) fn expected<'a>(
    source: &PluginSource,
    wanted: &Wanted<'a>,
) -> Result<Option<(&'a str, Authority)>, FetchError> {
    let place = source.to_string();
    if let Some(pin) = wanted.pin.filter(|pin| !is_sha256(pin)) {
        return Err(FetchError::Pin { place, reason: not_sha256(pin) });
    }
    let pin = wanted.pin.map(|pin| (pin, Authority::Pin));
    let Some(locked) = wanted.locked.filter(|_| wanted.lookup == Lookup::AsLocked) else { return Ok(pin) };
    let advice = wanted.advice.to_owned();
    if locked.source != place {
        return Err(FetchError::Elsewhere { place, locked: locked.source.clone(), advice });
    }
    match pin {
        Some((pin, _)) if pin != locked.sha256 => {
            Err(FetchError::Contradiction { place, pin: pin.to_owned(), locked: locked.sha256.clone(), advice })
        }
        Some(pin) => Ok(Some(pin)),
        None => Ok(Some((&locked.sha256, Authority::Lock))),
    }
}

/// Whether a digest is the expected one.
pub(crate) fn matches(
    place: &str,
    expected: Option<(&str, Authority)>,
    found: &str,
    advice: &str,
) -> Result<(), FetchError> {
    match expected {
        Some((expected, authority)) if expected != found => Err(FetchError::Mismatch {
            place: place.to_owned(),
            authority,
            expected: expected.to_owned(),
            found: found.to_owned(),
            advice: advice.to_owned(),
        }),
        _ => Ok(()),
    }
}

/// What is downloaded has to begin as WebAssembly does; whether it is a plugin, the loader finds out.
pub(crate) fn is_wasm(place: &str, bytes: &[u8]) -> Result<(), FetchError> {
    if bytes.starts_with(b"\0asm") {
        return Ok(());
    }
    let head = String::from_utf8_lossy(&bytes[..bytes.len().min(512)]).trim_start().to_ascii_lowercase();
    if head.starts_with("<!doctype html") || head.starts_with("<html") {
        return Err(FetchError::Page { place: place.to_owned() });
    }
    let found = match bytes {
        [] => "is empty".to_owned(),
        [0x1f, 0x8b, ..] => "is compressed with gzip; serve the file as it is".to_owned(),
        [b'P', b'K', 3, 4, ..] => "is a zip archive; serve the file that is in it".to_owned(),
        _ if head.starts_with("(component") || head.starts_with("(module") => {
            "is WebAssembly text; compile it".to_owned()
        }
        _ => format!("begins with {:?}", tidy(&head.chars().take(24).collect::<String>())),
    };
    Err(FetchError::NotWasm { place: place.to_owned(), found })
}
