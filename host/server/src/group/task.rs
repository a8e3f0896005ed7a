//! The loop of one group: look, plan, write down, carry out, wait.
//!
//! It is level-triggered: a commit, a change in a watched directory, a timer and the end of the last step all lead to the
//! same look, and what is done depends on what that look shows alone. All decisions are the [`Machine`]'s. Steps and
//! judgements of health run beside the loop, so that neither a slow provider nor a slow flavor holds up a new commit or
//! the order to stop.

mod steps;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::{FuturesUnordered, StreamExt};
use homeostat_core::execute::Outcome;
use homeostat_core::ledger::Ledger;
use homeostat_core::machine::{Changes, Control, ControlError, Machine, Setting};
use homeostat_core::observed::{HealthReport, Instance, Observation};
use homeostat_core::outcome::PluginError;
use homeostat_core::plan::{Reason, Report, Waiting};
use homeostat_core::record::{Goal, GroupRecord};
use homeostat_core::step::{Action, Step};
use homeostat_core::time::Timestamp;
use tokio::sync::{Notify, mpsc, watch};

use super::act::Plugins;
use super::observe::{judge, list};
use super::pace::Pace;
use super::{Context, Order, State, Taken, Wish};
use crate::event::What;
use crate::store::{StoredGroup, Write};

/// How often the progress of a long plan is published.
const PROGRESS: Duration = Duration::from_millis(50);
/// Publishing progress takes at most one part in so many of the time.
const PROGRESS_DUTY: u32 = 20;
/// How long after a plugin was found missing it is looked for again.
const PLUGIN_RETRY: Duration = Duration::from_secs(5);

/// What came of trying to look.
enum Looked {
    Seen(Observation, Plugins, Duration),
    ListFailed(PluginError),
    PluginMissing(String),
}

/// Judgements, and when they were asked for.
type Judged = (Vec<(String, HealthReport)>, Timestamp);

struct Task {
    context: Context,
    machine: Machine,
    publish: watch::Sender<Arc<State>>,
    state: State,
    plugins: Option<Plugins>,
    /// Instances that steps which have not begun will destroy, by id, as they were last seen.
    victims: HashMap<String, Instance>,
    pace: Pace,
    /// A look has ended since health was last asked.
    fresh: bool,
    stopping: bool,
    /// The group stands otherwise than was published last.
    unpublished: bool,
    /// When progress is next worth publishing.
    progress_at: Instant,
}

pub(super) async fn run(
    group: StoredGroup,
    restored: bool,
    context: Context,
    mut inbox: mpsc::Receiver<Order>,
    wake: Arc<Notify>,
    publish: watch::Sender<Arc<State>>,
) {
    let mut task = Task::new(group, restored, context, publish);
    let mut running: FuturesUnordered<BoxFuture<'static, (Step, Outcome)>> = FuturesUnordered::new();
    let mut looking: Option<BoxFuture<'static, (Looked, Instant)>> = None;
    let mut judging: Option<BoxFuture<'static, Judged>> = None;
    loop {
        if !task.stopping && looking.is_none() && Instant::now() >= task.pace.look_at() {
            task.pace.begin();
            looking = Some(task.look());
        }
        if judging.is_none() {
            judging = task.judge();
        }
        running.extend(task.start());
        // Steps come first: what they lead to is waited for, and a picture of it is only looked at.
        if task.unpublished {
            task.publish();
        }
        if task.stopping && running.is_empty() {
            break;
        }
        let health_at = task.health_at().filter(|_| judging.is_none());
        tokio::select! {
            biased;
            order = inbox.recv() => {
                // A look at what the old spec wanted is of no use.
                if task.order(order.unwrap_or(Order::Stop)) {
                    looking = None;
                    judging = None;
                }
            }
            Some((step, outcome)) = running.next(), if !running.is_empty() => {
                task.finished(&step, outcome);
                while let Some(Some((step, outcome))) = running.next().now_or_never() {
                    task.finished(&step, outcome);
                }
                task.write();
            }
            (looked, began) = async { looking.as_mut().expect("guarded").await }, if looking.is_some() => {
                looking = None;
                task.looked(looked, began);
            }
            (reports, at) = async { judging.as_mut().expect("guarded").await }, if judging.is_some() => {
                judging = None;
                task.judged(&reports, at);
            }
            () = wake.notified(), if !task.stopping => task.pace.woken(looking.is_some() || !task.machine.executor().is_idle()),
            () = tokio::time::sleep_until(task.pace.look_at().into()), if looking.is_none() && !task.stopping => {}
            () = tokio::time::sleep_until(health_at.unwrap_or_else(Instant::now).into()), if health_at.is_some() => {}
        }
    }
}

impl Task {
    fn new(group: StoredGroup, restored: bool, context: Context, publish: watch::Sender<Arc<State>>) -> Self {
        let now = context.clock.now();
        let StoredGroup { record, memory, intents } = group;
        let record = Arc::new(record);
        let setting = Setting {
            parallel: context.parallel,
            host: context.self_instance.clone(),
            list_lag: list_lag(&record, &context),
        };
        let ledger = Ledger::restore(intents, memory, now);
        Self {
            state: State::new(Arc::clone(&record)),
            machine: Machine::new(record, ledger, setting, restored, now),
            pace: Pace::new(context.resync, context.load.clone()),
            context,
            publish,
            plugins: None,
            victims: HashMap::new(),
            fresh: false,
            stopping: false,
            unpublished: false,
            progress_at: Instant::now(),
        }
    }

    /// Take an order. Answers whether what is being looked at is of no use any more.
    fn order(&mut self, order: Order) -> bool {
        match order {
            Order::Adopt(record) => {
                let record = Arc::from(record);
                self.machine.adopt(Arc::clone(&record));
                let mut state = State::new(record);
                state.observation = self.state.observation.take();
                state.health = std::mem::take(&mut self.state.health);
                self.state = state;
                self.unpublished = true;
                self.hurry();
                true
            }
            Order::Retry => {
                self.machine.retry();
                self.hurry();
                true
            }
            // An error says that nobody waits for the answer any more.
            Order::Control(control, reply) => {
                let _ = reply.send(self.control(control));
                false
            }
            Order::Why(instance, reply) => {
                let _ = reply.send(self.why(instance.as_deref()));
                false
            }
            Order::Ledger(reply) => {
                let _ = reply.send(self.machine.ledger().clone());
                false
            }
            Order::Stop => {
                self.machine.stop();
                self.stopping = true;
                true
            }
        }
    }

    fn hurry(&mut self) {
        self.pace.hurry();
        self.pace.now();
    }

    /// Take an operator's word. What it changed is on its way to the disk when this returns.
    fn control(&mut self, control: Control) -> Result<Taken, ControlError> {
        let now = self.context.clock.now();
        let text = self.machine.control(control, now)?;
        tracing::info!(group = self.group(), "{text}");
        self.event(|| What::Control { text: text.clone() });
        let changes = self.changes();
        let durable = self.context.journal.flush(changes).boxed();
        self.machine.replan(now, fastrand::u64(..));
        self.replanned();
        self.hurry();
        Ok((text, durable))
    }

    fn why(&self, instance: Option<&str>) -> Option<(String, Vec<homeostat_core::machine::Explanation>)> {
        match instance {
            Some(instance) => self.machine.why_instance(instance, self.context.clock.now()),
            None => Some((self.group().to_owned(), self.machine.why())),
        }
    }

    fn group(&self) -> &str {
        &self.machine.record().spec.id
    }

    fn look(&self) -> BoxFuture<'static, (Looked, Instant)> {
        let (record, context) = (Arc::clone(self.machine.record()), self.context.clone());
        Box::pin(async move {
            let began = Instant::now();
            let plugins = match plugins(&record, &context).await {
                Ok(plugins) => plugins,
                Err(message) => return (Looked::PluginMissing(message), began),
            };
            let started = context.clock.now();
            let looked = match list(&record, &plugins.instance, &plugins.flavor, started).await {
                Ok(seen) => Looked::Seen(seen, plugins, list_lag(&record, &context)),
                Err(error) => Looked::ListFailed(error),
            };
            (looked, began)
        })
    }

    fn looked(&mut self, looked: Looked, began: Instant) {
        self.pace.end(began);
        let (now, entropy) = (self.context.clock.now(), fastrand::u64(..));
        match looked {
            Looked::Seen(observation, plugins, list_lag) => {
                self.plugins = Some(plugins);
                self.machine.set_list_lag(list_lag);
                self.machine.observed(observation, now, entropy);
                self.fresh = true;
                self.replanned();
            }
            Looked::ListFailed(error) => {
                self.machine.observation_failed(error, now, entropy);
                self.replanned();
            }
            Looked::PluginMissing(message) => {
                self.machine.stop();
                let next = Some(now.after(PLUGIN_RETRY));
                let waiting = vec![Reason { waiting: Waiting::PluginMissing { message }, since: now, next }];
                let counts = self.state.report.counts;
                self.pace.schedule(Some(Instant::now() + PLUGIN_RETRY), false);
                self.report(Report { converged: false, counts, waiting });
            }
        }
    }

    /// When health is due although no look is.
    fn health_at(&self) -> Option<Instant> {
        if self.stopping || self.plugins.is_none() || self.machine.desired().goal == Goal::Destroy {
            return None;
        }
        let healing = &self.machine.desired().spec.properties.healing;
        // What the operator asked for holds; the default leaves room to a host of many groups.
        let interval = healing.interval.unwrap_or_else(|| healing.interval().max(self.pace.rest()));
        self.machine.judged_at().map(|at| self.context.clock.instant(at.after(interval)))
    }

    /// Ask for the health of the instances, if it is time to.
    fn judge(&mut self) -> Option<BoxFuture<'static, Judged>> {
        let now = self.context.clock.now();
        let due = std::mem::take(&mut self.fresh) || self.health_at().is_some_and(|at| Instant::now() >= at);
        if !due || self.stopping || !self.machine.wants_health(now) {
            return None;
        }
        let flavor = self.plugins.as_ref()?.flavor.clone();
        let (record, seen) = (Arc::clone(self.machine.record()), Arc::clone(self.machine.observation()?));
        Some(Box::pin(async move { (judge(&record, &flavor, seen).await, now) }))
    }

    fn judged(&mut self, reports: &[(String, HealthReport)], at: Timestamp) {
        self.machine.judged(reports, at, self.context.clock.now(), fastrand::u64(..));
        self.replanned();
    }

    /// The machine has planned anew.
    fn replanned(&mut self) {
        self.write();
        let machine = &self.machine;
        let doomed: HashSet<&str> = machine
            .executor()
            .queued()
            .filter(|it| matches!(it.action, Action::Destroy(_)))
            .map(|it| it.action.subject())
            .collect();
        let seen = machine.observation().filter(|_| !doomed.is_empty());
        let victims = seen.iter().flat_map(|it| &it.instances).filter(|it| doomed.contains(it.id.as_str()));
        self.victims = victims.map(|it| (it.id.clone(), it.clone())).collect();
        let waiting = machine.executor().queued().count();
        if waiting > 0 {
            self.announce();
            self.pace.hurry();
        }
        self.state.progress.total = waiting + self.machine.executor().running();
        self.state.progress.done = 0;
        if let Some(violation) = self.machine.report().waiting.iter().find_map(|it| match &it.waiting {
            Waiting::PlanRefused { rule } => Some(rule),
            _ => None,
        }) {
            tracing::error!(group = self.group(), "the plan broke a safety rule and was thrown away: {violation}");
        }
        let idle = self.machine.executor().is_idle();
        let due = self.machine.next_turn().filter(|_| idle).map(|at| self.context.clock.instant(at));
        self.pace.schedule(due, idle && self.machine.is_restless());
        let mut report = self.machine.report().clone();
        if let Some(trouble) = self.context.journal.trouble() {
            let message = crate::error::chain(&*trouble.error);
            report.waiting.push(Reason { waiting: Waiting::StoreFailed { message }, since: trouble.since, next: None });
        }
        self.report(report);
        self.wish();
    }

    /// Ask the host for what only it can do.
    fn wish(&self) {
        let now = self.context.clock.now();
        let wish = match self.machine.rolled_back(now) {
            Some(record) => Wish::RollBack(Box::new(record)),
            None if self.machine.desired().goal == Goal::Destroy && self.state.is_converged() => {
                Wish::Forget { group: self.group().to_owned(), revision: self.machine.record().revision }
            }
            None => return,
        };
        // Full only when the host is busy with others'; the next look says it again.
        let _ = self.context.wishes.try_send(wish);
    }

    /// Have what changed written down, without waiting for it.
    fn write(&mut self) {
        let changes = self.changes();
        if !changes.is_empty() {
            self.context.journal.write(changes);
        }
    }

    /// What changed, as it is to be written; what happened is told.
    fn changes(&mut self) -> Vec<Write> {
        let Changes { intents, memory, turns, vanished } = self.machine.take_changes();
        for turn in turns {
            tracing::info!(group = self.group(), "rollout: {turn:?}");
            self.event(|| What::Rollout { turn });
        }
        if !vanished.is_empty() {
            self.event(|| What::Vanished { names: vanished });
        }
        let group = self.group();
        let intents = intents.into_iter().map(|(key, intent)| Write::Intent { group: group.to_owned(), key, intent });
        let memory = memory.map(|memory| Write::Memory { group: group.to_owned(), memory });
        intents.chain(memory).collect()
    }

    fn report(&mut self, report: Report) {
        let before = &self.state.report;
        let same =
            |a: &[Reason], b: &[Reason]| a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.waiting == b.waiting);
        if before.converged != report.converged || !same(&before.waiting, &report.waiting) {
            match report.waiting.first() {
                _ if report.converged => {
                    tracing::info!(group = self.group(), instances = report.counts.actual, "converged");
                }
                Some(reason) => tracing::info!(group = self.group(), "waiting: {reason}"),
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
        self.state.progress.running = self.machine.executor().running();
        self.state.note(&self.machine);
        self.publish.send_replace(Arc::new(self.state.clone()));
        // A large group's picture takes its time, which is taken from the work.
        let ended = Instant::now();
        self.progress_at = ended + PROGRESS.max((ended - began) * PROGRESS_DUTY);
    }

    fn event(&self, what: impl FnOnce() -> What) {
        self.context.events.publish(self.context.clock.now(), Some(self.group()), what);
    }
}

/// How long the list of the group's plugin may lag.
fn list_lag(record: &GroupRecord, context: &Context) -> Duration {
    let plugin = &record.spec.properties.instance.plugin;
    context.registry.find(plugin).map_or(Duration::ZERO, |it| it.record.spec.limits.list_lag)
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
