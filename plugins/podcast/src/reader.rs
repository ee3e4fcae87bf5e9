//! Reads feeds, and remembers the last ones: what is asked for page by page is read once.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::lock::Mutex as AsyncMutex;
use url::Url;
use xxhash_rust::xxh3::xxh3_64;
use zotify_plugin_api::{Context, ErrorKind, ProviderError, Result};

use crate::{
    blocking::blocking,
    feed::{self, Feed, NotAFeed},
    ids::Id,
    settings::Settings,
    web::{Document, Failure, Found, Validators, Web},
};

/// How much is remembered, in bytes, as far as that can be estimated.
const MAX_WEIGHT: usize = 32 << 20;
/// What an episode weighs besides its texts, in bytes.
const EPISODE: usize = 1 << 10;

/// A feed that was read.
#[derive(Clone)]
pub(crate) struct Copy {
    pub(crate) feed: Arc<Feed>,
    pub(crate) validators: Validators,
    /// A hash of the document, for servers that have no validators.
    pub(crate) body: u64,
    /// Where it was read, when that is for good not where it was asked for.
    pub(crate) moved: Option<Url>,
    /// When it was read, or found unchanged.
    pub(crate) at_ms: i64,
}

/// What became of a feed since it was read.
pub(crate) enum Outcome {
    Unchanged { moved: Option<Url> },
    Gone,
    Read(Copy),
}

/// What is known of a feed when it is asked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    pub(crate) validators: Validators,
    /// A hash of the document.
    pub(crate) body: Option<u64>,
}

pub(crate) struct Reader {
    cx: Context,
    web: Web,
    pub(crate) refresh: Duration,
    /// Feeds are parsed one by one: each takes several times its size in memory.
    parsing: AsyncMutex<()>,
    /// The last used one last.
    copies: Mutex<Vec<(Id, usize, Copy)>>,
}

impl Reader {
    pub(crate) fn new(cx: Context, settings: &Settings) -> Self {
        Self {
            web: Web::new(cx.clone(), settings),
            cx,
            refresh: settings.refresh(),
            parsing: AsyncMutex::new(()),
            copies: Mutex::default(),
        }
    }

    /// The feed as it is, or was a moment ago; as it was before where its server does not answer.
    pub(crate) async fn feed(&self, show: Id, url: &Url) -> Result<Copy> {
        let now = self.cx.clock().now_ms().await?;
        let held = self.held(show);
        if let Some(copy) = held.as_ref().filter(|copy| self.is_fresh(copy.at_ms, now)) {
            return Ok(copy.clone());
        }
        let known = held.as_ref().map(|copy| Known { validators: copy.validators.clone(), body: Some(copy.body) });
        match (self.look(show, url, &known.unwrap_or_default()).await, held) {
            (Ok(Outcome::Read(copy)), _) => Ok(copy),
            (Ok(Outcome::Unchanged { moved }), Some(copy)) => {
                let copy = Copy { at_ms: now, moved: moved.or(copy.moved.clone()), ..copy };
                self.keep(show, copy.clone());
                Ok(copy)
            }
            (_, Some(copy)) => Ok(copy),
            (Ok(_), None) => Err(Failure::new("gone", "the feed does not exist any more").into_error()),
            (Err(failure), None) => Err(failure.into_error()),
        }
    }

    /// Whether what was found at a time is good enough.
    pub(crate) fn is_fresh(&self, at_ms: i64, now_ms: i64) -> bool {
        let age = now_ms.saturating_sub(at_ms);
        (0..i64::try_from(self.refresh.as_millis()).unwrap_or(i64::MAX)).contains(&age)
    }

    /// What became of a feed since something was known of it.
    pub(crate) async fn look(&self, show: Id, url: &Url, known: &Known) -> Result<Outcome, Failure> {
        let looked = self.web.look(url, &known.validators).await?;
        let document = match looked.found {
            Found::Unchanged => return Ok(Outcome::Unchanged { moved: looked.moved }),
            Found::Gone => return Ok(Outcome::Gone),
            Found::Document(document) => document,
        };
        if known.body == Some(xxh3_64(&document.bytes)) {
            return Ok(Outcome::Unchanged { moved: looked.moved });
        }
        let mut copy = self.parse(document).await?;
        copy.moved = looked.moved;
        if let Some(there) = copy.feed.moved_to.clone().filter(|there| Id::of_feed(there) != Id::of_feed(url)) {
            copy = self.follow(&there).await.unwrap_or(copy);
        }
        self.keep(show, copy.clone());
        Ok(Outcome::Read(copy))
    }

    /// A feed may say in itself that it moved. That counts where there is one.
    async fn follow(&self, there: &Url) -> Option<Copy> {
        let looked = self.web.look(there, &Validators::default()).await.ok()?;
        let Found::Document(document) = looked.found else { return None };
        let copy = self.parse(document).await.ok()?;
        Some(Copy { moved: Some(looked.moved.unwrap_or_else(|| there.clone())), ..copy })
    }

    async fn parse(&self, document: Box<Document>) -> Result<Copy, Failure> {
        let now_ms = self.cx.clock().now_ms().await?;
        let _turn = self.parsing.lock().await;
        let Document { bytes, content_type, validators, at } = *document;
        let (feed, body) =
            blocking(move || (feed::parse(&bytes, content_type.as_deref(), &at, now_ms / 1000), xxh3_64(&bytes)))
                .await
                .map_err(broken)?;
        Ok(Copy { feed: Arc::new(feed.map_err(no_feed)?), validators, body, moved: None, at_ms: now_ms })
    }

    /// The feed as it was read last, if it is remembered.
    pub(crate) fn held(&self, show: Id) -> Option<Copy> {
        let mut copies = self.copies.lock().unwrap_or_else(PoisonError::into_inner);
        let at = copies.iter().position(|(held, ..)| *held == show)?;
        let entry = copies.remove(at);
        let copy = entry.2.clone();
        copies.push(entry);
        Some(copy)
    }

    fn keep(&self, show: Id, copy: Copy) {
        let weight = weight(&copy.feed);
        let mut copies = self.copies.lock().unwrap_or_else(PoisonError::into_inner);
        copies.retain(|(held, ..)| *held != show);
        copies.push((show, weight, copy));
        let mut total: usize = copies.iter().map(|(_, weight, _)| weight).sum();
        while total > MAX_WEIGHT && copies.len() > 1 {
            total -= copies.remove(0).1;
        }
    }
}

fn weight(feed: &Feed) -> usize {
    let texts = feed.episodes.iter().filter_map(|episode| episode.description.as_ref()).map(String::len).sum::<usize>();
    texts + feed.episodes.len() * EPISODE
}

fn broken(error: ProviderError) -> Failure {
    match error.kind {
        ErrorKind::Panicked => Failure::new("unreadable", "the feed cannot be read"),
        _ => error.into(),
    }
}

fn no_feed(why: NotAFeed) -> Failure {
    match why {
        NotAFeed::WebPage => Failure::new("web_page", "a web page stands where the feed should be"),
        NotAFeed::Malformed => Failure::new("malformed", "the feed's markup is broken"),
        NotAFeed::Unknown => Failure::new("not_a_feed", "what stands at the address is no feed"),
    }
}
