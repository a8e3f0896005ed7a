//! Carrying out one step: the calls it is made of, in order.

use homeostat_core::execute::Outcome;
use homeostat_core::observed::Instance;
use homeostat_core::outcome::{ErrorCode, PluginError};
use homeostat_core::record::GroupRecord;
use homeostat_core::spec::InstanceSpec;
use homeostat_core::step::{Action, Destroy, Drain, Provision, Step};
use homeostat_runtime::{CallError, FlavorPlugin, InstancePlugin};

use super::observe::plugin_error;

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
    let Some(config) = record.configs.iter().rev().find(|config| config.hash == it.hash) else {
        let message = format!("the config of revision {} is not remembered any more", it.revision);
        return Outcome::Failed(PluginError { code: ErrorCode::Aborted, message, path: None, retry_after: None });
    };
    let base = InstanceSpec {
        properties: config.instance.properties.clone(),
        tags: it.tags.clone(),
        init: String::new(),
        logical_id: it.logical_id.clone(),
        attachments: Vec::new(),
    };
    let (flavor, allocation) = (&config.flavor.properties, &record.spec.properties.allocation);
    match plugins.flavor.prepare(flavor, &base, allocation, &record.spec.id, it.slot).await {
        Ok(spec) => outcome(plugins.instance.provision(&it.name, &spec).await),
        // Nothing was asked of the provider yet, so even a call that was cut off left nothing behind.
        Err(error) => Outcome::Failed(plugin_error(error)),
    }
}

async fn destroy(plugins: &Plugins, record: &GroupRecord, it: &Destroy, victim: Option<&Instance>) -> Outcome {
    let drained = match victim.filter(|_| it.drain != Drain::Skip) {
        Some(victim) => drain(plugins, record, victim).await,
        None => Ok(()),
    };
    if let Err(error) = drained {
        if it.drain == Drain::Must {
            // The instance lives on, drained or not, and draining again does no harm.
            let message = format!("it could not be drained, so it was not destroyed: {}", error.message);
            return Outcome::Failed(PluginError { message, ..error });
        }
        tracing::warn!(
            group = record.spec.id,
            instance = it.id,
            "could not be drained, destroyed all the same: {error}"
        );
    }
    outcome(plugins.instance.destroy(&it.id, it.reason).await)
}

/// Let the work leave an instance, for as long as `Removal.DrainDeadline` allows.
async fn drain(plugins: &Plugins, record: &GroupRecord, victim: &Instance) -> Result<(), PluginError> {
    let properties = &record.spec.properties;
    let deadline = properties.removal.drain_deadline();
    // What runs on it is what it was made from, which may be older than the spec in force.
    let made_from = record.configs.iter().rev().find(|it| victim.config_hash() == Some(&it.hash));
    let same_plugin = made_from.filter(|it| it.flavor.plugin == properties.flavor.plugin);
    let flavor = same_plugin.map_or(&properties.flavor.properties, |it| &it.flavor.properties);
    match tokio::time::timeout(deadline, plugins.flavor.drain(flavor, victim)).await {
        Ok(drained) => drained.map_err(plugin_error),
        Err(_elapsed) => {
            let message = format!("it was not drained within {}", homeostat_core::duration::format(deadline));
            Err(PluginError { code: ErrorCode::Internal, message, path: None, retry_after: None })
        }
    }
}

fn outcome<T>(result: Result<T, CallError>) -> Outcome {
    match result {
        Ok(_) => Outcome::Done,
        Err(error) if error.effect_unknown() => Outcome::Unknown(plugin_error(error)),
        Err(error) => match plugin_error(error) {
            // The plugin was not called at all.
            error if error.code == ErrorCode::Internal => Outcome::Failed(error),
            error => Outcome::of(error),
        },
    }
}
