//! What a commit would do, in InfraKit's words.

use thiserror::Error;

use crate::observed::Instance;
use crate::spec::{Allocation, GroupSpec};

/// A commit that is well formed and cannot be done.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Refusal {
    /// Cattle to pets, or back.
    #[error(
        "group {group} counts by {from}, and this spec by {to}; commit it with --convert to keep its instances and change \
         how they are counted"
    )]
    AllocationKind {
        /// The group.
        group: String,
        /// `Size` or `LogicalIDs`.
        from: &'static str,
        /// The other.
        to: &'static str,
    },
    /// Another instance plugin, which cannot see the instances of the first.
    #[error(
        "group {group} has {instances} instances made by {from}, which {to} can neither see nor destroy. Commit it under \
         another ID, or destroy or free the group first"
    )]
    InstancePlugin {
        /// The group.
        group: String,
        /// How many there are.
        instances: usize,
        /// The plugin in use.
        from: String,
        /// The plugin asked for.
        to: String,
    },
}

/// Say what committing `new` over `old` would do to the instances listed. The words are InfraKit's, which scripts know;
/// where it could do nothing (identities added or removed, cattle and pets converted) they are ours. `convert` is the
/// operator's leave to change how instances are counted.
///
/// # Errors
/// Where the change is refused.
pub fn explain(
    old: Option<&GroupSpec>,
    new: &GroupSpec,
    hash: &str,
    instances: &[Instance],
    convert: bool,
) -> Result<String, Refusal> {
    let Some(old) = old else {
        return Ok(format!("Managing {} instances", new.properties.allocation.len()));
    };
    if old.properties.instance.plugin != new.properties.instance.plugin && !instances.is_empty() {
        return Err(Refusal::InstancePlugin {
            group: new.id.clone(),
            instances: instances.len(),
            from: old.properties.instance.plugin.clone(),
            to: new.properties.instance.plugin.clone(),
        });
    }
    let is_current = |it: &&Instance| it.is_current(hash);
    let current = instances.iter().filter(is_current).count();
    let outdated = instances.len() - current;
    let kind = |allocation: &Allocation| match allocation {
        Allocation::Size(_) => "Size",
        Allocation::LogicalIds(_) => "LogicalIDs",
    };
    match (&old.properties.allocation, &new.properties.allocation) {
        (Allocation::Size(old), Allocation::Size(new)) => Ok(sizes(*old as usize, *new as usize, current, outdated)),
        (Allocation::LogicalIds(old), Allocation::LogicalIds(new)) => Ok(identities(old, new, instances, is_current)),
        (Allocation::Size(_), Allocation::LogicalIds(ids)) if convert => Ok(to_identities(ids, instances, is_current)),
        (Allocation::LogicalIds(_), Allocation::Size(size)) if convert => {
            Ok(to_size(*size as usize, instances, is_current))
        }
        (from, to) => Err(Refusal::AllocationKind { group: new.id.clone(), from: kind(from), to: kind(to) }),
    }
}

fn sizes(old: usize, new: usize, current: usize, outdated: usize) -> String {
    let roll = |n: usize| format!("erforming a rolling update on {n} instances");
    if new < old {
        let text = format!("Terminating {} instances to reduce the group size to {new}", old - new);
        // Victims are out of date first, so that so many are left to roll.
        match new.saturating_sub(current).min(outdated) {
            0 => text,
            left => format!("{text}, then p{}", roll(left)),
        }
    } else if new > old {
        let grow = format!("dding {} instances to increase the group size to {new}", new - old);
        match outdated {
            0 => format!("A{grow}"),
            n => format!("P{}, then a{grow}", roll(n)),
        }
    } else {
        match outdated {
            0 => "Noop".into(),
            n => format!("P{}", roll(n)),
        }
    }
}

fn identities(
    old: &[String],
    new: &[String],
    instances: &[Instance],
    is_current: impl Fn(&&Instance) -> bool,
) -> String {
    let missing_from = |list: &[String], other: &[String]| -> Vec<String> {
        list.iter().filter(|id| !other.contains(id)).cloned().collect()
    };
    let (added, removed) = (missing_from(new, old), missing_from(old, new));
    let outdated = instances
        .iter()
        .filter(|it| !is_current(it))
        .filter(|it| it.logical_id().is_some_and(|id| new.iter().any(|declared| declared == id)))
        .count();
    let mut parts = Vec::new();
    if !removed.is_empty() {
        parts.push(format!("terminating {} instances with logical IDs {}", removed.len(), removed.join(", ")));
    }
    if !added.is_empty() {
        parts.push(format!("adding {} instances with logical IDs {}", added.len(), added.join(", ")));
    }
    if outdated > 0 {
        parts.push(format!("performing a rolling update on {outdated} instances"));
    }
    sentence(&parts)
}

/// Cattle become pets: those without an identity take over, in the order of their slots, those that nobody holds.
fn to_identities(ids: &[String], instances: &[Instance], is_current: impl Fn(&&Instance) -> bool) -> String {
    let held = |id: &&String| instances.iter().any(|it| it.logical_id() == Some(id));
    let (kept, free): (Vec<&String>, Vec<&String>) = ids.iter().partition(held);
    let mut nameless: Vec<&Instance> = instances.iter().filter(|it| it.logical_id().is_none()).collect();
    nameless.sort_by_cached_key(|it| super::scene::order(it));
    let staying = nameless.len().min(free.len());
    let (named, added) = free.split_at(staying);
    let stays = |id: &str| kept.iter().any(|it| *it == id);
    let holders = instances.iter().filter(|it| it.logical_id().is_some_and(stays));
    let all: Vec<&Instance> = nameless[..staying].iter().copied().chain(holders).collect();
    let outdated = all.iter().filter(|it| !is_current(it)).count();
    let listed = |ids: &[&String]| ids.iter().map(|it| it.as_str()).collect::<Vec<_>>().join(", ");
    let mut parts = Vec::new();
    if staying > 0 {
        parts.push(format!("converting {staying} instances to logical IDs {}", listed(named)));
    }
    if !added.is_empty() {
        parts.push(format!("adding {} instances with logical IDs {}", added.len(), listed(added)));
    }
    finish_conversion(parts, instances.len() - all.len(), outdated)
}

/// Pets become cattle: they keep their tags, and are counted from then on.
fn to_size(size: usize, instances: &[Instance], is_current: impl Fn(&&Instance) -> bool) -> String {
    let staying = instances.len().min(size);
    let current = instances.iter().filter(is_current).count();
    let mut parts = vec![format!("converting {staying} instances to a group of size {size}")];
    if size > staying {
        parts.push(format!("adding {} instances", size - staying));
    }
    // Victims are out of date first, so that so many are left to roll.
    finish_conversion(parts, instances.len() - staying, staying.saturating_sub(current))
}

fn finish_conversion(mut parts: Vec<String>, terminated: usize, outdated: usize) -> String {
    if terminated > 0 {
        parts.push(format!("terminating {terminated} instances"));
    }
    if outdated > 0 {
        parts.push(format!("performing a rolling update on {outdated} instances"));
    }
    sentence(&parts)
}

fn sentence(parts: &[String]) -> String {
    let text = parts.join(", then ");
    match text.chars().next() {
        Some(first) => first.to_uppercase().chain(text.chars().skip(1)).collect(),
        None => "Noop".into(),
    }
}
