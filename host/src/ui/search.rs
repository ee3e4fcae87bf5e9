//! Searching, and playing what is found.

use askama::Template;
use axum::{extract::State, response::Response};
use serde::Deserialize;
use serde_json::json;
use url::form_urlencoded;

use super::{
    ask,
    page::{self, Frame, Visit},
    rows::{self, Lack, Players, Row},
};
use crate::{
    AppState,
    api::{self, extract::Query, page::Paging},
    error::ApiResult,
};

/// The kinds that the page offers, as the API and as people call them.
const KINDS: [(&str, &str); 7] = [
    ("", "Everything"),
    ("track", "Tracks"),
    ("album", "Albums"),
    ("artist", "Artists"),
    ("playlist", "Playlists"),
    ("show", "Shows"),
    ("episode", "Episodes"),
];

#[derive(Template)]
#[template(path = "ui/search.html")]
struct Page {
    frame: Frame,
    words: String,
    catalog: bool,
    kinds: Vec<Choice>,
    rows: Option<Vec<Row>>,
    lacks: Vec<Lack>,
    next: Option<String>,
}

struct Choice {
    value: &'static str,
    title: &'static str,
    chosen: bool,
}

/// What the form sends.
#[derive(Default, Deserialize)]
#[serde(default)]
pub struct Asked {
    q: String,
    kind: String,
    scope: String,
}

/// The form, with what was found for it.
///
/// # Errors
/// As `GET /api/search`.
pub async fn search(
    State(app): State<AppState>,
    visit: Visit,
    Query(asked): Query<Asked>,
    paging: Paging,
) -> ApiResult<Response> {
    let kinds =
        KINDS.iter().map(|&(value, title)| Choice { value, title, chosen: value == asked.kind.as_str() }).collect();
    let mut page = Page {
        frame: visit.frame("search"),
        words: asked.q.trim().to_owned(),
        catalog: asked.scope == "catalog",
        kinds,
        rows: None,
        lacks: Vec::new(),
        next: None,
    };
    if !page.words.is_empty() {
        let scope = if page.catalog { "catalog" } else { "library" };
        let query = ask(json!({ "q": page.words, "kinds": asked.kind, "scope": scope }))?;
        let found = api::search::search(State(app.clone()), visit.principal, Query(query), paging).await?;
        page.rows = Some(Players::of(&app).rows(&found)?);
        page.lacks = rows::lacks(&found.meta);
        let more = |cursor| {
            let fields = [("q", page.words.as_str()), ("kind", &asked.kind), ("scope", scope), ("cursor", cursor)];
            format!("/ui/search?{}", form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish())
        };
        page.next = found.meta.next_cursor.as_deref().map(more);
    }
    page::show(&page)
}
