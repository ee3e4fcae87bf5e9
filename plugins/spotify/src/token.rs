//! Access tokens: getting them, refreshing them, and what is kept of them in the vault.

use std::time::Duration;

use futures::{channel::oneshot, executor};
use serde_json::Value;
use url::form_urlencoded;
use zotify_plugin_api::{
    prelude::*,
    service::{HttpResponse, VaultEntry},
};

use crate::{error::Said, settings::Settings};

/// An access token is refreshed this long before it ends, in milliseconds.
const EARLY_MS: i64 = 60_000;
/// How long an answer of the accounts service may take: less than the turn to refresh lasts.
const TIMEOUT: Duration = Duration::from_secs(15);
/// How long one lasts where Spotify does not say, in milliseconds.
const DEFAULT_LIFE_MS: i64 = 3_600_000;

/// What the vault holds for an account. Never printed.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Credentials {
    /// The app that the account signed in to: a refresh token is of no use to another one.
    pub client_id: String,
    pub access_token: String,
    pub refresh_token: String,
    /// When the access token ends, in milliseconds since 1970-01-01 UTC.
    #[serde(default)]
    pub expires_at_ms: i64,
    /// What was granted.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// What playlists call the account as their owner.
    #[serde(default)]
    pub user_id: String,
}

impl Credentials {
    /// Reads what the vault holds.
    pub(crate) fn of(entry: &VaultEntry) -> Result<Self> {
        // The parser's own words could hold a piece of a token.
        serde_json::from_str(&entry.credentials).map_err(|_| {
            ProviderError::new(ErrorKind::AuthRequired, "the stored sign-in cannot be read; sign in again")
                .with_code("credentials_unreadable")
        })
    }

    pub(crate) fn to_json(&self) -> Result<String> {
        serde_json::to_string(self).map_err(|_| ProviderError::internal("cannot write the credentials"))
    }

    pub(crate) fn ends_soon(&self, now_ms: i64) -> bool {
        now_ms >= self.expires_at_ms.saturating_sub(EARLY_MS)
    }

    /// Whether one of some scopes was granted.
    pub(crate) fn has_any(&self, scopes: &[&str]) -> bool {
        scopes.is_empty() || self.scopes.iter().any(|granted| scopes.contains(&granted.as_str()))
    }

    /// Takes over an answer of the token endpoint. What it leaves out, or leaves empty, stays as it was: Spotify no longer
    /// repeats the refresh token, and sometimes not the scopes.
    pub(crate) fn take(&mut self, granted: Granted, now_ms: i64) {
        self.access_token = granted.access_token;
        if let Some(token) = granted.refresh_token {
            self.refresh_token = token;
        }
        if let Some(scopes) = granted.scopes {
            self.scopes = scopes;
        }
        self.expires_at_ms = now_ms.saturating_add(granted.life_ms);
    }
}

/// An answer of the token endpoint.
pub(crate) struct Granted {
    pub access_token: String,
    pub refresh_token: Option<String>,
    pub scopes: Option<Vec<String>>,
    pub life_ms: i64,
}

impl Granted {
    fn of(body: &[u8]) -> Option<Self> {
        let value: Value = serde_json::from_slice(body).ok()?;
        let text = |key: &str| value.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
        let life = value.get("expires_in").and_then(Value::as_f64).filter(|s| (1.0..=1e7).contains(s));
        #[expect(clippy::cast_possible_truncation, reason = "bounded above")]
        let life_ms = life.map_or(DEFAULT_LIFE_MS, |seconds| (seconds * 1000.0) as i64);
        Some(Self {
            access_token: text("access_token")?.to_owned(),
            refresh_token: text("refresh_token").map(str::to_owned),
            scopes: text("scope").map(|scopes| scopes.split_whitespace().map(str::to_owned).collect()),
            life_ms,
        })
    }
}

/// Asks the token endpoint.
///
/// # Errors
/// The accounts service's word for it as the code: `invalid_grant`, `invalid_client`, …; `unavailable` where it has a fault
/// or cannot be reached.
pub(crate) async fn ask(cx: &Context, settings: &Settings, form: &[(&str, &str)]) -> Result<Granted> {
    let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
    let url = format!("{}/api/token", settings.accounts_base);
    let response = cx
        .http()
        .post(url)
        .body("application/x-www-form-urlencoded", body)
        .no_redirects()
        .timeout(TIMEOUT)
        .send()
        .await?;
    if response.status == 200 {
        return Granted::of(&response.body).ok_or_else(|| crate::error::unreadable("no access token in it"));
    }
    Err(refusal(&response))
}

fn refusal(response: &HttpResponse) -> ProviderError {
    let said = Said::of(&response.body);
    match (response.status, said.error.as_deref()) {
        (400 | 401, Some("invalid_grant")) => {
            ProviderError::new(ErrorKind::AuthRequired, "Spotify does not know this sign-in any more")
                .with_code("invalid_grant")
        }
        (400 | 401, Some("invalid_client" | "unauthorized_client")) => {
            let text =
                "Spotify does not know the client id; look at developer.spotify.com whether the app is still there";
            ProviderError::new(ErrorKind::Restricted, text).with_code("invalid_client")
        }
        (429, _) => ProviderError::new(ErrorKind::RateLimited, "Spotify asks to wait before signing in")
            .with_code("cooldown")
            .with_retry_after_ms(
                response
                    .header("retry-after")
                    .and_then(|s| s.trim().parse().ok())
                    .unwrap_or(30_u64)
                    .saturating_mul(1000),
            ),
        (500..=599, _) => {
            ProviderError::unavailable("Spotify's sign-in has a fault of its own now").with_code("service_error")
        }
        (status, error) => {
            let text =
                format!("Spotify's sign-in refused the request (status {status}, {})", error.unwrap_or("no reason"));
            ProviderError::new(ErrorKind::BadUpstream, text).with_code("sign_in_refused")
        }
    }
}

/// Refreshes an account's access token, or takes over what another call refreshed meanwhile.
///
/// # Errors
/// `auth_required` where the sign-in has ended.
pub(crate) async fn refresh(cx: &Context, settings: &Settings, account: &str, version: i64) -> Result<VaultEntry> {
    let turn = cx.vault(account).refresh(version).await?;
    let Some(lease) = turn.lease else { return Ok(turn.entry) };
    let (done, waiting) = oneshot::channel();
    let (cx, settings, account) = (cx.clone(), settings.clone(), account.to_owned());
    // On a thread, so that it ends even if the call is given up: a token that Spotify hands out once must not get lost on the
    // way to the vault.
    let thread = std::thread::Builder::new().name("spotify-token".into()).spawn(move || {
        let result = executor::block_on(renew(&cx, &settings, &account, turn.entry, lease));
        // Nobody may be waiting any more.
        let _ = done.send(result);
    });
    thread.map_err(|_| ProviderError::unavailable("no thread is left to refresh the access token"))?;
    waiting.await.unwrap_or_else(|_| Err(ProviderError::internal("the access token's refresh broke off")))
}

/// Uses the turn to refresh.
async fn renew(
    cx: &Context,
    settings: &Settings,
    account: &str,
    entry: VaultEntry,
    lease: String,
) -> Result<VaultEntry> {
    let (vault, version) = (cx.vault(account), entry.version);
    let renewed = async {
        let mut credentials = Credentials::of(&entry)?;
        let form = [
            ("grant_type", "refresh_token"),
            ("refresh_token", &credentials.refresh_token),
            ("client_id", &credentials.client_id),
        ];
        let granted = ask(cx, settings, &form).await?;
        let scopes = granted.scopes.clone().filter(|scopes| *scopes != credentials.scopes);
        credentials.take(granted, cx.clock().now_ms().await?);
        Ok((credentials.to_json()?, scopes))
    };
    match renewed.await {
        Ok((credentials, scopes)) => vault.put(credentials, version, Some(lease), scopes).await,
        Err(ProviderError { code: Some(code), .. }) if code == "invalid_grant" => {
            let detail = "Spotify ended this sign-in: it lasts six months at most, and can be taken back";
            vault.end(version, Some(lease), "sign_in_ended", detail).await?;
            Err(ProviderError::new(ErrorKind::AuthRequired, detail).with_code("sign_in_ended"))
        }
        Err(error) => {
            vault.give_back(version, lease).await?;
            Err(error)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_answer_leaves_out_stays() {
        let mut credentials = Credentials {
            client_id: "c".into(),
            access_token: "a1".into(),
            refresh_token: "r1".into(),
            expires_at_ms: 0,
            scopes: vec!["user-library-read".into()],
            user_id: "u".into(),
        };
        for body in
            [r#"{"access_token":"a2","expires_in":3600}"#, r#"{"access_token":"a2","refresh_token":"","scope":""}"#]
        {
            credentials.take(Granted::of(body.as_bytes()).unwrap(), 1000);
            assert_eq!((credentials.access_token.as_str(), credentials.refresh_token.as_str()), ("a2", "r1"));
            assert_eq!((credentials.scopes.len(), credentials.expires_at_ms), (1, 3_601_000));
        }
        credentials.take(Granted::of(br#"{"access_token":"a3","refresh_token":"r2","expires_in":1e300}"#).unwrap(), 0);
        assert_eq!((credentials.refresh_token.as_str(), credentials.expires_at_ms), ("r2", DEFAULT_LIFE_MS));
        assert!(credentials.ends_soon(DEFAULT_LIFE_MS - EARLY_MS) && !credentials.ends_soon(0));
        assert!(Granted::of(br#"{"access_token":""}"#).is_none());
        assert!(Granted::of(b"<html>").is_none());
    }
}
