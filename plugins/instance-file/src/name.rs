//! Which file belongs to which instance.
//!
//! An instance named `web-1` is the file `web-1.json`; its id is its name. Files that a call needs for a moment begin
//! with a dot and do not end in `.json`, so that no instance can be called like one of them.

use std::time::Duration;

/// How old a helper file must be before `list` reports it as left behind by a killed call.
pub const STALE: Duration = Duration::from_secs(60);

/// The longest instance name, in bytes (the contract's rule for `provision`).
const MAX_NAME: usize = 128;

const INSTANCE: &str = ".json";
const TEMPORARY: &str = ".tmp";
const LOCK: &str = ".lock";

/// Whether `name` may name an instance: 1 to 128 bytes of `[A-Za-z0-9._-]`. There is no separator among them, and the
/// file's name has a suffix, so that neither `..` nor any other name leaves the directory.
pub fn is_valid(name: &str) -> bool {
    (1..=MAX_NAME).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

/// The file of the instance `name`.
pub fn instance_file(name: &str) -> String {
    [name, INSTANCE].concat()
}

/// The name of the instance that `file` would be, if it is one.
pub fn of_instance_file(file: &str) -> Option<&str> {
    file.strip_suffix(INSTANCE).filter(|name| is_valid(name))
}

/// A file to write the instance `name` to before it gets its own name. `unique` keeps calls for one name apart.
pub fn temporary_file(name: &str, unique: u64) -> String {
    format!(".{name}.{unique:016x}{TEMPORARY}")
}

/// The file that exists while a call changes or destroys the instance `name`.
pub fn lock_file(name: &str) -> String {
    [".", name, LOCK].concat()
}

/// Whether `file` is one that a call needs for a moment: not an instance, and not to be reported before [`STALE`].
pub fn is_helper_file(file: &str) -> bool {
    file.strip_prefix('.')
        .and_then(|rest| rest.strip_suffix(TEMPORARY).or_else(|| rest.strip_suffix(LOCK)))
        .is_some_and(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_are_the_contracts() {
        for good in ["a", "web-1", "A.b_C-9", ".", "..", "-", &"x".repeat(128)] {
            assert!(is_valid(good), "{good}");
        }
        for bad in ["", "a/b", "../a", "a\\b", "a b", "a\0", "ä", "a\n", "%2e", ":", &"x".repeat(129)] {
            assert!(!is_valid(bad), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn no_name_leaves_the_directory_or_takes_a_helpers_name(name in "[A-Za-z0-9._-]{1,128}", unique: u64) {
            prop_assert!(is_valid(&name));
            let file = instance_file(&name);
            prop_assert!(!file.contains(['/', '\\', '\0']) && file != "." && file != ".." && file.len() <= 255);
            prop_assert_eq!(of_instance_file(&file), Some(&*name));
            prop_assert!(!is_helper_file(&file));
            for helper in [temporary_file(&name, unique), lock_file(&name)] {
                prop_assert!(is_helper_file(&helper) && of_instance_file(&helper).is_none() && helper.len() <= 255);
            }
        }
    }
}
