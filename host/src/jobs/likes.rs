//! `likes.write` tells a provider of likes that it did not take when they were made; `likes.pull` takes over those that the
//! account has there.

use std::{collections::HashMap, time::Duration};

use serde::{Deserialize, Serialize};
use serde_json::json;
use zotify_plugin_api::{Item, Kind, Like, LikesPage, PageRequest, method};

use super::{Enqueue, Job, JobContext, JobError, pull::started};
use crate::{
    accounts::{self, Account},
    auth::quota,
    db::{self, Tx, likes::LikeRow, now_ms},
    events::{self, Event},
    likes::{self, BATCH, next_change, own_item},
    mirror::{clean, lookup},
    providers::Lane,
    register_job,
};

/// Likes that one pull takes over at most.
const MAX_LIKES: usize = 100_000;
/// Pages that one pull reads at most.
const MAX_PAGES: usize = 5000;
/// This many likes that a provider does not list any more are taken back without doubt.
const FREE_REMOVALS: usize = 20;
/// Else one in this many.
const FREE_SHARE: usize = 10;

/// Tells a provider of what it does not know yet.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WriteLikes {
    /// The account that likes them.
    pub account_id: String,
}

register_job!(WriteLikes);

impl Job for WriteLikes {
    const NAME: &'static str = "likes.write";
    const MAX_ATTEMPTS: i64 = 20;

    async fn run(&self, ctx: JobContext) -> Result<(), JobError> {
        let (account, user) = owned(&ctx, &self.account_id).await?;
        loop {
            if ctx.cancelled().is_cancelled() {
                return Err(JobError::Cancelled);
            }
            let rows = db::likes::pending(ctx.app.db.read(), &user, &account.instance, BATCH).await?;
            if rows.is_empty() {
                return Ok(());
            }
            if let Some(error) = likes::tell(&ctx.app, &account, Lane::Job, rows).await? {
                return Err(error.into());
            }
        }
    }
}

/// Takes over what an account likes at its provider.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PullLikes {
    /// The account.
    pub account_id: String,
}

register_job!(PullLikes);

/// Queues a pull of an account's likes.
///
/// # Errors
/// When the database fails.
pub async fn enqueue_pull(tx: &mut Tx, account: &Account) -> sqlx::Result<()> {
    let options = Enqueue {
        user: account.owner.clone(),
        subject: Some(account.instance.clone()),
        dedupe_key: Some(format!("likes.pull:{}", account.id)),
        delay: Duration::ZERO,
        priority: 0,
    };
    super::enqueue(tx, &PullLikes { account_id: account.id.clone() }, options).await.map(drop)
}

/// A list of likes, read to its end.
#[derive(Default)]
struct Listed {
    /// Since when, by URI.
    likes: HashMap<String, Option<i64>>,
    items: Vec<Item>,
}

impl Listed {
    fn add(&mut self, like: Like, instance: &str) {
        let Some(item) = own_item(like.item, instance).filter(|item| item.kind() == Kind::Track) else { return };
        let since = like.liked_at.as_deref().and_then(clean::parse_time).filter(|at| (0..=now_ms()).contains(at));
        self.likes.insert(item.uri().to_string(), since);
        self.items.push(item);
    }
}

impl Job for PullLikes {
    const NAME: &'static str = "likes.pull";

    async fn run(&self, ctx: JobContext) -> Result<(), JobError> {
        let (account, user) = owned(&ctx, &self.account_id).await?;
        let began = now_ms();
        let listed = read(&ctx, &account).await?;
        let mut tx = ctx.app.db.write().await?;
        db::state::lock(&mut tx, &format!("likes:{user}")).await?;
        ctx.hold(&mut tx).await?;
        let (added, removed) = merge(&ctx, &mut tx, &account, &user, began, listed).await?;
        if added + removed > 0 {
            let data = json!({ "provider": account.instance, "added": added, "removed": removed });
            let event = Event { kind: "likes.merged", subject: Some(&account.instance), user: Some(&user), data };
            events::emit(&mut tx, event).await?;
        }
        Ok(tx.commit().await?)
    }
}

/// The account with its owner. What all users share is nobody's to like.
pub(super) async fn owned(ctx: &JobContext, id: &str) -> Result<(Account, String), JobError> {
    let gone = || JobError::Fail {
        code: "account_not_found".into(),
        detail: "the account does not exist any more, or is nobody's own".into(),
    };
    let account = accounts::find(&ctx.app.db, id).await?.ok_or_else(gone)?;
    let owner = account.owner.clone().ok_or_else(gone)?;
    Ok((account, owner))
}

async fn read(ctx: &JobContext, account: &Account) -> Result<Listed, JobError> {
    let handle = started(ctx, &account.instance).await?;
    let mut listed = Listed::default();
    let mut cursor: Option<String> = None;
    for _ in 0..MAX_PAGES {
        let request = PageRequest { cursor: cursor.clone(), limit: 0 };
        let call = handle.call::<method::ListLikes>(lookup::account_of(&handle, &account.id), Lane::Job, request);
        let LikesPage { likes, next } = tokio::select! {
            () = ctx.cancelled().cancelled() => return Err(JobError::Cancelled),
            page = call => page?,
        };
        likes.rows.into_iter().for_each(|like| listed.add(like, &account.instance));
        if next.is_none() {
            return Ok(listed);
        }
        if next == cursor || listed.items.len() > MAX_LIKES {
            break;
        }
        cursor = next;
    }
    Err(JobError::Fail { code: "endless_likes".into(), detail: "the provider's pages of likes do not end".into() })
}

/// Takes the list over; answers how many likes came and went.
async fn merge(
    ctx: &JobContext,
    tx: &mut Tx,
    account: &Account,
    user: &str,
    began: i64,
    mut listed: Listed,
) -> Result<(usize, usize), JobError> {
    let mut room = i64::from(quota::of(&mut **tx, &ctx.app.config.quotas, user).await?.likes);
    room -= db::likes::count(&mut **tx, user).await?;
    likes::remember(tx, &account.id, std::mem::take(&mut listed.items)).await?;
    let rows = db::likes::of_instance(&mut **tx, user, &account.instance).await?;
    let removed = take_back(tx, account, user, began, &rows, &listed).await?;
    let mut known: HashMap<String, LikeRow> = rows.into_iter().map(|row| (row.uri.clone(), row)).collect();
    let mut added = 0;
    for (uri, since) in listed.likes {
        let before = known.remove(&uri);
        let row = match before {
            // What the user said since, or what the provider has yet to hear, stands.
            Some(row) if row.liked == 0 && (row.pending != 0 || row.changed_at >= began) => continue,
            Some(row) if row.liked != 0 && row.written_through != 0 => continue,
            Some(row) if row.liked != 0 => LikeRow { written_through: 1, pending: 0, code: None, ..row },
            _ if room <= 0 => continue,
            before => {
                (room, added) = (room - 1, added + 1);
                let (liked_at, changed_at) = (since.unwrap_or(began), next_change(before.as_ref()));
                LikeRow { uri, liked_at, liked: 1, written_through: 1, changed_at, ..LikeRow::default() }
            }
        };
        db::likes::put(tx, user, &row).await?;
    }
    Ok((added, removed))
}

/// Takes back what the provider held and does not list any more, and answers how much. A list that lacks a lot of it may
/// be a mistake: then the likes stay, here.
async fn take_back(
    tx: &mut Tx,
    account: &Account,
    user: &str,
    began: i64,
    rows: &[LikeRow],
    listed: &Listed,
) -> sqlx::Result<usize> {
    let before = |row: &&LikeRow| row.changed_at < began && row.pending == 0 && !listed.likes.contains_key(&row.uri);
    for row in rows.iter().filter(before).filter(|row| row.liked == 0) {
        db::likes::delete(tx, user, &row.uri).await?;
    }
    let held = rows.iter().filter(|row| row.liked != 0 && row.written_through != 0).count();
    let gone: Vec<_> = rows.iter().filter(before).filter(|row| row.liked != 0 && row.written_through != 0).collect();
    let doubtful = gone.len() > FREE_REMOVALS && gone.len() * FREE_SHARE > held;
    if doubtful {
        tracing::warn!(
            instance = account.instance,
            "{} of {held} likes are not listed any more; they stay",
            gone.len()
        );
    }
    for row in &gone {
        if doubtful {
            let code = Some("not_listed".to_owned());
            db::likes::put(tx, user, &LikeRow { written_through: 0, code, ..(*row).clone() }).await?;
        } else {
            db::likes::delete(tx, user, &row.uri).await?;
        }
    }
    Ok(if doubtful { 0 } else { gone.len() })
}
