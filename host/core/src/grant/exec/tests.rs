use super::*;
use crate::grant::flag;

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

fn grant(text: &str) -> ExecGrant {
    flag::read_exec(text).unwrap_or_else(|error| panic!("{text}: {error}")).1
}

#[test]
fn arguments_are_compared_word_by_word() {
    for (pattern, allowed, refused) in [
        ("", &[""][..], &["-c"][..]),
        ("-c x", &["-c x"], &["", "-c", "x -c", "-c x y", "-cx"]),
        (
            "-c /etc/*.conf",
            &["-c /etc/a.conf", "-c /etc/.conf", "-c /etc/a/../b.conf"],
            &["-c /etc/a", "-c x/etc/a.conf"],
        ),
        ("**", &["", "a", "a b"], &[]),
        ("-p **", &["-p", "-p a", "-p a b"], &["", "a -p"]),
        ("--port=*", &["--port=", "--port=80"], &["--port", "--portx=1", "--port=80 x"]),
        ("a*b*c", &["abc", "axbxc", "abbcc"], &["ab", "acb", "abcx"]),
        ("ab*ba", &["abba", "abxba"], &["aba", "ab"]),
        ("*", &["x"], &["", "x y"]),
    ] {
        let list = words(pattern);
        let grant =
            ExecGrant { path: "/p".into(), args: if pattern.is_empty() { vec![] } else { vec![list] }, env: vec![] };
        for text in allowed {
            assert_eq!(grant.allows(&words(text), []), Ok(()), "{pattern:?} and {text:?}");
        }
        for text in refused {
            assert!(matches!(grant.allows(&words(text), []), Err(ExecRefusal::Args(_))), "{pattern:?} and {text:?}");
        }
    }
    // Blanks and empty words are part of words.
    let grant = grant(r"p=/p; args=a\ b *");
    assert_eq!(grant.allows(&["a b".into(), String::new()], []), Ok(()));
    assert!(grant.allows(&words("a b"), []).is_err());
}

#[test]
fn a_pattern_never_takes_long() {
    let grant = ExecGrant { path: "/p".into(), args: vec![vec!["a*".repeat(1_000) + "b"]], env: vec![] };
    assert!(grant.allows(&["a".repeat(100_000)], []).is_err());
}

#[test]
fn variables_by_which_code_runs_are_named_in_full() {
    let grant = grant("p=/p; env=APP_*; env=PORT; env=*_PATH; env=LD_*; env=PATH");
    assert_eq!(grant.allows(&[], ["APP_X", "APP_", "PORT", "MY_PATH", "PATH"]), Ok(()));
    for name in ["LD_PRELOAD", "LD_LIBRARY_PATH", "GCONV_PATH", "NIS_PATH"] {
        assert_eq!(grant.allows(&[], [name]), Err(ExecRefusal::Guarded(name.into())));
    }
    for name in ["PORTS", "app_x", "", "XAPP_Y"] {
        assert_eq!(grant.allows(&[], [name]), Err(ExecRefusal::Variable(name.into())));
    }
}

/// What the advice is, read back.
fn advised(denial: &ExecDenial) -> (String, ExecGrant) {
    let flag = &denial.grant.as_ref().expect("an advice").flag;
    let word = flag.strip_prefix("--allow-exec ").expect("the option").trim_matches('\'');
    flag::read_exec(word).unwrap_or_else(|error| panic!("{word}: {error}"))
}

#[test]
fn a_denial_tells_the_way_out() {
    let wants = [ExecWant { name: "web".into(), why: String::new() }];
    let grants =
        BTreeMap::from([("web".to_owned(), grant("web=/bin/web; args=-c *")), ("sh".to_owned(), grant("sh=/bin/sh"))]);
    assert_eq!(judge_exec(&grants, &wants, "web", &words("-c x"), &[]), Ok(&grants["web"]));

    let denial = judge_exec(&grants, &wants, "web", &words("-d y"), &["PORT"]).expect_err("it is not granted");
    assert_eq!(
        denial.to_string(),
        r#"the program "web" was denied: its grant does not fit: it allows the arguments [["-c","*"]]; to allow it: --allow-exec 'web=/bin/web; args=-c *; args=-d y; env=PORT', or {"Exec":{"web":{"Args":[["-c","*"],["-d","y"]],"Env":["PORT"],"Path":"/bin/web"}}} in the "Grants" of its entry in a stack"#
    );
    let (name, better) = advised(&denial);
    assert_eq!(judge_exec(&[(name, better)].into(), &wants, "web", &words("-d y"), &["PORT"]).map(|_| ()), Ok(()));
    assert!(!denial.reason().contains("-c"), "a guest need not know what is granted: {}", denial.reason());

    let denial = judge_exec(&grants, &[], "sh", &[], &[]).expect_err("nobody asked for it");
    assert_eq!(
        denial.to_string(),
        r#"the program "sh" was denied: the plugin's manifest does not ask for it; the plugin's manifest needs {"Exec":[{"Name":"sh"}]} in its "Wants""#
    );

    let denial = judge_exec(&grants, &[], "db", &words("-x"), &[]).expect_err("neither asked for nor granted");
    assert_eq!(advised(&denial), ("db".into(), grant("db=PATH; args=-x")));
    assert!(denial.to_string().contains("also needs"), "{denial}");

    // What a grant without lists allows, it still allows with the advice.
    let denial =
        judge_exec(&grants, &[ExecWant { name: "sh".into(), why: String::new() }], "sh", &words("-x"), &["LD_PRELOAD"]);
    let (_, better) = advised(&denial.expect_err("no arguments are granted"));
    assert_eq!((better.allows(&[], []), better.allows(&words("-x"), ["LD_PRELOAD"])), (Ok(()), Ok(())));
}

#[test]
fn no_advice_allows_more_than_was_asked_for() {
    let (long, blank) = ("x".repeat(3_000), "a\nb".to_owned());
    for args in [vec!["**".to_owned()], vec!["a*".to_owned()], vec![long], vec![blank]] {
        let denial = judge_exec(&BTreeMap::new(), &[], "web", &args, &[]).expect_err("nothing is granted");
        assert_eq!(denial.grant, None, "{args:?}");
        assert!(denial.to_string().contains("by hand") && !denial.to_string().contains('\n'), "{denial}");
    }
    let denial = judge_exec(&BTreeMap::new(), &[], "a\nb", &[], &["A=B"]).expect_err("nothing is granted");
    assert_eq!((denial.grant.clone(), denial.wish.clone()), (None, None));
    assert!(!denial.to_string().contains('\n') && !denial.reason().contains('\n'));
}
