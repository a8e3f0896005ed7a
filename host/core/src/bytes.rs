//! Sizes in bytes, as people write them: `"128MiB"`, `"1GB"`, `"4096"`.

use serde::{Deserialize, Deserializer, Serializer};

const UNITS: [(&str, u64); 8] = [
    ("B", 1),
    ("", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
];

/// Read a size: a whole number and a unit of `B`, `KiB`, `MiB`, `GiB`, `KB`, `MB`, `GB`, or none for bytes.
///
/// # Errors
/// A sentence that says what is wrong with the text.
pub fn parse(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let scale = UNITS.iter().find(|(name, _)| *name == unit.trim()).map(|(_, scale)| *scale);
    number
        .parse::<u64>()
        .ok()
        .zip(scale)
        .and_then(|(number, scale)| number.checked_mul(scale))
        .ok_or_else(|| format!("{text:?} is no size; write it as \"128MiB\" (B, KiB, MiB, GiB, KB, MB, GB)"))
}

/// Write a size in the largest binary unit that leaves no remainder.
pub fn format(value: u64) -> String {
    let (unit, scale) = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)]
        .into_iter()
        .find(|(_, scale)| value >= *scale && value.is_multiple_of(*scale))
        .unwrap_or(("B", 1));
    format!("{}{unit}", value / scale)
}

/// For `#[serde(with = "...")]`.
pub fn serialize<S: Serializer>(value: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&format(*value))
}

/// For `#[serde(with = "...")]`.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_writes_units() {
        for (text, value) in [("128MiB", 128 << 20), ("1GB", 1_000_000_000), ("4096", 4096), ("7 KiB", 7 << 10)] {
            assert_eq!(parse(text), Ok(value), "{text}");
            assert_eq!(parse(&format(value)), Ok(value));
        }
        for text in ["", "MiB", "1.5GiB", "12XB", "99999999999GiB"] {
            assert!(parse(text).is_err(), "{text:?} was accepted");
        }
    }
}
