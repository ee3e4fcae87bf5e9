//! Cleaning and comparing of texts that come from files.

use unicode_normalization::UnicodeNormalization as _;

/// The longest text of a single value, in characters.
pub(crate) const MAX_TEXT: usize = 1000;

/// A text without control characters and surrounding space, at most `max` characters long; none where nothing is left.
pub(crate) fn clean(text: &str, max: usize) -> Option<String> {
    let unwanted = |c: char| c.is_control() || c == '\u{feff}';
    let kept: String =
        text.split('\0').find(|part| !part.trim().is_empty())?.chars().filter(|c| !unwanted(*c)).collect();
    let cut = kept.trim().char_indices().nth(max).map_or(kept.trim(), |(end, _)| &kept.trim()[..end]).trim_end();
    (!cut.is_empty()).then(|| cut.to_owned())
}

/// A text for comparing: composed, in lower case, with single spaces.
pub(crate) fn fold(text: &str) -> String {
    let lower: String = text.nfc().flat_map(char::to_lowercase).collect();
    // Lower case can fall apart again (İ), so that a second pass is needed for a stable result.
    lower.split_whitespace().collect::<Vec<_>>().join(" ").nfc().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cleans() {
        assert_eq!(clean("  a\u{7}b\n", 10).as_deref(), Some("ab"));
        assert_eq!(clean("\0\0x\0y", 10).as_deref(), Some("x"));
        assert_eq!(clean(" \0 \t", 10), None);
        assert_eq!(clean("äöüß", 2).as_deref(), Some("äö"));
        assert_eq!(clean("a b", 2).as_deref(), Some("a"));
    }

    #[test]
    fn folds() {
        assert_eq!(fold("  Sigur   RÓS "), fold("sigur ro\u{301}s"));
        assert_ne!(fold("Mo"), fold("Mö"));
    }

    proptest::proptest! {
        #[test]
        fn folding_twice_changes_nothing(text in "\\PC{0,30}") {
            proptest::prop_assert_eq!(fold(&fold(&text)), fold(&text));
        }
    }
}
