//! Ends a run. Only what was listed completely loses anything, and a run that would remove a lot waits for confirmation.

use std::time::Duration;

use serde_json::{Value, json};
use zotify_plugin_api::Listing;

use super::{Pull, Step};
use crate::{
    accounts,
    db::{
        self, Tx,
        items::{self, Missing},
        pull_runs::{self, Counts, Ending},
    },
    events::{self, Event},
    jobs::{self, JobError},
    likes,
    mirror::schedule,
};

/// A run may remove this many items without asking.
const FREE_REMOVALS: i64 = 20;
/// A run may remove one in this many items without asking.
const FREE_SHARE: i64 = 10;

impl Pull {
    pub(super) async fn finish(&mut self) -> Result<(), JobError> {
        // Whoever hears that the library changed finds what it holds.
        items::catch_up(&self.ctx.app.db).await?;
        let mut tx = self.ctx.app.db.write().await?;
        let ending = match &self.at.partial {
            Some((code, detail)) => self.end_partial(&mut tx, code, detail).await?,
            None => self.end_complete(&mut tx).await?,
        };
        let (state, completeness) = (ending.state, ending.completeness.unwrap_or("partial"));
        pull_runs::end(&mut tx, &self.at.run, ending).await?;
        items::forget_unnamed(&mut tx, &self.account.id).await?;
        accounts::pulled(&mut tx, &self.account.id, self.next_token(), completeness).await?;
        schedule::set_next(&self.ctx.app, &mut tx, &self.account).await?;
        self.at.step = Step::Done;
        self.ctx.save_checkpoint(&mut tx, &self.at).await?;
        self.go_on(&mut tx).await?;
        self.announce(&mut tx, state, completeness).await?;
        tx.commit().await?;
        self.ctx.app.recent_accounts.forget();
        self.ctx.app.jobs.wake();
        Ok(())
    }

    /// Queues what follows a run for an account that is somebody's own: their likes and plays.
    async fn go_on(&self, tx: &mut Tx) -> sqlx::Result<()> {
        let Some(owner) = &self.account.owner else { return Ok(()) };
        // What the provider did not take when it was asked, and no job tries any more.
        if self.can.likes_write && !db::likes::pending(&mut **tx, owner, &self.account.instance, 1).await?.is_empty() {
            likes::enqueue(tx, &self.account, Duration::ZERO).await?;
        }
        if self.can.likes {
            jobs::likes::enqueue_pull(tx, &self.account).await?;
        }
        if self.can.history {
            jobs::plays::enqueue(tx, &self.account).await?;
        }
        Ok(())
    }

    /// Where the next run starts. A partial run leaves that as it was unless the plugin knows how to go on from it; a mirror
    /// that does not have what the plugin thinks it has is read anew.
    fn next_token(&self) -> Option<&str> {
        if self.at.unknown > 0 {
            tracing::warn!(
                instance = self.account.instance,
                "the plugin takes {} items as known that the mirror does not have; the next pull reads everything",
                self.at.unknown
            );
            return None;
        }
        let before = self.account.sync_token.as_ref().filter(|_| self.at.partial.is_some());
        self.at.sync_token.as_ref().or(before).map(String::as_str)
    }

    async fn end_partial(&self, tx: &mut Tx, code: &str, detail: &str) -> sqlx::Result<Ending> {
        items::give_up_marks(tx, &self.account.id, &self.at.run).await?;
        Ok(partial(code, detail))
    }

    /// Ends a run that saw the whole library, if perhaps not all playlists.
    async fn end_complete(&self, tx: &mut Tx) -> sqlx::Result<Ending> {
        let (account, run) = (&self.account.id, &self.at.run);
        if self.at.listing == Listing::Everything {
            items::mark_missing(tx, account, run, false).await?;
        }
        // A list of playlists always names all of them, unless it says that it does not.
        if self.can.playlists && self.at.partial_playlists.is_none() {
            items::mark_missing(tx, account, run, true).await?;
        }
        let missing = items::missing(tx, account, run).await?;
        let total = items::total(tx, account).await?;
        let complete = match &self.at.partial_playlists {
            None => Ending { state: "applied", completeness: Some("complete"), ..Ending::default() },
            Some((code, detail)) => partial(code, detail),
        };
        if missing.count() > FREE_REMOVALS && missing.count() * FREE_SHARE > total {
            items::hold(tx, account, run).await?;
            return Ok(Ending { state: "held", plan: Some(plan(&missing, total).to_string()), ..complete });
        }
        let removed = items::remove(tx, account, run, self.can.saved).await?;
        pull_runs::count(tx, run, &Counts { removed, ..Counts::default() }).await?;
        Ok(complete)
    }

    async fn announce(&self, tx: &mut Tx, state: &str, completeness: &str) -> sqlx::Result<()> {
        let counts = pull_runs::counts(tx, &self.at.run).await?;
        let data = json!({
            "account": self.account.id, "provider": self.account.instance, "run": self.at.run, "state": state,
            "completeness": completeness, "counts": counts,
        });
        let event = |kind: &'static str| Event {
            kind,
            subject: Some(&self.account.instance),
            user: self.account.owner.as_deref(),
            data: data.clone(),
        };
        if counts.upserted + counts.moved + counts.removed > 0 {
            events::emit(tx, event("library.changed")).await?;
        }
        events::emit(tx, event("sync.finished")).await?;
        Ok(())
    }
}

fn partial(code: &str, detail: &str) -> Ending {
    Ending {
        state: "applied",
        completeness: Some("partial"),
        code: Some(code.to_owned()),
        detail: Some(detail.to_owned()),
        plan: None,
    }
}

/// What a held run would remove, for people to decide.
fn plan(missing: &Missing, total: i64) -> Value {
    let name = |doc: &str| {
        let doc: Value = serde_json::from_str(doc).unwrap_or_default();
        doc.get("title").or_else(|| doc.get("name")).cloned().unwrap_or_default()
    };
    let kinds: serde_json::Map<String, Value> = missing.kinds.iter().map(|(k, n)| (k.clone(), json!(n))).collect();
    let sample: Vec<Value> = missing.sample.iter().map(|(uri, doc)| json!({"uri": uri, "title": name(doc)})).collect();
    json!({"remove": missing.count(), "of": total, "kinds": kinds, "sample": sample})
}
