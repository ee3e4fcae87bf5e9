//! What the names of an untagged file and its folders say.

use crate::{ids::FileKey, text};

/// Disc, track number and title of a file name without its extension.
pub(crate) fn parse(stem: &str) -> (Option<u32>, Option<u32>, String) {
    let whole = || (None, None, stem.replace('_', " "));
    let (first, rest) = digits(stem);
    let Some(first_number) = number(first) else { return whole() };
    // `1-02 Title`: a disc in front of the track.
    if let Some((second, after)) = rest.strip_prefix(['-', '.']).map(digits)
        && second.len() == 2
        && first.len() <= 2
        && let Some(title) = separated(after)
    {
        return (Some(first_number), number(second), title);
    }
    // A bare space separates only what looks like a track number: there are titles such as `99 Luftballons`.
    let bare = rest.starts_with(' ') && !rest.trim_start().starts_with(['-', '.', '_']);
    if bare && !(first.len() == 2 && first_number <= 40) {
        return whole();
    }
    match separated(rest) {
        Some(title) => (None, Some(first_number), title),
        None => whole(),
    }
}

fn digits(text: &str) -> (&str, &str) {
    text.split_at(text.bytes().take_while(u8::is_ascii_digit).count())
}

fn number(digits: &str) -> Option<u32> {
    (1..=3).contains(&digits.len()).then(|| digits.parse().ok()).flatten().filter(|n| *n > 0)
}

fn separated(rest: &str) -> Option<String> {
    let title = rest.trim_start_matches([' ', '-', '.', '_', ')']);
    (title.len() < rest.len() && !title.is_empty()).then(|| title.replace('_', " "))
}

/// Artist and album of a file in `Artist/Album/`, with folders such as `CD1` left out.
pub(crate) fn artist_and_album(file: &FileKey) -> Option<(String, String)> {
    let directory = file.album_directory();
    let mut names = directory.rel().iter().rev().map(|name| text::clean(&name.to_string_lossy(), text::MAX_TEXT));
    let (album, artist) = (names.next()??, names.next()??);
    Some((artist, album))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names() {
        for (stem, disc, track, title) in [
            ("01 - Title", None, Some(1), "Title"),
            ("01. Title", None, Some(1), "Title"),
            ("12 Title", None, Some(12), "Title"),
            ("07_Some_Title", None, Some(7), "Some Title"),
            ("2-03 Title", Some(2), Some(3), "Title"),
            ("1-01 - Title", Some(1), Some(1), "Title"),
            ("Title", None, None, "Title"),
            ("99 Luftballons", None, None, "99 Luftballons"),
            ("1979", None, None, "1979"),
            ("01", None, None, "01"),
            ("1999-12 Party", None, None, "1999-12 Party"),
            ("00 - Intro", None, None, "00 - Intro"),
            ("5 - Five", None, Some(5), "Five"),
            ("", None, None, ""),
        ] {
            assert_eq!(parse(stem), (disc, track, title.to_owned()), "{stem}");
        }
    }

    proptest::proptest! {
        #[test]
        fn never_panics(stem in "[0-9 ._é-]{0,8}\\PC{0,4}") {
            let _ = parse(&stem);
        }
    }
}
