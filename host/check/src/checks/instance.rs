//! Making and destroying instances: once, twice, and eight times at once.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use homeostat_core::observed::{Instance, InstanceState};
use homeostat_core::outcome::{DestroyReason, ErrorCode};
use homeostat_core::spec::InstanceSpec;

use crate::kit::{Kit, exists};
use crate::outcome::{Checked, Expect, Failure, Stop, fail, said};

/// Calls at once for one name.
const AT_ONCE: usize = 8;

/// How long an instance may be on its way before it is read.
const SETTLED: Duration = Duration::from_secs(60);

/// Two specs that differ from the sample: in another init script, and in other tags; or as the author says.
fn others(kit: &Kit, spec: &InstanceSpec) -> Vec<(&'static str, InstanceSpec)> {
    if let Some(properties) = &kit.samples.other {
        return vec![("other properties", InstanceSpec { properties: properties.clone(), ..spec.clone() })];
    }
    let init = InstanceSpec { init: format!("{}echo another\n", spec.init), ..spec.clone() };
    let mut tags = spec.tags.clone();
    tags.insert("another".into(), "tag".into());
    vec![("another init script", init), ("other tags", InstanceSpec { tags, ..spec.clone() })]
}

pub(super) async fn listed_as_asked(kit: &Kit) -> Checked {
    for logical_id in [None, Some(format!("check-{}", kit.run))] {
        let tags = kit.tags(&[("Team", "Check"), ("homeostat.slot", "1"), ("infrakit.config.hash", "check")]);
        let spec = InstanceSpec { tags, logical_id, ..kit.spec() };
        let (name, id) = kit.make("listed", &spec).await?;
        let found = kit.named(&name, 1).await?;
        let [instance] = found.as_slice() else {
            return fail(format!("one instance of the name {name} is listed"), format!("{} are", found.len()));
        };
        if instance.id != id {
            return fail(format!("the id that provision answered, {id:?}"), format!("{:?}", instance.id));
        }
        if instance.tags != spec.tags {
            return fail(format!("the tags {:?}", spec.tags), format!("{:?}", instance.tags));
        }
        if spec.logical_id.is_some() && instance.logical_id() != spec.logical_id.as_deref() {
            return fail(format!("the logical id {:?}", spec.logical_id), format!("{:?}", instance.logical_id));
        }
        if !instance.state.is_live() {
            return fail("it is pending or running", format!("it is {} ({})", instance.state.name(), instance.message));
        }
    }
    Ok(String::new())
}

pub(super) async fn idempotent(kit: &Kit) -> Checked {
    let spec = kit.spec();
    let (name, id) = kit.make("twice", &spec).await?;
    for _ in 1..kit.repeat().max(2) {
        let again = kit.provision(&name, &spec).await.expect_call("the same name and spec answer with the same id")?;
        if again != id {
            return fail(format!("the same id, {id:?}"), format!("{again:?}"));
        }
    }
    kit.count(&name, 1).await?;
    // A label in between does not make it another spec.
    let labelled = kit.instance()?.label(&id, &kit.tags(&[("labelled", "yes")])).await;
    if labelled.is_ok() {
        let again = kit.provision(&name, &spec).await.expect_call("a label does not make it another spec")?;
        if again != id {
            return fail(format!("the same id after a label, {id:?}"), format!("{again:?}"));
        }
    }
    Ok(format!("{}x", kit.repeat().max(2)))
}

pub(super) async fn already_exists(kit: &Kit) -> Checked {
    let spec = kit.spec();
    let (name, _) = kit.make("taken", &spec).await?;
    let before = kit.named(&name, 1).await?;
    for (what, other) in others(kit, &spec) {
        let expected = format!("a taken name with {what} is refused with already-exists");
        match kit.provision(&name, &other).await {
            Err(error) if error.plugin_error().is_some_and(|it| it.code == ErrorCode::AlreadyExists) => {}
            Err(error) => return Err(Failure::of(expected, &error).into()),
            Ok(id) => return fail(expected, format!("it answered {id:?}")),
        }
        let after = kit.named(&name, 1).await?;
        let kept = |it: &[Instance]| it.iter().map(|it| (it.id.clone(), it.tags.clone())).collect::<Vec<_>>();
        if kept(&after) != kept(&before) {
            let told = |it: &[Instance]| format!("{:?}", kept(it));
            return fail(format!("nothing is changed: {}", told(&before)), told(&after));
        }
    }
    Ok(String::new())
}

pub(super) async fn destroyed_twice(kit: &Kit) -> Checked {
    let (name, id) = kit.make("gone", &kit.spec()).await?;
    kit.patiently(async || kit.destroy(&id).await).await.expect_call("an instance is destroyed")?;
    kit.count(&name, 0).await?;
    let plugin = kit.instance()?;
    for reason in [DestroyReason::Terminate, DestroyReason::RollingUpdate, DestroyReason::Unhealthy] {
        plugin.destroy(&id, reason).await.expect_call("destroying what is gone succeeds")?;
    }
    // The plugin may know that it never gave such an id.
    let unknown = kit.name("never-made");
    match kit.destroy(&unknown).await {
        Ok(()) => {}
        Err(error) if error.plugin_error().is_some_and(|it| it.code == ErrorCode::InvalidArgument) => {}
        Err(error) => {
            let expected = "destroying what never was succeeds, or is refused with invalid-argument";
            return Err(Failure::of(expected, &error).into());
        }
    }
    Ok(String::new())
}

pub(super) async fn reads_back_the_same(kit: &Kit) -> Checked {
    kit.make("same", &kit.spec()).await?;
    kit.make("same", &kit.spec()).await?;
    let read = async || -> Result<Vec<Instance>, Stop> {
        let listing = kit.list(&kit.tags(&[]), true).await.expect_call("the run's instances are listed")?;
        Ok(listing.instances.into_iter().filter(exists).collect())
    };
    // What is still being made may change while it is.
    let begun = Instant::now();
    let mut first = read().await?;
    while first.iter().any(|it| it.state == InstanceState::Pending) && begun.elapsed() < SETTLED {
        tokio::time::sleep(Duration::from_millis(500)).await;
        first = read().await?;
    }
    for _ in 0..kit.repeat().max(2) {
        let again = read().await?;
        if first != again {
            let changed = first.iter().zip(&again).find(|(before, after)| before != after);
            let text = |it: &Instance| serde_json::to_string(it).unwrap_or_default();
            return match changed {
                Some((before, after)) => fail(text(before), text(after)),
                None => fail(format!("{} instances", first.len()), format!("{}", again.len())),
            };
        }
    }
    Ok(format!("{}x", kit.repeat().max(2)))
}

pub(super) async fn at_once(kit: &Kit) -> Checked {
    let spec = kit.spec();
    // Each round is one chance for a race to show.
    let rounds = kit.repeat().clamp(1, 5);
    for _ in 0..rounds {
        let name = kit.name("at-once");
        let answers = join_all((0..AT_ONCE).map(|_| kit.provision(&name, &spec))).await;
        let mut ids = BTreeSet::new();
        for answer in answers {
            match answer {
                Ok(id) => drop(ids.insert(id)),
                Err(error) => {
                    let passes = |code| matches!(code, ErrorCode::Aborted | ErrorCode::Unavailable);
                    if !error.plugin_error().is_some_and(|it| passes(it.code)) {
                        return fail("each of the calls answers with the id, or with aborted", said(&error));
                    }
                }
            }
        }
        let id = kit.patiently(async || kit.provision(&name, &spec).await).await;
        ids.insert(id.expect_call("the name can be provisioned when the calls are over")?);
        if ids.len() > 1 {
            return fail("one id", format!("{} ids: {}", ids.len(), ids.into_iter().collect::<Vec<_>>().join(", ")));
        }
        kit.count(&name, 1).await?;
    }
    Ok(format!("{rounds}x {AT_ONCE} calls"))
}
