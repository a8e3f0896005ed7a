//! Programs.

use super::{list, parsed, quoted, words};
use crate::document::decode::{At, Decoder};
use crate::grant::ExecGrant;

const EXEC: [&str; 3] = ["Path", "Args", "Env"];

pub(super) fn grant(decoder: &mut Decoder<'_>, at: &At<'_>) -> Option<ExecGrant> {
    if !decoder.object(at, "{\"Path\", \"Args\", \"Env\"}", &EXEC) {
        return None;
    }
    let what = "the path of the program";
    let path = decoder.required(at, "Path", &EXEC, what).and_then(|at| {
        let text = decoder.string(&at, what)?;
        if !text.is_empty() && !text.contains('/') {
            if let Some(error) = decoder.error(&at, format!("{} is a name and no path", quoted(text))) {
                error.help =
                    Some("write the path out, such as \"/usr/bin/nginx\": programs are not searched for".into());
            }
            return None;
        }
        decoder.path_text(&at, text)
    });
    let args = at.get("Args").map(|at| {
        list(decoder, &at, "lists of arguments", |decoder, at, before: &[Vec<String>]| {
            let args = arguments(decoder, at);
            if before.contains(&args) {
                decoder.error(at, "the same arguments are allowed already");
                return None;
            }
            Some(args)
        })
    });
    let env = at.get("Env").map(|at| words(decoder, &at, "names of environment variables", variable));
    Some(ExecGrant { path: path?.into(), args: args.unwrap_or_default(), env: env.unwrap_or_default() })
}

/// One list of arguments.
fn arguments(decoder: &mut Decoder<'_>, at: &At<'_>) -> Vec<String> {
    let last = at.node.items().len();
    let mut position = 0;
    list(decoder, at, "arguments, each a string", |decoder, at, _| {
        position += 1;
        parsed(decoder, at, "an argument as a string", |text| match text {
            _ if text.contains('\0') => Err("an argument cannot hold a NUL character".into()),
            "**" if position < last => {
                Err("\"**\" stands for all further arguments, so it has to be the last; \"*\" stands for one".into())
            }
            _ => Ok(text.to_owned()),
        })
    })
}

fn variable(text: &str) -> Result<String, String> {
    let valid = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '*');
    match text {
        "*" | "**" => Err("\"*\" would be every variable, also those by which code is loaded; name them".into()),
        _ if !text.is_empty() && text.chars().all(valid) && !text.starts_with(|c: char| c.is_ascii_digit()) => {
            Ok(text.into())
        }
        _ => Err(format!("{} cannot name an environment variable; write PORT, or APP_* for several", quoted(text))),
    }
}
