//! What the user declared, read strictly: the first thing that is wrong is named, with where it is.

use serde_json::{Map, Value};

use crate::attachments::Attachments;
use crate::bindings::homeostat::plugin::types::{Allocation, Error};
use crate::read::{array, invalid, object, pointer, string, unknown};

/// JSON Schema of the properties.
pub const SCHEMA: &str = include_str!("schema.json");

/// An example that [`Properties::read`] accepts: InfraKit's tutorial.
pub const EXAMPLE: &str = r#"{
  "Init": ["docker pull dockercloud/hello-world", "docker run -d -p 8080:80 dockercloud/hello-world"],
  "Tags": {"tier": "web", "project": "infrakit"}
}"#;

/// Prefixes of the tags that are the host's.
const RESERVED: [&str; 2] = ["infrakit.", "homeostat."];

/// The properties of one group's flavor.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Properties {
    /// Lines of the script that runs at boot.
    pub init: Vec<String>,
    /// Tags to add; each key once, none of them the host's.
    pub tags: Vec<(String, String)>,
    /// What to attach to which instance.
    pub attachments: Attachments,
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
                    let line = |(i, line)| string(&format!("{path}/{i}"), line);
                    properties.init = lines.iter().enumerate().map(line).collect::<Result<_, _>>()?;
                }
                "Tags" => properties.tags = tags(&path, object(&path, value)?)?,
                "Attachments" => properties.attachments = Attachments::read(&path, value)?,
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

    /// Check that they suit a group that counts its instances so.
    pub fn check(&self, allocation: &Allocation) -> Result<(), Error> {
        self.attachments.check("/Attachments", allocation)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bindings::homeostat::plugin::types::{Attachment, ErrorCode};
    use proptest::prelude::*;

    #[test]
    fn reads_what_infrakit_users_write() {
        let read = Properties::read(EXAMPLE).unwrap();
        assert_eq!(read.init.len(), 2);
        assert_eq!(read.tags, [("project".into(), "infrakit".into()), ("tier".into(), "web".into())]);
        let read = Properties::read(r#"{"Attachments": [{"ID": "vol1", "Type": "ebs"}]}"#).unwrap();
        let volume = Attachment { id: "vol1".into(), kind: "ebs".into() };
        assert_eq!(read.attachments, Attachments::Each(vec![volume]));
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
            (r#"{"Attachments": 1}"#, "/Attachments", r#"an array of {"ID", "Type"}"#),
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
        let attachments = &schema["properties"]["Attachments"];
        assert_eq!(attachments["items"], attachments["additionalProperties"]["items"]);
        assert_eq!(attachments["items"]["$ref"], "#/$defs/attachment");
        assert_eq!(schema["$defs"]["attachment"]["additionalProperties"], false);
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
