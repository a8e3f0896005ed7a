//! What a plugin wants beside what it is granted: what comes of both, and what is in one of them only.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use super::http::Span;
use super::{DirGrant, DirMode, DirWant, ExecGrant, Grants, HttpGrant, HttpWant, Remedy, SecretSource, Wants};

/// What a plugin may really do: what it wants and is granted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Effective {
    /// Requests are judged one by one: one that fits a grant and a wish may be sent.
    pub http_grants: Vec<HttpGrant>,
    /// The wishes.
    pub http_wants: Vec<HttpWant>,
    /// Directories, each with the lesser of both modes.
    pub dirs: Vec<DirGrant>,
    /// Secrets that the plugin may see.
    pub secrets: BTreeMap<String, SecretSource>,
    /// Secrets that the host adds to requests. The plugin need not want them, and does not see them.
    pub injected: BTreeMap<String, SecretSource>,
    /// Settings.
    pub config: BTreeMap<String, String>,
    /// Programs.
    pub exec: BTreeMap<String, ExecGrant>,
}

impl Effective {
    /// The same for a call that only looks: requests that only look, and directories that are only read.
    pub fn read_only(&self) -> Self {
        let dirs = self.dirs.iter().map(|it| DirGrant { mode: DirMode::ReadOnly, ..it.clone() });
        Self {
            http_grants: self.http_grants.iter().filter_map(HttpGrant::read_only).collect(),
            dirs: dirs.collect(),
            ..self.clone()
        }
    }

    /// Whether there is nothing that it may do.
    pub fn is_empty(&self) -> bool {
        // A grant without a wish lets nothing pass, and the other way round.
        let http = self.http_grants.is_empty() || self.http_wants.is_empty();
        let named = self.secrets.is_empty() && self.config.is_empty() && self.exec.is_empty();
        http && self.dirs.is_empty() && named
    }
}

/// A line for each thing, or `nothing`. Requests are those that are granted; of them, those that fit a wish may be sent.
impl fmt::Display for Effective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let wishes: Vec<Span> = self.http_wants.iter().filter_map(Span::of_want).collect();
        let used = |it: &&HttpGrant| Span::of_grant(it).is_some_and(|it| wishes.iter().any(|wish| wish.overlaps(&it)));
        let grants = Grants {
            http: self.http_grants.iter().filter(used).cloned().collect(),
            dirs: self.dirs.clone(),
            secrets: self.secrets.clone(),
            config: self.config.clone(),
            exec: self.exec.clone(),
        };
        grants.fmt(f)
    }
}

/// What kind of thing a wish or a grant is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum GrantKind {
    /// HTTP requests.
    Http,
    /// A directory.
    Dir,
    /// A secret.
    Secret,
    /// A setting.
    Config,
    /// A program.
    Exec,
}

/// Something that is wanted and not granted, or the other way round, or wanted more than before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Gap {
    /// What kind of thing.
    pub kind: GrantKind,
    /// Which, for a person: `GET https://api.example.com/v1/**`, `the directory /data (read and write)`.
    pub subject: String,
    /// Whether a part of it is there: some of its methods or paths, or the right to read.
    pub partly: bool,
    /// What the plugin says it is for; empty where it says nothing.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
    /// The grant that closes the gap; of something granted and not wanted, the grant itself. Words in capitals (`PATH`,
    /// `VALUE`) stand for what only the operator knows.
    pub remedy: Remedy,
}

/// `GET https://api.example.com/v1/** (in part): to list machines`
impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.subject)?;
        if self.partly {
            f.write_str(" (in part)")?;
        }
        if !self.why.is_empty() {
            write!(f, ": {}", self.why)?;
        }
        Ok(())
    }
}

/// Wishes and grants, compared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Agreement {
    /// What is in both.
    pub effective: Effective,
    /// What the plugin lacks, in the order of its manifest.
    pub wanted_not_granted: Vec<Gap>,
    /// What is granted for nothing.
    pub granted_not_wanted: Vec<Gap>,
}

impl Agreement {
    /// Whether both sides are the same.
    pub fn is_whole(&self) -> bool {
        self.wanted_not_granted.is_empty() && self.granted_not_wanted.is_empty()
    }
}

/// A line for each gap.
impl fmt::Display for Agreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_whole() {
            return f.write_str("all that is wanted is granted, and nothing else");
        }
        let lines = self.wanted_not_granted.iter().map(|it| format!("wanted, not granted: {it}; {}", it.remedy.flag));
        let more = self.granted_not_wanted.iter().map(|it| format!("granted, not wanted: {it}"));
        f.write_str(&lines.chain(more).collect::<Vec<_>>().join("\n"))
    }
}

impl Grants {
    /// The names of the secrets that the host adds to requests.
    pub fn injected(&self) -> BTreeSet<&str> {
        self.http.iter().flat_map(|it| it.inject.values()).map(|it| it.secret.as_str()).collect()
    }
}

impl Wants {
    /// Compare with what is granted.
    pub fn against(&self, grants: &Grants) -> Agreement {
        let (mut wanted, mut granted) = (Vec::new(), Vec::new());
        let injected = grants.injected();

        let spans: Vec<Span> = grants.http.iter().filter_map(Span::of_grant).collect();
        for want in &self.http {
            let Some(span) = Span::of_want(want) else { continue };
            if !span.is_given_by(&spans) {
                wanted.push(http_gap(want, spans.iter().any(|it| it.overlaps(&span))));
            }
        }
        let wishes: Vec<Span> = self.http.iter().filter_map(Span::of_want).collect();
        for grant in &grants.http {
            let used = Span::of_grant(grant).is_some_and(|it| wishes.iter().any(|wish| wish.overlaps(&it)));
            if !used {
                granted.push(Gap::new(
                    GrantKind::Http,
                    http_subject(&grant.url, &grant.methods, &grant.paths),
                    Remedy::http(grant),
                ));
            }
        }

        let mut dirs = Vec::new();
        for want in &self.dirs {
            let grant = grants.dirs.iter().find(|it| it.guest == want.guest);
            if grant.is_none_or(|it| it.mode < want.mode) {
                wanted.push(dir_gap(want, grant));
            }
        }
        for grant in &grants.dirs {
            let want = self.dirs.iter().find(|it| it.guest == grant.guest);
            if let Some(want) = want {
                dirs.push(DirGrant { mode: grant.mode.min(want.mode), ..grant.clone() });
            }
            if want.is_none_or(|it| it.mode < grant.mode) {
                let gap = Gap::new(GrantKind::Dir, dir_subject(&grant.guest, grant.mode), Remedy::dir(grant));
                granted.push(Gap { partly: want.is_some(), ..gap });
            }
        }

        for want in self.secrets.iter().filter(|it| !grants.secrets.contains_key(&it.name)) {
            wanted.push(secret_gap(&want.name).because(&want.why));
        }
        let seen = |name: &str| self.secrets.iter().any(|it| it.name == name);
        for (name, source) in grants.secrets.iter().filter(|(name, _)| !seen(name) && !injected.contains(name.as_str()))
        {
            granted.push(Gap::new(GrantKind::Secret, format!("the secret {name}"), Remedy::secret(name, source)));
        }
        for want in self.config.iter().filter(|it| !grants.config.contains_key(&it.name)) {
            wanted.push(config_gap(&want.name).because(&want.why));
        }
        let set = |name: &str| self.config.iter().any(|it| it.name == name);
        for (name, value) in grants.config.iter().filter(|(name, _)| !set(name)) {
            granted.push(Gap::new(GrantKind::Config, format!("the setting {name}"), Remedy::config(name, value)));
        }
        for want in self.exec.iter().filter(|it| !grants.exec.contains_key(&it.name)) {
            wanted.push(exec_gap(&want.name).because(&want.why));
        }
        let run = |name: &str| self.exec.iter().any(|it| it.name == name);
        for (name, grant) in grants.exec.iter().filter(|(name, _)| !run(name)) {
            granted.push(Gap::new(GrantKind::Exec, format!("the program {name}"), Remedy::exec(name, grant)));
        }

        let effective = Effective {
            http_grants: grants.http.clone(),
            http_wants: self.http.clone(),
            dirs,
            secrets: only(&grants.secrets, seen),
            injected: only(&grants.secrets, |name| injected.contains(name)),
            config: only(&grants.config, set),
            exec: only(&grants.exec, run),
        };
        Agreement { effective, wanted_not_granted: wanted, granted_not_wanted: granted }
    }

    /// What this version of a plugin wants more than an older one: what an operator has to agree to.
    pub fn beyond(&self, old: &Self) -> Vec<Gap> {
        let mut gaps = Vec::new();
        let spans: Vec<Span> = old.http.iter().filter_map(Span::of_want).collect();
        for want in &self.http {
            let Some(span) = Span::of_want(want) else { continue };
            if !span.is_within(&spans) {
                gaps.push(http_gap(want, spans.iter().any(|it| it.overlaps(&span))));
            }
        }
        for want in &self.dirs {
            let before = old.dirs.iter().find(|it| it.guest == want.guest);
            if before.is_none_or(|it| it.mode < want.mode) {
                gaps.push(Gap { partly: before.is_some(), ..dir_gap(want, None) });
            }
        }
        for want in self.secrets.iter().filter(|want| !old.secrets.iter().any(|it| it.name == want.name)) {
            gaps.push(secret_gap(&want.name).because(&want.why));
        }
        for want in self.config.iter().filter(|want| !old.config.iter().any(|it| it.name == want.name)) {
            gaps.push(config_gap(&want.name).because(&want.why));
        }
        for want in self.exec.iter().filter(|want| !old.exec.iter().any(|it| it.name == want.name)) {
            gaps.push(exec_gap(&want.name).because(&want.why));
        }
        gaps
    }
}

impl Gap {
    fn new(kind: GrantKind, subject: String, remedy: Remedy) -> Self {
        Self { kind, subject, partly: false, why: String::new(), remedy }
    }

    fn because(self, why: &str) -> Self {
        Self { why: why.into(), ..self }
    }
}

fn http_gap(want: &HttpWant, partly: bool) -> Gap {
    let url = if want.url == "*" { "https://HOST" } else { &want.url };
    let grant = HttpGrant { methods: want.methods.clone(), paths: want.paths.clone(), ..HttpGrant::to(url) };
    let gap = Gap::new(GrantKind::Http, http_subject(&want.url, &want.methods, &want.paths), Remedy::http(&grant));
    Gap { partly, ..gap.because(&want.why) }
}

/// A gap of a directory, of which the host's side is known where it is granted with less.
fn dir_gap(want: &DirWant, grant: Option<&DirGrant>) -> Gap {
    let host = grant.map_or_else(|| "PATH".into(), |it| it.host.clone());
    let closing = DirGrant { host, guest: want.guest.clone(), mode: want.mode };
    let gap = Gap::new(GrantKind::Dir, dir_subject(&want.guest, want.mode), Remedy::dir(&closing));
    Gap { partly: grant.is_some(), ..gap.because(&want.why) }
}

fn secret_gap(name: &str) -> Gap {
    let source = SecretSource::File("PATH".into());
    Gap::new(GrantKind::Secret, format!("the secret {name}"), Remedy::secret(name, &source))
}

fn config_gap(name: &str) -> Gap {
    Gap::new(GrantKind::Config, format!("the setting {name}"), Remedy::config(name, "VALUE"))
}

fn exec_gap(name: &str) -> Gap {
    let grant = ExecGrant { path: "PATH".into(), args: Vec::new(), env: Vec::new() };
    Gap::new(GrantKind::Exec, format!("the program {name}"), Remedy::exec(name, &grant))
}

/// Requests in words: `GET, POST https://api.example.com/v1/** /v2/**`.
fn http_subject(url: &str, methods: &[String], paths: &[String]) -> String {
    let methods = if methods.is_empty() { "all methods of".into() } else { methods.join(", ") };
    let url = if url == "*" { "a host of your choice" } else { url };
    match paths {
        [] => format!("{methods} {url}"),
        [one] if url.contains("://") => format!("{methods} {url}{one}"),
        many => format!("{methods} {url}, paths {}", many.join(" ")),
    }
}

fn dir_subject(guest: &str, mode: DirMode) -> String {
    format!("the directory {guest} ({mode})")
}

fn only<T: Clone>(all: &BTreeMap<String, T>, keep: impl Fn(&str) -> bool) -> BTreeMap<String, T> {
    all.iter().filter(|(name, _)| keep(name)).map(|(name, it)| (name.clone(), it.clone())).collect()
}

#[cfg(test)]
mod tests;
