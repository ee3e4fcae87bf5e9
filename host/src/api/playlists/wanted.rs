//! The playlist that a request means to change.

use axum::{
    extract::FromRequestParts,
    http::{HeaderValue, header, request::Parts},
};
use zotify_plugin_api::Kind;

use crate::{
    AppState,
    api::{
        extract::{ItemUri, Query},
        library::edit::AccountQuery,
    },
    auth::Principal,
    error::ApiError,
    playlists::{self, Target},
};

/// The playlist in the path, for a caller who may change playlists; see [`AccountQuery`] for the account.
pub struct Wanted {
    /// The playlist.
    pub target: Target,
    /// The version that it has to be of, as `If-Match` names it; any without it.
    pub expected: Option<HeaderValue>,
}

impl FromRequestParts<AppState> for Wanted {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &AppState) -> Result<Self, ApiError> {
        let principal = Principal::from_request_parts(parts, app).await?;
        principal.require("playlists:write")?;
        let uri = ItemUri::from_request_parts(parts, app).await?.of_kind(Kind::Playlist)?;
        let Query(AccountQuery { account }) = Query::from_request_parts(parts, app).await?;
        let scope = playlists::scope(app, &principal, &uri, account.as_deref()).await?;
        let target = playlists::find(app, &principal, &scope, uri).await?;
        Ok(Self { target, expected: parts.headers.get(header::IF_MATCH).cloned() })
    }
}
