//! One plugin called by hand, outside any group: what `homeostat instance` and `homeostat flavor` do.

use homeostat_core::observed::Instance;
use homeostat_core::outcome::DestroyReason;
use homeostat_core::spec::{Allocation, InstanceSpec};
use homeostat_core::tags::Tags;
use homeostat_runtime::{CallError, FlavorPlugin, InstancePlugin, Plugin};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use thiserror::Error;

use crate::admit::violations;

/// A call of one function.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "Function", rename_all = "kebab-case", rename_all_fields = "PascalCase")]
pub enum Call {
    /// `instance.validate`
    InstanceValidate {
        /// The plugin's properties.
        properties: Value,
    },
    /// `instance.provision`
    InstanceProvision {
        /// The idempotency key.
        name: String,
        /// What to make.
        spec: InstanceSpec,
    },
    /// `instance.label`
    InstanceLabel {
        /// Which.
        id: String,
        /// Tags to add or overwrite.
        tags: Tags,
    },
    /// `instance.destroy`
    InstanceDestroy {
        /// Which.
        id: String,
        /// Why.
        reason: DestroyReason,
    },
    /// `instance.list`
    InstanceList {
        /// Tags that all must carry.
        tags: Tags,
        /// Whether to ask for properties.
        with_properties: bool,
    },
    /// `flavor.validate`
    FlavorValidate {
        /// The plugin's properties.
        properties: Value,
        /// The allocation to suit.
        allocation: Allocation,
    },
    /// `flavor.prepare`
    FlavorPrepare {
        /// The plugin's properties.
        properties: Value,
        /// The spec to prepare.
        spec: InstanceSpec,
        /// The group's allocation.
        allocation: Allocation,
        /// The group.
        group: String,
        /// The slot.
        sequence: u32,
    },
    /// `flavor.health`
    FlavorHealth {
        /// The plugin's properties.
        properties: Value,
        /// Whom to judge.
        instances: Vec<Instance>,
    },
    /// `flavor.drain`
    FlavorDrain {
        /// The plugin's properties.
        properties: Value,
        /// Whom to drain.
        instance: Instance,
    },
}

/// Why a direct call did not return a result.
#[derive(Debug, Error)]
pub enum DirectCallError {
    /// The plugin is of the other kind.
    #[error("{plugin} is not {wanted} plugin")]
    Kind {
        /// The plugin's name.
        plugin: String,
        /// `an instance` or `a flavor`.
        wanted: &'static str,
    },
    /// The properties break the plugin's schema.
    #[error("the properties do not fit {plugin}: {faults}")]
    Properties {
        /// The plugin's name.
        plugin: String,
        /// Where and how.
        faults: String,
    },
    /// The call failed.
    #[error(transparent)]
    Call(#[from] CallError),
}

impl Call {
    /// Call the plugin and return the result as JSON, null where the function has none.
    ///
    /// # Errors
    /// Where the plugin is of the other kind, or the call fails.
    pub async fn run(self, plugin: &Plugin) -> Result<Value, DirectCallError> {
        Ok(match self {
            Self::InstanceValidate { properties } => {
                let called = instance(plugin)?;
                fit(plugin, &properties)?;
                unit(called.validate(&properties).await?)
            }
            Self::InstanceProvision { name, spec } => json!(instance(plugin)?.provision(&name, &spec).await?),
            Self::InstanceLabel { id, tags } => unit(instance(plugin)?.label(&id, &tags).await?),
            Self::InstanceDestroy { id, reason } => unit(instance(plugin)?.destroy(&id, reason).await?),
            Self::InstanceList { tags, with_properties } => {
                let listing = instance(plugin)?.list(&tags, with_properties).await?;
                aside(move || {
                    json!({
                        "Instances": listing.instances,
                        "Complete": listing.complete,
                        "Findings": listing.findings,
                    })
                })
                .await
            }
            Self::FlavorValidate { properties, allocation } => {
                let called = flavor(plugin)?;
                fit(plugin, &properties)?;
                unit(called.validate(&properties, &allocation).await?)
            }
            Self::FlavorPrepare { properties, spec, allocation, group, sequence } => {
                json!(flavor(plugin)?.prepare(&properties, &spec, &allocation, &group, sequence).await?)
            }
            Self::FlavorHealth { properties, instances } => {
                json!(flavor(plugin)?.health(&properties, &instances).await?)
            }
            Self::FlavorDrain { properties, instance } => unit(flavor(plugin)?.drain(&properties, &instance).await?),
        })
    }
}

/// Turn over what a plugin said, which may be large, where it holds up nobody.
async fn aside(work: impl FnOnce() -> Value + Send + 'static) -> Value {
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => value,
        Err(error) => error.try_into_panic().map_or(Value::Null, |panic| std::panic::resume_unwind(panic)),
    }
}

/// Check properties against the plugin's schema, as a commit does before it asks the plugin.
fn fit(plugin: &Plugin, properties: &Value) -> Result<(), DirectCallError> {
    let info = plugin.info();
    let found = violations(&info.description.properties_schema, properties);
    if found.is_empty() {
        return Ok(());
    }
    let said = |(path, message): (String, String)| if path.is_empty() { message } else { format!("{path}: {message}") };
    let faults = found.into_iter().map(said).collect::<Vec<_>>().join("; ");
    Err(DirectCallError::Properties { plugin: info.name.clone(), faults })
}

fn unit((): ()) -> Value {
    Value::Null
}

fn instance(plugin: &Plugin) -> Result<InstancePlugin, DirectCallError> {
    let wanted = "an instance";
    plugin.as_instance().ok_or_else(|| DirectCallError::Kind { plugin: plugin.info().name.clone(), wanted })
}

fn flavor(plugin: &Plugin) -> Result<FlavorPlugin, DirectCallError> {
    let wanted = "a flavor";
    plugin.as_flavor().ok_or_else(|| DirectCallError::Kind { plugin: plugin.info().name.clone(), wanted })
}
