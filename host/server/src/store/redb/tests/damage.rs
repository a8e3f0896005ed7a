//! Files that something else has spoilt.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use super::*;

/// A state with something in it, as a file that was closed well.
fn file(dir: &Path) -> PathBuf {
    let path = dir.join("state.redb");
    let store = RedbStore::open(&path).unwrap();
    let groups: Vec<_> = (0..30).map(|it| Change::PutGroup(group(&format!("group-{it}"), it))).collect();
    store.commit(0, &groups).unwrap();
    store.append(&batch((1..500).map(|it| event(it, Some("group-1"))).collect::<Vec<_>>())).unwrap();
    store.commit(1, &[Change::PutGroup(group("group-1", 77))]).unwrap();
    path
}

/// Every way out that the error names.
fn assert_helpful(error: &StoreError, path: &Path) {
    let text = error.to_string();
    assert!(matches!(error, StoreError::Damaged { .. }), "{text}");
    for part in [&*path.display().to_string(), "mv ", "homeostat state import FILE", "commit the specs again"] {
        assert!(text.contains(part), "{part:?} is not in {text:?}");
    }
}

#[test]
fn what_is_no_state_file_is_refused_and_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.redb");
    let mut rng = fastrand::Rng::with_seed(1);
    let noise: Vec<u8> = (0..1_000_000).map(|_| rng.u8(..)).collect();
    for content in [&b"not a database, but somebody's file"[..], b"", b"{}", &noise, &[0; 8192]] {
        std::fs::write(&path, content).unwrap();
        for error in [RedbStore::open(&path).err(), check(&path).err()] {
            assert_helpful(&error.expect("refused"), &path);
        }
        assert!(std::fs::read(&path).unwrap() == content);
    }
}

#[test]
fn a_file_that_was_cut_off_or_overwritten_is_refused_or_read_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let path = file(dir.path());
    let whole = std::fs::read(&path).unwrap();
    let truth = RedbStore::open(&path).unwrap().load().unwrap();
    let (mut refused, mut older, mut same) = (0, 0, 0);
    for seed in 0..300 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut bytes = whole.clone();
        // Most of the file is air; the interesting part is at the front.
        let end = if rng.bool() { bytes.len() } else { 64 << 10 };
        match rng.u8(..3) {
            0 => bytes.truncate(rng.usize(1..end)),
            1 => {
                let at = rng.usize(..end);
                bytes[at] ^= 1 << rng.u8(..8);
            }
            _ => {
                let at = rng.usize(..end - 512);
                bytes[at..at + 512].iter_mut().for_each(|it| *it = rng.u8(..));
            }
        }
        std::fs::write(&path, &bytes).unwrap();
        let checked = check(&path);
        std::fs::write(&path, &bytes).unwrap();
        match RedbStore::open(&path).and_then(|it| it.load()) {
            Err(error) => {
                assert_helpful(&error, &path);
                assert_helpful(&checked.expect_err("a check finds it too"), &path);
                refused += 1;
            }
            Ok(found) if found.revision == truth.revision => {
                assert_eq!(found.groups, truth.groups, "seed {seed}");
                same += 1;
            }
            Ok(found) => {
                // Set back to an earlier commit, whole.
                assert!(!checked.unwrap().is_clean(), "seed {seed}");
                assert!(found.revision < truth.revision, "seed {seed}");
                older += 1;
            }
        }
    }
    println!("refused {refused}, set back {older}, unharmed {same}");
    assert!(refused > 0 && same > 0);
}

#[test]
fn only_the_owner_can_read_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let mode = std::fs::metadata(file(dir.path())).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left of its making");
}

#[test]
fn a_directory_that_cannot_be_written_says_so() {
    let error = RedbStore::open(Path::new("/proc/state.redb")).err().unwrap();
    let text = crate::error::chain(&error);
    assert!(text.contains("/proc/state.redb cannot be made") && text.contains("lets this user write"), "{text}");
}

/// A file system of its own, or none where this process may not mount one.
struct Mount(tempfile::TempDir);

impl Mount {
    fn new(options: &str) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let done =
            std::process::Command::new("mount").args(["-t", "tmpfs", "-o", options, "none"]).arg(dir.path()).output();
        match done {
            Ok(it) if it.status.success() => Some(Self(dir)),
            other => {
                println!("skipped: no file system can be mounted here ({other:?})");
                None
            }
        }
    }

    fn remount(&self, options: &str) {
        let options = format!("remount,{options}");
        assert!(
            std::process::Command::new("mount").args(["-o", &options]).arg(self.0.path()).status().unwrap().success()
        );
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[test]
fn a_disk_that_is_really_full_or_read_only() {
    let Some(mount) = Mount::new("size=3m") else { return };
    let path = mount.0.path().join("state.redb");
    let store = RedbStore::open(&path).unwrap();
    store.commit(0, &[Change::PutGroup(group("a", 1))]).unwrap();
    std::fs::write(mount.0.path().join("ballast"), vec![1; 3 << 20]).unwrap_err();
    let mut seq = 0;
    let error = loop {
        let events: Vec<_> = (0..1_000)
            .map(|_| {
                seq += 1;
                event(seq, Some("a"))
            })
            .collect();
        if let Err(error) = store.append(&batch(events)) {
            break error;
        }
    };
    let text = crate::error::chain(&error);
    assert!(text.contains("No space left on device"), "{text}");
    assert_eq!(store.load().unwrap().groups.len(), 1);
    std::fs::remove_file(mount.0.path().join("ballast")).unwrap();
    store.commit(1, &[Change::PutGroup(group("b", 1))]).unwrap();
    drop(store);
    assert_eq!(RedbStore::open(&path).unwrap().load().unwrap().groups.len(), 2);
    mount.remount("ro");
    let error = crate::error::chain(&RedbStore::open(&path).err().unwrap());
    assert!(error.contains("Read-only file system") && error.contains("state.redb cannot be opened"), "{error}");
    let fresh = crate::error::chain(&RedbStore::open(&mount.0.path().join("other.redb")).err().unwrap());
    assert!(fresh.contains("Read-only file system"), "{fresh}");
}
