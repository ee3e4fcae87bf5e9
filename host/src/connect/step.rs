//! Steps of a flow: what a plugin may answer, and how it is kept.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::Url;
use zotify_plugin_api::{ErrorKind, ProviderError, SetupDone, SetupExternal, SetupForm, SetupProgress, SetupStep};

use super::{COME_BACK, Flow, Step, Turn, WHOLE, form, hash, public_redirect, save};
use crate::{
    App,
    api::rfc3339,
    db::{self, now_ms, setup_flows::FlowRow},
    error::{ApiError, ApiResult},
};

/// The longest text that a step remembers, and the longest credentials, in bytes.
const MAX_SECRET: usize = 64 << 10;
/// The longest address, in bytes.
const MAX_URL: usize = 4096;
/// The longest key of an account, in bytes.
const MAX_KEY: usize = 500;
/// How many scopes are kept.
const MAX_SCOPES: usize = 100;

/// What is kept of a step.
#[derive(Serialize, Deserialize)]
pub(super) struct Stored {
    pub(super) step: SetupStep,
    pub(super) secret: String,
    pub(super) label: Option<String>,
    /// What was filled in before, without secrets.
    values: Option<Value>,
    /// When the step was made, Unix milliseconds.
    at: i64,
}

impl Stored {
    pub(super) fn open(app: &App, row: &FlowRow) -> ApiResult<Self> {
        let sealed = row.sealed.as_deref().unwrap_or_default();
        let plain = app.secrets.open(&context(&row.id), sealed).map_err(ApiError::internal)?;
        serde_json::from_slice(&plain).map_err(ApiError::internal)
    }

    fn seal(&self, app: &App, id: &str) -> ApiResult<Vec<u8>> {
        let plain = serde_json::to_vec(self).map_err(ApiError::internal)?;
        app.secrets.seal(&context(id), &plain).map_err(ApiError::internal)
    }

    /// Whether it is time to ask again. Whoever asks more often gets what is known.
    pub(super) fn is_due(&self, progress: &SetupProgress, now: i64) -> bool {
        let wait = i64::try_from(progress.poll_after_ms).unwrap_or(i64::MAX);
        // Clients that wait exactly as long as they were told must not come too early.
        now >= self.at.saturating_add(wait / 2)
    }

    /// As the user sees it.
    pub(super) fn view(&self, app: &App, row: &FlowRow) -> Step {
        match self.step.clone() {
            SetupStep::Form(SetupForm { title, help, schema, error, .. }) => {
                Step::Form { title, help, schema, error, values: self.values.clone() }
            }
            SetupStep::External(SetupExternal { url, redirect, help, .. }) => {
                let paste_back = public_redirect(&app.config, &row.instance).as_ref() != Some(&redirect);
                Step::External { url, redirect, help, paste_back }
            }
            SetupStep::Progress(SetupProgress { message, code, url, poll_after_ms, .. }) => {
                Step::Progress { message, code, url, poll_after_ms, expires_at: rfc3339(row.expires_at) }
            }
            // Neither is ever kept.
            _ => Step::Done { account: row.result.clone().unwrap_or_default() },
        }
    }
}

/// What the step of a flow is sealed for.
pub(crate) fn context(id: &str) -> String {
    format!("setup_flow:{id}")
}

/// What the step said to remember.
pub(super) fn memory(step: &SetupStep) -> Option<&String> {
    match step {
        SetupStep::Form(form) => form.memory.as_ref(),
        SetupStep::External(external) => external.memory.as_ref(),
        SetupStep::Progress(progress) => progress.memory.as_ref(),
        _ => None,
    }
}

/// Keeps the next step of a flow. `state` is what names it to the service from now on.
pub(super) async fn keep(app: &App, turn: Turn, state: &str, step: SetupStep) -> ApiResult<Flow> {
    let mut row = turn.row;
    let now = now_ms();
    let whole = row.created_at + WHOLE;
    let lasts = match &step {
        SetupStep::External(_) => COME_BACK,
        SetupStep::Progress(progress) => i64::try_from(progress.expires_in_ms).unwrap_or(WHOLE),
        _ => WHOLE,
    };
    row.expires_at = whole.min(now.saturating_add(lasts));
    row.state_hash = matches!(step, SetupStep::External(_)).then(|| hash(state));
    let is_form = matches!(step, SetupStep::Form(_));
    let values = turn.values.filter(|_| is_form);
    let stored = Stored { step, secret: turn.secret, label: turn.label, values, at: now };
    row.sealed = Some(stored.seal(app, &row.id)?);
    (row.code, row.detail) = (None, None);
    save(app, row).await
}

/// The credentials of an account that signs in again. Those that can't be read any more are none: signing in mends that.
pub(super) async fn credentials(app: &App, account: &str) -> ApiResult<Option<String>> {
    let Some(sealed) = db::credentials::sealed(app.db.read(), account).await? else { return Ok(None) };
    let opened = app.secrets.open(&db::credentials::context(account), &sealed);
    let plain = opened.inspect_err(|error| tracing::warn!(account, "credentials that can't be read: {error}")).ok();
    Ok(plain.and_then(|plain| String::from_utf8(plain).ok()))
}

/// A step as it may be kept and shown. `redirects` are those that the plugin was told of, and what its settings say.
pub(super) fn checked(step: SetupStep, redirects: &[String]) -> Result<SetupStep, ProviderError> {
    if memory(&step).is_some_and(|memory| memory.len() > MAX_SECRET) {
        return Err(broken("remembers too much"));
    }
    Ok(match step {
        SetupStep::Form(form) => {
            form::check_schema(&form.schema).map_err(|why| broken(&why))?;
            let (title, help) = (text(&form.title, 200), text(&form.help, 4000));
            let error = form.error.map(|error| text(&error, 500));
            SetupStep::Form(SetupForm { title, help, error, ..form })
        }
        SetupStep::External(external) => {
            if !redirects.contains(&external.redirect) {
                return Err(broken("sends the browser back to elsewhere"));
            }
            let help = text(&external.help, 4000);
            SetupStep::External(SetupExternal { url: address(&external.url)?, help, ..external })
        }
        SetupStep::Progress(progress) => SetupStep::Progress(SetupProgress {
            message: text(&progress.message, 500),
            code: progress.code.map(|code| text(&code, 64)),
            url: progress.url.map(|url| address(&url)).transpose()?,
            poll_after_ms: progress.poll_after_ms.clamp(250, 60_000),
            expires_in_ms: if progress.expires_in_ms == 0 { u64::MAX } else { progress.expires_in_ms },
            memory: progress.memory,
        }),
        SetupStep::Done(done) => SetupStep::Done(Box::new(complete(*done)?)),
        _ => return Err(broken("is of a kind that this version does not know")),
    })
}

fn complete(done: SetupDone) -> Result<SetupDone, ProviderError> {
    let key = &done.account_key;
    if key.is_empty() || key.len() > MAX_KEY || key.chars().any(char::is_control) {
        return Err(broken("names no account"));
    }
    if done.credentials.len() > MAX_SECRET || serde_json::from_str::<Value>(&done.credentials).is_err() {
        return Err(broken("has credentials that are too long or no JSON"));
    }
    let scopes = done.scopes.iter().take(MAX_SCOPES).map(|scope| text(scope, 200)).collect();
    let label = text(&done.label, 100);
    let label = if label.is_empty() { text(key, 100) } else { label };
    Ok(SetupDone { label, scopes, ..done })
}

/// An address that a browser may be sent to.
fn address(url: &str) -> Result<String, ProviderError> {
    let parsed = Url::parse(url).ok().filter(|parsed| {
        url.len() <= MAX_URL && ["http", "https"].contains(&parsed.scheme()) && parsed.username().is_empty()
    });
    parsed.map(Into::into).ok_or_else(|| broken("sends the browser to what is no web address"))
}

fn broken(why: &str) -> ProviderError {
    ProviderError::new(ErrorKind::Internal, format!("the plugin's step {why}")).with_code("invalid_step")
}

/// Foreign text for people: plain, and not too long. Line ends stay.
pub(super) fn text(text: &str, max: usize) -> String {
    let shown = |c: char| if c.is_control() && c != '\n' { ' ' } else { c };
    text.trim().chars().filter(|c| !is_bidi(*c)).take(max).map(shown).collect()
}

/// Characters that reorder the text around them.
fn is_bidi(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}')
}
