//! `/api/auth`: registration, sign-in, tokens, sessions, the password.

pub mod body;
pub mod password;
pub mod register;
pub mod sessions;

use axum::{
    extract::State,
    http::{HeaderMap, Method, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize, de::IgnoredAny};
use utoipa::ToSchema;

use self::body::{FormOrJson, NO_STORE, Secret};
use super::{extract::Json, user::Profile};
use crate::{
    AppState,
    audit::Actor,
    auth::{
        Credential, Principal, Role, cookie,
        sessions::{self as live, Grant, IdempotencyKey, Opened, Origin, SessionKind},
        sign_in::sign_in,
    },
    error::{ApiError, ApiResult},
    middleware::client::Client,
};

/// A name and a password, as JSON or as an OAuth 2 password form.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Login {
    /// The user's name.
    #[serde(alias = "name")]
    username: String,
    /// The user's password.
    #[schema(value_type = String, format = Password)]
    password: Secret,
    /// `password`, where it is given.
    #[schema(example = "password")]
    grant_type: Option<String>,
    /// `api`, which is meant where nothing is said, for tokens; `ui` for a cookie, in a browser.
    #[serde(default)]
    #[schema(inline)]
    kind: SessionKind,
    /// What OAuth 2 clients may send too; it changes nothing.
    #[serde(default, rename = "scope")]
    #[schema(value_type = Option<String>)]
    _scope: IgnoredAny,
    /// As `scope`.
    #[serde(default, rename = "client_id")]
    #[schema(value_type = Option<String>)]
    _client_id: IgnoredAny,
    /// As `scope`.
    #[serde(default, rename = "client_secret")]
    #[schema(value_type = Option<String>, format = Password)]
    _client_secret: IgnoredAny,
}

/// What a browser gets, beside the cookie.
#[derive(Serialize, ToSchema)]
pub struct UiGrant {
    /// Who signed in.
    user: Profile,
    /// Seconds until the session ends; sooner where it is not used.
    #[schema(example = 43200)]
    expires_in: i64,
}

/// What a sign-in gives.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub enum SignedIn {
    /// For `kind` `api`.
    Tokens(Grant),
    /// For `kind` `ui`; the session's cookie comes in `Set-Cookie`.
    Ui(UiGrant),
}

/// Signs in with a name and a password.
///
/// # Errors
/// 400 `unsupported_grant_type`, 401 `invalid_credentials` or `user_disabled`, 403 `csrf` for a `ui` session that another site asks for, 429
/// `too_many_attempts` after many failures.
#[utoipa::path(
    post, path = "/api/auth/login", operation_id = "login", tag = "Sign-in",
    request_body(content((Login = "application/x-www-form-urlencoded"), (Login = "application/json"))),
    responses((status = 200, description = "An access token and a refresh token; for `ui` a cookie.", body = SignedIn))
)]
pub async fn login(
    State(app): State<AppState>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    client: Client,
    origin: Origin,
    FormOrJson(body): FormOrJson<Login>,
) -> ApiResult<Response> {
    check_grant_type(body.grant_type.as_deref(), "password")?;
    if body.kind == SessionKind::Ui {
        // Or another site could sign a browser in as somebody else.
        cookie::check_same_site(&app.config, &method, &uri, &headers, true).await?;
    }
    let (user, opened) = sign_in(&app, &body.username, &body.password.0, body.kind, &origin).await?;
    match opened {
        Opened::Tokens(grant) => Ok((NO_STORE, Json(SignedIn::Tokens(grant))).into_response()),
        Opened::Cookie(value, expires_in) => {
            let cookie = cookie::set(&client, value.expose_secret(), expires_in)?;
            let grant = SignedIn::Ui(UiGrant { user: user.into(), expires_in });
            Ok((NO_STORE, [(header::SET_COOKIE, cookie)], Json(grant)).into_response())
        }
    }
}

fn check_grant_type(given: Option<&str>, known: &str) -> ApiResult<()> {
    if given.is_none_or(|given| given == known) {
        return Ok(());
    }
    Err(ApiError::bad_request("unsupported_grant_type", format!("the only grant_type here is `{known}`")))
}

/// A refresh token to spend, as JSON or as an OAuth 2 form.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Refresh {
    /// As the sign-in or the last refresh gave it.
    #[schema(value_type = String, format = Password)]
    refresh_token: Secret,
    /// `refresh_token`, where it is given.
    #[schema(example = "refresh_token")]
    grant_type: Option<String>,
    /// What OAuth 2 clients may send too; it changes nothing.
    #[serde(default, rename = "scope")]
    #[schema(value_type = Option<String>)]
    _scope: IgnoredAny,
    /// As `scope`.
    #[serde(default, rename = "client_id")]
    #[schema(value_type = Option<String>)]
    _client_id: IgnoredAny,
    /// As `scope`.
    #[serde(default, rename = "client_secret")]
    #[schema(value_type = Option<String>, format = Password)]
    _client_secret: IgnoredAny,
}

/// Gives the next access token and the next refresh token.
///
/// # Errors
/// 400 `invalid_idempotency_key` or `unsupported_grant_type`, 401 `invalid_refresh_token`, `refresh_token_reused`, `session_revoked` or
/// `user_disabled`.
#[utoipa::path(
    post, path = "/api/auth/refresh", operation_id = "refresh", tag = "Sign-in",
    params(("Idempotency-Key" = Option<String>, Header,
        description = "1 to 200 visible ASCII characters. The same request with the same key, within 60 seconds, gets the \
                       same refresh token again: for a reply that was lost.")),
    request_body(content((Refresh = "application/json"), (Refresh = "application/x-www-form-urlencoded"))),
    responses((status = 200, description = "A new pair of tokens. The old refresh token is used up.", body = Grant))
)]
pub async fn refresh(
    State(app): State<AppState>,
    origin: Origin,
    key: IdempotencyKey,
    FormOrJson(body): FormOrJson<Refresh>,
) -> ApiResult<impl IntoResponse> {
    check_grant_type(body.grant_type.as_deref(), "refresh_token")?;
    let grant = live::refresh(&app, body.refresh_token.0.expose_secret(), key, &origin).await?;
    Ok((NO_STORE, Json(grant)))
}

/// Ends this session; its tokens or its cookie are worth nothing from now on.
///
/// # Errors
/// 401 without a valid access token or cookie, 403 `session_required` with an API key.
#[utoipa::path(
    post, path = "/api/auth/logout", operation_id = "logout", tag = "Sign-in",
    responses((status = 204, description = "The session has ended.")),
    security(("bearer" = ["profile"]))
)]
pub async fn logout(
    State(app): State<AppState>,
    principal: Principal,
    client: Client,
    origin: Origin,
) -> ApiResult<Response> {
    principal.require("profile")?;
    let id = principal.session_id().ok_or_else(|| {
        ApiError::forbidden("session_required", "an API key is not signed in; revoke it at /api/user/keys")
    })?;
    live::end(&app, id, "signed_out", Actor::principal(&principal, &origin)).await?;
    match principal.credential {
        Credential::Ui { .. } => {
            Ok((StatusCode::NO_CONTENT, [(header::SET_COOKIE, cookie::clear(&client)?)]).into_response())
        }
        _ => Ok(StatusCode::NO_CONTENT.into_response()),
    }
}

/// Who asks.
#[derive(Serialize, ToSchema)]
pub struct AuthStatus {
    /// Always true: without a valid credential there is a 401.
    authenticated: bool,
    /// The user's id.
    user_id: String,
    /// The user's name.
    name: String,
    /// What the user may do.
    role: Role,
    /// What this credential may be used for.
    scopes: Vec<&'static str>,
    /// This session; null for an API key.
    session_id: Option<String>,
    /// When this credential ends, RFC 3339 UTC; null where it does not.
    expires_at: Option<String>,
}

/// Says who asks, and until when.
///
/// # Errors
/// 401 without a valid access token.
#[utoipa::path(
    get, path = "/api/auth/status", operation_id = "auth_status", tag = "Sign-in",
    responses((status = 200, description = "The user, role, scopes and expiry.", body = AuthStatus)),
    security(("bearer" = ["profile"]), ("api_key" = ["profile"]))
)]
pub async fn status(principal: Principal) -> ApiResult<Json<AuthStatus>> {
    principal.require("profile")?;
    let session_id = principal.session_id().map(str::to_owned);
    Ok(Json(AuthStatus {
        authenticated: true,
        user_id: principal.user_id,
        name: principal.name,
        role: principal.role,
        scopes: principal.scopes.names(),
        session_id,
        expires_at: principal.expires_at.map(super::rfc3339),
    }))
}
