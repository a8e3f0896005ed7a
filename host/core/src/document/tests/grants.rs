//! Grants, limits, sources and manifests: what is read, and what is told of those that are wrong.

use super::*;
use crate::grant::{
    ClientIdentity, ExecGrant, Grants, HttpGrant, Injection, Manifest, Route, SecretSource, Wants, flag,
};
use crate::spec::{PluginSource, PluginSpec};

/// The entry of a plugin, in YAML.
fn entry(fields: &str) -> String {
    format!("Plugins:\n  p:\n    Path: p.wasm\n{}", fields.lines().map(|it| format!("    {it}\n")).collect::<String>())
}

fn plugin(text: &str) -> PluginSpec {
    ok("g.yaml", text).stack.plugins.remove("p").unwrap()
}

#[test]
fn every_grant_is_read() {
    let spec = plugin(&entry(
        r#"Sha256: sha256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA
Grants:
  Http:
  - {Url: 'HTTPS://*.Example.com:8443', Methods: [get, POST], Paths: [/v1/**, /%7ea]}
  - {Url: http://docker.local, Via: 'unix://run/docker.sock'}
  - {Url: http://a.b, Via: '10.0.0.5:8080'}
  - Url: https://c.d
    Inject: {Authorization: {Secret: token, Prefix: 'Bearer '}, X-Key: {Secret: token}}
    Roots: ca.pem
    Client: {Cert: c.pem, Key: /k.pem}
    Addresses: [127.0.0.0/8, '::1']
  Dirs: [{Host: state, Guest: /s, Mode: rw}]
  Secrets: {token: {File: run/token}, env: {Env: TOKEN}, kept: {Store: kept}}
  Config: {region: eu-1, empty: ''}
  Exec:
    web: {Path: bin/web, Args: [[-c, '**'], []], Env: [PORT, APP_*]}
    sh: {Path: /bin/sh}
Limits: {Requests: 1024, Answer: 64KiB}"#,
    ));
    assert_eq!(spec.sha256.as_deref(), Some("a".repeat(64).as_str()));
    let http = &spec.grants.http;
    assert_eq!(http[0].url, "https://*.example.com:8443");
    assert_eq!((http[0].methods.join(" "), http[0].paths.join(" ")), ("GET POST".into(), "/v1/** /~a".into()));
    assert_eq!(http[1].via, Some(Route::Unix("/srv/stack/run/docker.sock".into())));
    assert_eq!(http[2].via, Some(Route::Address("10.0.0.5:8080".parse().unwrap())));
    let injection = |prefix: &str| Injection { secret: "token".into(), prefix: prefix.into() };
    let expected = HttpGrant {
        inject: [("Authorization".into(), injection("Bearer ")), ("X-Key".into(), injection(""))].into(),
        roots: Some("/srv/stack/ca.pem".into()),
        client: Some(ClientIdentity { cert: "/srv/stack/c.pem".into(), key: "/k.pem".into() }),
        addresses: vec!["127.0.0.0/8".into(), "::1/128".into()],
        ..HttpGrant::to("https://c.d")
    };
    assert_eq!(http[3], expected);
    assert_eq!(spec.grants.secrets["token"], SecretSource::File("/srv/stack/run/token".into()));
    assert_eq!(spec.grants.secrets["env"], SecretSource::Env("TOKEN".into()));
    assert_eq!(spec.grants.secrets["kept"], SecretSource::Store("kept".into()));
    assert_eq!((spec.grants.config["region"].as_str(), spec.grants.config["empty"].as_str()), ("eu-1", ""));
    let web = ExecGrant {
        path: "/srv/stack/bin/web".into(),
        args: vec![vec!["-c".into(), "**".into()], vec![]],
        env: vec!["PORT".into(), "APP_*".into()],
    };
    assert_eq!(spec.grants.exec["web"], web);
    assert_eq!((spec.limits.requests, spec.limits.answer), (1024, 64 << 10));
    let stack = Stack { plugins: [("p".to_owned(), spec)].into(), groups: Vec::new() };
    assert_eq!(ok("-", &serde_json::to_string(&stack).unwrap()).stack, stack);
}

#[test]
fn a_plugin_comes_from_a_file_a_url_or_a_registry() {
    let source = |path: &str| plugin(&format!("Plugins: {{p: {{Path: '{path}'}}}}")).source;
    assert_eq!(source("../p.wasm"), PluginSource::File("/srv/p.wasm".into()));
    for url in ["https://a.b/p.wasm", "https://a.b:8443/x?y=z", "http://127.0.0.1:80/p", "http://[::1]:80/p"] {
        assert_eq!(source(url), PluginSource::Https(url.into()));
    }
    let pinned = format!("oci://a.b:5000/x/y:1@sha256:{}", "0".repeat(64));
    for reference in ["oci://a.b/x:1", pinned.as_str()] {
        assert_eq!(source(reference), PluginSource::Oci(reference.into()));
    }
    for (path, says) in [
        ("p.so", "expected a path that ends in .wasm, found the string \"p.so\" (a URL begins with https://"),
        ("", "expected a path that ends in .wasm, found an empty string"),
        ("~/p.wasm", "\"~\" is the shell's"),
        ("ftp://a.b/p.wasm", "a plugin cannot be had from ftp://"),
        ("http://a.b/p.wasm", "is fetched in the clear"),
        ("http://localhost/p.wasm", "is fetched in the clear"),
        ("http://127.0.0.1.example.com/p.wasm", "is fetched in the clear"),
        ("https://u:p@a.b/p.wasm", "holds a user"),
        ("https:///p.wasm", "names no host"),
        ("https://:80/p.wasm", "names no host"),
        ("https://a.b/p q", "has to be escaped"),
        ("https://a.b/p#x", "has a fragment"),
        ("oci://a.b", "names no repository"),
        ("oci://a.b/", "names no repository"),
        ("oci://a.b/x:", "no whole reference"),
    ] {
        let found = one("g.yaml", &format!("Plugins: {{p: {{Path: '{path}'}}}}"));
        assert!(found.starts_with("1:21: Plugins.p.Path: ") && found.contains(says), "{path}: {found}");
    }
}

#[test]
fn grants_that_are_wrong() {
    // The fault is on the line of the field.
    for (fields, path, says) in [
        ("Http: {}", "Http", "expected a list of {\"Url\", \"Methods\", \"Paths\", ...}"),
        ("Http: [https://a.b]", "Http[0]", "expected {\"Url\", \"Methods\", \"Paths\", ...}, found the string"),
        ("Http: [{Methods: [GET]}]", "Http[0]", "\"Url\" is missing: scheme, host and port"),
        ("Http: [{Url: a.b}]", "Http[0].Url", "write https://a.b"),
        ("Http: [{Url: '*'}]", "Http[0].Url", "every host there is"),
        ("Http: [{Url: https://a.b/v1}]", "Http[0].Url", "belongs into \"Paths\""),
        ("Http: [{Url: https://a.b, Method: [GET]}]", "Http[0].Method", "did you mean \"Methods\"?"),
        ("Http: [{Url: https://a.b, Methods: GET}]", "Http[0].Methods", "expected a list of methods"),
        (
            "Http: [{Url: https://a.b, Methods: []}]",
            "Http[0].Methods",
            "an empty list allows nothing (for all, leave it out)",
        ),
        ("Http: [{Url: https://a.b, Methods: [GET, get]}]", "Http[0].Methods[1]", "\"GET\" occurs twice"),
        ("Http: [{Url: https://a.b, Methods: ['*']}]", "Http[0].Methods[0]", "give no methods at all"),
        ("Http: [{Url: https://a.b, Paths: [v1]}]", "Http[0].Paths[0]", "does not begin with a slash"),
        ("Http: [{Url: https://a.b, Paths: [/a/../b]}]", "Http[0].Paths[0]", "would match nothing"),
        ("Http: [{Url: https://a.b, Paths: [/~a, /%7Ea]}]", "Http[0].Paths[1]", "\"/~a\" occurs twice"),
        ("Http: [{Url: https://a.b}, {Url: 'https://A.b:443'}]", "Http[1]", "granted already"),
        ("Http: [{Url: https://a.b, Via: 5}]", "Http[0].Via", "expected a Unix socket"),
        ("Http: [{Url: https://a.b, Via: a.b}]", "Http[0].Via", "is no route"),
        ("Http: [{Url: https://a.b, Via: 'unix:'}]", "Http[0].Via", "the socket's path is missing"),
        ("Http: [{Url: http://10.0.0.0/8, Via: 10.0.0.5:80}]", "Http[0].Via", "is many"),
        (
            "Http: [{Url: http://a.b, Via: 10.0.0.5:80, Addresses: [127.0.0.1]}]",
            "Http[0].Addresses",
            "opens nothing (remove one",
        ),
        ("Http: [{Url: http://a.b, Roots: ca.pem}]", "Http[0].Roots", "write https:// in \"Url\""),
        ("Http: [{Url: http://a.b, Client: {Cert: a, Key: b}}]", "Http[0].Client", "is about TLS"),
        ("Http: [{Url: https://a.b, Client: {Cert: a}}]", "Http[0].Client", "\"Key\" is missing"),
        ("Http: [{Url: https://a.b, Roots: ''}]", "Http[0].Roots", "an empty path"),
        ("Http: [{Url: https://a.b, Addresses: [10.0.0.0/8]}]", "Http[0].Addresses[0]", "open to names as it is"),
        ("Http: [{Url: https://a.b, Addresses: [0.0.0.0/0]}]", "Http[0].Addresses[0]", "too wide"),
        ("Http: [{Url: https://a.b, Addresses: [127.0.0.1, 127.0.0.1/32]}]", "Http[0].Addresses[1]", "occurs twice"),
        ("Http: [{Url: https://a.b, Inject: []}]", "Http[0].Inject", "expected an object"),
        ("Http: [{Url: https://a.b, Inject: {A: hunter2}}]", "Http[0].Inject.A", "a secret is not written here"),
        (
            "Http: [{Url: https://a.b, Inject: {A: {Secret: t}}}]",
            "Http[0].Inject.A.Secret",
            "there is no secret \"t\" in \"Secrets\" (say where it comes from",
        ),
        (
            "Secrets: {token: {Env: T}}\nHttp: [{Url: https://a.b, Inject: {A: {Secret: tokem}}}]",
            "Http[0].Inject.A.Secret",
            "did you mean \"token\"?",
        ),
        (
            "Secrets: {t: {Env: T}}\nHttp: [{Url: https://a.b, Inject: {Host: {Secret: t}}}]",
            "Http[0].Inject.Host",
            "the host's own",
        ),
        (
            "Secrets: {t: {Env: T}}\nHttp: [{Url: https://a.b, Inject: {A: {Secret: t}, a: {Secret: t}}}]",
            "Http[0].Inject.a",
            "is the same header as \"A\"",
        ),
        (
            "Secrets: {t: {Env: T}}\nHttp: [{Url: https://a.b, Inject: {A: {Secret: t, Prefix: Bearer}}}]",
            "Http[0].Inject.A.Prefix",
            "needs a blank at its end",
        ),
        ("Secrets: []", "Secrets", "expected an object with a member for each secret"),
        ("Secrets: {Token: {Env: T}}", "Secrets.Token", "write \"token\""),
        ("Secrets: {t: hunter2}", "Secrets.t", "expected where the secret comes from"),
        ("Secrets: {t: {}}", "Secrets.t", "nothing says where the secret comes from"),
        ("Secrets: {t: {Envv: T}}", "Secrets.t.Envv", "did you mean \"Env\"?"),
        ("Secrets: {t: {Env: T, Store: t}}", "Secrets.t", "\"Env\" and \"Store\" are given; keep one"),
        ("Secrets: {t: {Env: A-B}}", "Secrets.t.Env", "the name of an environment variable"),
        ("Secrets: {t: {Store: A/B}}", "Secrets.t.Store", "is no name"),
        ("Secrets: {t: {File: ''}}", "Secrets.t.File", "an empty path"),
        (
            "Config: {a: 5}",
            "Config.a",
            "expected the setting's value as a string, found the number 5 (write it in double quotes)",
        ),
        ("Config: {'a b': x}", "Config[\"a b\"]", "is no name"),
        ("Exec: {web: /bin/web}", "Exec.web", "expected {\"Path\", \"Args\", \"Env\"}"),
        ("Exec: {web: {Args: []}}", "Exec.web", "\"Path\" is missing"),
        ("Exec: {web: {Path: nginx}}", "Exec.web.Path", "programs are not searched for"),
        ("Exec: {web: {Path: /n, Args: [-c]}}", "Exec.web.Args[0]", "expected a list of arguments"),
        ("Exec: {web: {Path: /n, Args: [['**', x]]}}", "Exec.web.Args[0][0]", "has to be the last"),
        ("Exec: {web: {Path: /n, Args: [[a], [a]]}}", "Exec.web.Args[1]", "allowed already"),
        ("Exec: {web: {Path: /n, Args: [[5]]}}", "Exec.web.Args[0][0]", "expected an argument as a string"),
        ("Exec: {web: {Path: /n, Env: ['*']}}", "Exec.web.Env[0]", "name them"),
        ("Exec: {web: {Path: /n, Env: [A B]}}", "Exec.web.Env[0]", "cannot name an environment variable"),
    ] {
        let indented: String = fields.lines().map(|it| format!("  {it}\n")).collect();
        let found = one("g.yaml", &entry(&format!("Grants:\n{indented}")));
        let line = 4 + fields.lines().count();
        let place = format!(": Plugins.p.Grants.{path}: ");
        assert!(
            found.starts_with(&format!("{line}:")) && found.contains(&place) && found.contains(says),
            "{fields}\n{found}"
        );
        assert!(!found.contains("hunter2"), "{found}");
    }
    let many = format!("Grants:\n  Config: {{{}}}", (0..65).map(|i| format!("a{i}: x")).collect::<Vec<_>>().join(", "));
    assert!(one("g.yaml", &entry(&many)).contains("65 are too many: at most 64 are allowed"));
    let long = format!("Grants:\n  Config: {{a: {}}}", "x".repeat(16385));
    assert!(one("g.yaml", &entry(&long)).contains("at most 16384"));
}

#[test]
fn limits_and_pins_that_are_wrong() {
    for (fields, error) in [
        ("Limits: {Requests: 0}", "4:24: Plugins.p.Limits.Requests: the number 0 is too small: at least 1 is needed"),
        ("Limits: {Requests: 1025}", "4:24: Plugins.p.Limits.Requests: the number 1025 is too large: at most 1024"),
        ("Limits: {Answer: 1KiB}", "4:22: Plugins.p.Limits.Answer: expected a size from 64KiB to 1GiB, found"),
        ("Limits: {Answer: 2GiB}", "4:22: Plugins.p.Limits.Answer: expected a size from 64KiB to 1GiB, found"),
        (
            "Limits: {Request: 1}",
            "4:14: Plugins.p.Limits.Request: unknown field \"Request\" (did you mean \"Requests\"?)",
        ),
        (
            "Sha256: abc",
            "4:13: Plugins.p.Sha256: expected the SHA-256 of the file: 64 hexadecimal digits, found 3 of them",
        ),
        (
            "Sha256: 'md5:x'",
            "4:13: Plugins.p.Sha256: expected the SHA-256 of the file: 64 hexadecimal digits, found \"md5:x\"",
        ),
    ] {
        let found = one("g.yaml", &entry(fields));
        assert!(found.starts_with(error), "{fields}\n{found}");
    }
}

#[test]
fn an_exported_digest_is_the_hosts_to_know() {
    let digest = "a".repeat(64);
    let text = group(&format!("Instance: {{Plugin: file, Digest: {digest}}}"));
    assert_eq!(ok("g.yaml", &text).stack.groups[0].properties.instance.digest, None);
    let found = one("g.yaml", &group("Instance: {Plugin: file, Digest: new}"));
    assert!(found.contains("Properties.Instance.Digest: expected the SHA-256"), "{found}");
}

#[test]
fn an_option_says_what_a_document_says() {
    for text in [
        "https://a.b",
        "GET,POST https://*.a.b:*/v1/**; path=/v2; via=unix:/x/y.sock; inject=A:t:Bearer ",
        "http://10.0.0.0/8:1; address=127.0.0.0/8",
    ] {
        let grant = flag::read_http(text).unwrap();
        assert_eq!(flag::write_http(&grant), text);
        let secrets = json!({"t": {"Env": "T"}});
        let stack = json!({"Plugins": {"p": {"Path": "/p.wasm", "Grants": {"Http": [grant], "Secrets": secrets}}}});
        assert_eq!(plugin(&stack.to_string()).grants.http, [grant]);
    }
}

fn manifest(text: &str) -> Manifest {
    Manifest::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn every_wish_is_read() {
    let text = r#"{"Toolchain": "componentize-py 0.25", "Wants": {
        "Http": [{"Url": "https://API.example.com:443", "Methods": ["get"], "Paths": ["/v1/**"], "Why": "to list"}, {"Url": "*"}],
        "Dirs": [{"Guest": "/data/", "Mode": "rw", "Why": "state"}, {"Guest": "/etc"}],
        "Secrets": [{"Name": "token", "Why": "to sign"}], "Config": [{"Name": "region"}], "Exec": [{"Name": "web"}]}}"#;
    let read = manifest(text);
    assert_eq!(read.toolchain.as_deref(), Some("componentize-py 0.25"));
    assert_eq!((read.wants.http[0].url.as_str(), read.wants.http[1].url.as_str()), ("https://api.example.com", "*"));
    assert_eq!(read.wants.http[0].methods, ["GET"]);
    assert_eq!((read.wants.dirs[0].guest.as_str(), read.wants.dirs[0].mode), ("/data", DirMode::ReadWrite));
    assert_eq!((read.wants.secrets[0].why.as_str(), read.wants.config[0].name.as_str()), ("to sign", "region"));
    assert_eq!(manifest(&serde_json::to_string(&read).unwrap()), read);
    assert_eq!((manifest("{}"), manifest("{\"Wants\": null}")), (Manifest::default(), Manifest::default()));
}

#[test]
fn manifests_that_are_wrong() {
    for (text, error) in [
        ("", "line 1: the text ends too soon"),
        ("{", "line 1: the text ends too soon"),
        ("[]", "line 1: expected an object with \"Wants\", found an empty list"),
        ("{\"Want\": {}}", "line 1: Want: unknown field \"Want\" (did you mean \"Wants\"?)"),
        ("{\"Wants\": {\n\"Net\": []}}", "line 2: Wants.Net: unknown field \"Net\" (known here: \"Http\","),
        (
            "{\"Wants\": {\"Http\": [{\"Url\": \"a.b\"}]}}",
            "line 1: Wants.Http[0].Url: \"a.b\" lacks a scheme; write https://a.b",
        ),
        ("{\"Wants\": {\"Http\": [{\"Url\": \"https://*\"}]}}", "line 1: Wants.Http[0].Url: \"*\" would be every host"),
        (
            "{\"Wants\": {\"Http\": [{\"Url\": \"*\", \"Via\": \"unix:/x\"}]}}",
            "line 1: Wants.Http[0].Via: unknown field \"Via\"",
        ),
        (
            "{\"Wants\": {\"Http\": [{\"Url\": \"*\"}, {\"Url\": \"*\"}]}}",
            "line 1: Wants.Http[1]: the same requests are wanted already",
        ),
        (
            "{\"Wants\": {\"Http\": [{\"Url\": \"*\", \"Paths\": [\"x\"]}]}}",
            "line 1: Wants.Http[0].Paths[0]: \"x\" does not begin",
        ),
        ("{\"Wants\": {\"Dirs\": [{\"Mode\": \"rw\"}]}}", "line 1: Wants.Dirs[0]: \"Guest\" is missing"),
        (
            "{\"Wants\": {\"Dirs\": [{\"Guest\": \"/a\"}, {\"Guest\": \"/a/\"}]}}",
            "line 1: Wants.Dirs[1]: \"/a\" is wanted already",
        ),
        ("{\"Wants\": {\"Secrets\": [\"token\"]}}", "line 1: Wants.Secrets[0]: expected {\"Name\", \"Why\"}"),
        (
            "{\"Wants\": {\"Secrets\": [{\"Name\": \"A\"}]}}",
            "line 1: Wants.Secrets[0].Name: \"A\" is not in lower case",
        ),
        (
            "{\"Wants\": {\"Exec\": [{\"Name\": \"a\"}, {\"Name\": \"a\"}]}}",
            "line 1: Wants.Exec[1].Name: \"a\" is wanted already",
        ),
        (
            "{\"Wants\": {\"Config\": [{\"Name\": \"a\", \"Why\": \"x\\u001b[31m\"}]}}",
            "line 1: Wants.Config[0].Why: the text holds a control",
        ),
        ("{\"Toolchain\": 5}", "line 1: Toolchain: expected a text for people"),
        ("{\"Wants\": {}, \"Wants\": {}}", "line 1: Wants: the key \"Wants\" occurs twice"),
    ] {
        let found = Manifest::parse(text.as_bytes()).expect_err(text).to_string();
        assert!(found.starts_with(error), "{text}\n{found}\n{error}");
    }
    let two = Manifest::parse(b"{\"A\": 1,\n\"B\": 2}").expect_err("was read");
    assert!(two.faults.len() == 2 && two.to_string().contains("; line 2: B: "), "{two}");
    assert!(Manifest::parse(b"{\xff}").is_err());
    let big = format!("{{\"Toolchain\": \"{}\"}}", "x".repeat(Manifest::MAX_TEXT));
    assert!(Manifest::parse(big.as_bytes()).expect_err("was read").to_string().contains("at most 65536 are read"));
}

#[test]
fn an_entry_that_a_program_made_is_judged_as_one_of_a_document() {
    let spec = |grants: Grants| PluginSpec {
        source: PluginSource::File("/p.wasm".into()),
        sha256: Some("A".repeat(64)),
        grants,
        limits: Limits::default(),
    };
    let good = Grants { http: vec![HttpGrant::to("https://A.b:443")], ..Grants::default() };
    let checked = check_plugin("p", spec(good)).unwrap();
    assert_eq!((checked.grants.http[0].url.as_str(), checked.sha256), ("https://a.b", Some("a".repeat(64))));
    let wrong = Grants { http: vec![HttpGrant::to("a.b")], ..Grants::default() };
    let faults = check_plugin("p", spec(wrong)).unwrap_err();
    assert_eq!((faults.len(), faults[0].path.as_str()), (1, "Plugins.p.Grants.Http[0].Url"));
}

#[test]
fn grants_and_wishes_are_listed_for_people() {
    let spec = plugin(&entry(
        "Grants:\n  Http: [{Url: https://a.b, Methods: [GET], Paths: [/v1/**], Inject: {A: {Secret: t}}}]\n  Dirs: [{Host: /x, \
         Guest: /y, Mode: rw}]\n  Secrets: {t: {Env: T}}\n  Config: {r: eu}\n  Exec: {web: {Path: /n, Args: [[-c]]}}",
    ));
    assert_eq!(
        spec.grants.to_string(),
        "requests GET https://a.b/v1/**; inject=A:t\n/x as /y (read and write)\nsecret t=env:T\nsetting r=eu\nprogram web=/n; args=-c"
    );
    assert_eq!(Grants::default().to_string(), "nothing");
    let read = manifest(
        r#"{"Wants": {"Http": [{"Url": "*", "Why": "to ask"}], "Dirs": [{"Guest": "/y"}], "Secrets": [{"Name": "t"}]}}"#,
    );
    assert_eq!(
        read.wants.to_string(),
        "all methods of a host of your choice: to ask\nthe directory /y (read only)\nthe secret t"
    );
    assert_eq!(Wants::default().to_string(), "nothing");
}
