//! Plays worlds that go wrong, seed by seed, and stops at the first in which a rule is broken.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use homeostat_core::simulate::{self, Fault};

const HELP: &str = "\
Usage: homeostat-sim [--seeds N] [--start S] [--trace] [--keep-going]

Plays the worlds of N seeds (default 1000) from S on (default 0): the real engine of a group in a simulated world in which
calls, lists, clocks, disks and operators do their worst. Stops at the first seed in which a rule is broken.

  --seeds N     how many seeds
  --start S     the first seed
  --trace       tell the last events of each world
  --keep-going  play all seeds, and list those that fail";

struct Wanted {
    seeds: u64,
    start: u64,
    trace: bool,
    keep_going: bool,
}

fn main() -> ExitCode {
    let wanted = match parse(std::env::args().skip(1)) {
        Ok(Some(wanted)) => wanted,
        Ok(None) => {
            println!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Err(wrong) => {
            eprintln!("homeostat-sim: {wrong}\n\n{HELP}");
            return ExitCode::from(2);
        }
    };
    if play(&wanted) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Option<Wanted>, String> {
    let mut wanted = Wanted { seeds: 1000, start: 0, trace: false, keep_going: false };
    while let Some(argument) = arguments.next() {
        let mut number = || {
            let text = arguments.next().ok_or(format!("{argument} needs a number"))?;
            text.parse().map_err(|_| format!("{argument} needs a number, and {text:?} is none"))
        };
        match argument.as_str() {
            "--seeds" => wanted.seeds = number()?,
            "--start" => wanted.start = number()?,
            "--trace" => wanted.trace = true,
            "--keep-going" => wanted.keep_going = true,
            "--help" | "-h" => return Ok(None),
            other => return Err(format!("what is {other:?}?")),
        }
    }
    Ok(Some(wanted))
}

fn play(wanted: &Wanted) -> bool {
    let began = Instant::now();
    let (mut events, mut steps, mut kills, mut commits, mut rollbacks) = (0, 0, 0, 0, 0);
    let mut time = Duration::ZERO;
    let mut faults: BTreeMap<Fault, (u64, u64)> = BTreeMap::new();
    let (mut played, mut failed) = (0u64, 0u64);
    for seed in (wanted.start..).take(usize::try_from(wanted.seeds).unwrap_or(usize::MAX)) {
        if wanted.trace {
            simulate::tell(seed).iter().for_each(|it| println!("{it}"));
        }
        played += 1;
        match simulate::run(seed) {
            Ok(summary) => {
                events += summary.events;
                steps += summary.steps;
                kills += summary.kills;
                commits += summary.commits;
                rollbacks += summary.rollbacks;
                time += summary.time;
                for (fault, count) in summary.faults {
                    let sum = faults.entry(fault).or_default();
                    *sum = (sum.0 + count, sum.1 + u64::from(count > 0));
                }
            }
            Err(failure) if wanted.keep_going => {
                failed += 1;
                let detail: String = failure.detail.chars().take(160).collect();
                println!("seed {seed}: {} is broken: {detail}", failure.rule);
            }
            Err(failure) => {
                println!("{failure}\n\nTo play it again: make sim SEEDS=1 START={seed}");
                return false;
            }
        }
    }
    let wall = began.elapsed();
    let ratio = time.as_secs_f64() / wall.as_secs_f64().max(1e-9);
    println!(
        "{played} seeds, {events} events, {steps} steps, {commits} commits, {rollbacks} rollbacks, {kills} kills\n\
         {:.1} days simulated in {:.1} s: {ratio:.0} times real time, {:.0} seeds a second\n",
        time.as_secs_f64() / 86_400.0,
        wall.as_secs_f64(),
        played as f64 / wall.as_secs_f64().max(1e-9),
    );
    for (fault, (count, seeds)) in faults {
        println!("{count:>9} times in {seeds:>6} seeds: {fault}");
    }
    if failed > 0 {
        println!("\n{failed} seeds failed; to play one again: make sim SEEDS=1 START=SEED");
    }
    failed == 0
}
