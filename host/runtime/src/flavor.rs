//! Calls of a flavor plugin.

use std::sync::Arc;

use homeostat_core::observed::{HealthReport, Instance};
use homeostat_core::spec::{Allocation, InstanceSpec};
use homeostat_core::tags::{self, Tags};
use serde_json::Value;
use wasmtime::Store;

use crate::abi::v0_1::{self, Index, Linked};
use crate::call::{CallState, Fault, Sandbox};
use crate::error::{CallError, CallErrorKind};

/// A flavor plugin. Cheap to clone. Each call gets a fresh instance of the component, under the plugin's limits; one
/// that is dropped midway is stopped. Calls need a tokio runtime with time, and do not block it.
#[derive(Clone)]
pub struct FlavorPlugin(Arc<Sandbox>);

/// Instantiate the component as a flavor plugin in this store.
async fn guest(linked: &Linked, store: &mut Store<CallState>) -> Result<v0_1::FlavorPlugin, Fault> {
    match linked {
        Linked::Flavor(pre) => pre.instantiate_async(store).await.map_err(Fault::Instantiate),
        Linked::Instance(_) => Err(Fault::Nonsense("it is no flavor plugin".into())),
    }
}

impl FlavorPlugin {
    pub(crate) fn new(sandbox: Arc<Sandbox>) -> Self {
        Self(sandbox)
    }

    /// Check properties, and whether they suit the allocation. No effects.
    ///
    /// # Errors
    /// `InvalidArgument` with a path where they are wrong; any failure of a call.
    pub async fn validate(&self, properties: &Value, allocation: &Allocation) -> Result<(), CallError> {
        let (properties, allocation) = (properties.to_string(), v0_1::allocation(allocation));
        self.0
            .call("validate", |linked, store| {
                Box::pin(async move {
                    let guest = guest(linked, store).await?;
                    v0_1::answer(guest.homeostat_plugin_flavor().call_validate(store, &properties, &allocation).await?)
                })
            })
            .await
    }

    /// The spec with this flavor's part merged in, for the instance number `sequence` (from 1) of a group.
    ///
    /// # Errors
    /// `InvalidArgument`, `Unavailable`; `Nonsense` where the answer changes a tag of the host's or the logical id; any
    /// failure of a call.
    pub async fn prepare(
        &self,
        properties: &Value,
        spec: &InstanceSpec,
        allocation: &Allocation,
        group: &str,
        sequence: u32,
    ) -> Result<InstanceSpec, CallError> {
        let (properties, allocation) = (properties.to_string(), v0_1::allocation(allocation));
        let (given, index) = (v0_1::spec(spec), Index { group: group.to_owned(), sequence });
        let prepared = self
            .0
            .call("prepare", |linked, store| {
                Box::pin(async move {
                    let guest = guest(linked, store).await?;
                    let flavor = guest.homeostat_plugin_flavor();
                    let answer = flavor.call_prepare(store, &properties, &given, &allocation, &index).await?;
                    v0_1::spec_back(v0_1::answer(answer)?)
                })
            })
            .await?;
        keeps(spec, &prepared).map_err(|what| self.0.error("prepare", CallErrorKind::Nonsense(what)))?;
        Ok(prepared)
    }

    /// Judge instances: one report for each, in order.
    ///
    /// # Errors
    /// Where none could be judged; `Nonsense` for another number of reports; any failure of a call.
    pub async fn health(&self, properties: &Value, instances: &[Instance]) -> Result<Vec<HealthReport>, CallError> {
        let properties = properties.to_string();
        let instances: Vec<_> = instances.iter().map(v0_1::instance).collect();
        self.0
            .call("health", |linked, store| {
                Box::pin(async move {
                    let guest = guest(linked, store).await?;
                    let flavor = guest.homeostat_plugin_flavor();
                    let reports = v0_1::answer(flavor.call_health(store, &properties, &instances).await?)?;
                    if reports.len() != instances.len() {
                        let (got, asked) = (reports.len(), instances.len());
                        return Err(Fault::Nonsense(format!("{got} health reports for {asked} instances")));
                    }
                    Ok(reports.into_iter().map(v0_1::report_back).collect())
                })
            })
            .await
    }

    /// Make an instance's work leave it; returns when it has left.
    ///
    /// # Errors
    /// The plugin's; any failure of a call.
    pub async fn drain(&self, properties: &Value, instance: &Instance) -> Result<(), CallError> {
        let (properties, instance) = (properties.to_string(), v0_1::instance(instance));
        self.0
            .call("drain", |linked, store| {
                Box::pin(async move {
                    let guest = guest(linked, store).await?;
                    v0_1::answer(guest.homeostat_plugin_flavor().call_drain(store, &properties, &instance).await?)
                })
            })
            .await
    }
}

/// Whether the host's part of a spec is as it was.
fn keeps(given: &InstanceSpec, prepared: &InstanceSpec) -> Result<(), String> {
    let reserved = |tags: &Tags| -> Tags {
        tags.iter().filter(|(key, _)| tags::is_reserved(key)).map(|(k, v)| (k.clone(), v.clone())).collect()
    };
    let (before, after) = (reserved(&given.tags), reserved(&prepared.tags));
    if let Some(key) = before.keys().chain(after.keys()).find(|key| before.get(*key) != after.get(*key)) {
        return Err(format!("prepare changed the tag {key:?}, which is the host's own"));
    }
    if given.logical_id != prepared.logical_id {
        return Err(format!(
            "prepare changed the logical id from {:?} to {:?}",
            given.logical_id.as_deref().unwrap_or("none"),
            prepared.logical_id.as_deref().unwrap_or("none")
        ));
    }
    Ok(())
}
