//! The pages of the callback: few words, no scripts, nothing from elsewhere but the web interface's style.

use askama::Template;
use axum::{
    http::{HeaderValue, header},
    response::{Html, IntoResponse as _, Response},
};

use crate::error::{ApiError, ApiResult};

/// No script, no picture, and a form that goes to this host alone.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
);
/// Other sites hear nothing of the address. This host must: without it browsers don't say where the form comes from.
const REFERRER: HeaderValue = HeaderValue::from_static("same-origin");

#[derive(Template)]
#[template(path = "callback/ask.html")]
struct Ask<'a> {
    title: &'a str,
    user: &'a str,
    provider: &'a str,
    query: &'a str,
}

#[derive(Template)]
#[template(path = "callback/denied.html")]
struct Denied<'a> {
    title: &'a str,
    provider: &'a str,
    query: &'a str,
}

#[derive(Template)]
#[template(path = "callback/sign_in.html")]
struct SignIn<'a> {
    title: &'a str,
}

#[derive(Template)]
#[template(path = "callback/linked.html")]
struct Linked<'a> {
    title: &'a str,
    provider: &'a str,
}

#[derive(Template)]
#[template(path = "callback/outcome.html")]
struct Outcome<'a> {
    title: &'a str,
    text: &'a str,
}

/// Asks whom to link.
pub(super) fn ask(user: &str, provider: &str, query: &str) -> ApiResult<Response> {
    show(&Ask { title: "Link this account?", user, provider, query })
}

/// Somebody refused at the service: there is nothing to ask, but the flow has to hear of it.
pub(super) fn denied(provider: &str, query: &str) -> ApiResult<Response> {
    show(&Denied { title: "Nothing was linked", provider, query })
}

/// For a browser that nobody is signed in with.
pub(super) fn sign_in_or_paste() -> ApiResult<Response> {
    show(&SignIn { title: "Almost there" })
}

/// For an address that belongs to no flow of the user's.
pub(super) fn unknown() -> ApiResult<Response> {
    let text =
        "This address was used already, took too long, or belongs to somebody else. Start connecting the account anew.";
    show(&Outcome { title: "This does not work any more", text })
}

/// The account is connected.
pub(super) fn linked(provider: &str) -> ApiResult<Response> {
    show(&Linked { title: "Linked", provider })
}

/// The flow has another step.
pub(super) fn goes_on() -> ApiResult<Response> {
    let text = "Go back to where you began to connect the account: it goes on there.";
    show(&Outcome { title: "One more step", text })
}

/// It did not work.
pub(super) fn failed(detail: &str) -> ApiResult<Response> {
    show(&Outcome { title: "The account was not linked", text: detail })
}

fn show(page: &impl Template) -> ApiResult<Response> {
    let mut response = Html(page.render().map_err(ApiError::internal)?).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, POLICY);
    headers.insert(header::REFERRER_POLICY, REFERRER);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}
