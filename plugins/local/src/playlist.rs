//! M3U playlists.

use std::{io::Read as _, path::Path};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use encoding_rs::{Encoding, UTF_8, WINDOWS_1252};
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};
use zotify_plugin_api::{
    ErrorKind, Item, Kind, Playlist, PlaylistEntry, PlaylistItems, PlaylistPage, ProviderError, Result,
};

use crate::{
    folders::{self, Folders},
    ids::FileKey,
    items::{self, Uris},
    scan::walk::{Found, Look, stat, walk},
    tags, text,
};

mod resolve;

pub(crate) use resolve::Resolver;

/// The largest playlist, in bytes.
const MAX_BYTES: u64 = 4 << 20;
/// The most entries of a playlist.
const MAX_ENTRIES: usize = 10_000;
/// Entries and playlists of a page.
const PAGE: usize = 100;

/// What a playlist file says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct M3u {
    /// Of `#PLAYLIST`.
    pub name: Option<String>,
    /// In order.
    pub entries: Vec<Line>,
}

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    /// A path or address.
    pub target: String,
    /// The same as it stands in a file that is not UTF-8: names of files need not be text.
    pub raw: Option<Vec<u8>>,
    /// Of `#EXTINF`.
    pub title: Option<String>,
}

/// Reads a playlist's text, whatever its encoding.
///
/// # Errors
/// `too_large` over 10,000 entries.
pub(crate) fn parse(bytes: &[u8]) -> Result<M3u> {
    let (encoding, start) = match Encoding::for_bom(bytes) {
        Some((encoding, length)) => (encoding, length),
        None if std::str::from_utf8(bytes).is_ok() => (UTF_8, 0),
        None => (WINDOWS_1252, 0),
    };
    let (content, _) = encoding.decode_without_bom_handling(&bytes[start..]);
    // Lines of a single-byte encoding stand at the same places in the bytes.
    let raw_lines = (encoding == WINDOWS_1252).then(|| bytes.split(|b| matches!(b, b'\n' | b'\r')));
    let mut raw_lines = raw_lines.into_iter().flatten();
    let mut m3u = M3u::default();
    let mut title = None;
    for line in content.split(['\n', '\r']) {
        let raw = raw_lines.next().map(|raw| raw.trim_ascii().to_vec());
        let line = line.trim();
        if let Some(info) = line.strip_prefix("#EXTINF:") {
            title = info.split_once(',').and_then(|(_, title)| text::clean(title, text::MAX_TEXT));
        } else if let Some(name) = line.strip_prefix("#PLAYLIST:") {
            m3u.name = text::clean(name, text::MAX_TEXT);
        } else if !line.is_empty() && !line.starts_with('#') {
            if m3u.entries.len() == MAX_ENTRIES {
                return Err(too_large("10,000 entries"));
            }
            m3u.entries.push(Line { target: line.to_owned(), raw, title: title.take() });
        }
    }
    Ok(m3u)
}

fn too_large(limit: &str) -> ProviderError {
    ProviderError::new(ErrorKind::TooLarge, format!("the playlist has more than {limit}"))
}

/// A playlist and what changes with it.
struct Contents {
    m3u: M3u,
    version: String,
}

fn read(path: &Path) -> Result<Contents> {
    // Not `unavailable`: one bad file must not keep the host from the rest of the library.
    let unreadable =
        |_| ProviderError::new(ErrorKind::Restricted, "the playlist cannot be read").with_code("unreadable");
    let mut bytes = Vec::new();
    let (file, _) = folders::open(path).map_err(unreadable)?;
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(too_large("4 MiB"));
    }
    let version = URL_SAFE_NO_PAD.encode(xxh3_128(&bytes).to_be_bytes());
    Ok(Contents { m3u: parse(&bytes)?, version })
}

/// A page of all playlists in the folders. One that cannot be read is there by its name: left out, it would look deleted.
///
/// # Errors
/// `unavailable` when a folder is missing: a short list would look like deleted playlists.
pub(crate) fn list(
    folders: &Folders,
    uris: &Uris,
    cursor: Option<&str>,
    limit: u32,
) -> Result<zotify_plugin_api::Page> {
    let found = walk(folders, Look::Playlists);
    if let Some(trouble) = found.troubles.first() {
        return Err(ProviderError::unavailable(trouble.detail.clone()).with_code(trouble.code));
    }
    let after =
        cursor.map(|c| FileKey::from_locator(c).ok_or_else(|| invalid_cursor("list of playlists"))).transpose()?;
    let total = found.playlists.len();
    let mut rest =
        found.playlists.into_iter().filter(|file| after.as_ref().is_none_or(|after| file > after)).peekable();
    let mut items = Vec::new();
    let mut last = None;
    for file in rest.by_ref().take(page_size(limit)) {
        match playlist(folders, uris, &file) {
            Ok(playlist) => items.push(Item::Playlist(playlist)),
            Err(error) if error.kind == ErrorKind::NotFound => {}
            Err(error) => {
                tracing::warn!("the playlist {} cannot be read: {error}", file.rel().display());
                items.push(Item::Playlist(unread(uris, &file)?));
            }
        }
        last = Some(file.locator());
    }
    let next = last.filter(|_| rest.peek().is_some());
    Ok(zotify_plugin_api::Page {
        items: items.into(),
        next,
        total: Some(total as u64),
        ..zotify_plugin_api::Page::default()
    })
}

fn page_size(limit: u32) -> usize {
    match limit {
        0 => PAGE,
        limit => usize::try_from(limit).unwrap_or(PAGE).min(PAGE),
    }
}

fn invalid_cursor(what: &str) -> ProviderError {
    ProviderError::invalid(format!("this is no cursor of a {what}")).with_code("cursor_invalid")
}

fn playlist(folders: &Folders, uris: &Uris, file: &FileKey) -> Result<Playlist> {
    let Contents { m3u, version } = read(&folders.file(file)?)?;
    let unread = unread(uris, file)?;
    Ok(Playlist {
        item_count: Some(m3u.entries.len() as u64),
        version: Some(version),
        name: m3u.name.unwrap_or(unread.name),
        ..unread
    })
}

/// What is known of a playlist without reading it.
fn unread(uris: &Uris, file: &FileKey) -> Result<Playlist> {
    let stem = file.rel().file_stem().map(|stem| stem.to_string_lossy());
    let stem = stem.and_then(|stem| text::clean(&stem, text::MAX_TEXT)).unwrap_or_else(|| "?".into());
    Ok(Playlist { locator: Some(file.locator()), ..Playlist::new(uris.uri(Kind::Playlist, &file.id())?, stem) })
}

/// A page of a playlist's entries. The cursor is the index of the page's first entry, and the version that it counts in.
///
/// # Errors
/// `not_found`, `unavailable`, `too_large`; `conflict` when the playlist changed since the previous page.
pub(crate) fn items(folders: &Folders, uris: &Uris, file: &FileKey, request: &PlaylistItems) -> Result<PlaylistPage> {
    if !folders::is_playlist(file.rel()) {
        return Err(ProviderError::not_found("the playlist"));
    }
    let path = folders.file(file)?;
    let Contents { m3u, version } = read(&path)?;
    let start = start(request.page.cursor.as_deref(), &version)?;
    let end = start.saturating_add(page_size(request.page.limit)).min(m3u.entries.len());
    let ids = entry_ids(&m3u.entries);
    let mut resolver = Resolver::new(folders, &path);
    let lines = m3u.entries.iter().zip(ids).take(end).skip(start);
    let entries = lines.map(|(line, entry_id)| entry(folders, uris, &mut resolver, line, entry_id));
    Ok(PlaylistPage {
        entries: entries.collect(),
        next: (end < m3u.entries.len()).then(|| format!("{end}.{version}")),
        version: Some(version),
    })
}

fn start(cursor: Option<&str>, version: &str) -> Result<usize> {
    let Some(cursor) = cursor else { return Ok(0) };
    let (index, counted_in) = cursor.split_once('.').ok_or_else(|| invalid_cursor("playlist"))?;
    let index = index.parse().map_err(|_| invalid_cursor("playlist"))?;
    if counted_in != version {
        return Err(ProviderError::new(ErrorKind::Conflict, "the playlist changed while it was read"));
    }
    Ok(index)
}

/// Ids that stay with their entries when others come, go or move: of the target and how often it stood before.
pub(crate) fn entry_ids(entries: &[Line]) -> Vec<String> {
    let mut seen = std::collections::HashMap::new();
    let id = |line: &Line| {
        let count: &mut u32 = seen.entry(line.target.clone()).or_default();
        *count += 1;
        let hash = xxh3_64(format!("{}\0{count}", line.target).as_bytes());
        URL_SAFE_NO_PAD.encode(hash.to_be_bytes())
    };
    entries.iter().map(id).collect()
}

fn entry(folders: &Folders, uris: &Uris, resolver: &mut Resolver<'_>, line: &Line, entry_id: String) -> PlaylistEntry {
    let item = resolver.find(line).and_then(|file| track(folders, uris, &file)).map(Item::Track);
    let title = match &item {
        Some(_) => None,
        None => line.title.clone().or_else(|| text::clean(&line.target, text::MAX_TEXT)),
    };
    PlaylistEntry { entry_id, added_at: None, item, title }
}

fn track(folders: &Folders, uris: &Uris, file: &FileKey) -> Option<zotify_plugin_api::Track> {
    let (opened, metadata) = folders::open(&folders.file(file).ok()?).ok()?;
    let found = Found { key: file.clone(), stat: stat(&metadata) };
    let tags = tags::read(&opened, found.stat.size, file).ok()?;
    let mut track = items::track(uris, file, &tags, None, 0).ok()?;
    // When it came into the library is known to the library only.
    track.added_at = None;
    Some(track)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn targets(bytes: &[u8]) -> Vec<String> {
        parse(bytes).unwrap().entries.into_iter().map(|line| line.target).collect()
    }

    #[test]
    fn reads_extended_playlists() {
        let m3u = parse(b"#EXTM3U\r\n#PLAYLIST: My list \r\n#EXTINF:12,A - B\r\na.mp3\r\n\r\n#comment\nb.mp3").unwrap();
        assert_eq!(m3u.name.as_deref(), Some("My list"));
        let titles: Vec<_> = m3u.entries.iter().map(|e| (e.target.as_str(), e.title.as_deref())).collect();
        assert_eq!(titles, [("a.mp3", Some("A - B")), ("b.mp3", None)]);
    }

    #[test]
    fn reads_all_encodings() {
        assert_eq!(targets("\u{feff}é.mp3".as_bytes()), ["é.mp3"]);
        assert_eq!(targets("é.mp3".as_bytes()), ["é.mp3"]);
        assert_eq!(targets(b"a\n\xe9.mp3\r\n\x80.mp3"), ["a", "é.mp3", "€.mp3"]);
        assert_eq!(parse(b"a\n\xe9.mp3\r\n").unwrap().entries[1].raw.as_deref(), Some(&b"\xe9.mp3"[..]));
        let utf16 = |to: fn(u16) -> [u8; 2], bom: [u8; 2]| {
            [bom.to_vec(), "é\nb".encode_utf16().flat_map(to).collect()].concat()
        };
        assert_eq!(targets(&utf16(u16::to_le_bytes, [0xff, 0xfe])), ["é", "b"]);
        assert_eq!(targets(&utf16(u16::to_be_bytes, [0xfe, 0xff])), ["é", "b"]);
    }

    #[test]
    fn refuses_too_many_entries() {
        assert_eq!(parse(&b"x\n".repeat(10_000)).unwrap().entries.len(), 10_000);
        assert_eq!(parse(&b"x\n".repeat(10_001)).unwrap_err().kind, ErrorKind::TooLarge);
    }

    #[test]
    fn entries_keep_their_ids() {
        let ids = |text: &[u8]| entry_ids(&parse(text).unwrap().entries);
        let (short, long) = (ids(b"a\nb\na"), ids(b"x\na\na\nb"));
        assert_eq!(short[0], long[1]);
        assert_eq!(short[2], long[2]);
        assert_eq!(short[1], long[3]);
        assert_ne!(short[0], short[2]);
    }

    proptest::proptest! {
        #[test]
        fn never_panics(bytes: Vec<u8>) {
            let _ = parse(&bytes);
        }
    }
}
