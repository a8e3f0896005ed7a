//! `homeostat plugin new`: a folder in which to write a plugin.
//!
//! What is written lies in `host/cli/templates`: for each language a folder `common`, and one for each kind of plugin. In
//! what files hold and how they are called, `{{NAME}}` is the plugin's name, `{{MODULE}}` the same with underscores, and
//! `{{KIND}}` is `instance` or `flavor`. The contract is written beside them, as this host serves it.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::builder::NonEmptyStringValueParser;
use clap::{Args, ValueEnum};
use include_dir::{Dir, DirEntry, include_dir};
use serde::Serialize;

use crate::args::Globals;
use crate::out;

static TEMPLATES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/templates");
static CONTRACT: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../wit/v0.1");

/// The longest name: it has to fit into the names of files and crates.
const MAX_NAME: usize = 64;

/// Words that cannot name a crate or a module in one of the languages, or that name one that the templates use.
const RESERVED: [&str; 66] = [
    "abstract",
    "alloc",
    "and",
    "app",
    "as",
    "assert",
    "async",
    "await",
    "become",
    "box",
    "break",
    "class",
    "const",
    "continue",
    "core",
    "crate",
    "def",
    "del",
    "do",
    "dyn",
    "elif",
    "else",
    "enum",
    "except",
    "extern",
    "false",
    "final",
    "finally",
    "fn",
    "for",
    "from",
    "gen",
    "global",
    "if",
    "impl",
    "import",
    "in",
    "is",
    "json",
    "lambda",
    "let",
    "loop",
    "macro",
    "match",
    "mod",
    "move",
    "mut",
    "not",
    "or",
    "pass",
    "raise",
    "return",
    "self",
    "serde",
    "serde-json",
    "static",
    "std",
    "struct",
    "super",
    "tempfile",
    "test",
    "trait",
    "true",
    "try",
    "type",
    "wit-bindgen",
];

/// Write a folder in which a plugin is begun: it builds, keeps the contract and has tests
///
/// The plugin does something small and does it rightly. Make it yours: its README says what is where, and what to do next.
#[derive(Args)]
#[command(after_long_help = "\
Examples:
  homeostat plugin new --lang rust --kind instance instance-cloud
  homeostat plugin new --lang python --kind flavor flavor-web --dir plugins/web")]
pub(crate) struct New {
    /// The language to write it in
    #[arg(long, value_enum)]
    lang: Language,
    /// What it does: make instances, or say what runs on them
    #[arg(long, value_enum)]
    kind: Kind,
    /// The folder to write, which does not exist or is empty [default: NAME]
    #[arg(long, value_name = "PATH")]
    dir: Option<PathBuf>,
    /// What the plugin is called: lower-case letters, digits and `-`
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    name: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum, Serialize)]
enum Language {
    Rust,
    Python,
    #[value(name = "javascript")]
    JavaScript,
    C,
}

impl Language {
    fn folder(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::Python => "python",
            Self::JavaScript => "javascript",
            Self::C => "c",
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum, Serialize)]
enum Kind {
    Instance,
    Flavor,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::Instance => "instance",
            Self::Flavor => "flavor",
        }
    }
}

/// What was written, for `-o json`.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Written {
    name: String,
    lang: Language,
    kind: Kind,
    path: PathBuf,
    files: Vec<PathBuf>,
}

/// A file to be written: its path in the new folder, and what it holds.
type Draft = (PathBuf, Vec<u8>);

impl New {
    pub(crate) fn run(self, globals: &Globals) -> Result<()> {
        check_name(&self.name)?;
        let path = self.dir.unwrap_or_else(|| PathBuf::from(&self.name));
        let files = drafts(self.lang, self.kind, &self.name)?;
        check_folder(&path)?;
        for (file, content) in &files {
            write(&path.join(file), content)?;
        }
        let files: Vec<PathBuf> = files.into_iter().map(|(file, _)| file).collect();
        let written = Written { name: self.name, lang: self.lang, kind: self.kind, path, files };
        if globals.json() { out::json(&written) } else { out::print(&next_steps(&written)) }
    }
}

fn next_steps(written: &Written) -> String {
    let Written { name, lang, kind, path, files } = written;
    let article = if *kind == Kind::Instance { "an" } else { "a" };
    format!(
        "Wrote {}: {article} {} plugin in {lang:?}, {} files

Next:
  cd {}
  make          # build {name}.wasm
  make test     # run its unit tests
  make check    # let homeostat check that it keeps the contract

README.md there says what is where.",
        path.display(),
        kind.word(),
        files.len(),
        path.display(),
    )
}

/// The contract's rule for names, and what would be no crate or module.
fn check_name(name: &str) -> Result<()> {
    let advice =
        "a plugin is called by lower-case letters, digits and `-`, with a letter first, such as `instance-cloud`";
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if let Some(wrong) = name.chars().find(|it| !u8::try_from(*it).is_ok_and(allowed)) {
        bail!("the name `{}` has a `{}`; {advice}", name.escape_debug(), wrong.escape_debug());
    }
    if !name.starts_with(|it: char| it.is_ascii_lowercase()) || name.ends_with('-') || name.contains("--") {
        bail!("the name `{name}` does not begin with a letter, ends with `-` or has two of them in a row; {advice}");
    }
    if name.len() > MAX_NAME {
        bail!("the name `{name}` has {} letters; it may have {MAX_NAME}", name.len());
    }
    if RESERVED.contains(&name) {
        bail!("the name `{name}` means something else where plugins are built; choose another, such as `my-{name}`");
    }
    Ok(())
}

/// Whether nothing is lost when files are written here.
fn check_folder(path: &Path) -> Result<()> {
    match fs::read_dir(path) {
        Ok(mut entries) => match entries.next() {
            None => Ok(()),
            Some(_) => bail!("the folder {} is not empty; choose another with --dir, or remove it", path.display()),
        },
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => {
            bail!("{} exists and is not a folder; choose another with --dir", path.display())
        }
        Err(error) => Err(error).with_context(|| format!("the folder {} cannot be read", path.display())),
    }
}

fn write(path: &Path, content: &[u8]) -> Result<()> {
    let written = (|| {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        File::create_new(path)?.write_all(content)
    })();
    written.with_context(|| format!("{} cannot be written", path.display()))
}

/// All files of a new plugin, in the order of their paths.
fn drafts(lang: Language, kind: Kind, name: &str) -> Result<Vec<Draft>> {
    let module = name.replace('-', "_");
    let fill =
        |text: &str| text.replace("{{NAME}}", name).replace("{{MODULE}}", &module).replace("{{KIND}}", kind.word());
    let mut drafts = Vec::new();
    for folder in ["common", kind.word()] {
        let folder = format!("{}/{folder}", lang.folder());
        let template = TEMPLATES
            .get_dir(&folder)
            .with_context(|| format!("this homeostat was built without the template {folder}"))?;
        for file in files_of(template) {
            let path = file.path().strip_prefix(&folder).context("a template lies outside of its folder")?;
            let path = path.to_str().context("a template has a name that is not UTF-8")?;
            let content = file.contents_utf8().map_or_else(|| file.contents().to_vec(), |text| fill(text).into_bytes());
            drafts.push((renamed(&fill(path)), content));
        }
    }
    for file in CONTRACT.files() {
        drafts.push((Path::new("wit").join(file.path()), file.contents().to_vec()));
    }
    drafts.sort();
    Ok(drafts)
}

/// Templates do not bear the names by which tools would take them for a part of this repository.
fn renamed(path: &str) -> PathBuf {
    let path = Path::new(path.strip_suffix(".tmpl").unwrap_or(path));
    if path.ends_with("gitignore") { path.with_file_name(".gitignore") } else { path.to_owned() }
}

fn files_of<'d>(dir: &'d Dir<'d>) -> Vec<&'d include_dir::File<'d>> {
    let mut files = Vec::new();
    for entry in dir.entries() {
        match entry {
            DirEntry::Dir(dir) => files.extend(files_of(dir)),
            DirEntry::File(file) => files.push(file),
        }
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_language_has_all_that_a_plugin_needs() {
        for lang in Language::value_variants() {
            for kind in Kind::value_variants() {
                let drafts = drafts(*lang, *kind, "my-plugin").unwrap();
                let paths: Vec<&str> = drafts.iter().map(|(path, _)| path.to_str().unwrap()).collect();
                for needed in [".gitignore", "Makefile", "README.md", "manifest.json", "stack.json", "wit/worlds.wit"] {
                    assert!(paths.contains(&needed), "{lang:?} {kind:?} has no {needed}: {paths:?}");
                }
                assert!(paths.iter().any(|it| it.contains("test")), "{lang:?} {kind:?} has no unit test: {paths:?}");
                for (path, content) in &drafts {
                    let text = String::from_utf8_lossy(content);
                    for word in ["{{NAME}}", "{{MODULE}}", "{{KIND}}"] {
                        assert!(!text.contains(word) && !path.to_string_lossy().contains(word), "{path:?} has {word}");
                    }
                }
                let mut once = paths.clone();
                once.dedup();
                assert_eq!(once, paths, "a file of common/ is there twice");
                let json = |name: &str| {
                    let (_, content) = drafts.iter().find(|(path, _)| path == Path::new(name)).unwrap();
                    serde_json::from_slice::<serde_json::Value>(content).unwrap()
                };
                assert!(json("manifest.json")["Wants"].is_object(), "{lang:?} {kind:?}");
                assert!(json("stack.json")["Plugins"]["my-plugin"].is_object(), "{lang:?} {kind:?}");
            }
        }
    }

    #[test]
    fn names_are_those_of_the_contract() {
        for good in ["a", "web", "instance-cloud", "a1-2b", &"x".repeat(64)] {
            assert!(check_name(good).is_ok(), "{good}");
        }
        for bad in ["Web", "1a", "-a", "a-", "a--b", "a_b", "a b", "../a", "ä", "fn", "wit-bindgen", &"x".repeat(65)] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
        assert!(RESERVED.is_sorted());
    }

    #[test]
    fn what_is_there_is_not_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        assert!(check_folder(dir.path()).is_ok() && check_folder(&dir.path().join("new")).is_ok());
        fs::write(dir.path().join("file"), "").unwrap();
        for taken in [dir.path().to_owned(), dir.path().join("file")] {
            assert!(check_folder(&taken).is_err(), "{}", taken.display());
        }
        assert!(write(&dir.path().join("file"), b"x").is_err());
    }
}
