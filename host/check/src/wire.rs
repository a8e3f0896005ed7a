//! How the kit gets between a plugin and its files and requests.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use homeostat_core::spec::PluginSpec;
use homeostat_egress::EgressError;
use homeostat_egress::wire::{FailExchange, How, Match, Recorder, Redactor, Replayer, TapeError, Verdict, Wire};
use homeostat_runtime::{FaultAt, FileError, FileVerdict, LoadError, Plugin, Runtime, Wires};
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
#[derive(Default)]
pub(crate) struct Between {
    files: Option<Arc<FileFaults>>,
    http: Option<Arc<HttpFaults>>,
    recorder: Option<Arc<Recorder>>,
    replayer: Option<Arc<Replayer>>,
}

impl Between {
    /// Get between a plugin and what it wants.
    ///
    /// # Errors
    /// A tape that cannot be written or read.
    pub(crate) fn new(files: bool, http: bool, tape: Option<&Tape>, slow: Duration) -> Result<Self, TapeError> {
        let mut between = Self::default();
        let mut over: Option<Arc<dyn Wire>> = None;
        match tape {
            Some(Tape::Record(path)) => {
                let recorder = Arc::new(Recorder::create(path, Redactor::default())?);
                over = Some(recorder.clone());
                between.recorder = Some(recorder);
            }
            Some(Tape::Replay(path)) => {
                let replayer = Arc::new(Replayer::open(path, Match::Anywhere, Redactor::default())?);
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
        let wires =
            Wires { files: self.files.as_ref().map(|it| it.0.clone() as _), http: self.http.clone().map(|it| it as _) };
        runtime.load_wired(name, file, spec, wires).await
    }

    /// The end of the run: whether the tape is whole.
    pub(crate) fn finish(&self) -> Result<(), TapeError> {
        if let Some(recorder) = &self.recorder {
            recorder.finish()?;
        }
        self.replayer.as_ref().map_or(Ok(()), |it| it.finish())
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

/// HTTP exchanges.
struct HttpFaults {
    /// What carries them beneath: a tape, or the network.
    over: Option<Arc<dyn Wire>>,
    /// How late an answer is that comes too late.
    slow: Duration,
    state: Mutex<Armed>,
}

struct Armed {
    wire: Arc<FailExchange>,
    k: u64,
    hit: Option<String>,
}

impl HttpFaults {
    fn new(over: Option<Arc<dyn Wire>>, slow: Duration) -> Self {
        let state = Mutex::new(Armed { wire: Arc::new(passing(over.as_ref())), k: 0, hit: None });
        Self { over, slow, state }
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

impl Wire for HttpFaults {
    fn decide(&self, number: u64, request: &Request<Bytes>) -> Verdict {
        let mut state = self.state();
        let verdict = state.wire.decide(number, request);
        if state.k > 0 && state.wire.seen() == state.k && state.hit.is_none() {
            state.hit = Some(format!("HTTP exchange {}, {} {}", state.k, request.method(), request.uri()));
        }
        verdict
    }

    fn ended(&self, number: u64, request: &Request<Bytes>, answer: Result<&Response<Bytes>, &EgressError>) {
        let wire = self.state().wire.clone();
        wire.ended(number, request, answer);
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
        let wire = Arc::new(fails(k, self.how(way), self.over.as_ref()));
        *self.state() = Armed { wire, k, hit: None };
    }

    fn disarm(&self) {
        *self.state() = Armed { wire: Arc::new(passing(self.over.as_ref())), k: 0, hit: None };
    }

    fn seen(&self) -> u64 {
        self.state().wire.seen()
    }

    fn hit(&self) -> Option<String> {
        self.state().hit.clone()
    }
}
