//! What it does when it is asked to, by the word for it.

use std::fs;
use std::hint::black_box;
use std::io::Write;
use std::net::TcpStream;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use wasip2::http::outgoing_handler;
use wasip2::http::types::{Fields, OutgoingRequest, Scheme};

use crate::bindings::exports::homeostat::plugin::instance::Error;
use crate::bindings::homeostat::plugin::types::ErrorCode;
use crate::bindings::homeostat::plugin::{config, log, secrets};
use crate::error;

/// Compute for ever.
pub(crate) fn spin() {
    let mut n = 0u64;
    loop {
        n = black_box(n.wrapping_add(1));
    }
}

/// Do what the text asks for.
pub(crate) fn misbehave(text: &str) -> Result<(), Error> {
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
        "long-panic" => panic!("{} deliberately", "at great length, ".repeat(1 << 16)),
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
        "recurse" => {
            // The stack of the machine rather than that in its memory, which "stack" fills.
            fn deeper(n: u64) -> u64 {
                let next: fn(u64) -> u64 = black_box(deeper);
                next(n + 1) ^ n
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
        "log" => loop {
            log::log(log::Level::Error, "a log line");
        },
        "stderr" => loop {
            // No line ever ends.
            let _ = std::io::stderr().write_all(&[b'x'; 4096]);
        },
        "http" => {
            for n in 0u64.. {
                request(n);
            }
        }
        "secrets" => {
            for n in 0u64.. {
                drop(secrets::get(&format!("secret-{n}")));
            }
        }
        "config" => {
            for n in 0u64.. {
                drop(config::get(&format!("config-{n}")));
            }
        }
        "random" => loop {
            black_box(wasip2::random::random::get_random_bytes(1 << 19));
        },
        "timers" => {
            let mut held = Vec::new();
            loop {
                held.push(wasip2::clocks::monotonic_clock::subscribe_duration(u64::MAX));
            }
        }
        "twitch" => loop {
            std::thread::sleep(Duration::from_nanos(1));
        },
        "unavailable" => return Err(error(ErrorCode::Unavailable, "come back later")),
        "internal" => return Err(error(ErrorCode::Internal, "who knows")),
        "huge" => return Err(error(ErrorCode::Internal, "x".repeat(90 << 20))),
        "handles" => {
            let mut held = Vec::new();
            while let Ok(file) = fs::File::open("/granted/file").or_else(|_| fs::File::open("/world/file")) {
                held.push(file);
            }
            return Err(error(ErrorCode::ResourceExhausted, format!("{} files", held.len())));
        }
        "long-message" => return Err(error(ErrorCode::Internal, "so sorry ".repeat(1 << 20))),
        "write" => return Err(error(ErrorCode::Internal, write())),
        "escape" => return Err(error(ErrorCode::InvalidArgument, escape())),
        _ => {}
    }
    Ok(())
}

/// Ask for something by HTTP, each time something else.
fn request(number: u64) {
    let outgoing = OutgoingRequest::new(Fields::new());
    let _ = outgoing.set_scheme(Some(&Scheme::Https));
    let _ = outgoing.set_authority(Some(&format!("host-{number}.example")));
    if let Ok(pending) = outgoing_handler::handle(outgoing, None) {
        pending.subscribe().block();
        black_box(pending.get());
    }
}

/// 16 MiB of text that all answers share, so that many of them are many times that for whoever copies them, and nothing
/// for the guest.
pub(crate) fn alias() -> String {
    static TEXT: OnceLock<&str> = OnceLock::new();
    let text = TEXT.get_or_init(|| String::leak("x".repeat(16 << 20)));
    // SAFETY: there is none: it is freed once for each of the answers that it is in. The host has to end the guest before.
    unsafe { String::from_raw_parts(text.as_ptr().cast_mut(), text.len(), text.len()) }
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
pub(crate) fn write() -> String {
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
