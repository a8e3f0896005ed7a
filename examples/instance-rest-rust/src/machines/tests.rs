use std::cell::RefCell;
use std::collections::VecDeque;

use super::*;
use crate::bindings::homeostat::plugin::types::Attachment;

/// An API that answers as it was told, and remembers what it was asked.
struct Script {
    answers: RefCell<VecDeque<Result<Answer, Silence>>>,
    asked: RefCell<Vec<Request>>,
}

impl Script {
    fn new(answers: impl IntoIterator<Item = Result<Answer, Silence>>) -> Self {
        Self { answers: RefCell::new(answers.into_iter().collect()), asked: RefCell::default() }
    }

    /// Method and path of each request.
    fn asked(&self) -> Vec<String> {
        assert!(self.answers.borrow().is_empty(), "not all was asked: {:?}", self.answers.borrow());
        self.asked.borrow().iter().map(|it| format!("{:?} {}", it.method, it.path)).collect()
    }
}

impl Api for Script {
    fn send(&self, request: &Request) -> Result<Answer, Silence> {
        self.asked.borrow_mut().push(request.clone());
        self.answers.borrow_mut().pop_front().unwrap_or_else(|| panic!("asked too often: {request:?}"))
    }
}

fn answer(status: u16, body: Value) -> Result<Answer, Silence> {
    Ok(Answer { status, retry_after_ms: None, body: body.to_string().into_bytes() })
}

fn lost() -> Result<Answer, Silence> {
    Err(Silence::Lost("connection reset".to_owned()))
}

fn spec() -> InstanceSpec {
    InstanceSpec {
        properties: properties::EXAMPLE.to_owned(),
        tags: vec![("tier".to_owned(), "web".to_owned()), ("a".to_owned(), String::new())],
        init: "echo".to_owned(),
        logical_id: Some("db-1".to_owned()),
        attachments: vec![Attachment { id: "vol-1".to_owned(), kind: "disk".to_owned() }],
    }
}

fn machine(state: &str, made_from: &str) -> Value {
    json!({"name": "web-1", "state": state, "tags": {"tier": "web"}, "annotations": {MADE_FROM: made_from}})
}

fn made(answers: impl IntoIterator<Item = Result<Answer, Silence>>) -> (Result<String, ErrorCode>, Vec<String>) {
    let api = Script::new(answers);
    (provision(&api, "web-1", &spec()).map_err(|it| it.code), api.asked())
}

#[test]
fn a_machine_is_made_with_all_that_it_needs_in_one_request() {
    let api = Script::new([answer(201, json!({}))]);
    assert_eq!(provision(&api, "web-1", &spec()).unwrap(), "web-1");
    let asked = api.asked.borrow();
    assert_eq!(
        (asked[0].method, &*asked[0].path, asked[0].if_none_match),
        (Method::Put, "/v1/machines/web-1", Some("*"))
    );
    let body = asked[0].body.as_ref().unwrap();
    assert_eq!(
        (&body["image"], &body["hostname"], &body["tags"]),
        (&json!("debian-12"), &json!("db-1"), &json!({"tier": "web", "a": ""}))
    );
    assert_eq!(body["volumes"], json!([{"id": "vol-1", "kind": "disk"}]));
    // The order of tags means nothing, and all else does.
    let mut other = spec();
    other.tags.reverse();
    assert_eq!(digest(&other).unwrap(), digest(&spec()).unwrap());
    other.init.push('x');
    assert_ne!(digest(&other).unwrap(), digest(&spec()).unwrap());
}

#[test]
fn what_exists_is_found_by_its_name() {
    let same = digest(&spec()).unwrap();
    let asked = ["Put /v1/machines/web-1", "Get /v1/machines/web-1"].map(str::to_owned).to_vec();
    for (exists, expected) in [
        (answer(200, machine("creating", &same)), Ok("web-1".to_owned())),
        (answer(200, machine("running", "other")), Err(ErrorCode::AlreadyExists)),
        (answer(200, json!({"name": "web-1", "state": "running"})), Err(ErrorCode::AlreadyExists)),
        (answer(404, json!({})), Err(ErrorCode::Aborted)),
        (answer(503, json!({})), Err(ErrorCode::Unavailable)),
    ] {
        assert_eq!(made([answer(412, json!({})), exists]), (expected, asked.clone()));
    }
}

#[test]
fn a_lost_answer_is_looked_for() {
    let same = digest(&spec()).unwrap();
    for first in [lost(), answer(500, json!({})), answer(502, json!({})), answer(504, json!({}))] {
        let found = answer(200, machine("running", &same));
        assert_eq!(made([first.clone(), found]).0, Ok("web-1".to_owned()));
        assert_eq!(made([first.clone(), answer(200, machine("running", "other"))]).0, Err(ErrorCode::AlreadyExists));
        // It may still come to be, so the host must look before it does anything else.
        assert_eq!(made([first.clone(), answer(404, json!({}))]).0, Err(ErrorCode::Internal));
        assert_eq!(made([first, lost()]).0, Err(ErrorCode::Internal));
    }
}

#[test]
fn each_failure_says_what_to_do_next() {
    for (status, code) in [
        (400, ErrorCode::InvalidArgument),
        (401, ErrorCode::PermissionDenied),
        (402, ErrorCode::ResourceExhausted),
        (403, ErrorCode::PermissionDenied),
        (404, ErrorCode::Internal),
        (409, ErrorCode::Aborted),
        (429, ErrorCode::Unavailable),
        (503, ErrorCode::Unavailable),
        (505, ErrorCode::Internal),
        (302, ErrorCode::Internal),
    ] {
        assert_eq!(made([answer(status, json!({}))]).0, Err(code), "{status}");
    }
    assert_eq!(made([Err(Silence::NotSent(String::new()))]).0, Err(ErrorCode::Unavailable));
    assert_eq!(made([Err(Silence::Denied(String::new()))]).0, Err(ErrorCode::PermissionDenied));

    let throttled = Answer { status: 429, retry_after_ms: Some(7000), body: br#"{"error": "slow down"}"#.to_vec() };
    let error = provision(&Script::new([Ok(throttled)]), "web-1", &spec()).unwrap_err();
    assert_eq!(error.retry_after_ms, Some(7000));
    assert!(error.message.contains("slow down"), "{error:?}");
    let wrong = provision(&Script::new([]), "a/b", &spec()).unwrap_err();
    assert_eq!(wrong.code, ErrorCode::InvalidArgument);
}

#[test]
fn what_is_destroyed_was_made_by_this_plugin() {
    let destroyed = |answers: Vec<Result<Answer, Silence>>| {
        let api = Script::new(answers);
        let result = destroy(&api, "web-1").map_err(|it| it.code);
        api.asked();
        result
    };
    let there = || answer(200, machine("running", "x"));
    assert_eq!(destroyed(vec![answer(404, json!({}))]), Ok(()));
    assert_eq!(destroyed(vec![there(), answer(202, json!({}))]), Ok(()));
    assert_eq!(destroyed(vec![there(), answer(404, json!({}))]), Ok(()));
    assert_eq!(destroyed(vec![there(), lost(), answer(404, json!({}))]), Ok(()));
    assert_eq!(destroyed(vec![there(), lost(), answer(200, machine("stopping", "x"))]), Ok(()));
    assert_eq!(destroyed(vec![there(), lost(), there()]), Err(ErrorCode::Internal));
    let foreign = answer(200, json!({"name": "web-1", "state": "running"}));
    assert_eq!(destroyed(vec![foreign]), Err(ErrorCode::PermissionDenied));
}

#[test]
fn a_page_is_what_the_api_shows_of_ours() {
    let mut foreign = machine("running", "x");
    foreign["annotations"] = json!({});
    let mut other = machine("running", "x");
    other["tags"] = json!({});
    let body = json!({"machines": [machine("odd", "x"), foreign, other], "next": "c 2", "partial": true});
    let api = Script::new([answer(200, body)]);
    let tags = [("tier".to_owned(), "web".to_owned()), ("a=b".to_owned(), String::new())];
    let request =
        ListRequest { tags: tags[..1].to_vec(), with_properties: true, cursor: Some("c&1".to_owned()), limit: 9999 };
    let page = list(&api, &request).unwrap();
    assert_eq!(api.asked(), ["Get /v1/machines?limit=500&tag=tier%3Dweb&cursor=c%261"]);
    assert_eq!(
        (page.instances.len(), page.next.as_deref(), page.complete, page.findings.len()),
        (1, Some("c 2"), false, 1)
    );
    assert_eq!((page.instances[0].state, &*page.instances[0].name), (InstanceState::Pending, "web-1"));
    assert!(page.instances[0].message.contains("odd"));

    let api = Script::new([answer(200, json!({"machines": [], "next": null}))]);
    assert!(list(&api, &ListRequest { tags: tags[1..].to_vec(), cursor: None, ..request }).unwrap().complete);
    assert_eq!(api.asked(), ["Get /v1/machines?limit=500"]);
}

#[test]
fn no_name_leads_elsewhere() {
    for (name, expected) in [("..", "%2E%2E"), (".", "%2E"), ("a.b", "a.b"), ("a/b?c", "a%2Fb%3Fc"), ("ä", "%C3%A4")] {
        assert_eq!(escaped(name), expected);
    }
}
