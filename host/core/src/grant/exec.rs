//! Programs of this machine that a plugin may start.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{ExecWant, Remedy, valid_name};

/// The longest arguments, in bytes, that an advice repeats.
const ADVISED: usize = 2_000;

/// One program. It runs with the rights of the host, and outside of any sandbox: this is the grant that gives most.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ExecGrant {
    /// The program's file. Absolute once a document has been read.
    pub path: PathBuf,
    /// The arguments it may be started with: one of these lists, compared word by word. In a word, `*` stands for any
    /// characters, also for none; the word `**` at the end stands for any further words, also for none. Empty: no
    /// arguments at all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<Vec<String>>,
    /// Environment variables that it may be given, by name; `*` stands for any characters. Those by which other code can
    /// be had to run (`PATH`, `LD_PRELOAD` and their like) have to be named in full.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<String>,
}

/// Why a grant does not allow a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExecRefusal {
    /// No list of arguments fits: those that are there.
    Args(Vec<Vec<String>>),
    /// A variable is not among those that it may be given.
    Variable(String),
    /// A variable by which other code can be had to run is not named in full.
    Guarded(String),
}

impl fmt::Display for ExecRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Args(lists) if lists.is_empty() => f.write_str("it allows no arguments"),
            Self::Args(lists) => write!(f, "it allows the arguments {}", json!(lists)),
            Self::Variable(name) => write!(f, "it does not allow the environment variable {}", tame(name)),
            Self::Guarded(name) => {
                write!(f, "it does not name {}, by which other code can be had to run, in full", tame(name))
            }
        }
    }
}

impl ExecGrant {
    /// Whether the program may be started with these arguments, and environment variables of these names.
    ///
    /// # Errors
    /// What does not fit.
    pub fn allows<'e>(&self, args: &[String], env: impl IntoIterator<Item = &'e str>) -> Result<(), ExecRefusal> {
        let fits = match self.args.as_slice() {
            [] => args.is_empty(),
            lists => lists.iter().any(|list| words_match(list, args)),
        };
        if !fits {
            return Err(ExecRefusal::Args(self.args.clone()));
        }
        for name in env {
            if self.env.iter().any(|pattern| pattern == name) {
                continue;
            }
            if !self.env.iter().any(|pattern| word_matches(pattern, name)) {
                return Err(ExecRefusal::Variable(name.into()));
            }
            if is_guarded(name) {
                return Err(ExecRefusal::Guarded(name.into()));
            }
        }
        Ok(())
    }
}

fn words_match(list: &[String], args: &[String]) -> bool {
    let (list, open) = match list.split_last() {
        Some((last, rest)) if last == "**" => (rest, true),
        _ => (list, false),
    };
    let long_enough = if open { args.len() >= list.len() } else { args.len() == list.len() };
    long_enough && list.iter().zip(args).all(|(pattern, word)| word_matches(pattern, word))
}

/// Whether a word is as a pattern in which `*` stands for any characters. Each part is looked for where the one before it
/// ended, so that no pattern takes long.
fn word_matches(pattern: &str, word: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == word };
    let Some(mut left) = word.strip_prefix(first) else { return false };
    let (middle, last) = rest.rsplit_once('*').unwrap_or(("", rest));
    for part in middle.split('*') {
        match left.find(part) {
            Some(at) => left = &left[at + part.len()..],
            None => return false,
        }
    }
    left.ends_with(last)
}

/// Whether a variable has the loader, the C library or a shell run other code, or read other files, than the program asks
/// for. The first are those that glibc drops for programs that run with more rights (`unsecvars.h`).
fn is_guarded(name: &str) -> bool {
    const NAMES: [&str; 18] = [
        "GCONV_PATH",
        "GETCONF_DIR",
        "GLIBC_TUNABLES",
        "HOSTALIASES",
        "LOCALDOMAIN",
        "LOCPATH",
        "MALLOC_TRACE",
        "NIS_PATH",
        "NLSPATH",
        "RESOLV_HOST_CONF",
        "RES_OPTIONS",
        "TMPDIR",
        "TZDIR",
        "BASH_ENV",
        "ENV",
        "IFS",
        "PATH",
        "SHELLOPTS",
    ];
    name.starts_with("LD_") || NAMES.contains(&name)
}

/// A command that was denied, and the way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecDenial {
    /// The program, by the name that the plugin uses.
    pub program: String,
    /// Why the grant does not fit; none where the plugin has none under this name, or one that fits.
    pub refusal: Option<ExecRefusal>,
    /// Whether the operator grants a program of this name.
    pub granted: bool,
    /// The grant that would allow it; none where it is there, or where no grant can be written that allows just this.
    pub grant: Option<Remedy>,
    /// The wish that the plugin's manifest would have to hold among its `Wants`; none where it does.
    pub wish: Option<Value>,
}

impl ExecDenial {
    /// What a guest is told: what was denied and why, without the operator's business.
    pub fn reason(&self) -> String {
        let program = tame(&self.program);
        match (&self.refusal, self.granted) {
            (_, false) => format!("the operator has not granted the program {program} to the plugin"),
            (Some(ExecRefusal::Args(_)), _) => {
                format!("the operator has not granted the program {program} with these arguments")
            }
            (Some(ExecRefusal::Variable(name) | ExecRefusal::Guarded(name)), _) => {
                let name = tame(name);
                format!("the operator has not granted the program {program} with the environment variable {name}")
            }
            (None, true) => format!("the plugin's manifest does not ask for the program {program}"),
        }
    }
}

/// One line, for the operator.
impl fmt::Display for ExecDenial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the program {} was denied: ", tame(&self.program))?;
        match (&self.refusal, self.granted) {
            (_, false) => f.write_str("it is not granted")?,
            (Some(refusal), _) => write!(f, "its grant does not fit: {refusal}")?,
            (None, true) => f.write_str("the plugin's manifest does not ask for it")?,
        }
        if let Some(grant) = &self.grant {
            write!(f, "; to allow it: {grant}")?;
        } else if self.wish.is_none() || self.refusal.is_some() || !self.granted {
            f.write_str(
                "; its words cannot be written as a grant that allows them alone, so write a wider one by hand",
            )?;
        }
        if let Some(wish) = &self.wish {
            let also = if self.grant.is_some() { "also needs" } else { "needs" };
            write!(f, "; the plugin's manifest {also} {wish} in its \"Wants\"")?;
        }
        Ok(())
    }
}

/// The grant by which a plugin may start a program with these arguments, and environment variables of these names.
///
/// # Errors
/// What is missing.
pub fn judge_exec<'g>(
    grants: &'g BTreeMap<String, ExecGrant>,
    wants: &[ExecWant],
    program: &str,
    args: &[String],
    env: &[&str],
) -> Result<&'g ExecGrant, Box<ExecDenial>> {
    let grant = grants.get(program);
    let refusal = grant.and_then(|it| it.allows(args, env.iter().copied()).err());
    let wanted = wants.iter().any(|it| it.name == program);
    match grant {
        Some(grant) if refusal.is_none() && wanted => return Ok(grant),
        _ => {}
    }
    let advice = || remedy(grant, program, args, env);
    let fits = grant.is_some() && refusal.is_none();
    Err(Box::new(ExecDenial {
        program: program.into(),
        granted: grant.is_some(),
        grant: if fits { None } else { advice() },
        wish: (!wanted && valid_name(program).is_ok()).then(|| json!({"Exec": [{"Name": program}]})),
        refusal,
    }))
}

/// The grant that is there, or one for a program whose path the operator has to fill in, and what it lacks.
fn remedy(there: Option<&ExecGrant>, program: &str, args: &[String], env: &[&str]) -> Option<Remedy> {
    // A word with a `*` would allow others too, and a control character has no place in a log.
    let plain = |word: &str| !word.contains('*') && !word.contains(char::is_control);
    let variable = |name: &str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    let bytes: usize = args.iter().map(String::len).chain(env.iter().map(|it| it.len())).sum();
    if bytes > ADVISED || !args.iter().all(|it| plain(it)) || !env.iter().all(|it| variable(it)) {
        return None;
    }
    valid_name(program).ok()?;
    let empty = ExecGrant { path: "PATH".into(), args: Vec::new(), env: Vec::new() };
    let mut grant = there.cloned().unwrap_or(empty);
    if grant.allows(args, []).is_err() {
        if grant.args.is_empty() && there.is_some() {
            // A grant without any list allows no arguments, and goes on to.
            grant.args.push(Vec::new());
        }
        grant.args.push(args.to_vec());
    }
    for &name in env {
        if grant.allows(args, [name]).is_err() {
            grant.env.push(name.into());
        }
    }
    // Never an advice that does not help.
    grant.allows(args, env.iter().copied()).is_ok().then(|| Remedy::exec(program, &grant))
}

/// A guest's word, made fit for one line of a log.
fn tame(text: &str) -> String {
    let short: String = text.chars().take(128).collect();
    format!("{short:?}")
}

#[cfg(test)]
mod tests;
