//! Listings of many, and listings that fail.

use std::collections::BTreeSet;

use futures_util::future::join_all;

use crate::fault::{Effect, trials};
use crate::kit::Kit;
use crate::outcome::{Checked, Expect, Stop, fail, skip};

/// How many instances are listed, where the author says nothing.
const MANY: u32 = 12;

/// The most instances on a page, in the first rounds; in the others, as many as a host asks for. Cursors are tried at each
/// instance with pages of one, and pages that are not filled evenly with pages of two.
const PAGES: [u32; 2] = [1, 2];

pub(super) async fn complete(kit: &Kit) -> Checked {
    let many = kit.options.config.instances.unwrap_or(MANY);
    let made = join_all((0..many).map(|_| async { kit.make("many", &kit.spec()).await })).await;
    let ids = made.into_iter().map(|it| it.map(|(_, id)| id)).collect::<Result<BTreeSet<_>, Stop>>()?;
    let rounds = kit.repeat().max(PAGES.len() as u32 + 1);
    for round in 0..rounds {
        let most = PAGES.get(round as usize).copied();
        // One comes and goes while the others are listed.
        let coming = async {
            let made = kit.make("passing", &kit.spec()).await?;
            kit.patiently(async || kit.destroy(&made.1).await).await.expect_call("an instance is destroyed")
        };
        let mine = kit.tags(&[]);
        let list = async {
            match most {
                Some(most) => kit.list_paged(&mine, round % 2 == 1, most).await,
                None => kit.list(&mine, round % 2 == 1).await,
            }
        };
        let (listed, passed) = tokio::join!(list, coming);
        passed?;
        let pages = most.map(|it| format!(", {it} on a page at most")).unwrap_or_default();
        let listing = listed.expect_call(format!("the instances are listed to the last page, each once{pages}"))?;
        if !listing.complete {
            let told: Vec<_> = listing.findings.iter().map(|it| format!("{}: {}", it.subject, it.message)).collect();
            return fail("the listing is complete", format!("it says that it is not: {}", told.join("; ")));
        }
        let found: BTreeSet<_> = listing.instances.iter().map(|it| it.id.clone()).collect();
        if let Some(missing) = ids.difference(&found).next() {
            let expected = format!("all {many} instances that stay are listed{pages}");
            return fail(expected, format!("{missing:?} is missing"));
        }
    }
    Ok(format!("{rounds}x {many} instances, on pages of 1, of 2, and as a host asks"))
}

/// Fails each point of a listing in turn. Whatever a listing that calls itself complete leaves out, a host makes again.
pub(super) async fn failed_midway(kit: &Kit) -> Checked {
    if kit.faults.is_empty() {
        return skip("the host cannot make its backend fail");
    }
    let mut ids = BTreeSet::new();
    for _ in 0..3 {
        ids.insert(kit.make("midway", &kit.spec()).await?.1);
    }
    let wanted = |way: &crate::fault::Way| way.effect == Effect::Refused;
    let clean = async || kit.list(&kit.tags(&[]), true).await.expect_call("the run's instances are listed");
    let (_, trials) = trials(&kit.faults, wanted, clean).await?;
    if trials.is_empty() {
        return skip("its list touches nothing that could fail");
    }
    let (mut errors, mut partial, mut whole) = (0, 0, 0);
    for trial in &trials {
        trial.arm();
        let answer = kit.list(&kit.tags(&[]), true).await;
        let told = trial.told();
        trial.faults.disarm();
        match answer {
            Err(_) => errors += 1,
            Ok(listing) if !listing.complete => partial += 1,
            Ok(listing) => {
                let found: BTreeSet<_> = listing.instances.iter().map(|it| it.id.clone()).collect();
                if let Some(missing) = ids.difference(&found).next() {
                    let expected = format!("an error, `complete: false`, or all instances, when this failed: {told}");
                    return fail(expected, format!("it says that it is complete, and {missing:?} is missing"));
                }
                whole += 1;
            }
        }
    }
    Ok(format!("{} faults: {errors} errors, {partial} incomplete, {whole} complete all the same", trials.len()))
}
