//! What the API says of budgets.

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
        budgets::{self, Keys},
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

/// The budget of an account; none where there is no such instance, or nothing is limited and nothing was used.
///
/// # Errors
/// When the database fails.
pub async fn report(app: &App, instance: &str, account: &str) -> sqlx::Result<Option<BudgetReport>> {
    let Some(handle) = app.providers.get(instance) else { return Ok(None) };
    let limits = handle.budget_limits();
    let keys = budgets::keys_of(app.db.read(), instance, account).await?;
    if keys.is_none() && limits == Limits::default() {
        return Ok(None);
    }
    of_keys(app, instance, limits, keys.as_ref()).await.map(Some)
}

/// The budgets of an instance; none where nothing is limited and nothing was used.
///
/// # Errors
/// When the database fails.
pub async fn of_instance(app: &App, handle: &InstanceHandle) -> sqlx::Result<Option<InstanceBudget>> {
    let limits = handle.budget_limits();
    let mut shared = Vec::new();
    for (window, quota, accounts) in budgets::keys_of_instance(app.db.read(), handle.id()).await? {
        let budget = of_keys(app, handle.id(), limits, Some(&Keys { window, quota })).await?;
        shared.push(SharedBudget { accounts, budget });
    }
    if shared.is_empty() && limits == Limits::default() {
        return Ok(None);
    }
    Ok(Some(InstanceBudget {
        window_requests: limits.window.map(|(requests, _)| requests),
        #[expect(clippy::cast_precision_loss, reason = "windows are short")]
        window_s: limits.window.map(|(_, ms)| ms as f64 / 1000.0),
        daily_requests: limits.daily,
        shared,
    }))
}

async fn of_keys(app: &App, instance: &str, limits: Limits, keys: Option<&Keys>) -> sqlx::Result<BudgetReport> {
    let mut db = app.db.read().acquire().await?;
    let now = clock::now(&mut db).await?;
    let (mut counted, mut blocked, mut uses, mut hours) = (None, None, Vec::new(), Vec::new());
    if let Some(keys) = keys {
        let oldest = hour(now).0 - DAY_HOURS;
        counted = budgets::find(&mut *db, instance, &keys.window).await?;
        blocked = budgets::blocked(&mut *db, instance, keys, now).await?;
        uses = budgets::uses(&mut *db, instance, &keys.quota, oldest).await?;
        hours = budgets::hours(&mut *db, instance, &keys.quota, oldest, None, false).await?;
    }
    let window = limits.window.map(|(limit, length)| {
        let window = Window::of(counted.as_ref(), now, length);
        WindowReport { limit, used: window.estimate(now), resets_at: window.empty_at().map(rfc3339) }
    });
    let daily = limits.daily.map(|limit| {
        let used = Day::of(&uses, None, now).used;
        let oldest = hours.first().map(|(hour, _)| (hour + DAY_HOURS + 1) * HOUR_MS);
        DailyReport { limit, used, remaining: (limit - used).max(0), resets_at: oldest.map(rfc3339) }
    });
    let (blocked_until, blocked_code) = blocked.map_or((None, None), |(until, code)| (Some(rfc3339(until)), code));
    Ok(BudgetReport { window, daily, blocked_until, blocked_code })
}
