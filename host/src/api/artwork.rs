//! `/api/artwork`: pictures of items.

use axum::{
    extract::State,
    http::{HeaderMap, Method},
    response::Response,
};
use serde::Deserialize;
use utoipa::IntoParams;
use zotify_plugin_api::{Artwork, ArtworkRequest, Uri, capability, method};

use super::extract::{ItemUri, Query};
use crate::{
    AppState,
    auth::{MediaPrincipal, Principal},
    db::items,
    error::{ApiError, ApiResult},
    media::{self, Asked, Purpose},
    mirror::{
        Scope,
        lookup::{self, Found},
    },
    providers::Lane,
};

/// Which picture.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ArtworkQuery {
    /// The wanted width in pixels; the nearest that is at least as wide is answered, else the widest.
    #[param(minimum = 1, maximum = 10000)]
    size: Option<u32>,
}

/// A picture of an item; that of its album or show where it has none of its own.
///
/// # Errors
/// 404 `item_not_found` or `artwork_not_found`, 422 `unsupported`, or why the provider failed.
#[utoipa::path(
    get, path = "/api/artwork/{uri}", operation_id = "get_artwork", tag = "Catalogue",
    params(
        ("uri" = String, Path, description = "The item's URI."), ArtworkQuery,
        ("sig" = Option<String>, Query, description = "Of a signed link.")
    ),
    responses(
        (status = 200, description = "The picture.", content_type = "image/*", body = Vec<u8>),
        (status = 304, description = "The client has it already.")
    ),
    security(("bearer" = ["catalog:read"]), ("api_key" = ["catalog:read"]), ())
)]
pub async fn get_artwork(
    State(app): State<AppState>,
    MediaPrincipal(principal): MediaPrincipal,
    ItemUri(uri): ItemUri,
    Query(query): Query<ArtworkQuery>,
    headers: HeaderMap,
) -> ApiResult<Response> {
    principal.require("catalog:read")?;
    if query.size.is_some_and(|size| !(1..=10_000).contains(&size)) {
        return Err(ApiError::bad_request("invalid_query", "size is between 1 and 10000, in pixels"));
    }
    let (uri, found, pictures) = find(&app, &principal, uri).await?;
    let handle = lookup::capable(&app, &uri, capability::ARTWORK_READ, "pictures")?;
    let locator = nearest(pictures, query.size).map(|picture| picture.locator);
    let request = ArtworkRequest { uri: uri.clone(), locator, size: query.size };
    let account = lookup::account_of(&handle, &found.account_id);
    let source = app.providers.call::<method::OpenArtwork>(uri.instance(), account, Lane::Interactive, request).await?;
    let asked = Asked { method: &Method::GET, headers: &headers, purpose: Purpose::Picture, name: &found.title() };
    media::serve(&app, &handle, source, &asked).await
}

/// The item whose picture to show: itself, or what it belongs to.
async fn find(app: &AppState, principal: &Principal, uri: Uri) -> ApiResult<(Uri, Found, Vec<Artwork>)> {
    let scope = Scope::of(app, principal).await?;
    let found = lookup::item(app, &scope, &uri).await?;
    let own = pictures(&found);
    if !own.is_empty() {
        return Ok((uri, found, own));
    }
    if let Ok(parent) = found.parent_uri.parse::<Uri>() {
        let stored = items::find(app.db.read(), &scope.at(parent.instance()), parent.as_str()).await?;
        if let Some(found) = stored.map(Found::from) {
            let pictures = pictures(&found);
            if !pictures.is_empty() {
                return Ok((parent, found, pictures));
            }
        }
    }
    Err(ApiError::not_found("artwork_not_found", format!("{uri} has no picture")))
}

fn pictures(found: &Found) -> Vec<Artwork> {
    found.artwork.as_deref().and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default()
}

/// The smallest that is wide enough, else the widest; where no width is known, the first.
fn nearest(mut pictures: Vec<Artwork>, size: Option<u32>) -> Option<Artwork> {
    let Some(size) = size else { return (!pictures.is_empty()).then(|| pictures.swap_remove(0)) };
    let rank = |picture: &Artwork| match picture.width {
        Some(width) if width >= size => (0, width),
        Some(width) => (1, u32::MAX - width),
        None => (2, 0),
    };
    pictures.into_iter().min_by_key(rank)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_size_is_chosen() {
        let picture = |locator: &str, width| Artwork { locator: locator.into(), width, height: None };
        let all = [picture("l", Some(1200)), picture("m", Some(600)), picture("s", Some(100)), picture("?", None)];
        let chosen = |size| nearest(all.to_vec(), size).unwrap().locator;
        assert_eq!(
            [None, Some(50), Some(101), Some(600), Some(900), Some(5000)].map(chosen),
            ["l", "s", "m", "m", "l", "l"]
        );
        assert!(nearest(Vec::new(), Some(1)).is_none());
    }
}
