//! Durations as Go writes them (`"30s"`, `"1h15m30.5s"`), which is how InfraKit's documents hold them.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serializer};

/// The units in nanoseconds.
const UNITS: [(&str, u128); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("\u{b5}s", 1_000),
    ("\u{3bc}s", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// Read a duration: one or more decimal numbers, each with a unit of `ns`, `us`, `ms`, `s`, `m` or `h`. A bare `0` needs
/// no unit. The source is Go's `time.ParseDuration`, without negative values.
///
/// # Errors
/// A sentence that says what is wrong with the text.
pub fn parse(text: &str) -> Result<Duration, String> {
    const FORM: &str = "write it as \"30s\", \"1m30s\" or \"250ms\"";
    let mut rest = text.trim();
    if rest == "0" {
        return Ok(Duration::ZERO);
    }
    if rest.is_empty() {
        return Err(format!("an empty duration; {FORM}"));
    }
    let mut nanos: u128 = 0;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, tail) = rest.split_at(end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if whole.len() + fraction.len() == 0 || fraction.contains('.') {
            return Err(format!("{text:?} is no duration; {FORM}"));
        }
        let (unit, scale) = UNITS
            .iter()
            .filter(|(unit, _)| tail.starts_with(unit))
            .max_by_key(|(unit, _)| unit.len())
            .ok_or_else(|| format!("{text:?} lacks a unit; {FORM}"))?;
        // Saturating is enough: what does not fit is refused below. Digits past 10^-18 of a unit are below a nanosecond.
        let whole = whole.bytes().fold(0_u128, |sum, b| sum.saturating_mul(10).saturating_add(u128::from(b - b'0')));
        let (part, of) = fraction
            .bytes()
            .take(18)
            .fold((0_u128, 1_u128), |(part, of), b| (part * 10 + u128::from(b - b'0'), of * 10));
        nanos = nanos.saturating_add(whole.saturating_mul(*scale)).saturating_add(part * scale / of);
        rest = &tail[unit.len()..];
    }
    // Go's range: a signed 64-bit number of nanoseconds, some 292 years.
    match u64::try_from(nanos) {
        Ok(nanos) if i64::try_from(nanos).is_ok() => Ok(Duration::from_nanos(nanos)),
        _ => Err(format!("{text:?} is longer than 292 years")),
    }
}

/// Write a duration so that [`parse`] reads it back: the largest units that leave no remainder.
pub fn format(value: Duration) -> String {
    let mut rest = value.as_nanos();
    if rest == 0 {
        return "0s".into();
    }
    let mut text = String::new();
    for (unit, size) in [
        ("h", 3_600_000_000_000),
        ("m", 60_000_000_000),
        ("s", 1_000_000_000),
        ("ms", 1_000_000),
        ("us", 1_000),
        ("ns", 1),
    ] {
        if rest >= size {
            text.push_str(&format!("{}{unit}", rest / size));
            rest %= size;
        }
    }
    text
}

/// For `#[serde(with = "...")]`.
pub fn serialize<S: Serializer>(value: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&format(*value))
}

/// For `#[serde(with = "...")]`.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
}

/// The same for an optional duration.
pub mod option {
    use super::*;

    /// For `#[serde(with = "...")]`.
    pub fn serialize<S: Serializer>(value: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => super::serialize(value, serializer),
            None => serializer.serialize_none(),
        }
    }

    /// For `#[serde(with = "...")]`.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
        Option::<String>::deserialize(deserializer)?
            .map(|text| parse(&text).map_err(serde::de::Error::custom))
            .transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_go_writes() {
        for (text, nanos) in [
            ("30s", 30_000_000_000),
            ("1m30s", 90_000_000_000),
            ("1h0m0.5s", 3_600_500_000_000),
            ("250ms", 250_000_000),
            ("10us", 10_000),
            (".5s", 500_000_000),
            ("1.s", 1_000_000_000),
            ("1.1s", 1_100_000_000),
            ("0.29s", 290_000_000),
            ("0", 0),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_nanos(nanos)), "{text}");
        }
    }

    #[test]
    fn says_what_is_wrong() {
        for text in [
            "",
            "30",
            "s",
            "3x",
            "-5s",
            "1.2.3s",
            "9999999h",
            ".s",
            "1\u{e9}",
            "99999999999999999999999999999999999999999s",
        ] {
            assert!(parse(text).is_err(), "{text:?} was accepted");
        }
    }

    #[test]
    fn what_is_written_reads_back() {
        for nanos in [0, 1, 999, 1_000, 61_000_000_000, 3_600_000_000_001, 90_000_000, i64::MAX as u64] {
            let value = Duration::from_nanos(nanos);
            assert_eq!(parse(&format(value)), Ok(value));
        }
    }
}
