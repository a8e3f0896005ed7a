//! How the kit gets between a plugin and its files and requests.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use homeostat_core::spec::PluginSpec;
use homeostat_egress::EgressError;
use homeostat_egress::wire::{FailExchange, How, Match, Recorder, Redactor, Replayer, TapeError, Verdict, Wire};
use homeostat_runtime::{FaultAt, FileError, FileVerdict, LoadError, LogWire, Plugin, Runtime, Wires};
use http::{Request, Response, StatusCode};

use crate::fault::{Effect, Faults, Way};

/// A tape of HTTP exchanges, to run without the provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tape {
    /// Write down all exchanges.
    Record(PathBuf),
    /// Answer from the tape, and from nowhere else.
    Replay(PathBuf),
}

/// What is between the plugin and the outside.
pub(crate) struct Between {
    log: Arc<dyn LogWire>,
    files: Option<Arc<FileFaults>>,
    http: Option<Arc<HttpFaults>>,
    recorder: Option<Arc<Recorder>>,
    replayer: Option<Arc<Replayer>>,
}

impl Between {
    /// Get between a plugin and what it wants. The redactor takes secrets out of a tape, also to find what is asked for on
    /// one that is played.
    ///
    /// # Errors
    /// A tape that cannot be written or read.
    pub(crate) fn new(
        (files, http): (bool, bool),
        tape: Option<&Tape>,
        redactor: Redactor,
        log: Arc<dyn LogWire>,
        slow: Duration,
    ) -> Result<Self, TapeError> {
        let mut between = Self { log, files: None, http: None, recorder: None, replayer: None };
        let mut over: Option<Arc<dyn Wire>> = None;
        match tape {
            Some(Tape::Record(path)) => {
                let recorder = Arc::new(Recorder::create(path, redactor)?);
                over = Some(recorder.clone());
                between.recorder = Some(recorder);
            }
            Some(Tape::Replay(path)) => {
                let replayer = Arc::new(Replayer::open(path, Match::Anywhere, redactor)?);
                over = Some(replayer.clone());
                between.replayer = Some(replayer);
            }
            None => {}
        }
        if files {
            between.files = Some(Arc::new(FileFaults(Arc::new(FaultAt::new()))));
        }
        if http || over.is_some() {
            between.http = Some(Arc::new(HttpFaults::new(over, slow)));
        }
        Ok(between)
    }

    /// What can be made to fail.
    pub(crate) fn faults(&self) -> Vec<Arc<dyn Faults>> {
        let files = self.files.clone().map(|it| it as Arc<dyn Faults>);
        let http = self.http.clone().map(|it| it as Arc<dyn Faults>);
        files.into_iter().chain(http).collect()
    }

    /// Load a plugin behind it.
    pub(crate) async fn load(
        &self,
        runtime: &Runtime,
        name: &str,
        file: &Path,
        spec: &PluginSpec,
    ) -> Result<Plugin, LoadError> {
        let http = self.http.clone().map(|faults| Load { faults, carried: Mutex::default() });
        let wires = Wires {
            files: self.files.as_ref().map(|it| it.0.clone() as _),
            http: http.map(|it| Arc::new(it) as _),
            log: Some(self.log.clone()),
        };
        runtime.load_wired(name, file, spec, wires).await
    }

    /// Whether the plugin asked for nothing so far that the tape does not have.
    pub(crate) fn follows(&self) -> Result<(), TapeError> {
        self.replayer.as_ref().map_or(Ok(()), |it| it.follows())
    }

    /// The end of the run: whether the tape is whole, and where `all` of it should have been played, whether it was.
    pub(crate) fn finish(&self, all: bool) -> Result<(), TapeError> {
        if let Some(recorder) = &self.recorder {
            recorder.finish()?;
        }
        match &self.replayer {
            Some(replayer) if all => replayer.finish(),
            _ => Ok(()),
        }
    }
}

/// Operations on files.
struct FileFaults(Arc<FaultAt>);

/// Each way, and the verdict that it stands for.
const FILES: &[(Way, FileVerdict)] = &[
    (way("the disk has an error", Effect::Refused, 0), FileVerdict::Fail(FileError::Io)),
    (way("the disk is full", Effect::Refused, 1), FileVerdict::Fail(FileError::InsufficientSpace)),
    (way("somebody else is at it", Effect::Refused, 2), FileVerdict::Fail(FileError::Busy)),
    (way("it was done, and the answer was an error", Effect::AnswerLost, 3), FileVerdict::FailAfter(FileError::Io)),
    (way("the call was cut off before it", Effect::CutOff, 4), FileVerdict::CutOff),
    (way("the call was cut off after it", Effect::CutOff, 5), FileVerdict::CutOffAfter),
];

const fn way(name: &'static str, effect: Effect, index: usize) -> Way {
    Way { name, effect, retryable: matches!(effect, Effect::Refused), index }
}

impl Faults for FileFaults {
    fn point(&self) -> &'static str {
        "file operation"
    }

    fn ways(&self) -> Vec<Way> {
        FILES.iter().map(|it| it.0).collect()
    }

    fn arm(&self, k: u64, way: &Way) {
        if let Some((_, verdict)) = FILES.get(way.index) {
            self.0.arm(k, *verdict);
        }
    }

    fn disarm(&self) {
        self.0.disarm();
    }

    fn seen(&self) -> u64 {
        self.0.seen()
    }

    fn hit(&self) -> Option<String> {
        self.0.hit().map(|it| it.to_string())
    }
}

/// HTTP exchanges, of all loads of the plugin.
struct HttpFaults {
    /// What carries them beneath: a tape, or the network.
    over: Option<Arc<dyn Wire>>,
    /// How late an answer is that comes too late.
    slow: Duration,
    state: Mutex<Armed>,
}

struct Armed {
    wire: FailExchange,
    k: u64,
    effect: Effect,
    hit: Option<String>,
    /// How many exchanges there were in the run. Each load counts its own, and a tape needs one order.
    all: u64,
}

impl HttpFaults {
    fn new(over: Option<Arc<dyn Wire>>, slow: Duration) -> Self {
        let wire = passing(over.as_ref());
        let state = Mutex::new(Armed { wire, k: 0, effect: Effect::Refused, hit: None, all: 0 });
        Self { over, slow, state }
    }

    /// What becomes of an exchange, and its number in the run where whatever is beneath carries it.
    fn decide(&self, request: &Request<Bytes>) -> (Verdict, Option<u64>) {
        let mut state = self.state();
        state.all += 1;
        let number = state.all;
        let verdict = state.wire.decide(number, request);
        let is_struck = state.k > 0 && state.wire.seen() == state.k && state.hit.is_none();
        if is_struck {
            state.hit = Some(format!("HTTP exchange {}, {} {}", state.k, request.method(), request.uri()));
        }
        // One that is refused never got there, and has no place on a tape.
        let is_carried = !(is_struck && state.effect == Effect::Refused);
        (verdict, is_carried.then_some(number))
    }

    fn ended(&self, number: u64, request: &Request<Bytes>, answer: Result<&Response<Bytes>, &EgressError>) {
        if let Some(over) = &self.over {
            over.ended(number, request, answer);
        }
    }

    fn state(&self) -> MutexGuard<'_, Armed> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn how(&self, way: &Way) -> How {
        match way.index {
            0 => How::Refused,
            1 => How::Status(StatusCode::INTERNAL_SERVER_ERROR),
            2 => How::Throttled(1),
            3 => How::Slow(self.slow),
            _ => How::Lost,
        }
    }
}

fn fails(k: u64, how: How, over: Option<&Arc<dyn Wire>>) -> FailExchange {
    let wire = FailExchange::new(k, how);
    match over {
        Some(over) => wire.over(over.clone()),
        None => wire,
    }
}

/// Exchanges are counted from 1, so none is struck.
fn passing(over: Option<&Arc<dyn Wire>>) -> FailExchange {
    fails(0, How::Refused, over)
}

/// The exchanges of one load.
struct Load {
    faults: Arc<HttpFaults>,
    /// Those that are under way, by their number here, with that in the run.
    carried: Mutex<HashMap<u64, u64>>,
}

impl Load {
    fn carried(&self) -> MutexGuard<'_, HashMap<u64, u64>> {
        self.carried.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wire for Load {
    fn decide(&self, number: u64, request: &Request<Bytes>) -> Verdict {
        let (verdict, of_run) = self.faults.decide(request);
        if let Some(of_run) = of_run {
            self.carried().insert(number, of_run);
        }
        verdict
    }

    fn ended(&self, number: u64, request: &Request<Bytes>, answer: Result<&Response<Bytes>, &EgressError>) {
        let of_run = self.carried().remove(&number);
        if let Some(of_run) = of_run {
            self.faults.ended(of_run, request, answer);
        }
    }
}

impl Faults for HttpFaults {
    fn point(&self) -> &'static str {
        "HTTP exchange"
    }

    fn ways(&self) -> Vec<Way> {
        vec![
            way("the connection is refused", Effect::Refused, 0),
            way("the provider answers 500", Effect::Refused, 1),
            way("the provider throttles (429)", Effect::Refused, 2),
            way("the answer comes too late", Effect::AnswerLost, 3),
            way("it was done, and the answer was lost", Effect::AnswerLost, 4),
        ]
    }

    fn arm(&self, k: u64, way: &Way) {
        let wire = fails(k, self.how(way), self.over.as_ref());
        let mut state = self.state();
        *state = Armed { wire, k, effect: way.effect, hit: None, all: state.all };
    }

    fn disarm(&self) {
        let mut state = self.state();
        *state = Armed { wire: passing(self.over.as_ref()), k: 0, effect: Effect::Refused, hit: None, all: state.all };
    }

    fn seen(&self) -> u64 {
        self.state().wire.seen()
    }

    fn hit(&self) -> Option<String> {
        self.state().hit.clone()
    }
}

#[cfg(test)]
mod tests {
    use homeostat_egress::wire::{By, Then};

    use super::*;

    #[test]
    fn a_tape_has_one_order_for_all_loads_and_nothing_that_never_got_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tape");
        let recorder = Arc::new(Recorder::create(&path, Redactor::default()).unwrap());
        let faults = Arc::new(HttpFaults::new(Some(recorder.clone()), Duration::from_secs(1)));
        let load = || Load { faults: faults.clone(), carried: Mutex::default() };
        let (first, second) = (load(), load());
        let ask = |load: &Load, number: u64, path: &str| {
            let request = Request::get(format!("http://a.b/{path}")).body(Bytes::new()).unwrap();
            let verdict = load.decide(number, &request);
            load.ended(number, &request, Ok(&Response::new(Bytes::new())));
            verdict
        };
        ask(&first, 1, "one");
        ask(&second, 1, "two");
        let ways = faults.ways();
        faults.arm(2, &ways[0]);
        ask(&first, 2, "three");
        assert!(matches!(ask(&second, 2, "four").by, By::Failure(_)));
        assert_eq!(faults.hit().as_deref(), Some("HTTP exchange 2, GET http://a.b/four"));
        ask(&second, 3, "four");
        faults.arm(1, &ways[4]);
        assert_eq!(ask(&first, 3, "five").then, Then::Lose);
        faults.disarm();
        assert_eq!(recorder.finish().unwrap(), 5);
        let tape = std::fs::read_to_string(path).unwrap();
        let lines: Vec<serde_json::Value> = tape.lines().map(|it| serde_json::from_str(it).unwrap()).collect();
        let urls: Vec<_> = lines.iter().map(|it| it["Url"].as_str().unwrap().rsplit('/').next().unwrap()).collect();
        assert_eq!(urls, ["one", "two", "three", "four", "five"]);
        assert!(lines.is_sorted_by_key(|it| it["Number"].as_u64()), "{tape}");
    }
}
