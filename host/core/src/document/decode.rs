//! The tools that turn nodes into specs: they note what is wrong and go on, so that all of it is told at once.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::{Component, Path, PathBuf};

use super::diagnostic::{Diagnostic, Text};
use super::group::Declared;
use super::node::{Kind, Member, Node, Span};
use super::suggest::{listing, nearest};
use super::{MAX_DIAGNOSTICS, group, policy};

/// The longest key, in bytes.
const MAX_KEY: usize = 1024;

/// What to mark of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Focus {
    Key,
    Value,
}

/// A node, and the JSON Pointer that leads to it.
#[derive(Clone, Debug)]
pub(super) struct At<'n> {
    pub(super) node: &'n Node,
    pub(super) pointer: String,
}

impl<'n> At<'n> {
    /// The member of that name; none where it is absent or null.
    pub(super) fn get(&self, name: &str) -> Option<At<'n>> {
        let member = self.node.member(name).filter(|member| !member.value.is_null())?;
        Some(self.child(member))
    }

    pub(super) fn child(&self, member: &'n Member) -> At<'n> {
        At { node: &member.value, pointer: join(&self.pointer, &member.key) }
    }

    pub(super) fn items(&self) -> impl Iterator<Item = At<'n>> {
        let pointer = self.pointer.clone();
        self.node.items().iter().enumerate().map(move |(i, node)| At { node, pointer: format!("{pointer}/{i}") })
    }
}

/// A pointer with one more token (RFC 6901, section 3).
pub(super) fn join(pointer: &str, token: &str) -> String {
    format!("{pointer}/{}", token.replace('~', "~0").replace('/', "~1"))
}

/// A way into the tree; its pointer is made only where it is asked for.
enum Trail<'t> {
    Root,
    Key(&'t Trail<'t>, &'t str),
    Index(&'t Trail<'t>, usize),
}

impl Trail<'_> {
    fn pointer(&self) -> String {
        match self {
            Self::Root => String::new(),
            Self::Key(parent, key) => join(&parent.pointer(), key),
            Self::Index(parent, index) => format!("{}/{index}", parent.pointer()),
        }
    }
}

/// Nodes to specs. What is wrong is collected.
pub(super) struct Decoder<'t> {
    pub(super) text: &'t Text,
    root: &'t Node,
    base_dir: &'t Path,
    errors: Vec<Diagnostic>,
    dropped: usize,
    long_key: bool,
}

/// Turn a tree into a stack, and say for each group where its `Properties` are.
pub(super) fn decode(text: &Text, root: &Node, base_dir: &Path) -> (Declared, Vec<Diagnostic>) {
    decode_as(text, root, base_dir, group::root)
}

/// Turn a tree into what `read` makes of it, as far as it can.
pub(super) fn decode_as<T: Default>(
    text: &Text,
    root: &Node,
    base_dir: &Path,
    read: impl FnOnce(&mut Decoder<'_>, &At<'_>) -> T,
) -> (T, Vec<Diagnostic>) {
    let mut decoder = Decoder { text, root, base_dir, errors: Vec::new(), dropped: 0, long_key: false };
    let at = At { node: root, pointer: String::new() };
    decoder.check_keys(root, &Trail::Root);
    // A key that is too long would be repeated in each path below it.
    let found = if decoder.long_key { T::default() } else { read(&mut decoder, &at) };
    let Decoder { mut errors, dropped, .. } = decoder;
    errors.sort_by_key(|error| (error.line, error.column));
    if let (Some(last), true) = (errors.last_mut(), dropped > 0) {
        let help = last.help.take().map(|help| format!("{help}; ")).unwrap_or_default();
        last.help = Some(format!("{help}and {dropped} more errors, which are not shown"));
    }
    (found, errors)
}

impl<'t> Decoder<'t> {
    /// Note that a value is wrong.
    pub(super) fn error(&mut self, at: &At<'_>, message: impl Into<String>) -> Option<&mut Diagnostic> {
        self.note(&at.pointer, Focus::Value, message.into())
    }

    /// Note that a member should not be there.
    pub(super) fn error_at_key(&mut self, at: &At<'_>, message: impl Into<String>) -> Option<&mut Diagnostic> {
        self.note(&at.pointer, Focus::Key, message.into())
    }

    fn is_full(&self) -> bool {
        self.errors.len() >= MAX_DIAGNOSTICS
    }

    fn note(&mut self, pointer: &str, focus: Focus, message: String) -> Option<&mut Diagnostic> {
        if self.is_full() {
            self.dropped += 1;
            return None;
        }
        self.errors.push(diagnose(self.text, self.root, pointer, focus, message));
        self.errors.last_mut()
    }

    /// Note that something else was expected.
    pub(super) fn expected(&mut self, at: &At<'_>, what: &str) -> Option<&mut Diagnostic> {
        let found = self.describe(at.node);
        self.error(at, format!("expected {what}, found {found}"))
    }

    /// A value in words: `the string "5"`.
    pub(super) fn describe(&self, node: &Node) -> String {
        match &node.kind {
            Kind::Null => "null".into(),
            Kind::Bool(value) => value.to_string(),
            Kind::Number(number) => match self.text.slice(node.span) {
                written if (1..=40).contains(&written.len()) && !written.contains(['"', '\'', ' ']) => {
                    format!("the number {written}")
                }
                _ => format!("the number {number}"),
            },
            Kind::String(text) if text.is_empty() => "an empty string".into(),
            Kind::String(text) => format!("the string {}", quoted(text)),
            Kind::Array(items) if items.is_empty() => "an empty list".into(),
            Kind::Array(_) => "a list".into(),
            Kind::Object(members) if members.is_empty() => "an empty object".into(),
            Kind::Object(_) => "an object".into(),
        }
    }

    /// A key that occurs twice in one object, anywhere in the document: one of the two values would be lost. And a key
    /// that is too long: it would be a part of every path below it.
    fn check_keys(&mut self, node: &Node, trail: &Trail<'_>) {
        let mut seen: HashMap<&str, Span> = HashMap::new();
        for member in node.members() {
            let wrong = match seen.entry(&member.key) {
                Entry::Occupied(first) => {
                    let line = self.text.line(first.get().start);
                    format!("the key {} occurs twice; the first is on line {line}", quoted(&member.key))
                }
                Entry::Vacant(place) => {
                    place.insert(member.key_span);
                    if member.key.len() <= MAX_KEY {
                        continue;
                    }
                    self.long_key = true;
                    format!("a key of {} bytes; at most {MAX_KEY} are allowed", member.key.len())
                }
            };
            if self.is_full() {
                self.dropped += 1;
                continue;
            }
            let token = if member.key.len() <= MAX_KEY { member.key.as_str() } else { "" };
            let pointer = join(&trail.pointer(), token);
            let path = path_of(self.root, &pointer);
            self.errors.push(self.text.diagnose(member.key_span, &pointer, path, wrong));
        }
        for member in node.members().iter().filter(|member| member.key.len() <= MAX_KEY) {
            self.check_keys(&member.value, &Trail::Key(trail, &member.key));
        }
        for (i, item) in node.items().iter().enumerate() {
            self.check_keys(item, &Trail::Index(trail, i));
        }
    }

    /// An object whose members are among `known`; others are noted. False where it is no object.
    pub(super) fn object(&mut self, at: &At<'_>, what: &str, known: &[&str]) -> bool {
        if !matches!(at.node.kind, Kind::Object(_)) {
            self.expected(at, what);
            return false;
        }
        for member in at.node.members().iter().filter(|member| !known.contains(&member.key.as_str())) {
            if self.is_full() {
                self.dropped += 1;
                continue;
            }
            let place = group::belongs(&member.key, known);
            let help = match (nearest(&member.key, known.iter().copied()), place) {
                (Some(name), place) if place.is_none() || !policy::is_policy(known) => {
                    format!("did you mean {name:?}?")
                }
                (_, Some(place)) => format!("{:?} belongs to {place}", member.key),
                (_, None) => format!("known here: {}", listing(known.iter().copied())),
            };
            let name = quoted(&member.key);
            if let Some(error) = self.error_at_key(&at.child(member), format!("unknown field {name}")) {
                error.help = Some(help);
            }
        }
        true
    }

    /// A member that has to be there. Where a field with nearly its name was noted as unknown, that says it all.
    pub(super) fn required<'n>(&mut self, at: &At<'n>, name: &str, known: &[&str], what: &str) -> Option<At<'n>> {
        if let Some(member) = at.get(name) {
            return Some(member);
        }
        let is_near = |member: &Member| {
            !known.contains(&member.key.as_str()) && nearest(&member.key, known.iter().copied()) == Some(name)
        };
        if !at.node.members().iter().any(is_near) {
            self.error(at, format!("{name:?} is missing: {what}"));
        }
        None
    }

    pub(super) fn string<'n>(&mut self, at: &At<'n>, what: &str) -> Option<&'n str> {
        match &at.node.kind {
            Kind::String(text) => Some(text),
            kind => {
                let scalar = matches!(kind, Kind::Number(_) | Kind::Bool(_));
                if let (Some(error), true) = (self.expected(at, what), scalar) {
                    error.help = Some("write it in double quotes".into());
                }
                None
            }
        }
    }

    /// A whole number from 0 (or 1) to `max`.
    pub(super) fn whole_number(&mut self, at: &At<'_>, min: u32, max: u32) -> Option<u32> {
        let Kind::Number(number) = &at.node.kind else {
            let error = self.expected(at, "a whole number");
            if let (Some(error), Kind::String(text)) = (error, &at.node.kind)
                && text.trim().parse::<u32>().is_ok()
            {
                error.help = Some(format!("write {} without quotes", text.trim()));
            }
            return None;
        };
        if let Some(value) = number.as_u64().and_then(|value| u32::try_from(value).ok())
            && (min..=max).contains(&value)
        {
            return Some(value);
        }
        let found = self.describe(at.node);
        let message = match number.as_f64() {
            Some(value) if value < 0.0 => format!("{found} is negative; expected a whole number from {min} to {max}"),
            Some(value) if value > f64::from(max) => format!("{found} is too large: at most {max} is allowed"),
            Some(value) if value.fract() != 0.0 || value >= f64::from(min) => {
                format!("expected a whole number, without a point or an exponent, found {found}")
            }
            _ => format!("{found} is too small: at least {min} is needed"),
        };
        self.error(at, message);
        None
    }

    pub(super) fn duration(&mut self, at: &At<'_>) -> Option<std::time::Duration> {
        let what = "a duration such as \"30s\" or \"1m30s\"";
        let Kind::String(text) = &at.node.kind else {
            self.expected(at, what);
            return None;
        };
        match crate::duration::parse(text) {
            Ok(value) => Some(value),
            Err(why) => {
                self.error(at, why);
                None
            }
        }
    }

    /// A path of the host, made absolute and free of `.` and `..`.
    pub(super) fn path(&mut self, at: &At<'_>, text: &str) -> Option<PathBuf> {
        let wrong = match text {
            _ if text.trim().is_empty() => Some("an empty path"),
            _ if text.contains('\0') => Some("a path cannot hold a NUL character"),
            _ if text.contains("://") => Some("expected a path, not a URL: download the file first"),
            _ if text.starts_with("~/") => Some("\"~\" is the shell's and means nothing here; write the path out"),
            _ => None,
        };
        if let Some(wrong) = wrong {
            self.error(at, wrong);
            return None;
        }
        Some(normalised(&self.base_dir.join(text)))
    }

    /// The same as text, which a spec holds.
    pub(super) fn path_text(&mut self, at: &At<'_>, text: &str) -> Option<String> {
        let path = self.path(at, text)?;
        let found = path.to_str().map(str::to_owned);
        if found.is_none() {
            self.error(at, format!("the folder {} has a name that is not UTF-8; use an absolute path", path.display()));
        }
        found
    }
}

fn normalised(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            // At the root, `..` stays there.
            Component::ParentDir => {
                clean.pop();
            }
            other => clean.push(other),
        }
    }
    clean
}

/// A text in quotes with its control characters escaped, cut where it is long.
pub(super) fn quoted(text: &str) -> String {
    match text.chars().count() {
        0..=60 => format!("{text:?}"),
        _ => format!("{:?}...", text.chars().take(57).collect::<String>()),
    }
}

/// A diagnostic at a pointer, or at the nearest ancestor that exists.
pub(super) fn diagnose(text: &Text, root: &Node, pointer: &str, focus: Focus, message: String) -> Diagnostic {
    let (mut node, mut key) = (root, None);
    let mut found_all = true;
    for token in tokens(pointer) {
        match step(node, &token) {
            Some((next, next_key)) => (node, key) = (next, next_key),
            None => {
                found_all = false;
                break;
            }
        }
    }
    let span = match (&node.kind, key) {
        (_, Some(key)) if focus == Focus::Key && found_all => key,
        // A collection is known by its key; without one by its first character, or its first key.
        (Kind::Array(_) | Kind::Object(_), Some(key)) => key,
        (Kind::Object(members), None) if !opens(text, node.span) => {
            members.first().map_or(node.span, |member| member.key_span)
        }
        (Kind::Array(_) | Kind::Object(_), None) => Span { end: node.span.start + 1, ..node.span },
        (_, Some(key)) if node.span.is_empty() => key,
        _ => node.span,
    };
    text.diagnose(span, pointer, path_of(root, pointer), message)
}

fn opens(text: &Text, span: Span) -> bool {
    text.slice(span).starts_with(['{', '['])
}

fn tokens(pointer: &str) -> impl Iterator<Item = String> {
    pointer.split('/').skip(1).map(|token| token.replace("~1", "/").replace("~0", "~"))
}

/// One token further down.
fn step<'n>(node: &'n Node, token: &str) -> Option<(&'n Node, Option<Span>)> {
    match &node.kind {
        Kind::Object(_) => node.member(token).map(|member| (&member.value, Some(member.key_span))),
        Kind::Array(items) if is_index(token) => Some((items.get(token.parse::<usize>().ok()?)?, None)),
        _ => None,
    }
}

fn is_index(token: &str) -> bool {
    token == "0" || !token.is_empty() && !token.starts_with('0') && token.bytes().all(|b| b.is_ascii_digit())
}

/// A pointer as a person writes it: `Groups[0].Properties`.
fn path_of(root: &Node, pointer: &str) -> String {
    let mut path = String::new();
    let mut node = Some(root);
    for token in tokens(pointer) {
        let index = match node.map(|node| &node.kind) {
            Some(Kind::Object(_)) => false,
            _ => is_index(&token),
        };
        let plain = !token.is_empty() && token.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '$'));
        match (index, plain) {
            (true, _) => path.push_str(&format!("[{token}]")),
            (false, true) if path.is_empty() => path.push_str(&token),
            (false, true) => path.push_str(&format!(".{token}")),
            (false, false) => path.push_str(&format!("[{}]", quoted(&token))),
        }
        node = node.and_then(|node| step(node, &token)).map(|(next, _)| next);
    }
    path
}
