//! How it behaves before it has got anything: description, schema, validation, and life without grants.

use std::time::{Duration, Instant};

use homeostat_core::outcome::ErrorCode;
use homeostat_core::tags::Tags;
use homeostat_runtime::{CallError, CallErrorKind, Plugin, PluginKind};
use serde_json::Value;

use crate::kit::{Kit, Trust};
use crate::outcome::{Checked, Expect, Failure, Stop, fail, said, shortened};

/// How long a plugin may take to say that it lacks a grant.
const SOON: Duration = Duration::from_secs(1);

/// Fresh instances of the component that describe themselves, at least.
const DESCRIBED: u32 = 3;

pub(super) async fn starts(kit: &Kit) -> Checked {
    let begun = Instant::now();
    kit.load(Trust::Bare).await?;
    Ok(format!("{} ms", begun.elapsed().as_millis()))
}

pub(super) async fn describes_itself_the_same(kit: &Kit) -> Checked {
    let times = kit.repeat().max(DESCRIBED);
    for _ in 0..times {
        let again = kit.load(Trust::Bare).await?;
        let (first, now) = (&kit.info.description, &again.info().description);
        if first != now {
            let text = |it| serde_json::to_string(it).unwrap_or_default();
            return fail(shortened(&text(first)), shortened(&text(now)));
        }
    }
    Ok(format!("{times}x"))
}

pub(super) fn schema(kit: &Kit) -> Checked {
    for sample in &kit.samples.valid {
        if let Some(places) = kit.samples.refused_at(sample) {
            let actual = format!("it refuses {} at {:?}", shortened(&sample.to_string()), places[0]);
            return fail("the schema accepts every valid sample", actual);
        }
    }
    let open = kit.samples.schema.get("additionalProperties").is_none();
    let note = if open { "; note: it accepts unknown members, so typing errors in names pass" } else { "" };
    Ok(format!("{} samples{note}", kit.samples.valid.len()))
}

async fn validate(kit: &Kit, plugin: &Plugin, properties: &Value) -> Result<(), CallError> {
    let answer = match (plugin.as_instance(), plugin.as_flavor()) {
        (Some(plugin), _) => plugin.validate(properties).await,
        (None, Some(plugin)) => plugin.validate(properties, &kit.samples.allocation).await,
        (None, None) => Ok(()),
    };
    if let Err(error) = &answer {
        kit.hear("an error of validate", &error.to_string());
    }
    answer
}

/// What the schema refuses never reaches the plugin from a host, so either may refuse. Where the plugin does, it has to do
/// it in the right way.
pub(super) async fn validates(kit: &Kit) -> Checked {
    let plugin = kit.load(Trust::Sandbox).await?;
    for sample in &kit.samples.valid {
        let expected = format!("validate accepts {}", shortened(&sample.to_string()));
        validate(kit, &plugin, sample).await.expect_call(expected)?;
    }
    let mut by_plugin = 0;
    for wrong in &kit.samples.invalid {
        let told = shortened(&wrong.properties.to_string());
        let places = kit.samples.refused_at(&wrong.properties);
        let answer = validate(kit, &plugin, &wrong.properties).await;
        let error = match (&answer, &places) {
            (Ok(()), None) => return fail(format!("{told} is refused"), "the schema and validate accept it"),
            (Ok(()), Some(places)) => match &wrong.path {
                Some(path) if !wrong.generated && !places.contains(path) => {
                    return fail(
                        format!("{told} is refused at {path:?}"),
                        format!("the schema refuses it at {places:?}"),
                    );
                }
                _ => continue,
            },
            (Err(error), _) => error,
        };
        let expected = format!("{told} is refused with invalid-argument");
        let refusal = match &error.kind {
            CallErrorKind::Plugin(refusal) if refusal.code == ErrorCode::InvalidArgument => refusal,
            CallErrorKind::Plugin(_) => return Err(Failure::of(expected, error).into()),
            // That it does not crash on such is another check.
            _ if wrong.generated => continue,
            _ => return Err(Failure::of(expected, error).into()),
        };
        by_plugin += 1;
        // Where the kit made the sample, the schema has named the place, and what validate objects to is its own affair.
        if wrong.generated {
            continue;
        }
        let Some(path) = &wrong.path else { continue };
        let field = path.rsplit('/').next().unwrap_or_default();
        let named = refusal.path.as_ref() == Some(path) || (refusal.path.is_none() && refusal.message.contains(field));
        if !named {
            return Err(Failure::of(format!("{told} is refused at {path:?}"), error).into());
        }
    }
    let (valid, invalid) = (kit.samples.valid.len(), kit.samples.invalid.len());
    let given = kit.samples.invalid.iter().any(|it| !it.generated);
    let note =
        if given { "" } else { "; note: no Invalid samples were given, so rules beyond the schema were not tried" };
    Ok(format!("{valid} valid, {invalid} invalid, {by_plugin} of them refused by validate{note}"))
}

pub(super) async fn without_grants(kit: &Kit) -> Checked {
    let plugin = kit.load(Trust::Bare).await?;
    let name = kit.name("bare");
    let wants = &kit.info.manifest.wants;
    let mut calls = 0;
    let mut judge = |what: &str, begun: Instant, answer: Result<(), CallError>| {
        calls += 1;
        let expected = format!("{what} without grants answers, or gives an error of its own, within 1 s");
        let took = begun.elapsed();
        match answer {
            Err(error) if error.plugin_error().is_none() => Err(Stop::from(Failure::of(expected, &error))),
            Err(error) if took > SOON => fail(expected, format!("{} after {took:.1?}", said(&error))),
            Ok(()) if took > SOON => fail(expected, format!("it answered after {took:.1?}")),
            _ => Ok(()),
        }
    };
    judge("validate", Instant::now(), validate(kit, &plugin, kit.samples.sample()).await)?;
    match kit.info.kind {
        PluginKind::Instance => {
            let Some(plugin) = plugin.as_instance() else { return Ok(String::new()) };
            let begun = Instant::now();
            let listed = plugin.list(&Tags::new(), true).await;
            let provider = !wants.dirs.is_empty() || !wants.http.is_empty() || !wants.exec.is_empty();
            if let (Ok(listing), true) = (&listed, provider)
                && listing.complete
            {
                let expected = "list without its grants is an error, or says that it is not complete";
                return fail(expected, format!("{} instances, and that they are all", listing.instances.len()));
            }
            judge("list", begun, listed.map(drop))?;
            let begun = Instant::now();
            judge("provision", begun, plugin.provision(&name, &kit.spec()).await.map(drop))?;
            let begun = Instant::now();
            judge("label", begun, plugin.label(&name, &kit.tags(&[])).await)?;
            let begun = Instant::now();
            let reason = homeostat_core::outcome::DestroyReason::Terminate;
            judge("destroy", begun, plugin.destroy(&name, reason).await)?;
        }
        PluginKind::Flavor => {
            let Some(plugin) = plugin.as_flavor() else { return Ok(String::new()) };
            let (properties, allocation) = (kit.samples.sample(), &kit.samples.allocation);
            let instance = super::flavor::instance(kit, "bare");
            let begun = Instant::now();
            let spec = super::flavor::spec(kit);
            judge("prepare", begun, plugin.prepare(properties, &spec, allocation, "check", 1).await.map(drop))?;
            let begun = Instant::now();
            judge("health", begun, plugin.health(properties, std::slice::from_ref(&instance)).await.map(drop))?;
            let begun = Instant::now();
            judge("drain", begun, plugin.drain(properties, &instance).await)?;
        }
    }
    Ok(format!("{calls} calls"))
}
