//! The words of a script.

use std::time::Duration;

use super::ScenarioError;
use crate::machine::Control;
use crate::observed::{Health, InstanceState};
use crate::outcome::ErrorCode;

/// What happens, and when.
pub(super) struct Script {
    pub(super) events: Vec<(usize, Duration, Event)>,
}

/// Something that happens.
#[derive(Clone, Debug)]
pub(super) enum Event {
    /// A spec is committed: what changes of the last one.
    Commit {
        pretend: bool,
        convert: bool,
        changes: Vec<(String, String)>,
    },
    /// The state of instances changes.
    State(Which, InstanceState),
    /// Instances are gone, and nobody said so.
    Vanish(Which),
    /// How instances are from now on.
    Health(Which, Health),
    /// How fast the provider is: `provision`, `boot`, `healthy`, `drain`, `destroy`, `lag`.
    Speed(Vec<(String, Duration)>),
    /// What goes wrong from now on, so many times or until it is said to work.
    Fault {
        call: Call,
        how: How,
        times: Option<u32>,
        slot: Option<u32>,
    },
    /// An instance that this host did not make.
    Exists(Vec<(String, String)>),
    /// How the host is set up: `parallel`, `self` (a slot or a logical id), `lag`.
    Host(Vec<(String, String)>),
    /// The host is killed and started again; with what it stored, or without.
    Restart {
        lost: bool,
    },
    /// An operator's word.
    Control(Control),
    Protect(Which, bool),
    Condemn(Which),
    /// The flavor's ranking, by slot.
    Rank(Vec<u32>),
    Destroy,
    Free,
    Describe,
    End,
}

/// A kind of call that can go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    Provision,
    Destroy,
    Drain,
    Label,
    List,
}

/// How it goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    /// It does not any more.
    Works,
    /// It fails, and nothing is done.
    Fails(ErrorCode),
    /// It is done, and the answer is lost.
    Lost,
    /// It is not done, and the answer is lost.
    Unheard,
    /// A list that says it is not whole.
    Partial,
    /// A list that shows nothing, and says it is whole.
    Empty,
}

/// Which instances.
#[derive(Clone, Debug)]
pub(super) enum Which {
    All,
    /// Made from this `Init`, now and later.
    Init(String),
    Slot(u32),
    Id(String),
}

impl Which {
    fn parse(text: &str) -> Self {
        match text.split_once('=') {
            _ if text == "all" => Self::All,
            Some(("Init", init)) => Self::Init(init.to_owned()),
            _ => text.parse().map_or_else(|_| Self::Id(text.to_owned()), Self::Slot),
        }
    }
}

impl Script {
    pub(super) fn parse(text: &str) -> Result<Self, ScenarioError> {
        let mut events = Vec::new();
        let mut before = Duration::ZERO;
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let fault = |message| ScenarioError { line: number + 1, message };
            let mut words = line.split_whitespace();
            let at = crate::duration::parse(words.next().unwrap_or_default()).map_err(fault)?;
            if at < before {
                return Err(fault("it happens before the line above it".into()));
            }
            before = at;
            let words: Vec<&str> = words.collect();
            events.push((number + 1, at, event(&words).map_err(fault)?));
        }
        match events.last() {
            Some((_, _, Event::End)) => Ok(Self { events }),
            _ => Err(ScenarioError { line: text.lines().count(), message: "the last event has to be `end`".into() }),
        }
    }
}

fn event(words: &[&str]) -> Result<Event, String> {
    let Some((verb, rest)) = words.split_first() else { return Err("nothing happens".into()) };
    let which = || rest.first().map(|it| Which::parse(it)).ok_or("which instances?");
    Ok(match *verb {
        "commit" => {
            let (flags, rest): (Vec<&str>, Vec<&str>) = rest.iter().partition(|it| it.starts_with("--"));
            if let Some(flag) = flags.iter().find(|it| !matches!(**it, "--pretend" | "--convert")) {
                return Err(format!("{flag} is no flag of commit"));
            }
            let (pretend, convert) = (flags.contains(&"--pretend"), flags.contains(&"--convert"));
            Event::Commit { pretend, convert, changes: pairs(&rest)? }
        }
        "stops" => Event::State(which()?, InstanceState::Stopped),
        "fails" => Event::State(which()?, InstanceState::Failed),
        "runs" => Event::State(which()?, InstanceState::Running),
        "vanishes" => Event::Vanish(which()?),
        "healthy" => Event::Health(which()?, Health::Healthy),
        "unhealthy" => Event::Health(which()?, Health::Unhealthy),
        "unknown" => Event::Health(which()?, Health::Unknown),
        "provider" => {
            let speeds = pairs(rest)?;
            let speed = |(key, value): (String, String)| Ok::<_, String>((key, crate::duration::parse(&value)?));
            Event::Speed(speeds.into_iter().map(speed).collect::<Result<_, _>>()?)
        }
        "provision" => fault(Call::Provision, rest)?,
        "destruction" => fault(Call::Destroy, rest)?,
        "drain" => fault(Call::Drain, rest)?,
        "label" => fault(Call::Label, rest)?,
        "list" => fault(Call::List, rest)?,
        "exists" => Event::Exists(pairs(rest)?),
        "host" => Event::Host(pairs(rest)?),
        "restart" => Event::Restart { lost: rest == ["lost"] },
        "pause" => Event::Control(Control::Pause),
        "resume" => Event::Control(Control::Resume),
        "promote" => Event::Control(Control::Promote),
        "reset" => Event::Control(Control::Reset),
        "protect" => Event::Protect(which()?, true),
        "unprotect" => Event::Protect(which()?, false),
        "destroy-instances" => Event::Condemn(which()?),
        "rank" => {
            let slots: Result<_, _> = rest.iter().map(|it| it.parse()).collect();
            Event::Rank(slots.map_err(|_| "a ranking is a list of slots")?)
        }
        "destroy" => Event::Destroy,
        "free" => Event::Free,
        "describe" => Event::Describe,
        "end" => Event::End,
        other => return Err(format!("{other} is no event")),
    })
}

/// `works`, `fails CODE`, `lost`, `unheard`, `partial` or `empty`, then `xN` and `slot N` in any order.
fn fault(call: Call, words: &[&str]) -> Result<Event, String> {
    let (mut how, mut times, mut slot) = (None, None, None);
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match *word {
            "works" => how = Some(How::Works),
            "lost" => how = Some(How::Lost),
            "unheard" => how = Some(How::Unheard),
            "partial" => how = Some(How::Partial),
            "empty" => how = Some(How::Empty),
            "fails" => {
                let code = words.next().copied().unwrap_or_default();
                let code = serde_json::from_value(code.into()).map_err(|_| format!("{code} is no code of an error"))?;
                how = Some(How::Fails(code));
            }
            "slot" => slot = words.next().and_then(|it| it.parse().ok()),
            other => {
                let count = other.strip_prefix('x').and_then(|it| it.parse().ok()).filter(|it| *it > 0);
                times = Some(count.ok_or_else(|| format!("{other} is not how a call goes wrong"))?);
            }
        }
    }
    Ok(Event::Fault { call, how: how.ok_or("how does it go wrong?")?, times, slot })
}

fn pairs(words: &[&str]) -> Result<Vec<(String, String)>, String> {
    let pair = |word: &&str| match word.split_once('=') {
        Some((key, value)) => Ok((key.to_owned(), value.to_owned())),
        None => Err(format!("{word} should be KEY=VALUE")),
    };
    words.iter().map(pair).collect()
}
