//! The checks there are: their ids, which never change their meaning, and where the contract asks for each.

use std::fmt;
use std::str::FromStr;

use homeostat_runtime::PluginKind;
use serde::{Deserialize, Serialize};

/// How far a run goes. Each level includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// What the file is. Nothing of it runs but `describe-plugin`.
    Static,
    /// How it behaves with nothing but directories of the kit's own: no network, no grant of the operator's.
    Sandbox,
    /// Whether it keeps the contract with its provider.
    Contract,
    /// Whether it keeps the contract when its provider, its host or the clock fails in the middle.
    Chaos,
}

impl Level {
    /// The level in one word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Static => "static",
            Self::Sandbox => "sandbox",
            Self::Contract => "contract",
            Self::Chaos => "chaos",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Level {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [Self::Static, Self::Sandbox, Self::Contract, Self::Chaos]
            .into_iter()
            .find(|it| it.name() == text)
            .ok_or_else(|| format!("{text:?} is no level; there are static, sandbox, contract and chaos"))
    }
}

macro_rules! catalog {
    ($($id:ident $level:ident $kind:expr, $title:literal, $paragraph:literal, [$($needs:ident)*];)*) => {
        /// The id of a check.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[allow(missing_docs, reason = "the titles in the catalogue say what each is")]
        pub enum Id { $($id,)* }

        /// All checks, in the order in which they run.
        pub const CATALOG: &[Check] = &[$(Check {
            id: Id::$id,
            level: Level::$level,
            kind: $kind,
            title: $title,
            paragraph: $paragraph,
            needs: &[$(Id::$needs),*],
        },)*];
    };
}

/// One check.
#[derive(Clone, Copy, Debug)]
pub struct Check {
    /// Its id.
    pub id: Id,
    /// The level it belongs to.
    pub level: Level,
    /// The kind of plugin that it is for; none for all.
    pub kind: Option<PluginKind>,
    /// What has to hold.
    pub title: &'static str,
    /// The paragraph of the contract that asks for it: an anchor in `wit/README.md`.
    pub paragraph: &'static str,
    /// Checks that this one builds on. Where one of them failed, this one would only fail for the same cause, and is not
    /// run.
    pub needs: &'static [Id],
}

const ANY: Option<PluginKind> = None;
const INSTANCE: Option<PluginKind> = Some(PluginKind::Instance);
const FLAVOR: Option<PluginKind> = Some(PluginKind::Flavor);

catalog! {
    S1 Static ANY, "the file is a component", "your-first-plugin-in-rust", [];
    S2 Static ANY, "its exports are those of a world that is served", "versions", [];
    S3 Static ANY, "it imports nothing that a host does not give", "what-a-plugin-sees", [];
    S4 Static ANY, "its manifest and its description can be read", "what-a-plugin-sees", [];
    S5 Static ANY, "its size and the time to compile it are bounded", "limits", [];
    S6 Static ANY, "it imports no more of WASI than it asks for (a warning)", "what-a-plugin-sees", [];
    B1 Sandbox ANY, "it starts within its limits", "limits", [];
    B2 Sandbox ANY, "describe-plugin gives the same answer every time", "how-the-host-calls", [];
    B3 Sandbox ANY, "its schema is valid and accepts every valid sample", "how-the-host-calls", [];
    B4 Sandbox ANY, "valid properties are accepted, invalid ones refused with their place", "errors", [];
    B5 Sandbox ANY, "hostile input gives an error and never a trap", "who-guarantees-what", [];
    B6 Sandbox ANY, "without its grants it answers with a typed error, and soon", "what-a-plugin-sees", [];
    B7 Sandbox ANY, "no input makes it pass its limits", "limits", [];
    I1 Contract INSTANCE, "what was provisioned is listed as it was asked for", "listing", [];
    I2 Contract INSTANCE, "the same name is idempotent", "idempotent-by-name", [I1];
    I3 Contract INSTANCE, "a name that is taken by another spec is refused, and nothing changes", "idempotent-by-name", [I1];
    I4 Contract INSTANCE, "destroying what is gone succeeds", "idempotent-by-name", [I1];
    I5 Contract INSTANCE, "list filters by every tag", "listing", [];
    I6 Contract INSTANCE, "pages of any size are complete and without duplicates while instances come and go", "listing", [];
    I7 Contract INSTANCE, "a listing that failed midway does not say that it is complete", "listing", [];
    I8 Contract INSTANCE, "tags come back as they were, and label leaves the others alone", "who-guarantees-what", [];
    I9 Contract INSTANCE, "what did not change reads back the same", "listing", [];
    I10 Contract INSTANCE, "eight calls at once for one name make one instance", "idempotent-by-name", [I2];
    I11 Contract ANY, "secrets appear in nothing that it says, logs or stores", "errors", [];
    I12 Contract INSTANCE, "after apply the next plan is empty", "how-the-host-calls", [I1 I5];
    F1 Contract FLAVOR, "prepare is deterministic and keeps what it does not know", "how-the-host-calls", [];
    F2 Contract FLAVOR, "health judges every instance, and none that is down as healthy", "states-and-health", [];
    F3 Contract FLAVOR, "drain is idempotent and bounded", "how-the-host-calls", [];
    F4 Contract FLAVOR, "prepare keeps the tags that it is given", "who-guarantees-what", [];
    F5 Contract FLAVOR, "order ranks what it is given, each once", "which-instances-go-first", [];
    C1 Chaos ANY, "a provider that fails at any point leaves exactly one instance, or none", "idempotent-by-name", [I1 I2 I4 F1 F3];
    C2 Chaos ANY, "a call that is cut off at any point can be repeated", "who-guarantees-what", [I1 I2 I4 F1 F3];
    C3 Chaos ANY, "what one load made another one finds and destroys", "who-guarantees-what", [I1 I2 I4 F1];
    C4 Chaos ANY, "a clock that jumps changes nothing", "who-guarantees-what", [I1 I2 I4 F1];
    C5 Chaos ANY, "what can be retried is not called an invalid argument", "errors", [];
}

impl Id {
    /// What there is to say about it.
    ///
    /// # Panics
    /// Never: ids and catalogue are written by the same lines.
    pub fn check(self) -> &'static Check {
        &CATALOG[self as usize]
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{self:?}"))
    }
}

impl FromStr for Id {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        CATALOG.iter().map(|it| it.id).find(|id| id.to_string().eq_ignore_ascii_case(text.trim())).ok_or_else(|| {
            format!("{text:?} is no check; there are S1 to S6, B1 to B7, I1 to I12, F1 to F5 and C1 to C5")
        })
    }
}

impl Serialize for Id {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_back_and_finds_its_check() {
        for check in CATALOG {
            assert_eq!(check.id.to_string().parse(), Ok(check.id));
            assert_eq!(check.id.check().id, check.id);
            let before = check.needs.iter().all(|it| (*it as usize) < check.id as usize);
            assert!(before, "{} needs what runs after it", check.id);
        }
        assert!("I13".parse::<Id>().expect_err("was accepted").contains("I1 to I12"));
    }

    #[test]
    fn every_paragraph_is_in_the_contract() {
        let text = include_str!("../../../wit/README.md");
        let anchor = |title: &str| {
            let kept = title.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-'));
            kept.collect::<String>().to_lowercase().replace(' ', "-")
        };
        let anchors: Vec<_> = text.lines().filter_map(|it| it.strip_prefix("## ")).map(anchor).collect();
        for check in CATALOG {
            assert!(
                anchors.iter().any(|it| it == check.paragraph),
                "{}: #{} of {anchors:?}",
                check.id,
                check.paragraph
            );
        }
    }
}
