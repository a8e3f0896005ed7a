//! Secrets that a plugin may use and must not show.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use homeostat_core::grant::{Grants, SecretSource};
use homeostat_egress::Secret;
use homeostat_egress::wire::Redactor;
use homeostat_runtime::LogWire;

/// Lines with a secret that are kept.
const KEPT: usize = 16;

/// The secret that the kit gives to a plugin that wants one which nobody granted.
pub(crate) fn canary(name: &str) -> String {
    format!("canary-{name}-7f3c1e9a55d0")
}

/// The values that must not show, with their names: those of the kit, and those of the operator that can be read here.
pub(crate) fn values(wanted: &[String], grants: &Grants) -> Vec<(String, String)> {
    let mut values: Vec<_> = wanted.iter().map(|name| (name.clone(), canary(name))).collect();
    for (name, source) in &grants.secrets {
        let value = read(source);
        // What is shorter is found everywhere.
        if let Some(value) = value.map(|it| it.trim_end_matches(['\r', '\n']).to_owned()).filter(|it| it.len() >= 8) {
            values.push((name.clone(), value));
        }
    }
    values
}

/// A secret that can be read here. The host's store is not known to the kit.
pub(crate) fn read(source: &SecretSource) -> Option<String> {
    match source {
        SecretSource::File(path) => std::fs::read_to_string(path).ok(),
        SecretSource::Env(variable) => std::env::var(variable).ok(),
        SecretSource::Store(_) => None,
    }
}

/// Takes these values out of a tape.
pub(crate) fn redactor(values: &[(String, String)]) -> Redactor {
    Redactor::new(values.iter().map(|(_, value)| Secret::new(value.clone().into_bytes())))
}

/// Whether a text shows a value, also where control characters, which are not shown, break it up.
pub(crate) fn shows(text: &str, value: &str) -> bool {
    text.contains(value) || plain(text).contains(value)
}

/// A text without control characters.
pub(crate) fn plain(text: &str) -> String {
    text.chars().filter(|it| !it.is_control()).collect()
}

/// Listens to what a plugin writes, before the host takes secrets out of it. Lines are searched as they come, so that a
/// flood is not kept.
pub(crate) struct Listener {
    values: Vec<(String, String)>,
    lines: AtomicU64,
    found: Mutex<Vec<Told>>,
}

/// A line with a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    /// The name of the secret.
    pub(crate) secret: String,
    /// Where: `log`, `stdout` or `stderr`.
    pub(crate) from: &'static str,
    /// The line, with the secret in it.
    pub(crate) text: String,
}

impl Listener {
    pub(crate) fn new(values: Vec<(String, String)>) -> Self {
        Self { values, lines: AtomicU64::new(0), found: Mutex::default() }
    }

    /// The secrets that it listens for: name and value.
    pub(crate) fn values(&self) -> &[(String, String)] {
        &self.values
    }

    /// How many lines there were.
    pub(crate) fn lines(&self) -> u64 {
        self.lines.load(Ordering::Relaxed)
    }

    /// The first lines with a secret.
    pub(crate) fn found(&self) -> Vec<Told> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl LogWire for Listener {
    fn line(&self, from: &'static str, text: &str) {
        self.lines.fetch_add(1, Ordering::Relaxed);
        for (secret, value) in self.values.iter().filter(|(_, value)| shows(text, value)) {
            let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
            if found.len() < KEPT {
                // Shown without the value, which has to be in it as a whole.
                let text = if text.contains(value.as_str()) { text.to_owned() } else { plain(text) };
                found.push(Told { secret: secret.clone(), from, text });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_heard_also_where_it_is_broken_up() {
        let listener = Listener::new(vec![("token".into(), "hunter22".into())]);
        listener.line("log", "nothing");
        listener.line("stderr", "it is hunt\u{1b}er22!");
        let told = Told { secret: "token".into(), from: "stderr", text: "it is hunter22!".into() };
        assert_eq!((listener.lines(), listener.found()), (2, vec![told]));
        (0..100).for_each(|_| listener.line("stdout", "hunter22"));
        assert_eq!(listener.found().len(), KEPT);
    }
}
