//! `/api/playlists`: the playlists of all accounts.

pub mod entries;
pub mod export;
pub mod ops;
pub mod wanted;
pub mod write;

use axum::{Extension, extract::State};
use serde::Deserialize;
use utoipa::IntoParams;
use zotify_plugin_api::{Kind, Uri};

use super::{
    extract::{ItemUri, Query},
    library::{self, LibraryQuery, edit::AccountQuery},
    model::{Playlist, PlaylistItem},
    page::{Meta, Page, Paging, RawPage, cursor},
    raw::{self, RawJson},
};
use crate::{
    AppState,
    auth::Principal,
    db::items::{self, Key, Stored},
    error::ApiResult,
    middleware::etag::Version,
    mirror::{Scope, lookup},
    playlists,
};

pub use export::{__path_export_playlist, export_playlist};

/// Which playlists to list, and in which order.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PlaylistQuery {
    /// `title` or `added_at`; with `-` in front the other way round.
    sort: Option<String>,
    /// Words; each must start a word of name or owner.
    #[param(max_length = 500)]
    q: Option<String>,
    /// Only these providers, separated by commas.
    providers: Option<String>,
    /// Only this account.
    account: Option<String>,
}

/// The playlists of all accounts, without their items.
///
/// # Errors
/// 400 `invalid_query` or `invalid_cursor`.
#[utoipa::path(
    get, path = "/api/playlists", operation_id = "list_playlists", tag = "Playlists", params(PlaylistQuery, Paging),
    responses((status = 200, description = "A page of playlists.", body = Page<Playlist>)),
    security(("bearer" = ["playlists:read"]), ("api_key" = ["playlists:read"]))
)]
pub async fn list_playlists(
    State(app): State<AppState>,
    principal: Principal,
    Query(query): Query<PlaylistQuery>,
    paging: Paging,
) -> ApiResult<RawPage> {
    principal.require("playlists:read")?;
    let PlaylistQuery { sort, q, providers, account } = query;
    let query = LibraryQuery { sort, q, providers, account, ..LibraryQuery::default() };
    library::list(&app, &principal, Kind::Playlist, &query, &paging).await
}

/// One playlist, without its items, as the account has it by which it would be changed.
///
/// # Errors
/// 404 `item_not_found`, `wrong_kind` or `account_not_found`.
#[utoipa::path(
    get, path = "/api/playlists/{uri}", operation_id = "get_playlist", tag = "Playlists",
    params(("uri" = String, Path, description = "The playlist's URI."), AccountQuery),
    responses((status = 200, description = "The playlist; its `ETag` is what `If-Match` takes.", body = Playlist)),
    security(("bearer" = ["playlists:read"]), ("api_key" = ["playlists:read"]))
)]
pub async fn get_playlist(
    State(app): State<AppState>,
    principal: Principal,
    uri: ItemUri,
    Query(AccountQuery { account }): Query<AccountQuery>,
) -> ApiResult<(Extension<Version>, RawJson)> {
    principal.require("playlists:read")?;
    let uri = uri.of_kind(Kind::Playlist)?;
    let scope = playlists::scope(&app, &principal, &uri, account.as_deref()).await?;
    let found = match playlists::held(&app, &principal, &scope, &uri).await? {
        Some(held) => held.into(),
        None => lookup::item(&app, &scope, &uri).await?,
    };
    let version = playlists::tag(&app, &found.account_id, &uri).await?;
    Ok((Extension(Version(version)), RawJson(found.doc)))
}

/// The entries of a playlist, in order, as the account has them by which they would be changed.
///
/// # Errors
/// 404 `item_not_found`, `wrong_kind` or `account_not_found`, 400 `invalid_cursor`.
#[utoipa::path(
    get, path = "/api/playlists/{uri}/items", operation_id = "list_playlist_items", tag = "Playlists",
    params(("uri" = String, Path, description = "The playlist's URI."), AccountQuery, Paging),
    responses((status = 200, description = "A page of entries; the `ETag` is what `If-Match` takes.", body = Page<PlaylistItem>)),
    security(("bearer" = ["playlists:read"]), ("api_key" = ["playlists:read"]))
)]
pub async fn list_playlist_items(
    State(app): State<AppState>,
    principal: Principal,
    uri: ItemUri,
    Query(AccountQuery { account }): Query<AccountQuery>,
    paging: Paging,
) -> ApiResult<(Extension<Version>, RawPage)> {
    principal.require("playlists:read")?;
    let uri = uri.of_kind(Kind::Playlist)?;
    let scope = playlists::scope(&app, &principal, &uri, account.as_deref()).await?;
    let playlist = held(&app, &principal, &scope, &uri).await?;
    let list = format!("playlist:{uri}");
    let after: i64 = paging.after(&list)?.unwrap_or(-1);
    // Read before the entries: should a pull come between, the tag is the one that does not fit any more.
    let version = playlists::tag(&app, &playlist.account_id, &uri).await?;
    let part = items::entries(&app.db, &playlist.account_id, uri.as_str(), after, paging.limit()).await?;
    let next_cursor = match &part.last {
        Some((Key::Int(position), _)) => cursor(&list, position),
        _ => None,
    };
    let meta = Meta { limit: paging.limit(), next_cursor, total: None, providers: Some(scope.freshness(&app)) };
    Ok((Extension(Version(version)), raw::page(&part, meta)))
}

/// The playlist as the mirror holds it.
async fn held(app: &AppState, principal: &Principal, scope: &Scope, uri: &Uri) -> ApiResult<Stored> {
    playlists::held(app, principal, scope, uri).await?.ok_or_else(|| lookup::item_not_found(uri))
}
