//! The token vault: an instance reads and refreshes the credentials of its own accounts. What was sealed is opened for the
//! plugin only; the turn to refresh lies in the account's row, so that it holds over all nodes.

use std::time::Duration;

use tokio::time::Instant;
use ulid::Ulid;
use zotify_plugin_api::{
    ErrorKind, ProviderError, Result,
    service::{VaultEnd, VaultEntry, VaultKey, VaultLease, VaultPut, VaultRefresh},
};

use super::{Notice, Services, printable};
use crate::{
    accounts,
    db::{
        self, Tx, clock,
        credentials::{
            self,
            turns::{self, Change, Credentials, Found},
        },
    },
};

/// How long a turn lasts, in milliseconds: longer than a request to the service may take, with the wait for its place.
const LEASE_MS: i64 = 60_000;
/// How long to wait for one.
const PATIENCE: Duration = Duration::from_secs(25);
/// How often to look whether it is free; the wait doubles from the first to the last.
const LOOK_FIRST: Duration = Duration::from_millis(50);
const LOOK_LAST: Duration = Duration::from_millis(250);
/// The largest credentials, and what may be said of them, in bytes.
const MAX_CREDENTIALS: usize = 64 << 10;
const MAX_ACCOUNT: usize = 64;
const MAX_LEASE: usize = 64;
const MAX_CODE: usize = 64;
const MAX_SCOPES: usize = 100;
const MAX_SCOPE: usize = 200;
/// The longest sentence about dead credentials, in characters.
const MAX_DETAIL: usize = 500;

impl Services {
    pub(super) async fn vault_get(&self, key: VaultKey) -> Result<VaultEntry> {
        let found = self.account(&key.account).await?;
        self.open(&key.account, &found)
    }

    /// The turn, or news; waits while another one has it.
    pub(super) async fn vault_refresh(&self, asked: VaultRefresh) -> Result<VaultLease> {
        let late = Instant::now() + PATIENCE;
        let mut pause = LOOK_FIRST;
        loop {
            if let Some(answer) = self.turn_or_news(&asked).await? {
                return Ok(answer);
            }
            if Instant::now() + pause > late {
                return Err(ProviderError::unavailable("another call refreshes the credentials, and takes long")
                    .with_code("refresh_pending")
                    .with_retry_after_ms(1000));
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LOOK_LAST);
        }
    }

    async fn turn_or_news(&self, asked: &VaultRefresh) -> Result<Option<VaultLease>> {
        let _turn = self.storage.acquire().await;
        let found = self.account(&asked.account).await?;
        let entry = self.open(&asked.account, &found)?;
        if entry.version > asked.version {
            return Ok(Some(VaultLease { entry, lease: None }));
        }
        let lease = Ulid::generate().to_string();
        let took = self.take_lease(&asked.account, entry.version, &found, &lease).await.map_err(storage)?;
        Ok(took.then_some(VaultLease { entry, lease: Some(lease) }))
    }

    async fn take_lease(&self, account: &str, version: i64, found: &Found, lease: &str) -> sqlx::Result<bool> {
        if let Some(until) = found.credentials.as_ref().filter(|c| c.lease.is_some()).and_then(|c| c.lease_until) {
            // A look that costs no write.
            let now = clock::now(&mut *self.db.read().acquire().await?).await?;
            if until > now {
                return Ok(false);
            }
        }
        let mut tx = self.db.write().await?;
        let now = clock::now(&mut tx).await?;
        let took = turns::take_lease(&mut tx, account, version, lease, now, now + LEASE_MS).await?;
        tx.commit().await?;
        Ok(took)
    }

    pub(super) async fn vault_put(&self, put: VaultPut) -> Result<VaultEntry> {
        let VaultPut { account, credentials, version, lease, scopes } = put;
        check_document(&credentials)?;
        check_lease(lease.as_deref())?;
        let scopes = scopes.map(|scopes| check_scopes(&scopes)).transpose()?;
        self.open(&account, &self.account(&account).await?)?;
        let sealed = self.secrets.seal(&credentials::context(&account), credentials.as_bytes()).map_err(sealing)?;
        let change = Change { sealed, version, lease: lease.as_deref(), scopes };
        if !self.write(&account, change).await.map_err(storage)? {
            // Says so where they are gone or dead.
            self.open(&account, &self.account(&account).await?)?;
            return Err(ProviderError::new(ErrorKind::Conflict, "the credentials were changed meanwhile")
                .with_code("credentials_changed"));
        }
        self.make_durable().await;
        Ok(VaultEntry { credentials, version: version + 1 })
    }

    async fn write(&self, account: &str, change: Change<'_>) -> sqlx::Result<bool> {
        let mut tx = self.db.write().await?;
        let now = clock::now(&mut tx).await?;
        let written = turns::put(&mut tx, account, change, now).await?;
        tx.commit().await?;
        Ok(written)
    }

    /// The service may have taken the former credentials back: those that were put should survive a power cut. What keeps
    /// the database from writing through now passes, so this is no reason to refuse them.
    async fn make_durable(&self) {
        if let Err(error) = self.db.is_flushed().await {
            tracing::warn!("refreshed credentials may not survive a power cut: {error}");
        }
    }

    pub(super) async fn vault_end(&self, end: VaultEnd) -> Result<()> {
        check_lease(end.lease.as_deref())?;
        if let Some(code) = &end.code {
            check_code(code)?;
        }
        self.account(&end.account).await?;
        let mut tx = self.db.write().await.map_err(storage)?;
        let ended = self.end_in(&mut tx, &end).await.map_err(storage)?;
        tx.commit().await.map_err(storage)?;
        if ended {
            let notice = Notice::AccountChanged { instance: self.instance.clone(), account: end.account };
            // Nobody has to listen.
            let _ = self.notices.send(notice);
        }
        Ok(())
    }

    /// Answers whether the credentials died of it.
    async fn end_in(&self, tx: &mut Tx, end: &VaultEnd) -> sqlx::Result<bool> {
        let mut ended = false;
        if let Some(code) = &end.code {
            let detail: String = printable(&end.detail).chars().take(MAX_DETAIL).collect();
            let now = clock::now(tx).await?;
            let lease = end.lease.as_deref();
            ended = turns::end(tx, &end.account, end.version, lease, (code, &detail), now).await?;
            if ended {
                let account = db::accounts::find(&mut **tx, &end.account).await?;
                if let Some(account) = account {
                    accounts::must_sign_in(tx, &account, &auth_required(code, &detail)).await?;
                }
            }
        }
        if let (false, Some(lease)) = (ended, &end.lease) {
            turns::give_back(tx, &end.account, lease).await?;
        }
        Ok(ended)
    }

    /// An account of this instance; those of others are as if there were none.
    async fn account(&self, id: &str) -> Result<Found> {
        let missing = || ProviderError::not_found("the account").with_code("account_not_found");
        if id.is_empty() || id.len() > MAX_ACCOUNT {
            return Err(missing());
        }
        turns::of_account(self.db.read(), &self.instance, id).await.map_err(storage)?.ok_or_else(missing)
    }

    /// What the account's credentials say.
    fn open(&self, account: &str, found: &Found) -> Result<VaultEntry> {
        let Some(stored) = &found.credentials else {
            return Err(auth_required("no_credentials", "nobody has signed in to the account"));
        };
        if let Credentials { dead_code: Some(code), dead_detail, .. } = stored {
            let detail = dead_detail.as_deref().filter(|detail| !detail.is_empty());
            return Err(auth_required(code, detail.unwrap_or("the service does not take the credentials any more")));
        }
        let plain = self.secrets.open(&credentials::context(account), &stored.sealed).ok();
        let Some(credentials) = plain.and_then(|plain| String::from_utf8(plain).ok()) else {
            tracing::error!(instance = self.instance, account, "the account's credentials can't be opened");
            return Err(auth_required("credentials_damaged", "the stored credentials can't be opened"));
        };
        Ok(VaultEntry { credentials, version: stored.version })
    }
}

fn auth_required(code: &str, detail: &str) -> ProviderError {
    ProviderError::new(ErrorKind::AuthRequired, detail).with_code(code)
}

fn check_document(credentials: &str) -> Result<()> {
    if credentials.len() > MAX_CREDENTIALS {
        return Err(ProviderError::new(ErrorKind::TooLarge, "credentials are over 64 KiB"));
    }
    let json: std::result::Result<serde::de::IgnoredAny, _> = serde_json::from_str(credentials);
    json.map(drop).map_err(|_| ProviderError::invalid("credentials are no JSON"))
}

fn check_lease(lease: Option<&str>) -> Result<()> {
    if lease.is_some_and(|lease| lease.is_empty() || lease.len() > MAX_LEASE) {
        return Err(ProviderError::new(ErrorKind::Conflict, "there is no such turn"));
    }
    Ok(())
}

fn check_code(code: &str) -> Result<()> {
    let valid = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    if code.is_empty() || code.len() > MAX_CODE || !code.bytes().all(valid) {
        return Err(ProviderError::invalid("a code has 1 to 64 characters of [a-z0-9_]"));
    }
    Ok(())
}

fn check_scopes(scopes: &[String]) -> Result<String> {
    if scopes.len() > MAX_SCOPES || scopes.iter().any(|scope| scope.len() > MAX_SCOPE) {
        return Err(ProviderError::invalid("there may be 100 scopes of 200 bytes"));
    }
    serde_json::to_string(scopes).map_err(ProviderError::internal)
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn storage(error: sqlx::Error) -> ProviderError {
    tracing::error!("the token vault failed: {error}");
    ProviderError::unavailable("the host's storage failed").with_retry_after_ms(1000)
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn sealing(error: crate::secrets::SecretsError) -> ProviderError {
    tracing::error!("credentials can't be sealed: {error}");
    ProviderError::unavailable("the host can't seal the credentials")
}
