//! Waivers: checks that may fail until a day, for a reason that somebody wrote down.

use std::collections::BTreeMap;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::catalog::Id;

/// A check that may fail for now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Waiver {
    /// The check.
    #[serde(rename = "ID")]
    pub id: Id,
    /// Why it may fail.
    pub reason: String,
    /// The last day on which it may: `2027-01-31`.
    pub until: String,
}

/// The waivers of a run, and the day it is.
#[derive(Clone, Debug, Default)]
pub struct Waivers {
    by_id: BTreeMap<Id, Waiver>,
    today: String,
}

impl Waivers {
    /// Read a list of waivers: `[{"ID": "I8", "Reason": "...", "Until": "2027-01-31"}]`.
    ///
    /// # Errors
    /// What is wrong, and with which one.
    pub fn read(text: &str) -> Result<Self, String> {
        let list: Vec<Waiver> = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let mut by_id = BTreeMap::new();
        for waiver in list {
            let Waiver { id, reason, until } = &waiver;
            if reason.trim().is_empty() {
                return Err(format!("{id} has no reason; write down why it may fail"));
            }
            if until.len() != 10 || humantime::parse_rfc3339(&format!("{until}T00:00:00Z")).is_err() {
                return Err(format!("{id}: {until:?} is no day; write it as 2027-01-31"));
            }
            if by_id.contains_key(id) {
                return Err(format!("{id} is waived twice"));
            }
            by_id.insert(*id, waiver);
        }
        let mut today = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
        today.truncate(10);
        Ok(Self { by_id, today })
    }

    /// The waiver of a check, and whether it still counts.
    pub(crate) fn of(&self, id: Id) -> Option<(&Waiver, bool)> {
        // Days written so compare like days.
        self.by_id.get(&id).map(|it| (it, it.until >= self.today))
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Waiver> {
        self.by_id.values()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_waiver_counts_to_the_end_of_its_day() {
        let mut waivers = Waivers::read(r#"[{"ID": "I8", "Reason": "no tags there", "Until": "2027-01-31"}]"#).unwrap();
        for (today, counts) in [("2026-12-31", true), ("2027-01-31", true), ("2027-02-01", false)] {
            waivers.today = today.into();
            assert_eq!(waivers.of(Id::I8).unwrap().1, counts, "{today}");
        }
        assert!(waivers.of(Id::I1).is_none());
    }

    #[test]
    fn what_cannot_be_a_waiver_is_named() {
        for (text, says) in [
            (r#"[{"ID": "I99", "Reason": "r", "Until": "2027-01-31"}]"#, "I99"),
            (r#"[{"ID": "I8", "Reason": " ", "Until": "2027-01-31"}]"#, "reason"),
            (r#"[{"ID": "I8", "Reason": "r", "Until": "2027-02-31"}]"#, "2027-02-31"),
            (r#"[{"ID": "I8", "Reason": "r", "Until": "soon"}]"#, "soon"),
            (r#"[{"ID": "I8", "Reason": "r"}]"#, "Until"),
            (
                r#"[{"ID": "I8", "Reason": "r", "Until": "2027-01-31"}, {"ID": "I8", "Reason": "r", "Until": "2027-01-31"}]"#,
                "twice",
            ),
        ] {
            let refused = Waivers::read(text).expect_err("was accepted");
            assert!(refused.contains(says), "{refused}");
        }
    }
}
