//! Playlists.

use askama::Template;
use axum::{extract::State, response::Response};
use serde::Deserialize;
use serde_json::json;

use super::{
    ask,
    page::{self, Frame, Visit},
    rows::{self, Doc, Lack, Players, Row},
};
use crate::{
    AppState,
    api::{
        self,
        extract::{ItemUri, Query},
        library::edit::AccountQuery,
        page::Paging,
    },
    error::{ApiError, ApiResult},
};

#[derive(Template)]
#[template(path = "ui/playlists.html")]
struct ListPage {
    frame: Frame,
    rows: Vec<Row>,
    lacks: Vec<Lack>,
    next: Option<String>,
}

#[derive(Template)]
#[template(path = "ui/tracks.html")]
struct Page {
    frame: Frame,
    of: Row,
    rows: Vec<Row>,
    next: Option<String>,
}

#[derive(Deserialize)]
struct Entry {
    item: Doc,
}

/// All playlists, by name.
///
/// # Errors
/// As `GET /api/playlists`.
pub async fn list(State(app): State<AppState>, visit: Visit, paging: Paging) -> ApiResult<Response> {
    let (frame, query) = (visit.frame("playlists"), ask(json!({ "sort": "title" }))?);
    let found = api::playlists::list_playlists(State(app.clone()), visit.principal, Query(query), paging).await?;
    let next = found.meta.next_cursor.as_ref().map(|cursor| format!("/ui/playlists?cursor={cursor}"));
    page::show(&ListPage { frame, rows: Players::of(&app).rows(&found)?, lacks: rows::lacks(&found.meta), next })
}

/// A playlist with its entries.
///
/// # Errors
/// As `GET /api/playlists/{uri}` and its items.
pub async fn playlist(
    State(app): State<AppState>,
    visit: Visit,
    ItemUri(uri): ItemUri,
    paging: Paging,
) -> ApiResult<Response> {
    let (players, principal) = (Players::of(&app), visit.principal.clone());
    let (state, path, any) = (State(app), || ItemUri(uri.clone()), || Query(AccountQuery::default()));
    let (_, doc) = api::playlists::get_playlist(state.clone(), principal.clone(), path(), any()).await?;
    let doc: Doc = serde_json::from_str(&doc.0).map_err(ApiError::internal)?;
    let (_, items) = api::playlists::list_playlist_items(state, principal, path(), any(), paging).await?;
    let entries: Vec<Entry> = serde_json::from_str(&items.data).map_err(ApiError::internal)?;
    let next = items.meta.next_cursor.as_ref().map(|cursor| format!("/ui/playlists/{uri}?cursor={cursor}"));
    let rows = entries.into_iter().map(|entry| players.row(entry.item)).collect();
    page::show(&Page { frame: visit.frame("playlists"), of: players.row(doc), rows, next })
}
