//! An instance plugin that breaks every rule it is asked to break: for the tests of the sandbox.
//!
//! Calls with properties do what their member `Do` says, and `provision` also what `OnProvision` says; `list` does what
//! the tag `do` says, or, in a group called `list-WORD`, what that word says. What `describe-plugin` does
//! is written in [`MODE`], which the tests overwrite in the built file. Where a directory is granted as `/world`, it is
//! also a provider that keeps its instances there: see [`world`].
#![cfg(target_arch = "wasm32")]
#![allow(unsafe_code, reason = "what generates the exports writes it here")]

use std::fs;
use std::hint::black_box;
use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, SystemTime};

use bindings::exports::homeostat::plugin::instance::{
    DestroyReason, Error, Guest, InstanceSpec, Json, ListRequest, Page, Tags,
};
use bindings::exports::homeostat::plugin::meta::{Guest as Meta, PluginDescription};
use bindings::homeostat::plugin::log;
use bindings::homeostat::plugin::types::{ErrorCode, Instance, InstanceState};

mod world;

#[allow(missing_docs, unsafe_code, unreachable_pub, clippy::all, reason = "generated from wit/, which has the texts")]
mod bindings {
    wit_bindgen::generate!({ path: "../../../wit/v0.1", world: "instance-plugin" });
}

/// What `describe-plugin` does: the word after `=`, up to the first dot.
static MODE: [u8; 40] = *b"homeostat-hostile=normal................";

struct Hostile;

bindings::export!(Hostile with_types_in bindings);

impl Meta for Hostile {
    fn describe_plugin() -> PluginDescription {
        let mode = String::from_utf8_lossy(black_box(&MODE)).into_owned();
        let mode = mode.split(['=', '.']).nth(1).unwrap_or_default();
        let schema = match mode {
            "json" => "{",
            "schema" => r#"{"type":"strin"}"#,
            "example" => r#"{"type":"string"}"#,
            _ => r#"{"type":"object"}"#,
        };
        match mode {
            "spin" => spin(),
            "sleep" => std::thread::sleep(Duration::from_secs(3600)),
            "panic" => panic!("describing is hard"),
            "files" => assert!(fs::metadata("/granted").is_err(), "it was given a directory"),
            _ => {}
        }
        PluginDescription {
            name: if mode == "name" { "Not A Name" } else { "hostile" }.into(),
            version: if mode == "version" { "one" } else { "0.1.0" }.into(),
            summary: "Breaks what it is asked to break".into(),
            properties_schema: schema.into(),
            properties_example: r#"{"Do":"nothing"}"#.into(),
        }
    }
}

impl Guest for Hostile {
    fn validate(properties: Json) -> Result<(), Error> {
        misbehave(&properties)
    }

    fn provision(name: String, spec: InstanceSpec) -> Result<String, Error> {
        misbehave(&spec.properties)?;
        misbehave(&spec.properties.replace("\"OnProvision\"", "\"Do\""))?;
        if world::is_granted() {
            return world::provision(&name, &spec);
        }
        Ok(if spec.properties.contains("empty-id") { String::new() } else { format!("id-{name}") })
    }

    fn label(id: String, tags: Tags) -> Result<(), Error> {
        if world::is_granted() {
            return world::label(&id, &tags);
        }
        Err(error(ErrorCode::Unimplemented, "no labels here"))
    }

    fn destroy(id: String, reason: DestroyReason) -> Result<(), Error> {
        misbehave(&id)?;
        if world::is_granted() { world::destroy(&id, reason) } else { Ok(()) }
    }

    fn list(request: ListRequest) -> Result<Page, Error> {
        let tag = |name| request.tags.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        if let Some(word) = tag("infrakit.group").and_then(|id| id.strip_prefix("list-")) {
            misbehave(word)?;
        }
        let what = tag("do");
        if what.is_none() && world::is_granted() {
            return world::list(&request);
        }
        let number: u32 = request.cursor.as_deref().and_then(|c| c.parse().ok()).unwrap_or(0);
        let next = Some((number + 1).to_string());
        let page = |instances, next| Page { instances, next, complete: true, findings: vec![] };
        Ok(match what.unwrap_or_default() {
            "three-pages" if number < 2 => page(vec![instance(number * 2), instance(number * 2 + 1)], next),
            "three-pages" => page(vec![instance(4)], None),
            "incomplete" => Page { complete: number > 0, ..page(vec![instance(number)], next.filter(|_| number == 0)) },
            "same-cursor" => page(vec![instance(number)], Some("1".into())),
            "empty-pages" => page(vec![], next),
            "same-id" => page(vec![instance(7)], next),
            "same-tag" => {
                let mut odd = instance(1);
                odd.tags = vec![("a".into(), "1".into()), ("a".into(), "2".into())];
                page(vec![odd], None)
            }
            "bad-json" => page(vec![Instance { properties: Some("{".into()), ..instance(1) }], None),
            "no-id" => page(vec![Instance { id: String::new(), ..instance(1) }], None),
            "write" => return Err(error(ErrorCode::Internal, write())),
            "flood" => page((0..request.limit).cycle().take(3_000_000).map(instance).collect(), None),
            _ => page(vec![], None),
        })
    }
}

fn instance(number: u32) -> Instance {
    Instance {
        id: format!("id-{number}"),
        name: format!("name-{number}"),
        logical_id: None,
        state: InstanceState::Running,
        message: String::new(),
        created_at_ms: Some(u64::from(number)),
        addresses: vec![],
        tags: vec![("infrakit.group".into(), "g".into())],
        properties: Some("{\"N\":1}".into()),
    }
}

fn error(code: ErrorCode, message: impl Into<String>) -> Error {
    Error { code, message: message.into(), path: Some("/Do".into()), retry_after_ms: Some(1500) }
}

fn spin() {
    let mut n = 0u64;
    loop {
        n = black_box(n.wrapping_add(1));
    }
}

/// Do what the text asks for.
fn misbehave(text: &str) -> Result<(), Error> {
    let what = text.split("\"Do\":\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap_or(text);
    match what {
        "spin" => spin(),
        "sleep" => std::thread::sleep(Duration::from_secs(3600)),
        "work" => {
            for n in 0..50_000_000u64 {
                black_box(n);
            }
        }
        "nap" => std::thread::sleep(Duration::from_millis(300)),
        "memory" => {
            let mut all = Vec::new();
            loop {
                all.push(black_box(vec![1u8; 1 << 20]));
            }
        }
        "panic" => panic!("deliberately"),
        "unreachable" => core::arch::wasm32::unreachable(),
        "exit" => std::process::exit(3),
        "stack" => {
            fn deeper(n: u64) -> u64 {
                if n == u64::MAX {
                    return n;
                }
                let frame = black_box([n; 64]);
                black_box(deeper(n + 1)) + frame[0]
            }
            black_box(deeper(0));
        }
        "flood" => {
            for n in 0..200_000 {
                eprintln!("line {n} \u{1b}[31m");
                log::log(log::Level::Error, "a log line");
            }
            panic!("after the flood");
        }
        "unavailable" => return Err(error(ErrorCode::Unavailable, "come back later")),
        "internal" => return Err(error(ErrorCode::Internal, "who knows")),
        "huge" => return Err(error(ErrorCode::Internal, "x".repeat(90 << 20))),
        "handles" => {
            let mut held = Vec::new();
            while let Ok(file) = fs::File::open("/granted/file") {
                held.push(file);
            }
            return Err(error(ErrorCode::ResourceExhausted, format!("{} files", held.len())));
        }
        "write" => return Err(error(ErrorCode::Internal, write())),
        "escape" => return Err(error(ErrorCode::InvalidArgument, escape())),
        _ => {}
    }
    Ok(())
}

/// Try to get at what was not granted, and say what was found.
fn escape() -> String {
    let mut found = Vec::new();
    for path in [
        "/etc/passwd",
        "/",
        ".",
        "..",
        "/granted/..",
        "/granted/../secret",
        "/granted/out",
        "/granted/out/secret",
        "/proc/self",
    ] {
        if fs::metadata(path).is_ok_and(|m| m.is_file()) || fs::read_dir(path).is_ok_and(|mut d| d.next().is_some()) {
            found.push(path.to_string());
        }
    }
    for path in ["/granted/new", "/granted/file"] {
        if fs::write(path, "mine now").is_ok() {
            found.push(format!("wrote {path}"));
        }
    }
    if fs::remove_file("/granted/file").is_ok() || fs::rename("/granted/file", "/granted/moved").is_ok() {
        found.push("took /granted/file".into());
    }
    found.extend(std::env::vars().map(|(key, _)| format!("env {key}")));
    found.extend(std::env::args().map(|arg| format!("arg {arg}")));
    // The discard port, by number and by name.
    for address in ["127.0.0.1:9", "localhost:9"] {
        match TcpStream::connect(address) {
            Ok(_) => found.push(format!("connected to {address}")),
            Err(e) if e.kind() == std::io::ErrorKind::ConnectionRefused => found.push(format!("reached {address}")),
            Err(_) => {}
        }
    }
    found.join(", ")
}

/// Try each way to change what is in `/granted`, and say which did what.
fn write() -> String {
    let write = |options: &mut fs::OpenOptions| options.open("/granted/file").and_then(|mut file| file.write_all(b"!"));
    let tried = [
        ("create", fs::write("/granted/new", "mine")),
        ("overwrite", write(fs::OpenOptions::new().write(true))),
        ("append", write(fs::OpenOptions::new().append(true))),
        ("truncate", fs::OpenOptions::new().write(true).truncate(true).open("/granted/file").map(drop)),
        ("touch", fs::File::open("/granted/file").and_then(|file| file.set_modified(SystemTime::UNIX_EPOCH))),
        ("shorten", fs::File::open("/granted/file").and_then(|file| file.set_len(0))),
        ("link", fs::hard_link("/granted/file", "/granted/link")),
        ("rename", fs::rename("/granted/file", "/granted/moved")),
        ("make a directory", fs::create_dir("/granted/made")),
        ("remove a directory", fs::remove_dir("/granted/dir")),
        ("remove", fs::remove_file("/granted/other")),
    ];
    tried
        .map(|(what, result)| {
            format!("{what}: {}", result.map_or_else(|e| format!("{:?}", e.kind()), |()| "done".into()))
        })
        .join(", ")
}
