//! Plugins as a stack registers them: file, grants, limits.

use std::collections::BTreeMap;
use std::time::Duration;

use super::decode::{At, Decoder, quoted};
use super::node::Kind;
use super::suggest::{listing, nearest};
use crate::grant::{DirGrant, DirMode, Grants, Limits};
use crate::spec::{PluginSpec, valid_plugin_name};

const PLUGIN: [&str; 3] = ["Path", "Grants", "Limits"];
const GRANTS: [&str; 1] = ["Dirs"];
const DIR: [&str; 3] = ["Host", "Guest", "Mode"];
const LIMITS: [&str; 5] = ["Memory", "CPU", "Wall", "Calls", "ListLag"];

/// How many directories one plugin may be granted.
const MAX_DIRS: usize = 64;
/// The least and the most linear memory of an instance: a page count that a guest can start with, and wasm32's end.
const MEMORY: std::ops::RangeInclusive<u64> = 1 << 20..=4 << 30;
/// The most calls of one plugin at once.
const MAX_CALLS: u32 = 1024;
/// The longest a call may take. What takes longer is better asked about again.
const MAX_TIME: Duration = Duration::from_secs(3600);

/// What to do about a plugin that is not known.
pub(super) fn how_to_register(name: &str, known: &[&str]) -> String {
    if let Some(near) = nearest(name, known.iter().copied()) {
        return format!("did you mean {near:?}?");
    }
    let ways = format!(
        "register it with `homeostat plugin add {name} FILE.wasm`, give it an entry in \"Plugins\", or write the path of a \
         .wasm file"
    );
    match known.is_empty() {
        true => ways,
        false => format!("known are {}; or {ways}", listing(known.iter().copied())),
    }
}

/// The `Plugins` of a stack. Entries that are wrong are left out.
pub(super) fn entries(decoder: &mut Decoder<'_>, at: &At<'_>) -> BTreeMap<String, PluginSpec> {
    let mut plugins = BTreeMap::new();
    if !matches!(at.node.kind, Kind::Object(_)) {
        decoder.expected(at, "an object with an entry for each plugin: {\"name\": {\"Path\": \"file.wasm\"}}");
        return plugins;
    }
    for member in at.node.members() {
        let entry = at.child(member);
        if !valid_plugin_name(&member.key) {
            let message = format!("{} cannot name a plugin", quoted(&member.key));
            if let Some(error) = decoder.error_at_key(&entry, message) {
                let rule = "1 to 128 letters (a-z, A-Z), digits, \".\", \"_\", \"-\" and \"/\", beginning with a letter or a \
                            digit, and not ending in .wasm";
                error.help = Some(rule.into());
            }
        }
        if let Some(plugin) = plugin(decoder, &entry) {
            plugins.entry(member.key.clone()).or_insert(plugin);
        }
    }
    plugins
}

fn plugin(decoder: &mut Decoder<'_>, at: &At<'_>) -> Option<PluginSpec> {
    if !decoder.object(at, "an object with the \"Path\" of a .wasm file", &PLUGIN) {
        return None;
    }
    let grants = at.get("Grants").map(|at| grants(decoder, &at)).unwrap_or_default();
    let limits = at.get("Limits").map(|at| limits(decoder, &at)).unwrap_or_default();
    let what = "the path of a .wasm file";
    let path_at = decoder.required(at, "Path", &PLUGIN, what)?;
    let text = decoder.string(&path_at, what)?;
    if !text.ends_with(".wasm") {
        decoder.expected(&path_at, "a path that ends in .wasm");
        return None;
    }
    // The path becomes a part of messages and of stored documents, so it has to be text.
    let path = decoder.path_text(&path_at, text)?;
    Some(PluginSpec { path: path.into(), grants, limits })
}

fn grants(decoder: &mut Decoder<'_>, at: &At<'_>) -> Grants {
    let mut grants = Grants::default();
    if !decoder.object(at, "an object with \"Dirs\"", &GRANTS) {
        return grants;
    }
    let Some(dirs) = at.get("Dirs") else { return grants };
    match &dirs.node.kind {
        Kind::Array(items) if items.len() > MAX_DIRS => {
            decoder.error(&dirs, format!("{} directories are too many: at most {MAX_DIRS} are allowed", items.len()));
        }
        Kind::Array(_) => {
            for item in dirs.items() {
                let Some(dir) = dir(decoder, &item) else { continue };
                if grants.dirs.iter().any(|other: &DirGrant| other.guest == dir.guest) {
                    let message = format!("the guest sees another directory as {} already", quoted(&dir.guest));
                    decoder.error(&item.get("Guest").unwrap_or(item), message);
                } else {
                    grants.dirs.push(dir);
                }
            }
        }
        _ => {
            decoder.expected(&dirs, "a list of {\"Host\", \"Guest\", \"Mode\"}");
        }
    }
    grants
}

fn dir(decoder: &mut Decoder<'_>, at: &At<'_>) -> Option<DirGrant> {
    if !decoder.object(at, "{\"Host\", \"Guest\", \"Mode\"}", &DIR) {
        return None;
    }
    let what = "the directory on this host";
    let host = decoder.required(at, "Host", &DIR, what).and_then(|at| {
        let text = decoder.string(&at, what)?;
        decoder.path_text(&at, text)
    });
    let what = "the absolute path by which the plugin opens it, such as \"/data\"";
    let guest = decoder.required(at, "Guest", &DIR, what).and_then(|at| {
        let text = decoder.string(&at, what)?;
        guest_path(decoder, &at, text)
    });
    let mut mode = Some(DirMode::default());
    if let Some(at) = at.get("Mode") {
        mode = match decoder.string(&at, "\"ro\" or \"rw\"")? {
            "ro" => Some(DirMode::ReadOnly),
            "rw" => Some(DirMode::ReadWrite),
            _ => {
                decoder.expected(&at, "\"ro\" (read only) or \"rw\" (read and write)");
                None
            }
        };
    }
    Some(DirGrant { host: host?.into(), guest: guest?, mode: mode? })
}

/// A path of the guest's world: absolute, and one name for one place.
fn guest_path(decoder: &mut Decoder<'_>, at: &At<'_>, text: &str) -> Option<String> {
    let wrong = if !text.starts_with('/') {
        Some("expected an absolute path, such as \"/data\"")
    } else if text.split('/').any(|part| part == ".." || part == ".") {
        Some("\".\" and \"..\" are not allowed in the guest's path")
    } else if text.chars().any(char::is_control) {
        Some("the guest's path holds a control character")
    } else {
        None
    };
    if let Some(wrong) = wrong {
        decoder.error(at, format!("{wrong}, found {}", quoted(text)));
        return None;
    }
    let parts: Vec<&str> = text.split('/').filter(|part| !part.is_empty()).collect();
    Some(format!("/{}", parts.join("/")))
}

fn limits(decoder: &mut Decoder<'_>, at: &At<'_>) -> Limits {
    let mut limits = Limits::default();
    if !decoder.object(at, "an object with \"Memory\", \"CPU\", \"Wall\", \"Calls\" or \"ListLag\"", &LIMITS) {
        return limits;
    }
    if let Some(memory) = at.get("Memory").and_then(|at| memory(decoder, &at)) {
        limits.memory = memory;
    }
    let cpu = at.get("CPU").and_then(|at| time(decoder, &at));
    let wall = at.get("Wall").and_then(|at| time(decoder, &at));
    // Where one is given, the default of the other makes room for it.
    limits.cpu = cpu.unwrap_or_else(|| limits.cpu.min(wall.unwrap_or(limits.wall)));
    limits.wall = wall.unwrap_or_else(|| limits.wall.max(limits.cpu));
    if let (true, Some(cpu)) = (limits.cpu > limits.wall, at.get("CPU")) {
        let wall = crate::duration::format(limits.wall);
        decoder.error(&cpu, format!("a call cannot compute longer than it may take, which is {wall} (\"Wall\")"));
    }
    if let Some(calls) = at.get("Calls").and_then(|at| decoder.whole_number(&at, 1, MAX_CALLS)) {
        limits.calls = calls;
    }
    if let Some(list_lag) = at.get("ListLag").and_then(|at| decoder.duration(&at)) {
        limits.list_lag = list_lag;
    }
    limits
}

fn memory(decoder: &mut Decoder<'_>, at: &At<'_>) -> Option<u64> {
    let bytes = match &at.node.kind {
        Kind::String(text) => match crate::bytes::parse(text) {
            Ok(bytes) => bytes,
            Err(why) => {
                decoder.error(at, why);
                return None;
            }
        },
        Kind::Number(number) if number.as_u64().is_some() => number.as_u64()?,
        _ => {
            decoder.expected(at, "a size such as \"128MiB\", or a number of bytes");
            return None;
        }
    };
    if MEMORY.contains(&bytes) {
        return Some(bytes);
    }
    let (min, max) = (crate::bytes::format(*MEMORY.start()), crate::bytes::format(*MEMORY.end()));
    let found = decoder.describe(at.node);
    decoder.error(at, format!("expected a size from {min} to {max}, found {found}"));
    None
}

fn time(decoder: &mut Decoder<'_>, at: &At<'_>) -> Option<Duration> {
    let value = decoder.duration(at)?;
    if value.is_zero() {
        decoder.error(at, "the time has to be more than 0");
        return None;
    }
    if value > MAX_TIME {
        decoder.error(at, format!("the time may be {} at most", crate::duration::format(MAX_TIME)));
        return None;
    }
    Some(value)
}
