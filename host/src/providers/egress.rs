//! The one way out to the network: checks every address that a plugin, or a source that it named, leads to.

mod address;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod headers;
#[cfg(test)]
mod tests;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bytes::BytesMut;
use reqwest::{
    Method, StatusCode, Url,
    dns::{Addrs, Name, Resolve, Resolving},
    header::{HeaderMap, LOCATION},
    redirect,
};
use zotify_plugin_api::{
    ErrorKind, ProviderError, Result,
    service::{HttpRequest, HttpResponse},
};

use super::grants::{Grants, HostRule};

/// The largest body that a plugin gets, in bytes, decompressed.
pub const MAX_BODY: usize = 16 << 20;
/// How long a request may take where the plugin names no time, and at most.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);
const MAX_TIMEOUT: Duration = Duration::from_secs(60);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const MAX_REDIRECTS: usize = 5;

/// The pooled connections that all instances share.
#[derive(Clone)]
pub(super) struct Clients {
    /// Connects to public addresses only.
    public: reqwest::Client,
    /// Connects anywhere: for origins that an admin wrote.
    anywhere: reqwest::Client,
}

impl Clients {
    pub(super) fn new() -> reqwest::Result<Self> {
        let builder = || {
            reqwest::Client::builder()
                .user_agent(concat!("zotify/", env!("CARGO_PKG_VERSION")))
                .redirect(redirect::Policy::none())
                .no_proxy()
                .referer(false)
                .connect_timeout(CONNECT_TIMEOUT)
                .pool_idle_timeout(Duration::from_secs(60))
        };
        Ok(Self { public: builder().dns_resolver(Arc::new(PublicOnly)).build()?, anywhere: builder().build()? })
    }
}

/// Resolves names to public addresses only. What it answers is what is connected to, so a name that changes between a
/// check and the connection gains nothing.
struct PublicOnly;

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            Ok(Box::new(public(found)?.into_iter()) as Addrs)
        })
    }
}

/// The public ones of the addresses that a name has.
fn public(found: impl Iterator<Item = SocketAddr>) -> Result<Vec<SocketAddr>, NotPublic> {
    let public: Vec<_> = found.filter(|address| address::is_public(address.ip())).collect();
    if public.is_empty() { Err(NotPublic) } else { Ok(public) }
}

#[derive(Debug, thiserror::Error)]
#[error("the name has no public address")]
struct NotPublic;

/// What one instance may reach.
#[derive(Clone)]
pub struct Egress {
    clients: Option<Clients>,
    hosts: Arc<[HostRule]>,
    public_internet: bool,
}

impl Egress {
    /// Reaches nothing.
    pub(super) fn closed() -> Self {
        Self { clients: None, hosts: Arc::new([]), public_internet: false }
    }

    pub(super) fn new(clients: Clients, grants: &Grants) -> Self {
        Self { clients: Some(clients), hosts: grants.hosts.clone().into(), public_internet: grants.public_internet }
    }

    /// Sends a request and follows redirects, each checked, unless the request wants to see them; answers when the head of the answer is there. The body is
    /// not limited: the caller does that.
    ///
    /// # Errors
    /// `permission_denied` for addresses that are not granted, `invalid_request` for malformed requests, `unavailable`
    /// and `timeout` when nobody answers.
    pub async fn open(&self, request: &HttpRequest) -> Result<reqwest::Response> {
        in_time(request, self.follow(request)).await
    }

    async fn follow(&self, request: &HttpRequest) -> Result<reqwest::Response> {
        let mut url = Url::parse(&request.url).map_err(|_| ProviderError::invalid("the address is no URL"))?;
        let mut method = Method::from_bytes(request.method.as_bytes())
            .map_err(|_| ProviderError::invalid("the request's method is no HTTP method"))?;
        let mut headers = headers::sendable(&request.headers)?;
        let mut body = request.body.clone();
        for _ in 0..=MAX_REDIRECTS {
            let client = self.client_for(&url)?;
            let mut sending = client.request(method.clone(), url.clone()).headers(headers.clone());
            if !body.is_empty() {
                sending = sending.body(body.clone());
            }
            let response = sending.send().await.map_err(|e| send_error(&e))?;
            if request.no_redirects {
                return Ok(response);
            }
            let Some(next) = redirect_of(&response, &url)? else { return Ok(response) };
            if next.origin() != url.origin() {
                headers = headers::for_foreign_origin(&headers);
            }
            if changes_to_get(response.status(), &method) {
                (method, body) = (Method::GET, Vec::new());
                headers = headers::without_body(headers);
            }
            url = next;
        }
        Err(ProviderError::new(ErrorKind::BadUpstream, "the service redirects in circles"))
    }

    /// Refuses what would not be sent.
    ///
    /// # Errors
    /// `permission_denied` for an address that is not granted, `invalid_request` for what is none.
    pub(super) fn check(&self, request: &HttpRequest) -> Result<()> {
        let url = Url::parse(&request.url).map_err(|_| ProviderError::invalid("the address is no URL"))?;
        headers::sendable(&request.headers)?;
        self.client_for(&url).map(drop)
    }

    /// The client that may connect to the address.
    fn client_for(&self, url: &Url) -> Result<&reqwest::Client> {
        let denied = |why: &str| ProviderError::new(ErrorKind::PermissionDenied, why.to_owned());
        if !matches!(url.scheme(), "http" | "https") {
            return Err(denied("only http and https addresses may be reached"));
        }
        let (Some(clients), Some(host), Some(port)) = (&self.clients, url.host(), url.port_or_known_default()) else {
            return Err(denied("the address cannot be reached"));
        };
        let name = host.to_string().to_ascii_lowercase();
        let by_admin =
            |rule: &HostRule| matches!(rule, HostRule::Origin { host, port: p } if *host == name && *p == port);
        if self.hosts.iter().any(by_admin) {
            return Ok(&clients.anywhere);
        }
        let by_name = |rule: &HostRule| matches!(rule, HostRule::Name(pattern) if matches_name(pattern, &name));
        if !self.public_internet && !self.hosts.iter().any(by_name) {
            return Err(denied(&format!("the plugin is not granted the host {name}")));
        }
        // A literal address never passes the resolver.
        let public = match host {
            url::Host::Domain(_) => true,
            url::Host::Ipv4(ip) => address::is_public(ip.into()),
            url::Host::Ipv6(ip) => address::is_public(ip.into()),
        };
        if public { Ok(&clients.public) } else { Err(denied("the address is not a public one")) }
    }

    /// Sends a request and reads the whole answer.
    ///
    /// # Errors
    /// As [`Egress::open`], and `too_large` for bodies over [`MAX_BODY`].
    pub(super) async fn send(&self, request: &HttpRequest) -> Result<HttpResponse> {
        let reading = async {
            let response = self.follow(request).await?;
            let (status, headers) = (response.status().as_u16(), headers::received(response.headers()));
            Ok(HttpResponse { status, headers, body: read_body(response).await? })
        };
        in_time(request, reading).await
    }
}

async fn in_time<T>(request: &HttpRequest, sending: impl Future<Output = Result<T>>) -> Result<T> {
    let limit = match request.timeout_ms {
        0 => DEFAULT_TIMEOUT,
        ms => Duration::from_millis(ms).min(MAX_TIMEOUT),
    };
    tokio::time::timeout(limit, sending).await.map_err(|_| too_late())?
}

async fn read_body(mut response: reqwest::Response) -> Result<Vec<u8>> {
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await.map_err(|e| send_error(&e))? {
        if body.len() + chunk.len() > MAX_BODY {
            return Err(ProviderError::new(ErrorKind::TooLarge, "the service's answer is over 16 MiB"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.into())
}

fn matches_name(pattern: &str, name: &str) -> bool {
    match pattern.strip_prefix("*.") {
        Some(parent) => name.strip_suffix(parent).is_some_and(|rest| rest.ends_with('.')),
        None => pattern == name,
    }
}

fn redirect_of(response: &reqwest::Response, from: &Url) -> Result<Option<Url>> {
    if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    let headers: &HeaderMap = response.headers();
    let Some(location) = headers.get(LOCATION) else { return Ok(None) };
    let broken = || ProviderError::new(ErrorKind::BadUpstream, "the service redirects to nowhere");
    let next = location.to_str().ok().and_then(|to| from.join(to).ok()).ok_or_else(broken)?;
    if from.scheme() == "https" && next.scheme() == "http" {
        return Err(ProviderError::new(ErrorKind::BadUpstream, "the service redirects from https to http"));
    }
    Ok(Some(next))
}

fn changes_to_get(status: StatusCode, method: &Method) -> bool {
    match status.as_u16() {
        303 => *method != Method::HEAD,
        301 | 302 => *method == Method::POST,
        _ => false,
    }
}

fn too_late() -> ProviderError {
    ProviderError::new(ErrorKind::Timeout, "the service did not answer in time")
}

/// Says what failed without the address, which may hold a secret.
fn send_error(error: &reqwest::Error) -> ProviderError {
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(e) = cause {
        if e.is::<NotPublic>() {
            return ProviderError::new(ErrorKind::PermissionDenied, NotPublic.to_string());
        }
        cause = e.source();
    }
    if error.is_timeout() {
        return too_late();
    }
    let what = if error.is_connect() { "cannot be reached" } else { "broke off the connection" };
    ProviderError::unavailable(format!("the service {what}"))
}
