//! What fuzz targets reach of this module.

use axum::http::{Request, request::Parts};

use super::{Tokens, principal, signed};
use crate::error::ApiError;

/// Tokens of a key that everybody knows.
pub fn tokens() -> Tokens {
    Tokens::known()
}

/// Signs a link.
pub fn sign(tokens: &Tokens, session_id: &str, uri: &str, expires_ms: i64) -> String {
    signed::sign_with(&tokens.link_key, session_id, uri, expires_ms)
}

/// The session and the end of a link, if it is one.
pub fn verify(tokens: &Tokens, uri: &str, sig: &str, now_ms: i64) -> Result<(String, i64), ApiError> {
    signed::verify_with(&tokens.link_key, uri, sig, now_ms)
}

/// The token of an `Authorization` header.
pub fn bearer(header: &[u8]) -> Result<String, ApiError> {
    let request = Request::builder().header("authorization", header).body(());
    let Ok(request) = request else { return Err(ApiError::unauthorized("invalid_token", "no header")) };
    let (parts, ()): (Parts, ()) = request.into_parts();
    principal::bearer(&parts).map(str::to_owned)
}
