//! Guests that do their worst, again and again: each costs the call that it was asked in, and nothing more.
//!
//! One test in a file of its own, since it looks at the memory of the process.

mod common;

use std::time::Duration;

use common::{Fixture, built, grant, please, spec};
use homeostat_core::grant::DirMode;
use homeostat_core::tags::Tags;
use homeostat_runtime::{CallError, CallErrorKind, InstancePlugin};

/// How often each is asked for its worst while memory is looked at: more than 200 calls in all.
const ROUNDS: usize = 9;

/// Rounds after which nothing more is allocated for the first time.
const WARM: usize = 4;

/// By how much the process may be larger afterwards, in MiB. One guest that is not taken down is 2 MiB at least.
const GROWTH: u64 = 48;

/// How a call has to end.
#[derive(Clone, Copy)]
enum End {
    Cpu,
    Wall,
    Memory,
    /// It crashed, with this in what the sandbox saw or in what the guest wrote.
    Trap(&'static str),
    /// The answer breaks the contract, with this in the reason.
    Nonsense(&'static str),
    /// The plugin's own error.
    Own(&'static str),
    /// Within the limits, and so nothing that anybody could object to.
    Fine,
}

/// The deed, whether `list` or `validate` is asked for it, and how it ends.
const DEEDS: &[(&str, bool, End)] = &[
    ("spin", false, End::Cpu),
    ("sleep", false, End::Wall),
    ("twitch", false, End::Cpu),
    ("memory", false, End::Memory),
    ("recurse", false, End::Trap("call stack exhausted")),
    ("stack", false, End::Trap("out of bounds")),
    ("unreachable", false, End::Trap("unreachable")),
    ("panic", false, End::Trap("deliberately")),
    ("long-panic", false, End::Trap("at great length,  deliberately")),
    ("exit", false, End::Trap("exit status 1")),
    ("log", false, End::Cpu),
    ("stderr", false, End::Cpu),
    ("http", false, End::Cpu),
    ("secrets", false, End::Cpu),
    ("config", false, End::Cpu),
    ("random", false, End::Cpu),
    ("timers", false, End::Trap("no free keys")),
    ("handles", false, End::Trap("no free keys")),
    ("huge", false, End::Trap("fuel")),
    ("long-message", false, End::Own("so sorry")),
    ("gigabytes", true, End::Trap("fuel")),
    ("same-id", true, End::Nonsense("occurs twice")),
    ("same-cursor", true, End::Nonsense("cursor")),
    ("no-id", true, End::Nonsense("empty id")),
    ("bad-json", true, End::Nonsense("no JSON")),
    ("deep-json", true, End::Nonsense("no JSON")),
    ("many-tags", true, End::Fine),
];

async fn ask(plugin: &InstancePlugin, deed: &str, in_list: bool) -> Result<(), CallError> {
    match in_list {
        true => plugin.list(&Tags::from([("do".to_owned(), deed.to_owned())]), true).await.map(drop),
        false => plugin.validate(&please(deed)).await,
    }
}

#[track_caller]
fn check(deed: &str, end: End, answer: Result<(), CallError>) {
    let kind = match (answer, end) {
        (Ok(()), End::Fine) => return,
        (Ok(()), _) => panic!("{deed}: got an answer"),
        (Err(error), _) => {
            // What an operator is shown stays readable.
            assert!(error.to_string().len() < 20_000, "{deed}: a message of {} bytes", error.to_string().len());
            error.kind
        }
    };
    let as_expected = match (&kind, end) {
        (CallErrorKind::CpuBudget { .. }, End::Cpu) => true,
        (CallErrorKind::Timeout { .. }, End::Wall) => true,
        (CallErrorKind::Memory { .. }, End::Memory) => true,
        (CallErrorKind::Trap { message, stderr }, End::Trap(says)) => {
            stderr.len() < 17 << 10 && (message.contains(says) || stderr.contains(says))
        }
        (CallErrorKind::Nonsense(what), End::Nonsense(says)) => what.contains(says),
        (CallErrorKind::Plugin(own), End::Own(says)) => own.message.contains(says),
        _ => false,
    };
    assert!(as_expected, "{deed}: {kind:.2000?}");
}

/// Resident memory of this process in MiB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find(|it| it.starts_with("VmRSS:")).expect("VmRSS");
    line.split_whitespace().nth(1).expect("a number").parse::<u64>().expect("a number") >> 10
}

#[tokio::test(flavor = "multi_thread")]
async fn each_costs_its_call_and_nothing_more() {
    let f = Fixture::new();
    std::fs::write(f.dir.path().join("file"), "").expect("a file");
    let mut plugins = Vec::new();
    for (_, _, end) in DEEDS {
        let mut spec = spec(&built("hostile_instance"));
        grant(&mut spec, f.dir.path(), DirMode::ReadOnly);
        // What the host has to end is ended soon; all else has what it needs.
        let (cpu, wall) = match end {
            End::Cpu => (30, 10_000),
            End::Wall => (10_000, 100),
            _ => (10_000, 10_000),
        };
        spec.limits.memory = 160 << 20;
        spec.limits.cpu = Duration::from_millis(cpu);
        spec.limits.wall = Duration::from_millis(wall);
        plugins.push(f.plugin(&spec).await);
    }
    let mut before = 0;
    for round in 0..=ROUNDS {
        for ((deed, in_list, end), plugin) in DEEDS.iter().zip(&plugins) {
            let called = plugin.as_instance().expect("an instance plugin");
            check(deed, *end, ask(&called, deed, *in_list).await);
            // The next call works, of this function and of another one.
            ask(&called, "nothing", *in_list).await.unwrap_or_else(|error| panic!("after {deed}: {error}"));
            ask(&called, "nothing", !*in_list).await.unwrap_or_else(|error| panic!("after {deed}: {error}"));
            assert_eq!((plugin.stats().in_flight, plugin.degraded().len()), (0, 0), "after {deed}");
        }
        println!("round {round}: {} MiB resident", resident());
        if round == WARM {
            // What is allocated once is there now, in the allocator's arena of each guest thread.
            before = resident();
        }
    }
    let after = resident();
    println!("{} hostile calls: {before} MiB before, {after} MiB after", ROUNDS * DEEDS.len());
    assert!(ROUNDS * DEEDS.len() >= 200);
    assert!(after < before + GROWTH, "the process has grown from {before} to {after} MiB");
}
