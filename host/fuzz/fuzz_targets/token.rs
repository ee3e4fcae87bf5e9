//! Access tokens, signed links and the header that carries tokens: nothing but what was issued is taken, in no other
//! spelling. The input is a byte that says what to make of the rest.
#![no_main]

mod support;

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use zotify_host::auth::{
    Tokens,
    fuzzing::{bearer, sign, tokens, verify},
};

const URI: &str = "local:track:abc";
const END: i64 = 1_000_000;

static TOKENS: LazyLock<Tokens> = LazyLock::new(tokens);
static TOKEN: LazyLock<String> = LazyLock::new(|| TOKENS.issue("user", "session", 60 * 24).unwrap().0);
static LINK: LazyLock<String> = LazyLock::new(|| sign(&TOKENS, "session", URI, END));

fuzz_target!(|data: &[u8]| {
    let (mode, rest) = support::choice(data);
    match mode % 5 {
        0 => token(&String::from_utf8_lossy(rest)),
        1 => token(&changed(&TOKEN, rest)),
        2 => link(&String::from_utf8_lossy(rest), URI),
        3 => link(&changed(&LINK, rest), URI),
        _ => header(rest),
    }
    let uri = String::from_utf8_lossy(rest);
    assert!(uri == URI || verify(&TOKENS, &uri, &LINK, 0).is_err(), "a link is for one item");
});

/// A text with a byte changed, put in or taken out, as often as the input says.
fn changed(text: &str, how: &[u8]) -> String {
    let mut bytes = text.as_bytes().to_vec();
    for change in how.chunks_exact(3) {
        let at = (usize::from(change[0]) << 2 | usize::from(change[1] >> 6)) % bytes.len().max(1);
        match change[1] % 3 {
            0 if at < bytes.len() => bytes[at] = change[2] & 0x7f,
            1 => bytes.insert(at, change[2] & 0x7f),
            _ if at < bytes.len() => drop(bytes.remove(at)),
            _ => {}
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn token(text: &str) {
    match TOKENS.check(text) {
        Ok(claims) => {
            assert_eq!(text, *TOKEN);
            assert_eq!((claims.sub.as_str(), claims.sid.as_str()), ("user", "session"));
        }
        Err(error) => {
            assert_eq!(error.status().as_u16(), 401);
            let (detail, usual) = (error.detail(), TOKENS.check("").unwrap_err());
            assert!(
                text.len() < 8 || !detail.contains(text) || detail == usual.detail(),
                "no error repeats a credential"
            );
        }
    }
}

fn link(sig: &str, uri: &str) {
    match verify(&TOKENS, uri, sig, 0) {
        Ok((session, end)) => {
            assert_eq!((session.as_str(), end), ("session", END));
            assert_eq!(sig, *LINK, "a link has one spelling");
            assert_eq!(verify(&TOKENS, uri, sig, END).unwrap_err().code(), "link_expired");
        }
        Err(error) => assert_eq!(error.code(), "invalid_signature"),
    }
}

fn header(value: &[u8]) {
    match bearer(value) {
        Ok(token) => {
            assert!(value.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"bearer ")));
            assert!(value.ends_with(token.as_bytes()) || value.ends_with(b" ") || value.ends_with(b"\t"));
        }
        Err(error) => assert_eq!(error.status().as_u16(), 401),
    }
}
