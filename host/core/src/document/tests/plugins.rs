//! Whatever can be granted is written so that it reads back the same: as a document, and as options of the command.

use std::collections::BTreeMap;
use std::path::PathBuf;

use proptest::collection::{btree_map, btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::grant::{
    ClientIdentity, ConfigWant, DirGrant, DirWant, ExecGrant, ExecWant, Grants, HttpGrant, HttpWant, Injection,
    Manifest, PathPattern, Route, SecretSource, SecretWant, UrlPattern, Wants, flag,
};
use crate::spec::{PluginSource, PluginSpec};

const NAME: &str = "[a-z0-9._-]{1,10}";

/// An absolute path without `.` and `..`, and with all that a shell or an option could stumble over.
fn path() -> impl Strategy<Value = PathBuf> {
    "(/[a-z;:\\\\ =\"'ä*]{0,5}[a-z0-9]){1,3}".prop_map(PathBuf::from)
}

fn url() -> impl Strategy<Value = String> {
    let host = prop_oneof![
        "[a-z]{1,5}(\\.[a-z]{1,5}){0,2}",
        "\\*\\.[a-z]{1,5}\\.[a-z]{2,5}",
        any::<core::net::Ipv4Addr>().prop_map(|it| it.to_string()),
        any::<core::net::Ipv6Addr>().prop_map(|it| format!("[{it}]")),
        (any::<u32>(), 1..=32_u32).prop_map(|(bits, prefix)| {
            let address = core::net::Ipv4Addr::from_bits(bits & (u32::MAX << (32 - prefix)));
            format!("{address}/{prefix}")
        }),
    ];
    let port = prop_oneof![Just(String::new()), Just(":*".into()), (1..=u16::MAX).prop_map(|port| format!(":{port}"))];
    (select(vec!["http", "https"]), host, port).prop_filter_map("a URL", |(scheme, host, port)| {
        format!("{scheme}://{host}{port}").parse::<UrlPattern>().ok().map(|it| it.to_string())
    })
}

fn methods() -> impl Strategy<Value = Vec<String>> {
    btree_set("[A-BD-Z]{1,6}", 0..3).prop_map(|it| it.into_iter().collect())
}

fn paths() -> impl Strategy<Value = Vec<String>> {
    let one = "/[a-z0-9/*.~%;,!$&'()+:@=ä\\\\-]{0,12}"
        .prop_filter_map("a path", |text| text.parse::<PathPattern>().ok().map(|it| it.to_string()));
    btree_set(one, 0..3).prop_map(|it| it.into_iter().collect())
}

fn http(secrets: Vec<String>) -> impl Strategy<Value = HttpGrant> {
    let via = prop_oneof![
        path().prop_map(Route::Unix),
        any::<(core::net::IpAddr, u16)>()
            .prop_filter_map("a port", |(ip, port)| (port > 0).then(|| Route::Address((ip, port).into()))),
    ];
    let closed = vec!["127.0.0.0/8", "127.0.0.1/32", "::1/128", "169.254.169.254/32", "fe80::/64"];
    let inject = match secrets.is_empty() {
        true => Just(BTreeMap::new()).boxed(),
        false => btree_map(
            "X-[a-z]{1,6}",
            (select(secrets), "[a-zA-Z: ;\\\\=]{0,8} ").prop_map(|(secret, prefix)| Injection { secret, prefix }),
            0..3,
        )
        .boxed(),
    };
    let tls = (option::of(path()), option::of((path(), path())));
    let addresses = btree_set(select(closed), 0..3);
    (url(), methods(), paths(), option::of(via), inject, tls, addresses).prop_map(
        |(url, methods, paths, via, inject, (roots, client), addresses)| {
            let is_tls = url.starts_with("https");
            let via = via.filter(|_| !url.split("://").nth(1).is_some_and(|it| it.contains('/')));
            HttpGrant {
                methods,
                paths,
                inject,
                roots: roots.filter(|_| is_tls),
                client: client.filter(|_| is_tls).map(|(cert, key)| ClientIdentity { cert, key }),
                addresses: addresses.into_iter().filter(|_| via.is_none()).map(String::from).collect(),
                via,
                ..HttpGrant::to(url)
            }
        },
    )
}

fn mode() -> impl Strategy<Value = DirMode> {
    select(vec![DirMode::ReadOnly, DirMode::ReadWrite])
}

/// One for each guest's path.
fn dirs() -> impl Strategy<Value = BTreeMap<String, (PathBuf, DirMode)>> {
    btree_map("(/[a-z ä]{1,5}){1,3}", (path(), mode()), 0..4)
}

fn exec() -> impl Strategy<Value = ExecGrant> {
    let word = "[a-z ;:\\\\=\"'\t\n*ä-]{0,8}".prop_filter("no end", |it| it != "**");
    let args = (vec(word, 0..4), any::<bool>()).prop_map(|(mut words, open)| {
        words.extend(open.then(|| "**".into()));
        words
    });
    let env = btree_set("[A-Z_][A-Z0-9_*]{0,5}", 0..3);
    (path(), btree_set(args, 0..3), env).prop_map(|(path, args, env)| ExecGrant {
        path,
        args: args.into_iter().collect(),
        env: env.into_iter().collect(),
    })
}

fn grants() -> impl Strategy<Value = Grants> {
    let source = prop_oneof![
        path().prop_map(SecretSource::File),
        "[A-Z_][A-Z0-9_]{0,9}".prop_map(SecretSource::Env),
        NAME.prop_map(SecretSource::Store),
    ];
    let http =
        |secrets: BTreeMap<String, SecretSource>| (vec(http(secrets.keys().cloned().collect()), 0..4), Just(secrets));
    let requests = btree_map(NAME, source, 0..3).prop_flat_map(http);
    (requests, dirs(), btree_map(NAME, any::<String>(), 0..3), btree_map(NAME, exec(), 0..3)).prop_map(
        |((mut http, secrets), dirs, config, exec)| {
            let mut seen = std::collections::BTreeSet::new();
            http.retain(|it| seen.insert((it.url.clone(), it.methods.clone(), it.paths.clone())));
            let dirs = dirs.into_iter().map(|(guest, (host, mode))| DirGrant { host, guest, mode });
            Grants { http, dirs: dirs.collect(), secrets, config, exec }
        },
    )
}

fn limits() -> impl Strategy<Value = Limits> {
    let time = 1..=3_600_000_000_000_u64;
    let amounts = (1_u64 << 20..=4 << 30, 1..=1024_u32, 1..=1024_u32, 64_u64 << 10..=1 << 30);
    (amounts, time.clone(), time, any::<u32>()).prop_map(|((memory, calls, requests, answer), a, b, lag)| Limits {
        memory,
        cpu: Duration::from_nanos(a.min(b)),
        wall: Duration::from_nanos(a.max(b)),
        calls,
        requests,
        answer,
        list_lag: Duration::from_millis(lag.into()),
    })
}

fn plugin() -> impl Strategy<Value = PluginSpec> {
    let source = prop_oneof![
        path().prop_map(|it| PluginSource::File(format!("{}.wasm", it.display()).into())),
        "https://[a-z]{1,5}\\.[a-z]{2}(:[1-9][0-9]{0,3})?(/[a-z?=]{1,5}){0,2}".prop_map(PluginSource::Https),
        "oci://[a-z]{1,5}(:[1-9][0-9]{0,3})?(/[a-z]{1,5}){1,2}(:[a-z0-9]{1,5})?(@sha256:[0-9a-f]{64})?"
            .prop_map(PluginSource::Oci),
    ];
    (source, option::of("[0-9a-f]{64}"), grants(), limits()).prop_map(|(source, sha256, grants, limits)| PluginSpec {
        source,
        sha256,
        grants,
        limits,
    })
}

fn wants() -> impl Strategy<Value = Wants> {
    let why = || "[a-zäA-Z \"\\\\{}:]{0,20}";
    let url = prop_oneof![Just("*".to_owned()), url()];
    let http = btree_map((url, methods(), paths()), why(), 0..4);
    let dirs = btree_map("(/[a-z ä]{1,5}){1,3}", (mode(), why()), 0..4);
    let named = || btree_map(NAME, why(), 0..4);
    (http, dirs, named(), named(), named()).prop_map(|(http, dirs, secrets, config, exec)| Wants {
        http: http.into_iter().map(|((url, methods, paths), why)| HttpWant { url, methods, paths, why }).collect(),
        dirs: dirs.into_iter().map(|(guest, (mode, why))| DirWant { guest, mode, why }).collect(),
        secrets: secrets.into_iter().map(|(name, why)| SecretWant { name, why }).collect(),
        config: config.into_iter().map(|(name, why)| ConfigWant { name, why }).collect(),
        exec: exec.into_iter().map(|(name, why)| ExecWant { name, why }).collect(),
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

    #[test]
    fn what_is_written_reads_back_equal(plugins in btree_map("[a-z][a-z0-9/-]{0,8}", plugin(), 1..3)) {
        let stack = Stack { plugins, groups: Vec::new() };
        let text = serde_json::to_string(&stack).unwrap();
        for name in ["g.json", "g.yaml"] {
            prop_assert_eq!(&ok(name, &text).stack, &stack);
        }
        for (name, spec) in &stack.plugins {
            let stored = serde_json::to_string(spec).unwrap();
            prop_assert_eq!(&serde_json::from_str::<PluginSpec>(&stored).unwrap(), spec, "{}", name);
        }
    }

    #[test]
    fn what_an_option_shows_it_takes(grants in grants()) {
        for it in &grants.http {
            let shown = flag::write_http(it);
            prop_assert_eq!(&flag::read_http(&shown).map_err(|error| format!("{shown}: {error}")), &Ok(it.clone()));
        }
        for it in &grants.dirs {
            prop_assert_eq!(&flag::read_dir(&flag::write_dir(it)), &Ok(it.clone()));
        }
        for (name, it) in grants.secrets.clone() {
            prop_assert_eq!(flag::read_secret(&flag::write_secret(&name, &it)), Ok((name, it)));
        }
        for (name, it) in grants.exec.clone() {
            let shown = flag::write_exec(&name, &it);
            prop_assert_eq!(flag::read_exec(&shown).map_err(|error| format!("{shown}: {error}")), Ok((name, it)));
        }
    }

    #[test]
    fn a_manifest_reads_back_equal(wants in wants(), toolchain in option::of("[a-z0-9. ]{1,20}")) {
        let manifest = Manifest { toolchain, wants };
        let text = serde_json::to_vec(&manifest).unwrap();
        prop_assert_eq!(Manifest::parse(&text).map_err(|error| error.to_string()), Ok(manifest));
    }

    #[test]
    fn gaps_close_when_what_they_advise_is_granted(wants in wants(), granted in grants()) {
        prop_assert!(wants.beyond(&wants).is_empty());
        prop_assert_eq!(wants.beyond(&Wants::default()).len(), count(&wants));
        let mut grants = granted;
        for gap in wants.against(&grants).wanted_not_granted {
            let more: Grants = serde_json::from_value(gap.remedy.stanza).unwrap();
            grants.http.extend(more.http);
            grants.dirs.retain(|it| more.dirs.iter().all(|other| it.guest != other.guest));
            grants.dirs.extend(more.dirs);
            grants.secrets.extend(more.secrets);
            grants.config.extend(more.config);
            grants.exec.extend(more.exec);
        }
        let left = wants.against(&grants).wanted_not_granted;
        prop_assert!(left.is_empty(), "{:?}", left);
    }

    #[test]
    fn no_manifest_and_no_option_upsets_the_reader(bytes in vec(any::<u8>(), 0..100), text in any::<String>()) {
        let _ = Manifest::parse(&bytes);
        let _ = Manifest::parse(text.as_bytes());
        let _ = (flag::read_http(&text), flag::read_dir(&text), flag::read_secret(&text), flag::read_exec(&text));
        let _ = flag::read_http(&format!("GET https://a.b/{text}"));
        let _ = flag::read_exec(&format!("a=/b {text}"));
    }
}

/// How many things a plugin wants.
fn count(wants: &Wants) -> usize {
    wants.http.len() + wants.dirs.len() + wants.secrets.len() + wants.config.len() + wants.exec.len()
}
