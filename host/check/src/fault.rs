//! Where a plugin's work meets the outside, and how it can be made to fail there.
//!
//! The host owns files and HTTP, so the kit does not have to hope that something goes wrong: it counts the points in a
//! clean run, and then lets each of them fail once, in each way.

use std::sync::Arc;

use crate::outcome::Stop;

/// What happens at a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// It is not done, and the guest is told so.
    Refused,
    /// It is done, and the guest is told that it is not.
    AnswerLost,
    /// The call ends there.
    CutOff,
}

/// One way in which a point can fail.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Way {
    /// In a few words, for the report: `the disk is full`.
    pub(crate) name: &'static str,
    pub(crate) effect: Effect,
    /// Whether the same call may succeed later, with nothing else changed.
    pub(crate) retryable: bool,
    /// Which one it is, in the words of the faults that offered it.
    pub(crate) index: usize,
}

/// Points that are counted, and of which one can be armed.
pub(crate) trait Faults: Send + Sync {
    /// What a point is: `file operation`, `HTTP exchange`.
    fn point(&self) -> &'static str;

    fn ways(&self) -> Vec<Way>;

    /// Count anew, and let the `k`-th point from now (the first is 1) fail in this way, once.
    fn arm(&self, k: u64, way: &Way);

    /// Count anew, and let all pass.
    fn disarm(&self);

    /// How many points there were since it was armed or disarmed.
    fn seen(&self) -> u64;

    /// What was struck; none while nothing was.
    fn hit(&self) -> Option<String>;
}

/// One point that fails in one way.
#[derive(Clone)]
pub(crate) struct Trial {
    pub(crate) faults: Arc<dyn Faults>,
    pub(crate) k: u64,
    pub(crate) way: Way,
}

impl Trial {
    pub(crate) fn arm(&self) {
        self.faults.arm(self.k, &self.way);
    }

    /// For a report: what was made to fail.
    pub(crate) fn told(&self) -> String {
        let struck = self.faults.hit().unwrap_or_else(|| format!("{} {}", self.faults.point(), self.k));
        format!("{struck}: {}", self.way.name)
    }
}

/// Count the points of a clean run, and answer with every trial of these effects.
pub(crate) async fn trials<F>(
    all: &[Arc<dyn Faults>],
    wanted: impl Fn(&Way) -> bool,
    clean: impl AsyncFnOnce() -> Result<F, Stop>,
) -> Result<(F, Vec<Trial>), Stop> {
    all.iter().for_each(|it| it.disarm());
    let answer = clean().await?;
    let mut trials = Vec::new();
    for faults in all {
        for k in 1..=faults.seen() {
            let ways = faults.ways().into_iter().filter(|it| wanted(it));
            trials.extend(ways.map(|way| Trial { faults: faults.clone(), k, way }));
        }
        faults.disarm();
    }
    Ok((answer, trials))
}
