//! A provider whose accounts keep likes and plays: what a service would store lies in key-value entries of the account.
//! Accounts are connected by a setup flow of all kinds of steps.

mod connect;
mod lists;

use zotify_plugin_api::{KeyValue, prelude::*};

use connect::{Connect, Works};
use lists::Lists;

/// Rows of a page.
const PAGE: usize = 2;
/// When what should not be in a list was liked and played.
const SOME_TIME: &str = "2026-05-01T07:00:00Z";

struct Starred {
    cx: Context,
    settings: Settings,
}

/// What the service is like. Its tracks have the ids 1, 2, 3 and so on.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// The tracks' titles.
    titles: Vec<String>,
    /// The titles of further tracks, behind those.
    #[serde(default)]
    more: Vec<String>,
    /// How many of them, from the first, every account has in its library; the others are found by their ids.
    #[serde(default)]
    saved: usize,
    /// Ids of tracks that accounts like from the beginning.
    #[serde(default)]
    liked: Vec<String>,
    /// Ids of tracks that nobody may like.
    #[serde(default)]
    refused: Vec<String>,
    /// How many changes of likes the service fails to take, to see what happens then.
    #[serde(default)]
    failures: u32,
    /// What accounts played: ids, and times in RFC 3339.
    #[serde(default)]
    played: Vec<(String, String)>,
    /// What lists of likes and plays are like.
    #[serde(default)]
    lists: Lists,
    /// How accounts are connected, and what they may do.
    #[serde(default)]
    connect: Connect,
}

/// What an account said of a track: since when it is liked, or that it is not any more.
type Said = Option<i64>;

impl Provider for Starred {
    const ID: &'static str = "starred";
    type Settings = Settings;

    fn manifest() -> ProviderManifest {
        let capabilities = [
            capability::CATALOG_GET,
            capability::LIBRARY_TRACKS_READ,
            capability::LIKES_READ,
            capability::LIKES_WRITE,
            capability::HISTORY_READ,
        ];
        ProviderManifest {
            sign_in: SignIn::SetupFlow,
            library: LibraryKind::Saved,
            ..ProviderManifest::new("Starred", capabilities)
        }
    }

    fn new(cx: Context, settings: Settings) -> Result<Self> {
        Ok(Self { cx, settings })
    }

    async fn get(&self, call: Call<Get>) -> Result<Item> {
        self.track(&call.uri.native_id())
    }

    async fn check(&self, call: Call<()>) -> Result<Checked> {
        self.settings.connect.check(call.account.is_some())
    }

    async fn setup(&self, call: Call<SetupRequest>) -> Result<SetupStep> {
        self.settings.connect.step(&call.request)
    }

    async fn unlink(&self, call: Call<()>) -> Result<()> {
        let account = call.account.as_ref().ok_or_else(|| ProviderError::invalid("nobody is unlinked"))?;
        self.cx.kv().put("unlinked", &account.id).await?;
        self.settings.connect.check(true).map(drop)
    }

    async fn library_changes(&self, _: Call<LibraryChanges>) -> Result<LibraryPage> {
        if self.settings.connect.works == Works::Expired {
            return Err(connect::expired());
        }
        let saved = (1..=self.settings.saved).map(|n| self.track(&n.to_string())).collect::<Result<Vec<_>>>()?;
        Ok(LibraryPage { upsert: saved.into(), ..LibraryPage::default() })
    }

    async fn likes(&self, call: Call<PageRequest>) -> Result<LikesPage> {
        let said = self.likes_of(&call)?.scan_all::<Said>("like/").await?;
        let said: std::collections::BTreeMap<_, _> =
            said.iter().filter_map(|(key, said)| Some((key.strip_prefix("like/")?, *said))).collect();
        let given =
            self.settings.liked.iter().filter(|id| !said.contains_key(id.as_str())).map(|id| (id.as_str(), None));
        let mut all: Vec<_> = given.collect();
        all.extend(said.iter().filter_map(|(id, said)| said.map(|since| (*id, Some(since)))));
        let like = |(id, since): &(&str, Option<i64>)| {
            Ok(Like { item: self.settings.lists.track(self.track(id)?), liked_at: since.and_then(rfc3339) })
        };
        let (rows, next) = self.page("likes", &all, &call).await?;
        let mut likes = rows.iter().map(like).collect::<Result<Vec<_>>>()?;
        let more = self.settings.lists.more(&self.cx)?.into_iter();
        likes.extend(more.map(|item| Like { item, liked_at: Some(self.settings.lists.time(SOME_TIME)) }));
        Ok(LikesPage { likes: likes.into(), next })
    }

    async fn likes_edit(&self, call: Call<LikesEdit>) -> Result<LikesEdited> {
        let kv = self.likes_of(&call)?;
        let failed: u32 = kv.get("failures").await?.unwrap_or_default();
        if failed < self.settings.failures {
            kv.put("failures", &(failed + 1)).await?;
            return Err(ProviderError::unavailable("the service is away").with_retry_after_ms(100));
        }
        let now = self.cx.clock().now_ms().await?;
        let wanted = call.add.iter().map(|key| (key, Some(now)));
        let mut results = Vec::new();
        for (key, said) in wanted.chain(call.remove.iter().map(|key| (key, None))) {
            let (uri, id) = (key.uri.clone(), key.uri.native_id());
            if self.settings.refused.contains(&id) {
                let error = ProviderError::new(ErrorKind::Restricted, "this track can't be liked");
                results.push(EditResult::failed(uri, error));
                continue;
            }
            // One that is liked already keeps its time.
            let key = format!("like/{id}");
            if said.is_none() || kv.get::<Said>(&key).await?.flatten().is_none() {
                kv.put::<Said>(&key, &said).await?;
            }
            results.push(EditResult::done(uri));
        }
        Ok(LikesEdited { results: results.into() })
    }

    async fn history(&self, call: Call<PageRequest>) -> Result<PlaysPage> {
        let mut all: Vec<_> = self.settings.played.iter().collect();
        all.sort_by(|a, b| b.1.cmp(&a.1));
        let (rows, next) = self.page("plays", &all, &call).await?;
        let play = |(id, at): &&(String, String)| Ok(Play { item: self.track(id)?, at: at.clone(), heard_ms: None });
        let mut plays = rows.iter().map(play).collect::<Result<Vec<_>>>()?;
        for item in self.settings.lists.more(&self.cx)? {
            let times = [SOME_TIME.to_owned(), self.settings.lists.time(SOME_TIME)];
            plays.extend(times.map(|at| Play { item: item.clone(), at, heard_ms: None }));
        }
        Ok(PlaysPage { plays: plays.into(), next })
    }
}

impl Starred {
    fn track(&self, id: &str) -> Result<Item> {
        let number: usize = id.parse().map_err(|_| ProviderError::not_found("the track"))?;
        let title = number.checked_sub(1).and_then(|n| self.settings.titles.iter().chain(&self.settings.more).nth(n));
        let title = title.ok_or_else(|| ProviderError::not_found("the track"))?;
        Ok(Item::Track(Track::new(self.cx.uri(Kind::Track, id)?, title)))
    }

    /// A page of a list, whose cursor is the place where the next one starts.
    async fn page<'a, T>(
        &self,
        list: &str,
        all: &'a [T],
        call: &Call<PageRequest>,
    ) -> Result<(&'a [T], Option<String>)> {
        let lists = self.settings.lists;
        lists.check(&self.cx, list, call).await?;
        let bad_next = lists.next(call.cursor.as_deref());
        if lists == Lists::Endless {
            return Ok((&[], bad_next));
        }
        let start = call.cursor.as_deref().map_or(Ok(0), str::parse::<usize>);
        let start = start.ok().filter(|start| *start <= all.len());
        let start = start.ok_or_else(|| ProviderError::invalid("there is no such page"))?;
        let end = all.len().min(start + PAGE);
        Ok((&all[start..end], bad_next.or_else(|| (end < all.len()).then(|| end.to_string()))))
    }

    fn likes_of<T>(&self, call: &Call<T>) -> Result<KeyValue> {
        let account = call.account.as_ref().ok_or_else(|| ProviderError::invalid("likes are an account's"))?;
        Ok(self.cx.account_kv(&account.id))
    }
}

/// A time in milliseconds as text.
fn rfc3339(ms: i64) -> Option<String> {
    Some(chrono::DateTime::from_timestamp_millis(ms)?.to_rfc3339())
}

register_provider!(Starred);
export_plugin!("starred", "Starred provider");
