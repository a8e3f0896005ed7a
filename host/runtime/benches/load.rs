//! Loading a plugin whose machine code is in the cache on the disk, as at a start of the host: the file is read, its digest
//! looked up, the machine code read, checked and taken over, and the guest asked what it is.
//!
//! `make bench`, or `cargo bench -p homeostat-runtime --bench load [-- FILE...]` after `make build`. FILEs are further
//! plugins. Those in `examples/` are measured where they were built.

use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use homeostat_core::spec::PluginSpec;
use homeostat_runtime::{Runtime, RuntimeConfig};
use serde_json::json;
use sha2::{Digest, Sha256};

mod common;
use common::{examples, file_plugin, report};

/// Loads that are measured.
const LOADS: usize = 100;

fn main() {
    let control = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    measure(&control, "Rust (instance-file)", &file_plugin());
    for (language, file) in examples() {
        match file {
            Ok(file) => measure(&control, &language, &file),
            Err(missing) => println!("{language:<40} skipped: {missing} is not built"),
        }
    }
    for file in std::env::args().skip(1).filter(|it| !it.starts_with('-')) {
        measure(&control, &file, Path::new(&file));
    }
}

fn measure(control: &tokio::runtime::Runtime, name: &str, file: &Path) {
    let cache = tempfile::tempdir().expect("a directory");
    let runtime = Runtime::new(RuntimeConfig::new(cache.path())).expect("a runtime for plugins");
    let spec: PluginSpec = serde_json::from_value(json!({ "Path": file })).expect("a plugin spec");
    let began = Instant::now();
    let compiled = control.block_on(runtime.load("plugin", &spec)).expect("the plugin loads");
    println!("{name}: {} KiB, compiled in {:.1?}", compiled.info().size >> 10, began.elapsed());
    drop(compiled);
    let times = (0..LOADS).map(|_| {
        let began = Instant::now();
        let plugin = control.block_on(runtime.load("plugin", &spec)).expect("the plugin loads");
        let took = began.elapsed();
        assert!(plugin.info().from_cache, "it was compiled again");
        // Unloaded here: the next one finds nothing in memory.
        took
    });
    report("  load from a warm cache", times.collect());
    let code = std::fs::read_dir(cache.path()).expect("the cache").map(|it| it.expect("an entry").path());
    let code = code.filter(|it| it.extension().is_some_and(|it| it == "cwasm")).max().expect("machine code");
    // What of it is reading and checking.
    for (what, file) in [("file", file), ("machine code", &*code)] {
        let kib = std::fs::metadata(file).expect("a file").len() >> 10;
        let bytes = std::fs::read(file).expect("a file");
        report(
            &format!("  of that: reading {kib} KiB of {what}"),
            timed(|| drop(std::fs::read(file).expect("a file"))),
        );
        report(&format!("  of that: SHA-256 of {kib} KiB of {what}"), timed(|| _ = black_box(Sha256::digest(&bytes))));
    }
}

fn timed(mut work: impl FnMut()) -> Vec<Duration> {
    let time = |_| {
        let began = Instant::now();
        work();
        began.elapsed()
    };
    (0..20).map(time).collect()
}
