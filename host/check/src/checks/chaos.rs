//! What fails in the middle: the provider, the call, the plugin's version, the clock.
//!
//! A trial is one point that fails in one way. Between trials nothing is shared but the provider: each has an instance of
//! its own, and a load of its own, since a plugin whose calls are cut off often is not called for a while.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use homeostat_core::outcome::{DestroyReason, ErrorCode};
use homeostat_core::spec::InstanceSpec;
use homeostat_runtime::{CallError, CallErrorKind, FlavorPlugin, InstancePlugin};

use crate::fault::{Effect, Trial, Way, trials};
use crate::kit::{Kit, Trust};
use crate::outcome::{Checked, Expect, Failure, Stop, fail, said, skip};

/// Far enough for any clock to be wrong: ten years.
const FAR: Duration = Duration::from_secs(10 * 365 * 86_400);

pub(super) async fn provider_fails(kit: &Kit) -> Checked {
    at_each_point(kit, |way| way.effect != Effect::CutOff).await
}

pub(super) async fn cut_off(kit: &Kit) -> Checked {
    let by_point = at_each_point(kit, |way| way.effect == Effect::CutOff).await;
    if kit.options.tape.is_some() {
        // Where a call is by then is never the same twice, and so is not what it has asked for.
        let untried = "calls dropped after a time are not tried with a tape";
        return match by_point {
            Ok(note) => Ok(format!("{note}; {untried}")),
            Err(Stop::Skipped(reason)) => skip(format!("{reason}; {untried}")),
            failed => failed,
        };
    }
    let by_time = dropped(kit).await?;
    match by_point {
        Ok(note) => Ok(format!("{note}; {by_time}")),
        Err(Stop::Skipped(reason)) => Ok(format!("{by_time}; {reason}")),
        failed => failed,
    }
}

async fn at_each_point(kit: &Kit, wanted: impl Fn(&Way) -> bool + Copy) -> Checked {
    if kit.faults.is_empty() {
        return skip("the host has nothing to fail it with");
    }
    match kit.instance() {
        Ok(_) => instance_at_each_point(kit, wanted).await,
        Err(_) => flavor_at_each_point(kit, wanted).await,
    }
}

async fn load_instance(kit: &Kit) -> Result<InstancePlugin, Stop> {
    kit.load(Trust::Full).await?.as_instance().map_or_else(|| skip("it is no instance plugin"), Ok)
}

async fn load_flavor(kit: &Kit) -> Result<FlavorPlugin, Stop> {
    kit.load(Trust::Full).await?.as_flavor().map_or_else(|| skip("it is no flavor plugin"), Ok)
}

async fn instance_at_each_point(kit: &Kit, wanted: impl Fn(&Way) -> bool + Copy) -> Checked {
    let spec = kit.spec();
    let name = kit.name("clean");
    let make = async || kit.provision(&name, &spec).await.expect_call("an instance is made");
    let (id, making) = trials(&kit.faults, wanted, make).await?;
    let remove = async || kit.destroy(&id).await.expect_call("an instance is destroyed");
    let ((), removing) = trials(&kit.faults, wanted, remove).await?;
    if making.is_empty() && removing.is_empty() {
        return skip("it touches nothing that could fail");
    }
    for trial in &making {
        made_in_spite(kit, trial, &spec).await?;
    }
    for trial in &removing {
        removed_in_spite(kit, trial, &spec).await?;
    }
    Ok(format!("{}; {}", counted("provision", &making), counted("destroy", &removing)))
}

/// How many faults there were of a call, and at how many points: `15 faults of destroy (at 3 HTTP exchanges)`.
fn counted(call: &str, trials: &[Trial]) -> String {
    let mut points: BTreeMap<&str, u64> = BTreeMap::new();
    for trial in trials {
        let most = points.entry(trial.faults.point()).or_default();
        *most = trial.k.max(*most);
    }
    let points: Vec<_> =
        points.iter().map(|(point, k)| format!("{k} {point}{}", if *k == 1 { "" } else { "s" })).collect();
    match points.is_empty() {
        true => format!("no fault of {call}, which touches nothing"),
        false => format!("{} faults of {call} (at {})", trials.len(), points.join(" and ")),
    }
}

/// Whether the effect may exist, so that the host lists before it does anything else.
fn unknown(error: &CallError) -> bool {
    error.effect_unknown()
}

/// One instance, whatever failed: the host tries again by its own rules.
async fn made_in_spite(kit: &Kit, trial: &Trial, spec: &InstanceSpec) -> Result<(), Stop> {
    let name = kit.name("trial");
    let plugin = load_instance(kit).await?;
    trial.arm();
    let first = kit.provision_by(&plugin, &name, spec).await;
    let told = trial.told();
    trial.faults.disarm();
    let expected = format!("one instance after this failed: {told}");
    if let Err(error) = &first {
        let listed = if unknown(error) { kit.named(&name, 1).await?.len() } else { 0 };
        if listed == 0 {
            // Not one of the calls that crashed: another load begins with a clean sheet.
            let plugin = load_instance(kit).await?;
            let again = kit.patiently(async || kit.provision_by(&plugin, &name, spec).await).await;
            if let Err(second) = again {
                return fail(expected, format!("{}; then {}", said(error), said(&second)));
            }
        }
    }
    let found = kit.named(&name, 1).await?;
    if found.len() != 1 {
        let first = first.as_ref().map_or_else(said, |id| format!("provision answered {id:?}"));
        return fail(expected, format!("{first}; then {} are listed", found.len()));
    }
    let id = found[0].id.clone();
    let gone = kit.patiently(async || kit.destroy(&id).await).await;
    gone.expect_call(format!("the instance can be destroyed, after this failed: {told}"))?;
    kit.count(&name, 0).await
}

/// None, whatever failed.
async fn removed_in_spite(kit: &Kit, trial: &Trial, spec: &InstanceSpec) -> Result<(), Stop> {
    let (name, id) = kit.make("trial", spec).await?;
    let plugin = load_instance(kit).await?;
    trial.arm();
    let first = plugin.destroy(&id, DestroyReason::Terminate).await;
    let told = trial.told();
    trial.faults.disarm();
    let expected = format!("no instance after destroy, when this failed: {told}");
    if let Err(error) = &first {
        let plugin = load_instance(kit).await?;
        let again = kit.patiently(async || plugin.destroy(&id, DestroyReason::Terminate).await).await;
        if let Err(second) = again {
            return fail(expected, format!("{}; then {}", said(error), said(&second)));
        }
    }
    let left = kit.named(&name, 0).await?;
    if left.is_empty() {
        return Ok(());
    }
    let first = first.as_ref().map_or_else(said, |()| "destroy succeeded".into());
    fail(expected, format!("{first}; then {} are listed", left.len()))
}

async fn flavor_at_each_point(kit: &Kit, wanted: impl Fn(&Way) -> bool + Copy) -> Checked {
    let spec = super::flavor::spec(kit);
    let instance = super::flavor::instance(kit, "trial");
    let properties = kit.samples.sample();
    let prepare = async || super::flavor::prepared(kit, &spec).await;
    let (clean, preparing) = trials(&kit.faults, wanted, prepare).await?;
    let plugin = kit.flavor()?;
    let drain = async || plugin.drain(properties, &instance).await.expect_call("an instance is drained");
    let ((), draining) = trials(&kit.faults, wanted, drain).await?;
    if preparing.is_empty() && draining.is_empty() {
        return skip("it touches nothing that could fail");
    }
    for trial in &preparing {
        let plugin = load_flavor(kit).await?;
        trial.arm();
        let first = plugin.prepare(properties, &spec, &kit.samples.allocation, "check", 1).await;
        let told = trial.told();
        trial.faults.disarm();
        for answer in [first.ok(), Some(super::flavor::prepared(kit, &spec).await?)].into_iter().flatten() {
            if answer != clean {
                let text = |it| serde_json::to_string(it).unwrap_or_default();
                let expected = format!("prepare answers as before, after this failed: {told}: {}", text(&clean));
                return fail(expected, text(&answer));
            }
        }
    }
    for trial in &draining {
        let plugin = load_flavor(kit).await?;
        let instance = super::flavor::instance(kit, "trial");
        trial.arm();
        let _ = plugin.drain(properties, &instance).await;
        let told = trial.told();
        trial.faults.disarm();
        let plugin = load_flavor(kit).await?;
        let again = kit.patiently(async || plugin.drain(properties, &instance).await).await;
        again.expect_call(format!("draining again succeeds, after this failed: {told}"))?;
    }
    Ok(format!("{}; {}", counted("prepare", &preparing), counted("drain", &draining)))
}

/// Calls that are dropped by the host, at points of time spread over what a clean one takes.
async fn dropped(kit: &Kit) -> Checked {
    let times = kit.repeat();
    if kit.instance().is_err() {
        let plugin = kit.flavor()?;
        let (spec, instance) = (super::flavor::spec(kit), super::flavor::instance(kit, "dropped"));
        let properties = kit.samples.sample();
        let begun = Instant::now();
        let clean = super::flavor::prepared(kit, &spec).await?;
        let took = begun.elapsed();
        for part in 0..times {
            let call = plugin.prepare(properties, &spec, &kit.samples.allocation, "check", 1);
            let _ = tokio::time::timeout(took * part / times, call).await;
            let _ = tokio::time::timeout(took * part / times, plugin.drain(properties, &instance)).await;
        }
        let again = super::flavor::prepared(kit, &spec).await?;
        if again != clean {
            return fail("prepare answers as before calls were dropped", format!("{:?}", again.tags));
        }
        plugin.drain(properties, &instance).await.expect_call("draining succeeds after calls of it were dropped")?;
        return Ok(format!("{times} calls dropped"));
    }
    let spec = kit.spec();
    let begun = Instant::now();
    kit.make("dropped", &spec).await?;
    let took = begun.elapsed();
    for part in 0..times {
        let name = kit.name("dropped");
        let _ = tokio::time::timeout(took * part / times, kit.provision(&name, &spec)).await;
        let again = kit.patiently(async || kit.provision(&name, &spec).await).await;
        let id = again.expect_call("the same call succeeds after one that was dropped")?;
        kit.count(&name, 1).await?;
        let _ = tokio::time::timeout(took * part / times, kit.destroy(&id)).await;
        let again = kit.patiently(async || kit.destroy(&id).await).await;
        again.expect_call("destroy succeeds after one that was dropped")?;
        kit.count(&name, 0).await?;
    }
    Ok(format!("{times} calls dropped"))
}

/// What one version made, another one lists, knows again and destroys, and the other way round.
pub(super) async fn another_load(kit: &Kit) -> Checked {
    let file = kit.options.config.previous.clone().unwrap_or_else(|| kit.file.clone());
    let other = kit.load_file(&file, Trust::Full).await?;
    let note = match kit.options.config.previous {
        Some(_) => format!("with {} {}", other.info().description.name, other.info().description.version),
        None => "the same version; give Previous in --config for another".into(),
    };
    if kit.instance().is_err() {
        let spec = super::flavor::spec(kit);
        let clean = super::flavor::prepared(kit, &spec).await?;
        let Some(plugin) = other.as_flavor() else { return fail("another flavor plugin", "it is none") };
        let answer = plugin.prepare(kit.samples.sample(), &spec, &kit.samples.allocation, "check", 1).await;
        let answer = answer.expect_call("the other load prepares the same spec")?;
        // Another version may prepare otherwise, and so roll nothing by itself.
        if kit.options.config.previous.is_none() && answer != clean {
            return fail("the other load prepares the same", format!("{:?}", answer.tags));
        }
        return Ok(note);
    }
    let Some(other) = other.as_instance() else { return fail("another instance plugin", "it is none") };
    let here = kit.instance()?;
    let spec = kit.spec();
    for (maker, taker, way) in [(&here, &other, "the other one"), (&other, &here, "this one")] {
        let name = kit.name("swapped");
        let id = kit.provision_by(maker, &name, &spec).await.expect_call("an instance is made")?;
        let listing = taker.list(&kit.tags(&[]), false).await.expect_call(format!("{way} lists"))?;
        if !listing.instances.iter().any(|it| it.id == id && it.name == name) {
            return fail(format!("{way} lists {name}"), format!("{} others", listing.instances.len()));
        }
        let again =
            kit.provision_by(taker, &name, &spec).await.expect_call(format!("{way} knows the instance again"))?;
        if again != id {
            return fail(format!("the id {id:?} from {way}"), format!("{again:?}"));
        }
        taker.destroy(&id, DestroyReason::Terminate).await.expect_call(format!("{way} destroys it"))?;
        kit.count(&name, 0).await?;
    }
    Ok(note)
}

/// The guest's clock cannot be moved, so the files are: what was just written is ten years old, or of the future.
pub(super) async fn clock(kit: &Kit) -> Checked {
    let dirs = kit.own_dirs();
    if kit.instance().is_err() || dirs.is_empty() {
        return skip("it keeps no times that the kit could move");
    }
    let now = SystemTime::now();
    let (past, future) = (now.checked_sub(FAR).unwrap_or(SystemTime::UNIX_EPOCH), now + FAR);
    let mut moved = 0;
    for (when, time) in [("ten years back", past), ("ten years ahead", future)] {
        let spec = kit.spec();
        let (name, id) = kit.make("clock", &spec).await?;
        for dir in &dirs {
            moved += set_times(dir, time).map_err(|error| Stop::Skipped(format!("times cannot be moved: {error}")))?;
        }
        let expected = format!("{name} is listed when its files are from {when}");
        if kit.named(&name, 1).await?.len() != 1 {
            return fail(expected, "it is not");
        }
        let again = kit.provision(&name, &spec).await.expect_call(format!("it is known again {when}"))?;
        if again != id {
            return fail(format!("the id {id:?} {when}"), format!("{again:?}"));
        }
        kit.patiently(async || kit.destroy(&id).await).await.expect_call(format!("it is destroyed {when}"))?;
        kit.count(&name, 0).await?;
    }
    Ok(format!("{moved} files moved in time"))
}

fn set_times(dir: &Path, time: SystemTime) -> std::io::Result<usize> {
    let mut moved = 0;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            moved += set_times(&entry.path(), time)?;
        } else {
            fs::File::options().write(true).open(entry.path())?.set_modified(time)?;
            moved += 1;
        }
    }
    Ok(moved)
}

/// Every fault that passes by itself, in every call.
pub(super) async fn error_class(kit: &Kit) -> Checked {
    if kit.faults.is_empty() {
        return skip("the host has nothing to fail it with");
    }
    let mut tried = 0;
    let wanted = |way: &Way| way.retryable && way.effect == Effect::Refused;
    if kit.instance().is_ok() {
        let spec = kit.spec();
        let tags = kit.tags(&[]);
        let name = kit.name("class");
        let make = async || kit.provision(&name, &spec).await.expect_call("an instance is made");
        let (id, making) = trials(&kit.faults, wanted, make).await?;
        let list = async || kit.list(&tags, true).await.expect_call("instances are listed");
        let (_, listing) = trials(&kit.faults, wanted, list).await?;
        let remove = async || kit.destroy(&id).await.expect_call("an instance is destroyed");
        let ((), removing) = trials(&kit.faults, wanted, remove).await?;
        for trial in &making {
            let (plugin, name) = (load_instance(kit).await?, kit.name("class"));
            tried += judge(trial, async || kit.provision_by(&plugin, &name, &spec).await.map(drop)).await?;
        }
        for trial in &listing {
            let plugin = load_instance(kit).await?;
            tried += judge(trial, async || plugin.list(&tags, true).await.map(drop)).await?;
        }
        for trial in &removing {
            let (_, id) = kit.make("class", &spec).await?;
            let plugin = load_instance(kit).await?;
            tried += judge(trial, async || plugin.destroy(&id, DestroyReason::Terminate).await).await?;
        }
    } else {
        let (spec, instance) = (super::flavor::spec(kit), super::flavor::instance(kit, "class"));
        let properties = kit.samples.sample();
        let prepare = async || super::flavor::prepared(kit, &spec).await;
        let (_, preparing) = trials(&kit.faults, wanted, prepare).await?;
        let plugin = kit.flavor()?;
        let drain = async || plugin.drain(properties, &instance).await.expect_call("an instance is drained");
        let ((), draining) = trials(&kit.faults, wanted, drain).await?;
        for trial in &preparing {
            let plugin = load_flavor(kit).await?;
            let prepare = plugin.prepare(properties, &spec, &kit.samples.allocation, "check", 1);
            tried += judge(trial, async || prepare.await.map(drop)).await?;
        }
        for trial in &draining {
            let plugin = load_flavor(kit).await?;
            let instance = super::flavor::instance(kit, "class");
            tried += judge(trial, async || plugin.drain(properties, &instance).await).await?;
        }
    }
    if tried == 0 {
        return skip("it touches nothing that could fail");
    }
    Ok(format!("{tried} faults"))
}

/// Let one fault strike in one call, and look at what it is called.
async fn judge(trial: &Trial, call: impl AsyncFnOnce() -> Result<(), CallError>) -> Result<usize, Stop> {
    trial.arm();
    let answer = call().await;
    let told = trial.told();
    trial.faults.disarm();
    let Err(error) = answer else { return Ok(1) };
    let hopeless = |code: ErrorCode| matches!(code, ErrorCode::InvalidArgument | ErrorCode::Unimplemented);
    match &error.kind {
        CallErrorKind::Plugin(it) if hopeless(it.code) => {
            Err(Failure::of(format!("an error after which the host tries again, when this failed: {told}"), &error)
                .into())
        }
        _ => Ok(1),
    }
}
