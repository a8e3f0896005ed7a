//! What the host and its plugins say, as text for people.

pub(crate) mod diagnostic;
pub(crate) mod event;
pub(crate) mod group;
pub(crate) mod history;
pub(crate) mod instance;
pub(crate) mod plan;
pub(crate) mod plugin;
pub(crate) mod rollout;
pub(crate) mod spec;
pub(crate) mod table;
pub(crate) mod why;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use homeostat_core::tags::Tags;

/// Where there is nothing to show.
pub(crate) const NOTHING: &str = "-";

/// A text that a plugin or a provider wrote, made harmless: one line without control characters, and without marks that
/// reverse the writing direction.
pub(crate) fn tame(text: &str) -> String {
    let tame = |c: char| match c {
        '\n' | '\r' | '\t' => ' ',
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => '\u{fffd}',
        c if c.is_control() => '\u{fffd}',
        c => c,
    };
    text.chars().map(tame).collect()
}

/// As [`tame`], and a mark where there is nothing.
pub(crate) fn cell(text: &str) -> String {
    if text.is_empty() { NOTHING.into() } else { tame(text) }
}

/// Now, in milliseconds since 1970.
pub(crate) fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

/// How long ago something was, to two digits or so: `4s`, `3m`, `5h`, `12d`.
pub(crate) fn age(then_ms: Option<u64>, now_ms: u64) -> String {
    let Some(then) = then_ms else { return NOTHING.into() };
    let seconds = now_ms.saturating_sub(then) / 1000;
    match seconds {
        0..100 => format!("{seconds}s"),
        100..6000 => format!("{}m", seconds / 60),
        6000..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// How far ahead something is, as [`age`]: `in 20s`; `now` where it is due.
pub(crate) fn ahead(then_ms: u64, now_ms: u64) -> String {
    if then_ms <= now_ms { "now".into() } else { format!("in {}", age(Some(now_ms), then_ms.saturating_add(999))) }
}

/// A time as `1.2s`, `35ms`, `840us`.
pub(crate) fn short(time: Duration) -> String {
    match time.as_micros() {
        us @ 0..1000 => format!("{us}us"),
        us @ 1000..1_000_000 => format!("{}ms", us / 1000),
        us => format!("{}.{}s", us / 1_000_000, us % 1_000_000 / 100_000),
    }
}

/// Tags as `k=v,k=v`.
pub(crate) fn tags<'a>(tags: impl Iterator<Item = (&'a String, &'a String)>) -> String {
    cell(&tags.map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(","))
}

/// Tags that are not the host's own.
pub(crate) fn users_tags(all: &Tags) -> String {
    tags(all.iter().filter(|(key, _)| !homeostat_core::tags::is_reserved(key)))
}

/// `1 instance`, `2 instances`.
pub(crate) fn count(n: usize, noun: &str) -> String {
    format!("{n} {noun}{}", if n == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_plugin_wrote_cannot_steer_the_terminal() {
        assert_eq!(tame("a\u{1b}[31m\nb\u{202e}c\u{7}"), "a\u{fffd}[31m b\u{fffd}c\u{fffd}");
        assert_eq!(cell(""), "-");
    }

    #[test]
    fn an_age_has_one_unit() {
        let ages = [0, 99, 100, 5999, 6000, 172_799, 172_800].map(|s| age(Some(0), s * 1000));
        assert_eq!(ages, ["0s", "99s", "1m", "99m", "1h", "47h", "2d"]);
        assert_eq!(age(None, 5), "-");
        // The provider's clock is ahead of ours.
        assert_eq!(age(Some(9000), 5000), "0s");
    }

    #[test]
    fn what_is_ahead_is_rounded_up() {
        let ahead = [5000, 5001, 6000, 25_000].map(|then| ahead(then, 5000));
        assert_eq!(ahead, ["now", "in 1s", "in 1s", "in 20s"]);
    }

    #[test]
    fn short_times() {
        let times = [840, 35_400, 1_290_000].map(|us| short(Duration::from_micros(us)));
        assert_eq!(times, ["840us", "35ms", "1.2s"]);
    }
}
