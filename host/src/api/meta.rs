//! Probes, version, and the documentation of the API.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Json,
    extract::State,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::extract::Path;
use crate::{
    AppState, db,
    error::{ApiError, ApiResult},
    middleware::{client::Client, version::VERSIONS},
    nodes, openapi,
    providers::State as InstanceState,
};

/// What the product is and which API versions it offers.
#[derive(Serialize, ToSchema)]
pub struct Version {
    /// The product's name.
    #[schema(example = "zotify-host")]
    product: &'static str,
    /// Its version (semver).
    version: &'static str,
    /// The API versions on offer, newest stable first.
    api_versions: Vec<&'static str>,
    /// The protocol versions that plugins may speak.
    plugin_protocol: PluginProtocol,
}

/// A range of protocol versions, both ends included.
#[derive(Serialize, ToSchema)]
struct PluginProtocol {
    min: u32,
    max: u32,
}

/// How the host or a part of it is.
#[derive(Serialize, ToSchema)]
pub struct Health {
    /// `ok`, `degraded` (some provider is down) or `failed`.
    #[schema(example = "ok")]
    status: &'static str,
    /// Seconds since the start.
    uptime_s: u64,
    /// Every part that was looked at.
    checks: BTreeMap<String, Check>,
}

/// The state of one part.
#[derive(Serialize, ToSchema)]
pub struct Check {
    /// `ok`, `degraded` or `failed`.
    status: &'static str,
    /// What is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

/// Answers `pong`.
#[utoipa::path(get, path = "/ping", operation_id = "ping", tag = "Meta",
    responses((status = 200, description = "The word pong", body = String, content_type = "text/plain")))]
pub async fn ping() -> &'static str {
    "pong"
}

/// Whether the process runs.
#[utoipa::path(get, path = "/health/live", operation_id = "health_live", tag = "Meta",
    responses((status = 200, description = "It runs", body = Health)))]
pub async fn live(State(app): State<AppState>) -> Json<Health> {
    Json(health(&app, BTreeMap::new()))
}

/// Whether the host can serve: the database answers. Plugins never gate it. Nodes on one database that run with different
/// configurations, plugins or versions are `degraded`, and go on serving.
#[utoipa::path(get, path = "/health/ready", operation_id = "health_ready", tag = "Meta",
    responses((status = 200, description = "It can serve", body = Health),
        (status = 503, description = "It cannot; the checks say why", body = Health)))]
pub async fn ready(State(app): State<AppState>) -> (StatusCode, Json<Health>) {
    let checks = needed(&app).await;
    answer(health(&app, checks))
}

/// The state of the database, and of all providers in one.
#[utoipa::path(get, path = "/health", operation_id = "health", tag = "Meta",
    responses((status = 200, description = "All that is needed to serve works", body = Health),
        (status = 503, description = "The host cannot serve", body = Health)))]
pub async fn summary(State(app): State<AppState>) -> (StatusCode, Json<Health>) {
    let mut checks = needed(&app).await;
    checks.insert("providers".to_owned(), providers(&app));
    answer(health(&app, checks))
}

fn answer(health: Health) -> (StatusCode, Json<Health>) {
    let status = if health.status == "failed" { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    (status, Json(health))
}

fn health(app: &AppState, checks: BTreeMap<String, Check>) -> Health {
    let has = |status| checks.values().any(|check| check.status == status);
    let status = match (has("failed"), has("degraded")) {
        (true, _) => "failed",
        (false, true) => "degraded",
        (false, false) => "ok",
    };
    Health { status, uptime_s: app.started.elapsed().as_secs(), checks }
}

/// What is looked at whatever the plugins do.
async fn needed(app: &AppState) -> BTreeMap<String, Check> {
    let (database, nodes) = (database(app).await, nodes::differences(app).await.unwrap_or_default());
    let mut checks = BTreeMap::from([("database".to_owned(), database)]);
    if !nodes.is_empty() {
        let detail = format!("another node runs with a different {}", nodes.join(", "));
        checks.insert("nodes".into(), Check { status: "degraded", detail: Some(detail) });
    }
    checks
}

/// All providers in one: which there are is for those who are signed in, at `GET /api/providers`.
fn providers(app: &AppState) -> Check {
    let well = |state| matches!(state, InstanceState::Started | InstanceState::Disabled);
    if app.providers.instances().iter().all(|handle| well(handle.state())) {
        return Check { status: "ok", detail: None };
    }
    Check { status: "degraded", detail: Some("a provider is down; see /api/providers".into()) }
}

async fn database(app: &AppState) -> Check {
    match db::ping(&app.db).await {
        Ok(()) => Check { status: "ok", detail: None },
        Err(error) => {
            tracing::error!("the database does not answer: {error}");
            Check { status: "failed", detail: Some("the database does not answer".into()) }
        }
    }
}

/// Product, build and the API versions on offer.
#[utoipa::path(get, path = "/version", operation_id = "version", tag = "Meta",
    responses((status = 200, description = "What runs here", body = Version)))]
pub async fn version() -> Json<Version> {
    let zotify_plugin_api::ProtocolRange { min, max } = zotify_plugin_api::PROTOCOL;
    Json(Version {
        product: env!("CARGO_PKG_NAME"),
        version: env!("CARGO_PKG_VERSION"),
        api_versions: VERSIONS.to_vec(),
        plugin_protocol: PluginProtocol { min, max },
    })
}

/// This API as OpenAPI 3.1.
#[utoipa::path(get, path = "/openapi.json", operation_id = "openapi", tag = "Meta",
    responses((status = 200, description = "The document", body = serde_json::Value)))]
pub async fn document(client: Client) -> Json<utoipa::openapi::OpenApi> {
    Json(openapi::document(&client.prefix))
}

/// Sends to the page with the trailing slash, which its relative addresses need.
#[utoipa::path(get, path = "/docs", operation_id = "docs", tag = "Meta",
    responses((status = 308, description = "The page is at /docs/")))]
pub async fn docs() -> Response {
    // Relative: right under any prefix that a proxy strips.
    (StatusCode::PERMANENT_REDIRECT, [(header::LOCATION, "docs/")]).into_response()
}

/// The index of the documentation page.
pub async fn docs_index() -> ApiResult<Response> {
    swagger_file("index.html")
}

/// A file of the documentation page.
pub async fn docs_file(Path(file): Path<String>) -> ApiResult<Response> {
    swagger_file(&file)
}

fn swagger_file(path: &str) -> ApiResult<Response> {
    let config = utoipa_swagger_ui::Config::new(["../openapi.json"]);
    let file = utoipa_swagger_ui::serve(path, Arc::new(config))
        .map_err(ApiError::internal)?
        .ok_or_else(|| ApiError::not_found("route_not_found", "the documentation has no such file"))?;
    let mut response = file.bytes.into_owned().into_response();
    let content_type = HeaderValue::from_str(&file.content_type).map_err(ApiError::internal)?;
    response.headers_mut().insert(header::CONTENT_TYPE, content_type);
    // Its pages bring their own scripts and pictures, and nothing of others.
    let own = "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; frame-ancestors 'none'";
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(own));
    if file.gzpipped {
        response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    Ok(response)
}
