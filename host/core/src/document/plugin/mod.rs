//! Plugins as a stack registers them (file, grants, limits), and the manifests by which they say what they want.

use std::collections::BTreeMap;

use super::decode::{At, Decoder, quoted};
use super::node::Kind;
use super::suggest::{listing, nearest};
use crate::grant::{Grants, Limits, valid_name};
use crate::spec::{PluginSpec, valid_plugin_name};

mod dirs;
mod exec;
mod http;
mod limits;
mod manifest;
mod secrets;
mod source;

pub(crate) use manifest::manifest;
pub(super) use source::sha256;

const PLUGIN: [&str; 4] = ["Path", "Sha256", "Grants", "Limits"];
const GRANTS: [&str; 5] = ["Http", "Dirs", "Secrets", "Config", "Exec"];

/// How many things of one kind one plugin may be granted, or want.
const MAX_ENTRIES: usize = 64;
/// The longest setting, in bytes.
const MAX_SETTING: usize = 16 << 10;

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
    let (grants, limits) = permissions(decoder, at, &[]);
    let sha256 = at.get("Sha256").and_then(|at| source::sha256(decoder, &at));
    let path = decoder.required(at, "Path", &PLUGIN, source::WHAT)?;
    let source = source::source(decoder, &path)?;
    Some(PluginSpec { source, sha256, grants, limits })
}

/// The `Grants` and `Limits` of an object, whatever else there is in it. `elsewhere` are the names of secrets that are granted
/// by other means, and that `Inject` may use as well.
pub(super) fn permissions(decoder: &mut Decoder<'_>, at: &At<'_>, elsewhere: &[&str]) -> (Grants, Limits) {
    let grants = at.get("Grants").map(|at| grants(decoder, &at, elsewhere)).unwrap_or_default();
    let limits = at.get("Limits").map(|at| limits::limits(decoder, &at)).unwrap_or_default();
    (grants, limits)
}

fn grants(decoder: &mut Decoder<'_>, at: &At<'_>, elsewhere: &[&str]) -> Grants {
    if !decoder.object(at, "an object with \"Http\", \"Dirs\", \"Secrets\", \"Config\" or \"Exec\"", &GRANTS) {
        return Grants::default();
    }
    let secrets_at = at.get("Secrets");
    // Also those that are wrong: that has been said.
    let here = secrets_at.iter().flat_map(|it| it.node.members()).map(|member| member.key.as_str());
    let known: Vec<&str> = here.chain(elsewhere.iter().copied()).collect();
    Grants {
        http: at.get("Http").map(|at| http::grants(decoder, &at, &known)).unwrap_or_default(),
        dirs: at.get("Dirs").map(|at| dirs::grants(decoder, &at)).unwrap_or_default(),
        secrets: secrets_at.map(|at| named(decoder, &at, "secret", secrets::source)).unwrap_or_default(),
        config: at.get("Config").map(|at| named(decoder, &at, "setting", setting)).unwrap_or_default(),
        exec: at.get("Exec").map(|at| named(decoder, &at, "program", exec::grant)).unwrap_or_default(),
    }
}

fn setting(decoder: &mut Decoder<'_>, at: &At<'_>) -> Option<String> {
    let value = decoder.string(at, "the setting's value as a string")?;
    if value.len() > MAX_SETTING {
        decoder.error(at, format!("a setting of {} bytes; at most {MAX_SETTING} are allowed", value.len()));
        return None;
    }
    Some(value.into())
}

/// An object that holds one thing under each name.
fn named<T>(
    decoder: &mut Decoder<'_>,
    at: &At<'_>,
    what: &str,
    read: impl Fn(&mut Decoder<'_>, &At<'_>) -> Option<T>,
) -> BTreeMap<String, T> {
    let mut found = BTreeMap::new();
    if !matches!(at.node.kind, Kind::Object(_)) {
        decoder.expected(at, &format!("an object with a member for each {what}, under its name"));
        return found;
    }
    if !is_few(decoder, at, at.node.members().len()) {
        return found;
    }
    for member in at.node.members() {
        let entry = at.child(member);
        if let Err(wrong) = valid_name(&member.key) {
            decoder.error_at_key(&entry, wrong);
        }
        if let Some(it) = read(decoder, &entry) {
            found.entry(member.key.clone()).or_insert(it);
        }
    }
    found
}

/// The items of a list, as far as each can be read.
fn list<T>(
    decoder: &mut Decoder<'_>,
    at: &At<'_>,
    what: &str,
    mut read: impl FnMut(&mut Decoder<'_>, &At<'_>, &[T]) -> Option<T>,
) -> Vec<T> {
    let mut found = Vec::new();
    let Kind::Array(items) = &at.node.kind else {
        decoder.expected(at, &format!("a list of {what}"));
        return found;
    };
    if !is_few(decoder, at, items.len()) {
        return found;
    }
    for item in at.items() {
        let it = read(decoder, &item, &found);
        found.extend(it);
    }
    found
}

fn is_few(decoder: &mut Decoder<'_>, at: &At<'_>, count: usize) -> bool {
    if count > MAX_ENTRIES {
        decoder.error(at, format!("{count} are too many: at most {MAX_ENTRIES} are allowed"));
    }
    count <= MAX_ENTRIES
}

/// A list of words, each of them read, none of them twice. Where none would mean all, an empty list is none.
fn words(
    decoder: &mut Decoder<'_>,
    at: &At<'_>,
    what: &str,
    read: impl Fn(&str) -> Result<String, String>,
) -> Vec<String> {
    if matches!(&at.node.kind, Kind::Array(items) if items.is_empty())
        && let Some(error) = decoder.error(at, "an empty list allows nothing")
    {
        error.help = Some("for all, leave it out".into());
    }
    list(decoder, at, what, |decoder, at, before| {
        let word = parsed(decoder, at, what, &read)?;
        if before.contains(&word) {
            decoder.error(at, format!("{} occurs twice", quoted(&word)));
            return None;
        }
        Some(word)
    })
}

/// A string, and what it says.
fn parsed<T>(
    decoder: &mut Decoder<'_>,
    at: &At<'_>,
    what: &str,
    read: impl Fn(&str) -> Result<T, String>,
) -> Option<T> {
    match read(decoder.string(at, what)?) {
        Ok(it) => Some(it),
        Err(wrong) => {
            decoder.error(at, wrong);
            None
        }
    }
}
