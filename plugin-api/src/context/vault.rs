//! The token vault: credentials of accounts, which the host keeps sealed.

use super::Services;
use crate::{
    Result,
    service::{self, VaultEnd, VaultEntry, VaultKey, VaultLease, VaultPut, VaultRefresh},
};

/// The credentials of one account. Read them for every call: another call, or another node, may have refreshed them.
pub struct Vault {
    pub(super) services: Services,
    pub(super) account: String,
}

impl Vault {
    /// The credentials.
    ///
    /// # Errors
    /// `auth_required` where there are none, or where they are dead.
    pub async fn get(&self) -> Result<VaultEntry> {
        self.services.call(service::VAULT_GET, &VaultKey { account: self.account.clone() }).await
    }

    /// Asks to refresh the credentials, which do not work any more in that version. Of all who ask only one gets the turn,
    /// over all nodes; the others wait, and get what that one put.
    ///
    /// # Errors
    /// `auth_required` where they turned out to be dead, `unavailable` where the turn did not come in time.
    pub async fn refresh(&self, version: i64) -> Result<VaultLease> {
        self.services.call(service::VAULT_REFRESH, &VaultRefresh { account: self.account.clone(), version }).await
    }

    /// Writes credentials, and ends the turn. They are durable when this answers: only then use them.
    ///
    /// # Errors
    /// `conflict` where they were changed since, `auth_required` where the account was unlinked meanwhile.
    pub async fn put(
        &self,
        credentials: String,
        version: i64,
        lease: Option<String>,
        scopes: Option<Vec<String>>,
    ) -> Result<VaultEntry> {
        let put = VaultPut { account: self.account.clone(), credentials, version, lease, scopes };
        self.services.call(service::VAULT_PUT, &put).await
    }

    /// Gives the turn back: the refresh did not work this time.
    ///
    /// # Errors
    /// When the host cannot take note of it; the turn then ends by itself.
    pub async fn give_back(&self, version: i64, lease: String) -> Result<()> {
        let end =
            VaultEnd { account: self.account.clone(), version, lease: Some(lease), code: None, detail: String::new() };
        self.services.call(service::VAULT_END, &end).await
    }

    /// Says that credentials are dead: no call is made for the account until its owner signs in again.
    ///
    /// # Errors
    /// When the host cannot take note of it.
    pub async fn end(&self, version: i64, lease: Option<String>, code: &str, detail: &str) -> Result<()> {
        let end = VaultEnd {
            account: self.account.clone(),
            version,
            lease,
            code: Some(code.to_owned()),
            detail: detail.to_owned(),
        };
        self.services.call(service::VAULT_END, &end).await
    }
}
