//! The one error type at the HTTP edge: every failure leaves as an RFC 9457 problem.

use std::borrow::Cow;

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;
use zotify_plugin_api::{ErrorKind, ProviderError};

use crate::{db, middleware::request_id};

/// What every handler answers.
pub type ApiResult<T> = Result<T, ApiError>;

/// A failed request (RFC 9457, `application/problem+json`).
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Problem {
    /// Names the kind of problem: `urn:zotify:problem:<code>`.
    #[serde(rename = "type")]
    #[schema(example = "urn:zotify:problem:item_not_found")]
    pub type_: String,
    /// The status in words.
    #[schema(example = "Not Found")]
    pub title: String,
    /// The HTTP status.
    #[schema(example = 404)]
    pub status: u16,
    /// The stable code that programs act on.
    #[schema(example = "item_not_found")]
    pub code: String,
    /// The provider's own code, where a provider refused: finer than `code`, and of that provider only. At most 64 of
    /// `a-z`, `0-9` and `_`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "premium_required")]
    pub provider_code: Option<String>,
    /// One sentence for people: what is wrong and, where there is one, the remedy.
    pub detail: String,
    /// The request's id, as it stands in the server's log and in `X-Request-Id`.
    pub request_id: Option<String>,
    /// The fields that are wrong, for requests with a body or query.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
}

/// A field of a request that is wrong.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct FieldError {
    /// The field's path, such as `uris[3]`.
    pub field: String,
    /// The stable code that programs act on.
    pub code: String,
    /// One sentence for people.
    pub detail: String,
}

/// An error on its way to the client.
#[derive(Clone, Debug)]
pub struct ApiError {
    status: StatusCode,
    code: Cow<'static, str>,
    detail: Cow<'static, str>,
    provider_code: Option<Box<str>>,
    errors: Vec<FieldError>,
    retry_after_s: Option<u64>,
    // In a box, as it is rare and errors are moved about.
    allow: Option<Box<HeaderValue>>,
    challenge: bool,
}

impl ApiError {
    /// An error with any status.
    pub fn new(status: StatusCode, code: impl Into<Cow<'static, str>>, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            status,
            code: code.into(),
            detail: detail.into(),
            provider_code: None,
            errors: Vec::new(),
            retry_after_s: None,
            allow: None,
            challenge: false,
        }
    }

    /// 400: the request makes no sense.
    pub fn bad_request(code: impl Into<Cow<'static, str>>, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, detail)
    }

    /// 401: who asks is not known.
    pub fn unauthorized(code: impl Into<Cow<'static, str>>, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { challenge: true, ..Self::new(StatusCode::UNAUTHORIZED, code, detail) }
    }

    /// 403: who asks may not do this.
    pub fn forbidden(code: impl Into<Cow<'static, str>>, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::FORBIDDEN, code, detail)
    }

    /// 404: there is no such thing, or the caller may not know of it.
    pub fn not_found(code: impl Into<Cow<'static, str>>, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::NOT_FOUND, code, detail)
    }

    /// 409: the state of things does not allow it.
    pub fn conflict(code: impl Into<Cow<'static, str>>, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::CONFLICT, code, detail)
    }

    /// 422: understood, and impossible.
    pub fn unprocessable(code: impl Into<Cow<'static, str>>, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, code, detail)
    }

    /// 422 with the fields that are wrong.
    pub fn invalid(errors: Vec<FieldError>) -> Self {
        Self { errors, ..Self::unprocessable("validation_failed", "some fields are not valid; see errors") }
    }

    /// 422 with the one field that is wrong.
    pub fn invalid_field(field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::invalid(vec![FieldError { field: field.into(), code: "invalid".into(), detail: detail.into() }])
    }

    /// 503: try again later.
    pub fn unavailable(code: impl Into<Cow<'static, str>>, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, code, detail)
    }

    /// 500: our fault. The cause goes to the log, never to the client.
    pub fn internal(cause: impl std::fmt::Display) -> Self {
        tracing::error!("request failed: {cause}");
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal_error",
            "the server failed; its log has the cause under this request id",
        )
    }

    /// Adds `Retry-After`, in seconds.
    #[must_use]
    pub fn with_retry_after(mut self, seconds: u64) -> Self {
        self.retry_after_s = Some(seconds);
        self
    }

    /// Adds the provider's own code, where it is one: at most 64 of `a-z`, `0-9` and `_`.
    #[must_use]
    pub fn with_provider_code(mut self, code: Option<String>) -> Self {
        self.provider_code = code.filter(|code| is_code(code)).map(String::into_boxed_str);
        self
    }

    /// Adds `Allow`, for 405.
    #[must_use]
    pub fn with_allow(mut self, allow: HeaderValue) -> Self {
        self.allow = Some(Box::new(allow));
        self
    }

    /// The stable code.
    pub fn code(&self) -> &str {
        &self.code
    }

    /// The provider's own code, where a provider refused and named one.
    pub fn provider_code(&self) -> Option<&str> {
        self.provider_code.as_deref()
    }

    /// Whether it says that the provider had better not be asked anything else now.
    pub fn provider_asks_to_stop(&self) -> bool {
        ["provider_rate_limited", "provider_unavailable", "account_auth_required"].contains(&self.code())
    }

    /// The sentence for people.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// The HTTP status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The document that the client gets.
    pub fn problem(&self) -> Problem {
        Problem {
            type_: format!("urn:zotify:problem:{}", self.code),
            title: self.status.canonical_reason().unwrap_or("Error").to_owned(),
            status: self.status.as_u16(),
            code: self.code.to_string(),
            provider_code: self.provider_code().map(str::to_owned),
            detail: self.detail.to_string(),
            request_id: request_id::current(),
            errors: self.errors.clone(),
        }
    }
}

/// Whether a provider's code may be shown and kept.
pub fn is_code(code: &str) -> bool {
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    !code.is_empty() && code.len() <= 64 && code.bytes().all(fits)
}

impl std::fmt::Display for ApiError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.code, self.detail)
    }
}

impl std::error::Error for ApiError {}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let problem = self.problem();
        let mut response = (self.status, Json(&problem)).into_response();
        // For those who say it in another form: pages do.
        response.extensions_mut().insert(problem);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = self.retry_after_s {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        if let Some(allow) = self.allow {
            headers.insert(header::ALLOW, *allow);
        }
        if self.challenge {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"zotify\""));
        }
        response
    }
}

impl From<sqlx::Error> for ApiError {
    fn from(error: sqlx::Error) -> Self {
        if matches!(error, sqlx::Error::PoolTimedOut) {
            tracing::warn!("no database connection was free in time");
            return Self::unavailable("database_busy", "the database is busy; try again").with_retry_after(1);
        }
        if db::is_outage(&error) {
            tracing::warn!("the database is away: {error}");
            return Self::unavailable("database_unavailable", "the database does not answer; try again")
                .with_retry_after(2);
        }
        Self::internal(error)
    }
}

/// Whether nobody knows what became of a call: a write may have been done all the same.
pub fn is_lost(error: &ProviderError) -> bool {
    matches!(error.kind, ErrorKind::Timeout | ErrorKind::Crashed | ErrorKind::Panicked | ErrorKind::Cancelled)
}

impl From<ProviderError> for ApiError {
    fn from(error: ProviderError) -> Self {
        let (status, code) = match error.kind {
            ErrorKind::Unsupported => (StatusCode::UNPROCESSABLE_ENTITY, "unsupported"),
            ErrorKind::NotFound => (StatusCode::NOT_FOUND, "item_not_found"),
            ErrorKind::InvalidRequest => (StatusCode::UNPROCESSABLE_ENTITY, "provider_refused"),
            ErrorKind::AuthRequired => (StatusCode::CONFLICT, "account_auth_required"),
            ErrorKind::Restricted => (StatusCode::FORBIDDEN, "provider_restricted"),
            ErrorKind::RateLimited => (StatusCode::TOO_MANY_REQUESTS, "provider_rate_limited"),
            ErrorKind::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "provider_unavailable"),
            ErrorKind::Conflict => (StatusCode::CONFLICT, "item_changed"),
            ErrorKind::Timeout => (StatusCode::GATEWAY_TIMEOUT, "provider_timeout"),
            ErrorKind::Crashed => (StatusCode::BAD_GATEWAY, "provider_crashed"),
            ErrorKind::Panicked => (StatusCode::BAD_GATEWAY, "provider_panicked"),
            _ => (StatusCode::BAD_GATEWAY, "provider_failed"),
        };
        let mut answer = Self::new(status, code, error.message).with_provider_code(error.code);
        answer.retry_after_s = error.retry_after_ms.map(|ms| ms.div_ceil(1000).max(1));
        answer
    }
}
