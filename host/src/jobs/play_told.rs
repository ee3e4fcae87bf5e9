//! `plays.write` tells a provider that something was played. It is told once: a telling whose answer was lost is not repeated.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use zotify_plugin_api::{Episode, Item, Kind, Play, Track, Uri, capability, method};

use super::{Enqueue, Job, JobContext, JobError, likes::owned, pull::started};
use crate::{
    accounts::Account,
    api::rfc3339,
    db::{self, Tx, items, now_ms, plays::PlayRow},
    error::is_lost,
    mirror::lookup,
    providers::Lane,
    register_job,
};

/// How old a play may be when a provider hears of it, in milliseconds: a week.
const MAX_AGE: i64 = 7 * 24 * 3600 * 1000;

/// Tells a provider of one play.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TellPlay {
    /// The account that played it.
    pub account_id: String,
    /// The play's id.
    pub play_id: String,
    /// When this was queued, Unix milliseconds.
    pub queued_at: i64,
}

register_job!(TellPlay);

/// Queues telling a provider of a play.
///
/// # Errors
/// When the database fails.
pub async fn enqueue(tx: &mut Tx, account: &Account, play: &PlayRow) -> sqlx::Result<()> {
    let options = Enqueue {
        user: account.owner.clone(),
        subject: Some(play.uri.clone()),
        dedupe_key: Some(format!("plays.write:{}", play.id)),
        delay: Duration::ZERO,
        priority: 0,
        instance: Some(account.instance.clone()),
        group: None,
    };
    let job = TellPlay { account_id: account.id.clone(), play_id: play.id.clone(), queued_at: now_ms() };
    super::enqueue(tx, &job, options).await.map(drop)
}

impl Job for TellPlay {
    const NAME: &'static str = "plays.write";
    const MAX_ATTEMPTS: i64 = 500;

    async fn run(&self, ctx: JobContext) -> Result<(), JobError> {
        if ctx.checkpoint::<bool>() == Some(true) {
            return Err(unknown());
        }
        let (account, user) = owned(&ctx, &self.account_id).await?;
        let Some(play) = db::plays::find(ctx.app.db.read(), &user, &self.play_id).await? else {
            // Deleted meanwhile.
            return Ok(());
        };
        if self.queued_at + MAX_AGE < now_ms() {
            return Err(fail("too_late", "the provider did not take the play within a week"));
        }
        let handle = started(&ctx, &account.instance).await?;
        if !handle.has(capability::HISTORY_WRITE) {
            return Ok(());
        }
        let held = items::find(ctx.app.db.read(), std::slice::from_ref(&account.id), &play.uri).await?;
        let (doc, locator) = held.map_or((None, None), |held| (Some(held.doc), held.locator));
        let Some(item) = described(&play.uri, doc.as_deref(), locator) else {
            return Err(fail("invalid_uri", "what was played has no valid address"));
        };
        let heard_ms = play.heard_ms.and_then(|ms| u64::try_from(ms).ok());
        let told = Play { item, at: rfc3339(play.played_at), heard_ms };
        // Whoever takes over after a crash must not tell it once more.
        checkpoint(&ctx, true).await?;
        let call = handle.call::<method::AddPlay>(lookup::account_of(&handle, &account.id), Lane::Job, told);
        match call.await {
            Ok(()) => Ok(()),
            Err(error) if is_lost(&error) => Err(unknown()),
            Err(error) => {
                checkpoint(&ctx, false).await?;
                Err(error.into())
            }
        }
    }
}

async fn checkpoint(ctx: &JobContext, telling: bool) -> Result<(), JobError> {
    let mut tx = ctx.app.db.write().await?;
    ctx.save_checkpoint(&mut tx, &telling).await?;
    Ok(tx.commit().await?)
}

fn unknown() -> JobError {
    fail("outcome_unknown", "the provider did not say whether it took the play; it is not told twice")
}

fn fail(code: &str, detail: &str) -> JobError {
    JobError::Fail { code: code.into(), detail: detail.into() }
}

/// What was played, as far as the host knows it.
fn described(uri: &str, doc: Option<&str>, locator: Option<String>) -> Option<Item> {
    let uri: Uri = uri.parse().ok()?;
    let doc: Value = doc.and_then(|doc| serde_json::from_str(doc).ok()).unwrap_or_default();
    let (title, duration_ms) = (doc["title"].as_str().unwrap_or_default(), doc["duration_ms"].as_u64());
    match uri.kind() {
        Kind::Track => Some(Item::Track(Track { locator, duration_ms, ..Track::new(uri, title) })),
        Kind::Episode => Some(Item::Episode(Episode { locator, duration_ms, ..Episode::new(uri, title) })),
        _ => None,
    }
}
