//! What it costs to list the file plugin's instances: 1,000 and 5,000 files on tmpfs, each read and parsed, in one call.
//!
//! `make bench`, or `cargo bench -p homeostat-runtime` after `make build`.

use std::path::Path;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion};
use homeostat_core::grant::{DirGrant, DirMode, Grants, Limits};
use homeostat_core::spec::{InstanceSpec, PluginSpec};
use homeostat_core::tags::{CONFIG_HASH, GROUP, SLOT, Tags};
use homeostat_runtime::{Runtime, RuntimeConfig};
use serde_json::json;

mod common;
use common::file_plugin;

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(50)
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(5))
        .configure_from_args();
    let cache = tempfile::tempdir().expect("a directory");
    let control = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let runtime = Runtime::new(RuntimeConfig::new(cache.path())).expect("a runtime for plugins");
    let mut group = criterion.benchmark_group("list");
    for count in [1_000, 5_000] {
        let instances = tempfile::tempdir_in("/dev/shm").expect("tmpfs at /dev/shm");
        let plugin = control.block_on(runtime.load("file", &spec(instances.path()))).expect("the plugin loads");
        let plugin = plugin.as_instance().expect("an instance plugin");
        let wanted = Tags::from([(GROUP.to_owned(), "fleet".to_owned())]);
        control.block_on(async {
            for slot in 1..=count {
                let name = format!("fleet-{slot}-0123456789");
                plugin.provision(&name, &instance(slot)).await.expect("is made");
            }
        });
        group.bench_function(BenchmarkId::from_parameter(count), |b| {
            b.to_async(&control).iter(|| async {
                let listing = plugin.list(&wanted, false).await.expect("a list");
                assert_eq!((listing.instances.len(), listing.complete), (count, true));
            });
        });
    }
    group.finish();
    criterion.final_summary();
}

fn instance(slot: usize) -> InstanceSpec {
    InstanceSpec {
        properties: json!({ "Note": "Collabnix Infrakit 101" }),
        tags: Tags::from([
            (GROUP.to_owned(), "fleet".to_owned()),
            (CONFIG_HASH.to_owned(), "qbfdxvsyaeqfydwsrmumaqjxyx2ugnhr".to_owned()),
            (SLOT.to_owned(), slot.to_string()),
            ("tier".to_owned(), "web".to_owned()),
            ("project".to_owned(), "infrakit".to_owned()),
        ]),
        init: "docker pull dockercloud/hello-world\ndocker run -d -p 8080:80 dockercloud/hello-world".to_owned(),
        ..InstanceSpec::default()
    }
}

fn spec(instances: &Path) -> PluginSpec {
    let grant = DirGrant { host: instances.to_owned(), guest: "/instances".to_owned(), mode: DirMode::ReadWrite };
    let grants = Grants { dirs: vec![grant], ..Grants::default() };
    PluginSpec { source: file_plugin().into(), sha256: None, grants, limits: Limits::default() }
}
