//! What must hold in the end, when nothing goes wrong any more: I9 to I12.

use super::{Checked, Rule, hold};
use crate::ledger::{Rollout, RolloutStatus};
use crate::machine::{Changes, Machine};
use crate::observed::{Health, InstanceState};
use crate::plan::{Goal, Waiting};
use crate::simulate::provider::Provider;
use crate::simulate::store::Store;
use crate::spec::Allocation;
use crate::tags;

/// Whether only an operator, or another spec, gets the group any further.
fn is_stuck_by_design(waiting: &Waiting) -> bool {
    match waiting {
        Waiting::RolloutPaused { .. }
        | Waiting::AwaitsPromotion { .. }
        | Waiting::RetriesExhausted { .. }
        | Waiting::Protected { .. }
        | Waiting::TooManyUnhealthy { .. }
        | Waiting::Stray { .. }
        | Waiting::HealingInTurn { .. }
        | Waiting::NotHealthy { .. }
        | Waiting::RollAwaitsRoom { .. }
        | Waiting::RollAwaitsHealth { .. }
        | Waiting::ExcessAwaitsHealth { .. } => true,
        Waiting::Backoff { error, .. } => error.code.is_hopeless(),
        _ => false,
    }
}

/// I10 to I12: nothing is under way, the rollout has ended or waits for an operator, and the group is as declared or says
/// why it is not. An error says what is still to come.
pub(in crate::simulate) fn terminal(machine: &Machine, store: &Store) -> Checked {
    let (ledger, report) = (machine.ledger(), machine.report());
    hold(Rule::I10, ledger.is_quiet() && store.live().intents.is_empty(), || {
        format!("still under way: {:?} and {:?}", ledger.creating, ledger.removing)
    })?;
    let desired = machine.desired();
    let updating = &desired.spec.properties.updating;
    if desired.goal == Goal::Keep {
        let ended = |it: &Rollout| match &it.status {
            RolloutStatus::Succeeded { .. } | RolloutStatus::Paused { .. } => true,
            RolloutStatus::Running => it.awaits_promotion(updating, desired.size()),
            RolloutStatus::RollingBack { .. } => false,
        };
        let rollout = ledger.memory.rollout.as_ref().filter(|it| it.revision == desired.config.revision);
        hold(Rule::I11, rollout.is_some_and(ended), || format!("the rollout does not end: {rollout:?}; {report:?}"))?;
    }
    let stuck = report.waiting.iter().any(|it| is_stuck_by_design(&it.waiting));
    hold(Rule::I12, report.converged || stuck, || format!("neither as declared nor stuck: {report:?}"))
}

/// I12: exactly what was declared exists, of the config in force, each well and each identity once.
pub(in crate::simulate) fn converged(machine: &Machine, provider: &Provider, now: u64) -> Checked {
    let (desired, report) = (machine.desired(), machine.report());
    hold(Rule::I12, report.converged, || format!("it does not become as declared: {report:?}"))?;
    let rollout = machine.ledger().memory.rollout.as_ref().filter(|it| it.revision == desired.config.revision);
    hold(Rule::I11, rollout.is_some_and(Rollout::has_succeeded), || {
        format!("the rollout does not end: {rollout:?}; {report:?}")
    })?;
    let group = &desired.spec.id;
    let units: Vec<_> = provider.of(group).map(|(_, it)| it).collect();
    hold(Rule::I12, units.len() == desired.size(), || {
        format!("it says that it is as declared, and {} exist of {}", units.len(), desired.size())
    })?;
    for unit in &units {
        let well = unit.state() == Some(InstanceState::Running)
            && unit.health(now) == Health::Healthy
            && unit.instance.config_hash() == Some(&desired.config.hash);
        hold(Rule::I12, well, || {
            format!(
                "it says that it is as declared, and {} is {:?}, {:?}",
                unit.instance.id,
                unit.state(),
                unit.health(now)
            )
        })?;
    }
    if let Allocation::LogicalIds(ids) = &desired.spec.properties.allocation {
        let once = |id: &String| units.iter().filter(|it| it.instance.logical_id() == Some(id)).count() == 1;
        hold(Rule::I12, ids.iter().all(once), || format!("not each of {ids:?} is there once"))?;
    }
    Ok(())
}

/// I12: a group that is said to be destroyed has nothing left, and nothing to come.
pub(in crate::simulate) fn destroyed(group: &str, provider: &Provider, coming: usize) -> Checked {
    let left: Vec<_> = provider.of(group).filter(|(_, it)| !it.outside).map(|(_, it)| it.instance.id.clone()).collect();
    hold(Rule::I12, left.is_empty() && coming == 0, || {
        format!("it is said to be destroyed; {left:?} are left and {coming} may come ({})", tags::GROUP)
    })
}

/// I9: at rest nothing is done, and nothing is written.
pub(in crate::simulate) fn resting(machine: &Machine, changes: &Changes) -> Checked {
    hold(Rule::I9, changes.is_empty(), || format!("it is at rest and writes {changes:?}"))?;
    hold(Rule::I9, machine.executor().is_idle(), || "it is at rest and has steps".into())
}
