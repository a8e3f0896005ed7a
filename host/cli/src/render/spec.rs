//! A group's spec for people to read and compare: in the form of YAML, but never read back.

use std::time::Duration;

use homeostat_core::spec::GroupSpec;
use serde_json::Value;
use similar::{ChangeTag, TextDiff};

use super::tame;

/// Lines of a difference that are shown.
const SHOWN: usize = 400;
/// How long a difference may be searched for. After that it is still right, but not the shortest.
const PATIENCE: Duration = Duration::from_millis(500);

/// The difference between two specs, in the unified form of `diff -u`; empty where there is none.
pub(crate) fn difference(old: Option<(&GroupSpec, u64)>, new: &GroupSpec, colour: bool) -> String {
    let before = old.map(|(spec, _)| text(spec)).unwrap_or_default();
    let after = text(new);
    let diff = TextDiff::configure().timeout(PATIENCE).diff_lines(&before, &after);
    let style = || console::Style::new().force_styling(colour);
    let mut lines = Vec::new();
    for hunk in diff.unified_diff().context_radius(3).iter_hunks() {
        lines.push(style().cyan().apply_to(hunk.header().to_string().trim_end()).to_string());
        for change in hunk.iter_changes() {
            let line = change.value().trim_end_matches('\n');
            lines.push(match change.tag() {
                ChangeTag::Equal => format!(" {line}"),
                ChangeTag::Delete => style().red().apply_to(format!("-{line}")).to_string(),
                ChangeTag::Insert => style().green().apply_to(format!("+{line}")).to_string(),
            });
        }
    }
    if lines.is_empty() {
        return String::new();
    }
    let left = lines.len().saturating_sub(SHOWN);
    lines.truncate(SHOWN);
    if left > 0 {
        lines.push(format!("... and {left} more lines"));
    }
    let from = old.map_or_else(|| "nothing".into(), |(spec, revision)| format!("{}, revision {revision}", spec.id));
    let head = [
        style().bold().apply_to(format!("--- {from}")).to_string(),
        style().bold().apply_to(format!("+++ {}, as planned", new.id)).to_string(),
    ];
    head.into_iter().chain(lines).collect::<Vec<_>>().join("\n")
}

/// A spec as lines.
fn text(spec: &GroupSpec) -> String {
    let mut lines = Vec::new();
    // A spec is made of what JSON can hold, or it could not have come here.
    block(&serde_json::to_value(spec).unwrap_or_default(), 0, &mut lines);
    lines.iter().map(|it| tame(it) + "\n").collect()
}

/// A value below its name, or below nothing.
fn block(value: &Value, depth: usize, lines: &mut Vec<String>) {
    let indent = "  ".repeat(depth);
    match value {
        Value::Object(members) if !members.is_empty() => {
            for (name, member) in members {
                entry(&format!("{indent}{}:", scalar(name)), member, depth, lines);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for item in items {
                entry(&format!("{indent}-"), item, depth, lines);
            }
        }
        other => lines.push(format!("{indent}{}", plain(other))),
    }
}

/// A value behind its name, or behind the dash of a list.
fn entry(head: &str, value: &Value, depth: usize, lines: &mut Vec<String>) {
    let is_nested = match value {
        Value::Object(members) => !members.is_empty(),
        Value::Array(items) => !items.is_empty(),
        _ => false,
    };
    match value {
        _ if is_nested => {
            lines.push(head.into());
            block(value, depth + 1, lines);
        }
        // A script is compared line by line.
        Value::String(text) if text.contains('\n') => {
            lines.push(format!("{head} |{}", if text.ends_with('\n') { "" } else { "-" }));
            let indent = "  ".repeat(depth + 1);
            lines.extend(text.lines().map(|line| format!("{indent}{line}")));
        }
        other => lines.push(format!("{head} {}", plain(other))),
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => scalar(text),
        other => other.to_string(),
    }
}

/// A text without quotes where it cannot be taken for anything else.
fn scalar(text: &str) -> String {
    let simple =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | ' ' | '=' | '+' | '$' | '%');
    let word = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/' || c == '_');
    let is_plain = word && text.chars().all(simple) && !text.ends_with(' ');
    let is_taken = ["null", "true", "false", "yes", "no", "on", "off"].iter().any(|it| text.eq_ignore_ascii_case(it));
    if is_plain && !is_taken { text.into() } else { Value::from(text).to_string() }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::*;

    fn spec(size: u32, init: &str) -> GroupSpec {
        let value = json!({"ID": "web", "Properties": {
            "Allocation": {"Size": size},
            "Instance": {"Plugin": "file", "Properties": {"Note": "5", "List": [1, {"a": []}], "On": "no"}},
            "Flavor": {"Plugin": "vanilla", "Properties": {"Init": init}},
        }});
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn a_change_is_shown_with_what_is_around_it() {
        let (old, new) = (spec(3, "echo a\necho b\n"), spec(5, "echo a\necho c\n"));
        expect![[r#"
            --- web, revision 3
            +++ web, as planned
            @@ -1,13 +1,13 @@
             ID: web
             Properties:
               Allocation:
            -    Size: 3
            +    Size: 5
               Flavor:
                 Plugin: vanilla
                 Properties:
                   Init: |
                     echo a
            -        echo b
            +        echo c
               Instance:
                 Plugin: file
                 Properties:"#]]
        .assert_eq(&difference(Some((&old, 3)), &new, false));
    }

    #[test]
    fn a_new_group_is_shown_in_full() {
        expect![[r#"
            --- nothing
            +++ web, as planned
            @@ -0,0 +1,17 @@
            +ID: web
            +Properties:
            +  Allocation:
            +    Size: 3
            +  Flavor:
            +    Plugin: vanilla
            +    Properties:
            +      Init: "true"
            +  Instance:
            +    Plugin: file
            +    Properties:
            +      List:
            +        - 1
            +        -
            +          a: []
            +      Note: "5"
            +      "On": "no""#]]
        .assert_eq(&difference(None, &spec(3, "true"), false));
    }

    #[test]
    fn where_nothing_changes_there_is_nothing_to_show() {
        assert_eq!(difference(Some((&spec(3, "a"), 1)), &spec(3, "a"), false), "");
    }

    #[test]
    fn a_spec_cannot_steer_the_terminal_and_colour_changes_no_word() {
        let (old, new) = (spec(3, "a"), spec(3, "\u{1b}[2J\n\u{202e}b"));
        let shown = difference(Some((&old, 3)), &new, false);
        assert!(!shown.contains(['\u{1b}', '\u{202e}']), "{shown:?}");
        let coloured = difference(Some((&old, 3)), &new, true);
        assert_ne!(coloured, shown);
        assert_eq!(console::strip_ansi_codes(&coloured), shown);
    }

    #[test]
    fn a_long_difference_is_cut_and_soon_found() {
        let long = |word: &str| (0..20_000).map(|i| format!("{word} {}\n", i * 7919 % 20_011)).collect::<String>();
        let shown = difference(Some((&spec(3, &long("a")), 3)), &spec(3, &long("b")), false);
        assert_eq!(shown.lines().count(), SHOWN + 3);
        assert!(shown.ends_with(" more lines"), "{}", shown.lines().last().unwrap_or_default());
    }
}
