//! Values of tags, made uniform.

use lofty::tag::{ItemKey, ItemValue, Tag};
use zotify_plugin_api::{Gain, ReplayGain};

use super::{Credit, gain};
use crate::text::{self, clean, fold};

/// The most values of one kind that a file may have.
const MAX_VALUES: usize = 20;
/// The longest of several values, in characters.
const MAX_VALUE: usize = 300;
/// Decibels between the reference levels of R128 (−23 LUFS) and ReplayGain 2.0 (−18 LUFS).
const R128_OFFSET: f32 = 5.0;

/// A file's tags, the format's own one first.
pub(crate) struct Fields<'a>(pub Vec<&'a Tag>);

impl<'a> Fields<'a> {
    /// The values of the first tag that has any. Empty and repeated ones are left out.
    pub(crate) fn all(&self, key: ItemKey, max: usize) -> Vec<String> {
        let values_of = |tag: &'a Tag| {
            let mut values: Vec<String> = Vec::new();
            let texts = tag.get_items(key).filter_map(|item| match item.value() {
                ItemValue::Text(text) | ItemValue::Locator(text) => Some(text.as_str()),
                ItemValue::Binary(_) => None,
            });
            for value in texts.flat_map(|text| text.split('\0')).filter_map(|text| clean(text, max)) {
                if values.len() < MAX_VALUES && !values.contains(&value) {
                    values.push(value);
                }
            }
            values
        };
        self.0.iter().map(|tag| values_of(tag)).find(|values| !values.is_empty()).unwrap_or_default()
    }

    /// The first value.
    pub(crate) fn one(&self, key: ItemKey) -> Option<String> {
        self.all(key, text::MAX_TEXT).into_iter().next()
    }

    /// Several values.
    pub(crate) fn many(&self, key: ItemKey) -> Vec<String> {
        self.all(key, MAX_VALUE)
    }

    /// The number before a slash, if it makes sense.
    pub(crate) fn number(&self, key: ItemKey) -> Option<u32> {
        let value = self.one(key)?;
        let digits = value.split('/').next().unwrap_or_default().trim();
        digits.parse().ok().filter(|n| (1..=9999).contains(n))
    }

    /// The number after a slash.
    pub(crate) fn total(&self, key: ItemKey) -> Option<u32> {
        let value = self.one(key)?;
        value.split('/').nth(1)?.trim().parse().ok().filter(|n| (1..=9999).contains(n))
    }

    /// A flag; none where there is none.
    pub(crate) fn flag(&self, key: ItemKey) -> Option<bool> {
        match self.one(key)?.as_str() {
            "1" | "true" | "True" => Some(true),
            "0" | "false" | "False" => Some(false),
            _ => None,
        }
    }

    /// The first valid MusicBrainz id.
    pub(crate) fn mbid(&self, key: ItemKey) -> Option<String> {
        self.mbids(key).into_iter().next()
    }

    /// All valid MusicBrainz ids, also those that stand in one value.
    fn mbids(&self, key: ItemKey) -> Vec<String> {
        let values = self.all(key, text::MAX_TEXT);
        values.iter().flat_map(|v| v.split(['/', ';', ',', ' '])).filter_map(uuid).take(MAX_VALUES).collect()
    }

    /// People with their MusicBrainz ids: of the key that lists them, else of the key that shows them.
    pub(crate) fn credits(&self, listed: ItemKey, shown: ItemKey, mbids: ItemKey, sort: ItemKey) -> Vec<Credit> {
        let shown = self.many(shown);
        let mut names = self.many(listed);
        if names.is_empty() || shown.len() > names.len() {
            names = shown;
        }
        let ids = self.mbids(mbids);
        let sort_name = self.one(sort).filter(|_| names.len() == 1);
        let matching = ids.len() == names.len();
        names
            .into_iter()
            .enumerate()
            .map(|(n, name)| Credit {
                name,
                sort_name: sort_name.clone(),
                mbid: if matching { ids.get(n).cloned() } else { None },
            })
            .collect()
    }

    /// Genres, also those that stand in one value.
    pub(crate) fn genres(&self) -> Vec<String> {
        let mut genres: Vec<String> = Vec::new();
        let values = self.many(ItemKey::Genre);
        for genre in values.iter().flat_map(|v| v.split(';')).filter_map(|g| clean(g, MAX_VALUE)) {
            if genres.len() < MAX_VALUES && !genres.iter().any(|g| fold(g) == fold(&genre)) {
                genres.push(genre);
            }
        }
        genres
    }

    /// The date, from the most to the least telling field.
    pub(crate) fn date(&self) -> Option<String> {
        [ItemKey::RecordingDate, ItemKey::Year, ItemKey::ReleaseDate, ItemKey::OriginalReleaseDate]
            .into_iter()
            .find_map(|key| date(&self.one(key)?))
    }

    /// 12 characters without separators.
    pub(crate) fn isrc(&self) -> Option<String> {
        let values = self.many(ItemKey::Isrc);
        values.iter().find_map(|value| {
            let code: String =
                value.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_uppercase();
            (code.len() == 12 && code[..2].bytes().all(|b| b.is_ascii_alphabetic())).then_some(code)
        })
    }

    /// Loudness, by ReplayGain or else R128 fields.
    pub(crate) fn replay_gain(&self) -> Option<ReplayGain> {
        let figure = |gain_key, peak_key, r128_key| {
            let plain = gain(self.one(gain_key).as_deref(), self.one(peak_key).as_deref());
            plain.or_else(|| Some(Gain { gain_db: self.r128(r128_key)?, peak: None }))
        };
        let track = figure(ItemKey::ReplayGainTrackGain, ItemKey::ReplayGainTrackPeak, ItemKey::R128TrackGain);
        let album = figure(ItemKey::ReplayGainAlbumGain, ItemKey::ReplayGainAlbumPeak, ItemKey::R128AlbumGain);
        (track.is_some() || album.is_some()).then_some(ReplayGain { track, album })
    }

    /// R128 gains are 256ths of a decibel, in 16 bits.
    fn r128(&self, key: ItemKey) -> Option<f32> {
        Some(f32::from(self.one(key)?.trim().parse::<i16>().ok()?) / 256.0 + R128_OFFSET)
    }
}

/// A UUID in lower case.
fn uuid(text: &str) -> Option<String> {
    let groups: Vec<&str> = text.trim().split('-').collect();
    let fits = groups.iter().map(|g| g.len()).eq([8, 4, 4, 4, 12])
        && groups.iter().all(|g| g.bytes().all(|b| b.is_ascii_hexdigit()));
    fits.then(|| text.trim().to_ascii_lowercase())
}

/// `YYYY`, `YYYY-MM` or `YYYY-MM-DD`, as far as the text makes sense.
fn date(text: &str) -> Option<String> {
    let part = |from: usize, len: usize| {
        let digits = text.get(from..from + len)?;
        digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse::<u32>().ok()).flatten()
    };
    let year = part(0, 4).filter(|y| *y > 0)?;
    let compact = text.len() == 8 && part(0, 8).is_some();
    let separated = |at: usize| text.as_bytes().get(at).is_some_and(|b| matches!(b, b'-' | b'/' | b'.'));
    let (month, day) = if compact {
        (part(4, 2), part(6, 2))
    } else {
        (part(5, 2).filter(|_| separated(4)), part(8, 2).filter(|_| separated(7)))
    };
    Some(match (month.filter(|m| (1..=12).contains(m)), day.filter(|d| (1..=31).contains(d))) {
        (Some(month), Some(day)) => format!("{year:04}-{month:02}-{day:02}"),
        (Some(month), None) => format!("{year:04}-{month:02}"),
        (None, _) => format!("{year:04}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        for (text, expected) in [
            ("1999", Some("1999")),
            ("1999-05", Some("1999-05")),
            ("1999-05-31T10:00", Some("1999-05-31")),
            ("19990531", Some("1999-05-31")),
            ("1999/05/31", Some("1999-05-31")),
            ("1999-00-00", Some("1999")),
            ("1999-13-01", Some("1999")),
            ("0000", None),
            ("31.05.1999", None),
            ("", None),
            ("ü999", None),
        ] {
            assert_eq!(date(text).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn uuids() {
        assert!(uuid(" 0B0EA7D0-70C5-4E7C-B35A-8D0F6E1E2B3C ").is_some());
        assert!(uuid("0b0ea7d0-70c5-4e7c-b35a-8d0f6e1e2b3").is_none());
        assert!(uuid("éb0ea7d0-70c5-4e7c-b35a-8d0f6e1e2b3c").is_none());
    }

    proptest::proptest! {
        #[test]
        fn never_panics(text in "\\PC{0,20}") {
            let _ = (date(&text), uuid(&text), gain(Some(&text), Some(&text)));
        }
    }
}
