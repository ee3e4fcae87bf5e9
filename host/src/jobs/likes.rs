//! `likes.write` tells a provider of likes that it did not take when they were made; `likes.pull` takes over those that the
//! account has there.

#[cfg(test)]
mod tests;

use std::collections::HashSet;

use serde::{Deserialize, Serialize};
use serde_json::json;
use zotify_plugin_api::{Item, Kind, Like, LikesPage, PageRequest, method, wire::Rows};

use super::{
    Enqueue, Job, JobContext, JobError,
    pull::{Circle, started},
};
use crate::{
    accounts::{self, Account},
    auth::quota,
    db::{self, Tx, items, likes::LikeRow},
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
/// Saved tracks that are taken over at a time.
const SAVED_PAGE: i64 = 500;
/// Up to this many likes that a provider does not list any more are taken back without doubt, unless they are most of them.
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
    let options = Enqueue::of_account(PullLikes::NAME, account);
    super::enqueue(tx, &PullLikes { account_id: account.id.clone() }, options).await.map(drop)
}

impl Job for PullLikes {
    const NAME: &'static str = "likes.pull";

    async fn run(&self, ctx: JobContext) -> Result<(), JobError> {
        let (account, user) = owned(&ctx, &self.account_id).await?;
        let all = accounts::of_instance(&ctx.app.db, &account.instance).await?;
        let first = all.iter().filter(|a| a.owner == account.owner).map(|a| &a.id).min();
        if first != Some(&account.id) {
            // Likes are written through by another one, and what two lists hold could not be told apart.
            return Ok(());
        }
        let began = db::clock::now(&mut *ctx.app.db.read().acquire().await?).await?;
        let handle = started(&ctx, &account.instance).await?;
        let saved = handle.manifest().is_some_and(|manifest| manifest.likes_are_saved_tracks);
        let mut pull = Pull { ctx, account, user, began, listed: HashSet::new(), unread: 0, added: 0, saved };
        if saved {
            pull.read_mirror().await?
        } else {
            pull.read().await?
        }
        pull.finish().await
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

/// A pull under way.
struct Pull {
    ctx: JobContext,
    account: Account,
    user: String,
    /// Unix milliseconds, as changes of likes are numbered.
    began: i64,
    /// The URIs of all likes so far.
    listed: HashSet<String>,
    /// Likes that could not be read.
    unread: usize,
    added: usize,
    /// They are the saved tracks, as the mirror has them.
    saved: bool,
}

impl Pull {
    async fn read(&mut self) -> Result<(), JobError> {
        let handle = started(&self.ctx, &self.account.instance).await?;
        let mut cursor: Option<String> = None;
        let mut circle = Circle::default();
        for _ in 0..MAX_PAGES {
            let request = PageRequest { cursor: cursor.clone(), limit: 0 };
            let account = lookup::account_of(&handle, &self.account.id);
            let LikesPage { likes, next } = tokio::select! {
                () = self.ctx.cancelled().cancelled() => return Err(JobError::Cancelled),
                page = handle.call::<method::ListLikes>(account, Lane::Job, request) => match page {
                    Ok(page) => page,
                    // Another run would start over.
                    Err(error) if cursor.is_some() && self.ctx.wait_out(&error).await? => continue,
                    Err(error) => return Err(error.into()),
                },
            };
            self.store(likes).await?;
            let Some(next) = next else { return Ok(()) };
            if circle.closes(&next) || self.listed.len() > MAX_LIKES {
                break;
            }
            cursor = Some(next);
        }
        Err(JobError::Fail { code: "endless_likes".into(), detail: "the provider's pages of likes do not end".into() })
    }

    /// Takes over the saved tracks, without a question to the provider. What left the library there was confirmed, where it
    /// was a lot.
    async fn read_mirror(&mut self) -> Result<(), JobError> {
        let mut after = 0;
        loop {
            if self.ctx.cancelled().is_cancelled() {
                return Err(JobError::Cancelled);
            }
            let mut tx = self.begin().await?;
            let page = items::saved_tracks(&mut tx, &self.account.id, after, SAVED_PAGE).await?;
            let Some((last, ..)) = page.last() else { return Ok(()) };
            after = *last;
            self.listed.extend(page.iter().map(|(_, uri, _)| uri.clone()));
            self.take_over(&mut tx, page.into_iter().map(|(_, uri, at)| (uri, Some(at))).collect()).await?;
            tx.commit().await?;
        }
    }

    async fn begin(&self) -> sqlx::Result<Tx> {
        let mut tx = self.ctx.app.db.write().await?;
        db::state::lock(&mut tx, &format!("likes:{}", self.user)).await?;
        self.ctx.hold(&mut tx).await?;
        Ok(tx)
    }

    /// Takes a page over.
    async fn store(&mut self, page: Rows<Like>) -> Result<(), JobError> {
        self.unread += page.rejected.len();
        let mut items: Vec<Item> = Vec::with_capacity(page.rows.len());
        let mut likes = Vec::with_capacity(page.rows.len());
        for like in page.rows {
            let uri = like.item.uri();
            // One that can't be kept is listed all the same.
            let own = uri.instance() == self.account.instance && uri.kind() == Kind::Track;
            if !own || !self.listed.insert(uri.to_string()) {
                continue;
            }
            let item = own_item(like.item, &self.account.instance).filter(|item| item.kind() == Kind::Track);
            let Some(item) = item else { continue };
            let since = like.liked_at.as_deref().and_then(clean::parse_time);
            likes.push((item.uri().to_string(), since.filter(|at| (0..=self.began).contains(at))));
            items.push(item);
        }
        if likes.is_empty() {
            return Ok(());
        }
        let mut tx = self.begin().await?;
        likes::remember(&mut tx, &self.account.id, items).await?;
        self.take_over(&mut tx, likes).await?;
        Ok(tx.commit().await?)
    }

    async fn take_over(&mut self, tx: &mut Tx, likes: Vec<(String, Option<i64>)>) -> sqlx::Result<()> {
        let mut room = i64::from(quota::of(&mut **tx, &self.ctx.app.config.quotas, &self.user).await?.likes);
        room -= db::likes::count(&mut **tx, &self.user).await?;
        for (uri, since) in likes {
            let before = db::likes::find(&mut **tx, &self.user, &uri).await?;
            let known = before.as_ref().is_some_and(|row| row.liked != 0);
            let Some(row) = self.taken_over(uri, since, before).filter(|_| known || room > 0) else { continue };
            db::likes::put(tx, &self.user, &row).await?;
            (room, self.added) = if known { (room, self.added) } else { (room - 1, self.added + 1) };
        }
        Ok(())
    }

    /// What is kept of a like that the provider lists; none where that is so already, or the user said otherwise since.
    fn taken_over(&self, uri: String, since: Option<i64>, before: Option<LikeRow>) -> Option<LikeRow> {
        match before {
            // The provider has yet to hear of it, or this page is older than that.
            Some(row) if row.liked == 0 && (row.pending != 0 || row.changed_at >= self.began) => None,
            Some(row) if row.liked != 0 && row.written_through != 0 => None,
            Some(row) if row.liked != 0 => Some(LikeRow { written_through: 1, pending: 0, code: None, ..row }),
            before => {
                let (liked_at, changed_at) = (since.unwrap_or(self.began), next_change(self.began, before.as_ref()));
                Some(LikeRow { uri, liked_at, liked: 1, written_through: 1, changed_at, ..LikeRow::default() })
            }
        }
    }

    async fn finish(self) -> Result<(), JobError> {
        let mut tx = self.begin().await?;
        let removed = self.take_back(&mut tx).await?;
        if self.added + removed > 0 {
            let instance = self.account.instance.as_str();
            let data = json!({ "provider": instance, "added": self.added, "removed": removed });
            let event = Event { kind: "likes.merged", subject: Some(instance), user: Some(&self.user), data };
            events::emit(&mut tx, event).await?;
        }
        Ok(tx.commit().await?)
    }

    /// Takes back what the provider held and does not list any more, and answers how much. A list that lacks a lot of it
    /// may be a mistake: then the likes stay, here.
    async fn take_back(&self, tx: &mut Tx) -> sqlx::Result<usize> {
        if self.unread > 0 {
            tracing::warn!(instance = self.account.instance, "{} likes can't be read; none is taken back", self.unread);
            return Ok(0);
        }
        let rows = db::likes::of_instance(&mut **tx, &self.user, &self.account.instance).await?;
        let held = rows.iter().filter(|row| row.liked != 0 && row.written_through != 0).count();
        let unlisted =
            |row: &LikeRow| row.changed_at < self.began && row.pending == 0 && !self.listed.contains(&row.uri);
        let (liked, taken_back): (Vec<_>, Vec<_>) = rows.into_iter().filter(unlisted).partition(|row| row.liked != 0);
        for row in taken_back {
            db::likes::delete(tx, &self.user, &row.uri).await?;
        }
        let gone: Vec<_> = liked.into_iter().filter(|row| row.written_through != 0).collect();
        let (lost, instance) = (gone.len(), &self.account.instance);
        if self.saved || !is_doubtful(self.listed.len(), lost, held) {
            for row in gone {
                db::likes::delete(tx, &self.user, &row.uri).await?;
            }
            return Ok(lost);
        }
        tracing::warn!(instance, "{lost} of {held} likes are not listed any more; they stay, here");
        for row in gone {
            let code = Some("not_listed".to_owned());
            db::likes::put(tx, &self.user, &LikeRow { written_through: 0, code, ..row }).await?;
        }
        Ok(0)
    }
}

/// Whether a list that lacks `lost` of `held` likes may be a mistake: one that is empty, one that lacks more than half, and
/// one that lacks a lot.
fn is_doubtful(listed: usize, lost: usize, held: usize) -> bool {
    let more_than_half = lost > 1 && lost * 2 > held;
    lost > 0 && (listed == 0 || more_than_half || (lost > FREE_REMOVALS && lost * FREE_SHARE > held))
}
