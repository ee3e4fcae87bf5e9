//! Writes edits. One that takes several requests may end after any of them, so the tracks of the new order are there before
//! those of the old one go: an entry may then stand there twice, but none is ever missing.

use xxhash_rust::xxh3::xxh3_64;
use zotify_plugin_api::{prelude::*, wire};

use super::{
    super::read,
    entries,
    plan::{Draft, Plan},
    unfinished::{self, Rest, Unfinished},
};
use crate::client::Session;

/// The most entries while an old and a new order stand there together: one answer has to hold them.
const MAX_ENTRIES: usize = 10_000;
/// What a server may take for a request, in milliseconds.
const REQUEST_MS: u64 = 100;

/// A playlist's tracks, and its version.
pub(super) struct Now {
    pub(super) songs: Vec<String>,
    pub(super) version: String,
}

/// What became of that which an earlier edit left half written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tidied {
    /// There is nothing of the kind.
    Nothing,
    /// The playlist is as it was before that edit.
    Back,
    /// It is as that edit wanted it.
    Forward,
    /// It is so now, and the edit is the same: nothing is left to do.
    Finished,
    /// Somebody else changed it since.
    Foreign,
}

/// Writes the edits of a call.
pub(super) struct Writer<'a> {
    session: &'a Session,
    uri: &'a Uri,
    /// Tells this edit from others.
    ops: u64,
    deadline_ms: u64,
    /// Ids of a request.
    most: usize,
}

impl<'a> Writer<'a> {
    pub(super) fn new(session: &'a Session, call: &'a Call<PlaylistEdit>) -> Result<Self> {
        Ok(Self {
            session,
            uri: &call.playlist.uri,
            ops: xxh3_64(&wire::encode(&call.ops)?),
            deadline_ms: call.deadline_ms,
            most: session.ids_per_request(),
        })
    }

    pub(super) async fn now(&self) -> Result<Now> {
        let answer = read(self.session, self.uri).await?;
        let playlist = answer.object("playlist");
        Ok(Now { songs: entries::songs(playlist), version: entries::version_of_all(playlist) })
    }

    /// Writes a draft: all of it or, unless the error is `playlist_half_written`, nothing.
    pub(super) async fn write(&self, before: &[String], draft: &Draft) -> Result<()> {
        let (remove, add) = match draft.plan(self.most) {
            Plan::Nothing => return Ok(()),
            Plan::Replace(songs) => return self.send("createPlaylist", "songId", &songs).await,
            Plan::Update { remove, add } => (remove, add),
        };
        let requests = add.len().div_ceil(self.most) + remove.len().div_ceil(self.most);
        if requests == 1 {
            return self.steps(before, &remove, &add).await;
        }
        let entries = if remove.is_empty() { 0 } else { before.len() + add.len() };
        if entries > MAX_ENTRIES || (requests as u64).saturating_mul(REQUEST_MS) > self.deadline_ms {
            return Err(too_long());
        }
        Unfinished::new(self.ops, before, &remove, &add)
            .save(self.session, self.uri)
            .await
            .map_err(|error| if error.kind == ErrorKind::TooLarge { too_long() } else { error })?;
        if let Err(error) = self.steps(before, &remove, &add).await {
            return self.recover(error).await;
        }
        if let Err(error) = unfinished::forget(self.session, self.uri).await {
            // The edit is done, and known as such when it is looked at again.
            tracing::warn!("what is remembered of an edit cannot be deleted: {error}");
        }
        Ok(())
    }

    async fn steps(&self, before: &[String], remove: &[usize], add: &[String]) -> Result<()> {
        for some in add.chunks(self.most) {
            self.send("updatePlaylist", "songIdToAdd", some).await?;
        }
        // Servers may pass over what they are told to add. Nothing goes before all of it is there.
        if !add.is_empty() && !remove.is_empty() && self.now().await?.songs != [before, add].concat() {
            return Err(not_kept());
        }
        self.remove(remove).await
    }

    /// Removes positions, of which the last one comes first.
    async fn remove(&self, positions: &[usize]) -> Result<()> {
        for some in positions.chunks(self.most) {
            let some: Vec<String> = some.iter().map(usize::to_string).collect();
            self.send("updatePlaylist", "songIndexToRemove", &some).await?;
        }
        Ok(())
    }

    async fn send(&self, method: &str, name: &str, values: &[String]) -> Result<()> {
        let mut params = vec![("playlistId", self.uri.native_id())];
        params.extend(values.iter().map(|value| (name, value.clone())));
        self.session.call(method, params).await.map(drop).map_err(|f| f.into_error("the playlist or a track"))
    }

    /// Puts in order what this edit left when it failed.
    async fn recover(&self, error: ProviderError) -> Result<()> {
        let tidied = match self.now().await {
            Ok(now) => self.tidy(&now.songs).await,
            Err(error) => Err(error),
        };
        match tidied {
            Ok(Tidied::Back) => Err(error),
            Ok(Tidied::Forward | Tidied::Finished) => Ok(()),
            Ok(Tidied::Nothing | Tidied::Foreign) | Err(_) => Err(half_written(&error)),
        }
    }

    /// Puts in order what an edit left that ended halfway: all of it where this is that edit once more, and otherwise the
    /// tracks that stand there twice, since the user may have come to terms with the others.
    pub(super) async fn tidy(&self, now: &[String]) -> Result<Tidied> {
        let Some(left) = Unfinished::load(self.session, self.uri).await? else { return Ok(Tidied::Nothing) };
        let (tidied, positions) = match left.rest(now, self.ops) {
            Rest::Back(positions) => (Tidied::Back, positions),
            Rest::Forward(positions) if left.is_of(self.ops) && !positions.is_empty() => (Tidied::Finished, positions),
            Rest::Forward(positions) => (Tidied::Forward, positions),
            Rest::Foreign => (Tidied::Foreign, Vec::new()),
        };
        self.remove(&positions).await?;
        unfinished::forget(self.session, self.uri).await?;
        Ok(tidied)
    }
}

/// The server made something else of an edit.
pub(super) fn not_kept() -> ProviderError {
    let text =
        "the playlist is not what the edit makes of it: the server keeps another order, or somebody else edits it";
    ProviderError::new(ErrorKind::Conflict, text).with_code("edit_not_kept")
}

/// A conflict, so that the host reads the playlist again.
fn half_written(cause: &ProviderError) -> ProviderError {
    let text = format!(
        "the edit was written in part only ({}): all that was in the playlist is still there, some of it perhaps twice; \
         the same edit once more, or the next one, puts it in order",
        cause.message
    );
    ProviderError::new(ErrorKind::Conflict, text).with_code("playlist_half_written")
}

fn too_long() -> ProviderError {
    let text = "the playlist is too long to be changed like this through the server's API in the time that there is; \
                change less at once, or append";
    ProviderError::invalid(text).with_code("playlist_too_long")
}
