use std::thread;

use serde_json::json;

use super::*;

fn spec(note: &str) -> (InstanceSpec, Value) {
    let properties = json!({"Note": note});
    let tags = vec![("b".to_owned(), "2".to_owned()), ("a".to_owned(), "ä\n".to_owned())];
    let spec = InstanceSpec {
        properties: properties.to_string(),
        tags,
        init: "echo".to_owned(),
        logical_id: Some("db-1".to_owned()),
        attachments: vec![Attachment { id: "vol-1".to_owned(), kind: "disk".to_owned() }],
    };
    (spec, properties)
}

fn make(root: &Path, name: &str, note: &str) -> Result<String, Error> {
    let (spec, properties) = spec(note);
    provision(root, name, &spec, properties)
}

fn page(root: &Path, tags: &[(&str, &str)], cursor: Option<String>, limit: u32) -> Page {
    let tags = tags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    list(root, &ListRequest { tags, with_properties: true, cursor, limit }).unwrap()
}

fn code<T: std::fmt::Debug>(result: Result<T, Error>) -> ErrorCode {
    result.unwrap_err().code
}

#[test]
fn an_instance_is_made_once_and_listed_as_it_was_made() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(make(dir.path(), "web-1", "x").unwrap(), "web-1");
    assert_eq!(make(dir.path(), "web-1", "x").unwrap(), "web-1");
    let Page { instances, next, complete, findings } = page(dir.path(), &[("a", "ä\n")], None, 10);
    assert!(next.is_none() && complete && findings.is_empty());
    let [instance] = &instances[..] else { panic!("{instances:?}") };
    assert_eq!((&*instance.id, &*instance.name, instance.logical_id.as_deref()), ("web-1", "web-1", Some("db-1")));
    assert_eq!(instance.tags, [("a".to_owned(), "ä\n".to_owned()), ("b".to_owned(), "2".to_owned())]);
    assert_eq!(instance.properties.as_deref(), Some(r#"{"Note":"x"}"#));
    assert!(page(dir.path(), &[("a", "other")], None, 10).instances.is_empty());
}

#[test]
fn another_spec_is_another_instance() {
    let dir = tempfile::tempdir().unwrap();
    make(dir.path(), "web-1", "x").unwrap();
    assert_eq!(code(make(dir.path(), "web-1", "y")), ErrorCode::AlreadyExists);
    // A label does not make it another spec, nor does the order of its tags.
    label(dir.path(), "web-1", vec![("c".into(), "3".into())]).unwrap();
    let (mut spec, properties) = spec("x");
    spec.tags.reverse();
    assert_eq!(provision(dir.path(), "web-1", &spec, properties).unwrap(), "web-1");
}

#[test]
fn calls_at_once_make_one() {
    let dir = tempfile::tempdir().unwrap();
    thread::scope(|scope| {
        for number in 0..8 {
            let path = dir.path();
            scope.spawn(move || {
                make(path, "web-1", "x").unwrap();
                label(path, "web-1", vec![(format!("t{number}"), String::new())]).unwrap();
            });
        }
    });
    let instances = page(dir.path(), &[], None, 10).instances;
    assert_eq!((instances.len(), instances[0].tags.len()), (1, 2 + 8), "no label is lost: {instances:?}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left behind");
}

#[test]
fn destroying_what_is_gone_succeeds() {
    let dir = tempfile::tempdir().unwrap();
    make(dir.path(), "web-1", "x").unwrap();
    for _ in 0..2 {
        destroy(dir.path(), "web-1").unwrap();
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    assert_eq!(code(label(dir.path(), "web-1", Vec::new())), ErrorCode::NotFound);
    assert_eq!(code(destroy(dir.path(), "../x")), ErrorCode::InvalidArgument);
}

#[test]
fn no_name_leaves_the_directory() {
    let outer = tempfile::tempdir().unwrap();
    let dir = outer.path().join("in");
    fs::create_dir(&dir).unwrap();
    for name in ["..", ".", ".new-0", "-", "x.json"] {
        make(&dir, name, "x").unwrap();
        make(&dir, name, "x").unwrap();
    }
    for name in ["", "a/b", "../a", "ä", &"x".repeat(129)] {
        assert_eq!(code(make(&dir, name, "x")), ErrorCode::InvalidArgument, "{name}");
    }
    assert_eq!((page(&dir, &[], None, 9).instances.len(), fs::read_dir(outer.path()).unwrap().count()), (5, 1));
}

#[test]
fn pages_show_each_instance_once() {
    let dir = tempfile::tempdir().unwrap();
    for number in 0..5 {
        make(dir.path(), &format!("web-{number}"), "x").unwrap();
    }
    let (mut seen, mut cursor) = (Vec::new(), None);
    loop {
        let it = page(dir.path(), &[], cursor, 2);
        seen.extend(it.instances.into_iter().map(|it| it.id));
        match it.next {
            Some(next) => cursor = Some(next),
            None => break,
        }
    }
    assert_eq!(seen, ["web-0", "web-1", "web-2", "web-3", "web-4"]);
}

#[test]
fn what_is_not_an_instance_is_told_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("notes"), "").unwrap();
    fs::create_dir_all(dir.path().join("photos/2026")).unwrap();
    let seen = page(dir.path(), &[], None, 10);
    assert_eq!((seen.instances.len(), seen.findings.len(), seen.complete), (0, 2, true));
    for name in ["notes", "photos"] {
        assert_eq!(code(destroy(dir.path(), name)), ErrorCode::PermissionDenied);
        assert_eq!(code(make(dir.path(), name, "x")), ErrorCode::AlreadyExists);
    }
    // What may be an instance and cannot be read makes the list one that does not know them all.
    fs::write(dir.path().join("photos/spec.json"), "{").unwrap();
    assert!(!page(dir.path(), &[], None, 10).complete);
    assert!(page(&dir.path().join("photos"), &[], None, 10).complete);
}

#[test]
fn without_a_grant_it_says_which() {
    let nowhere = Path::new("/nowhere");
    let request = ListRequest { tags: Vec::new(), with_properties: false, cursor: None, limit: 1 };
    for error in [make(nowhere, "a", "x").unwrap_err(), list(nowhere, &request).unwrap_err()] {
        assert!(error.code == ErrorCode::PermissionDenied && error.message.contains(r#""Grants""#), "{error:?}");
    }
}
