//! Sends requests to the Web API: with the account's token, within the budget, again where that is safe.

use std::time::Duration;

use serde_json::Value;
use zotify_plugin_api::{
    KeyValue,
    prelude::*,
    service::{Budget, HttpResponse},
};

use crate::{Spotify, endpoints::Operation, error, settings::Settings, token, token::Credentials};

/// How long one request may take.
const TIMEOUT: Duration = Duration::from_secs(15);
/// How long is waited after the first and the second failure, in milliseconds.
const PAUSES_MS: [u64; 2] = [1000, 3000];
/// How long is waited when Spotify overlooked a token that works, in milliseconds.
const OVERLOOKED_MS: u64 = 1000;
/// How long a call that stands alone waits when it is told to, in milliseconds.
const PATIENCE_MS: u64 = 2000;
/// How long one waits that leaves things half done otherwise, in milliseconds.
const EDIT_PATIENCE_MS: u64 = 20_000;
/// How often one call waits because it was told to.
const MAX_WAITS: u32 = 3;
/// Kept free before the deadline, in milliseconds.
const RESERVE_MS: u64 = 2000;
/// Where the host names no deadline, in milliseconds.
const DEFAULT_DEADLINE_MS: u64 = 60_000;

/// A request to be made.
pub(crate) struct Ask<'a> {
    operation: &'a Operation,
    url: String,
    query: Vec<(&'a str, String)>,
    body: Option<(&'static str, Vec<u8>)>,
}

impl<'a> Ask<'a> {
    pub(crate) fn new(operation: &'a Operation, ids: &[&str]) -> Self {
        Self { operation, url: operation.path_of(ids), query: Vec::new(), body: None }
    }

    /// Adds a pair to the query.
    pub(crate) fn with(mut self, key: &'a str, value: impl ToString) -> Self {
        self.query.push((key, value.to_string()));
        self
    }

    /// Sets a JSON body.
    pub(crate) fn json(self, value: &Value) -> Self {
        self.body("application/json", value.to_string().into_bytes())
    }

    /// Sets the body.
    pub(crate) fn body(mut self, content_type: &'static str, body: Vec<u8>) -> Self {
        self.body = Some((content_type, body));
        self
    }
}

/// How often one request was tried, and why again.
#[derive(Default)]
struct Tries {
    overlooked: bool,
    refreshed: bool,
    failures: usize,
    waits: u32,
}

enum Next {
    GiveUp,
    Wait(u64),
    Refresh,
}

/// The Web API as one call of the host sees it.
pub(crate) struct Session {
    cx: Context,
    settings: Settings,
    /// The account; none while it is being connected.
    account: Option<String>,
    pub(crate) credentials: Credentials,
    version: i64,
    background: bool,
    patience_ms: u64,
    ends_at_ms: i64,
    /// Requests made so far.
    pub(crate) requests: u64,
}

impl Session {
    /// For the account that a call is made for.
    pub(crate) async fn open<T>(spotify: &Spotify, call: &Call<T>) -> Result<Self> {
        let account = call.account_id()?.to_owned();
        let entry = spotify.cx.vault(&account).get().await?;
        let credentials = Credentials::of(&entry)?;
        let mut session = Self::with(spotify, credentials, call).await?;
        (session.account, session.version) = (Some(account), entry.version);
        Ok(session)
    }

    /// With credentials that are not in the vault yet.
    pub(crate) async fn with<T>(spotify: &Spotify, credentials: Credentials, call: &Call<T>) -> Result<Self> {
        let deadline = if call.deadline_ms == 0 { DEFAULT_DEADLINE_MS } else { call.deadline_ms };
        let now = spotify.cx.clock().now_ms().await?;
        Ok(Self {
            cx: spotify.cx.clone(),
            settings: spotify.settings.clone(),
            account: None,
            credentials,
            version: 0,
            background: call.background,
            patience_ms: PATIENCE_MS,
            ends_at_ms: now.saturating_add_unsigned(deadline.saturating_sub(RESERVE_MS)),
            requests: 0,
        })
    }

    /// For changes of several requests: it rather waits than leaves them half done.
    pub(crate) fn patient(mut self) -> Self {
        self.patience_ms = EDIT_PATIENCE_MS;
        self
    }

    /// The context of the instance.
    pub(crate) fn cx(&self) -> &Context {
        &self.cx
    }

    /// What is kept for the account.
    pub(crate) fn records(&self) -> Result<KeyValue> {
        let account = self.account.as_deref();
        Ok(self.cx.account_kv(account.ok_or_else(|| ProviderError::invalid("this needs an account"))?))
    }

    /// When this ends at the latest, in milliseconds since 1970-01-01 UTC.
    pub(crate) fn ends_at_ms(&self) -> i64 {
        self.ends_at_ms.saturating_add_unsigned(RESERVE_MS)
    }

    /// Makes a request, and answers what Spotify answered with success.
    ///
    /// # Errors
    /// What Spotify refused, typed; the code `outcome_unknown` where it may have been done nevertheless.
    pub(crate) async fn ask(&mut self, ask: &Ask<'_>) -> Result<HttpResponse> {
        if !self.credentials.has_any(ask.operation.scopes) {
            return Err(error::scope_missing());
        }
        let mut tries = Tries::default();
        loop {
            let error = match self.once(ask, &mut tries).await? {
                Ok(response) => return Ok(response),
                Err(error) => error,
            };
            match self.next(ask.operation, &error, &mut tries) {
                Next::Refresh => self.refresh().await?,
                Next::Wait(ms) if self.wait(ms).await? => {}
                _ => return Err(settle(ask.operation, error)),
            }
        }
    }

    /// As [`Session::ask`], for an answer in JSON. One that broke off is asked for again.
    pub(crate) async fn json(&mut self, ask: &Ask<'_>) -> Result<Value> {
        for pause in PAUSES_MS {
            let response = self.ask(ask).await?;
            match serde_json::from_slice(&response.body) {
                Ok(value) => return Ok(value),
                Err(_) if !ask.operation.repeatable => return Err(unknown(&error::unreadable("it is no JSON"))),
                Err(_) if self.wait(pause).await? => {}
                Err(_) => break,
            }
        }
        Err(error::unreadable("it is no JSON"))
    }

    async fn once(&mut self, ask: &Ask<'_>, tries: &mut Tries) -> Result<Result<HttpResponse>> {
        if self.account.is_some() && !tries.refreshed && self.credentials.ends_soon(self.cx.clock().now_ms().await?) {
            tries.refreshed = true;
            self.refresh().await?;
        }
        self.requests += 1;
        let pairs = ask.query.iter().map(|(key, value)| (*key, value.as_str()));
        let mut request = self
            .cx
            .http()
            .request(ask.operation.method, format!("{}{}", self.settings.api_base, ask.url))
            .bearer(&self.credentials.access_token)
            .timeout(TIMEOUT)
            .budget(self.budget())
            .no_redirects();
        if !ask.query.is_empty() {
            request = request.query(pairs);
        }
        if let Some((content_type, body)) = &ask.body {
            request = request.body(content_type, body.clone());
        }
        Ok(match request.send().await {
            Ok(response) if (200..300).contains(&response.status) => Ok(response),
            Ok(response) => Err(error::of_api(ask.operation, &response)),
            Err(error) => Err(error),
        })
    }

    fn budget(&self) -> Budget {
        // Which developer account is behind an app is not to be found out: an app counts as one of its own.
        Budget {
            window: self.credentials.client_id.clone(),
            quota: self.credentials.client_id.clone(),
            account: self.account.clone(),
            background: self.background,
        }
    }

    fn next(&self, operation: &Operation, error: &ProviderError, tries: &mut Tries) -> Next {
        match error.kind {
            // Spotify sometimes overlooks a token that works: a new one would not be seen better.
            ErrorKind::AuthRequired if is(error, "token_missing") && !tries.overlooked => {
                tries.overlooked = true;
                Next::Wait(OVERLOOKED_MS)
            }
            ErrorKind::AuthRequired if self.account.is_some() && !tries.refreshed => {
                tries.refreshed = true;
                Next::Refresh
            }
            ErrorKind::Unavailable | ErrorKind::Timeout if operation.repeatable => {
                tries.failures += 1;
                PAUSES_MS.get(tries.failures - 1).map_or(Next::GiveUp, |ms| Next::Wait(*ms))
            }
            ErrorKind::RateLimited if tries.waits < MAX_WAITS => {
                tries.waits += 1;
                error.retry_after_ms.filter(|ms| *ms <= self.patience_ms).map_or(Next::GiveUp, Next::Wait)
            }
            _ => Next::GiveUp,
        }
    }

    async fn refresh(&mut self) -> Result<()> {
        let Some(account) = &self.account else { return Ok(()) };
        let entry = token::refresh(&self.cx, &self.settings, account, self.version).await?;
        (self.credentials, self.version) = (Credentials::of(&entry)?, entry.version);
        Ok(())
    }

    /// Waits, if the deadline leaves time for that and another try.
    pub(crate) async fn wait(&self, ms: u64) -> Result<bool> {
        let clock = self.cx.clock();
        if clock.now_ms().await?.saturating_add_unsigned(ms) >= self.ends_at_ms {
            return Ok(false);
        }
        clock.sleep(Duration::from_millis(ms)).await?;
        Ok(true)
    }
}

/// Whether an error has a code.
pub(crate) fn is(error: &ProviderError, code: &str) -> bool {
    error.code.as_deref() == Some(code)
}

/// Says what an error means that no other try mended.
fn settle(operation: &Operation, error: ProviderError) -> ProviderError {
    match error.kind {
        // The token works, by all that is known: nobody needs to sign in again.
        ErrorKind::AuthRequired if is(&error, "token_missing") => {
            ProviderError { kind: ErrorKind::Unavailable, ..error }
        }
        ErrorKind::Unavailable | ErrorKind::Timeout if !operation.repeatable => unknown(&error),
        _ => error,
    }
}

fn unknown(error: &ProviderError) -> ProviderError {
    ProviderError::unavailable(format!("whether Spotify did it is not known: {error}")).with_code("outcome_unknown")
}
