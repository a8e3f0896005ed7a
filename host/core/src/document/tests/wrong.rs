//! What is told of documents that are wrong: place, path, words and help, as they are shown.

use super::*;

#[test]
fn all_errors_are_told_at_once_in_the_order_of_the_text() {
    let text = r#"{
  "ID": "we b",
  "Properties": {
    "Allocation": {"Size": "5", "Sise": 1},
    "Instnace": {"Plugin": "file"},
    "Flavor": {"Plugin": " ", "Properties": {"anything": {"Sise": 1}}},
    "Updating": {"Count": -1, "Duration": "30", "SkipBeforeInstanceDestroy": "drian"},
    "Size": 4
  }
}"#;
    assert_eq!(
        wrong("g.json", text),
        [
            "2:9: ID: \"we b\" cannot name a group (1 to 63 letters (a-z, A-Z), digits, \".\", \"_\" and \"-\", beginning \
             with a letter or a digit)",
            "4:28: Properties.Allocation.Size: expected a whole number, found the string \"5\" (write 5 without quotes)",
            "4:33: Properties.Allocation.Sise: unknown field \"Sise\" (did you mean \"Size\"?)",
            "5:5: Properties.Instnace: unknown field \"Instnace\" (did you mean \"Instance\"?)",
            "6:26: Properties.Flavor.Plugin: the plugin is blank; expected the name of a plugin, or the path of a .wasm file",
            "7:27: Properties.Updating.Count: the number -1 is negative; expected a whole number from 0 to 4294967295",
            "7:43: Properties.Updating.Duration: \"30\" lacks a unit; write it as \"30s\", \"1m30s\" or \"250ms\"",
            "7:78: Properties.Updating.SkipBeforeInstanceDestroy: expected \"drain\", the only step that can be left out, \
             found the string \"drian\"",
            "8:5: Properties.Size: unknown field \"Size\" (\"Size\" belongs to \"Allocation\")",
        ]
    );
    let first = &read("g.json", text).unwrap_err()[1];
    assert_eq!((first.pointer.as_str(), first.len, first.column), ("/Properties/Allocation/Size", 3, 28));
    assert_eq!(first.source_line, "    \"Allocation\": {\"Size\": \"5\", \"Sise\": 1},");
}

#[test]
fn json_that_is_broken() {
    for (text, error) in [
        (
            "{\n  \"ID\": \"web\",\n  \"Properties\": {",
            "3:17: the text ends too soon: it is cut off, or something is not closed (the object that begins on line 3 is not closed)",
        ),
        (
            "[{\"ID\": \"we",
            "1:11: the text ends too soon: it is cut off, or something is not closed (the object that begins on line 1 is not closed)",
        ),
        ("{\"ID\": \"a\" \"Properties\": {}}", "1:12: expected `,` or `}`, found '\"' (is a comma missing before it?)"),
        ("{\"ID\": \"ä\", \"x\"; 1}", "1:16: expected `:`, found ';'"),
        ("{\"ID\": \"a\",}", "1:12: trailing comma (remove the comma before it)"),
        ("[1,]", "1:4: trailing comma (remove the comma before it)"),
        ("{'ID': 1}", "1:2: key must be a string (JSON writes strings and keys in double quotes)"),
        (
            "{ID: web}",
            "1:2: key must be a string (JSON writes keys in double quotes; if this is YAML, name the file .yaml)",
        ),
        ("{\n // no\n}", "2:2: key must be a string (JSON has no comments; YAML has: name the file .yaml)"),
        ("{\"a\": True}", "1:7: expected value, found 'T' (JSON has true, false and null)"),
        ("{\"a\": 012}", "1:8: invalid number"),
        ("{\"a\": 0x1}", "1:8: expected `,` or `}`, found 'x'"),
        ("{\"a\": +1}", "1:7: expected value, found '+'"),
        ("{\"a\": .5}", "1:7: expected value, found '.'"),
        ("{\"a\": NaN}", "1:7: expected value, found 'N' (JSON has true, false and null)"),
        ("{} {}", "1:4: trailing characters"),
        ("{\"a\": 1e999}", "1:7: this number is beyond the range of a number (some 1.8e308)"),
        (
            "{\"a\": 123456789012345678901}",
            "1:7: this number has more digits than a number can keep; write it as a string",
        ),
    ] {
        assert_eq!(one("g.json", text), error, "{text}");
    }
    for text in [
        "{\"a\": \"\\ud800\"}",
        "{\"a\": \"\\x41\"}",
        "{\"a\": \"\t\"}",
        "{\"a\": \"\\u12\"}",
        "]",
        ",",
        "nul",
        "\"",
        "\u{0}",
    ] {
        one("g.json", text);
    }
}

#[test]
fn yaml_that_is_broken() {
    for (text, start) in [
        ("ID: web\n\tProperties: {}\n", "2:"),
        ("ID: [a\n", "1:"),
        ("ID: a: b\n", "1:"),
        ("ID: \"a\n", "1:"),
        ("ID: *nobody\n", "1:5: "),
        ("a: &x [*x]\n", "1:8: this alias stands inside of what it names, or in another document"),
        ("a: &x 1\n---\nb: *x\n", "3:4: "),
        ("5: x\n", "1:1: the key 5 is no text, and JSON's keys are (quote it: \"5\")"),
        ("? [a]\n: x\n", "1:3: a list or an object cannot be a key: JSON's keys are text"),
        ("a: !env X\n", "1:4: the tag \"!env\" means nothing here"),
        ("a: !!set {}\n", "1:4: the tag \"!!set\" means nothing here"),
        ("a: .nan\n", "1:4: .nan is no number that JSON"),
        ("<<: 5\nID: x\n", "1:5: expected an object, or a list of objects, to merge"),
        ("%YAML 9\n---\n%%\n", ""),
    ] {
        let found = wrong("g.yaml", text);
        assert!(found[0].starts_with(start), "{text:?}: {found:#?}");
    }
    assert!(one("g.yaml", "ID: web\n\tProperties: {}\n").ends_with("(YAML is indented with spaces, not with tabs)"));
}

#[test]
fn keys_that_occur_twice_are_errors_also_in_the_plugins_own_part() {
    let text = WEB.replace("\"Note\": \"hi\"", "\"Note\": 1, \"x\": [{\"Note\": 2,\n\"Note\": 3}]");
    assert_eq!(
        one("g.json", &text),
        "6:1: Properties.Instance.Properties.x[0].Note: the key \"Note\" occurs twice; the first is on line 5"
    );
    assert_eq!(
        one("g.json", &WEB.replace("\"Properties\": {\"Init\"", "\"Plugin\": \"b\", \"Properties\": {\"Init\"")),
        "6:37: Properties.Flavor.Plugin: the key \"Plugin\" occurs twice; the first is on line 6"
    );
    assert_eq!(
        one("g.yaml", &group("Instance:\n  Plugin: file\n  Properties: {a: 1, 'a': 2}")),
        "5:24: Properties.Instance.Properties.a: the key \"a\" occurs twice; the first is on line 5"
    );
}

#[test]
fn documents_that_declare_nothing() {
    for name in ["g.json", "g.yaml", "-"] {
        for text in [
            "",
            " \n",
            "null",
            "[]",
            "{}",
            "{\"Groups\": []}",
            "{\"Plugins\": {}, \"Groups\": null}",
            "\u{feff}",
            "5",
            "\"x\"",
            "[5]",
            "[[]]",
            "[null]",
        ] {
            one(name, text);
        }
    }
    one("g.yaml", "---\n---\n...\n# nothing\n");
    one("g.yaml", "just words");
    assert_eq!(ok("p.yaml", "Plugins: {a: {Path: a.wasm}}").stack.plugins.len(), 1);
}

#[test]
fn forms_that_are_nearly_right() {
    for (text, error) in [
        ("Group: []", "1:1: Group: unknown field \"Group\" (did you mean \"Groups\"?)"),
        (
            "Plugin: swarm\nProperties: {}",
            "1:9: Plugin: homeostat has groups only: expected \"group\", found \"swarm\"",
        ),
        (
            "kind: instance\nproperties: {}",
            "1:7: kind: homeostat has groups only: expected \"group\", found \"instance\"",
        ),
        (
            "Allocation: {Size: 1}",
            "1:1: these are the \"Properties\" of a group, without the group (put them into {\"ID\": \"name\", \"Properties\": ...})",
        ),
        ("- Groups: []", "1:3: [0]: a stack stands alone in a document; only groups may be in a list"),
        ("Groups: {ID: web}", "1:1: Groups: expected a list of groups, found an object"),
        ("ID: web", "1:1: \"Properties\" is missing: what the group is"),
        ("id: web\nproperties: {}", "1:1: id: unknown field \"id\" (did you mean \"ID\"?)"),
    ] {
        assert_eq!(wrong("g.yaml", text)[0], error, "{text}");
    }
    // A misspelt field is not told a second time as missing.
    assert_eq!(wrong("g.yaml", "id: web\nproperties: {}").len(), 2);
    let generic = "kind: group\nmetadata: {name: a, tags: {x: y}}\noptions: {a: 1}\ntemplate: file:///x\ndepends: [a]\nproperties: {}";
    assert_eq!(wrong("g.yaml", generic).len(), 4 + 3);
}

#[test]
fn groups_that_are_wrong() {
    for (lines, error) in [
        (
            "Allocation: {Size: -3}",
            "3:22: Properties.Allocation.Size: the number -3 is negative; expected a whole number from 0 to 100000",
        ),
        (
            "Allocation: {Size: 2.5}",
            "3:22: Properties.Allocation.Size: expected a whole number, without a point or an exponent, found the number 2.5",
        ),
        (
            "Allocation: {Size: 1e3}",
            "3:22: Properties.Allocation.Size: expected a whole number, without a point or an exponent, found the number 1e3",
        ),
        (
            "Allocation: {Size: 100001}",
            "3:22: Properties.Allocation.Size: the number 100001 is too large: at most 100000 is allowed",
        ),
        (
            "Allocation: {Size: 99999999999999999999}",
            "3:22: 99999999999999999999 has more digits than a number can keep",
        ),
        (
            "Allocation: {Size: yes}",
            "3:22: Properties.Allocation.Size: expected a whole number, found the string \"yes\"",
        ),
        (
            "Allocation: {}",
            "3:3: Properties.Allocation: neither \"Size\" nor \"LogicalIDs\" is given; one of them is needed",
        ),
        ("Allocation:", "2:1: Properties: \"Allocation\" is missing: {\"Size\": n} or {\"LogicalIDs\": [...]}"),
        (
            "Allocation: 3",
            "3:15: Properties.Allocation: expected {\"Size\": n} or {\"LogicalIDs\": [...]}, found the number 3",
        ),
        (
            "Allocation: {Size: 0, LogicalIDs: [a]}",
            "3:16: Properties.Allocation.Size: both \"Size\" and \"LogicalIDs\" are given; keep one (remove the size: the logical ids say how many there are)",
        ),
        (
            "Allocation: {Size: 2, LogicalIDs: []}",
            "3:16: Properties.Allocation.Size: both \"Size\" and \"LogicalIDs\" are given; keep one",
        ),
        (
            "Allocation:\n  LogicalIDs:\n  - a\n  - b\n  - a",
            "7:7: Properties.Allocation.LogicalIDs[2]: the logical id \"a\" occurs twice; the first is on line 5",
        ),
        (
            "Allocation: {LogicalIDs: [1]}",
            "3:29: Properties.Allocation.LogicalIDs[0]: expected a string, found the number 1 (write it in double quotes)",
        ),
        ("Allocation: {LogicalIDs: [\" \"]}", "3:29: Properties.Allocation.LogicalIDs[0]: a logical id is blank"),
        (
            "Allocation: {LogicalIDs: [\" a\"]}",
            "3:29: Properties.Allocation.LogicalIDs[0]: the logical id \" a\" begins or ends with a blank",
        ),
        (
            "Allocation: {LogicalIDs: [\"a\\eb\"]}",
            "3:29: Properties.Allocation.LogicalIDs[0]: the logical id \"a\\u{1b}b\" holds a control character",
        ),
        (
            "Allocation: {LogicalIDs: a}",
            "3:28: Properties.Allocation.LogicalIDs: expected a list of strings, found the string \"a\"",
        ),
        (
            "Updating: {Count: 1, Duration: 5s}",
            "3:14: Properties.Updating.Count: both \"Duration\" and \"Count\" are given; keep one",
        ),
        (
            "Updating: {Duration: 5}",
            "3:24: Properties.Updating.Duration: expected a duration such as \"30s\" or \"1m30s\", found the number 5",
        ),
        (
            "Updating: {Count: 1.5}",
            "3:21: Properties.Updating.Count: expected a whole number, without a point or an exponent, found the number 1.5",
        ),
        (
            "Instance: {Properties: {}}",
            "3:3: Properties.Instance: \"Plugin\" is missing: the name of a plugin, or the path of a .wasm file",
        ),
        (
            "Instance: {Plugin: x, Options: {}}",
            "3:25: Properties.Instance.Options: unknown field \"Options\" (\"Options\" belongs to nothing here",
        ),
        (
            "Flavor: vanilla",
            "3:11: Properties.Flavor: expected {\"Plugin\", \"Properties\"}, found the string \"vanilla\"",
        ),
        (
            "Instance: {Plugin: https://x/y.wasm}",
            "3:22: Properties.Instance.Plugin: expected a path, not a URL: download the file first",
        ),
        (
            "Instance: {Plugin: ~/y.wasm}",
            "3:22: Properties.Instance.Plugin: \"~\" is the shell's and means nothing here; write the path out",
        ),
    ] {
        let found = one("g.yaml", &group(lines));
        assert!(found.starts_with(error), "{lines}\n{found}\n{error}");
    }
    let long = format!("Allocation: {{LogicalIDs: [{}]}}", "x".repeat(129));
    assert!(one("g.yaml", &group(&long)).contains("a logical id of 129 bytes; at most 128 are allowed"));
    for id in ["\"\"", "\" \"", "a/b", "-a", "ä", "5", "\"a\\nb\""] {
        one("g.yaml", &group("").replace("ID: web", &format!("ID: {id}")));
    }
}

#[test]
fn group_ids_are_unique_in_a_document() {
    assert_eq!(one("g.json", &format!("[{WEB},\n{WEB}]")), "10:9: [1].ID: there is a group \"web\" already, on line 2");
}

#[test]
fn plugin_entries_that_are_wrong() {
    for (entry, error) in [
        ("{}", "1:11: Plugins.p: \"Path\" is missing: the path of a .wasm file"),
        ("{Path: p.so}", "1:21: Plugins.p.Path: expected a path that ends in .wasm, found the string \"p.so\""),
        ("{Path: p.wasm, Grant: {}}", "1:29: Plugins.p.Grant: unknown field \"Grant\" (did you mean \"Grants\"?)"),
        (
            "{Path: p.wasm, Grants: {Net: []}}",
            "1:38: Plugins.p.Grants.Net: unknown field \"Net\" (known here: \"Http\", \"Dirs\", \"Secrets\", \"Config\" and \"Exec\")",
        ),
        ("{Path: p.wasm, Grants: {Dirs: {}}}", "1:38: Plugins.p.Grants.Dirs: expected a list"),
        ("{Path: p.wasm, Grants: {Dirs: [{Guest: /a}]}}", "1:45: Plugins.p.Grants.Dirs[0]: \"Host\" is missing"),
        (
            "{Path: p.wasm, Grants: {Dirs: [{Host: '', Guest: /a}]}}",
            "1:52: Plugins.p.Grants.Dirs[0].Host: an empty path",
        ),
        (
            "{Path: p.wasm, Grants: {Dirs: [{Host: a, Guest: a}]}}",
            "1:62: Plugins.p.Grants.Dirs[0].Guest: expected an absolute path",
        ),
        (
            "{Path: p.wasm, Grants: {Dirs: [{Host: a, Guest: /a/../b}]}}",
            "1:62: Plugins.p.Grants.Dirs[0].Guest: \".\" and \"..\" are not",
        ),
        (
            "{Path: p.wasm, Grants: {Dirs: [{Host: a, Guest: /a, Mode: rwx}]}}",
            "1:72: Plugins.p.Grants.Dirs[0].Mode: expected \"ro\" (read only) or",
        ),
        (
            "{Path: p.wasm, Grants: {Dirs: [{Host: a, Guest: /a}, {Host: b, Guest: /a/}]}}",
            "1:84: Plugins.p.Grants.Dirs[1].Guest: the guest sees another",
        ),
        (
            "{Path: p.wasm, Limits: {Memory: 1KiB}}",
            "1:46: Plugins.p.Limits.Memory: expected a size from 1MiB to 4GiB, found the string \"1KiB\"",
        ),
        ("{Path: p.wasm, Limits: {Memory: 5GiB}}", "1:46: Plugins.p.Limits.Memory: expected a size from"),
        (
            "{Path: p.wasm, Limits: {Memory: -1}}",
            "1:46: Plugins.p.Limits.Memory: expected a size such as \"128MiB\", or a number of bytes, found the number -1",
        ),
        ("{Path: p.wasm, Limits: {Memory: lots}}", "1:46: Plugins.p.Limits.Memory: \"lots\" is no size"),
        (
            "{Path: p.wasm, Limits: {Calls: 0}}",
            "1:45: Plugins.p.Limits.Calls: the number 0 is too small: at least 1 is needed",
        ),
        (
            "{Path: p.wasm, Limits: {Calls: 2000}}",
            "1:45: Plugins.p.Limits.Calls: the number 2000 is too large: at most 1024",
        ),
        ("{Path: p.wasm, Limits: {CPU: 0s}}", "1:43: Plugins.p.Limits.CPU: the time has to be more than 0"),
        ("{Path: p.wasm, Limits: {Wall: 2h}}", "1:44: Plugins.p.Limits.Wall: the time may be 1h at most"),
        (
            "{Path: p.wasm, Limits: {CPU: 3s, Wall: 2s}}",
            "1:43: Plugins.p.Limits.CPU: a call cannot compute longer than it may take, which is 2s",
        ),
        (
            "{Path: p.wasm, Limits: {Cpu: 3s}}",
            "1:38: Plugins.p.Limits.Cpu: unknown field \"Cpu\" (did you mean \"CPU\"?)",
        ),
    ] {
        let found = one("g.yaml", &format!("Plugins: {{p: {entry}}}"));
        assert!(found.starts_with(error), "{entry}\n{found}\n{error}");
    }
    for name in ["''", "a b", "x.wasm", "\"a\\nb\"", "/a"] {
        one("g.yaml", &format!("Plugins: {{{name}: {{Path: p.wasm}}}}"));
    }
}

#[test]
fn plugins_that_nobody_knows() {
    let text = "Plugins: {file: {Path: f.wasm}}\nGroups:\n- {ID: a, Properties: {Allocation: {Size: 1}, Instance: {Plugin: \
                flie}, Flavor: {Plugin: vanila}}}\n- {ID: b, Properties: {Allocation: {Size: 1}, Instance: {Plugin: \
                x/y.wasm}, Flavor: {Plugin: zk}}}\n";
    let document = ok("g.yaml", text);
    let found: Vec<String> =
        document.check_plugins(&["vanilla".into()]).iter().map(|found| found.to_string()).collect();
    assert_eq!(found.len(), 3, "{found:#?}");
    assert_eq!(
        found[0],
        "g.yaml:3:66: Groups[0].Properties.Instance.Plugin: no plugin \"flie\" is known (did you mean \"file\"?)"
    );
    assert!(found[1].ends_with("no plugin \"vanila\" is known (did you mean \"vanilla\"?)"));
    assert!(
        found[2]
            .contains("known are \"file\" and \"vanilla\"; or register it with `homeostat plugin add zk FILE.wasm`")
    );
    assert!(ok("g.json", WEB).check_plugins(&["file".into(), "vanilla".into()]).is_empty());
}

#[test]
fn nesting_and_size_are_limited() {
    for (name, open, close) in [
        ("g.json", "[", "]"),
        ("g.json", "{\"a\":", "}"),
        ("g.yaml", "[", "]"),
        ("g.yaml", "{a: ", "}"),
        ("g.yaml", "- ", ""),
    ] {
        for depth in [129, 100_000] {
            let inner = if name == "g.json" { "1" } else { "x" };
            let text = format!("{}{inner}{}", open.repeat(depth), close.repeat(depth));
            let found = one(name, &text);
            assert!(found.contains("nested more than 128 levels deep"), "{name} {open} {depth}: {found}");
            wrong(name, &open.repeat(depth)).first().unwrap();
        }
    }
    let nested = format!("{}1{}", "[".repeat(120), "]".repeat(120));
    ok("g.json", &WEB.replace("\"hi\"", &nested));
    assert!(one("g.json", &" ".repeat(MAX_TEXT + 1)).contains("are too many"));
    assert!(one("g.yaml", &" ".repeat(MAX_YAML + 1)).ends_with("(as JSON it may have 16 MiB)"));
    let many = format!("[{}0]", "0,".repeat(MAX_VALUES));
    for name in ["g.json", "g.yaml"] {
        assert!(one(name, &many).ends_with("a document holds at most 1000000 values"), "{name}");
    }
    assert!(one("g.json", &format!("{{\"{}\": {{}}}}", "k".repeat(5000))).contains("a key of 5000 bytes"));
}

#[test]
fn a_file_of_something_else_gets_a_bounded_answer() {
    let errors = read("g.json", &format!("[{}0]", "0,".repeat(50_000))).unwrap_err();
    assert_eq!(errors.len(), MAX_DIAGNOSTICS);
    assert_eq!(errors.last().unwrap().help.as_deref(), Some("and 49901 more errors, which are not shown"));
}

#[test]
fn text_that_is_not_utf8_is_located() {
    let errors = text_of("g.json", b"{\n  \"ID\": \"\xc3\xa4\xff\"\n}").unwrap_err();
    assert_eq!(errors[0].to_string(), "g.json:2:11: this is not UTF-8 (save the file as UTF-8)");
    assert!(text_of("x", b"\xff\xfe{\0").unwrap_err()[0].help.as_ref().unwrap().contains("UTF-16"));
    assert_eq!(text_of("x", "ä".as_bytes()).unwrap(), "ä");
}
