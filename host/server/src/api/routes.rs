//! The routes, and what each does.

use std::time::Duration;

use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, FromRequest, FromRequestParts, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use homeostat_core::spec::GroupSpec;
use serde::Deserialize;

use crate::call::Call;
use crate::error::{HostError, Problem};
use crate::event::Event;
use crate::host::{Host, Until};
use crate::view::{
    AddPlugin, CallReply, CommitReply, CommitRequest, ControlRequest, DestroyInstancesRequest, GroupCommit,
    GroupSummary, GroupView, HistoryEntry, HostView, PlanReply, PluginView, ProtectRequest, RollbackRequest, Said,
    ScaleRequest, SwapRequest, WhyReply,
};

/// The largest body: a document of 16 MiB, written as a JSON string.
const MAX_BODY: usize = 40 << 20;
/// Events in an answer, where the client does not say.
const DEFAULT_EVENTS: usize = 1_000;
/// Entries of a slot in an answer, where the client does not say: SwarmKit's task history limit.
const DEFAULT_HISTORY: usize = 5;
/// The longest that one request waits; clients ask again.
const MAX_WAIT: Duration = Duration::from_secs(30);

pub(super) fn router(host: Host) -> Router {
    Router::new()
        .route("/v1/host", get(view_host))
        .route("/v1/commit", post(commit))
        .route("/v1/plan", post(plan))
        .route("/v1/apply", post(apply))
        .route("/v1/events", get(events))
        .route("/v1/groups", get(list_groups))
        .route("/v1/groups/{id}", get(describe_group))
        .route("/v1/groups/{id}/spec", get(inspect_group))
        .route("/v1/groups/{id}/scale", post(scale_group))
        .route("/v1/groups/{id}/free", post(free_group))
        .route("/v1/groups/{id}/destroy", post(destroy_group))
        .route("/v1/groups/{id}/destroy-instances", post(destroy_instances))
        .route("/v1/groups/{id}/control", post(control_group))
        .route("/v1/groups/{id}/rollback", post(roll_back_group))
        .route("/v1/groups/{id}/protect", post(protect_instances))
        .route("/v1/groups/{id}/why", get(why_group))
        .route("/v1/groups/{id}/history", get(history_of_group))
        .route("/v1/groups/{id}/wait", get(wait_group))
        .route("/v1/plugins", get(list_plugins).post(add_plugin))
        .route("/v1/plugins/{name}", get(view_plugin).delete(remove_plugin))
        .route("/v1/plugins/{name}/call", post(call_plugin))
        .route("/v1/plugins/{name}/swap", post(swap_plugin))
        .route("/v1/plugins/{name}/rollback", post(rollback_plugin))
        .fallback(no_route)
        .method_not_allowed_fallback(no_method)
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(host)
}

async fn view_host(State(host): State<Host>) -> Json<HostView> {
    Json(host.view())
}

async fn commit(State(host): State<Host>, Body(request): Body<CommitRequest>) -> Result<Json<CommitReply>, Problem> {
    Ok(Json(host.commit(&request).await?))
}

async fn plan(State(host): State<Host>, Body(request): Body<CommitRequest>) -> Result<Json<PlanReply>, Problem> {
    Ok(Json(host.plan(&request).await?))
}

async fn apply(State(host): State<Host>, Body(plan): Body<PlanReply>) -> Result<Json<CommitReply>, Problem> {
    Ok(Json(host.apply(&plan).await?))
}

#[derive(Deserialize)]
struct EventsQuery {
    #[serde(default)]
    from: u64,
    group: Option<String>,
    limit: Option<usize>,
    #[serde(default)]
    wait_ms: u64,
}

async fn events(State(host): State<Host>, Query(query): Query<EventsQuery>) -> Result<Json<Vec<Event>>, Problem> {
    let wait = Duration::from_millis(query.wait_ms).min(MAX_WAIT);
    let limit = query.limit.unwrap_or(DEFAULT_EVENTS);
    Ok(Json(host.events(query.from, query.group.as_deref(), limit, wait).await?))
}

async fn control_group(
    State(host): State<Host>,
    Path(id): Path<String>,
    Body(request): Body<ControlRequest>,
) -> Result<Json<Said>, Problem> {
    Ok(Json(host.control(&id, request.control).await?))
}

async fn roll_back_group(
    State(host): State<Host>,
    Path(id): Path<String>,
    Body(request): Body<RollbackRequest>,
) -> Result<Json<GroupCommit>, Problem> {
    Ok(Json(host.roll_back(&id, request.to).await?))
}

async fn protect_instances(
    State(host): State<Host>,
    Path(id): Path<String>,
    Body(request): Body<ProtectRequest>,
) -> Result<Json<Said>, Problem> {
    Ok(Json(host.protect(&id, &request.ids, request.protected).await?))
}

#[derive(Deserialize)]
struct WhyQuery {
    instance: Option<String>,
}

async fn why_group(
    State(host): State<Host>,
    Path(id): Path<String>,
    Query(query): Query<WhyQuery>,
) -> Result<Json<WhyReply>, Problem> {
    Ok(Json(host.why(&id, query.instance.as_deref()).await?))
}

#[derive(Deserialize)]
struct HistoryQuery {
    limit: Option<usize>,
}

async fn history_of_group(
    State(host): State<Host>,
    Path(id): Path<String>,
    Query(query): Query<HistoryQuery>,
) -> Result<Json<Vec<HistoryEntry>>, Problem> {
    Ok(Json(host.history(&id, query.limit.unwrap_or(DEFAULT_HISTORY)).await?))
}

async fn list_groups(State(host): State<Host>) -> Json<Vec<GroupSummary>> {
    Json(host.groups())
}

async fn describe_group(State(host): State<Host>, Path(id): Path<String>) -> Result<Json<GroupView>, Problem> {
    Ok(Json(host.describe(&id)?))
}

async fn inspect_group(State(host): State<Host>, Path(id): Path<String>) -> Result<Json<GroupSpec>, Problem> {
    Ok(Json(host.inspect(&id)?))
}

async fn scale_group(
    State(host): State<Host>,
    Path(id): Path<String>,
    Body(request): Body<ScaleRequest>,
) -> Result<Json<GroupCommit>, Problem> {
    Ok(Json(host.scale(&id, request.size).await?))
}

async fn free_group(State(host): State<Host>, Path(id): Path<String>) -> Result<StatusCode, Problem> {
    host.free(&id).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn destroy_group(State(host): State<Host>, Path(id): Path<String>) -> Result<StatusCode, Problem> {
    host.destroy(&id).await?;
    Ok(StatusCode::ACCEPTED)
}

async fn destroy_instances(
    State(host): State<Host>,
    Path(id): Path<String>,
    Body(request): Body<DestroyInstancesRequest>,
) -> Result<Json<GroupCommit>, Problem> {
    Ok(Json(host.destroy_instances(&id, &request.ids).await?))
}

#[derive(Deserialize)]
struct WaitQuery {
    until: WaitUntil,
    timeout_ms: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum WaitUntil {
    Converged,
    Gone,
}

async fn wait_group(
    State(host): State<Host>,
    Path(id): Path<String>,
    Query(query): Query<WaitQuery>,
) -> Result<StatusCode, Problem> {
    let until = match query.until {
        WaitUntil::Converged => Until::Converged,
        WaitUntil::Gone => Until::Gone,
    };
    host.wait(&id, until, Duration::from_millis(query.timeout_ms).min(MAX_WAIT)).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn list_plugins(State(host): State<Host>) -> Json<Vec<PluginView>> {
    Json(host.plugins())
}

async fn view_plugin(State(host): State<Host>, Path(name): Path<String>) -> Result<Json<PluginView>, Problem> {
    Ok(Json(host.plugin(&name)?))
}

async fn add_plugin(
    State(host): State<Host>,
    Body(request): Body<AddPlugin>,
) -> Result<(StatusCode, Json<PluginView>), Problem> {
    Ok((StatusCode::CREATED, Json(host.add_plugin(&request).await?)))
}

async fn remove_plugin(State(host): State<Host>, Path(name): Path<String>) -> Result<StatusCode, Problem> {
    host.remove_plugin(&name).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn swap_plugin(
    State(host): State<Host>,
    Path(name): Path<String>,
    Body(request): Body<SwapRequest>,
) -> Result<Json<PluginView>, Problem> {
    Ok(Json(host.swap_plugin(&name, &request).await?))
}

async fn rollback_plugin(State(host): State<Host>, Path(name): Path<String>) -> Result<Json<PluginView>, Problem> {
    Ok(Json(host.rollback_plugin(&name).await?))
}

async fn call_plugin(
    State(host): State<Host>,
    Path(name): Path<String>,
    Body(call): Body<Call>,
) -> Result<Json<CallReply>, Problem> {
    Ok(Json(CallReply { result: host.call(&name, call).await? }))
}

async fn no_route() -> Problem {
    problem(StatusCode::NOT_FOUND, "not found", "the API has no such path")
}

async fn no_method() -> Problem {
    problem(StatusCode::METHOD_NOT_ALLOWED, "method not allowed", "this path does not take this method")
}

/// A JSON body; one that does not fit is answered with a problem.
#[derive(FromRequest)]
#[from_request(via(axum::Json), rejection(Problem))]
struct Body<T>(T);

/// The parameter of a path; one that does not fit is answered with a problem.
#[derive(FromRequestParts)]
#[from_request(via(axum::extract::Path), rejection(Problem))]
struct Path<T>(T);

/// The parameters of a query; those that do not fit are answered with a problem.
#[derive(FromRequestParts)]
#[from_request(via(axum::extract::Query), rejection(Problem))]
struct Query<T>(T);

impl From<JsonRejection> for Problem {
    fn from(rejection: JsonRejection) -> Self {
        problem(rejection.status(), "invalid request", &rejection.body_text())
    }
}

impl From<PathRejection> for Problem {
    fn from(rejection: PathRejection) -> Self {
        problem(rejection.status(), "invalid request", &rejection.body_text())
    }
}

impl From<QueryRejection> for Problem {
    fn from(rejection: QueryRejection) -> Self {
        problem(rejection.status(), "invalid request", &rejection.body_text())
    }
}

impl From<HostError> for Problem {
    fn from(error: HostError) -> Self {
        error.problem()
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(self)).into_response();
        let kind = header::HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        response
    }
}

fn problem(status: StatusCode, title: &str, detail: &str) -> Problem {
    Problem { title: title.into(), status: status.as_u16(), detail: detail.into(), diagnostics: Vec::new() }
}
