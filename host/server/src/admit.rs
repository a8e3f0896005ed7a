//! Letting a document in: everything about it that needs plugins is checked here, before anything is changed.

use std::collections::BTreeMap;

use homeostat_core::document::{Diagnostic, Document, MAX_DIAGNOSTICS, Role, Source, nearest};
use homeostat_core::hash::config_hash;
use homeostat_core::spec::{Allocation, GroupSpec, PluginUse, VictimOrder};
use homeostat_core::time::Timestamp;
use homeostat_runtime::{CallError, LoadError, LoadErrorKind, Plugin};
use homeostat_source::Lookup;
use jsonschema::error::ValidationErrorKind;
use serde_json::Value;

use crate::error::{HostError, chain};
use crate::host::{known, stamped};
use crate::lock::DocumentLock;
use crate::registry::{Candidate, CandidateError, Registry};
use crate::view::CommitRequest;

/// A document that may be committed.
pub(crate) struct Admitted {
    pub(crate) document: Document,
    /// The plugins that it registers, loaded.
    pub(crate) plugins: BTreeMap<String, Candidate>,
    /// Its groups.
    pub(crate) groups: Vec<AdmittedGroup>,
}

/// A group that its plugins accept.
pub(crate) struct AdmittedGroup {
    pub(crate) spec: GroupSpec,
    pub(crate) hash: String,
}

/// Read a document, load its plugins, and let them check their properties.
pub(crate) async fn admit(request: &CommitRequest, registry: &Registry, now: Timestamp) -> Result<Admitted, HostError> {
    if !request.base_dir.is_absolute() {
        return Err(HostError::Invalid(format!("BaseDir {:?} is not an absolute path", request.base_dir)));
    }
    let source = Source { name: &request.name, text: &request.text, base_dir: &request.base_dir };
    let (document, mut faults) = Document::examine(&source).map_err(HostError::Document)?;
    // What is wrong with its form keeps nobody from saying what else is wrong.
    faults.extend(document.check_plugins(&registry.names()));
    let mut plugins = BTreeMap::new();
    let lock = DocumentLock::beside(&request.base_dir)?;
    for (name, spec) in &document.stack.plugins {
        let known = registry.find(name).and_then(|it| known(&it.record, spec));
        let locked = lock.of(name, spec).or(known);
        let lookup = if locked.is_some() { Lookup::AsLocked } else { Lookup::Anew };
        match registry.candidate(name, spec, locked.as_ref(), lookup, now).await {
            Ok(candidate) => {
                plugins.insert(name.clone(), candidate);
            }
            Err(error) => {
                let message = chain(&error);
                let member = match &error {
                    CandidateError::Load(LoadError { kind, .. }) => match **kind {
                        LoadErrorKind::Grant { .. } => {
                            let dirs = &spec.grants.dirs;
                            let at = dirs.iter().position(|it| message.contains(&*it.host.to_string_lossy()));
                            at.map_or_else(|| "Grants".to_owned(), |index| format!("Grants/Dirs/{index}/Host"))
                        }
                        LoadErrorKind::Digest { .. } => "Sha256".to_owned(),
                        _ => "Path".to_owned(),
                    },
                    CandidateError::Fetch { .. } => "Path".to_owned(),
                };
                faults.push(document.diagnostic_at(&format!("{}/{member}", plugin_pointer(name)), message));
            }
        }
    }
    let checks = Checks { document: &document, registry, plugins: &plugins };
    for used in &document.uses {
        faults.extend(match used.role {
            Role::Instance => checks.instance(&used.plugin, &used.pointer).await,
            Role::Flavor => checks.flavor(&used.plugin, used.allocation.as_ref(), &used.pointer).await,
        });
    }
    for (index, group) in document.stack.groups.iter().enumerate() {
        faults.extend(checks.ranking(group, &document.group_pointer(index)).await);
    }
    if !faults.is_empty() {
        faults.sort_by_key(|it| (it.line, it.column));
        faults.truncate(MAX_DIAGNOSTICS);
        return Err(HostError::Document(faults));
    }
    let digest = |name: &str| match plugins.get(name) {
        Some(candidate) => Some(candidate.locked.sha256.clone()),
        None => registry.digest(name),
    };
    let admitted = |spec: &GroupSpec| {
        let spec = stamped(spec.clone(), digest);
        let hash = config_hash(&spec.properties.instance, &spec.properties.flavor);
        AdmittedGroup { spec, hash }
    };
    let groups = document.stack.groups.iter().map(admitted).collect();
    Ok(Admitted { document, plugins, groups })
}

struct Checks<'a> {
    document: &'a Document,
    registry: &'a Registry,
    plugins: &'a BTreeMap<String, Candidate>,
}

impl Checks<'_> {
    async fn instance(&self, usage: &PluginUse, pointer: &str) -> Vec<Diagnostic> {
        let plugin = match self.plugin(usage, pointer).await {
            Ok(plugin) => plugin,
            Err(faults) => return faults,
        };
        let Some(instance) = plugin.as_instance() else {
            return vec![self.wrong_kind(pointer, &usage.plugin, "a flavor", "an instance")];
        };
        let faults = self.schema(&plugin, &usage.properties, pointer);
        if !faults.is_empty() {
            return faults;
        }
        // Its promise to change nothing is held by a reader, which cannot.
        self.said(instance.read_only().validate(&usage.properties).await, pointer)
    }

    /// Without an allocation, which is wrong then, the flavor itself is not asked.
    async fn flavor(&self, usage: &PluginUse, allocation: Option<&Allocation>, pointer: &str) -> Vec<Diagnostic> {
        let plugin = match self.plugin(usage, pointer).await {
            Ok(plugin) => plugin,
            Err(faults) => return faults,
        };
        let Some(flavor) = plugin.as_flavor() else {
            return vec![self.wrong_kind(pointer, &usage.plugin, "an instance", "a flavor")];
        };
        let faults = self.schema(&plugin, &usage.properties, pointer);
        match allocation {
            Some(allocation) if faults.is_empty() => {
                self.said(flavor.read_only().validate(&usage.properties, allocation).await, pointer)
            }
            _ => faults,
        }
    }

    /// A flavor that is to rank instances has to be able to.
    async fn ranking(&self, group: &GroupSpec, pointer: &str) -> Vec<Diagnostic> {
        let properties = &group.properties;
        if properties.removal.order() != VictimOrder::Plugin {
            return Vec::new();
        }
        let Ok(plugin) = self.plugin(&properties.flavor, pointer).await else { return Vec::new() };
        match plugin.as_flavor() {
            Some(flavor) if !flavor.orders_removal() => {
                let name = &properties.flavor.plugin;
                let message = format!("{name} does not rank instances: it does not export the interface \"removal\"");
                vec![self.document.diagnostic_at(&format!("{pointer}/Removal/Order"), message)]
            }
            _ => Vec::new(),
        }
    }

    /// The plugin in use. Nothing is said of one that is unknown or could not be loaded from the document's own entry:
    /// that has been said already.
    async fn plugin(&self, usage: &PluginUse, pointer: &str) -> Result<Plugin, Vec<Diagnostic>> {
        let name = usage.plugin.as_str();
        if let Some(candidate) = self.plugins.get(name) {
            return Ok(candidate.plugin.clone());
        }
        let known = crate::registry::is_path(name) || self.registry.find(name).is_some();
        if self.document.stack.plugins.contains_key(name) || !known {
            return Err(Vec::new());
        }
        let said = |message: std::sync::Arc<str>| {
            vec![self.document.diagnostic_at(&format!("{pointer}/Plugin"), message.to_string())]
        };
        self.registry.get(name).await.map_err(said)
    }

    fn wrong_kind(&self, pointer: &str, name: &str, is: &str, wanted: &str) -> Diagnostic {
        let message = format!("{name} is {is} plugin, and {wanted} plugin is needed here");
        self.document.diagnostic_at(&format!("{pointer}/Plugin"), message)
    }

    fn schema(&self, plugin: &Plugin, properties: &Value, pointer: &str) -> Vec<Diagnostic> {
        let found = violations(&plugin.info().description.properties_schema, properties);
        found
            .into_iter()
            .map(|(path, message)| self.document.diagnostic_at(&format!("{pointer}/Properties{path}"), message))
            .collect()
    }

    fn said(&self, answer: Result<(), CallError>, pointer: &str) -> Vec<Diagnostic> {
        let Err(error) = answer else { return Vec::new() };
        let said = error.plugin_error();
        let path = said.and_then(|it| it.path.clone()).unwrap_or_default();
        let message = said.map_or_else(|| chain(&error), |it| it.message.clone());
        vec![self.document.diagnostic_at(&format!("{pointer}/Properties{path}"), message)]
    }
}

/// Where properties break a plugin's schema: JSON Pointers and sentences.
pub(crate) fn violations(schema: &Value, properties: &Value) -> Vec<(String, String)> {
    let validator = match jsonschema::validator_for(schema) {
        Ok(validator) => validator,
        // Loading the plugin checked it; a schema that is none is the plugin's fault and not the document's.
        Err(error) => return vec![(String::new(), format!("the plugin's own schema is broken: {error}"))],
    };
    let mut found = Vec::new();
    for error in validator.iter_errors(properties) {
        let at = error.instance_path().to_string();
        match error.kind() {
            ValidationErrorKind::AdditionalProperties { unexpected } => {
                let known: Vec<&str> = schema
                    .pointer(&parent(&error.schema_path().to_string()))
                    .and_then(|it| it.get("properties"))
                    .and_then(Value::as_object)
                    .map(|it| it.keys().map(String::as_str).collect())
                    .unwrap_or_default();
                for name in unexpected {
                    let mut message = format!("{name:?} is unknown to the plugin");
                    if let Some(nearest) = nearest(name, known.iter().copied()) {
                        message.push_str(&format!("; did you mean {nearest:?}?"));
                    } else if !known.is_empty() {
                        message.push_str(&format!("; it knows {}", known.join(", ")));
                    }
                    found.push((format!("{at}/{}", escape(name)), message));
                }
            }
            _ => found.push((at, format!("the plugin's schema does not allow this: {error}"))),
        }
    }
    found
}

/// Where a document registers a plugin, as a JSON Pointer.
pub(crate) fn plugin_pointer(name: &str) -> String {
    format!("/Plugins/{}", escape(name))
}

/// A name as a part of a JSON Pointer (RFC 6901, section 3).
fn escape(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

fn parent(pointer: &str) -> String {
    pointer.rsplit_once('/').map_or_else(String::new, |(parent, _)| parent.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_schema_speaks_of_places_and_names() {
        let schema = json!({
            "type": "object",
            "additionalProperties": false,
            "properties": {
                "Init": { "type": "array", "items": { "type": "string" } },
                "Tags": { "type": "object" },
            },
        });
        let found = violations(&schema, &json!({ "Init": ["a", 5], "Tgas": {}, "a/b": 1 }));
        let found: Vec<_> = found.iter().map(|(path, message)| (path.as_str(), message.as_str())).collect();
        assert!(found.contains(&("/Tgas", "\"Tgas\" is unknown to the plugin; did you mean \"Tags\"?")), "{found:?}");
        assert!(found.contains(&("/a~1b", "\"a/b\" is unknown to the plugin; it knows Init, Tags")), "{found:?}");
        assert!(found.iter().any(|(path, _)| *path == "/Init/1"), "{found:?}");
        assert_eq!(found.len(), 3);
    }
}
