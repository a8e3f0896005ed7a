//! The arrows and the invariants of host/ARCHITECTURE.md, held.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use homeostat_tests::workspace;

/// The names of the dependencies (not of the development dependencies) in a crate's manifest.
fn dependencies(krate: &str) -> BTreeSet<String> {
    let manifest = workspace().join(krate).join("Cargo.toml");
    let text = fs::read_to_string(&manifest).unwrap_or_else(|error| panic!("{}: {error}", manifest.display()));
    let section = text.split("[dependencies]").nth(1).expect("a [dependencies] section");
    let lines = section.lines().take_while(|line| !line.starts_with('['));
    lines.filter_map(|line| Some(line.split(['.', ' ', '=']).next()?.to_owned())).filter(|it| !it.is_empty()).collect()
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|it| it == "rs") {
            found.push(path);
        }
    }
}

/// Every line of a crate's code that is no comment, with its place.
fn code(krate: &str) -> Vec<(String, String)> {
    let mut files = Vec::new();
    sources(&workspace().join(krate).join("src"), &mut files);
    assert!(!files.is_empty(), "{krate} has no sources");
    let mut lines = Vec::new();
    for file in files {
        for (number, line) in fs::read_to_string(&file).unwrap().lines().enumerate() {
            if !line.trim_start().starts_with("//") {
                lines.push((format!("{}:{}", file.display(), number + 1), line.to_owned()));
            }
        }
    }
    lines
}

#[test]
fn arrows_run_one_way() {
    let above = [
        ("host/core", vec!["homeostat-runtime", "homeostat-server", "homeostat"]),
        ("host/process", vec!["homeostat-runtime", "homeostat-server", "homeostat", "tokio", "wasmtime"]),
        ("host/egress", vec!["homeostat-runtime", "homeostat-server", "homeostat", "homeostat-source"]),
        ("host/source", vec!["homeostat-runtime", "homeostat-server", "homeostat", "homeostat-egress"]),
        ("host/runtime", vec!["homeostat-server", "homeostat", "homeostat-check", "homeostat-source"]),
        ("host/server", vec!["homeostat", "homeostat-check"]),
        ("host/check", vec!["homeostat-server", "homeostat"]),
    ];
    for (krate, forbidden) in above {
        let found = dependencies(krate);
        assert!(found.len() > 2, "{krate}: the manifest was not understood: {found:?}");
        for name in forbidden {
            assert!(!found.contains(name), "{krate} depends on {name}, which is above it");
        }
    }
}

#[test]
fn only_the_runtime_names_wasmtime() {
    for krate in ["host/core", "host/process", "host/egress", "host/source", "host/check", "host/server", "host/cli"] {
        for name in dependencies(krate) {
            assert!(!name.starts_with("wasm"), "{krate} depends on {name}; the runtime is there for that");
        }
    }
    assert!(dependencies("host/runtime").contains("wasmtime"));
}

#[test]
fn the_core_is_pure() {
    let forbidden_crates = ["tokio", "wasmtime", "notify", "redb", "axum", "rustix", "fastrand", "tracing"];
    for name in dependencies("host/core") {
        assert!(!forbidden_crates.contains(&&*name), "host/core depends on {name}");
    }
    let forbidden =
        ["std::fs", "std::net", "std::process", "std::thread", "std::env::", "SystemTime", "Instant::", "async fn"];
    for (place, line) in code("host/core") {
        for word in forbidden {
            assert!(!line.contains(word), "{place}: the core is pure, and this is not: {}", line.trim());
        }
    }
}

#[test]
fn files_stay_small() {
    for krate in [
        "host/core",
        "host/process",
        "host/egress",
        "host/source",
        "host/runtime",
        "host/check",
        "host/server",
        "host/cli",
        "plugins/instance-file",
        "plugins/flavor-vanilla",
    ] {
        let mut files = Vec::new();
        sources(&workspace().join(krate).join("src"), &mut files);
        for file in files {
            let lines = fs::read_to_string(&file).unwrap().lines().count();
            assert!(lines <= 800, "{} has {lines} lines: a room that wants dividing", file.display());
        }
    }
}

#[test]
fn the_contract_needs_no_other_sdk() {
    for krate in ["plugins/instance-file", "plugins/flavor-vanilla"] {
        for name in dependencies(krate) {
            assert!(!name.starts_with("homeostat"), "{krate} depends on {name}: a plugin needs wit-bindgen alone");
        }
    }
}
