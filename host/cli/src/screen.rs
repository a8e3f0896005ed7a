//! Standard error as a screen: a picture that is drawn over and over at its end, and lines that go above it.
//!
//! Each change is one write, so that nothing flickers, and a picture that has not changed is not drawn again.

use std::io::{self, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

use console::{Term, measure_text_width};

/// The lines of the picture that stand on the terminal.
static DRAWN: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// To the end of the line, and to the end of the screen: ECMA-48's `EL` and `ED`.
const CLEAR_LINE: &str = "\x1b[K";
const CLEAR_BELOW: &str = "\x1b[J";

fn drawn() -> MutexGuard<'static, Vec<String>> {
    DRAWN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The width of the terminal and its height.
pub(crate) fn size() -> (usize, usize) {
    let (height, width) = Term::stderr().size_checked().unwrap_or((24, 80));
    (width.into(), height.into())
}

/// Draw this picture in the place of the one before.
pub(crate) fn draw(picture: &str) {
    let lines: Vec<String> = picture.lines().map(str::to_owned).collect();
    let mut drawn = drawn();
    if *drawn != lines {
        // There is nobody to tell where standard error cannot be written.
        let _ = io::stderr().write_all((back(&drawn, size().0) + &text(&lines)).as_bytes());
        *drawn = lines;
    }
}

/// Let the picture stand, and draw the next one below it.
pub(crate) fn leave() {
    let mut drawn = drawn();
    if !drawn.is_empty() {
        // The terminal has echoed the keys that were pressed (`^C`) below the picture.
        let _ = io::stderr().write_all(format!("\r{CLEAR_LINE}").as_bytes());
    }
    drawn.clear();
}

/// Write lines above the picture.
pub(crate) fn above(lines: &[u8]) -> io::Result<()> {
    let drawn = drawn();
    if drawn.is_empty() {
        return io::stderr().write_all(lines);
    }
    let mut all = back(&drawn, size().0).into_bytes();
    all.extend_from_slice(CLEAR_BELOW.as_bytes());
    all.extend_from_slice(lines);
    all.extend_from_slice(text(&drawn).as_bytes());
    io::stderr().write_all(&all)
}

/// From below a picture to its first line. A terminal that has become narrower has wrapped lines since.
fn back(drawn: &[String], width: usize) -> String {
    let rows: usize = drawn.iter().map(|it| measure_text_width(it).div_ceil(width.max(1)).max(1)).sum();
    if rows == 0 { String::new() } else { format!("\x1b[{rows}A\r") }
}

fn text(lines: &[String]) -> String {
    let lines: String = lines.iter().map(|it| format!("{it}{CLEAR_LINE}\n")).collect();
    lines + CLEAR_BELOW
}

/// Where the log goes.
#[derive(Debug, Default)]
pub(crate) struct LogWriter;

impl Write for LogWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        above(bytes).map(|()| bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_is_gone_back_over_by_its_rows_and_not_its_lines() {
        let lines = ["a".repeat(80), String::new(), format!("\x1b[1m{}\x1b[0m", "b".repeat(41))];
        assert_eq!(back(&lines, 80), "\x1b[3A\r");
        assert_eq!(back(&lines, 40), "\x1b[5A\r");
        assert_eq!(back(&[], 80), "");
    }
}
