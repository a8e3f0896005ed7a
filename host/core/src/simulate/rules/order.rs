//! I18: metamorphic rules.

use super::{Checked, Rule, hold};
use crate::machine::Machine;
use crate::plan::plan;
use crate::simulate::random::Random;
use crate::time::Timestamp;

/// I18: the same input gives the same plan, and so does a list in another order.
pub(in crate::simulate) fn indifferent_to_order(
    machine: &Machine,
    now: Timestamp,
    entropy: u64,
    random: &mut Random,
) -> Checked {
    let Some(observation) = machine.observation() else { return Ok(()) };
    let (desired, ledger) = (machine.desired(), machine.ledger());
    let straight = plan(desired, observation, ledger, now, entropy);
    let again = plan(desired, observation, ledger, now, entropy);
    hold(Rule::I18, straight == again, || format!("twice the same gives {:?} and {:?}", straight.0, again.0))?;
    let (mut observation, mut ledger) = ((**observation).clone(), ledger.clone());
    if ledger.tracks.len() != observation.instances.len() {
        return Ok(());
    }
    let mut pairs: Vec<_> = observation.instances.drain(..).zip(ledger.tracks.drain(..)).collect();
    random.shuffle(&mut pairs);
    (observation.instances, ledger.tracks) = pairs.into_iter().unzip();
    let shuffled = plan(desired, &observation, &ledger, now, entropy);
    hold(Rule::I18, straight.0 == shuffled.0, || {
        format!("another order of the list gives {:?} instead of {:?}", shuffled.0, straight.0)
    })?;
    hold(Rule::I18, straight.1.counts == shuffled.1.counts, || {
        format!("another order of the list counts {:?} instead of {:?}", shuffled.1.counts, straight.1.counts)
    })
}
