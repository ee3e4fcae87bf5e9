//! Searching the services' own catalogues, all at once. One that fails takes nothing from the others.

use std::collections::BTreeMap;

use futures::future::join_all;
use serde::{Deserialize, Serialize};
use zotify_plugin_api::{Kind, PageRequest, ProviderError, Search, capability, method};

use super::names;
use crate::{
    App,
    accounts::Account,
    api::{
        children::documents,
        page::{Meta, Paging, ProviderPart, RawPage, cursor, open, seal},
        raw,
    },
    cache::{Catalogue, Searched},
    db::items::{self, Hit, Part, Wanted},
    error::{ApiError, ApiResult},
    mirror::{Scope, fold, lookup},
    providers::{Lane, State},
};

/// Where each provider goes on; one that is not named has no more.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct After {
    providers: BTreeMap<String, String>,
    mirror: Option<Hit>,
}

/// What one provider answered.
struct Answer {
    instance: String,
    part: Part,
    next: Option<String>,
    state: ProviderPart,
}

pub(super) async fn search(
    app: &App,
    scope: &Scope,
    text: &str,
    kinds: &[Kind],
    paging: &Paging,
) -> ApiResult<RawPage> {
    let list = format!("catalog:{}:{}", names(kinds).join(","), fold::key(text));
    let after: Option<After> = paging.after(&list)?;
    let mut states = scope.freshness(app);
    let (asked, held) = split(app, scope);
    let asked: Vec<&Account> = asked.into_iter().filter(|a| goes_on(after.as_ref(), &a.instance)).collect();
    let share = share(paging.limit(), asked.len() + usize::from(!held.accounts().is_empty()));
    let mut asking = Vec::with_capacity(asked.len());
    for account in asked {
        let sealed = after.as_ref().and_then(|after| after.providers.get(&account.instance));
        let cursor = sealed.map(|sealed| open(app, &account.id, &list, sealed)).transpose()?;
        let kinds = if kinds.len() == Kind::ALL.len() { Vec::new() } else { kinds.to_vec() };
        let request = Search { query: text.to_owned(), kinds, page: PageRequest { cursor, limit: share } };
        asking.push(ask(app, account, &list, request));
    }
    let answers = join_all(asking).await;

    let mut next = After::default();
    let mut parts = Vec::new();
    for answer in answers {
        states.insert(answer.instance.clone(), answer.state);
        next.providers.extend(answer.next.map(|at| (answer.instance, at)));
        parts.push(answer.part);
    }
    if after.as_ref().is_none_or(|after| after.mirror.is_some()) {
        let wanted = Wanted { text, kinds: &names(kinds) };
        let hit = after.and_then(|after| after.mirror);
        let (part, last) = items::search(&app.db, &held.sources(), &wanted, hit, i64::from(share)).await?;
        next.mirror = last;
        parts.push(part);
    }
    let more = !next.providers.is_empty() || next.mirror.is_some();
    let next_cursor = more.then(|| cursor(&list, &next)).flatten();
    let meta = Meta { limit: paging.limit(), next_cursor, total: None, providers: Some(states) };
    Ok(raw::page(&joined(parts), meta))
}

/// One account for each provider that searches, and those whose library stands in for a catalogue.
fn split<'a>(app: &App, scope: &'a Scope) -> (Vec<&'a Account>, Scope) {
    let searches = |instance: &str| {
        app.providers
            .get(instance)
            .is_some_and(|handle| handle.state() == State::Started && handle.has(capability::CATALOG_SEARCH))
    };
    let mut asked: Vec<&Account> = Vec::new();
    for account in scope.accounts().iter().filter(|account| searches(&account.instance)) {
        if !asked.iter().any(|known| known.instance == account.instance) {
            asked.push(account);
        }
    }
    (asked, scope.without(|account| searches(&account.instance)))
}

fn goes_on(after: Option<&After>, instance: &str) -> bool {
    after.is_none_or(|after| after.providers.contains_key(instance))
}

fn share(limit: i64, among: usize) -> u32 {
    let among = i64::try_from(among.max(1)).unwrap_or(1);
    u32::try_from((limit + among - 1) / among).unwrap_or(1).max(1)
}

async fn ask(app: &App, account: &Account, list: &str, request: Search) -> Answer {
    let instance = account.instance.clone();
    let handle = app.providers.get(&instance);
    let asks = handle.as_deref().and_then(|handle| lookup::account_of(handle, &account.id));
    // What the words mean is the service's to say, so they are told apart as they were typed.
    let question = serde_json::to_string(&request).unwrap_or_default();
    let key = Catalogue::key(&account.id, &format!("{instance} {question} {}", asks.is_some()));
    let searched = app.catalogue.searches.get(&key, fetch(app, &instance, asks, request)).await;
    match searched.and_then(|found| Ok((seal(app, &account.id, list, found.next.clone())?, found))) {
        Ok((next, found)) => {
            let state = ProviderPart::ok();
            let part = Part { json: found.json.to_string(), count: found.count, last: None };
            Answer { part, next, instance, state }
        }
        Err(error) => {
            let state = ProviderPart::ok().failed("failed", &ApiError::from(error));
            Answer { part: Part::default(), next: None, instance, state }
        }
    }
}

async fn fetch(app: &App, instance: &str, account: Option<&str>, request: Search) -> Result<Searched, ProviderError> {
    let kinds = request.kinds.clone();
    let page = app.providers.call::<method::SearchCatalog>(instance, account, Lane::Interactive, request).await?;
    let mut rows = page.items.rows;
    rows.retain(|item| kinds.is_empty() || kinds.contains(&item.kind()));
    let Part { json, count, .. } = documents(rows, instance);
    Ok(Searched { json: json.into(), count, next: page.next })
}

fn joined(parts: Vec<Part>) -> Part {
    let count = parts.iter().map(|part| part.count).sum();
    let json: Vec<String> = parts.into_iter().map(|part| part.json).filter(|json| !json.is_empty()).collect();
    Part { json: json.join(","), count, last: None }
}
