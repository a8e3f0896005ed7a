//! The tree that a document is, whichever format it was written in: values with their places in the text.

use serde_json::{Map, Number, Value};

/// A piece of the text, in bytes, the end excluded. A document is at most [`super::MAX_TEXT`] long, so 32 bits do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start: u32,
    pub(super) end: u32,
}

impl Span {
    pub(super) fn new(start: usize, end: usize) -> Self {
        let narrow = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Self { start: narrow(start), end: narrow(end.max(start)) }
    }

    pub(super) fn is_empty(self) -> bool {
        self.start == self.end
    }
}

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) span: Span,
    pub(super) kind: Kind,
}

#[derive(Clone, Debug)]
pub(super) enum Kind {
    Null,
    Bool(bool),
    Number(Number),
    String(String),
    Array(Vec<Node>),
    /// In the order of the document; a key may occur twice, which is reported and then the first is taken.
    Object(Vec<Member>),
}

/// One key of an object with its value.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) key: String,
    pub(super) key_span: Span,
    pub(super) value: Node,
}

impl Node {
    pub(super) fn is_null(&self) -> bool {
        matches!(self.kind, Kind::Null)
    }

    pub(super) fn members(&self) -> &[Member] {
        match &self.kind {
            Kind::Object(members) => members,
            _ => &[],
        }
    }

    pub(super) fn member(&self, key: &str) -> Option<&Member> {
        self.members().iter().find(|member| member.key == key)
    }

    pub(super) fn items(&self) -> &[Node] {
        match &self.kind {
            Kind::Array(items) => items,
            _ => &[],
        }
    }

    fn children(&self) -> impl Iterator<Item = &Node> {
        self.items().iter().chain(self.members().iter().map(|member| &member.value))
    }

    /// How deep it goes: 0 for a scalar.
    pub(super) fn depth(&self) -> usize {
        match self.kind {
            Kind::Array(_) | Kind::Object(_) => 1 + self.children().map(Node::depth).max().unwrap_or(0),
            _ => 0,
        }
    }

    /// How many bytes of memory a copy takes, roughly.
    pub(super) fn weight(&self) -> usize {
        let own = match &self.kind {
            Kind::String(text) => text.len(),
            Kind::Object(members) => members.iter().map(|member| size_of::<Member>() + member.key.len()).sum(),
            _ => 0,
        };
        size_of::<Node>() + own + self.children().map(Node::weight).sum::<usize>()
    }

    /// The value without its places.
    pub(super) fn to_value(&self) -> Value {
        match &self.kind {
            Kind::Null => Value::Null,
            Kind::Bool(value) => Value::Bool(*value),
            Kind::Number(number) => Value::Number(number.clone()),
            Kind::String(text) => Value::String(text.clone()),
            Kind::Array(items) => Value::Array(items.iter().map(Node::to_value).collect()),
            Kind::Object(members) => {
                let mut map = Map::new();
                for member in members {
                    map.entry(member.key.as_str()).or_insert_with(|| member.value.to_value());
                }
                Value::Object(map)
            }
        }
    }
}

/// Read a decimal number (JSON's grammar, or YAML's, which has more) without losing anything of it.
///
/// # Errors
/// A sentence, where neither an integer of 64 bits nor a float holds what is written.
pub(super) fn number(literal: &str) -> Result<Number, String> {
    if let Ok(value) = literal.parse::<u64>() {
        return Ok(value.into());
    }
    // "-0" is a float: an integer would lose its sign.
    if let Ok(value) = literal.parse::<i64>()
        && value != 0
    {
        return Ok(value.into());
    }
    let whole = literal.trim_start_matches(['-', '+']).bytes().all(|b| b.is_ascii_digit());
    let value = literal.parse::<f64>().ok();
    match value.and_then(Number::from_f64).zip(value) {
        Some((number, value)) if !whole || exact(value, literal) => Ok(number),
        Some(_) => Err("has more digits than a number can keep; write it as a string".into()),
        None => Err("is beyond the range of a number (some 1.8e308)".into()),
    }
}

fn exact(value: f64, literal: &str) -> bool {
    let digits = |text: &str| text.trim_start_matches(['-', '+']).trim_start_matches('0').to_owned();
    digits(&format!("{value:.0}")) == digits(literal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_exact_or_refused() {
        for (literal, value) in [
            ("0", Number::from(0_u64)),
            ("18446744073709551615", Number::from(u64::MAX)),
            ("-9223372036854775808", Number::from(i64::MIN)),
            ("100000000000000000000", Number::from_f64(1e20).unwrap()),
            ("1.5e3", Number::from_f64(1500.0).unwrap()),
            ("-0", Number::from_f64(-0.0).unwrap()),
        ] {
            assert_eq!(number(literal).unwrap().to_string(), value.to_string(), "{literal}");
        }
        for literal in
            ["18446744073709551617", "-9223372036854775809", "123456789012345678901234567890", "1e999", "-1e999"]
        {
            assert!(number(literal).is_err(), "{literal} was accepted");
        }
    }
}
