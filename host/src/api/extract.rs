//! Extractors: what a handler needs stands in its signature, and what is wrong with a request leaves as a problem.

use std::collections::HashMap;

use axum::{
    Json as AxumJson,
    body::{Body, Bytes},
    extract::{FromRequest, FromRequestParts, Path as AxumPath, Query as AxumQuery, Request, rejection::JsonRejection},
    http::{StatusCode, request::Parts},
    response::{IntoResponse, Response},
};
use serde::{Serialize, de::DeserializeOwned};
use zotify_plugin_api::{Kind, Uri};

use crate::error::{ApiError, FieldError};

/// A JSON body in both directions. A body that is not what it should be is a problem that names the place.
pub struct Json<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        match AxumJson::<T>::from_request(request, state).await {
            Ok(AxumJson(value)) => Ok(Self(value)),
            Err(rejection) => Err(json_problem(&rejection)),
        }
    }
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        AxumJson(self.0).into_response()
    }
}

/// The problem for a body that is no such JSON.
pub fn json_problem(rejection: &JsonRejection) -> ApiError {
    match rejection {
        JsonRejection::JsonDataError(e) => ApiError::unprocessable("invalid_body", e.body_text()),
        JsonRejection::JsonSyntaxError(e) => ApiError::bad_request("invalid_json", e.body_text()),
        JsonRejection::MissingJsonContentType(_) => ApiError::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            "send the body as JSON with `Content-Type: application/json`",
        ),
        other => body_problem(other.status(), &other.body_text()),
    }
}

/// The problem for a body that could not be read.
pub fn body_problem(status: StatusCode, text: &str) -> ApiError {
    match status {
        StatusCode::PAYLOAD_TOO_LARGE => ApiError::new(status, "body_too_large", "the body is larger than the limit"),
        _ => ApiError::bad_request("invalid_body", text.to_owned()),
    }
}

/// A JSON body of which every field may be left out, and with them the body itself.
pub struct OptionalJson<T>(pub T);

impl<T: DeserializeOwned + Default, S: Send + Sync> FromRequest<S> for OptionalJson<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let (parts, body) = request.into_parts();
        let request = Request::from_parts(parts.clone(), body);
        let bytes = Bytes::from_request(request, state).await.map_err(|e| body_problem(e.status(), &e.body_text()))?;
        if bytes.is_empty() {
            return Ok(Self(T::default()));
        }
        let Json(value) = Json::<Option<T>>::from_request(Request::from_parts(parts, Body::from(bytes)), state).await?;
        Ok(Self(value.unwrap_or_default()))
    }
}

/// A JSON body whose fields are checked by `garde`.
pub struct Valid<T>(pub T);

impl<T, S> FromRequest<S> for Valid<T>
where
    T: DeserializeOwned + garde::Validate<Context = ()>,
    S: Send + Sync,
{
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let Json(value) = Json::<T>::from_request(request, state).await?;
        validate(&value)?;
        Ok(Self(value))
    }
}

/// Checks a value's fields.
///
/// # Errors
/// 422 `validation_failed` with every field that is wrong.
pub fn validate<T: garde::Validate<Context = ()>>(value: &T) -> Result<(), ApiError> {
    value.validate().map_err(|report| {
        let errors = report.iter().map(|(path, error)| FieldError {
            field: path.to_string(),
            code: "invalid".into(),
            detail: error.message().to_owned(),
        });
        ApiError::invalid(errors.collect())
    })
}

/// A query string. One that is not what it should be is a 400 `invalid_query`.
pub struct Query<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        AxumQuery::<T>::from_request_parts(parts, state)
            .await
            .map(|AxumQuery(value)| Self(value))
            .map_err(|e| ApiError::bad_request("invalid_query", e.body_text()))
    }
}

/// Parameters in the path. What is no UTF-8 is a 400 `invalid_path`.
pub struct Path<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let AxumPath(value) = AxumPath::<T>::from_request_parts(parts, state)
            .await
            .map_err(|e| ApiError::bad_request("invalid_path", e.body_text()))?;
        Ok(Self(value))
    }
}

/// The item URI in the path, whatever its kind.
pub struct ItemUri(pub Uri);

impl<S: Send + Sync> FromRequestParts<S> for ItemUri {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let Path(mut values) = Path::<HashMap<String, String>>::from_request_parts(parts, state).await?;
        parse_uri(&values.remove("uri").unwrap_or_default()).map(Self)
    }
}

impl ItemUri {
    /// The URI, if it is of the kind that the path speaks of.
    ///
    /// # Errors
    /// 404 `wrong_kind`.
    pub fn of_kind(self, kind: Kind) -> Result<Uri, ApiError> {
        if self.0.kind() == kind {
            return Ok(self.0);
        }
        let detail = format!("{} is of kind {}, not {kind}; see /api/items/{{uri}}", self.0, self.0.kind());
        Err(ApiError::not_found("wrong_kind", detail))
    }
}

/// Reads an item URI that a client sent.
///
/// # Errors
/// 400 `invalid_uri`.
pub fn parse_uri(text: &str) -> Result<Uri, ApiError> {
    text.parse().map_err(|e: zotify_plugin_api::InvalidUri| ApiError::bad_request("invalid_uri", e.to_string()))
}
