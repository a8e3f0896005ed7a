//! What one typed call costs: the file plugin's `validate`, with a fresh guest and with a warm one, beside one JSON-RPC
//! call over HTTP on a Unix socket (InfraKit's way) in the same run. Prints the ratio at the end.
//!
//! A fresh guest is called twice over: by a task beside the guests, as the host carries out its steps, and by a thread
//! that sleeps until the answer. The latter, like JSON-RPC, is for the most part the time that the machine takes to wake
//! a thread.
//!
//! `make bench`, or `cargo bench -p homeostat-runtime` after `make build`.

use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use axum::routing::post;
use axum::{Json, Router};
use criterion::Criterion;
use homeostat_core::spec::PluginSpec;
use homeostat_runtime::{Runtime, RuntimeConfig};
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::{UnixListener, UnixStream};

mod common;
use common::file_plugin;

/// Calls that a median is taken of.
const CALLS: usize = 2_000;

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(100)
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(4))
        .configure_from_args();
    let dir = tempfile::tempdir().expect("a directory");
    let control = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");

    let runtime = Runtime::new(RuntimeConfig::new(dir.path().join("cache"))).expect("a runtime for plugins");
    let plugin = control.block_on(runtime.load("file", &spec(dir.path()))).expect("the plugin loads");
    let plugin = plugin.as_instance().expect("an instance plugin");
    let properties = json!({"Note": "Collabnix Infrakit 101"});

    criterion.bench_function("validate/fresh", |b| {
        b.to_async(&control).iter_custom(|iterations| {
            let (plugin, properties) = (plugin.clone(), properties.clone());
            let calls = runtime.beside_guests(async move {
                let start = Instant::now();
                for _ in 0..iterations {
                    plugin.validate(black_box(&properties)).await.expect("is valid");
                }
                start.elapsed()
            });
            async { calls.await.expect("ends") }
        });
    });
    criterion.bench_function("validate/fresh from another thread", |b| {
        b.to_async(&control).iter(|| async { plugin.validate(black_box(&properties)).await.expect("is valid") });
    });
    let warm = tokio::sync::Mutex::new(control.block_on(plugin.warm()).expect("a warm guest"));
    criterion.bench_function("validate/warm", |b| {
        b.to_async(&control).iter_custom(|iterations| {
            let (warm, properties) = (&warm, &properties);
            async move {
                let mut warm = warm.lock().await;
                let start = Instant::now();
                for _ in 0..iterations {
                    warm.validate(black_box(properties)).await.expect("is valid");
                }
                start.elapsed()
            }
        });
    });
    let socket = dir.path().join("rpc.sock");
    serve(&socket);
    let client = tokio::sync::Mutex::new(control.block_on(connect(&socket)));
    criterion.bench_function("validate/json-rpc over a unix socket", |b| {
        b.to_async(&control).iter_custom(|iterations| {
            let (client, properties) = (&client, &properties);
            async move {
                let mut client = client.lock().await;
                let start = Instant::now();
                for _ in 0..iterations {
                    rpc(&mut client, black_box(properties)).await;
                }
                start.elapsed()
            }
        });
    });
    criterion.final_summary();

    // Criterion keeps its estimates to itself: the ratio is of medians taken here.
    let beside = median(|| {
        let (plugin, properties) = (plugin.clone(), properties.clone());
        let calls = runtime.beside_guests(async move {
            let mut times = Vec::with_capacity(CALLS);
            for _ in 0..CALLS {
                let start = Instant::now();
                plugin.validate(&properties).await.expect("is valid");
                times.push(start.elapsed());
            }
            times
        });
        control.block_on(calls).expect("ends")
    });
    let fresh = median(|| {
        control.block_on(async { timed(async || plugin.validate(&properties).await.expect("is valid")).await })
    });
    let warm = median(|| {
        control.block_on(async {
            let mut warm = warm.lock().await;
            timed(async || warm.validate(&properties).await.expect("is valid")).await
        })
    });
    let rpc = median(|| {
        control.block_on(async {
            let mut client = client.lock().await;
            timed(async || rpc(&mut client, &properties).await).await
        })
    });
    let times = |of: Duration| rpc.as_secs_f64() / of.as_secs_f64();
    println!("\nmedian of one call of validate, pooled memory: {}", runtime.is_pooled());
    for (what, took) in [("fresh guest", beside), ("fresh guest, other thread", fresh), ("warm guest", warm)] {
        println!("  {what:<26}{:8.1} us   {:5.1} times as fast as JSON-RPC", took.as_secs_f64() * 1e6, times(took));
    }
    println!("  {:<26}{:8.1} us", "JSON-RPC", rpc.as_secs_f64() * 1e6);
}

/// One call, timed by itself.
async fn timed(mut call: impl AsyncFnMut()) -> Vec<Duration> {
    let mut times = Vec::with_capacity(CALLS);
    for _ in 0..CALLS {
        let start = Instant::now();
        call().await;
        times.push(start.elapsed());
    }
    times
}

fn median(times: impl FnOnce() -> Vec<Duration>) -> Duration {
    let mut times = times();
    times.sort_unstable();
    times[times.len() / 2]
}

fn spec(dir: &Path) -> PluginSpec {
    let instances = dir.join("instances");
    std::fs::create_dir(&instances).expect("a directory");
    serde_json::from_value(json!({
        "Path": file_plugin(),
        "Grants": {"Dirs": [{"Host": instances, "Guest": "/instances", "Mode": "rw"}]},
    }))
    .expect("a plugin spec")
}

/// A server like an InfraKit plugin's, on a thread of its own.
fn serve(socket: &Path) {
    let listener = std::os::unix::net::UnixListener::bind(socket).expect("a socket");
    listener.set_nonblocking(true).expect("a socket");
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let listener = UnixListener::from_std(listener).expect("a socket");
            let answer = |Json(call): Json<Value>| async move {
                let valid = call["params"][0]["Properties"]["Note"].is_string();
                Json(json!({"jsonrpc": "2.0", "id": call["id"], "result": {"OK": valid}}))
            };
            axum::serve(listener, Router::new().route("/", post(answer))).await.expect("serves");
        });
    });
}

type Client = hyper::client::conn::http1::SendRequest<Full<Bytes>>;

async fn connect(socket: &Path) -> Client {
    let stream = UnixStream::connect(socket).await.expect("connects");
    let (client, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("speaks HTTP");
    tokio::spawn(connection);
    client
}

async fn rpc(client: &mut Client, properties: &Value) {
    let call =
        json!({"jsonrpc": "2.0", "id": 1, "method": "Instance.Validate", "params": [{"Properties": properties}]});
    client.ready().await.expect("keeps the connection");
    let request = Request::post("/")
        .header("host", "plugin")
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from(call.to_string())))
        .expect("a request");
    let answer = client.send_request(request).await.expect("an answer");
    let body = answer.into_body().collect().await.expect("a body").to_bytes();
    let answer: Value = serde_json::from_slice(&body).expect("JSON");
    assert_eq!(answer["result"]["OK"], true);
}
