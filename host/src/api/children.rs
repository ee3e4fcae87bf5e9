//! The tracks of albums, the albums of artists, the episodes of shows.

use std::collections::BTreeMap;

use axum::extract::State;
use zotify_plugin_api::{Children, Kind, LibraryKind, PageRequest, ProviderError, Relation, Uri, capability, method};

use super::{
    extract::ItemUri,
    model::{Album, Episode, Item, Track},
    page::{Meta, Page, Paging, ProviderPart, RawPage, cursor, invalid_cursor, open, seal},
    raw,
};
use crate::{
    App, AppState,
    auth::Principal,
    db::items::{self, Filter, Key, Order, Part, Slice},
    error::{ApiError, ApiResult},
    mirror::{Scope, clean, lookup},
    providers::{Lane, State as InstanceState},
};

/// The tracks of an album, in the order of discs and tracks.
///
/// # Errors
/// 404 `item_not_found` or `wrong_kind`, 400 `invalid_cursor`.
#[utoipa::path(
    get, path = "/api/albums/{uri}/tracks", operation_id = "list_album_tracks", tag = "Catalogue",
    params(("uri" = String, Path, description = "The album's URI."), Paging),
    responses((status = 200, description = "A page of tracks.", body = Page<Track>)),
    security(("bearer" = ["catalog:read"]), ("api_key" = ["catalog:read"]))
)]
pub async fn list_album_tracks(
    State(app): State<AppState>,
    principal: Principal,
    uri: ItemUri,
    paging: Paging,
) -> ApiResult<RawPage> {
    children(&app, &principal, &uri.of_kind(Kind::Album)?, Relation::AlbumTracks, &paging).await
}

/// The albums of an artist, newest first.
///
/// # Errors
/// 404 `item_not_found` or `wrong_kind`, 400 `invalid_cursor`.
#[utoipa::path(
    get, path = "/api/artists/{uri}/albums", operation_id = "list_artist_albums", tag = "Catalogue",
    params(("uri" = String, Path, description = "The artist's URI."), Paging),
    responses((status = 200, description = "A page of albums.", body = Page<Album>)),
    security(("bearer" = ["catalog:read"]), ("api_key" = ["catalog:read"]))
)]
pub async fn list_artist_albums(
    State(app): State<AppState>,
    principal: Principal,
    uri: ItemUri,
    paging: Paging,
) -> ApiResult<RawPage> {
    children(&app, &principal, &uri.of_kind(Kind::Artist)?, Relation::ArtistAlbums, &paging).await
}

/// The episodes of a show, newest first.
///
/// # Errors
/// 404 `item_not_found` or `wrong_kind`, 400 `invalid_cursor`.
#[utoipa::path(
    get, path = "/api/shows/{uri}/episodes", operation_id = "list_show_episodes", tag = "Catalogue",
    params(("uri" = String, Path, description = "The show's URI."), Paging),
    responses((status = 200, description = "A page of episodes.", body = Page<Episode>)),
    security(("bearer" = ["catalog:read"]), ("api_key" = ["catalog:read"]))
)]
pub async fn list_show_episodes(
    State(app): State<AppState>,
    principal: Principal,
    uri: ItemUri,
    paging: Paging,
) -> ApiResult<RawPage> {
    children(&app, &principal, &uri.of_kind(Kind::Show)?, Relation::ShowEpisodes, &paging).await
}

/// Where a list of children goes on.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
enum After {
    Mirror(Key, i64),
    Provider(String),
}

async fn children(
    app: &App,
    principal: &Principal,
    uri: &Uri,
    relation: Relation,
    paging: &Paging,
) -> ApiResult<RawPage> {
    principal.require("catalog:read")?;
    let scope = Scope::of(app, principal).await?.narrowed_to(uri.instance());
    let Some(account) = scope.accounts().first().map(|account| &account.id) else {
        return Err(lookup::item_not_found(uri));
    };
    let list = format!("children:{uri}");
    let after: Option<After> = paging.after(&list)?;
    if matches!(&after, Some(After::Mirror(key, _)) if !order(relation).fits(key)) {
        return Err(invalid_cursor());
    }
    let mut providers = scope.freshness(app);
    if !matches!(after, Some(After::Mirror(..))) && knows_more(app, uri) {
        let at = match &after {
            Some(After::Provider(sealed)) => Some(open(app, account, &list, sealed)?),
            _ => None,
        };
        let answered = asked(app, &scope, uri, relation, at, paging.limit()).await;
        let sealed = answered.and_then(|(part, next)| Ok((part, seal(app, account, &list, next)?)));
        match sealed {
            Ok((part, next)) => return Ok(answer(part, &list, next.map(After::Provider), paging, providers)),
            Err(error) if after.is_some() => return Err(error.into()),
            Err(error) => stale(&mut providers, uri, &error),
        }
    }
    let (part, last) = held(app, &scope, uri, relation, after, paging.limit()).await?;
    Ok(answer(part, &list, last, paging, providers))
}

/// What children are; another kind of item has no place among them.
fn kind_of(relation: Relation) -> Option<Kind> {
    match relation {
        Relation::AlbumTracks => Some(Kind::Track),
        Relation::ArtistAlbums => Some(Kind::Album),
        Relation::ShowEpisodes => Some(Kind::Episode),
        _ => None,
    }
}

/// How the mirror sorts children.
fn order(relation: Relation) -> Order {
    if relation == Relation::ArtistAlbums { Order::ReleaseDate } else { Order::Place }
}

/// Whether the provider knows children that the library does not hold.
fn knows_more(app: &App, uri: &Uri) -> bool {
    app.providers.get(uri.instance()).is_some_and(|handle| {
        handle.state() == InstanceState::Started
            && handle.has(capability::CATALOG_CHILDREN)
            && handle.manifest().is_some_and(|manifest| manifest.library != LibraryKind::Owned)
    })
}

fn stale(providers: &mut BTreeMap<String, ProviderPart>, uri: &Uri, error: &ProviderError) {
    let error = ApiError::from(error.clone());
    if let Some(part) = providers.get_mut(uri.instance()) {
        *part = part.clone().failed("stale", &error);
    }
}

async fn held(
    app: &App,
    scope: &Scope,
    uri: &Uri,
    relation: Relation,
    after: Option<After>,
    limit: i64,
) -> ApiResult<(Part, Option<After>)> {
    let after = match after {
        Some(After::Mirror(key, id)) => Some((key, id)),
        _ => None,
    };
    let first = after.is_none();
    let sources = scope.sources();
    let mut part = if relation == Relation::ArtistAlbums {
        let filter = Filter { kind: Some("album"), artist: Some(uri.to_string()), ..Filter::default() };
        let slice = Slice { order: order(relation), descending: true, after, limit };
        items::list(&app.db, &sources, &filter, &slice).await?
    } else {
        items::children(&app.db, &sources, uri.as_str(), after, limit).await?
    };
    if first && part.count == 0 {
        // An album without tracks is an empty list; an unknown one is not found.
        lookup::item(app, scope, uri).await?;
    }
    let last = part.last.take().map(|(key, id)| After::Mirror(key, id));
    Ok((part, last))
}

async fn asked(
    app: &App,
    scope: &Scope,
    uri: &Uri,
    relation: Relation,
    cursor: Option<String>,
    limit: i64,
) -> Result<(Part, Option<String>), ProviderError> {
    let gone = || ProviderError::not_found(uri);
    let handle = app.providers.get(uri.instance()).ok_or_else(gone)?;
    let account = scope.accounts().first().ok_or_else(gone)?.id.clone();
    let stored = items::find(app.db.read(), &scope.ids(), uri.as_str()).await;
    let locator = stored.ok().flatten().and_then(|stored| stored.locator);
    let page = PageRequest { cursor, limit: u32::try_from(limit).unwrap_or(0) };
    let request = Children { uri: uri.clone(), relation, locator, page };
    let account = lookup::account_of(&handle, &account);
    let page = app.providers.call::<method::GetChildren>(uri.instance(), account, Lane::Interactive, request).await?;
    let mut rows = page.items.rows;
    let kind = kind_of(relation);
    rows.retain(|item| kind == Some(item.kind()));
    Ok((documents(rows, uri.instance()), page.next))
}

/// The documents of items that a provider answered; bad ones are left out.
pub(super) fn documents(items: Vec<zotify_plugin_api::Item>, instance: &str) -> Part {
    let mut docs = Vec::with_capacity(items.len());
    for mut item in items {
        if let Err(why) = clean::clean(&mut item, instance) {
            tracing::warn!(instance, item = why.name, code = why.code, "dropped an item of the plugin: {}", why.detail);
            continue;
        }
        docs.extend(Item::from_contract(item).and_then(|item| serde_json::to_string(&item).ok()));
    }
    Part { count: i64::try_from(docs.len()).unwrap_or(0), json: docs.join(","), last: None }
}

fn answer(
    part: Part,
    list: &str,
    next: Option<After>,
    paging: &Paging,
    providers: BTreeMap<String, ProviderPart>,
) -> RawPage {
    let next_cursor = next.and_then(|next| cursor(list, &next));
    raw::page(&part, Meta { limit: paging.limit(), next_cursor, total: None, providers: Some(providers) })
}
