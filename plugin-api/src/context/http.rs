//! HTTP through the host.

use std::time::Duration;

use serde::{Serialize, de::DeserializeOwned};

use super::Services;
use crate::{
    ErrorKind, ProviderError, Result,
    service::{self, HttpRequest, HttpResponse},
};

/// Makes requests that the host sends: pooled connections, the allow-list of the manifest's permissions, rate budget
/// and time limits are its business.
pub struct Http(pub(super) Services);

impl Http {
    /// A GET request.
    pub fn get(&self, url: impl Into<String>) -> HttpRequestBuilder {
        self.request("GET", url)
    }

    /// A POST request.
    pub fn post(&self, url: impl Into<String>) -> HttpRequestBuilder {
        self.request("POST", url)
    }

    /// A request with any method.
    pub fn request(&self, method: &str, url: impl Into<String>) -> HttpRequestBuilder {
        HttpRequestBuilder {
            services: self.0.clone(),
            request: HttpRequest {
                method: method.to_owned(),
                url: url.into(),
                headers: Vec::new(),
                body: Vec::new(),
                timeout_ms: 0,
                budget: None,
                no_redirects: false,
            },
        }
    }
}

/// A request that is being put together.
#[must_use = "nothing is sent before send()"]
pub struct HttpRequestBuilder {
    services: Services,
    request: HttpRequest,
}

impl HttpRequestBuilder {
    /// Adds a header.
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.request.headers.push((name.to_owned(), value.into()));
        self
    }

    /// Adds `Authorization: Bearer …`.
    pub fn bearer(self, token: &str) -> Self {
        self.header("authorization", format!("Bearer {token}"))
    }

    /// Adds pairs to the query. An address that is no URL is refused when it is sent.
    pub fn query<'a>(mut self, pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        if let Ok(mut url) = url::Url::parse(&self.request.url) {
            url.query_pairs_mut().extend_pairs(pairs);
            self.request.url = url.into();
        }
        self
    }

    /// Sets the body.
    pub fn body(mut self, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        self.request.body = body.into();
        self.header("content-type", content_type)
    }

    /// Sets a JSON body.
    ///
    /// # Errors
    /// When the value cannot be serialised.
    pub fn json<T: Serialize>(self, value: &T) -> Result<Self> {
        let body = serde_json::to_vec(value).map_err(ProviderError::internal)?;
        Ok(self.body("application/json", body))
    }

    /// Sets how long to wait; the host caps it.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.request.timeout_ms = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
        self
    }

    /// Says whose budget the request uses up.
    pub fn budget(mut self, budget: service::Budget) -> Self {
        self.request.budget = Some(budget);
        self
    }

    /// Takes a redirect as the answer.
    pub fn no_redirects(mut self) -> Self {
        self.request.no_redirects = true;
        self
    }

    /// Sends the request. An answer with an error status is an answer; see [`HttpResponse::success`].
    ///
    /// # Errors
    /// `permission_denied` outside the granted hosts, `unavailable` when nobody answers, `rate_limited` while the
    /// budget is used up, `too_large` over the size limit.
    pub async fn send(self) -> Result<HttpResponse> {
        self.services.call(service::HTTP_SEND, &self.request).await
    }
}

impl HttpResponse {
    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The answer, if its status says success.
    ///
    /// # Errors
    /// Otherwise the matching kind: 401 `auth_required`, 403 `restricted`, 404 `not_found`, 429 `rate_limited`,
    /// 5xx `unavailable`, else `bad_upstream`.
    pub fn success(self) -> Result<Self> {
        let kind = match self.status {
            200..=299 => return Ok(self),
            401 => ErrorKind::AuthRequired,
            403 => ErrorKind::Restricted,
            404 | 410 => ErrorKind::NotFound,
            429 => ErrorKind::RateLimited,
            500..=599 => ErrorKind::Unavailable,
            _ => ErrorKind::BadUpstream,
        };
        let mut error = ProviderError::new(kind, format!("the service answered with status {}", self.status));
        error.retry_after_ms = self.header("retry-after").and_then(retry_after_ms);
        Err(error)
    }

    /// The body as JSON.
    ///
    /// # Errors
    /// `bad_upstream` when it is not the expected JSON.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_slice(&self.body)
            .map_err(|e| ProviderError::new(ErrorKind::BadUpstream, format!("the service's JSON cannot be read: {e}")))
    }
}

/// Seconds, also with a fraction.
fn retry_after_ms(value: &str) -> Option<u64> {
    let wait = Duration::try_from_secs_f64(value.trim().parse().ok()?).ok()?;
    u64::try_from(wait.as_millis()).ok()
}

#[cfg(test)]
mod tests {
    use super::retry_after_ms;

    #[test]
    fn waits_are_seconds_with_or_without_a_fraction() {
        assert_eq!(["7", " 1.5 ", "0"].map(retry_after_ms), [Some(7000), Some(1500), Some(0)]);
        assert_eq!(["-1", "soon", "NaN", "1e300"].map(retry_after_ms), [None; 4]);
    }
}
