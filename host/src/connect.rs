//! Connecting accounts: setup flows, checks, unlinking.
//!
//! A flow is a row that belongs to one user. The plugin answers a step, the host keeps it sealed, and the user's answer goes
//! to the plugin with what the step said to remember. An answer takes the step first, so that of two at once only one
//! reaches the service; it is worked on to its end even if the client goes away, for what a service hands out once must not
//! get lost.

pub mod check;
pub(crate) mod finish;
mod flow;
pub mod form;
pub mod returned;
mod step;
pub mod unlink;

use std::time::Duration;

use aws_lc_rs::digest;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::Value;
use tracing::Instrument as _;
use ulid::Ulid;
use zotify_plugin_api::{ErrorKind, ProviderError, SetupInput, SetupRequest, SetupStep, SignIn, method};

pub use self::flow::{Flow, FlowProblem, FlowState, Step};
pub(crate) use self::step::context;
use self::{flow::view, step::Stored};
use crate::{
    App, AppState,
    accounts::{self, Account},
    auth::{Origin, Principal},
    config::Config,
    db::{self, now_ms, setup_flows::FlowRow},
    error::{ApiError, ApiResult},
    providers::Lane,
    secrets::random,
};

/// How long a flow may take in all, in milliseconds.
const WHOLE: i64 = 30 * 60 * 1000;
/// How long somebody may take to come back from the service, in milliseconds.
const COME_BACK: i64 = 10 * 60 * 1000;
/// Flows that a user may have open.
const MAX_OPEN: i64 = 20;
/// How much longer than a plugin's call an answer may be worked on, in milliseconds.
const WORK: i64 = 30 * 1000;

/// How to start a flow.
#[derive(Clone, Debug)]
pub struct Start {
    /// The instance to connect to.
    pub instance: String,
    /// The account that signs in again.
    pub account: Option<String>,
    /// For all users; only admins may.
    pub shared: bool,
    /// What people call the account; else as the service does.
    pub label: Option<String>,
}

/// An answer to a step.
#[derive(Clone)]
pub enum Answer {
    /// The form's values.
    Form(Value),
    /// The whole address that the browser came back to.
    Returned(String),
    /// Whether there is news.
    Poll,
}

/// Somebody who connects an account.
#[derive(Clone)]
struct By {
    principal: Principal,
    origin: Origin,
}

/// An answer that is being worked on: the flow, whose step is taken, and what the step before left.
struct Turn {
    row: FlowRow,
    label: Option<String>,
    secret: String,
    memory: Option<String>,
    /// The values of the form, without secrets.
    values: Option<Value>,
}

/// Starts connecting an account.
///
/// # Errors
/// 403 `admin_required` for a shared account; 404 `provider_not_found` or `account_not_found`; 409 `too_many_flows`; 422
/// `unsupported` where nobody signs in; or why the provider does not answer.
pub async fn start(app: &AppState, principal: &Principal, origin: &Origin, start: Start) -> ApiResult<Flow> {
    let account = allowed(app, principal, &start).await?;
    let now = now_ms();
    let row = FlowRow {
        id: Ulid::generate().to_string(),
        user_id: principal.user_id.clone(),
        instance: start.instance,
        shared: i64::from(account.as_ref().map_or(start.shared, |account| account.owner.is_none())),
        account_id: account.map(|account| account.id),
        state: "open".into(),
        busy_until: Some(now + work_ms(app)),
        created_at: now,
        expires_at: now + WHOLE,
        ..FlowRow::default()
    };
    let mut tx = app.db.write().await?;
    db::state::lock(&mut tx, &format!("flows:{}", row.user_id)).await?;
    if db::setup_flows::count_open(&mut *tx, &row.user_id, now).await? >= MAX_OPEN {
        let detail = "too many accounts are being connected; finish or cancel some of that first";
        return Err(ApiError::conflict("too_many_flows", detail));
    }
    db::setup_flows::insert(&mut tx, &row).await?;
    tx.commit().await?;
    let secret = random_text::<48>()?;
    let turn = Turn { row: row.clone(), label: start.label, secret, memory: None, values: None };
    let started = work(app, principal, origin, turn, SetupInput::Start).await;
    let started = started.and_then(|answered| answered.map_err(ApiError::from));
    if started.is_err() {
        give_up(app, &row).await?;
    }
    started
}

/// The account that signs in again, if the caller may start this flow.
async fn allowed(app: &App, principal: &Principal, start: &Start) -> ApiResult<Option<Account>> {
    let no_provider = || ApiError::not_found("provider_not_found", "no provider with this id is configured");
    let handle = app.providers.get(&start.instance).ok_or_else(no_provider)?;
    let manifest = handle.manifest().ok_or_else(|| {
        ApiError::unavailable("provider_unavailable", "the provider has not started; see /api/providers")
    })?;
    if manifest.sign_in != SignIn::SetupFlow {
        return Err(ApiError::unprocessable("unsupported", "nobody signs in at this provider"));
    }
    if start.shared && !principal.is_admin() {
        return Err(ApiError::forbidden("admin_required", "only admins may connect an account for all users"));
    }
    let Some(id) = &start.account else { return Ok(None) };
    let account = accounts::visible_to(&app.db, &principal.user_id, id).await?;
    let account = account.filter(|account| account.instance == start.instance).ok_or_else(accounts::not_found)?;
    accounts::check_may_change(&account, principal)?;
    Ok(Some(account))
}

/// A user's flow.
///
/// # Errors
/// 404 `flow_not_found`.
pub async fn find(app: &App, principal: &Principal, id: &str) -> ApiResult<Flow> {
    let row = find_row(app, principal, id).await?;
    view(app, &row)
}

/// Gives a flow up.
///
/// # Errors
/// 404 `flow_not_found`.
pub async fn cancel(app: &App, principal: &Principal, id: &str) -> ApiResult<()> {
    let row = find_row(app, principal, id).await?;
    if give_up(app, &row).await? { Ok(()) } else { Err(not_found()) }
}

async fn give_up(app: &App, row: &FlowRow) -> sqlx::Result<bool> {
    let mut tx = app.db.write().await?;
    let found = db::setup_flows::delete(&mut tx, &row.user_id, &row.id).await?;
    tx.commit().await?;
    Ok(found)
}

/// Answers the step of a flow.
///
/// # Errors
/// 400 `invalid_state` or `wrong_address` for an address of something else; 403 `admin_required` where it is for all users; 404 `flow_not_found`; 409 `flow_moved_on`
/// where the flow waits for something else, or somebody answered already, `flow_ended`, or `other_account`; 422
/// `validation_failed`. That the service refuses is told in the flow.
pub async fn answer(
    app: &AppState,
    principal: &Principal,
    origin: &Origin,
    id: &str,
    answer: Answer,
) -> ApiResult<Flow> {
    let mut row = find_row(app, principal, id).await?;
    let now = now_ms();
    if row.state != "open" || row.expires_at <= now || row.sealed.is_none() {
        return match answer {
            Answer::Poll => view(app, &row),
            _ => Err(ApiError::conflict("flow_ended", "this has ended; start connecting the account anew")),
        };
    }
    // Whoever began it may be an admin no more.
    if row.shared != 0 && !principal.is_admin() {
        return Err(ApiError::forbidden("admin_required", "only admins may connect accounts for all users"));
    }
    let stored = Stored::open(app, &row)?;
    let polled = matches!(answer, Answer::Poll);
    let (input, values) = match (answer, &stored.step) {
        (Answer::Poll, SetupStep::Progress(progress)) if stored.is_due(progress, now) => (SetupInput::Poll, None),
        (Answer::Poll, _) => return view(app, &row),
        (Answer::Form(values), SetupStep::Form(form)) => {
            form::check(&form.schema, &values)?;
            (SetupInput::Form { values: values.to_string() }, Some(form::without_secrets(&form.schema, values)))
        }
        (Answer::Returned(url), SetupStep::External(external)) => {
            let url = returned::check(&url, &row, external)?;
            if returned::is_denied(&url) {
                return deny(app, &row).await;
            }
            (SetupInput::Returned { url: url.into() }, None)
        }
        _ => return Err(moved_on()),
    };
    let mut tx = app.db.write().await?;
    if !db::setup_flows::claim(&mut tx, &row, now, now + work_ms(app)).await? {
        drop(tx);
        return if polled { find(app, principal, id).await } else { Err(moved_on()) };
    }
    tx.commit().await?;
    row.step += 1;
    let (label, memory) = (stored.label, step::memory(&stored.step).cloned());
    let turn = Turn { row: row.clone(), label, secret: stored.secret, memory, values };
    match work(app, principal, origin, turn, input).await? {
        Ok(flow) => Ok(flow),
        Err(error) => fail(app, row, &error).await,
    }
}

/// The flow that an address names to which a service sent a browser back, if it is the caller's.
///
/// # Errors
/// 404 `flow_not_found`.
pub async fn find_returned(app: &App, principal: &Principal, instance: &str, url: &str) -> ApiResult<Flow> {
    let state = returned::state(url).ok_or_else(not_found)?;
    let db = app.db.read();
    let row = db::setup_flows::find_by_state(db, &principal.user_id, instance, &hash(&state)).await?;
    let row = row.filter(|row| row.expires_at > now_ms()).ok_or_else(not_found)?;
    view(app, &row)
}

async fn find_row(app: &App, principal: &Principal, id: &str) -> ApiResult<FlowRow> {
    let id: Ulid = id.parse().map_err(|_| not_found())?;
    db::setup_flows::find(app.db.read(), &principal.user_id, &id.to_string()).await?.ok_or_else(not_found)
}

/// Asks the plugin for the next step and keeps it, also where the client goes away meanwhile.
async fn work(
    app: &AppState,
    principal: &Principal,
    origin: &Origin,
    turn: Turn,
    input: SetupInput,
) -> ApiResult<Result<Flow, ProviderError>> {
    let by = By { principal: principal.clone(), origin: origin.clone() };
    let tasks = app.tasks.clone();
    let app = app.clone();
    let worked = tasks.spawn(async move { next(&app, &by, turn, input).await }.in_current_span());
    worked.await.map_err(ApiError::internal)?
}

async fn next(app: &AppState, by: &By, turn: Turn, input: SetupInput) -> ApiResult<Result<Flow, ProviderError>> {
    let state = random_text::<32>()?;
    let credentials = match &turn.row.account_id {
        Some(account) => step::credentials(app, account).await?,
        None => None,
    };
    let redirects = redirects(&app.config, &turn.row.instance);
    let allowed = [redirects.clone(), configured(&app.config, &turn.row.instance)].concat();
    let request = SetupRequest {
        memory: turn.memory.clone(),
        input,
        state: state.clone(),
        secret: turn.secret.clone(),
        redirects,
        credentials,
    };
    let (instance, account) = (turn.row.instance.clone(), turn.row.account_id.clone());
    let called = app.providers.call::<method::Setup>(&instance, account.as_deref(), Lane::Interactive, request).await;
    let answered = match called.and_then(|step| step::checked(step, &allowed)) {
        Ok(answered) => answered,
        Err(error) => return Ok(Err(error)),
    };
    match answered {
        SetupStep::Done(done) => finish::finish(app, by, turn, *done).await.map(Ok),
        answered => step::keep(app, turn, &state, answered).await.map(Ok),
    }
}

/// Takes note that the plugin did not answer with a step.
async fn fail(app: &App, mut row: FlowRow, error: &ProviderError) -> ApiResult<Flow> {
    let api = ApiError::from(error.clone());
    row.code = Some(error.code.clone().unwrap_or_else(|| api.code().to_owned()));
    row.detail = Some(step::text(&error.message, 500));
    if !may_work_later(error.kind) {
        end(&mut row);
    }
    save(app, row).await
}

/// The user refused, at the service.
async fn deny(app: &App, row: &FlowRow) -> ApiResult<Flow> {
    let mut row = row.clone();
    row.code = Some("access_denied".into());
    row.detail = Some("access was refused at the service; start again to allow it".into());
    end(&mut row);
    save(app, row).await
}

async fn save(app: &App, mut row: FlowRow) -> ApiResult<Flow> {
    row.updated_at = now_ms();
    let mut tx = app.db.write().await?;
    if !db::setup_flows::save(&mut tx, &row).await? {
        return Err(moved_on());
    }
    tx.commit().await?;
    view(app, &row)
}

/// Nothing of a flow that failed is needed any more.
fn end(row: &mut FlowRow) {
    row.state = "failed".into();
    row.sealed = None;
    row.state_hash = None;
}

fn may_work_later(kind: ErrorKind) -> bool {
    use ErrorKind::{Crashed, Panicked, RateLimited, Timeout, Unavailable};
    matches!(kind, RateLimited | Unavailable | Timeout | Crashed | Panicked)
}

/// Where services may send browsers back to: the public address where it is a safe one, then the host's own machine.
fn redirects(config: &Config, instance: &str) -> Vec<String> {
    let path = callback(instance);
    let public = public_redirect(config, instance).filter(|url| url.starts_with("https:"));
    public.into_iter().chain([format!("http://127.0.0.1:{}{path}", config.server.listen.port())]).collect()
}

/// The path of the host's own page that browsers come back to.
fn callback(instance: &str) -> String {
    format!("/api/auth/{instance}/callback")
}

/// That page at the public address.
fn public_redirect(config: &Config, instance: &str) -> Option<String> {
    let public = config.server.public_url.as_ref()?;
    Some(format!("{}{}", public.as_str().trim_end_matches('/'), callback(instance)))
}

/// What an admin wrote into the instance's settings: an address among them may be the one that the service knows, though it
/// is none of the host's.
fn configured(config: &Config, instance: &str) -> Vec<String> {
    let settings = config.providers.get(instance).and_then(|instance| instance.settings.as_object());
    settings.into_iter().flatten().filter_map(|(_, value)| value.as_str().map(str::to_owned)).collect()
}

fn work_ms(app: &App) -> i64 {
    let call = Duration::from_secs(app.config.plugins.call_timeout_s).as_millis();
    i64::try_from(call).unwrap_or(i64::MAX / 2) + WORK
}

/// As many random bytes, as text.
fn random_text<const N: usize>() -> ApiResult<String> {
    Ok(URL_SAFE_NO_PAD.encode(random::<N>().map_err(ApiError::internal)?))
}

/// What is kept of a flow's `state`.
fn hash(state: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, state.as_bytes()))
}

fn not_found() -> ApiError {
    ApiError::not_found("flow_not_found", "there is no such flow, or it is not yours")
}

fn moved_on() -> ApiError {
    ApiError::conflict("flow_moved_on", "the flow waits for something else, or was answered already; look at it again")
}
