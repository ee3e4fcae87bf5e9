//! One account: how it stands, and what to do with it.

use askama::Template;
use axum::{extract::State, response::Response};
use serde::Deserialize;
use serde_json::json;

use super::{
    ask,
    jobs::{Job, follow},
    page::{self, Frame, Visit, moment},
    view, words,
};
use crate::{
    AppState,
    api::{
        self,
        accounts::Connection,
        auth::body::FormOrJson,
        extract::{Json, Path},
    },
    auth::Origin,
    error::{ApiError, ApiResult},
    mirror,
};

/// What an account's library holds.
#[derive(Deserialize)]
pub struct Counts {
    tracks: i64,
    albums: i64,
    artists: i64,
    playlists: i64,
    shows: i64,
    episodes: i64,
}

impl Counts {
    /// In words.
    ///
    /// # Errors
    /// 500, when the API's figures are others.
    pub fn of(account: &Connection) -> ApiResult<String> {
        let counts: Self = view(&account.counts)?;
        let all = [
            (counts.tracks, "track"),
            (counts.albums, "album"),
            (counts.artists, "artist"),
            (counts.playlists, "playlist"),
            (counts.shows, "show"),
            (counts.episodes, "episode"),
        ];
        let some = all.into_iter().filter(|(count, _)| *count > 0);
        let words = some.map(|(n, name)| format!("{n} {name}{}", if n == 1 { "" } else { "s" })).collect::<Vec<_>>();
        Ok(if words.is_empty() { "Nothing has been read yet".into() } else { words.join(", ") })
    }
}

/// An account as pages show it.
pub(super) struct Shown {
    pub(super) about: Connection,
    pub(super) counts: String,
    pub(super) state: (&'static str, &'static str),
    /// What to do about it.
    pub(super) remedy: Option<&'static str>,
    /// How often the service was asked, and may still be.
    pub(super) used: Vec<String>,
    /// Until when the service is left alone.
    pub(super) blocked: Option<String>,
    /// The user may change it.
    pub(super) mine: bool,
    /// Somebody signs in at its provider.
    pub(super) signs_in: bool,
    /// Its library is being read, or is about to be.
    pub(super) pull: Option<Job>,
}

impl Shown {
    /// # Errors
    /// When the database fails.
    pub(super) async fn of(app: &AppState, visit: &Visit, about: Connection) -> ApiResult<Self> {
        let report = app.providers.get(&about.provider).map(|handle| handle.report());
        let signs_in = report.and_then(|report| report.sign_in).is_some_and(|how| how == "setup_flow");
        let mine = about.owned_by_me || visit.principal.is_admin();
        let pull = mirror::pull_under_way(app, &about.id).await?;
        Ok(Self {
            counts: Counts::of(&about)?,
            state: words::state(&about),
            remedy: words::remedy(&about, mine),
            used: about.budget.as_ref().map(words::used).unwrap_or_default(),
            blocked: words::blocked(about.budget.as_ref()),
            mine,
            // Credentials that were lost are no reason to hide how to bring them back.
            signs_in: signs_in && (about.authorized_at.is_some() || about.state == "auth_required"),
            pull: pull.map(|row| view(api::jobs::Job::from(row))).transpose()?,
            about,
        })
    }
}

#[derive(Template)]
#[template(path = "ui/account.html")]
struct Page {
    frame: Frame,
    account: Shown,
    /// How often to look again.
    follow: Option<&'static str>,
    schedules: Vec<Schedule>,
    problem: Option<String>,
}

struct Schedule {
    value: String,
    title: String,
    chosen: bool,
}

/// How often a library may be read by itself, in seconds and in words.
const SCHEDULES: [(i64, &str); 6] = [
    (0, "never by itself"),
    (3600, "every hour"),
    (6 * 3600, "every 6 hours"),
    (12 * 3600, "every 12 hours"),
    (24 * 3600, "every day"),
    (7 * 24 * 3600, "every week"),
];

fn schedules(chosen: Option<i64>) -> Vec<Schedule> {
    let usual = Schedule { value: String::new(), title: "as the server does".into(), chosen: chosen.is_none() };
    let offered = SCHEDULES.map(|(seconds, title)| (seconds, title.to_owned()));
    let other = chosen.filter(|seconds| !SCHEDULES.iter().any(|(known, _)| known == seconds));
    let other = other.map(|seconds| (seconds, format!("every {seconds} seconds")));
    let all = offered.into_iter().chain(other);
    let all = all.map(|(n, title)| Schedule { value: n.to_string(), title, chosen: chosen == Some(n) });
    std::iter::once(usual).chain(all).collect()
}

/// One account.
///
/// # Errors
/// As `GET /api/accounts/{id}`.
pub async fn account(State(app): State<AppState>, visit: Visit, id: Path<String>) -> ApiResult<Response> {
    let Json(account) = api::accounts::get_account(State(app.clone()), visit.principal.clone(), id).await?;
    show(&app, &visit, account, None).await
}

async fn show(app: &AppState, visit: &Visit, account: Connection, problem: Option<String>) -> ApiResult<Response> {
    let schedules = schedules(account.pull_every_s);
    let account = Shown::of(app, visit, account).await?;
    let follow = follow(&account.pull);
    page::show(&Page { frame: visit.frame("home"), account, follow, schedules, problem })
}

/// Asks the service how an account is.
///
/// # Errors
/// As `POST /api/accounts/{id}/check`, but for why the provider could not be asked, which the page says.
pub async fn check(State(app): State<AppState>, visit: Visit, Path(id): Path<String>) -> ApiResult<Response> {
    let checked = api::accounts::check_account(State(app.clone()), visit.principal.clone(), Path(id.clone())).await;
    match checked {
        Ok(_) => Ok(page::to(&visit.base, &format!("/ui/accounts/{id}"))),
        Err(error) if error.code().starts_with("provider_") => {
            let Json(account) =
                api::accounts::get_account(State(app.clone()), visit.principal.clone(), Path(id)).await?;
            show(&app, &visit, account, Some(words::on_page(error.detail()))).await
        }
        Err(error) => Err(error),
    }
}

/// What to change.
#[derive(Deserialize)]
pub struct Change {
    label: String,
    pull_every_s: String,
}

/// Changes the label, or how often the library is read.
///
/// # Errors
/// As `PATCH /api/accounts/{id}`.
pub async fn change(
    State(app): State<AppState>,
    visit: Visit,
    origin: Origin,
    Path(id): Path<String>,
    FormOrJson(given): FormOrJson<Change>,
) -> ApiResult<Response> {
    let seconds = match given.pull_every_s.as_str() {
        "" => None,
        text => Some(text.parse::<i64>().map_err(|_| ApiError::bad_request("invalid_body", "that is no time"))?),
    };
    let change = ask(json!({ "label": given.label.trim(), "pull_every_s": seconds }))?;
    let path = format!("/ui/accounts/{id}");
    api::accounts::update_account(State(app), visit.principal, origin, Path(id), Json(change)).await?;
    Ok(page::to(&visit.base, &path))
}

#[derive(Template)]
#[template(path = "ui/unlink.html")]
struct UnlinkPage {
    frame: Frame,
    account: Connection,
}

/// Asks whether to unlink an account.
///
/// # Errors
/// As `GET /api/accounts/{id}`.
pub async fn ask_unlink(State(app): State<AppState>, visit: Visit, id: Path<String>) -> ApiResult<Response> {
    let frame = visit.frame("home");
    let Json(account) = api::accounts::get_account(State(app), visit.principal, id).await?;
    page::show(&UnlinkPage { frame, account })
}

/// Unlinks an account.
///
/// # Errors
/// As `DELETE /api/accounts/{id}`.
pub async fn unlink(
    State(app): State<AppState>,
    visit: Visit,
    origin: Origin,
    id: Path<String>,
) -> ApiResult<Response> {
    api::accounts::unlink_account(State(app), visit.principal, origin, id).await?;
    Ok(page::to(&visit.base, "/ui"))
}
