//! The names by which a plugin and an operator mean the same secret, setting or program.

/// The longest name, in bytes.
const MAX_NAME: usize = 64;

/// Whether a text may name a secret, a setting or a program: 1 to 64 of `[a-z0-9._-]`.
///
/// # Errors
/// A sentence that says why not.
pub fn valid_name(text: &str) -> Result<(), String> {
    let valid = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'-');
    if (1..=MAX_NAME).contains(&text.len()) && text.bytes().all(valid) {
        return Ok(());
    }
    let shown: String = text.chars().take(MAX_NAME).collect();
    let lower = text.to_ascii_lowercase();
    Err(match lower != text && valid_name(&lower).is_ok() {
        true => format!("{shown:?} is not in lower case; write {lower:?}"),
        false => format!("{shown:?} is no name; a name is 1 to {MAX_NAME} of a-z, 0-9, \".\", \"_\" and \"-\""),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_and_plain() {
        for name in ["token", "a", "eu-1.x_y", &"a".repeat(64)] {
            assert_eq!(valid_name(name), Ok(()));
        }
        for name in ["", "a b", "ä", "a/b", "a=b", &"a".repeat(65)] {
            assert!(valid_name(name).expect_err(name).contains("1 to 64"), "{name}");
        }
        assert!(valid_name("TOKEN").expect_err("upper case").contains("write \"token\""));
    }
}
