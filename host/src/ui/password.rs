//! Setting another password.

use askama::Template;
use axum::{
    extract::State,
    response::{IntoResponse as _, Response},
};
use secrecy::ExposeSecret as _;
use serde::Deserialize;

use super::page::{self, Frame, Visit};
use crate::{
    AppState,
    api::auth::body::{FormOrJson, Secret},
    auth::{Origin, sign_in},
    error::ApiResult,
};

#[derive(Template)]
#[template(path = "ui/password.html")]
struct Page {
    frame: Frame,
    min_length: usize,
    problem: Option<String>,
}

impl Page {
    fn new(app: &AppState, visit: &Visit, problem: Option<String>) -> Self {
        let min_length = app.config.auth.password_min_length;
        Self { frame: visit.frame("password"), min_length, problem }
    }
}

/// Asks for the present password and another one.
///
/// # Errors
/// 500, when the page cannot be written out.
pub async fn form(State(app): State<AppState>, visit: Visit) -> ApiResult<Response> {
    page::show(&Page::new(&app, &visit, None))
}

/// Another password.
#[derive(Deserialize)]
pub struct Change {
    current_password: Secret,
    new_password: Secret,
    repeated: Secret,
}

/// Sets it, and goes to the first page; shows the form again where it is refused.
///
/// # Errors
/// 403 `insufficient_scope`, 422 `invalid_body`.
pub async fn change(
    State(app): State<AppState>,
    visit: Visit,
    origin: Origin,
    FormOrJson(given): FormOrJson<Change>,
) -> ApiResult<Response> {
    visit.principal.require("profile")?;
    let (current, new) = (&given.current_password.0, &given.new_password.0);
    if new.expose_secret() != given.repeated.0.expose_secret() {
        let problem = "the new password and its repetition differ".to_owned();
        let form = page::show(&Page::new(&app, &visit, Some(problem)))?;
        return Ok((axum::http::StatusCode::UNPROCESSABLE_ENTITY, form).into_response());
    }
    match sign_in::change_password(&app, &visit.principal, current, new, &origin).await {
        Ok(_) => Ok(page::to(&visit.base, "/ui")),
        Err(error) => {
            let problem = error.problem().errors.pop().map_or_else(|| error.detail().to_owned(), |field| field.detail);
            Ok((error.status(), page::show(&Page::new(&app, &visit, Some(problem)))?).into_response())
        }
    }
}
