//! Plugins as tables.

use homeostat_core::grant::{Gap, Grants, Limits};
use homeostat_runtime::{PluginInfo, PluginKind};
use homeostat_server::view::PluginView;

use super::event::time;
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
            it.source.to_string(),
            status(it),
        ]
    });
    table(["NAME", "KIND", "VERSION", "CALLS", "FAILED", "USED BY", "FILE", "STATUS"], rows)
}

/// How a plugin stands, in a few words.
fn status(view: &PluginView) -> String {
    if let Some(error) = &view.error {
        return format!("not loaded: {}", tame(error));
    }
    let mut said = Vec::new();
    for it in &view.degraded {
        let rest = it.rest.as_secs() + 1;
        said.push(format!("degraded: {} crashed too often, tried again in {rest}s", tame(&it.function)));
    }
    if !view.wanted_not_granted.is_empty() {
        said.push(format!("lacks {}", count(view.wanted_not_granted.len(), "grant")));
    }
    if !view.granted_not_wanted.is_empty() {
        said.push(format!("{} without effect", count(view.granted_not_wanted.len(), "grant")));
    }
    if view.refused.is_some() {
        said.push("another version was refused".into());
    }
    if said.is_empty() { "ready".into() } else { said.join("; ") }
}

/// What `plugin inspect` shows of a registered plugin.
pub(crate) fn describe(view: &PluginView) -> String {
    let mut lines = vec![("Name", tame(&view.name)), ("File", view.source.to_string())];
    match (&view.info, &view.error) {
        (Some(info), _) => lines.extend(about(info)),
        (None, error) => lines.push(("Status", format!("not loaded: {}", tame(error.as_deref().unwrap_or("unknown"))))),
    }
    lines.push(("Status", status(view)));
    if let Some(locked) = &view.locked {
        lines.push(("Locked to", format!("sha256:{} since {}", locked.sha256, time(locked.since))));
    }
    if let Some(previous) = &view.previous {
        lines.push(("Before that", format!("sha256:{} ({})", previous.sha256, tame(&previous.resolved))));
    }
    if let Some(refused) = &view.refused {
        lines.push((
            "Refused",
            format!("{}: {}", time(refused.at), refused.reason.lines().map(tame).collect::<Vec<_>>().join("\n")),
        ));
    }
    if view.crashes > 0 {
        lines.push(("Crashes", format!("{} of this version", view.crashes)));
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
    let mut lines = vec![("File", info.source.to_string())];
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
        (
            "Contract",
            format!("{}{}", info.contract, if info.draft { " (a draft, which may change any day)" } else { "" }),
        ),
        ("Digest", format!("sha256:{}", info.digest)),
        ("Size", count(usize::try_from(info.size).unwrap_or(usize::MAX), "byte")),
        ("Loaded in", loaded),
        ("Imports", list(&info.imports)),
        ("Exports", list(&info.exports)),
        ("Built with", built_with(info)),
        ("May", may(info)),
        ("Limits", limits(&info.limits)),
    ]
}

/// The toolchain, as the manifest has it and as the component's own sections do.
fn built_with(info: &PluginInfo) -> String {
    let said = info.manifest.toolchain.iter().chain(&info.producers).map(|it| tame(it)).collect::<Vec<_>>();
    if said.is_empty() { "it does not say".into() } else { said.join(", ") }
}

/// What it may do, and what it wants or was granted to no effect.
fn may(info: &PluginInfo) -> String {
    let agreement = info.manifest.wants.against(&info.grants);
    let effective = agreement.effective;
    // Requests are judged one by one, by the grants and by the wishes.
    let http = if effective.http_wants.is_empty() { Vec::new() } else { effective.http_grants };
    let (dirs, secrets, config, exec) = (effective.dirs, effective.secrets, effective.config, effective.exec);
    let effective = Grants { http, dirs, secrets, config, exec };
    let mut lines: Vec<String> = effective.to_string().lines().map(tame).collect();
    lines.push(gaps(&agreement.wanted_not_granted, &agreement.granted_not_wanted));
    lines.retain(|line| !line.is_empty());
    lines.join("\n")
}

/// What is in the wishes or in the grants alone.
pub(crate) fn gaps(wanted: &[Gap], granted: &[Gap]) -> String {
    let wanted = wanted.iter().map(|gap| {
        let (gap, flag) = (tame(&gap.to_string()), tame(&gap.remedy.flag));
        format!("wants, and is not granted: {gap}\n  to grant it: {flag}")
    });
    let granted = granted.iter().map(|gap| {
        let gap = tame(&gap.to_string());
        format!("granted without effect, not wanted: {gap}")
    });
    wanted.chain(granted).collect::<Vec<_>>().join("\n")
}

fn limits(limits: &Limits) -> String {
    let (memory, cpu) = (homeostat_core::bytes::format(limits.memory), homeostat_core::duration::format(limits.cpu));
    let wall = homeostat_core::duration::format(limits.wall);
    format!(
        "{memory} of memory, {cpu} of CPU and {wall} in all a call, {} and {} at once, {} in one go",
        count(limits.calls as usize, "call"),
        count(limits.requests as usize, "HTTP request"),
        homeostat_core::bytes::format(limits.answer)
    )
}

/// The schema and the example, indented as JSON.
fn json_parts(info: &PluginInfo) -> String {
    let description = &info.description;
    let parts =
        [("Schema of its properties", &description.properties_schema), ("Example", &description.properties_example)];
    parts.iter().map(|(title, json)| format!("\n\n{title}:\n{json:#}")).collect()
}
