//! Specs in a few words: `Size=3 Init=a Updating.Order=start-first`.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Map, Value, json};

use crate::document::{Document, Source};
use crate::spec::GroupSpec;

/// What was committed, as far as it was said.
#[derive(Clone, Debug, Default)]
pub(super) struct Words(BTreeMap<String, String>);

impl Words {
    /// The same with some changes. An empty value takes a word back; `Size` and `LogicalIDs` take each other's place.
    pub(super) fn with(&self, changes: &[(String, String)]) -> Self {
        let mut words = self.clone();
        for (key, value) in changes {
            match key.as_str() {
                "Size" => drop(words.0.remove("LogicalIDs")),
                "LogicalIDs" => drop(words.0.remove("Size")),
                _ => {}
            }
            match value.as_str() {
                "" => drop(words.0.remove(key)),
                value => drop(words.0.insert(key.clone(), value.to_owned())),
            }
        }
        words
    }

    /// The spec that they mean, read as a host reads it.
    pub(super) fn spec(&self) -> Result<GroupSpec, String> {
        let word = |key: &str| self.0.get(key).map(String::as_str);
        let mut properties = json!({
            "Allocation": {},
            "Instance": { "Plugin": word("Plugin").unwrap_or("provider"), "Properties": {} },
            "Flavor": { "Plugin": "flavor", "Properties": {} },
        });
        for (key, text) in &self.0 {
            let value = value(text);
            match key.split_once('.') {
                None if key == "Size" => properties["Allocation"]["Size"] = value,
                None if key == "LogicalIDs" => properties["Allocation"]["LogicalIDs"] = list(text).into(),
                None if key == "Init" => properties["Flavor"]["Properties"]["Init"] = json!([text]),
                None if key == "Image" => properties["Instance"]["Properties"]["Image"] = value,
                None if key == "Plugin" => {}
                Some((part @ ("Updating" | "Healing" | "Removal"), field)) => {
                    let value = if field == "Checkpoints" { list(text).into() } else { value };
                    let fields = properties.as_object_mut().ok_or("no properties")?;
                    let fields = fields.entry(part).or_insert_with(|| Map::new().into());
                    fields[field] = value;
                }
                _ => return Err(format!("{key} is no word of a spec")),
            }
        }
        let text = json!({ "ID": "web", "Properties": properties }).to_string();
        let source = Source { name: "spec", text: &text, base_dir: Path::new("/") };
        let document = Document::read(&source)
            .map_err(|faults| faults.iter().map(|it| it.message.clone()).collect::<Vec<_>>().join("; "))?;
        document.stack.groups.into_iter().next().ok_or_else(|| "no group".into())
    }
}

fn value(text: &str) -> Value {
    // A number or a truth value, or else a text.
    serde_json::from_str(text).unwrap_or_else(|_| text.into())
}

fn list(text: &str) -> Vec<Value> {
    text.split(',').map(value).collect()
}
