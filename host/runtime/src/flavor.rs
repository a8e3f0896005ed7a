//! Calls of a flavor plugin.

use std::collections::HashSet;
use std::sync::Arc;

use homeostat_core::observed::{HealthReport, Instance};
use homeostat_core::outcome::{ErrorCode, PluginError};
use homeostat_core::spec::{Allocation, InstanceSpec};
use homeostat_core::tags::{self, Tags};
use serde_json::Value;
use wasmtime::Store;

use crate::abi::Linked;
use crate::abi::flavor::{Guest, Index, Removal};
use crate::call::{Fault, Sandbox};
use crate::error::{CallError, CallErrorKind};
use crate::grant::Access;
use crate::state::CallState;

/// A flavor plugin. Cheap to clone. Each call gets a fresh instance of the component, under the plugin's limits; one
/// that is dropped midway is stopped. Calls need a tokio runtime with time, and do not block it.
#[derive(Clone)]
pub struct FlavorPlugin(Arc<Sandbox>);

/// A flavor plugin of which nothing can be changed: it does not drain, and what the guest was granted is read-only for it,
/// whatever the grant says. Otherwise as [`FlavorPlugin`].
///
/// ```compile_fail,E0599
/// async fn planning(reader: homeostat_runtime::FlavorReader, instance: &homeostat_core::observed::Instance) {
///     reader.drain(&serde_json::Value::Null, instance).await;
/// }
/// ```
#[derive(Clone)]
pub struct FlavorReader(Arc<Sandbox>);

/// Instantiate the component as a flavor plugin in this store.
async fn guest(linked: &Linked, store: &mut Store<CallState>) -> Result<Guest, Fault> {
    match linked {
        Linked::Flavor(linked) => linked.start(store).await,
        Linked::Instance(_) => Err(Fault::Nonsense("it is no flavor plugin".into())),
    }
}

/// Instantiate the component for its say in which instances go first.
async fn removal(linked: &Linked, store: &mut Store<CallState>) -> Result<Removal, Fault> {
    let started = match linked {
        Linked::Flavor(linked) => linked.start_removal(store).await?,
        Linked::Instance(_) => None,
    };
    started.ok_or_else(|| {
        Fault::Plugin(PluginError {
            code: ErrorCode::Unimplemented,
            message: "it does not say which instances go first, since it does not export homeostat:plugin/removal; \
                      choose another Removal.Order, or a flavor that does"
                .into(),
            path: None,
            retry_after: None,
        })
    })
}

/// The functions without effect, for a guest with this access.
struct Pure<'p>(&'p Arc<Sandbox>, Access);

impl Pure<'_> {
    async fn validate(&self, properties: &Value, allocation: &Allocation) -> Result<(), CallError> {
        let (properties, allocation) = (properties.to_string(), allocation.clone());
        let Self(sandbox, access) = self;
        sandbox
            .call("validate", *access, |linked, store| {
                Box::pin(async move { guest(linked, store).await?.validate(store, properties, allocation).await })
            })
            .await
    }

    async fn prepare(
        &self,
        properties: &Value,
        spec: &InstanceSpec,
        allocation: &Allocation,
        group: &str,
        sequence: u32,
    ) -> Result<InstanceSpec, CallError> {
        let (properties, allocation) = (properties.to_string(), allocation.clone());
        let (given, index) = (spec.clone(), Index { group: group.to_owned(), sequence });
        let Self(sandbox, access) = self;
        let prepared = sandbox
            .call("prepare", *access, |linked, store| {
                Box::pin(async move {
                    guest(linked, store).await?.prepare(store, properties, given, allocation, index).await
                })
            })
            .await?;
        keeps(spec, &prepared).map_err(|what| sandbox.error("prepare", CallErrorKind::Nonsense(what)))?;
        Ok(prepared)
    }

    async fn health(&self, properties: &Value, instances: &[Instance]) -> Result<Vec<HealthReport>, CallError> {
        let properties = properties.to_string();
        let (instances, asked) = (instances.to_vec(), instances.len());
        let Self(sandbox, access) = self;
        sandbox
            .call("health", *access, move |linked, store| {
                Box::pin(async move {
                    let guest = guest(linked, store).await?;
                    let reports = guest.health(store, properties, instances).await?;
                    if reports.len() != asked {
                        let got = reports.len();
                        return Err(Fault::Nonsense(format!("{got} health reports for {asked} instances")));
                    }
                    Ok(reports)
                })
            })
            .await
    }

    async fn removal_order(&self, properties: &Value, instances: &[Instance]) -> Result<Vec<String>, CallError> {
        let properties = properties.to_string();
        let given = instances.to_vec();
        let Self(sandbox, access) = self;
        let order = sandbox
            .call("order", *access, |linked, store| {
                Box::pin(async move {
                    let guest = removal(linked, store).await?;
                    guest.order(store, properties, given).await
                })
            })
            .await?;
        is_an_order_of(&order, instances).map_err(|what| sandbox.error("order", CallErrorKind::Nonsense(what)))?;
        Ok(order)
    }
}

impl FlavorReader {
    /// As [`FlavorPlugin::validate`].
    ///
    /// # Errors
    /// As there.
    pub async fn validate(&self, properties: &Value, allocation: &Allocation) -> Result<(), CallError> {
        self.pure().validate(properties, allocation).await
    }

    /// As [`FlavorPlugin::prepare`].
    ///
    /// # Errors
    /// As there.
    pub async fn prepare(
        &self,
        properties: &Value,
        spec: &InstanceSpec,
        allocation: &Allocation,
        group: &str,
        sequence: u32,
    ) -> Result<InstanceSpec, CallError> {
        self.pure().prepare(properties, spec, allocation, group, sequence).await
    }

    /// As [`FlavorPlugin::health`].
    ///
    /// # Errors
    /// As there.
    pub async fn health(&self, properties: &Value, instances: &[Instance]) -> Result<Vec<HealthReport>, CallError> {
        self.pure().health(properties, instances).await
    }

    /// As [`FlavorPlugin::orders_removal`].
    pub fn orders_removal(&self) -> bool {
        orders_removal(&self.0)
    }

    /// As [`FlavorPlugin::removal_order`].
    ///
    /// # Errors
    /// As there.
    pub async fn removal_order(&self, properties: &Value, instances: &[Instance]) -> Result<Vec<String>, CallError> {
        self.pure().removal_order(properties, instances).await
    }

    fn pure(&self) -> Pure<'_> {
        Pure(&self.0, Access::ReadOnly)
    }
}

impl FlavorPlugin {
    pub(crate) fn new(sandbox: Arc<Sandbox>) -> Self {
        Self(sandbox)
    }

    /// The same plugin, of which nothing can be changed.
    pub fn read_only(&self) -> FlavorReader {
        FlavorReader(self.0.clone())
    }

    /// Check properties, and whether they suit the allocation. No effects.
    ///
    /// # Errors
    /// `InvalidArgument` with a path where they are wrong; any failure of a call.
    pub async fn validate(&self, properties: &Value, allocation: &Allocation) -> Result<(), CallError> {
        self.pure().validate(properties, allocation).await
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
        self.pure().prepare(properties, spec, allocation, group, sequence).await
    }

    /// Judge instances: one report for each, in order.
    ///
    /// # Errors
    /// Where none could be judged; `Nonsense` for another number of reports; any failure of a call.
    pub async fn health(&self, properties: &Value, instances: &[Instance]) -> Result<Vec<HealthReport>, CallError> {
        self.pure().health(properties, instances).await
    }

    /// Whether this flavor says which instances go first, so that [`FlavorPlugin::removal_order`] has an answer.
    pub fn orders_removal(&self) -> bool {
        orders_removal(&self.0)
    }

    /// Ids of these instances, the most dispensable first. What is left out comes last.
    ///
    /// # Errors
    /// The plugin's; its `Unimplemented` where the flavor does not say which go first; `Nonsense` for an id that was not
    /// given or comes twice; any failure of a call.
    pub async fn removal_order(&self, properties: &Value, instances: &[Instance]) -> Result<Vec<String>, CallError> {
        self.pure().removal_order(properties, instances).await
    }

    fn pure(&self) -> Pure<'_> {
        Pure(&self.0, Access::Granted)
    }

    /// Make an instance's work leave it; returns when it has left.
    ///
    /// # Errors
    /// The plugin's; any failure of a call.
    pub async fn drain(&self, properties: &Value, instance: &Instance) -> Result<(), CallError> {
        let (properties, instance) = (properties.to_string(), instance.clone());
        self.0
            .call("drain", Access::Granted, |linked, store| {
                Box::pin(async move { guest(linked, store).await?.drain(store, properties, instance).await })
            })
            .await
    }
}

fn orders_removal(sandbox: &Sandbox) -> bool {
    matches!(&sandbox.linked, Linked::Flavor(linked) if linked.orders_removal())
}

/// Whether each id is one of the instances', and occurs once.
fn is_an_order_of(order: &[String], instances: &[Instance]) -> Result<(), String> {
    let mut open: HashSet<_> = instances.iter().map(|instance| &*instance.id).collect();
    let Some(wrong) = order.iter().find(|id| !open.remove(id.as_str())) else { return Ok(()) };
    Err(if instances.iter().any(|instance| instance.id == *wrong) {
        format!("its order has the id {wrong:?} twice")
    } else {
        format!("its order has the id {wrong:.200?}, which is none of the {} given", instances.len())
    })
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

#[cfg(test)]
mod tests {
    use homeostat_core::observed::InstanceState;

    use super::*;

    #[test]
    fn an_order_has_ids_that_were_given_and_each_once() {
        let instance = |id: &str| Instance {
            id: id.into(),
            name: String::new(),
            logical_id: None,
            state: InstanceState::Running,
            message: String::new(),
            created_at_ms: None,
            addresses: vec![],
            tags: Tags::new(),
            properties: None,
        };
        let given = ["a", "b", "c"].map(instance);
        let check = |ids: &[&str]| is_an_order_of(&ids.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>(), &given);
        for right in [&[][..], &["b"], &["c", "a", "b"]] {
            assert_eq!(check(right), Ok(()));
        }
        assert!(check(&["a", "b", "a"]).expect_err("was accepted").contains("\"a\" twice"));
        assert!(check(&["a", "d"]).expect_err("was accepted").contains("\"d\", which is none of the 3 given"));
        assert!(check(&["a", ""]).is_err());
    }
}
