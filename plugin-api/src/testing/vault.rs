//! The token vault of the host in memory: the same turns and fences as the real one.

use std::{
    collections::BTreeMap,
    task::{Poll, Waker},
};

use super::FakeHost;
use crate::{
    ErrorKind, ProviderError, Result,
    service::{VaultEnd, VaultEntry, VaultKey, VaultLease, VaultPut, VaultRefresh},
};

/// How long a turn lasts, in milliseconds.
const LEASE_MS: i64 = 30_000;
/// The largest credentials, in bytes.
const MAX_CREDENTIALS: usize = 64 << 10;

/// The credentials of all accounts.
#[derive(Default)]
pub(super) struct Vaults {
    accounts: BTreeMap<String, Stored>,
    leases: u64,
    waiting: Vec<Waker>,
}

#[derive(Clone, Default)]
struct Stored {
    credentials: String,
    version: i64,
    scopes: Option<Vec<String>>,
    dead: Option<(String, String)>,
    lease: Option<(String, i64)>,
}

impl Stored {
    fn entry(&self) -> Result<VaultEntry> {
        match &self.dead {
            Some((code, detail)) => Err(ProviderError::new(ErrorKind::AuthRequired, detail.clone()).with_code(code)),
            None => Ok(VaultEntry { credentials: self.credentials.clone(), version: self.version }),
        }
    }

    fn leased(&self, now_ms: i64) -> bool {
        self.lease.as_ref().is_some_and(|(_, until)| *until > now_ms)
    }

    fn owns(&self, lease: Option<&String>) -> bool {
        lease.is_some() && self.lease.as_ref().map(|(id, _)| id) == lease
    }
}

impl Vaults {
    fn stored(&mut self, account: &str) -> Result<&mut Stored> {
        let missing = || ProviderError::new(ErrorKind::AuthRequired, "the account has no credentials");
        self.accounts.get_mut(account).ok_or_else(|| missing().with_code("no_credentials"))
    }

    pub(super) fn wake(&mut self) {
        self.waiting.drain(..).for_each(Waker::wake);
    }

    pub(super) fn get(&mut self, key: &VaultKey) -> Result<VaultEntry> {
        self.stored(&key.account)?.entry()
    }

    /// The turn or news, none while another one has the turn.
    fn refresh(&mut self, asked: &VaultRefresh, now_ms: i64) -> Result<Option<VaultLease>> {
        self.leases += 1;
        let lease = format!("lease-{}", self.leases);
        let stored = self.stored(&asked.account)?;
        let entry = stored.entry()?;
        if entry.version > asked.version {
            return Ok(Some(VaultLease { entry, lease: None }));
        }
        if stored.leased(now_ms) {
            return Ok(None);
        }
        stored.lease = Some((lease.clone(), now_ms.saturating_add(LEASE_MS)));
        Ok(Some(VaultLease { entry, lease: Some(lease) }))
    }

    pub(super) fn put(&mut self, put: VaultPut, now_ms: i64) -> Result<VaultEntry> {
        if put.credentials.len() > MAX_CREDENTIALS {
            return Err(ProviderError::new(ErrorKind::TooLarge, "the credentials are over the limit"));
        }
        let stored = self.stored(&put.account)?;
        stored.entry()?;
        let turn = match &put.lease {
            Some(_) => stored.owns(put.lease.as_ref()),
            None => !stored.leased(now_ms),
        };
        if stored.version != put.version || !turn {
            return Err(ProviderError::new(ErrorKind::Conflict, "the credentials were changed meanwhile"));
        }
        stored.credentials = put.credentials;
        stored.version += 1;
        stored.lease = None;
        stored.scopes = put.scopes.or(stored.scopes.take());
        let entry = stored.entry();
        self.wake();
        entry
    }

    pub(super) fn end(&mut self, end: VaultEnd, now_ms: i64) -> Result<()> {
        let stored = self.stored(&end.account)?;
        if stored.owns(end.lease.as_ref()) {
            stored.lease = None;
        }
        // Another one who has the turn will find out.
        if let Some(code) = end.code
            && stored.version <= end.version
            && stored.dead.is_none()
            && !stored.leased(now_ms)
        {
            stored.dead = Some((code, end.detail));
            stored.lease = None;
        }
        self.wake();
        Ok(())
    }
}

impl FakeHost {
    /// Connects an account, as a setup flow does; again for one that signs in again. Answers the version.
    pub fn set_credentials(&self, account: &str, credentials: impl Into<String>) -> i64 {
        let mut state = self.state();
        let stored = state.vaults.accounts.entry(account.to_owned()).or_default();
        *stored = Stored { credentials: credentials.into(), version: stored.version + 1, ..Stored::default() };
        let version = stored.version;
        state.vaults.wake();
        version
    }

    /// Unlinks an account.
    pub fn clear_credentials(&self, account: &str) {
        let mut state = self.state();
        state.vaults.accounts.remove(account);
        state.vaults.wake();
    }

    /// The credentials of an account, and their version; none where there are none, or where they are dead.
    pub fn credentials(&self, account: &str) -> Option<VaultEntry> {
        self.state().vaults.accounts.get(account)?.entry().ok()
    }

    /// What the plugin said that was granted to an account, where it said so.
    pub fn scopes(&self, account: &str) -> Option<Vec<String>> {
        self.state().vaults.accounts.get(account)?.scopes.clone()
    }

    /// Why an account's credentials are dead: the code and the sentence.
    pub fn ended(&self, account: &str) -> Option<(String, String)> {
        self.state().vaults.accounts.get(account)?.dead.clone()
    }

    /// Waits for the turn, or for news. A turn ends by itself once the clock was set 30 seconds on.
    pub(super) async fn refresh(&self, asked: VaultRefresh) -> Result<VaultLease> {
        std::future::poll_fn(|cx| {
            let mut state = self.state();
            let now_ms = state.now_ms;
            match state.vaults.refresh(&asked, now_ms).transpose() {
                Some(answer) => Poll::Ready(answer),
                None => {
                    state.vaults.waiting.push(cx.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use futures::future::join_all;

    use super::*;
    use crate::{Context, service::HttpResponse, testing::context};

    async fn token(cx: &Context, version: i64) -> Result<String> {
        let vault = cx.vault("a");
        let VaultLease { entry, lease } = vault.refresh(version).await?;
        let Some(lease) = lease else { return Ok(entry.credentials) };
        let response = cx.http().post("https://token.example/").send().await?;
        let fresh = String::from_utf8(response.body).unwrap();
        Ok(vault.put(fresh, entry.version, Some(lease), Some(vec!["s".into()])).await?.credentials)
    }

    #[tokio::test]
    async fn one_of_many_refreshes_and_the_others_wait() {
        let (cx, host) = context("x");
        let version = host.set_credentials("a", "old");
        let served = AtomicU64::new(0);
        host.serve(move |_| {
            let body = format!("new-{}", served.fetch_add(1, Ordering::Relaxed)).into_bytes();
            Ok(HttpResponse { status: 200, headers: Vec::new(), body })
        });
        let tokens = join_all((0..20).map(|_| token(&cx, version))).await;
        assert!(tokens.iter().all(|token| token.as_ref().unwrap() == "new-0"));
        assert_eq!((host.requests().len(), host.scopes("a")), (1, Some(vec!["s".to_owned()])));
    }

    #[tokio::test]
    async fn a_turn_ends_by_itself_and_is_fenced_then() {
        let (cx, host) = context("x");
        let version = host.set_credentials("a", "old");
        let vault = cx.vault("a");
        let first = vault.refresh(version).await.unwrap();
        host.set_now_ms(LEASE_MS);
        let second = vault.refresh(version).await.unwrap();
        let late = vault.put("late".into(), version, first.lease, None).await.unwrap_err();
        assert_eq!(late.kind, ErrorKind::Conflict);
        vault.give_back(version, second.lease.unwrap()).await.unwrap();
        assert!(vault.refresh(version).await.unwrap().lease.is_some());
    }

    #[tokio::test]
    async fn dead_credentials_answer_until_somebody_signs_in_again() {
        let (cx, host) = context("x");
        let version = host.set_credentials("a", "old");
        let vault = cx.vault("a");
        assert_eq!(cx.vault("b").get().await.unwrap_err().code.as_deref(), Some("no_credentials"));
        vault.end(version - 1, None, "older", "").await.unwrap();
        assert_eq!(vault.get().await.unwrap().credentials, "old");
        vault.end(version, None, "invalid_grant", "Sign in again.").await.unwrap();
        let dead = vault.refresh(version).await.unwrap_err();
        assert_eq!((dead.kind, dead.code.as_deref()), (ErrorKind::AuthRequired, Some("invalid_grant")));
        assert_eq!(host.ended("a").unwrap().0, "invalid_grant");
        host.set_credentials("a", "new");
        assert_eq!(vault.get().await.unwrap().credentials, "new");
    }
}
