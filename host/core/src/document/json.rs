//! JSON to nodes. Strict JSON (RFC 8259): what another tool would refuse is refused here.
//!
//! serde_json judges the grammar: it is strict, iterates rather than recurses, and says what it expected. jsonc-parser
//! then gives the tree with the places.

use jsonc_parser::ast::Value;
use jsonc_parser::common::{Range, Ranged};
use jsonc_parser::{CollectOptions, ParseOptions, parse_to_ast};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::diagnostic::{Diagnostic, Text};
use super::node::{Kind, Member, Node, Span, number};
use super::{MAX_DEPTH, MAX_VALUES, syntax, too_many_values};

/// Read a text as one JSON value.
///
/// # Errors
/// The first place where the text is no JSON, or is nested too deeply; or all numbers that cannot be kept.
pub(super) fn read(text: &Text) -> Result<Node, Vec<Diagnostic>> {
    if let Some(found) = check_grammar(text) {
        return Err(vec![found]);
    }
    let shape = Shape::of(text.as_str());
    if let Some(at) = shape.too_deep {
        let message = format!("nested more than {MAX_DEPTH} levels deep");
        return Err(vec![syntax(text, Span::new(at, at + 1), message)]);
    }
    if let Some(at) = shape.too_many {
        return Err(vec![too_many_values(text, Span::new(at, at + 1))]);
    }
    let strict = ParseOptions {
        allow_comments: false,
        allow_loose_object_property_names: false,
        allow_trailing_commas: false,
        allow_missing_commas: false,
        allow_single_quoted_strings: false,
        allow_hexadecimal_numbers: false,
        allow_unary_plus_numbers: false,
        allow_bare_decimal_point_numbers: false,
        allow_non_finite_numbers: false,
        allow_extended_string_escapes: false,
    };
    let value = match parse_to_ast(text.as_str(), &CollectOptions::default(), &strict) {
        Ok(parsed) => parsed.value,
        // Half a surrogate pair is all that the grammar's judge lets pass.
        Err(error) => return Err(vec![syntax(text, span(error.range()), format!("no JSON: {}", error.kind()))]),
    };
    let mut errors = Vec::new();
    let node = match value {
        Some(value) => node(text, value, &mut errors),
        None => Node { span: Span::default(), kind: Kind::Null },
    };
    if errors.is_empty() { Ok(node) } else { Err(errors) }
}

fn span(range: Range) -> Span {
    Span::new(range.start, range.end)
}

fn node(text: &Text, value: Value<'_>, errors: &mut Vec<Diagnostic>) -> Node {
    let span = span(value.range());
    let kind = match value {
        Value::NullKeyword(_) => Kind::Null,
        Value::BooleanLit(literal) => Kind::Bool(literal.value),
        Value::StringLit(literal) => Kind::String(literal.value.into_owned()),
        Value::NumberLit(literal) => match number(literal.value) {
            Ok(number) => Kind::Number(number),
            Err(why) => {
                errors.push(syntax(text, span, format!("this number {why}")));
                Kind::Null
            }
        },
        Value::Array(array) => {
            Kind::Array(array.elements.into_iter().map(|element| node(text, element, errors)).collect())
        }
        Value::Object(object) => {
            let member = |property: jsonc_parser::ast::ObjectProp<'_>| Member {
                key_span: self::span(property.name.range()),
                key: property.name.into_string(),
                value: node(text, property.value, errors),
            };
            Kind::Object(object.properties.into_iter().map(member).collect())
        }
    };
    Node { span, kind }
}

fn check_grammar(text: &Text) -> Option<Diagnostic> {
    let mut judge = serde_json::Deserializer::from_str(text.as_str());
    let error = IgnoredAny::deserialize(&mut judge).and_then(|_| judge.end()).err()?;
    // Its words end in " at line L column C", which are told apart here.
    let words = error.to_string();
    let words = words.rsplit_once(" at line ").map_or(words.as_str(), |(words, _)| words);
    if error.is_eof() {
        let found =
            syntax(text, text.end(), "the text ends too soon: it is cut off, or something is not closed".into());
        return Some(match Shape::of(text.as_str()).open.last() {
            Some((open, b'{')) => found.with_help(unclosed(text, "object", *open)),
            Some((open, _)) => found.with_help(unclosed(text, "list", *open)),
            None => found,
        });
    }
    let offset = text.offset(error.line(), error.column());
    let rest = text.as_str().get(offset..).unwrap_or_default();
    let next = rest.chars().next();
    let token = Span::new(offset, offset + next.map_or(0, char::len_utf8));
    let comma = text.as_str()[..offset].trim_end().ends_with(',') && matches!(next, Some('}' | ']'));
    let message = match next {
        _ if comma => "trailing comma".into(),
        Some(c) if words.starts_with("expected") => format!("{words}, found {c:?}"),
        _ => words.to_owned(),
    };
    let found = syntax(text, token, message);
    Some(match next {
        Some('\'') => found.with_help("JSON writes strings and keys in double quotes"),
        Some('/' | '#') => found.with_help("JSON has no comments; YAML has: name the file .yaml"),
        _ if comma => found.with_help("remove the comma before it"),
        Some('"') if words.starts_with("expected `,`") => found.with_help("is a comma missing before it?"),
        Some(c) if c.is_alphabetic() && words == "key must be a string" => {
            found.with_help("JSON writes keys in double quotes; if this is YAML, name the file .yaml")
        }
        Some('T' | 'F' | 'N' | 'y' | 'o') if words == "expected value" => {
            found.with_help("JSON has true, false and null")
        }
        _ => found,
    })
}

fn unclosed(text: &Text, what: &str, offset: usize) -> String {
    format!("the {what} that begins on line {} is not closed", text.line(u32::try_from(offset).unwrap_or(u32::MAX)))
}

/// What the brackets and commas of a text say of it before it is parsed.
#[derive(Default)]
struct Shape {
    /// The first bracket that is nested too deeply.
    too_deep: Option<usize>,
    /// The comma or bracket with which the values become too many.
    too_many: Option<usize>,
    /// The brackets that are open at the end.
    open: Vec<(usize, u8)>,
}

impl Shape {
    fn of(text: &str) -> Self {
        let mut shape = Self::default();
        let (mut in_string, mut escaped) = (false, false);
        let mut values = 0_usize;
        for (i, b) in text.bytes().enumerate() {
            match b {
                _ if escaped => escaped = false,
                b'\\' if in_string => escaped = true,
                b'"' => in_string = !in_string,
                _ if in_string => {}
                b'{' | b'[' => {
                    shape.open.push((i, b));
                    if shape.open.len() > MAX_DEPTH {
                        shape.too_deep.get_or_insert(i);
                    }
                }
                b'}' | b']' => {
                    shape.open.pop();
                }
                _ => {}
            }
            // A value begins after each comma and, at most, after each opening bracket.
            if !in_string && matches!(b, b',' | b'{' | b'[') {
                values += 1;
                if values > MAX_VALUES {
                    shape.too_many.get_or_insert(i);
                }
            }
        }
        shape
    }
}
