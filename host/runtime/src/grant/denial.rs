//! What the operator is told when a plugin reaches for what it may not touch.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use homeostat_core::grant::Remedy;

/// How long the same denial is not told again.
const QUIET: Duration = Duration::from_secs(60);

/// Denials that are remembered; a plugin that asks for ever new things has its oldest told again.
const REMEMBERED: usize = 256;

/// The denials of one plugin: told once each, and no more often than once a minute.
pub(crate) struct Denials {
    plugin: Arc<str>,
    told: Mutex<HashMap<String, Instant>>,
}

impl Denials {
    pub(crate) fn new(plugin: &str) -> Self {
        Self { plugin: plugin.into(), told: Mutex::default() }
    }

    /// The plugin's name.
    pub(crate) fn plugin(&self) -> &str {
        &self.plugin
    }

    /// It asked for something that its own manifest does not name. Answers with a sentence for the guest.
    pub(crate) fn unwanted(&self, kind: &str, name: &str) -> String {
        let plugin = self.plugin();
        if self.first(&format!("{kind} {name}")) {
            tracing::warn!(
                target: "homeostat::grant",
                plugin,
                "denied: {kind} {name:?} is not in the plugin's manifest, so no grant can allow it; its author has to add it \
                 to Wants.{kind}"
            );
        }
        format!("{name:?} is not in the plugin's manifest (Wants.{kind})")
    }

    /// It asked for something that it wants and was not granted. Answers with a sentence for the guest.
    pub(crate) fn ungranted(&self, what: &str, remedy: &Remedy) -> String {
        let Remedy { flag, stanza, .. } = remedy;
        let plugin = self.plugin();
        if self.first(what) {
            tracing::warn!(
                target: "homeostat::grant",
                plugin,
                "denied: {what}; to allow it, add to its Grants: {stanza} (or: homeostat plugin add {plugin} ... {flag})"
            );
        }
        format!("{what} is not granted; the operator can allow it with {flag}")
    }

    /// It asked for something, and this sentence says what and what would allow it.
    pub(crate) fn told(&self, denial: &str) {
        let plugin = self.plugin();
        if self.first(denial) {
            tracing::warn!(target: "homeostat::grant", plugin, "denied: {denial}");
        }
    }

    fn first(&self, what: &str) -> bool {
        let now = Instant::now();
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.retain(|_, at| now.duration_since(*at) < QUIET);
        if told.len() >= REMEMBERED || told.contains_key(what) {
            return false;
        }
        told.insert(what.to_owned(), now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_denial_is_told_once_and_no_flood_is() {
        let denials = Denials::new("p");
        assert!(denials.first("a") && denials.first("b"));
        assert!(!denials.first("a"));
        let told = (0..10_000).filter(|n| denials.first(&format!("x{n}"))).count();
        assert!(told < REMEMBERED, "{told}");
    }
}
