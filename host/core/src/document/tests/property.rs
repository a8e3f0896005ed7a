//! What holds for every text, and for every spec.

use proptest::prelude::*;

use super::*;
use crate::spec::{Amount, Healing, OnFailure, OnPluginChange, PetStart, Ratio, Removal, RollOrder, VictimOrder};

/// What must hold whatever the text is.
fn check(name: &str, text: &str) {
    let lines = text.split('\n').count() as u32;
    if let Err(errors) = read(name, text) {
        assert!(!errors.is_empty() && errors.len() <= MAX_DIAGNOSTICS, "{name} {text:?}");
        for error in errors {
            assert!((1..=lines).contains(&error.line) && error.column >= 1 && error.len >= 1, "{text:?} {error:?}");
            let line = text.trim_start_matches('\u{feff}').split('\n').nth(error.line as usize - 1).unwrap();
            assert!(error.column as usize <= line.chars().count() + 1, "{text:?} {error:?}");
            assert!(error.source_column as usize <= error.source_line.chars().count() + 1, "{text:?} {error:?}");
        }
    }
}

fn json_value() -> impl Strategy<Value = Value> {
    let number = prop_oneof![
        any::<u64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_filter_map("finite", |n| serde_json::Number::from_f64(n).map(Value::Number)),
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        number,
        any::<String>().prop_map(Value::from)
    ];
    leaf.prop_recursive(4, 32, 5, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            proptest::collection::btree_map(any::<String>(), inner, 0..5)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

fn duration(least: u64) -> impl Strategy<Value = Option<Duration>> {
    // Some short and some of any length.
    let nanos = prop_oneof![least..1000, least..i64::MAX as u64];
    proptest::option::of(nanos.prop_map(Duration::from_nanos))
}

fn amount(least: u32) -> impl Strategy<Value = Option<Amount>> {
    let some = prop_oneof![
        (least..=crate::spec::MAX_GROUP_SIZE).prop_map(Amount::Count),
        (least..=100).prop_map(Amount::Percent)
    ];
    proptest::option::of(some)
}

/// What an update may spend, in every way that leaves it something.
fn spending(pets: bool) -> impl Strategy<Value = (Option<RollOrder>, Option<Amount>, Option<Amount>)> {
    let none = || prop_oneof![Just(None), Just(Some(Amount::Count(0))), Just(Some(Amount::Percent(0)))];
    let stop = (proptest::option::of(Just(RollOrder::StopFirst)), none(), amount(1));
    let start = (Just(Some(RollOrder::StartFirst)), amount(1), none());
    let both = (Just(None), amount(1).prop_filter("some surge", Option::is_some), amount(0));
    if pets { stop.boxed() } else { prop_oneof![stop, start, both].boxed() }
}

fn updating(pets: bool) -> impl Strategy<Value = Updating> {
    let choices = (
        proptest::option::of(1..u32::MAX),
        any::<bool>(),
        proptest::option::of((0..=1_000_000_u32).prop_map(|it| Ratio::new(f64::from(it) / 1e6).unwrap())),
        proptest::sample::select(vec![
            None,
            Some(OnFailure::Pause),
            Some(OnFailure::Continue),
            Some(OnFailure::Rollback),
        ]),
        amount(1),
        proptest::option::of(any::<bool>()),
        proptest::collection::btree_set(1..100_u32, 0..6),
        proptest::option::of(1..=100_u32),
        proptest::sample::select(vec![None, Some(PetStart::Ordered), Some(PetStart::Parallel)]),
    );
    let times = (duration(1), duration(0), duration(1), duration(1), duration(0), duration(0));
    (choices, times, spending(pets)).prop_map(move |(choices, times, (order, max_surge, max_unavailable))| {
        let (count, skip, max_failure_ratio, on_failure, canary, auto_promote, checkpoints, keep_revisions, start) =
            choices;
        let (duration, min_ready, healthy_deadline, progress_deadline, monitor, bake) = times;
        let mut updating = Updating {
            duration: duration.filter(|_| count.is_none()),
            count,
            skip_before_instance_destroy: skip.then_some(SkipStep::Drain),
            max_unavailable,
            max_surge,
            order,
            min_ready,
            healthy_deadline: None,
            progress_deadline: None,
            max_failure_ratio,
            monitor,
            on_failure,
            canary,
            auto_promote: auto_promote.filter(|auto| !auto || canary.is_some()),
            bake: bake.filter(|bake| bake.is_zero() || !checkpoints.is_empty()),
            checkpoints: checkpoints.into_iter().map(Amount::Percent).collect(),
            keep_revisions,
            start: start.filter(|_| pets),
            on_plugin_change: start.map(|_| OnPluginChange::Roll),
        };
        updating.healthy_deadline = healthy_deadline.filter(|it| *it > updating.ready_after());
        updating.progress_deadline = progress_deadline.filter(|it| *it >= updating.healthy_deadline());
        updating
    })
}

fn healing() -> impl Strategy<Value = Healing> {
    let checks = (proptest::option::of(1..=32_u32), proptest::option::of(1..=32_u32));
    let times = (duration(1), duration(0), duration(0), duration(0));
    let rest = (proptest::option::of(any::<bool>()), amount(0), amount(1), proptest::option::of(any::<u32>()));
    (checks, times, rest).prop_map(|(checks, times, (enabled, max_unhealthy, max_in_flight, max_retries))| {
        let (interval, startup_grace, retry_delay, min_healthy) = times;
        let (fewer, more) = match checks {
            (Some(a), Some(b)) => (Some(a.min(b)), Some(a.max(b))),
            other => other,
        };
        Healing {
            enabled,
            interval,
            unhealthy_checks: fewer,
            checks: more,
            startup_grace,
            max_unhealthy,
            max_in_flight,
            max_retries,
            retry_delay,
            min_healthy,
        }
    })
}

fn removal() -> impl Strategy<Value = Removal> {
    let orders = vec![None, Some(VictimOrder::Newest), Some(VictimOrder::Oldest), Some(VictimOrder::Plugin)];
    (proptest::sample::select(orders), duration(1))
        .prop_map(|(order, drain_deadline)| Removal { order, drain_deadline })
}

fn group_spec() -> impl Strategy<Value = GroupSpec> {
    let allocation = prop_oneof![
        (0..=crate::spec::MAX_GROUP_SIZE).prop_map(Allocation::Size),
        proptest::collection::btree_set("[a-zA-Z0-9ä.:-]{1,20}", 0..6)
            .prop_map(|ids| Allocation::LogicalIds(ids.into_iter().collect())),
    ];
    let allocation = allocation.prop_flat_map(|it| (updating(it.is_pets()), Just(it)));
    let plugin = || {
        ("[a-z][a-z/-]{0,20}", json_value()).prop_map(|(plugin, properties)| PluginUse {
            plugin,
            digest: None,
            properties,
        })
    };
    ("[a-zA-Z0-9][a-zA-Z0-9._-]{0,62}", allocation, plugin(), plugin(), healing(), removal()).prop_map(
        |(id, (updating, allocation), instance, flavor, healing, removal)| GroupSpec {
            id,
            properties: GroupProperties { allocation, instance, flavor, updating, healing, removal },
        },
    )
}

/// A text with a few changes: pieces cut out, doubled, or replaced by characters that mean something.
fn mutated() -> impl Strategy<Value = String> {
    let change = (
        any::<prop::sample::Index>(),
        0..40_usize,
        "[\\[\\]{}:,\"'&*!|>%@`#\\-? \t\r\n0-9a-zä\u{0}\u{feff}<~.\\\\]{0,6}",
    );
    (0..3_usize, proptest::collection::vec(change, 1..6)).prop_map(|(base, changes)| {
        let yaml = "Plugins:\n  file: {Path: f.wasm, Limits: {Memory: 64MiB}}\nGroups:\n- &g\n  ID: web\n  Properties:\n    \
                    Allocation: {LogicalIDs: [a, \"b\"]}\n    Instance:\n      Plugin: file\n      Properties: {x: [1, 2.5, null]}\n    \
                    Flavor: {Plugin: vanilla, Properties: {Init: |\n        hi\n      }}\n    \
                    Updating: {Order: stop-first, MaxUnavailable: 25%, MinReady: 5s, HealthyDeadline: 1m, Checkpoints: [10%]}\n    \
                    Healing: {Enabled: true, UnhealthyChecks: 3, Checks: 5}\n    Removal: {Order: oldest}\n";
        let mut text: Vec<char> = [WEB, yaml, r#"[{"Plugin":"group","Properties":{"ID":"a"}}]"#][base].chars().collect();
        for (index, cut, insert) in changes {
            let at = index.index(text.len() + 1);
            let end = (at + cut).min(text.len());
            text.splice(at..end, insert.chars());
        }
        text.into_iter().collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    #[test]
    fn no_text_upsets_the_reader(text in any::<String>(), bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        for name in ["g.json", "g.yaml", "-"] {
            check(name, &text);
            match text_of(name, &bytes) {
                Ok(text) => check(name, text),
                Err(errors) => prop_assert!(errors[0].line >= 1),
            }
        }
    }

    #[test]
    fn no_change_to_a_document_upsets_the_reader(text in mutated()) {
        for name in ["g.json", "g.yaml", "-"] {
            check(name, &text);
        }
    }

    #[test]
    fn strict_json_is_what_serde_json_takes(text in mutated()) {
        let judged = serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok();
        let errors = wrong("g.json", &text);
        // A text that is no JSON is never read as a document.
        prop_assert!(judged || !errors.is_empty());
    }

    #[test]
    fn what_is_written_reads_back_equal(groups in proptest::collection::vec(group_spec(), 1..4)) {
        let mut groups = groups;
        groups.sort_by(|a, b| a.id.cmp(&b.id));
        groups.dedup_by(|a, b| a.id == b.id);
        let stack = Stack { groups, ..Stack::default() };
        for text in [serde_json::to_string(&stack).unwrap(), serde_json::to_string_pretty(&stack).unwrap()] {
            prop_assert_eq!(&ok("g.json", &text).stack, &stack);
        }
        let one = serde_json::to_string(&stack.groups[0]).unwrap();
        prop_assert_eq!(&ok("-", &one).stack.groups[0], &stack.groups[0]);
        prop_assert_eq!(&ok("g.yaml", &one).stack.groups[0], &stack.groups[0]);
    }
}
