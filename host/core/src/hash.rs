//! The config hash: what tells an instance that is up to date from one that is not.
//!
//! It is InfraKit's hash to the byte, so that machines which InfraKit tagged are recognised and not replaced. InfraKit
//! (`pkg/plugin/group/types`, `InstanceHash`) takes the SHA-1 of two texts, the instance part and then the flavor part
//! of the spec, and writes it in lower-case base32 (RFC 4648) without padding: 32 characters of `[a-z2-7]`.
//!
//! Each text is what Go's `encoding/json` makes of `{Plugin, Properties}` when it goes through `Marshal`, `Unmarshal`
//! into a map and `MarshalIndent(v, "  ", "  ")`:
//! - keys are sorted bytewise, so the order in the document does not matter;
//! - every number is a 64-bit float, written in its shortest form: `1.50` is `1.5`, `1e3` is `1000`. The exponent form is
//!   used below `1e-6` and from `1e21`;
//! - `<`, `>`, `&`, U+2028 and U+2029 are escaped (Go's default, meant for HTML);
//! - control characters other than tab, line feed and carriage return are `\u00xx`. Go 1.22 began to write `\b` and `\f`
//!   for two of them; InfraKit is older, so the older form is kept;
//! - every line but the first begins with two spaces more than its depth asks for: the prefix.
//!
//! Absent properties are `null`, which is not `{}`.

use data_encoding::BASE32_NOPAD;
use serde_json::{Number, Value};
use sha1::{Digest, Sha1};

use crate::spec::PluginUse;

/// The config hash of a spec's instance and flavor part.
///
/// Allocation and updating are not part of it, nor is the version of a plugin, unless the group asks for that: scaling a
/// group, or swapping a plugin, replaces no instance.
///
/// Where a plugin is named by its file, only the file's name counts, not its folder: the same document gives the same
/// hash on every machine and from every working directory. InfraKit knew no such plugins, so nothing else changes.
pub fn config_hash(instance: &PluginUse, flavor: &PluginUse) -> String {
    let mut sha1 = Sha1::new();
    sha1.update(stable(instance));
    sha1.update(stable(flavor));
    let mut text = BASE32_NOPAD.encode(&sha1.finalize());
    text.make_ascii_lowercase();
    text
}

/// The text of one part, its members sorted. InfraKit has no `Digest`; without one it is InfraKit's text.
fn stable(part: &PluginUse) -> String {
    let mut text = String::from("{");
    if let Some(digest) = &part.digest {
        break_line(&mut text, 1);
        text.push_str("\"Digest\": ");
        write_string(&mut text, digest);
        text.push(',');
    }
    break_line(&mut text, 1);
    text.push_str("\"Plugin\": ");
    write_string(&mut text, plugin_name(&part.plugin));
    text.push(',');
    break_line(&mut text, 1);
    text.push_str("\"Properties\": ");
    write_value(&mut text, &part.properties, 1);
    break_line(&mut text, 0);
    text.push('}');
    text
}

fn plugin_name(plugin: &str) -> &str {
    match plugin.ends_with(".wasm") {
        true => plugin.rsplit('/').next().unwrap_or(plugin),
        false => plugin,
    }
}

fn break_line(text: &mut String, depth: usize) {
    text.push('\n');
    // The prefix is as wide as one step, so it counts as one more.
    text.extend(std::iter::repeat_n("  ", depth + 1));
}

fn write_value(text: &mut String, value: &Value, depth: usize) {
    match value {
        Value::Null => text.push_str("null"),
        Value::Bool(value) => text.push_str(if *value { "true" } else { "false" }),
        Value::Number(number) => text.push_str(&go_float(number)),
        Value::String(value) => write_string(text, value),
        Value::Array(items) if items.is_empty() => text.push_str("[]"),
        Value::Array(items) => {
            text.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    text.push(',');
                }
                break_line(text, depth + 1);
                write_value(text, item, depth + 1);
            }
            break_line(text, depth);
            text.push(']');
        }
        Value::Object(members) if members.is_empty() => text.push_str("{}"),
        Value::Object(members) => {
            // Sorted here: whether the map is sorted depends on a feature of serde_json that any crate may turn on.
            let mut members: Vec<_> = members.iter().collect();
            members.sort_unstable_by_key(|(key, _)| *key);
            text.push('{');
            for (i, (key, value)) in members.into_iter().enumerate() {
                if i > 0 {
                    text.push(',');
                }
                break_line(text, depth + 1);
                write_string(text, key);
                text.push_str(": ");
                write_value(text, value, depth + 1);
            }
            break_line(text, depth);
            text.push('}');
        }
    }
}

/// A number as Go writes a `float64`: ECMAScript's form (Go's `encoding/json`, `floatEncoder`), but with `-0`.
fn go_float(number: &Number) -> String {
    // A number is always a finite float, unless serde_json's `arbitrary_precision` is on; then its text is the best left.
    let Some(value) = number.as_f64().filter(|value| value.is_finite()) else { return number.to_string() };
    let size = value.abs();
    if size != 0.0 && !(1e-6..1e21).contains(&size) {
        let text = format!("{value:e}");
        // Rust writes `1e21` and `1e-7`; Go `1e+21` and `1e-7`.
        match text.contains("e-") {
            true => text,
            false => text.replacen('e', "e+", 1),
        }
    } else {
        value.to_string()
    }
}

fn write_string(text: &mut String, value: &str) {
    text.push('"');
    for c in value.chars() {
        match c {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            '\0'..='\u{1f}' | '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                text.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            _ => text.push(c),
        }
    }
    text.push('"');
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn plugin(name: &str, properties: Value) -> PluginUse {
        PluginUse { plugin: name.into(), digest: None, properties }
    }

    fn number(text: &str) -> String {
        go_float(&serde_json::from_str(text).unwrap())
    }

    #[test]
    fn infrakits_golden_vectors() {
        for (instance, flavor, hash) in [
            (
                plugin("test", json!({"OpaqueValue": "data"})),
                plugin("test", json!({"Type": "minion", "Init": "init"})),
                "truzsmf7rlekaqdfhy5wen64lazw3gkg",
            ),
            (
                plugin("file", json!({"n": 1, "f": 1.50, "s": "a<b&c", "z": [1, {"b": 1, "a": 2}]})),
                plugin("vanilla", json!({"Init": ["x"]})),
                "rywos5gp4pcxutynate32cgaxqai2jcd",
            ),
            (plugin("", Value::Null), plugin("", Value::Null), "z3aypkty3dxozefuvv63j7xdvckkg42o"),
            (plugin("a", Value::Null), plugin("b", json!({})), "rgigxi5f5dgkjvdob243zaqzk3hpgnib"),
        ] {
            assert_eq!(config_hash(&instance, &flavor), hash);
        }
    }

    #[test]
    fn the_text_is_gos() {
        let part = plugin("p", json!({"b": [1, {"x": null}], "a": {}, "c": [], "d": {"e": true}}));
        assert_eq!(
            stable(&part),
            "{\n    \"Plugin\": \"p\",\n    \"Properties\": {\n      \"a\": {},\n      \"b\": [\n        1,\n        {\n          \
             \"x\": null\n        }\n      ],\n      \"c\": [],\n      \"d\": {\n        \"e\": true\n      }\n    }\n  }"
        );
    }

    #[test]
    fn the_order_of_keys_does_not_matter_and_the_order_of_items_does() {
        let hash =
            |text: &str| config_hash(&plugin("i", serde_json::from_str(text).unwrap()), &plugin("f", Value::Null));
        assert_eq!(hash(r#"{"a":{"x":1,"y":2},"b":[1,2]}"#), hash(r#"{"b":[1,2],"a":{"y":2,"x":1}}"#));
        assert_ne!(hash(r#"{"b":[1,2]}"#), hash(r#"{"b":[2,1]}"#));
        assert_ne!(hash("null"), hash("{}"));
    }

    #[test]
    fn the_two_parts_are_not_interchangeable() {
        let (a, b) = (plugin("a", json!({"x": 1})), plugin("b", json!({"y": 1})));
        assert_ne!(config_hash(&a, &b), config_hash(&b, &a));
    }

    #[test]
    fn numbers_are_gos_floats() {
        for (text, go) in [
            ("0", "0"),
            ("-0", "-0"),
            ("-0.0", "-0"),
            ("1", "1"),
            ("1.50", "1.5"),
            ("1e3", "1000"),
            ("1e21", "1e+21"),
            ("-1.25e21", "-1.25e+21"),
            ("100000000000000000000", "100000000000000000000"),
            ("999999999999999900000", "999999999999999900000"),
            ("0.000001", "0.000001"),
            ("1e-7", "1e-7"),
            ("0.00000012", "1.2e-7"),
            ("1e-10", "1e-10"),
            ("1e300", "1e+300"),
            // Past 2^53 a float has fewer digits than the integer.
            ("9007199254740993", "9007199254740992"),
            ("18446744073709551615", "18446744073709552000"),
            ("-9223372036854775808", "-9223372036854776000"),
        ] {
            assert_eq!(number(text), go, "{text}");
        }
    }

    #[test]
    fn strings_are_escaped_as_go_does() {
        let mut text = String::new();
        write_string(&mut text, "\"\\\n\r\t\u{8}\u{c}\u{1}\u{7f}<>&\u{2028}\u{2029}/é😀");
        assert_eq!(text, "\"\\\"\\\\\\n\\r\\t\\u0008\\u000c\\u0001\u{7f}\\u003c\\u003e\\u0026\\u2028\\u2029/é😀\"");
    }

    #[test]
    fn the_folder_of_a_plugin_file_does_not_count() {
        let flavor = plugin("f", Value::Null);
        let hash = |name| config_hash(&plugin(name, Value::Null), &flavor);
        assert_eq!(hash("/srv/a/file.wasm"), hash("/home/me/b/file.wasm"));
        assert_eq!(hash("/srv/a/file.wasm"), hash("file.wasm"));
        assert_ne!(hash("/srv/a/file.wasm"), hash("/srv/a/other.wasm"));
        // InfraKit's names have slashes too, and count as a whole.
        assert_ne!(hash("aws/ec2-instance"), hash("gcp/ec2-instance"));
    }
}
