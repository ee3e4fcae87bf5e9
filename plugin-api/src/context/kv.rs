//! Key-value entries.

use serde::{Serialize, de::DeserializeOwned};
use serde_bytes::ByteBuf;

use super::Services;
use crate::{
    Result,
    service::{self, KvKey, KvPage, KvPut, KvScan, KvValue},
    wire,
};

/// Small persistent values of an instance or an account. Values are MessagePack of any serde type.
pub struct KeyValue {
    pub(super) services: Services,
    pub(super) account: Option<String>,
}

impl KeyValue {
    /// The value of a key.
    ///
    /// # Errors
    /// When the value cannot be read as `T`, or the host's storage fails.
    pub async fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>> {
        let key = KvKey { account: self.account.clone(), key: key.to_owned() };
        let found: KvValue = self.services.call(service::KV_GET, &key).await?;
        found.value.map(|bytes| wire::decode(&bytes)).transpose()
    }

    /// Sets one key.
    ///
    /// # Errors
    /// When a limit is passed (key 512 bytes, value 256 KiB as MessagePack), or the host's storage fails.
    pub async fn put<T: Serialize>(&self, key: &str, value: &T) -> Result<()> {
        self.put_many([(key.to_owned(), Some(value))]).await
    }

    /// Deletes one key.
    ///
    /// # Errors
    /// When the host's storage fails.
    pub async fn delete(&self, key: &str) -> Result<()> {
        self.put_many::<()>([(key.to_owned(), None)]).await
    }

    /// Sets and deletes many keys, all or none.
    ///
    /// # Errors
    /// When a limit is passed (the request 1 MiB in all), or the host's storage fails.
    pub async fn put_many<T: Serialize>(&self, entries: impl IntoIterator<Item = (String, Option<T>)>) -> Result<()> {
        let entries = entries
            .into_iter()
            .map(|(key, value)| Ok((key, value.map(|v| wire::encode(&v).map(ByteBuf::from)).transpose()?)))
            .collect::<Result<_>>()?;
        self.services.call(service::KV_PUT_MANY, &KvPut { account: self.account.clone(), entries }).await
    }

    /// A page of entries whose keys start with `prefix`, in the order of keys, after the key `after`; and whether
    /// more follow.
    ///
    /// # Errors
    /// When a value cannot be read as `T`, or the host's storage fails.
    pub async fn scan<T: DeserializeOwned>(
        &self,
        prefix: &str,
        after: Option<&str>,
    ) -> Result<(Vec<(String, T)>, bool)> {
        let request = KvScan { account: self.account.clone(), prefix: prefix.to_owned(), after: after.map(Into::into) };
        let page: KvPage = self.services.call(service::KV_SCAN, &request).await?;
        let entries =
            page.entries.into_iter().map(|(key, value)| Ok((key, wire::decode(&value)?))).collect::<Result<_>>()?;
        Ok((entries, page.more))
    }

    /// All entries whose keys start with `prefix`.
    ///
    /// # Errors
    /// As [`KeyValue::scan`].
    pub async fn scan_all<T: DeserializeOwned>(&self, prefix: &str) -> Result<Vec<(String, T)>> {
        let mut all: Vec<(String, T)> = Vec::new();
        loop {
            let after = all.last().map(|(key, _)| key.clone());
            let (page, more) = self.scan(prefix, after.as_deref()).await?;
            let empty = page.is_empty();
            all.extend(page);
            if !more || empty {
                return Ok(all);
            }
        }
    }
}
