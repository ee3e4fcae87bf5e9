//! Reads the entries of playlists whose version changed, one playlist per transaction.

use zotify_plugin_api::{ErrorKind, PageRequest, PlaylistItems, ProviderError, Uri, method};

use super::{Pull, Step, fail};
use crate::{
    db::{
        playlists::{self, Due},
        pull_runs::{Counts, Skip},
    },
    jobs::JobError,
    mirror::entries::{Entries, MAX_ENTRIES},
};

/// What a provider says of a playlist that the account may see, but not look into.
const NOT_ACCESSIBLE: &str = "not_accessible";
/// How often reading one of them waits for the service.
const MAX_WAITS: u32 = 100;

impl Pull {
    pub(super) async fn playlist_entries(&mut self) -> Result<(), JobError> {
        let db = self.ctx.app.db.clone();
        let Some(due) = playlists::next_due(db.read(), &self.account.id, &self.at.run).await? else {
            self.at.step = Step::Finish;
            return Ok(());
        };
        match self.read_entries(&due).await? {
            Ok(entries) => self.store_entries(&due, entries).await,
            Err(error) if concerns_playlist(&error) => self.skip_playlist(&due, &error).await,
            Err(error) => Err(error.into()),
        }
    }

    async fn read_entries(&self, due: &Due) -> Result<Result<Entries, ProviderError>, JobError> {
        let Ok(uri) = due.uri.parse::<Uri>() else {
            return Err(fail("invalid_uri", "a stored playlist has no valid address"));
        };
        let mut read = Entries::default();
        let (mut cursor, mut waits) = (None, 0);
        // Pages may be empty, but then there is an end to them, too.
        for _ in 0..MAX_ENTRIES {
            let page = PageRequest { cursor: cursor.clone(), limit: 0 };
            let request = PlaylistItems { uri: uri.clone(), locator: due.locator.clone(), page };
            let page = match self.call::<method::ListPlaylistItems>(request).await? {
                Ok(page) => page,
                // What was read of the playlist is stored at its end only.
                Err(error) if cursor.is_some() && waits < MAX_WAITS && self.ctx.wait_out(&error).await? => {
                    waits += 1;
                    continue;
                }
                Err(error) => return Ok(Err(error)),
            };
            let next = match read.page(page, &self.account.instance) {
                Ok(next) => next,
                Err(error) => return Ok(Err(error)),
            };
            if next.is_none() {
                return Ok(Ok(read));
            }
            if next == cursor {
                return Ok(Err(ProviderError::internal("its page names itself as the next one")));
            }
            cursor = next;
        }
        Ok(Err(ProviderError::new(ErrorKind::BadUpstream, "its pages do not end").with_code("endless_playlist")))
    }

    pub(super) async fn store_entries(&mut self, due: &Due, mut read: Entries) -> Result<(), JobError> {
        let version = read.version.take().or_else(|| due.version.clone());
        let counts = Counts { dropped: super::page::count(read.dropped), ..Counts::default() };
        let (account, run) = (self.account.id.clone(), self.at.run.clone());
        let mut tx = self.ctx.app.db.write().await?;
        read.store(&mut tx, &account, &due.uri, &run).await?;
        playlists::done(&mut tx, &account, &due.uri, &run, version.as_deref()).await?;
        self.save(tx, &counts, &[]).await
    }

    async fn skip_playlist(&mut self, due: &Due, error: &ProviderError) -> Result<(), JobError> {
        let code = error.code.clone().unwrap_or_else(|| "unreadable".into());
        let skip = Skip { name: due.uri.clone(), code, detail: error.message.clone() };
        tracing::warn!(instance = self.account.instance, playlist = due.uri, "left a playlist out: {error}");
        let mut tx = self.ctx.app.db.write().await?;
        // What the account may not look into is not tried again before it changed. Entries from before may be of any version.
        let out_of_reach =
            skip.code == NOT_ACCESSIBLE && playlists::named(&mut *tx, &self.account.id, &due.uri).await?.is_empty();
        let version = due.version.as_deref().filter(|_| out_of_reach);
        playlists::done(&mut tx, &self.account.id, &due.uri, &self.at.run, version).await?;
        self.save(tx, &Counts { skipped: 1, ..Counts::default() }, &[skip]).await
    }
}

/// Whether the other playlists may still be read.
fn concerns_playlist(error: &ProviderError) -> bool {
    matches!(
        error.kind,
        ErrorKind::Unsupported
            | ErrorKind::NotFound
            | ErrorKind::InvalidRequest
            | ErrorKind::Restricted
            | ErrorKind::BadUpstream
            | ErrorKind::Conflict
            | ErrorKind::TooLarge
            | ErrorKind::Panicked
            | ErrorKind::Internal
    )
}
