//! What a file's tags and headers say.

use zotify_plugin_api::{Audio, Gain, ReplayGain};

mod fields;
pub(crate) mod filename;
mod id3;
mod read;
mod reader;

pub(crate) use read::{Picture, content_type, picture, read};

/// Somebody who is credited.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Credit {
    /// The name, as the file spells it.
    pub name: String,
    /// The name to sort by.
    pub sort_name: Option<String>,
    /// MusicBrainz artist id.
    pub mbid: Option<String>,
}

/// Everything that is read of a file.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Tags {
    /// Never empty: an untagged file has its name for a title.
    pub title: String,
    /// Main artist first.
    pub artists: Vec<Credit>,
    /// The album's title.
    pub album: Option<String>,
    /// Main artist first; empty where the file names none.
    pub album_artists: Vec<Credit>,
    /// From 1.
    pub track_number: Option<u32>,
    /// From 1.
    pub disc_number: Option<u32>,
    /// How many discs the album has.
    pub disc_total: Option<u32>,
    /// `YYYY`, `YYYY-MM` or `YYYY-MM-DD`.
    pub date: Option<String>,
    /// As the file spells them.
    pub genres: Vec<String>,
    /// Who wrote it.
    pub composers: Vec<String>,
    /// 12 characters.
    pub isrc: Option<String>,
    /// MusicBrainz recording id.
    pub recording_mbid: Option<String>,
    /// MusicBrainz release id.
    pub release_mbid: Option<String>,
    /// Bar code of the album.
    pub barcode: Option<String>,
    /// Whether the album is one of several artists.
    pub compilation: Option<bool>,
    /// None where the file does not say.
    pub explicit: Option<bool>,
    /// Loudness.
    pub replay_gain: Option<ReplayGain>,
    /// The audio.
    pub audio: Audio,
    /// Milliseconds.
    pub duration_ms: Option<u64>,
    /// The picture inside the file.
    pub picture: Option<PictureInfo>,
}

/// A picture inside a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PictureInfo {
    /// Changes with the picture.
    pub version: u64,
    /// Pixels, where known.
    pub size: Option<(u32, u32)>,
}

/// Why a file is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Skip {
    /// It has the extension of audio, but is none.
    NotAudio,
    /// An audio format that is not read.
    UnsupportedFormat,
    /// Its structure makes no sense.
    Damaged,
    /// More of it would have to be read than is allowed.
    TooLarge,
    /// It cannot be opened or read now.
    Unreadable,
    /// It went away.
    Vanished,
}

impl Skip {
    /// Those that are kept, by their numbers.
    const LASTING: [Self; 4] = [Self::NotAudio, Self::UnsupportedFormat, Self::Damaged, Self::TooLarge];

    /// A number above 0 to keep it by.
    pub(crate) fn number(self) -> u8 {
        Self::LASTING.iter().zip(1..).find_map(|(skip, number)| (*skip == self).then_some(number)).unwrap_or(3)
    }

    /// The reverse of [`Skip::number`].
    pub(crate) fn from_number(number: u8) -> Option<Self> {
        Self::LASTING.get(usize::from(number).checked_sub(1)?).copied()
    }

    /// The reason code.
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::NotAudio => "not_audio",
            Self::UnsupportedFormat => "unsupported_format",
            Self::Damaged => "damaged",
            Self::TooLarge => "too_large",
            Self::Unreadable => "unreadable",
            Self::Vanished => "vanished",
        }
    }

    /// One sentence for people.
    pub(crate) fn detail(self) -> &'static str {
        match self {
            Self::NotAudio => "the file has the extension of an audio file, but holds something else",
            Self::UnsupportedFormat => "the file's audio format is not supported",
            Self::Damaged => "the file is damaged, or no such file as its extension says",
            Self::TooLarge => "the file's tags are larger than is allowed, or take too long to read",
            Self::Unreadable | Self::Vanished => "the file cannot be read",
        }
    }

    /// Whether reading the unchanged file again would come to the same.
    pub(crate) fn is_lasting(self) -> bool {
        !matches!(self, Self::Unreadable | Self::Vanished)
    }
}

/// Reads gain figures such as `-6.20 dB` and `0.98`; garbage is none.
fn gain(gain: Option<&str>, peak: Option<&str>) -> Option<Gain> {
    let number = |text: &str| {
        let text = text.trim().trim_end_matches(|c: char| c.is_ascii_alphabetic()).trim_end().replace(',', ".");
        text.parse::<f32>().ok().filter(|n| n.is_finite())
    };
    let gain_db = gain.and_then(number).filter(|db| db.abs() <= 64.0)?;
    Some(Gain { gain_db, peak: peak.and_then(number).filter(|p| (0.0..=64.0).contains(p)) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gains() {
        assert_eq!(gain(Some("-6.20 dB"), Some("0.5")), Some(Gain { gain_db: -6.2, peak: Some(0.5) }));
        assert_eq!(gain(Some("+1,5 db"), Some("x")), Some(Gain { gain_db: 1.5, peak: None }));
        for bad in ["", "dB", "NaN", "inf", "1e9 dB"] {
            assert_eq!(gain(Some(bad), None), None, "{bad:?}");
        }
    }
}
