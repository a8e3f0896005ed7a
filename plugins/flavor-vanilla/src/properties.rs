//! What the user declared, read strictly: the first thing that is wrong is named, with where it is.

use serde_json::{Map, Value};

use crate::bindings::homeostat::plugin::types::{Attachment, Error, ErrorCode};

/// JSON Schema of the properties.
pub const SCHEMA: &str = include_str!("schema.json");

/// An example that [`Properties::read`] accepts: InfraKit's tutorial.
pub const EXAMPLE: &str = r#"{
  "Init": ["docker pull dockercloud/hello-world", "docker run -d -p 8080:80 dockercloud/hello-world"],
  "Tags": {"tier": "web", "project": "infrakit"}
}"#;

/// Prefixes of the tags that are the host's.
const RESERVED: [&str; 2] = ["infrakit.", "homeostat."];

/// How alike two names must be (Jaro-Winkler, 0 to 1) for one to be offered in place of the other.
const ALIKE: f64 = 0.8;

/// The properties of one group's flavor.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Properties {
    /// Lines of the script that runs at boot.
    pub init: Vec<String>,
    /// Tags to add; each key once, none of them the host's.
    pub tags: Vec<(String, String)>,
    /// What to attach.
    pub attachments: Vec<Attachment>,
}

impl Properties {
    /// Read the JSON text of the properties; `null` declares nothing.
    pub fn read(json: &str) -> Result<Self, Error> {
        let value: Value =
            serde_json::from_str(json).map_err(|error| invalid("", format!("the properties are not JSON: {error}")))?;
        let mut properties = Self::default();
        if value.is_null() {
            return Ok(properties);
        }
        for (name, value) in object("", &value)? {
            let path = pointer("", name);
            match &**name {
                "Init" => {
                    let lines = array(&path, "an array of lines", value)?;
                    properties.init = each(&path, lines, string)?;
                }
                "Tags" => properties.tags = tags(&path, object(&path, value)?)?,
                "Attachments" => {
                    let list = array(&path, r#"an array of {"ID", "Type"}"#, value)?;
                    properties.attachments = each(&path, list, attachment)?;
                }
                "InitScriptTemplateURL" => {
                    let message = "InitScriptTemplateURL is not supported, since a plugin fetches nothing by itself; \
                                   write the script's lines as Init: [\"...\"]";
                    return Err(invalid(&path, message.to_owned()));
                }
                other => return Err(unknown(&path, other, &["Init", "Tags", "Attachments"])),
            }
        }
        Ok(properties)
    }
}

fn tags(path: &str, tags: &Map<String, Value>) -> Result<Vec<(String, String)>, Error> {
    let tag = |(key, value): (&String, &Value)| {
        let path = pointer(path, key);
        if let Some(prefix) = RESERVED.iter().find(|prefix| key.starts_with(**prefix)) {
            let message = format!("the tag `{key}` is refused: tags that begin with `{prefix}` are the host's own");
            return Err(invalid(&path, message));
        }
        if key.is_empty() {
            return Err(invalid(&path, "a tag needs a name".to_owned()));
        }
        Ok((key.clone(), string(&path, value)?))
    };
    tags.iter().map(tag).collect()
}

fn attachment(path: &str, value: &Value) -> Result<Attachment, Error> {
    let members = object(path, value)?;
    if let Some(name) = members.keys().find(|name| !["ID", "Type"].contains(&name.as_str())) {
        return Err(unknown(&pointer(path, name), name, &["ID", "Type"]));
    }
    let member = |name: &str| match members.get(name) {
        None => {
            Err(invalid(path, format!("`{name}` is missing: an attachment is {{\"ID\": \"...\", \"Type\": \"...\"}}")))
        }
        Some(value) => match string(&pointer(path, name), value)? {
            text if text.is_empty() => Err(invalid(&pointer(path, name), format!("`{name}` must not be empty"))),
            text => Ok(text),
        },
    };
    Ok(Attachment { id: member("ID")?, kind: member("Type")? })
}

fn each<T>(path: &str, items: &[Value], read: impl Fn(&str, &Value) -> Result<T, Error>) -> Result<Vec<T>, Error> {
    items.iter().enumerate().map(|(i, item)| read(&format!("{path}/{i}"), item)).collect()
}

fn object<'v>(path: &str, value: &'v Value) -> Result<&'v Map<String, Value>, Error> {
    value.as_object().ok_or_else(|| wrong_type(path, "an object", value))
}

fn array<'v>(path: &str, expected: &str, value: &'v Value) -> Result<&'v [Value], Error> {
    value.as_array().map(Vec::as_slice).ok_or_else(|| wrong_type(path, expected, value))
}

fn string(path: &str, value: &Value) -> Result<String, Error> {
    value.as_str().map(str::to_owned).ok_or_else(|| wrong_type(path, "a string", value))
}

fn wrong_type(path: &str, expected: &str, value: &Value) -> Error {
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

fn unknown(path: &str, name: &str, known: &[&str]) -> Error {
    let likeness = |candidate: &str| strsim::jaro_winkler(&candidate.to_lowercase(), &name.to_lowercase());
    let nearest = known.iter().map(|known| (likeness(known), known)).max_by(|(a, _), (b, _)| a.total_cmp(b));
    let advice = match nearest {
        Some((alike, nearest)) if alike >= ALIKE => format!("did you mean `{nearest}`?"),
        _ => format!("known are {}", known.join(", ")),
    };
    invalid(path, format!("unknown property `{name}`; {advice}"))
}

/// The JSON Pointer of a member (RFC 6901, section 3).
fn pointer(parent: &str, member: &str) -> String {
    format!("{parent}/{}", member.replace('~', "~0").replace('/', "~1"))
}

fn invalid(path: &str, message: String) -> Error {
    Error { code: ErrorCode::InvalidArgument, message, path: Some(path.to_owned()), retry_after_ms: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_what_infrakit_users_write() {
        let read = Properties::read(EXAMPLE).unwrap();
        assert_eq!(read.init.len(), 2);
        assert_eq!(read.tags, [("project".into(), "infrakit".into()), ("tier".into(), "web".into())]);
        let read = Properties::read(r#"{"Attachments": [{"ID": "vol1", "Type": "ebs"}]}"#).unwrap();
        assert_eq!(read.attachments, [Attachment { id: "vol1".into(), kind: "ebs".into() }]);
        for nothing in ["null", "{}", r#"{"Init": [], "Tags": {}, "Attachments": []}"#] {
            assert_eq!(Properties::read(nothing), Ok(Properties::default()));
        }
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        let cases = [
            ("[]", "", "expected an object at the properties, found an array"),
            ("{", "", "not JSON"),
            (r#"{"Init": "a"}"#, "/Init", "expected an array of lines at /Init, found a string"),
            (r#"{"Init": ["a", 1]}"#, "/Init/1", "expected a string at /Init/1, found a number"),
            (r#"{"Init": null}"#, "/Init", "found null"),
            (r#"{"init": []}"#, "/init", "unknown property `init`; did you mean `Init`?"),
            (r#"{"Tag": {}}"#, "/Tag", "did you mean `Tags`?"),
            (r#"{"Attachment": []}"#, "/Attachment", "did you mean `Attachments`?"),
            (r#"{"Zebra": 1}"#, "/Zebra", "known are Init, Tags, Attachments"),
            (r#"{"a/b~c": 1}"#, "/a~1b~0c", "unknown property `a/b~c`"),
            (r#"{"Tags": []}"#, "/Tags", "expected an object"),
            (r#"{"Tags": {"n": 1}}"#, "/Tags/n", "expected a string at /Tags/n, found a number"),
            (r#"{"Tags": {"": "x"}}"#, "/Tags/", "a tag needs a name"),
            (r#"{"Tags": {"infrakit.group": "x"}}"#, "/Tags/infrakit.group", "`infrakit.`"),
            (r#"{"Tags": {"homeostat.slot": "1"}}"#, "/Tags/homeostat.slot", "the tag `homeostat.slot` is refused"),
            (r#"{"Attachments": {}}"#, "/Attachments", r#"an array of {"ID", "Type"}"#),
            (r#"{"Attachments": ["v"]}"#, "/Attachments/0", "found a string"),
            (r#"{"Attachments": [{"ID": "v"}]}"#, "/Attachments/0", "`Type` is missing"),
            (r#"{"Attachments": [{"ID": "", "Type": "e"}]}"#, "/Attachments/0/ID", "must not be empty"),
            (r#"{"Attachments": [{"ID": "v", "Typ": "e"}]}"#, "/Attachments/0/Typ", "did you mean `Type`?"),
            (r#"{"InitScriptTemplateURL": "file:///a"}"#, "/InitScriptTemplateURL", "as Init"),
        ];
        for (json, path, message) in cases {
            let error = Properties::read(json).unwrap_err();
            assert_eq!((error.code, error.path.as_deref()), (ErrorCode::InvalidArgument, Some(path)), "{json}");
            assert!(error.message.contains(message), "{json}: {}", error.message);
        }
    }

    #[test]
    fn the_schema_knows_the_same_names() {
        let schema: Value = serde_json::from_str(SCHEMA).unwrap();
        let names: Vec<_> = schema["properties"].as_object().unwrap().keys().cloned().collect();
        assert_eq!(names, ["Attachments", "Init", "InitScriptTemplateURL", "Tags"]);
        assert_eq!(schema["additionalProperties"], false);
        assert_eq!(schema["properties"]["Attachments"]["items"]["additionalProperties"], false);
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC*", name in "\\PC*") {
            let _ = Properties::read(&text);
            let one = Value::Object(Map::from_iter([(name, Value::Null)])).to_string();
            prop_assert!(Properties::read(&one).is_err());
        }
    }
}
