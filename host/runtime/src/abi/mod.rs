//! The contract's versions, a file each. A version stays for at least two releases of the host after the next one.

pub(crate) mod v0_1;

/// The contract's package.
pub(crate) const PACKAGE: &str = "homeostat:plugin";

/// A version that this host serves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Version {
    /// `homeostat:plugin@0.1`, any patch.
    V0_1,
}

impl Version {
    /// All that are served, as `wit/` writes them.
    pub(crate) const SERVED: &[(Self, &str)] = &[(Self::V0_1, "0.1.0")];

    /// The version that serves a guest built against `version` (semver: for `0.x`, the same `x`).
    pub(crate) fn serving(version: &str) -> Option<Self> {
        let wanted = semver::Version::parse(version).ok()?;
        if !wanted.pre.is_empty() {
            return None;
        }
        match (wanted.major, wanted.minor) {
            (0, 1) => Some(Self::V0_1),
            _ => None,
        }
    }

    /// The versions served, for a message.
    pub(crate) fn served() -> String {
        Self::SERVED.iter().map(|(_, version)| *version).collect::<Vec<_>>().join(", ")
    }
}
