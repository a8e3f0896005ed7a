//! What a call with a fresh guest costs in each language, and how many calls a second the machine makes.
//!
//! `make bench`, or `cargo bench -p homeostat-runtime --bench languages [-- FILE...]` after `make build`. FILEs are further
//! plugins. Those in `examples/` are measured where they were built.

use std::path::Path;
use std::time::{Duration, Instant};

use homeostat_core::spec::{Allocation, PluginSpec};
use homeostat_runtime::{CallError, Plugin, Runtime, RuntimeConfig};
use serde_json::{Value, json};

mod common;
use common::{examples, file_plugin, report};

/// Callers at once, for the throughput.
const CALLERS: usize = 16;
/// For how long, after a second to warm up.
const TIME: Duration = Duration::from_secs(5);

fn main() {
    let control = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let cache = tempfile::tempdir().expect("a directory");
    let runtime = Runtime::new(RuntimeConfig::new(cache.path())).expect("a runtime for plugins");
    let measure = |name: &str, file: &Path| {
        let spec: PluginSpec = serde_json::from_value(json!({ "Path": file })).expect("a plugin spec");
        let plugin = control.block_on(runtime.load("plugin", &spec)).expect("the plugin loads");
        println!("{name}: {} KiB", plugin.info().size >> 10);
        let calls = if file == file_plugin() { 10_000 } else { 1_000 };
        report("  validate, a fresh guest, one after the other", one_by_one(&control, &runtime, &plugin, calls));
        let rate = throughput(&control, &runtime, &plugin);
        println!("  validate, a fresh guest, {CALLERS} at once           {rate:>12.0} calls/s");
    };
    measure("Rust (instance-file)", &file_plugin());
    for (language, file) in examples() {
        match file {
            Ok(file) => measure(&language, &file),
            Err(missing) => println!("{language}: skipped: {missing} is not built"),
        }
    }
    for file in std::env::args().skip(1).filter(|it| !it.starts_with('-')) {
        measure(&file, Path::new(&file));
    }
}

/// `validate`, with properties that the plugin itself gives as an example.
async fn validate(plugin: &Plugin, properties: &Value) -> Result<(), CallError> {
    match (plugin.as_instance(), plugin.as_flavor()) {
        (Some(instance), _) => instance.validate(properties).await,
        (_, Some(flavor)) => flavor.validate(properties, &Allocation::Size(3)).await,
        _ => unreachable!("a plugin is one or the other"),
    }
}

/// How long each call takes, made beside the guests as the host makes them.
fn one_by_one(control: &tokio::runtime::Runtime, runtime: &Runtime, plugin: &Plugin, calls: usize) -> Vec<Duration> {
    let plugin = plugin.clone();
    let times = runtime.beside_guests(async move {
        let properties = plugin.info().description.properties_example.clone();
        let mut times = Vec::with_capacity(calls);
        for _ in 0..calls {
            let began = Instant::now();
            validate(&plugin, &properties).await.expect("is valid");
            times.push(began.elapsed());
        }
        times
    });
    control.block_on(times).expect("ends")
}

/// Calls a second, made by so many at once.
fn throughput(control: &tokio::runtime::Runtime, runtime: &Runtime, plugin: &Plugin) -> f64 {
    let caller = || {
        let plugin = plugin.clone();
        runtime.beside_guests(async move {
            let properties = plugin.info().description.properties_example.clone();
            let began = Instant::now();
            let (mut calls, mut ended) = (0_u64, Duration::ZERO);
            while ended < TIME + Duration::from_secs(1) {
                validate(&plugin, &properties).await.expect("is valid");
                ended = began.elapsed();
                calls += u64::from(ended >= Duration::from_secs(1));
            }
            calls
        })
    };
    let callers: Vec<_> = (0..CALLERS).map(|_| caller()).collect();
    let calls = callers.into_iter().map(|it| control.block_on(it).expect("ends")).sum::<u64>();
    calls as f64 / TIME.as_secs_f64()
}
