//! Requests with their answers, for those who hold both to the published contract.

use axum::http::{HeaderMap, request::Parts};
use bytes::Bytes;

/// A request to the Web API and its answer, whole.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// Such as `GET`.
    pub method: String,
    /// What follows `/v1`, with the query.
    pub path_and_query: String,
    /// Headers of the request.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
    /// Status of the answer; 0 where the connection was closed without one.
    pub status: u16,
    /// The header `Content-Type` of the answer.
    pub content_type: Option<String>,
    /// Its body.
    pub answer: Bytes,
    /// A rule had an effect: the answer is not what the simulator makes of the request.
    pub hit: bool,
}

impl Exchange {
    /// A request whose answer is yet to come; none where it is not one to the Web API.
    pub(crate) fn begin(parts: &Parts, body: &Bytes, hit: bool) -> Option<Self> {
        let path_and_query = parts.uri.path_and_query()?.as_str().strip_prefix("/v1")?.to_owned();
        Some(Self {
            method: parts.method.to_string(),
            path_and_query,
            headers: parts.headers.clone(),
            body: body.clone(),
            status: 0,
            content_type: None,
            answer: Bytes::new(),
            hit,
        })
    }
}
