//! Reading files by `lofty`.

use std::{
    fs::File,
    os::unix::fs::FileExt as _,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
};

use lofty::{
    config::{GlobalOptions, ParseOptions, ParsingMode, apply_global_options},
    error::FileParseError,
    file::{AudioFile as _, FileType, TaggedFile, TaggedFileExt as _},
    picture::{PictureInformation, PictureType},
    probe::Probe,
    tag::{ItemKey, Tag, TagType},
};
use xxhash_rust::xxh3::xxh3_64;
use zotify_plugin_api::Audio;

use super::{PictureInfo, Skip, Tags, fields::Fields, filename, id3, reader::Reader};
use crate::{
    artwork::{self, MAX_PICTURE},
    folders::extension,
    ids::FileKey,
    text,
};

/// What may be read of a file. Tags are held in memory, some twice.
const BUDGET: u64 = 40 << 20;
/// What may be read of ADTS files, whose every frame is looked at to find their length.
const BUDGET_AAC: u64 = 1 << 30;
/// How far behind tags audio may start.
const MAX_JUNK: usize = 16 << 10;

/// A picture's bytes.
pub(crate) struct Picture {
    /// The bytes.
    pub data: Vec<u8>,
    /// Media type, by the bytes.
    pub content_type: &'static str,
}

/// Reads a file's tags and properties. `key` says how the file and its folders are called.
///
/// # Errors
/// Why the file is left out.
pub(crate) fn read(file: &File, size: u64, key: &FileKey) -> Result<Tags, Skip> {
    let format = detect(file, size, key.rel())?;
    let parsed = parse(file, size, format)?;
    let fields = fields(&parsed);
    let mut tags = tags(&fields);
    tags.audio = audio(&parsed, format, size);
    let duration = parsed.properties().duration().as_millis();
    tags.duration_ms = u64::try_from(duration).ok().filter(|ms| *ms > 0);
    tags.picture = cover(&fields.0).map(picture_info);
    fill_from_names(&mut tags, key);
    Ok(tags)
}

/// The picture inside a file: the front cover, else the first.
///
/// # Errors
/// Why the file is left out.
pub(crate) fn picture(file: &File, size: u64, path: &Path) -> Result<Option<Picture>, Skip> {
    let parsed = parse(file, size, detect(file, size, path)?)?;
    let found = cover(&fields(&parsed).0).map(|picture| picture.data().to_vec());
    Ok(found.and_then(|data| Some(Picture { content_type: artwork::sniff(&data)?, data })))
}

/// The media type of an audio file, by its first bytes.
///
/// # Errors
/// Why the file is left out.
pub(crate) fn content_type(file: &File, size: u64, path: &Path) -> Result<&'static str, Skip> {
    detect(file, size, path).map(media_type)
}

fn options() -> ParseOptions {
    ParseOptions::new().max_junk_bytes(MAX_JUNK)
}

/// Finds the format by the first bytes, whatever the file's name says.
fn detect(file: &File, size: u64, path: &Path) -> Result<FileType, Skip> {
    let mut start = [0; 16];
    let read = file.read_at(&mut start, 0).map_err(|_| Skip::Unreadable)?;
    let start = &start[..read];
    if artwork::sniff(start).is_some() {
        // The first bytes of some pictures look like those of MP3 frames.
        return Err(Skip::NotAudio);
    }
    let probe = Probe::new(Reader::new(file, size, BUDGET)).options(options());
    let guess = guarded(|| probe.guess_file_type())?.map_err(|_| Skip::Unreadable)?;
    match guess.file_type() {
        Some(format) => Ok(format),
        None if start.starts_with(b"OggS") || start.starts_with(b"ADIF") => Err(Skip::UnsupportedFormat),
        // Its old versions start with no magic number.
        None if extension(path) == "mpc" && size > 0 => Err(Skip::UnsupportedFormat),
        // Their frames may start behind a lot of padding.
        None if start.starts_with(b"ID3") => by_extension(path).ok_or(Skip::Damaged),
        None => Err(Skip::NotAudio),
    }
}

fn by_extension(path: &Path) -> Option<FileType> {
    FileType::from_ext(extension(path)).filter(|format| matches!(format, FileType::Mpeg | FileType::Aac))
}

/// Parses strictly enough to get all that is right, then less so. Where that takes too much reading, properties and
/// pictures are left out.
fn parse(file: &File, size: u64, format: FileType) -> Result<TaggedFile, Skip> {
    let relaxed = options().parsing_mode(ParsingMode::Relaxed);
    let bare = options().parsing_mode(ParsingMode::Relaxed).read_cover_art(false).read_properties(false);
    if id3::is_bomb(&mut Reader::new(file, size, BUDGET)).unwrap_or(false) {
        return Err(Skip::TooLarge);
    }
    let whole = match parse_with(file, size, format, options()) {
        Err(Skip::Damaged) => parse_with(file, size, format, relaxed),
        done => done,
    };
    match whole {
        Err(Skip::TooLarge) => parse_with(file, size, format, bare),
        Ok(parsed) if parsed.properties().is_empty() => Err(without_audio(format)),
        done => done,
    }
}

/// A file without audio properties is cut off; or a film, or of another kind in the same container.
fn without_audio(format: FileType) -> Skip {
    if format == FileType::Mp4 { Skip::NotAudio } else { Skip::Damaged }
}

fn parse_with(file: &File, size: u64, format: FileType, options: ParseOptions) -> Result<TaggedFile, Skip> {
    // The options are those of the thread.
    apply_global_options(
        GlobalOptions::new()
            .allocation_limit(MAX_PICTURE + (1 << 20))
            .preserve_format_specific_items(false)
            .use_custom_resolvers(false),
    );
    let budget = if format == FileType::Aac { BUDGET_AAC } else { BUDGET };
    let mut reader = Reader::new(file, size, budget);
    let parsed = guarded(|| Probe::with_file_type(&mut reader, format).options(options).read());
    match parsed {
        _ if reader.failed => Err(Skip::Unreadable),
        Ok(Ok(parsed)) => Ok(parsed),
        _ if reader.exhausted => Err(Skip::TooLarge),
        Ok(Err(error)) => Err(reason(&error)),
        Err(skip) => Err(skip),
    }
}

/// A panic of the parser is a file that it cannot read.
fn guarded<T>(body: impl FnOnce() -> T) -> Result<T, Skip> {
    catch_unwind(AssertUnwindSafe(body)).map_err(|_| Skip::Damaged)
}

fn reason(error: &FileParseError) -> Skip {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(cause) = source {
        if cause.is::<lofty::error::AllocationError>() {
            return Skip::TooLarge;
        }
        source = cause.source();
    }
    Skip::Damaged
}

/// The format's own tag first, ID3v1 with its short fields last.
fn fields(parsed: &TaggedFile) -> Fields<'_> {
    let primary = parsed.primary_tag_type();
    let mut tags: Vec<&Tag> = parsed.tags().iter().collect();
    tags.sort_by_key(|tag| match tag.tag_type() {
        kind if kind == primary => 0,
        TagType::Id3v1 => 2,
        _ => 1,
    });
    Fields(tags)
}

fn tags(fields: &Fields<'_>) -> Tags {
    Tags {
        title: fields.one(ItemKey::TrackTitle).unwrap_or_default(),
        artists: fields.credits(
            ItemKey::TrackArtists,
            ItemKey::TrackArtist,
            ItemKey::MusicBrainzArtistId,
            ItemKey::TrackArtistSortOrder,
        ),
        album: fields.one(ItemKey::AlbumTitle),
        album_artists: fields.credits(
            ItemKey::AlbumArtists,
            ItemKey::AlbumArtist,
            ItemKey::MusicBrainzReleaseArtistId,
            ItemKey::AlbumArtistSortOrder,
        ),
        track_number: fields.number(ItemKey::TrackNumber),
        disc_number: fields.number(ItemKey::DiscNumber),
        disc_total: fields.number(ItemKey::DiscTotal).or_else(|| fields.total(ItemKey::DiscNumber)),
        date: fields.date(),
        genres: fields.genres(),
        composers: fields.many(ItemKey::Composer),
        isrc: fields.isrc(),
        recording_mbid: fields.mbid(ItemKey::MusicBrainzRecordingId),
        release_mbid: fields.mbid(ItemKey::MusicBrainzReleaseId),
        barcode: fields.one(ItemKey::Barcode).filter(|b| b.len() <= 20),
        compilation: fields.flag(ItemKey::FlagCompilation),
        explicit: fields.one(ItemKey::ParentalAdvisory).and_then(|advisory| match advisory.as_str() {
            "1" | "4" => Some(true),
            "2" => Some(false),
            _ => None,
        }),
        replay_gain: fields.replay_gain(),
        ..Tags::default()
    }
}

fn audio(parsed: &TaggedFile, format: FileType, size: u64) -> Audio {
    let properties = parsed.properties();
    Audio {
        content_type: media_type(format).to_owned(),
        size: Some(size),
        bitrate: properties.audio_bitrate().or(properties.overall_bitrate()).filter(|n| *n > 0),
        sample_rate: properties.sample_rate().filter(|n| *n > 0),
        channels: properties.channels().filter(|n| *n > 0),
        bit_depth: properties.bit_depth().filter(|n| *n > 0),
    }
}

fn media_type(format: FileType) -> &'static str {
    match format {
        FileType::Aac => "audio/aac",
        FileType::Aiff => "audio/aiff",
        FileType::Ape => "audio/x-ape",
        FileType::Flac => "audio/flac",
        FileType::Mpeg => "audio/mpeg",
        FileType::Mp4 => "audio/mp4",
        FileType::Mpc => "audio/x-musepack",
        FileType::Opus | FileType::Vorbis | FileType::Speex => "audio/ogg",
        FileType::Wav => "audio/wav",
        FileType::WavPack => "audio/x-wavpack",
        _ => "application/octet-stream",
    }
}

fn cover<'a>(tags: &[&'a Tag]) -> Option<&'a lofty::picture::Picture> {
    let usable = |picture: &&lofty::picture::Picture| {
        (1..=MAX_PICTURE).contains(&picture.data().len()) && artwork::sniff(picture.data()).is_some()
    };
    let pictures = || tags.iter().flat_map(|tag| tag.pictures()).filter(usable);
    pictures().find(|p| p.pic_type() == PictureType::CoverFront).or_else(|| pictures().next())
}

fn picture_info(picture: &lofty::picture::Picture) -> PictureInfo {
    let data = picture.data();
    // Pictures that differ, differ in length or soon after their headers.
    let version = xxh3_64(&data[..data.len().min(4096)]) ^ data.len() as u64;
    let size = guarded(|| PictureInformation::from_picture(picture)).ok().and_then(Result::ok);
    PictureInfo { version, size: size.map(|s| (s.width, s.height)).filter(|(w, h)| *w > 0 && *h > 0) }
}

/// An untagged file is called what its name says, and belongs to what its folders say.
fn fill_from_names(tags: &mut Tags, key: &FileKey) {
    if !tags.title.is_empty() {
        return;
    }
    let stem = key.rel().file_stem().map(|stem| stem.to_string_lossy()).unwrap_or_default();
    let stem = text::clean(&stem, text::MAX_TEXT).unwrap_or_else(|| "?".into());
    let (disc, track, title) = filename::parse(&stem);
    tags.title = title;
    tags.disc_number = tags.disc_number.or(disc);
    tags.track_number = tags.track_number.or(track);
    if track.is_some()
        && tags.artists.is_empty()
        && tags.album.is_none()
        && let Some((artist, album)) = filename::artist_and_album(key)
    {
        tags.artists = vec![super::Credit { name: artist.clone(), ..Default::default() }];
        tags.album_artists.clone_from(&tags.artists);
        tags.album = Some(album);
    }
}
