//! What must hold when a step begins: I1 to I5, I7, I8 and I13.

use super::{Book, Checked, ListKind, Rule, hold};
use crate::ledger::SlotKey;
use crate::machine::Machine;
use crate::observed::InstanceState;
use crate::outcome::DestroyReason;
use crate::plan::Goal;
use crate::simulate::provider::{Provider, Unit};
use crate::simulate::view::View;
use crate::step::{Action, Destroy, Provision, Step};
use crate::tags;
use crate::time::Timestamp;

/// A creation that was asked for and may yet take effect.
pub(in crate::simulate) struct Coming {
    pub(in crate::simulate) name: String,
    pub(in crate::simulate) logical_id: Option<String>,
}

/// A step that begins, and the world at that moment.
pub(in crate::simulate) struct Start<'a> {
    pub(in crate::simulate) machine: &'a Machine,
    pub(in crate::simulate) view: &'a View,
    pub(in crate::simulate) provider: &'a Provider,
    /// The group's creations that may yet take effect.
    pub(in crate::simulate) coming: Vec<Coming>,
    /// Calls of the group that run, this one included.
    pub(in crate::simulate) running: usize,
    pub(in crate::simulate) parallel: usize,
    pub(in crate::simulate) now: Timestamp,
    /// When it was planned.
    pub(in crate::simulate) planned: Timestamp,
}

/// Whether the step may begin.
pub(in crate::simulate) fn may_start(world: &Start<'_>, book: &mut Book, step: &Step) -> Checked {
    within_limit(world)?;
    not_blind(book, step)?;
    not_held_back(world, book, step)?;
    match &step.action {
        Action::Provision(it) => {
            new_name(book, it)?;
            one_of_each_identity(world, it)?;
            not_too_many(world, it)
        }
        Action::Destroy(it) => {
            ours(world, &it.id, true)?;
            not_paused(world, book, it)?;
            no_storm(world, it)?;
            within_retries(world, book, it)?;
            enough_left(world, it)
        }
        Action::Label(it) => ours(world, &it.id, false),
    }
}

/// I8: no more calls run than may.
fn within_limit(world: &Start<'_>) -> Checked {
    hold(Rule::I8, world.running <= world.parallel, || format!("{} of {} calls run", world.running, world.parallel))
}

/// I13: the last list was whole and plausible.
fn not_blind(book: &Book, step: &Step) -> Checked {
    hold(Rule::I13, book.list == ListKind::Whole, || format!("the last list was {:?}, and {step:?} begins", book.list))
}

/// I7: work that failed waits, at least as long as the provider asked.
fn not_held_back(world: &Start<'_>, book: &Book, step: &Step) -> Checked {
    let work = step.action.work();
    let held = book.held.get(&work).filter(|(until, _)| world.now.0 < *until);
    hold(Rule::I7, held.is_none(), || {
        let (until, why) = held.map(|(until, why)| (*until, why.as_str())).unwrap_or_default();
        format!("to {work} is held back for {} ms more ({why}), and {step:?} begins", until - world.now.0)
    })
}

/// I1: a name that was seen is never used again.
fn new_name(book: &Book, it: &Provision) -> Checked {
    hold(Rule::I1, !book.names.contains_key(&it.name), || format!("{} is made, and was seen before", it.name))
}

/// I2: nobody holds the identity, and nobody is about to.
fn one_of_each_identity(world: &Start<'_>, it: &Provision) -> Checked {
    let Some(id) = &it.logical_id else { return Ok(()) };
    let rivals = ours_in_truth(world).filter(|it| it.is_live() || it.state() == Some(InstanceState::Stopping));
    let holder = { rivals }.find(|unit| unit.instance.logical_id() == Some(id) && unit.instance.name != it.name);
    hold(Rule::I2, holder.is_none(), || {
        let holder = holder.map(|it| (it.instance.id.clone(), it.state()));
        format!("{} is made as {id}, which {holder:?} is", it.name)
    })?;
    let other = world.coming.iter().find(|other| other.logical_id.as_ref() == Some(id) && other.name != it.name);
    hold(Rule::I2, other.is_none(), || {
        format!("{} is made as {id}, and {} may yet be", it.name, other.map_or("", |it| &it.name))
    })
}

/// What exists of the group by the host's doing.
fn ours_in_truth<'a>(world: &'a Start<'_>) -> impl Iterator<Item = &'a Unit> {
    let group = &world.machine.desired().spec.id;
    world.provider.of(group).map(|(_, unit)| unit).filter(|it| !it.outside)
}

/// I4: no more than declared, and than an update may have more.
fn not_too_many(world: &Start<'_>, it: &Provision) -> Checked {
    let desired = world.machine.desired();
    if desired.spec.properties.allocation.is_pets() {
        return Ok(());
    }
    let live: Vec<&Unit> = ours_in_truth(world).filter(|it| it.is_live() && !it.replaced).collect();
    let exists = |name: &str| live.iter().any(|it| it.instance.name == name);
    let coming = world.coming.iter().filter(|other| other.name != it.name && !exists(&other.name)).count();
    let total = live.len() + coming + usize::from(!exists(&it.name));
    let old = live.iter().any(|it| !it.instance.is_current(&desired.config.hash))
        || world.view.seen.values().any(|it| it.is_of(desired) && it.state.is_live() && !it.is_current(desired));
    let allowed = desired.size() + if old { desired.budget().surge } else { 0 };
    hold(Rule::I4, total <= allowed, || {
        format!("{} makes {total} ({coming} of them to come) where {allowed} may be", it.name)
    })
}

/// I5: it is the group's, and not protected.
fn ours(world: &Start<'_>, id: &str, destroyed: bool) -> Checked {
    let record = world.machine.record();
    if let Some(unit) = world.provider.unit(id) {
        hold(Rule::I5, unit.is_of(&record.spec.id), || format!("{id} is not the group's: {:?}", unit.instance.tags))?;
    }
    hold(Rule::I5, !destroyed || !record.protected.contains(id), || format!("{id} is destroyed, and protected"))
}

/// I7: a rollout that stands still replaces nothing.
fn not_paused(world: &Start<'_>, book: &Book, it: &Destroy) -> Checked {
    if it.reason != DestroyReason::RollingUpdate {
        return Ok(());
    }
    let revision = world.machine.desired().config.revision;
    hold(Rule::I7, book.paused != Some(revision), || format!("{} is replaced, and an operator paused that", it.id))?;
    let rollout = world.machine.ledger().memory.rollout.as_ref().filter(|it| it.revision == revision);
    let stands = rollout.is_some_and(|it| !it.is_running() && !it.has_succeeded());
    hold(Rule::I7, !stands, || format!("{} is replaced, and the rollout stands still: {rollout:?}", it.id))
}

/// Whether it is on its way out by the host's doing, and not another that had its id before.
fn leaves(world: &Start<'_>, id: &str) -> bool {
    let removal = world.machine.ledger().removing.get(id);
    removal.zip(world.view.seen.get(id)).is_some_and(|(removal, seen)| removal.name == seen.name)
}

/// I7: healing stops where too many are unhealthy, and replaces only what is so beyond doubt, a few at a time.
fn no_storm(world: &Start<'_>, it: &Destroy) -> Checked {
    let live = world.view.seen.get(&it.id).is_some_and(|it| it.state.is_live());
    if it.reason != DestroyReason::Unhealthy || !live {
        return Ok(());
    }
    let (desired, view, now) = (world.machine.desired(), world.view, world.planned);
    let (healing, size) = (&desired.spec.properties.healing, desired.size());
    let sick = |id: &str| view.is_sick(id, desired, now);
    hold(Rule::I7, healing.enabled(), || format!("{} is healed, and healing is off", it.id))?;
    hold(Rule::I7, sick(&it.id), || {
        format!("{} is healed, and not sick beyond doubt: {:?}", it.id, view.seen.get(&it.id))
    })?;
    let removing = &world.machine.ledger().removing;
    let ill = view.seen.keys().filter(|id| sick(id) && (**id == it.id || !leaves(world, id))).count();
    let allowed = healing.max_unhealthy(size);
    hold(Rule::I7, ill <= allowed, || format!("{} is healed, and {ill} are sick where {allowed} may be", it.id))?;
    let healed = removing.iter().filter(|(id, it)| it.reason == DestroyReason::Unhealthy && sick(id)).count();
    let allowed = healing.max_in_flight(size);
    hold(Rule::I7, healed <= allowed, || format!("{} is healed with {healed} at once where {allowed} may be", it.id))
}

/// I7: no slot is healed more often in a row than it may be.
fn within_retries(world: &Start<'_>, book: &mut Book, it: &Destroy) -> Checked {
    if it.retry.is_none() && it.reason != DestroyReason::Unhealthy {
        return Ok(());
    }
    let healing = &world.machine.desired().spec.properties.healing;
    let key = SlotKey::new(it.slot, it.logical_id.as_deref()).0;
    if world.view.seen.get(&it.id).is_some_and(|it| it.is_proven(healing.min_healthy(), world.planned)) {
        book.healed.remove(&key);
    }
    // What nothing takes the place of is no healing, and those without a slot are many.
    if it.retry.is_none() || key == "-" {
        return Ok(());
    }
    // To try again what failed is no other replacement.
    let healed = book.healed.get(&key).map_or(1, |(healed, name)| healed + u32::from(*name != it.name));
    let allowed = healing.max_retries();
    let together = share_a_slot(world.machine, world.view, it);
    hold(Rule::I7, healed <= allowed || together, || {
        format!("{}: its slot is healed the {healed}th time of {allowed}", it.id)
    })
}

/// Two that share a slot during a surge and die together are one failure.
pub(in crate::simulate) fn share_a_slot(machine: &Machine, view: &View, it: &Destroy) -> bool {
    machine.ledger().removing.iter().any(|(id, removal)| {
        let slot = view.seen.get(id).and_then(|it| it.slot);
        *id != it.id && slot == it.slot && removal.logical_id == it.logical_id
    })
}

/// I3: a voluntary disruption leaves enough available.
fn enough_left(world: &Start<'_>, it: &Destroy) -> Checked {
    let desired = world.machine.desired();
    let pets = desired.spec.properties.allocation.is_pets();
    let excess = it.reason == DestroyReason::Terminate
        && desired.goal == Goal::Keep
        && !desired.condemned.contains(&it.id)
        && !pets;
    if it.reason != DestroyReason::RollingUpdate && !excess {
        return Ok(());
    }
    let gone = |id: &str| id == it.id || leaves(world, id);
    let Some(victim) = world.view.seen.get(&it.id) else { return Ok(()) };
    let unjudged = victim.health.is_none() && victim.state == crate::observed::InstanceState::Running;
    if !unjudged && !world.view.is_available(&it.id, desired, world.planned) {
        return Ok(());
    }
    let floor = desired.size().saturating_sub(desired.budget().unavailable);
    let left = world.view.available(desired, gone, world.planned);
    hold(Rule::I3, left >= floor, || {
        format!(
            "{} goes ({:?}) and leaves {left} available where {floor} have to be (judged: {})",
            it.id, it.reason, !unjudged
        )
    })
}

/// Whether the tags are those of a group at all: what the judge calls foreign.
pub(in crate::simulate) fn is_foreign(unit: &Unit) -> bool {
    !unit.instance.tags.contains_key(tags::GROUP)
}
