//! The cookie by which a browser's session is known, and the proof that a request with it comes from the host's own pages.

use std::convert::Infallible;

use axum::http::{HeaderMap, HeaderValue, Method, Request, Response, Uri, header};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use cookie::{Cookie, SameSite, time::Duration};
use secrecy::SecretString;
use tower::{Layer as _, ServiceExt as _, service_fn};
use tower_http::csrf::CsrfLayer;

use crate::{
    config::Config,
    error::ApiError,
    middleware::client::Client,
    secrets::{SecretsError, random},
};

/// The cookie's name.
pub const NAME: &str = "zotify_session";
/// Characters of its value: 32 random bytes in base64.
const LENGTH: usize = 43;

/// A new value.
///
/// # Errors
/// When the system gives no random bytes.
pub(super) fn generate() -> Result<SecretString, SecretsError> {
    Ok(URL_SAFE_NO_PAD.encode(random::<32>()?).into())
}

/// The value of the session's cookie that came with a request, if it looks like one.
pub fn value(headers: &HeaderMap) -> Option<&str> {
    let lists = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut cookies = lists.flat_map(Cookie::split_parse).filter_map(Result::ok);
    let found = cookies.find(|cookie| cookie.name() == NAME)?;
    found.value_raw().filter(|value| value.len() == LENGTH)
}

/// The `Set-Cookie` header that hands a value to the browser for some seconds.
///
/// # Errors
/// Never for a value that [`generate`] made.
pub fn set(client: &Client, value: &str, seconds: i64) -> Result<HeaderValue, ApiError> {
    let path = if client.prefix.is_empty() { "/" } else { &client.prefix };
    let cookie = Cookie::build((NAME, value)).path(path).http_only(true).secure(client.https);
    let cookie = cookie.same_site(SameSite::Lax).max_age(Duration::seconds(seconds)).build();
    HeaderValue::from_str(&cookie.to_string()).map_err(ApiError::internal)
}

/// The `Set-Cookie` header that takes it away.
///
/// # Errors
/// Never.
pub fn clear(client: &Client) -> Result<HeaderValue, ApiError> {
    set(client, "", 0)
}

/// Makes sure that a request that may change something was sent by a page of this host. One that says nothing of where it
/// comes from is let through only where `silent` is: no browser says nothing, unless it is very old.
///
/// # Errors
/// 403 `csrf`.
pub async fn check_same_site(
    config: &Config,
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
    silent: bool,
) -> Result<(), ApiError> {
    let safe = [Method::GET, Method::HEAD, Method::OPTIONS].contains(method);
    let given = |name: &str| headers.get(name).is_some_and(|value| !value.is_empty());
    let says = given("origin") || given("sec-fetch-site");
    if !safe && !says && !silent {
        let detail = "a request with the session's cookie needs an Origin header; programs sign in for tokens instead";
        return Err(ApiError::forbidden("csrf", detail));
    }
    let mut probe = Request::new(());
    *probe.method_mut() = method.clone();
    *probe.uri_mut() = uri.clone();
    *probe.headers_mut() = headers.clone();
    let Ok(answer) = layer(config).layer(service_fn(pass)).oneshot(probe).await;
    if answer.status().is_success() {
        return Ok(());
    }
    Err(ApiError::forbidden("csrf", "another site sent this request with the session's cookie; it was not done"))
}

/// Whether a page of this host, or the user by hand, had the browser ask; browsers that don't say so are very old.
pub fn is_own_page(headers: &HeaderMap) -> bool {
    headers.get("sec-fetch-site").is_some_and(|site| site == "same-origin" || site == "none")
}

fn layer(config: &Config) -> CsrfLayer {
    let origin = config.server.public_url.as_ref().map(|url| url.origin().ascii_serialization());
    // A proxy may put a name of its own into Host. An origin that is none of http and https trusts nobody.
    origin.and_then(|origin| CsrfLayer::new().add_trusted_origin(origin).ok()).unwrap_or_default()
}

async fn pass(_: Request<()>) -> Result<Response<()>, Infallible> {
    Ok(Response::new(()))
}

#[cfg(test)]
mod tests {
    use std::{net::Ipv4Addr, path::Path};

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, text)| (name.parse().unwrap(), HeaderValue::from_static(text))).collect()
    }

    async fn allowed(config: &Config, method: Method, pairs: &[(&'static str, &'static str)]) -> bool {
        let uri = Uri::from_static("/api/auth/logout");
        check_same_site(config, &method, &uri, &headers(pairs), false).await.is_ok()
    }

    #[tokio::test]
    async fn only_the_hosts_own_pages_may_change_something() {
        let config =
            Config::parse("[server]\npublic_url = \"https://music.example.org/zotify\"", Path::new("/")).unwrap();
        let host = ("host", "127.0.0.1:8080");
        for (method, pairs, wanted) in [
            (Method::GET, &[host, ("sec-fetch-site", "cross-site")][..], true),
            (Method::POST, &[host, ("sec-fetch-site", "same-origin")], true),
            (Method::POST, &[host, ("sec-fetch-site", "cross-site"), ("origin", "https://evil.example")], false),
            (Method::DELETE, &[host, ("sec-fetch-site", "same-site"), ("origin", "https://x.example.org")], false),
            (Method::POST, &[host, ("origin", "http://127.0.0.1:8080")], true),
            (Method::POST, &[host, ("origin", "https://music.example.org")], true),
            (Method::POST, &[host, ("origin", "https://music.example.org.evil.example")], false),
            (Method::POST, &[host, ("origin", "null")], false),
            (Method::POST, &[host, ("origin", "")], false),
            (Method::POST, &[host], false),
        ] {
            assert_eq!(allowed(&config, method.clone(), pairs).await, wanted, "{method} {pairs:?}");
        }
    }

    #[test]
    fn a_cookie_is_for_the_host_alone_and_found_among_others() {
        let client = Client { ip: Ipv4Addr::LOCALHOST.into(), prefix: "/zotify".into(), https: true };
        let value_text = "a".repeat(LENGTH);
        let header = set(&client, &value_text, 60).unwrap();
        let text = header.to_str().unwrap();
        for part in ["HttpOnly", "SameSite=Lax", "Secure", "Path=/zotify", "Max-Age=60"] {
            assert!(text.contains(part), "{text}");
        }
        let sent = format!("a=b; {NAME}={value_text}; c=d");
        let mut headers = HeaderMap::new();
        headers.append("cookie", "x=y".parse().unwrap());
        headers.append("cookie", sent.parse().unwrap());
        assert_eq!(value(&headers), Some(value_text.as_str()));
        assert_eq!(value(&self::headers(&[("cookie", "zotify_session=short")])), None);
    }
}
