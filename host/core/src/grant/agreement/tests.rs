//! Wishes and grants side by side.

use serde_json::json;

use super::*;
use crate::grant::{ConfigWant, ExecWant, Manifest, SecretWant, flag};

fn wants(json: serde_json::Value) -> Wants {
    let text = json!({"Wants": json}).to_string();
    Manifest::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}")).wants
}

fn http(grants: &[&str]) -> Grants {
    Grants { http: grants.iter().map(|it| flag::read_http(it).expect(it)).collect(), ..Grants::default() }
}

fn shown(gaps: &[Gap]) -> Vec<String> {
    gaps.iter().map(|it| format!("{it} | {}", it.remedy.flag)).collect()
}

#[test]
fn nothing_is_effective_that_only_one_side_names() {
    let wants = wants(json!({
        "Http": [{"Url": "https://api.example.com", "Methods": ["GET"], "Paths": ["/v1/**"], "Why": "to list"}],
        "Dirs": [{"Guest": "/a", "Mode": "rw", "Why": "state"}, {"Guest": "/b"}, {"Guest": "/c", "Mode": "rw"}],
        "Secrets": [{"Name": "sign", "Why": "to sign"}, {"Name": "seen"}],
        "Config": [{"Name": "region"}, {"Name": "zone"}],
        "Exec": [{"Name": "web"}, {"Name": "db"}]
    }));
    let dir = |text: &str| flag::read_dir(text).expect(text);
    let exec = |text: &str| flag::read_exec(text).expect(text);
    let env = |name: &str| (name.to_owned(), SecretSource::Env(name.to_uppercase()));
    let grants = Grants {
        dirs: vec![dir("/x/a:/a"), dir("/x/b:/b:rw"), dir("/x/d:/d")],
        secrets: BTreeMap::from([env("seen"), env("extra"), env("injected")]),
        config: BTreeMap::from([("region".into(), "eu-1".into()), ("other".into(), "x".into())]),
        exec: BTreeMap::from([exec("web=/bin/web"), exec("sh=/bin/sh **")]),
        ..http(&["https://other.example.com; inject=X-Key:injected"])
    };
    let agreement = wants.against(&grants);
    assert_eq!(
        shown(&agreement.wanted_not_granted),
        [
            "GET https://api.example.com/v1/**: to list | --allow-http 'GET https://api.example.com/v1/**'",
            "the directory /a (read and write) (in part): state | --allow-dir /x/a:/a:rw",
            "the directory /c (read and write) | --allow-dir PATH:/c:rw",
            "the secret sign: to sign | --allow-secret sign=file:PATH",
            "the setting zone | --allow-config zone=VALUE",
            "the program db | --allow-exec db=PATH",
        ]
    );
    assert_eq!(
        shown(&agreement.granted_not_wanted),
        [
            "all methods of https://other.example.com | --allow-http 'https://other.example.com; inject=X-Key:injected'",
            "the directory /b (read and write) (in part) | --allow-dir /x/b:/b:rw",
            "the directory /d (read only) | --allow-dir /x/d:/d",
            "the secret extra | --allow-secret extra=env:EXTRA",
            "the setting other | --allow-config other=x",
            "the program sh | --allow-exec 'sh=/bin/sh; args=**'",
        ]
    );
    let effective = agreement.effective;
    let dirs: Vec<_> = effective.dirs.iter().map(|it| (it.guest.as_str(), it.mode)).collect();
    // The lesser of both modes.
    assert_eq!(dirs, [("/a", DirMode::ReadOnly), ("/b", DirMode::ReadOnly)]);
    let keys = |map: &BTreeMap<String, SecretSource>| map.keys().cloned().collect::<Vec<_>>();
    assert_eq!((keys(&effective.secrets), keys(&effective.injected)), (vec!["seen".into()], vec!["injected".into()]));
    assert_eq!(effective.config, BTreeMap::from([("region".into(), "eu-1".into())]));
    assert_eq!(effective.exec.keys().collect::<Vec<_>>(), ["web"]);
    assert_eq!((effective.http_grants.len(), effective.http_wants.len()), (1, 1));
    assert!(agreement.granted_not_wanted[0].remedy.stanza["Http"][0]["Inject"]["X-Key"]["Secret"] == "injected");
}

#[test]
fn a_plugin_without_wishes_gets_nothing() {
    let grants = Grants { dirs: vec![flag::read_dir("/x:/x:rw").expect("a directory")], ..http(&["https://a.b"]) };
    let agreement = Wants::default().against(&grants);
    assert!(agreement.effective.is_empty() && agreement.granted_not_wanted.len() == 2);
    assert_eq!(agreement.effective.to_string(), "nothing");
    let agreement = wants(json!({"Http": [{"Url": "*"}], "Dirs": [{"Guest": "/x"}]})).against(&grants);
    assert_eq!(agreement.effective.to_string(), "requests https://a.b\n/x as /x (read only)");
    assert!(Wants::default().against(&Grants::default()).is_whole());
}

#[test]
fn requests_that_are_granted_in_several_grants_are_granted() {
    let want = |url: &str, methods: &[&str], paths: &[&str]| {
        wants(match (methods, paths) {
            ([], []) => json!({"Http": [{"Url": url}]}),
            ([], paths) => json!({"Http": [{"Url": url, "Paths": paths}]}),
            (methods, []) => json!({"Http": [{"Url": url, "Methods": methods}]}),
            (methods, paths) => json!({"Http": [{"Url": url, "Methods": methods, "Paths": paths}]}),
        })
    };
    let wide = want("https://a.b", &["GET", "POST"], &["/v1/**", "/v2/x"]);
    for (grants, missing, partly) in [
        (&["https://a.b"][..], 0, false),
        (&["https://a.b/**"], 0, false),
        (&["GET https://a.b", "POST https://a.b/v1/**; path=/v2/*"], 0, false),
        (&["GET https://a.b", "POST https://a.b/v1/**"], 1, true),
        (&["https://a.b/v1/x"], 1, true),
        (&["PUT https://a.b"], 1, false),
        (&["http://a.b"], 1, false),
        (&["https://a.b/v3"], 1, false),
        (&[], 1, false),
    ] {
        let found = wide.against(&http(grants)).wanted_not_granted;
        assert_eq!(found.len(), missing, "{grants:?}");
        assert!(found.iter().all(|it| it.partly == partly), "{grants:?}");
    }
    // Where only the operator knows the host, any will do.
    let open = want("*", &["GET"], &[]);
    assert!(open.against(&http(&["https://cloud.local"])).is_whole());
    assert_eq!(
        shown(&open.against(&Grants::default()).wanted_not_granted),
        ["GET a host of your choice | --allow-http 'GET https://HOST'"]
    );
    assert_eq!(open.against(&http(&["GET https://cloud.local/v1"])).wanted_not_granted.len(), 1);
    // A grant that narrows a wide wish is of use.
    let below = want("https://*.b.c", &[], &[]);
    let agreement = below.against(&http(&["https://a.b.c"]));
    assert!(agreement.wanted_not_granted[0].partly && agreement.granted_not_wanted.is_empty());
}

#[test]
fn a_new_version_is_asked_about_what_it_wants_more() {
    let old = wants(json!({
        "Http": [{"Url": "https://*.a.b", "Paths": ["/v1/**"]}],
        "Dirs": [{"Guest": "/a"}, {"Guest": "/b", "Mode": "rw"}],
        "Secrets": [{"Name": "token"}],
    }));
    assert!(old.beyond(&old).is_empty() && Wants::default().beyond(&old).is_empty());
    let less = wants(json!({
        "Http": [{"Url": "https://x.a.b", "Methods": ["GET"], "Paths": ["/v1/y"], "Why": "another reason"}],
        "Dirs": [{"Guest": "/b"}],
    }));
    assert!(less.beyond(&old).is_empty());
    let more = wants(json!({
        "Http": [{"Url": "https://x.a.b"}, {"Url": "*", "Paths": ["/v1/**"]}, {"Url": "https://c.d"}],
        "Dirs": [{"Guest": "/a", "Mode": "rw"}, {"Guest": "/c"}],
        "Secrets": [{"Name": "token"}, {"Name": "key", "Why": "to sign"}],
        "Config": [{"Name": "region"}],
        "Exec": [{"Name": "web"}],
    }));
    let found: Vec<String> = more.beyond(&old).iter().map(ToString::to_string).collect();
    assert_eq!(
        found,
        [
            "all methods of https://x.a.b (in part)",
            "all methods of a host of your choice, paths /v1/** (in part)",
            "all methods of https://c.d",
            "the directory /a (read and write) (in part)",
            "the directory /c (read only)",
            "the secret key: to sign",
            "the setting region",
            "the program web",
        ]
    );
}

#[test]
fn looking_only_narrows() {
    let wants = Wants {
        secrets: vec![SecretWant { name: "s".into(), why: String::new() }],
        config: vec![ConfigWant { name: "c".into(), why: String::new() }],
        exec: vec![ExecWant { name: "e".into(), why: String::new() }],
        ..wants(json!({"Http": [{"Url": "*"}], "Dirs": [{"Guest": "/a", "Mode": "rw"}]}))
    };
    let grants = Grants {
        dirs: vec![flag::read_dir("/x:/a:rw").expect("a directory")],
        ..http(&["POST https://a.b", "https://c.d"])
    };
    let narrowed = wants.against(&grants).effective.read_only();
    assert_eq!(narrowed.dirs[0].mode, DirMode::ReadOnly);
    assert_eq!(narrowed.http_grants.len(), 1);
    assert_eq!(narrowed.http_grants[0].methods, ["GET", "HEAD", "OPTIONS"]);
}

#[test]
fn an_agreement_is_told_line_by_line() {
    let agreement = wants(json!({"Config": [{"Name": "region", "Why": "where"}]})).against(&http(&["https://a.b"]));
    assert_eq!(
        agreement.to_string(),
        "wanted, not granted: the setting region: where; --allow-config region=VALUE\n\
         granted, not wanted: all methods of https://a.b"
    );
    assert!(Agreement::default().to_string().contains("nothing else"));
}
