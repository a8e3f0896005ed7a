//! What a plugin says of itself, checked before anybody relies on it.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Bytes of the schema, and of the example.
const JSON: usize = 256 << 10;

/// Bytes of the name, and of the version.
const NAME: usize = 64;

/// Bytes of the summary.
const SUMMARY: usize = 400;

/// What a plugin says of itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct PluginDescription {
    /// What its author calls it: lower-case letters, digits and `-`.
    pub name: String,
    /// Its version (Semantic Versioning 2.0.0).
    pub version: String,
    /// One line: what it makes or does.
    pub summary: String,
    /// JSON Schema (draft 2020-12) of its properties. It is a valid schema.
    pub properties_schema: Value,
    /// Properties that the schema accepts.
    pub properties_example: Value,
}

/// The same, as it came.
pub(crate) struct RawDescription {
    pub name: String,
    pub version: String,
    pub summary: String,
    pub properties_schema: String,
    pub properties_example: String,
}

impl RawDescription {
    /// Check it against the contract.
    ///
    /// # Errors
    /// A sentence that names what is wrong.
    pub(crate) fn check(self) -> Result<PluginDescription, String> {
        let Self { name, version, summary, properties_schema, properties_example } = self;
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if name.is_empty() || name.len() > NAME || !name.bytes().all(plain) {
            return Err(format!("name {:?} must be 1 to {NAME} lower-case letters, digits and \"-\"", cut(&name)));
        }
        if version.len() > NAME {
            return Err(format!("version {:?} is longer than {NAME} bytes", cut(&version)));
        }
        semver::Version::parse(&version)
            .map_err(|e| format!("version {version:?} is not as Semantic Versioning 2.0.0 writes it: {e}"))?;
        if summary.trim().is_empty() || summary.len() > SUMMARY || summary.chars().any(char::is_control) {
            return Err(format!("summary {:?} must be one line of 1 to {SUMMARY} bytes", cut(&summary)));
        }
        let properties_schema = json("properties-schema", &properties_schema)?;
        let properties_example = json("properties-example", &properties_example)?;
        let schema = jsonschema::draft202012::new(&properties_schema).map_err(|e| {
            format!("properties-schema is no JSON Schema (draft 2020-12): {} at {:?}", e, e.instance_path().as_str())
        })?;
        schema.validate(&properties_example).map_err(|e| {
            format!("properties-schema refuses properties-example: {} at {:?}", e, e.instance_path().as_str())
        })?;
        drop(schema);
        Ok(PluginDescription { name, version, summary, properties_schema, properties_example })
    }
}

fn json(member: &str, text: &str) -> Result<Value, String> {
    if text.len() > JSON {
        return Err(format!("{member} has {} bytes, and {JSON} are allowed", text.len()));
    }
    serde_json::from_str(text).map_err(|e| format!("{member} is no JSON: {e}"))
}

fn cut(text: &str) -> String {
    text.chars().take(NAME).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> RawDescription {
        RawDescription {
            name: "file-2".into(),
            version: "1.2.3-rc.1+b".into(),
            summary: "Makes files".into(),
            properties_schema:
                r#"{"type":"object","additionalProperties":false,"properties":{"Note":{"type":"string"}}}"#.into(),
            properties_example: r#"{"Note":"hi"}"#.into(),
        }
    }

    #[test]
    fn accepts_what_keeps_the_contract() {
        let description = good().check().expect("is good");
        assert_eq!(description.properties_example["Note"], "hi");
    }

    #[test]
    fn refuses_what_breaks_it_and_names_the_member() {
        type Break = fn(&mut RawDescription);
        let breaks: [(&str, Break); 12] = [
            ("name", |d| d.name = String::new()),
            ("name", |d| d.name = "File".into()),
            ("name", |d| d.name = "a".repeat(65)),
            ("version", |d| d.version = "1.2".into()),
            ("version", |d| d.version = "v1.2.3".into()),
            ("summary", |d| d.summary = " ".into()),
            ("summary", |d| d.summary = "two\nlines".into()),
            ("properties-schema", |d| d.properties_schema = "{".into()),
            ("properties-schema", |d| d.properties_schema = r#"{"type":"strin"}"#.into()),
            ("properties-schema", |d| d.properties_schema = r#"{"$ref":"https://example.com/schema"}"#.into()),
            ("properties-example", |d| d.properties_example = "nope".into()),
            ("properties-example", |d| d.properties_example = r#"{"Nope":1}"#.into()),
        ];
        for (member, break_it) in breaks {
            let mut description = good();
            break_it(&mut description);
            let refused = description.check().expect_err("was accepted");
            assert!(refused.contains(member), "{member}: {refused}");
        }
    }
}
