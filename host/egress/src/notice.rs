//! Lines for the operator: each says what would allow what was refused, and none says the same again within a minute.

use std::collections::HashMap;
use std::fmt::Display;
use std::path::Path;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long the same line is not repeated.
const QUIET: Duration = Duration::from_secs(60);

/// How many different lines are remembered. A guest that makes up hosts gets no more than so many lines a minute.
const MOST: usize = 64;

/// What a plugin was denied, told to the operator once a minute.
pub struct Denials {
    plugin: Arc<str>,
    quiet: Quiet,
}

impl Denials {
    /// Those of one plugin.
    pub fn new(plugin: &str) -> Self {
        Self { plugin: plugin.into(), quiet: Quiet::default() }
    }

    /// The plugin's name.
    pub fn plugin(&self) -> &str {
        &self.plugin
    }

    /// Tell what was denied, and what would allow it.
    pub fn tell(&self, denial: impl Display) {
        let (plugin, line) = (self.plugin(), denial.to_string());
        match self.quiet.admit(&line) {
            None => {}
            Some(0) => tracing::warn!(target: "homeostat::grant", plugin, "{line}"),
            Some(held_back) => tracing::warn!(target: "homeostat::grant", plugin, held_back, "{line}"),
        }
    }
}

/// Lets a line through once a minute, and counts what it held back.
#[derive(Default)]
struct Quiet {
    said: Mutex<HashMap<String, Said>>,
}

struct Said {
    at: Instant,
    held_back: u64,
}

impl Quiet {
    /// Whether to say it now; then, how often it was held back since it was said last.
    fn admit(&self, line: &str) -> Option<u64> {
        self.admit_at(line, Instant::now())
    }

    fn admit_at(&self, line: &str, now: Instant) -> Option<u64> {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let is_quiet = |it: &Said| now.saturating_duration_since(it.at) < QUIET;
        if let Some(known) = said.get_mut(line) {
            if is_quiet(known) {
                known.held_back += 1;
                return None;
            }
            let held_back = known.held_back;
            *known = Said { at: now, held_back: 0 };
            return Some(held_back);
        }
        if said.len() >= MOST {
            said.retain(|_, it| is_quiet(it));
        }
        if said.len() >= MOST {
            return None;
        }
        said.insert(line.to_owned(), Said { at: now, held_back: 0 });
        Some(0)
    }
}

/// Whoever may write the file decides what is sent.
pub(crate) fn secret_is_writable(path: &Path) {
    static QUIET: LazyLock<Quiet> = LazyLock::new(Quiet::default);
    let line = format!("the secret {} can be written by others; `chmod go-w` it", path.display());
    if QUIET.admit(&line).is_some() {
        tracing::warn!(target: "homeostat::grant", "{line}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn once_a_minute_with_what_was_held_back() {
        let quiet = Quiet::default();
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(quiet.admit_at("a", start), Some(0));
        assert_eq!(quiet.admit_at("a", at(1)), None);
        assert_eq!(quiet.admit_at("a", at(59)), None);
        assert_eq!(quiet.admit_at("b", at(59)), Some(0));
        assert_eq!(quiet.admit_at("a", at(60)), Some(2));
        assert_eq!(quiet.admit_at("a", at(61)), None);
    }

    #[test]
    fn made_up_lines_are_bounded() {
        let quiet = Quiet::default();
        let start = Instant::now();
        let said = (0..10_000).filter(|it| quiet.admit_at(&it.to_string(), start).is_some()).count();
        assert_eq!(said, MOST);
        assert_eq!(quiet.admit_at("new", start + QUIET), Some(0));
        assert!(quiet.said.lock().unwrap().len() <= MOST);
    }
}
