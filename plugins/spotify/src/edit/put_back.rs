//! Removing entries. A removal takes all copies of an item, and those that are to stay are put back.
//!
//! Between the two requests the copies stand nowhere. So they are put on record before, and the record goes when they stand in
//! the playlist again. One that is left, of an edit that failed or a process that ended, is made good by whoever edits or reads
//! the playlist next, and by the next pull.

use std::collections::HashMap;

use serde_json::{Value, json};
use zotify_plugin_api::{KeyValue, prelude::*};

use super::{BATCH, Editor, Slot, plan};
use crate::{
    Spotify,
    client::{Session, is},
    endpoints,
};

/// What keys of records begin with; the playlist's id follows.
const KEYS: &str = "put_back/";

/// Copies that are to be put back.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Record {
    /// Until then somebody is at it, in milliseconds since 1970-01-01 UTC; 0 for nobody.
    until_ms: i64,
    /// By position and URI, from the beginning.
    copies: Vec<(usize, String)>,
}

impl Record {
    /// The copies that rows lack.
    fn missing(&self, slots: &[Slot]) -> Vec<(usize, String)> {
        let mut lacking: HashMap<&str, usize> = HashMap::new();
        for (_, uri) in &self.copies {
            *lacking.entry(uri).or_default() += 1;
        }
        for uri in slots.iter().filter_map(|slot| slot.uri.as_deref()) {
            if let Some(count) = lacking.get_mut(uri) {
                *count = count.saturating_sub(1);
            }
        }
        // They come back from the beginning: the last ones lack.
        let mut missing = Vec::new();
        for (at, uri) in self.copies.iter().rev() {
            if let Some(count) = lacking.get_mut(uri.as_str()).filter(|count| **count > 0) {
                *count -= 1;
                missing.push((*at, uri.clone()));
            }
        }
        missing.reverse();
        missing
    }
}

/// Makes good what an earlier edit of a playlist left undone.
///
/// # Errors
/// `conflict` where it is still under way; why copies could not be put back.
pub(crate) async fn settle<T>(spotify: &Spotify, call: &Call<T>, id: &str) -> Result<()> {
    let records = spotify.cx.account_kv(call.account_id()?);
    let key = format!("{KEYS}{id}");
    let Some(mut record) = records.get::<Record>(&key).await? else { return Ok(()) };
    let wait = record.until_ms.saturating_sub(spotify.cx.clock().now_ms().await?);
    if wait > 0 {
        let text = "another change of the playlist is under way; try again later";
        let error = ProviderError::new(ErrorKind::Conflict, text).with_code("edit_under_way");
        return Err(error.with_retry_after_ms(wait.unsigned_abs()));
    }
    let session = Session::open(spotify, call).await?.patient();
    record.until_ms = session.ends_at_ms();
    records.put(&key, &record).await?;
    let settled = async {
        let mut editor = Editor::open(session, id.to_owned(), None).await?;
        let missing = record.missing(editor.slots().await?);
        editor.put_back(&missing).await.map_err(|(error, _)| error)
    };
    match settled.await {
        Ok(()) => {}
        Err(error) if error.kind == ErrorKind::NotFound || is(&error, "not_owner") || is(&error, "not_accessible") => {
            tracing::warn!(playlist = id, "copies of items cannot be put back any more: {error}");
        }
        Err(error) => {
            records.put(&key, &Record { until_ms: 0, ..record }).await?;
            return Err(error);
        }
    }
    records.delete(&key).await
}

/// As [`settle`], for whoever wants to read whatever comes of it.
pub(crate) async fn try_settle<T>(spotify: &Spotify, call: &Call<T>, id: &str) {
    if let Err(error) = settle(spotify, call, id).await {
        tracing::warn!(playlist = id, "copies of items are not put back yet: {error}");
    }
}

/// As [`try_settle`], for all playlists of the account.
pub(crate) async fn try_settle_all<T>(spotify: &Spotify, call: &Call<T>) -> Result<()> {
    let records = spotify.cx.account_kv(call.account_id()?);
    for (key, _) in records.scan_all::<Record>(KEYS).await? {
        try_settle(spotify, call, key.trim_start_matches(KEYS)).await;
    }
    Ok(())
}

impl Editor {
    /// Removes entries, and puts back the copies that are to stay. Those that could not be are named in `refused`.
    pub(super) async fn remove(&mut self, entries: &[String], refused: &mut Vec<EditResult>) -> Result<()> {
        let removal = plan::removal(self.slots().await?, entries)?;
        let copies: Vec<(usize, String)> =
            removal.put_back.iter().flat_map(|(at, uris)| (*at..).zip(uris.iter().cloned())).collect();
        if copies.is_empty() {
            self.take(&removal.uris).await.map_err(|(error, _)| error)?;
            (self.total, self.slots) = (removal.after.len() as u64, Some(removal.after));
            return Ok(());
        }
        let key = format!("{KEYS}{}", self.id);
        let mut record = Record { until_ms: self.session.ends_at_ms(), copies };
        self.records()?.put(&key, &record).await?;
        if let Err((error, lost)) = self.exchange(&removal, &record.copies).await {
            if lost == 0 {
                self.records()?.delete(&key).await?;
                return Err(error);
            }
            self.written = true;
            record.until_ms = 0;
            self.records()?.put(&key, &record).await?;
            let missing: Vec<String> =
                record.copies.iter().skip(record.copies.len() - lost).map(|(_, uri)| uri.clone()).collect();
            let error = not_back(&error, lost);
            refused.extend(self.failed(&missing, &error));
            return Err(error);
        }
        (self.put_back, self.slots) = (true, Some(removal.after));
        if let Err(error) = self.records()?.delete(&key).await {
            // Whoever finds it will see that nothing lacks.
            tracing::debug!("a record of copies stays: {error}");
        }
        Ok(())
    }

    fn records(&self) -> Result<KeyValue> {
        self.session.records()
    }

    /// Takes all copies away and brings those back that stay; where that fails, with how many of them may be away.
    async fn exchange(
        &mut self,
        removal: &plan::Removal,
        copies: &[(usize, String)],
    ) -> Result<(), (ProviderError, usize)> {
        if let Err((error, may_be_done)) = self.take(&removal.uris).await {
            return Err((error, if may_be_done { copies.len() } else { 0 }));
        }
        (self.total, self.slots) = ((removal.after.len() - copies.len()) as u64, None);
        self.put_back(copies).await
    }

    /// Removes all copies of some items; where that fails, with whether it may be done for some of them all the same.
    async fn take(&mut self, uris: &[String]) -> Result<(), (ProviderError, bool)> {
        for (n, batch) in uris.chunks(BATCH).enumerate() {
            let items: Vec<Value> = batch.iter().map(|uri| json!({"uri": uri})).collect();
            if let Err(error) = self.write(&endpoints::REMOVE_ITEMS, &json!({"items": items})).await {
                let unsure = matches!(error.kind, ErrorKind::Unavailable | ErrorKind::Timeout | ErrorKind::BadUpstream);
                return Err((error, n > 0 || unsure));
            }
        }
        Ok(())
    }

    /// Puts copies in, from the beginning; where that fails, with how many are not there.
    async fn put_back(&mut self, copies: &[(usize, String)]) -> Result<(), (ProviderError, usize)> {
        let mut done = 0;
        while let Some((from, _)) = copies.get(done) {
            let follows = |(n, (at, _)): &(usize, &(usize, String))| *at == from + n;
            let run = copies[done..].iter().take(BATCH).enumerate().take_while(follows);
            let uris: Vec<String> = run.map(|(_, (_, uri))| uri.clone()).collect();
            let at = (*from).min(usize::try_from(self.total).unwrap_or(usize::MAX));
            self.insert(&uris, Some(at)).await.map_err(|error| (error, copies.len() - done))?;
            done += uris.len();
        }
        Ok(())
    }
}

fn not_back(error: &ProviderError, copies: usize) -> ProviderError {
    // That others changed it meanwhile does not make it an edit that was not begun.
    let kind = if error.kind == ErrorKind::Conflict { ErrorKind::Unavailable } else { error.kind };
    let text = format!(
        "Spotify removed all copies of an item, and {copies} that were to stay could not be put back; that is tried again when \
         the playlist is read next: {error}"
    );
    ProviderError { kind, message: text, code: Some("copies_lost".into()), ..error.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn missing(copies: &[(usize, &str)], rows: &str) -> Vec<(usize, String)> {
        let copies = copies.iter().map(|(at, uri)| (*at, (*uri).to_owned())).collect();
        let slots: Vec<Slot> = rows.chars().map(|c| Slot::added(&c.to_string())).collect();
        Record { until_ms: 0, copies }.missing(&slots)
    }

    #[test]
    fn only_what_lacks_comes_back() {
        let x = |at| (at, "x".to_owned());
        assert_eq!(missing(&[(1, "x"), (3, "x")], "abc"), [x(1), x(3)]);
        assert_eq!(missing(&[(1, "x"), (3, "x")], "axbc"), [x(3)]);
        assert_eq!(missing(&[(1, "x"), (3, "x")], "axbxc"), []);
        // It was not even removed.
        assert_eq!(missing(&[(1, "x"), (3, "x")], "axbxxc"), []);
        assert_eq!(missing(&[(0, "y"), (1, "x"), (3, "x")], "abx"), [(0, "y".to_owned()), x(3)]);
    }
}
