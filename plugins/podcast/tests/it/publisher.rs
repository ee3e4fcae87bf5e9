//! Publishers in memory: feeds at addresses, with validators, moves and outages.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use zotify_plugin_api::{
    ProviderError, Result,
    service::{HttpRequest, HttpResponse},
};

/// What stands at an address.
#[derive(Clone, Debug)]
pub(crate) enum Page {
    Feed { text: String, etag: Option<String> },
    Bytes(Vec<u8>, &'static str),
    Redirect(u16, String),
    Status(u16, Vec<(String, String)>),
    Down,
    Denied,
}

#[derive(Clone, Default)]
pub(crate) struct Publisher(Arc<Mutex<BTreeMap<String, Page>>>);

impl Publisher {
    pub(crate) fn put(&self, url: &str, page: Page) {
        self.0.lock().unwrap().insert(url.to_owned(), page);
    }

    /// A feed whose entity tag changes with its text.
    pub(crate) fn feed(&self, url: &str, text: &str) {
        let etag = format!("\"{:x}\"", text.bytes().fold(7u64, |n, b| n.wrapping_mul(31).wrapping_add(b.into())));
        self.put(url, Page::Feed { text: text.into(), etag: Some(etag) });
    }

    pub(crate) fn answer(&self, request: &HttpRequest) -> Result<HttpResponse> {
        let page = self.0.lock().unwrap().get(&request.url).cloned();
        let headers = |pairs: &[(&str, &str)]| pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        let response = |status, headers, body| Ok(HttpResponse { status, headers, body });
        match page {
            None => response(404, Vec::new(), Vec::new()),
            Some(Page::Down) => Err(ProviderError::unavailable(format!("no route to {}", request.url))),
            Some(Page::Denied) => Err(ProviderError::new(
                zotify_plugin_api::ErrorKind::PermissionDenied,
                format!("the address of {} is not a public one", request.url),
            )),
            Some(Page::Status(status, headers)) => response(status, headers, Vec::new()),
            Some(Page::Redirect(status, to)) => response(status, headers(&[("location", &to)]), Vec::new()),
            Some(Page::Bytes(bytes, content_type)) => response(200, headers(&[("content-type", content_type)]), bytes),
            Some(Page::Feed { text, etag }) => {
                let asked =
                    request.headers.iter().find(|(name, _)| name == "if-none-match").map(|(_, tag)| tag.clone());
                if etag.is_some() && asked == etag {
                    return response(304, Vec::new(), Vec::new());
                }
                let mut said = vec![("content-type", "application/rss+xml")];
                said.extend(etag.as_deref().map(|etag| ("etag", etag)));
                response(200, headers(&said), text.into_bytes())
            }
        }
    }
}

/// An episode of a feed that is written.
pub(crate) fn item(n: usize) -> String {
    format!(
        "<item><title>Episode {n}</title><guid>guid-{n}</guid><pubDate>{:02} Jan {} 08:00:00 GMT</pubDate>\
         <enclosure url=\"https://cdn.example.org/{n}.mp3\" length=\"{}\" type=\"audio/mpeg\"/>\
         <itunes:duration>10:00</itunes:duration><description>About {n}</description></item>",
        1 + n % 28,
        2000 + n / 28 % 25,
        9_600_000 + n
    )
}

pub(crate) fn rss(title: &str, more: &str, items: impl IntoIterator<Item = usize>) -> String {
    let items: String = items.into_iter().map(item).collect();
    format!(
        "<?xml version=\"1.0\"?><rss version=\"2.0\" xmlns:itunes=\"http://www.itunes.com/dtds/podcast-1.0.dtd\"><channel>\
         <title>{title}</title><itunes:author>{title} people</itunes:author>\
         <itunes:image href=\"https://cdn.example.org/{title}.jpg\"/>{more}{items}</channel></rss>"
    )
}
