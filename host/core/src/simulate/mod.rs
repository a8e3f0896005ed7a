//! A world that goes wrong, played from a seed: the real [machine](crate::machine) of a group, and around it a simulated
//! host, store, provider and flavor, on a clock of its own.
//!
//! A seed decides everything: what is declared, what goes wrong and when. It gives the same run on every machine. A run has
//! three parts: everything goes wrong; nothing goes wrong any more, and every rollout has to come to an end; operators mend
//! what the host left to them, and the groups have to become what was declared, and stay so without another step. Rules are
//! checked after every event ([`Rule`]); what breaks one is told with the last events, and the seed that plays it again.
//!
//! The idea is FoundationDB's; the subset of faults that each seed has is swarm testing's.

mod call;
mod fault;
mod keeper;
mod mischief;
mod operator;
mod phase;
mod provider;
mod random;
mod rules;
mod scenario;
mod store;
#[cfg(test)]
mod tests;
mod view;
mod work;
mod world;

use std::fmt;
use std::time::Duration;

pub use fault::Fault;
pub use rules::Rule;
use world::World;

/// What happened in the world of one seed, in which no rule was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// How many things happened.
    pub events: u64,
    /// How many calls were begun.
    pub steps: u64,
    /// How often the host was killed.
    pub kills: u64,
    /// How many specs were committed, the first aside.
    pub commits: u64,
    /// How many rollouts the host took back by itself.
    pub rollbacks: u64,
    /// How often each fault struck.
    pub faults: Vec<(Fault, u64)>,
    /// How much time passed in that world.
    pub time: Duration,
    /// A hash of all that happened.
    pub digest: u64,
}

/// A rule that was broken in the world of one seed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The seed.
    pub seed: u64,
    /// When, in the time of that world.
    pub at: Duration,
    /// Which rule.
    pub rule: Rule,
    /// How.
    pub detail: String,
    /// The kinds of faults of that world.
    pub faults: Vec<&'static str>,
    /// The last events before.
    pub events: Vec<String>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for event in &self.events {
            writeln!(f, "{event}")?;
        }
        let Self { seed, at, rule, detail, .. } = self;
        writeln!(f, "seed {seed}, after {:.3} s: {rule} is broken: {detail}", at.as_secs_f64())?;
        write!(f, "what goes wrong in this world: {}", self.faults.join("; "))
    }
}

impl std::error::Error for Failure {}

/// Play the world of a seed.
///
/// # Errors
/// The first rule that is broken.
pub fn run(seed: u64) -> Result<Summary, Box<Failure>> {
    let (result, world) = play(seed, 0);
    let time = Duration::from_millis(world.now - world::BEGIN);
    let Err(broken) = result else {
        let world::Counts { events, steps, kills, commits, rollbacks, digest } = world.counts;
        let faults = world.faults.struck().collect();
        return Ok(Summary { events, steps, kills, commits, rollbacks, faults, time, digest });
    };
    // It was not put into words, which takes time; the same happens again.
    let (again, mut told) = play(seed, world::TOLD);
    let mut events = told.told();
    if again.as_ref() != Err(&broken) || told.now != world.now {
        events.push(format!("the same seed gave another end the second time: {again:?}"));
    }
    let (faults, rule, detail) = (world.faults.names(), broken.rule, broken.detail);
    Err(Box::new(Failure { seed, at: time, rule, detail, faults, events }))
}

/// Play the world of a seed, and tell all its events however it ends.
pub fn tell(seed: u64) -> Vec<String> {
    play(seed, usize::MAX).1.told()
}

fn play(seed: u64, tell: usize) -> (Result<(), rules::Broken>, World) {
    let mut world = World::new(seed, tell);
    let result = world.run();
    (result, world)
}
