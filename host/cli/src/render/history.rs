//! What filled the slots of a group, now and before: the form of `docker service ps`.

use std::cmp::Reverse;

use homeostat_core::ledger::SlotKey;
use homeostat_server::view::HistoryEntry;

use super::{NOTHING, age, cell, tame};

/// What `group history` shows: by slot, the newest first, what was there before it indented below.
pub(crate) fn table(entries: &[HistoryEntry], now_ms: u64) -> String {
    let mut entries: Vec<&HistoryEntry> = entries.iter().collect();
    // What stands comes before what ended; of those, the last to end first.
    let newest = |it: &HistoryEntry| match it.ended {
        None => (Reverse(u64::MAX), Reverse(it.made.unwrap_or_default())),
        Some(at) => (Reverse(at.0), Reverse(it.made.unwrap_or_default())),
    };
    entries.sort_by_cached_key(|it| (it.slot.is_none(), it.slot, it.logical_id.clone(), newest(it)));
    let mut last = None;
    let rows = entries.into_iter().map(|it| {
        let key = SlotKey::new(it.slot, it.logical_id.as_deref());
        // Those without a slot have nothing in common.
        let older = last.as_ref() == Some(&key) && key.0 != NOTHING;
        let name = if older { format!(" \\_ {}", tame(&it.name)) } else { cell(&it.name) };
        let row = [
            tame(&key.0),
            name,
            it.revision.map_or_else(|| NOTHING.into(), |it| it.to_string()),
            state(it).into(),
            when(it, now_ms),
            cell(if it.ended.is_some() { &it.ended_why } else { &it.made_why }),
            cell(&it.error),
        ];
        last = Some(key);
        row
    });
    super::table::table(["SLOT", "NAME", "REVISION", "STATE", "WHEN", "WHY", "ERROR"], rows.collect::<Vec<_>>())
}

/// How it stands with an instance, in one word.
fn state(it: &HistoryEntry) -> &'static str {
    match it.ended {
        // The host did not end it.
        Some(_) if it.ended_why.starts_with("it vanished: not listed any more") => "vanished",
        Some(_) => "destroyed",
        // To make it was tried, and did not work. One that was made earlier than events go back has no reason either.
        None if it.made.is_none() && !it.made_why.is_empty() && !it.error.is_empty() => "failed",
        None => "running",
    }
}

fn when(it: &HistoryEntry, now_ms: u64) -> String {
    match it.ended.or(it.made) {
        Some(at) => format!("{} ago", age(Some(at.0), now_ms)),
        None => NOTHING.into(),
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use homeostat_core::time::Timestamp;

    use super::*;

    fn entry(slot: u32, name: &str, made: Option<u64>) -> HistoryEntry {
        HistoryEntry {
            slot: Some(slot),
            logical_id: None,
            name: name.into(),
            revision: Some(3),
            made: made.map(|at| Timestamp(at * 1000)),
            made_why: format!("{} of 3 exist", slot - 1),
            ended: None,
            ended_why: String::new(),
            error: String::new(),
        }
    }

    fn ended(it: HistoryEntry, at: u64, why: &str) -> HistoryEntry {
        HistoryEntry { ended: Some(Timestamp(at * 1000)), ended_why: why.into(), ..it }
    }

    #[test]
    fn older_ones_stand_below_the_newest_of_their_slot() {
        let entries = [
            ended(entry(2, "web-0002-aaaa", Some(0)), 40, "it is unhealthy: no answer on port 80"),
            entry(1, "web-0001-aaaa", Some(0)),
            entry(2, "web-0002-cccc", Some(60)),
            ended(entry(2, "web-0002-bbbb", Some(41)), 55, "it vanished: not listed any more"),
            HistoryEntry { error: "no room\nleft".into(), ..entry(3, "web-0003-aaaa", None) },
            HistoryEntry { slot: None, revision: None, made_why: String::new(), ..entry(9, "found-1", None) },
            HistoryEntry {
                slot: None,
                revision: None,
                made_why: String::new(),
                error: "it cannot be drained".into(),
                ..entry(9, "found-2", None)
            },
        ];
        expect![[r#"
            SLOT  NAME               REVISION  STATE      WHEN     WHY                                    ERROR
            1     web-0001-aaaa      3         running    1m ago   0 of 3 exist                           -
            2     web-0002-cccc      3         running    40s ago  1 of 3 exist                           -
            2      \_ web-0002-bbbb  3         vanished   45s ago  it vanished: not listed any more       -
            2      \_ web-0002-aaaa  3         destroyed  60s ago  it is unhealthy: no answer on port 80  -
            3     web-0003-aaaa      3         failed     -        2 of 3 exist                           no room left
            -     found-1            -         running    -        -                                      -
            -     found-2            -         running    -        -                                      it cannot be drained"#]]
        .assert_eq(&table(&entries, 100_000));
    }

    #[test]
    fn a_pet_is_known_by_its_identity() {
        let pet = |name: &str, made| HistoryEntry { logical_id: Some("db-a".into()), ..entry(1, name, Some(made)) };
        let entries =
            [ended(pet("db-0001-aaaa", 0), 50, "its config is out of date (1 more to go)"), pet("db-0001-bbbb", 60)];
        expect![[r#"
            SLOT  NAME              REVISION  STATE      WHEN     WHY                                       ERROR
            db-a  db-0001-bbbb      3         running    30s ago  0 of 3 exist                              -
            db-a   \_ db-0001-aaaa  3         destroyed  40s ago  its config is out of date (1 more to go)  -"#]]
        .assert_eq(&table(&entries, 90_000));
    }
}
