//! Requests judged, and what is advised where they are denied.

use serde_json::json;

use super::super::{Grants, flag};
use super::*;

fn grant(text: &str) -> HttpGrant {
    flag::read_http(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn want(text: &str) -> HttpWant {
    let HttpGrant { url, methods, paths, .. } = match text {
        "*" => HttpGrant::to("*"),
        text => grant(text),
    };
    HttpWant { url, methods, paths, why: String::new() }
}

fn request<'a>(method: &'a str, scheme: &'a str, host: &'a str, port: u16, path: &'a str) -> HttpRequest<'a> {
    HttpRequest { scheme, host, port, method, path }
}

fn api<'a>(method: &'a str, path: &'a str) -> HttpRequest<'a> {
    request(method, "https", "api.example.com", 443, path)
}

/// What the option of a denial would grant.
fn advised(denial: &Denial) -> HttpGrant {
    let flag = &denial.grant.as_ref().expect("a grant is advised").flag;
    let word = flag.strip_prefix("--allow-http ").expect("is the option").trim_matches('\'');
    grant(word)
}

#[test]
fn the_first_part_that_does_not_fit_is_told() {
    let it = grant("GET,POST https://api.example.com/v1/**");
    assert_eq!(it.allows(&api("GET", "/v1/x")), Ok(()));
    for (request, part) in [
        (request("GET", "https", "evil.example.com", 443, "/v1/x"), "it is for api.example.com"),
        (request("GET", "http", "api.example.com", 443, "/v1/x"), "it is for https"),
        (
            request("GET", "https", "api.example.com", 8443, "/v1/x"),
            "it is for https://api.example.com, which is another port",
        ),
        (api("DELETE", "/v1/x"), "it is for GET, POST"),
        (api("get", "/v1/x"), "it is for GET, POST"),
        (api("GET", "/v2/x"), "it is for /v1/**"),
        (api("GET", "/v1/../v2"), "the path holds a segment \".\" or \"..\", which servers read in two ways"),
    ] {
        assert_eq!(it.allows(&request).expect_err("was allowed").to_string(), part, "{request}");
    }
    let broken = HttpGrant::to("api.example.com");
    assert!(matches!(broken.allows(&api("GET", "/")), Err(HttpRefusal::Unreadable(_))));
}

#[test]
fn a_host_that_is_open_as_a_whole_takes_unclear_paths_but_no_broken_ones() {
    let it = grant("https://api.example.com");
    for path in ["/projects/a%2Fb", "/a//b", "/a/../b"] {
        assert_eq!(it.allows(&api("GET", path)), Ok(()), "{path}");
        let narrow = grant("https://api.example.com/**").allows(&api("GET", path));
        assert!(matches!(narrow, Err(HttpRefusal::Unclear(_))), "{path}");
    }
    for path in ["*", "/a b", "/a\n", "//evil.example.com/?x"] {
        assert!(it.allows(&api("GET", path)).is_err(), "{path:?}");
    }
}

#[test]
fn both_a_grant_and_a_wish_are_needed() {
    let grants = [grant("GET https://api.example.com/v1/**"), grant("https://*.example.com")];
    let wants = [want("https://api.example.com")];
    assert_eq!(judge(&grants, &wants, &api("GET", "/v1/x")), Ok(&grants[0]));
    assert_eq!(judge(&grants, &wants, &api("POST", "/v1/x")), Ok(&grants[1]));
    assert_eq!(judge(&grants, &[want("*")], &api("GET", "/v1/x")), Ok(&grants[0]));
    let other = request("GET", "https", "other.example.com", 443, "/v1/x");
    let denial = judge(&grants, &wants, &other).expect_err("was allowed");
    assert_eq!((denial.missing.clone(), denial.grant.clone()), (Missing::Wish, None));
    let wish = json!({"Http": [{"Url": "https://other.example.com", "Methods": ["GET"], "Paths": ["/v1/x"]}]});
    assert_eq!(denial.wish, Some(wish));
    assert_eq!(
        denial.to_string(),
        "GET https://other.example.com/v1/x was denied: the plugin's manifest does not ask for it (the nearest of its \
         wishes: it is for api.example.com); the plugin's manifest needs {\"Http\":[{\"Methods\":[\"GET\"],\"Paths\":\
         [\"/v1/x\"],\"Url\":\"https://other.example.com\"}]} in its \"Wants\""
    );
    let denial = judge(&grants, &[], &other).expect_err("was allowed");
    assert!(denial.to_string().contains("asks for no requests"), "{denial}");
}

#[test]
fn the_advice_is_what_the_plugin_asks_for() {
    let wants = [want("GET,POST https://api.example.com/v1/** ")];
    let denial = judge(&[], &wants, &api("GET", "/v1/x")).expect_err("was allowed");
    assert_eq!(denial.missing, Missing::Grant);
    assert_eq!(
        denial.to_string(),
        "GET https://api.example.com/v1/x was denied: no request is granted; to allow it: --allow-http 'GET \
         https://api.example.com/v1/**', or {\"Http\":[{\"Methods\":[\"GET\"],\"Paths\":[\"/v1/**\"],\"Url\":\
         \"https://api.example.com\"}]} in the \"Grants\" of its entry in a stack"
    );
    let stanza = denial.grant.expect("an advice").stanza;
    let grants: Grants = serde_json::from_value(stanza).expect("is grants");
    assert!(judge(&grants.http, &wants, &api("GET", "/v1/x")).is_ok());
}

#[test]
fn the_advice_keeps_the_way_to_a_host_that_is_granted_already() {
    let grants = [
        grant("https://other.example.com"),
        grant("GET http://docker.local/containers/**; via=unix:/var/run/docker.sock; inject=X-Key:key"),
    ];
    let wants = [want("http://docker.local/containers/**; path=/images/*")];
    let docker = |method, path| request(method, "http", "docker.local", 80, path);
    for (request, path) in
        [(docker("POST", "/containers/create"), "/containers/**"), (docker("GET", "/images/x"), "/images/*")]
    {
        let denial = judge(&grants, &wants, &request).expect_err("was allowed");
        let advised = advised(&denial);
        assert_eq!((&advised.via, &advised.inject), (&grants[1].via, &grants[1].inject));
        assert_eq!(
            (advised.methods.as_slice(), advised.paths.as_slice()),
            ([request.method.into()].as_slice(), [path.into()].as_slice())
        );
        assert!(judge(&[advised], &wants, &request).is_ok());
    }
}

#[test]
fn what_nobody_named_is_advised_exactly_and_to_both() {
    for request in [
        api("PATCH", "/v1/a*b;x=y/'quoted'"),
        request("GET", "http", "::1", 8080, "/x"),
        request("GET", "http", "10.0.0.1", 80, "/16"),
        request("GET", "https", "a.b", 1, ""),
    ] {
        let denial = judge(&[], &[], &request).expect_err("was allowed");
        assert_eq!(denial.missing, Missing::Both);
        let grants: Grants =
            serde_json::from_value(denial.grant.clone().expect("an advice").stanza).expect("is grants");
        let wish = denial.wish.expect("a wish")["Http"][0].clone();
        let wants: Vec<HttpWant> = vec![serde_json::from_value(wish).expect("is a wish")];
        assert_eq!(judge(&grants.http, &wants, &request), Ok(&grants.http[0]));
        assert_eq!(flag::read_http(&flag::write_http(&grants.http[0])), Ok(grants.http[0].clone()));
    }
}

#[test]
fn a_path_that_is_unclear_is_helped_by_nothing() {
    let (grants, wants) = ([grant("https://api.example.com/v1/**")], [want("https://api.example.com")]);
    let denial = judge(&grants, &wants, &api("GET", "/v1/../admin")).expect_err("was allowed");
    assert_eq!(denial.missing, Missing::Clarity(PathFault::Dots));
    assert_eq!((denial.grant.as_ref(), denial.wish.as_ref()), (None, None));
    assert!(denial.to_string().contains("only a grant and a wish without \"Paths\" let it pass"), "{denial}");
}

#[test]
fn a_call_that_only_looks_changes_nothing() {
    let (grants, wants) = ([grant("https://api.example.com")], [want("*")]);
    for method in ["GET", "HEAD", "OPTIONS"] {
        assert!(judge_read_only(&grants, &wants, &api(method, "/")).is_ok());
    }
    for method in ["POST", "DELETE", "PROPFIND", "get"] {
        let denial = judge_read_only(&grants, &wants, &api(method, "/")).expect_err("was allowed");
        assert_eq!((&denial.missing, &denial.grant), (&Missing::ReadOnly, &None));
        let narrowed = grants[0].read_only().expect("something is left");
        assert!(narrowed.allows(&api(method, "/")).is_err());
    }
    assert_eq!(grant("POST,GET https://a.b").read_only().map(|it| it.methods), Some(vec!["GET".into()]));
    assert_eq!(grant("POST https://a.b").read_only(), None);
}

#[test]
fn a_guests_words_do_not_upset_the_log() {
    let path = format!("/\u{1b}[31m\u{202e}{}", "x".repeat(9000));
    let denial = judge(&[], &[], &api("GET", &path)).expect_err("was allowed");
    assert!(denial.to_string().len() < 500 && !denial.to_string().contains(['\u{1b}', '\u{202e}']), "{denial}");
}

#[test]
fn closed_addresses_are_named_by_the_grant_that_means_them() {
    let names = |text: &str, address: &str| grant(text).names_address(address.parse().expect("an address"));
    for (text, address) in [
        ("http://127.0.0.1:8080", "127.0.0.1"),
        ("http://127.0.0.1:8080", "::ffff:127.0.0.1"),
        ("http://[::1]", "::1"),
        ("http://127.0.0.0/8", "127.1.2.3"),
        ("http://localhost", "127.0.0.1"),
        ("http://localhost", "::1"),
        ("https://a.b; address=127.0.0.0/8", "127.0.0.1"),
        ("https://a.b; address=169.254.169.254", "169.254.169.254"),
    ] {
        assert!(names(text, address), "{text} {address}");
    }
    for (text, address) in [
        ("http://localhost", "169.254.169.254"),
        ("http://localhost", "10.0.0.1"),
        ("http://my.localhost", "127.0.0.1"),
        ("http://127.0.0.1", "127.0.0.2"),
        ("http://0.0.0.0/0", "127.0.0.1"),
        ("https://a.b; address=169.254.0.0/16", "169.254.169.254"),
        ("https://a.b", "127.0.0.1"),
    ] {
        assert!(!names(text, address), "{text} {address}");
    }
    let advice = grant("https://a.b").naming("::ffff:127.0.0.1".parse().expect("an address"));
    assert_eq!(advice.flag, "--allow-http 'https://a.b; address=127.0.0.1/32'");
    assert!(names("https://a.b; address=127.0.0.1/32", "127.0.0.1"));
}
