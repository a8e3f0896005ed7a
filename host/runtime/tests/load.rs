//! Each way in which a file is no plugin, and what the operator is told.

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;

use common::{Fixture, built, describing, file, grant, patched, spec};
use homeostat_core::grant::DirMode;
use homeostat_runtime::{CallErrorKind, LoadErrorKind, PluginKind, Runtime, RuntimeConfig, RuntimeError};

#[tokio::test]
async fn the_file_itself() {
    let f = Fixture::new();
    let (kind, text) = f.refused(&spec(&f.dir.path().join("none.wasm"))).await;
    assert!(matches!(kind, LoadErrorKind::NoFile) && text.contains("no such file"), "{text}");

    let (kind, text) = f.refused(&spec(f.dir.path())).await;
    assert!(matches!(kind, LoadErrorKind::NotAFile(_)) && text.contains("a directory"), "{text}");

    let pipe = f.dir.path().join("pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).expect("a pipe");
    let (kind, text) = f.refused(&spec(&pipe)).await;
    assert!(matches!(kind, LoadErrorKind::NotAFile(_)) && text.contains("a pipe"), "{text}");

    let (kind, text) = f.refused(&f.file("empty.wasm", "")).await;
    assert!(matches!(kind, LoadErrorKind::Empty) && text.contains("empty"), "{text}");

    f.file("file", "x");
    let below_a_file = f.dir.path().join("file").join("plugin.wasm");
    let (kind, text) = f.refused(&spec(&below_a_file)).await;
    assert!(matches!(kind, LoadErrorKind::Unreadable(_)), "{text}");

    let big = f.dir.path().join("big.wasm");
    fs::File::create(&big).and_then(|file| file.set_len((64 << 20) + 1)).expect("a sparse file");
    let (kind, text) = f.refused(&spec(&big)).await;
    assert!(matches!(kind, LoadErrorKind::TooBig { .. }) && text.contains("64MiB"), "{text}");

    let (kind, text) = f.refused(&f.file("p.wasm", "(component)")).await;
    assert!(matches!(kind, LoadErrorKind::NotWasm { .. }) && text.contains("wasm-tools parse"), "{text}");
}

#[tokio::test]
async fn cut_off_anywhere() {
    let f = Fixture::new();
    let whole = fs::read(built("hostile_instance")).expect("a file");
    let mut truncated = 0;
    for part in (1..40).map(|n| whole.len() * n / 40).chain([1, 4, 7, whole.len() - 1]) {
        let (kind, text) = f.refused(&f.file("cut.wasm", &whole[..part])).await;
        match kind {
            LoadErrorKind::Truncated { .. } => truncated += 1,
            // Cut where a section ends: nothing is wrong but what is missing.
            LoadErrorKind::NoWorld { .. } | LoadErrorKind::Malformed { .. } => {}
            _ => panic!("cut after {part} bytes: {text}"),
        }
        assert!(text.contains("cut off") || text.contains("copy or build it again"), "cut after {part} bytes: {text}");
    }
    assert!(truncated > 35, "only {truncated} were told to be cut off");
}

#[tokio::test]
async fn damaged() {
    let f = Fixture::new();
    let mut bytes = fs::read(built("hostile_instance")).expect("a file");
    let middle = bytes.len() / 2;
    bytes[middle..middle + 64].fill(0xff);
    let (kind, text) = f.refused(&f.file("damaged.wasm", bytes)).await;
    assert!(matches!(kind, LoadErrorKind::Malformed { .. }) && text.contains("not valid WebAssembly"), "{text}");
}

#[tokio::test]
async fn another_kind_of_component() {
    let f = Fixture::new();
    let (kind, text) = f.refused(&f.wat("(module)")).await;
    assert!(matches!(kind, LoadErrorKind::CoreModule) && text.contains("--target wasm32-wasip2"), "{text}");

    let (kind, text) = f.refused(&f.wat("(component)")).await;
    assert!(matches!(kind, LoadErrorKind::NoWorld { .. }) && text.contains("instance-plugin"), "{text}");

    let command = r#"(component (instance $i) (export "wasi:cli/run@0.2.3" (instance $i)))"#;
    let (kind, text) = f.refused(&f.wat(command)).await;
    assert!(matches!(kind, LoadErrorKind::NoWorld { .. }) && text.contains("wasi:cli/run@0.2.3"), "{text}");

    let both = r#"(component (instance $i)
        (export "homeostat:plugin/instance@0.1.0" (instance $i)) (export "homeostat:plugin/flavor@0.1.0" (instance $i)))"#;
    let (kind, text) = f.refused(&f.wat(both)).await;
    assert!(matches!(kind, LoadErrorKind::BothWorlds) && text.contains("one or the other"), "{text}");
}

#[tokio::test]
async fn another_version_of_the_contract() {
    let f = Fixture::new();
    let bytes = patched("hostile_instance", "@0.1.0", "@0.3.0", 3);
    let (kind, text) = f.refused(&f.file("next.wasm", bytes)).await;
    assert!(matches!(kind, LoadErrorKind::OtherVersion { .. }), "{text}");
    assert!(text.contains("homeostat:plugin@0.3.0") && text.contains("serves 0.1.0"), "{text}");
}

#[tokio::test]
async fn a_patch_of_the_contract_is_served() {
    let f = Fixture::new();
    let bytes = patched("hostile_instance", "homeostat:plugin/meta@0.1.0", "homeostat:plugin/meta@0.1.4", 1);
    let bytes = {
        let path = file(&f.file("one.wasm", bytes)).to_owned();
        let mut bytes = fs::read(path).expect("a file");
        for interface in ["instance", "types", "log"] {
            let name = format!("homeostat:plugin/{interface}@0.1.");
            for at in 0..bytes.len() - name.len() {
                if bytes[at..].starts_with(name.as_bytes()) {
                    bytes[at + name.len()] = b'4';
                }
            }
        }
        bytes
    };
    let plugin = f.plugin(&f.file("patch.wasm", bytes)).await;
    assert_eq!(plugin.info().contract, "homeostat:plugin@0.1.4");
    plugin.as_instance().expect("an instance plugin").validate(&common::please("nothing")).await.expect("works");
}

/// A component with these imports and these functions in its `instance` interface, none of which does anything.
fn component(imports: &str, functions: &[&str]) -> String {
    let lifted: String = functions.iter().map(|f| format!(r#"(func ${f} (canon lift (core func $i "f")))"#)).collect();
    let exported: String = functions.iter().map(|f| format!(r#"(export "{f}" (func ${f}))"#)).collect();
    format!(
        r#"(component {imports}
            (core module $m (func (export "f"))) (core instance $i (instantiate $m))
            (func $describe-plugin (canon lift (core func $i "f")))
            {lifted}
            (instance $meta (export "describe-plugin" (func $describe-plugin)))
            (instance $instance {exported})
            (export "homeostat:plugin/meta@0.1.0" (instance $meta))
            (export "homeostat:plugin/instance@0.1.0" (instance $instance)))"#
    )
}

const FUNCTIONS: &[&str] = &["validate", "provision", "label", "destroy", "list"];

#[tokio::test]
async fn exports_that_are_missing_or_different() {
    let f = Fixture::new();
    let (kind, text) = f.refused(&f.wat(&component("", &["validate", "provision", "label", "destroy"]))).await;
    assert!(matches!(kind, LoadErrorKind::WrongExport { .. }), "{text}");
    assert!(text.contains("list") && text.contains("instance-plugin"), "{text}");

    let without_meta = component("", FUNCTIONS).replace("homeostat:plugin/meta@0.1.0", "homeostat:plugin/mete@0.1.0");
    let (kind, text) = f.refused(&f.wat(&without_meta)).await;
    assert!(matches!(kind, LoadErrorKind::WrongExport { .. }) && text.contains("homeostat:plugin/meta"), "{text}");

    // All there, with other types.
    let (kind, text) = f.refused(&f.wat(&component("", FUNCTIONS))).await;
    assert!(matches!(kind, LoadErrorKind::WrongExport { .. } | LoadErrorKind::Instantiate(_)), "{text}");
    assert!(text.contains("describe-plugin") || text.contains("type"), "{text}");
    assert!(text.contains("`wit/` folder"), "{text}");
}

#[tokio::test]
async fn imports_that_no_host_gives() {
    let f = Fixture::new();
    for (import, hint) in [
        ("wasi:http/outgoing-handler@0.2.0", "grants no HTTP"),
        ("wasi:clocks/monotonic-clock@0.3.0", "WASI 0.2"),
        ("homeostat:plugin/secrets@0.1.0", "later host"),
        ("homeostat:plugin/log@0.2.0", "serves homeostat:plugin in version 0.1.0"),
        ("acme:cloud/api@1.0.0", "nothing else"),
    ] {
        let imported = format!(r#"(import "{import}" (instance (export "f" (func))))"#);
        let (kind, text) = f.refused(&f.wat(&component(&imported, FUNCTIONS))).await;
        assert!(matches!(&kind, LoadErrorKind::MissingImport { import: named, .. } if named == import), "{text}");
        assert!(text.contains(import) && text.contains(hint), "{text}");
    }
}

#[tokio::test]
async fn descriptions_that_break_the_contract() {
    let f = Fixture::new();
    for (mode, says) in [
        ("json", "properties-schema is no JSON"),
        ("schema", "properties-schema is no JSON Schema"),
        ("example", "refuses properties-example"),
        ("version", "version \"one\""),
        ("name", "name \"Not A Name\""),
    ] {
        let (kind, text) = f.refused(&f.file("p.wasm", describing(mode))).await;
        assert!(matches!(kind, LoadErrorKind::Description(_)) && text.contains(says), "{mode}: {text}");
    }
    let (kind, text) = f.refused(&f.file("p.wasm", describing("panic"))).await;
    assert!(matches!(kind, LoadErrorKind::Describe(e) if matches!(e.kind, CallErrorKind::Trap { .. })), "{text}");
    assert!(text.contains("describing is hard"), "{text}");
    for mode in ["spin", "sleep"] {
        let (kind, text) = f.refused(&f.file("p.wasm", describing(mode))).await;
        assert!(matches!(kind, LoadErrorKind::DescribeDeadline { .. }), "{mode}: {text}");
        assert!(text.contains("no answer within 2s"), "{mode}: {text}");
    }
}

#[tokio::test]
async fn a_grant_that_cannot_be_given() {
    let f = Fixture::new();
    let mut spec = spec(&built("hostile_instance"));
    grant(&mut spec, &f.dir.path().join("none"), DirMode::ReadOnly);
    let (kind, text) = f.refused(&spec).await;
    assert!(matches!(kind, LoadErrorKind::Grant(_)), "{text}");
    assert!(text.contains("none (granted as /granted) does not exist"), "{text}");
}

#[tokio::test]
async fn a_plugin_is_given_nothing_until_it_is_asked_for_something() {
    let f = Fixture::new();
    let mut spec = f.file("p.wasm", describing("files"));
    grant(&mut spec, f.dir.path(), DirMode::ReadWrite);
    let plugin = f.plugin(&spec).await;
    assert_eq!(plugin.info().grants, spec.grants);
}

#[tokio::test]
async fn a_plugin_that_keeps_the_contract() {
    let f = Fixture::new();
    let spec = spec(&built("hostile_flavor"));
    let plugin = f.plugin(&spec).await;
    let info = plugin.info();
    assert_eq!((info.kind, &*info.contract, info.from_cache), (PluginKind::Flavor, "homeostat:plugin@0.1.0", false));
    assert_eq!(info.size, fs::metadata(file(&spec)).expect("a file").len());
    assert_eq!(info.description.properties_schema["type"], "string");
    assert!(info.exports.iter().any(|e| e == "homeostat:plugin/flavor@0.1.0"), "{:?}", info.exports);
    assert!(plugin.as_instance().is_none() && plugin.as_flavor().is_some());
    let written = serde_json::to_value(info).expect("JSON");
    assert_eq!(written["Kind"], "flavor");
    assert_eq!(serde_json::from_value::<homeostat_runtime::PluginInfo>(written).expect("reads back"), *info);
}

#[tokio::test]
async fn the_official_plugins_load() {
    let f = Fixture::new();
    let mut file = spec(&built("instance_file"));
    grant(&mut file, f.dir.path(), DirMode::ReadWrite);
    assert_eq!(f.plugin(&file).await.info().kind, PluginKind::Instance);
    assert_eq!(f.plugin(&spec(&built("flavor_vanilla"))).await.info().kind, PluginKind::Flavor);
}

#[test]
fn a_cache_that_others_may_write_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let cache = dir.path().join("cache");
    fs::create_dir(&cache).expect("a directory");
    fs::set_permissions(&cache, fs::Permissions::from_mode(0o777)).expect("a mode");
    let refused = Runtime::new(RuntimeConfig::new(&cache)).err().expect("was accepted");
    assert!(matches!(refused, RuntimeError::UnsafeCache { .. }));
    assert!(refused.to_string().contains("others may write it (mode 777)"), "{refused}");

    let link = dir.path().join("link");
    std::os::unix::fs::symlink(&cache, &link).expect("a link");
    fs::set_permissions(&cache, fs::Permissions::from_mode(0o700)).expect("a mode");
    assert!(Runtime::new(RuntimeConfig::new(&link)).err().expect("was accepted").to_string().contains("symbolic link"));
    assert!(Runtime::new(RuntimeConfig::new(&cache)).is_ok());
}
