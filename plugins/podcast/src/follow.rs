//! Following and leaving podcasts.

use ulid::Ulid;
use zotify_plugin_api::prelude::*;

use crate::{
    ids::Id,
    store::{self, Seed, Store},
};

/// How long a list waits to be taken over by the account that it was given for, in milliseconds: a day.
const WAITS_MS: u64 = 24 * 3600 * 1000;
/// Feeds of one key-value entry.
const SEEDS: usize = 100;

/// What the token vault keeps of an account: which list it is to take over.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Credentials {
    /// What the account is called.
    pub(crate) key: String,
    #[serde(default)]
    pub(crate) batch: Option<String>,
}

/// Follows and leaves shows.
pub(crate) async fn edit(cx: &Context, account: &str, request: &LibraryEdit) -> Result<LibraryEdited> {
    let (store, now_ms) = (Store::of(cx, account), cx.clock().now_ms().await?);
    let mut results = Vec::with_capacity(request.add.len() + request.remove.len());
    for key in &request.add {
        let error = add(cx, &store, key, now_ms).await.err();
        results.push(EditResult { uri: key.uri.clone(), error });
    }
    for key in &request.remove {
        let error = remove(&store, key).await.err();
        results.push(EditResult { uri: key.uri.clone(), error });
    }
    if results.iter().any(|result| result.error.is_none()) {
        cx.library_changed(Some(account)).await?;
    }
    Ok(LibraryEdited { results: results.into() })
}

fn show(uri: &Uri) -> Result<Id> {
    match uri.kind() {
        Kind::Show => Id::parse(uri.id()).ok_or_else(|| ProviderError::not_found(uri)),
        kind => {
            Err(ProviderError::unsupported(format_args!("{kind}s that are saved by themselves; follow their show")))
        }
    }
}

async fn add(cx: &Context, store: &Store, key: &ItemKey, now_ms: i64) -> Result<()> {
    let id = show(&key.uri)?;
    if store.subscription(id).await?.is_some() {
        return Ok(());
    }
    let at = |url: String| Some(Seed { url, title: None }).filter(|seed| seed.id() == Some(id));
    let seed = match key.locator.clone().and_then(at) {
        Some(seed) => Some(seed),
        None => store::remembered(cx, id, now_ms).await?.and_then(at),
    };
    let unknown = || {
        let text = "this podcast is not known any more; look its feed's address up again";
        ProviderError::new(ErrorKind::NotFound, text).with_code("look_up_again")
    };
    store.follow(&[seed.ok_or_else(unknown)?], now_ms).await
}

async fn remove(store: &Store, key: &ItemKey) -> Result<()> {
    store.unfollow(show(&key.uri)?).await
}

/// Lays a list aside for an account that is not there yet; answers what names it.
pub(crate) async fn lay_aside(cx: &Context, seeds: &[Seed]) -> Result<String> {
    let (kv, batch) = (cx.kv(), Ulid::generate());
    let waiting: Vec<(String, serde::de::IgnoredAny)> = kv.scan_all("import/").await?;
    let is_old = |key: &str| {
        let named: Option<Ulid> = key.split('/').nth(1).and_then(|name| name.parse().ok());
        named.is_none_or(|named| batch.timestamp_ms().saturating_sub(named.timestamp_ms()) > WAITS_MS)
    };
    kv.put_many::<()>(waiting.into_iter().filter(|(key, _)| is_old(key)).map(|(key, _)| (key, None))).await?;
    for (n, some) in seeds.chunks(SEEDS).enumerate() {
        kv.put(&format!("import/{batch}/{n:04}"), &some).await?;
    }
    Ok(batch.to_string())
}

/// Takes over the list that an account was connected with, once.
pub(crate) async fn take_over(cx: &Context, account: &str) -> Result<()> {
    let entry = cx.vault(account).get().await?;
    let credentials: Credentials = serde_json::from_str(&entry.credentials)
        .map_err(|_| ProviderError::internal("the account's credentials cannot be read; connect it anew"))?;
    let store = Store::of(cx, account);
    let Some(batch) = credentials.batch else { return Ok(()) };
    if store.imported().await?.as_ref() == Some(&batch) {
        return Ok(());
    }
    let chunks: Vec<(String, Vec<Seed>)> = cx.kv().scan_all(&format!("import/{batch}/")).await?;
    let seeds: Vec<Seed> = chunks.iter().flat_map(|(_, seeds)| seeds.iter().cloned()).collect();
    store.follow(&seeds, cx.clock().now_ms().await?).await?;
    store.put_imported(&batch).await?;
    cx.kv().put_many::<()>(chunks.into_iter().map(|(key, _)| (key, None))).await
}
