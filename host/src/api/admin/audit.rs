//! `/api/admin/audit`: who did what.

use axum::{
    body::Body,
    extract::State,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use utoipa::{IntoParams, ToSchema};

use crate::{
    AppState,
    api::{
        admin::put_on_record,
        extract::{Json, Query},
        page::{Meta, Page, Paging, cursor},
        rfc3339,
    },
    audit::{
        Actor,
        export::{self, Format},
        verify::{self, Report},
    },
    auth::{Admin, Origin},
    db::{
        self,
        audit::{Filter, FullRow},
    },
    error::{ApiError, ApiResult},
};

/// What the cursors of this list name.
const LIST: &str = "audit";
/// The longest value of a filter, in bytes.
const MAX_FILTER: usize = 200;
/// Reading the whole log is work: one at a time.
static VERIFYING: Semaphore = Semaphore::const_new(1);

/// A user, as far as the audit log still knows.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct AuditUser {
    /// The user's id.
    id: String,
    /// What the user is called now; null where there is no such user any more.
    name: Option<String>,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum AuditOutcome {
    /// It was done.
    Ok,
    /// It was refused.
    Refused,
}

impl AuditOutcome {
    fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Refused => "refused",
        }
    }
}

/// An entry of the audit log.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct AuditEntry {
    /// Its place, counted from 1 without gaps.
    seq: i64,
    /// RFC 3339 UTC.
    at: String,
    /// What was done.
    #[schema(example = "session.created")]
    action: String,
    /// What became of it.
    outcome: AuditOutcome,
    /// Who did it; null: the host, nobody known, or erased.
    actor: Option<AuditUser>,
    /// To whom it was done; null: to nobody, or erased.
    user: Option<AuditUser>,
    /// How: `session`, `ui`, `key`, `command` or `host`.
    #[schema(example = "session")]
    via: Option<String>,
    /// More about it: kinds, counts, codes.
    #[schema(value_type = Object)]
    data: Value,
    /// Address, program, credential and the like; null once erased.
    #[schema(value_type = Option<Object>)]
    personal: Option<Value>,
    /// The row's hash in the chain.
    hash: String,
}

impl From<FullRow> for AuditEntry {
    fn from(full: FullRow) -> Self {
        let mut data: Value = serde_json::from_str(&full.row.data).unwrap_or_default();
        let via = data.as_object_mut().and_then(|data| data.shift_remove("via"));
        let user = |id: Option<String>, name| id.map(|id| AuditUser { id, name });
        Self {
            seq: full.row.seq,
            at: rfc3339(full.row.at),
            outcome: if full.row.outcome == "ok" { AuditOutcome::Ok } else { AuditOutcome::Refused },
            action: full.row.action,
            actor: user(full.actor_id, full.actor_name),
            user: user(full.user_id, full.user_name),
            via: via.and_then(|via| via.as_str().map(str::to_owned)),
            data,
            personal: full.personal.and_then(|personal| serde_json::from_str(&personal).ok()),
            hash: full.row.hash,
        }
    }
}

/// Which entries.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct AuditFilter {
    /// Only what the user with this id did.
    actor: Option<String>,
    /// Only what was done to the user with this id.
    user: Option<String>,
    /// Only actions that start with this, such as `session.`.
    action: Option<String>,
    /// Only what was done, or what was refused.
    #[param(inline)]
    outcome: Option<AuditOutcome>,
    /// Not before this time, RFC 3339.
    since: Option<DateTime<Utc>>,
    /// Before this time, RFC 3339.
    until: Option<DateTime<Utc>>,
}

impl AuditFilter {
    fn checked(self) -> ApiResult<Filter> {
        let named = [("actor", &self.actor), ("user", &self.user), ("action", &self.action)];
        for (name, value) in named.into_iter().filter_map(|(name, value)| Some((name, value.as_ref()?))) {
            if value.len() > MAX_FILTER || value.contains('\0') {
                let detail = format!("{name} is longer than {MAX_FILTER} bytes, or holds a NUL");
                return Err(ApiError::bad_request("invalid_query", detail));
            }
        }
        Ok(Filter {
            actor: self.actor,
            user: self.user,
            action: self.action,
            outcome: self.outcome.map(|outcome| outcome.as_str().to_owned()),
            since: self.since.map(|time| time.timestamp_millis()),
            until: self.until.map(|time| time.timestamp_millis()),
            ..Filter::default()
        })
    }
}

/// The audit log, newest first. That it was read stands in it, too.
///
/// # Errors
/// 400 `invalid_query`, `invalid_limit` or `invalid_cursor`.
#[utoipa::path(
    get, path = "/api/admin/audit", operation_id = "list_audit", tag = "Admin", params(Paging, AuditFilter),
    responses((status = 200, description = "A page of entries.", body = Page<AuditEntry>)),
    security(("bearer" = ["admin"]), ("api_key" = ["admin"]))
)]
pub async fn list_audit(
    State(app): State<AppState>,
    Admin(principal): Admin,
    origin: Origin,
    paging: Paging,
    Query(filter): Query<AuditFilter>,
) -> ApiResult<Page<AuditEntry>> {
    let (after, limit) = (paging.after::<i64>(LIST)?, paging.limit());
    let filter = Filter { after, limit: limit + 1, ..filter.checked()? };
    let about = about(&filter);
    let mut rows = db::audit::list(app.db.read(), filter).await?;
    let more = i64::try_from(rows.len()).is_ok_and(|n| n > limit);
    if more {
        rows.pop();
    }
    let actor = Actor::principal(&principal, &origin);
    put_on_record(&app, "audit.read", actor, None, json!({ "entries": rows.len() }), about).await?;
    let last = rows.last().filter(|_| more).map(|full| full.row.seq);
    let meta = Meta { limit, next_cursor: last.and_then(|seq| cursor(LIST, &seq)), total: None, providers: None };
    Ok(Page { data: rows.into_iter().map(AuditEntry::from).collect(), meta })
}

/// As what to export.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct AuditExport {
    /// As what; `jsonl` without it.
    #[serde(default)]
    #[param(inline)]
    format: Format,
}

/// The audit log as a file, oldest first. `jsonl` holds all that is needed to check the hashes, `csv` is for spreadsheets.
///
/// # Errors
/// 400 `invalid_query`.
#[utoipa::path(
    get, path = "/api/admin/audit/export", operation_id = "export_audit", tag = "Admin",
    params(AuditExport, AuditFilter),
    responses((status = 200, description = "The file.", content(
        (String = "application/jsonl"), (String = "text/csv")
    ))),
    security(("bearer" = ["admin"]), ("api_key" = ["admin"]))
)]
pub async fn export_audit(
    State(app): State<AppState>,
    Admin(principal): Admin,
    origin: Origin,
    Query(AuditExport { format }): Query<AuditExport>,
    Query(filter): Query<AuditFilter>,
) -> ApiResult<Response> {
    let filter = filter.checked()?;
    let data = json!({ "format": format.extension() });
    put_on_record(&app, "audit.exported", Actor::principal(&principal, &origin), None, data, about(&filter)).await?;
    let mut response = Body::from_stream(export::stream(app.db.clone(), filter, format)).into_response();
    let disposition = format!("attachment; filename=zotify-audit.{}", format.extension());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(format.content_type()));
    headers.insert(header::CONTENT_DISPOSITION, HeaderValue::try_from(disposition).map_err(ApiError::internal)?);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    Ok(response)
}

/// Reads the whole audit log and says whether a row was changed, removed or reordered.
///
/// # Errors
/// 429 `verification_running`.
#[utoipa::path(
    get, path = "/api/admin/audit/verify", operation_id = "verify_audit", tag = "Admin",
    responses((status = 200, description = "How the log stands; `fault` is the first thing that is wrong.", body = Report)),
    security(("bearer" = ["admin"]), ("api_key" = ["admin"]))
)]
pub async fn verify_audit(
    State(app): State<AppState>,
    Admin(principal): Admin,
    origin: Origin,
) -> ApiResult<Json<Report>> {
    let _permit = VERIFYING.try_acquire().map_err(|_| {
        let detail = "the log is being verified already; ask again in a moment";
        ApiError::new(StatusCode::TOO_MANY_REQUESTS, "verification_running", detail).with_retry_after(5)
    })?;
    let report = verify::verify(&app.db, &app.secrets).await?;
    let actor = Actor::principal(&principal, &origin);
    put_on_record(&app, "audit.verified", actor, None, json!({ "ok": report.ok }), json!({})).await?;
    Ok(Json(report))
}

/// Whose entries were asked for.
fn about(filter: &Filter) -> Value {
    json!({ "actor": filter.actor, "user": filter.user, "action": filter.action })
}
