//! Reading JSON strictly: what is wrong is said with its place and with advice.

use serde_json::{Map, Value};

use crate::bindings::homeostat::plugin::types::{Error, ErrorCode};

/// How alike two names must be (Jaro-Winkler, 0 to 1) for one to be offered in place of the other.
const ALIKE: f64 = 0.8;

pub(crate) fn object<'v>(path: &str, value: &'v Value) -> Result<&'v Map<String, Value>, Error> {
    value.as_object().ok_or_else(|| wrong_type(path, "an object", value))
}

pub(crate) fn array<'v>(path: &str, expected: &str, value: &'v Value) -> Result<&'v [Value], Error> {
    value.as_array().map(Vec::as_slice).ok_or_else(|| wrong_type(path, expected, value))
}

pub(crate) fn string(path: &str, value: &Value) -> Result<String, Error> {
    value.as_str().map(str::to_owned).ok_or_else(|| wrong_type(path, "a string", value))
}

pub(crate) fn wrong_type(path: &str, expected: &str, value: &Value) -> Error {
    let found = match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    };
    let place = if path.is_empty() { "the properties" } else { path };
    invalid(path, format!("expected {expected} at {place}, found {found}"))
}

pub(crate) fn unknown(path: &str, name: &str, known: &[&str]) -> Error {
    let advice = match nearest(name, known) {
        Some(nearest) => format!("did you mean `{nearest}`?"),
        None => format!("known are {}", known.join(", ")),
    };
    invalid(path, format!("unknown property `{name}`; {advice}"))
}

/// The one of these that a person may have meant.
pub(crate) fn nearest<'k>(name: &str, known: &[&'k str]) -> Option<&'k str> {
    let likeness = |candidate: &str| strsim::jaro_winkler(&candidate.to_lowercase(), &name.to_lowercase());
    let nearest = known.iter().map(|known| (likeness(known), *known)).max_by(|(a, _), (b, _)| a.total_cmp(b));
    nearest.filter(|(alike, _)| *alike >= ALIKE).map(|(_, nearest)| nearest)
}

/// The JSON Pointer of a member (RFC 6901, section 3).
pub(crate) fn pointer(parent: &str, member: &str) -> String {
    format!("{parent}/{}", member.replace('~', "~0").replace('/', "~1"))
}

pub(crate) fn invalid(path: &str, message: String) -> Error {
    Error { code: ErrorCode::InvalidArgument, message, path: Some(path.to_owned()), retry_after_ms: None }
}
