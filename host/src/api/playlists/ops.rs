//! What requests say of a playlist's entries, and the operations of the contract that come of it.

use std::collections::HashSet;

use garde::Validate;
use serde::Deserialize;
use utoipa::ToSchema;
use zotify_plugin_api::{ItemKey, Kind, PlaylistOp, Uri};

use crate::{
    App,
    api::resolve,
    error::{ApiError, ApiResult, FieldError},
    library::MAX_UPSTREAM,
    mirror::Scope,
    playlists::{Target, locators},
};

/// Items and entries that one request may name.
const MAX_ENTRIES: usize = 1000;
/// The longest URI or web address, in bytes.
const MAX_ADDRESS: usize = 2000;

/// Items for a playlist.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewItems {
    /// Tracks and episodes of the playlist's own provider, in order; one may stand there several times. URIs, or at most ten
    /// web addresses that the provider knows.
    #[garde(length(min = 1, max = 1000))]
    #[schema(min_items = 1, max_items = 1000)]
    pub(super) uris: Vec<String>,
    /// The place of the first of them, from 0; the end without it.
    #[serde(default)]
    #[garde(skip)]
    pub(super) position: Option<u32>,
    /// The entry before which they go, instead of a position.
    #[serde(default)]
    #[garde(inner(length(max = 200)))]
    #[schema(max_length = 200)]
    pub(super) before: Option<String>,
}

/// What a playlist is to hold.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AllItems {
    /// Tracks and episodes of the playlist's own provider, in order; none empties it. URIs, or at most ten web addresses that
    /// the provider knows.
    #[garde(length(max = 1000))]
    #[schema(max_items = 1000)]
    pub(super) uris: Vec<String>,
}

/// Changes of a playlist's entries, done in order.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Ops {
    /// At most 100, which name 1000 items and entries at most in all.
    #[garde(length(min = 1, max = 100))]
    #[schema(min_items = 1, max_items = 100)]
    pub(super) ops: Vec<Op>,
}

/// One change of a playlist's entries.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(tag = "op", rename_all = "lowercase", deny_unknown_fields)]
pub enum Op {
    /// Adds items.
    Add {
        /// Tracks and episodes, in order: URIs, or web addresses, of which a request may have ten.
        uris: Vec<String>,
        /// The entry before which they go; the end without it.
        #[serde(default)]
        before: Option<String>,
    },
    /// Moves entries, which then stand in the order that they are named in.
    Move {
        /// Their ids.
        entries: Vec<String>,
        /// The entry before which they go; the end without it.
        #[serde(default)]
        before: Option<String>,
    },
    /// Removes entries.
    Remove {
        /// Their ids.
        entries: Vec<String>,
    },
}

/// Makes operations of the contract, and collects what is wrong with the request.
pub(super) struct Reader<'a> {
    app: &'a App,
    target: &'a Target,
    /// The account alone, so that nobody but the playlist's provider is asked what an address names.
    scope: Scope,
    /// Questions to the provider that are left.
    left: usize,
    named: usize,
    errors: Vec<FieldError>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(app: &'a App, target: &'a Target) -> Self {
        let scope = Scope::of_account(target.account.clone());
        Self { app, target, scope, left: MAX_UPSTREAM, named: 0, errors: Vec::new() }
    }

    pub(super) fn wrong(&mut self, field: String, code: impl Into<String>, detail: impl Into<String>) {
        self.errors.push(FieldError { field, code: code.into(), detail: detail.into() });
    }

    pub(super) async fn items(&mut self, field: &str, texts: &[String]) -> ApiResult<Vec<ItemKey>> {
        self.named += texts.len();
        let mut uris = Vec::with_capacity(texts.len());
        for (n, text) in texts.iter().enumerate() {
            let place = format!("{field}[{n}]");
            match self.address(text).await {
                // What the request can't be blamed for.
                Err(error) if !error.status().is_client_error() => return Err(error),
                Err(error) => self.wrong(place, error.code(), error.detail()),
                Ok(uri) if uri.instance() != self.target.uri.instance() => {
                    self.wrong(place, "foreign_uri", "a playlist holds items of its own provider only");
                }
                Ok(uri) if !matches!(uri.kind(), Kind::Track | Kind::Episode) => {
                    let detail = format!("a playlist holds tracks and episodes, not {}s", uri.kind());
                    self.wrong(place, "wrong_kind", detail);
                }
                Ok(uri) => uris.push(uri),
            }
        }
        locators(self.app, &self.target.account, &uris).await
    }

    /// The item that a text names.
    async fn address(&mut self, text: &str) -> ApiResult<Uri> {
        if text.len() > MAX_ADDRESS {
            return Err(ApiError::bad_request("invalid_uri", "an address has at most 2000 bytes"));
        }
        match text.parse::<Uri>() {
            Ok(uri) if self.app.providers.get(uri.instance()).is_some() => Ok(uri),
            _ => resolve::address(self.app, &self.scope, text, &mut self.left).await,
        }
    }

    fn entries(&mut self, field: &str, entries: &[String]) {
        self.named += entries.len();
        let mut seen = HashSet::new();
        for (n, id) in entries.iter().enumerate() {
            if id.is_empty() || id.len() > 200 || !seen.insert(id) {
                self.wrong(
                    format!("{field}[{n}]"),
                    "invalid",
                    "an entry's id has 1 to 200 bytes, and stands there once",
                );
            }
        }
        if entries.is_empty() {
            self.wrong(field.to_owned(), "invalid", "name at least one entry");
        }
    }

    pub(super) async fn op(&mut self, n: usize, op: Op) -> ApiResult<PlaylistOp> {
        let field = |name: &str| format!("ops[{n}].{name}");
        Ok(match op {
            Op::Add { uris, before } => {
                if uris.is_empty() {
                    self.wrong(field("uris"), "invalid", "name at least one item");
                }
                PlaylistOp::Add { items: self.items(&field("uris"), &uris).await?, before }
            }
            Op::Move { entries, before } => {
                self.entries(&field("entries"), &entries);
                if before.as_ref().is_some_and(|before| entries.contains(before)) {
                    self.wrong(field("before"), "invalid", "an entry can't be moved before itself");
                }
                PlaylistOp::Move { entries, before }
            }
            Op::Remove { entries } => {
                self.entries(&field("entries"), &entries);
                PlaylistOp::Remove { entries }
            }
        })
    }

    pub(super) fn finish(mut self) -> ApiResult<()> {
        if self.named > MAX_ENTRIES {
            let detail = format!("the operations name more than {MAX_ENTRIES} items and entries");
            self.wrong("ops".into(), "too_long", detail);
        }
        if self.errors.is_empty() { Ok(()) } else { Err(ApiError::invalid(self.errors)) }
    }
}
