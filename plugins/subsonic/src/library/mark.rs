//! Tells whether a collection changed, without reading it.

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;
use zotify_plugin_api::{ErrorKind, Forecast, Result};

use super::walk::PAGE;
use crate::{client::Session, failure::Failure};

/// Differs from another one where the collection changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mark {
    /// When the collection changed last, in the server's own words.
    changed: String,
    /// How many tracks the server has.
    count: Option<u64>,
    /// Of the folders that the user sees: an admin may show another one, without any change of the collection.
    folders: u64,
}

/// How a collection is at a time.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Seen {
    /// None where the server does not tell.
    pub(super) mark: Option<Mark>,
    /// The server is reading its folders.
    pub(super) scanning: bool,
    /// What it took to find out.
    pub(super) requests: u64,
    count: Option<u64>,
}

impl Seen {
    /// How many tracks the server says that it has.
    pub(super) fn count(&self) -> Option<u64> {
        self.count
    }

    /// What a walk by searching will take.
    pub(super) fn forecast(&self) -> Option<Forecast> {
        let tracks = self.count()?;
        // One page more tells the end, and the mark is looked at again.
        let looks = self.requests.saturating_mul(2).saturating_add(1);
        Some(Forecast { requests: tracks.div_ceil(PAGE).saturating_add(looks), items: tracks })
    }
}

/// Looks at the collection.
pub(super) async fn see(session: &Session) -> Result<Seen> {
    let folders = session.call("getMusicFolders", Vec::new()).await.map_err(|f| f.into_error("the music folders"))?;
    let mut ids: Vec<_> = folders.object("musicFolders").list("musicFolder").filter_map(|f| f.id("id")).collect();
    ids.sort();
    let mut seen = Seen { requests: 2, ..Seen::default() };
    let mut changed = None;
    if let Some(status) = tolerated(session.call("getScanStatus", Vec::new()).await)? {
        let status = status.object("scanStatus");
        seen.scanning = status.flag("scanning").unwrap_or(false);
        seen.count = status.number("count");
        changed = status.text("lastScan", 64);
    }
    if changed.is_none() {
        seen.requests += 1;
        // All that is wanted is the time, so nothing since the end of all times: servers then leave out the rest.
        let since = vec![("ifModifiedSince", "32503680000000".to_owned())];
        let indexes = tolerated(session.call("getIndexes", since).await)?;
        changed = indexes.and_then(|answer| answer.object("indexes").text("lastModified", 64)).filter(|t| t != "0");
    }
    let folders = xxh3_64(ids.join("\n").as_bytes());
    seen.mark = changed.map(|changed| Mark { changed, count: seen.count, folders });
    Ok(seen)
}

/// Not all servers have these methods, or have them for everybody.
fn tolerated<T>(answer: Result<T, Failure>) -> Result<Option<T>> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(failure) if failure.ends_sign_in().is_some() => Err(failure.into_error("the collection")),
        Err(Failure::Api { .. }) => Ok(None),
        Err(Failure::Other(error)) if matches!(error.kind, ErrorKind::Unsupported | ErrorKind::TooLarge) => Ok(None),
        Err(Failure::Other(error)) => Err(error),
    }
}
