//! The start of a run: what the host has, and what was only answered.

use zotify_plugin_api::Result;

use super::position::{Position, SyncToken, is_current, new_epoch};
use crate::store::{self, Book, FeedState, Store, episode_writes, feed_write};

/// Begins a run.
pub(super) async fn start(store: &Store, since: Option<&str>, now_ms: i64) -> Result<Position> {
    let token = since.and_then(SyncToken::parse);
    let book = store.book().await?.filter(|book| is_current(&book.epoch));
    // A run that did not see everything gives the host no token, and what it told is there all the same.
    let goes_on = |book: &Book| match &token {
        Some(token) => token.epoch == book.epoch,
        None => since.is_none() && book.partial,
    };
    let at = |epoch: &str, everything, first| Position {
        epoch: epoch.to_owned(),
        everything,
        first,
        next: first,
        began_ms: now_ms,
    };
    let Some(book) = book.filter(goes_on) else {
        store.forget_told().await?;
        let book = Book { epoch: new_epoch(), ..Book::default() };
        store.put_book(&book).await?;
        return Ok(at(&book.epoch, true, 1));
    };
    let done = token.map_or(0, |token| token.page);
    if book.content && done != book.answered {
        take_back(store, book.answered).await?;
    }
    forget_removed(store, done).await?;
    Ok(at(&book.epoch, false, book.answered + 1))
}

/// Takes back what a page told that nobody came to fetch the next page of.
async fn take_back(store: &Store, lost: u32) -> Result<()> {
    for (show, mut state) in store.states().await? {
        if !state.take_back(lost) {
            continue;
        }
        let before = store.entries(show).await?;
        let mut after = before.clone();
        store::take_back(&mut after, lost);
        let mut writes = episode_writes(show, &before, &after);
        writes.push(feed_write(show, Some(state)));
        store.write(writes).await?;
    }
    Ok(())
}

/// Forgets shows that a complete run took out of the library.
async fn forget_removed(store: &Store, done: u32) -> Result<()> {
    let applied =
        |state: &FeedState| !state.removed.is_empty() && state.removed.iter().all(|page| (1..=done).contains(page));
    for (show, _) in store.states().await?.into_iter().filter(|(_, state)| applied(state)) {
        let mut writes = episode_writes(show, &store.entries(show).await?, &[]);
        writes.push(feed_write(show, None));
        store.write(writes).await?;
    }
    Ok(())
}
