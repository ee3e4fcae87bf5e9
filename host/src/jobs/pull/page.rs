//! Stores a page of the library or of playlists: what the plugin returned is checked, and only what is wrong is dropped.

use std::collections::{HashMap, HashSet};

use zotify_plugin_api::{Completeness, Item, Kind, LibraryPage, Listing, Page, Skipped, Uri, wire::Rows};

use super::{Pull, Step};
use crate::{
    db::{
        Tx, items, now_ms,
        pull_runs::{self, Counts, Skip},
    },
    jobs::JobError,
    mirror::{Row, clean},
};

/// What a page comes to once it is checked.
#[derive(Default)]
struct Checked {
    rows: Vec<Row>,
    counts: Counts,
    skips: Vec<Skip>,
}

impl Pull {
    pub(super) async fn store_library(&mut self, page: LibraryPage, next: Option<String>) -> Result<(), JobError> {
        let moved = self.own_moves(&page.moved);
        let mut checked = self.check(page.upsert, |kind| kind != Kind::Playlist, &moved).await?;
        checked.counts.skipped = count(page.skipped.len());
        checked.skips.extend(page.skipped.into_iter().map(skip));
        let unchanged = self.own(page.unchanged);
        let removed = self.own(page.removed);
        self.at.listing = page.listing;
        let forecast = page.forecast;
        self.at.cursor = next;
        if self.at.cursor.is_none() {
            self.at.step = Step::Playlists;
            self.at.sync_token = page.sync_token;
            self.at.partial = reason(page.completeness);
        }
        let account = self.account.id.clone();
        let mut tx = self.ctx.app.db.write().await?;
        for (old, new) in &moved {
            checked.counts.moved += i64::from(items::rename(&mut tx, &account, old, new).await?);
        }
        let pairs: Vec<_> = moved.iter().map(|(old, new)| (old.as_str(), new.as_str())).collect();
        crate::db::likes::follow(&mut tx, self.account.owner.as_deref(), &pairs, self.can.likes_write).await?;
        crate::db::plays::follow(&mut tx, self.account.owner.as_deref(), &pairs).await?;
        items::upsert(&mut tx, &account, &self.at.run, true, &checked.rows).await?;
        if let Some(forecast) = forecast {
            let bounded = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
            pull_runs::forecast(&mut tx, &self.at.run, bounded(forecast.requests), bounded(forecast.items)).await?;
        }
        if self.at.listing == Listing::Everything {
            let known = items::seen(&mut tx, &account, &self.at.run, &unchanged).await?;
            checked.counts.unchanged = i64::try_from(known).unwrap_or(0);
            self.at.unknown += (unchanged.len() as u64).saturating_sub(known);
        }
        if self.at.listing == Listing::Changes {
            items::mark_removed(&mut tx, &account, &self.at.run, &removed).await?;
        }
        self.save(tx, &checked.counts, &checked.skips).await
    }

    pub(super) async fn store_playlists(&mut self, page: Page, next: Option<String>) -> Result<(), JobError> {
        let mut checked = self.check(page.items, |kind| kind == Kind::Playlist, &HashMap::new()).await?;
        checked.counts.skipped = count(page.skipped.len());
        checked.skips.extend(page.skipped.into_iter().map(skip));
        self.at.partial_playlists = self.at.partial_playlists.take().or_else(|| reason(page.completeness));
        self.at.cursor = next;
        if self.at.cursor.is_none() {
            self.at.step = Step::Entries;
        }
        let mut tx = self.ctx.app.db.write().await?;
        items::upsert(&mut tx, &self.account.id, &self.at.run, true, &checked.rows).await?;
        self.save(tx, &checked.counts, &checked.skips).await
    }

    pub(super) async fn save(&self, mut tx: Tx, counts: &Counts, skips: &[Skip]) -> Result<(), JobError> {
        pull_runs::count(&mut tx, &self.at.run, counts).await?;
        pull_runs::skip(&mut tx, &self.at.run, skips).await?;
        self.ctx.save_checkpoint(&mut tx, &self.at).await?;
        Ok(tx.commit().await?)
    }

    /// Makes rows of a page's items. What came into the library earlier keeps its time.
    async fn check(
        &self,
        upsert: Rows<Item>,
        wanted: impl Fn(Kind) -> bool,
        moved: &HashMap<String, String>,
    ) -> Result<Checked, JobError> {
        let mut checked = Checked::default();
        for why in upsert.rejected {
            self.drop_item(&mut checked, Skip { name: "an item".into(), code: "undecodable".into(), detail: why });
        }
        let mut kept: Vec<Item> = Vec::with_capacity(upsert.rows.len());
        let mut seen = HashSet::new();
        // From the end: of two items with one address the later one counts.
        for mut item in upsert.rows.into_iter().rev() {
            match clean::clean(&mut item, &self.account.instance) {
                Ok(()) if !wanted(item.kind()) => {
                    let skip = Skip {
                        name: item.uri().to_string(),
                        code: "wrong_kind".into(),
                        detail: format!("a {} does not belong into this list", item.kind()),
                    };
                    self.drop_item(&mut checked, skip);
                }
                Ok(()) if seen.insert(item.uri().clone()) => kept.push(item),
                Ok(()) => {}
                Err(why) => {
                    let skip = Skip { name: why.name, code: why.code.into(), detail: why.detail };
                    self.drop_item(&mut checked, skip);
                }
            }
        }
        let added = self.added(&kept, moved).await?;
        let now = now_ms();
        let since = |uri: &Uri| added.get(uri.as_str()).copied().unwrap_or(now);
        checked.rows = kept.into_iter().rev().filter_map(|item| Row::new(item.clone(), since(item.uri()))).collect();
        checked.counts.upserted = count(checked.rows.len());
        Ok(checked)
    }

    /// When items came into the library, by their new addresses.
    async fn added(&self, kept: &[Item], moved: &HashMap<String, String>) -> sqlx::Result<HashMap<String, i64>> {
        if self.at.first || kept.is_empty() {
            return Ok(HashMap::new());
        }
        let mut uris: Vec<String> = kept.iter().map(|item| item.uri().to_string()).collect();
        uris.extend(moved.keys().cloned());
        let mut db = self.ctx.app.db.read().acquire().await?;
        let mut added = items::added_at(&mut db, &self.account.id, &uris).await?;
        for (old, new) in moved {
            if let Some(since) = added.get(old).copied() {
                added.insert(new.clone(), since);
            }
        }
        Ok(added)
    }

    fn drop_item(&self, checked: &mut Checked, skip: Skip) {
        tracing::warn!(
            instance = self.account.instance,
            item = skip.name,
            code = skip.code,
            "dropped an item of the plugin: {}",
            skip.detail
        );
        checked.counts.dropped += 1;
        checked.skips.push(skip);
    }

    fn own(&self, uris: Vec<Uri>) -> Vec<String> {
        let own = |uri: &Uri| uri.instance() == self.account.instance;
        uris.into_iter().filter(own).map(|uri| uri.to_string()).collect::<HashSet<_>>().into_iter().collect()
    }

    fn own_moves(&self, moved: &[(Uri, Uri)]) -> HashMap<String, String> {
        let own = |uri: &Uri| uri.instance() == self.account.instance;
        let sane = |(old, new): &&(Uri, Uri)| own(old) && own(new) && old.kind() == new.kind() && old != new;
        moved.iter().filter(sane).map(|(old, new)| (old.to_string(), new.to_string())).collect()
    }
}

fn reason(completeness: Completeness) -> Option<(String, String)> {
    match completeness {
        Completeness::Complete => None,
        Completeness::Partial { mut code, mut detail } => {
            clean::text(&mut code, 64);
            clean::text(&mut detail, 1000);
            Some((code, detail))
        }
        _ => {
            Some(("unknown".into(), "the provider says of the run's completeness what this host does not know".into()))
        }
    }
}

fn skip(skipped: Skipped) -> Skip {
    let mut skip = Skip { name: skipped.name, code: skipped.code, detail: skipped.detail };
    clean::text(&mut skip.name, 1000);
    clean::text(&mut skip.code, 64);
    clean::text(&mut skip.detail, 1000);
    skip
}

pub(super) fn count(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}
