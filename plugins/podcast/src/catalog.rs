//! Looking things up: shows, their episodes, and what an address names.

use std::sync::Arc;

use url::Url;
use zotify_plugin_api::prelude::*;

use crate::{
    feed::{self, Feed},
    ids::{self, Id, feed_url},
    items::ShowOf,
    reader::Reader,
    store::{self, Store, Subscription},
};

/// Episodes of a page where the host names no number, and at most.
const ROWS: usize = 50;
const MAX_ROWS: usize = 200;

/// A show whose feed was read.
pub(crate) struct Found {
    id: Id,
    url: String,
    subscription: Option<Subscription>,
    pub(crate) feed: Arc<Feed>,
}

impl Found {
    fn show(&self) -> ShowOf<'_> {
        ShowOf {
            id: self.id,
            url: &self.url,
            title: self.subscription.as_ref().and_then(|subscription| subscription.title.as_deref()),
            added_ms: self.subscription.as_ref().map(|subscription| subscription.added_ms),
        }
    }

    pub(crate) fn episode(&self, id: Id) -> Option<&feed::Episode> {
        self.feed.episodes.iter().find(|episode| episode.id() == id)
    }
}

/// One account's view of podcasts.
pub(crate) struct Catalog<'a> {
    pub(crate) cx: &'a Context,
    pub(crate) reader: &'a Reader,
    pub(crate) account: &'a str,
}

impl Catalog<'_> {
    /// A show that the account follows, or that somebody looked up lately.
    ///
    /// # Errors
    /// `not_found` for another one, or why its feed cannot be read.
    pub(crate) async fn show(&self, id: Id) -> Result<Found> {
        let store = Store::of(self.cx, self.account);
        let unknown = || ProviderError::not_found("a podcast with this address");
        if let Some(subscription) = store.subscription(id).await? {
            let now_at = store.state(id).await?.map_or_else(|| subscription.url.clone(), |state| state.url);
            let at = feed_url(&now_at).ok_or_else(unknown)?;
            let feed = self.reader.feed(id, &at).await?.feed;
            return Ok(Found { id, url: subscription.url.clone(), subscription: Some(subscription), feed });
        }
        let now_ms = self.cx.clock().now_ms().await?;
        let url = store::remembered(self.cx, id, now_ms).await?.ok_or_else(unknown)?;
        let feed = self.reader.feed(id, &feed_url(&url).ok_or_else(unknown)?).await?.feed;
        Ok(Found { id, url, subscription: None, feed })
    }

    /// One show or episode.
    pub(crate) async fn get(&self, uri: &Uri) -> Result<Item> {
        let gone = || ProviderError::not_found(uri);
        match uri.kind() {
            Kind::Show => {
                let found = self.show(Id::parse(uri.id()).ok_or_else(gone)?).await?;
                Ok(Item::Show(found.show().item(self.cx, Some(&found.feed))?))
            }
            Kind::Episode => {
                let (show, episode) = ids::parse_episode(uri.id()).ok_or_else(gone)?;
                let found = self.show(show).await?;
                let episode = found.episode(episode).ok_or_else(gone)?;
                Ok(Item::Episode(found.show().episode(self.cx, &found.feed, episode, self.now().await?)?))
            }
            _ => Err(gone()),
        }
    }

    /// The episodes that a show's feed lists, newest first. A cursor is the last episode of the page before, so that new
    /// ones move none from page to page.
    pub(crate) async fn episodes(&self, request: &Children) -> Result<Page> {
        if request.relation != Relation::ShowEpisodes {
            return Err(ProviderError::unsupported("children of that kind"));
        }
        let id = Some(&request.uri).filter(|uri| uri.kind() == Kind::Show).and_then(|uri| Id::parse(uri.id()));
        let found = self.show(id.ok_or_else(|| ProviderError::not_found(&request.uri))?).await?;
        let all = &found.feed.episodes;
        let start = match &request.page.cursor {
            Some(after) => {
                let after = Id::parse(after);
                1 + all.iter().position(|episode| Some(episode.id()) == after).ok_or_else(invalid_cursor)?
            }
            None => 0,
        };
        let rows = match request.page.limit as usize {
            0 => ROWS,
            rows => rows.min(MAX_ROWS),
        };
        let part = &all[start..all.len().min(start + rows)];
        let (show, now) = (found.show(), self.now().await?);
        let items = part.iter().map(|episode| Ok(Item::Episode(show.episode(self.cx, &found.feed, episode, now)?)));
        let next = part.last().filter(|_| start + part.len() < all.len()).map(|episode| episode.id().to_string());
        Ok(Page {
            items: items.collect::<Result<Vec<_>>>()?.into(),
            next,
            total: Some(all.len() as u64),
            ..Page::default()
        })
    }

    /// The podcast whose feed stands at an address. What is no feed is none of this provider's.
    pub(crate) async fn resolve(&self, by: &ResolveBy) -> Result<Resolved> {
        let ResolveBy::Text { text } = by else { return Ok(Resolved::default()) };
        let Some(url) = feed_url(text) else { return Ok(Resolved::default()) };
        let id = match self.followed(&url).await? {
            Some(id) => id,
            None => match self.look_up(&url).await {
                Ok(id) => id,
                Err(error) if is_no_feed(&error) => return Ok(Resolved::default()),
                Err(error) => return Err(error),
            },
        };
        let found = self.show(id).await?;
        Ok(Resolved { items: vec![Item::Show(found.show().item(self.cx, Some(&found.feed))?)].into(), uri: None })
    }

    /// The show that the account follows by an address, the first one or where it has moved since.
    async fn followed(&self, url: &Url) -> Result<Option<Id>> {
        let (store, id) = (Store::of(self.cx, self.account), Id::of_feed(url));
        if store.subscription(id).await?.is_some() {
            return Ok(Some(id));
        }
        let subscriptions = store.subscriptions().await?;
        let moved = store.states().await?.into_iter().find(|(show, state)| {
            subscriptions.contains_key(show) && feed_url(&state.url).is_some_and(|at| Id::of_feed(&at) == id)
        });
        Ok(moved.map(|(show, _)| show))
    }

    async fn look_up(&self, url: &Url) -> Result<Id> {
        let id = Id::of_feed(url);
        self.reader.feed(id, url).await?;
        store::remember(self.cx, id, url, self.cx.clock().now_ms().await?).await?;
        Ok(id)
    }

    async fn now(&self) -> Result<i64> {
        Ok(self.cx.clock().now_ms().await? / 1000)
    }
}

/// Whether something answered, and what it answered is no feed.
fn is_no_feed(error: &ProviderError) -> bool {
    let codes =
        ["web_page", "not_a_feed", "malformed", "not_found", "gone", "refused", "unexpected_status", "too_large"];
    error.code.as_deref().is_some_and(|code| codes.contains(&code))
}

fn invalid_cursor() -> ProviderError {
    ProviderError::invalid("the cursor names no episode of this podcast").with_code("invalid_cursor")
}
