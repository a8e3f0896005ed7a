//! Paths and patterns.

use proptest::prelude::*;

use super::*;

fn pattern(text: &str) -> PathPattern {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn stars_stand_for_what_they_say() {
    for (text, path, fits) in [
        ("/v1/**", "/v1/a/b", true),
        ("/v1/**", "/v1/", true),
        ("/v1/**", "/v1", false),
        ("/v1/**", "/v10/a", false),
        ("/v1/*", "/v1/a", true),
        ("/v1/*", "/v1/", true),
        ("/v1/*", "/v1/a/b", false),
        ("/v1.*/containers/**", "/v1.47/containers/json", true),
        ("/v1.*/containers/**", "/v1.47/x/containers/json", false),
        ("/a/**/z", "/a/b/c/z", true),
        ("/a/**/z", "/a/z", false),
        ("/a**z", "/a/b/z", true),
        ("/a*b*c", "/aXbYbZc", true),
        ("/a*b*c", "/aXbY/bZc", false),
        ("/**/x/*/y", "/q/x/r/x/s/y", true),
        ("/", "/", true),
        ("/", "", true),
        ("/**", "/", true),
        ("/A", "/a", false),
        // Escapes are no other way to say the same, and none to say something else.
        ("/a", "/%61", true),
        ("/%7ea", "/~a", true),
        ("/a+b", "/a%2Bb", false),
        ("/a%2bb", "/a%2Bb", true),
        ("/ä", "/%c3%a4", true),
        ("/v1/*", "/v1/a%20b", true),
        ("/v1/*", "/v1/100%25", true),
    ] {
        assert_eq!(pattern(text).matches(path), Ok(fits), "{text} {path}");
    }
}

#[test]
fn what_servers_read_in_two_ways_is_refused() {
    let all = pattern("/**");
    for path in [
        "/v1/../admin",
        "/v1/%2e%2e/admin",
        "/v1/.%2E/admin",
        "/v1/./a",
        "/..",
        "/v1/..;/admin",
        "/v1/%2e%2e;x=y/admin",
        "/v1/%252e%252e/admin",
        "/v1/%25252e./admin",
        "/v1/..%3bx/admin",
        "/v1/..%20/admin",
        "/v1/.%2520",
    ] {
        assert_eq!(all.matches(path), Err(PathFault::Dots), "{path}");
    }
    for path in [
        "/a%2fb",
        "/a%2Fb",
        "/a%5cb",
        "/a\\b",
        "/a%00",
        "/a%252fb",
        "/a%25255Cb",
        "/a%2500",
        "/a%0d%0ab",
        "/a%7f",
        "/a%250a",
    ] {
        assert_eq!(all.matches(path), Err(PathFault::Disguised), "{path}");
    }
    for path in ["//a", "/a//b", "/a//", "//"] {
        assert_eq!(all.matches(path), Err(PathFault::Empty), "{path}");
    }
    for path in ["/%", "/%4", "/%zz", "/%+1", "/a%é"] {
        assert_eq!(all.matches(path), Err(PathFault::Escape), "{path}");
    }
    // Slashes and dots in more bytes than they need, as some servers read them.
    for path in ["/a%c0%af..", "/%c0%ae%c0%ae/", "/%e0%80%ae", "/%ff", "/%e4"] {
        assert_eq!(all.matches(path), Err(PathFault::Encoding), "{path}");
    }
    for path in ["*", "a", "http://x/"] {
        assert_eq!(all.matches(path), Err(PathFault::Relative), "{path}");
    }
    for path in ["/a b", "/a?b", "/a#b", "/a\0", "/a\n", "/\u{85}"] {
        assert!(all.matches(path).is_err_and(PathFault::is_malformed), "{path:?}");
    }
    assert_eq!(all.matches(&format!("/{}", "a".repeat(MAX_PATH))), Err(PathFault::TooLong));
    // Dots that are a part of a name are no trick.
    for path in ["/.well-known/x", "/a..b", "/...", "/a.", "/;x"] {
        assert_eq!(all.matches(path), Ok(true), "{path}");
    }
}

#[test]
fn a_pattern_that_could_match_nothing_is_refused() {
    for (text, says) in [
        ("", "empty"),
        ("*", "for all paths write /**"),
        ("**", "for all paths write /**"),
        ("v1", "does not begin with a slash"),
        ("/v1/../x", "match nothing"),
        ("/a//b", "match nothing"),
        ("/a%2fb", "match nothing"),
        ("/a%", "match nothing"),
        ("/a?b=*", "a query"),
        ("/a#b", "match nothing"),
    ] {
        let refused = text.parse::<PathPattern>().expect_err(text);
        assert!(refused.contains(says), "{text}: {refused}");
    }
    assert!(format!("/{}", "a".repeat(127)).parse::<PathPattern>().expect_err("long").contains("at most 127"));
    assert!(pattern(&format!("/{}", "a".repeat(126))).matches(&format!("/{}", "a".repeat(126))).unwrap());
    assert!(pattern("/**").is_all() && pattern("/***").is_all() && !pattern("/*").is_all());
}

#[test]
fn one_pattern_within_another() {
    for (outer, inner, covers, overlaps) in [
        ("/**", "/a/*", true, true),
        ("/a/**", "/a/b/**", true, true),
        ("/a/*", "/a/**", false, true),
        ("/a/*", "/a/b*", true, true),
        ("/a/*", "/a/b/c", false, false),
        ("/a/b", "/a/*", false, true),
        ("/*/b", "/a/*", false, true),
        ("/a/*x", "/a/*y", false, false),
        ("/a/**", "/a", false, false),
    ] {
        assert_eq!(pattern(outer).covers(&pattern(inner)), covers, "{outer} {inner}");
        assert_eq!(pattern(outer).overlaps(&pattern(inner)), overlaps, "{outer} {inner}");
        assert_eq!(pattern(inner).overlaps(&pattern(outer)), overlaps, "{inner} {outer}");
    }
}

#[test]
fn a_pattern_around_a_path_fits_it() {
    assert_eq!(PathPattern::around("/a/b").map(|it| it.to_string()).as_deref(), Some("/a/b"));
    let long = format!("/v1/{}/x", "a".repeat(200));
    assert_eq!(PathPattern::around(&long).map(|it| it.to_string()).as_deref(), Some("/v1/**"));
    assert_eq!(PathPattern::around("/a/../b"), None);
}

/// The same question answered by trying everything.
fn slow(tokens: &[Token], path: &[u8]) -> bool {
    match (tokens, path) {
        ([], path) => path.is_empty(),
        ([Token::Byte(own), rest @ ..], path) => path.first() == Some(own) && slow(rest, &path[1..]),
        ([star, rest @ ..], path) => {
            slow(rest, path) || path.first().is_some_and(|it| star.takes(*it)) && slow(tokens, &path[1..])
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

    #[test]
    fn it_matches_as_trying_everything_would(text in "/[ab/*]{0,7}", other in "/[ab/*]{0,7}", path in "/[ab/]{0,9}") {
        let (Ok(left), Ok(right)) = (text.parse::<PathPattern>(), other.parse::<PathPattern>()) else { return Ok(()) };
        let (in_left, in_right) = (slow(&left.tokens, path.as_bytes()), slow(&right.tokens, path.as_bytes()));
        prop_assert_eq!(left.fits(path.as_bytes()), in_left);
        prop_assert!(!(left.covers(&right) && in_right) || in_left, "{} covers {}, but for {}", left, right, path);
        prop_assert!(!(in_left && in_right) || left.overlaps(&right));
        prop_assert!(left.covers(&left) && left.overlaps(&left));
        prop_assert_eq!(left.to_string().parse::<PathPattern>(), Ok(left));
    }

    #[test]
    fn no_path_upsets_it(path in any::<String>(), odd in "/[%2eEfF5c.;/\\\\a]{0,12}") {
        let _ = pattern("/**").matches(&path);
        if let Ok(plain) = plain(&odd) {
            let again = plain_of(&plain);
            prop_assert_eq!(again, Ok(plain), "a plain path is as plain as can be");
        }
    }
}

fn plain_of(path: &[u8]) -> Result<Vec<u8>, PathFault> {
    plain(std::str::from_utf8(path).expect("plain paths are ASCII"))
}
