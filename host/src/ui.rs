//! The web interface under `/ui`: pages made on the server, which work as plain HTML. A script swaps pages in place, so that
//! the player goes on, and follows what runs. Each handler asks the API's own handlers and shows their documents.

pub mod accounts;
pub mod album;
mod assets;
pub mod connect;
mod failure;
mod form;
pub mod home;
pub mod jobs;
pub mod page;
pub mod password;
pub mod playlists;
pub mod rows;
pub mod search;
pub mod sign_in;
mod words;

use axum::{
    Router,
    extract::Request,
    http::{HeaderMap, HeaderValue, header},
    middleware::Next,
    response::{IntoResponse as _, Response},
    routing::{any, get, post},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use self::failure::Asked;
use crate::{
    AppState,
    error::{ApiError, ApiResult, Problem},
    middleware::{client::Client, fallback},
};

/// Pages bring their own scripts, styles and pictures, and nothing of others; what stands in a page itself does not run.
const OWN: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self'; \
                   connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// The routes beside the start page, which the API's document names.
pub fn router() -> Router<AppState> {
    Router::new()
        .route("/", any(root))
        .route("/ui/", get(slash))
        .route("/ui/assets/{file}", get(assets::asset))
        .route("/ui/sign-in", get(sign_in::form).post(sign_in::sign_in))
        .route("/ui/sign-out", post(sign_in::sign_out))
        .route("/ui/password", get(password::form).post(password::change))
        .route("/ui/sync", post(home::sync))
        .route("/ui/accounts/{id}", get(accounts::account).post(accounts::change))
        .route("/ui/accounts/{id}/check", post(accounts::check))
        .route("/ui/accounts/{id}/unlink", get(accounts::ask_unlink).post(accounts::unlink))
        .route("/ui/connect", get(connect::choose).post(connect::start))
        .route("/ui/connect/{id}", get(connect::flow))
        .route("/ui/connect/{id}/values", post(connect::fill_in))
        .route("/ui/connect/{id}/returned", post(connect::come_back))
        .route("/ui/connect/{id}/poll", post(connect::poll))
        .route("/ui/connect/{id}/news", get(connect::news))
        .route("/ui/connect/{id}/cancel", post(connect::cancel))
        .route("/ui/search", get(search::search))
        .route("/ui/albums/{uri}", get(album::album))
        .route("/ui/playlists", get(playlists::list))
        .route("/ui/playlists/{uri}", get(playlists::playlist))
        .route("/ui/jobs", get(jobs::list))
        .route("/ui/jobs/{id}", get(jobs::job))
        .route("/ui/jobs/{id}/cancel", post(jobs::cancel))
}

/// Sends a browser from the server's bare address to the pages.
async fn root(client: Client, request: Request) -> Response {
    let accepts = request.headers().get(header::ACCEPT).and_then(|value| value.to_str().ok());
    if request.method().is_safe() && accepts.is_some_and(|list| list.contains("text/html")) {
        return page::to(&client.prefix, "/ui");
    }
    fallback::not_found(request.uri().clone()).await.into_response()
}

async fn slash(client: Client) -> Response {
    page::to(&client.prefix, "/ui")
}

/// The layer: within `/ui`, a problem becomes a page or leads to where it can be solved, and browsers are told to be careful.
pub async fn layer(client: Client, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    if path != "/ui" && !path.starts_with("/ui/") {
        return next.run(request).await;
    }
    let asked = Asked::of(client, &request);
    let mut response = next.run(request).await;
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        response = asked.answer(&problem, response);
    }
    protect(response.headers_mut());
    response
}

fn protect(headers: &mut HeaderMap) {
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(OWN));
    // With `no-referrer` browsers would send forms with the origin `null`, which proves nothing.
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
}

/// A document of the API as a page shows it.
fn view<V: DeserializeOwned>(document: impl Serialize) -> ApiResult<V> {
    let document = serde_json::to_value(document).map_err(ApiError::internal)?;
    serde_json::from_value(document).map_err(ApiError::internal)
}

/// What an API handler takes, from its JSON.
fn ask<Q: DeserializeOwned>(query: Value) -> ApiResult<Q> {
    serde_json::from_value(query).map_err(|error| ApiError::bad_request("invalid_query", error.to_string()))
}
