//! SHA-256 as text: 64 lower-case hexadecimal digits.

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

/// The SHA-256 of some bytes, as `sha256sum` prints it.
pub fn sha256(bytes: &[u8]) -> String {
    HEXLOWER.encode(&Sha256::digest(bytes))
}

/// Whether a text is a SHA-256 as this crate writes it. One that is not must never become the name of a file.
pub(crate) fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// What is wrong with a text that should be a SHA-256.
pub(crate) fn not_sha256(text: &str) -> String {
    let lower = text.to_ascii_lowercase();
    match lower.strip_prefix("sha256:").unwrap_or(&lower) {
        digest if is_sha256(digest) => format!("{text:?} is no SHA-256 as it is written here; write {digest:?}"),
        _ => {
            format!("{text:?} is no SHA-256: that is 64 lower-case hexadecimal digits, as `sha256sum FILE` prints them")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_what_sha256sum_prints() {
        assert_eq!(sha256(b""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        assert!(is_sha256(&sha256(b"x")));
    }

    #[test]
    fn what_is_no_digest_is_said_to_be_none() {
        let digest = sha256(b"x");
        for text in ["", "abc", &digest[1..], &format!("{digest}0"), &digest.to_uppercase(), &"../".repeat(22)[..64]] {
            assert!(!is_sha256(text), "{text}");
        }
        let shouted = format!("SHA256:{}", digest.to_uppercase());
        assert!(not_sha256(&shouted).ends_with(&format!("write {digest:?}")), "{}", not_sha256(&shouted));
        assert!(not_sha256("abc").contains("64 lower-case"));
    }
}
