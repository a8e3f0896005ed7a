//! The plugin's properties: any JSON object. They are the instance's content, so none is unknown.

use serde_json::value::RawValue;

use crate::bindings::homeostat::plugin::types::Error;
use crate::fault;

/// JSON Schema of the properties.
pub const SCHEMA: &str = include_str!("schema.json");

/// An example that [`check`] accepts: InfraKit's tutorial.
pub const EXAMPLE: &str = r#"{"Note": "Collabnix Infrakit 101"}"#;

/// The properties as the JSON text they are, where that is an object or null.
pub fn check(properties: &str) -> Result<&RawValue, Error> {
    let raw: &RawValue = serde_json::from_str(properties)
        .map_err(|error| fault::invalid("", format!("the properties are not JSON: {error}")))?;
    let found = match raw.get().as_bytes()[0] {
        b'{' | b'n' => return Ok(raw),
        b'[' => "an array",
        b'"' => "a string",
        b't' | b'f' => "a boolean",
        _ => "a number",
    };
    Err(fault::invalid("", format!("the properties must be a JSON object (with any members), found {found}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn any_object_will_do_and_nothing_else() {
        for good in [EXAMPLE, "{}", "null", " \n{\"a\": {\"b\": [1e400, -0, \"\\ud83d\\ude00\"]}} "] {
            assert_eq!(check(good).unwrap().get(), good.trim());
        }
        for (bad, found) in [("[]", "an array"), ("\"x\"", "a string"), ("true", "a boolean"), ("-1", "a number")] {
            let error = check(bad).unwrap_err();
            assert!(error.message.ends_with(found) && error.path.as_deref() == Some(""), "{error:?}");
        }
        for bad in ["", "nul", "{", "{\"a\":}", "{} {}", "NaN"] {
            assert!(check(bad).unwrap_err().message.contains("not JSON"), "{bad}");
        }
    }

    #[test]
    fn the_schema_is_json() {
        let schema: serde_json::Value = serde_json::from_str(SCHEMA).unwrap();
        assert_eq!(schema["type"], serde_json::json!(["object", "null"]));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC*") {
            let _ = check(&text);
        }
    }
}
