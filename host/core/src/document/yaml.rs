//! YAML 1.2 to nodes, from saphyr's events. Events, not its tree: nothing here recurses over what the text nests, and
//! aliases are expanded under a budget.
//!
//! Several documents in one text are the items of one list, as `---` between manifests means elsewhere.

use std::collections::{HashMap, HashSet};

use saphyr_parser::{Event, Parser, ScalarStyle, Span as Mark};

use super::diagnostic::{Diagnostic, Text};
use super::node::{Kind, Member, Node, Span};
use super::{MAX_DEPTH, MAX_VALUES, scalar, syntax, too_many_values};

/// How much memory all aliases of a text may expand to, in bytes: a few lines can ask for any amount.
const ALIAS_BUDGET: usize = 16 << 20;

/// Read a text as YAML.
///
/// # Errors
/// The first place where the text is no YAML, or asks for too much; or all scalars, keys and tags that have no
/// counterpart in JSON.
pub(super) fn read(text: &Text) -> Result<Node, Vec<Diagnostic>> {
    if let Some(at) = crowded(text.as_str()) {
        return Err(vec![too_many_values(text, Span::new(at, at + 1))]);
    }
    let mut reader = Reader {
        text,
        places: Places::new(text.as_str()),
        frames: Vec::new(),
        anchors: HashMap::new(),
        budget: ALIAS_BUDGET,
        values: 0,
        documents: Vec::new(),
        errors: Vec::new(),
    };
    let mut parser = Parser::new_from_str(text.as_str());
    while let Some(event) = parser.next_event() {
        let step = match event {
            Ok((event, mark)) => reader.event(event, mark),
            Err(error) => {
                let at = reader.places.offset(error.marker().index());
                Err(reader.bad_yaml(at, error.info()).into())
            }
        };
        if let Err(fatal) = step {
            reader.errors.push(*fatal);
            break;
        }
    }
    if reader.errors.is_empty() { Ok(reader.finish()) } else { Err(reader.errors) }
}

/// Where a text has more separators than a document may hold values. Any `[` or `{` may turn out to begin a key, so the
/// scanner keeps every token up to its end in memory; a count of values, taken from its events, would come too late.
fn crowded(text: &str) -> Option<usize> {
    let separators = text.bytes().enumerate().filter(|(_, b)| matches!(b, b',' | b'[' | b'{' | b':'));
    separators.map(|(i, _)| i).nth(MAX_VALUES)
}

/// A collection that is still open.
struct Frame {
    anchor: usize,
    span: Span,
    open: Open,
}

enum Open {
    Array(Vec<Node>),
    Object {
        members: Vec<Member>,
        /// The key whose value comes next.
        key: Option<Key>,
        /// What `<<` names: its members count where the object has none of that name.
        merges: Vec<Node>,
    },
}

struct Key {
    text: String,
    span: Span,
    merge: bool,
}

struct Reader<'t> {
    text: &'t Text,
    places: Places<'t>,
    frames: Vec<Frame>,
    anchors: HashMap<usize, Anchor>,
    budget: usize,
    values: usize,
    documents: Vec<Node>,
    errors: Vec<Diagnostic>,
}

/// A complete node that an alias may repeat.
struct Anchor {
    node: Node,
    weight: usize,
    depth: usize,
}

impl Reader<'_> {
    /// Take one event. An error is fatal; what can be passed over goes to `self.errors`.
    fn event(&mut self, event: Event<'_>, mark: Mark) -> Result<(), Box<Diagnostic>> {
        let span = self.places.span(mark);
        match event {
            Event::DocumentStart(_) => self.anchors.clear(),
            Event::Scalar(value, style, anchor, tag) => {
                let tag = tag.as_deref();
                let kind = scalar::resolve(&value, style, tag).unwrap_or_else(|why| {
                    self.errors.push(syntax(self.text, span, why));
                    Kind::Null
                });
                if self.wants_key() {
                    let merge = value == "<<" && style == ScalarStyle::Plain && tag.is_none();
                    self.key(&value, kind, span, merge);
                } else {
                    self.complete(Node { span, kind }, anchor)?;
                }
            }
            Event::SequenceStart(anchor, tag) => {
                self.open(anchor, span, Open::Array(Vec::new()), scalar::check_collection(tag.as_deref(), "seq"))?;
            }
            Event::MappingStart(anchor, tag) => {
                let open = Open::Object { members: Vec::new(), key: None, merges: Vec::new() };
                self.open(anchor, span, open, scalar::check_collection(tag.as_deref(), "map"))?;
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(span)?,
            Event::Alias(anchor) => self.alias(anchor, span)?,
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
        }
        Ok(())
    }

    fn wants_key(&self) -> bool {
        matches!(self.frames.last(), Some(Frame { open: Open::Object { key: None, .. }, .. }))
    }

    fn key(&mut self, value: &str, kind: Kind, span: Span, merge: bool) {
        if !matches!(kind, Kind::String(_)) {
            let what = if value.is_empty() { "an empty key".into() } else { format!("the key {value}") };
            let found = syntax(self.text, span, format!("{what} is no text, and JSON's keys are"));
            self.errors.push(found.with_help(format!("quote it: {value:?}")));
        }
        if let Some(Frame { open: Open::Object { key, .. }, .. }) = self.frames.last_mut() {
            *key = Some(Key { text: value.to_owned(), span, merge });
        }
    }

    fn open(&mut self, anchor: usize, span: Span, open: Open, tag: Result<(), String>) -> Result<(), Box<Diagnostic>> {
        if self.wants_key() {
            return Err(
                syntax(self.text, span, "a list or an object cannot be a key: JSON's keys are text".into()).into()
            );
        }
        if self.frames.len() >= MAX_DEPTH {
            return Err(self.too_deep(span).into());
        }
        if let Err(why) = tag {
            self.errors.push(syntax(self.text, span, why));
        }
        self.frames.push(Frame { anchor, span, open });
        Ok(())
    }

    fn close(&mut self, end: Span) -> Result<(), Box<Diagnostic>> {
        let Some(Frame { anchor, span, open }) = self.frames.pop() else { return Ok(()) };
        let kind = match open {
            Open::Array(items) => Kind::Array(items),
            Open::Object { mut members, merges, .. } => {
                for merged in merges {
                    self.merge(&mut members, merged);
                }
                Kind::Object(members)
            }
        };
        let span = Span { start: span.start, end: end.end.max(span.end) };
        self.complete(Node { span, kind }, anchor)
    }

    fn merge(&mut self, members: &mut Vec<Member>, merged: Node) {
        let sources = match merged.kind {
            Kind::Array(items) => items,
            _ => vec![merged],
        };
        let mut known: HashSet<String> = members.iter().map(|member| member.key.clone()).collect();
        for source in sources {
            let Kind::Object(offered) = source.kind else {
                let message = "expected an object, or a list of objects, to merge".into();
                self.errors.push(syntax(self.text, source.span, message));
                continue;
            };
            members.extend(offered.into_iter().filter(|member| known.insert(member.key.clone())));
        }
    }

    fn alias(&mut self, anchor: usize, span: Span) -> Result<(), Box<Diagnostic>> {
        if self.wants_key() {
            return Err(syntax(self.text, span, "an alias cannot be a key".into()).into());
        }
        let Some(known) = self.anchors.get(&anchor) else {
            let message = "this alias stands inside of what it names, or in another document".into();
            return Err(syntax(self.text, span, message).into());
        };
        if known.weight > self.budget {
            let message = format!("the aliases of this text expand to more than {} MiB", ALIAS_BUDGET >> 20);
            return Err(syntax(self.text, span, message).into());
        }
        if self.frames.len() + known.depth > MAX_DEPTH {
            return Err(self.too_deep(span).into());
        }
        self.budget -= known.weight;
        let node = known.node.clone();
        self.complete(node, 0)
    }

    /// Put a complete node where it belongs.
    fn complete(&mut self, node: Node, anchor: usize) -> Result<(), Box<Diagnostic>> {
        self.values += 1;
        if self.values > MAX_VALUES {
            return Err(too_many_values(self.text, node.span).into());
        }
        if anchor > 0 {
            let weight = node.weight();
            // The copy that is kept counts too: anchors may nest.
            let Some(left) = self.budget.checked_sub(weight) else {
                let message = format!("the anchors of this text hold more than {} MiB", ALIAS_BUDGET >> 20);
                return Err(syntax(self.text, node.span, message).into());
            };
            self.budget = left;
            self.anchors.insert(anchor, Anchor { depth: node.depth(), weight, node: node.clone() });
        }
        match self.frames.last_mut().map(|frame| &mut frame.open) {
            None => self.documents.push(node),
            Some(Open::Array(items)) => items.push(node),
            Some(Open::Object { members, key, merges }) => match key.take() {
                Some(key) if key.merge => merges.push(node),
                Some(key) => members.push(Member { key: key.text, key_span: key.span, value: node }),
                None => {}
            },
        }
        Ok(())
    }

    fn too_deep(&self, span: Span) -> Diagnostic {
        syntax(self.text, span, format!("nested more than {MAX_DEPTH} levels deep"))
    }

    fn bad_yaml(&self, offset: usize, words: &str) -> Diagnostic {
        let rest = self.text.as_str().get(offset..).unwrap_or_default();
        // A tab is told at the beginning of what it stands in, which may be lines before it.
        let tab = words.contains("tab").then(|| rest.find('\t')).flatten();
        let offset = offset + tab.unwrap_or(0);
        let (span, words) = match self.text.as_str()[offset..].chars().next() {
            Some(c) => (Span::new(offset, offset + c.len_utf8()), words.to_owned()),
            None => (self.text.end(), format!("{words}, at the end of the text")),
        };
        // saphyr's own limit, which is above ours; it reads ahead.
        if words.contains("recursion limit") {
            return self.too_deep(span);
        }
        let found = syntax(self.text, span, format!("no YAML: {words}"));
        if tab.is_some() || found.source_line.trim_start_matches(' ').starts_with('\t') {
            return found.with_help("YAML is indented with spaces, not with tabs");
        }
        match found.source_line.matches(": ").count() > 1 {
            true => found.with_help("a value that holds \": \" has to be quoted"),
            false => found,
        }
    }

    fn finish(mut self) -> Node {
        // A `---` with nothing after it declares nothing.
        self.documents.retain(|node| !node.is_null());
        if self.documents.len() > 1 {
            let span = self.documents[0].span;
            let mut items = Vec::new();
            for document in self.documents {
                match document.kind {
                    Kind::Array(listed) => items.extend(listed),
                    _ => items.push(document),
                }
            }
            return Node { span, kind: Kind::Array(items) };
        }
        self.documents.pop().unwrap_or(Node { span: Span::default(), kind: Kind::Null })
    }
}

/// From saphyr's places, in characters, to ours, in bytes.
struct Places<'t> {
    text: &'t str,
    /// The byte of every [`Self::STEP`]th character; none where a character is a byte.
    bytes: Vec<usize>,
}

impl<'t> Places<'t> {
    const STEP: usize = 64;

    fn new(text: &'t str) -> Self {
        let bytes = match text.is_ascii() {
            true => Vec::new(),
            false => text.char_indices().step_by(Self::STEP).map(|(i, _)| i).collect(),
        };
        Self { text, bytes }
    }

    fn offset(&self, index: usize) -> usize {
        if self.bytes.is_empty() {
            return index.min(self.text.len());
        }
        let Some(&near) = self.bytes.get(index / Self::STEP) else { return self.text.len() };
        let far = self.text[near..].char_indices().nth(index % Self::STEP);
        far.map_or(self.text.len(), |(i, _)| near + i)
    }

    fn span(&self, mark: Mark) -> Span {
        Span::new(self.offset(mark.start.index()), self.offset(mark.end.index()))
    }
}
