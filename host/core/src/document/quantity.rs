//! The small values that policies are made of: amounts, shares, switches, words out of a few, and times.

use std::time::Duration;

use super::decode::{At, Decoder};
use super::node::Kind;
use super::suggest::nearest;
use crate::spec::{Amount, MAX_GROUP_SIZE, Ratio};

/// The longest text that may be a share: anything longer is something else, and is not repeated in full.
const MAX_SHARE: usize = 40;

impl Decoder<'_> {
    /// A number of instances, or a share of the group: `3` or `"25%"`.
    pub(super) fn amount(&mut self, at: &At<'_>) -> Option<Amount> {
        let what = "a number of instances, or a share of the group such as \"25%\"";
        match &at.node.kind {
            Kind::Number(number) if number.as_f64().is_some_and(|it| it.fract() != 0.0) => {
                if let Some(error) = self.expected(at, what) {
                    error.help = Some("a share is written as \"25%\"".into());
                }
                None
            }
            Kind::Number(_) => self.whole_number(at, 0, MAX_GROUP_SIZE).map(Amount::Count),
            Kind::String(text) if let Ok(number) = text.trim().parse::<u32>() => {
                if let Some(error) = self.expected(at, what) {
                    error.help = Some(format!("write {number} without quotes, or \"{number}%\""));
                }
                None
            }
            _ => self.percent(at, what),
        }
    }

    /// A share of the group: `"25%"`, at most 100 %.
    pub(super) fn share(&mut self, at: &At<'_>) -> Option<Amount> {
        let number = match &at.node.kind {
            Kind::Number(number) => number.as_u64().map(|it| it.to_string()),
            Kind::String(text) => text.trim().parse::<u32>().ok().map(|it| it.to_string()),
            _ => None,
        };
        let what = "a share of the group such as \"25%\"";
        let Some(number) = number else { return self.percent(at, what) };
        if let Some(error) = self.expected(at, what) {
            error.help = Some(format!("write \"{number}%\""));
        }
        None
    }

    fn percent(&mut self, at: &At<'_>, what: &str) -> Option<Amount> {
        match &at.node.kind {
            Kind::String(text) if text.len() <= MAX_SHARE && text.trim_end().ends_with('%') => {
                match Amount::parse_percent(text) {
                    Ok(share) => Some(share),
                    Err(why) => {
                        self.error(at, why);
                        None
                    }
                }
            }
            _ => {
                self.expected(at, what);
                None
            }
        }
    }

    /// A share as a number between 0 and 1.
    pub(super) fn ratio(&mut self, at: &At<'_>) -> Option<Ratio> {
        let number = match &at.node.kind {
            Kind::Number(number) => number.as_f64(),
            _ => None,
        };
        let found = number.and_then(Ratio::new);
        if found.is_none()
            && let Some(error) = self.expected(at, "a share between 0 and 1")
        {
            error.help = Some("ten percent is written as 0.1".into());
        }
        found
    }

    pub(super) fn truth(&mut self, at: &At<'_>) -> Option<bool> {
        if let Kind::Bool(value) = at.node.kind {
            return Some(value);
        }
        let help = match &at.node.kind {
            Kind::String(text) => match text.trim().to_ascii_lowercase().as_str() {
                "true" | "yes" | "on" => Some("write true, without quotes"),
                "false" | "no" | "off" => Some("write false, without quotes"),
                _ => None,
            },
            _ => None,
        };
        if let (Some(error), Some(help)) = (self.expected(at, "true or false"), help) {
            error.help = Some(help.into());
        }
        None
    }

    /// One word out of a few.
    pub(super) fn choice<T: Copy>(&mut self, at: &At<'_>, choices: &[(&str, T)]) -> Option<T> {
        let names: Vec<String> = choices.iter().map(|(name, _)| format!("{name:?}")).collect();
        let what = match names.split_last() {
            Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
            _ => names.concat(),
        };
        let written = self.string(at, &what)?;
        let found = choices.iter().find(|(name, _)| *name == written).map(|(_, choice)| *choice);
        if found.is_none() {
            let near = nearest(written, choices.iter().map(|(name, _)| *name));
            if let (Some(error), Some(name)) = (self.expected(at, &what), near) {
                error.help = Some(format!("did you mean {name:?}?"));
            }
        }
        found
    }

    /// A time that is more than nothing; `why` says what nothing would come to, and `help` what to write instead.
    pub(super) fn some_time(&mut self, at: &At<'_>, why: &str, help: &str) -> Option<Duration> {
        let value = self.duration(at)?;
        if !value.is_zero() {
            return Some(value);
        }
        if let Some(error) = self.error(at, format!("the time has to be more than 0: {why}")) {
            error.help = Some(help.into());
        }
        None
    }
}
