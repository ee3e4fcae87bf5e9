//! What a user may have: as an admin set it for that user, else as the configuration says for all.

use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use sqlx::any::AnyExecutor;
use utoipa::ToSchema;

use crate::{
    config::Quotas,
    db,
    error::{ApiError, FieldError},
};

/// What an admin set for one user; null is as the configuration says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Quota {
    /// API keys that are not revoked.
    pub api_keys: Option<u32>,
    /// Sessions at once, at least 1.
    pub sessions: Option<u32>,
    /// Liked tracks.
    pub likes: Option<u32>,
    /// Plays in the history; the oldest make room.
    pub plays: Option<u32>,
    /// Requests a minute, at least 10.
    pub requests_per_minute: Option<u32>,
}

impl Quota {
    /// As it stands in `users.quota`. What can't be read counts as nothing set.
    pub fn parse(text: Option<&str>) -> Self {
        text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
    }

    /// What is out of range.
    pub fn problems(&self) -> Vec<FieldError> {
        let all = [
            ("api_keys", self.api_keys, 0, 10_000),
            ("sessions", self.sessions, 1, 10_000),
            ("likes", self.likes, 0, 10_000_000),
            ("plays", self.plays, 0, 10_000_000),
            ("requests_per_minute", self.requests_per_minute, 10, 1_000_000),
        ];
        let wrong =
            all.into_iter().filter(|(_, value, min, max)| value.is_some_and(|value| value < *min || value > *max));
        let error = |(name, _, min, max)| FieldError {
            field: format!("quota.{name}"),
            code: "out_of_range".into(),
            detail: format!("this must be between {min} and {max}, or null"),
        };
        wrong.map(error).collect()
    }

    /// What holds for the user.
    pub fn over(self, all: &Quotas) -> Quotas {
        Quotas {
            api_keys: self.api_keys.unwrap_or(all.api_keys),
            sessions: self.sessions.unwrap_or(all.sessions).max(1),
            likes: self.likes.unwrap_or(all.likes),
            plays: self.plays.unwrap_or(all.plays),
            requests_per_minute: self.requests_per_minute.unwrap_or(all.requests_per_minute).max(10),
        }
    }
}

/// What a user may have.
///
/// # Errors
/// When the database fails.
pub async fn of(db: impl AnyExecutor<'_>, all: &Quotas, user_id: &str) -> sqlx::Result<Quotas> {
    let quota = db::users::quota(db, user_id).await?;
    Ok(Quota::parse(quota.as_deref()).over(all))
}

/// 403 for a user who has all that they may have, such as `API keys`.
pub fn exceeded(what: &str, limit: u32) -> ApiError {
    let detail = format!("you may have at most {limit} {what}; remove some, or ask an admin for more");
    ApiError::new(StatusCode::FORBIDDEN, "quota_exceeded", detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_for_a_user_counts_before_what_is_set_for_all() {
        let all = Quotas::default();
        let quota = Quota::parse(Some(r#"{"api_keys": 3, "sessions": 0}"#));
        let holds = quota.over(&all);
        assert_eq!((holds.api_keys, holds.sessions, holds.likes), (3, 1, all.likes));
        assert_eq!(Quota::parse(Some("nonsense")), Quota::default());
        assert_eq!(Quota::parse(None), Quota::default());
    }
}
