//! The host, around the real machine: it looks, judges and waits exactly as a host has to.

use super::fault::Fault;
use super::rules::{self, Broken, ListKind, Rule};
use super::world::{Event, Hiding, Keeper, World};
use crate::ledger::CONFIRM_AFTER;
use crate::observed::{Health, HealthReport, Instance, InstanceState, Observation};
use crate::outcome::{ErrorCode, PluginError};
use crate::plan::Goal;
use crate::spec::VictimOrder;
use crate::step::Action;
use crate::time::Timestamp;

/// How often it looks where nothing is the matter.
pub(super) const RESYNC: u64 = 10_000;
/// The first and the longest wait between looks at a group on which somebody else works.
const POLL: (u64, u64) = (FIRST_POLL, 5_000);
pub(super) const FIRST_POLL: u64 = 20;
/// More wakings at one point in time than any host could bear.
const MOST_WAKINGS: u32 = 200;

impl World {
    pub(super) fn keeper(&mut self, group: usize) -> Option<&mut Keeper> {
        self.groups[group].keeper.as_mut()
    }

    /// Look as soon as can be.
    pub(super) fn look_soon(&mut self, group: usize) {
        if let Some(keeper) = self.groups[group].keeper.as_mut() {
            keeper.poll = POLL.0;
            keeper.token += 1;
            let token = keeper.token;
            self.later(1, Event::Wake { group, life: self.life, token });
        }
    }

    /// A timer of the group has run out.
    pub(super) fn wake(&mut self, group: usize, token: u64) -> Result<(), Broken> {
        let (now, clock) = (self.now, self.clock());
        let Some(keeper) = self.groups[group].keeper.as_mut().filter(|it| it.token == token && !it.looking) else {
            return Ok(());
        };
        keeper.woken = if keeper.woken.0 == now { (now, keeper.woken.1 + 1) } else { (now, 1) };
        rules::hold(Rule::Busy, keeper.woken.1 < MOST_WAKINGS, || "it is woken again and again".into())?;
        // What is due may need no new list.
        if keeper.machine.observation().is_some() && self.random.permille(150) {
            let entropy = self.random.next();
            self.groups[group].prove(clock);
            let Some(keeper) = self.keeper(group) else { return Ok(()) };
            keeper.planned = clock;
            keeper.machine.replan(clock, entropy);
            self.settle(group)?;
            self.schedule(group);
            return Ok(());
        }
        keeper.looking = true;
        let latency = match self.faults.strikes(Fault::SlowList, &mut self.random, 60) {
            true => self.random.between(1_000, 20_000),
            false => self.random.latency(2, 400),
        };
        let read = self.random.permille(500).then(|| {
            let id = self.groups[group].id.clone();
            self.provider.list(&id, self.reading, &mut self.random, now)
        });
        self.later(latency, Event::Listed { group, life: self.life, started: clock, read });
        Ok(())
    }

    /// A list arrives.
    pub(super) fn listed(
        &mut self,
        group: usize,
        started: Timestamp,
        read: Option<Vec<Instance>>,
    ) -> Result<(), Broken> {
        let (now, clock, entropy) = (self.now, self.clock(), self.random.next());
        if let Some(keeper) = self.keeper(group) {
            keeper.looking = false;
        }
        if let Some(error) = self.list_error() {
            self.tell(|| format!("group {group}: the list fails: {error:?}"));
            self.groups[group].book.list = ListKind::Failed;
            if let Some(keeper) = self.keeper(group) {
                keeper.planned = clock;
                keeper.machine.observation_failed(error, clock, entropy);
            }
            self.settle(group)?;
            self.schedule(group);
            return Ok(());
        }
        let id = self.groups[group].id.clone();
        let mut instances = match read {
            Some(read) => read,
            None => self.provider.list(&id, self.reading, &mut self.random, now),
        };
        let mut kind = ListKind::Whole;
        if self.faults.strikes(Fault::PartialList, &mut self.random, 40) {
            kind = ListKind::Partial;
            let random = &mut self.random;
            instances.retain(|_| random.permille(600));
        } else if self.hide(group, started, &mut instances) {
            kind = ListKind::Hiding;
        }
        for (fault, strikes) in [(Fault::Lag, self.reading.lag > 0), (Fault::ShuffledList, self.reading.shuffled)] {
            if strikes && self.faults.active {
                self.faults.note(fault);
            }
        }
        let ranking = self.rank(group, &instances);
        let complete = kind != ListKind::Partial;
        let observation = Observation { started, instances, complete, findings: Vec::new(), ranking };
        self.note(group, kind, &observation);
        self.tell(|| {
            let line = |it: &Instance| format!("{} {} {:?}", it.id, it.name, it.state);
            format!("group {group}: {kind:?} list of {:?}", observation.instances.iter().map(line).collect::<Vec<_>>())
        });
        let Some(keeper) = self.groups[group].keeper.as_mut() else { return Ok(()) };
        keeper.planned = clock;
        keeper.machine.observed(observation, clock, entropy);
        if self.random.permille(60) {
            rules::indifferent_to_order(&keeper.machine, clock, entropy, &mut self.random)?;
        }
        self.settle(group)?;
        self.forget_condemned(group, kind)?;
        self.ask_health(group);
        self.schedule(group);
        self.bury(group)
    }

    fn list_error(&mut self) -> Option<PluginError> {
        if let Some(outage) =
            self.outage.clone().filter(|it| it.until > self.now && it.code != ErrorCode::ResourceExhausted)
        {
            let lists = self.random.permille(500);
            return lists.then(|| super::call::error(outage.code, "the provider refuses", outage.retry_after));
        }
        let codes =
            [ErrorCode::Unavailable, ErrorCode::Internal, ErrorCode::PermissionDenied, ErrorCode::InvalidArgument];
        let fails = self.faults.strikes(Fault::ListError, &mut self.random, 50);
        fails.then(|| super::call::error(self.random.pick(&codes), "it cannot be listed", None))
    }

    /// Let the list hide what nobody could believe to be gone, for less than the time of confirmation.
    fn hide(&mut self, group: usize, started: Timestamp, list: &mut Vec<Instance>) -> bool {
        let it = &self.groups[group];
        let Some(keeper) = &it.keeper else { return false };
        let ledger = keeper.machine.ledger();
        // So many the host knows of, whatever it has taken away since.
        let known = ledger.memory.known.saturating_sub(ledger.removing.len());
        let hiding = match it.hiding {
            Some(hiding) if started.since(hiding.since) < CONFIRM_AFTER => hiding,
            // Between two times there is a list that hides nothing.
            Some(_) => {
                self.groups[group].hiding = None;
                return false;
            }
            // While the host doubts what really happened, a list that hides more confirms it.
            None if known == 0 || ledger.doubt.is_some() => return false,
            None if self.faults.strikes(Fault::EmptyList, &mut self.random, 40) => Hiding { since: started, shows: 0 },
            None if self.faults.strikes(Fault::ShrunkList, &mut self.random, 40) => {
                Hiding { since: started, shows: self.random.index(known.div_ceil(2)) }
            }
            None => return self.flicker(group, started, list),
        };
        self.groups[group].hiding = Some(hiding);
        let mut left = hiding.shows;
        list.retain(|_| {
            let shown = left > 0;
            left = left.saturating_sub(1);
            shown
        });
        // The host takes fewer than half for implausible.
        hiding.shows * 2 < known
    }

    /// Let the list hide one pet: its identity stays taken for the time of confirmation.
    fn flicker(&mut self, group: usize, started: Timestamp, list: &mut Vec<Instance>) -> bool {
        let pets = self.groups[group].keeper.as_ref().is_some_and(|it| {
            it.machine.desired().spec.properties.allocation.is_pets()
                && it.machine.judged_at().is_some_and(|at| started.since(at) < CONFIRM_AFTER * 30)
        });
        let at = self.random.index(list.len());
        // What was never listed is covered by its intent; what was, by the list before.
        let known = list.get(at).is_some_and(|it| {
            let removing = |keeper: &Keeper| keeper.machine.ledger().removing.contains_key(&it.id);
            let of = &self.groups[group];
            it.state.is_live() && of.view.seen.contains_key(&it.id) && !of.keeper.as_ref().is_some_and(removing)
        });
        if pets && known && list.len() > 1 && self.faults.strikes(Fault::FlickeringPet, &mut self.random, 30) {
            let hidden = list.remove(at);
            self.tell(|| format!("group {group}: the list hides {}", hidden.id));
            self.groups[group].hiding = Some(Hiding { since: Timestamp(0), shows: 0 });
        }
        false
    }

    fn rank(&mut self, group: usize, list: &[Instance]) -> Option<Vec<String>> {
        let machine = &self.groups[group].keeper.as_ref()?.machine;
        let asked = machine.desired().spec.properties.removal.order() == VictimOrder::Plugin;
        (asked && (!self.faults.active || self.random.permille(800))).then(|| {
            let mut ids: Vec<String> = list.iter().map(|it| it.id.clone()).collect();
            ids.sort();
            ids
        })
    }

    /// Let the judge see what the host sees.
    fn note(&mut self, group: usize, kind: ListKind, observation: &Observation) {
        let clock = self.clock();
        let it = &mut self.groups[group];
        it.book.list = kind;
        it.prove(clock);
        if kind == ListKind::Partial {
            return;
        }
        let ledger = it.keeper.as_ref().map(|it| it.machine.ledger());
        let asked = |name: &str| ledger.and_then(|it| it.creating.get(name)).map(|it| it.since);
        it.view.listed(&observation.instances, observation.started, asked);
        for instance in &observation.instances {
            it.book.names.entry(instance.name.clone()).or_insert(it.store.last + 1);
        }
    }

    /// What was condemned and is gone is forgotten: ids may be used again.
    fn forget_condemned(&mut self, group: usize, kind: ListKind) -> Result<(), Broken> {
        let Some(keeper) = &self.groups[group].keeper else { return Ok(()) };
        let record = keeper.machine.record();
        if kind != ListKind::Whole || record.condemned.is_empty() || keeper.machine.ledger().doubt.is_some() {
            return Ok(());
        }
        let listed = |id: &String| self.groups[group].view.seen.contains_key(id);
        if record.condemned.iter().all(listed) || !self.list_lag.is_zero() {
            return Ok(());
        }
        let mut record = (**record).clone();
        record.condemned.retain(|id| listed(id));
        self.adopt(group, record)
    }

    fn ask_health(&mut self, group: usize) {
        let (now, clock) = (self.now, self.clock());
        let wanted = self.groups[group].keeper.as_ref().is_some_and(|it| it.machine.wants_health(clock));
        if !wanted {
            return;
        }
        let failed = self.faults.strikes(Fault::HealthError, &mut self.random, 60);
        let flipped = self.flip_until > now;
        let mut reports = Vec::new();
        let seen: Vec<(String, InstanceState)> =
            self.groups[group].view.seen.iter().map(|(id, it)| (id.clone(), it.state)).collect();
        for (id, state) in seen {
            if state != InstanceState::Running {
                continue;
            }
            let truth = self.provider.unit(&id).map_or(Health::Unhealthy, |it| it.health(now));
            let status = if failed || self.faults.strikes(Fault::HealthUnknown, &mut self.random, 40) {
                Health::Unknown
            } else if flipped {
                Health::Unhealthy
            } else {
                truth
            };
            reports.push((id, HealthReport { status, message: String::new() }));
        }
        let latency = self.random.latency(1, 500);
        self.later(latency, Event::Judged { group, life: self.life, asked: clock, reports });
    }

    /// Judgements arrive.
    pub(super) fn judged(
        &mut self,
        group: usize,
        asked: Timestamp,
        reports: Vec<(String, HealthReport)>,
    ) -> Result<(), Broken> {
        let (clock, entropy) = (self.clock(), self.random.next());
        self.tell(|| {
            let line = |(id, it): &(String, HealthReport)| format!("{id} {}", it.status.name());
            format!("group {group}: judged {:?}", reports.iter().map(line).collect::<Vec<_>>())
        });
        let it = &mut self.groups[group];
        let Some(keeper) = it.keeper.as_mut() else { return Ok(()) };
        let healing = keeper.machine.desired().spec.properties.healing.clone();
        if keeper.machine.judged_at().is_none_or(|before| asked >= before) {
            it.view.judged(&reports, asked, healing.interval());
        }
        it.prove(clock);
        let Some(keeper) = it.keeper.as_mut() else { return Ok(()) };
        keeper.planned = clock;
        keeper.machine.judged(&reports, asked, clock, entropy);
        self.settle(group)?;
        self.schedule(group);
        self.bury(group)
    }

    /// When to wake next.
    pub(super) fn schedule(&mut self, group: usize) {
        let clock = self.clock();
        let Some(keeper) = self.groups[group].keeper.as_mut().filter(|it| !it.looking) else { return };
        let mut delay = RESYNC;
        if let Some(at) = keeper.machine.next_turn() {
            // What is overdue is looked at ever less often.
            delay = delay.min(at.0.saturating_sub(clock.0).max(keeper.poll));
        }
        if keeper.machine.is_restless() && keeper.machine.executor().is_idle() {
            delay = delay.min(keeper.poll);
        }
        keeper.poll = if delay < RESYNC { (keeper.poll * 2).min(POLL.1) } else { POLL.0 };
        keeper.token += 1;
        let token = keeper.token;
        self.later(delay, Event::Wake { group, life: self.life, token });
    }

    /// A group that was destroyed is forgotten.
    fn bury(&mut self, group: usize) -> Result<(), Broken> {
        let done = self.groups[group].keeper.as_ref().is_some_and(|it| {
            it.machine.desired().goal == Goal::Destroy && it.machine.report().converged && it.running == 0
        });
        if !done {
            return Ok(());
        }
        self.tell(|| format!("group {group} is gone"));
        let coming = self.calls.values().filter(|it| it.coming && it.group == group);
        let makes = |it: &&super::call::Call| match &it.step.action {
            Action::Provision(it) => !self.provider.has_made(&it.name),
            _ => false,
        };
        let coming = coming.filter(makes).count();
        let it = &mut self.groups[group];
        rules::destroyed(&it.id, &self.provider, coming)?;
        it.keeper = None;
        it.store.forget();
        (it.view, it.book) = Default::default();
        Ok(())
    }
}
