//! One request to the Web API, and its answer.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::shape::{Slice, page};

/// A request of a user whose token was good.
pub(crate) struct Call {
    /// Position of the user.
    pub(crate) user: usize,
    /// Such as `/v1/me/tracks`.
    pub(crate) path: String,
    pub(crate) query: Vec<(String, String)>,
    /// The one part of the path that varies, decoded.
    pub(crate) id: String,
    pub(crate) content_type: String,
    pub(crate) body: Bytes,
    /// What the token was granted.
    pub(crate) scopes: Vec<String>,
}

/// What is sent back.
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Body,
}

pub(crate) enum Body {
    Json(Value),
    Bytes(&'static str, Vec<u8>),
    Empty,
}

/// A refusal is an answer too.
pub(crate) type Answer = Result<Reply, Reply>;

impl Reply {
    pub(crate) fn json(status: u16, value: Value) -> Self {
        Self { status, headers: Vec::new(), body: Body::Json(value) }
    }

    pub(crate) fn empty(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Body::Empty }
    }

    /// A refusal in the shape of the Web API.
    pub(crate) fn refused(status: u16, message: &str) -> Self {
        Self::json(status, json!({"error": {"status": status, "message": message}}))
    }

    pub(crate) fn text(status: u16, kind: &'static str, text: &str) -> Self {
        Self { status, headers: Vec::new(), body: Body::Bytes(kind, text.as_bytes().to_vec()) }
    }

    #[must_use]
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }
}

/// An ordinary answer.
pub(crate) fn ok(value: Value) -> Answer {
    Ok(Reply::json(200, value))
}

impl Call {
    pub(crate) fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// A number of the query within its bounds.
    pub(crate) fn number(&self, name: &str, default: usize, min: usize, max: usize) -> Result<usize, Reply> {
        let Some(text) = self.query(name) else { return Ok(default) };
        let number = text.parse().ok().filter(|n| (min..=max).contains(n));
        number.ok_or_else(|| Reply::refused(400, &format!("Invalid {name}")))
    }

    /// The part of a list that is asked for, limits of which are those of most lists.
    pub(crate) fn slice(&self, total: usize) -> Result<Slice, Reply> {
        self.slice_of(total, 20, 50)
    }

    pub(crate) fn slice_of(&self, total: usize, default: usize, max: usize) -> Result<Slice, Reply> {
        let limit = self.number("limit", default, 1, max)?;
        let offset = self.number("offset", 0, 0, 100_000)?;
        Ok(Slice { offset, limit, total })
    }

    /// A page of a list at this request's path.
    pub(crate) fn page(&self, base: &str, slice: Slice, rows: Vec<Value>) -> Value {
        let rest: Vec<_> = self.query.iter().filter(|(name, _)| name != "limit" && name != "offset").cloned().collect();
        page(base, &self.path, &rest, slice, rows)
    }

    /// The body, which must be a JSON object.
    pub(crate) fn object(&self) -> Result<Value, Reply> {
        let value = serde_json::from_slice(&self.body).ok().filter(Value::is_object);
        value.ok_or_else(|| Reply::refused(400, "Error parsing JSON."))
    }

    pub(crate) fn granted(&self, scopes: &[&str]) -> bool {
        scopes.is_empty() || self.scopes.iter().any(|scope| scopes.contains(&scope.as_str()))
    }
}
