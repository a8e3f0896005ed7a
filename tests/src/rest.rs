//! The API that `examples/instance-rest-rust` speaks to, on loopback, with switches for what goes wrong.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, patch};
use serde_json::{Map, Value, json};
use tokio::sync::oneshot;

/// What goes wrong with one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The request is refused with this status and, where it is not 0, `Retry-After` in seconds. Nothing is done.
    Status(u16, u32),
    /// It is done, and answered late.
    Slow(Duration),
    /// It is done, and the connection is closed in the middle of the answer, if not before it.
    LostAfter,
    /// The connection is closed as above, and nothing is done.
    LostBefore,
}

#[derive(Default)]
struct Api {
    machines: BTreeMap<String, Value>,
    faults: VecDeque<(Option<Method>, Fault)>,
    requests: Vec<String>,
    partial: bool,
    revives: bool,
    /// The machine that the last request deleted, where machines come back.
    deleted: Option<(String, Value)>,
}

type Shared = Arc<Mutex<Api>>;

/// A server that is stopped when this is dropped.
pub struct Rest {
    api: Shared,
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

/// The token that requests must bear.
const TOKEN: &str = "rest-token";

impl Rest {
    /// Start one on a free port of loopback.
    ///
    /// # Panics
    /// Where it cannot be started.
    pub fn start() -> Self {
        let api = Shared::default();
        let (stop, stopped) = oneshot::channel::<()>();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port of loopback");
        listener.set_nonblocking(true).expect("a listener that does not block");
        let address = listener.local_addr().expect("it has an address");
        let router = axum::Router::new()
            .route("/v1/machines", get(list))
            .route("/v1/machines/{name}", get(show).put(make).delete(destroy))
            .route("/v1/machines/{name}/tags", patch(label))
            .layer(middleware::from_fn_with_state(api.clone(), gate))
            .with_state(api.clone());
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
                tokio::select! {
                    served = async { axum::serve(listener, router).await } => served.expect("it serves"),
                    _ = stopped => {}
                }
            });
        });
        Self { api, address, stop: Some(stop), thread: Some(thread) }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The token that requests must bear.
    pub fn token(&self) -> &'static str {
        TOKEN
    }

    /// Have these go wrong, one with each of the next requests.
    pub fn fail(&self, faults: impl IntoIterator<Item = Fault>) {
        lock(&self.api).faults.extend(faults.into_iter().map(|it| (None, it)));
    }

    /// Have these go wrong, one with each of the next requests of this method.
    ///
    /// # Panics
    /// Where that is no method.
    pub fn fail_only(&self, method: &str, faults: impl IntoIterator<Item = Fault>) {
        let method: Method = method.parse().expect("a method");
        lock(&self.api).faults.extend(faults.into_iter().map(|it| (Some(method.clone()), it)));
    }

    /// How much of what is to go wrong is still to come.
    pub fn faults_left(&self) -> usize {
        lock(&self.api).faults.len()
    }

    /// Whether lists say that they do not know all machines.
    pub fn be_partial(&self, partial: bool) {
        lock(&self.api).partial = partial;
    }

    /// Whether machines come back: one that is looked at by the very next request after it was deleted is there again, once
    /// that request is answered with 404. So does a store that repairs old copies when they are read.
    pub fn revive(&self, revives: bool) {
        lock(&self.api).revives = revives;
    }

    /// The machines, by name.
    pub fn machines(&self) -> BTreeMap<String, Value> {
        lock(&self.api).machines.clone()
    }

    /// Change a machine behind everybody's back.
    ///
    /// # Panics
    /// Where there is none of this name.
    pub fn set(&self, name: &str, member: &str, value: Value) {
        lock(&self.api).machines.get_mut(name).expect("a machine of this name")[member] = value;
    }

    /// Method and path of all requests so far.
    pub fn requests(&self) -> Vec<String> {
        lock(&self.api).requests.clone()
    }
}

impl Drop for Rest {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn lock(api: &Shared) -> MutexGuard<'_, Api> {
    api.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Credentials and faults, before and after what is asked is done.
async fn gate(State(api): State<Shared>, request: Request, next: Next) -> Response {
    let mut revived = None;
    let fault = {
        let mut api = lock(&api);
        let line = format!("{} {}", request.method(), request.uri());
        api.requests.push(line);
        if let Some((name, machine)) = api.deleted.take()
            && request.method() == Method::GET
            && request.uri().path().ends_with(&format!("/{name}"))
        {
            revived = Some((name, machine));
        }
        let meant = |(only, _): &(Option<Method>, Fault)| only.as_ref().is_none_or(|it| it == request.method());
        let next = api.faults.iter().position(meant);
        next.and_then(|it| api.faults.remove(it)).map(|(_, fault)| fault)
    };
    let bears = request.headers().get(header::AUTHORIZATION).and_then(|it| it.to_str().ok());
    if bears != Some(&format!("Bearer {TOKEN}")) {
        return refusal(StatusCode::UNAUTHORIZED, "no token, or another one");
    }
    let response = answer(fault, request, next).await;
    if let Some((name, machine)) = revived {
        lock(&api).machines.insert(name, machine);
    }
    response
}

async fn answer(fault: Option<Fault>, request: Request, next: Next) -> Response {
    match fault {
        None => next.run(request).await,
        Some(Fault::Status(status, retry_after)) => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            let mut response = refusal(status, "as the test wants it");
            if retry_after > 0 {
                response.headers_mut().insert(header::RETRY_AFTER, retry_after.into());
            }
            response
        }
        Some(Fault::Slow(time)) => {
            let response = next.run(request).await;
            tokio::time::sleep(time).await;
            response
        }
        Some(Fault::LostAfter) => {
            next.run(request).await;
            cut_off()
        }
        Some(Fault::LostBefore) => cut_off(),
    }
}

/// An answer that breaks off at once, and takes the connection along.
fn cut_off() -> Response {
    let broken =
        futures_util::stream::once(async { Err::<&'static str, _>(std::io::Error::other("as the test wants it")) });
    Body::from_stream(broken).into_response()
}

fn refusal(status: StatusCode, why: &str) -> Response {
    (status, Json(json!({"error": why}))).into_response()
}

async fn make(
    State(api): State<Shared>,
    Path(name): Path<String>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Response {
    let mut api = lock(&api);
    if headers.get(header::IF_NONE_MATCH).is_some_and(|it| it == "*") && api.machines.contains_key(&name) {
        return refusal(StatusCode::PRECONDITION_FAILED, "there is one of this name");
    }
    let mut machine = body;
    machine["name"] = json!(name);
    machine["state"] = json!("running");
    machine["created_at_ms"] = json!(1_700_000_000_000_u64);
    machine["addresses"] = json!(["127.0.0.1"]);
    api.machines.insert(name, machine.clone());
    (StatusCode::CREATED, Json(machine)).into_response()
}

async fn show(State(api): State<Shared>, Path(name): Path<String>) -> Response {
    let found = lock(&api).machines.get(&name).cloned();
    found.map_or_else(|| refusal(StatusCode::NOT_FOUND, "no such machine"), |it| Json(it).into_response())
}

async fn destroy(State(api): State<Shared>, Path(name): Path<String>) -> Response {
    let mut api = lock(&api);
    match api.machines.remove(&name) {
        Some(machine) => {
            api.deleted = api.revives.then_some((name, machine));
            StatusCode::NO_CONTENT.into_response()
        }
        None => refusal(StatusCode::NOT_FOUND, "no such machine"),
    }
}

async fn label(State(api): State<Shared>, Path(name): Path<String>, Json(tags): Json<Map<String, Value>>) -> Response {
    let mut api = lock(&api);
    let Some(machine) = api.machines.get_mut(&name) else { return refusal(StatusCode::NOT_FOUND, "no such machine") };
    for (key, value) in tags {
        machine["tags"][key] = value;
    }
    StatusCode::NO_CONTENT.into_response()
}

/// A page goes on after the name that is its cursor.
async fn list(State(api): State<Shared>, Query(query): Query<Vec<(String, String)>>) -> Response {
    let api = lock(&api);
    let last = |key: &str| query.iter().rfind(|(it, _)| it == key).map(|(_, value)| value.as_str());
    let Ok(limit) = last("limit").unwrap_or("100").parse::<usize>() else {
        return refusal(StatusCode::BAD_REQUEST, "limit is a number");
    };
    let cursor = last("cursor").unwrap_or_default();
    let tags: Vec<_> = query.iter().filter(|(key, _)| key == "tag").filter_map(|(_, it)| it.split_once('=')).collect();
    let carries = |it: &Value| tags.iter().all(|(key, value)| it["tags"][*key] == *value);
    let mut found = api.machines.iter().filter(|(name, it)| name.as_str() > cursor && carries(it));
    let page: Vec<_> = found.by_ref().take(limit).collect();
    let next = found.next().and(page.last()).map(|(name, _)| name);
    let machines: Vec<_> = page.iter().map(|(_, it)| it).collect();
    Json(json!({"machines": machines, "next": next, "partial": api.partial})).into_response()
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;

    /// Status and body of an answer; none where it broke off.
    fn ask(rest: &Rest, method: &Method, path: &str, more: &str, body: &str) -> Option<(u16, Value)> {
        let mut stream = std::net::TcpStream::connect(rest.address()).unwrap();
        let length = body.len();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {TOKEN}\r\nconnection: close\r\n\
             content-type: application/json\r\ncontent-length: {length}\r\n{more}\r\n{body}"
        )
        .unwrap();
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        let (head, body) = answer.split_once("\r\n\r\n")?;
        if head.contains("chunked") && !body.ends_with("0\r\n\r\n") {
            return None;
        }
        Some((head.split(' ').nth(1)?.parse().ok()?, serde_json::from_str(body).unwrap_or_default()))
    }

    #[test]
    fn it_is_the_api_of_its_readme() {
        let rest = Rest::start();
        let once = "if-none-match: *\r\n";
        let put =
            |name: &str| ask(&rest, &Method::PUT, &format!("/v1/machines/{name}"), once, r#"{"tags": {"a": "b"}}"#);
        assert_eq!(put("web-1").unwrap().0, 201);
        assert_eq!(put("web-1").unwrap().0, 412);
        assert_eq!(put("web-2").unwrap().0, 201);
        let (_, page) = ask(&rest, &Method::GET, "/v1/machines?tag=a%3Db&limit=1", "", "").unwrap();
        assert_eq!((&page["machines"][0]["name"], &page["next"]), (&json!("web-1"), &json!("web-1")));
        let (_, page) = ask(&rest, &Method::GET, "/v1/machines?tag=a%3Db&limit=1&cursor=web-1", "", "").unwrap();
        assert_eq!((&page["machines"][0]["name"], &page["next"]), (&json!("web-2"), &Value::Null));
        assert_eq!(ask(&rest, &Method::PATCH, "/v1/machines/web-1/tags", "", r#"{"c": "d"}"#).unwrap().0, 204);
        assert_eq!(rest.machines()["web-1"]["tags"], json!({"a": "b", "c": "d"}));

        rest.fail([Fault::LostAfter, Fault::Status(429, 7)]);
        assert_eq!(ask(&rest, &Method::DELETE, "/v1/machines/web-1", "", ""), None);
        assert_eq!(ask(&rest, &Method::GET, "/v1/machines/web-2", "", "").unwrap().0, 429);
        assert_eq!(ask(&rest, &Method::GET, "/v1/machines/web-1", "", "").unwrap().0, 404);

        let one = |method: Method| ask(&rest, &method, "/v1/machines/web-2", "", "").unwrap().0;
        rest.revive(true);
        assert_eq!([one(Method::DELETE), one(Method::GET), one(Method::GET)], [204, 404, 200]);
        assert_eq!(one(Method::DELETE), 204);
        assert_eq!(ask(&rest, &Method::GET, "/v1/machines", "", "").unwrap().0, 200);
        assert_eq!([one(Method::GET), one(Method::GET)], [404, 404]);
    }
}
