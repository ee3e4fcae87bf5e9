//! Folds text, so that both databases sort and find alike: neither's own tokenizer or collation takes part.

use unicode_normalization::{UnicodeNormalization, char::is_combining_mark};

use crate::db::Dialect;

/// The longest key to sort by, in bytes.
const MAX_KEY: usize = 120;
/// Words of a query beyond this are not looked at.
const MAX_QUERY_CHUNKS: usize = 12;
/// Parts of one stretch without spaces beyond this are not looked at.
const MAX_CHUNK_PARTS: usize = 16;
/// Longer words are cut.
const MAX_WORD: usize = 64;

/// Lower case without marks: `Ångström` and `angstrom` become one.
pub fn fold(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    if text.is_ascii() {
        out.push_str(text);
        out.make_ascii_lowercase();
        return out;
    }
    // Composed again, so that a Hangul syllable stays one character.
    for c in text.nfkd().filter(|c| !is_combining_mark(*c)).nfc().flat_map(char::to_lowercase) {
        match c {
            'ß' => out.push_str("ss"),
            'æ' => out.push_str("ae"),
            'œ' => out.push_str("oe"),
            'þ' => out.push_str("th"),
            'ø' => out.push('o'),
            'ł' => out.push('l'),
            'đ' | 'ð' => out.push('d'),
            'ħ' => out.push('h'),
            'ı' => out.push('i'),
            'ŧ' => out.push('t'),
            // What lower-casing leaves of İ.
            '\u{307}' => {}
            c => out.push(c),
        }
    }
    out
}

/// Scripts that put no space between words: each character counts as one.
fn stands_alone(c: char) -> bool {
    matches!(c, '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{20000}'..='\u{323af}')
}

/// Arrows, signs, stars, emoji: what people put into titles as if it were a word.
fn is_symbol(c: char) -> bool {
    matches!(c, '×' | '÷' | '\u{2190}'..='\u{2bff}' | '\u{1f000}'..='\u{1faff}')
}

/// The words of one stretch of folded text without spaces.
fn parts(chunk: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    for c in chunk.chars() {
        if stands_alone(c) || is_symbol(c) {
            parts.push(c.to_string());
            parts.push(String::new());
        } else if !c.is_alphanumeric() {
            parts.push(String::new());
        } else if let Some(last) = parts.last_mut().filter(|last| last.len() < MAX_WORD) {
            last.push(c);
        }
    }
    parts.retain(|part| !part.is_empty());
    parts
}

/// `AC/DC` is also one word, `acdc`, and `don't` is `dont`; that makes no sense of characters that stand alone.
fn joined(parts: &[String]) -> Option<String> {
    let alone = |part: &String| part.chars().next().is_some_and(|c| stands_alone(c) || is_symbol(c));
    let word = || parts.concat();
    (parts.len() > 1 && !parts.iter().any(alone)).then(word).filter(|word| word.len() <= MAX_WORD)
}

/// The key to sort a title or name by: its folded words, or where it has none, the text itself.
pub fn key(text: &str) -> String {
    let folded = fold(text);
    let plain = |part: &String| !part.starts_with(is_symbol);
    let mut key = folded.split_whitespace().flat_map(parts).filter(plain).collect::<Vec<_>>().join(" ");
    if key.is_empty() {
        key = folded.chars().filter(|c| !c.is_control()).collect::<String>().trim().to_owned();
    }
    key.truncate(key.floor_char_boundary(MAX_KEY));
    key
}

/// The words by which an item is found, each once, with single spaces.
pub fn search_text<'a>(texts: impl IntoIterator<Item = &'a str>) -> String {
    let mut words: Vec<String> = Vec::new();
    for text in texts {
        for chunk in fold(text).split_whitespace() {
            let parts = parts(chunk);
            for word in joined(&parts).into_iter().chain(parts) {
                if !words.contains(&word) {
                    words.push(word);
                }
            }
        }
    }
    words.join(" ")
}

/// What a user asked for, word by word: each must start a word of the item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    chunks: Vec<Vec<String>>,
}

impl Query {
    /// Reads a query; none where it has no word.
    pub fn parse(text: &str) -> Option<Self> {
        let folded = fold(text);
        let mut chunks: Vec<_> =
            folded.split_whitespace().map(parts).filter(|parts| !parts.is_empty()).take(MAX_QUERY_CHUNKS).collect();
        chunks.iter_mut().for_each(|parts| parts.truncate(MAX_CHUNK_PARTS));
        (!chunks.is_empty()).then_some(Self { chunks })
    }

    /// The query in the language of the database's full-text index. Words hold letters, digits and symbols only,
    /// so there is nothing to escape.
    pub fn expression(&self, dialect: Dialect) -> String {
        let (and, or, term): (_, _, fn(&str, &str) -> String) = match dialect {
            Dialect::Sqlite => (" AND ", " OR ", |word, star| format!("\"{word}\"{star}")),
            Dialect::Postgres => {
                (" & ", " | ", |word, star| format!("'{word}'{}{star}", if star.is_empty() { "" } else { ":" }))
            }
        };
        let last = self.chunks.len() - 1;
        let chunk = |(n, parts): (usize, &Vec<String>)| {
            // A lone letter starts too many words, unless it is just being typed.
            let star = |word: &str| if word.len() > 1 || n == last { "*" } else { "" };
            let all = parts.iter().map(|word| term(word, star(word))).collect::<Vec<_>>().join(and);
            match joined(parts) {
                Some(word) => format!("({}{or}({all}))", term(&word, "*")),
                None => format!("({all})"),
            }
        };
        self.chunks.iter().enumerate().map(chunk).collect::<Vec<_>>().join(and)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folds_what_people_type_differently() {
        for (text, folded) in [
            ("Ångström", "angstrom"),
            ("STRASSE", "strasse"),
            ("Straße", "strasse"),
            ("Łódź", "lodz"),
            ("Sigur Rós", "sigur ros"),
            ("İstanbul", "istanbul"),
            ("ＦＵＬＬ", "full"),
            ("Mötley Crüe", "motley crue"),
            ("Ænima", "aenima"),
            ("Ｂ＇ｚ", "b'z"),
        ] {
            assert_eq!(fold(text), folded, "{text}");
        }
    }

    #[test]
    fn keys_ignore_punctuation_but_never_vanish() {
        assert_eq!(key("'Heroes'"), "heroes");
        assert_eq!(key("AC/DC"), "ac dc");
        assert_eq!(key("★"), "★");
        assert_eq!(key("🌊 Ocean"), "ocean");
        assert_eq!(key(" \u{7} "), "");
        assert!(key(&"é".repeat(500)).len() <= MAX_KEY);
    }

    #[test]
    fn search_text_holds_split_and_joined_words() {
        assert_eq!(search_text(["Don't Stop", "AC/DC", "don't"]), "dont don t stop acdc ac dc");
        assert_eq!(search_text(["椎名林檎 Live"]), "椎 名 林 檎 live");
        assert_eq!(search_text(["", "  ", "-- !"]), "");
        assert_eq!(search_text(["I♥NY 🌊"]), "i ♥ ny 🌊");
    }

    #[test]
    fn queries_become_expressions_without_room_for_injection() {
        let query = Query::parse("ac/dc \"' OR 1=1 b").unwrap();
        assert_eq!(
            query.expression(Dialect::Sqlite),
            r#"("acdc"* OR ("ac"* AND "dc"*)) AND ("or"*) AND ("11"* OR ("1" AND "1")) AND ("b"*)"#
        );
        assert_eq!(
            query.expression(Dialect::Postgres),
            "('acdc':* | ('ac':* & 'dc':*)) & ('or':*) & ('11':* | ('1' & '1')) & ('b':*)"
        );
        assert_eq!(Query::parse(" ' -- \" "), None);
        assert_eq!(Query::parse("★").unwrap().expression(Dialect::Sqlite), "(\"★\"*)");
    }

    #[test]
    fn long_and_hostile_text_is_cut_or_skipped() {
        let long = "x".repeat(1000);
        assert_eq!(search_text([long.as_str()]).len(), MAX_WORD);
        let many = Query::parse(&"a ".repeat(500)).unwrap();
        assert_eq!(many.chunks.len(), MAX_QUERY_CHUNKS);
        let dotted = Query::parse(&"a.".repeat(500)).unwrap();
        assert_eq!(dotted.chunks[0].len(), MAX_CHUNK_PARTS);
    }
}
