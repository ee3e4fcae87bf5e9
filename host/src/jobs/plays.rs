//! `history.pull` takes over what an account played at its provider.

use serde::{Deserialize, Serialize};
use serde_json::json;
use ulid::Ulid;
use zotify_plugin_api::{Item, Kind, PageRequest, Play, PlaysPage, method};

use super::{
    Enqueue, Job, JobContext, JobError,
    likes::owned,
    pull::{Circle, started},
};
use crate::{
    accounts::Account,
    auth::quota,
    db::{self, Tx, now_ms, plays::PlayRow},
    events::{self, Event},
    likes::{own_item, remember},
    mirror::{clean, lookup},
    preferences::{self, Preferences},
    providers::Lane,
    register_job,
};

/// Plays that one pull takes over at most: the newest.
const MAX_PLAYS: usize = 5000;
/// Pages that one pull reads at most.
const MAX_PAGES: usize = 500;
/// How far a provider's clock may be ahead, in milliseconds.
const AHEAD: i64 = 5 * 60 * 1000;

/// Takes over what an account played at its provider.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PullPlays {
    /// The account.
    pub account_id: String,
}

register_job!(PullPlays);

/// Queues a pull of an account's plays.
///
/// # Errors
/// When the database fails.
pub async fn enqueue(tx: &mut Tx, account: &Account) -> sqlx::Result<()> {
    let options = Enqueue::of_account(PullPlays::NAME, account);
    super::enqueue(tx, &PullPlays { account_id: account.id.clone() }, options).await.map(drop)
}

impl Job for PullPlays {
    const NAME: &'static str = "history.pull";

    async fn run(&self, ctx: JobContext) -> Result<(), JobError> {
        let (account, user) = owned(&ctx, &self.account_id).await?;
        let row = db::preferences::find(ctx.app.db.read(), &user).await?;
        if !Preferences::parse(row.as_ref()).records_history() {
            return Ok(());
        }
        let taken = db::plays::taken_until(ctx.app.db.read(), &account.id).await?;
        let plays = read(&ctx, &account, taken).await?;
        let mut tx = ctx.app.db.write().await?;
        preferences::lock(&mut tx, &user).await?;
        ctx.hold(&mut tx).await?;
        // It may have been turned off meanwhile, or off and on again.
        let row = db::preferences::find(&mut *tx, &user).await?;
        if !Preferences::parse(row.as_ref()).records_history() {
            return Ok(());
        }
        let since = row.and_then(|row| row.history_since).unwrap_or(0);
        let newest = plays.iter().map(|(at, ..)| *at).max();
        let deleted = db::deleted_plays::list(&mut *tx, &user).await?;
        let stays_deleted = |uri: &str, at: i64| at < since || deleted.iter().any(|span| span.holds(uri, at));
        let plays: Vec<_> =
            plays.into_iter().filter(|(at, item, _)| !stays_deleted(item.uri().as_str(), *at)).collect();
        let added = merge(&mut tx, &account, &user, plays).await?;
        if let Some(newest) = newest {
            db::plays::take_until(&mut tx, &account.id, newest).await?;
            db::deleted_plays::forget_passed(&mut tx, &user).await?;
        }
        let keep = quota::of(&mut *tx, &ctx.app.config.quotas, &user).await?.plays;
        db::plays::trim(&mut tx, &user, keep).await?;
        if added > 0 {
            let data = json!({ "provider": account.instance, "added": added });
            let event = Event { kind: "history.merged", subject: Some(&account.instance), user: Some(&user), data };
            events::emit(&mut tx, event).await?;
        }
        Ok(tx.commit().await?)
    }
}

/// A play that can be kept: when, what, and how much of it was heard.
type Taken = (i64, Item, Option<i64>);

/// The plays after a time, newest first.
async fn read(ctx: &JobContext, account: &Account, taken: Option<i64>) -> Result<Vec<Taken>, JobError> {
    let handle = started(ctx, &account.instance).await?;
    let mut plays = Vec::new();
    let mut cursor: Option<String> = None;
    let mut circle = Circle::default();
    for _ in 0..MAX_PAGES {
        let request = PageRequest { cursor: cursor.clone(), limit: 0 };
        let call = handle.call::<method::ListPlays>(lookup::account_of(&handle, &account.id), Lane::Job, request);
        let PlaysPage { plays: page, next } = tokio::select! {
            () = ctx.cancelled().cancelled() => return Err(JobError::Cancelled),
            page = call => match page {
                Ok(page) => page,
                // Another run would start over.
                Err(error) if cursor.is_some() && ctx.wait_out(&error).await? => continue,
                Err(error) => return Err(error.into()),
            },
        };
        let (mut known, mut fresh) = (false, false);
        for play in page.rows.into_iter().filter_map(|play| keep(play, &account.instance)) {
            if taken.is_some_and(|taken| play.0 <= taken) {
                known = true;
            } else {
                fresh = true;
                plays.push(play);
            }
        }
        // Newest first: behind a page of known ones there are only known ones.
        let all_known = known && !fresh;
        let Some(next) = next.filter(|_| !all_known && plays.len() < MAX_PLAYS) else {
            plays.truncate(MAX_PLAYS);
            return Ok(plays);
        };
        if circle.closes(&next) {
            return Err(endless());
        }
        cursor = Some(next);
    }
    // The newest are enough.
    if plays.is_empty() { Err(endless()) } else { Ok(plays) }
}

fn endless() -> JobError {
    JobError::Fail { code: "endless_history".into(), detail: "the provider's pages of plays do not end".into() }
}

fn keep(play: Play, instance: &str) -> Option<Taken> {
    let at = clean::parse_time(&play.at).filter(|at| (0..=now_ms() + AHEAD).contains(at))?;
    let item = own_item(play.item, instance).filter(|item| matches!(item.kind(), Kind::Track | Kind::Episode))?;
    Some((at, item, play.heard_ms.and_then(|ms| i64::try_from(ms).ok())))
}

/// Adds the plays that nobody told of yet; answers how many.
async fn merge(tx: &mut Tx, account: &Account, user: &str, plays: Vec<Taken>) -> sqlx::Result<usize> {
    let mut added = 0;
    let mut items = Vec::with_capacity(plays.len());
    for (played_at, item, heard_ms) in plays {
        let uri = item.uri().to_string();
        let id = Ulid::generate().to_string();
        let play = PlayRow { id, uri, played_at, heard_ms, source: account.instance.clone() };
        if db::plays::same(&mut **tx, user, &play).await?.is_none() {
            added += usize::from(db::plays::insert(tx, user, &play).await?);
            items.push(item);
        }
    }
    remember(tx, &account.id, items).await?;
    Ok(added)
}
