//! Being written.
use crate::{AppState, error::ApiError};
use axum::{extract::FromRequestParts, http::request::Parts};
pub struct Passwords;
pub struct Tokens;
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Admin,
    User,
}
#[derive(Clone, Debug)]
pub struct Principal {
    pub user_id: String,
    pub name: String,
    pub role: Role,
    pub session_id: String,
}
impl Principal {
    pub fn require(&self, _scope: &str) -> Result<(), ApiError> {
        Ok(())
    }
}
impl FromRequestParts<AppState> for Principal {
    type Rejection = ApiError;
    async fn from_request_parts(_: &mut Parts, _: &AppState) -> Result<Self, ApiError> {
        Err(ApiError::unauthorized("missing_credentials", ""))
    }
}
/// A principal, or the user of a signed link.
pub struct MediaPrincipal(pub Principal);
impl FromRequestParts<AppState> for MediaPrincipal {
    type Rejection = ApiError;
    async fn from_request_parts(p: &mut Parts, s: &AppState) -> Result<Self, ApiError> {
        Principal::from_request_parts(p, s).await.map(Self)
    }
}
pub mod signed {
    pub fn sign(_app: &crate::App, _user_id: &str, _uri: &str, _expires_ms: i64) -> String {
        String::new()
    }
}
