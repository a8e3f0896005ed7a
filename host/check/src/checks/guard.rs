//! What a plugin has to bear: hostile input, and secrets.

use std::sync::Arc;

use homeostat_core::observed::InstanceState;
use homeostat_core::outcome::DestroyReason;
use homeostat_core::spec::{Allocation, Attachment, InstanceSpec};
use homeostat_core::tags::Tags;
use homeostat_runtime::{CallError, CallErrorKind, Plugin};
use serde_json::{Value, json};

use crate::kit::{self, Kit, Trust};
use crate::outcome::{Checked, Failure, Stop, fail, skip};
use crate::sample::hostile;

/// What is left of a text in which the runtime found a secret.
const REDACTED: &[&str] = &["[secret "];

pub(super) async fn no_trap(kit: &Kit) -> Checked {
    let (calls, harm) = &*sweep(kit).await?;
    let trapped = harm.iter().find(|(_, error)| !is_limit(error));
    match trapped {
        Some((what, error)) => {
            Err(Failure::of(format!("{what}: an answer or an error of the plugin's own"), error).into())
        }
        None => Ok(format!("{calls} calls")),
    }
}

pub(super) async fn limits(kit: &Kit) -> Checked {
    let (calls, harm) = &*sweep(kit).await?;
    match harm.iter().find(|(_, error)| is_limit(error)) {
        Some((what, error)) => Err(Failure::of(format!("{what}: an answer within the limits"), error).into()),
        None => Ok(format!("{calls} calls")),
    }
}

fn is_limit(error: &CallError) -> bool {
    matches!(error.kind, CallErrorKind::Timeout { .. } | CallErrorKind::CpuBudget { .. } | CallErrorKind::Memory { .. })
}

/// Calls with hostile input. Two checks judge what came of them, so they are made once.
async fn sweep(kit: &Kit) -> Result<kit::Sweep, Stop> {
    if let Some(done) = kit.swept() {
        return Ok(done);
    }
    let mut sweep = Sweep { kit, plugin: kit.load(Trust::Sandbox).await?, calls: 0, harm: Vec::new() };
    for (what, properties) in hostile(&kit.samples.schema, &kit.info.description.properties_example) {
        sweep.properties(&what, &properties).await?;
    }
    match sweep.plugin.as_instance() {
        Some(_) => sweep.ids_and_tags().await?,
        None => sweep.instances_and_specs().await?,
    }
    let done = Arc::new((sweep.calls, sweep.harm));
    kit.keep_sweep(done.clone());
    Ok(done)
}

struct Sweep<'k> {
    kit: &'k Kit,
    plugin: Plugin,
    calls: usize,
    harm: Vec<(String, CallError)>,
}

impl Sweep<'_> {
    async fn took(&mut self, what: String, answer: Result<(), CallError>) -> Result<(), Stop> {
        self.calls += 1;
        let Err(error) = answer else { return Ok(()) };
        if matches!(error.kind, CallErrorKind::Nonsense(_)) {
            // An answer all the same: what is wrong with it is the business of the contract's checks.
            return Ok(());
        }
        if error.plugin_error().is_none() {
            self.harm.push((what, error));
            // A plugin that crashes often is not called for a while: another load begins without that.
            self.plugin = self.kit.load(Trust::Sandbox).await?;
        } else {
            self.kit.hear("an error", &error.to_string());
        }
        Ok(())
    }

    async fn properties(&mut self, what: &str, properties: &Value) -> Result<(), Stop> {
        if let Some(plugin) = self.plugin.as_instance() {
            return self.took(format!("validate with {what}"), plugin.validate(properties).await).await;
        }
        let Some(plugin) = self.plugin.as_flavor() else { return Ok(()) };
        let allocation = &self.kit.samples.allocation;
        self.took(format!("validate with {what}"), plugin.validate(properties, allocation).await).await
    }

    async fn ids_and_tags(&mut self) -> Result<(), Stop> {
        let long = "x".repeat(1 << 20);
        for id in ["", "../../etc/passwd", "/", ".", "a/b", "a\u{0}b", "\u{1f600}\u{202e}", &*long] {
            let what = if id.len() > 100 { "an id of 1 MiB".to_owned() } else { format!("the id {id:?}") };
            let Some(plugin) = self.plugin.as_instance() else { return Ok(()) };
            let answer = plugin.destroy(id, DestroyReason::Terminate).await;
            self.took(format!("destroy with {what}"), answer).await?;
            let Some(plugin) = self.plugin.as_instance() else { return Ok(()) };
            let answer = plugin.label(id, &self.kit.tags(&[])).await;
            self.took(format!("label with {what}"), answer).await?;
        }
        let many: Tags = (0..10_000).map(|n| (format!("key-{n}"), String::new())).collect();
        let tags = [("an empty key", Tags::from([(String::new(), String::new())])), ("10,000 tags", many)];
        for (what, tags) in tags {
            let Some(plugin) = self.plugin.as_instance() else { return Ok(()) };
            let answer = plugin.list(&tags, true).await.map(drop);
            self.took(format!("list with {what}"), answer).await?;
        }
        Ok(())
    }

    async fn instances_and_specs(&mut self) -> Result<(), Stop> {
        let kit = self.kit;
        let properties = kit.samples.sample().clone();
        let long = "x".repeat(1 << 20);
        let specs = [
            ("an empty spec", InstanceSpec::default()),
            ("an init of 1 MiB", InstanceSpec { init: long.clone(), ..super::flavor::spec(kit) }),
            ("properties that are a text", InstanceSpec { properties: json!("text"), ..super::flavor::spec(kit) }),
            (
                "an attachment without a name",
                InstanceSpec {
                    attachments: vec![Attachment { id: String::new(), kind: String::new() }],
                    ..super::flavor::spec(kit)
                },
            ),
        ];
        for (what, spec) in specs {
            let Some(plugin) = self.plugin.as_flavor() else { return Ok(()) };
            let answer = plugin.prepare(&properties, &spec, &kit.samples.allocation, "check", u32::MAX).await;
            self.took(format!("prepare of {what}"), answer.map(drop)).await?;
        }
        let allocations = [
            ("a group of none", Allocation::Size(0)),
            ("a group of 4 billion", Allocation::Size(u32::MAX)),
            ("no identities", Allocation::LogicalIds(vec![])),
            ("odd identities", Allocation::LogicalIds(vec![String::new(), "../a".into(), long])),
        ];
        for (what, allocation) in allocations {
            let Some(plugin) = self.plugin.as_flavor() else { return Ok(()) };
            self.took(format!("validate for {what}"), plugin.validate(&properties, &allocation).await).await?;
        }
        let mut odd = super::flavor::instance(kit, "odd");
        odd.tags = Tags::from([(String::new(), "\u{0}".into())]);
        odd.addresses = vec![String::new(), "not an address".into()];
        odd.created_at_ms = Some(u64::MAX);
        odd.state = InstanceState::Pending;
        odd.properties = Some(json!([[]]));
        for instances in [vec![], vec![odd.clone()], vec![odd.clone(); 1000]] {
            let Some(plugin) = self.plugin.as_flavor() else { return Ok(()) };
            let answer = plugin.health(&properties, &instances).await.map(drop);
            self.took(format!("health of {} odd instances", instances.len()), answer).await?;
        }
        let Some(plugin) = self.plugin.as_flavor() else { return Ok(()) };
        self.took("drain of an odd instance".into(), plugin.drain(&properties, &odd).await).await
    }
}

/// Looks through all that the plugin has said in this run, all that it wrote to its log or to standard error and output,
/// and all that it stored in directories of the kit's own.
pub(super) async fn secrets(kit: &Kit) -> Checked {
    let values = kit.listener.values();
    if values.is_empty() {
        return skip("it wants no secret");
    }
    // A run of this check alone has heard nothing yet.
    say_something(kit).await?;
    let heard = kit.heard.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
    for (name, value) in values {
        let expected = format!("the secret {name:?} appears nowhere");
        if let Some(told) = kit.listener.found().into_iter().find(|it| it.secret == *name) {
            let actual = format!("it is written to {}: {}", told.from, hidden(&told.text, value));
            let hint = "the host hides it from the operator as long as it is written like this: do not write it at all";
            return Err(Failure::new(expected, actual).with_hint(hint).into());
        }
        for (place, text) in &heard {
            if text.contains(value.as_str()) {
                return fail(expected, format!("it is in {place}: {}", hidden(text, value)));
            }
        }
        for dir in kit.own_dirs() {
            if let Some(file) = find_in(&dir, value.as_bytes()) {
                return fail(expected, format!("it is stored in {}", file.display()));
            }
        }
    }
    if let Some((place, text)) = heard.iter().find(|(_, text)| REDACTED.iter().any(|it| text.contains(it))) {
        return fail("no secret is said, not even to be taken out by the host", format!("in {place}: {text}"));
    }
    Ok(format!("{} secrets, {} texts, {} lines of log", values.len(), heard.len(), kit.listener.lines()))
}

/// Make the plugin use what it has: a life of an instance, or the calls of a flavor.
async fn say_something(kit: &Kit) -> Result<(), Stop> {
    if kit.instance().is_ok() {
        let name = kit.name("secret");
        if let Ok(id) = kit.provision(&name, &kit.spec()).await {
            let _ = kit.list(&kit.tags(&[]), true).await;
            let other = InstanceSpec { init: "another".into(), ..kit.spec() };
            let _ = kit.provision(&name, &other).await;
            let _ = kit.destroy(&id).await;
        }
        let _ = kit.list(&kit.tags(&[]), true).await;
        return Ok(());
    }
    let (plugin, properties) = (kit.flavor()?, kit.samples.sample());
    let instance = super::flavor::instance(kit, "secret");
    match plugin.prepare(properties, &super::flavor::spec(kit), &kit.samples.allocation, "check", 1).await {
        // What runs on the instance may need it: the init script is the one place where a flavor puts a secret.
        Ok(spec) => kit.hear("a prepared spec's tags", &json!(spec.tags).to_string()),
        Err(error) => kit.hear("an error of prepare", &error.to_string()),
    }
    match plugin.health(properties, std::slice::from_ref(&instance)).await {
        Ok(reports) => reports.iter().for_each(|it| kit.hear("a health report", &it.message)),
        Err(error) => kit.hear("an error of health", &error.to_string()),
    }
    if let Err(error) = plugin.drain(properties, &instance).await {
        kit.hear("an error of drain", &error.to_string());
    }
    Ok(())
}

/// A text without the secret that it shows.
fn hidden(text: &str, value: &str) -> String {
    crate::outcome::shortened(&text.replace(value, "(the secret)"))
}

fn find_in(dir: &std::path::Path, value: &[u8]) -> Option<std::path::PathBuf> {
    for entry in std::fs::read_dir(dir).ok()?.flatten() {
        let path = entry.path();
        let found = match entry.file_type() {
            Ok(kind) if kind.is_dir() => find_in(&path, value),
            Ok(kind) if kind.is_file() => {
                std::fs::read(&path).is_ok_and(|bytes| bytes.windows(value.len()).any(|it| it == value)).then_some(path)
            }
            _ => None,
        };
        if found.is_some() {
            return found;
        }
    }
    None
}
