//! Names that become names of directories.

use homeostat_core::spec::valid_plugin_name;

use crate::ExecError;

/// The longest key, in bytes.
const MAX_KEY: usize = 128;

/// Whether a process can have this key: 1 to 128 bytes of `[A-Za-z0-9._-]`, and neither `.` nor `..`.
pub fn valid_key(key: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    (1..=MAX_KEY).contains(&key.len()) && key.bytes().all(known) && key != "." && key != ".."
}

pub(crate) fn check_key(key: &str) -> Result<(), ExecError> {
    if valid_key(key) {
        return Ok(());
    }
    // What is wrong may be its length.
    let shown: String = key.chars().take(MAX_KEY).collect();
    let rule = "a key is 1 to 128 letters (a-z, A-Z), digits, \".\", \"_\" and \"-\", and neither \".\" nor \"..\"";
    Err(ExecError::Invalid(format!("{shown:?} is no key for a process: {rule}")))
}

/// The directory of a plugin. A plugin's name may hold slashes; the sign that stands for them may not be in a name, so that
/// no two plugins share a directory.
pub(crate) fn plugin_folder(plugin: &str) -> Result<String, ExecError> {
    let folder = plugin.replace('/', "%");
    if valid_plugin_name(plugin) && !folder.starts_with('.') {
        return Ok(folder);
    }
    Err(ExecError::Invalid(format!("{plugin:?} is no name of a plugin")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_no_keys() {
        for key in ["", ".", "..", "../x", "a/b", "/etc", "a\0b", "~new-1", "a b", "\u{e9}", &"x".repeat(129)] {
            assert!(check_key(key).is_err(), "{key:?} was accepted");
        }
        for key in ["a", "web-1-x7f", "...", ".hidden", "A_b.c", &"x".repeat(128)] {
            assert!(check_key(key).is_ok(), "{key:?} was refused");
        }
    }

    #[test]
    fn plugins_never_share_a_folder() {
        assert_eq!(plugin_folder("acme/web").expect("a folder"), "acme%web");
        for name in ["", "..", "../x", "a%b", "/a"] {
            assert!(plugin_folder(name).is_err(), "{name:?} was accepted");
        }
    }
}
