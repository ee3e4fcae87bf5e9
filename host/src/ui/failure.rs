//! Problems as pages.

use askama::Template;
use axum::{
    extract::Request,
    http::{HeaderValue, Method, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::{
    page::{self, Frame},
    words,
};
use crate::{error::Problem, middleware::client::Client};

/// What is known of a request when its answer turns out to be a problem.
pub(super) struct Asked {
    base: String,
    /// Where to come back to after a sign-in; none for what is not a page.
    from: Option<String>,
    /// The script sent it, and swaps the answer into the page.
    scripted: bool,
}

#[derive(Template)]
#[template(path = "ui/failure.html")]
struct Page<'a> {
    frame: Frame,
    problem: &'a Problem,
    /// Its detail, in words of the pages.
    detail: String,
}

impl Asked {
    pub(super) fn of(client: Client, request: &Request) -> Self {
        let from = request.uri().path_and_query().map(ToString::to_string);
        Self {
            base: client.prefix,
            from: from.filter(|_| request.method() == Method::GET),
            scripted: request.headers().contains_key("hx-request"),
        }
    }

    /// The page for a problem, or the way to where it can be solved.
    pub(super) fn answer(&self, problem: &Problem, response: Response) -> Response {
        match (problem.status, problem.code.as_str()) {
            (401, _) => self.lead(&sign_in_path(self.from.as_deref())),
            (_, "password_change_required") => self.lead("/ui/password"),
            (_, "reauthentication_required") => self.lead(&sign_in_path(Some(self.from.as_deref().unwrap_or("/ui")))),
            _ => self.page(problem, response),
        }
    }

    /// The script would swap the other page into this one, so it is told to leave.
    fn lead(&self, path: &str) -> Response {
        if !self.scripted {
            return page::to(&self.base, path);
        }
        let to = HeaderValue::from_str(&format!("{}{path}", self.base));
        let mut response = StatusCode::NO_CONTENT.into_response();
        response.headers_mut().insert("hx-redirect", to.unwrap_or(HeaderValue::from_static("/ui")));
        response
    }

    fn page(&self, problem: &Problem, mut response: Response) -> Response {
        let frame = Frame { base: self.base.clone(), user: None, here: "" };
        let Ok(shown) = page::show(&Page { frame, problem, detail: words::on_page(&problem.detail) }) else {
            return response;
        };
        let headers = response.headers_mut();
        for name in [header::CONTENT_LENGTH, header::CONTENT_ENCODING, header::WWW_AUTHENTICATE] {
            headers.remove(name);
        }
        headers.extend(shown.headers().clone());
        *response.body_mut() = shown.into_body();
        response
    }
}

/// The sign-in page, with where to go afterwards.
fn sign_in_path(from: Option<&str>) -> String {
    match from {
        Some(from) if from != "/ui" => format!("/ui/sign-in?next={}", utf8_percent_encode(from, NON_ALPHANUMERIC)),
        _ => "/ui/sign-in".into(),
    }
}
