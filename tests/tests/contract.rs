//! What was promised to the authors of plugins: a released folder of the contract is never edited, and a draft is met by
//! nobody who did not ask for one.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use homeostat_tests::{World, plugin, workspace};
use sha2::{Digest, Sha256};

/// Digests of all files of released folders, as `sha256sum` writes them.
const LIST: &str = "frozen.sha256";

/// Folders of versions, those of drafts included.
fn folders(wit: &Path) -> Vec<String> {
    let entries = fs::read_dir(wit).unwrap_or_else(|error| panic!("{}: {error}", wit.display()));
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// What the released folders hold: the path of each file below `wit/`, and its digest.
fn found(wit: &Path) -> BTreeMap<String, String> {
    fn walk(wit: &Path, folder: &str, found: &mut BTreeMap<String, String>) {
        for entry in fs::read_dir(wit.join(folder)).unwrap().map(|entry| entry.unwrap()) {
            let path = format!("{folder}/{}", entry.file_name().into_string().unwrap());
            if entry.path().is_dir() {
                walk(wit, &path, found);
            } else {
                let digest = Sha256::digest(fs::read(entry.path()).unwrap());
                found.insert(path, digest.iter().map(|byte| format!("{byte:02x}")).collect());
            }
        }
    }
    let mut all = BTreeMap::new();
    for folder in folders(wit).iter().filter(|folder| !folder.ends_with("-draft")) {
        walk(wit, folder, &mut all);
    }
    all
}

/// What the list says.
fn listed(wit: &Path) -> BTreeMap<String, String> {
    let list = wit.join(LIST);
    let text = fs::read_to_string(&list).unwrap_or_else(|error| panic!("{}: {error}", list.display()));
    let line = |line: &str| {
        let (digest, path) = line.split_once("  ").unwrap_or_else(|| panic!("{}: no digest: {line:?}", list.display()));
        assert_eq!(digest.len(), 64, "{}: no SHA-256: {line:?}", list.display());
        (path.to_owned(), digest.to_owned())
    };
    text.lines().map(line).collect()
}

/// Each file that is not as it was released.
fn edited(wit: &Path) -> Vec<String> {
    let (found, listed) = (found(wit), listed(wit));
    let paths: BTreeSet<_> = found.keys().chain(listed.keys()).collect();
    let what = |path: &String| match (found.get(path), listed.get(path)) {
        (Some(now), Some(then)) if now == then => None,
        (Some(_), Some(_)) => Some(format!("wit/{path} was changed")),
        (Some(_), None) => Some(format!("wit/{path} is new, or not in wit/{LIST} yet")),
        (None, _) => Some(format!("wit/{path} is gone")),
    };
    paths.into_iter().filter_map(what).collect()
}

#[test]
fn released_folders_are_never_edited() {
    let edited = edited(&workspace().join("wit"));
    assert!(
        edited.is_empty(),
        "{}\nA released folder is never edited: plugins that exist were built against it. Undo that, and make the change in a \
         new version (the draft, or a new folder; wit/README.md, \"Versions\", says which). Only a folder that is released \
         right now is added to the list: cd wit && sha256sum vX.Y/* >> {LIST}",
        edited.join("\n")
    );
}

#[test]
fn an_edit_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let wit = dir.path();
    let write = |path: &str, text: &str| {
        fs::create_dir_all(wit.join(path).parent().unwrap()).unwrap();
        fs::write(wit.join(path), text).unwrap();
    };
    // Of `printf abc | sha256sum`.
    let digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    write("v0.1/a.wit", "abc");
    write("v0.1/deps/b.wit", "abc");
    write("v0.2-draft/a.wit", "anything");
    write("README.md", "anything");
    write(LIST, &format!("{digest}  v0.1/a.wit\n{digest}  v0.1/deps/b.wit\n"));
    assert_eq!(edited(wit), [""; 0]);
    write("v0.1/deps/b.wit", "abc ");
    write("v0.1/c.wit", "abc");
    write("v0.3/a.wit", "abc");
    fs::remove_file(wit.join("v0.1/a.wit")).unwrap();
    let said = edited(wit);
    assert_eq!(said.len(), 4, "{said:?}");
    for (said, expected) in
        said.iter().zip(["v0.1/a.wit is gone", "v0.1/c.wit is new", "v0.1/deps/b.wit was changed", "v0.3/a.wit is new"])
    {
        assert!(said.contains(expected), "{said}");
    }
}

#[test]
fn a_folder_holds_the_version_that_it_is_named_after() {
    let wit = workspace().join("wit");
    let folders = folders(&wit);
    assert!(folders.iter().any(|folder| folder == "v0.1"), "{folders:?}");
    for folder in folders {
        let version = folder.trim_start_matches('v').trim_end_matches("-draft");
        let text = fs::read_to_string(wit.join(&folder).join("types.wit")).unwrap();
        let package = text.lines().find(|line| line.starts_with("package ")).unwrap_or_default();
        // A folder without a patch number is that of the first.
        let named = [version.to_owned(), format!("{version}.0")].map(|it| format!("package homeostat:plugin@{it};"));
        assert!(named.iter().any(|it| it == package), "wit/{folder}: {package:?}");
        assert_eq!(
            text.starts_with("// A DRAFT"),
            folder.ends_with("-draft"),
            "wit/{folder}/types.wit says what it is"
        );
    }
}

#[test]
fn a_draft_is_for_whoever_asks_for_it() {
    let world = World::new();
    let draft = plugin("draft_instance");
    let file = draft.display();
    let says = "it is of homeostat:plugin@0.2.0, a draft of the contract";
    // An author can try it without more ado.
    world.run(&format!("plugin inspect {file}")).ok().prints("homeostat:plugin@0.2.0 (a draft").complains(says);
    let info = world.run(&format!("plugin inspect {file} -o json")).ok().json();
    assert_eq!((&info["Contract"], &info["Draft"]), (&"homeostat:plugin@0.2.0".into(), &true.into()));
    world.run_words(&["instance", "validate", &file.to_string(), "{}"]).ok().complains(says);

    let host = world.serve();
    let add = format!("plugin add next {file}");
    let refused = world.run(&add).ends_with(1).complains("homeostat:plugin@0.2.0, a draft that may change any day");
    refused.complains("this host serves 0.1.0").complains("--allow-drafts");
    drop(host);
    let _host = world.serve_with("--allow-drafts");
    world.run(&add).ok();
    let view = world.run("plugin inspect next -o json").ok().json();
    assert_eq!(view["Info"]["Draft"], true);
}
