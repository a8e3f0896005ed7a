//! Why things are as they are.

use homeostat_server::view::{Why, WhyReply};

use super::{age, ahead, tame};

/// What `group why` shows: how it stands, and below that the reasons, the weightiest first.
pub(crate) fn text(reply: &WhyReply, now_ms: u64) -> String {
    let head = format!("{}: {}", tame(&reply.subject), tame(&reply.status));
    let reasons = reply.reasons.iter().map(|it| format!("  {}", reason(it, now_ms)));
    std::iter::once(head).chain(reasons).collect::<Vec<_>>().join("\n")
}

/// A reason in one line, with since when it is so and when it is looked at again.
pub(crate) fn reason(it: &Why, now_ms: u64) -> String {
    let since = it.since.map(|at| format!("since {}", age(Some(at.0), now_ms)));
    let next = it.next.map(|at| format!("next {}", ahead(at.0, now_ms)));
    let when: Vec<String> = since.into_iter().chain(next).collect();
    match when.as_slice() {
        [] => tame(&it.text),
        when => format!("{} ({})", tame(&it.text), when.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use homeostat_core::time::Timestamp;

    use super::*;

    fn why(text: &str, since: Option<u64>, next: Option<u64>) -> Why {
        Why { text: text.into(), since: since.map(Timestamp), next: next.map(Timestamp) }
    }

    #[test]
    fn a_reason_says_since_when_and_when_next() {
        let reply = WhyReply {
            subject: "web".into(),
            status: "waiting: 1 of 5 is unhealthy".into(),
            reasons: vec![
                why(
                    "to provision failed (3 in a row), waiting before the next attempt: no\nroom",
                    Some(0),
                    Some(200_000),
                ),
                why("web-0002-aaaa would go, and is protected", Some(120_000), None),
                why("it is due", None, Some(0)),
                why("all is as declared", None, None),
            ],
        };
        expect![[r#"
            web: waiting: 1 of 5 is unhealthy
              to provision failed (3 in a row), waiting before the next attempt: no room (since 3m, next in 20s)
              web-0002-aaaa would go, and is protected (since 60s)
              it is due (next now)
              all is as declared"#]]
        .assert_eq(&text(&reply, 180_000));
    }
}
