//! The loop of one group: look, plan, verify, carry out, wait.
//!
//! It is level-triggered: a commit, a change in a watched directory, a timer and the end of the last step all lead to the
//! same look, and what is done depends on what that look shows alone. Steps run beside the loop, so that a slow provider
//! holds up neither a new commit nor the order to stop.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::{FuturesUnordered, StreamExt};
use homeostat_core::execute::{Executor, Outcome};
use homeostat_core::ledger::{CONFIRM_AFTER, Ledger};
use homeostat_core::observed::{Instance, Observation};
use homeostat_core::outcome::{ErrorCode, PluginError};
use homeostat_core::plan::{Desired, Goal, Report, Waiting, plan};
use homeostat_core::step::{Action, Step};
use homeostat_core::verify::verify;
use tokio::sync::{Notify, mpsc, watch};

use super::act::{Plugins, act};
use super::observe::{Look, look};
use super::{Context, Order, State};
use crate::event::What;
use crate::store::GroupRecord;

/// Looks that changes keep leading to take at most one part in so many of the time.
const DUTY: u32 = 4;
/// So many looks may follow each other closely before that holds.
const EAGER: u32 = 4;
/// Periodic looks take at most one part in so many of the time.
const IDLE_DUTY: u32 = 500;
/// And are at most so many times as far apart as they should be: a provider may be slow without costing the host anything.
const LONGEST_REST: u32 = 30;
/// The first and the longest wait between looks at a group on which somebody else works.
const POLL: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(5));
/// How often the progress of a long plan is published.
const PROGRESS: Duration = Duration::from_millis(50);
/// Publishing progress takes at most one part in so many of the time.
const PROGRESS_DUTY: u32 = 20;
/// How long after a plugin was found missing it is looked for again.
const PLUGIN_RETRY: Duration = Duration::from_secs(5);

/// What came of trying to look.
enum Looked {
    Seen(Look, Plugins),
    ListFailed(PluginError),
    PluginMissing(String),
}

struct Task {
    record: Arc<GroupRecord>,
    desired: Desired,
    context: Context,
    publish: watch::Sender<Arc<State>>,
    state: State,
    ledger: Ledger,
    executor: Executor,
    plugins: Option<Plugins>,
    /// Instances that steps which have not begun will destroy, by id, as they were last seen.
    victims: HashMap<String, Instance>,
    look_at: Instant,
    poll: Duration,
    /// When the last look ended, and how long it took.
    looked_at: Instant,
    cost: Duration,
    /// Before this, a change leads to no look: looks must not take all of the time.
    rested: Instant,
    /// Looks that followed each other closely.
    streak: u32,
    /// Something changed since the look under way began.
    dirty: bool,
    stopping: bool,
    /// The group stands otherwise than was published last.
    unpublished: bool,
    /// When progress is next worth publishing.
    progress_at: Instant,
}

pub(super) async fn run(
    record: GroupRecord,
    context: Context,
    mut inbox: mpsc::Receiver<Order>,
    wake: Arc<Notify>,
    publish: watch::Sender<Arc<State>>,
) {
    let mut task = Task::new(record, context, publish);
    let mut running: FuturesUnordered<BoxFuture<'static, (Step, Outcome)>> = FuturesUnordered::new();
    let mut looking: Option<BoxFuture<'static, (Looked, Instant)>> = None;
    loop {
        if !task.stopping && looking.is_none() && Instant::now() >= task.look_at {
            task.dirty = false;
            looking = Some(task.look());
        }
        while let Some(step) = task.start() {
            running.push(step);
        }
        // Steps come first: what they lead to is waited for, and a picture of it is only looked at.
        if task.unpublished {
            task.publish();
        }
        if task.stopping && running.is_empty() {
            break;
        }
        tokio::select! {
            biased;
            order = inbox.recv() => {
                // A look at what the old spec wanted is of no use.
                looking = None;
                match order {
                    Some(Order::Adopt(record)) => task.adopt(*record),
                    Some(Order::Retry) => task.retry(),
                    Some(Order::Stop) | None => task.stop(),
                }
            }
            Some((step, outcome)) = running.next(), if !running.is_empty() => {
                task.finished(&step, outcome);
                while let Some(Some((step, outcome))) = running.next().now_or_never() {
                    task.finished(&step, outcome);
                }
            }
            (looked, began) = async { looking.as_mut().expect("guarded").await }, if looking.is_some() => {
                looking = None;
                task.looked(looked, began);
            }
            () = wake.notified(), if !task.stopping => task.woken(looking.is_some()),
            () = tokio::time::sleep_until(task.look_at.into()), if looking.is_none() && !task.stopping => {}
        }
    }
}

impl Task {
    fn new(record: GroupRecord, context: Context, publish: watch::Sender<Arc<State>>) -> Self {
        let state = State::new(record);
        let now = Instant::now();
        Self {
            record: Arc::clone(&state.record),
            desired: desired(&state),
            executor: Executor::new(context.parallel),
            context,
            publish,
            state,
            ledger: Ledger::default(),
            plugins: None,
            victims: HashMap::new(),
            look_at: now,
            poll: POLL.0,
            looked_at: now,
            cost: Duration::ZERO,
            rested: now,
            streak: 0,
            dirty: false,
            stopping: false,
            unpublished: false,
            progress_at: now,
        }
    }

    fn adopt(&mut self, record: GroupRecord) {
        let mut state = State::new(record);
        state.observation = self.state.observation.take();
        self.state = state;
        self.record = Arc::clone(&self.state.record);
        self.desired = desired(&self.state);
        self.executor.clear();
        self.retry();
        self.unpublished = true;
    }

    fn retry(&mut self) {
        self.ledger.forget_failures();
        self.poll = POLL.0;
        self.look_at = Instant::now();
    }

    fn stop(&mut self) {
        self.executor.clear();
        self.stopping = true;
    }

    fn look(&self) -> BoxFuture<'static, (Looked, Instant)> {
        let (record, context) = (Arc::clone(&self.record), self.context.clone());
        let before = self.state.observation.clone();
        Box::pin(async move {
            let began = Instant::now();
            let plugins = match plugins(&record, &context).await {
                Ok(plugins) => plugins,
                Err(message) => return (Looked::PluginMissing(message), began),
            };
            let started = context.clock.now();
            let looked = match look(&record, &plugins.instance, &plugins.flavor, before, started).await {
                Ok(seen) => Looked::Seen(seen, plugins),
                Err(error) => Looked::ListFailed(error),
            };
            (looked, began)
        })
    }

    fn looked(&mut self, looked: Looked, began: Instant) {
        let rest = began.saturating_duration_since(self.looked_at);
        self.streak = if rest < self.cost * DUTY { self.streak.saturating_add(1) } else { 0 };
        self.looked_at = Instant::now();
        self.cost = self.looked_at - began;
        let now = self.context.clock.now();
        let report = match looked {
            Looked::Seen(Look { observation, judged }, plugins) => {
                self.plugins = Some(plugins);
                self.ledger.absorb(&observation, &self.desired.hash);
                if judged {
                    self.ledger.absorb_health(&observation);
                }
                self.state.observation = Some(Arc::new(observation));
                self.plan()
            }
            Looked::ListFailed(error) => {
                self.ledger.observation_failed(error, now, fastrand::u64(..));
                self.plan()
            }
            Looked::PluginMissing(message) => {
                self.executor.clear();
                let waiting = vec![Waiting::PluginMissing { message }];
                Report { converged: false, counts: self.state.report.counts, waiting }
            }
        };
        self.schedule(&report);
        self.report(report);
        if self.desired.goal == Goal::Destroy && self.state.is_converged() {
            // Full only when the host is busy with another such group; the next look says it again.
            let _ = self.context.gone.try_send((self.record.spec.id.clone(), self.record.revision));
        }
    }

    fn plan(&mut self) -> Report {
        let now = self.context.clock.now();
        let empty;
        let observation: &Observation = match &self.state.observation {
            Some(seen) => seen,
            None => {
                empty = Observation::default();
                &empty
            }
        };
        let (plan, mut report) = plan(&self.desired, observation, &self.ledger, now, fastrand::u64(..));
        if let Err(violation) = verify(&self.desired, observation, &self.ledger, &plan) {
            tracing::error!(
                group = self.record.spec.id,
                "the plan broke a safety rule and was thrown away: {violation}"
            );
            report.waiting.push(Waiting::PlanRefused { rule: violation.to_string() });
            report.converged = false;
            self.executor.clear();
            return report;
        }
        if !plan.steps.is_empty() {
            self.announce(&plan.steps);
            self.poll = POLL.0;
        }
        let doomed: HashSet<&str> = plan
            .steps
            .iter()
            .filter(|it| matches!(it.action, Action::Destroy(_)))
            .map(|it| it.action.subject())
            .collect();
        let victims = observation.instances.iter().filter(|it| doomed.contains(it.id.as_str()));
        self.victims = victims.map(|it| (it.id.clone(), it.clone())).collect();
        self.state.progress.total = plan.steps.len() + self.executor.running();
        self.state.progress.done = 0;
        self.executor.adopt(plan);
        report
    }

    fn announce(&self, steps: &[Step]) {
        let count = |wanted: fn(&Action) -> bool| steps.iter().filter(|it| wanted(&it.action)).count();
        tracing::info!(
            group = self.record.spec.id,
            provision = count(|it| matches!(it, Action::Provision(_))),
            destroy = count(|it| matches!(it, Action::Destroy(_))),
            label = count(|it| matches!(it, Action::Label(_))),
            "plan"
        );
    }

    /// When to look next, where nothing wakes the loop before.
    fn schedule(&mut self, report: &Report) {
        let now = Instant::now();
        let resync = self.context.resync;
        let mut next = now + resync.max(self.cost * IDLE_DUTY).min(resync * LONGEST_REST);
        if self.executor.is_idle() && !report.converged {
            let clock = self.context.clock;
            let mut polls = report.waiting.is_empty();
            for reason in &report.waiting {
                let at = match reason {
                    Waiting::ListFailed { until, .. } | Waiting::Backoff { until, .. } => {
                        until.map(|it| clock.instant(it))
                    }
                    Waiting::ConfirmingEmpty { since, .. } => Some(clock.instant(since.after(CONFIRM_AFTER))),
                    Waiting::PluginMissing { .. } => Some(now + PLUGIN_RETRY),
                    Waiting::Stray { .. } | Waiting::Foreign { .. } | Waiting::PlanRefused { .. } => None,
                    Waiting::Incomplete
                    | Waiting::UnderWay { .. }
                    | Waiting::RollAfterMotion { .. }
                    | Waiting::RollAwaitsHealth { .. }
                    | Waiting::IdentityHeld { .. }
                    | Waiting::NotHealthy { .. } => {
                        polls = true;
                        None
                    }
                };
                next = at.map_or(next, |at| next.min(at.max(now)));
            }
            if polls {
                // Somebody else is at work: look soon, then ever less often, and never all the time.
                next = next.min(now + self.poll.max(self.cost * DUTY));
                self.poll = (self.poll * 2).min(POLL.1);
            }
        }
        self.rested = if self.streak < EAGER { now } else { now + self.cost * DUTY };
        if self.dirty {
            next = next.min(self.rested);
        }
        self.look_at = next;
    }

    fn woken(&mut self, looking: bool) {
        self.dirty = true;
        // Steps under way are what changes the most; their end leads to a look anyway.
        if !looking && self.executor.is_idle() {
            self.look_at = self.look_at.min(self.rested);
        }
    }

    fn start(&mut self) -> Option<BoxFuture<'static, (Step, Outcome)>> {
        let plugins = self.plugins.clone()?;
        let step = self.executor.start(&mut self.ledger, self.context.clock.now())?;
        self.event(|| What::StepStarted { step: step.clone() });
        let record = Arc::clone(&self.record);
        let victim = match &step.action {
            Action::Destroy(it) => self.victims.remove(&it.id),
            _ => None,
        };
        // Both calls of a step run where the guests do, which spares them the way between threads.
        let acting = step.clone();
        let acted = self
            .context
            .registry
            .runtime()
            .beside_guests(async move { act(&plugins, &record, &acting, victim.as_ref()).await });
        Some(Box::pin(async move {
            let outcome = acted.await.unwrap_or_else(|| {
                let message = "the host failed while it carried out this step; please report this".into();
                Outcome::Unknown(PluginError { code: ErrorCode::Internal, message, path: None, retry_after: None })
            });
            (step, outcome)
        }))
    }

    fn finished(&mut self, step: &Step, outcome: Outcome) {
        let now = self.context.clock.now();
        self.executor.finish(step, &outcome, &mut self.ledger, now, fastrand::u64(..));
        self.state.progress.done += 1;
        let (group, subject, work) = (&self.record.spec.id, step.action.subject(), step.action.work());
        match outcome {
            Outcome::Done => {
                tracing::debug!(group, instance = subject, why = step.why, "{work}: done");
                self.event(|| What::StepDone { step: step.clone() });
            }
            Outcome::Refused(error) | Outcome::Failed(error) | Outcome::Unknown(error) => {
                tracing::warn!(group, instance = subject, why = step.why, "{work}: {error}");
                self.event(|| What::StepFailed { step: step.clone(), error });
            }
        }
        if self.executor.is_idle() {
            self.state.progress = Default::default();
            self.look_at = Instant::now();
        } else if Instant::now() >= self.progress_at {
            self.unpublished = true;
        }
    }

    fn report(&mut self, report: Report) {
        let before = &self.state.report;
        if before.converged != report.converged || before.waiting != report.waiting {
            let group = &self.record.spec.id;
            match report.waiting.first() {
                _ if report.converged => tracing::info!(group, instances = report.counts.actual, "converged"),
                Some(reason) => tracing::info!(group, "waiting: {reason}"),
                None => {}
            }
            self.event(|| What::Report { report: report.clone() });
        }
        self.state.report = report;
        self.unpublished = true;
    }

    fn publish(&mut self) {
        let began = Instant::now();
        self.unpublished = false;
        self.state.progress.running = self.executor.running();
        self.state.note(&self.ledger);
        self.publish.send_replace(Arc::new(self.state.clone()));
        // A large group's picture takes its time, which is taken from the work.
        let ended = Instant::now();
        self.progress_at = ended + PROGRESS.max((ended - began) * PROGRESS_DUTY);
    }

    fn event(&self, what: impl FnOnce() -> What) {
        self.context.events.publish(self.context.clock.now(), Some(&self.record.spec.id), what);
    }
}

fn desired(state: &State) -> Desired {
    Desired {
        spec: state.record.spec.clone(),
        hash: state.hash.to_string(),
        goal: state.record.goal,
        condemned: state.record.condemned.clone(),
    }
}

/// The plugins of a group as they are registered now.
async fn plugins(record: &GroupRecord, context: &Context) -> Result<Plugins, String> {
    let properties = &record.spec.properties;
    let (instance, flavor) = (&properties.instance.plugin, &properties.flavor.plugin);
    let loaded = context.registry.get(instance).await.map_err(|it| it.to_string())?;
    let made = loaded.as_instance().ok_or_else(|| format!("plugin {instance} is not an instance plugin"))?;
    let loaded = context.registry.get(flavor).await.map_err(|it| it.to_string())?;
    let flavored = loaded.as_flavor().ok_or_else(|| format!("plugin {flavor} is not a flavor plugin"))?;
    Ok(Plugins { instance: made, flavor: flavored })
}
