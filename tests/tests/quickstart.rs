//! The quickstart comes true, step by step: `make demo` as a test.

use std::process::{Command, Stdio};

use homeostat_tests::workspace;

#[test]
fn the_story_comes_true() {
    let folder = workspace().join("examples/quickstart");
    let played = Command::new(folder.join("demo.sh")).stdin(Stdio::null()).output().expect("bash runs the script");
    let (out, err) = (String::from_utf8_lossy(&played.stdout), String::from_utf8_lossy(&played.stderr));
    assert!(played.status.success(), "{}\n{out}\n{err}", played.status);
    assert!(out.contains("All of it came true"), "{out}\n{err}");
}

#[test]
fn the_stack_holds_the_group_of_the_tutorial() {
    let read = |name: &str| -> serde_json::Value {
        let text =
            std::fs::read_to_string(workspace().join("examples/quickstart").join(name)).expect("the file is there");
        serde_json::from_str(&text).expect("it is JSON")
    };
    assert_eq!(read("stack.json")["Groups"][0], read("collabnix.json"));
}
