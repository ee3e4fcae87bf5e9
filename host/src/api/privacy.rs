//! `/api/privacy`: what is held about the caller.

use axum::{
    body::Body,
    extract::State,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::{
    extract::{Json, Path},
    rfc3339,
};
use crate::{
    AppState,
    audit::{self, Actor, Entry, Outcome},
    auth::{Origin, Principal},
    db::{self, Tx, now_ms},
    error::{ApiError, ApiResult},
    events::{self, Event},
    privacy::{erasure, export},
};

/// What exports are counted by, in milliseconds.
const HOUR: i64 = 60 * 60 * 1000;
/// The longest receipt that is looked up, in bytes.
const MAX_RECEIPT: usize = 64;
/// Answers to one question that are kept.
const KEEP_CONSENTS: i64 = 1000;
/// What an export is called in the audit log, by which they are counted.
const EXPORTED: &str = "privacy.exported";

/// Everything that is held about the caller, as one JSON document. Secrets are not in it, nor what others did elsewhere.
///
/// # Errors
/// 429 `too_many_exports` with `Retry-After`.
#[utoipa::path(
    get, path = "/api/privacy/data", operation_id = "export_my_data", tag = "Privacy",
    responses((status = 200, description = "The document: one list for each kind of thing.", body = Object)),
    security(("bearer" = ["profile"]), ("api_key" = ["profile"]))
)]
pub async fn export_my_data(State(app): State<AppState>, principal: Principal, origin: Origin) -> ApiResult<Response> {
    principal.require("profile")?;
    let mut tx = app.db.write().await?;
    count_export(&mut tx, &principal.user_id, app.config.privacy.exports_per_hour).await?;
    put_on_record(&mut tx, EXPORTED, &principal, &origin, json!({})).await?;
    tx.commit().await?;
    let mut response = Body::from_stream(export::stream(app.db.clone(), principal.user_id)).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CONTENT_DISPOSITION, HeaderValue::from_static("attachment; filename=zotify-data.json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    Ok(response)
}

/// Makes sure that the user has not exported too often. Until the transaction ends, nobody else counts.
async fn count_export(tx: &mut Tx, user_id: &str, allowed: u32) -> ApiResult<()> {
    db::state::lock(tx, &format!("privacy.export:{user_id}")).await?;
    let (now, allowed) = (now_ms(), i64::from(allowed));
    let times = db::audit::times(&mut **tx, user_id, EXPORTED, now - HOUR, allowed).await?;
    match times.first() {
        Some(oldest) if i64::try_from(times.len()).is_ok_and(|n| n >= allowed) => {
            let wait = u64::try_from(oldest + HOUR - now).unwrap_or(0).div_ceil(1000).max(1);
            let detail = format!("{allowed} exports an hour are possible; wait before the next");
            Err(ApiError::new(StatusCode::TOO_MANY_REQUESTS, "too_many_exports", detail).with_retry_after(wait))
        }
        _ => Ok(()),
    }
}

/// An erasure that has begun.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ErasureReceipt {
    /// Ask at `/api/privacy/receipts/{receipt}` how far it is; no sign-in is needed, nor possible any more.
    receipt: String,
    /// The job that does it, for the admins.
    job: String,
}

/// Erases the caller: access ends at once, and a job erases all that is held. There is no way back.
///
/// # Errors
/// 403 `reauthentication_required` or `session_required`, 409 `last_admin`.
#[utoipa::path(
    delete, path = "/api/privacy/data", operation_id = "erase_my_data", tag = "Privacy",
    responses((status = 202, description = "The erasure has begun.", body = ErasureReceipt)),
    security(("bearer" = ["profile"]))
)]
pub async fn erase_my_data(
    State(app): State<AppState>,
    principal: Principal,
    origin: Origin,
) -> ApiResult<impl IntoResponse> {
    principal.require("profile")?;
    principal.require_recent_sign_in()?;
    let mut tx = app.db.write().await?;
    let erasure = erasure::begin(&mut tx, &principal.user_id).await?;
    let data = json!({ "receipt": erasure.receipt });
    put_on_record(&mut tx, "privacy.erasure_requested", &principal, &origin, data).await?;
    tx.commit().await?;
    erasure::begun(&app);
    let body = ErasureReceipt { receipt: erasure.receipt, job: erasure.job };
    Ok((StatusCode::ACCEPTED, [(header::CACHE_CONTROL, "no-store")], Json(body)))
}

/// Where an erasure stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ErasureState {
    /// Access has ended, and the job is to run or runs.
    Requested,
    /// Nothing is held any more.
    Erased,
}

/// How far an erasure is.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ErasureStatus {
    /// Where it stands.
    state: ErasureState,
    /// RFC 3339 UTC.
    requested_at: String,
    /// RFC 3339 UTC.
    erased_at: Option<String>,
}

/// How far an erasure is, for whoever holds its receipt.
///
/// # Errors
/// 404 `receipt_not_found`.
#[utoipa::path(
    get, path = "/api/privacy/receipts/{receipt}", operation_id = "get_erasure", tag = "Privacy",
    params(("receipt" = String, Path, description = "What the erasure answered.")),
    responses((status = 200, description = "How far it is.", body = ErasureStatus))
)]
pub async fn get_erasure(State(app): State<AppState>, Path(receipt): Path<String>) -> ApiResult<impl IntoResponse> {
    let not_found = || ApiError::not_found("receipt_not_found", "there is no erasure with this receipt");
    if receipt.len() > MAX_RECEIPT || receipt.contains('\0') {
        return Err(not_found());
    }
    let (requested_at, erased_at) = db::privacy::find_erasure(app.db.read(), &receipt).await?.ok_or_else(not_found)?;
    let state = if erased_at.is_some() { ErasureState::Erased } else { ErasureState::Requested };
    let body = ErasureStatus { state, requested_at: rfc3339(requested_at), erased_at: erased_at.map(rfc3339) };
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(body)))
}

/// What a user may allow: name, and what it means. Nothing is allowed unless the user said so.
const PURPOSES: [(&str, &str); 2] = [
    (
        "usage_statistics",
        "Count what you use, so that the people who run this host see which parts are used. Nothing counts it yet.",
    ),
    ("recommendations", "Suggest music from what you like and hear. Nothing suggests any yet."),
];

/// An answer that a user gave.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ConsentAnswer {
    /// Whether it was a yes.
    given: bool,
    /// RFC 3339 UTC.
    at: String,
}

/// What may be done with what is held about the caller.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Consent {
    /// Its name.
    #[schema(example = "recommendations")]
    purpose: &'static str,
    /// What it means.
    text: &'static str,
    /// Whether the caller allows it now.
    given: bool,
    /// All answers, newest first.
    history: Vec<ConsentAnswer>,
}

/// The caller's consents.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Consents {
    /// One for each purpose.
    data: Vec<Consent>,
}

/// What the caller allows from now on; what is not named stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ConsentChange {
    /// Counting what is used.
    #[serde(default)]
    usage_statistics: Option<bool>,
    /// Suggestions from what is liked and heard.
    #[serde(default)]
    recommendations: Option<bool>,
}

/// What the caller allows, and what they said before.
///
/// # Errors
/// 403 `insufficient_scope`.
#[utoipa::path(
    get, path = "/api/privacy/consents", operation_id = "get_consents", tag = "Privacy",
    responses((status = 200, description = "One consent for each purpose.", body = Consents)),
    security(("bearer" = ["profile"]), ("api_key" = ["profile"]))
)]
pub async fn get_consents(State(app): State<AppState>, principal: Principal) -> ApiResult<Json<Consents>> {
    principal.require("profile")?;
    consents(&app, &principal.user_id).await.map(Json)
}

/// Gives or withdraws consents. A withdrawal counts at once.
///
/// # Errors
/// 422 `invalid_body` for a purpose that there is not.
#[utoipa::path(
    put, path = "/api/privacy/consents", operation_id = "put_consents", tag = "Privacy", request_body = ConsentChange,
    responses((status = 200, description = "The consents as they are now.", body = Consents)),
    security(("bearer" = ["profile"]), ("api_key" = ["profile"]))
)]
pub async fn put_consents(
    State(app): State<AppState>,
    principal: Principal,
    origin: Origin,
    Json(change): Json<ConsentChange>,
) -> ApiResult<Json<Consents>> {
    principal.require("profile")?;
    let user_id = &principal.user_id;
    let mut tx = app.db.write().await?;
    db::state::lock(&mut tx, &format!("consents:{user_id}")).await?;
    let answers = [("usage_statistics", change.usage_statistics), ("recommendations", change.recommendations)];
    for (purpose, given) in answers.into_iter().filter_map(|(purpose, given)| Some((purpose, given?))) {
        if db::consents::latest(&mut *tx, user_id, purpose).await? == Some(given) {
            continue;
        }
        db::consents::insert(&mut tx, user_id, purpose, given).await?;
        db::consents::trim(&mut tx, user_id, purpose, KEEP_CONSENTS).await?;
        let (action, data) = (if given { "consent.given" } else { "consent.withdrawn" }, json!({ "purpose": purpose }));
        put_on_record(&mut tx, action, &principal, &origin, data.clone()).await?;
        events::emit(&mut tx, Event { kind: action, subject: None, user: Some(user_id), data }).await?;
    }
    tx.commit().await?;
    consents(&app, user_id).await.map(Json)
}

async fn consents(app: &AppState, user_id: &str) -> ApiResult<Consents> {
    let rows = db::consents::list(app.db.read(), user_id).await?;
    let consent = |(purpose, text)| {
        let answers = rows.iter().filter(|row| row.purpose == purpose);
        let history: Vec<_> = answers.map(|row| ConsentAnswer { given: row.given != 0, at: rfc3339(row.at) }).collect();
        Consent { purpose, text, given: history.first().is_some_and(|answer| answer.given), history }
    };
    Ok(Consents { data: PURPOSES.into_iter().map(consent).collect() })
}

/// Something that the caller did to themselves.
async fn put_on_record(
    tx: &mut Tx,
    action: &str,
    principal: &Principal,
    origin: &Origin,
    data: serde_json::Value,
) -> sqlx::Result<()> {
    let actor = Actor::principal(principal, origin);
    let user = Some(principal.user_id.as_str());
    audit::record(tx, Entry { action, outcome: Outcome::Ok, actor, user, data, personal: json!({}) }).await
}
