//! Tags: stored, filtered by, given back, added to.

use homeostat_core::outcome::ErrorCode;
use homeostat_core::spec::InstanceSpec;
use homeostat_core::tags::Tags;

use crate::kit::{Kit, exists};
use crate::outcome::{Checked, Expect, Failure, fail};

pub(super) async fn filters(kit: &Kit) -> Checked {
    // Values of this run alone, so that others' instances do not come into it.
    let own = |value: &str| format!("{value}-{}", kit.run);
    let mut made = Vec::new();
    for (colour, size) in [("red", "1"), ("red", "2"), ("blue", "1")] {
        let tags = kit.tags(&[("colour", &own(colour)), ("size", &own(size))]);
        made.push(kit.make("filtered", &InstanceSpec { tags, ..kit.spec() }).await?.0);
    }
    let all = kit.list(&kit.tags(&[]), false).await.expect_call("the run's instances are listed")?;
    let mine: Vec<_> = all.instances.iter().filter(|it| made.contains(&it.name) && exists(it)).collect();
    if mine.len() != made.len() {
        return fail(format!("{} instances by the run's tag", made.len()), mine.len().to_string());
    }
    let mut filters: Vec<Tags> = Vec::new();
    for instance in &mine {
        let tags: Vec<_> = instance.tags.iter().collect();
        filters.extend(tags.iter().map(|(key, value)| Tags::from([((*key).clone(), (*value).clone())])));
        filters.push(instance.tags.clone());
    }
    filters.push(Tags::from([("colour".into(), own("red")), ("size".into(), own("3"))]));
    filters.push(Tags::from([("no-such-key".into(), own("red"))]));
    filters.sort();
    filters.dedup();
    for filter in &filters {
        let found = kit.list(filter, false).await.expect_call(format!("instances are listed by {filter:?}"))?;
        let carries = |tags: &Tags| filter.iter().all(|(key, value)| tags.get(key) == Some(value));
        if let Some(foreign) = found.instances.iter().find(|it| !carries(&it.tags)) {
            let actual = format!("{} with {:?}", foreign.name, foreign.tags);
            return fail(format!("only instances that carry all of {filter:?}"), actual);
        }
        if let Some(missing) =
            mine.iter().find(|it| carries(&it.tags) && found.instances.iter().all(|found| found.id != it.id))
        {
            return fail(format!("{} is listed by {filter:?}", missing.name), "it is not");
        }
    }
    Ok(format!("{} filters", filters.len()))
}

pub(super) async fn round_trip(kit: &Kit) -> Checked {
    let long = "v".repeat(256);
    let tags = kit.tags(&[
        ("check.empty", ""),
        ("check.long", &long),
        ("check.unicode", "gr\u{fc}\u{df}e \u{1f600} \u{65e5}\u{672c}"),
        ("check.spaces", "  two  spaces  "),
        ("check.signs", "a=b,c:d/e\"f'g\\h{i}[j]"),
        ("check-key_with.signs/and-more", "1"),
    ]);
    let (name, id) = kit.make("tagged", &InstanceSpec { tags: tags.clone(), ..kit.spec() }).await?;
    compare(kit, &name, &tags, "after provision").await?;
    let more = Tags::from([("check.added".into(), String::new()), ("check.spaces".into(), "none".into())]);
    let plugin = kit.instance()?;
    match kit.patiently(async || plugin.label(&id, &more).await).await {
        Err(error) if error.plugin_error().is_some_and(|it| it.code == ErrorCode::Unimplemented) => {
            return Ok("note: label is not implemented, so nothing can be adopted".into());
        }
        Err(error) => return Err(Failure::of("an instance is labelled", &error).into()),
        Ok(()) => {}
    }
    let wanted = tags.into_iter().chain(more).collect();
    compare(kit, &name, &wanted, "after label").await?;
    Ok(String::new())
}

/// What this check is about: the keys that it put there itself.
async fn compare(kit: &Kit, name: &str, wanted: &Tags, when: &str) -> Result<(), crate::outcome::Stop> {
    let listing = kit.list(&Tags::new(), false).await.expect_call("all instances are listed")?;
    let Some(instance) = listing.instances.iter().find(|it| it.name == name) else {
        return fail(format!("{name} is listed {when}"), "it is not");
    };
    for (key, value) in wanted {
        match instance.tags.get(key) {
            Some(found) if found == value => {}
            found => return fail(format!("{when}, the tag {key:?} is {value:?}"), format!("{found:?}")),
        }
    }
    Ok(())
}
