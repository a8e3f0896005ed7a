//! Guests that are broken in one way, each caught by the check that is meant for it and by no other; and the same guests
//! unbroken, and the official plugins, which hold everywhere.
#![allow(missing_docs, reason = "the names of the tests say it")]

mod common;

use common::{Fixture, built, of_flavor, of_instance, options};
use homeostat_check::{Id, Level, Outcome, Report};

/// Exactly this check fails; what builds on it is not run.
fn only(report: &Report, id: Id) {
    let failed: Vec<_> =
        report.checks.iter().filter(|it| matches!(it.outcome, Outcome::Failed(_))).map(|it| it.id).collect();
    assert_eq!(failed, [id], "{}", report.human());
    assert!(!report.conforms && report.exit_code() == 1);
    assert!(report.leftovers.is_empty(), "{}", report.human());
    let text = report.human();
    assert!(text.contains(&format!("--only {id}")) && text.contains("wit/README.md#"), "{text}");
}

macro_rules! broken {
    ($($kind:ident $name:ident $fault:literal $id:ident;)*) => {$(
        #[tokio::test(flavor = "multi_thread")]
        async fn $name() {
            let fixture = Fixture::new();
            let file = fixture.broken(concat!("broken_", stringify!($kind)), $fault);
            let options = if stringify!($kind) == "instance" { of_instance(Level::Chaos) } else { of_flavor(Level::Chaos) };
            only(&fixture.check(&file, options).await, Id::$id);
        }
    )*};
}

broken! {
    instance instance_bad_version "bad-version" S4;
    instance instance_describe_loops "describe-loops" B1;
    instance instance_nondeterministic_describe "random-describe" B2;
    instance instance_schema_rejects_example "schema-example" B3;
    instance instance_accepts_invalid "accepts-invalid" B4;
    instance instance_wrong_code "wrong-code" B4;
    instance instance_trap_on_empty "trap-on-empty" B5;
    instance instance_trap_without_grants "denied-trap" B6;
    instance instance_hang_without_grants "denied-hangs" B6;
    instance instance_empty_list_without_grants "denied-empty" B6;
    instance instance_loops "loops" B7;
    instance instance_hogs_memory "hogs-memory" B7;
    instance instance_loses_tags "loses-tags" I1;
    instance instance_dup_on_retry "dup-on-retry" I2;
    instance instance_already_exists_ignored "ignores-spec" I3;
    instance instance_destroy_missing_fails "missing-fails" I4;
    instance instance_filters_wrong "or-filter" I5;
    instance instance_cursor_loop "cursor-loop" I6;
    instance instance_page_duplicates "page-duplicates" I6;
    instance instance_page_loses_one "skips-page-ends" I6;
    instance instance_page_too_large "ignores-limit" I6;
    instance instance_partial_list_as_complete "partial-complete" I7;
    instance instance_label_drops_others "label-drops" I8;
    instance instance_cuts_values "cuts-values" I8;
    instance instance_drifts "drifts" I9;
    instance instance_racy "racy" I10;
    instance instance_leaks_secret "leaks-secret" I11;
    instance instance_logs_secret "logs-secret" I11;
    instance instance_prints_secret "prints-secret" I11;
    instance instance_says_stopped "replans" I12;
    instance instance_gives_up "tombstone" C1;
    instance instance_keeps_its_lock "keeps-lock" C2;
    instance instance_forgets_old_files "forgets-old" C4;
    instance instance_retryable_as_invalid "io-invalid" C5;
    flavor flavor_bad_version "bad-version" S4;
    flavor flavor_nondeterministic_describe "random-describe" B2;
    flavor flavor_schema_rejects_example "schema-example" B3;
    flavor flavor_accepts_invalid "accepts-invalid" B4;
    flavor flavor_wrong_code "wrong-code" B4;
    flavor flavor_trap_on_empty "trap-on-empty" B5;
    flavor flavor_trap_without_grants "denied-trap" B6;
    flavor flavor_loops "loops" B7;
    flavor flavor_hogs_memory "hogs-memory" B7;
    flavor flavor_prepare_not_deterministic "random-prepare" F1;
    flavor flavor_prepare_drops_unknown "drops-unknown" F1;
    flavor flavor_prepare_drops_init "drops-init" F1;
    flavor flavor_health_wrong_count "health-count" F2;
    flavor flavor_stopped_is_healthy "stopped-healthy" F2;
    flavor flavor_drain_not_idempotent "drain-once" F3;
    flavor flavor_prepare_drops_a_tag "drops-tag" F4;
    flavor flavor_order_twice "order-twice" F5;
    flavor flavor_gives_up "tombstone" C1;
    flavor flavor_keeps_its_lock "keeps-lock" C2;
    flavor flavor_retryable_as_invalid "io-invalid" C5;
}

/// The version before kept its files in another way: what this one makes, that one does not find.
#[tokio::test(flavor = "multi_thread")]
async fn instance_of_another_format() {
    let fixture = Fixture::new();
    let file = fixture.broken("broken_instance", "other-format");
    let mut options = of_instance(Level::Chaos);
    options.config.previous = Some(built("broken_instance"));
    only(&fixture.check(&file, options).await, Id::C3);
}

fn holds(report: &Report, level: Level) {
    assert!(report.conforms, "{}", report.human());
    assert_eq!(report.exit_code(), 0);
    assert!(report.verdict.starts_with("conforms to homeostat:plugin@0.1 "), "{}", report.verdict);
    assert!(report.verdict.contains(&format!("at level {level}")) && report.verdict.contains("0 failed"));
    println!("{}", report.human());
}

/// No check was skipped but these.
fn skips(report: &Report, ids: &[Id]) {
    let skipped: Vec<_> =
        report.checks.iter().filter(|it| matches!(it.outcome, Outcome::Skipped { .. })).map(|it| it.id).collect();
    assert_eq!(skipped, ids, "{}", report.human());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_unbroken_instance_plugin_holds() {
    let fixture = Fixture::new();
    let report = fixture.check(&built("broken_instance"), of_instance(Level::Chaos)).await;
    holds(&report, Level::Chaos);
    skips(&report, &[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_unbroken_flavor_plugin_holds() {
    let fixture = Fixture::new();
    let report = fixture.check(&built("broken_flavor"), of_flavor(Level::Chaos)).await;
    holds(&report, Level::Chaos);
    skips(&report, &[Id::I11, Id::C4]);
}

#[tokio::test(flavor = "multi_thread")]
async fn instance_file_holds() {
    let fixture = Fixture::new();
    let report = fixture.check(&built("instance_file"), options(&[], Level::Chaos)).await;
    holds(&report, Level::Chaos);
    skips(&report, &[Id::I11]);
}

#[tokio::test(flavor = "multi_thread")]
async fn flavor_vanilla_holds() {
    let fixture = Fixture::new();
    let report = fixture.check(&built("flavor_vanilla"), options(&[], Level::Chaos)).await;
    holds(&report, Level::Chaos);
}
