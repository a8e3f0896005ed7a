//! One look at a group: list its instances, and judge their health.

use std::collections::BTreeMap;
use std::sync::Arc;

use homeostat_core::observed::{HealthReport, InstanceState, Observation};
use homeostat_core::outcome::{ErrorCode, PluginError};
use homeostat_core::plan::Goal;
use homeostat_core::tags;
use homeostat_core::time::Timestamp;
use homeostat_runtime::{CallError, FlavorPlugin, InstancePlugin};

use crate::error::chain;
use crate::store::GroupRecord;

/// What a look brought.
pub(crate) struct Look {
    pub(crate) observation: Observation,
    /// Whether health was judged in this look, and not carried over from the one before.
    pub(crate) judged: bool,
}

/// Look at a group.
///
/// Where instances are missing, making them cannot wait for a judgement of the others: health is then taken over from
/// the look `before`, and judged in the one that follows.
pub(crate) async fn look(
    record: &GroupRecord,
    instance: &InstancePlugin,
    flavor: &FlavorPlugin,
    before: Option<Arc<Observation>>,
    started: Timestamp,
) -> Result<Look, PluginError> {
    let spec = &record.spec;
    let listing = instance.list(&tags::of_group(&spec.id), false).await.map_err(plugin_error)?;
    let mut observation = Observation {
        started,
        instances: listing.instances,
        complete: listing.complete,
        findings: listing.findings,
        health: BTreeMap::new(),
    };
    let live = observation.instances.iter().filter(|it| it.state.is_live()).count();
    let judged = record.goal == Goal::Keep && live >= spec.properties.allocation.len() && live > 0;
    if !judged {
        observation.health = before.map(|it| it.health.clone()).unwrap_or_default();
    } else {
        match flavor.health(&spec.properties.flavor.properties, &observation.instances).await {
            Ok(reports) => {
                let ids = observation.instances.iter().map(|it| it.id.clone());
                observation.health = ids.zip(reports).collect();
            }
            // None could be judged: all are unknown, which is a reason to wait and never one to act.
            Err(error) => {
                let message = chain(&error);
                tracing::warn!(group = spec.id, "the health of its instances cannot be told: {message}");
                let unknown = HealthReport { message, ..HealthReport::default() };
                let running = observation.instances.iter().filter(|it| it.state == InstanceState::Running);
                observation.health = running.map(|it| (it.id.clone(), unknown.clone())).collect();
            }
        }
    }
    Ok(Look { observation, judged })
}

/// A failed call as the planner understands it: what the plugin said, or else that its effect is unknown.
pub(crate) fn plugin_error(error: CallError) -> PluginError {
    let message = chain(&error);
    match error.plugin_error() {
        Some(said) => PluginError { message, ..said.clone() },
        None => PluginError { code: ErrorCode::Internal, message, path: None, retry_after: None },
    }
}
