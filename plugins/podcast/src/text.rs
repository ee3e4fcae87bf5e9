//! Texts of feeds as plain text: without markup, control characters, and characters that turn the reading order around.

use quick_xml::escape::resolve_html5_entity;
use unicode_normalization::UnicodeNormalization as _;

/// The longest title or name, in bytes.
const MAX_TITLE: usize = 500;
/// The longest description, in bytes.
const MAX_DESCRIPTION: usize = 4000;
/// The longest name of an entity, in bytes.
const MAX_ENTITY: usize = 32;

/// A title or name on one line; none where nothing is left.
pub(crate) fn title(text: &str) -> Option<String> {
    line(&entities(text), MAX_TITLE)
}

/// A description without markup; none where nothing is left.
pub(crate) fn description(text: &str) -> Option<String> {
    line(&entities(&untagged(text)), MAX_DESCRIPTION)
}

/// A text for comparing: composed, in lower case, with single spaces.
pub(crate) fn fold(text: &str) -> String {
    let lower: String = text.nfc().flat_map(char::to_lowercase).collect();
    lower.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Words with single spaces between them, at most so many bytes.
fn line(text: &str, max: usize) -> Option<String> {
    let mut line = String::new();
    for word in text.split(|c: char| c.is_whitespace() || c.is_control()) {
        let mut word = word.chars().filter(|c| is_harmless(*c)).peekable();
        if word.peek().is_some() && !line.is_empty() {
            line.push(' ');
        }
        line.extend(word);
        if line.len() > max {
            line.truncate(line.floor_char_boundary(max));
            break;
        }
    }
    line.truncate(line.trim_end().len());
    (!line.is_empty()).then_some(line)
}

/// Not so are characters that nobody sees and that make the others stand elsewhere, and those that mean nothing.
fn is_harmless(c: char) -> bool {
    !matches!(c, '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{61c}' | '\u{feff}' | '\u{fff9}'..='\u{fffc}' | '\u{e0000}'..='\u{e007f}')
        && !is_nonscalar(c)
}

/// Code points that will never be characters.
fn is_nonscalar(c: char) -> bool {
    matches!(c, '\u{fdd0}'..='\u{fdef}') || u32::from(c) & 0xfffe == 0xfffe
}

/// A text without tags and comments, and without what scripts and styles hold. A `<` that begins none stays.
fn untagged(html: &str) -> String {
    let mut text = String::with_capacity(html.len().min(4 * MAX_DESCRIPTION));
    let mut rest = html;
    while let Some(at) = rest.find('<') {
        text.push_str(&rest[..at]);
        if text.len() > 4 * MAX_DESCRIPTION {
            return text;
        }
        rest = &rest[at..];
        let next = rest[1..].chars().next().unwrap_or(' ');
        if !next.is_ascii_alphabetic() && !"/!?".contains(next) {
            text.push('<');
            rest = &rest[1..];
            continue;
        }
        let end = if rest.starts_with("<!--") { rest.find("-->").map(|at| at + 3) } else { end_of_tag(rest) };
        let Some(end) = end else { return text };
        let tag = rest[1..end].trim_start_matches('/');
        let name: String = tag.chars().take_while(char::is_ascii_alphanumeric).collect();
        rest = &rest[end..];
        if next != '/' && ["script", "style"].iter().any(|hidden| name.eq_ignore_ascii_case(hidden)) {
            rest = after_hidden(rest, &name);
        }
        // Tags within a word do not end it.
        if !["", "a", "b", "i", "u", "em", "strong", "span"].iter().any(|inline| name.eq_ignore_ascii_case(inline)) {
            text.push(' ');
        }
    }
    text.push_str(rest);
    text
}

/// The end of the tag that a text begins with; quotes may hold a `>`.
fn end_of_tag(text: &str) -> Option<usize> {
    let mut quote = None;
    for (at, byte) in text.bytes().enumerate() {
        match (quote, byte) {
            (None, b'>') => return Some(at + 1),
            (None, b'"' | b'\'') => quote = Some(byte),
            (Some(open), byte) if open == byte => quote = None,
            _ => {}
        }
    }
    // A quote that nobody closed.
    text.find('>').map(|at| at + 1)
}

/// What follows the end of an element whose contents are no text.
fn after_hidden<'a>(text: &'a str, name: &str) -> &'a str {
    let closes = |at: usize| {
        let after = text.get(at + 2..at + 2 + name.len());
        after.is_some_and(|after| after.eq_ignore_ascii_case(name))
    };
    text.match_indices("</").find(|(at, _)| closes(*at)).map_or("", |(at, _)| &text[at..])
}

/// A text with its entities resolved, once.
fn entities(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let end = rest.bytes().take(MAX_ENTITY).position(|b| b == b';');
        match end.and_then(|end| Some((resolve(&rest[..end], &mut out)?, end))) {
            Some(((), end)) => rest = &rest[end + 1..],
            None => out.push('&'),
        }
    }
    out.push_str(rest);
    out
}

/// Writes what an entity stands for.
pub(crate) fn resolve(name: &str, out: &mut String) -> Option<()> {
    if let Some(number) = name.strip_prefix('#') {
        let code = match number.strip_prefix(['x', 'X']) {
            Some(hex) => u32::from_str_radix(hex, 16),
            None => number.parse(),
        };
        out.push(char::from_u32(code.ok()?).unwrap_or('\u{fffd}'));
        return Some(());
    }
    out.push_str(resolve_html5_entity(name)?);
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_becomes_text() {
        for (html, text) in [
            ("<p>One</p><p>Two &amp; three</p>", "One Two & three"),
            ("Notes:<br/>a<br>b", "Notes: a b"),
            ("a<b>b</b>c <a href=\"x>y\">link</a>.", "abc link."),
            ("<script>alert(1)</script>ok<STYLE>p{}</Style>!", "ok !"),
            ("<!-- hidden -->shown", "shown"),
            ("3 < 4 &lt; 5 &nbsp; &bogus; &", "3 < 4 < 5 &bogus; &"),
            ("&#8217;&#x1F600;&#xD800;", "\u{2019}\u{1f600}\u{fffd}"),
            ("broken <a href=\"", "broken"),
            ("<script>never closed", ""),
        ] {
            assert_eq!(description(html).unwrap_or_default(), text, "{html}");
        }
    }

    #[test]
    fn titles_stand_on_one_line_and_read_as_they_are_written() {
        assert_eq!(title(" A\u{0}\u{7}\tB\r\n C\u{202e}D\u{2066}E\u{feff}\u{ffff} ").as_deref(), Some("A B CDE"));
        assert_eq!(title("\u{202e}\u{200b} \n").as_deref(), None);
        assert_eq!(title("Q &amp; A").as_deref(), Some("Q & A"));
        assert_eq!(title("a <b> c").as_deref(), Some("a <b> c"), "a title is no markup");
        let long = title(&"ä".repeat(1000)).unwrap();
        assert!(long.len() <= MAX_TITLE && long.chars().all(|c| c == 'ä'));
        assert_eq!(fold("  Sigur   RÓS "), fold("sigur ro\u{301}s"));
    }

    proptest::proptest! {
        #[test]
        fn nothing_panics_or_grows(html in "[<>&;/!a-z\"'# \\-é\u{202e}]{0,200}") {
            let text = description(&html).unwrap_or_default();
            proptest::prop_assert!(text.len() <= html.len() + 8);
            proptest::prop_assert_eq!(text.find('\u{202e}'), None);
        }
    }
}
