//! The golden scenarios of `scenarios/`: each is played, and has to come out as it is written down.
//!
//! `UPDATE_SCENARIOS=1` writes them down anew. What that changes is to be read before it is believed.

use std::fs;
use std::path::PathBuf;

use homeostat_core::scenario::play;
use homeostat_tests::workspace;

fn files() -> Vec<PathBuf> {
    let folder = workspace().join("tests/scenarios");
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let paths = entries.map(|it| it.expect("an entry of the folder").path());
    let mut files: Vec<_> = paths.filter(|it| it.extension().is_some_and(|it| it == "txt")).collect();
    files.sort();
    files
}

/// The first line in which two texts differ.
fn difference(expected: &str, played: &str) -> String {
    let pairs = (1..).zip(expected.lines().map(Some).chain(std::iter::repeat(None)));
    let mut pairs = pairs.zip(played.lines().map(Some).chain(std::iter::repeat(None)));
    let differing = pairs.find(|((_, a), b)| a != b || a.is_none()).map(|((line, a), b)| (line, a, b));
    match differing {
        Some((line, a, b)) => {
            format!("line {line}\n  is written down: {}\n  happens now:     {}", a.unwrap_or("-"), b.unwrap_or("-"))
        }
        None => "no difference".into(),
    }
}

#[test]
fn every_scenario_comes_out_as_it_is_written_down() {
    let update = std::env::var_os("UPDATE_SCENARIOS").is_some();
    let files = files();
    assert!(files.len() > 40, "only {} scenarios were found", files.len());
    let mut faults = Vec::new();
    for file in files {
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let expected = fs::read_to_string(&file).unwrap();
        match play(&expected) {
            Err(error) => faults.push(format!("{name}: {error}")),
            Ok(played) if played == expected => {}
            Ok(played) if update => fs::write(&file, played).unwrap(),
            Ok(played) => faults.push(format!("{name}: {}", difference(&expected, &played))),
        }
    }
    assert!(faults.is_empty(), "{}\n\nUPDATE_SCENARIOS=1 writes them down as they come out now.", faults.join("\n"));
}

#[test]
fn every_scenario_says_what_it_shows_and_breaks_no_rule() {
    for file in files() {
        let text = fs::read_to_string(&file).unwrap();
        let name = file.display();
        assert!(text.starts_with("# "), "{name}: it begins with what it shows");
        assert!(text.contains("\n---\n"), "{name}: it has no transcript");
        assert!(!text.contains("broke a safety rule"), "{name}: the planner broke a rule");
        assert!(text.lines().count() <= 90, "{name}: nobody reads a scenario that long");
    }
}

#[test]
fn a_script_that_is_wrong_says_where() {
    for (script, expected) in [
        ("0s commit Size=3\n0s dance\n1s end", "line 2: dance is no event"),
        ("1s commit Size=3\n0s end", "line 2: it happens before the line above it"),
        ("0s commit Size=3", "line 1: the last event has to be `end`"),
        ("0s commit Size=3 Colour=red\n1s end", "line 1: Colour is no word of a spec"),
        ("0s commit Size=3 Updating.Hurry=1\n1s end", "line 1: unknown field"),
        ("0s commit Size=3\n1s vanishes 9\n2s end", "line 2: there is no slot 9"),
    ] {
        let error = play(script).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}");
    }
}
