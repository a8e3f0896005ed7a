//! Documents as users and adversaries write them. Places and words are compared as they are shown.

mod grants;
mod plugins;
mod policy;
mod property;
mod wrong;

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::grant::{DirMode, Limits};
use crate::spec::{Allocation, GroupProperties, GroupSpec, PluginUse, SkipStep, Stack, Updating};

const WEB: &str = r#"{
  "ID": "web",
  "Properties": {
    "Allocation": {"Size": 3},
    "Instance": {"Plugin": "file", "Properties": {"Note": "hi"}},
    "Flavor": {"Plugin": "vanilla", "Properties": {"Init": ["x"]}}
  }
}"#;

fn read(name: &str, text: &str) -> Result<Document, Vec<Diagnostic>> {
    Document::read(&Source { name, text, base_dir: Path::new("/srv/stack") })
}

fn ok(name: &str, text: &str) -> Document {
    read(name, text).unwrap_or_else(|errors| panic!("{text}\n{errors:#?}"))
}

/// What is wrong, without the file's name.
fn wrong(name: &str, text: &str) -> Vec<String> {
    let errors = read(name, text).err().unwrap_or_default();
    errors.iter().map(|error| error.to_string().strip_prefix(&format!("{name}:")).unwrap().to_owned()).collect()
}

/// The one thing that is wrong.
#[track_caller]
fn one(name: &str, text: &str) -> String {
    let all = wrong(name, text);
    assert_eq!(all.len(), 1, "{text}\n{all:#?}");
    all[0].clone()
}

/// A group in YAML with these lines as its properties, and a size where they have none.
fn group(lines: &str) -> String {
    let mut text = "ID: web\nProperties:\n".to_owned();
    for line in lines.lines() {
        text.push_str(&format!("  {line}\n"));
    }
    for (name, line) in [
        ("Allocation", "Allocation: {Size: 3}"),
        ("Instance", "Instance: {Plugin: file}"),
        ("Flavor", "Flavor: {Plugin: vanilla}"),
    ] {
        if !lines.starts_with(name) && !lines.contains(&format!("\n{name}")) {
            text.push_str(&format!("  {line}\n"));
        }
    }
    text
}

fn web() -> GroupSpec {
    GroupSpec {
        id: "web".into(),
        properties: GroupProperties {
            allocation: Allocation::Size(3),
            instance: PluginUse { plugin: "file".into(), digest: None, properties: json!({"Note": "hi"}) },
            flavor: PluginUse { plugin: "vanilla".into(), digest: None, properties: json!({"Init": ["x"]}) },
            updating: Updating::default(),
            healing: Default::default(),
            removal: Default::default(),
        },
    }
}

#[test]
fn every_form_of_a_group_is_the_same_group() {
    let properties = r#"{"Allocation":{"Size":3},"Instance":{"Plugin":"file","Properties":{"Note":"hi"}},"Flavor":{"Plugin":"vanilla","Properties":{"Init":["x"]}}}"#;
    for (text, pointer) in [
        (WEB.to_owned(), "/Properties"),
        (format!("[{WEB}]"), "/0/Properties"),
        (format!(r#"{{"Plugin":"group","Properties":{WEB}}}"#), "/Properties/Properties"),
        (format!(r#"[{{"Plugin":"group","Properties":{WEB}}}]"#), "/0/Properties/Properties"),
        (format!(r#"{{"Groups":[{WEB}]}}"#), "/Groups/0/Properties"),
        (format!(r#"{{"Groups":[{{"Plugin":"group","Properties":{WEB}}}]}}"#), "/Groups/0/Properties/Properties"),
        (
            format!(
                r#"{{"kind":"group","version":"Group/0.1.1","metadata":{{"name":"web"}},"properties":{properties}}}"#
            ),
            "/properties",
        ),
        (format!("\u{feff}{WEB}"), "/Properties"),
        (WEB.replace('\n', "\r\n"), "/Properties"),
        (WEB.replace("\"Instance\"", "\"Updating\": null, \"Instance\""), "/Properties"),
    ] {
        // JSON is YAML as well.
        for name in ["g.json", "g.yaml", "-"] {
            let document = ok(name, &text);
            assert_eq!(document.stack.groups, [web()], "{name} {text}");
            assert_eq!(document.group_pointer(0), pointer);
        }
    }
}

#[test]
fn yaml_documents_are_a_list_of_groups() {
    let text = "---\nkind: group\nmetadata: {name: a}\nproperties: &p\n  Allocation: {LogicalIDs: [10.0.0.1, \"2\"]}\n  \
                Instance: {Plugin: file}\n  Flavor: {Plugin: vanilla}\n---\nID: b\nProperties:\n  Allocation: {Size: 0}\n  \
                Instance: {Plugin: file}\n  Flavor: {Plugin: vanilla}\n---\n";
    let document = ok("x.yml", text);
    let ids: Vec<&str> = document.stack.groups.iter().map(|group| group.id.as_str()).collect();
    assert_eq!(ids, ["a", "b"]);
    assert_eq!(
        document.stack.groups[0].properties.allocation,
        Allocation::LogicalIds(vec!["10.0.0.1".into(), "2".into()])
    );
    assert_eq!(document.stack.groups[1].properties.allocation, Allocation::Size(0));
    assert_eq!(document.group_pointer(1), "/1/Properties");
    let at = document.diagnostic_at("/1/Properties/Flavor/Plugin", "x");
    assert_eq!((at.line, at.column, at.path.as_str()), (13, 20, "[1].Properties.Flavor.Plugin"));
}

#[test]
fn a_whole_stack() {
    let text = r#"
Plugins:
  file:
    Path: ../plugins/./file.wasm
    Grants:
      Dirs:
        - {Host: state, Guest: /instances/, Mode: rw}
        - {Host: /etc/ssl, Guest: /ssl}
    Limits: {Memory: 64MiB, CPU: 2s, Wall: 1m30s, Calls: 4, ListLag: 5s}
  other: {Path: /opt/o.wasm, Limits: {Memory: 1048576, Wall: 2s}}
Groups:
  - ID: web
    Properties:
      Allocation: {LogicalIDs: []}
      Updating: {Duration: 30s, SkipBeforeInstanceDestroy: drain}
      Instance: {Plugin: file, Properties: {Any: {Thing: [1, 2.5, null, yes]}}}
      Flavor: {Plugin: ./f.wasm}
"#;
    let stack = ok("s.yaml", text).stack;
    let file = &stack.plugins["file"];
    assert_eq!(file.source.file(), Some(Path::new("/srv/plugins/file.wasm")));
    assert_eq!(file.grants.dirs[0].host, Path::new("/srv/stack/state"));
    assert_eq!((file.grants.dirs[0].guest.as_str(), file.grants.dirs[0].mode), ("/instances", DirMode::ReadWrite));
    assert_eq!(file.grants.dirs[1].mode, DirMode::ReadOnly);
    let seconds = Duration::from_secs;
    assert_eq!(
        file.limits,
        Limits {
            memory: 64 << 20,
            cpu: seconds(2),
            wall: seconds(90),
            calls: 4,
            list_lag: seconds(5),
            ..Limits::default()
        }
    );
    // The default of 5 s of computing does not fit into a wall of 2 s.
    assert_eq!(
        stack.plugins["other"].limits,
        Limits {
            memory: 1 << 20,
            cpu: seconds(2),
            wall: seconds(2),
            calls: 16,
            list_lag: seconds(0),
            ..Limits::default()
        }
    );
    let group = &stack.groups[0].properties;
    assert_eq!(group.allocation, Allocation::LogicalIds(vec![]));
    assert_eq!(group.updating.duration, Some(seconds(30)));
    assert_eq!(group.updating.skip_before_instance_destroy, Some(SkipStep::Drain));
    assert_eq!(group.instance.properties, json!({"Any": {"Thing": [1, 2.5, null, "yes"]}}));
    assert_eq!((group.flavor.plugin.as_str(), &group.flavor.properties), ("/srv/stack/f.wasm", &Value::Null));
    // What is written reads back the same, from anywhere.
    let written = serde_json::to_string(&stack).unwrap();
    assert_eq!(ok("-", &written).stack, stack);
}

#[test]
fn what_infrakit_exports_is_read() {
    let text = group(
        "Allocation: {Size: 3, LogicalIDs: null}\nUpdating: {Duration: 0s, Count: 2, SkipBeforeInstanceDestroy: \"\"}",
    );
    let properties = ok("g.yaml", &text).stack.groups.remove(0).properties;
    assert_eq!(properties.allocation, Allocation::Size(3));
    assert_eq!(properties.updating, Updating { count: Some(2), ..Updating::default() });
}

#[test]
fn any_pointer_is_located() {
    let document = ok("g.json", WEB);
    for (pointer, line, column, len, path) in [
        ("", 1, 1, 1, ""),
        ("/Properties", 3, 3, 12, "Properties"),
        ("/Properties/Flavor/Properties/Init/0", 6, 61, 3, "Properties.Flavor.Properties.Init[0]"),
        ("/Properties/Instance/Properties/Note", 5, 59, 4, "Properties.Instance.Properties.Note"),
        ("/Properties/Instance/Properties/Missing/0", 5, 36, 12, "Properties.Instance.Properties.Missing[0]"),
        ("/Properties/Flavor/Properties/Init/7", 6, 52, 6, "Properties.Flavor.Properties.Init[7]"),
        ("/a~1b/c~0d e", 1, 1, 1, "[\"a/b\"][\"c~d e\"]"),
        ("no pointer", 1, 1, 1, ""),
    ] {
        let found = document.diagnostic_at(pointer, "wrong");
        assert_eq!((found.line, found.column, found.len, found.path.as_str()), (line, column, len, path), "{pointer}");
    }
    assert_eq!(document.group_pointer(9), "");
}

#[test]
fn columns_are_characters_in_yaml_too() {
    let text = "# äöü 😀\r\nID: web # ß\r\nProperties:\r\n  Allocation: {Size: 1}\r\n  \"Flavor\": {Plugin: v, Properties: {ä: \"😀\", ö: !no 1}}\r\n";
    assert_eq!(wrong("g.yaml", text)[0].split(": ").next(), Some("5:49"));
}

#[test]
fn anchors_and_merge_keys_save_typing_within_a_budget() {
    let text = "Groups:\n- ID: a\n  Properties: &base\n    Allocation: {Size: 1}\n    Instance: {Plugin: i, Properties: {x: 1}}\n    \
                Flavor: {Plugin: f}\n- ID: b\n  Properties:\n    <<: *base\n    Allocation: {Size: 2}\n- ID: c\n  Properties: *base\n";
    let groups = ok("g.yaml", text).stack.groups;
    let sizes: Vec<_> = groups.iter().map(|group| group.properties.allocation.len()).collect();
    assert_eq!(sizes, [1, 2, 1]);
    assert_eq!(groups[1].properties.instance, groups[0].properties.instance);

    let mut laughs = String::from("a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol, lol]\n");
    for i in 1..30 {
        laughs.push_str(&format!("a{i}: &a{i} [{}]\n", vec![format!("*a{}", i - 1); 10].join(", ")));
    }
    assert!(one("g.yaml", &laughs).contains("MiB"));
    let deep: String = (1..200).map(|i| format!("a{i}: &a{i} [*a{}]\n", i - 1)).collect();
    assert!(one("g.yaml", &format!("a0: &a0 [x]\n{deep}")).contains("nested more than 128 levels deep"));
}

#[test]
fn numbers_reach_the_plugin_exactly() {
    let literals = "[0, -0.0, 18446744073709551615, -9223372036854775808, 1.7976931348623157e308, 5e-324, 0.1, 9007199254740993, 122.416294033786585]";
    for name in ["g.json", "g.yaml"] {
        let document = ok(name, &WEB.replace("\"hi\"", literals));
        let expected: Value = serde_json::from_str(literals).unwrap();
        assert_eq!(document.stack.groups[0].properties.instance.properties["Note"], expected);
        // And a host that stores and loads the spec keeps them so: otherwise the config hash would change.
        let stored = serde_json::to_string(&document.stack.groups[0]).unwrap();
        assert_eq!(serde_json::from_str::<GroupSpec>(&stored).unwrap(), document.stack.groups[0]);
    }
}

#[test]
fn what_is_wrong_with_the_form_hides_no_plugin() {
    let text = r#"{"Plugins": {"entry": {"Path": "x.so"}}, "Groups": [
  {"ID": "a", "Properties": {"Allocation": {"Size": -1},
    "Instance": {"Plugin": "flie", "Properties": {"Note": 1}}, "Flavor": {"Plugin": "entry"}}},
  {"ID": "b", "Properties": {"Allocation": {"Size": 2}, "Instance": {"Plugin": "file"}, "Flavor": {}}}]}"#;
    let source = Source { name: "g.json", text, base_dir: Path::new("/") };
    let (document, faults) = Document::examine(&source).expect("it is JSON");
    assert_eq!(faults.len(), 3, "{faults:#?}");
    assert!(document.stack.groups.is_empty() && document.stack.plugins.is_empty());
    let uses: Vec<_> = document
        .uses
        .iter()
        .map(|it| (it.role, it.plugin.plugin.as_str(), it.pointer.as_str(), it.allocation.clone()))
        .collect();
    let size = Some(Allocation::Size(2));
    assert_eq!(
        uses,
        [
            (Role::Instance, "flie", "/Groups/0/Properties/Instance", None),
            (Role::Flavor, "entry", "/Groups/0/Properties/Flavor", None),
            (Role::Instance, "file", "/Groups/1/Properties/Instance", size),
        ]
    );
    // An entry that is wrong is known all the same: what is wrong with it has been told.
    let unknown: Vec<String> = document.check_plugins(&["file".into()]).iter().map(ToString::to_string).collect();
    assert_eq!(unknown.len(), 1, "{unknown:#?}");
    assert!(unknown[0].contains("g.json:3:28: ") && unknown[0].contains("did you mean \"file\"?"), "{unknown:#?}");
}
