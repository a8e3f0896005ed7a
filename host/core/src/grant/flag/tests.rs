//! Words of the command line, read and written.

use super::*;
use crate::grant::{ExecGrant, HttpGrant, Route};

#[test]
fn requests_in_their_short_and_long_forms() {
    let grant = read_http("https://api.example.com").unwrap();
    assert_eq!(grant, HttpGrant::to("https://api.example.com"));
    let grant = read_http(" get,Post  HTTPS://API.example.com:443/v1/** ").unwrap();
    assert_eq!((grant.url.as_str(), grant.methods.join(" ")), ("https://api.example.com", "GET POST".into()));
    assert_eq!(grant.paths, ["/v1/**"]);
    let grant = read_http(
        "POST https://*.example.com:*/v1/*;path=/v2/**; via=unix:/run/x.sock; inject=Authorization:token:Bearer ; \
         inject=X-Key:key;roots=/etc/ca.pem; cert=/c.pem; key=/k.pem",
    )
    .unwrap();
    assert_eq!(grant.paths, ["/v1/*", "/v2/**"]);
    assert_eq!(grant.via, Some(Route::Unix("/run/x.sock".into())));
    assert_eq!(
        (grant.inject["Authorization"].secret.as_str(), grant.inject["Authorization"].prefix.as_str()),
        ("token", "Bearer ")
    );
    assert_eq!((grant.inject["X-Key"].secret.as_str(), grant.inject["X-Key"].prefix.as_str()), ("key", ""));
    assert!(grant.client.is_some() && grant.roots.is_some());
    let grant = read_http("http://10.1.0.0/16:8080/v1/**; address=127.0.0.1").unwrap();
    assert_eq!((grant.url.as_str(), grant.paths.join(" ")), ("http://10.1.0.0/16:8080", "/v1/**".into()));
    assert_eq!(grant.addresses, ["127.0.0.1/32"]);
    assert_eq!(read_http(r"https://a.b/x\;y").unwrap().paths, ["/x;y"]);
}

#[test]
fn requests_that_are_wrong() {
    for (text, says) in [
        ("", "the URL is empty"),
        ("GET", "lacks a scheme"),
        ("GET POST https://a.b", "too many words"),
        ("GET, POST https://a.b", "too many words"),
        ("GET,,POST https://a.b", "no method"),
        ("* https://a.b", "give no methods at all"),
        ("https://a.b/", "is the root alone"),
        ("https://a.b/../x", "match nothing"),
        ("https://a.b?x", "does not begin with a slash"),
        ("https://a.b; pth=/x", "did you mean \"path\"?"),
        ("https://a.b; x=1", "path, via, inject, roots, cert, key, address are"),
        ("https://a.b;", "nothing follows"),
        ("https://a.b; /x", "is no key=value"),
        ("https://a.b; via=x", "is no route"),
        ("https://a.b; via=10.0.0.1", "is no route"),
        ("https://a.b; via=10.0.0.1:0", "is no route"),
        ("https://a.b; via=10.0.0.1:1; via=10.0.0.1:2", "given twice"),
        ("https://a.b; inject=Authorization", "names no secret"),
        ("https://a.b; inject=Host:x", "the host's own"),
        ("https://a.b; inject=Authorization:x:Bearer", "needs a blank at its end"),
        ("https://a.b; inject=A:x; inject=A:y", "given twice"),
        ("https://a.b; cert=/c", "go together"),
        ("https://a.b; address=loopback", "no network"),
    ] {
        let refused = read_http(text).expect_err(text);
        assert!(refused.contains(says), "{text}: {refused}");
    }
}

#[test]
fn directories_are_read_only_unless_they_say_rw() {
    let grant = read_dir("/srv/a:b:/data:rw").unwrap();
    assert_eq!((grant.host.to_str(), grant.guest.as_str()), (Some("/srv/a:b"), "/data"));
    assert_eq!(grant.mode, DirMode::ReadWrite);
    for text in ["/srv:/data", "/srv:/data:ro"] {
        assert_eq!(read_dir(text).unwrap().mode, DirMode::ReadOnly);
        assert_eq!(write_dir(&read_dir(text).unwrap()), "/srv:/data");
    }
    for wrong in ["", "/srv", "/srv:data", ":/data", "/srv:/data:w", "rw"] {
        assert!(read_dir(wrong).is_err(), "{wrong:?} was accepted");
    }
}

#[test]
fn secrets_say_where_they_come_from_and_are_never_repeated() {
    for (text, source) in [
        ("token=file:/run/a:b", SecretSource::File("/run/a:b".into())),
        ("token=env:TOKEN", SecretSource::Env("TOKEN".into())),
        ("token=store:x", SecretSource::Store("x".into())),
    ] {
        assert_eq!(read_secret(text), Ok(("token".into(), source.clone())));
        assert_eq!(write_secret("token", &source), text);
    }
    for wrong in ["token", "token=hunter2", "TOKEN=env:X", "=env:X", "token=env:", "token=vault:hunter2"] {
        let refused = read_secret(wrong).expect_err(wrong);
        assert!(refused.contains("NAME=file:") && !refused.contains("hunter2"), "{refused}");
    }
    assert_eq!(read_config("region=eu=1"), Ok(("region".into(), "eu=1".into())));
    assert_eq!(read_config("region="), Ok(("region".into(), String::new())));
    assert!(read_config("region").is_err() && read_config("R x=1").is_err());
}

#[test]
fn programs_with_their_arguments() {
    let exec = |text: &str| read_exec(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    let grant = |path: &str, args: &[&[&str]], env: &[&str]| ExecGrant {
        path: path.into(),
        args: args.iter().map(|list| list.iter().map(|it| (*it).into()).collect()).collect(),
        env: env.iter().map(|it| (*it).into()).collect(),
    };
    for (text, expected) in [
        ("web=/usr/bin/nginx", grant("/usr/bin/nginx", &[], &[])),
        ("web=/usr/bin/nginx  -c ** ", grant("/usr/bin/nginx", &[&["-c", "**"]], &[])),
        (
            "web=/n -c *; args=-t; args=; env=PORT; env=APP_*",
            grant("/n", &[&["-c", "*"], &["-t"], &[]], &["PORT", "APP_*"]),
        ),
        (r#"web=/my\ dir/n a\;b "" c\ d e\\\\f \""#, grant("/my dir/n", &[&["a;b", "", "c d", r"e\f", "\""]], &[])),
    ] {
        let text = if text.ends_with('\\') { format!("{text}\"") } else { text.to_owned() };
        assert_eq!(exec(&text), ("web".into(), expected.clone()), "{text}");
        assert_eq!(exec(&write_exec("web", &expected)), ("web".into(), expected));
    }
    for (wrong, says) in [
        ("web", "there is no \"=\""),
        ("web=", "the program is missing"),
        ("web=\"\" -c", "the program is missing"),
        ("web=/n; arg=x", "did you mean \"args\"?"),
        ("web=/n a\\", "ends in a backslash"),
    ] {
        let refused = read_exec(wrong).expect_err(wrong);
        assert!(refused.contains(says), "{wrong}: {refused}");
    }
}

#[test]
fn a_shell_reads_a_word_as_it_was() {
    for (text, shown) in [
        ("https://a.b/v1", "https://a.b/v1"),
        ("GET https://a.b/**", "'GET https://a.b/**'"),
        ("it's; $HOME", r"'it'\''s; $HOME'"),
        ("", "''"),
        ("a*", "'a*'"),
        ("~", "'~'"),
    ] {
        assert_eq!(shell(text), shown);
    }
}
