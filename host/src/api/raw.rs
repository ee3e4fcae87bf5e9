//! Answers whose JSON the database already holds as text.

use axum::{
    http::header,
    response::{IntoResponse, Response},
};
use serde_json::value::RawValue;

use super::page::Meta;
use crate::{
    db::items::Part,
    error::{ApiError, ApiResult},
};

/// A JSON document as text.
pub struct RawJson(pub String);

impl IntoResponse for RawJson {
    fn into_response(self) -> Response {
        ([(header::CONTENT_TYPE, "application/json")], self.0).into_response()
    }
}

/// A stored document as part of a larger one.
///
/// # Errors
/// 500, when it is no JSON.
pub fn raw(doc: String) -> ApiResult<Box<RawValue>> {
    RawValue::from_string(doc).map_err(ApiError::internal)
}

/// A page of stored documents.
pub fn page(part: &Part, meta: Meta) -> super::page::RawPage {
    super::page::RawPage { data: format!("[{}]", part.json), meta }
}
