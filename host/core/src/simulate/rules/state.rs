//! What must hold after every event: I14, I15, I16 and I17, and that planner and linter agree.

use super::{Book, Broken, Checked, Rule, hold};
use crate::ledger::{Intent, Ledger, RolloutKind, Turn};
use crate::machine::Machine;
use crate::plan::Waiting;
use crate::simulate::store::Store;
use crate::step::{Action, Step};

/// I15: what was stored is what is in memory. Asked when all changes were handed to the store.
pub(in crate::simulate) fn replays(ledger: &Ledger, store: &Store) -> Checked {
    let live = store.live();
    hold(Rule::I15, live.memory == ledger.memory, || {
        format!("stored is {:?}, and in memory is {:?}", live.memory, ledger.memory)
    })?;
    let count = ledger.creating.len() + ledger.removing.len();
    let same = count == live.intents.len()
        && live.intents.iter().all(|(key, intent)| match (intent, key.split_at(1).1) {
            (Intent::Create(it), name) => ledger.creating.get(name) == Some(it),
            (Intent::Destroy(it), id) => ledger.removing.get(id) == Some(it),
        });
    hold(Rule::I15, same, || {
        format!("stored is {:?}, and in memory are {:?} and {:?}", live.intents, ledger.creating, ledger.removing)
    })
}

/// I14, I17 and the linter, after a machine was told something.
pub(in crate::simulate) fn after_turn(machine: &Machine, book: &mut Book, turns: &[Turn]) -> Checked {
    for turn in turns {
        match turn {
            // I14: an operator's word begins it anew.
            Turn::Resumed => book.paused = None,
            Turn::RollingBack { .. } => no_rollback_of_a_rollback(machine, book)?,
            _ => {}
        }
    }
    forwards(machine, book)?;
    let refused = machine.report().waiting.iter().find_map(|it| match &it.waiting {
        Waiting::PlanRefused { rule } => Some(rule.clone()),
        _ => None,
    });
    refused.map_or(Ok(()), |detail| Err(Broken { rule: Rule::Linter, detail }))
}

/// I17: a rollback that fails stands still.
fn no_rollback_of_a_rollback(machine: &Machine, book: &Book) -> Checked {
    let rollout = machine.ledger().memory.rollout.as_ref();
    let kind = rollout.map(|it| it.kind);
    hold(Rule::I17, kind != Some(RolloutKind::Rollback) && machine.record().config().rollback_of.is_none(), || {
        format!("a rollback is rolled back: {rollout:?}")
    })?;
    hold(Rule::I17, !book.returned, || "the host goes back twice without an operator's word".into())?;
    Ok(())
}

/// I14: a rollout that succeeded stays so, and neither promotion nor checkpoint is taken back.
fn forwards(machine: &Machine, book: &mut Book) -> Checked {
    let rollout = machine.ledger().memory.rollout.as_ref();
    let now = rollout.map(|it| (it.revision, it.has_succeeded(), it.promoted, it.checkpoint));
    if let (Some(before), Some(now)) = (book.rollout, now)
        && before.0 == now.0
    {
        let forwards = before.1 <= now.1 && before.2 <= now.2 && before.3 <= now.3;
        hold(Rule::I14, forwards, || format!("the rollout was at {before:?} and is at {now:?}"))?;
    }
    book.rollout = now;
    Ok(())
}

/// I16: a host was killed while these calls ran. Each is known to what is durable.
pub(in crate::simulate) fn after_kill<'a>(
    store: &Store,
    book: &Book,
    running: impl Iterator<Item = &'a Step>,
) -> Checked {
    for step in running {
        let key = match &step.action {
            // What was listed needs no intent to be found again.
            Action::Provision(it) if book.names.contains_key(&it.name) => continue,
            Action::Provision(it) => format!("+{}", it.name),
            Action::Destroy(it) => format!("-{}", it.id),
            Action::Label(_) => continue,
        };
        hold(Rule::I16, store.durable().intents.contains_key(&key), || {
            format!("{step:?} ran, and nothing durable says so")
        })?;
    }
    Ok(())
}

/// I16: what the next host remembers is what was durable.
pub(in crate::simulate) fn after_restart(store: &Store, ledger: &Ledger) -> Checked {
    let kept = store.durable();
    let count = ledger.creating.len() + ledger.removing.len();
    hold(Rule::I16, count == kept.intents.len(), || {
        format!("durable were {:?}; the next host knows {:?} and {:?}", kept.intents, ledger.creating, ledger.removing)
    })?;
    let retries = |retries: &crate::ledger::Retries| retries.values().map(|it| it.failures).collect::<Vec<_>>();
    hold(Rule::I16, retries(&kept.memory.retries) == retries(&ledger.memory.retries), || {
        format!("durable were {:?}; the next host knows {:?}", kept.memory.retries, ledger.memory.retries)
    })
}
