use std::cell::Cell;
use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::time::SystemTime;

use tempfile::TempDir;

use super::*;
use crate::bindings::exports::homeostat::plugin::instance::ListRequest;
use crate::directory::native::Native;
use crate::directory::{Scan, Stat};
use crate::list::list;

fn spec(note: &str) -> InstanceSpec {
    InstanceSpec {
        properties: format!(r#"{{"Note": "{note}"}}"#),
        tags: vec![("infrakit.group".into(), "g".into())],
        init: "echo hi".into(),
        logical_id: None,
        attachments: Vec::new(),
    }
}

fn tag(key: &str, value: &str) -> Vec<(String, String)> {
    vec![(key.into(), value.into())]
}

fn temp() -> (TempDir, Native) {
    let temp = tempfile::tempdir().unwrap();
    let dir = Native(temp.path().to_owned());
    (temp, dir)
}

/// The ids that `list` counts.
fn ids(dir: &impl Directory) -> Vec<String> {
    let request = ListRequest { tags: Vec::new(), with_properties: false, cursor: None, limit: 1000 };
    list(dir, &request).unwrap().instances.into_iter().map(|it| it.id).collect()
}

fn files(temp: &TempDir) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(temp.path()).unwrap().map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn make_old(temp: &TempDir, file: &str) {
    let before = SystemTime::now() - ABANDONED - Duration::from_secs(1);
    File::options().append(true).open(temp.path().join(file)).unwrap().set_modified(before).unwrap();
}

#[test]
fn provision_is_idempotent_by_name() {
    let (temp, dir) = temp();
    assert_eq!(provision(&dir, "web-1", &spec("a")).unwrap(), "web-1");
    let first = fs::read(temp.path().join("web-1.json")).unwrap();
    assert_eq!(provision(&dir, "web-1", &spec("a")).unwrap(), "web-1");
    let error = provision(&dir, "web-1", &spec("b")).unwrap_err();
    assert_eq!(error.code, ErrorCode::AlreadyExists);
    assert!(error.message.contains("`web-1.json`"), "{}", error.message);
    assert_eq!(fs::read(temp.path().join("web-1.json")).unwrap(), first);
    assert_eq!(files(&temp), ["web-1.json"]);
}

#[test]
fn calls_at_once_make_one_instance() {
    for round in 0..50 {
        let (temp, dir) = temp();
        if round % 2 == 1 {
            fs::write(temp.path().join("a.json"), "{\"Format\": \"home").unwrap();
        }
        let ids: Vec<_> = thread::scope(|scope| {
            let calls: Vec<_> = (0..8).map(|_| scope.spawn(|| provision(&dir, "a", &spec("x")))).collect();
            calls.into_iter().map(|call| call.join().unwrap()).collect()
        });
        assert_eq!(ids, vec![Ok("a".to_owned()); 8]);
        assert_eq!(files(&temp), ["a.json"]);
    }
}

#[test]
fn of_two_specs_at_once_one_wins_and_the_other_hears_it() {
    for round in 0..50 {
        let (temp, dir) = temp();
        if round % 2 == 1 {
            fs::write(temp.path().join("a.json"), "").unwrap();
        }
        let results: Vec<_> = thread::scope(|scope| {
            let dir = &dir;
            let calls: Vec<_> =
                (0..8).map(|i| scope.spawn(move || provision(dir, "a", &spec(&(i % 2).to_string())))).collect();
            calls.into_iter().map(|call| call.join().unwrap()).collect()
        });
        let winner = usize::from(provision(&dir, "a", &spec("1")).is_ok());
        for (i, result) in results.into_iter().enumerate() {
            match result {
                Ok(id) => assert_eq!((id.as_str(), i % 2), ("a", winner)),
                Err(error) => assert_eq!((error.code, i % 2), (ErrorCode::AlreadyExists, 1 - winner)),
            }
        }
    }
}

#[test]
fn names_with_tricks_touch_nothing() {
    let (temp, dir) = temp();
    fs::create_dir(temp.path().join("sub")).unwrap();
    fs::write(temp.path().join("outside.json"), Record::new("outside", &spec("a")).unwrap().to_bytes().unwrap())
        .unwrap();
    let inner = Native(temp.path().join("sub"));
    for bad in ["../outside", "/etc/passwd", "a/../../outside", "", "..\\outside", "a\0", "sub/x", "é"] {
        assert_eq!(provision(&inner, bad, &spec("a")).unwrap_err().code, ErrorCode::InvalidArgument, "{bad}");
        assert_eq!(destroy(&inner, bad).unwrap_err().code, ErrorCode::InvalidArgument, "{bad}");
        assert_eq!(label(&inner, bad, &tag("a", "b")).unwrap_err().code, ErrorCode::NotFound, "{bad}");
    }
    assert_eq!((files(&temp).len(), ids(&dir)), (2, vec!["outside".to_owned()]));
    for odd in [".", "..", "-rf"] {
        provision(&inner, odd, &spec("a")).unwrap();
        destroy(&inner, odd).unwrap();
    }
}

#[test]
fn destroy_takes_its_own_only_and_is_idempotent() {
    let (temp, dir) = temp();
    provision(&dir, "a", &spec("x")).unwrap();
    destroy(&dir, "a").unwrap();
    destroy(&dir, "a").unwrap();
    assert!(files(&temp).is_empty());

    fs::write(temp.path().join("torn.json"), "{").unwrap();
    fs::write(temp.path().join("foreign.json"), r#"{"precious": true}"#).unwrap();
    fs::write(temp.path().join("huge.json"), vec![b' '; 2 << 20]).unwrap();
    fs::create_dir(temp.path().join("dir.json")).unwrap();
    symlink("foreign.json", temp.path().join("link.json")).unwrap();
    let before = files(&temp);
    for id in ["torn", "foreign", "huge", "dir", "link"] {
        let error = destroy(&dir, id).unwrap_err();
        assert_eq!(error.code, ErrorCode::PermissionDenied, "{id}: {}", error.message);
        assert_eq!(label(&dir, id, &tag("a", "b")).unwrap_err().code, ErrorCode::PermissionDenied, "{id}");
        let provisioned = provision(&dir, id, &spec("x"));
        assert_eq!(provisioned.is_ok(), id == "torn", "{id}: {provisioned:?}");
    }
    assert_eq!(files(&temp), before);
}

#[test]
fn label_merges_and_provision_still_knows_its_own() {
    let (temp, dir) = temp();
    provision(&dir, "a", &spec("x")).unwrap();
    label(&dir, "a", &tag("tier", "web")).unwrap();
    label(&dir, "a", &tag("infrakit.group", "h")).unwrap();
    let content = fs::read(temp.path().join("a.json")).unwrap();
    let record = Record::parse("a", &content).unwrap();
    assert!(record.carries(&tag("tier", "web")) && record.carries(&tag("infrakit.group", "h")));
    provision(&dir, "a", &spec("x")).unwrap();
    assert_eq!(label(&dir, "b", &tag("a", "b")).unwrap_err().code, ErrorCode::NotFound);
    assert_eq!(files(&temp), ["a.json"]);
}

#[test]
fn no_label_is_lost_and_none_brings_back_what_was_destroyed() {
    let retried = |call: &dyn Fn() -> Result<(), Error>| loop {
        match call() {
            Err(error) if error.code == ErrorCode::Aborted => thread::yield_now(),
            other => break other,
        }
    };
    let (temp, dir) = temp();
    provision(&dir, "a", &spec("x")).unwrap();
    thread::scope(|scope| {
        for i in 0..8 {
            let (dir, retried) = (&dir, &retried);
            scope.spawn(move || retried(&|| label(dir, "a", &tag(&i.to_string(), "1"))).unwrap());
        }
    });
    let content = fs::read(temp.path().join("a.json")).unwrap();
    assert!((0..8).all(|i| Record::parse("a", &content).unwrap().carries(&tag(&i.to_string(), "1"))));

    for _ in 0..50 {
        provision(&dir, "b", &spec("x")).unwrap();
        thread::scope(|scope| {
            scope.spawn(|| retried(&|| label(&dir, "b", &tag("late", "1"))));
            scope.spawn(|| retried(&|| destroy(&dir, "b")).unwrap());
        });
        assert_eq!(files(&temp), ["a.json"]);
    }
}

#[test]
fn a_lock_is_respected_until_it_is_stale() {
    let (temp, dir) = temp();
    provision(&dir, "a", &spec("x")).unwrap();
    fs::write(temp.path().join(name::lock_file("a")), "").unwrap();
    assert_eq!(destroy(&dir, "a").unwrap_err().code, ErrorCode::Aborted);
    assert_eq!(label(&dir, "a", &tag("a", "b")).unwrap_err().code, ErrorCode::Aborted);
    make_old(&temp, &name::lock_file("a"));
    destroy(&dir, "a").unwrap();
    assert!(files(&temp).is_empty());
}

/// A directory whose caller is killed, or whose disk fails, after so many operations.
struct Failing<'d> {
    inner: &'d Native,
    left: Cell<usize>,
    with: Failure,
}

impl Failing<'_> {
    fn spend<T>(&self, operation: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
        let left = self.left.get().checked_sub(1).ok_or_else(|| self.with.clone())?;
        self.left.set(left);
        operation()
    }
}

impl Directory for Failing<'_> {
    fn scan(&self) -> Result<Scan, Failure> {
        self.spend(|| self.inner.scan())
    }
    fn read(&self, file: &str) -> Result<Vec<u8>, Failure> {
        self.spend(|| self.inner.read(file))
    }
    fn create(&self, file: &str, content: &[u8]) -> Result<(), Failure> {
        self.spend(|| {
            if self.left.get() == 0 {
                // Killed half way through the writing.
                self.inner.create(file, &content[..content.len() / 2])?;
                return Err(self.with.clone());
            }
            self.inner.create(file, content)
        })
    }
    fn link(&self, file: &str, other: &str) -> Result<(), Failure> {
        self.spend(|| self.inner.link(file, other))
    }
    fn rename(&self, file: &str, other: &str) -> Result<(), Failure> {
        self.spend(|| self.inner.rename(file, other))
    }
    fn remove(&self, file: &str) -> Result<(), Failure> {
        self.spend(|| self.inner.remove(file))
    }
    fn stat(&self, file: &str) -> Result<Stat, Failure> {
        self.spend(|| self.inner.stat(file))
    }
    fn unique(&self) -> u64 {
        self.inner.unique()
    }
}

/// Whatever the operation at which a call stops, the next call of the same kind finishes the work.
#[test]
fn a_call_killed_anywhere_can_be_repeated() {
    for torn in [false, true] {
        for operations in 0..12 {
            let (temp, dir) = temp();
            if torn {
                fs::write(temp.path().join("a.json"), "{").unwrap();
            }
            let failing = |n| Failing { inner: &dir, left: Cell::new(n), with: Failure::Other("killed".into()) };
            let recover =
                || files(&temp).iter().filter(|it| name::is_helper_file(it)).for_each(|it| make_old(&temp, it));

            let _ = provision(&failing(operations), "a", &spec("x"));
            assert!(ids(&dir).len() <= 1);
            recover();
            assert_eq!(provision(&dir, "a", &spec("x")).unwrap(), "a", "after {operations} operations");
            assert_eq!(ids(&dir), ["a"]);

            let _ = label(&failing(operations), "a", &tag("k", "v"));
            assert_eq!(ids(&dir), ["a"], "an instance is never out of sight while it is labelled");
            recover();
            label(&dir, "a", &tag("k", "v")).unwrap();
            assert_eq!(provision(&dir, "a", &spec("x")).unwrap(), "a");

            let _ = destroy(&failing(operations), "a");
            recover();
            destroy(&dir, "a").unwrap();
            assert!(ids(&dir).is_empty());
        }
    }
}

#[test]
fn failures_say_what_would_mend_them() {
    let (_temp, dir) = temp();
    let cases = [
        (Failure::NotGranted, ErrorCode::PermissionDenied, r#""Guest": "/instances", "Mode": "rw""#),
        (Failure::Denied, ErrorCode::PermissionDenied, "on the host"),
        (Failure::Full, ErrorCode::ResourceExhausted, "make room"),
        (Failure::Other("io".into()), ErrorCode::Internal, "io"),
    ];
    for (with, code, hint) in cases {
        let failing = Failing { inner: &dir, left: Cell::new(0), with };
        let error = provision(&failing, "a", &spec("x")).unwrap_err();
        assert_eq!(error.code, code);
        assert!(error.message.contains(hint) && error.message.contains("`a.json`"), "{}", error.message);
    }
    let no_links = Failing { inner: &dir, left: Cell::new(0), with: Failure::NotGranted };
    assert_eq!(settle(&no_links, "a", &spec("x"), "t").unwrap_err().code, ErrorCode::Unimplemented);
}
