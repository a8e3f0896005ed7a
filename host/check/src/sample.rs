//! Properties to try a plugin with: the valid, the invalid, and the hostile.

use homeostat_core::spec::Allocation;
use jsonschema::Validator;
use serde_json::{Map, Value, json};

use crate::config::Config;

/// The bytes of a text that is long.
const LONG: usize = 1 << 20;

/// The depth of nested values: what the host still reads from a document.
const DEEP: usize = 100;

/// The samples of one run.
pub(crate) struct Samples {
    pub(crate) schema: Value,
    validator: Option<Validator>,
    /// What it has to accept. The first is what instances are made from.
    pub(crate) valid: Vec<Value>,
    /// What it has to refuse: the properties, where they are wrong, and whether the author said so.
    pub(crate) invalid: Vec<Wrong>,
    pub(crate) other: Option<Value>,
    pub(crate) allocation: Allocation,
}

/// Properties that are wrong.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Wrong {
    pub(crate) properties: Value,
    pub(crate) path: Option<String>,
    /// Made by the kit from the schema, so that the schema refuses it for sure.
    pub(crate) generated: bool,
}

impl Samples {
    pub(crate) fn new(schema: &Value, example: &Value, config: &Config) -> Self {
        let mut valid = config.valid.clone();
        if !valid.contains(example) {
            valid.push(example.clone());
        }
        let given = config.invalid.iter();
        let mut invalid: Vec<_> = given
            .map(|it| Wrong { properties: it.properties.clone(), path: it.path.clone(), generated: false })
            .collect();
        let validator = jsonschema::draft202012::new(schema).ok();
        let refused = |it: &Wrong| validator.as_ref().is_some_and(|schema| !schema.is_valid(&it.properties));
        invalid.extend(generated(schema, example).into_iter().filter(refused));
        let allocation = config.allocation.clone().unwrap_or(Allocation::Size(3));
        Self { schema: schema.clone(), validator, valid, invalid, other: config.other_spec.clone(), allocation }
    }

    /// Where the schema refuses properties, as JSON Pointers; none where it accepts them.
    pub(crate) fn refused_at(&self, properties: &Value) -> Option<Vec<String>> {
        let schema = self.validator.as_ref()?;
        let places: Vec<_> = schema.iter_errors(properties).map(|it| it.instance_path().as_str().to_owned()).collect();
        (!places.is_empty()).then_some(places)
    }

    pub(crate) fn sample(&self) -> &Value {
        &self.valid[0]
    }
}

/// Samples that a schema refuses: each property with a value of another type, and a member that is not known.
fn generated(schema: &Value, example: &Value) -> Vec<Wrong> {
    let Some(base) = example.as_object() else { return Vec::new() };
    let properties = schema.get("properties").and_then(Value::as_object);
    let mut made = Vec::new();
    let wrong = |properties: Map<String, Value>, path: String| Wrong {
        properties: Value::Object(properties),
        path: Some(path),
        generated: true,
    };
    for name in properties.into_iter().flat_map(Map::keys) {
        let path = format!("/{}", name.replace('~', "~0").replace('/', "~1"));
        // One of these is of another type than any that the schema allows, or it allows all.
        for value in [json!({"Unexpected": true}), json!(["unexpected"]), json!(true), json!("unexpected"), json!(1.5)]
        {
            let mut properties = base.clone();
            properties.insert(name.clone(), value);
            made.push(wrong(properties, path.clone()));
        }
    }
    let mut properties = base.clone();
    properties.insert("HomeostatCheckUnknown".into(), json!(1));
    made.push(wrong(properties, String::new()));
    made
}

/// Properties that nobody sends in good faith: what they are, and the value. All of it is JSON that a host can send.
pub(crate) fn hostile(schema: &Value, example: &Value) -> Vec<(String, Value)> {
    let deep = (0..DEEP).fold(json!([]), |inner, _| json!([inner]));
    let deep_object = (0..DEEP).fold(json!({}), |inner, _| json!({ "a": inner }));
    let wild: Vec<(&str, Value)> = vec![
        ("nothing", Value::Null),
        ("an empty object", json!({})),
        ("an empty list", json!([])),
        ("an empty text", json!("")),
        ("false", json!(false)),
        ("0", json!(0)),
        ("the largest integer", json!(u64::MAX)),
        ("the least integer", json!(i64::MIN)),
        ("a huge number", json!(1e308)),
        ("a tiny number", json!(-5e-324)),
        ("a text of 1 MiB", json!("x".repeat(LONG))),
        ("a list of 100,000", json!(vec![0; 100_000])),
        ("a deep list", deep),
        ("a deep object", deep_object),
        ("control characters", json!("\u{0}\u{1}\r\n\u{1b}[31m\u{7f}")),
        ("characters beyond the basic plane", json!("\u{10ffff}\u{1f600}\u{202e}\u{feff}")),
        ("a path that leads out", json!("../../../../etc/passwd")),
        ("quotes and escapes", json!("\"'`\\{}[]$(id);--%00%s%n")),
    ];
    let mut all: Vec<(String, Value)> = wild.iter().map(|(what, value)| ((*what).to_owned(), value.clone())).collect();
    let mut unknown = example.as_object().cloned().unwrap_or_default();
    unknown.insert(String::new(), json!(1));
    unknown.insert("\u{0}".into(), json!({"a": [null]}));
    all.push(("unknown and empty names".into(), Value::Object(unknown)));
    if let Some(base) = example.as_object() {
        let declared = schema.get("properties").and_then(Value::as_object);
        let names: std::collections::BTreeSet<_> =
            base.keys().chain(declared.into_iter().flat_map(Map::keys)).collect();
        for name in names {
            for (what, value) in &wild {
                let mut properties = base.clone();
                properties.insert(name.clone(), value.clone());
                all.push((format!("{name} as {what}"), Value::Object(properties)));
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Invalid;

    #[test]
    fn what_is_generated_is_refused_by_the_schema() {
        let schema = json!({"type": "object", "additionalProperties": false,
            "properties": {"Note": {"type": "string"}, "a/b": {"type": "integer"}, "Any": {}}});
        let given = Invalid { properties: json!({"Note": "no"}), path: Some("/Note".into()) };
        let config = Config { invalid: vec![given], ..Config::default() };
        let samples = Samples::new(&schema, &json!({"Note": "hi"}), &config);
        assert_eq!(samples.valid, [json!({"Note": "hi"})]);
        let paths: std::collections::BTreeSet<_> =
            samples.invalid.iter().filter(|it| it.generated).filter_map(|it| it.path.as_deref()).collect();
        assert_eq!(paths.into_iter().collect::<Vec<_>>(), ["", "/Note", "/a~1b"]);
        for wrong in samples.invalid.iter().filter(|it| it.generated) {
            assert!(samples.refused_at(&wrong.properties).is_some(), "{wrong:?}");
        }
        assert_eq!(samples.refused_at(&json!({"Note": 1})), Some(vec!["/Note".to_owned()]));
        // What the author gave may be known to the plugin alone.
        assert!(!samples.invalid[0].generated && samples.refused_at(&samples.invalid[0].properties).is_none());
    }
}
