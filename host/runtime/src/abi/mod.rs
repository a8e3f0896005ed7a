//! The contract's versions, a file each, and the one face that they have for the rest of this crate. A version stays for
//! at least two releases of the host after the next one.
//!
//! A version's file holds its bindings and all conversions to and from the model, and shares none of them with another:
//! so a version that is served is not touched when the next one changes. Which version a guest is of is asked in
//! [`instance`] and [`flavor`] alone.

pub(crate) mod flavor;
pub(crate) mod instance;
mod v0_1;
mod v0_2;

use wasmtime::component::Linker;

use crate::call::Fault;
use crate::describe::RawDescription;
use crate::state::CallState;

/// The contract's package.
pub(crate) const PACKAGE: &str = "homeostat:plugin";

/// A version that this host can serve. The newer is the greater.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Version {
    /// `homeostat:plugin@0.1`, any patch.
    V0_1,
    /// `homeostat:plugin@0.2.0`, which may change any day.
    V0_2Draft,
}

impl Version {
    /// All of them, as `wit/` writes them.
    const ALL: &[(Self, &str)] = &[(Self::V0_1, "0.1.0"), (Self::V0_2Draft, "0.2.0")];

    /// The version that serves a guest built against `version` (semver: for `0.x`, the same `x`; a draft has no patches).
    pub(crate) fn serving(version: &str) -> Option<Self> {
        let wanted = semver::Version::parse(version).ok()?;
        if !wanted.pre.is_empty() {
            return None;
        }
        match (wanted.major, wanted.minor, wanted.patch) {
            (0, 1, _) => Some(Self::V0_1),
            (0, 2, 0) => Some(Self::V0_2Draft),
            _ => None,
        }
    }

    /// Whether it is a draft: served only where the operator allows drafts.
    pub(crate) fn is_draft(self) -> bool {
        match self {
            Self::V0_1 => false,
            Self::V0_2Draft => true,
        }
    }

    /// The versions served, for a message.
    pub(crate) fn served(drafts: bool) -> String {
        let served = Self::ALL.iter().filter(|(version, _)| drafts || !version.is_draft());
        let named = served.map(|(version, name)| match version.is_draft() {
            true => format!("{name} (a draft)"),
            false => (*name).to_owned(),
        });
        named.collect::<Vec<_>>().join(", ")
    }
}

/// Link all that guests of the versions served may import.
pub(crate) fn add_to_linker(linker: &mut Linker<CallState>, drafts: bool) -> wasmtime::Result<()> {
    v0_1::add_to_linker(linker)?;
    if drafts { v0_2::add_to_linker(linker) } else { Ok(()) }
}

/// A linked component of one of the worlds.
pub(crate) enum Linked {
    Instance(instance::Linked),
    Flavor(flavor::Linked),
}

impl Linked {
    /// Instantiate the component in a store of its own, and ask it what it is.
    pub(crate) async fn describe(&self, store: &mut wasmtime::Store<CallState>) -> Result<RawDescription, Fault> {
        match self {
            Self::Instance(linked) => linked.start(store).await?.describe(store).await,
            Self::Flavor(linked) => {
                // Only to compare the types.
                linked.start_removal(store).await?;
                linked.start(store).await?.describe(store).await
            }
        }
    }
}

/// Do the same with what is of either version.
macro_rules! either {
    ($of:expr, $it:pat => $do:expr) => {
        match $of {
            Self::V0_1($it) => $do,
            Self::V0_2Draft($it) => $do,
        }
    };
}
use either;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_is_served_by_its_minor_version_and_a_draft_has_none() {
        for (version, by) in [
            ("0.1.0", Some(Version::V0_1)),
            ("0.1.7", Some(Version::V0_1)),
            ("0.1.0-rc.1", None),
            ("0.2.0", Some(Version::V0_2Draft)),
            ("0.2.1", None),
            ("0.3.0", None),
            ("1.0.0", None),
            ("0.1", None),
            ("", None),
        ] {
            assert_eq!(Version::serving(version), by, "{version}");
        }
        for (version, name) in Version::ALL {
            assert_eq!(Version::serving(name), Some(*version), "{name}");
        }
        assert_eq!(Version::served(false), "0.1.0");
        assert_eq!(Version::served(true), "0.1.0, 0.2.0 (a draft)");
    }
}
