//! What a YAML scalar is: the core schema of YAML 1.2 (section 10.3.2), in which `yes`, `on` and `0777` hold no surprise.

use saphyr_parser::{ScalarStyle, Tag};

use super::node::{Kind, number};

/// Resolve a scalar. A plain one is what its text looks like; a quoted one is a string; a tag of the core schema
/// (`!!str`) has the last word.
///
/// # Errors
/// A sentence, where the text is not what its tag says, or has no counterpart in JSON.
pub(super) fn resolve(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Result<Kind, String> {
    let string = || Ok(Kind::String(text.to_owned()));
    let Some(tag) = tag else {
        return if style == ScalarStyle::Plain { plain(text) } else { string() };
    };
    if tag.handle.is_empty() && tag.suffix == "!" || tag.handle == "!" && tag.suffix.is_empty() {
        return string();
    }
    let is_a = |kind: &Kind| match tag.suffix.as_str() {
        "null" => matches!(kind, Kind::Null),
        "bool" => matches!(kind, Kind::Bool(_)),
        "int" => matches!(kind, Kind::Number(n) if !n.is_f64()),
        "float" => matches!(kind, Kind::Number(_)),
        _ => false,
    };
    match tag.suffix.as_str() {
        "str" if tag.is_yaml_core_schema() => string(),
        "null" | "bool" | "int" | "float" if tag.is_yaml_core_schema() => match plain(text)? {
            kind if is_a(&kind) => Ok(kind),
            _ => Err(format!("{text:?} is no !!{}", tag.suffix)),
        },
        _ => Err(unknown_tag(tag)),
    }
}

/// Whether a tag may stand at a list or an object.
///
/// # Errors
/// A sentence, where it may not.
pub(super) fn check_collection(tag: Option<&Tag>, core: &str) -> Result<(), String> {
    match tag {
        None => Ok(()),
        Some(tag) if tag.is_yaml_core_schema() && tag.suffix == core => Ok(()),
        Some(tag) => Err(unknown_tag(tag)),
    }
}

fn unknown_tag(tag: &Tag) -> String {
    let tag = if tag.is_yaml_core_schema() { format!("!!{}", tag.suffix) } else { tag.to_string() };
    format!("the tag {tag:?} means nothing here; only !!str, !!int, !!float, !!bool, !!null, !!seq and !!map do")
}

fn plain(text: &str) -> Result<Kind, String> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Ok(Kind::Null),
        "true" | "True" | "TRUE" => return Ok(Kind::Bool(true)),
        "false" | "False" | "FALSE" => return Ok(Kind::Bool(false)),
        _ => {}
    }
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return Err(format!("{text} is no number that JSON, and so a plugin, could be given; quote it if it is text"));
    }
    let radix = |prefix: &str, radix: u32| {
        let digits = text.strip_prefix(prefix).filter(|digits| !digits.is_empty())?;
        digits.chars().all(|c| c.is_digit(radix)).then(|| u64::from_str_radix(digits, radix))
    };
    if let Some(value) = radix("0o", 8).or_else(|| radix("0x", 16)) {
        return value.map(|value| Kind::Number(value.into())).map_err(|_| format!("{text} needs more than 64 bits"));
    }
    match literal(unsigned) {
        Some(digits) if text.starts_with('-') => number(&format!("-{digits}")),
        Some(digits) => number(digits),
        None => return Ok(Kind::String(text.to_owned())),
    }
    .map(Kind::Number)
    .map_err(|why| format!("{text} {why}"))
}

/// The text of a decimal number if it is one: `[0-9]+` or `(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`.
fn literal(text: &str) -> Option<&str> {
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent.strip_prefix(['-', '+']).unwrap_or(exponent))),
        None => (text, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    let fits = digits(whole)
        && fraction.is_none_or(digits)
        && exponent.is_none_or(|exponent| !exponent.is_empty() && digits(exponent))
        && !(whole.is_empty() && fraction.is_none_or(str::is_empty));
    fits.then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> String {
        match resolve(text, ScalarStyle::Plain, None).unwrap() {
            Kind::Null => "null".into(),
            Kind::Bool(value) => value.to_string(),
            Kind::Number(number) => number.to_string(),
            Kind::String(text) => format!("{text:?}"),
            _ => unreachable!("a scalar"),
        }
    }

    #[test]
    fn the_core_schema_and_nothing_older() {
        for (text, value) in [
            ("", "null"),
            ("~", "null"),
            ("Null", "null"),
            ("nULL", "\"nULL\""),
            ("TRUE", "true"),
            ("yes", "\"yes\""),
            ("no", "\"no\""),
            ("on", "\"on\""),
            ("y", "\"y\""),
            ("0o7", "7"),
            ("0o8", "\"0o8\""),
            ("0o", "\"0o\""),
            ("0xFf", "255"),
            ("-0xF", "\"-0xF\""),
            ("0777", "777"),
            ("+12", "12"),
            ("-12", "-12"),
            ("12:30:45", "\"12:30:45\""),
            ("1_000", "\"1_000\""),
            ("1e3", "1000.0"),
            ("-1.5E-3", "-0.0015"),
            (".5", "0.5"),
            ("5.", "5.0"),
            (".", "\".\""),
            ("-", "\"-\""),
            ("+", "\"+\""),
            ("e3", "\"e3\""),
            ("1e", "\"1e\""),
            ("--1", "\"--1\""),
            ("1.2.3", "\"1.2.3\""),
            ("10.0.0.1", "\"10.0.0.1\""),
            ("30s", "\"30s\""),
            ("2001-01-01", "\"2001-01-01\""),
            ("nan", "\"nan\""),
            ("inf", "\"inf\""),
        ] {
            assert_eq!(json(text), value, "{text:?}");
        }
    }

    #[test]
    fn what_json_cannot_hold_is_refused() {
        for text in [".inf", "-.INF", "+.inf", ".nan", "0xfffffffffffffffff", "1e999", "18446744073709551617"] {
            assert!(resolve(text, ScalarStyle::Plain, None).is_err(), "{text} was accepted");
        }
    }

    #[test]
    fn quotes_and_tags_decide() {
        let core = |suffix: &str| Tag { handle: "tag:yaml.org,2002:".into(), suffix: suffix.into() };
        assert!(matches!(resolve("5", ScalarStyle::DoubleQuoted, None), Ok(Kind::String(_))));
        assert!(matches!(resolve("5", ScalarStyle::Plain, Some(&core("str"))), Ok(Kind::String(_))));
        assert!(matches!(resolve("5", ScalarStyle::SingleQuoted, Some(&core("int"))), Ok(Kind::Number(_))));
        assert!(resolve("5.5", ScalarStyle::Plain, Some(&core("int"))).is_err());
        assert!(resolve("x", ScalarStyle::Plain, Some(&core("python/object"))).is_err());
        let own = Tag { handle: "!".into(), suffix: "env".into() };
        assert!(resolve("x", ScalarStyle::Plain, Some(&own)).unwrap_err().contains("!env"));
    }
}
