//! Fields that are judged together, after each was read by itself.

use super::MAX_DIAGNOSTICS;
use super::decode::At;
use super::suggest::nearest;

/// The fields of one object.
pub(super) struct Fields<'n> {
    at: At<'n>,
    /// Those that an unknown field was most likely meant to be.
    misspelt: Vec<&'static str>,
}

impl<'n> Fields<'n> {
    pub(super) fn of(at: &At<'n>, known: &[&'static str]) -> Self {
        let unknown = at.node.members().iter().filter(|member| !known.contains(&member.key.as_str()));
        // Past so many nobody is told of them.
        let near = unknown.take(MAX_DIAGNOSTICS).filter_map(|member| nearest(&member.key, known.iter().copied()));
        Self { at: at.clone(), misspelt: near.collect() }
    }

    pub(super) fn read<T>(&self, name: &str, read: impl FnOnce(&At<'n>) -> Option<T>) -> Field<'n, T> {
        let at = self.at.get(name);
        Field { value: at.as_ref().and_then(read), misspelt: self.misspelt.contains(&name), at }
    }
}

/// A field: where it is, and what it says as far as it could be read.
pub(super) struct Field<'n, T> {
    pub(super) at: Option<At<'n>>,
    pub(super) value: Option<T>,
    misspelt: bool,
}

impl<'n, T> Field<'n, T> {
    pub(super) fn is_absent(&self) -> bool {
        self.at.is_none() && !self.misspelt
    }

    /// Whether it says something that is not known.
    pub(super) fn is_wrong(&self) -> bool {
        self.value.is_none() && !self.is_absent()
    }

    /// Where it is, if what it says is so.
    pub(super) fn is(&self, so: impl FnOnce(&T) -> bool) -> Option<&At<'n>> {
        self.at.as_ref().filter(|_| self.value.as_ref().is_some_and(so))
    }
}
