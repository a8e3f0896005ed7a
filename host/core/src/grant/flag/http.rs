//! `--allow-http 'GET,POST https://api.example.com/v1/**; inject=Authorization:token:Bearer '`

use super::super::http::{self, method};
use super::{escape, parts, unknown};
use crate::grant::{ClientIdentity, HostPattern, HttpGrant, Injection, PathPattern, UrlPattern};

const FORM: &str = "write it as 'https://api.example.com' or 'GET,POST https://api.example.com/v1/**'";
const KEYS: [&str; 7] = ["path", "via", "inject", "roots", "cert", "key", "address"];

/// Read `[METHODS ]URL[PATH][; key=value]...`. Paths of the host are left as they are written.
///
/// # Errors
/// A sentence that says what is wrong, and how to write it.
pub fn read_http(text: &str) -> Result<HttpGrant, String> {
    let (value, rest) = parts(text)?;
    let value = value.trim();
    let (methods, url) = match value.split_once(char::is_whitespace) {
        Some((methods, url)) => (methods, url.trim_start()),
        None => ("", value),
    };
    if url.contains(char::is_whitespace) {
        return Err(format!("{value:?} has too many words; {FORM}"));
    }
    let (pattern, path) = http::split(url)?;
    let mut grant = HttpGrant::to(pattern.to_string());
    for word in methods.split(',').filter(|_| !methods.is_empty()) {
        grant.methods.push(method(word.trim()).map_err(|wrong| format!("{wrong}; {FORM}"))?);
    }
    if path == "/" {
        return Err(format!("{url:?} is the root alone; write {pattern} for all paths, or add path=/ to mean it"));
    }
    if !path.is_empty() {
        grant.paths.push(one_path(path)?);
    }
    let (mut cert, mut key) = (None, None);
    for (name, value) in rest {
        let once = |set: bool| match set {
            true => Err(format!("{name:?} is given twice")),
            false => Ok(()),
        };
        match name.as_str() {
            "path" => grant.paths.push(one_path(&value)?),
            "via" => {
                once(grant.via.is_some())?;
                grant.via = Some(value.trim_end().parse()?);
            }
            "inject" => {
                let (header, injection) = injection(&value)?;
                once(grant.inject.insert(header, injection).is_some())?;
            }
            "roots" => once(grant.roots.replace(value.into()).is_some())?,
            "cert" => once(cert.replace(value).is_some())?,
            "key" => once(key.replace(value).is_some())?,
            "address" => grant.addresses.push(http::network(value.trim_end())?.to_string()),
            other => return Err(unknown(other, &KEYS)),
        }
    }
    grant.client = match (cert, key) {
        (Some(cert), Some(key)) => Some(ClientIdentity { cert: cert.into(), key: key.into() }),
        (None, None) => None,
        _ => return Err("\"cert\" and \"key\" go together".into()),
    };
    Ok(grant)
}

fn one_path(text: &str) -> Result<String, String> {
    text.parse::<PathPattern>().map(|it| it.to_string())
}

fn injection(text: &str) -> Result<(String, Injection), String> {
    let form = "write it as inject=HEADER:SECRET or inject=HEADER:SECRET:PREFIX, where a blank at the end counts";
    let mut words = text.splitn(3, ':');
    let (Some(header), Some(secret)) = (words.next(), words.next()) else {
        return Err(format!("{text:?} names no secret; {form}"));
    };
    let prefix = words.next().unwrap_or_default();
    http::header(header)?;
    http::prefix(prefix)?;
    // Only before a secret a blank may mean something.
    Ok((header.into(), Injection { secret: secret.trim().into(), prefix: prefix.into() }))
}

/// Write what [`read_http`] reads.
pub fn write_http(grant: &HttpGrant) -> String {
    let mut text = String::new();
    if !grant.methods.is_empty() {
        text.push_str(&grant.methods.join(","));
        text.push(' ');
    }
    text.push_str(&escape(&grant.url));
    let mut paths = grant.paths.iter();
    // After an address a path could look like the length of a network's prefix.
    let is_address = matches!(grant.url.parse::<UrlPattern>().map(|it| it.host), Ok(HostPattern::Address(_)));
    let beside = |path: &&String| *path == "/" || is_address;
    if let Some(path) = paths.clone().next().filter(|it| !beside(it)) {
        text.push_str(&escape(path));
        paths.next();
    }
    let mut add = |key: &str, value: String| text.push_str(&format!("; {key}={}", escape(&value)));
    paths.for_each(|path| add("path", path.clone()));
    if let Some(via) = &grant.via {
        add("via", via.to_string());
    }
    if let Some(roots) = &grant.roots {
        add("roots", roots.display().to_string());
    }
    if let Some(client) = &grant.client {
        add("cert", client.cert.display().to_string());
        add("key", client.key.display().to_string());
    }
    grant.addresses.iter().for_each(|it| add("address", it.clone()));
    for (header, Injection { secret, prefix }) in &grant.inject {
        match prefix.as_str() {
            "" => add("inject", format!("{header}:{secret}")),
            prefix => add("inject", format!("{header}:{secret}:{prefix}")),
        }
    }
    text
}
