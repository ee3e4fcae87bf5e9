//! What the API says of budgets.

use std::collections::HashMap;

use serde::Serialize;
use utoipa::ToSchema;

use super::{
    Limits,
    count::{DAY_HOURS, Day, HOUR_MS, Window, hour},
};
use crate::{
    App,
    api::rfc3339,
    db::{
        budgets::{self, OfAccount, Use},
        clock,
    },
    providers::InstanceHandle,
};

/// How much of what a service allows is used up. Others may share it.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Budget)]
pub struct BudgetReport {
    /// The short window; null where it has no limit.
    pub window: Option<WindowReport>,
    /// The last 24 hours; null where they have no limit.
    pub daily: Option<DailyReport>,
    /// The service is not asked before, RFC 3339 UTC; null where it is asked.
    pub blocked_until: Option<String>,
    /// Why: `cooldown` or `quota_exceeded`.
    pub blocked_code: Option<String>,
}

/// Requests in a short window that slides.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = BudgetWindow)]
pub struct WindowReport {
    /// How many there may be.
    #[schema(example = 45)]
    pub limit: i64,
    /// How many there were.
    pub used: i64,
    /// When none of them counts any more, RFC 3339 UTC; null where there are none.
    pub resets_at: Option<String>,
}

/// Requests in the last 24 hours.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = BudgetDay)]
pub struct DailyReport {
    /// How many there may be.
    #[schema(example = 1000)]
    pub limit: i64,
    /// How many there were.
    pub used: i64,
    /// How many there still may be.
    pub remaining: i64,
    /// When the oldest of them do not count any more, RFC 3339 UTC; null where there are none.
    pub resets_at: Option<String>,
}

/// The budgets of an instance.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = ProviderBudget)]
pub struct InstanceBudget {
    /// Requests in a window; null for no limit.
    pub window_requests: Option<i64>,
    /// The window, in seconds.
    pub window_s: Option<f64>,
    /// Requests in 24 hours; null for no limit.
    pub daily_requests: Option<i64>,
    /// What accounts share, at most 100.
    pub shared: Vec<SharedBudget>,
}

/// A budget that accounts share.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct SharedBudget {
    /// How many accounts.
    pub accounts: i64,
    /// How much of it is used up.
    #[serde(flatten)]
    pub budget: BudgetReport,
}

/// The budgets of accounts (instance and id), by id; none of those at an instance that is gone, nor where nothing is limited
/// and nothing was used.
///
/// # Errors
/// When the database fails.
pub async fn reports(app: &App, accounts: &[(&str, &str)]) -> sqlx::Result<HashMap<String, BudgetReport>> {
    let ids: Vec<&str> = accounts.iter().map(|(_, id)| *id).collect();
    let mut db = app.db.read().acquire().await?;
    let now = clock::now(&mut db).await?;
    let mut used: HashMap<String, Used> = HashMap::new();
    for key in budgets::of_accounts(&mut *db, &ids).await? {
        used.entry(key.account_id.clone()).or_default().keys.push(key);
    }
    for (id, hour, requests) in budgets::hours_of_accounts(&mut *db, &ids, hour(now).0 - DAY_HOURS).await? {
        used.entry(id).or_default().hours.push((hour, requests));
    }
    let mut reports = HashMap::new();
    for (instance, id) in accounts {
        let Some(limits) = app.providers.get(instance).map(|handle| handle.budget_limits()) else { continue };
        let used = used.remove(*id);
        if used.is_some() || limits != Limits::default() {
            reports.insert((*id).to_owned(), used.unwrap_or_default().report(limits, now));
        }
    }
    Ok(reports)
}

/// The budgets of an instance; none where nothing is limited and nothing was used.
///
/// # Errors
/// When the database fails.
pub async fn of_instance(app: &App, handle: &InstanceHandle) -> sqlx::Result<Option<InstanceBudget>> {
    let limits = handle.budget_limits();
    let sharers = budgets::sharers(app.db.read(), handle.id()).await?;
    if sharers.is_empty() && limits == Limits::default() {
        return Ok(None);
    }
    let accounts: Vec<(&str, &str)> = sharers.iter().map(|(id, _)| (handle.id(), id.as_str())).collect();
    let mut reports = reports(app, &accounts).await?;
    let shared = |(id, accounts): (String, i64)| Some(SharedBudget { accounts, budget: reports.remove(&id)? });
    Ok(Some(InstanceBudget {
        window_requests: limits.window.map(|(requests, _)| requests),
        #[expect(clippy::cast_precision_loss, reason = "windows are short")]
        window_s: limits.window.map(|(_, ms)| ms as f64 / 1000.0),
        daily_requests: limits.daily,
        shared: sharers.into_iter().filter_map(shared).collect(),
    }))
}

/// What counts as used by an account.
#[derive(Default)]
struct Used {
    keys: Vec<OfAccount>,
    /// Requests by hour, oldest first.
    hours: Vec<(i64, i64)>,
}

impl Used {
    fn report(&self, limits: Limits, now: i64) -> BudgetReport {
        let window = limits.window.map(|(limit, length)| {
            let counted = self.keys.iter().find(|key| key.is_window != 0).map(|key| &key.budget);
            let window = Window::of(counted, now, length);
            WindowReport { limit, used: window.estimate(now), resets_at: window.empty_at().map(rfc3339) }
        });
        let daily = limits.daily.map(|limit| {
            let used = self.today(now);
            let oldest = self.hours.first().map(|(hour, _)| (hour + DAY_HOURS + 1) * HOUR_MS);
            DailyReport { limit, used, remaining: (limit - used).max(0), resets_at: oldest.map(rfc3339) }
        });
        let blocked = self.keys.iter().map(|key| &key.budget).filter(|budget| budget.blocked_until > Some(now));
        let blocked = blocked.max_by_key(|budget| budget.blocked_until);
        BudgetReport {
            window,
            daily,
            blocked_until: blocked.and_then(|budget| budget.blocked_until).map(rfc3339),
            blocked_code: blocked.and_then(|budget| budget.blocked_code.clone()),
        }
    }

    fn today(&self, now: i64) -> i64 {
        let first = hour(now).0 - DAY_HOURS;
        let (mut used, mut oldest) = (0, 0);
        self.hours.iter().for_each(|(hour, requests)| *if *hour > first { &mut used } else { &mut oldest } += requests);
        Day::of(&[Use { used, oldest, ..Use::default() }], None, now).used
    }
}
