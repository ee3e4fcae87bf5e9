//! One album.

use askama::Template;
use axum::{extract::State, response::Response};

use super::{
    page::{self, Frame, Visit},
    rows::{Doc, Players, Row},
};
use crate::{
    AppState,
    api::{self, extract::ItemUri, page::Paging},
    error::{ApiError, ApiResult},
};

#[derive(Template)]
#[template(path = "ui/tracks.html")]
struct Page {
    frame: Frame,
    of: Row,
    rows: Vec<Row>,
    next: Option<String>,
}

/// An album with its tracks.
///
/// # Errors
/// As `GET /api/albums/{uri}` and its tracks.
pub async fn album(
    State(app): State<AppState>,
    visit: Visit,
    ItemUri(uri): ItemUri,
    paging: Paging,
) -> ApiResult<Response> {
    let (players, principal) = (Players::of(&app), visit.principal.clone());
    let album = api::items::get_album(State(app.clone()), principal.clone(), ItemUri(uri.clone())).await?;
    let album: Doc = serde_json::from_str(&album.0).map_err(ApiError::internal)?;
    let tracks = api::children::list_album_tracks(State(app), principal, ItemUri(uri.clone()), paging).await?;
    let next = tracks.meta.next_cursor.as_ref().map(|cursor| format!("/ui/albums/{uri}?cursor={cursor}"));
    page::show(&Page { frame: visit.frame("search"), of: players.row(album), rows: players.rows(&tracks)?, next })
}
