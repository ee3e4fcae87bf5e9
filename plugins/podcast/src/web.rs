//! Asks publishers for feeds: only for what changed, and after a feed that moved.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use url::Url;
use zotify_plugin_api::{Context, ErrorKind, ProviderError, service::HttpResponse};

use crate::{ids::web_url, settings::Settings};

/// How often one look at a feed is sent elsewhere.
const MAX_REDIRECTS: usize = 5;
/// How long one look may take in all.
const PATIENCE: Duration = Duration::from_secs(20);
/// The longest validator that is kept, in bytes.
const MAX_VALIDATOR: usize = 1024;
const ACCEPT: &str = "application/rss+xml, application/atom+xml, application/feed+json, application/xml;q=0.9, text/xml;q=0.9, */*;q=0.5";

/// By what a publisher tells whether a feed changed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Validators {
    pub(crate) etag: Option<String>,
    pub(crate) modified: Option<String>,
    /// The address that they came from: elsewhere they mean nothing, or something else.
    pub(crate) at: String,
}

/// What a look at a feed found.
pub(crate) struct Looked {
    pub(crate) found: Found,
    /// Where it has moved for good.
    pub(crate) moved: Option<Url>,
}

pub(crate) enum Found {
    /// It is as it was.
    Unchanged,
    /// The publisher says that it will not come back.
    Gone,
    Document(Box<Document>),
}

/// What stands at a feed's address.
pub(crate) struct Document {
    pub(crate) bytes: Vec<u8>,
    pub(crate) content_type: Option<String>,
    pub(crate) validators: Validators,
    /// Where it came from.
    pub(crate) at: Url,
}

/// Why a feed could not be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Failure {
    pub(crate) code: String,
    /// For people; without addresses, which may hold secrets.
    pub(crate) detail: String,
    /// When to try again, in milliseconds.
    #[serde(default)]
    pub(crate) retry_after_ms: Option<u64>,
}

impl Failure {
    pub(crate) fn new(code: &str, detail: &str) -> Self {
        Self { code: code.into(), detail: detail.into(), retry_after_ms: None }
    }

    /// As an error of a call that somebody waits for. Of a kind that speaks against this one feed: others would have the
    /// host take the whole provider for broken because of one publisher.
    pub(crate) fn into_error(self) -> ProviderError {
        let kind = match self.code.as_str() {
            "not_found" | "gone" => ErrorKind::NotFound,
            "rate_limited" => ErrorKind::RateLimited,
            "refused" => ErrorKind::Restricted,
            _ => ErrorKind::InvalidRequest,
        };
        ProviderError {
            retry_after_ms: self.retry_after_ms,
            ..ProviderError::new(kind, self.detail).with_code(self.code)
        }
    }
}

impl From<ProviderError> for Failure {
    /// The host's own words may name the address, so they are not passed on.
    fn from(error: ProviderError) -> Self {
        let (code, detail) = match error.kind {
            ErrorKind::PermissionDenied => (
                "address_denied",
                "the feed lies in a private network, or where this program may not go; an administrator can allow its \
                 origin in the settings",
            ),
            ErrorKind::TooLarge => ("too_large", "the feed is larger than feeds may be"),
            ErrorKind::InvalidRequest => ("bad_address", "the feed's address cannot be asked"),
            _ => ("unreachable", "the feed's server does not answer"),
        };
        Self { retry_after_ms: error.retry_after_ms, ..Self::new(code, detail) }
    }
}

/// The way to publishers.
pub(crate) struct Web {
    cx: Context,
    user_agent: String,
    max_bytes: usize,
}

impl Web {
    pub(crate) fn new(cx: Context, settings: &Settings) -> Self {
        Self { cx, user_agent: settings.user_agent(), max_bytes: settings.max_bytes() }
    }

    /// Asks for a feed. Redirects are followed one by one: only an unbroken chain of permanent ones says that a feed
    /// moved.
    pub(crate) async fn look(&self, url: &Url, known: &Validators) -> Result<Looked, Failure> {
        let (mut at, mut moved, mut for_good) = (url.clone(), None, true);
        let deadline = Instant::now() + PATIENCE;
        for _ in 0..=MAX_REDIRECTS {
            let response = self.ask(&at, known, deadline).await?;
            if !matches!(response.status, 301 | 302 | 303 | 307 | 308) {
                return self.found(response, at).map(|found| Looked { found, moved });
            }
            let next = redirect(&response, &at)?;
            for_good &= matches!(response.status, 301 | 308);
            if for_good {
                moved = Some(next.clone());
            }
            at = next;
        }
        Err(Failure::new("redirect_loop", "the feed's server redirects in circles"))
    }

    async fn ask(&self, at: &Url, known: &Validators, deadline: Instant) -> Result<HttpResponse, Failure> {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Failure::new("unreachable", "the feed's server does not answer in time"));
        }
        let mut request = self.cx.http().get(at.as_str()).no_redirects().timeout(left);
        request = request.header("user-agent", self.user_agent.as_str()).header("accept", ACCEPT);
        let theirs = known.at == at.as_str();
        if let Some(etag) = known.etag.as_ref().filter(|_| theirs) {
            request = request.header("if-none-match", etag.as_str());
        }
        if let Some(modified) = known.modified.as_ref().filter(|_| theirs) {
            request = request.header("if-modified-since", modified.as_str());
        }
        Ok(request.send().await?)
    }

    fn found(&self, response: HttpResponse, at: Url) -> Result<Found, Failure> {
        match response.status {
            200 => {}
            304 => return Ok(Found::Unchanged),
            410 => return Ok(Found::Gone),
            _ => return Err(refused(response)),
        }
        if response.body.len() > self.max_bytes {
            return Err(Failure::new("too_large", "the feed is larger than the settings allow"));
        }
        let validator = |name: &str| {
            let fits = |value: &&str| value.len() <= MAX_VALIDATOR && value.bytes().all(|b| (b' '..=b'~').contains(&b));
            response.header(name).filter(fits).map(str::to_owned)
        };
        let (etag, modified) = (validator("etag"), validator("last-modified"));
        let validators = Validators { etag, modified, at: at.to_string() };
        let content_type = response.header("content-type").map(str::to_owned);
        Ok(Found::Document(Box::new(Document { bytes: response.body, content_type, validators, at })))
    }
}

fn redirect(response: &HttpResponse, from: &Url) -> Result<Url, Failure> {
    let next = response.header("location").and_then(|to| from.join(to).ok()).and_then(|to| web_url(to.as_str()));
    let next = next.ok_or_else(|| Failure::new("bad_redirect", "the feed's server redirects to nowhere"))?;
    if from.scheme() == "https" && next.scheme() == "http" {
        return Err(Failure::new("redirect_unprotected", "the feed's server redirects from https to http"));
    }
    Ok(next)
}

fn refused(response: HttpResponse) -> Failure {
    let status = response.status;
    let (code, detail) = match status {
        401 | 403 | 407 => ("refused", "the feed's server refuses it; a private feed has an address of its own"),
        404 => ("not_found", "the feed's server does not have it any more"),
        429 => ("rate_limited", "the feed's server asks to wait"),
        500..=599 => ("server_error", "the feed's server is out of order"),
        _ => ("unexpected_status", "the feed's server answers something that is no feed"),
    };
    let retry_after_ms = response.success().err().and_then(|error| error.retry_after_ms);
    Failure { retry_after_ms, ..Failure::new(code, detail) }
}
