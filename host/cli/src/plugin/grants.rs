//! The options that say what a plugin may touch, and what a call of it may cost.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use homeostat_core::grant::{DirGrant, ExecGrant, Grants, HttpGrant, Limits, Route, SecretSource, flag};
use homeostat_core::spec::PluginSource;

use crate::args::{bytes, duration};

/// What a plugin may touch: where its manifest asks for it too.
#[derive(Args)]
#[command(next_help_heading = "What it may touch")]
pub(crate) struct GrantArgs {
    /// Let it send HTTP requests; may be given several times
    ///
    /// Methods (GET,POST) and path may be left out, for all of them.
    /// The host is a name, *.example.com, an address or a network
    /// (10.1.0.0/16); the port may be * for all. In a path, * stands for
    /// any characters but /, and ** for any. After a semicolon follows
    /// what is rarely needed, for example:
    ///   path=/v2/**                        a further path
    ///   via=unix:/run/x.sock               where to go, whatever the
    ///   via=10.0.0.5:8080                  name says
    ///   inject=Authorization:token:Bearer  a header with the secret
    ///       "token" after "Bearer " (a blank at the end counts);
    ///       the plugin never sees it
    ///   roots=ca.pem                       trust these certificates
    ///   cert=c.pem; key=k.pem              show this certificate
    ///   address=127.0.0.0/8                the name may lead there,
    ///       although names may not otherwise
    #[arg(long = "allow-http", value_name = "[METHODS ]URL[PATH]", value_parser = http, verbatim_doc_comment)]
    http: Vec<HttpGrant>,
    /// Let it open a directory: HOST:GUEST to read, HOST:GUEST:rw to read and write; may be given several times
    #[arg(long = "allow-dir", visible_alias = "dir", value_name = "HOST:GUEST[:rw]", value_parser = dir)]
    dirs: Vec<DirGrant>,
    /// Let it use a secret: from a file, a variable of the host's environment, or the host's store; may be given several
    /// times
    #[arg(long = "allow-secret", value_name = "NAME=file:PATH|env:VAR|store:NAME", value_parser = secret)]
    secrets: Vec<(String, SecretSource)>,
    /// Give it a setting; may be given several times
    #[arg(long = "allow-config", value_name = "NAME=VALUE", value_parser = flag::read_config)]
    config: Vec<(String, String)>,
    /// Let it start a program, without arguments or with these; may be given several times
    ///
    /// In an argument * stands for any characters; the argument ** at the end stands for any further ones. Other lists of
    /// arguments follow as `; args=...`, variables that the plugin may set as `; env=NAME`. The program runs with the rights
    /// of the host and outside of any sandbox.
    #[arg(long = "allow-exec", value_name = "NAME=PATH[ ARGS]", value_parser = exec)]
    exec: Vec<(String, ExecGrant)>,
}

impl GrantArgs {
    /// All of it.
    ///
    /// # Errors
    /// A sentence, where two options speak of the same name.
    pub(crate) fn grants(self) -> Result<Grants, String> {
        Ok(Grants {
            http: self.http,
            dirs: self.dirs,
            secrets: unique("--allow-secret", self.secrets)?,
            config: unique("--allow-config", self.config)?,
            exec: unique("--allow-exec", self.exec)?,
        })
    }

    pub(crate) fn is_empty(&self) -> bool {
        let named = self.secrets.is_empty() && self.config.is_empty() && self.exec.is_empty();
        self.http.is_empty() && self.dirs.is_empty() && named
    }
}

fn unique<T>(option: &str, given: Vec<(String, T)>) -> Result<BTreeMap<String, T>, String> {
    let mut found = BTreeMap::new();
    for (name, it) in given {
        if found.insert(name.clone(), it).is_some() {
            return Err(format!("{option} is given twice for {name:?}; keep one"));
        }
    }
    Ok(found)
}

/// A path made absolute without looking at the disk.
fn here(path: &Path) -> Result<PathBuf, String> {
    std::path::absolute(path).map_err(|error| format!("{:?} cannot be made absolute: {error}", path.display()))
}

fn http(text: &str) -> Result<HttpGrant, String> {
    let mut grant = flag::read_http(text)?;
    if let Some(Route::Unix(path)) = &mut grant.via {
        *path = here(path)?;
    }
    if let Some(client) = &mut grant.client {
        client.cert = here(&client.cert)?;
        client.key = here(&client.key)?;
    }
    grant.roots = grant.roots.as_deref().map(here).transpose()?;
    Ok(grant)
}

fn dir(text: &str) -> Result<DirGrant, String> {
    let grant = flag::read_dir(text)?;
    Ok(DirGrant { host: here(&grant.host)?, ..grant })
}

fn secret(text: &str) -> Result<(String, SecretSource), String> {
    let (name, source) = flag::read_secret(text)?;
    Ok((
        name,
        match source {
            SecretSource::File(path) => SecretSource::File(here(&path)?),
            other => other,
        },
    ))
}

fn exec(text: &str) -> Result<(String, ExecGrant), String> {
    let (name, grant) = flag::read_exec(text)?;
    if !grant.path.display().to_string().contains('/') {
        return Err(format!(
            "{:?} is a name and no path; write the path out, such as /usr/bin/{0}: programs are not searched for",
            grant.path.display()
        ));
    }
    Ok((name, ExecGrant { path: here(&grant.path)?, ..grant }))
}

/// Where a plugin comes from: the path of a file made absolute, or what is fetched.
pub(super) fn source(text: &str) -> Result<PluginSource, String> {
    match text.parse()? {
        PluginSource::File(path) => here(&path).map(PluginSource::File),
        remote => Ok(remote),
    }
}

/// What a call of a plugin may cost.
#[derive(Args, Default)]
#[command(next_help_heading = "What a call may cost")]
pub(super) struct LimitArgs {
    /// The memory of one call [default: 128MiB]
    #[arg(long, value_name = "SIZE", value_parser = bytes)]
    memory: Option<u64>,
    /// The time a call may compute [default: 5s]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    cpu: Option<Duration>,
    /// The time a call may take in all [default: 60s]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    wall: Option<Duration>,
    /// The calls at once; more wait their turn [default: 16]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    calls: Option<u32>,
    /// The HTTP requests at once of all its calls; more wait their turn [default: 16]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    requests: Option<u32>,
    /// The bytes that a call may hand to the host in one go: its answer, or what it says or sends on the way [default: 64MiB]
    #[arg(long, value_name = "SIZE", value_parser = bytes)]
    answer: Option<u64>,
    /// How long the provider's list may lag behind what was done [default: 0s]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    list_lag: Option<Duration>,
}

impl LimitArgs {
    pub(super) fn limits(self) -> Limits {
        self.over(Limits::default())
    }

    /// These limits, with what is given here in their place.
    pub(super) fn over(self, limits: Limits) -> Limits {
        // Where one of the two is given, the other makes room for it, as the default does in a document.
        let cpu = self.cpu.unwrap_or_else(|| limits.cpu.min(self.wall.unwrap_or(limits.wall)));
        let wall = self.wall.unwrap_or_else(|| limits.wall.max(cpu));
        Limits {
            memory: self.memory.unwrap_or(limits.memory),
            cpu,
            wall,
            calls: self.calls.unwrap_or(limits.calls),
            requests: self.requests.unwrap_or(limits.requests),
            answer: self.answer.unwrap_or(limits.answer),
            list_lag: self.list_lag.unwrap_or(limits.list_lag),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        grants: GrantArgs,
        #[command(flatten)]
        limits: LimitArgs,
    }

    fn grants(words: &[&str]) -> Result<Grants, String> {
        let words = std::iter::once(&"add").chain(words);
        let command = Command::try_parse_from(words).map_err(|error| error.to_string())?;
        command.grants.grants()
    }

    #[test]
    fn every_grant_can_be_given() {
        let found = grants(&[
            "--allow-http",
            "GET,POST https://api.example.com/v1/**; inject=Authorization:token:Bearer ; roots=ca.pem",
            "--allow-http=http://docker.local; via=unix:run/docker.sock",
            "--allow-dir",
            "machines:/instances:rw",
            "--dir",
            "/etc/ssl:/ssl",
            "--allow-secret",
            "token=file:token.txt",
            "--allow-secret",
            "other=env:OTHER",
            "--allow-config",
            "region=eu-1",
            "--allow-exec",
            "web=/usr/bin/nginx -c **; env=PORT",
            "--allow-exec",
            "own=./own",
        ])
        .unwrap();
        let here = |path: &str| std::env::current_dir().unwrap().join(path);
        assert_eq!(found.http[0].roots, Some(here("ca.pem")));
        assert_eq!(found.http[0].inject["Authorization"].prefix, "Bearer ");
        assert_eq!(found.http[1].via, Some(Route::Unix(here("run/docker.sock"))));
        assert_eq!((found.dirs[0].host.clone(), found.dirs[1].guest.as_str()), (here("machines"), "/ssl"));
        assert_eq!(found.secrets["token"], SecretSource::File(here("token.txt")));
        assert_eq!((found.config["region"].as_str(), found.exec["own"].path.clone()), ("eu-1", here("own")));
        assert_eq!(found.exec["web"].args, [["-c", "**"]]);
        assert!(grants(&[]).unwrap() == Grants::default());
    }

    #[test]
    fn a_wrong_grant_is_told_with_the_way_out() {
        for (words, says) in [
            (["--allow-http", "api.example.com"], "write https://api.example.com"),
            (["--allow-dir", "/x"], "names one directory only"),
            (["--allow-secret", "token"], "NAME=file:/run/token"),
            (["--allow-config", "region"], "NAME=VALUE"),
            (["--allow-exec", "web=nginx"], "such as /usr/bin/nginx"),
            (["--requests", "0"], "is not in"),
        ] {
            let refused = grants(&words).expect_err(words[1]);
            assert!(refused.contains(says), "{words:?}: {refused}");
        }
        let twice = ["--allow-config", "a=1", "--allow-config", "a=2"];
        assert!(grants(&twice).expect_err("was accepted").contains("given twice for \"a\""));
    }

    #[test]
    fn the_default_of_one_time_makes_room_for_the_other() {
        let limits = |cpu: Option<u64>, wall: Option<u64>| {
            let seconds = |it: Option<u64>| it.map(Duration::from_secs);
            let it = LimitArgs { cpu: seconds(cpu), wall: seconds(wall), ..LimitArgs::default() }.limits();
            (it.cpu.as_secs(), it.wall.as_secs())
        };
        assert_eq!(limits(None, None), (5, 60));
        assert_eq!(limits(None, Some(2)), (2, 2));
        assert_eq!(limits(Some(90), None), (90, 90));
        // The host refuses it, and says why.
        assert_eq!(limits(Some(9), Some(3)), (9, 3));
        let words = ["add", "--requests", "3", "--answer", "1MiB"];
        let given = Command::try_parse_from(words).unwrap_or_else(|error| panic!("{error}")).limits.limits();
        assert_eq!((given.requests, given.answer), (3, 1 << 20));
    }

    #[test]
    fn a_plugin_comes_from_here_or_from_afar() {
        assert!(matches!(source("a.wasm"), Ok(PluginSource::File(path)) if path.is_absolute()));
        assert_eq!(source("oci://a.b/c:1"), Ok(PluginSource::Oci("oci://a.b/c:1".into())));
        assert_eq!(source("https://a.b/c.wasm"), Ok(PluginSource::Https("https://a.b/c.wasm".into())));
        assert!(source("ftp://a.b/c.wasm").is_err() && source("").is_err());
    }
}
