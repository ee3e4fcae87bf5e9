//! The key-value service.

use std::collections::BTreeMap;

use serde_bytes::ByteBuf;
use zotify_plugin_api::{
    ErrorKind, ProviderError, Result,
    service::{KvKey, KvPage, KvPut, KvScan, KvValue},
};

use super::Services;
use crate::db::plugin_kv::{self, Scope};

/// The longest key, in bytes.
const MAX_KEY: usize = 512;
/// The largest value, in bytes.
const MAX_VALUE: usize = 256 << 10;
/// What an instance may keep.
const MAX_ENTRIES: i64 = 200_000;
const MAX_BYTES: i64 = 64 << 20;
/// The largest page of a scan, in bytes; the boundary takes twice as much.
const MAX_PAGE: usize = 512 << 10;
/// The longest account id, in bytes.
const MAX_ACCOUNT: usize = 64;

impl Services {
    fn scope<'a>(&'a self, account: Option<&'a str>) -> Result<Scope<'a>> {
        match account {
            Some(account) if account.is_empty() || account.len() > MAX_ACCOUNT => {
                Err(ProviderError::invalid("there is no such account"))
            }
            account => Ok(Scope { instance: &self.instance, account: account.unwrap_or_default() }),
        }
    }

    pub(super) async fn kv_get(&self, request: KvKey) -> Result<KvValue> {
        check_key(&request.key)?;
        let scope = self.scope(request.account.as_deref())?;
        let value = plugin_kv::get(self.db.read(), scope, request.key.as_bytes()).await.map_err(storage)?;
        Ok(KvValue { value: value.map(ByteBuf::from) })
    }

    pub(super) async fn kv_put_many(&self, request: KvPut) -> Result<()> {
        let scope = self.scope(request.account.as_deref())?;
        let mut entries = BTreeMap::new();
        for (key, value) in request.entries {
            check_key(&key)?;
            if value.as_ref().is_some_and(|value| value.len() > MAX_VALUE) {
                return Err(ProviderError::new(ErrorKind::TooLarge, "a value is over 256 KiB"));
            }
            entries.insert(key.into_bytes(), value.map(ByteBuf::into_vec));
        }
        let mut tx = self.db.write().await.map_err(storage)?;
        let usage = plugin_kv::put_many(&mut tx, scope, &entries).await.map_err(storage)?;
        let only_deletes = entries.values().all(Option::is_none);
        if !only_deletes && (usage.entries > MAX_ENTRIES || usage.bytes > MAX_BYTES) {
            // Dropping the transaction takes all of it back.
            return Err(ProviderError::new(ErrorKind::TooLarge, "the instance may keep 200000 entries or 64 MiB")
                .with_code("quota_exceeded"));
        }
        tx.commit().await.map_err(storage)
    }

    pub(super) async fn kv_scan(&self, request: KvScan) -> Result<KvPage> {
        if request.prefix.len() > MAX_KEY || request.after.as_ref().is_some_and(|after| after.len() > MAX_KEY) {
            return Err(ProviderError::invalid("a key is over 512 bytes"));
        }
        let scope = self.scope(request.account.as_deref())?;
        let after = request.after.as_deref().map(str::as_bytes);
        let (rows, more) = plugin_kv::scan(self.db.read(), scope, request.prefix.as_bytes(), after, MAX_PAGE)
            .await
            .map_err(storage)?;
        let text = |key| String::from_utf8(key).map_err(|_| ProviderError::internal("a stored key is damaged"));
        let entries = rows.into_iter().map(|(k, v)| Ok((text(k)?, ByteBuf::from(v)))).collect::<Result<_>>()?;
        Ok(KvPage { entries, more })
    }
}

fn check_key(key: &str) -> Result<()> {
    if key.is_empty() || key.len() > MAX_KEY {
        return Err(ProviderError::invalid("a key has 1 to 512 bytes"));
    }
    Ok(())
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn storage(error: sqlx::Error) -> ProviderError {
    tracing::error!("the key-value service failed: {error}");
    ProviderError::unavailable("the host's storage failed")
}

#[cfg(test)]
mod tests {
    use tokio::sync::broadcast;

    use super::*;
    use crate::{
        db::Db,
        providers::{budget::Limits, egress::Egress, services::Means},
        secrets::Secrets,
    };

    async fn services(folder: &tempfile::TempDir, instance: &str) -> Services {
        let db = Db::connect(&format!("sqlite://{}", folder.path().join("test.db").display())).await.unwrap();
        db.migrate().await.unwrap();
        let means = Means {
            db,
            secrets: Secrets::from_key(&[7; 32]).unwrap().into(),
            egress: Egress::closed(),
            limits: Limits::default(),
            notices: broadcast::Sender::new(1),
            triggers: Vec::new(),
        };
        Services::new(instance, means)
    }

    fn put(entries: &[(&str, Option<&[u8]>)]) -> KvPut {
        let entries = entries.iter().map(|(k, v)| ((*k).to_owned(), v.map(|v| ByteBuf::from(v.to_vec())))).collect();
        KvPut { account: None, entries }
    }

    async fn get(services: &Services, key: &str) -> Option<Vec<u8>> {
        let key = KvKey { account: None, key: key.into() };
        services.kv_get(key).await.unwrap().value.map(ByteBuf::into_vec)
    }

    #[tokio::test]
    async fn entries_are_kept_per_instance_and_account() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (services(&folder, "one").await, services(&folder, "two").await);
        one.kv_put_many(put(&[("a", Some(b"1")), ("b", Some(b"2"))])).await.unwrap();
        let of_account = KvPut { account: Some("acc".into()), ..put(&[("a", Some(b"3"))]) };
        one.kv_put_many(of_account).await.unwrap();
        assert_eq!(get(&one, "a").await.unwrap(), b"1");
        assert_eq!(get(&two, "a").await, None);
        one.kv_put_many(put(&[("a", Some(b"4")), ("a", Some(b"5")), ("b", None)])).await.unwrap();
        assert_eq!(get(&one, "a").await.unwrap(), b"5", "the last one counts");
        assert_eq!(get(&one, "b").await, None);
        let account = KvKey { account: Some("acc".into()), key: "a".into() };
        assert_eq!(one.kv_get(account).await.unwrap().value.unwrap().into_vec(), b"3");
    }

    #[tokio::test]
    async fn scans_page_through_a_prefix_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let services = services(&folder, "one").await;
        let value = vec![7; 200 << 10];
        let keys = ["e", "f/1", "f/2", "f/3", "f/ä", "f/\u{10ffff}", "g"];
        for key in keys {
            services.kv_put_many(put(&[(key, Some(&value))])).await.unwrap();
        }
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let scan = KvScan { account: None, prefix: "f/".into(), after: after.clone() };
            let page = services.kv_scan(scan).await.unwrap();
            assert!(page.entries.len() <= 2, "a page stays under 512 KiB");
            found.extend(page.entries.into_iter().map(|(key, _)| key));
            after = found.last().cloned();
            if !page.more {
                break;
            }
        }
        assert_eq!(found, keys[1..6]);
    }

    #[tokio::test]
    async fn the_quota_holds_and_takes_back_the_whole_request() {
        let folder = tempfile::tempdir().unwrap();
        let services = services(&folder, "one").await;
        let value = vec![7; MAX_VALUE];
        let names: Vec<_> = (0..255).map(|n| format!("{n:03}")).collect();
        for name in &names {
            services.kv_put_many(put(&[(name, Some(&value))])).await.unwrap();
        }
        let over = services.kv_put_many(put(&[("x", Some(&value)), ("y", Some(&value))])).await.unwrap_err();
        assert_eq!(over.code.as_deref(), Some("quota_exceeded"));
        assert_eq!(get(&services, "x").await, None);
        services.kv_put_many(put(&[("000", None), ("001", None)])).await.unwrap();
        services.kv_put_many(put(&[("x", Some(&value)), ("y", Some(&value))])).await.unwrap();
    }

    #[tokio::test]
    async fn limits_are_errors() {
        let folder = tempfile::tempdir().unwrap();
        let services = services(&folder, "one").await;
        let long = "k".repeat(513);
        assert!(services.kv_put_many(put(&[(&long, Some(b"1"))])).await.is_err());
        assert!(services.kv_put_many(put(&[("", Some(b"1"))])).await.is_err());
        let large = vec![0; MAX_VALUE + 1];
        assert!(services.kv_put_many(put(&[("k", Some(&large))])).await.is_err());
        assert!(services.call("kv.get", b"\xc1").await.is_err(), "not MessagePack");
        assert_eq!(services.call("no.such", b"").await.unwrap_err().code.as_deref(), Some("unknown_service"));
    }
}
