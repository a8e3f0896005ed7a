//! Looking at a group: its instances are listed, and their health is judged.
//!
//! The two are apart: a list leads to a plan at once, and a flavor that takes its time over judging holds up nothing.

use std::sync::Arc;

use futures_util::stream::{self, StreamExt};
use homeostat_core::observed::{HealthReport, Instance, InstanceState, Observation};
use homeostat_core::outcome::{ErrorCode, PluginError};
use homeostat_core::record::GroupRecord;
use homeostat_core::spec::VictimOrder;
use homeostat_core::tags;
use homeostat_core::time::Timestamp;
use homeostat_runtime::{CallError, CallErrorKind, FlavorPlugin, InstancePlugin};

use crate::error::chain;

/// How many instances one call judges.
const BATCH: usize = 1_000;
/// How many such calls run at once.
const BATCHES: usize = 4;

/// List a group's instances. Where there are too many and the flavor ranks them, it is asked to.
pub(crate) async fn list(
    record: &GroupRecord,
    instance: &InstancePlugin,
    flavor: &FlavorPlugin,
    started: Timestamp,
) -> Result<Observation, PluginError> {
    let spec = &record.spec;
    let listing = instance.list(&tags::of_group(&spec.id), false).await.map_err(plugin_error)?;
    let mut observation = Observation {
        started,
        instances: listing.instances,
        complete: listing.complete,
        findings: listing.findings,
        ranking: None,
    };
    let properties = &spec.properties;
    let live = observation.instances.iter().filter(|it| it.state.is_live()).count();
    if properties.removal.order() == VictimOrder::Plugin && live > properties.allocation.len() {
        match flavor.removal_order(&properties.flavor.properties, &observation.instances).await {
            Ok(ranking) => observation.ranking = Some(ranking),
            Err(error) => tracing::warn!(group = spec.id, "its instances cannot be ranked: {}", chain(&error)),
        }
    }
    Ok(observation)
}

/// Judge the health of the running instances, some at a time. Where a call fails, the instances in it are unknown, which is
/// a reason to wait and never one to act.
pub(crate) async fn judge(
    record: &GroupRecord,
    flavor: &FlavorPlugin,
    seen: Arc<Observation>,
) -> Vec<(String, HealthReport)> {
    let group = &record.spec.id;
    let properties = &record.spec.properties.flavor.properties;
    let all_run = seen.instances.iter().all(|it| it.state == InstanceState::Running);
    let copied: Vec<Instance>;
    let running: &[Instance] = if all_run {
        &seen.instances
    } else {
        copied = seen.instances.iter().filter(|it| it.state == InstanceState::Running).cloned().collect();
        &copied
    };
    let batches = running.chunks(BATCH).map(|batch| async move {
        match flavor.health(properties, batch).await {
            Ok(reports) => batch.iter().map(|it| it.id.clone()).zip(reports).collect::<Vec<_>>(),
            Err(error) => {
                let message = chain(&error);
                tracing::warn!(group, "the health of {} instances cannot be told: {message}", batch.len());
                let unknown = HealthReport { message, ..HealthReport::default() };
                batch.iter().map(|it| (it.id.clone(), unknown.clone())).collect()
            }
        }
    });
    // One batch is most of the time all there is, and needs no machinery.
    let batches: Vec<_> = batches.collect();
    stream::iter(batches).buffered(BATCHES).concat().await
}

/// A failed call as the planner understands it: what the plugin said, or else `internal`. A plugin that crashes does not
/// ask for patience, as a provider that throttles does: the clock of a rollout runs on.
pub(crate) fn plugin_error(error: CallError) -> PluginError {
    let message = chain(&error);
    match (error.plugin_error(), &error.kind) {
        (Some(said), _) => PluginError { message, ..said.clone() },
        // It is called again as soon as it may be.
        (None, CallErrorKind::Degraded { retry_after, .. }) => {
            PluginError { code: ErrorCode::Internal, message, path: None, retry_after: Some(*retry_after) }
        }
        (None, _) => PluginError { code: ErrorCode::Internal, message, path: None, retry_after: None },
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use homeostat_core::backoff::Backoff;
    use homeostat_core::time::Timestamp;

    use super::*;

    #[test]
    fn a_plugin_that_is_left_alone_asks_for_no_patience() {
        let rest = Duration::from_secs(40);
        let kind = CallErrorKind::Degraded { retry_after: rest, reason: "it crashed".into() };
        let error = plugin_error(CallError { plugin: "p".into(), function: "provision", kind });
        assert!(error.message.contains("it crashed"), "{}", error.message);
        let backoff = Backoff::after(None, error, Timestamp(0), 0);
        assert!(!backoff.is_throttled());
        assert_eq!(backoff.until, Some(Timestamp(0).after(rest)));
    }
}
