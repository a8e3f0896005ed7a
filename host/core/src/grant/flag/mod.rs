//! Grants as words of the command line: what `--allow-...` takes, and how a grant is shown as such.
//!
//! A word is one value, and after it parts of the form `; key=value` for what is rarely needed. A `;` or a backslash in a
//! value has a backslash before it.

mod exec;
mod http;

pub use exec::{read_exec, write_exec};
pub use http::{read_http, write_http};

use super::{DirGrant, DirMode, SecretSource, valid_name};

/// Read `HOST:GUEST`, `HOST:GUEST:ro` or `HOST:GUEST:rw`. The path on the host is left as it is written.
///
/// # Errors
/// A sentence that says what is wrong, and how to write it.
pub fn read_dir(text: &str) -> Result<DirGrant, String> {
    const FORM: &str = "write it as HOST:GUEST or HOST:GUEST:rw, for example ./machines:/instances:rw";
    let (paths, mode) = match text.rsplit_once(':') {
        Some((paths, "rw")) => (paths, DirMode::ReadWrite),
        Some((paths, "ro")) => (paths, DirMode::ReadOnly),
        _ => (text, DirMode::default()),
    };
    let (host, guest) = paths.rsplit_once(':').ok_or_else(|| format!("{text:?} names one directory only; {FORM}"))?;
    if !guest.starts_with('/') {
        return Err(format!("{guest:?} is no absolute path of the guest; {FORM}"));
    }
    if host.is_empty() {
        return Err(format!("the directory on this host is missing; {FORM}"));
    }
    Ok(DirGrant { host: host.into(), guest: guest.into(), mode })
}

/// Write what [`read_dir`] reads.
pub fn write_dir(grant: &DirGrant) -> String {
    let mode = if grant.mode == DirMode::ReadWrite { ":rw" } else { "" };
    format!("{}:{}{mode}", grant.host.display(), grant.guest)
}

/// Read `NAME=file:PATH`, `NAME=env:VARIABLE` or `NAME=store:NAME`.
///
/// # Errors
/// A sentence that says what is wrong, and how to write it.
pub fn read_secret(text: &str) -> Result<(String, SecretSource), String> {
    const FORM: &str = "write it as NAME=file:/run/token, NAME=env:TOKEN or NAME=store:token";
    let (name, source) = named(text, FORM)?;
    let source = match source.split_once(':') {
        Some((_, "")) => return Err(format!("{text:?} says not which; {FORM}")),
        Some(("file", path)) => SecretSource::File(path.into()),
        Some(("env", variable)) => SecretSource::Env(variable.into()),
        Some(("store", name)) => SecretSource::Store(name.into()),
        // Whoever writes the secret itself here shall not see it repeated.
        _ => return Err(format!("the secret {name:?} does not say where it comes from; {FORM}")),
    };
    Ok((name, source))
}

/// Write what [`read_secret`] reads.
pub fn write_secret(name: &str, source: &SecretSource) -> String {
    match source {
        SecretSource::File(path) => format!("{name}=file:{}", path.display()),
        SecretSource::Env(variable) => format!("{name}=env:{variable}"),
        SecretSource::Store(stored) => format!("{name}=store:{stored}"),
    }
}

/// Read `NAME=VALUE`.
///
/// # Errors
/// A sentence that says what is wrong, and how to write it.
pub fn read_config(text: &str) -> Result<(String, String), String> {
    let (name, value) = named(text, "write it as NAME=VALUE, for example region=eu-1")?;
    Ok((name, value.into()))
}

fn named<'t>(text: &'t str, form: &str) -> Result<(String, &'t str), String> {
    // Not the whole text: a value is nothing to repeat.
    let (name, rest) = text.split_once('=').ok_or_else(|| format!("there is no \"=\"; {form}"))?;
    valid_name(name).map_err(|wrong| format!("{wrong}; {form}"))?;
    Ok((name.into(), rest))
}

/// A text as one word of a shell.
pub(super) fn shell(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"@%+=:,./-_".contains(&b);
    match !text.is_empty() && text.bytes().all(plain) {
        true => text.into(),
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

/// The value of a word, and its further parts as key and value.
fn parts(text: &str) -> Result<(String, Vec<(String, String)>), String> {
    let mut found = vec![String::new()];
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        let Some(part) = found.last_mut() else { break };
        match letter {
            ';' => found.push(String::new()),
            '\\' => match letters.next() {
                Some(escaped @ (';' | '\\')) => part.push(escaped),
                // Other escapes are the value's own.
                Some(other) => part.extend(['\\', other]),
                None => part.push('\\'),
            },
            letter => part.push(letter),
        }
    }
    let mut found = found.into_iter();
    let value = found.next().unwrap_or_default();
    let pair = |part: String| match part.trim_start().split_once('=') {
        Some((key, value)) => Ok((key.to_owned(), value.to_owned())),
        None if part.trim().is_empty() => Err("nothing follows a \";\"; leave it out".into()),
        None => {
            Err(format!("{:?} after a \";\" is no key=value; a \";\" of the value itself is written \\;", part.trim()))
        }
    };
    Ok((value, found.map(pair).collect::<Result<_, String>>()?))
}

/// A value with what [`parts`] takes for its own escaped.
fn escape(text: &str) -> String {
    text.replace('\\', r"\\").replace(';', r"\;")
}

fn unknown(key: &str, known: &[&str]) -> String {
    match crate::document::nearest(key, known.iter().copied()) {
        Some(near) => format!("{key:?} is not known; did you mean {near:?}?"),
        None => format!("{key:?} is not known; {} are", known.join(", ")),
    }
}

#[cfg(test)]
mod tests;
