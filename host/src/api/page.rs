//! Lists: `{"data": […], "meta": {…}}` with opaque keyset cursors.

use std::collections::BTreeMap;

use axum::{
    Json,
    extract::{FromRequestParts, Query},
    http::{header, request::Parts},
    response::{IntoResponse, Response},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use utoipa::{IntoParams, ToSchema};

use zotify_plugin_api::ProviderError;

use crate::{App, error::ApiError};

/// Rows of a page where the request names no limit.
pub const DEFAULT_LIMIT: u32 = 50;
/// The largest page.
pub const MAX_LIMIT: u32 = 200;
/// The longest cursor, in bytes.
const MAX_CURSOR: usize = 16 << 10;
/// The longest cursor of a provider, in bytes.
const MAX_PROVIDER_CURSOR: usize = 2048;
/// NUL in a JSON text.
const NUL: &[u8] = br"\u0000";

/// Which page of a list.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Paging {
    /// Rows per page.
    #[param(minimum = 1, maximum = 200, default = 50)]
    pub limit: Option<u32>,
    /// `meta.next_cursor` of the previous page.
    pub cursor: Option<String>,
}

impl Paging {
    /// How many rows.
    pub fn limit(&self) -> i64 {
        i64::from(self.limit.unwrap_or(DEFAULT_LIMIT))
    }

    /// The keys that the cursor holds; none for the first page. A cursor belongs to one list in one order, named by `scope`.
    ///
    /// # Errors
    /// 400 `invalid_cursor`.
    pub fn after<K: DeserializeOwned>(&self, scope: &str) -> Result<Option<K>, ApiError> {
        let Some(cursor) = &self.cursor else { return Ok(None) };
        if cursor.len() > MAX_CURSOR {
            return Err(invalid_cursor());
        }
        let json = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| invalid_cursor())?;
        // PostgreSQL takes no NUL in a text, and no list has a key with one.
        if json.windows(NUL.len()).any(|part| part == NUL) {
            return Err(invalid_cursor());
        }
        let (found, keys): (String, K) = serde_json::from_slice(&json).map_err(|_| invalid_cursor())?;
        if found == scope { Ok(Some(keys)) } else { Err(invalid_cursor()) }
    }
}

/// 400 `invalid_cursor`.
pub fn invalid_cursor() -> ApiError {
    ApiError::bad_request("invalid_cursor", "the cursor is not one of this list; start again without a cursor")
}

/// Makes the cursor that [`Paging::after`] reads.
pub fn cursor<K: Serialize>(scope: &str, keys: &K) -> Option<String> {
    serde_json::to_vec(&(scope, keys)).ok().map(|json| URL_SAFE_NO_PAD.encode(json))
}

/// Seals a provider's own cursor on its way to the client and back: what comes back to the plugin is what it made, for
/// this account and list. Nothing where the plugin names none.
///
/// # Errors
/// When the cursor is too long, or the system has no random bytes.
pub fn seal(app: &App, account: &str, list: &str, next: Option<String>) -> Result<Option<String>, ProviderError> {
    let Some(next) = next else { return Ok(None) };
    if next.len() > MAX_PROVIDER_CURSOR {
        return Err(ProviderError::internal("the provider's page names a next one in too many words"));
    }
    let sealed = app.secrets.seal(&context(account, list), next.as_bytes());
    let sealed = sealed.map_err(|error| ProviderError::internal(error.to_string()))?;
    Ok(Some(URL_SAFE_NO_PAD.encode(sealed)))
}

/// Opens what [`seal`] sealed for the same account and list.
///
/// # Errors
/// 400 `invalid_cursor`.
pub fn open(app: &App, account: &str, list: &str, sealed: &str) -> Result<String, ApiError> {
    let sealed = URL_SAFE_NO_PAD.decode(sealed).map_err(|_| invalid_cursor())?;
    let cursor = app.secrets.open(&context(account, list), &sealed).map_err(|_| invalid_cursor())?;
    String::from_utf8(cursor).map_err(|_| invalid_cursor())
}

fn context(account: &str, list: &str) -> String {
    format!("provider cursor {account} {list}")
}

impl<S: Send + Sync> FromRequestParts<S> for Paging {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let Query(paging) = Query::<Self>::from_request_parts(parts, state)
            .await
            .map_err(|e| ApiError::bad_request("invalid_query", e.body_text()))?;
        match paging.limit {
            Some(limit) if !(1..=MAX_LIMIT).contains(&limit) => {
                Err(ApiError::bad_request("invalid_limit", format!("limit must be between 1 and {MAX_LIMIT}")))
            }
            _ => Ok(paging),
        }
    }
}

/// What stands beside the rows of a page.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub struct Meta {
    /// Rows per page.
    pub limit: i64,
    /// Hand this to `cursor` for the next page; null on the last.
    pub next_cursor: Option<String>,
    /// How many rows there are in all, where counting them is cheap.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<i64>,
    /// What each provider contributed, where several were asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub providers: Option<BTreeMap<String, ProviderPart>>,
}

/// What a provider contributed to a list.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ProviderPart {
    /// `ok`, `stale` (answered from what the host kept, while the provider is down) or `failed`.
    pub state: String,
    /// Why it is not `ok`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The provider's own code, where it named one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider_code: Option<String>,
    /// One sentence for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// When the provider's library was last read completely, RFC 3339 UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub as_of: Option<String>,
}

impl ProviderPart {
    /// A provider that answered.
    pub fn ok() -> Self {
        Self { state: "ok".into(), code: None, provider_code: None, detail: None, as_of: None }
    }

    /// The same, in a state that a failure explains.
    #[must_use]
    pub fn failed(self, state: &str, error: &ApiError) -> Self {
        Self {
            state: state.into(),
            code: Some(error.code().to_owned()),
            provider_code: error.provider_code().map(str::to_owned),
            detail: Some(error.detail().to_owned()),
            ..self
        }
    }
}

/// A page of rows.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Page<T> {
    /// The rows.
    pub data: Vec<T>,
    /// What stands beside them.
    pub meta: Meta,
}

impl<T> Page<T> {
    /// A page of rows of which one more was asked for than the page holds, to see whether there is a next one. `key` is
    /// what the cursor of the list `scope` remembers of the last row.
    pub fn cut<K: Serialize>(scope: &str, paging: &Paging, mut rows: Vec<T>, key: impl Fn(&T) -> K) -> Self {
        let limit = paging.limit();
        let size = usize::try_from(limit).unwrap_or(usize::MAX);
        let more = rows.len() > size;
        rows.truncate(size);
        let last = rows.last().filter(|_| more);
        let next_cursor = last.and_then(|row| cursor(scope, &key(row)));
        Self { data: rows, meta: Meta { limit, next_cursor, ..Meta::default() } }
    }

    /// The same page with other rows.
    pub fn map<U>(self, row: impl FnMut(T) -> U) -> Page<U> {
        Page { data: self.data.into_iter().map(row).collect(), meta: self.meta }
    }
}

impl<T: Serialize> IntoResponse for Page<T> {
    fn into_response(self) -> Response {
        Json(self).into_response()
    }
}

/// A page whose rows the database already joined into a JSON array.
pub struct RawPage {
    /// A JSON array.
    pub data: String,
    /// What stands beside it.
    pub meta: Meta,
}

impl IntoResponse for RawPage {
    fn into_response(self) -> Response {
        match serde_json::to_string(&self.meta) {
            Ok(meta) => {
                let body = format!("{{\"data\":{},\"meta\":{meta}}}", self.data);
                ([(header::CONTENT_TYPE, "application/json")], body).into_response()
            }
            Err(error) => ApiError::internal(error).into_response(),
        }
    }
}
