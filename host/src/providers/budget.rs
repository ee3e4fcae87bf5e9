//! Rate budgets: how often an instance may ask its service, counted in the database over all nodes.
//!
//! A request names what it uses up: a short window, and the quota of a day. Requests that nobody waits for leave a part of
//! both to the others, and no account uses up the day of the rest. What the service says by 429 is kept, so that nobody asks
//! again before its time, after a restart neither.

mod count;
mod refused;
mod report;

use aws_lc_rs::digest;
use serde_json::json;
use zotify_plugin_api::{
    BudgetLimits, ErrorKind, ProviderError, Result,
    service::{self, HttpResponse},
};

pub use self::report::{BudgetReport, DailyReport, InstanceBudget, SharedBudget, WindowReport, of_instance, reports};
use self::{
    count::{DAY_HOURS, Day, HOUR_MS, Window, background, day_wait, hour, share},
    refused::Refused,
};
use crate::{
    api::rfc3339,
    config,
    db::{
        Db, Tx,
        budgets::{self, Budget, Keys},
        clock, state,
    },
    events::{self, Event},
};

/// The longest name of what shares a budget, and of an account, in bytes.
const MAX_NAME: usize = 512;
const MAX_ACCOUNT: usize = 64;
/// What one instance may name that shares a budget.
const MAX_KEYS: i64 = 2000;
/// For how long a quota that was told to be used up is not told again, in milliseconds.
const TOLD_MS: i64 = 3600 * 1000;
/// The window where only the number of requests is configured, in seconds.
const DEFAULT_WINDOW_S: u64 = 30;

/// How often a service may be asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Requests in a window, and its length in milliseconds.
    window: Option<(i64, i64)>,
    /// Requests in 24 hours.
    daily: Option<i64>,
}

impl Limits {
    /// What the manifest says, and the configuration over it.
    pub fn of(manifest: Option<BudgetLimits>, config: &config::Budget) -> Self {
        let requests = config.window_requests.or(manifest.map(|limits| limits.window_requests)).filter(|n| *n > 0);
        let configured = config.window_s.map(|s| s.saturating_mul(1000));
        let length = configured.or(manifest.map(|limits| limits.window_ms)).unwrap_or(DEFAULT_WINDOW_S * 1000);
        let daily = config.daily_requests.or(manifest.and_then(|limits| limits.daily_requests)).filter(|n| *n > 0);
        Self {
            window: requests.map(|n| (i64::from(n), i64::try_from(length).unwrap_or(i64::MAX / 4).max(1))),
            daily: daily.map(i64::from),
        }
    }
}

/// The budgets of one instance.
pub(super) struct Budgets {
    instance: String,
    db: Db,
    limits: Limits,
}

/// A request that may be sent.
pub(super) struct Taken {
    keys: Keys,
    /// Whether the service refused requests before it.
    struck: bool,
}

/// Why a request may not be sent now.
struct Wait {
    ms: i64,
    code: String,
    why: &'static str,
}

impl From<Wait> for ProviderError {
    fn from(wait: Wait) -> Self {
        Self::new(ErrorKind::RateLimited, wait.why)
            .with_code(wait.code)
            .with_retry_after_ms(u64::try_from(wait.ms).unwrap_or(1).max(1))
    }
}

impl Budgets {
    pub(super) fn new(instance: &str, db: Db, limits: Limits) -> Self {
        Self { instance: instance.to_owned(), db, limits }
    }

    /// Counts a request that is about to be sent.
    ///
    /// # Errors
    /// `rate_limited` where it may not be sent now, `unavailable` where the database fails.
    pub(super) async fn take(&self, asked: &service::Budget) -> Result<Taken> {
        let keys = keys(asked)?;
        if let Some(wait) = self.blocked(&keys).await.map_err(storage)? {
            return Err(wait.into());
        }
        self.count(asked, keys).await.map_err(storage)?.map_err(Into::into)
    }

    /// A look that costs no write, so that refusals are quick however much is written.
    async fn blocked(&self, keys: &Keys) -> sqlx::Result<Option<Wait>> {
        let mut db = self.db.read().acquire().await?;
        let now = clock::now(&mut db).await?;
        let found = budgets::blocked(&mut *db, &self.instance, keys, now).await?;
        Ok(found.map(|(until, code)| blocked(until, code, now)))
    }

    async fn count(&self, asked: &service::Budget, keys: Keys) -> sqlx::Result<std::result::Result<Taken, Wait>> {
        let mut tx = self.db.write().await?;
        // One at a time over all nodes: what is read here is still true when it is written.
        state::lock(&mut tx, &format!("budget:{}", self.instance)).await?;
        let now = clock::now(&mut tx).await?;
        if let Some((until, code)) = budgets::blocked(&mut *tx, &self.instance, &keys, now).await? {
            return Ok(Err(blocked(until, code, now)));
        }
        let counted = budgets::find(&mut *tx, &self.instance, &keys.window).await?;
        if counted.is_none() && budgets::count(&mut *tx, &self.instance).await? >= MAX_KEYS {
            let why = "the plugin names more things that share a budget than are counted";
            return Ok(Err(Wait { ms: HOUR_MS, code: "too_many_budgets".into(), why }));
        }
        let window = match self.window(counted.as_ref(), asked.background, now) {
            Ok(window) => window,
            Err(wait) => return Ok(Err(wait)),
        };
        if let Some(wait) = self.day(&mut tx, asked, &keys, now).await? {
            return Ok(Err(wait));
        }
        let struck = counted.is_some_and(|row| row.strikes > 0);
        budgets::put_window(&mut tx, &self.instance, &keys.window, &window, now).await?;
        let account = asked.account.as_deref();
        let (hour, _) = hour(now);
        budgets::add_use(&mut tx, &self.instance, &keys.quota, hour, account.unwrap_or_default(), asked.background)
            .await?;
        if let Some(account) = account {
            budgets::note_keys(&mut tx, &self.instance, account, &keys).await?;
        }
        tx.commit().await?;
        Ok(Ok(Taken { keys, struck }))
    }

    /// The window with the request in it, where it fits.
    fn window(&self, counted: Option<&Budget>, in_background: bool, now: i64) -> std::result::Result<Budget, Wait> {
        let (limit, length) =
            self.limits.window.unwrap_or((i64::MAX, i64::try_from(DEFAULT_WINDOW_S * 1000).unwrap_or(1)));
        let window = Window::of(counted, now, length);
        if let Some(ms) = window.wait(now, if in_background { background(limit) } else { limit }) {
            let why = "the service was asked as often as it allows for the moment";
            return Err(Wait { ms, code: "budget_window".into(), why });
        }
        Ok(Budget {
            window_at: window.at,
            window_used: window.used + 1,
            window_before: window.before,
            ..Budget::default()
        })
    }

    /// How long to wait where the day has no room for the request.
    async fn day(&self, tx: &mut Tx, asked: &service::Budget, keys: &Keys, now: i64) -> sqlx::Result<Option<Wait>> {
        let Some(daily) = self.limits.daily else { return Ok(None) };
        let oldest = hour(now).0 - DAY_HOURS;
        let uses = budgets::uses(&mut **tx, &self.instance, &keys.quota, oldest).await?;
        let account = asked.account.as_deref();
        let day = Day::of(&uses, account, now);
        let (limit, of_account) =
            if asked.background { (background(daily), day.in_background) } else { (daily, day.of_account) };
        let own = share(limit, day.accounts);
        let (used, limit, account, why) = match account {
            _ if day.used >= limit => (day.used, limit, None, "the service was asked as often as it allows in a day"),
            // Who is the only one that asks may ask as often as the service allows.
            Some(account) if day.accounts > 1 && of_account >= own => (
                of_account,
                own,
                Some(account),
                "the account has used up its share of what the service allows in a day",
            ),
            _ => return Ok(None),
        };
        let in_background = asked.background && account.is_some();
        let hours = budgets::hours(&mut **tx, &self.instance, &keys.quota, oldest, account, in_background).await?;
        Ok(Some(Wait { ms: day_wait(&hours, used, limit, now), code: "budget_daily".into(), why }))
    }

    /// Takes note of what the service answered.
    pub(super) async fn heard(&self, taken: &Taken, response: &HttpResponse) {
        let refused = Refused::of(response);
        let noted = match refused {
            Some(refused) => self.block(&taken.keys, refused).await,
            None if taken.struck && response.status < 500 => self.forgive(&taken.keys).await,
            None => Ok(()),
        };
        if let Err(error) = noted {
            tracing::error!(instance = self.instance, "what the service said of its limits is not kept: {error}");
        }
    }

    async fn forgive(&self, keys: &Keys) -> sqlx::Result<()> {
        let mut tx = self.db.write().await?;
        budgets::reset_strikes(&mut tx, &self.instance, keys).await?;
        tx.commit().await
    }

    async fn block(&self, keys: &Keys, refused: Refused) -> sqlx::Result<()> {
        let (key, code) = if refused.quota { (&keys.quota, "quota_exceeded") } else { (&keys.window, "cooldown") };
        let mut tx = self.db.write().await?;
        state::lock(&mut tx, &format!("budget:{}", self.instance)).await?;
        let now = clock::now(&mut tx).await?;
        let known = budgets::find(&mut *tx, &self.instance, key).await?.unwrap_or_default();
        // Of several refusals at once, the later ones say nothing new.
        let news = known.blocked_until.is_none_or(|until| until <= now);
        let strikes = if refused.wait_ms.is_some() { 0 } else { known.strikes + i64::from(news) };
        let until = now.saturating_add(refused.wait(if news { known.strikes } else { known.strikes - 1 }));
        budgets::block(&mut tx, &self.instance, key, until, code, strikes, now).await?;
        tracing::warn!(instance = self.instance, code, until = rfc3339(until), "the service refuses requests");
        if refused.quota && known.blocked_until.is_none_or(|until| until + TOLD_MS < now) {
            let data = json!({ "provider": self.instance, "until": rfc3339(until) });
            let kind = "provider.quota_exceeded";
            events::emit(&mut tx, Event { kind, subject: Some(&self.instance), user: None, data }).await?;
        }
        tx.commit().await
    }
}

fn blocked(until: i64, code: Option<String>, now: i64) -> Wait {
    let code = code.unwrap_or_else(|| "cooldown".into());
    let why = if code == "quota_exceeded" {
        "the service's quota is used up; it is not asked before the time that it said"
    } else {
        "the service asked to wait"
    };
    Wait { ms: until - now, code, why }
}

/// The keys of what a request uses up: hashes, since names may say who somebody is.
fn keys(asked: &service::Budget) -> Result<Keys> {
    let named = |name: &str| !name.is_empty() && name.len() <= MAX_NAME;
    if !named(&asked.window) || !named(&asked.quota) {
        return Err(ProviderError::invalid("what shares a budget has a name of 1 to 512 bytes"));
    }
    if asked.account.as_ref().is_some_and(|account| account.is_empty() || account.len() > MAX_ACCOUNT) {
        return Err(ProviderError::invalid("there is no such account"));
    }
    let key = |kind: &str, name: &str| {
        let digest = digest::digest(&digest::SHA256, format!("{kind}:{name}").as_bytes());
        digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
    };
    Ok(Keys { window: key("window", &asked.window), quota: key("quota", &asked.quota) })
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn storage(error: sqlx::Error) -> ProviderError {
    tracing::error!("requests can't be counted: {error}");
    ProviderError::unavailable("the host's storage failed").with_code("budget_unknown").with_retry_after_ms(1000)
}

/// Forgets what no budget counts any more at a time (Unix milliseconds), at most so many rows; answers how many.
///
/// # Errors
/// When the database fails.
pub async fn forget(tx: &mut Tx, now: i64, limit: i64) -> sqlx::Result<u64> {
    let (hour, _) = hour(now);
    budgets::forget(tx, hour - DAY_HOURS - 1, now - 2 * DAY_HOURS * HOUR_MS, limit).await
}
