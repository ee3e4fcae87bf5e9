//! Which accounts a request sees, and how fresh they are.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    App,
    accounts::{self, Account},
    api::{self, page::ProviderPart},
    auth::Principal,
    db::items::Source,
    error::{ApiError, ApiResult},
    preferences,
    providers::State,
};

/// The accounts that a request sees: first those that the caller prefers, then the caller's own, then the shared ones.
#[derive(Clone, Debug)]
pub struct Scope {
    accounts: Vec<Account>,
    /// Ids of the accounts that are meant where several at their instance could be.
    preferred: Vec<String>,
}

impl Scope {
    /// All that the caller sees.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn of(app: &App, principal: &Principal) -> ApiResult<Self> {
        let user = &principal.user_id;
        let ask = async { Self::read(app, user).await.map(|scope| Some(Arc::new(scope))) };
        let found: Option<Arc<Self>> = app.recent_accounts.get::<sqlx::Error>(user, ask).await?;
        let scope = found.map(Arc::unwrap_or_clone);
        Ok(scope.unwrap_or(Self { accounts: Vec::new(), preferred: Vec::new() }))
    }

    async fn read(app: &App, user: &str) -> sqlx::Result<Self> {
        let mut accounts = accounts::visible(&app.db, user).await?;
        let preferred: Vec<String> = preferences::of(&app.db, user).await?.default_accounts.into_values().collect();
        accounts.sort_by_cached_key(|a| (!preferred.contains(&a.id), a.owner.is_none(), a.id.clone()));
        Ok(Self { accounts, preferred })
    }

    /// Whether an account is meant where several at its instance could be.
    pub fn prefers(&self, account: &Account) -> bool {
        self.preferred.contains(&account.id)
    }

    /// One account.
    pub fn of_account(account: Account) -> Self {
        Self { accounts: vec![account], preferred: Vec::new() }
    }

    /// Only what the query asks for: some providers (separated by commas), or one account.
    ///
    /// # Errors
    /// 400 `invalid_query` for a provider at which the caller has no account; 404 `account_not_found`.
    pub fn narrowed(mut self, providers: Option<&str>, account: Option<&str>) -> ApiResult<Self> {
        if let Some(id) = account {
            self.accounts.retain(|a| a.id == id);
            if self.accounts.is_empty() {
                return Err(accounts::not_found());
            }
        }
        let wanted: Vec<&str> =
            providers.unwrap_or_default().split(',').map(str::trim).filter(|id| !id.is_empty()).collect();
        if wanted.is_empty() {
            return Ok(self);
        }
        if let Some(unknown) = wanted.iter().find(|id| !self.accounts.iter().any(|a| a.instance == **id)) {
            let detail = format!("providers: you have no account at {unknown:.64}");
            return Err(ApiError::bad_request("invalid_query", detail));
        }
        self.accounts.retain(|a| wanted.contains(&a.instance.as_str()));
        Ok(self)
    }

    /// Only the accounts at one instance.
    #[must_use]
    pub fn narrowed_to(mut self, instance: &str) -> Self {
        self.accounts.retain(|a| a.instance == instance);
        self
    }

    /// All but some accounts.
    #[must_use]
    pub fn without(&self, left_out: impl Fn(&Account) -> bool) -> Self {
        let accounts = self.accounts.iter().filter(|account| !left_out(account)).cloned().collect();
        Self { accounts, preferred: self.preferred.clone() }
    }

    /// The accounts.
    pub fn accounts(&self) -> &[Account] {
        &self.accounts
    }

    /// Their ids.
    pub fn ids(&self) -> Vec<String> {
        self.accounts.iter().map(|a| a.id.clone()).collect()
    }

    /// The ids of those at one instance.
    pub fn at(&self, instance: &str) -> Vec<String> {
        self.accounts.iter().filter(|a| a.instance == instance).map(|a| a.id.clone()).collect()
    }

    /// One of them.
    pub fn account(&self, id: &str) -> Option<&Account> {
        self.accounts.iter().find(|a| a.id == id)
    }

    /// The accounts as sources of a list, in which no item stands twice.
    pub fn sources(&self) -> Vec<Source> {
        let before = |n: usize, instance: &str| {
            self.accounts[..n].iter().filter(|a| a.instance == instance).map(|a| a.id.clone()).collect()
        };
        let source = |(n, a): (usize, &Account)| Source { account: a.id.clone(), before: before(n, &a.instance) };
        self.accounts.iter().enumerate().map(source).collect()
    }

    /// How fresh each provider's part of an answer from the mirror is.
    pub fn freshness(&self, app: &App) -> BTreeMap<String, ProviderPart> {
        self.accounts.iter().map(|account| (account.instance.clone(), freshness(app, account))).collect()
    }
}

/// How fresh the mirror of an account is.
fn freshness(app: &App, account: &Account) -> ProviderPart {
    let state = app.providers.get(&account.instance).map(|handle| handle.state());
    let (code, detail) = match state {
        Some(State::Started) if account.completeness.as_deref() == Some("partial") => {
            (Some("partial"), Some("the last look at this library did not see all of it; see /api/sync/runs"))
        }
        Some(State::Started) => (None, None),
        Some(State::Loading) => (Some("provider_starting"), Some("the provider has not started yet")),
        Some(_) => (Some("provider_unavailable"), Some("the provider is down; see /api/providers")),
        None => (Some("provider_removed"), Some("the provider is not configured any more")),
    };
    ProviderPart {
        state: if state == Some(State::Started) { "ok" } else { "stale" }.to_owned(),
        code: code.map(str::to_owned),
        provider_code: None,
        detail: detail.map(str::to_owned),
        as_of: account.last_complete_at.map(api::rfc3339),
    }
}
