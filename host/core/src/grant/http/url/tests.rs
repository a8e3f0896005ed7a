//! Where requests may go.

use super::*;

fn parse(text: &str) -> UrlPattern {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn fits(pattern: &str, url: (&str, &str, u16)) -> bool {
    parse(pattern).differs(url.0, url.1, url.2).is_none()
}

#[test]
fn patterns_read_back_in_their_shortest_form() {
    for (text, shown) in [
        ("https://api.example.com", "https://api.example.com"),
        ("HTTPS://API.Example.COM:443", "https://api.example.com"),
        ("http://localhost:80", "http://localhost"),
        ("http://localhost:443", "http://localhost:443"),
        ("https://*.example.com:*", "https://*.example.com:*"),
        ("http://my_service:8080", "http://my_service:8080"),
        ("http://10.1.0.5", "http://10.1.0.5"),
        ("http://10.1.0.0/16:8080", "http://10.1.0.0/16:8080"),
        ("http://10.1.0.0/16", "http://10.1.0.0/16"),
        ("http://[::1]:8080", "http://[::1]:8080"),
        ("http://[FD00::/8]:80", "http://[fd00::/8]"),
        ("https://xn--bcher-kva.example", "https://xn--bcher-kva.example"),
    ] {
        let pattern = parse(text);
        assert_eq!(pattern.to_string(), shown);
        assert_eq!(parse(shown), pattern);
    }
}

#[test]
fn what_is_wrong_is_told_with_the_way_out() {
    for (text, says) in [
        ("", "write it as https://"),
        ("*", "every host"),
        ("https://*", "every host"),
        ("*://a.b", "one grant for http and one for https"),
        ("api.example.com", "write https://api.example.com"),
        ("/v1", "is a path"),
        ("unix:///var/run/docker.sock", "\"Via\""),
        ("ftp://a.b", "\"ftp\" cannot be granted"),
        ("https://", "the host is missing"),
        ("https://:80", "the host is missing"),
        ("https://a.b/", "ends in a slash; write https://a.b"),
        ("https://a.b/v1", "\"Paths\""),
        ("https://a.b?x", "query"),
        ("https://a.b:80#x", "query or a fragment"),
        ("https://u:p@a.b", "\"Inject\""),
        ("https://a.b:0", "from 1 to 65535"),
        ("https://a.b:65536", "from 1 to 65535"),
        ("https://a.b:+80", "from 1 to 65535"),
        ("https://a.b:", "from 1 to 65535"),
        ("https://a.b:8*", "from 1 to 65535"),
        ("https://::1", "in brackets"),
        ("https://[::1", "not closed"),
        ("https://[::1]x", "after the host"),
        ("https://[::1%eth0]", "no IPv6"),
        ("https://[10.0.0.1]", "no IPv6"),
        ("https://[10.0.0.0/8]", "without them"),
        ("https://[::ffff:10.0.0.1]", "write 10.0.0.1"),
        ("https://[::ffff:10.0.0.0/104]", "write it as IPv4"),
        ("https://10.1.2.3/16", "write that"),
        ("https://10.0.0.0/33", "no network"),
        ("https://*.com", "at least two parts"),
        ("https://*.10.1", "no domain"),
        ("https://api.*.com", "only a whole first part"),
        ("https://a*.example.com", "only a whole first part"),
        ("https://*.*.example.com", "only a whole first part"),
        ("https://a.b.", "leave it out"),
        ("https://bücher.example", "punycode"),
        ("https://a b", "cannot be a part"),
        ("https://-a.b", "cannot be a part"),
        ("https://a..b", "cannot be a part"),
        ("https://127.1", "write an address as"),
        ("https://2130706433", "write an address as"),
        ("https://0x7f000001", "write an address as"),
        ("https://a.b\\c", "cannot be a part"),
    ] {
        let refused = text.parse::<UrlPattern>().expect_err(text);
        assert!(refused.contains(says), "{text}: {refused}");
    }
}

#[test]
fn what_fits_and_what_does_not() {
    assert!(fits("https://*.example.com", ("https", "a.example.com", 443)));
    assert!(fits("https://*.example.com", ("https", "a.b.example.com", 443)));
    assert!(fits("http://10.1.0.0/16:*", ("http", "10.1.255.1", 9)));
    assert!(fits("http://10.1.0.0/16", ("http", "::ffff:10.1.0.1", 80)));
    assert!(fits("http://[::1]", ("http", "0:0:0:0:0:0:0:1", 80)));
    for (pattern, url) in [
        ("https://*.example.com", ("https", "example.com", 443)),
        ("https://*.example.com", ("https", ".example.com", 443)),
        ("https://*.example.com", ("https", "a..example.com", 443)),
        ("https://*.example.com", ("https", "notexample.com", 443)),
        ("https://*.example.com", ("https", "a.example.com.evil.org", 443)),
        ("https://*.example.com", ("https", "a.example.com.", 443)),
        ("https://*.example.com", ("https", "äexample.com", 443)),
        ("https://api.example.com", ("http", "api.example.com", 443)),
        ("https://api.example.com", ("https", "api.example.com", 8443)),
        ("https://api.example.com", ("https", "api.example.co", 443)),
        ("http://10.1.0.0/16", ("http", "10.2.0.1", 80)),
        // A name that leads into the network is not an address of it.
        ("http://10.1.0.0/16", ("http", "10.1.0.1.example.com", 80)),
        ("http://127.0.0.1", ("http", "127.1", 80)),
    ] {
        assert!(!fits(pattern, url), "{pattern} {url:?}");
    }
}

#[test]
fn one_pattern_within_another() {
    for (outer, inner, covers) in [
        ("https://*.example.com", "https://a.example.com", true),
        ("https://*.example.com", "https://*.a.example.com", true),
        ("https://*.example.com", "https://*.example.com", true),
        ("https://*.example.com", "https://example.com", false),
        ("https://a.example.com:*", "https://a.example.com:8443", true),
        ("https://a.example.com", "https://a.example.com:*", false),
        ("http://10.0.0.0/8", "http://10.1.0.0/16", true),
        ("http://10.0.0.0/8", "http://10.1.2.3", true),
        ("http://10.1.0.0/16", "http://10.0.0.0/8", false),
        ("http://a.b", "https://a.b", false),
    ] {
        assert_eq!(parse(outer).covers(&parse(inner)), covers, "{outer} {inner}");
    }
    assert!(parse("https://a.example.com:*").overlaps(&parse("https://*.example.com:1")));
    assert!(!parse("https://a.example.com:2").overlaps(&parse("https://*.example.com:1")));
    assert!(!parse("https://*.a.com").overlaps(&parse("https://*.b.com")));
}
