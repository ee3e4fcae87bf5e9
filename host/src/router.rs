//! Every route, one line each.

use axum::{
    Router,
    middleware::{from_fn, from_fn_with_state},
    routing::get,
};
use utoipa::OpenApi as _;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    AppState, api,
    middleware::{
        deprecation::{self, Deprecated},
        fallback,
        parameters::{self, Parameters},
    },
    openapi::ApiDoc,
    ui,
};

/// The documented routes.
#[expect(clippy::too_many_lines, reason = "one line for each route")]
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
        .routes(routes!(ui::home::home))
        // Sign-in
        .routes(routes!(api::auth::register::register))
        .routes(routes!(api::auth::login))
        .routes(routes!(api::auth::refresh))
        .routes(routes!(api::auth::logout))
        .routes(routes!(api::auth::status))
        .routes(routes!(api::auth::sessions::list_sessions, api::auth::sessions::revoke_other_sessions))
        .routes(routes!(api::auth::sessions::revoke_session))
        .routes(routes!(api::auth::password::change_password))
        .routes(routes!(api::user::get_profile, api::user::update_profile))
        // API keys
        .routes(routes!(api::keys::list_api_keys, api::keys::make_api_key))
        .routes(routes!(api::keys::get_api_key, api::keys::update_api_key, api::keys::revoke_api_key))
        .routes(routes!(api::keys::rotate_api_key))
        .routes(routes!(api::admin::keys::list_keys))
        .routes(routes!(api::admin::keys::revoke_key))
        // What users keep
        .routes(routes!(api::preferences::get_preferences, api::preferences::update_preferences))
        .routes(routes!(api::liked::list_liked))
        .routes(routes!(api::liked::like_track, api::liked::unlike_track))
        .routes(routes!(api::history::list_history, api::history::add_play, api::history::clear_history))
        .routes(routes!(api::history::delete_play))
        .routes(routes!(api::positions::list_positions))
        .routes(routes!(api::positions::get_position, api::positions::put_position, api::positions::delete_position))
        // Providers
        .routes(routes!(api::providers::list_providers))
        .routes(routes!(api::providers::get_provider))
        .merge(accounts())
        // Catalogue
        .routes(routes!(api::search::search))
        .routes(routes!(api::items::get_item))
        .routes(routes!(api::items::get_track))
        .routes(routes!(api::items::get_album))
        .routes(routes!(api::items::get_artist))
        .routes(routes!(api::items::get_show))
        .routes(routes!(api::items::get_episode))
        .routes(routes!(api::items::batch_tracks))
        .routes(routes!(api::children::list_album_tracks))
        .routes(routes!(api::children::list_artist_albums))
        .routes(routes!(api::children::list_show_episodes))
        .routes(routes!(api::media::get_track_media, api::media::head_track_media))
        .routes(routes!(api::media::get_episode_media, api::media::head_episode_media))
        .routes(routes!(api::media::create_track_media_url))
        .routes(routes!(api::media::create_episode_media_url))
        .routes(routes!(api::artwork::get_artwork))
        .routes(routes!(api::resolve::resolve))
        // Library
        .routes(routes!(api::library::list_library))
        .routes(routes!(api::library::edit::edit_library))
        .routes(routes!(api::library::library_contains))
        .routes(routes!(api::library::library_stats))
        .routes(routes!(api::sync::start_sync))
        .routes(routes!(api::sync::list_sync_runs))
        .routes(routes!(api::sync::get_sync_run))
        .routes(routes!(api::sync::apply_sync_run))
        .merge(deprecated(deprecation::SYNC_TRIGGER, OpenApiRouter::new().routes(routes!(api::sync::trigger_sync))))
        // Playlists
        .routes(routes!(api::playlists::list_playlists, api::playlists::write::create_playlist))
        .routes(routes!(
            api::playlists::get_playlist,
            api::playlists::write::update_playlist,
            api::playlists::write::delete_playlist
        ))
        .routes(routes!(
            api::playlists::list_playlist_items,
            api::playlists::entries::add_playlist_items,
            api::playlists::entries::replace_playlist_items,
            api::playlists::entries::edit_playlist_items
        ))
        .routes(routes!(api::playlists::entries::remove_playlist_item))
        .routes(routes!(api::playlists::write::set_playlist_image))
        .routes(routes!(api::playlists::export_playlist))
        // Jobs
        .routes(routes!(api::jobs::list_jobs))
        .routes(routes!(api::jobs::get_job))
        .routes(routes!(api::jobs::cancel_job))
        // Privacy and audit
        .routes(routes!(api::privacy::export_my_data, api::privacy::erase_my_data))
        .routes(routes!(api::privacy::get_erasure))
        .routes(routes!(api::privacy::get_consents, api::privacy::put_consents))
        .routes(routes!(api::admin::audit::list_audit))
        .routes(routes!(api::admin::audit::export_audit))
        .routes(routes!(api::admin::audit::verify_audit))
        // Users
        .routes(routes!(api::admin::users::list_users, api::admin::users::create_user))
        .routes(routes!(api::admin::users::get_user, api::admin::users::update_user, api::admin::users::delete_user))
        .routes(routes!(api::admin::invites::list_invites, api::admin::invites::create_invite))
        .routes(routes!(api::admin::invites::revoke_invite))
        .routes(routes!(api::admin::sessions::list_all_sessions))
        .routes(routes!(api::admin::sessions::revoke_any_session))
}

/// Connections to music services.
fn accounts() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(api::accounts::list_accounts))
        .routes(routes!(api::accounts::flows::start_flow))
        .routes(routes!(
            api::accounts::flows::get_flow,
            api::accounts::flows::answer_flow,
            api::accounts::flows::cancel_flow
        ))
        .routes(routes!(api::accounts::get_account, api::accounts::update_account, api::accounts::unlink_account))
        .routes(routes!(api::accounts::check_account))
        .routes(routes!(api::accounts::flows::start_login))
        .routes(routes!(api::accounts::callback::login_callback, api::accounts::callback::finish_login))
        .routes(routes!(api::admin::accounts::list_all_accounts))
}

/// Routes whose replies say what took their place.
fn deprecated(what: Deprecated, routes: OpenApiRouter<AppState>) -> OpenApiRouter<AppState> {
    routes.route_layer(from_fn(move |request, next| deprecation::layer(what, request, next)))
}

/// All routes, with problems for everything else.
pub fn router() -> Router<AppState> {
    let (router, document) = routes().split_for_parts();
    router
        .route_layer(from_fn_with_state(Parameters::of(&document), parameters::layer))
        .merge(ui::router())
        .route("/docs/", get(api::meta::docs_index))
        .route("/docs/{*file}", get(api::meta::docs_file))
        .fallback(fallback::not_found)
        .method_not_allowed_fallback(fallback::method_not_allowed)
}
