//! Every operation that is played, one line each, with the scopes of which a token must have one.

use std::sync::Arc;

use axum::{
    Router,
    extract::{RawPathParams, Request, State as Shared},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::{MethodFilter, get, on, post},
};

use crate::{
    accounts,
    call::{Answer, Body, Call, Reply},
    catalogue, contract, control, library, playlists,
    server::Service,
    state::State,
};

type Handler = fn(&mut State, &Call) -> Answer;

/// Method, path, scopes and handler.
type Route = (MethodFilter, &'static str, &'static [&'static str], Handler);

const READ: &[&str] = &["user-library-read"];
const FOLLOWS: &[&str] = &["user-follow-read"];
const LISTS: &[&str] = &["playlist-read-private", "playlist-read-collaborative"];
const EDITS: &[&str] = &["playlist-modify-public", "playlist-modify-private"];
const TOP: &[&str] = &["user-top-read"];

const ROUTES: &[Route] = &[
    (MethodFilter::GET, "/me", &[], library::me),
    (MethodFilter::GET, "/me/tracks", READ, library::tracks),
    (MethodFilter::GET, "/me/albums", READ, library::albums),
    (MethodFilter::GET, "/me/shows", READ, library::shows),
    (MethodFilter::GET, "/me/episodes", READ, library::episodes),
    (MethodFilter::GET, "/me/following", FOLLOWS, library::following),
    (MethodFilter::PUT, "/me/library", &[], library::save),
    (MethodFilter::DELETE, "/me/library", &[], library::remove),
    (MethodFilter::GET, "/me/library/contains", &[], library::contains),
    (MethodFilter::GET, "/me/player/recently-played", &["user-read-recently-played"], library::played),
    (MethodFilter::GET, "/me/top/tracks", TOP, library::top_tracks),
    (MethodFilter::GET, "/me/top/artists", TOP, library::top_artists),
    (MethodFilter::GET, "/me/playlists", LISTS, playlists::mine),
    (MethodFilter::POST, "/me/playlists", EDITS, playlists::create),
    (MethodFilter::GET, "/playlists/{id}", &[], playlists::one),
    (MethodFilter::PUT, "/playlists/{id}", EDITS, playlists::change),
    (MethodFilter::GET, "/playlists/{id}/items", LISTS, playlists::items),
    (MethodFilter::POST, "/playlists/{id}/items", EDITS, playlists::add),
    (MethodFilter::PUT, "/playlists/{id}/items", EDITS, playlists::reorder_or_replace),
    (MethodFilter::DELETE, "/playlists/{id}/items", EDITS, playlists::remove),
    (MethodFilter::GET, "/playlists/{id}/images", &[], playlists::images),
    (MethodFilter::PUT, "/playlists/{id}/images", &["ugc-image-upload"], playlists::upload),
    (MethodFilter::GET, "/tracks/{id}", &[], catalogue::track),
    (MethodFilter::GET, "/albums/{id}", &[], catalogue::album),
    (MethodFilter::GET, "/albums/{id}/tracks", &[], catalogue::album_tracks),
    (MethodFilter::GET, "/artists/{id}", &[], catalogue::artist),
    (MethodFilter::GET, "/artists/{id}/albums", &[], catalogue::artist_albums),
    (MethodFilter::GET, "/shows/{id}", &[], catalogue::show),
    (MethodFilter::GET, "/shows/{id}/episodes", &[], catalogue::show_episodes),
    (MethodFilter::GET, "/episodes/{id}", &[], catalogue::episode),
    (MethodFilter::GET, "/search", &[], catalogue::search),
];

/// The accounts service, the Web API under `/v1`, pictures, and the control of all that.
pub(crate) fn router(service: Arc<Service>) -> Router {
    let mut api = Router::new();
    for (method, path, scopes, handler) in ROUTES {
        let handle = move |Shared(service): Shared<Arc<Service>>, params: RawPathParams, request: Request| async move {
            let id = params.iter().next().map_or_else(String::new, |(_, value)| value.to_owned());
            let reply = match call(&service, id, scopes, request).await {
                Ok(call) => handler(&mut service.state(), &call).unwrap_or_else(|refused| refused),
                Err(refused) => refused,
            };
            reply.into_response()
        };
        api = api.route(path, on(*method, handle));
    }
    Router::new()
        .nest("/v1", api)
        .route("/authorize", get(authorize).post(authorized))
        .route("/api/token", post(token))
        .route("/image/{id}", get(image))
        .route("/short/{kind}/{id}", get(short_link))
        .merge(control::router())
        .fallback(gone)
        .method_not_allowed_fallback(gone)
        .with_state(service)
}

pub(crate) fn pairs(text: &str) -> Vec<(String, String)> {
    url::form_urlencoded::parse(text.as_bytes()).into_owned().collect()
}

/// A request whose token is good.
async fn call(service: &Service, id: String, scopes: &[&str], request: Request) -> Result<Call, Reply> {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.map_err(|_| Reply::refused(413, "Too large"))?;
    let header = |name| parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let token = header(header::AUTHORIZATION).strip_prefix("Bearer ").unwrap_or_default();
    if token.is_empty() {
        return Err(Reply::refused(401, "No token provided"));
    }
    let state = service.state();
    let foreign = || state.options.any_token.then(accounts::Access::foreign);
    let access = state.access.get(token).cloned().or_else(foreign);
    let access = access.ok_or_else(|| Reply::refused(401, "Invalid access token"))?;
    if access.until_ms <= state.now_ms() {
        return Err(Reply::refused(401, "The access token expired"));
    }
    let call = Call {
        user: access.user,
        path: parts
            .extensions
            .get::<axum::extract::OriginalUri>()
            .map_or(parts.uri.path(), |uri| uri.0.path())
            .to_owned(),
        query: pairs(parts.uri.query().unwrap_or_default()),
        id,
        content_type: header(header::CONTENT_TYPE).to_owned(),
        body,
        scopes: access.scopes,
    };
    if call.granted(scopes) { Ok(call) } else { Err(Reply::refused(403, "Insufficient client scope")) }
}

async fn authorize(Shared(service): Shared<Arc<Service>>, request: Request) -> Response {
    let query = pairs(request.uri().query().unwrap_or_default());
    accounts::page(&mut service.state(), &query).into_response()
}

async fn authorized(Shared(service): Shared<Arc<Service>>, body: String) -> Response {
    accounts::answered(&mut service.state(), &pairs(&body)).into_response()
}

async fn token(Shared(service): Shared<Arc<Service>>, body: String) -> Response {
    accounts::token(&mut service.state(), &pairs(&body)).into_response()
}

async fn image(
    Shared(service): Shared<Arc<Service>>,
    axum::extract::Path(id): axum::extract::Path<String>,
) -> Response {
    let playlist = id.strip_prefix("playlist-").and_then(|id| id.split('-').next());
    let own = playlist.and_then(|id| service.state().playlists.get(id)?.image.clone());
    let reply = own.map_or_else(
        || catalogue::image(&id),
        |bytes| Reply { status: 200, headers: Vec::new(), body: Body::Bytes("image/jpeg", bytes) },
    );
    reply.into_response()
}

/// A short link, which leads to the page of an item.
async fn short_link(axum::extract::Path((kind, id)): axum::extract::Path<(String, String)>) -> Response {
    Reply::empty(302).with("location", &format!("https://open.spotify.com/{kind}/{id}?si=shared")).into_response()
}

/// What is not played: operations that are gone are forbidden, others are unknown.
async fn gone(request: Request) -> Response {
    let path = request.uri().path().strip_prefix("/v1");
    let known = path.and_then(|path| contract::operation(request.method().as_str(), path));
    let reply = match known {
        Some(_) => Reply::refused(403, "Forbidden"),
        None => Reply::refused(404, "Service not found"),
    };
    reply.into_response()
}

impl IntoResponse for Reply {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = match self.body {
            Body::Json(value) => (status, axum::Json(value)).into_response(),
            Body::Bytes(kind, bytes) => (status, [(header::CONTENT_TYPE, kind)], bytes).into_response(),
            Body::Empty => status.into_response(),
        };
        for (name, value) in self.headers {
            let pair = (header::HeaderName::from_bytes(name.as_bytes()), header::HeaderValue::from_str(&value));
            if let (Ok(name), Ok(value)) = pair {
                response.headers_mut().insert(name, value);
            }
        }
        response
    }
}
