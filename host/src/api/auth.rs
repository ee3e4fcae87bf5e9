//! `/api/auth`: registration, sign-in, tokens.

use axum::{
    Form,
    extract::{DefaultBodyLimit, FromRequest, Request, State, rejection::FormRejection},
    http::{StatusCode, header},
    response::{AppendHeaders, IntoResponse},
};
use secrecy::SecretString;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use utoipa::ToSchema;

use super::{
    extract::{Json, body_problem},
    user::Profile,
};
use crate::{
    AppState,
    auth::{
        Principal, Role,
        sessions::{self, Grant, Origin},
        sign_in::sign_in,
        users::{self, NewUser},
    },
    config::Registration,
    error::{ApiError, ApiResult},
};

/// The largest body of these requests, in bytes.
const MAX_BODY: usize = 16 * 1024;

/// A reply that holds secrets.
const NO_STORE: AppendHeaders<[(header::HeaderName, &str); 1]> = AppendHeaders([(header::CACHE_CONTROL, "no-store")]);

/// A JSON body, small enough for what it holds.
pub struct SmallJson<T>(T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for SmallJson<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let Json(value) = Json::from_request(limited(request), state).await?;
        Ok(Self(value))
    }
}

/// A JSON body, or a form by its content type.
pub struct FormOrJson<T>(T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for FormOrJson<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let content_type = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let is_form = content_type.is_some_and(|value| value.starts_with("application/x-www-form-urlencoded"));
        let request = limited(request);
        if !is_form {
            return Json::from_request(request, state).await.map(|Json(value)| Self(value));
        }
        match Form::from_request(request, state).await {
            Ok(Form(value)) => Ok(Self(value)),
            Err(FormRejection::FailedToDeserializeFormBody(e)) => {
                Err(ApiError::unprocessable("invalid_body", e.body_text()))
            }
            Err(FormRejection::BytesRejection(e)) => Err(body_problem(&e)),
            Err(e) => Err(ApiError::bad_request("invalid_body", e.body_text())),
        }
    }
}

fn limited(mut request: Request) -> Request {
    DefaultBodyLimit::max(MAX_BODY).apply(&mut request);
    request
}

/// A new user.
#[derive(Deserialize, ToSchema)]
pub struct Register {
    /// 3 to 64 characters; case does not tell names apart.
    #[serde(alias = "name")]
    username: String,
    /// At least 8 characters unless the server asks for more, at most 1024 bytes.
    #[schema(value_type = String, format = Password)]
    password: SecretString,
    /// Where to write to.
    email: Option<String>,
}

/// Makes a user, where the server is open for that.
///
/// # Errors
/// 403 `registration_closed` or `invite_required`, 409 `name_taken`, 422 with the fields that are wrong.
#[utoipa::path(
    post, path = "/api/auth/register", operation_id = "register", tag = "Sign-in", request_body = Register,
    responses((status = 201, description = "The new user, who can sign in now.", body = Profile))
)]
pub async fn register(
    State(app): State<AppState>,
    SmallJson(body): SmallJson<Register>,
) -> ApiResult<(StatusCode, Json<Profile>)> {
    match app.config.auth.registration {
        Registration::Open => {}
        Registration::Invite => {
            return Err(ApiError::forbidden("invite_required", "this server takes new users by invitation only"));
        }
        Registration::Closed => {
            return Err(ApiError::forbidden("registration_closed", "this server takes no new users; ask its admin"));
        }
    }
    let email = body.email.as_deref().filter(|email| !email.is_empty());
    let new = NewUser { name: &body.username, role: Role::User, password: &body.password, email };
    let user = users::create(&app.db, &app.passwords, app.config.auth.password_min_length, new).await?;
    Ok((StatusCode::CREATED, Json(user.into())))
}

/// A name and a password, as JSON or as an OAuth 2 password form.
#[derive(Deserialize, ToSchema)]
pub struct Login {
    /// The user's name.
    #[serde(alias = "name")]
    username: String,
    /// The user's password.
    #[schema(value_type = String, format = Password)]
    password: SecretString,
    /// `password`, where it is given.
    #[schema(example = "password")]
    grant_type: Option<String>,
}

/// Signs in with a name and a password.
///
/// # Errors
/// 401 `invalid_credentials` or `user_disabled`, 429 `too_many_attempts` after many failures.
#[utoipa::path(
    post, path = "/api/auth/login", operation_id = "login", tag = "Sign-in",
    request_body(content((Login = "application/x-www-form-urlencoded"), (Login = "application/json"))),
    responses((status = 200, description = "An access token and a refresh token.", body = Grant))
)]
pub async fn login(
    State(app): State<AppState>,
    origin: Origin,
    FormOrJson(body): FormOrJson<Login>,
) -> ApiResult<impl IntoResponse> {
    if body.grant_type.as_deref().is_some_and(|grant| grant != "password") {
        return Err(ApiError::bad_request("unsupported_grant_type", "the only grant_type here is `password`"));
    }
    let grant = sign_in(&app, &body.username, &body.password, origin).await?;
    Ok((NO_STORE, Json(grant)))
}

/// A refresh token to spend.
#[derive(Deserialize, ToSchema)]
pub struct Refresh {
    /// As the sign-in or the last refresh gave it.
    #[schema(value_type = String, format = Password)]
    refresh_token: SecretString,
}

/// Gives the next access token and the next refresh token.
///
/// # Errors
/// 401 `invalid_refresh_token`, `refresh_token_reused`, `session_revoked` or `user_disabled`.
#[utoipa::path(
    post, path = "/api/auth/refresh", operation_id = "refresh", tag = "Sign-in",
    request_body(content((Refresh = "application/json"), (Refresh = "application/x-www-form-urlencoded"))),
    responses((status = 200, description = "A new pair of tokens. The old refresh token is used up.", body = Grant))
)]
pub async fn refresh(
    State(app): State<AppState>,
    FormOrJson(body): FormOrJson<Refresh>,
) -> ApiResult<impl IntoResponse> {
    let grant = sessions::refresh(&app, secrecy::ExposeSecret::expose_secret(&body.refresh_token)).await?;
    Ok((NO_STORE, Json(grant)))
}

/// Ends this session; its tokens are worth nothing from now on.
///
/// # Errors
/// 401 without a valid access token.
#[utoipa::path(
    post, path = "/api/auth/logout", operation_id = "logout", tag = "Sign-in",
    responses((status = 204, description = "The session has ended.")),
    security(("bearer" = ["profile"]))
)]
pub async fn logout(State(app): State<AppState>, principal: Principal) -> ApiResult<StatusCode> {
    principal.require("profile")?;
    let id = principal.session_id().ok_or_else(|| {
        ApiError::forbidden("session_required", "an API key is not signed in; revoke it at /api/user/keys")
    })?;
    sessions::end(&app, id).await?;
    Ok(StatusCode::NO_CONTENT)
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
