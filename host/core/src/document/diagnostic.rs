//! What is wrong with a document, and where.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::node::Span;

/// The most characters of a line that a diagnostic carries.
const SOURCE_LINE: usize = 160;

/// One thing that is wrong with a document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Diagnostic {
    /// What is wrong, and what was expected.
    pub message: String,
    /// Which member of the document, for a person: `Groups[0].Properties.Allocation.Size`; empty for the whole.
    pub path: String,
    /// The same as a JSON Pointer (RFC 6901).
    pub pointer: String,
    /// The document's name; `-` is standard input.
    pub file: String,
    /// The line, from 1.
    pub line: u32,
    /// The column, from 1, in characters.
    pub column: u32,
    /// How many characters of that line are meant, at least 1.
    pub len: u32,
    /// The text of that line: without its end, cut to a window where it is long, and with characters that would upset a
    /// terminal replaced by U+FFFD.
    pub source_line: String,
    /// Where the column is in `source_line`, from 1: another than `column` only where the line was cut.
    pub source_column: u32,
    /// How to mend it, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}

impl Diagnostic {
    /// The same with a help.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// One line: `web.json:3:14: Properties.Allocation.Size: expected ...`, and the help after it.
impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: ", self.file, self.line, self.column)?;
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)?;
        match &self.help {
            Some(help) => write!(f, " ({help})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Diagnostic {}

/// A document's text, in which places are found.
#[derive(Clone, Debug)]
pub(super) struct Text {
    file: String,
    text: String,
    /// Where each line begins, in bytes. The first is 0.
    lines: Vec<u32>,
}

impl Text {
    pub(super) fn new(file: &str, text: &str) -> Self {
        let starts = text.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(i, _)| i + 1);
        let lines = std::iter::once(0).chain(starts).map(|i| u32::try_from(i).unwrap_or(u32::MAX)).collect();
        Self { file: file.into(), text: text.into(), lines }
    }

    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    pub(super) fn slice(&self, span: Span) -> &str {
        self.text.get(span.start as usize..span.end as usize).unwrap_or_default()
    }

    /// The line that a byte is on, from 1.
    pub(super) fn line(&self, offset: u32) -> u32 {
        u32::try_from(self.lines.partition_point(|start| *start <= offset)).unwrap_or(u32::MAX).max(1)
    }

    /// A byte from a line and a column in bytes, both from 1, however far off they are.
    pub(super) fn offset(&self, line: usize, column: usize) -> usize {
        let start = self.lines.get(line.saturating_sub(1)).map_or(self.text.len(), |start| *start as usize);
        let mut offset = (start + column.saturating_sub(1)).min(self.text.len());
        while !self.text.is_char_boundary(offset) {
            offset -= 1;
        }
        offset
    }

    /// The last character that is not blank: where a text ends too soon.
    pub(super) fn end(&self) -> Span {
        let text = self.text.trim_end();
        let start = text.char_indices().next_back().map_or(0, |(i, _)| i);
        Span::new(start, text.len())
    }

    /// A diagnostic at a place. A place past the end is taken to the end.
    pub(super) fn diagnose(&self, span: Span, pointer: &str, path: String, message: String) -> Diagnostic {
        let mut offset = (span.start as usize).min(self.text.len());
        while !self.text.is_char_boundary(offset) {
            offset -= 1;
        }
        let line = self.line(u32::try_from(offset).unwrap_or(u32::MAX));
        let start = self.lines[line as usize - 1] as usize;
        let whole = self.text[start..].split('\n').next().unwrap_or_default();
        let whole = whole.strip_suffix('\r').unwrap_or(whole);
        let chars = whole.chars().count();
        // A place inside of the line's end counts as its end.
        let before = self.text[start..offset].chars().count().min(chars);
        let len = self.text[offset..].get(..(span.end as usize).saturating_sub(offset)).unwrap_or_default();
        let len = len.chars().take_while(|c| !matches!(c, '\n' | '\r')).count();
        let (source_line, skipped) = window(whole, chars, before);
        let narrow = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Diagnostic {
            message,
            path,
            pointer: pointer.into(),
            file: self.file.clone(),
            line,
            column: narrow(before + 1),
            len: narrow(len.max(1)),
            source_line,
            source_column: narrow(before - skipped + 1),
            help: None,
        }
    }
}

/// The part of a line to show, and how many characters before it are left out.
fn window(line: &str, chars: usize, column: usize) -> (String, usize) {
    if chars <= SOURCE_LINE {
        return (line.chars().map(tame).collect(), 0);
    }
    let first = column.saturating_sub(SOURCE_LINE / 4).min(chars.saturating_sub(SOURCE_LINE)).min(column);
    let mut shown: Vec<char> = line.chars().skip(first).take(SOURCE_LINE).map(tame).collect();
    if first > 0 && column > first {
        shown[0] = '…';
    }
    if first + shown.len() < chars
        && let Some(last) = shown.last_mut()
    {
        *last = '…';
    }
    (shown.into_iter().collect(), first)
}

/// A document may come from anyone: no escape sequence and no reversal of the writing direction reaches the terminal.
fn tame(c: char) -> char {
    match c {
        '\t' => c,
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => '\u{fffd}',
        c if c.is_control() => '\u{fffd}',
        c => c,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str, start: usize, end: usize) -> Diagnostic {
        Text::new("f", text).diagnose(Span::new(start, end), "", String::new(), "m".into())
    }

    #[test]
    fn columns_are_characters_and_lines_end_with_lf_or_crlf() {
        let text = "äöü: 1\r\nb: 'ß' x\n";
        let found = at(text, text.find('x').unwrap(), text.find('x').unwrap() + 1);
        assert_eq!((found.line, found.column, found.len, found.source_line.as_str()), (2, 8, 1, "b: 'ß' x"));
        assert_eq!(at(text, 0, 3).source_line, "äöü: 1");
        // A token of several lines is marked to the end of its first one.
        assert_eq!(at("ab\r\ncd", 1, 6).len, 1);
    }

    #[test]
    fn a_place_off_the_text_or_inside_a_character_is_moved_to_one_that_exists() {
        assert_eq!((at("", 7, 9).line, at("", 7, 9).column, at("", 7, 9).len), (1, 1, 1));
        assert_eq!(at("é", 1, 2).column, 1);
        assert_eq!(at("a\n", 99, 99).line, 2);
    }

    #[test]
    fn a_long_line_is_cut_around_the_place() {
        let text = format!("{}X{}", "a".repeat(5000), "b".repeat(5000));
        let found = at(&text, 5000, 5001);
        assert_eq!(found.column, 5001);
        assert_eq!(found.source_line.chars().count(), SOURCE_LINE);
        assert_eq!(found.source_line.chars().nth(found.source_column as usize - 1), Some('X'));
        let (first, last) = (at(&text, 0, 1), at(&text, 10_000, 10_001));
        assert_eq!((first.source_column, last.source_line.ends_with('b')), (1, true));
        assert_eq!(last.source_line.chars().nth(last.source_column as usize - 1), Some('b'));
    }

    #[test]
    fn what_would_upset_a_terminal_is_replaced() {
        assert_eq!(at("a\u{1b}[31m\u{202e}b\tc", 0, 1).source_line, "a\u{fffd}[31m\u{fffd}b\tc");
    }

    #[test]
    fn it_crosses_the_api_unchanged() {
        let found = at("abc", 1, 2).with_help("try this");
        let json = serde_json::to_value(&found).unwrap();
        assert_eq!(json["SourceLine"], "abc");
        assert_eq!(serde_json::from_value::<Diagnostic>(json).unwrap(), found);
    }
}
