//! From the text of a spec file to a [`Stack`], or to everything that is wrong with it, each thing with its place.
//!
//! ```text
//! text --json, yaml--> nodes with places --decode, group, policy, plugin--> Stack
//!                            \--diagnostic--> file, line, column, path, help
//! ```
//!
//! A document is one of:
//! - a group: `{"ID", "Properties": {"Allocation", "Instance", "Flavor", "Updating", "Healing", "Removal"}}`;
//! - InfraKit's `{"Plugin": "group", "Properties": <group>}`;
//! - InfraKit's generic spec: `kind: group`, `metadata: {name: <id>}`, `properties: <the group's Properties>`;
//! - a list of these, or several YAML documents of these;
//! - a stack: `{"Plugins": {<name>: {"Path", "Sha256", "Grants", "Limits"}}, "Groups": [<any of the above>]}`.
//!
//! Unknown fields are errors, except inside a plugin's own `Properties`; those are checked against the plugin's schema by
//! whoever can load the plugin, who then asks [`Document::diagnostic_at`] for the place. `null` stands for absent.

mod decode;
mod diagnostic;
mod field;
mod group;
mod json;
mod node;
mod plugin;
mod policy;
mod quantity;
mod scalar;
mod suggest;
mod yaml;

#[cfg(test)]
mod tests;

use std::path::Path;

pub use diagnostic::Diagnostic;
pub(crate) use plugin::manifest;
pub use suggest::nearest;

use crate::grant::{Grants, Limits};
use crate::spec::{Allocation, PluginSpec, PluginUse, Stack};
use decode::Focus;
use diagnostic::Text;
use node::{Node, Span};

/// The largest text that is read, in bytes; of YAML, [`MAX_YAML`].
pub const MAX_TEXT: usize = 16 << 20;
/// The largest YAML text, in bytes. It is less because its scanner takes up to 200 bytes of memory for one of the text.
pub const MAX_YAML: usize = 4 << 20;
/// How many levels lists and objects may be nested.
pub const MAX_DEPTH: usize = 128;
/// How many values a document holds at most, lists and objects included; some 80,000 groups.
pub const MAX_VALUES: usize = 1_000_000;
/// How many diagnostics a document gets at most. A file that is something else entirely would give one for each line.
pub const MAX_DIAGNOSTICS: usize = 100;

/// How a document is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// RFC 8259, strictly.
    Json,
    /// YAML 1.2 with its core schema.
    Yaml,
}

impl Format {
    /// By the file's name, or else by the text: `{` or `[` begins JSON.
    pub fn of(file_name: &str, text: &str) -> Self {
        let extension = file_name.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase());
        match extension.as_deref() {
            Some("json") => Self::Json,
            Some("yaml" | "yml") => Self::Yaml,
            _ if text.trim_start_matches('\u{feff}').trim_start().starts_with(['{', '[']) => Self::Json,
            _ => Self::Yaml,
        }
    }
}

/// A text to read.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// What to call it in errors; `-` is standard input.
    pub name: &'a str,
    /// The text.
    pub text: &'a str,
    /// What relative paths in the document are relative to: an absolute path, in most cases the file's folder.
    pub base_dir: &'a Path,
}

/// The text of a file.
///
/// # Errors
/// A diagnostic at the first byte that is not UTF-8.
pub fn text_of<'a>(name: &str, bytes: &'a [u8]) -> Result<&'a str, Vec<Diagnostic>> {
    std::str::from_utf8(bytes).map_err(|error| {
        // Cut where it stops being text, and shown as well as it can be.
        let from = bytes[..error.valid_up_to()].iter().rposition(|b| *b == b'\n').map_or(0, |i| i + 1);
        let to = bytes[from..].iter().position(|b| *b == b'\n').map_or(bytes.len(), |i| from + i);
        let before = String::from_utf8_lossy(&bytes[..error.valid_up_to()]);
        let text = Text::new(name, &format!("{before}{}", String::from_utf8_lossy(&bytes[error.valid_up_to()..to])));
        let found = syntax(&text, Span::new(before.len(), before.len() + 3), "this is not UTF-8".into());
        vec![match bytes {
            [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => found.with_help("it looks like UTF-16: save the file as UTF-8"),
            _ => found.with_help("save the file as UTF-8"),
        }]
    })
}

/// What a group uses a plugin for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// To make its instances.
    Instance,
    /// To say what runs on them.
    Flavor,
}

impl Role {
    /// The member of a group's `Properties` that says which plugin.
    pub fn member(self) -> &'static str {
        match self {
            Self::Instance => "Instance",
            Self::Flavor => "Flavor",
        }
    }
}

/// One use of a plugin in a document.
#[derive(Clone, Debug, PartialEq)]
pub struct Use {
    /// What for.
    pub role: Role,
    /// Which plugin, with which properties.
    pub plugin: PluginUse,
    /// The pointer of the object that holds both, to which `/Properties/...` may be appended.
    pub pointer: String,
    /// How the group counts; none where that is wrong.
    pub allocation: Option<Allocation>,
}

/// A document that was read, with the places of everything in it.
#[derive(Clone, Debug)]
pub struct Document {
    /// What it declares. In one that has faults, what is wrong is left out.
    pub stack: Stack,
    /// All plugins that its groups use, in the order of the text; in a document with faults also those of groups that
    /// are wrong elsewhere.
    pub uses: Vec<Use>,
    text: Text,
    root: Node,
    /// For each group, the pointer of its `Properties`.
    groups: Vec<String>,
}

impl Document {
    /// Read a document.
    ///
    /// # Errors
    /// All that is wrong with it, in the order of the text, at most [`MAX_DIAGNOSTICS`]; never an empty list. Where the
    /// text is no JSON or YAML at all, only the first place is told: what follows it would be guesswork.
    pub fn read(source: &Source<'_>) -> Result<Self, Vec<Diagnostic>> {
        match Self::examine(source)? {
            (document, faults) if faults.is_empty() => Ok(document),
            (_, faults) => Err(faults),
        }
    }

    /// Read a document as far as it can be read, together with all that is wrong with it: for those who can say more of
    /// the rest, so that a user is told everything at once. One that has faults is not to be acted upon.
    ///
    /// # Errors
    /// As [`Self::read`], where the text is no JSON or YAML at all.
    pub fn examine(source: &Source<'_>) -> Result<(Self, Vec<Diagnostic>), Vec<Diagnostic>> {
        // A byte order mark is no part of the text, and counts as no column.
        let content = source.text.strip_prefix('\u{feff}').unwrap_or(source.text);
        let format = Format::of(source.name, content);
        let (max, help) = match format {
            Format::Json => (MAX_TEXT, None),
            Format::Yaml => (MAX_YAML, Some(format!("as JSON it may have {} MiB", MAX_TEXT >> 20))),
        };
        if content.len() > max {
            let head: String = content.chars().take_while(|c| *c != '\n').take(200).collect();
            let message = format!("{} bytes are too many: a document has at most {} MiB", content.len(), max >> 20);
            let mut found = syntax(&Text::new(source.name, &head), Span::new(0, 0), message);
            found.help = help;
            return Err(vec![found]);
        }
        let text = Text::new(source.name, content);
        let root = match format {
            Format::Json if content.trim().is_empty() => Node { span: Span::default(), kind: node::Kind::Null },
            Format::Json => json::read(&text)?,
            Format::Yaml => yaml::read(&text)?,
        };
        let (declared, faults) = decode::decode(&text, &root, source.base_dir);
        let group::Declared { stack, pointers, uses } = declared;
        Ok((Self { stack, uses, text, root, groups: pointers }, faults))
    }

    /// A diagnostic at a member of the document. Where the pointer names something that is not there, the place is its
    /// nearest ancestor that is, and the path is still the one asked for.
    pub fn diagnostic_at(&self, pointer: &str, message: impl Into<String>) -> Diagnostic {
        decode::diagnose(&self.text, &self.root, pointer, Focus::Value, message.into())
    }

    /// The pointer of a group's `Properties`, to which `/Instance/Properties/...` may be appended; the whole document
    /// where there is no such group.
    pub fn group_pointer(&self, group: usize) -> String {
        self.groups.get(group).cloned().unwrap_or_default()
    }

    /// A diagnostic for each plugin that a group uses and that is neither a `.wasm` file, nor in the stack, nor among
    /// those registered with the host.
    pub fn check_plugins(&self, registered: &[String]) -> Vec<Diagnostic> {
        // Also those whose entry is wrong: that has been said.
        let entries = self.root.member("Plugins").map(|it| it.value.members()).unwrap_or_default();
        let known: Vec<&str> =
            entries.iter().map(|it| it.key.as_str()).chain(registered.iter().map(String::as_str)).collect();
        let mut found = Vec::new();
        for it in &self.uses {
            let name = it.plugin.plugin.as_str();
            if name.ends_with(".wasm") || known.contains(&name) {
                continue;
            }
            let at = self.diagnostic_at(&format!("{}/Plugin", it.pointer), format!("no plugin {name:?} is known"));
            found.push(at.with_help(plugin::how_to_register(name, &known)));
        }
        found.truncate(MAX_DIAGNOSTICS);
        found
    }
}

/// The `Grants` and `Limits` of a JSON object that has other members too, as a plugin's entry in a stack has them: relative
/// paths begin at the source's folder. `elsewhere` are the names of secrets that are granted by other means, and that
/// `Inject` may use as well.
///
/// # Errors
/// All that is wrong with the two, each with its place, or where the text stops being JSON.
pub fn read_permissions(source: &Source<'_>, elsewhere: &[&str]) -> Result<(Grants, Limits), Vec<Diagnostic>> {
    let text = Text::new(source.name, source.text.strip_prefix('\u{feff}').unwrap_or(source.text));
    let root = json::read(&text)?;
    let read = |decoder: &mut decode::Decoder<'_>, at: &decode::At<'_>| plugin::permissions(decoder, at, elsewhere);
    match decode::decode_as(&text, &root, source.base_dir, read) {
        (permissions, faults) if faults.is_empty() => Ok(permissions),
        (_, faults) => Err(faults),
    }
}

/// A plugin's entry that a program made, checked and brought into the form that a document's would have. Relative paths
/// in it are an error of the program: they are taken to begin at the root.
///
/// # Errors
/// All that is wrong with it. The places are those of a text that nobody wrote: only the path, the message and the help of
/// a diagnostic are worth showing.
pub fn check_plugin(name: &str, spec: PluginSpec) -> Result<PluginSpec, Vec<Diagnostic>> {
    let stack = Stack { plugins: [(name.to_owned(), spec)].into(), groups: Vec::new() };
    let no_text = |why: String| vec![syntax(&Text::new("plugin.json", ""), Span::default(), why)];
    let text = serde_json::to_string(&stack).map_err(|error| no_text(error.to_string()))?;
    let document = Document::read(&Source { name: "plugin.json", text: &text, base_dir: Path::new("/") })?;
    document.stack.plugins.into_values().next().ok_or_else(|| no_text("no plugin is named".into()))
}

/// A diagnostic about the text itself, which has no path.
fn syntax(text: &Text, span: Span, message: String) -> Diagnostic {
    text.diagnose(span, "", String::new(), message)
}

fn too_many_values(text: &Text, span: Span) -> Diagnostic {
    syntax(text, span, format!("a document holds at most {MAX_VALUES} values"))
}
