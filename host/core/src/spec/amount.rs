//! Numbers of instances that may be shares of a group, and shares that may be fractions.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A number of instances, or a share of the group: `3` or `"25%"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Amount {
    /// So many.
    Count(u32),
    /// So many in a hundred, at most 100.
    Percent(u32),
}

impl Amount {
    /// How many of `whole` that is; a share is rounded down.
    pub fn floor(self, whole: usize) -> usize {
        match self {
            Self::Count(count) => count as usize,
            Self::Percent(percent) => whole * percent as usize / 100,
        }
    }

    /// How many of `whole` that is; a share is rounded up.
    pub fn ceil(self, whole: usize) -> usize {
        match self {
            Self::Count(count) => count as usize,
            Self::Percent(percent) => (whole * percent as usize).div_ceil(100),
        }
    }

    /// Whether it is none, of however many.
    pub fn is_zero(self) -> bool {
        matches!(self, Self::Count(0) | Self::Percent(0))
    }

    /// Read a share, as `"25%"`.
    ///
    /// # Errors
    /// A sentence that says what is wrong with the text.
    pub fn parse_percent(text: &str) -> Result<Self, String> {
        let number =
            text.trim().strip_suffix('%').map(str::trim_end).filter(|it| it.bytes().all(|b| b.is_ascii_digit()));
        match number.and_then(|it| it.parse::<u32>().ok()) {
            Some(percent) if percent <= 100 => Ok(Self::Percent(percent)),
            Some(_) => Err(format!("{text:?} is more than 100%")),
            None => {
                Err(format!("{text:?} is no share; write a number of instances, or a share of the group as \"25%\""))
            }
        }
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => write!(f, "{count}"),
            Self::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Count(count) => serializer.serialize_u32(*count),
            Self::Percent(_) => serializer.collect_str(self),
        }
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            Count(u32),
            Text(String),
        }
        match Form::deserialize(deserializer)? {
            Form::Count(count) => Ok(Self::Count(count)),
            Form::Text(text) => Self::parse_percent(&text).map_err(serde::de::Error::custom),
        }
    }
}

/// A share between 0 and 1, exact to a millionth, so that specs can be compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ratio(u32);

impl Ratio {
    /// The share; none where it is not between 0 and 1.
    pub fn new(share: f64) -> Option<Self> {
        (0.0..=1.0).contains(&share).then(|| Self((share * 1e6).round() as u32))
    }

    /// Whether `part` of `whole` is more than this share. Of nothing, any part is.
    pub fn is_exceeded(self, part: usize, whole: usize) -> bool {
        part as u128 * 1_000_000 > whole as u128 * u128::from(self.0)
    }
}

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", f64::from(self.0) / 1e6)
    }
}

impl Serialize for Ratio {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(f64::from(self.0) / 1e6)
    }
}

impl<'de> Deserialize<'de> for Ratio {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let share = f64::deserialize(deserializer)?;
        Self::new(share).ok_or_else(|| serde::de::Error::custom("a share is a number between 0 and 1"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_round_as_asked() {
        let quarter = Amount::Percent(25);
        assert_eq!((quarter.floor(10), quarter.ceil(10)), (2, 3));
        assert_eq!((quarter.floor(3), quarter.ceil(3)), (0, 1));
        assert_eq!((Amount::Count(4).floor(3), Amount::Count(4).ceil(3)), (4, 4));
    }

    #[test]
    fn what_is_written_reads_back() {
        for amount in [Amount::Count(0), Amount::Count(7), Amount::Percent(0), Amount::Percent(100)] {
            let text = serde_json::to_string(&amount).unwrap();
            assert_eq!(serde_json::from_str::<Amount>(&text).unwrap(), amount);
        }
        for wrong in ["\"101%\"", "\"25\"", "\"%\"", "\"-1%\"", "\"2.5%\"", "-1", "1.5", "\"99999999999%\""] {
            assert!(serde_json::from_str::<Amount>(wrong).is_err(), "{wrong} was accepted");
        }
    }

    #[test]
    fn a_ratio_is_exceeded_strictly() {
        let half = Ratio::new(0.5).unwrap();
        assert!(!half.is_exceeded(5, 10));
        assert!(half.is_exceeded(6, 10));
        assert!(Ratio::default().is_exceeded(1, 100), "SwarmKit's default lets no failure pass");
        assert_eq!((Ratio::new(1.1), Ratio::new(-0.1), Ratio::new(f64::NAN)), (None, None, None));
    }
}
