//! What the user declares of a machine.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::api::error;
use crate::bindings::homeostat::plugin::types::{Error, ErrorCode};

/// JSON Schema of the properties.
pub const SCHEMA: &str = r#"{
  "type": "object",
  "required": ["Image", "Size"],
  "additionalProperties": false,
  "properties": {
    "Image": {"type": "string", "minLength": 1, "description": "What the machine boots"},
    "Size": {"type": "string", "minLength": 1, "description": "How large it is, in the API's words"}
  }
}"#;

/// An example that [`read`] accepts.
pub const EXAMPLE: &str = r#"{"Image": "debian-12", "Size": "small"}"#;

/// The properties of a machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all(deserialize = "PascalCase"))]
pub struct Properties {
    /// What it boots.
    pub image: String,
    /// How large it is.
    pub size: String,
}

/// The properties, where they are as they should be; `invalid-argument` with the path of what is wrong where not.
pub fn read(properties: &str) -> Result<Properties, Error> {
    let value: Value =
        serde_json::from_str(properties).map_err(|it| invalid(String::new(), format!("they are not JSON: {it}")))?;
    let members = value.as_object().ok_or_else(|| invalid(String::new(), "they are an object".to_owned()))?;
    if let Some(unknown) = members.keys().find(|it| !["Image", "Size"].contains(&it.as_str())) {
        let path = format!("/{}", unknown.replace('~', "~0").replace('/', "~1"));
        return Err(invalid(path, "there is no such property; there are Image and Size".to_owned()));
    }
    let text = |name: &str| {
        let text = members.get(name).and_then(Value::as_str).filter(|it| !it.is_empty());
        text.map(str::to_owned).ok_or_else(|| invalid(format!("/{name}"), format!("{name} is a text, and not empty")))
    };
    Ok(Properties { image: text("Image")?, size: text("Size")? })
}

fn invalid(path: String, message: String) -> Error {
    Error { path: Some(path), ..error(ErrorCode::InvalidArgument, message) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_named() {
        assert_eq!(read(EXAMPLE).unwrap(), Properties { image: "debian-12".to_owned(), size: "small".to_owned() });
        assert!(serde_json::from_str::<Value>(SCHEMA).is_ok());
        for (properties, path) in [
            ("", ""),
            ("null", ""),
            ("{}", "/Image"),
            (r#"{"Image": "x", "Size": 1}"#, "/Size"),
            (r#"{"Image": "x", "Size": "y", "a/b": 1}"#, "/a~1b"),
        ] {
            let error = read(properties).unwrap_err();
            assert_eq!((error.code, error.path.as_deref()), (ErrorCode::InvalidArgument, Some(path)), "{properties}");
        }
    }
}
