//! `/api/search`: the libraries by words, or the services' own catalogues.

mod catalog;

use axum::extract::State;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use zotify_plugin_api::Kind;

use super::{
    extract::Query,
    model::Item,
    page::{Meta, Page, Paging, RawPage, cursor},
    raw,
};
use crate::{
    AppState,
    auth::Principal,
    db::items::{self, Hit, Wanted},
    error::{ApiError, ApiResult},
    mirror::{Scope, fold},
};

/// The longest query, in bytes.
const MAX_QUERY: usize = 500;

/// Where a search looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(default = "library")]
pub enum Where {
    /// In the libraries, as the host holds them.
    #[default]
    Library,
    /// In everything that the services offer; what has no search of its own is searched in its library.
    Catalog,
}

/// What to search for.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct SearchQuery {
    /// Words; each must start a word of title, artists or album. Case and accents make no difference.
    #[param(min_length = 1, max_length = 500, example = "nina simone")]
    q: String,
    /// Only these kinds, separated by commas: `track`, `album`, `artist`, `playlist`, `show`, `episode`.
    kinds: Option<String>,
    /// Only these providers, separated by commas.
    providers: Option<String>,
    /// Only this account.
    account: Option<String>,
    /// Where to look; `library` without it.
    #[serde(default)]
    #[param(inline)]
    scope: Where,
}

/// Searches the libraries, or with `scope=catalog` the services' catalogues. Titles that start with the query come first.
///
/// # Errors
/// 400 `invalid_query` or `invalid_cursor`. A provider that fails is named in `meta.providers`; the others still answer.
#[utoipa::path(
    get, path = "/api/search", operation_id = "search", tag = "Catalogue", params(SearchQuery, Paging),
    responses((status = 200, description = "A page of items of all wanted kinds.", body = Page<Item>)),
    security(("bearer" = ["catalog:read"]), ("api_key" = ["catalog:read"]))
)]
pub async fn search(
    State(app): State<AppState>,
    principal: Principal,
    Query(query): Query<SearchQuery>,
    paging: Paging,
) -> ApiResult<RawPage> {
    principal.require("catalog:read")?;
    let text = query.q.trim();
    if text.is_empty() || text.len() > MAX_QUERY {
        return Err(ApiError::bad_request("invalid_query", format!("q must have 1 to {MAX_QUERY} bytes")));
    }
    let kinds = kinds(query.kinds.as_deref())?;
    let scope = Scope::of(&app, &principal).await?.narrowed(query.providers.as_deref(), query.account.as_deref())?;
    if query.scope == Where::Catalog {
        return catalog::search(&app, &scope, text, &kinds, &paging).await;
    }
    let list = format!("search:{}:{}", names(&kinds).join(","), fold::key(text));
    let after: Option<Hit> = paging.after(&list)?;
    let wanted = Wanted { text, kinds: &names(&kinds) };
    let (part, last) = items::search(&app.db, &scope.sources(), &wanted, after, paging.limit()).await?;
    let next_cursor = last.and_then(|last| cursor(&list, &last));
    let meta = Meta { limit: paging.limit(), next_cursor, total: None, providers: Some(scope.freshness(&app)) };
    Ok(raw::page(&part, meta))
}

/// Reads a list of kinds; all where there is none.
fn kinds(text: Option<&str>) -> ApiResult<Vec<Kind>> {
    let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(Kind::ALL.to_vec()) };
    let mut kinds = Vec::new();
    for word in text.split(',') {
        let kind: Kind = word.trim().parse().map_err(|_| {
            let known = Kind::ALL.map(Kind::as_str).join(", ");
            ApiError::bad_request("invalid_query", format!("kinds: {word:.32} is none of {known}"))
        })?;
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    Ok(kinds)
}

fn names(kinds: &[Kind]) -> Vec<&'static str> {
    kinds.iter().map(|kind| kind.as_str()).collect()
}
