//! What happens as lines: one a step while there are few, a count a second while there are many.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use homeostat_core::plan::Report;
use homeostat_core::step::{Action, Step};
use homeostat_server::event::{Event, What};

use crate::render::{event, tame};

/// Steps told one by one in one [`WINDOW`]. A window with more is told as a number, and so are those that follow it,
/// until there are few again.
const SINGLE: usize = 20;

/// How often numbers are told, and how often the standing of a group.
const WINDOW: Duration = Duration::from_secs(1);

/// Makes lines of events.
#[derive(Debug)]
pub(crate) struct Lines {
    began: Instant,
    steps: usize,
    flooded: bool,
    counts: BTreeMap<String, Count>,
    standings: BTreeMap<String, Standing>,
}

/// Steps that were not told one by one.
#[derive(Debug, Default)]
struct Count {
    provisioned: usize,
    destroyed: usize,
    labelled: usize,
    failed: usize,
    last_error: String,
}

/// How a group stands.
#[derive(Debug, Default)]
struct Standing {
    told: String,
    now: String,
}

impl Lines {
    pub(crate) fn new(now: Instant) -> Self {
        Self { began: now, steps: 0, flooded: false, counts: BTreeMap::new(), standings: BTreeMap::new() }
    }

    /// The lines that are due because of an event.
    pub(crate) fn event(&mut self, it: &Event) -> Vec<String> {
        let group = it.group.as_deref().unwrap_or_default();
        match &it.what {
            What::Committed { .. } | What::Rollout { .. } | What::Vanished { .. } | What::Control { .. } => {
                vec![format!("{group}: {}", event::what(&it.what))]
            }
            What::StepStarted { .. } => Vec::new(),
            What::StepDone { step } => self.step(group, step, None),
            What::StepFailed { step, error } => self.step(group, step, Some(&error.message)),
            What::Report { report } => self.report(group, report),
            What::Gone => {
                let mut lines = self.flush();
                self.standings.remove(group);
                lines.push(format!("{group}: gone"));
                lines
            }
            What::PluginLoaded { .. }
            | What::PluginSwapped { .. }
            | What::PluginRefused { .. }
            | What::PluginRolledBack { .. }
            | What::PluginDegraded { .. } => vec![event::what(&it.what)],
        }
    }

    fn step(&mut self, group: &str, step: &Step, error: Option<&str>) -> Vec<String> {
        self.steps += 1;
        // How the group stood before the step is no longer so; how it stands after it is news, even where it is the same.
        self.standings.remove(group);
        if !self.flooded && self.steps <= SINGLE {
            return vec![format!("{group}: {}", event::step(step, error))];
        }
        self.flooded = true;
        let count = self.counts.entry(group.to_owned()).or_default();
        match (error, &step.action) {
            (Some(error), _) => {
                count.failed += 1;
                count.last_error = tame(error);
            }
            (None, Action::Provision(_)) => count.provisioned += 1,
            (None, Action::Destroy(_)) => count.destroyed += 1,
            (None, Action::Label(_)) => count.labelled += 1,
        }
        Vec::new()
    }

    fn report(&mut self, group: &str, report: &Report) -> Vec<String> {
        let now = event::standing(report);
        let told = &mut self.standings.entry(group.to_owned()).or_default();
        told.now = now;
        // That a group is as declared is what people wait for; the rest is told once a second at most.
        if report.converged { self.flush() } else { Vec::new() }
    }

    /// The lines that are due because of the time.
    pub(crate) fn tick(&mut self, now: Instant) -> Vec<String> {
        if now.duration_since(self.began) < WINDOW {
            return Vec::new();
        }
        self.began = now;
        self.flooded = self.flooded && self.steps > SINGLE;
        self.steps = 0;
        self.flush()
    }

    /// Everything that was held back.
    pub(crate) fn flush(&mut self) -> Vec<String> {
        let counts = std::mem::take(&mut self.counts);
        let mut lines: Vec<String> = counts.into_iter().map(|(group, count)| count.line(&group)).collect();
        for (group, standing) in &mut self.standings {
            if standing.told != standing.now {
                standing.told.clone_from(&standing.now);
                lines.push(format!("{group}: {}", standing.now));
            }
        }
        lines
    }
}

impl Count {
    fn line(&self, group: &str) -> String {
        let mut parts = Vec::new();
        for (n, what) in [(self.provisioned, "provisioned"), (self.destroyed, "destroyed"), (self.labelled, "labelled")]
        {
            if n > 0 {
                parts.push(format!("{n} {what}"));
            }
        }
        if self.failed > 0 {
            parts.push(format!("{} failed (the last: {})", self.failed, self.last_error));
        }
        format!("{group}: {}", parts.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use homeostat_core::ledger::Turn;
    use homeostat_core::outcome::{DestroyReason, ErrorCode, PluginError};
    use homeostat_core::plan::{Counts, Reason, Waiting};
    use homeostat_core::step::{Destroy, Drain};

    use super::*;

    fn event(what: What) -> Event {
        Event { seq: 1, at: Default::default(), group: Some("web".into()), what }
    }

    fn step(id: usize) -> Step {
        let action = Action::Destroy(Destroy {
            id: format!("i-{id}"),
            reason: DestroyReason::Terminate,
            drain: Drain::Skip,
            name: String::new(),
            slot: None,
            logical_id: None,
            retry: None,
        });
        Step { action, why: "too many".into() }
    }

    fn report(converged: bool, running: usize) -> Event {
        let counts = Counts { desired: 5, running, ..Counts::default() };
        let waiting = if converged {
            Vec::new()
        } else {
            vec![Reason { waiting: Waiting::Incomplete, since: Default::default(), next: None }]
        };
        event(What::Report { report: Report { converged, counts, waiting } })
    }

    #[test]
    fn few_steps_are_told_one_by_one() {
        let mut lines = Lines::new(Instant::now());
        assert_eq!(lines.event(&event(What::StepDone { step: step(1) })), ["web: destroyed i-1: too many"]);
        let error =
            PluginError { code: ErrorCode::Internal, message: "no\npower".into(), path: None, retry_after: None };
        let failed = event(What::StepFailed { step: step(2), error });
        assert_eq!(lines.event(&failed), ["web: could not destroy i-2: no power"]);
    }

    #[test]
    fn what_happens_to_a_rollout_is_told_at_once() {
        let mut lines = Lines::new(Instant::now());
        let told = lines.event(&event(What::Rollout { turn: Turn::Succeeded { revision: 4 } }));
        assert_eq!(told, ["web: rollout of revision 4 succeeded"]);
        assert_eq!(lines.event(&event(What::Vanished { names: vec!["a".into()] })), ["web: 1 instance vanished: a"]);
        assert_eq!(lines.event(&event(What::Control { text: "Paused\nit".into() })), ["web: Paused it"]);
    }

    #[test]
    fn many_steps_are_counted_once_a_second_until_there_are_few_again() {
        let start = Instant::now();
        let mut lines = Lines::new(start);
        let told: usize = (0..5000).map(|i| lines.event(&event(What::StepDone { step: step(i) })).len()).sum();
        assert_eq!(told, SINGLE);
        assert!(lines.tick(start + WINDOW / 2).is_empty());
        assert_eq!(lines.tick(start + WINDOW), ["web: 4980 destroyed"]);
        // The flood has not been seen to end yet.
        assert!(lines.event(&event(What::StepDone { step: step(1) })).is_empty());
        assert_eq!(lines.tick(start + WINDOW * 2), ["web: 1 destroyed"]);
        assert_eq!(lines.event(&event(What::StepDone { step: step(2) })).len(), 1);
    }

    #[test]
    fn a_standing_is_told_when_it_changes_and_convergence_at_once() {
        let start = Instant::now();
        let mut lines = Lines::new(start);
        for running in 0..4 {
            assert!(lines.event(&report(false, running)).is_empty());
        }
        let told = lines.tick(start + WINDOW);
        assert_eq!(told.len(), 1);
        assert!(told[0].starts_with("web: 3/5 running, 0 healthy: waiting: "), "{told:?}");
        lines.event(&report(false, 3));
        assert!(lines.tick(start + WINDOW * 2).is_empty());
        assert_eq!(lines.event(&report(true, 5)), ["web: 5/5 running, 0 healthy: converged"]);
        assert!(lines.event(&report(true, 5)).is_empty());
        // After a step it is news again.
        lines.event(&event(What::StepDone { step: step(1) }));
        assert_eq!(lines.event(&report(true, 5)).len(), 1);
    }
}
