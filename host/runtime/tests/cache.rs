//! The code cache: it is used, it is never trusted blindly, and it can be done without.

mod common;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;

use common::{Fixture, built, please, spec};
use homeostat_runtime::{Plugin, Runtime, RuntimeConfig};

impl Fixture {
    /// Load in a process-like fresh runtime with the same cache.
    async fn again(&self) -> Plugin {
        let runtime = Runtime::new(RuntimeConfig::new(self.dir.path().join("cache"))).expect("a runtime");
        let plugin = runtime.load("again", &spec(&built("hostile_instance"))).await.expect("loads");
        plugin.as_instance().expect("an instance plugin").validate(&please("nothing")).await.expect("works");
        plugin
    }

    fn entries(&self, extension: &str) -> Vec<PathBuf> {
        let files = fs::read_dir(self.dir.path().join("cache")).expect("a directory");
        files
            .map(|file| file.expect("a file").path())
            .filter(|p| p.extension().is_some_and(|e| e == extension))
            .collect()
    }
}

#[tokio::test]
async fn a_second_start_finds_the_code() {
    let f = Fixture::new();
    assert!(!f.again().await.info().from_cache);
    let second = f.again().await;
    assert!(second.info().from_cache);
    println!("warm load: {:?}", second.info().load_time);
    let cache = fs::metadata(f.dir.path().join("cache")).expect("a directory");
    assert_eq!(cache.mode() & 0o777, 0o700);
    for file in f.entries("cwasm").iter().chain(&f.entries("sha256")) {
        assert_eq!(fs::metadata(file).expect("a file").mode() & 0o777, 0o600);
    }
    assert!(f.entries("tmp").is_empty());
}

#[tokio::test]
async fn what_was_changed_is_compiled_again() {
    let f = Fixture::new();
    f.again().await;
    let code = f.entries("cwasm").pop().expect("an entry");
    let digest = f.entries("sha256").pop().expect("an entry");
    let whole = fs::read(&code).expect("a file");

    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    let of_flipped = {
        use sha2::{Digest, Sha256};
        Sha256::digest(&whole[..whole.len() - 8]).iter().map(|b| format!("{b:02x}")).collect::<String>()
    };
    for (what, bytes, recorded) in [
        ("a flipped bit", &flipped[..], None),
        ("a file cut off", &whole[..whole.len() / 3], None),
        ("an empty file", &[], None),
        ("no digest", &whole, Some(String::new())),
        // Cut off, with a digest that fits: the engine's own check is the last one.
        ("a file cut off, digest forged", &whole[..whole.len() - 8], Some(of_flipped)),
    ] {
        let original = fs::read(&digest).expect("a file");
        fs::write(&code, bytes).expect("a file");
        if let Some(recorded) = recorded {
            fs::write(&digest, recorded).expect("a file");
        }
        let plugin = f.again().await;
        // The forged one may still be whole where it counts; it must then work, which `again` has checked.
        if !what.contains("forged") {
            assert!(!plugin.info().from_cache, "{what} was used");
            assert_eq!(fs::read(&code).expect("a file"), whole, "{what} was not replaced");
        }
        fs::write(&code, &whole).expect("a file");
        fs::write(&digest, original).expect("a file");
    }
    assert!(f.again().await.info().from_cache);
}

#[tokio::test]
async fn one_file_is_compiled_once_however_many_plugins_use_it() {
    let f = Fixture::new();
    let spec = spec(&built("hostile_instance"));
    let loads = (0..8).map(|n| {
        let (runtime, spec) = (f.runtime.clone(), spec.clone());
        tokio::spawn(async move { runtime.load(&format!("p{n}"), &spec).await.expect("loads") })
    });
    let mut compiled = 0;
    for load in loads.collect::<Vec<_>>() {
        compiled += usize::from(!load.await.expect("ends").info().from_cache);
    }
    assert_eq!(compiled, 1);
}

#[tokio::test]
async fn without_a_cache_plugins_load_all_the_same() {
    let dir = tempfile::tempdir().expect("a directory");
    // Nothing can be made below a file, not even by root.
    let file = dir.path().join("file");
    fs::write(&file, "").expect("a file");
    let runtime = Runtime::new(RuntimeConfig::new(file.join("cache"))).expect("a runtime");
    let plugin = runtime.load("p", &spec(&built("hostile_instance"))).await.expect("loads");
    assert!(!plugin.info().from_cache);

    // And one that vanishes while it is used.
    let cache = dir.path().join("cache");
    let runtime = Runtime::new(RuntimeConfig::new(&cache)).expect("a runtime");
    fs::set_permissions(&cache, fs::Permissions::from_mode(0o500)).expect("a mode");
    fs::remove_dir(&cache).expect("removes");
    runtime.load("p", &spec(&built("hostile_instance"))).await.expect("loads");
}
