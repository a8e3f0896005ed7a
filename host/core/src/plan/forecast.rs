//! What a plan would lead to in the end, if nothing went wrong: the planner played forwards on a world that does what it is
//! told, so that every step with its reason can be shown before anything is done.

use std::time::Duration;

use super::{Desired, plan};
use crate::execute::{Executor, Outcome};
use crate::ledger::{Ledger, Rollout};
use crate::machine::advance;
use crate::observed::{Health, HealthReport, Observation};
use crate::step::{Action, Step};
use crate::time::Timestamp;

/// The steps that lead to what is declared.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Forecast {
    /// The steps, in rounds: those of one round run at the same time.
    pub rounds: Vec<Vec<Step>>,
    /// Whether that is all: a forecast ends after so many rounds, or where an operator has to say something.
    pub complete: bool,
}

/// The most rounds that are played.
const ROUNDS: usize = 10_000;
/// The most steps that are shown.
const STEPS: usize = 100_000;

/// Play the planner forwards from an observation. Every new instance is healthy at once, nothing fails, canaries that need
/// a promotion end it.
pub fn forecast(desired: &Desired, observed: &Observation, ledger: &Ledger, now: Timestamp, entropy: u64) -> Forecast {
    let mut world = observed.clone();
    let mut ledger = ledger.clone();
    let mut now = now;
    let mut forecast = Forecast::default();
    let mut steps = 0;
    // What runs at this moment will have ended.
    ledger.creating.clear();
    ledger.removing.clear();
    ledger.labelling.clear();
    ledger.memory.backoff.clear();
    ledger.settling = None;
    let health = HealthReport { status: Health::Healthy, message: String::new() };
    let mut rests = 0;
    for round in 0..ROUNDS as u64 {
        world.started = now;
        ledger.absorb(desired, None, &world);
        let fresh: Vec<bool> =
            ledger.tracks.iter().map(|it| it.health.status == Health::Unknown || it.seen >= now).collect();
        let reports = world.instances.iter().zip(fresh).filter(|(_, fresh)| *fresh || round > 0);
        let reports = reports.map(|(it, _)| (it.id.as_str(), &health)).collect();
        if round > 0 {
            ledger.judge(&world, &reports, now, Duration::ZERO);
        }
        advance(desired, &world, &mut ledger, now);
        let (plan, report) = plan(desired, &world, &ledger, now, entropy.wrapping_add(round));
        if plan.steps.is_empty() {
            let settled = ledger.memory.rollout.as_ref().is_none_or(Rollout::has_succeeded);
            if report.converged && settled || rests > 200 {
                forecast.complete = report.converged;
                return forecast;
            }
            // Time heals: a bake, a minimum of good health, a confirmation.
            rests += 1;
            let next = report.waiting.iter().filter_map(|it| it.next).min();
            now = next.unwrap_or(now).max(now.after(pause(desired)));
            continue;
        }
        rests = 0;
        steps += plan.steps.len();
        forecast.rounds.push(plan.steps.clone());
        if steps > STEPS {
            return forecast;
        }
        let mut executor = Executor::new(usize::MAX, false);
        executor.adopt(plan);
        while let Some(step) = executor.start(&mut ledger, now) {
            apply(&mut world, &step.action, now);
            executor.finish(&step, &Outcome::Done, &mut ledger, now, 0);
        }
        now = now.after(Duration::from_millis(1));
    }
    forecast
}

/// How long to wait where nothing says until when.
fn pause(desired: &Desired) -> Duration {
    let updating = &desired.spec.properties.updating;
    updating.ready_after().max(updating.monitor()).max(Duration::from_millis(1))
}

fn apply(world: &mut Observation, action: &Action, now: Timestamp) {
    match action {
        Action::Provision(it) => world.instances.push(it.instance(now)),
        Action::Destroy(it) => world.instances.retain(|instance| instance.id != it.id),
        Action::Label(it) => {
            if let Some(instance) = world.instances.iter_mut().find(|instance| instance.id == it.id) {
                instance.tags.extend(it.tags.clone());
            }
        }
    }
}
