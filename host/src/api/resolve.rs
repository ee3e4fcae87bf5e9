//! `/api/resolve`: what addresses and codes name.

use axum::extract::State;
use garde::Validate;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;
use zotify_plugin_api::{Item, Resolve, ResolveBy, Resolved, Uri, capability, method};

use super::{
    extract::{Json, Valid},
    model,
    raw::raw,
};
use crate::{
    App, AppState,
    accounts::Account,
    auth::Principal,
    db::items::{self, Code, Stored},
    error::{ApiError, ApiResult, FieldError},
    library::{MAX_UPSTREAM, deferred},
    mirror::{Scope, clean, lookup},
    providers::State as ProviderState,
    routing::call,
};

/// Questions that one request may ask.
const MAX_QUERIES: usize = 50;

/// What to find: 50 addresses and codes at most.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"urls": ["https://music.example.org/track/1"], "isrc": ["GBAYK9700123"]}))]
pub struct ResolveRequest {
    /// Item URIs, also as services write them.
    #[serde(default)]
    #[garde(skip)]
    uris: Vec<String>,
    /// Web addresses.
    #[serde(default)]
    #[garde(skip)]
    urls: Vec<String>,
    /// International Standard Recording Codes.
    #[serde(default)]
    #[garde(skip)]
    isrc: Vec<String>,
    /// MusicBrainz recording ids.
    #[serde(default)]
    #[garde(skip)]
    mbid: Vec<String>,
}

/// One question.
#[derive(Clone, Debug)]
enum Asked {
    Uri(String),
    Url(String),
    Isrc(String),
    Mbid(String),
}

/// Makes a question of a text; none where it is no such address or code.
type Read = fn(&str) -> Option<Asked>;

impl ResolveRequest {
    fn queries(&self) -> ApiResult<Vec<Asked>> {
        let mut queries = Vec::new();
        let mut errors = Vec::new();
        let lists: [(&str, &Vec<String>, Read); 4] = [
            ("uris", &self.uris, |text| Some(Asked::Uri(text.to_owned()))),
            ("urls", &self.urls, |text| web_address(text).map(Asked::Url)),
            ("isrc", &self.isrc, |text| clean::isrc_of(text).map(Asked::Isrc)),
            ("mbid", &self.mbid, |text| clean::mbid_of(text).map(Asked::Mbid)),
        ];
        for (name, list, read) in lists {
            for (n, text) in list.iter().enumerate() {
                let fits = !text.trim().is_empty() && text.len() <= 2000 && !text.chars().any(char::is_control);
                match Some(text).filter(|_| fits).and_then(|text| read(text.trim())) {
                    Some(query) => queries.push(query),
                    None => errors.push(FieldError {
                        field: format!("{name}[{n}]"),
                        code: "invalid".into(),
                        detail: "this is no such address or code, or it is longer than 2000 bytes".into(),
                    }),
                }
            }
        }
        if queries.is_empty() && errors.is_empty() || queries.len() + errors.len() > MAX_QUERIES {
            let detail = format!("send 1 to {MAX_QUERIES} addresses and codes in all");
            errors = vec![FieldError { field: "uris".into(), code: "invalid".into(), detail }];
        }
        if errors.is_empty() { Ok(queries) } else { Err(ApiError::invalid(errors)) }
    }
}

fn web_address(text: &str) -> Option<String> {
    let url = url::Url::parse(text).ok()?;
    (matches!(url.scheme(), "http" | "https") && url.has_host()).then(|| text.to_owned())
}

/// What was found, in the order of the request: `uris`, `urls`, `isrc`, `mbid`.
#[derive(Debug, Serialize, ToSchema)]
pub struct ResolvedAll {
    /// One for each question.
    data: Vec<ResolvedOne>,
}

/// What one address or code names.
#[derive(Debug, Serialize, ToSchema)]
pub struct ResolvedOne {
    /// As it was asked for.
    query: String,
    /// What it names, the best first.
    matches: Vec<Match>,
    /// Providers that could not answer, and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<ResolveError>,
}

/// An item that an address or code names.
#[derive(Debug, Serialize, ToSchema)]
pub struct Match {
    /// Its URI.
    uri: String,
    /// The item; null where the provider knows the address, but could not be asked for the item.
    #[schema(value_type = Option<model::Item>)]
    item: Option<Box<RawValue>>,
    /// How sure that is, from 0 to 1.
    #[schema(minimum = 0, maximum = 1)]
    score: f64,
    /// Why: `uri`, `url`, `isrc`, `mbid`; with `library` where the host knew it without asking.
    evidence: Vec<&'static str>,
    /// The provider that has it.
    provider: String,
    /// The account by which it was found.
    account: String,
}

/// Why a provider could not answer.
#[derive(Debug, Serialize, ToSchema)]
pub struct ResolveError {
    /// The provider; empty where it concerns none.
    provider: String,
    /// The stable code; `budget_deferred` for what would take more questions to providers than one request may ask.
    code: String,
    /// The provider's own code, where it named one.
    #[serde(skip_serializing_if = "Option::is_none")]
    provider_code: Option<String>,
    /// One sentence for people.
    detail: String,
}

impl ResolveError {
    fn new(provider: &str, error: &ApiError) -> Self {
        Self {
            provider: provider.to_owned(),
            code: error.code().to_owned(),
            provider_code: error.provider_code().map(str::to_owned),
            detail: error.detail().to_owned(),
        }
    }
}

/// Finds what URIs, web addresses, ISRCs and MusicBrainz ids name, at every provider of the caller. The host looks into its
/// own tables first, and asks providers ten questions at most.
///
/// # Errors
/// 422 `validation_failed`. A provider that fails stands in the answer; the others still answer.
#[utoipa::path(
    post, path = "/api/resolve", operation_id = "resolve", tag = "Catalogue", request_body = ResolveRequest,
    responses((status = 200, description = "What each of them names.", body = ResolvedAll)),
    security(("bearer" = ["catalog:read"]), ("api_key" = ["catalog:read"]))
)]
pub async fn resolve(
    State(app): State<AppState>,
    principal: Principal,
    Valid(request): Valid<ResolveRequest>,
) -> ApiResult<Json<ResolvedAll>> {
    principal.require("catalog:read")?;
    let queries = request.queries()?;
    let scope = Scope::of(&app, &principal).await?;
    let mut left = MAX_UPSTREAM;
    let mut data = Vec::with_capacity(queries.len());
    for query in queries {
        let mut search = Lookup { app: &app, scope: &scope, left: &mut left, matches: Vec::new(), errors: Vec::new() };
        let query = match query {
            Asked::Uri(text) => search.uri(text).await?,
            Asked::Url(text) => search.text(text, "url").await?,
            Asked::Isrc(isrc) => search.code(isrc.clone(), Code::Isrc(&isrc), "isrc").await?,
            Asked::Mbid(mbid) => search.code(mbid.clone(), Code::Mbid(&mbid), "mbid").await?,
        };
        let (matches, errors) = (search.matches, search.errors);
        data.push(ResolvedOne { query, matches, errors });
    }
    Ok(Json(ResolvedAll { data }))
}

/// The answer to one question in the making.
struct Lookup<'a> {
    app: &'a App,
    scope: &'a Scope,
    left: &'a mut usize,
    matches: Vec<Match>,
    errors: Vec<ResolveError>,
}

impl Lookup<'_> {
    /// A URI of a provider of ours answers itself; another one may be what a service writes.
    async fn uri(&mut self, text: String) -> ApiResult<String> {
        let Ok(uri) = text.parse::<Uri>() else { return self.text(text, "uri").await };
        let accounts = self.scope.at(uri.instance());
        if accounts.is_empty() {
            return self.text(text, "uri").await;
        }
        if let Some(stored) = items::find(self.app.db.read(), &accounts, uri.as_str()).await? {
            self.held(stored, vec!["uri", "library"])?;
            return Ok(text);
        }
        if *self.left == 0 {
            self.errors.push(ResolveError::new(uri.instance(), &deferred()));
            return Ok(text);
        }
        *self.left -= 1;
        match lookup::fetch(self.app, self.scope, &uri).await {
            Ok((account, item)) => self.found(&account, item, "uri")?,
            Err(error) => self.errors.push(ResolveError::new(uri.instance(), &error)),
        }
        Ok(text)
    }

    async fn text(&mut self, text: String, evidence: &'static str) -> ApiResult<String> {
        self.ask(&ResolveBy::Text { text: text.clone() }, evidence).await?;
        Ok(text)
    }

    async fn code(&mut self, text: String, code: Code<'_>, evidence: &'static str) -> ApiResult<String> {
        for stored in items::by_code(self.app.db.read(), &self.scope.ids(), code).await? {
            self.held(stored, vec![evidence, "library"])?;
        }
        let by = match code {
            Code::Isrc(isrc) => ResolveBy::Isrc { isrc: isrc.to_owned() },
            Code::Mbid(mbid) => ResolveBy::Mbid { mbid: mbid.to_owned() },
        };
        self.ask(&by, evidence).await?;
        Ok(text)
    }

    /// Asks each provider that can tell and has not been found in the library yet.
    async fn ask(&mut self, by: &ResolveBy, evidence: &'static str) -> ApiResult<()> {
        for account in resolvers(self.app, self.scope) {
            if self.matches.iter().any(|found| found.provider == account.instance) {
                continue;
            }
            if *self.left == 0 {
                self.errors.push(ResolveError::new(&account.instance, &deferred()));
                continue;
            }
            *self.left -= 1;
            match ask(self.app, account, by).await {
                Ok(Resolved { items, uri }) => {
                    for item in items.rows {
                        self.found(&account.id, item, evidence)?;
                    }
                    let own = uri.filter(|uri| uri.instance() == account.instance);
                    if let Some(uri) = own.filter(|uri| !self.has(uri.as_str())) {
                        self.push(&account.id, &uri, None, 0.9, vec![evidence]);
                    }
                }
                Err(error) => self.errors.push(ResolveError::new(&account.instance, &error)),
            }
        }
        Ok(())
    }

    fn has(&self, uri: &str) -> bool {
        self.matches.iter().any(|found| found.uri == uri)
    }

    fn held(&mut self, stored: Stored, evidence: Vec<&'static str>) -> ApiResult<()> {
        let Ok(uri) = stored.uri.parse::<Uri>() else { return Ok(()) };
        if !self.has(uri.as_str()) {
            let doc = raw(stored.doc)?;
            self.push(&stored.account_id, &uri, Some(doc), 1.0, evidence);
        }
        Ok(())
    }

    fn found(&mut self, account: &str, mut item: Item, evidence: &'static str) -> ApiResult<()> {
        let instance = self.scope.account(account).map(|account| account.instance.clone()).unwrap_or_default();
        if let Err(why) = clean::clean(&mut item, &instance) {
            tracing::warn!(instance, item = why.name, "the plugin found a bad item: {}", why.detail);
            return Ok(());
        }
        let uri = item.uri().clone();
        let Some(doc) = model::Item::from_contract(item).filter(|_| !self.has(uri.as_str())) else { return Ok(()) };
        let doc = raw(serde_json::to_string(&doc).map_err(ApiError::internal)?)?;
        self.push(account, &uri, Some(doc), 1.0, vec![evidence]);
        Ok(())
    }

    fn push(&mut self, account: &str, uri: &Uri, item: Option<Box<RawValue>>, score: f64, evidence: Vec<&'static str>) {
        let (account, provider) = (account.to_owned(), uri.instance().to_owned());
        self.matches.push(Match { uri: uri.to_string(), item, score, evidence, provider, account });
    }
}

async fn ask(app: &App, account: &Account, by: &ResolveBy) -> ApiResult<Resolved> {
    let handle = crate::routing::handle(app, account)?;
    Ok(call::<method::ResolveItems>(&handle, account, Resolve { by: by.clone() }).await?)
}

/// One account at each provider that finds things by address or code.
fn resolvers<'a>(app: &App, scope: &'a Scope) -> Vec<&'a Account> {
    let mut found: Vec<&Account> = Vec::new();
    for account in scope.accounts() {
        let able = app
            .providers
            .get(&account.instance)
            .is_some_and(|handle| handle.state() == ProviderState::Started && handle.has(capability::CATALOG_RESOLVE));
        if able && !found.iter().any(|known| known.instance == account.instance) {
            found.push(account);
        }
    }
    found
}

/// The item URI that a text stands for: itself, or what a provider makes of a web address. Asks as long as `left` allows.
///
/// # Errors
/// 400 `invalid_uri`, 404 `item_not_found`, 422 `budget_deferred`, or why a provider could not answer.
pub async fn address(app: &App, scope: &Scope, text: &str, left: &mut usize) -> ApiResult<Uri> {
    let own = text.parse::<Uri>();
    if let Ok(uri) = &own
        && (!scope.at(uri.instance()).is_empty() || resolvers(app, scope).is_empty())
    {
        return Ok(uri.clone());
    }
    if own.is_err() && web_address(text).is_none() && !text.contains(':') {
        return super::extract::parse_uri(text);
    }
    let mut failed = None;
    for account in resolvers(app, scope) {
        if *left == 0 {
            return Err(deferred());
        }
        *left -= 1;
        match ask(app, account, &ResolveBy::Text { text: text.to_owned() }).await {
            Ok(Resolved { items, uri }) => {
                let first = items.rows.first().map(|item| item.uri().clone()).or(uri);
                if let Some(uri) = first.filter(|uri| uri.instance() == account.instance) {
                    return Ok(uri);
                }
            }
            Err(error) => failed = Some(error),
        }
    }
    match (failed, own) {
        (Some(error), _) => Err(error),
        (None, Ok(uri)) => Ok(uri),
        (None, Err(_)) => Err(ApiError::not_found("item_not_found", "no provider of yours knows this address")),
    }
}
