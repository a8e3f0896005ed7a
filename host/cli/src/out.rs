//! Standard output and standard error. A reader that has gone away (`| head`) is no error; a full disk is.

use std::io::{self, ErrorKind, Write};

use anyhow::{Context, Result};
use serde::Serialize;

/// Print a text and the end of its last line to standard output.
///
/// # Errors
/// Where it cannot be written, unless nobody reads any more.
pub(crate) fn print(text: &str) -> Result<()> {
    quiet(put(&mut io::stdout().lock(), text)).context("standard output cannot be written")
}

/// Print a text and the end of its last line to standard output. Answers whether anybody still reads.
///
/// # Errors
/// As [`print`].
pub(crate) fn offer(text: &str) -> Result<bool> {
    match put(&mut io::stdout().lock(), text) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        other => other.map(|()| true).context("standard output cannot be written"),
    }
}

/// Print a value to standard output as indented JSON.
///
/// # Errors
/// As [`print`].
pub(crate) fn json(value: &impl Serialize) -> Result<()> {
    print(&serde_json::to_string_pretty(value).context("the answer cannot be written as JSON")?)
}

/// Print a text to standard error. There is nobody to tell where that fails.
pub(crate) fn note(text: &str) {
    let _ = put(&mut io::stderr().lock(), text);
}

fn put(to: &mut impl Write, text: &str) -> io::Result<()> {
    to.write_all(text.as_bytes())?;
    if !text.ends_with('\n') {
        to.write_all(b"\n")?;
    }
    to.flush()
}

fn quiet(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_pipe_is_quiet_and_a_full_disk_is_not() {
        assert!(quiet(Err(ErrorKind::BrokenPipe.into())).is_ok());
        assert!(quiet(Err(ErrorKind::StorageFull.into())).is_err());
    }

    #[test]
    fn a_text_ends_with_one_line_end() {
        let mut to = Vec::new();
        put(&mut to, "a").unwrap();
        put(&mut to, "b\n").unwrap();
        assert_eq!(to, b"a\nb\n");
    }
}
