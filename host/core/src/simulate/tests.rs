//! Tests of the simulator: that it is deterministic, that no rule is broken in many worlds, and that each rule that is
//! switched off is missed.

use super::*;
use crate::mutant::{self, Mutant};

/// How many seeds each of the two large tests plays.
const SEEDS: u64 = 1_000;
/// Within so many seeds a rule that is switched off is missed.
const SOUGHT: u64 = 5_000;

fn hold(seeds: std::ops::Range<u64>) {
    for seed in seeds {
        if let Err(failure) = run(seed) {
            panic!("{failure}\nTo play it again: make sim SEEDS=1 START={seed}");
        }
    }
}

#[test]
fn a_seed_gives_the_same_run_each_time() {
    for seed in 0..20 {
        assert_eq!(run(seed), run(seed));
    }
    assert_eq!(tell(3), tell(3));
}

#[test]
fn the_rules_hold_in_the_first_worlds() {
    hold(0..SEEDS);
}

#[test]
fn the_rules_hold_in_more_worlds() {
    hold(SEEDS..2 * SEEDS);
}

#[test]
fn every_fault_strikes() {
    let mut struck = std::collections::BTreeMap::new();
    for seed in 0..200 {
        for (fault, count) in run(seed).unwrap().faults {
            *struck.entry(fault).or_insert(0) += count;
        }
    }
    for fault in Fault::ALL {
        assert!(struck[fault] > 0, "{fault} never struck");
    }
}

/// The first world in which it is missed that a rule is switched off.
fn missed(off: Mutant, linter: bool) -> Option<Failure> {
    mutant::with(off, linter, || (0..SOUGHT).find_map(|seed| run(seed).err())).map(|it| *it)
}

/// Play with a rule switched off: one of these rules must be found broken. Without the linter, or that would see it first.
fn is_missed(off: Mutant, rules: &[Rule]) {
    let failure = missed(off, false).unwrap_or_else(|| panic!("nothing misses {off:?} in {SOUGHT} seeds"));
    println!("{off:?}: {} in seed {}: {}", failure.rule, failure.seed, failure.detail);
    assert!(rules.contains(&failure.rule), "{off:?} breaks {}: {}", failure.rule, failure.detail);
}

macro_rules! mutants {
    ($($name:ident: $mutant:ident breaks $($rule:ident),+;)*) => {
        $(#[test]
        fn $name() {
            is_missed(Mutant::$mutant, &[$(Rule::$rule),+]);
        })*
    };
}

mutants! {
    that_a_list_is_not_whole_matters: IncompleteIsWhole breaks I13;
    that_half_is_lost_needs_confirmation: LossIsBelieved breaks I13;
    that_a_list_failed_matters: ListErrorIgnored breaks I13;
    what_is_being_made_counts: CreationsForgotten breaks I4, I2;
    what_was_cut_off_keeps_its_name: UnknownIsNothing breaks I4, I2;
    intents_outlive_the_host: IntentsLostAtRestart breaks I16;
    intents_are_written_down: IntentsUnwritten breaks I15;
    a_floor_is_kept: FloorIgnored breaks I3;
    a_surge_is_limited: SurgeIgnored breaks I4;
    protection_holds: ProtectedIgnored breaks I5;
    an_identity_is_one_instances: IdentityShared breaks I2;
    healing_stops_where_too_many_are_ill: BreakerOff breaks I7;
    healing_takes_a_few_at_a_time: HealingAtOnce breaks I7;
    healing_gives_up: RetriesUnlimited breaks I7;
    what_failed_waits: BackoffOff breaks I7;
    a_pause_holds: PauseIgnored breaks I7;
    a_rollback_is_final: RollbackRolledBack breaks I17;
    a_rollout_without_progress_ends: DeadlineOff breaks I11;
    only_the_groups_own_are_touched: TagIgnored breaks I5;
    calls_are_limited: LimitIgnored breaks I8;
    a_host_waits_for_a_list_that_lags: SettlingOff breaks I4, I2;
    what_a_list_does_not_show_may_be_back: MissingForgotten breaks I4, I2;
    the_order_of_a_list_is_nothing: OrderOfTheList breaks I18;
    a_clock_may_jump: ClockTrusted breaks I10, I11, I12;
    what_was_not_judged_may_be_well: UnjudgedIsUnavailable breaks I3;
    a_name_that_was_seen_is_used_up: SeenIsUnknown breaks I1;
    a_repetition_speaks_for_itself: RepeatSpeaksForAll breaks I4, I2;
    an_id_may_be_used_again: IdIsForEver breaks I3, I7;
}

/// What a planner at fault plans, the linter refuses before anything is begun.
#[test]
fn the_linter_sees_what_a_faulty_planner_plans() {
    let faulty = [
        Mutant::IncompleteIsWhole,
        Mutant::ListErrorIgnored,
        Mutant::CreationsForgotten,
        Mutant::FloorIgnored,
        Mutant::SurgeIgnored,
        Mutant::ProtectedIgnored,
        Mutant::IdentityShared,
        Mutant::HealingAtOnce,
        Mutant::BackoffOff,
        Mutant::PauseIgnored,
        Mutant::TagIgnored,
    ];
    for off in faulty {
        let failure = missed(off, true).unwrap_or_else(|| panic!("the linter does not see {off:?}"));
        println!("{off:?}: {}", failure.detail);
        assert_eq!(failure.rule, Rule::Linter, "{off:?}: {}", failure.detail);
    }
}
