//! `homeostat:plugin@0.1`: the generated bindings, and the only conversions between them and the model.

use std::collections::BTreeMap;
use std::time::Duration;

use homeostat_core::observed;
use homeostat_core::outcome::{DestroyReason, ErrorCode, PluginError};
use homeostat_core::spec;
use homeostat_core::tags::Tags;
use serde_json::Value;
use wasmtime::component::InstancePre;

use crate::call::Fault;
use crate::describe::RawDescription;
use crate::state::CallState;

mod instance_world {
    #![allow(missing_docs, unreachable_pub, clippy::all)]
    wasmtime::component::bindgen!({
        path: "../../wit/v0.1",
        world: "instance-plugin",
        imports: {
            "homeostat:plugin/exec": async,
        },
        exports: { default: async },
    });
}

mod flavor_world {
    #![allow(missing_docs, unreachable_pub, clippy::all)]
    wasmtime::component::bindgen!({
        path: "../../wit/v0.1",
        world: "flavor-plugin",
        exports: { default: async },
        with: {
            "homeostat:plugin/types@0.1.0": super::instance_world::homeostat::plugin::types,
            "homeostat:plugin/log@0.1.0": super::instance_world::homeostat::plugin::log,
            "homeostat:plugin/config@0.1.0": super::instance_world::homeostat::plugin::config,
            "homeostat:plugin/secrets@0.1.0": super::instance_world::homeostat::plugin::secrets,
            "homeostat:plugin/exec@0.1.0": super::instance_world::homeostat::plugin::exec,
        },
    });
}

/// The one export that `flavor-plugin-with-removal` has beyond `flavor-plugin`.
mod removal_world {
    #![allow(missing_docs, unreachable_pub, clippy::all)]
    wasmtime::component::bindgen!({
        inline: "package homeostat:runtime; world removal { export homeostat:plugin/removal@0.1.0; }",
        path: "../../wit/v0.1",
        world: "homeostat:runtime/removal",
        exports: { default: async },
        with: { "homeostat:plugin/types@0.1.0": super::instance_world::homeostat::plugin::types },
    });
}

use flavor_world::exports::homeostat::plugin::flavor as wit_flavor;
use instance_world::exports::homeostat::plugin::instance as wit_instance;
use instance_world::homeostat::plugin::types as wit;

pub(crate) use flavor_world::{FlavorPlugin, FlavorPluginPre};
pub(crate) use instance_world::{InstancePlugin, InstancePluginPre};
pub(crate) use removal_world::{Removal, RemovalPre};
pub(crate) use wit_flavor::Index;
pub(crate) use wit_instance::ListRequest;

mod exec;
mod imports;

pub(crate) use imports::add_to_linker;

/// A linked component of one of the worlds.
pub(crate) enum Linked {
    Instance(InstancePluginPre<CallState>),
    /// A flavor, and its say in which instances go first, where it has one.
    Flavor(FlavorPluginPre<CallState>, Option<RemovalPre<CallState>>),
}

impl Linked {
    pub(crate) fn instance(pre: InstancePre<CallState>) -> wasmtime::Result<Self> {
        InstancePluginPre::new(pre).map(Self::Instance)
    }

    pub(crate) fn flavor(pre: InstancePre<CallState>) -> wasmtime::Result<Self> {
        Ok(Self::Flavor(FlavorPluginPre::new(pre)?, None))
    }

    pub(crate) fn flavor_with_removal(pre: InstancePre<CallState>) -> wasmtime::Result<Self> {
        Ok(Self::Flavor(FlavorPluginPre::new(pre.clone())?, Some(RemovalPre::new(pre)?)))
    }

    /// Instantiate the component in a store of its own, and ask it what it is.
    pub(crate) async fn describe(&self, store: &mut wasmtime::Store<CallState>) -> Result<RawDescription, Fault> {
        macro_rules! raw {
            ($d:expr) => {{
                let d = $d;
                RawDescription {
                    name: d.name,
                    version: d.version,
                    summary: d.summary,
                    properties_schema: d.properties_schema,
                    properties_example: d.properties_example,
                }
            }};
        }
        Ok(match self {
            Self::Instance(pre) => {
                let guest = pre.instantiate_async(&mut *store).await.map_err(Fault::Instantiate)?;
                raw!(guest.homeostat_plugin_meta().call_describe_plugin(store).await?)
            }
            Self::Flavor(pre, removal) => {
                if let Some(removal) = removal {
                    // Only to compare the types.
                    removal.instantiate_async(&mut *store).await.map_err(Fault::Instantiate)?;
                }
                let guest = pre.instantiate_async(&mut *store).await.map_err(Fault::Instantiate)?;
                raw!(guest.homeostat_plugin_meta().call_describe_plugin(store).await?)
            }
        })
    }
}

impl From<wit::Error> for PluginError {
    fn from(error: wit::Error) -> Self {
        let code = match error.code {
            wit::ErrorCode::InvalidArgument => ErrorCode::InvalidArgument,
            wit::ErrorCode::NotFound => ErrorCode::NotFound,
            wit::ErrorCode::AlreadyExists => ErrorCode::AlreadyExists,
            wit::ErrorCode::PermissionDenied => ErrorCode::PermissionDenied,
            wit::ErrorCode::ResourceExhausted => ErrorCode::ResourceExhausted,
            wit::ErrorCode::Unavailable => ErrorCode::Unavailable,
            wit::ErrorCode::Aborted => ErrorCode::Aborted,
            wit::ErrorCode::Unimplemented => ErrorCode::Unimplemented,
            wit::ErrorCode::Internal => ErrorCode::Internal,
        };
        let retry_after = error.retry_after_ms.map(|ms| Duration::from_millis(ms.into()));
        Self { code, message: error.message, path: error.path, retry_after }
    }
}

/// A plugin's answer, with its error as the model has it.
pub(crate) fn answer<T>(answer: Result<T, wit::Error>) -> Result<T, Fault> {
    answer.map_err(|error| Fault::Plugin(error.into()))
}

pub(crate) fn tags(tags: &Tags) -> wit::Tags {
    tags.iter().map(|(key, value)| (key.clone(), value.clone())).collect()
}

fn tags_back(pairs: wit::Tags, of: &dyn Fn() -> String) -> Result<Tags, Fault> {
    let count = pairs.len();
    let tags: BTreeMap<_, _> = pairs.into_iter().collect();
    if tags.len() != count {
        return Err(Fault::Nonsense(format!("{} has a tag twice", of())));
    }
    Ok(tags)
}

fn json_back(text: &str, of: &dyn Fn() -> String) -> Result<Value, Fault> {
    serde_json::from_str(text).map_err(|e| Fault::Nonsense(format!("the properties of {} are no JSON: {e}", of())))
}

pub(crate) fn spec(spec: &spec::InstanceSpec) -> wit::InstanceSpec {
    wit::InstanceSpec {
        properties: spec.properties.to_string(),
        tags: tags(&spec.tags),
        init: spec.init.clone(),
        logical_id: spec.logical_id.clone(),
        attachments: spec
            .attachments
            .iter()
            .map(|a| wit::Attachment { id: a.id.clone(), kind: a.kind.clone() })
            .collect(),
    }
}

pub(crate) fn spec_back(spec: wit::InstanceSpec) -> Result<spec::InstanceSpec, Fault> {
    let of = || "the prepared spec".to_string();
    Ok(spec::InstanceSpec {
        properties: json_back(&spec.properties, &of)?,
        tags: tags_back(spec.tags, &of)?,
        init: spec.init,
        logical_id: spec.logical_id,
        attachments: spec.attachments.into_iter().map(|a| spec::Attachment { id: a.id, kind: a.kind }).collect(),
    })
}

pub(crate) fn allocation(allocation: &spec::Allocation) -> wit::Allocation {
    match allocation {
        spec::Allocation::Size(n) => wit::Allocation::Size(*n),
        spec::Allocation::LogicalIds(ids) => wit::Allocation::LogicalIds(ids.clone()),
    }
}

pub(crate) fn reason(reason: DestroyReason) -> wit_instance::DestroyReason {
    match reason {
        DestroyReason::Terminate => wit_instance::DestroyReason::Terminate,
        DestroyReason::RollingUpdate => wit_instance::DestroyReason::RollingUpdate,
        DestroyReason::Unhealthy => wit_instance::DestroyReason::Unhealthy,
    }
}

pub(crate) fn instance(instance: &observed::Instance) -> wit::Instance {
    wit::Instance {
        id: instance.id.clone(),
        name: instance.name.clone(),
        logical_id: instance.logical_id.clone(),
        state: match instance.state {
            observed::InstanceState::Pending => wit::InstanceState::Pending,
            observed::InstanceState::Running => wit::InstanceState::Running,
            observed::InstanceState::Stopping => wit::InstanceState::Stopping,
            observed::InstanceState::Stopped => wit::InstanceState::Stopped,
            observed::InstanceState::Failed => wit::InstanceState::Failed,
        },
        message: instance.message.clone(),
        created_at_ms: instance.created_at_ms,
        addresses: instance.addresses.clone(),
        tags: tags(&instance.tags),
        properties: instance.properties.as_ref().map(Value::to_string),
    }
}

fn instance_back(instance: wit::Instance) -> Result<observed::Instance, Fault> {
    if instance.id.is_empty() {
        return Err(Fault::Nonsense(format!("an instance (name {:?}) has an empty id", instance.name)));
    }
    let of = || format!("instance {:?}", instance.id);
    let tags = tags_back(instance.tags, &of)?;
    let properties = instance.properties.map(|text| json_back(&text, &of)).transpose()?;
    Ok(observed::Instance {
        id: instance.id,
        name: instance.name,
        logical_id: instance.logical_id,
        state: match instance.state {
            wit::InstanceState::Pending => observed::InstanceState::Pending,
            wit::InstanceState::Running => observed::InstanceState::Running,
            wit::InstanceState::Stopping => observed::InstanceState::Stopping,
            wit::InstanceState::Stopped => observed::InstanceState::Stopped,
            wit::InstanceState::Failed => observed::InstanceState::Failed,
        },
        message: instance.message,
        created_at_ms: instance.created_at_ms,
        addresses: instance.addresses,
        tags,
        properties,
    })
}

/// One page of a listing, as the model has it.
pub(crate) struct Page {
    pub instances: Vec<observed::Instance>,
    pub next: Option<String>,
    pub complete: bool,
    pub findings: Vec<observed::Finding>,
}

pub(crate) fn page_back(page: wit_instance::Page) -> Result<Page, Fault> {
    Ok(Page {
        instances: page.instances.into_iter().map(instance_back).collect::<Result<_, _>>()?,
        next: page.next,
        complete: page.complete,
        findings: page
            .findings
            .into_iter()
            .map(|f| observed::Finding { subject: f.subject, message: f.message })
            .collect(),
    })
}

pub(crate) fn report_back(report: wit_flavor::HealthReport) -> observed::HealthReport {
    let status = match report.status {
        wit_flavor::HealthStatus::Unknown => observed::Health::Unknown,
        wit_flavor::HealthStatus::Healthy => observed::Health::Healthy,
        wit_flavor::HealthStatus::Unhealthy => observed::Health::Unhealthy,
    };
    observed::HealthReport { status, message: report.message }
}
