//! Replacing what is out of date: one at a time, and only while all that was replaced is healthy.
//!
//! The semantics are InfraKit's: destroy one, let the allocation fill its place, wait until the new ones are healthy (for
//! `Updating.Duration`, or in `Updating.Count` checks in a row), and so on. The health of instances that are still to be
//! replaced does not matter, so that a broken revision can be rolled away.

use crate::outcome::DestroyReason;
use crate::plan::report::Waiting;
use crate::plan::scene::Scene;
use crate::spec::SkipStep;
use crate::step::Drain;

impl Scene<'_> {
    pub(super) fn roll(&mut self) {
        let outdated: Vec<_> = self.living.iter().copied().filter(|it| !self.is_current(it)).collect();
        if outdated.is_empty() {
            return;
        }
        let busy = self.has_steps()
            || !self.opening.is_empty()
            || !self.repeating.is_empty()
            || !self.leaving.is_empty()
            || !self.dead.is_empty()
            || self.living.len() < self.desired.spec.properties.allocation.len();
        if busy {
            self.wait(Waiting::RollAfterMotion { outdated: outdated.len() });
            return;
        }
        let updating = &self.desired.spec.properties.updating;
        let needed = (updating.duration.unwrap_or_default(), updating.count.unwrap_or(0));
        let unproven: Vec<String> = self
            .living
            .iter()
            .filter(|it| self.is_current(it))
            .filter(|it| {
                let run = self.ledger.healthy.get(&it.id);
                !run.is_some_and(|run| {
                    self.observed.health_of(&it.id) == crate::observed::Health::Healthy
                        && self.now.since(run.since) >= needed.0
                        && run.checks >= needed.1
                })
            })
            .map(|it| it.id.clone())
            .collect();
        if !unproven.is_empty() {
            self.wait(Waiting::RollAwaitsHealth { outdated: outdated.len(), unproven });
            return;
        }
        let drain = match updating.skip_before_instance_destroy {
            Some(SkipStep::Drain) => Drain::Skip,
            None => Drain::Must,
        };
        let (first, more) = (outdated[0].id.clone(), outdated.len() - 1);
        let why = format!("its config is out of date ({more} more to go)");
        self.destroy(&first, DestroyReason::RollingUpdate, drain, &why);
    }
}
