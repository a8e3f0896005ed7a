//! What a commit says that it would do.

use super::*;
use crate::hash::config_hash;

fn hash(spec: &GroupSpec) -> String {
    config_hash(&spec.properties.instance, &spec.properties.flavor)
}

fn instances(spec: &GroupSpec) -> Vec<Instance> {
    World::converged(spec.clone()).instances.into_values().collect()
}

fn said(old: &GroupSpec, new: &GroupSpec, convert: bool) -> Result<String, Refusal> {
    explain(Some(old), new, &hash(new), &instances(old), convert)
}

#[test]
fn commits_are_explained_in_infrakits_words() {
    let check = |old: (u32, &str), new: (u32, &str), expected: &str| {
        let old = group(Allocation::Size(old.0), old.1);
        let new = group(Allocation::Size(new.0), new.1);
        assert_eq!(said(&old, &new, false).unwrap(), expected);
    };
    let fresh = group(Allocation::Size(3), "a");
    assert_eq!(explain(None, &fresh, &hash(&fresh), &[], false).unwrap(), "Managing 3 instances");
    check((3, "a"), (3, "a"), "Noop");
    check((3, "a"), (3, "b"), "Performing a rolling update on 3 instances");
    check((3, "a"), (1, "a"), "Terminating 2 instances to reduce the group size to 1");
    check(
        (3, "a"),
        (1, "b"),
        "Terminating 2 instances to reduce the group size to 1, then performing a rolling update on 1 instances",
    );
    check((3, "a"), (8, "a"), "Adding 5 instances to increase the group size to 8");
    check(
        (3, "a"),
        (8, "b"),
        "Performing a rolling update on 3 instances, then adding 5 instances to increase the group size to 8",
    );
    let old = group(pets(&["a", "b"]), "x");
    let said = |new: &GroupSpec| said(&old, new, false);
    assert_eq!(said(&group(pets(&["a", "b"]), "x")).unwrap(), "Noop");
    assert_eq!(
        said(&group(pets(&["a", "c"]), "y")).unwrap(),
        "Terminating 1 instances with logical IDs b, then adding 1 instances with logical IDs c, then performing a \
         rolling update on 1 instances"
    );
    assert!(matches!(said(&group(Allocation::Size(2), "x")), Err(Refusal::AllocationKind { .. })));
}

#[test]
fn cattle_and_pets_are_converted_only_when_asked_for() {
    let (cattle, named) = (group(Allocation::Size(2), "x"), group(pets(&["a", "b"]), "x"));
    for (old, new) in [(&cattle, &named), (&named, &cattle)] {
        let refusal = said(old, new, false).unwrap_err().to_string();
        assert!(refusal.contains("commit it with --convert"), "{refusal}");
    }
}

#[test]
fn conversions_say_what_stays_what_comes_and_what_goes() {
    let cattle = |size, init| group(Allocation::Size(size), init);
    let pets = |ids: &[&str], init| group(super::pets(ids), init);
    let said = |old: &GroupSpec, new: &GroupSpec| said(old, new, true).unwrap();
    assert_eq!(said(&cattle(3, "x"), &pets(&["a", "b", "c"], "x")), "Converting 3 instances to logical IDs a, b, c");
    assert_eq!(
        said(&cattle(2, "x"), &pets(&["a", "b", "c", "d"], "x")),
        "Converting 2 instances to logical IDs a, b, then adding 2 instances with logical IDs c, d"
    );
    assert_eq!(
        said(&cattle(3, "x"), &pets(&["a"], "x")),
        "Converting 1 instances to logical IDs a, then terminating 2 instances"
    );
    assert_eq!(
        said(&cattle(2, "x"), &pets(&["a", "b"], "y")),
        "Converting 2 instances to logical IDs a, b, then performing a rolling update on 2 instances"
    );
    assert_eq!(said(&pets(&["a", "b"], "x"), &cattle(2, "x")), "Converting 2 instances to a group of size 2");
    assert_eq!(
        said(&pets(&["a", "b"], "x"), &cattle(5, "x")),
        "Converting 2 instances to a group of size 5, then adding 3 instances"
    );
    assert_eq!(
        said(&pets(&["a", "b", "c"], "x"), &cattle(1, "x")),
        "Converting 1 instances to a group of size 1, then terminating 2 instances"
    );
}
