//! Changing what accounts saved: told to the provider first, then kept in the mirror at once.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::json;
use zotify_plugin_api::{EditResult, ItemKey, Kind, LibraryEdit, LibraryKind, ProviderError, Uri, capability, method};

use crate::{
    App, AppState,
    accounts::Account,
    auth::Principal,
    db::{Tx, items, now_ms, pull_runs},
    error::{ApiError, ApiResult},
    events::{self, Event},
    jobs::fetch,
    likes,
    mirror::{self, Row, Scope, lookup},
    playlists::locators,
    providers::{InstanceHandle, Lane},
    routing::{self, call},
};

/// Items that a provider is told of at a time.
const BATCH: usize = 100;
/// Questions to providers that one request may cause.
pub const MAX_UPSTREAM: usize = 10;
/// How soon a pull brings what could not be looked up.
const SOON: std::time::Duration = std::time::Duration::from_secs(5);

/// Whether an item comes into a library or leaves it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Change {
    /// It comes in.
    Add,
    /// It leaves.
    Remove,
}

/// What became of one item: whether it was as wanted before, or why it was not done.
pub type Outcome = Result<bool, ApiError>;

/// What becomes of a request.
pub struct Plan {
    /// The account that each item goes to, or why there is none.
    chosen: Vec<(Change, Uri, ApiResult<Account>)>,
}

impl Plan {
    /// Chooses an account for each item.
    ///
    /// # Errors
    /// Those of the account that is named; when the database fails.
    pub async fn new(
        app: &App,
        principal: &Principal,
        scope: &Scope,
        changes: Vec<(Change, Uri)>,
        account: Option<&str>,
    ) -> ApiResult<Self> {
        if let Some(id) = account {
            routing::named(principal, scope, id, None)?;
        }
        let uris: Vec<String> = changes.iter().map(|(_, uri)| uri.to_string()).collect();
        let mut holders: HashMap<String, Vec<&Account>> = HashMap::new();
        for (uri, id) in items::contained(app.db.read(), &scope.ids(), &uris).await? {
            holders.entry(uri).or_default().extend(scope.account(&id));
        }
        let choose = |uri: &Uri| match account {
            Some(id) => routing::named(principal, scope, id, Some(uri.instance())),
            None => {
                let held = holders.get(uri.as_str()).map(Vec::as_slice).unwrap_or_default();
                routing::among(principal, scope, uri, held)
            }
        };
        let choose = |(change, uri): (Change, Uri)| {
            let account = choose(&uri).cloned();
            (change, uri, account)
        };
        Ok(Self { chosen: changes.into_iter().map(choose).collect() })
    }

    /// Does it, account by account, with at most `left` questions to providers. Outcomes by URI.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn run(self, app: AppState, mut left: usize) -> ApiResult<HashMap<Uri, Outcome>> {
        let mut outcomes = HashMap::new();
        let mut groups: BTreeMap<String, (Account, Vec<(Change, Uri)>)> = BTreeMap::new();
        for (change, uri, account) in self.chosen {
            match account {
                Err(error) => drop(outcomes.insert(uri, Err(error))),
                Ok(account) => {
                    groups.entry(account.id.clone()).or_insert_with(|| (account, Vec::new())).1.push((change, uri));
                }
            }
        }
        for (account, changes) in groups.into_values() {
            let handle = match routing::handle(&app, &account) {
                Ok(handle) => handle,
                Err(gone) => {
                    outcomes.extend(changes.into_iter().map(|(_, uri)| (uri, Err(gone.clone()))));
                    continue;
                }
            };
            let group = Group { app: &app, account: &account, handle: &handle };
            group.run(changes, &mut left, &mut outcomes).await?;
        }
        Ok(outcomes)
    }
}

/// The changes of one account.
struct Group<'a> {
    app: &'a AppState,
    account: &'a Account,
    handle: &'a InstanceHandle,
}

impl Group<'_> {
    async fn run(
        &self,
        changes: Vec<(Change, Uri)>,
        left: &mut usize,
        outcomes: &mut HashMap<Uri, Outcome>,
    ) -> ApiResult<()> {
        let mut possible = Vec::with_capacity(changes.len());
        let mut known: HashMap<(Change, Kind), ApiResult<()>> = HashMap::new();
        for (change, uri) in changes {
            let key = (change, uri.kind());
            if let std::collections::hash_map::Entry::Vacant(entry) = known.entry(key) {
                entry.insert(self.refusal(change, uri.kind()).await);
            }
            match &known[&key] {
                Err(refusal) => drop(outcomes.insert(uri, Err(refusal.clone()))),
                Ok(()) => possible.push((change, uri)),
            }
        }
        // What a provider is not told of now is left, not forgotten: the caller sends it again.
        for batch in possible.chunks(BATCH) {
            if *left == 0 {
                outcomes.extend(batch.iter().map(|(_, uri)| (uri.clone(), Err(deferred()))));
                continue;
            }
            *left -= 1;
            self.batch(batch, left, outcomes).await?;
        }
        Ok(())
    }

    async fn refusal(&self, change: Change, kind: Kind) -> ApiResult<()> {
        let unsupported = |detail: String| ApiError::unprocessable("unsupported", detail);
        if self.handle.manifest().is_some_and(|manifest| manifest.library == LibraryKind::Owned) {
            let detail =
                format!("the library at {} is the collection itself; it changes at its source", self.account.instance);
            return Err(unsupported(detail));
        }
        let Some(capability) = needed(change, kind) else {
            return Err(unsupported(format!("a library takes no {kind}s this way; see /api/playlists for playlists")));
        };
        match routing::check(self.app, self.handle, self.account, capability).await {
            Err(error) if error.code() == "provider_restricted" => {
                let code = error.provider_code().map(str::to_owned);
                Err(unsupported(error.detail().to_owned()).with_provider_code(code))
            }
            other => other,
        }
    }

    async fn batch(
        &self,
        batch: &[(Change, Uri)],
        left: &mut usize,
        outcomes: &mut HashMap<Uri, Outcome>,
    ) -> ApiResult<()> {
        let of = |wanted: Change| -> Vec<Uri> {
            batch.iter().filter(|(change, _)| *change == wanted).map(|(_, uri)| uri.clone()).collect()
        };
        let add: Vec<ItemKey> = locators(self.app, self.account, &of(Change::Add)).await?;
        let remove: Vec<ItemKey> = locators(self.app, self.account, &of(Change::Remove)).await?;
        let uris: Vec<String> = batch.iter().map(|(_, uri)| uri.to_string()).collect();
        let ids = std::slice::from_ref(&self.account.id);
        let held = items::contained(self.app.db.read(), ids, &uris).await?;
        let held: HashSet<String> = held.into_iter().map(|(uri, _)| uri).collect();
        let answer = call::<method::EditLibrary>(self.handle, self.account, LibraryEdit { add, remove }).await;
        let mut done = Vec::new();
        let mut results: HashMap<Uri, Option<ProviderError>> = HashMap::new();
        let failed = match answer {
            Ok(edited) => {
                results = edited.results.rows.into_iter().map(|EditResult { uri, error }| (uri, error)).collect();
                ProviderError::internal("the provider did not say what became of it")
            }
            Err(error) => error,
        };
        for (change, uri) in batch {
            let outcome = match results.remove(uri) {
                Some(None) => {
                    done.push((*change, uri.clone()));
                    Ok(held.contains(uri.as_str()) == (*change == Change::Add))
                }
                Some(Some(error)) => Err(error.into()),
                None => Err(failed.clone().into()),
            };
            outcomes.insert(uri.clone(), outcome);
        }
        self.follow(&done, left).await
    }

    /// Lets the mirror, and likes that are saved tracks, follow what was done.
    async fn follow(&self, done: &[(Change, Uri)], left: &mut usize) -> ApiResult<()> {
        let of = |wanted: Change| -> Vec<String> {
            done.iter().filter(|(change, _)| *change == wanted).map(|(_, uri)| uri.to_string()).collect()
        };
        let (added, removed) = (of(Change::Add), of(Change::Remove));
        if done.is_empty() {
            return Ok(());
        }
        let fetched = self.fetch(&added, left).await?;
        let mut tx = self.app.db.write().await?;
        follow(&mut tx, self.account, &added, &removed, &fetched).await?;
        if self.episodes_follow_shows() && !removed.is_empty() {
            items::unsave_episodes(&mut tx, &self.account.id, &removed).await?;
        }
        if self.handle.manifest().is_some_and(|manifest| manifest.likes_are_saved_tracks) {
            likes::follow_saved(&mut tx, self.app, self.account, &added, &removed).await?;
        }
        let data = json!({
            "account": self.account.id, "provider": self.account.instance, "added": added.len(), "removed": removed.len(),
        });
        let (subject, user) = (Some(self.account.instance.as_str()), self.account.owner.as_deref());
        events::emit(&mut tx, Event { kind: "library.changed", subject, user, data }).await?;
        tx.commit().await?;
        self.app.jobs.wake();
        Ok(())
    }

    /// Whether episodes are in the library because their show is, rather than one by one.
    fn episodes_follow_shows(&self) -> bool {
        self.handle.has(capability::LIBRARY_EPISODES_READ) && !self.handle.has(capability::LIBRARY_EPISODES_REMOVE)
    }

    /// Looks up what the mirror does not know, as far as that may be asked.
    async fn fetch(&self, added: &[String], left: &mut usize) -> ApiResult<Vec<Row>> {
        let ids = std::slice::from_ref(&self.account.id);
        let known = items::find_many(self.app.db.read(), ids, added).await?;
        let known: HashSet<&str> = known.iter().map(|item| item.uri.as_str()).collect();
        let mut rows = Vec::new();
        if !self.handle.has(capability::CATALOG_GET) {
            return Ok(rows);
        }
        for uri in added.iter().filter(|uri| !known.contains(uri.as_str())) {
            let Ok(uri) = uri.parse::<Uri>() else { continue };
            if *left == 0 {
                break;
            }
            *left -= 1;
            match lookup::fetch_by(self.app, self.handle, &self.account.id, &uri, Lane::Interactive).await {
                Ok(item) => rows.extend(Row::new(item, now_ms())),
                Err(error) => {
                    tracing::debug!(item = uri.as_str(), "an item that was saved can't be looked up: {error}")
                }
            }
        }
        Ok(rows)
    }
}

/// Lets the mirror follow what a provider took. What it does not know, and nobody looked up, a job looks up at once where
/// that is little, and else a pull brings soon.
///
/// # Errors
/// When the database fails.
pub async fn follow(
    tx: &mut Tx,
    account: &Account,
    added: &[String],
    removed: &[String],
    fetched: &[Row],
) -> sqlx::Result<()> {
    let running = pull_runs::running(tx, &account.id).await?;
    let run = running.clone().unwrap_or_default();
    items::upsert(tx, &account.id, &run, true, fetched).await?;
    let unknown = items::save(tx, &account.id, &run, added).await?;
    items::unsave(tx, &account.id, removed).await?;
    // What reads the library now may have seen it as it was before, and what is looked up may be among what was removed.
    let stale = !removed.is_empty() && (running.is_some() || fetch::is_under_way(tx, &account.id).await?);
    if stale || unknown.len() > fetch::MOST {
        mirror::enqueue(tx, account, SOON).await.map(drop)
    } else if unknown.is_empty() {
        Ok(())
    } else {
        fetch::enqueue(tx, account, unknown).await
    }
}

/// Takes items into the mirror that were saved a moment ago and have been looked up. The rest a pull brings soon.
///
/// # Errors
/// When the database fails.
pub async fn take_in(tx: &mut Tx, account: &Account, saved: &[String], fetched: &[Row]) -> sqlx::Result<()> {
    let run = pull_runs::running(tx, &account.id).await?.unwrap_or_default();
    items::upsert(tx, &account.id, &run, true, fetched).await?;
    if items::save(tx, &account.id, &run, saved).await?.is_empty() {
        return Ok(());
    }
    mirror::enqueue(tx, account, SOON).await.map(drop)
}

/// What one request may not ask any more.
pub fn deferred() -> ApiError {
    let detail = "this one would take too many questions to providers; send it again";
    ApiError::unprocessable("budget_deferred", detail)
}

fn needed(change: Change, kind: Kind) -> Option<&'static str> {
    Some(match (change, kind) {
        (Change::Add, Kind::Track) => capability::LIBRARY_TRACKS_ADD,
        (Change::Remove, Kind::Track) => capability::LIBRARY_TRACKS_REMOVE,
        (Change::Add, Kind::Album) => capability::LIBRARY_ALBUMS_ADD,
        (Change::Remove, Kind::Album) => capability::LIBRARY_ALBUMS_REMOVE,
        (Change::Add, Kind::Artist) => capability::LIBRARY_ARTISTS_ADD,
        (Change::Remove, Kind::Artist) => capability::LIBRARY_ARTISTS_REMOVE,
        (Change::Add, Kind::Show) => capability::LIBRARY_SHOWS_ADD,
        (Change::Remove, Kind::Show) => capability::LIBRARY_SHOWS_REMOVE,
        (Change::Add, Kind::Episode) => capability::LIBRARY_EPISODES_ADD,
        (Change::Remove, Kind::Episode) => capability::LIBRARY_EPISODES_REMOVE,
        _ => return None,
    })
}
