//! `--allow-exec 'web=/usr/bin/nginx -c **; env=PORT'`

use super::{named, parts, unknown};
use crate::grant::ExecGrant;

const FORM: &str = "write it as NAME=/path/of/program, or 'NAME=/path/of/program -c **' to allow arguments";
const KEYS: [&str; 2] = ["args", "env"];

/// Read `NAME=PATH[ ARGUMENTS][; args=ARGUMENTS][; env=NAME]...`. Arguments are words with blanks between them; a blank
/// within a word has a backslash before it, and an empty word is `""`. The path is left as it is written.
///
/// # Errors
/// A sentence that says what is wrong, and how to write it.
pub fn read_exec(text: &str) -> Result<(String, ExecGrant), String> {
    let (name, rest) = named(text, FORM)?;
    let (command, rest) = parts(rest)?;
    let mut words = words(&command)?.into_iter();
    let path = words.next().filter(|it| !it.is_empty()).ok_or_else(|| format!("the program is missing; {FORM}"))?;
    let mut grant = ExecGrant { path: path.into(), args: Vec::new(), env: Vec::new() };
    let first: Vec<String> = words.collect();
    if !first.is_empty() {
        grant.args.push(first);
    }
    for (key, value) in rest {
        match key.as_str() {
            "args" => grant.args.push(self::words(&value)?),
            "env" => grant.env.push(value.trim_end().into()),
            other => return Err(unknown(other, &KEYS)),
        }
    }
    Ok((name, grant))
}

/// Write what [`read_exec`] reads.
pub fn write_exec(name: &str, grant: &ExecGrant) -> String {
    let mut text = format!("{name}={}", word(&grant.path.display().to_string()));
    for args in &grant.args {
        let args: Vec<String> = args.iter().map(|it| word(it)).collect();
        text.push_str(&format!("; args={}", args.join(" ")));
    }
    for env in &grant.env {
        text.push_str(&format!("; env={}", super::escape(env)));
    }
    text
}

fn words(text: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            blank if blank.is_whitespace() => words.extend(word.take()),
            '"' if word.is_none() && letters.peek() == Some(&'"') => {
                letters.next();
                word = Some(String::new());
            }
            '\\' => match letters.next() {
                Some(escaped) => word.get_or_insert_default().push(escaped),
                None => return Err(format!("{text:?} ends in a backslash, which would escape nothing")),
            },
            letter => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    Ok(words)
}

/// A word with what [`words`] takes for its own escaped, and then what the parts take for theirs.
fn word(text: &str) -> String {
    if text.is_empty() {
        return "\"\"".into();
    }
    let mut escaped = String::new();
    for letter in text.chars() {
        if letter.is_whitespace() || matches!(letter, '\\' | '"') {
            escaped.push('\\');
        }
        escaped.push(letter);
    }
    super::escape(&escaped)
}
