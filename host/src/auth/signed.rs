//! Signed links: for players and images that can't send headers. A link names the session or key that made it, one URI
//! and an end: signing out or revoking the key revokes it.

use aws_lc_rs::hmac;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use super::Credential;
use crate::{App, db::now_ms, error::ApiError};

/// Bytes of the end, in front.
const END: usize = 8;
/// Bytes of the signature, at the back.
const MAC: usize = 32;
/// The longest `sig` that is looked at, in characters.
const MAX_LENGTH: usize = 256;

/// In front of a key's id, where a session's begins with a digit.
const KEY: char = 'k';

/// The value of `?sig=` that lets a player read this URI as the credential's user until `expires_ms` (Unix milliseconds).
pub fn sign(app: &App, credential: &Credential, uri: &str, expires_ms: i64) -> String {
    let maker = match credential {
        Credential::Session { id, .. } | Credential::Ui { id, .. } => id.clone(),
        Credential::Key { id, .. } => format!("{KEY}{id}"),
    };
    sign_with(&app.tokens.link_key, &maker, uri, expires_ms)
}

/// What made the link and the link's end in Unix milliseconds, if it is one for this URI and has not ended.
/// Whether the session or key is still open is the caller's to check.
///
/// # Errors
/// 401 `invalid_signature` or `link_expired`.
pub(super) fn verify(app: &App, uri: &str, sig: &str) -> Result<(Credential, i64), ApiError> {
    let (maker, end) = verify_with(&app.tokens.link_key, uri, sig, now_ms())?;
    let credential = match maker.strip_prefix(KEY) {
        Some(id) => Credential::Key { id: id.to_owned(), bootstrap: false },
        None => Credential::Session { id: maker, signed_in_at: 0 },
    };
    Ok((credential, end))
}

pub(super) fn sign_with(key: &hmac::Key, session_id: &str, uri: &str, expires_ms: i64) -> String {
    let mut link = expires_ms.to_be_bytes().to_vec();
    link.extend_from_slice(session_id.as_bytes());
    let mac = hmac::sign(key, &message(&link, uri));
    link.extend_from_slice(mac.as_ref());
    URL_SAFE_NO_PAD.encode(link)
}

pub(super) fn verify_with(key: &hmac::Key, uri: &str, sig: &str, now_ms: i64) -> Result<(String, i64), ApiError> {
    let invalid = || ApiError::unauthorized("invalid_signature", "the link's signature is not valid for this item");
    if sig.len() > MAX_LENGTH {
        return Err(invalid());
    }
    let link = URL_SAFE_NO_PAD.decode(sig).map_err(|_| invalid())?;
    let (head, mac) = link.len().checked_sub(MAC).and_then(|at| link.split_at_checked(at)).ok_or_else(invalid)?;
    hmac::verify(key, &message(head, uri), mac).map_err(|_| invalid())?;
    let (end, session) = head.split_first_chunk::<END>().ok_or_else(invalid)?;
    let end = i64::from_be_bytes(*end);
    if end <= now_ms {
        return Err(ApiError::unauthorized("link_expired", "the link has ended; ask for a new one"));
    }
    let session = String::from_utf8(session.to_vec()).map_err(|_| invalid())?;
    Ok((session, end))
}

/// What is signed. The head is framed by its length, so that no session and URI can pass for another pair.
fn message(head: &[u8], uri: &str) -> Vec<u8> {
    let length = u64::try_from(head.len()).unwrap_or(u64::MAX);
    [b"zotify link 2".as_slice(), &length.to_be_bytes(), head, uri.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    const URI: &str = "local:track:abc";

    fn key(byte: u8) -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, &[byte; 32])
    }

    fn code(key: &hmac::Key, uri: &str, sig: &str, now: i64) -> String {
        verify_with(key, uri, sig, now).unwrap_err().code().to_owned()
    }

    #[test]
    fn a_link_is_for_one_item_and_ends() {
        let sig = sign_with(&key(1), "session", URI, 1000);
        assert_eq!(verify_with(&key(1), URI, &sig, 999).unwrap(), ("session".to_owned(), 1000));
        assert_eq!(code(&key(1), URI, &sig, 1000), "link_expired");
        assert_eq!(code(&key(1), "local:track:abd", &sig, 999), "invalid_signature");
        assert_eq!(code(&key(2), URI, &sig, 999), "invalid_signature");
    }

    #[test]
    fn every_changed_byte_is_noticed() {
        let link = URL_SAFE_NO_PAD.decode(sign_with(&key(1), "session", URI, 1000)).unwrap();
        for i in 0..link.len() {
            let mut changed = link.clone();
            changed[i] ^= 1;
            assert_eq!(code(&key(1), URI, &URL_SAFE_NO_PAD.encode(&changed), 0), "invalid_signature", "byte {i}");
            assert_eq!(code(&key(1), URI, &URL_SAFE_NO_PAD.encode(&link[..i]), 0), "invalid_signature", "cut {i}");
        }
        for text in ["", "a", "%", &"A".repeat(300)] {
            assert_eq!(code(&key(1), URI, text, 0), "invalid_signature");
        }
    }

    #[test]
    fn session_and_uri_do_not_run_into_each_other() {
        let sig = sign_with(&key(1), "session", "x:track:1", 1000);
        let link = URL_SAFE_NO_PAD.decode(&sig).unwrap();
        let (head, mac) = link.split_at(link.len() - MAC);
        let shifted = URL_SAFE_NO_PAD.encode([&head[..head.len() - 1], mac].concat());
        assert_eq!(code(&key(1), "rx:track:1", &shifted, 0), "invalid_signature");
    }
}
