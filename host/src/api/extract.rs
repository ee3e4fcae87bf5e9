//! Extractors: what a handler needs stands in its signature, and what is wrong with a request leaves as a problem.

use std::collections::HashMap;

use axum::{
    Json as AxumJson,
    body::Bytes,
    extract::{
        FromRequest, FromRequestParts, Path as AxumPath, Query as AxumQuery, Request,
        rejection::{BytesRejection, JsonRejection},
    },
    http::{HeaderMap, HeaderValue, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{DeserializeOwned, Error as _, IgnoredAny},
};
use serde_json::{Map, Value};
use tower_http::timeout::TimeoutError;
use zotify_plugin_api::{Kind, Uri};

use crate::error::{ApiError, FieldError};

/// A JSON object as body, and any JSON as answer. A body that is not what it should be is a problem that names the place.
pub struct Json<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        if !is_json(request.headers()) {
            return Err(not_json());
        }
        parse(&read(request, state).await?).map(Self)
    }
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        AxumJson(self.0).into_response()
    }
}

/// The body, within the limits of size and time.
async fn read<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, ApiError> {
    Bytes::from_request(request, state).await.map_err(|rejection| body_problem(&rejection))
}

/// The problem for a body that did not come, or not whole.
pub fn body_problem(rejection: &BytesRejection) -> ApiError {
    let mut causes = std::iter::successors(Some(rejection as &dyn std::error::Error), |error| error.source());
    if causes.any(|cause| cause.is::<TimeoutError>()) {
        let detail = "the body did not come in time; send the request again";
        return ApiError::new(StatusCode::REQUEST_TIMEOUT, "body_timeout", detail);
    }
    match rejection.status() {
        status @ StatusCode::PAYLOAD_TOO_LARGE => {
            ApiError::new(status, "body_too_large", "the body is larger than the limit")
        }
        _ => ApiError::bad_request("invalid_body", rejection.body_text()),
    }
}

fn not_json() -> ApiError {
    let detail = "send the body as JSON with `Content-Type: application/json`";
    ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail)
}

fn is_json(headers: &HeaderMap) -> bool {
    let Some(Ok(value)) = headers.get(header::CONTENT_TYPE).map(HeaderValue::to_str) else { return false };
    let essence = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence.strip_prefix("application/").is_some_and(|subtype| subtype == "json" || subtype.ends_with("+json"))
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    // A list would be taken for the fields of an object in their order, which nobody was promised.
    if bytes.trim_ascii_start().first() != Some(&b'{') {
        return Err(match serde_json::from_slice::<IgnoredAny>(bytes) {
            Ok(_) => ApiError::unprocessable("invalid_body", "the body is not a JSON object"),
            Err(error) => ApiError::bad_request("invalid_json", format!("the body is not JSON: {error}")),
        });
    }
    AxumJson::<T>::from_bytes(bytes).map(|AxumJson(value)| value).map_err(|rejection| match rejection {
        JsonRejection::JsonDataError(e) => ApiError::unprocessable("invalid_body", e.body_text()),
        other => ApiError::bad_request("invalid_json", other.body_text()),
    })
}

/// Tells null from absent, in a field with `#[serde(default, deserialize_with = "present")]`.
///
/// # Errors
/// When the value is neither null nor what the field holds.
pub fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(value: D) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(value).map(Some)
}

/// A structure within a body, read from an object alone: serde takes a list for its fields in their order, too.
///
/// # Errors
/// When the value is not an object, or not what the structure holds.
pub fn object<'de, T: DeserializeOwned, D: Deserializer<'de>>(value: D) -> Result<T, D::Error> {
    let object = Map::<String, Value>::deserialize(value)?;
    T::deserialize(Value::Object(object)).map_err(D::Error::custom)
}

/// [`object`] in a field that tells null from absent, like [`present`].
///
/// # Errors
/// When the value is neither null nor what the field holds.
pub fn present_object<'de, T: DeserializeOwned, D: Deserializer<'de>>(value: D) -> Result<Option<Option<T>>, D::Error> {
    #[derive(Deserialize)]
    #[serde(transparent, bound = "T: DeserializeOwned")]
    struct Object<T>(#[serde(deserialize_with = "object")] T);

    Ok(Some(Option::<Object<T>>::deserialize(value)?.map(|Object(inner)| inner)))
}

/// A JSON body of which every field may be left out, and with them the body itself.
pub struct OptionalJson<T>(pub T);

impl<T: DeserializeOwned + Default, S: Send + Sync> FromRequest<S> for OptionalJson<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let json = is_json(request.headers());
        let bytes = read(request, state).await?;
        match bytes.trim_ascii() {
            b"" => Ok(Self(T::default())),
            _ if !json => Err(not_json()),
            b"null" => Ok(Self(T::default())),
            body => parse(body).map(Self),
        }
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
