//! What an address, a URI or an ISRC names.

mod link;

use url::Url;
use zotify_plugin_api::prelude::*;

use crate::{Spotify, catalog, client::Session};
use link::Link;

/// How many redirects a short link may take.
const MAX_HOPS: usize = 5;
/// How much of a page is looked through, in bytes.
const MAX_PAGE: usize = 256 << 10;

/// Finds items.
pub(crate) async fn resolve(spotify: &Spotify, call: &Call<Resolve>) -> Result<Resolved> {
    match &call.by {
        ResolveBy::Text { text } => match link::parse(text.trim())? {
            Some(link) => named(spotify, call, link).await,
            None => Ok(Resolved::default()),
        },
        ResolveBy::Isrc { isrc } => {
            let mut session = Session::open(spotify, call).await?;
            Ok(Resolved { items: catalog::by_isrc(&mut session, isrc).await?.into(), uri: None })
        }
        _ => Ok(Resolved::default()),
    }
}

async fn named(spotify: &Spotify, call: &Call<Resolve>, link: Link) -> Result<Resolved> {
    let (kind, id) = match link {
        Link::Item(kind, id) => (kind, id),
        Link::Short(url) => follow(spotify, url).await?,
    };
    let uri = spotify.cx.uri(kind, &id)?;
    let found = async {
        let mut session = Session::open(spotify, call).await?;
        catalog::item(&mut session, &uri).await
    };
    match found.await {
        Ok(item) => Ok(Resolved { items: vec![item].into(), uri: Some(uri) }),
        Err(error) if matches!(error.kind, ErrorKind::NotFound | ErrorKind::InvalidRequest) => Err(error),
        Err(error) => {
            tracing::debug!("cannot look {uri} up now: {error}");
            Ok(Resolved { uri: Some(uri), ..Resolved::default() })
        }
    }
}

/// Follows a short link hop by hop, as long as it stays with Spotify and on https. No token goes along.
async fn follow(spotify: &Spotify, mut url: Url) -> Result<(Kind, String)> {
    for _ in 0..MAX_HOPS {
        let address = spotify.settings.short_link(&url);
        let request = spotify.cx.http().get(address).header("user-agent", "curl/8").no_redirects();
        let response = request.send().await?;
        let next = match response.status {
            301 | 302 | 303 | 307 | 308 => response.header("location").and_then(|to| url.join(to).ok()),
            200 => in_page(&response.body),
            404 | 410 => return Err(ProviderError::not_found("what the short link leads to")),
            429 | 500..=599 => return Err(ProviderError::unavailable("Spotify's short links don't work now")),
            _ => None,
        };
        let next = next.ok_or_else(|| refused("the short link leads nowhere"))?;
        match link::parse_url(&next)? {
            Some(Link::Item(kind, id)) => return Ok((kind, id)),
            Some(Link::Short(next)) => url = next,
            None => return Err(refused("the short link leads away from Spotify")),
        }
    }
    Err(refused("the short link goes in a circle"))
}

/// The item that a page of redirection by script names.
fn in_page(body: &[u8]) -> Option<Url> {
    let page = String::from_utf8_lossy(&body[..body.len().min(MAX_PAGE)]);
    let mut rest = &*page;
    while let Some(start) = rest.find("https://open.spotify.com/") {
        rest = &rest[start..];
        let end =
            rest.find(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '<' | '>' | '\\')).unwrap_or(rest.len());
        let url = Url::parse(&rest[..end]).ok();
        if let Some(url) = url.filter(|url| matches!(link::parse_url(url), Ok(Some(Link::Item(..))))) {
            return Some(url);
        }
        rest = &rest[end..];
    }
    None
}

fn refused(text: &str) -> ProviderError {
    ProviderError::invalid(text).with_code("link_refused")
}
