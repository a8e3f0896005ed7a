//! Documents as users write them: wrong ones are told of with their place and change nothing, right ones work in every
//! form.

use std::fmt::Write as _;

use homeostat_tests::{Fingerprint, Process, Run, World, group, plugin};
use serde_json::{Value, json};

/// A group that fits the world's plugins. The cases break it.
const WEB: &str = r#"{
  "ID": "web",
  "Properties": {
    "Allocation": {"Size": 3},
    "Instance": {"Plugin": "file", "Properties": {"Note": "hi"}},
    "Flavor": {"Plugin": "vanilla", "Properties": {"Tags": {"tier": "web"}}}
  }
}
"#;

/// Marks the place of a fault in a case; it is no part of the document.
const HERE: char = '«';

/// A world with a group `web` of two, and everything that a refused document could have changed.
struct Scene {
    world: World,
    _host: Process,
}

impl Scene {
    fn new() -> Self {
        let world = World::new();
        let host = world.serve();
        world.commit(&[group("web", 2, "a")]);
        Self { world, _host: host }
    }

    /// The files, and what the host says of groups and plugins.
    fn state(&self) -> (Fingerprint, [Value; 3]) {
        let json = |words: &str| self.world.run(words).ok().json();
        let mut plugins = json("plugin ls -o json");
        for plugin in plugins.as_array_mut().unwrap() {
            // A document is checked by calling them.
            plugin["Stats"].take();
        }
        (self.world.fingerprint(), [json("group ls -o json"), json("group inspect web"), plugins])
    }

    /// Commit a text that is wrong at [`HERE`].
    #[track_caller]
    fn refused(&self, name: &str, marked: &str) -> Run {
        let before = self.state();
        let place = marked.find(HERE).map(|at| {
            let above = &marked[..at];
            let column = above.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
            format!("{name}:{}:{column}", above.matches('\n').count() + 1)
        });
        self.world.write(name, marked.replace(HERE, ""));
        let mut run = self.world.run(&format!("group commit {name}")).ends_with(1).complains("nothing was changed");
        if let Some(place) = place {
            // With what follows, so that column 1 is not found in 12.
            let found = run.stderr.lines().any(|line| line.trim() == format!("--> {place}"));
            assert!(found, "not at {place}: {}", run.told());
        }
        assert_eq!(self.state(), before, "something was changed: {}", run.told());
        assert!(run.stdout.is_empty(), "{}", run.told());
        let _ = write!(run.command, " of\n{marked}\n");
        run
    }

    /// Commit [`WEB`] with one part replaced.
    #[track_caller]
    fn broken(&self, part: &str, by: &str, path: &str, says: &[&str]) {
        assert_eq!(WEB.matches(part).count(), 1, "{part} is not there once");
        let mut run = self.refused("web.json", &WEB.replace(part, by)).complains("the document has 1 fault;");
        if !path.is_empty() {
            let found = run.stderr.lines().any(|line| line.trim() == format!("= at: {path}"));
            assert!(found, "not at {path}: {}", run.told());
        }
        for text in says {
            run = run.complains(text);
        }
    }
}

#[test]
fn sizes_that_are_none_are_refused_at_their_place() {
    let scene = Scene::new();
    let cases: [(&str, &[&str]); 7] = [
        ("-5", &["the number -5 is negative", "from 0 to 100000"]),
        ("\"5\"", &["found the string \"5\"", "help: write 5 without quotes"]),
        ("2.5", &["expected a whole number", "found the number 2.5"]),
        ("1e30", &["the number 1e30 is too large"]),
        ("100001", &["the number 100001 is too large: at most 100000 is allowed"]),
        ("4294967301", &["too large: at most 100000 is allowed"]),
        ("true", &["expected a whole number", "true"]),
    ];
    for (size, says) in cases {
        scene.broken("3}", &format!("{HERE}{size}}}"), "Properties.Allocation.Size", says);
    }
    scene.broken("3}", &format!("{HERE}{}}}", "9".repeat(400)), "", &["beyond the range of a number"]);
}

#[test]
fn allocations_and_fields_that_make_no_sense_are_refused_at_their_place() {
    let scene = Scene::new();
    let cases: [(&str, &str, &str, &[&str]); 10] = [
        (
            r#"{"Size": 3}"#,
            r#"{«"Size": 3, "LogicalIDs": ["a"]}"#,
            "Properties.Allocation.Size",
            &["both \"Size\" and"],
        ),
        (r#""Allocation": {"Size": 3}"#, r#"«"Allocation": {}"#, "Properties.Allocation", &["neither \"Size\" nor"]),
        (
            r#"{"Size": 3}"#,
            r#"{"LogicalIDs": ["a", "b", «"a"]}"#,
            "Properties.Allocation.LogicalIDs[2]",
            &["the logical id \"a\" occurs twice; the first is on line 4"],
        ),
        (r#""Allocation""#, r#"«"Alocation""#, "Properties.Alocation", &["did you mean \"Allocation\"?"]),
        (r#""Note": "hi""#, r#""Note": "hi", «"Note": "ho""#, "Properties.Instance.Properties.Note", &["occurs twice"]),
        (r#""ID": "web""#, r#""ID": «"we b""#, "ID", &["\"we b\" cannot name a group"]),
        (r#""ID": "web""#, r#""ID": «"../web""#, "ID", &["cannot name a group"]),
        (r#""Size": 3}"#, r#"«"Sise": 3}"#, "Properties.Allocation.Sise", &["did you mean \"Size\"?"]),
        (r#""hi"}},"#, r#""hi"}}"#, "", &["expected `,` or `}`"]),
        (r#""hi"}"#, r#""hi",«}"#, "", &["trailing comma"]),
    ];
    for (part, by, path, says) in cases {
        scene.broken(part, by, path, says);
    }
}

#[test]
fn plugins_and_properties_that_do_not_fit_are_refused_at_their_place() {
    let scene = Scene::new();
    let (instance, flavor) = ("Properties.Instance", "Properties.Flavor");
    let cases: [(&str, &str, String, &[&str]); 11] = [
        (r#""file""#, r#"«"flie""#, format!("{instance}.Plugin"), &["\"flie\"", "did you mean \"file\"?"]),
        (r#""file""#, r#"«"aws/ec2""#, format!("{instance}.Plugin"), &["\"aws/ec2\""]),
        (
            r#""file""#,
            r#"«"vanilla""#,
            format!("{instance}.Plugin"),
            &["a flavor plugin", "an instance plugin is needed"],
        ),
        (
            r#""vanilla""#,
            r#"«"file""#,
            format!("{flavor}.Plugin"),
            &["an instance plugin", "a flavor plugin is needed"],
        ),
        (r#""file""#, r#"«"./missing.wasm""#, format!("{instance}.Plugin"), &["missing.wasm", "there is no such file"]),
        (r#""Tags""#, r#"«"Tgas""#, format!("{flavor}.Properties.Tgas"), &["did you mean \"Tags\"?"]),
        (
            r#""Tags": {"tier": "web"}"#,
            r#""Tags": {"tier": «5}"#,
            format!("{flavor}.Properties.Tags.tier"),
            &["string"],
        ),
        (r#""Tags": {"tier": "web"}"#, r#"«"Tags": ["tier"]"#, format!("{flavor}.Properties.Tags"), &["object"]),
        (r#"{"tier": "web"}"#, r#"{"infrakit.group": «"x"}"#, String::new(), &["infrakit.group", "the host's own"]),
        (
            r#""Properties": {"Note": "hi"}"#,
            r#"«"Properties": ["Note"]"#,
            format!("{instance}.Properties"),
            &["object"],
        ),
        (r#"{"Note": "hi"}"#, r#"«"Note""#, format!("{instance}.Properties"), &["object"]),
    ];
    for (part, by, path, says) in cases {
        scene.broken(part, by, &path, says);
    }
}

#[test]
fn a_stack_whose_plugins_cannot_be_loaded_is_refused_at_their_place() {
    let scene = Scene::new();
    let file = plugin("instance_file");
    scene.world.write("text.wasm", "this is no plugin");
    for (entry, says) in [
        (r#"{"Path": «"missing.wasm"}"#.to_owned(), "there is no such file"),
        (r#"{"Path": «"text.wasm"}"#.to_owned(), "this is not WebAssembly but a text"),
        (r#"{"Path": «"plugin.so"}"#.to_owned(), "expected a path that ends in .wasm"),
        (format!(r#"{{"Path": {file:?}, «"Grant": {{}}}}"#), "did you mean \"Grants\"?"),
        (
            format!(
                r#"{{"Path": {file:?}, "Grants": {{"Dirs": [{{"Host": ".", "Guest": "/instances", "Mode": «"w"}}]}}}}"#
            ),
            "\"ro\" (read only)",
        ),
    ] {
        scene.refused("stack.json", &format!("{{\"Plugins\":\n  {{\"other\": {entry}}}}}")).complains(says);
    }
}

#[test]
fn documents_that_are_cut_off_or_no_text_are_refused() {
    let scene = Scene::new();
    for length in [1, 20, 60, 100, WEB.trim_end().len() - 1] {
        scene.refused("web.json", &WEB[..length]).complains("the text ends too soon").complains("web.json:");
    }
    for (text, says) in [("", "empty"), ("null", "empty"), ("[]", "the list is empty"), ("5", "found the number 5")] {
        scene.refused("web.json", text).complains(says);
    }
    let before = scene.state();
    scene.world.write("web.json", [b"{\"ID\": \"w".as_slice(), &[0xff, 0xfe], b"\"}"].concat());
    scene.world.run("group commit web.json").ends_with(1).complains("web.json:1:10").complains("UTF-8");
    scene.world.write("web.json", vec![b' '; 20 << 20]);
    scene.world.run("group commit web.json").ends_with(1).complains("larger than 16 MiB");
    scene.world.run("group commit missing.json").ends_with(1).complains("missing.json cannot be opened");
    scene.world.run("group commit instances").ends_with(1).complains("instances");
    assert_eq!(scene.state(), before);
}

#[test]
fn documents_made_to_do_harm_are_refused_quickly() {
    let scene = Scene::new();
    let deep = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
    scene.refused("deep.json", &deep);
    scene.refused("deep.yaml", &deep);
    let mut bomb = String::from("a: &a [x, x, x, x, x, x, x, x, x, x]\n");
    for (one, next) in ('a'..'k').zip('b'..) {
        let ten = vec![format!("*{one}"); 10].join(", ");
        let _ = writeln!(bomb, "{next}: &{next} [{ten}]");
    }
    scene.refused("bomb.yaml", &bomb);
    // What a document holds does not reach the terminal as it is.
    let told = scene.refused("web.json", &WEB.replace("\"Tags\"", "\"T\\u001b[31mags\""));
    assert!(!told.stderr.contains('\u{1b}'), "{}", told.told());
}

#[test]
fn all_faults_are_told_at_once_and_one_bad_group_keeps_the_good_ones_out() {
    let scene = Scene::new();
    let good = WEB.replace("\"web\",", "\"good\",");
    let bad = WEB.replace("3}", "«-1}").replace("\"file\"", "\"flie\"").replace("\"Tags\"", "\"Tgas\"");
    let bad = bad.replace("\"ID\": \"web\"", "\"ID\": \"web\", \"Id\": 1");
    let told = scene.refused("both.json", &format!("[{good},\n{bad}]"));
    let told = told.complains("4 faults").complains("\"Id\"").complains("-1 is negative").complains("\"flie\"");
    told.complains("did you mean \"Tags\"?").complains("at: [1].Properties.Allocation.Size");
    scene.world.run("group describe good").ends_with(1);
}

#[test]
fn yaml_is_read_like_json_and_told_of_like_json() {
    let scene = Scene::new();
    let good = "\
# A comment.
ID: web
Properties:
  Allocation: {Size: 3}
  Instance: {Plugin: file, Properties: {Note: web}}
  Flavor:
    Plugin: vanilla
    Properties:
      Init:
        - a
      Tags: {tier: web}
";
    let told = scene.refused("web.yaml", &good.replace("Size: 3", "Size: «-3"));
    told.complains("at: Properties.Allocation.Size").complains("-3 is negative");
    scene.refused("web.yaml", &good.replace("      Tags", "«\tTags"));
    scene.refused("web.yaml", &good.replace("      Tags:", "      «Tgas:")).complains("did you mean \"Tags\"?");

    let before = scene.world.fingerprint();
    scene.world.write("web.yaml", good);
    scene.world.run("group commit web.yaml --wait").ok().prints("Adding 1 instances");
    let after = scene.world.fingerprint();
    assert_eq!(after.len(), 3);
    assert!(before.iter().all(|(name, print)| after.get(name) == Some(print)), "the same hash as from JSON");
}

#[test]
fn every_form_of_infrakit_is_accepted() {
    let world = World::new();
    let _host = world.serve();
    world.commit(&[group("web", 2, "a")]);
    let before = world.fingerprint();
    let web = group("web", 2, "a");
    let forms =
        [json!([{"Plugin": "group", "Properties": web}]), json!([web]), json!({"Plugin": "group", "Properties": web})];
    for form in forms {
        world.document("form.json", &form);
        world.run("group commit form.json --wait").ok().prints("Committed web: Noop");
    }
    let two = json!([{"Plugin": "group", "Properties": group("a", 1, "x")}, {"Plugin": "group", "Properties": group("b", 2, "x")}]);
    world.document("two.json", &two);
    world.run("group commit two.json --wait").ok().prints("Committed b: Managing 2 instances");
    assert_eq!(world.ids().len(), 5);
    assert!(before.iter().all(|(name, print)| world.fingerprint().get(name) == Some(print)));
}

#[test]
fn a_plugin_may_be_named_by_its_file() {
    let world = World::new();
    let _host = world.serve();
    world.document("plugins.json", &json!({"Plugins": {"file": world.file_plugin("instances")}}));
    world.run("group commit plugins.json").ok().prints("Registered plugin file");
    std::fs::create_dir(world.path("plugins")).unwrap();
    std::fs::copy(plugin("flavor_vanilla"), world.path("plugins/flavor_vanilla.wasm")).unwrap();
    let mut web = group("web", 2, "a");
    web["Properties"]["Flavor"]["Plugin"] = json!("plugins/flavor_vanilla.wasm");
    world.document("web.json", &web);
    world.run("group commit web.json --wait").ok();
    let made = world.instances();
    assert_eq!(made.len(), 2);
    assert!(made.values().all(|it| it["Tags"]["tier"] == "web"), "{made:?}");
    // Nothing is granted to such a plugin, so an instance plugin that needs a directory says so.
    web["ID"] = json!("other");
    web["Properties"]["Instance"]["Plugin"] = json!(plugin("instance_file"));
    world.document("other.json", &web);
    world.run("group commit other.json --wait --timeout 1s").ends_with(1).complains("/instances");
    assert_eq!(world.ids().len(), 2);
}

#[test]
fn pretend_says_what_would_be_done_and_does_nothing() {
    let world = World::new();
    let _host = world.serve();
    let pretend = |groups: &[Value], says: &str| {
        world.stack(groups);
        world.run("group commit stack.json --pretend").ok().prints(&format!("would involve: {says}"));
    };
    pretend(&[group("web", 3, "a")], "Managing 3 instances");
    assert_eq!(world.run("group ls -o json").ok().json(), json!([]));
    assert_eq!(world.run("plugin ls -o json").ok().json(), json!([]));
    assert!(world.ids().is_empty());

    world.commit(&[group("web", 3, "a")]);
    let before = (world.fingerprint(), world.run("group inspect web").ok().stdout);
    pretend(&[group("web", 3, "a")], "Noop");
    pretend(&[group("web", 5, "a")], "Adding 2 instances to increase the group size to 5");
    pretend(&[group("web", 1, "a")], "Terminating 2 instances to reduce the group size to 1");
    pretend(&[group("web", 3, "b")], "Performing a rolling update on 3 instances");
    let both = "Performing a rolling update on 3 instances, then adding 1 instances to increase the group size to 4";
    pretend(&[group("web", 4, "b")], both);
    world.stack(&[group("web", -4, "b")]);
    world.run("group commit stack.json --pretend").ends_with(1);
    assert_eq!((world.fingerprint(), world.run("group inspect web").ok().stdout), before);
}

#[test]
fn what_inspect_prints_is_committed_again_as_noop_also_from_standard_input() {
    let world = World::new();
    let _host = world.serve();
    let mut pets = group("pets", 1, "a");
    pets["Properties"]["Allocation"] = json!({"LogicalIDs": ["a", "b"]});
    pets["Properties"]["Updating"] =
        json!({"Duration": "1m30s", "SkipBeforeInstanceDestroy": "drain", "Start": "parallel"});
    world.commit(&[group("web", 2, "a"), pets]);
    let before = world.fingerprint();
    for id in ["web", "pets"] {
        let printed = world.run(&format!("group inspect {id}")).ok().stdout;
        world.run_with("group commit -", &printed).ok().prints(&format!("Committed {id}: Noop"));
        world.write("again.json", &printed);
        world.run("group commit again.json").ok().prints("Noop");
    }
    world.run_with("group commit -", "ID: web\nProperties: {}").ends_with(1).complains("standard input:2:1");
    assert_eq!(world.fingerprint(), before);
}
