//! What an answer without success says: in JSON of two shapes, as plain text, as a page of the edge, or not at all.

use serde_json::Value;
use zotify_plugin_api::{prelude::*, service::HttpResponse};

use crate::endpoints::Operation;

/// The longest text of Spotify's that is passed on, in characters.
const MAX_TEXT: usize = 200;

/// What is said about an app whose owner has no Premium.
pub(crate) const PREMIUM_REQUIRED: &str = "the owner of the Spotify app has no Premium, which Spotify asks of them; \
     renew Premium on the account that registered the app, then wait some minutes";
const USER_NOT_ALLOWED: &str = "this Spotify user may not use the app; its owner has to add their name and e-mail \
     address under User Management at developer.spotify.com (at most five people)";
const SCOPE_MISSING: &str =
    "the account did not grant this; sign in again and agree to everything that Spotify's page lists";
const NOT_OWNER: &str =
    "Spotify lets only a playlist's owner and collaborators do this; copy the playlist into one of your own";
const ENDPOINT_REMOVED: &str = "Spotify does not offer this to apps in development mode any more";

/// What the body of an error says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Said {
    /// The accounts service's word, such as `invalid_grant`.
    pub error: Option<String>,
    /// For people; cut.
    pub message: String,
    /// The Web API's word, such as `QUOTA_EXCEEDED`.
    pub reason: Option<String>,
}

impl Said {
    /// Reads a body of any shape.
    pub(crate) fn of(body: &[u8]) -> Self {
        let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).map(cut);
        match serde_json::from_slice::<Value>(body) {
            Ok(value) => match value.get("error") {
                Some(Value::String(error)) => Self {
                    error: Some(cut(error)),
                    message: text(&value, "error_description").unwrap_or_default(),
                    reason: None,
                },
                // Some operations leave the outer object out.
                inner => {
                    let inner = inner.unwrap_or(&value);
                    Self {
                        error: None,
                        message: text(inner, "message").unwrap_or_default(),
                        reason: text(inner, "reason"),
                    }
                }
            },
            Err(_) => Self { message: plain(body), ..Self::default() },
        }
    }
}

fn plain(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(4 * MAX_TEXT)]);
    let text = text.trim();
    // A page of the edge says nothing that people want to read.
    if text.starts_with('<') { String::new() } else { cut(text) }
}

fn cut(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(MAX_TEXT).collect()
}

/// The error that an answer of the Web API stands for.
pub(crate) fn of_api(operation: &Operation, response: &HttpResponse) -> ProviderError {
    let said = Said::of(&response.body);
    let message = said.message.to_lowercase();
    let upstream = |text: &str| match said.message.is_empty() {
        true => format!("{text} (status {})", response.status),
        false => format!("{text} (status {}: {})", response.status, said.message),
    };
    let (kind, code, text) = match response.status {
        401 if message.contains("access token missing") => {
            (ErrorKind::AuthRequired, "token_missing", upstream("Spotify overlooked the access token"))
        }
        401 => (ErrorKind::AuthRequired, "token_refused", upstream("Spotify does not take the access token")),
        403 => return forbidden(operation, &message),
        404 | 410 => (ErrorKind::NotFound, "not_found", upstream("Spotify does not have this")),
        400 if is_stale(&message) => {
            (ErrorKind::Conflict, "stale_snapshot", upstream("the playlist changed meanwhile"))
        }
        502 if is_stale(&message) => {
            (ErrorKind::Conflict, "stale_snapshot", upstream("the playlist changed meanwhile"))
        }
        400 => (ErrorKind::InvalidRequest, "bad_request", upstream("Spotify refused the request")),
        409 | 412 => (ErrorKind::Conflict, "conflict", upstream("it changed meanwhile")),
        413 => (ErrorKind::TooLarge, "too_large", upstream("Spotify finds this too large")),
        429 => return limited(&said, response),
        500..=599 => (ErrorKind::Unavailable, "service_error", upstream("Spotify has a fault of its own now")),
        _ => (ErrorKind::BadUpstream, "unexpected_status", upstream("Spotify gave an answer that has no meaning here")),
    };
    ProviderError::new(kind, text).with_code(code)
}

fn is_stale(message: &str) -> bool {
    message.contains("version tag") || message.contains("invalid base62") || message.contains("snapshot")
}

/// The five meanings of 403.
fn forbidden(operation: &Operation, message: &str) -> ProviderError {
    let (code, text) = if message.contains("premium") {
        ("premium_required", PREMIUM_REQUIRED)
    } else if message.contains("not registered") || message.contains("developer dashboard") {
        ("user_not_allowed", USER_NOT_ALLOWED)
    } else if message.contains("scope") {
        ("scope_missing", SCOPE_MISSING)
    } else if operation.is_playlist() {
        ("not_owner", NOT_OWNER)
    } else {
        ("endpoint_removed", ENDPOINT_REMOVED)
    };
    ProviderError::new(ErrorKind::Restricted, text).with_code(code)
}

/// The account granted none of an operation's scopes.
pub(crate) fn scope_missing() -> ProviderError {
    ProviderError::new(ErrorKind::Restricted, SCOPE_MISSING).with_code("scope_missing")
}

fn limited(said: &Said, response: &HttpResponse) -> ProviderError {
    let quota = said.reason.as_deref() == Some("QUOTA_EXCEEDED");
    let (code, text) = match quota {
        true => ("quota_exceeded", "the developer account behind the Spotify app used up its daily quota"),
        false => ("cooldown", "Spotify asks to wait"),
    };
    let mut error = ProviderError::new(ErrorKind::RateLimited, text).with_code(code);
    error.retry_after_ms = response.header("retry-after").and_then(retry_after_ms);
    error
}

/// Seconds, whole or not. The host reads dates as well, and keeps to them.
fn retry_after_ms(text: &str) -> Option<u64> {
    let seconds = text.trim().parse::<f64>().ok().filter(|s| s.is_finite() && *s >= 0.0)?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bounded on both sides")]
    Some((seconds.min(1e9) * 1000.0).ceil() as u64)
}

/// The answer could not be read.
pub(crate) fn unreadable(what: &str) -> ProviderError {
    ProviderError::new(ErrorKind::BadUpstream, format!("Spotify's answer cannot be read: {what}"))
        .with_code("unreadable_answer")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoints;

    fn answer(status: u16, body: &str) -> HttpResponse {
        HttpResponse { status, headers: Vec::new(), body: body.into() }
    }

    #[test]
    fn a_403_has_five_meanings_and_five_messages() {
        let cases = [
            ("premium_required", "Active premium subscription required for the owner of the app. Upgrade."),
            ("user_not_allowed", "User not registered in the Developer Dashboard"),
            ("scope_missing", r#"{"error":{"status":403,"message":"Insufficient client scope"}}"#),
            ("not_owner", r#"{"error":{"status":403,"message":"You cannot add tracks to a playlist you don't own."}}"#),
        ];
        let mut messages = std::collections::BTreeSet::new();
        for (code, body) in cases {
            let error = of_api(&endpoints::ADD_ITEMS, &answer(403, body));
            assert_eq!((error.kind, error.code.as_deref()), (ErrorKind::Restricted, Some(code)), "{body}");
            messages.insert(error.message);
        }
        let error = of_api(&endpoints::SEARCH, &answer(403, ""));
        assert_eq!(error.code.as_deref(), Some("endpoint_removed"));
        messages.insert(error.message);
        assert_eq!(messages.len(), 5);
    }

    #[test]
    fn every_shape_of_an_error_is_read() {
        let edge = of_api(&endpoints::ME, &answer(502, "<html><body>502 Bad Gateway</body></html>"));
        assert_eq!((edge.kind, edge.code.as_deref()), (ErrorKind::Unavailable, Some("service_error")));
        assert!(!edge.message.contains('<'));
        let bare = of_api(&endpoints::SAVE, &answer(400, r#"{"status":400,"message":"Missing required field: uris"}"#));
        assert!(bare.message.contains("Missing required field"), "{bare}");
        let stale =
            of_api(&endpoints::MOVE_ITEMS, &answer(502, r#"{"error":{"message":"Missing or bad version tag"}}"#));
        assert_eq!(stale.kind, ErrorKind::Conflict);
        let said = Said::of(br#"{"error":"invalid_grant","error_description":"Refresh token revoked"}"#);
        assert_eq!(said.error.as_deref(), Some("invalid_grant"));
        for body in ["", "null", "[]", "7", "{\"error\":null}", "{\"error\":[]}", "\u{0}\u{1}"] {
            assert_eq!(of_api(&endpoints::ME, &answer(400, body)).kind, ErrorKind::InvalidRequest, "{body}");
        }
    }

    #[test]
    fn waits_are_read_as_whole_and_broken_seconds() {
        let mut quota =
            answer(429, r#"{"error":{"status":429,"message":"Too many requests","reason":"QUOTA_EXCEEDED"}}"#);
        quota.headers.push(("retry-after".into(), "48925".into()));
        let error = of_api(&endpoints::ME, &quota);
        assert_eq!((error.code.as_deref(), error.retry_after_ms), (Some("quota_exceeded"), Some(48_925_000)));
        assert_eq!(retry_after_ms("1.5"), Some(1500));
        for odd in ["-1", "NaN", "inf", "soon", ""] {
            assert_eq!(retry_after_ms(odd), None, "{odd}");
        }
        assert_eq!(of_api(&endpoints::ME, &answer(429, "")).retry_after_ms, None);
    }
}
