//! The policies of a group: its `Updating`, `Healing` and `Removal`, and what in them cannot be had together.
//!
//! A fault here is what asks for something that cannot happen. What only says the default, such as `"MaxSurge": 0`, is
//! none. Nothing is said of two fields together where one of them could not be read.

use super::decode::{At, Decoder};
use super::field::{Field, Fields};
use super::node::Kind;
use crate::duration::format;
use crate::spec::{
    Amount, Healing, OnFailure, OnPluginChange, PetStart, Removal, RollOrder, SkipStep, Updating, VictimOrder,
};

const UPDATING: [&str; 19] = [
    "Duration",
    "Count",
    "SkipBeforeInstanceDestroy",
    "MaxUnavailable",
    "MaxSurge",
    "Order",
    "MinReady",
    "HealthyDeadline",
    "ProgressDeadline",
    "MaxFailureRatio",
    "Monitor",
    "OnFailure",
    "Canary",
    "AutoPromote",
    "Checkpoints",
    "Bake",
    "KeepRevisions",
    "Start",
    "OnPluginChange",
];
const HEALING: [&str; 10] = [
    "Enabled",
    "Interval",
    "UnhealthyChecks",
    "Checks",
    "StartupGrace",
    "MaxUnhealthy",
    "MaxInFlight",
    "MaxRetries",
    "RetryDelay",
    "MinHealthy",
];
const REMOVAL: [&str; 2] = ["Order", "DrainDeadline"];

/// The most revisions that a group may remember: each is a whole spec in the store.
const MAX_REVISIONS: u32 = 100;

const NO_SECOND: &str = "there is never a second instance of an identity";
const AT_LEAST_ONE: &str = "write at least 1";

/// The policy that a field is of, where that is not the one whose fields are `known`.
pub(super) fn belongs(field: &str, known: &[&str]) -> Option<&'static str> {
    let is_of = |names: &[&str]| names.contains(&field) && names != known;
    if known.contains(&field) {
        return None;
    }
    match (is_of(&UPDATING), is_of(&HEALING), is_of(&REMOVAL)) {
        (true, _, true) => Some("\"Updating\" or \"Removal\""),
        (true, ..) => Some("\"Updating\""),
        (_, true, _) => Some("\"Healing\""),
        (_, _, true) => Some("\"Removal\""),
        _ => None,
    }
}

/// Whether an object with these fields is a policy. Some names are much alike across policies (`MinReady`, `MinHealthy`),
/// so that there an exact name of another one says more than a near name of this one.
pub(super) fn is_policy(known: &[&str]) -> bool {
    known == UPDATING || known == HEALING || known == REMOVAL
}

fn some(amount: &Amount) -> bool {
    !amount.is_zero()
}

fn zero(amount: &Amount) -> bool {
    amount.is_zero()
}

/// Note that a value asks for what cannot be.
fn refuse(decoder: &mut Decoder<'_>, at: &At<'_>, message: impl Into<String>, help: impl Into<String>) {
    if let Some(error) = decoder.error(at, message) {
        error.help = Some(help.into());
    }
}

/// Note that a field has no place beside the others.
fn refuse_field(decoder: &mut Decoder<'_>, at: &At<'_>, message: impl Into<String>, help: impl Into<String>) {
    if let Some(error) = decoder.error_at_key(at, message) {
        error.help = Some(help.into());
    }
}

/// The `Updating` of a group; `pets` says whether its instances have identities, where that is known.
///
/// Zero is InfraKit's way to write "none" for `Duration` and `Count`, and here for `Canary`.
pub(super) fn updating(decoder: &mut Decoder<'_>, at: &At<'_>, pets: Option<bool>) -> Updating {
    if !decoder.object(at, "an object with fields such as \"MaxUnavailable\"", &UPDATING) {
        return Updating::default();
    }
    let fields = Fields::of(at, &UPDATING);
    let duration = fields.read("Duration", |at| decoder.duration(at));
    let count = fields.read("Count", |at| decoder.whole_number(at, 0, u32::MAX));
    if let (Some(_), Some(count)) = (duration.is(|it| !it.is_zero()), count.is(|it| *it > 0)) {
        decoder.error_at_key(count, "both \"Duration\" and \"Count\" are given; keep one");
    }
    let skip = fields.read("SkipBeforeInstanceDestroy", |at| skip(decoder, at));
    let max_unavailable = fields.read("MaxUnavailable", |at| decoder.amount(at));
    let max_surge = fields.read("MaxSurge", |at| decoder.amount(at));
    let orders = [("start-first", RollOrder::StartFirst), ("stop-first", RollOrder::StopFirst)];
    let order = fields.read("Order", |at| decoder.choice(at, &orders));
    let min_ready = fields.read("MinReady", |at| decoder.duration(at));
    let healthy_deadline = fields.read("HealthyDeadline", |at| {
        decoder.some_time(at, "no instance is healthy at once", "leave it out for the default, 5m")
    });
    let progress_deadline = fields.read("ProgressDeadline", |at| {
        decoder.some_time(at, "no rollout is done at once", "leave it out for the default, 10m")
    });
    let max_failure_ratio = fields.read("MaxFailureRatio", |at| decoder.ratio(at));
    let monitor = fields.read("Monitor", |at| decoder.duration(at));
    let reactions = [("pause", OnFailure::Pause), ("continue", OnFailure::Continue), ("rollback", OnFailure::Rollback)];
    let on_failure = fields.read("OnFailure", |at| decoder.choice(at, &reactions));
    let canary = fields.read("Canary", |at| decoder.amount(at));
    let auto_promote = fields.read("AutoPromote", |at| decoder.truth(at));
    let checkpoints = fields.read("Checkpoints", |at| checkpoints(decoder, at));
    let bake = fields.read("Bake", |at| decoder.duration(at));
    let keep_revisions = fields.read("KeepRevisions", |at| decoder.whole_number(at, 1, MAX_REVISIONS));
    let starts = [("ordered", PetStart::Ordered), ("parallel", PetStart::Parallel)];
    let start = fields.read("Start", |at| decoder.choice(at, &starts));
    let meanings = [("keep", OnPluginChange::Keep), ("roll", OnPluginChange::Roll)];
    let on_plugin_change = fields.read("OnPluginChange", |at| decoder.choice(at, &meanings));

    check_budget(decoder, pets, &order, &max_surge, &max_unavailable);
    if let (Some(false), Some(start)) = (pets, &start.at) {
        let message = "\"Start\" says how pets are made, and the instances of this group have no identities";
        refuse_field(decoder, start, message, "remove it, or name the instances with \"LogicalIDs\"");
    }
    if let Some(auto_promote) = auto_promote.is(|it| *it)
        && (canary.is_absent() || canary.is(zero).is_some())
    {
        let message = "\"AutoPromote\" promotes canaries, and there are none";
        refuse_field(decoder, auto_promote, message, "say with \"Canary\" how many there are, or remove it");
    }
    if let Some(bake) = bake.is(|it| !it.is_zero())
        && (checkpoints.is_absent() || checkpoints.is(Vec::is_empty).is_some())
    {
        let message = "\"Bake\" is how long a rollout rests at a checkpoint, and there is none";
        refuse_field(decoder, bake, message, "add \"Checkpoints\" such as [\"10%\", \"50%\"], or remove it");
    }
    let deadlines_known =
        !duration.is_wrong() && !min_ready.is_wrong() && !healthy_deadline.is_wrong() && !progress_deadline.is_wrong();
    let deadlines = (healthy_deadline.at, progress_deadline.at);

    let updating = Updating {
        duration: duration.value.filter(|it| !it.is_zero()),
        count: count.value.filter(|it| *it > 0),
        skip_before_instance_destroy: skip.value.flatten(),
        max_unavailable: max_unavailable.value,
        max_surge: max_surge.value,
        order: order.value,
        min_ready: min_ready.value,
        healthy_deadline: healthy_deadline.value,
        progress_deadline: progress_deadline.value,
        max_failure_ratio: max_failure_ratio.value,
        monitor: monitor.value,
        on_failure: on_failure.value,
        canary: canary.value.filter(some),
        auto_promote: auto_promote.value,
        checkpoints: checkpoints.value.unwrap_or_default(),
        bake: bake.value,
        keep_revisions: keep_revisions.value,
        start: start.value,
        on_plugin_change: on_plugin_change.value,
    };
    if deadlines_known {
        check_deadlines(decoder, &updating, deadlines);
    }
    updating
}

/// Whether anything can be replaced, and as the order says. Each that is accepted is what [`Updating::budget`] does.
fn check_budget(
    decoder: &mut Decoder<'_>,
    pets: Option<bool>,
    order: &Field<'_, RollOrder>,
    surge: &Field<'_, Amount>,
    unavailable: &Field<'_, Amount>,
) {
    // Kubernetes' rule.
    let neither = surge.is(zero).and(unavailable.is(zero));
    if let Some(at) = neither {
        let message = "\"MaxSurge\" and \"MaxUnavailable\" are both zero, so that nothing could ever be replaced";
        let help = match pets {
            Some(true) => AT_LEAST_ONE,
            _ => "write at least 1 for one of them",
        };
        refuse(decoder, at, message, help);
    }
    if pets == Some(true) {
        if let Some(at) = surge.is(some) {
            let message = format!("\"MaxSurge\" asks for more instances than declared, and {NO_SECOND}");
            refuse_field(decoder, at, message, "remove it; \"MaxUnavailable\" is how many are replaced at a time");
        }
        if let Some(at) = order.is(|it| *it == RollOrder::StartFirst) {
            let message = format!("\"start-first\" makes the new instance beside the old one, and {NO_SECOND}");
            refuse(decoder, at, message, "write \"stop-first\", or remove \"Order\"");
        }
        if let (Some(at), None) = (unavailable.is(zero), neither) {
            let message = format!("\"MaxUnavailable\" is zero, so that nothing could ever be replaced: {NO_SECOND}");
            refuse(decoder, at, message, AT_LEAST_ONE);
        }
        return;
    }
    match order.value {
        Some(RollOrder::StartFirst) => {
            if let Some(at) = unavailable.is(some) {
                let message = "\"start-first\" takes no old instance away before a new one is available, so that \
                               \"MaxUnavailable\" has to be 0";
                refuse(decoder, at, message, "remove it, or remove \"Order\" to use both it and \"MaxSurge\"");
            }
            if let (Some(at), None) = (surge.is(zero), neither) {
                let message = "\"start-first\" needs more instances than declared, and \"MaxSurge\" is zero";
                refuse(decoder, at, message, "write at least 1, or \"Order\": \"stop-first\"");
            }
        }
        Some(RollOrder::StopFirst) => {
            if let Some(at) = surge.is(some) {
                let message = "\"stop-first\" makes no new instance before an old one is gone, so that \"MaxSurge\" has \
                               to be 0";
                refuse(decoder, at, message, "remove it, or remove \"Order\" to use both it and \"MaxUnavailable\"");
            }
            if let (Some(at), None) = (unavailable.is(zero), neither) {
                let message = "\"stop-first\" needs an instance that may be missing, and \"MaxUnavailable\" is zero";
                refuse(decoder, at, message, "write at least 1, or \"Order\": \"start-first\"");
            }
        }
        None if order.is_absent() && surge.is_absent() => {
            if let Some(at) = unavailable.is(zero) {
                let message = "\"MaxUnavailable\" is zero, and so is \"MaxSurge\" where it is not given: nothing could \
                               ever be replaced";
                refuse(decoder, at, message, "add a \"MaxSurge\" of at least 1");
            }
        }
        None => {}
    }
}

/// Whether the deadlines leave the time that what they wait for takes. A default counts where a field is absent.
fn check_deadlines(decoder: &mut Decoder<'_>, updating: &Updating, at: (Option<At<'_>>, Option<At<'_>>)) {
    let (ready, healthy, progress) =
        (updating.ready_after(), updating.healthy_deadline(), updating.progress_deadline());
    let (healthy_at, progress_at) = at;
    if let Some(at) = &healthy_at
        && healthy <= ready
    {
        let field = if updating.min_ready == Some(ready) { "MinReady" } else { "Duration" };
        let message = format!(
            "no instance could be available in {}: it has to have been healthy for {}, says {field:?}",
            format(healthy),
            format(ready)
        );
        refuse(decoder, at, message, format!("write more than {}", format(ready)));
    }
    if let Some(at) = &progress_at
        && progress < healthy
    {
        let by_default = if healthy_at.is_some() { "" } else { " by default" };
        let message = format!(
            "a rollout would be given up after {}, before an instance could be: \"HealthyDeadline\" is {}{by_default}",
            format(progress),
            format(healthy)
        );
        refuse(decoder, at, message, format!("write at least {}, or a shorter \"HealthyDeadline\"", format(healthy)));
    }
}

/// What is to be left out: a step, or none, which InfraKit writes as an empty string.
fn skip(decoder: &mut Decoder<'_>, at: &At<'_>) -> Option<Option<SkipStep>> {
    match decoder.string(at, "\"drain\"")? {
        "drain" => Some(Some(SkipStep::Drain)),
        "" => Some(None),
        _ => {
            decoder.expected(at, "\"drain\", the only step that can be left out");
            None
        }
    }
}

/// Shares of the group, each more than the one before it and less than all.
fn checkpoints(decoder: &mut Decoder<'_>, at: &At<'_>) -> Option<Vec<Amount>> {
    if !matches!(at.node.kind, Kind::Array(_)) {
        decoder.expected(at, "a list of shares such as [\"10%\", \"50%\"]");
        return None;
    }
    let mut shares = Vec::new();
    let mut highest = 0;
    let mut whole = true;
    for item in at.items() {
        let Some(Amount::Percent(percent)) = decoder.share(&item) else {
            whole = false;
            continue;
        };
        let wrong = match percent {
            0 => Some("a checkpoint at 0% is passed before anything is replaced".into()),
            100 => Some("a checkpoint at 100% is the end of the rollout; the last has to be below".into()),
            _ if percent <= highest => Some(format!("checkpoints rise, and {percent}% comes after {highest}%")),
            _ => None,
        };
        match wrong {
            Some(wrong) => {
                whole = false;
                let help = if percent == 0 || percent == 100 { "remove it" } else { "put them in order, each once" };
                refuse(decoder, &item, wrong, help);
            }
            None => {
                highest = percent;
                shares.push(Amount::Percent(percent));
            }
        }
    }
    whole.then_some(shares)
}

/// The `Healing` of a group.
pub(super) fn healing(decoder: &mut Decoder<'_>, at: &At<'_>) -> Healing {
    if !decoder.object(at, "an object with fields such as \"MaxUnhealthy\"", &HEALING) {
        return Healing::default();
    }
    let fields = Fields::of(at, &HEALING);
    let unhealthy_checks = fields.read("UnhealthyChecks", |at| decoder.whole_number(at, 1, Healing::MAX_CHECKS));
    let checks = fields.read("Checks", |at| decoder.whole_number(at, 1, Healing::MAX_CHECKS));
    if let (Some(at), Some(most), Some(written)) = (&unhealthy_checks.at, checks.value, unhealthy_checks.value)
        && written > most
    {
        let message = format!("{written} of the last {most} checks cannot have said unhealthy: \"Checks\" is {most}");
        refuse(decoder, at, message, format!("write at most {most}, or more \"Checks\""));
    }
    let max_in_flight = fields.read("MaxInFlight", |at| decoder.amount(at));
    if let Some(at) = max_in_flight.is(zero) {
        let message = "\"MaxInFlight\" is zero, so that nothing could ever be replaced";
        refuse(decoder, at, message, "write at least 1; \"Enabled\": false leaves what is unhealthy alone");
    }
    let mut duration = |name| at.get(name).and_then(|at| decoder.duration(&at));
    let (startup_grace, retry_delay) = (duration("StartupGrace"), duration("RetryDelay"));
    let min_healthy = duration("MinHealthy");
    Healing {
        enabled: at.get("Enabled").and_then(|at| decoder.truth(&at)),
        interval: at.get("Interval").and_then(|at| {
            decoder.some_time(&at, "checks without a pause would never end", "leave it out for the default, 10s")
        }),
        unhealthy_checks: unhealthy_checks.value,
        checks: checks.value,
        startup_grace,
        max_unhealthy: at.get("MaxUnhealthy").and_then(|at| decoder.amount(&at)),
        max_in_flight: max_in_flight.value,
        max_retries: at.get("MaxRetries").and_then(|at| decoder.whole_number(&at, 0, u32::MAX)),
        retry_delay,
        min_healthy,
    }
}

/// The `Removal` of a group.
pub(super) fn removal(decoder: &mut Decoder<'_>, at: &At<'_>) -> Removal {
    if !decoder.object(at, "an object with \"Order\" or \"DrainDeadline\"", &REMOVAL) {
        return Removal::default();
    }
    let orders = [("newest", VictimOrder::Newest), ("oldest", VictimOrder::Oldest), ("plugin", VictimOrder::Plugin)];
    Removal {
        order: at.get("Order").and_then(|at| decoder.choice(&at, &orders)),
        drain_deadline: at.get("DrainDeadline").and_then(|at| {
            let help = "leave it out for the default, 60s; \"SkipBeforeInstanceDestroy\": \"drain\" in \"Updating\" \
                        leaves draining out of an update";
            decoder.some_time(&at, "nothing is drained at once", help)
        }),
    }
}
