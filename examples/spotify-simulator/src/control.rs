//! `/_control`: rules, changes and the log of requests, for scripts. The README describes it.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{Query, State as Shared},
    http::StatusCode,
    routing::{get, post},
};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{change::Change, rules::Rule, server::Service};

type Refusal = (StatusCode, String);

pub(crate) fn router() -> Router<Arc<Service>> {
    Router::new()
        .route("/_control/rules", get(rules).post(add_rules).delete(clear_rules))
        .route("/_control/changes", post(change))
        .route("/_control/requests", get(requests).delete(forget))
        .route("/_control/users", get(users))
}

/// One, or several.
#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany<T> {
    One(T),
    Many(Vec<T>),
}

impl<T> OneOrMany<T> {
    fn all(self) -> Vec<T> {
        match self {
            Self::One(one) => vec![one],
            Self::Many(many) => many,
        }
    }
}

async fn rules(Shared(service): Shared<Arc<Service>>) -> Json<Value> {
    let state = service.state();
    let rules = state.rules.iter().map(|armed| json!({"rule": armed.rule, "seen": armed.seen, "hits": armed.hits}));
    Json(json!({"data": rules.collect::<Vec<_>>()}))
}

async fn add_rules(Shared(service): Shared<Arc<Service>>, body: Json<OneOrMany<Rule>>) -> Result<StatusCode, Refusal> {
    for rule in body.0.all() {
        service.rule(rule).map_err(|error| (StatusCode::BAD_REQUEST, error))?;
    }
    Ok(StatusCode::CREATED)
}

async fn clear_rules(Shared(service): Shared<Arc<Service>>) -> StatusCode {
    service.state().rules.clear();
    StatusCode::NO_CONTENT
}

async fn change(Shared(service): Shared<Arc<Service>>, body: Json<OneOrMany<Change>>) -> Result<StatusCode, Refusal> {
    for change in body.0.all() {
        let done = crate::change::apply(&mut service.state(), &change);
        done.map_err(|error| (StatusCode::BAD_REQUEST, error))?;
    }
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize)]
struct Since {
    #[serde(default)]
    since: u64,
}

async fn requests(Shared(service): Shared<Arc<Service>>, Query(Since { since }): Query<Since>) -> Json<Value> {
    let state = service.state();
    let entries: Vec<_> = state.journal.entries.iter().filter(|entry| entry.n > since).collect();
    Json(json!({
        "counts": state.journal.counts,
        "total": state.journal.counts.values().sum::<u64>(),
        "deprecated": entries.iter().filter(|entry| entry.deprecated).count(),
        "requests": entries,
    }))
}

async fn forget(Shared(service): Shared<Arc<Service>>) -> StatusCode {
    service.state().journal.clear();
    StatusCode::NO_CONTENT
}

async fn users(Shared(service): Shared<Arc<Service>>) -> Json<Value> {
    let state = service.state();
    let user = |user: &crate::state::User| {
        let saved: serde_json::Map<_, _> =
            user.saved.iter().map(|(kind, rows)| ((*kind).to_owned(), json!(rows.len()))).collect();
        json!({"id": user.id, "account_id": user.account_id, "name": user.name, "saved": saved, "playlists": user.playlists})
    };
    let users: Vec<_> = state.users.iter().take(state.options.users).map(user).collect();
    Json(json!({"data": users}))
}
