//! The words of HTTP: methods, and names of headers.

/// Headers that the host writes itself, because they say how a message is cut out of the stream, or where it goes.
const OWN_HEADERS: [&str; 13] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// The longest method and the longest name of a header, in bytes.
const MAX_WORD: usize = 64;

/// A method that only looks (RFC 9110, section 9.2.1). `TRACE` is one too, and no use to anyone.
pub(super) const SAFE: [&str; 3] = ["GET", "HEAD", "OPTIONS"];

/// RFC 9110, section 5.6.2.
fn is_token(text: &str) -> bool {
    (1..=MAX_WORD).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

/// A method in upper case.
///
/// # Errors
/// A sentence that says what is wrong with the text.
pub fn method(text: &str) -> Result<String, String> {
    match text {
        "*" => Err("\"*\" is no method; give no methods at all to allow every one".into()),
        _ if text.eq_ignore_ascii_case("CONNECT") => Err("CONNECT opens a tunnel, which no grant can judge".into()),
        _ if is_token(text) => Ok(text.to_ascii_uppercase()),
        _ => Err(format!("{text:?} is no method; write one such as GET or POST")),
    }
}

/// Whether a header may be added to requests.
///
/// # Errors
/// A sentence that says why not.
pub fn header(name: &str) -> Result<(), String> {
    if !is_token(name) {
        return Err(format!("{name:?} cannot name a header; write it as Authorization or X-Api-Key"));
    }
    match OWN_HEADERS.iter().any(|own| name.eq_ignore_ascii_case(own)) {
        true => Err(format!("the header {name} is the host's own: it says how a message travels")),
        false => Ok(()),
    }
}

/// Whether a text may stand before a secret in a header.
///
/// # Errors
/// A sentence that says why not.
pub fn prefix(text: &str) -> Result<(), String> {
    if !text.bytes().all(|b| (0x20..0x7f).contains(&b)) {
        return Err(format!("{text:?} cannot stand in a header: only printable ASCII can"));
    }
    if text.len() > MAX_WORD {
        return Err(format!("a prefix of {} bytes; at most {MAX_WORD} are allowed", text.len()));
    }
    // The secret would be taken for a part of the word.
    match ["basic", "bearer", "digest", "negotiate", "token"].contains(&text.to_ascii_lowercase().as_str()) {
        true => {
            Err(format!("{text:?} needs a blank at its end, or the secret becomes a part of the word: \"{text} \""))
        }
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_tokens_in_upper_case() {
        for (text, expected) in [("get", "GET"), ("POST", "POST"), ("M-SEARCH", "M-SEARCH")] {
            assert_eq!(method(text).as_deref(), Ok(expected));
        }
        for text in ["", "*", "GET,POST", "G T", "GÉT", "connect", "GET\r\n", &"A".repeat(65)] {
            assert!(method(text).is_err(), "{text:?} was accepted");
        }
    }

    #[test]
    fn headers_of_the_host_are_its_own() {
        for name in ["Authorization", "x-api-key", "Cookie"] {
            assert_eq!(header(name), Ok(()));
        }
        for name in ["", "Host", "content-LENGTH", "Transfer-Encoding", "Connection", "A B", "A:", "Ä"] {
            assert!(header(name).is_err(), "{name:?} was accepted");
        }
        for text in ["", "Bearer ", "key=", "GoogleLogin auth="] {
            assert_eq!(prefix(text), Ok(()));
        }
        for text in ["Bearer", "token", "a\r\nb", "ä", "\0"] {
            assert!(prefix(text).is_err(), "{text:?} was accepted");
        }
    }
}
