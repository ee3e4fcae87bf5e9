//! Reads an account's podcasts, page by page: what is new, what changed, what left.
//!
//! A feed is asked for with what its publisher gave to tell a change by, and takes no work where there is none. What of
//! it is told is found by comparing it with what the host has ([`tell`]); where a run stands is in [`position`].

mod position;
mod start;
mod tell;

use std::{
    collections::{BTreeMap, HashSet},
    time::{Duration, Instant},
};

use futures::future::join_all;
use position::{Position, SyncToken};
use tell::{Telling, Told};
use zotify_plugin_api::prelude::*;

use crate::{
    feed::Damage,
    ids::{self, Id, feed_url},
    items::ShowOf,
    reader::{Copy, Known, Outcome, Reader},
    store::{self, Entry, FeedState, Store, Subscription, episode_writes, feed_write},
    web::{Failure, Validators},
};

/// Feeds that are asked for at a time: each may have 16 MiB, and as much again when it is read, of 256 for the process.
const AT_ONCE: usize = 3;
/// After this time a page ends.
const PATIENCE: Duration = Duration::from_secs(15);
/// Episodes of a show that left, on a page.
const REMOVED: usize = 4096;
/// How long a feed that cannot be read keeps a run from being complete, in milliseconds: later it counts as one that is
/// known to be broken, and what it listed stays.
const HOPEFUL_MS: i64 = 3 * 24 * 3600 * 1000;
/// How often a feed is looked at that its publisher took away, in milliseconds.
const GONE_MS: i64 = 7 * 24 * 3600 * 1000;
/// The longest that a server can ask to wait, in milliseconds.
const LONGEST_WAIT_MS: u64 = 24 * 3600 * 1000;

/// A page of an account's podcasts.
pub(crate) async fn page(
    cx: &Context,
    reader: &Reader,
    account: &str,
    request: &LibraryChanges,
) -> Result<LibraryPage> {
    let store = Store::of(cx, account);
    let now_ms = cx.clock().now_ms().await?;
    let at = match &request.cursor {
        Some(text) => Position::parse(text)?,
        None => start::start(&store, request.since.as_deref(), now_ms).await?,
    };
    let mut book = store.book().await?.filter(|book| book.epoch == at.epoch).ok_or_else(position::unknown)?;
    // First of all, so that nothing is ever told by a page that nobody knows of.
    (book.answered, book.content) = (at.next, true);
    store.put_book(&book).await?;
    let (subscriptions, mut states) = (store.subscriptions().await?, store.states().await?);
    // The host asks for this page because it has the one before, and not this one, however often it was answered.
    states.values_mut().for_each(|state| _ = state.take_back(at.next));
    let mut run = Run {
        cx,
        reader,
        now_ms,
        subscriptions,
        states,
        told: Told::default(),
        skipped: Vec::new(),
        through: HashSet::new(),
        full: false,
        store,
        at,
    };
    run.removals().await?;
    run.feeds().await?;
    let page = run.finish()?;
    if page.next.is_none() || page_is_empty(&page) {
        book.content = !page_is_empty(&page);
        if page.next.is_none() {
            book.partial = page.completeness != Completeness::Complete;
        }
        run.store.put_book(&book).await?;
    }
    Ok(page)
}

fn page_is_empty(page: &LibraryPage) -> bool {
    page.upsert.rows.is_empty() && page.removed.is_empty() && page.moved.is_empty()
}

/// A run, as far as one page goes.
struct Run<'a> {
    cx: &'a Context,
    reader: &'a Reader,
    store: Store,
    at: Position,
    now_ms: i64,
    subscriptions: BTreeMap<Id, Subscription>,
    states: BTreeMap<Id, FeedState>,
    told: Told,
    skipped: Vec<Skipped>,
    /// Shows that this page is through with.
    through: HashSet<Id>,
    /// There is something to tell that did not fit.
    full: bool,
}

impl Run<'_> {
    /// Tells of shows that nobody follows any more. Where everything is told, it is enough not to name them.
    async fn removals(&mut self) -> Result<()> {
        if self.at.everything {
            return Ok(());
        }
        let left: Vec<Id> = self.states.keys().filter(|show| !self.subscriptions.contains_key(show)).copied().collect();
        for show in left {
            let entries = self.store.entries(show).await?;
            let Some(state) = self.states.get_mut(&show) else { continue };
            let before = state.removed.clone();
            state.removed.resize(entries.len().div_ceil(REMOVED).max(1), 0);
            for (n, told) in state.removed.iter_mut().enumerate() {
                if self.at.has_of_run(*told) {
                    continue;
                }
                let chunk = entries.get(n * REMOVED..).map(|rest| &rest[..rest.len().min(REMOVED)]).unwrap_or_default();
                if !self.told.fits(chunk.len() * 90) {
                    self.full = true;
                    break;
                }
                if n == 0 {
                    self.told.remove(self.cx.uri(Kind::Show, &show.to_string())?);
                }
                for entry in chunk {
                    self.told.remove(self.cx.uri(Kind::Episode, &ids::episode(show, entry.id))?);
                }
                *told = self.at.next;
            }
            if state.removed != before {
                self.store.write(vec![feed_write(show, Some(state.clone()))]).await?;
            }
            if self.full {
                break;
            }
        }
        Ok(())
    }

    /// Reads feeds until the page is full, or all are read.
    async fn feeds(&mut self) -> Result<()> {
        let began = Instant::now();
        while !self.full {
            let due = self.next_due();
            if due.is_empty() {
                break;
            }
            let looked = join_all(due.iter().map(|show| self.look(*show))).await;
            for (show, outcome) in due.into_iter().zip(looked) {
                self.take(show, outcome).await?;
            }
            if began.elapsed() > PATIENCE {
                break;
            }
        }
        Ok(())
    }

    /// The shows to look at now. One whose feed is in memory goes first and alone: it may fill this page and others, and
    /// other feeds would push it out.
    fn next_due(&self) -> Vec<Id> {
        let held = self.due().find(|show| self.reader.held(*show).is_some_and(|copy| self.is_fresh(&copy)));
        held.map_or_else(|| self.due().take(AT_ONCE).collect(), |show| vec![show])
    }

    /// Whether a feed was read lately enough for this run.
    fn is_fresh(&self, copy: &Copy) -> bool {
        copy.at_ms >= self.at.began_ms || self.reader.is_fresh(copy.at_ms, self.now_ms)
    }

    /// Shows that this run is not through with yet.
    fn due(&self) -> impl Iterator<Item = Id> + '_ {
        self.subscriptions.iter().filter_map(|(show, subscription)| {
            let Some(state) = self.states.get(show) else { return Some(*show) };
            let through = self.through.contains(show) || (state.run.0 == self.at.first && self.at.has(state.run.1));
            let waits = self.is_told(state, subscription) && state.next_ms > self.at.began_ms;
            (!through && !waits).then_some(*show)
        })
    }

    /// Whether the host has what is known of a feed.
    fn is_told(&self, state: &FeedState, subscription: &Subscription) -> bool {
        let known = state.body.is_some() || state.failing.is_some() || state.gone;
        known && state.token == subscription.token && self.at.has(state.page.max(state.head_page))
    }

    async fn look(&self, show: Id) -> Result<Outcome, Failure> {
        let (Some(subscription), state) = (self.subscriptions.get(&show), self.states.get(&show)) else {
            return Err(Failure::new("bad_address", "the feed's address cannot be asked"));
        };
        let text = state.map_or(&subscription.url, |state| &state.url);
        let url = feed_url(text).ok_or_else(|| Failure::new("bad_address", "the feed's address cannot be asked"))?;
        let told = state.filter(|state| state.body.is_some() && self.is_told(state, subscription));
        let held = self.reader.held(show);
        if let Some(copy) = held.filter(|copy| self.is_fresh(copy)) {
            return Ok(match told.is_some_and(|state| state.body == Some(copy.body)) {
                true => Outcome::Unchanged { moved: copy.moved },
                false => Outcome::Read(copy),
            });
        }
        let known = told.map(|state| Known { validators: state.validators.clone(), body: state.body });
        self.reader.look(show, &url, &known.unwrap_or_default()).await
    }

    /// Tells what came of a look at a feed.
    async fn take(&mut self, show: Id, outcome: Result<Outcome, Failure>) -> Result<()> {
        let Some(subscription) = self.subscriptions.get(&show).cloned() else { return Ok(()) };
        let mut state = self.states.remove(&show).unwrap_or_default();
        let before = self.store.entries(show).await?;
        let mut entries = before.clone();
        store::take_back(&mut entries, self.at.next);
        if state.token != subscription.token {
            // Followed anew: what the host had of it went when it was left.
            entries.iter_mut().for_each(|entry| entry.page = 0);
            state = FeedState {
                url: state.url,
                title: state.title,
                token: subscription.token.clone(),
                ..FeedState::default()
            };
        }
        if state.url.is_empty() {
            state.url.clone_from(&subscription.url);
        }
        if self.judge(&mut state, show, &subscription, &mut entries, outcome)? {
            state.run = (self.at.first, self.at.next);
            self.through.insert(show);
        } else {
            self.full = true;
            (state.validators, state.body) = (Validators::default(), None);
        }
        let mut writes = episode_writes(show, &before, &entries);
        writes.push(feed_write(show, Some(state.clone())));
        self.states.insert(show, state);
        self.store.write(writes).await
    }

    /// Whether the run is through with a feed.
    fn judge(
        &mut self,
        state: &mut FeedState,
        show: Id,
        subscription: &Subscription,
        entries: &mut Vec<Entry>,
        outcome: Result<Outcome, Failure>,
    ) -> Result<bool> {
        let refresh = i64::try_from(self.reader.refresh.as_millis()).unwrap_or(i64::MAX);
        state.next_ms = self.now_ms.saturating_add(refresh);
        let copy = match outcome {
            Err(failure) => {
                let wait = failure.retry_after_ms.unwrap_or(0).min(LONGEST_WAIT_MS);
                state.next_ms = state.next_ms.max(self.now_ms.saturating_add_unsigned(wait));
                let since = state.failing.as_ref().map_or(self.now_ms, |(since, _)| *since);
                state.failing = Some((since, failure));
                None
            }
            Ok(Outcome::Gone) => {
                (state.gone, state.failing) = (true, None);
                state.next_ms = self.now_ms.saturating_add(GONE_MS);
                None
            }
            Ok(Outcome::Unchanged { moved }) => {
                (state.gone, state.failing) = (false, None);
                state.url = moved.map_or_else(|| state.url.clone(), String::from);
                return Ok(true);
            }
            Ok(Outcome::Read(copy)) => {
                (state.gone, state.failing) = (false, None);
                state.url = copy.moved.clone().map_or_else(|| state.url.clone(), String::from);
                Some(copy)
            }
        };
        let title = state.title.clone().or_else(|| subscription.title.clone());
        let of =
            ShowOf { id: show, url: &subscription.url, title: title.as_deref(), added_ms: Some(subscription.added_ms) };
        self.skipped.extend(skipped(state, subscription, copy.as_ref()));
        let (cx, at) = (self.cx, &self.at);
        let mut telling = Telling { cx, at, show: of, state: &mut *state, entries, told: &mut self.told };
        let Some(copy) = copy else {
            // What is there stays as it is; what never was is told by name at least.
            return if at.has(telling.state.head_page) { Ok(true) } else { telling.head(None) };
        };
        telling.state.title.clone_from(&copy.feed.title);
        if !telling.head(Some(&copy.feed))? || !telling.episodes(&copy.feed)? {
            return Ok(false);
        }
        // A feed that broke off is asked for in full again.
        let whole = copy.feed.damage != Some(Damage::Broken);
        state.validators = if whole { copy.validators } else { Validators::default() };
        state.body = Some(copy.body);
        Ok(true)
    }

    /// Names the feeds that this run did not look at, because they are known to be broken for now.
    fn skip_waiting(&mut self) {
        let waiting = self.subscriptions.iter().filter_map(|(show, subscription)| {
            let state = self.states.get(show).filter(|state| state.run.0 != self.at.first)?;
            skipped(state, subscription, None)
        });
        self.skipped.extend(waiting.collect::<Vec<_>>());
    }

    fn finish(&mut self) -> Result<LibraryPage> {
        let left = self.due().count() as u64;
        let total = self.subscriptions.len() as u64;
        let told = std::mem::take(&mut self.told);
        let ends = !self.full && left == 0 && told.is_empty();
        if ends {
            self.skip_waiting();
        }
        let mut page = LibraryPage {
            listing: if self.at.everything { Listing::Everything } else { Listing::Changes },
            upsert: told.upsert.into(),
            removed: told.removed,
            moved: told.moved,
            skipped: std::mem::take(&mut self.skipped),
            progress: Some(Progress { done: total.saturating_sub(left), total: Some(total) }),
            ..LibraryPage::default()
        };
        if !ends {
            page.next = Some(Position { next: self.at.next + 1, ..self.at.clone() }.format());
            return Ok(page);
        }
        page.completeness = self.completeness();
        if page.completeness == Completeness::Complete {
            page.sync_token = Some(SyncToken { epoch: self.at.epoch.clone(), page: self.at.next }.format());
        }
        Ok(page)
    }

    /// A feed that cannot be read now may hold what was not seen. What was told of it before stays; but where everything
    /// is told, a complete run would take away what it does not name.
    fn completeness(&self) -> Completeness {
        let unseen = |show: &&Id| {
            let Some(state) = self.states.get(*show) else { return true };
            let hopeful = |(since, _): &(i64, Failure)| self.now_ms.saturating_sub(*since) < HOPEFUL_MS;
            match self.at.everything {
                true => state.gone || state.failing.is_some(),
                false => state.failing.as_ref().is_some_and(hopeful),
            }
        };
        match self.subscriptions.keys().filter(unseen).count() {
            0 => Completeness::Complete,
            count => Completeness::Partial {
                code: "feeds_unreadable".into(),
                detail: format!("{count} of {} feeds could not be read", self.subscriptions.len()),
            },
        }
    }
}

/// Why a feed could not be read, or not all of it.
fn skipped(state: &FeedState, subscription: &Subscription, copy: Option<&Copy>) -> Option<Skipped> {
    let damage = copy.and_then(|copy| copy.feed.damage).map(|damage| match damage {
        Damage::Broken => Failure::new("damaged", "the feed's markup breaks off; what came before was read"),
        Damage::TooMany => Failure::new("too_many_episodes", "the feed lists more episodes than are read"),
    });
    let gone = state.gone.then(|| Failure::new("gone", "the publisher took the feed away; what it had listed stays"));
    let why = damage.or(gone).or_else(|| Some(state.failing.clone()?.1))?;
    let title = copy.and_then(|copy| copy.feed.title.as_ref()).or(state.title.as_ref()).or(subscription.title.as_ref());
    let host = || feed_url(&subscription.url)?.host_str().map(str::to_owned);
    let name = title.cloned().or_else(host).unwrap_or_default();
    Some(Skipped { name, code: why.code, detail: why.detail })
}
