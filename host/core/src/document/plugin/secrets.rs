//! Where secrets come from.

use crate::document::decode::{At, Decoder};
use crate::document::node::Kind;
use crate::grant::{SecretSource, valid_name};

const SOURCE: [&str; 3] = ["File", "Env", "Store"];
const FORM: &str = "{\"File\": path}, {\"Env\": variable} or {\"Store\": name}";

pub(super) fn source(decoder: &mut Decoder<'_>, at: &At<'_>) -> Option<SecretSource> {
    // It may be the secret itself, which shall not be repeated.
    if matches!(at.node.kind, Kind::String(_) | Kind::Number(_)) {
        if let Some(error) = decoder.error(at, format!("expected where the secret comes from: {FORM}")) {
            error.help = Some("a secret itself is never written in a document".into());
        }
        return None;
    }
    if !decoder.object(at, FORM, &SOURCE) {
        return None;
    }
    let given: Vec<&str> = SOURCE.into_iter().filter(|it| at.get(it).is_some()).collect();
    match given.as_slice() {
        ["File"] => {
            let at = at.get("File")?;
            let text = decoder.string(&at, "the path of a file")?;
            decoder.path_text(&at, text).map(|it| SecretSource::File(it.into()))
        }
        ["Env"] => {
            let at = at.get("Env")?;
            let text = decoder.string(&at, "the name of an environment variable")?;
            let valid = |c: char| c.is_ascii_alphanumeric() || c == '_';
            if text.is_empty() || !text.chars().all(valid) || text.starts_with(|c: char| c.is_ascii_digit()) {
                decoder.expected(&at, "the name of an environment variable, such as \"TOKEN\"");
                return None;
            }
            Some(SecretSource::Env(text.into()))
        }
        ["Store"] => {
            let at = at.get("Store")?;
            super::parsed(decoder, &at, "a name in the host's store", |text| valid_name(text).map(|()| text.into()))
                .map(SecretSource::Store)
        }
        [] => {
            // A misspelt one has been told.
            if at.node.members().iter().all(|it| SOURCE.contains(&it.key.as_str())) {
                decoder.error(at, format!("nothing says where the secret comes from: {FORM}"));
            }
            None
        }
        many => {
            let named: Vec<String> = many.iter().map(|it| format!("{it:?}")).collect();
            decoder.error(at, format!("{} are given; keep one", named.join(" and ")));
            None
        }
    }
}
