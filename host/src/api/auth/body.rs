//! The small bodies in which credentials come.

use axum::{
    Form,
    extract::{DefaultBodyLimit, FromRequest, Request, rejection::FormRejection},
    http::header,
    response::AppendHeaders,
};
use secrecy::SecretString;
use serde::{Deserialize, de::DeserializeOwned};

use crate::{
    api::extract::{Json, body_problem},
    error::ApiError,
};

/// The largest body of these requests, in bytes.
const MAX_BODY: usize = 16 * 1024;

/// A reply that holds secrets.
pub const NO_STORE: AppendHeaders<[(header::HeaderName, &str); 1]> =
    AppendHeaders([(header::CACHE_CONTROL, "no-store")]);

/// A secret in a body. The error for what is no string does not repeat it, as it may be a password of digits.
#[derive(Clone, Deserialize)]
#[serde(from = "Text")]
pub struct Secret(pub SecretString);

#[derive(Deserialize)]
#[serde(untagged, expecting = "must be a string")]
enum Text {
    Text(SecretString),
}

impl From<Text> for Secret {
    fn from(Text::Text(secret): Text) -> Self {
        Self(secret)
    }
}

/// A JSON body, small enough for what it holds.
pub struct SmallJson<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for SmallJson<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let Json(value) = Json::from_request(limited(request), state).await?;
        Ok(Self(value))
    }
}

/// A JSON body, or a form by its content type.
pub struct FormOrJson<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for FormOrJson<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let content_type = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let is_form = content_type.is_some_and(|value| value.starts_with("application/x-www-form-urlencoded"));
        let request = limited(request);
        if !is_form {
            return Json::from_request(request, state).await.map(|Json(value)| Self(value));
        }
        match Form::from_request(request, state).await {
            Ok(Form(value)) => Ok(Self(value)),
            Err(FormRejection::FailedToDeserializeFormBody(e)) => {
                Err(ApiError::unprocessable("invalid_body", e.body_text()))
            }
            Err(FormRejection::BytesRejection(e)) => Err(body_problem(&e)),
            Err(e) => Err(ApiError::bad_request("invalid_body", e.body_text())),
        }
    }
}

fn limited(mut request: Request) -> Request {
    DefaultBodyLimit::max(MAX_BODY).apply(&mut request);
    request
}
