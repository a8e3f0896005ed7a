//! Plugins as tables.

use homeostat_core::grant::{DirMode, Grants, Limits};
use homeostat_runtime::{PluginInfo, PluginKind};
use homeostat_server::view::PluginView;

use super::table::{fields, table};
use super::{NOTHING, cell, count, short, tame};

fn kind(kind: PluginKind) -> &'static str {
    match kind {
        PluginKind::Instance => "instance",
        PluginKind::Flavor => "flavor",
    }
}

/// What `plugin ls` shows.
pub(crate) fn list(plugins: &[PluginView]) -> String {
    let rows = plugins.iter().map(|it| {
        let info = it.info.as_ref();
        [
            tame(&it.name),
            info.map_or_else(|| NOTHING.into(), |info| kind(info.kind).into()),
            info.map_or_else(|| NOTHING.into(), |info| tame(&info.description.version)),
            it.stats.calls.to_string(),
            it.stats.failed.to_string(),
            cell(&it.used_by.join(",")),
            it.path.display().to_string(),
            it.error.as_deref().map_or_else(|| "ready".into(), |error| format!("not loaded: {}", tame(error))),
        ]
    });
    table(["NAME", "KIND", "VERSION", "CALLS", "FAILED", "USED BY", "FILE", "STATUS"], rows)
}

/// What `plugin inspect` shows of a registered plugin.
pub(crate) fn describe(view: &PluginView) -> String {
    let mut lines = vec![("Name", tame(&view.name)), ("File", view.path.display().to_string())];
    match (&view.info, &view.error) {
        (Some(info), _) => lines.extend(about(info)),
        (None, error) => lines.push(("Status", format!("not loaded: {}", tame(error.as_deref().unwrap_or("unknown"))))),
    }
    lines.push(("Used by", cell(&view.used_by.join(", "))));
    let stats = view.stats;
    let calls = format!(
        "{} ended, {} failed, {} trapped, {} in flight",
        stats.calls, stats.failed, stats.trapped, stats.in_flight
    );
    lines.push(("Calls", calls));
    fields(lines) + &view.info.as_ref().map(json_parts).unwrap_or_default()
}

/// What `plugin inspect` shows of a file.
pub(crate) fn describe_file(info: &PluginInfo) -> String {
    let mut lines = vec![("File", info.path.display().to_string())];
    lines.extend(about(info));
    fields(lines) + &json_parts(info)
}

fn about(info: &PluginInfo) -> Vec<(&'static str, String)> {
    let description = &info.description;
    let list = |items: &[String]| match items {
        [] => "nothing".into(),
        items => items.iter().map(|it| tame(it)).collect::<Vec<_>>().join("\n"),
    };
    let loaded = format!("{} ({})", short(info.load_time), if info.from_cache { "from the cache" } else { "compiled" });
    vec![
        ("Plugin", format!("{} {}", tame(&description.name), tame(&description.version))),
        ("Summary", tame(&description.summary)),
        ("Kind", kind(info.kind).into()),
        ("Contract", info.contract.clone()),
        ("Digest", format!("sha256:{}", info.digest)),
        ("Size", count(usize::try_from(info.size).unwrap_or(usize::MAX), "byte")),
        ("Loaded in", loaded),
        ("Imports", list(&info.imports)),
        ("Exports", list(&info.exports)),
        ("Grants", grants(&info.grants)),
        ("Limits", limits(&info.limits)),
    ]
}

fn grants(grants: &Grants) -> String {
    let dir = |it: &homeostat_core::grant::DirGrant| {
        let mode = match it.mode {
            DirMode::ReadOnly => "read only",
            DirMode::ReadWrite => "read and write",
        };
        format!("{} as {} ({mode})", it.host.display(), it.guest)
    };
    match grants.dirs.as_slice() {
        [] => "nothing".into(),
        dirs => dirs.iter().map(dir).collect::<Vec<_>>().join("\n"),
    }
}

fn limits(limits: &Limits) -> String {
    let (memory, cpu) = (homeostat_core::bytes::format(limits.memory), homeostat_core::duration::format(limits.cpu));
    let wall = homeostat_core::duration::format(limits.wall);
    format!(
        "{memory} of memory, {cpu} of CPU and {wall} in all a call, {} at once",
        count(limits.calls as usize, "call")
    )
}

/// The schema and the example, indented as JSON.
fn json_parts(info: &PluginInfo) -> String {
    let description = &info.description;
    let parts =
        [("Schema of its properties", &description.properties_schema), ("Example", &description.properties_example)];
    parts.iter().map(|(title, json)| format!("\n\n{title}:\n{json:#}")).collect()
}
