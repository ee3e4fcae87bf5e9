//! Signing in and out.

use askama::Template;
use axum::{
    extract::State,
    http::{HeaderMap, Method, Uri, header},
    response::{IntoResponse as _, Response},
};
use secrecy::ExposeSecret as _;
use serde::Deserialize;

use super::page::{self, Frame, Visit};
use crate::{
    AppState,
    api::{
        auth::body::{FormOrJson, Secret},
        extract::Query,
    },
    audit::Actor,
    auth::{
        cookie,
        sessions::{self, Opened, Origin, SessionKind},
        sign_in as credentials,
    },
    error::{ApiError, ApiResult},
    middleware::client::Client,
};

/// The longest address to go back to after a sign-in, in bytes.
const MAX_NEXT: usize = 1024;

#[derive(Template)]
#[template(path = "ui/sign_in.html")]
struct Page {
    frame: Frame,
    name: String,
    next: String,
    problem: Option<String>,
}

/// Where to go after a sign-in.
#[derive(Deserialize)]
pub struct Next {
    next: Option<String>,
}

/// Asks for name and password.
///
/// # Errors
/// 400 `invalid_query`.
pub async fn form(client: Client, Query(query): Query<Next>) -> ApiResult<Response> {
    let frame = Frame { base: client.prefix, user: None, here: "" };
    page::show(&Page { frame, name: String::new(), next: local(query.next), problem: None })
}

/// A name and a password.
#[derive(Deserialize)]
pub struct Credentials {
    username: String,
    password: Secret,
    next: Option<String>,
}

/// Starts a session and goes where the browser wanted to; shows the form again where that is refused.
///
/// # Errors
/// 403 `csrf` for a form of another site, 422 `invalid_body`.
pub async fn sign_in(
    State(app): State<AppState>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    client: Client,
    origin: Origin,
    FormOrJson(given): FormOrJson<Credentials>,
) -> ApiResult<Response> {
    cookie::check_same_site(&app.config, &method, &uri, &headers, true).await?;
    let next = local(given.next);
    match credentials::sign_in(&app, &given.username, &given.password.0, SessionKind::Ui, &origin).await {
        Ok((_, Opened::Cookie(value, seconds))) => {
            let cookie = cookie::set(&client, value.expose_secret(), seconds)?;
            Ok(([(header::SET_COOKIE, cookie)], page::to(&client.prefix, &next)).into_response())
        }
        Ok((_, Opened::Tokens(_))) => Err(ApiError::internal("a browser's session came without a cookie")),
        Err(error) => {
            let frame = Frame { base: client.prefix, user: None, here: "" };
            let problem = Some(error.detail().to_owned());
            let form = page::show(&Page { frame, name: given.username, next, problem })?;
            Ok((error.status(), form).into_response())
        }
    }
}

/// Ends the session.
///
/// # Errors
/// When the database fails.
pub async fn sign_out(
    State(app): State<AppState>,
    visit: Visit,
    client: Client,
    origin: Origin,
) -> ApiResult<Response> {
    if let Some(id) = visit.principal.session_id() {
        sessions::end(&app, id, "signed_out", Actor::principal(&visit.principal, &origin)).await?;
    }
    Ok(([(header::SET_COOKIE, cookie::clear(&client)?)], page::to(&client.prefix, "/ui/sign-in")).into_response())
}

/// A path of these pages; the first page for anything else.
fn local(next: Option<String>) -> String {
    let is_page = |path: &String| {
        path.strip_prefix("/ui").is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?']))
            && path.len() <= MAX_NEXT
            && path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\')
    };
    next.filter(is_page).unwrap_or_else(|| "/ui".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pages_of_the_host_are_gone_to() {
        for page in ["/ui", "/ui/search?q=a", "/ui?x=1", "/ui/jobs/01"] {
            assert_eq!(local(Some(page.into())), page);
        }
        let long = format!("/ui/{}", "a".repeat(MAX_NEXT));
        for other in
            ["", "ui", "//evil.example", "https://evil.example/ui", "/uix", "/\\evil", "/ui\r\nx: y", "/ui/é", &long]
        {
            assert_eq!(local(Some(other.into())), "/ui", "{other}");
        }
        assert_eq!(local(None), "/ui");
    }
}
