//! `PATCH /api/library`.

use std::collections::{HashMap, HashSet};

use axum::extract::State;
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use zotify_plugin_api::Uri;

use crate::{
    AppState,
    api::{
        extract::{Json, Query, Valid},
        resolve,
    },
    auth::Principal,
    error::{ApiError, ApiResult},
    library::{Change, MAX_UPSTREAM, Outcome, Plan},
    mirror::Scope,
    routing,
};

/// Items that one request may name.
const MAX_ITEMS: usize = 500;

/// By which account something is changed.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct AccountQuery {
    /// The account's id; without it the one that holds what is changed, else the only one at the provider.
    pub account: Option<String>,
}

/// What to save, and what not to save any more: 500 items at most.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LibraryChange {
    /// URIs, or web addresses where a provider knows them. They are saved in this order, the oldest first.
    #[serde(default)]
    #[garde(length(max = 500), inner(length(bytes, min = 1, max = 2000)))]
    #[schema(max_items = 500)]
    add: Vec<String>,
    /// URIs, or web addresses where a provider knows them.
    #[serde(default)]
    #[garde(length(max = 500), inner(length(bytes, min = 1, max = 2000)))]
    #[schema(max_items = 500)]
    remove: Vec<String>,
}

impl LibraryChange {
    fn check(&self) -> ApiResult<()> {
        if self.add.len() + self.remove.len() > MAX_ITEMS {
            let detail = format!("add and remove together may have at most {MAX_ITEMS} items");
            return Err(ApiError::invalid_field("add", detail));
        }
        let added: HashSet<&String> = self.add.iter().collect();
        match self.remove.iter().position(|text| added.contains(text)) {
            Some(n) => Err(ApiError::invalid_field(format!("remove[{n}]"), "it stands in add, too")),
            None => Ok(()),
        }
    }
}

/// What became of a change of the library.
#[derive(Debug, Serialize, ToSchema)]
pub struct LibraryChanged {
    /// One for each item: those of `add` first, then those of `remove`, in the order of the request.
    data: Vec<ChangedItem>,
}

/// How the change of one item went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ChangeStatus {
    /// It was saved.
    Added,
    /// It is not saved any more.
    Removed,
    /// It was so already.
    Unchanged,
    /// It was not done; see `code`.
    Failed,
}

/// What became of one item.
#[derive(Debug, Serialize, ToSchema)]
pub struct ChangedItem {
    /// Its URI; what was sent, where that names nothing.
    uri: String,
    /// How it went.
    status: ChangeStatus,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "unsupported")]
    code: Option<String>,
    /// The provider's own code, where it named one.
    #[serde(skip_serializing_if = "Option::is_none")]
    provider_code: Option<String>,
    /// One sentence for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

impl ChangedItem {
    fn new(uri: String, change: Change, outcome: &Outcome) -> Self {
        let status = match (outcome, change) {
            (Ok(true), _) => ChangeStatus::Unchanged,
            (Ok(false), Change::Add) => ChangeStatus::Added,
            (Ok(false), Change::Remove) => ChangeStatus::Removed,
            (Err(_), _) => ChangeStatus::Failed,
        };
        let error = outcome.as_ref().err();
        Self {
            uri,
            status,
            code: error.map(|error| error.code().to_owned()),
            provider_code: error.and_then(|error| error.provider_code().map(str::to_owned)),
            detail: error.map(|error| error.detail().to_owned()),
        }
    }
}

/// Saves items at their providers, and takes items out of what is saved there. Ten questions to providers at most; what
/// would take more fails with `budget_deferred`.
///
/// # Errors
/// 422 `validation_failed`, and those of the account that is named. Why a single item failed stands in its result.
#[utoipa::path(
    patch, path = "/api/library", operation_id = "edit_library", tag = "Library", params(AccountQuery),
    request_body = LibraryChange,
    responses((status = 200, description = "A result for each item.", body = LibraryChanged)),
    security(("bearer" = ["library:write"]), ("api_key" = ["library:write"]))
)]
pub async fn edit_library(
    State(app): State<AppState>,
    principal: Principal,
    Query(query): Query<AccountQuery>,
    Valid(request): Valid<LibraryChange>,
) -> ApiResult<Json<LibraryChanged>> {
    principal.require("library:write")?;
    request.check()?;
    let scope = Scope::of(&app, &principal).await?;
    let mut left = MAX_UPSTREAM;
    let texts = request.add.iter().map(|text| (Change::Add, text));
    let texts: Vec<_> = texts.chain(request.remove.iter().map(|text| (Change::Remove, text))).collect();
    let mut named: Vec<(Change, &String, ApiResult<Uri>)> = Vec::with_capacity(texts.len());
    for (change, text) in texts {
        named.push((change, text, resolve::address(&app, &scope, text, &mut left).await));
    }
    let mut changes: HashMap<Uri, Change> = HashMap::new();
    let mut ordered = Vec::with_capacity(named.len());
    for (change, _, uri) in &mut named {
        let Ok(found) = uri else { continue };
        match changes.insert(found.clone(), *change) {
            None => ordered.push((*change, found.clone())),
            Some(before) if before == *change => {}
            Some(before) => {
                changes.insert(found.clone(), before);
                let detail = format!("{found} stands in add and in remove");
                *uri = Err(ApiError::unprocessable("contradiction", detail));
            }
        }
    }
    let plan = Plan::new(&app, &principal, &scope, ordered, query.account.as_deref()).await?;
    let outcomes = routing::detached(&app, plan.run(app.clone(), left)).await?;
    let result = |(change, text, uri): (Change, &String, ApiResult<Uri>)| match uri {
        Ok(uri) => match outcomes.get(&uri) {
            Some(outcome) => ChangedItem::new(uri.to_string(), change, outcome),
            None => ChangedItem::new(uri.to_string(), change, &Err(ApiError::internal("an item has no outcome"))),
        },
        Err(error) => ChangedItem::new(text.clone(), change, &Err(error)),
    };
    Ok(Json(LibraryChanged { data: named.into_iter().map(result).collect() }))
}
