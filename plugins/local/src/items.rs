//! Items made of tags.

use std::collections::BTreeMap;

use chrono::{DateTime, SecondsFormat};
use zotify_plugin_api::{Album, AlbumRef, Artist, ArtistRef, Artwork, Item, Kind, Result, Track, Uri};

use crate::{
    artwork::{self, FolderImage},
    ids::{FileKey, GroupId},
    scan::state::{AlbumFigures, State},
    tags::{Credit, Tags},
};

/// Who made an album of several artists.
const VARIOUS_ARTISTS: &str = "Various Artists";

/// Makes URIs of an instance.
#[derive(Clone)]
pub(crate) struct Uris(pub String);

impl Uris {
    /// The URI of an id that was made here.
    ///
    /// # Errors
    /// Never for such ids.
    pub(crate) fn uri(&self, kind: Kind, id: &str) -> Result<Uri> {
        Uri::new(&self.0, kind, id).map_err(zotify_plugin_api::ProviderError::internal)
    }

    /// The URI of a file's track.
    ///
    /// # Errors
    /// Never.
    pub(crate) fn track(&self, file: &FileKey) -> Result<Uri> {
        self.uri(Kind::Track, &file.id())
    }

    /// The URI of an album.
    ///
    /// # Errors
    /// Never.
    pub(crate) fn album(&self, id: GroupId) -> Result<Uri> {
        self.uri(Kind::Album, &id.id())
    }

    /// The URI of an artist.
    ///
    /// # Errors
    /// Never.
    pub(crate) fn artist(&self, id: GroupId) -> Result<Uri> {
        self.uri(Kind::Artist, &id.id())
    }

    fn refs(&self, credits: &[Credit]) -> Result<Vec<ArtistRef>> {
        credits.iter().map(|c| Ok(ArtistRef { name: c.name.clone(), uri: Some(self.artist(artist_id(c))?) })).collect()
    }
}

fn artist_id(credit: &Credit) -> GroupId {
    GroupId::artist(&credit.name, credit.mbid.as_deref())
}

/// The album's artists, where the file says who they are.
fn album_artists(tags: &Tags) -> Vec<Credit> {
    if tags.album_artists.is_empty() && tags.compilation == Some(true) {
        return vec![Credit { name: VARIOUS_ARTISTS.into(), ..Credit::default() }];
    }
    tags.album_artists.clone()
}

/// The album that a file belongs to.
pub(crate) fn album_id(tags: &Tags, file: &FileKey) -> Option<GroupId> {
    let artists = album_artists(tags);
    let artist = artists.first().map(|a| a.name.as_str());
    tags.album.as_deref().map(|title| GroupId::album(title, tags.release_mbid.as_deref(), artist, file))
}

/// The artists that a file names.
pub(crate) fn artist_ids(tags: &Tags) -> Vec<GroupId> {
    let mut ids: Vec<_> = album_artists(tags).iter().chain(&tags.artists).map(artist_id).collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

/// The track of a file.
///
/// # Errors
/// Never for valid instance ids.
pub(crate) fn track(
    uris: &Uris,
    file: &FileKey,
    tags: &Tags,
    image: Option<&FolderImage>,
    added_ms: i64,
) -> Result<Track> {
    let album = match (&tags.album, album_id(tags, file)) {
        (Some(title), Some(id)) => Some(AlbumRef { title: title.clone(), uri: Some(uris.album(id)?) }),
        _ => None,
    };
    Ok(Track {
        artists: uris.refs(&tags.artists)?,
        album,
        duration_ms: tags.duration_ms,
        disc_number: tags.disc_number,
        track_number: tags.track_number,
        release_date: tags.date.clone(),
        genres: tags.genres.clone(),
        composers: tags.composers.clone(),
        isrc: tags.isrc.clone(),
        mbid: tags.recording_mbid.clone(),
        explicit: tags.explicit,
        playable: Some(true),
        replay_gain: tags.replay_gain.clone(),
        audio: Some(tags.audio.clone()),
        artwork: pictures(file, tags, image),
        added_at: timestamp(added_ms),
        locator: Some(file.locator()),
        ..Track::new(uris.track(file)?, tags.title.clone())
    })
}

fn pictures(file: &FileKey, tags: &Tags, image: Option<&FolderImage>) -> Vec<Artwork> {
    let inside = tags.picture.map(|picture| artwork::embedded(file, picture));
    inside.into_iter().chain(image.map(FolderImage::artwork)).collect()
}

fn timestamp(ms: i64) -> Option<String> {
    Some(DateTime::from_timestamp_millis(ms)?.to_rfc3339_opts(SecondsFormat::Secs, true))
}

/// Albums and artists of the files of a page.
#[derive(Default)]
pub(crate) struct Groups {
    albums: BTreeMap<GroupId, Draft>,
    artists: BTreeMap<GroupId, Artist>,
}

/// An album that is being put together.
struct Draft {
    album: Album,
    /// Whether the tracks name its artists, or those were taken from a track.
    artists_known: bool,
}

impl Groups {
    /// Adds what a file says of its album and artists; answers roughly how many bytes that adds to the page.
    ///
    /// # Errors
    /// Never for valid instance ids.
    pub(crate) fn add(
        &mut self,
        uris: &Uris,
        file: &FileKey,
        tags: &Tags,
        image: Option<&FolderImage>,
    ) -> Result<usize> {
        let artists = album_artists(tags);
        let mut bytes = 0;
        for credit in artists.iter().chain(&tags.artists) {
            bytes += self.add_artist(uris, credit)?;
        }
        if let (Some(title), Some(id)) = (&tags.album, album_id(tags, file)) {
            let new = !self.albums.contains_key(&id);
            let draft = match self.albums.remove(&id) {
                Some(draft) => draft,
                None => Draft { album: Album::new(uris.album(id)?, title.clone()), artists_known: false },
            };
            let draft = draft.with(uris, tags, &artists, pictures_of_album(file, tags, image))?;
            self.albums.insert(id, draft);
            bytes += if new { 500 + 4 * title.len() } else { 0 };
        }
        Ok(bytes)
    }

    fn add_artist(&mut self, uris: &Uris, credit: &Credit) -> Result<usize> {
        let id = artist_id(credit);
        if let Some(known) = self.artists.get_mut(&id) {
            known.sort_name = known.sort_name.take().or_else(|| credit.sort_name.clone());
            return Ok(0);
        }
        let artist = Artist {
            sort_name: credit.sort_name.clone(),
            mbid: credit.mbid.clone(),
            ..Artist::new(uris.artist(id)?, credit.name.clone())
        };
        self.artists.insert(id, artist);
        Ok(200 + 2 * credit.name.len())
    }

    /// The items, artists first. Artists whom `is_new` knows are left out.
    pub(crate) fn into_items(self, state: &mut State, mut is_new: impl FnMut(GroupId) -> bool) -> Vec<Item> {
        let artists = self.artists.into_iter().filter(|(id, _)| is_new(*id)).map(|(_, artist)| Item::Artist(artist));
        let mut items: Vec<Item> = artists.collect();
        items.extend(self.albums.into_iter().map(|(id, draft)| Item::Album(draft.finish(state.album(id)))));
        items
    }
}

/// The picture in the directory stands for the whole album, rather than that of a single file.
fn pictures_of_album(file: &FileKey, tags: &Tags, image: Option<&FolderImage>) -> Vec<Artwork> {
    image.map(|i| vec![i.artwork()]).unwrap_or_else(|| pictures(file, tags, None))
}

impl Draft {
    fn with(mut self, uris: &Uris, tags: &Tags, artists: &[Credit], pictures: Vec<Artwork>) -> Result<Self> {
        let album = &mut self.album;
        if !artists.is_empty() {
            if !self.artists_known {
                album.artists = uris.refs(artists)?;
            }
            self.artists_known = true;
        } else if !self.artists_known {
            let own = uris.refs(&tags.artists)?;
            if album.artists.is_empty() {
                album.artists = own;
            } else if album.artists.first() != own.first() {
                album.artists = vec![ArtistRef { name: VARIOUS_ARTISTS.into(), uri: None }];
            }
        }
        album.release_date = album.release_date.take().or_else(|| tags.date.clone());
        album.upc = album.upc.take().or_else(|| tags.barcode.clone());
        album.mbid = album.mbid.take().or_else(|| tags.release_mbid.clone());
        album.compilation = match (album.compilation, tags.compilation) {
            (Some(true), _) | (_, Some(true)) => Some(true),
            (known, said) => known.or(said),
        };
        album.disc_count = album.disc_count.max(tags.disc_total);
        if album.artwork.is_empty() {
            album.artwork = pictures;
        }
        for genre in &tags.genres {
            if album.genres.len() < 10 && !album.genres.contains(genre) {
                album.genres.push(genre.clone());
            }
        }
        Ok(self)
    }

    fn finish(mut self, figures: AlbumFigures) -> Album {
        self.album.track_count = Some(figures.tracks).filter(|n| *n > 0);
        self.album.disc_count = self.album.disc_count.max(Some(figures.discs)).filter(|n| *n > 0);
        self.album.added_at = timestamp(figures.added_ms);
        self.album
    }
}
