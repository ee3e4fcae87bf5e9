//! Every route, one line each.

use axum::{Router, routing::get};
use utoipa::OpenApi as _;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{AppState, api, middleware::fallback, openapi::ApiDoc};

/// The documented routes.
pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::with_openapi(ApiDoc::openapi())
        // Meta
        .routes(routes!(api::meta::ping))
        .routes(routes!(api::meta::live))
        .routes(routes!(api::meta::ready))
        .routes(routes!(api::meta::summary))
        .routes(routes!(api::meta::version))
        .routes(routes!(api::meta::document))
        .routes(routes!(api::meta::docs))
        // Sign-in
        .routes(routes!(api::auth::register))
        .routes(routes!(api::auth::login))
        .routes(routes!(api::auth::refresh))
        .routes(routes!(api::auth::logout))
        .routes(routes!(api::auth::status))
        .routes(routes!(api::user::get_profile, api::user::update_profile))
        // Providers
        .routes(routes!(api::providers::list_providers))
        .routes(routes!(api::providers::get_provider))
        // Jobs
        .routes(routes!(api::jobs::list_jobs))
        .routes(routes!(api::jobs::get_job))
        .routes(routes!(api::jobs::cancel_job))
}

/// All routes, with problems for everything else.
pub fn router() -> Router<AppState> {
    Router::from(routes())
        .route("/docs/", get(api::meta::docs_index))
        .route("/docs/{*file}", get(api::meta::docs_file))
        .fallback(fallback::not_found)
        .method_not_allowed_fallback(fallback::method_not_allowed)
}
