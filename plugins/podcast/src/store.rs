//! What an account follows, and what the host has of it: key-value entries of the account.
//!
//! `sub/<show>` says that a show is followed, and is written by whoever follows or unfollows it. `feed/<show>` says how its
//! feed was when the library was read, `eps/<show>/<n>` which episodes the host has; a pull writes both. A show that has
//! the latter and not the former is to be taken out of the library.

mod episodes;

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use ulid::Ulid;
use url::Url;
use zotify_plugin_api::{Context, ErrorKind, KeyValue, ProviderError, Result};

pub(crate) use episodes::{Entry, MAX_ENTRIES, take_back};

use crate::{
    ids::{Id, feed_url},
    web::{Failure, Validators},
};

/// The shows that an account may follow.
pub(crate) const MAX_SHOWS: usize = 2000;
/// How long a show that was looked up can be followed by its URI alone, in milliseconds: a day.
const LOOKED_UP_MS: i64 = 24 * 3600 * 1000;
/// How many such shows are remembered.
const MAX_LOOKED_UP: usize = 500;

/// A feed that somebody wants to follow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Seed {
    pub(crate) url: String,
    #[serde(default)]
    pub(crate) title: Option<String>,
}

impl Seed {
    pub(crate) fn id(&self) -> Option<Id> {
        feed_url(&self.url).map(|url| Id::of_feed(&url))
    }
}

/// A show that is followed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Subscription {
    /// The address that it was first followed by: the id is made of it.
    pub(crate) url: String,
    /// What the list that it came from calls it.
    pub(crate) title: Option<String>,
    /// Since when, in milliseconds.
    pub(crate) added_ms: i64,
    /// Another one each time that it is followed anew: what the host was told before may be forgotten there.
    pub(crate) token: String,
}

/// A feed as a pull left it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct FeedState {
    /// Where it is now, after all moves.
    pub(crate) url: String,
    pub(crate) title: Option<String>,
    /// Of what was told in full.
    pub(crate) validators: Validators,
    /// A hash of the document that was told in full.
    pub(crate) body: Option<u64>,
    /// The subscription's token when it was told.
    pub(crate) token: String,
    /// The page that told of it last; 0 where none did.
    pub(crate) page: u32,
    /// A hash of the show as it was told.
    pub(crate) head: u64,
    /// The page that told of the show last.
    pub(crate) head_page: u32,
    /// The first page of the run that was through with it, and the page that was.
    pub(crate) run: (u32, u32),
    /// When it is due again, in milliseconds.
    pub(crate) next_ms: i64,
    /// Since when it cannot be read, in milliseconds, and why.
    pub(crate) failing: Option<(i64, Failure)>,
    /// Its publisher took it away.
    pub(crate) gone: bool,
    /// Pages that told that its episodes are gone, for each of their chunks.
    pub(crate) removed: Vec<u32>,
}

impl FeedState {
    /// Takes back what pages told from one on: the host may not have them. Whether there was anything.
    pub(crate) fn take_back(&mut self, from: u32) -> bool {
        let before = self.clone();
        self.removed.iter_mut().chain([&mut self.head_page]).filter(|page| **page >= from).for_each(|page| *page = 0);
        if self.page >= from {
            (self.page, self.validators, self.body) = (0, Validators::default(), None);
        }
        if self.run.1 >= from {
            (self.run, self.next_ms) = ((0, 0), 0);
        }
        *self != before
    }
}

/// How far the host is with what this provider told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Book {
    /// Which entries these are: when all is told anew, all are new.
    pub(crate) epoch: String,
    /// The last page that was answered, counted over all runs.
    pub(crate) answered: u32,
    /// Whether there was something on it.
    pub(crate) content: bool,
    /// Whether the last run that came to its end did not see everything, so that the host was given no token.
    pub(crate) partial: bool,
}

/// Any of the values, for writing several at once.
#[derive(Serialize)]
#[serde(untagged)]
pub(crate) enum Value {
    Feed(Box<FeedState>),
    Episodes(ByteBuf),
}

/// What is written at once.
pub(crate) type Writes = Vec<(String, Option<Value>)>;

/// The entries of an account.
pub(crate) struct Store {
    kv: KeyValue,
}

impl Store {
    pub(crate) fn of(cx: &Context, account: &str) -> Self {
        Self { kv: cx.account_kv(account) }
    }

    pub(crate) async fn subscriptions(&self) -> Result<BTreeMap<Id, Subscription>> {
        by_id(self.kv.scan_all("sub/").await?)
    }

    pub(crate) async fn subscription(&self, show: Id) -> Result<Option<Subscription>> {
        self.kv.get(&sub_key(show)).await
    }

    pub(crate) async fn states(&self) -> Result<BTreeMap<Id, FeedState>> {
        by_id(self.kv.scan_all("feed/").await?)
    }

    pub(crate) async fn state(&self, show: Id) -> Result<Option<FeedState>> {
        self.kv.get(&feed_key(show)).await
    }

    /// Follows feeds. What is followed already stays as it is.
    ///
    /// # Errors
    /// `too_large` with the code `too_many_subscriptions`; then none is followed.
    pub(crate) async fn follow(&self, seeds: &[Seed], now_ms: i64) -> Result<()> {
        let known = self.subscriptions().await?;
        let wanted: BTreeMap<Id, &Seed> = seeds.iter().filter_map(|seed| Some((seed.id()?, seed))).collect();
        let new: Vec<_> = wanted.into_iter().filter(|(id, _)| !known.contains_key(id)).collect();
        if known.len() + new.len() > MAX_SHOWS {
            return Err(too_many());
        }
        let entry = |(id, seed): &(Id, &Seed)| {
            let (url, title) = (seed.url.clone(), seed.title.clone());
            let token = Ulid::generate().to_string();
            (sub_key(*id), Some(Subscription { url, title, added_ms: now_ms, token }))
        };
        // A request has a limit, and an address may have two thousand bytes.
        for some in new.chunks(200) {
            self.kv.put_many(some.iter().map(entry)).await?;
        }
        Ok(())
    }

    pub(crate) async fn unfollow(&self, show: Id) -> Result<()> {
        self.kv.delete(&sub_key(show)).await
    }

    pub(crate) async fn book(&self) -> Result<Option<Book>> {
        self.kv.get("book").await
    }

    pub(crate) async fn put_book(&self, book: &Book) -> Result<()> {
        self.kv.put("book", book).await
    }

    /// The last list that was taken over.
    pub(crate) async fn imported(&self) -> Result<Option<String>> {
        self.kv.get("imported").await
    }

    pub(crate) async fn put_imported(&self, batch: &str) -> Result<()> {
        self.kv.put("imported", &batch).await
    }

    pub(crate) async fn write(&self, writes: Writes) -> Result<()> {
        if writes.is_empty() { Ok(()) } else { self.kv.put_many(writes).await }
    }

    pub(crate) async fn entries(&self, show: Id) -> Result<Vec<Entry>> {
        let chunks: Vec<(String, ByteBuf)> = self.kv.scan_all(&chunks_key(show)).await?;
        Ok(chunks.iter().flat_map(|(_, bytes)| episodes::unpack(bytes)).collect())
    }

    /// Forgets all that the host was told.
    pub(crate) async fn forget_told(&self) -> Result<()> {
        for prefix in ["feed/", "eps/"] {
            loop {
                let (page, more) = self.kv.scan::<serde::de::IgnoredAny>(prefix, None).await?;
                self.kv.put_many::<()>(page.into_iter().map(|(key, _)| (key, None))).await?;
                if !more {
                    break;
                }
            }
        }
        Ok(())
    }
}

/// The writes that change a show's episodes from one list to another.
pub(crate) fn episode_writes(show: Id, before: &[Entry], after: &[Entry]) -> Writes {
    let (old, new) = (episodes::pack(before), episodes::pack(after));
    let key = |n: usize| format!("{}{n:04}", chunks_key(show));
    (0..old.len().max(new.len()))
        .filter(|n| old.get(*n) != new.get(*n))
        .map(|n| (key(n), new.get(n).cloned().map(|bytes| Value::Episodes(ByteBuf::from(bytes)))))
        .collect()
}

pub(crate) fn feed_write(show: Id, state: Option<FeedState>) -> (String, Option<Value>) {
    (feed_key(show), state.map(|state| Value::Feed(Box::new(state))))
}

fn sub_key(show: Id) -> String {
    format!("sub/{show}")
}

fn feed_key(show: Id) -> String {
    format!("feed/{show}")
}

fn chunks_key(show: Id) -> String {
    format!("eps/{show}/")
}

fn by_id<T>(entries: Vec<(String, T)>) -> Result<BTreeMap<Id, T>> {
    let read = |(key, value): (String, T)| Some((Id::parse(key.split_once('/')?.1)?, value));
    let all = entries.into_iter().map(|entry| read(entry).ok_or_else(|| ProviderError::internal("a key is damaged")));
    all.collect()
}

fn too_many() -> ProviderError {
    let text = format!("an account can follow {MAX_SHOWS} podcasts at most");
    ProviderError::new(ErrorKind::TooLarge, text).with_code("too_many_subscriptions")
}

/// What a show that nobody follows yet is remembered by.
#[derive(Serialize, Deserialize)]
struct LookedUp {
    url: String,
    at_ms: i64,
}

/// Remembers where a show's feed is, so that its URI is enough to follow it. Hashes of addresses cannot be guessed where
/// these hold a secret.
pub(crate) async fn remember(cx: &Context, show: Id, url: &Url, now_ms: i64) -> Result<()> {
    let kv = cx.kv();
    let key = |show: &dyn fmt::Display| format!("found/{show}");
    let mut all: Vec<(String, LookedUp)> = kv.scan_all("found/").await?;
    all.retain(|(known, _)| *known != key(&show));
    all.sort_by_key(|(_, looked)| std::cmp::Reverse(looked.at_ms));
    let over = |n: usize, looked: &LookedUp| n + 1 >= MAX_LOOKED_UP || now_ms - looked.at_ms > LOOKED_UP_MS;
    let old = all.into_iter().enumerate().filter(|(n, (_, looked))| over(*n, looked)).map(|(_, (key, _))| (key, None));
    let new = (key(&show), Some(LookedUp { url: url.as_str().to_owned(), at_ms: now_ms }));
    kv.put_many(old.chain([new])).await
}

/// Where the feed of a show is that was looked up lately.
pub(crate) async fn remembered(cx: &Context, show: Id, now_ms: i64) -> Result<Option<String>> {
    let found: Option<LookedUp> = cx.kv().get(&format!("found/{show}")).await?;
    Ok(found.filter(|looked| now_ms - looked.at_ms <= LOOKED_UP_MS).map(|looked| looked.url))
}
