//! Which paths, and which paths are plain enough to be judged at all.
//!
//! A pattern is worth nothing if the server reads a path in another way than the one who judged it. Where paths are
//! restricted, one that can be read in two ways is refused.

use std::collections::HashSet;
use std::fmt;
use std::str::FromStr;

/// The longest path that is judged, in bytes.
const MAX_PATH: usize = 4096;
/// The longest pattern, in bytes: each is a bit, and one bit is the end.
const MAX_PATTERN: usize = 127;

/// Why a path is refused, whatever is granted below its host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathFault {
    /// It is no path.
    #[error("the path does not begin with a slash")]
    Relative,
    /// It is too long.
    #[error("the path has more than {MAX_PATH} bytes")]
    TooLong,
    /// It holds what no path holds: a blank, a control character, `?` or `#`.
    #[error("the path holds {0:?}")]
    Character(char),
    /// A `%` without two hexadecimal digits.
    #[error("the path holds a % that begins no escape")]
    Escape,
    /// An empty segment: some servers read `//` as `/`.
    #[error("the path holds an empty segment (//), which servers read in two ways")]
    Empty,
    /// A segment `.` or `..`, however it is written: some servers follow it.
    #[error("the path holds a segment \".\" or \"..\", which servers read in two ways")]
    Dots,
    /// A slash, backslash or control character in disguise.
    #[error(
        "the path holds a backslash, or an escaped slash, backslash or control character, which servers read in two ways"
    )]
    Disguised,
    /// Escapes that are no UTF-8: some servers find slashes and dots in them.
    #[error("the path holds escapes that are no UTF-8, which servers read in two ways")]
    Encoding,
}

impl PathFault {
    /// Whether it could be sent at all. What is only unclear may go to a host that is granted with all its paths.
    pub fn is_malformed(self) -> bool {
        matches!(self, Self::Relative | Self::Character(_) | Self::TooLong)
    }
}

/// A path in the one form that is compared: escapes of unreserved characters (RFC 3986, section 2.3) decoded, others in
/// upper case.
pub(super) fn plain(path: &str) -> Result<Vec<u8>, PathFault> {
    let path = if path.is_empty() { "/" } else { path };
    if !path.starts_with('/') {
        return Err(PathFault::Relative);
    }
    if path.len() > MAX_PATH {
        return Err(PathFault::TooLong);
    }
    if let Some(wrong) = path.chars().find(|c| c.is_control() || matches!(c, ' ' | '?' | '#')) {
        return Err(PathFault::Character(wrong));
    }
    let bytes = path.as_bytes();
    let (mut plain, mut decoded) = (Vec::with_capacity(bytes.len()), Vec::with_capacity(bytes.len()));
    let mut i = 0;
    while let Some(&byte) = bytes.get(i) {
        i += 1;
        let mut value = byte;
        if byte == b'%' {
            value = escape(bytes.get(i..i + 2)).ok_or(PathFault::Escape)?;
            i += 2;
        }
        let unreserved = value.is_ascii_alphanumeric() || b"-._~".contains(&value);
        match byte {
            b'%' if value == b'/' || value.is_ascii_control() => return Err(PathFault::Disguised),
            _ if value == b'\\' => return Err(PathFault::Disguised),
            b'%' if unreserved => plain.push(value),
            b'%' | 0x80.. => plain.extend(format!("%{value:02X}").bytes()),
            _ => plain.push(byte),
        }
        decoded.push(value);
    }
    if std::str::from_utf8(&decoded).is_err() {
        return Err(PathFault::Encoding);
    }
    if plain.windows(2).any(|it| it == b"//") {
        return Err(PathFault::Empty);
    }
    let often = decoded_often(&plain);
    let hides = |it: &[u8]| matches!(it, [b'%', b'0'..=b'1', _] | b"%2f" | b"%5c" | b"%7f");
    if often.as_bytes().windows(3).any(hides) {
        return Err(PathFault::Disguised);
    }
    for segment in often.split('/') {
        // Some servers cut off parameters (`..;x`), or blanks at the end, before they look at the dots.
        let name = segment.replace("%3b", ";").replace("%20", " ");
        if matches!(name.split(';').next().unwrap_or_default().trim_end(), "." | "..") {
            return Err(PathFault::Dots);
        }
    }
    Ok(plain)
}

/// A plain path as a server sees it that decodes more than once, in lower case. Slashes, backslashes and control
/// characters are left escaped.
fn decoded_often(plain: &[u8]) -> String {
    let mut text = String::from_utf8_lossy(plain).to_ascii_lowercase();
    while text.contains("%25") {
        text = text.replace("%25", "%");
    }
    text.replace("%2e", ".")
}

fn escape(digits: Option<&[u8]>) -> Option<u8> {
    let digits = digits.filter(|it| it.iter().all(u8::is_ascii_hexdigit))?;
    u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Token {
    Byte(u8),
    /// Any bytes but `/`, or none.
    Segment,
    /// Any bytes, or none.
    Any,
}

impl Token {
    fn takes(self, byte: u8) -> bool {
        match self {
            Self::Byte(own) => own == byte,
            Self::Segment => byte != b'/',
            Self::Any => true,
        }
    }

    fn repeats(self) -> bool {
        !matches!(self, Self::Byte(_))
    }
}

/// A pattern of paths: `*` stands for any characters but `/`, `**` for any at all, also for none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathPattern {
    tokens: Vec<Token>,
}

impl PathPattern {
    /// Whether it lets every path pass.
    pub fn is_all(&self) -> bool {
        self.tokens == [Token::Byte(b'/'), Token::Any]
    }

    /// Whether a path fits.
    ///
    /// # Errors
    /// Where the path could be read in two ways.
    pub fn matches(&self, path: &str) -> Result<bool, PathFault> {
        Ok(self.fits(&plain(path)?))
    }

    /// The same for a path that is plain. A set of positions in the pattern, one bit each, goes along the path: the time
    /// is the path's length, whatever the pattern is.
    pub(super) fn fits(&self, path: &[u8]) -> bool {
        let [mut stays, mut stays_in_segment] = [0_u128; 2];
        let mut takes = [0_u128; 256];
        for (i, token) in self.tokens.iter().enumerate() {
            match token {
                Token::Byte(byte) => takes[usize::from(*byte)] |= 1 << i,
                Token::Segment => stays_in_segment |= 1 << i,
                Token::Any => stays |= 1 << i,
            }
        }
        // No two stars stand side by side, so one step over a star is enough.
        let past_star = |at: u128| at | ((at & (stays | stays_in_segment)) << 1);
        let mut at = past_star(1);
        for &byte in path {
            let stay = if byte == b'/' { stays } else { stays | stays_in_segment };
            at = past_star((at & stay) | ((at & takes[usize::from(byte)]) << 1));
            if at == 0 {
                return false;
            }
        }
        at & (1 << self.tokens.len()) != 0
    }

    /// Whether every path that fits `other` fits this one too. It may say no where that is hard to see, never yes where
    /// it is not so.
    pub fn covers(&self, other: &Self) -> bool {
        let mut at = HashSet::from([0]);
        self.skip_stars(&mut at);
        for token in &other.tokens {
            let mut next = HashSet::new();
            for i in at {
                let Some(own) = self.tokens.get(i) else { continue };
                match (own, token) {
                    (Token::Any, _) => drop(next.insert(i)),
                    (Token::Segment, Token::Segment) => drop(next.insert(i)),
                    (Token::Segment, Token::Byte(byte)) if *byte != b'/' => drop(next.insert(i)),
                    (Token::Byte(own), Token::Byte(byte)) if own == byte => drop(next.insert(i + 1)),
                    _ => {}
                }
            }
            at = next;
            self.skip_stars(&mut at);
        }
        at.contains(&self.tokens.len())
    }

    fn skip_stars(&self, at: &mut HashSet<usize>) {
        let past: Vec<usize> =
            at.iter().filter(|i| self.tokens.get(**i).is_some_and(|it| it.repeats())).map(|i| i + 1).collect();
        at.extend(past);
    }

    /// Whether there is a path that fits both.
    pub fn overlaps(&self, other: &Self) -> bool {
        let mut seen = HashSet::new();
        let mut open = vec![(0, 0)];
        while let Some((i, j)) = open.pop() {
            if !seen.insert((i, j)) {
                continue;
            }
            let (left, right) = (self.tokens.get(i).copied(), other.tokens.get(j).copied());
            if left.is_none() && right.is_none() {
                return true;
            }
            if left.is_some_and(Token::repeats) {
                open.push((i + 1, j));
            }
            if right.is_some_and(Token::repeats) {
                open.push((i, j + 1));
            }
            match (left, right) {
                (Some(Token::Byte(a)), Some(Token::Byte(b))) if a == b => open.push((i + 1, j + 1)),
                (Some(star), Some(Token::Byte(byte))) if star.repeats() && star.takes(byte) => open.push((i, j + 1)),
                (Some(Token::Byte(byte)), Some(star)) if star.repeats() && star.takes(byte) => open.push((i + 1, j)),
                _ => {}
            }
        }
        false
    }

    /// A pattern that fits a path and, where the path is too long or unclear for a pattern of its own, what lies beside it.
    pub(super) fn around(path: &str) -> Option<Self> {
        let plain = String::from_utf8(plain(path).ok()?).ok()?;
        let mut head = plain.as_str();
        if let Ok(pattern) = head.parse() {
            return Some(pattern);
        }
        while let Some(cut) = head.rfind('/') {
            head = &head[..cut];
            if let Ok(pattern) = format!("{head}/**").parse() {
                return Some(pattern);
            }
        }
        None
    }
}

impl FromStr for PathPattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const EXAMPLE: &str = "write it as /v1/instances/*, or /v1/** for all below";
        if text == "*" || text == "**" {
            return Err(format!("{text:?} is no path; for all paths write /**, or give no paths at all"));
        }
        let plain = match plain(text) {
            _ if text.is_empty() => return Err(format!("the path is empty; {EXAMPLE}")),
            Err(PathFault::Relative) => return Err(format!("{text:?} does not begin with a slash; {EXAMPLE}")),
            Err(PathFault::Character('?')) => {
                return Err(format!("{text:?} has a query, which is not matched; leave out the ? and what follows"));
            }
            Err(fault) => return Err(format!("{text:?} would match nothing: {fault}")),
            Ok(plain) => plain,
        };
        let mut tokens = Vec::with_capacity(plain.len());
        for byte in plain {
            match (byte, tokens.last()) {
                (b'*', Some(Token::Segment)) => *tokens.last_mut().unwrap_or(&mut Token::Any) = Token::Any,
                (b'*', Some(Token::Any)) => {}
                (b'*', _) => tokens.push(Token::Segment),
                (byte, _) => tokens.push(Token::Byte(byte)),
            }
        }
        match tokens.len() {
            0..=MAX_PATTERN => Ok(Self { tokens }),
            long => Err(format!("a pattern of {long} bytes; at most {MAX_PATTERN} are allowed: end it early with **")),
        }
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        for token in &self.tokens {
            match token {
                // All bytes of a plain path are ASCII.
                Token::Byte(byte) => text.push(char::from(*byte)),
                Token::Segment => text.push('*'),
                Token::Any => text.push_str("**"),
            }
        }
        f.write_str(&text)
    }
}

#[cfg(test)]
mod tests;
