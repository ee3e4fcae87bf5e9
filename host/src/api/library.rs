//! `/api/library`: what all accounts own or saved, as one.

pub mod edit;

use std::collections::BTreeMap;

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use zotify_plugin_api::Kind;

use super::{
    extract::{Json, Path, Query, Valid, parse_uri},
    items::{Uris, valid},
    model::Item,
    page::{Meta, Page, Paging, RawPage, cursor, invalid_cursor},
    raw, rfc3339,
};
use crate::{
    AppState,
    auth::Principal,
    db::items::{self, Count, Filter, Key, Order, Slice},
    error::{ApiError, ApiResult},
    mirror::{Scope, fold, lookup::kind_of_plural},
};

/// The longest words or genre to look for, in bytes.
const MAX_TEXT: usize = 500;
/// The last year that a release date can have.
const LAST_YEAR: u16 = 9999;

/// Which items to list, and in which order.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct LibraryQuery {
    /// `title`, `artist`, `added_at` or `release_date`; with `-` in front the other way round.
    #[param(example = "-added_at")]
    pub(super) sort: Option<String>,
    /// Words; each must start a word of title, artists or album.
    #[param(max_length = 500)]
    pub(super) q: Option<String>,
    /// Only these providers, separated by commas.
    pub(super) providers: Option<String>,
    /// Only this account.
    pub(super) account: Option<String>,
    /// Only of this album.
    pub(super) album: Option<String>,
    /// Only of this show.
    pub(super) show: Option<String>,
    /// Only by this artist.
    pub(super) artist: Option<String>,
    /// Only of this genre; case and accents make no difference.
    #[param(max_length = 500)]
    pub(super) genre: Option<String>,
    /// Released in this year or later.
    #[param(minimum = 1, maximum = 9999)]
    pub(super) year_from: Option<u16>,
    /// Released in this year or earlier.
    #[param(minimum = 1, maximum = 9999)]
    pub(super) year_to: Option<u16>,
    /// Whether they can be played; those of which it is unknown count as playable.
    pub(super) playable: Option<bool>,
    /// Whether they are missing at their source, while a removal waits for confirmation.
    pub(super) missing: Option<bool>,
}

impl LibraryQuery {
    fn order(&self, kind: Kind) -> ApiResult<(Order, bool)> {
        let sort = self.sort.as_deref().unwrap_or(if kind == Kind::Episode { "-release_date" } else { "title" });
        let (name, descending) = sort.strip_prefix('-').map_or((sort, false), |name| (name, true));
        let order = match name {
            "title" | "name" => Order::Title,
            "artist" => Order::Artist,
            "added_at" => Order::AddedAt,
            "release_date" => Order::ReleaseDate,
            _ => {
                let detail = "sort is one of title, artist, added_at, release_date, with or without - in front";
                return Err(ApiError::bad_request("invalid_query", detail));
            }
        };
        Ok((order, descending))
    }

    fn filter(&self, kind: Kind) -> ApiResult<Filter> {
        for (name, text) in [("q", &self.q), ("genre", &self.genre)] {
            if text.as_ref().is_some_and(|text| text.len() > MAX_TEXT) {
                return Err(ApiError::bad_request(
                    "invalid_query",
                    format!("{name} may have at most {MAX_TEXT} bytes"),
                ));
            }
        }
        let words =
            match self.q.as_deref().map(str::trim).filter(|q| !q.is_empty()) {
                Some(q) => Some(fold::Query::parse(q).ok_or_else(|| {
                    ApiError::bad_request("invalid_query", "q holds no word that could be searched for")
                })?),
                None => None,
            };
        if self.album.is_some() && self.show.is_some() {
            return Err(ApiError::bad_request(
                "invalid_query",
                "nothing is of an album and of a show; send one of them",
            ));
        }
        let years = [self.year_from, self.year_to];
        if years.into_iter().flatten().any(|year| !(1..=LAST_YEAR).contains(&year)) {
            let detail = format!("year_from and year_to are between 1 and {LAST_YEAR}");
            return Err(ApiError::bad_request("invalid_query", detail));
        }
        Ok(Filter {
            kind: Some(kind.as_str()),
            parent: uri(self.album.as_deref(), Kind::Album)?.or(uri(self.show.as_deref(), Kind::Show)?),
            artist: uri(self.artist.as_deref(), Kind::Artist)?,
            genre: self.genre.as_deref().map(fold::key).filter(|genre| !genre.is_empty()),
            released_from: self.year_from.map(|year| format!("{year:04}")),
            // Dates are compared as text, so there is nothing after the last year of four digits.
            released_before: self.year_to.filter(|year| *year < LAST_YEAR).map(|year| format!("{:04}", year + 1)),
            playable: self.playable,
            missing: self.missing,
            words,
        })
    }
}

fn uri(text: Option<&str>, kind: Kind) -> ApiResult<Option<String>> {
    let Some(text) = text else { return Ok(None) };
    let uri = parse_uri(text)?;
    if uri.kind() == kind {
        return Ok(Some(uri.to_string()));
    }
    Err(ApiError::bad_request("invalid_query", format!("{kind}: {uri} is of kind {}", uri.kind())))
}

/// The merged library of one kind.
///
/// # Errors
/// 400 `invalid_query` or `invalid_cursor`, 404 `unknown_kind`.
#[utoipa::path(
    get, path = "/api/library/{kind}", operation_id = "list_library", tag = "Library",
    params(
        ("kind" = String, Path, description = "`tracks`, `albums`, `artists`, `playlists`, `shows` or `episodes`."),
        LibraryQuery, Paging
    ),
    responses((status = 200, description = "A page of items of the kind.", body = Page<Item>)),
    security(("bearer" = ["library:read"]), ("api_key" = ["library:read"]))
)]
pub async fn list_library(
    State(app): State<AppState>,
    principal: Principal,
    Path(kind): Path<String>,
    Query(query): Query<LibraryQuery>,
    paging: Paging,
) -> ApiResult<RawPage> {
    principal.require("library:read")?;
    let kind = kind_of_plural(&kind).ok_or_else(|| {
        ApiError::not_found("unknown_kind", "a library has tracks, albums, artists, playlists, shows and episodes")
    })?;
    list(&app, &principal, kind, &query, &paging).await
}

/// A page of one kind.
pub(super) async fn list(
    app: &AppState,
    principal: &Principal,
    kind: Kind,
    query: &LibraryQuery,
    paging: &Paging,
) -> ApiResult<RawPage> {
    let (order, descending) = query.order(kind)?;
    let filter = query.filter(kind)?;
    let scope = Scope::of(app, principal).await?.narrowed(query.providers.as_deref(), query.account.as_deref())?;
    let list = format!("library:{kind}:{order:?}:{descending}");
    let after: Option<(Key, i64)> = paging.after(&list)?;
    if after.as_ref().is_some_and(|(key, _)| !order.fits(key)) {
        return Err(invalid_cursor());
    }
    let slice = Slice { order, descending, after, limit: paging.limit() };
    let part = items::list(&app.db, &scope.sources(), &filter, &slice).await?;
    let next_cursor = part.last.as_ref().and_then(|last| cursor(&list, last));
    let meta = Meta { limit: slice.limit, next_cursor, total: None, providers: Some(scope.freshness(app)) };
    Ok(raw::page(&part, meta))
}

/// Which URIs are in the library, in the order of the request.
#[derive(Debug, Serialize, ToSchema)]
pub struct Contains {
    /// One for each URI.
    data: Vec<Contained>,
}

/// Whether one URI is in the library.
#[derive(Debug, Serialize, ToSchema)]
pub struct Contained {
    /// As it was asked for.
    uri: String,
    /// Whether it is in the library of any account that the caller sees.
    contained: bool,
    /// The ids of those accounts.
    accounts: Vec<String>,
}

/// Tells for up to 500 URIs whether they are in the library.
///
/// # Errors
/// 422 `validation_failed`.
#[utoipa::path(
    post, path = "/api/library/contains", operation_id = "library_contains", tag = "Library", request_body = Uris,
    responses((status = 200, description = "A result for each URI, in the same order.", body = Contains)),
    security(("bearer" = ["library:read"]), ("api_key" = ["library:read"]))
)]
pub async fn library_contains(
    State(app): State<AppState>,
    principal: Principal,
    Valid(request): Valid<Uris>,
) -> ApiResult<Json<Contains>> {
    principal.require("library:read")?;
    let scope = Scope::of(&app, &principal).await?;
    let mut by_uri: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (uri, account) in items::contained(app.db.read(), &scope.ids(), &valid(&request.uris)).await? {
        by_uri.entry(uri).or_default().push(account);
    }
    let contained = |uri: String| {
        let accounts = by_uri.get(&uri).cloned().unwrap_or_default();
        Contained { uri, contained: !accounts.is_empty(), accounts }
    };
    Ok(Json(Contains { data: request.uris.into_iter().map(contained).collect() }))
}

/// How much there is.
#[derive(Debug, Default, Serialize, ToSchema)]
pub struct Counts {
    tracks: i64,
    albums: i64,
    artists: i64,
    playlists: i64,
    shows: i64,
    episodes: i64,
    /// How long tracks and episodes play, where known.
    duration_ms: i64,
    /// How many are missing at their source, while a removal waits for confirmation.
    missing: i64,
}

impl Counts {
    /// Adds what an account has of a kind.
    pub fn add(&mut self, count: &Count) {
        let field = match count.kind.as_str() {
            "track" => &mut self.tracks,
            "album" => &mut self.albums,
            "artist" => &mut self.artists,
            "playlist" => &mut self.playlists,
            "show" => &mut self.shows,
            _ => &mut self.episodes,
        };
        *field += count.items;
        self.duration_ms += count.duration_ms;
        self.missing += count.missing;
    }
}

/// Figures of the library.
#[derive(Debug, Serialize, ToSchema)]
pub struct Stats {
    /// Over all accounts that the caller sees.
    totals: Counts,
    /// Tracks beyond the first of each recording, by ISRC.
    duplicates: i64,
    /// By account.
    accounts: Vec<AccountStats>,
}

/// Figures of one account's library.
#[derive(Debug, Serialize, ToSchema)]
pub struct AccountStats {
    /// The account's id.
    account: String,
    /// The instance that it is at.
    provider: String,
    /// What it holds.
    counts: Counts,
    /// How complete the last read was: `complete`, `partial` or `failed`.
    completeness: Option<String>,
    /// When its library was last read, RFC 3339 UTC.
    last_pull_at: Option<String>,
    /// When it was last read completely, RFC 3339 UTC.
    last_complete_at: Option<String>,
}

/// Counts per account and kind, and when they were last read.
///
/// # Errors
/// 401 without a valid credential.
#[utoipa::path(
    get, path = "/api/library/stats", operation_id = "library_stats", tag = "Library",
    responses((status = 200, description = "The figures.", body = Stats)),
    security(("bearer" = ["library:read"]), ("api_key" = ["library:read"]))
)]
pub async fn library_stats(State(app): State<AppState>, principal: Principal) -> ApiResult<Json<Stats>> {
    principal.require("library:read")?;
    let scope = Scope::of(&app, &principal).await?;
    let counts = items::counts(app.db.read(), &scope.ids()).await?;
    let duplicates = items::duplicates(app.db.read(), &scope.ids()).await?;
    let mut totals = Counts::default();
    counts.iter().for_each(|count| totals.add(count));
    let accounts = scope.accounts().iter().map(|account| {
        let mut own = Counts::default();
        counts.iter().filter(|count| count.account_id == account.id).for_each(|count| own.add(count));
        AccountStats {
            account: account.id.clone(),
            provider: account.instance.clone(),
            counts: own,
            completeness: account.completeness.clone(),
            last_pull_at: account.last_pull_at.map(rfc3339),
            last_complete_at: account.last_complete_at.map(rfc3339),
        }
    });
    Ok(Json(Stats { totals, duplicates, accounts: accounts.collect() }))
}
