use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::time::{Duration, SystemTime};

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::bindings::homeostat::plugin::types::InstanceSpec;
use crate::directory::native::Native;
use crate::directory::{Scan, Stat};
use crate::store;

fn spec(tier: &str) -> InstanceSpec {
    InstanceSpec {
        properties: r#"{"Note": "n"}"#.into(),
        tags: vec![("tier".into(), tier.into())],
        init: String::new(),
        logical_id: None,
        attachments: Vec::new(),
    }
}

fn request(limit: u32) -> ListRequest {
    ListRequest { tags: Vec::new(), with_properties: false, cursor: None, limit }
}

fn temp() -> (TempDir, Native) {
    let temp = tempfile::tempdir().unwrap();
    let dir = Native(temp.path().to_owned());
    (temp, dir)
}

fn ids(page: &Page) -> Vec<&str> {
    page.instances.iter().map(|it| &*it.id).collect()
}

#[test]
fn an_empty_directory_is_an_empty_complete_page() {
    let (_temp, dir) = temp();
    let page = list(&dir, &request(10)).unwrap();
    assert!(page.instances.is_empty() && page.findings.is_empty() && page.complete && page.next.is_none());
    assert_eq!(list(&dir, &request(0)).unwrap_err().code, ErrorCode::InvalidArgument);
}

#[test]
fn what_is_not_an_instance_is_reported_and_never_counted() {
    let (temp, dir) = temp();
    let at = |name: &str| temp.path().join(name);
    store::provision(&dir, "good", &spec("web")).unwrap();
    let good = fs::read(at("good.json")).unwrap();
    fs::write(at("torn.json"), &good[..good.len() / 2]).unwrap();
    fs::write(at("empty.json"), "").unwrap();
    fs::write(at("foreign.json"), r#"{"name": "left-pad"}"#).unwrap();
    fs::write(at("renamed.json"), &good).unwrap();
    fs::write(at("binary.json"), [0xff, 0, 1]).unwrap();
    fs::write(at("huge.json"), vec![b' '; 3 << 20]).unwrap();
    fs::write(at("notes.txt"), "hi").unwrap();
    fs::write(at("bad name.json"), &good).unwrap();
    fs::write(temp.path().join(OsStr::from_bytes(b"\xff.json")), &good).unwrap();
    fs::create_dir(at("dir.json")).unwrap();
    symlink("good.json", at("link.json")).unwrap();
    symlink("nowhere", at("dangling.json")).unwrap();
    fs::write(at(".good.0011223344556677.tmp"), &good).unwrap();
    fs::write(at(".old.0011223344556677.tmp"), &good[..9]).unwrap();
    let before = SystemTime::now() - STALE - Duration::from_secs(1);
    File::options().append(true).open(at(".old.0011223344556677.tmp")).unwrap().set_modified(before).unwrap();

    let page = list(&dir, &request(100)).unwrap();
    assert_eq!(ids(&page), ["good"]);
    assert!(page.complete && page.next.is_none());
    let found: Vec<_> = page.findings.iter().map(|it| &*it.subject).collect();
    let expected = "/instances .old.0011223344556677.tmp bad name.json binary.json dangling.json dir.json empty.json \
                    foreign.json huge.json link.json notes.txt renamed.json torn.json";
    assert_eq!(found.join(" "), expected);
}

#[test]
fn a_flood_of_foreign_files_is_summed_up() {
    let (temp, dir) = temp();
    store::provision(&dir, "z", &spec("web")).unwrap();
    (0..500).for_each(|i| fs::write(temp.path().join(format!("{i}.txt")), "").unwrap());
    let page = list(&dir, &request(100)).unwrap();
    assert_eq!((ids(&page), page.findings.len()), (vec!["z"], MAX_FINDINGS + 1));
    assert!(page.findings[MAX_FINDINGS].message.starts_with("400 more"));
}

#[test]
fn only_what_carries_all_tags_and_properties_on_request() {
    let (_temp, dir) = temp();
    store::provision(&dir, "a", &spec("web")).unwrap();
    store::provision(&dir, "b", &spec("db")).unwrap();
    let page = list(&dir, &ListRequest { tags: vec![("tier".into(), "db".into())], ..request(9) }).unwrap();
    assert_eq!((ids(&page), page.instances[0].properties.as_deref()), (vec!["b"], None));
    let page = list(&dir, &ListRequest { with_properties: true, ..request(9) }).unwrap();
    assert_eq!(page.instances[1].properties.as_deref(), Some(r#"{"Note": "n"}"#));
    let both = vec![("tier".into(), "db".into()), ("no".into(), "such".into())];
    assert!(list(&dir, &ListRequest { tags: both, ..request(9) }).unwrap().instances.is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Pages of any size hold each instance once, in order, also from a cursor that was never given.
    #[test]
    fn pages_are_a_partition(count in 0usize..25, foreign in 0usize..5, limit in 1u32..30, cursor in "\\PC{0,6}") {
        let (temp, dir) = temp();
        for i in 0..count {
            store::provision(&dir, &format!("i{i}"), &spec("web")).unwrap();
        }
        (0..foreign).for_each(|i| fs::write(temp.path().join(format!("i{i}.txt")), "").unwrap());
        let (mut seen, mut findings, mut next) = (Vec::new(), 0, None);
        loop {
            let page = list(&dir, &ListRequest { cursor: next, ..request(limit) }).unwrap();
            prop_assert!(page.complete && page.instances.len() <= limit as usize);
            seen.extend(page.instances.into_iter().map(|it| it.id));
            findings += page.findings.len();
            next = page.next;
            if next.is_none() {
                break;
            }
        }
        prop_assert_eq!((seen.len(), findings), (count, foreign));
        prop_assert!(seen.is_sorted_by(|a, b| name::instance_file(a) < name::instance_file(b)));
        let anywhere = list(&dir, &ListRequest { cursor: Some(cursor), ..request(limit) });
        prop_assert!(anywhere.is_ok());
    }
}

/// A directory in which one file cannot be read, or that ends early.
struct Broken<'d> {
    inner: &'d Native,
    read: Failure,
    cut_off: Option<Failure>,
}

impl Directory for Broken<'_> {
    fn scan(&self) -> Result<Scan, Failure> {
        Ok(Scan { cut_off: self.cut_off.clone(), ..self.inner.scan()? })
    }
    fn read(&self, file: &str) -> Result<Vec<u8>, Failure> {
        if file == "b.json" { Err(self.read.clone()) } else { self.inner.read(file) }
    }
    fn create(&self, _: &str, _: &[u8]) -> Result<(), Failure> {
        Err(Failure::Unsupported)
    }
    fn link(&self, _: &str, _: &str) -> Result<(), Failure> {
        Err(Failure::Unsupported)
    }
    fn rename(&self, _: &str, _: &str) -> Result<(), Failure> {
        Err(Failure::Unsupported)
    }
    fn remove(&self, _: &str) -> Result<(), Failure> {
        Err(Failure::Unsupported)
    }
    fn stat(&self, file: &str) -> Result<Stat, Failure> {
        self.inner.stat(file)
    }
    fn unique(&self) -> u64 {
        0
    }
}

#[test]
fn a_file_that_vanished_is_skipped_and_one_that_cannot_be_read_makes_the_listing_incomplete() {
    let (_temp, dir) = temp();
    for name in ["a", "b", "c"] {
        store::provision(&dir, name, &spec("web")).unwrap();
    }
    let look = |read, cut_off| list(&Broken { inner: &dir, read, cut_off }, &request(9)).unwrap();
    let page = look(Failure::NotFound, None);
    assert_eq!((ids(&page), page.findings.len(), page.complete), (vec!["a", "c"], 0, true));
    let page = look(Failure::Denied, None);
    assert_eq!((ids(&page), page.findings[0].subject.as_str(), page.complete), (vec!["a", "c"], "b.json", false));
    let page = look(Failure::NotFound, Some(Failure::Other("io".into())));
    assert_eq!((ids(&page), page.complete), (vec!["a", "c"], false));
}
