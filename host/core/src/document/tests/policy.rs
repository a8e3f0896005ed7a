//! `Updating`, `Healing` and `Removal`: what is read, and what cannot be had together.

use super::*;
use crate::spec::{Amount, Healing, OnFailure, OnPluginChange, PetStart, Ratio, Removal, RollOrder, VictimOrder};

const PETS: &str = "Allocation: {LogicalIDs: [a, b]}";

/// All that is wrong with a group that has these lines, without the place.
fn faults(lines: &str) -> Vec<String> {
    wrong("g.yaml", &group(lines)).iter().map(|it| it.splitn(3, ": ").nth(2).unwrap().to_owned()).collect()
}

fn properties(lines: &str) -> GroupProperties {
    ok("g.yaml", &group(lines)).stack.groups.remove(0).properties
}

#[test]
fn every_field_of_an_update_is_read() {
    let found = properties(
        "Allocation: {LogicalIDs: [a]}\nUpdating:\n  Duration: 30s\n  SkipBeforeInstanceDestroy: drain\n  \
         MaxUnavailable: 25%\n  MaxSurge: 0\n  Order: stop-first\n  MinReady: 5s\n  HealthyDeadline: 1m\n  \
         ProgressDeadline: 1m\n  MaxFailureRatio: 0.25\n  Monitor: 0s\n  OnFailure: rollback\n  Canary: \" 5 % \"\n  \
         AutoPromote: true\n  Checkpoints: [10%, 50%]\n  Bake: 10m\n  KeepRevisions: 100\n  Start: parallel\n  OnPluginChange: roll",
    );
    let seconds = |it| Some(Duration::from_secs(it));
    let expected = Updating {
        duration: seconds(30),
        count: None,
        skip_before_instance_destroy: Some(SkipStep::Drain),
        max_unavailable: Some(Amount::Percent(25)),
        max_surge: Some(Amount::Count(0)),
        order: Some(RollOrder::StopFirst),
        min_ready: seconds(5),
        healthy_deadline: seconds(60),
        progress_deadline: seconds(60),
        max_failure_ratio: Ratio::new(0.25),
        monitor: seconds(0),
        on_failure: Some(OnFailure::Rollback),
        canary: Some(Amount::Percent(5)),
        auto_promote: Some(true),
        checkpoints: vec![Amount::Percent(10), Amount::Percent(50)],
        bake: seconds(600),
        keep_revisions: Some(100),
        start: Some(PetStart::Parallel),
        on_plugin_change: Some(OnPluginChange::Roll),
    };
    assert_eq!(found.updating, expected);
}

#[test]
fn every_field_of_healing_and_removal_is_read() {
    let found = properties(
        "Healing:\n  Enabled: false\n  Interval: 5s\n  UnhealthyChecks: 32\n  Checks: 32\n  StartupGrace: 0s\n  \
         MaxUnhealthy: 0\n  MaxInFlight: 20%\n  MaxRetries: 0\n  RetryDelay: 1m\n  MinHealthy: 1h\n\
         Removal: {Order: plugin, DrainDeadline: 90s}",
    );
    let seconds = |it| Some(Duration::from_secs(it));
    let healing = Healing {
        enabled: Some(false),
        interval: seconds(5),
        unhealthy_checks: Some(32),
        checks: Some(32),
        startup_grace: seconds(0),
        max_unhealthy: Some(Amount::Count(0)),
        max_in_flight: Some(Amount::Percent(20)),
        max_retries: Some(0),
        retry_delay: seconds(60),
        min_healthy: seconds(3600),
    };
    assert_eq!(found.healing, healing);
    assert_eq!(found.removal, Removal { order: Some(VictimOrder::Plugin), drain_deadline: seconds(90) });
}

#[test]
fn null_and_none_are_the_default() {
    let lines = "Updating: {Canary: 0, Duration: 0s, Count: 0, Checkpoints: [], Order: null, MaxSurge: null}\n\
                 Healing: {Enabled: null}\nRemoval: {}";
    let found = properties(lines);
    assert_eq!(found.updating, Updating::default());
    assert_eq!((found.healing, found.removal), (Healing::default(), Removal::default()));
    assert_eq!(properties("Updating: {Canary: 0%}").updating.canary, None);
    // What asks for nothing contradicts nothing.
    for lines in [
        "Updating: {AutoPromote: false}",
        "Updating: {Bake: 0s}",
        "Updating: {MaxSurge: 0}",
        "Updating: {Canary: 1000}",
        "Updating: {MinReady: 10m}",
        "Updating: {Order: start-first, MaxUnavailable: 0}",
        "Healing: {UnhealthyChecks: 8}",
        "Healing: {Checks: 1}",
        "Allocation: {LogicalIDs: [a]}\nUpdating: {Order: stop-first, MaxSurge: 0%, MaxUnavailable: 2, Start: ordered}",
    ] {
        properties(lines);
    }
}

/// What is accepted is exactly what [`Updating::budget`] keeps: each number as it is written, and the order.
#[test]
fn a_budget_is_accepted_only_where_it_is_kept() {
    let amounts =
        [None, Some(Amount::Count(0)), Some(Amount::Percent(0)), Some(Amount::Count(2)), Some(Amount::Percent(5))];
    let orders = [None, Some(RollOrder::StartFirst), Some(RollOrder::StopFirst)];
    let mut accepted = 0;
    for pets in [false, true] {
        for (order, surge, unavailable) in orders
            .iter()
            .flat_map(|order| amounts.iter().map(move |surge| (order, surge)))
            .flat_map(|(order, surge)| amounts.iter().map(move |unavailable| (*order, *surge, *unavailable)))
        {
            let updating = Updating { order, max_surge: surge, max_unavailable: unavailable, ..Updating::default() };
            let budget = updating.budget(100, pets);
            let kept = surge.is_none_or(|it| it.ceil(100) == budget.surge)
                && unavailable.is_none_or(|it| it.floor(100) == budget.unavailable)
                && match order {
                    Some(RollOrder::StartFirst) => !pets && budget.unavailable == 0,
                    Some(RollOrder::StopFirst) => budget.surge == 0,
                    None => true,
                };
            let allocation = if pets { json!({"LogicalIDs": ["a"]}) } else { json!({"Size": 100}) };
            let plugin = json!({"Plugin": "p"});
            let text = json!({"ID": "a", "Properties": {
                "Allocation": allocation, "Instance": plugin, "Flavor": plugin, "Updating": updating}});
            let found = wrong("g.json", &text.to_string());
            assert_eq!(found.is_empty(), kept, "{text}\n{budget:?} {found:#?}");
            assert!(found.len() <= 3, "{text}\n{found:#?}");
            accepted += usize::from(kept);
        }
    }
    // Without an order, start first, stop first: 19 + 9 + 9 for cattle, 9 + 0 + 9 for pets.
    assert_eq!(accepted, 55);
}

#[test]
fn contradictions_are_told_with_a_way_out() {
    for (lines, error) in [
        (
            "Updating: {MaxSurge: 0, MaxUnavailable: 0%}",
            "\"MaxSurge\" and \"MaxUnavailable\" are both zero, so that nothing could ever be replaced (write at least 1 for one of them)",
        ),
        (
            "Updating: {MaxUnavailable: 0}",
            "\"MaxUnavailable\" is zero, and so is \"MaxSurge\" where it is not given: nothing could ever be replaced (add a \"MaxSurge\" of at least 1)",
        ),
        (
            "Updating: {Order: start-first, MaxUnavailable: 25%}",
            "\"start-first\" takes no old instance away before a new one is available, so that \"MaxUnavailable\" has to be 0 (remove it, or remove \"Order\" to use both it and \"MaxSurge\")",
        ),
        (
            "Updating: {Order: start-first, MaxSurge: 0}",
            "\"start-first\" needs more instances than declared, and \"MaxSurge\" is zero (write at least 1, or \"Order\": \"stop-first\")",
        ),
        (
            "Updating: {Order: stop-first, MaxSurge: 1}",
            "\"stop-first\" makes no new instance before an old one is gone, so that \"MaxSurge\" has to be 0 (remove it, or remove \"Order\" to use both it and \"MaxUnavailable\")",
        ),
        (
            "Updating: {Order: stop-first, MaxUnavailable: 0}",
            "\"stop-first\" needs an instance that may be missing, and \"MaxUnavailable\" is zero (write at least 1, or \"Order\": \"start-first\")",
        ),
        (
            "Updating: {Start: ordered}",
            "\"Start\" says how pets are made, and the instances of this group have no identities (remove it, or name the instances with \"LogicalIDs\")",
        ),
        (
            "Updating: {AutoPromote: true}",
            "\"AutoPromote\" promotes canaries, and there are none (say with \"Canary\" how many there are, or remove it)",
        ),
        (
            "Updating: {AutoPromote: true, Canary: 0}",
            "\"AutoPromote\" promotes canaries, and there are none (say with \"Canary\" how many there are, or remove it)",
        ),
        (
            "Updating: {Bake: 5m, Checkpoints: []}",
            "\"Bake\" is how long a rollout rests at a checkpoint, and there is none (add \"Checkpoints\" such as [\"10%\", \"50%\"], or remove it)",
        ),
        (
            "Updating: {HealthyDeadline: 30s, MinReady: 30s}",
            "no instance could be available in 30s: it has to have been healthy for 30s, says \"MinReady\" (write more than 30s)",
        ),
        (
            "Updating: {HealthyDeadline: 30s, MinReady: 5s, Duration: 1m}",
            "no instance could be available in 30s: it has to have been healthy for 1m, says \"Duration\" (write more than 1m)",
        ),
        (
            "Updating: {ProgressDeadline: 59s, HealthyDeadline: 1m}",
            "a rollout would be given up after 59s, before an instance could be: \"HealthyDeadline\" is 1m (write at least 1m, or a shorter \"HealthyDeadline\")",
        ),
        (
            "Updating: {ProgressDeadline: 1m}",
            "a rollout would be given up after 1m, before an instance could be: \"HealthyDeadline\" is 5m by default (write at least 5m, or a shorter \"HealthyDeadline\")",
        ),
        (
            "Updating: {HealthyDeadline: 0s, ProgressDeadline: 1s}",
            "the time has to be more than 0: no instance is healthy at once (leave it out for the default, 5m)",
        ),
        (
            "Updating: {ProgressDeadline: \"0\"}",
            "the time has to be more than 0: no rollout is done at once (leave it out for the default, 10m)",
        ),
        (
            "Healing: {UnhealthyChecks: 4, Checks: 3}",
            "4 of the last 3 checks cannot have said unhealthy: \"Checks\" is 3 (write at most 3, or more \"Checks\")",
        ),
        (
            "Healing: {MaxInFlight: 0%}",
            "\"MaxInFlight\" is zero, so that nothing could ever be replaced (write at least 1; \"Enabled\": false leaves what is unhealthy alone)",
        ),
        (
            "Healing: {Interval: 0s}",
            "the time has to be more than 0: checks without a pause would never end (leave it out for the default, 10s)",
        ),
        (
            "Removal: {DrainDeadline: 0s}",
            "the time has to be more than 0: nothing is drained at once (leave it out for the default, 60s; \"SkipBeforeInstanceDestroy\": \"drain\" in \"Updating\" leaves draining out of an update)",
        ),
    ] {
        assert_eq!(faults(lines), [error], "{lines}");
    }
}

#[test]
fn pets_have_no_second_instance() {
    for (lines, error) in [
        (
            "Updating: {MaxSurge: 1}",
            "\"MaxSurge\" asks for more instances than declared, and there is never a second instance of an identity (remove it; \"MaxUnavailable\" is how many are replaced at a time)",
        ),
        (
            "Updating: {Order: start-first}",
            "\"start-first\" makes the new instance beside the old one, and there is never a second instance of an identity (write \"stop-first\", or remove \"Order\")",
        ),
        (
            "Updating: {MaxUnavailable: 0}",
            "\"MaxUnavailable\" is zero, so that nothing could ever be replaced: there is never a second instance of an identity (write at least 1)",
        ),
        (
            "Updating: {MaxSurge: 0, MaxUnavailable: 0}",
            "\"MaxSurge\" and \"MaxUnavailable\" are both zero, so that nothing could ever be replaced (write at least 1)",
        ),
    ] {
        assert_eq!(faults(&format!("{PETS}\n{lines}")), [error], "{lines}");
    }
    // Pets are known as such where something else is wrong with them.
    let twice = "Allocation: {LogicalIDs: [a, a]}\nUpdating: {MaxSurge: 1, Start: ordered}";
    assert_eq!(faults(twice).len(), 2);
    // And nothing is held against either where a group is both.
    assert_eq!(faults("Allocation: {Size: 1, LogicalIDs: [a]}\nUpdating: {MaxSurge: 1, Start: ordered}").len(), 1);
}

#[test]
fn values_that_cannot_be_read() {
    for (lines, error) in [
        (
            "Updating: {MaxSurge: 0.25}",
            "expected a number of instances, or a share of the group such as \"25%\", found the number 0.25 (a share is written as \"25%\")",
        ),
        (
            "Updating: {MaxSurge: \"3\"}",
            "expected a number of instances, or a share of the group such as \"25%\", found the string \"3\" (write 3 without quotes, or \"3%\")",
        ),
        ("Updating: {MaxSurge: 101%}", "\"101%\" is more than 100%"),
        ("Updating: {MaxSurge: 2.5%}", "\"2.5%\" is no share; write a number of instances"),
        ("Updating: {MaxSurge: 100001}", "the number 100001 is too large: at most 100000 is allowed"),
        ("Updating: {MaxUnavailable: -1}", "the number -1 is negative; expected a whole number from 0 to 100000"),
        (
            "Updating: {Canary: [1]}",
            "expected a number of instances, or a share of the group such as \"25%\", found a list",
        ),
        (
            "Updating: {Order: stop first}",
            "expected \"start-first\" or \"stop-first\", found the string \"stop first\" (did you mean \"stop-first\"?)",
        ),
        (
            "Updating: {OnFailure: abort}",
            "expected \"pause\", \"continue\" or \"rollback\", found the string \"abort\"",
        ),
        (
            "Updating: {OnFailure: 1}",
            "expected \"pause\", \"continue\" or \"rollback\", found the number 1 (write it in double quotes)",
        ),
        (
            "Updating: {MaxFailureRatio: 10}",
            "expected a share between 0 and 1, found the number 10 (ten percent is written as 0.1)",
        ),
        (
            "Updating: {MaxFailureRatio: 10%}",
            "expected a share between 0 and 1, found the string \"10%\" (ten percent is written as 0.1)",
        ),
        ("Updating: {MaxFailureRatio: -0.1}", "expected a share between 0 and 1, found the number -0.1"),
        (
            "Updating: {AutoPromote: yes, Canary: 1}",
            "expected true or false, found the string \"yes\" (write true, without quotes)",
        ),
        ("Updating: {AutoPromote: 0}", "expected true or false, found the number 0"),
        ("Updating: {KeepRevisions: 0}", "the number 0 is too small: at least 1 is needed"),
        ("Updating: {KeepRevisions: 101}", "the number 101 is too large: at most 100 is allowed"),
        (
            "Updating: {Checkpoints: 10%}",
            "expected a list of shares such as [\"10%\", \"50%\"], found the string \"10%\"",
        ),
        (
            "Updating: {Checkpoints: [10]}",
            "expected a share of the group such as \"25%\", found the number 10 (write \"10%\")",
        ),
        ("Updating: {Checkpoints: [null]}", "expected a share of the group such as \"25%\", found null"),
        ("Updating: {Checkpoints: [0%, 10%]}", "a checkpoint at 0% is passed before anything is replaced (remove it)"),
        (
            "Updating: {Checkpoints: [50%, 100%]}",
            "a checkpoint at 100% is the end of the rollout; the last has to be below (remove it)",
        ),
        (
            "Updating: {Checkpoints: [50%, 10%, 60%]}",
            "checkpoints rise, and 10% comes after 50% (put them in order, each once)",
        ),
        (
            "Updating: {Checkpoints: [10%, 10%]}",
            "checkpoints rise, and 10% comes after 10% (put them in order, each once)",
        ),
        ("Updating: {MinReady: -1s}", "\"-1s\" is no duration"),
        ("Updating: {Monitor: 5}", "expected a duration such as \"30s\" or \"1m30s\", found the number 5"),
        ("Healing: {Checks: 33}", "the number 33 is too large: at most 32 is allowed"),
        ("Healing: {UnhealthyChecks: 0}", "the number 0 is too small: at least 1 is needed"),
        (
            "Healing: {Enabled: \"false\"}",
            "expected true or false, found the string \"false\" (write false, without quotes)",
        ),
        ("Healing: 5", "expected an object with fields such as \"MaxUnhealthy\", found the number 5"),
        ("Removal: {Order: random}", "expected \"newest\", \"oldest\" or \"plugin\", found the string \"random\""),
        ("Removal: []", "expected an object with \"Order\" or \"DrainDeadline\", found an empty list"),
    ] {
        let found = faults(lines);
        assert_eq!(found.len(), 1, "{lines}\n{found:#?}");
        assert!(found[0].starts_with(error), "{lines}\n{}\n{error}", found[0]);
    }
    let long = format!("Updating: {{MaxSurge: {}%}}", "1".repeat(100_000));
    assert!(faults(&long)[0].len() < 300, "a long text is not repeated");
}

#[test]
fn unknown_fields_are_sent_where_they_belong() {
    for (lines, error) in [
        ("Updating: {MaxSruge: 1}", "unknown field \"MaxSruge\" (did you mean \"MaxSurge\"?)"),
        ("Updating: {minready: 1s}", "unknown field \"minready\" (did you mean \"MinReady\"?)"),
        ("Updating: {MinHealthy: 1s}", "unknown field \"MinHealthy\" (\"MinHealthy\" belongs to \"Healing\")"),
        ("Updating: {MaxUnhealthy: 1}", "unknown field \"MaxUnhealthy\" (\"MaxUnhealthy\" belongs to \"Healing\")"),
        ("Updating: {DrainDeadline: 1s}", "unknown field \"DrainDeadline\" (\"DrainDeadline\" belongs to \"Removal\")"),
        ("Healing: {MinReady: 1s}", "unknown field \"MinReady\" (\"MinReady\" belongs to \"Updating\")"),
        ("Healing: {Order: newest}", "unknown field \"Order\" (\"Order\" belongs to \"Updating\" or \"Removal\")"),
        ("Removal: {Size: 1}", "unknown field \"Size\" (\"Size\" belongs to \"Allocation\")"),
        ("Canary: 1", "unknown field \"Canary\" (\"Canary\" belongs to \"Updating\")"),
        ("Heeling: {}", "unknown field \"Heeling\" (did you mean \"Healing\"?)"),
        ("Removal: {Colour: red}", "unknown field \"Colour\" (known here: \"Order\" and \"DrainDeadline\")"),
        ("Updating: {Colour: red}", "unknown field \"Colour\" (known here: \"Duration\", \"Count\", "),
    ] {
        let found = faults(lines);
        assert_eq!(found.len(), 1, "{lines}\n{found:#?}");
        assert!(found[0].starts_with(error), "{lines}\n{}\n{error}", found[0]);
    }
}

#[test]
fn all_faults_of_a_group_are_told_at_once_and_in_place() {
    let text = group(
        "Updating:\n  Order: stop-first\n  MaxSurge: 1\n  Canry: 5\n  AutoPromote: true\n  Bake: 1m\n  \
         HealthyDeadline: x\n  MinReady: 10m\n  ProgressDeadline: 1m\n  Checkpoints: [100%, 5]\n\
         Healing: {Checks: 0, MaxInFlight: 0}\nRemoval: {Order: first, DrainDeadline: 0s}",
    );
    let places: Vec<String> =
        wrong("g.yaml", &text).iter().map(|it| it.splitn(3, ": ").take(2).collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(
        places,
        [
            "5:15 Properties.Updating.MaxSurge",
            "6:5 Properties.Updating.Canry",
            // `AutoPromote`, `Bake` and `ProgressDeadline` are not judged by what could not be read.
            "9:22 Properties.Updating.HealthyDeadline",
            "12:19 Properties.Updating.Checkpoints[0]",
            "12:25 Properties.Updating.Checkpoints[1]",
            "13:21 Properties.Healing.Checks",
            "13:37 Properties.Healing.MaxInFlight",
            "14:20 Properties.Removal.Order",
            "14:42 Properties.Removal.DrainDeadline",
        ]
    );
}
