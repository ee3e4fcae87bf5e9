//! Playlists as files.

use axum::{
    body::Body,
    extract::State,
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures::Stream;
use serde::Deserialize;
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use zotify_plugin_api::{Kind, Uri};

use super::held;
use crate::{
    AppState,
    api::extract::{ItemUri, Query},
    auth::{Credential, Principal, signed},
    db::{
        items::{self, Key, Stored},
        now_ms,
    },
    error::ApiResult,
    media, playlists,
};

/// Entries that are read at once.
const ROWS: i64 = 500;
/// How long the links of an export work.
const LINKS_MS: i64 = 24 * 3600 * 1000;

/// As what to export.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(default = "m3u8")]
pub enum Format {
    /// Extended M3U in UTF-8, with links to the audio that work for a day.
    #[default]
    M3u8,
    /// The playlist and its entries as the API shows them.
    Json,
}

/// How to export.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ExportQuery {
    /// As what; `m3u8` without it.
    #[serde(default)]
    #[param(inline)]
    format: Format,
}

/// A playlist as a file. Links in M3U are signed and work for a day; they are whole addresses where `server.public_url` is
/// set, else relative to this address.
///
/// # Errors
/// 400 `invalid_query`, 403 `insufficient_scope` for M3U without `catalog:read`, 404 `item_not_found` or `wrong_kind`.
#[utoipa::path(
    get, path = "/api/playlists/{uri}/export", operation_id = "export_playlist", tag = "Playlists",
    params(("uri" = String, Path, description = "The playlist's URI."), ExportQuery),
    responses((status = 200, description = "The file.", content(
        (String = "audio/x-mpegurl"), (Object = "application/json")
    ))),
    security(("bearer" = ["playlists:read"]), ("api_key" = ["playlists:read"]))
)]
pub async fn export_playlist(
    State(app): State<AppState>,
    principal: Principal,
    uri: ItemUri,
    Query(query): Query<ExportQuery>,
) -> ApiResult<Response> {
    principal.require("playlists:read")?;
    if query.format == Format::M3u8 {
        // Whoever holds a signed link can read what it names.
        principal.require("catalog:read")?;
    }
    let uri = uri.of_kind(Kind::Playlist)?;
    let scope = playlists::scope(&app, &principal, &uri, None).await?;
    let playlist = held(&app, &principal, &scope, &uri).await?;
    let doc: Value = serde_json::from_str(&playlist.doc).unwrap_or_default();
    let name = doc["name"].as_str().unwrap_or("playlist").to_owned();
    let (content_type, extension, body) = match query.format {
        Format::M3u8 => {
            let links = Links { app: app.clone(), maker: principal.credential, until: now_ms() + LINKS_MS };
            ("audio/x-mpegurl; charset=utf-8", "m3u8", Body::from_stream(m3u8(app, playlist, name.clone(), links)))
        }
        Format::Json => ("application/json", "json", Body::from_stream(json(app, playlist))),
    };
    let disposition = media::disposition("attachment", &name, extension);
    let mut response = body.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CONTENT_DISPOSITION, disposition);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    Ok(response)
}

/// Makes links that work without a header.
struct Links {
    app: AppState,
    maker: Credential,
    until: i64,
}

impl Links {
    fn to(&self, uri: &Uri) -> String {
        let sig = signed::sign(&self.app, &self.maker, uri.as_str(), self.until);
        let path = format!("{}s/{uri}/media?sig={sig}", uri.kind());
        match &self.app.config.server.public_url {
            Some(base) => format!("{}/api/{path}", base.as_str().trim_end_matches('/')),
            None => format!("../../{path}"),
        }
    }
}

/// All entries, some at a time.
fn pages(app: AppState, playlist: Stored) -> impl Stream<Item = sqlx::Result<String>> + Send {
    async_stream::try_stream! {
        let mut after = -1;
        loop {
            let part = items::entries(&app.db, &playlist.account_id, &playlist.uri, after, ROWS).await?;
            if part.count > 0 {
                yield part.json;
            }
            match part.last {
                Some((Key::Int(position), _)) => after = position,
                _ => break,
            }
        }
    }
}

fn json(app: AppState, playlist: Stored) -> impl Stream<Item = sqlx::Result<Bytes>> + Send {
    async_stream::try_stream! {
        yield Bytes::from(format!("{{\"format\":\"zotify-playlist\",\"version\":1,\"playlist\":{},\"items\":[", playlist.doc));
        let mut first = true;
        for await page in pages(app, playlist) {
            let page = page?;
            yield Bytes::from(if first { page } else { format!(",{page}") });
            first = false;
        }
        yield Bytes::from_static(b"]}");
    }
}

fn m3u8(app: AppState, playlist: Stored, name: String, links: Links) -> impl Stream<Item = sqlx::Result<Bytes>> + Send {
    async_stream::try_stream! {
        yield Bytes::from(format!("#EXTM3U\n#PLAYLIST:{}\n", line(&name)));
        for await page in pages(app, playlist) {
            let page = page?;
            let entries: Vec<Value> = serde_json::from_str(&format!("[{page}]")).unwrap_or_default();
            yield Bytes::from(entries.iter().map(|entry| m3u8_entry(&entry["item"], &links)).collect::<String>());
        }
    }
}

fn m3u8_entry(item: &Value, links: &Links) -> String {
    let title = line(item["title"].as_str().unwrap_or("unknown"));
    let uri = item["uri"].as_str().and_then(|uri| uri.parse::<Uri>().ok());
    let Some(uri) = uri.filter(|_| matches!(item["kind"].as_str(), Some("track" | "episode"))) else {
        return format!("# not found: {title}\n");
    };
    let artist = item["artists"][0]["name"].as_str().or(item["show"]["title"].as_str());
    let shown = artist.map_or_else(|| title.clone(), |artist| format!("{} - {title}", line(artist)));
    let seconds = item["duration_ms"].as_u64().map_or(-1, |ms| i64::try_from(ms.div_ceil(1000)).unwrap_or(-1));
    format!("#EXTINF:{seconds},{shown}\n{}\n", links.to(&uri))
}

/// A title must not break out of its line.
fn line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
