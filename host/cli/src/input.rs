//! Values given on the command line: as they are, from a file with `@FILE`, or from standard input with `-`.

use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use homeostat_core::document::MAX_TEXT;
use homeostat_core::observed::Instance;
use homeostat_core::spec::{Allocation, Attachment};
use homeostat_core::tags::Tags;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::failure::{Faults, Usage};

/// The largest saved plan that is read, in bytes: one of 100,000 steps is a quarter of it.
pub(crate) const MAX_PLAN: usize = 256 << 20;

/// A spec file as it was given.
pub(crate) struct Spec {
    /// What to call it.
    pub(crate) name: String,
    /// What relative paths in it are relative to.
    pub(crate) base_dir: PathBuf,
    /// Its text.
    pub(crate) text: String,
}

/// Read a spec file, or standard input for `-`.
///
/// # Errors
/// Where it cannot be read, is no text, or is larger than any document may be.
pub(crate) fn spec(file: &Path) -> Result<Spec> {
    let name = file.display().to_string();
    let bytes = read(file, MAX_TEXT)?;
    let text = homeostat_core::document::text_of(&name, &bytes).map_err(Faults)?.to_owned();
    let base_dir = match file.parent() {
        Some(parent) if name != "-" && parent.as_os_str().is_empty() => crate::args::absolute(Path::new("."))?,
        Some(parent) if name != "-" => crate::args::absolute(parent)?,
        _ => crate::args::absolute(Path::new("."))?,
    };
    Ok(Spec { name, base_dir, text })
}

/// The bytes of a file, or of standard input for `-`: at most so many.
///
/// # Errors
/// Where it cannot be read or is larger.
pub(crate) fn read(file: &Path, most: usize) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let limit = most as u64 + 1;
    if file.as_os_str() == "-" {
        let stdin = std::io::stdin();
        stdin.lock().take(limit).read_to_end(&mut bytes).context("standard input cannot be read")?;
    } else {
        let open = std::fs::File::open(file).with_context(|| format!("{} cannot be opened", file.display()))?;
        open.take(limit).read_to_end(&mut bytes).with_context(|| format!("{} cannot be read", file.display()))?;
    }
    if bytes.len() > most {
        bail!("{} is larger than {} MiB, which is the most that is read", file.display(), most >> 20);
    }
    Ok(bytes)
}

/// A text: `@FILE` stands for the file's content, `-` for standard input, anything else for itself.
///
/// # Errors
/// Where the file cannot be read or is no text.
pub(crate) fn text(given: &str) -> Result<String> {
    let file = match given.strip_prefix('@') {
        Some(file) => file,
        None if given == "-" => given,
        None => return Ok(given.to_owned()),
    };
    String::from_utf8(read(Path::new(file), MAX_TEXT)?).ok().with_context(|| format!("{file} is not UTF-8 text"))
}

/// A JSON value given as [`text`]. `what` names it in the error.
///
/// # Errors
/// Where it cannot be read or is no JSON.
pub(crate) fn json(what: &str, given: &str) -> Result<Value> {
    typed(what, given)
}

/// A JSON value of a certain form.
///
/// # Errors
/// Where it cannot be read or has another form.
pub(crate) fn typed<T: DeserializeOwned>(what: &str, given: &str) -> Result<T> {
    let source = text(given)?;
    serde_json::from_str(&source).map_err(|error| {
        let place = match (given, given.strip_prefix('@')) {
            ("-", _) => "standard input".into(),
            (_, Some(file)) => file.to_owned(),
            (_, None) => shortened(&source),
        };
        let ways = "give JSON, @FILE, or - for standard input";
        Usage(format!("{what} cannot be read from {place}: {error}; {ways}")).into()
    })
}

fn shortened(text: &str) -> String {
    let mut short: String = text.chars().take(40).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    format!("{short:?}")
}

/// Instances as `instance list -o json` prints them: a list, or an object with `Instances`.
///
/// # Errors
/// Where they cannot be read, have another form, or standard input is a terminal.
pub(crate) fn instances(given: &str) -> Result<Vec<Instance>> {
    if given == "-" && std::io::stdin().is_terminal() {
        let help = "give --instances, or pipe `homeostat instance list PLUGIN -o json` into this command";
        return Err(Usage(format!("no instances to judge; {help}")).into());
    }
    let value = match json("the list of instances", given)? {
        Value::Object(mut object) if object.contains_key("Instances") => object.remove("Instances").unwrap_or_default(),
        other => other,
    };
    serde_json::from_value(value).map_err(|error| {
        Usage(format!("these are no instances as `instance list -o json` prints them: {error}")).into()
    })
}

/// A tag, `KEY=VALUE`. The value may be empty and may hold `=`.
pub(crate) fn tag(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some(("", _)) => Err(format!("{text:?} has no key; write it as KEY=VALUE")),
        Some((key, value)) => Ok((key.into(), value.into())),
        None => Err(format!("{text:?} is no tag; write it as KEY=VALUE")),
    }
}

/// Tags by key.
///
/// # Errors
/// Where a key is given twice with different values.
pub(crate) fn tags(given: &[(String, String)]) -> Result<Tags> {
    let mut tags = Tags::new();
    for (key, value) in given {
        if let Some(other) = tags.insert(key.clone(), value.clone()).filter(|other| other != value) {
            return Err(Usage(format!("the tag {key:?} is given twice, as {other:?} and as {value:?}")).into());
        }
    }
    Ok(tags)
}

/// An attachment, `ID:TYPE`. The id may hold `:`.
pub(crate) fn attachment(text: &str) -> Result<Attachment, String> {
    match text.rsplit_once(':') {
        Some((id, kind)) if !id.is_empty() && !kind.is_empty() => Ok(Attachment { id: id.into(), kind: kind.into() }),
        _ => Err(format!("{text:?} is no attachment; write it as ID:TYPE, for example vol-1:ebs")),
    }
}

/// How a group counts, as given by `--size` or `--logical-ids`; one instance where neither is.
pub(crate) fn allocation(size: Option<u32>, logical_ids: &[String]) -> Allocation {
    match logical_ids {
        [] => Allocation::Size(size.unwrap_or(1)),
        ids => Allocation::LogicalIds(ids.to_vec()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_needs_a_key_and_may_have_any_value() {
        assert_eq!(tag("a=b=c"), Ok(("a".into(), "b=c".into())));
        assert_eq!(tag("a="), Ok(("a".into(), String::new())));
        for wrong in ["", "a", "=b"] {
            assert!(tag(wrong).is_err(), "{wrong:?} was accepted");
        }
    }

    #[test]
    fn a_tag_given_twice_must_say_the_same() {
        let pair = |value: &str| ("a".to_owned(), value.to_owned());
        assert_eq!(tags(&[pair("1"), pair("1")]).unwrap().len(), 1);
        assert_eq!(crate::failure::code(&tags(&[pair("1"), pair("2")]).unwrap_err()), 2);
    }

    #[test]
    fn an_attachment_has_an_id_and_a_type() {
        let found = attachment("arn:aws:vol:ebs").unwrap();
        assert_eq!((found.id.as_str(), found.kind.as_str()), ("arn:aws:vol", "ebs"));
        for wrong in ["", "vol", ":ebs", "vol:"] {
            assert!(attachment(wrong).is_err(), "{wrong:?} was accepted");
        }
    }

    #[test]
    fn json_that_is_none_is_a_usage_error_that_shows_it() {
        let error = json("the properties", "{Note: 1}").unwrap_err();
        assert_eq!(crate::failure::code(&error), 2);
        assert!(error.to_string().contains("{Note: 1}"), "{error}");
    }

    #[test]
    fn a_file_that_is_missing_is_named() {
        let error = format!("{:#}", json("the properties", "@/no/such/file").unwrap_err());
        assert!(error.contains("/no/such/file cannot be opened"), "{error}");
    }

    #[test]
    fn instances_are_a_list_or_what_instance_list_prints() {
        let one = r#"{"ID": "i-1", "Name": "n", "State": "running", "Tags": {}}"#;
        assert_eq!(instances(&format!("[{one}]")).unwrap()[0].id, "i-1");
        let listing = format!(r#"{{"Instances": [{one}], "Complete": true, "Findings": []}}"#);
        assert_eq!(instances(&listing).unwrap().len(), 1);
        assert_eq!(crate::failure::code(&instances(one).unwrap_err()), 2);
    }

    #[test]
    fn logical_ids_win_over_a_size_of_one() {
        assert_eq!(allocation(None, &[]), Allocation::Size(1));
        assert_eq!(allocation(Some(0), &[]), Allocation::Size(0));
        assert_eq!(allocation(None, &["a".into()]), Allocation::LogicalIds(vec!["a".into()]));
    }
}
