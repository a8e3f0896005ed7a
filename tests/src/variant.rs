//! Other versions of a built plugin, made from its file: what an author's next build would be.

use std::fs;

use serde_json::Value;

use crate::plugin;

/// The name of the custom section that holds a plugin's manifest.
const MANIFEST: &[u8] = b"homeostat:manifest";

/// A version of a plugin.
#[derive(Clone)]
pub struct Variant(Vec<u8>);

impl Variant {
    /// The plugin as it was built; see [`plugin`] for its name.
    ///
    /// # Panics
    /// Where it was not.
    pub fn of(name: &str) -> Self {
        let file = plugin(name);
        Self(fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display())))
    }

    /// The same under another digest: with a custom section that nobody reads.
    #[must_use]
    pub fn marked(mut self, note: &str) -> Self {
        let name = b"homeostat-tests";
        let size = u8::try_from(1 + name.len() + note.len()).ok().filter(|it| *it < 0x80).expect("a short note");
        self.0.extend([0, size, name.len() as u8]);
        self.0.extend(name);
        self.0.extend(note.as_bytes());
        self
    }

    /// With other bytes in the place of these, and as many.
    ///
    /// # Panics
    /// Where these are not in it, or the others are more or fewer.
    #[must_use]
    pub fn with(mut self, from: &str, to: &str) -> Self {
        assert_eq!(from.len(), to.len(), "{from:?} and {to:?}");
        let mut found = 0;
        while let Some(at) = position(&self.0, from.as_bytes()) {
            self.0[at..at + to.len()].copy_from_slice(to.as_bytes());
            found += 1;
        }
        assert!(found > 0, "{from:?} is not in it");
        self
    }

    /// The hostile instance plugin in one of its modes.
    ///
    /// # Panics
    /// Where it is another plugin.
    #[must_use]
    pub fn mode(self, word: &str) -> Self {
        let text = |word: &str| format!("{:.<40}", format!("homeostat-hostile={word}"));
        self.with(&text("normal"), &text(word))
    }

    /// With another manifest.
    ///
    /// # Panics
    /// Where it has none, or this is longer.
    #[must_use]
    pub fn wanting(mut self, manifest: &Value) -> Self {
        let begin = position(&self.0, MANIFEST).expect("it has a manifest") + MANIFEST.len();
        let mut values = serde_json::Deserializer::from_slice(&self.0[begin..]).into_iter::<Value>();
        assert!(matches!(values.next(), Some(Ok(Value::Object(_)))), "the manifest is an object");
        let length = values.byte_offset();
        let text = format!("{manifest:length$}", manifest = manifest.to_string());
        assert_eq!(text.len(), length, "{manifest} is too long");
        self.0[begin..begin + length].copy_from_slice(text.as_bytes());
        self
    }

    /// Its file.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

fn position(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|it| it == part)
}
