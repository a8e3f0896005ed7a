//! What is in the file of an instance.

use serde_json::{Map, Value, json};

use crate::bindings::homeostat::plugin::types::{Instance, InstanceSpec, InstanceState};
use crate::broken;

pub(crate) struct Record(Value);

fn pairs(tags: &[(String, String)]) -> Map<String, Value> {
    tags.iter().map(|(key, value)| (key.clone(), json!(value))).collect()
}

/// The member that holds the spec.
fn spec_key() -> &'static str {
    if broken("other-format") { "Spec2" } else { "Spec" }
}

fn spec_of(spec: &InstanceSpec) -> Value {
    let properties: Value = serde_json::from_str(&spec.properties).unwrap_or_default();
    let attachments: Vec<_> = spec.attachments.iter().map(|it| json!([it.id, it.kind])).collect();
    json!({"Properties": properties, "Tags": pairs(&spec.tags), "Init": spec.init, "LogicalID": spec.logical_id,
           "Attachments": attachments})
}

impl Record {
    pub(crate) fn new(name: &str, spec: &InstanceSpec, now: u64) -> Self {
        Self(json!({"Name": name, spec_key(): spec_of(spec), "Labels": {}, "Created": now}))
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        let record = Self(serde_json::from_str(text).ok()?);
        record.0[spec_key()].is_object().then_some(record)
    }

    pub(crate) fn text(&self) -> String {
        self.0.to_string()
    }

    pub(crate) fn name(&self) -> &str {
        self.0["Name"].as_str().unwrap_or_default()
    }

    pub(crate) fn is_made_from(&self, spec: &InstanceSpec) -> bool {
        self.0[spec_key()] == spec_of(spec)
    }

    pub(crate) fn label(&mut self, tags: &[(String, String)]) {
        if broken("label-drops") {
            self.0["Dropped"] = json!(true);
        }
        if let Some(labels) = self.0["Labels"].as_object_mut() {
            labels.extend(pairs(tags));
        }
    }

    pub(crate) fn tags(&self) -> Vec<(String, String)> {
        let mut tags = Map::new();
        if self.0.get("Dropped").is_none() {
            tags.extend(self.0[spec_key()]["Tags"].as_object().cloned().unwrap_or_default());
        }
        tags.extend(self.0["Labels"].as_object().cloned().unwrap_or_default());
        let kept = tags.into_iter().filter(|(key, _)| {
            // A provider whose keys are in lower case.
            !broken("loses-tags") || !key.contains(char::is_uppercase)
        });
        kept.map(|(key, value)| {
            let mut value = value.as_str().unwrap_or_default().to_owned();
            // A provider that has the limits of Kubernetes.
            if broken("cuts-values") && value.len() > 63 {
                value = value.chars().take(63).collect();
            }
            (key, value)
        })
        .collect()
    }

    pub(crate) fn instance(&self, id: &str, with_properties: bool) -> Instance {
        let tags = self.tags();
        let in_group = tags.iter().any(|(key, _)| key == "infrakit.group");
        let stopped = broken("replans") && in_group;
        Instance {
            id: id.to_owned(),
            name: self.name().to_owned(),
            logical_id: self.0[spec_key()]["LogicalID"].as_str().map(str::to_owned),
            state: if stopped { InstanceState::Stopped } else { InstanceState::Running },
            message: if broken("drifts") { crate::random().to_string() } else { String::new() },
            created_at_ms: self.0["Created"].as_u64(),
            addresses: vec![],
            tags,
            properties: with_properties.then(|| self.0[spec_key()]["Properties"].to_string()),
        }
    }
}
