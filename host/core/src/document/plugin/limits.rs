//! What a call may cost.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::document::decode::{At, Decoder};
use crate::document::node::Kind;
use crate::grant::Limits;

const LIMITS: [&str; 7] = ["Memory", "CPU", "Wall", "Calls", "Requests", "Answer", "ListLag"];

/// The least and the most linear memory of an instance: a page count that a guest can start with, and wasm32's end.
const MEMORY: RangeInclusive<u64> = 1 << 20..=4 << 30;
/// The least and the most that a call may hand to the host: room for any error, and what a host can bear.
const ANSWER: RangeInclusive<u64> = 64 << 10..=1 << 30;
/// The most calls, and the most requests, of one plugin at once.
const MAX_AT_ONCE: u32 = 1024;
/// The longest a call may take. What takes longer is better asked about again.
const MAX_TIME: Duration = Duration::from_secs(3600);

pub(super) fn limits(decoder: &mut Decoder<'_>, at: &At<'_>) -> Limits {
    let mut limits = Limits::default();
    if !decoder.object(at, "an object with \"Memory\", \"CPU\", \"Wall\" or other limits", &LIMITS) {
        return limits;
    }
    if let Some(memory) = at.get("Memory").and_then(|at| size(decoder, &at, MEMORY)) {
        limits.memory = memory;
    }
    let cpu = at.get("CPU").and_then(|at| time(decoder, &at));
    let wall = at.get("Wall").and_then(|at| time(decoder, &at));
    // Where one is given, the default of the other makes room for it.
    limits.cpu = cpu.unwrap_or_else(|| limits.cpu.min(wall.unwrap_or(limits.wall)));
    limits.wall = wall.unwrap_or_else(|| limits.wall.max(limits.cpu));
    if let (true, Some(cpu)) = (limits.cpu > limits.wall, at.get("CPU")) {
        let wall = crate::duration::format(limits.wall);
        decoder.error(&cpu, format!("a call cannot compute longer than it may take, which is {wall} (\"Wall\")"));
    }
    if let Some(calls) = at.get("Calls").and_then(|at| decoder.whole_number(&at, 1, MAX_AT_ONCE)) {
        limits.calls = calls;
    }
    if let Some(requests) = at.get("Requests").and_then(|at| decoder.whole_number(&at, 1, MAX_AT_ONCE)) {
        limits.requests = requests;
    }
    if let Some(answer) = at.get("Answer").and_then(|at| size(decoder, &at, ANSWER)) {
        limits.answer = answer;
    }
    if let Some(list_lag) = at.get("ListLag").and_then(|at| decoder.duration(&at)) {
        limits.list_lag = list_lag;
    }
    limits
}

fn size(decoder: &mut Decoder<'_>, at: &At<'_>, range: RangeInclusive<u64>) -> Option<u64> {
    let bytes = match &at.node.kind {
        Kind::String(text) => match crate::bytes::parse(text) {
            Ok(bytes) => bytes,
            Err(why) => {
                decoder.error(at, why);
                return None;
            }
        },
        Kind::Number(number) if number.as_u64().is_some() => number.as_u64()?,
        _ => {
            decoder.expected(at, "a size such as \"128MiB\", or a number of bytes");
            return None;
        }
    };
    if range.contains(&bytes) {
        return Some(bytes);
    }
    let (min, max) = (crate::bytes::format(*range.start()), crate::bytes::format(*range.end()));
    let found = decoder.describe(at.node);
    decoder.error(at, format!("expected a size from {min} to {max}, found {found}"));
    None
}

fn time(decoder: &mut Decoder<'_>, at: &At<'_>) -> Option<Duration> {
    let value = decoder.duration(at)?;
    if value.is_zero() {
        decoder.error(at, "the time has to be more than 0");
        return None;
    }
    if value > MAX_TIME {
        decoder.error(at, format!("the time may be {} at most", crate::duration::format(MAX_TIME)));
        return None;
    }
    Some(value)
}
