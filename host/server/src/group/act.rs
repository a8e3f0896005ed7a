//! Carrying out one step: the calls it is made of, in order.

use homeostat_core::execute::Outcome;
use homeostat_core::observed::Instance;
use homeostat_core::outcome::{ErrorCode, PluginError};
use homeostat_core::spec::InstanceSpec;
use homeostat_core::step::{Action, Destroy, Drain, Provision, Step};
use homeostat_runtime::{CallError, FlavorPlugin, InstancePlugin};

use super::observe::plugin_error;
use crate::store::GroupRecord;

/// The plugins of a group, as they were when the step began.
#[derive(Clone)]
pub(crate) struct Plugins {
    pub(crate) instance: InstancePlugin,
    pub(crate) flavor: FlavorPlugin,
}

/// Carry out a step. `victim` is the instance that a destruction is about, as it was last seen.
pub(crate) async fn act(plugins: &Plugins, record: &GroupRecord, step: &Step, victim: Option<&Instance>) -> Outcome {
    match &step.action {
        Action::Provision(it) => provision(plugins, record, it).await,
        Action::Destroy(it) => destroy(plugins, record, it, victim).await,
        Action::Label(it) => outcome(plugins.instance.label(&it.id, &it.tags).await),
    }
}

async fn provision(plugins: &Plugins, record: &GroupRecord, it: &Provision) -> Outcome {
    let properties = &record.spec.properties;
    let base = InstanceSpec {
        properties: properties.instance.properties.clone(),
        tags: it.tags.clone(),
        init: String::new(),
        logical_id: it.logical_id.clone(),
        attachments: Vec::new(),
    };
    let (flavor, allocation) = (&properties.flavor.properties, &properties.allocation);
    match plugins.flavor.prepare(flavor, &base, allocation, &record.spec.id, it.slot).await {
        Ok(spec) => outcome(plugins.instance.provision(&it.name, &spec).await),
        // Nothing was asked of the provider yet, so even a call that was cut off left nothing behind.
        Err(error) => Outcome::Failed(plugin_error(error)),
    }
}

async fn destroy(plugins: &Plugins, record: &GroupRecord, it: &Destroy, victim: Option<&Instance>) -> Outcome {
    if it.drain != Drain::Skip
        && let Some(victim) = victim
        && let Err(error) = plugins.flavor.drain(&record.spec.properties.flavor.properties, victim).await
    {
        let error = plugin_error(error);
        if it.drain == Drain::Must {
            // The instance lives on, drained or not, and draining again does no harm.
            let code = if error.code == ErrorCode::Internal { ErrorCode::Unavailable } else { error.code };
            let message = format!("it could not be drained, so it was not destroyed: {}", error.message);
            return Outcome::Failed(PluginError { code, message, ..error });
        }
        tracing::warn!(
            group = record.spec.id,
            instance = it.id,
            "could not be drained, destroyed all the same: {error}"
        );
    }
    outcome(plugins.instance.destroy(&it.id, it.reason).await)
}

fn outcome<T>(result: Result<T, CallError>) -> Outcome {
    match result {
        Ok(_) => Outcome::Done,
        Err(error) if error.effect_unknown() => Outcome::Unknown(plugin_error(error)),
        Err(error) => Outcome::of(plugin_error(error)),
    }
}
