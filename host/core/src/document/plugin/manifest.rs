//! What a plugin's author declares.

use std::path::Path;

use super::{dirs, http, list, parsed, quoted};
use crate::document::decode::{At, Decoder, decode_as};
use crate::document::diagnostic::{Diagnostic, Text};
use crate::document::node::Span;
use crate::document::{json, syntax, text_of};
use crate::grant::{ConfigWant, DirWant, ExecWant, HttpWant, Manifest, SecretWant, UrlPattern, Wants, valid_name};

const MANIFEST: [&str; 2] = ["Toolchain", "Wants"];
const WANTS: [&str; 5] = ["Http", "Dirs", "Secrets", "Config", "Exec"];
const HTTP: [&str; 4] = ["Url", "Methods", "Paths", "Why"];
const DIR: [&str; 3] = ["Guest", "Mode", "Why"];
const NAMED: [&str; 2] = ["Name", "Why"];

/// The longest text that a manifest has for people, in bytes.
const MAX_WORDS: usize = 500;

/// Read a manifest: JSON, the `null` in it standing for absent.
pub(crate) fn manifest(bytes: &[u8]) -> Result<Manifest, Vec<Diagnostic>> {
    const NAME: &str = "manifest";
    if bytes.len() > Manifest::MAX_TEXT {
        let message = format!("a manifest of {} bytes; at most {} are read", bytes.len(), Manifest::MAX_TEXT);
        return Err(vec![syntax(&Text::new(NAME, ""), Span::default(), message)]);
    }
    let text = text_of(NAME, bytes)?;
    let text = Text::new(NAME, text.strip_prefix('\u{feff}').unwrap_or(text));
    let root = json::read(&text)?;
    // There is no path of the host in it.
    match decode_as(&text, &root, Path::new("/"), whole) {
        (manifest, faults) if faults.is_empty() => Ok(manifest),
        (_, faults) => Err(faults),
    }
}

fn whole(decoder: &mut Decoder<'_>, at: &At<'_>) -> Manifest {
    if !decoder.object(at, "an object with \"Wants\"", &MANIFEST) {
        return Manifest::default();
    }
    Manifest {
        toolchain: at.get("Toolchain").and_then(|at| words(decoder, &at)),
        wants: at.get("Wants").map(|at| wants(decoder, &at)).unwrap_or_default(),
    }
}

fn wants(decoder: &mut Decoder<'_>, at: &At<'_>) -> Wants {
    if !decoder.object(at, "an object with \"Http\", \"Dirs\", \"Secrets\", \"Config\" or \"Exec\"", &WANTS) {
        return Wants::default();
    }
    let named = |decoder: &mut Decoder<'_>, kind: &str| -> Vec<(String, String)> {
        at.get(kind).map(|at| list(decoder, &at, "{\"Name\", \"Why\"}", name)).unwrap_or_default()
    };
    Wants {
        http: at
            .get("Http")
            .map(|at| list(decoder, &at, "{\"Url\", \"Methods\", \"Paths\"}", request))
            .unwrap_or_default(),
        dirs: at.get("Dirs").map(|at| list(decoder, &at, "{\"Guest\", \"Mode\"}", dir)).unwrap_or_default(),
        secrets: named(decoder, "Secrets").into_iter().map(|(name, why)| SecretWant { name, why }).collect(),
        config: named(decoder, "Config").into_iter().map(|(name, why)| ConfigWant { name, why }).collect(),
        exec: named(decoder, "Exec").into_iter().map(|(name, why)| ExecWant { name, why }).collect(),
    }
}

fn request(decoder: &mut Decoder<'_>, at: &At<'_>, before: &[HttpWant]) -> Option<HttpWant> {
    if !decoder.object(at, "{\"Url\", \"Methods\", \"Paths\"}", &HTTP) {
        return None;
    }
    let what = "scheme, host and port, such as \"https://api.example.com\", or \"*\" for what only the operator knows";
    let url = decoder.required(at, "Url", &HTTP, what).and_then(|at| {
        parsed(decoder, &at, what, |text| match text {
            "*" => Ok("*".to_owned()),
            text => text.parse::<UrlPattern>().map(|it| it.to_string()),
        })
    });
    let (methods, paths) = http::narrowed(decoder, at);
    let why = why(decoder, at);
    let want = HttpWant { url: url?, methods, paths, why };
    let same = |it: &HttpWant| (&it.url, &it.methods, &it.paths) == (&want.url, &want.methods, &want.paths);
    if before.iter().any(same) {
        decoder.error(at, "the same requests are wanted already");
        return None;
    }
    Some(want)
}

fn dir(decoder: &mut Decoder<'_>, at: &At<'_>, before: &[DirWant]) -> Option<DirWant> {
    if !decoder.object(at, "{\"Guest\", \"Mode\"}", &DIR) {
        return None;
    }
    let guest = dirs::guest(decoder, at, &DIR);
    let mode = dirs::mode(decoder, at);
    let why = why(decoder, at);
    let want = DirWant { guest: guest?, mode: mode?, why };
    if before.iter().any(|it| it.guest == want.guest) {
        decoder.error(at, format!("{} is wanted already", quoted(&want.guest)));
        return None;
    }
    Some(want)
}

fn name(decoder: &mut Decoder<'_>, at: &At<'_>, before: &[(String, String)]) -> Option<(String, String)> {
    if !decoder.object(at, "{\"Name\", \"Why\"}", &NAMED) {
        return None;
    }
    let what = "what the plugin calls it";
    let name_at = decoder.required(at, "Name", &NAMED, what);
    let why = why(decoder, at);
    let name_at = name_at?;
    let name = parsed(decoder, &name_at, what, |text| valid_name(text).map(|()| text.to_owned()))?;
    if before.iter().any(|(other, _)| *other == name) {
        decoder.error(&name_at, format!("{} is wanted already", quoted(&name)));
        return None;
    }
    Some((name, why))
}

fn why(decoder: &mut Decoder<'_>, at: &At<'_>) -> String {
    at.get("Why").and_then(|at| words(decoder, &at)).unwrap_or_default()
}

/// A text for people, in one line.
fn words(decoder: &mut Decoder<'_>, at: &At<'_>) -> Option<String> {
    parsed(decoder, at, "a text for people", |text| match text {
        _ if text.len() > MAX_WORDS => Err(format!("a text of {} bytes; at most {MAX_WORDS} are shown", text.len())),
        _ if text.chars().any(|c| c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')) => {
            Err("the text holds a control character; write it in one line".into())
        }
        _ => Ok(text.to_owned()),
    })
}
