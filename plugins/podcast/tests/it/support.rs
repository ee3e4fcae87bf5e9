//! A provider with one connected account, and what tests ask of it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;
use zotify_plugin_api::{
    prelude::*,
    testing::{self, FakeHost},
};
use zotify_plugin_podcast::{Podcast, Settings};

use crate::publisher::Publisher;

pub(crate) const ACCOUNT: &str = "01ACCOUNT";
/// 2026-05-21, in milliseconds.
pub(crate) const NOW: i64 = 1_779_364_800_000;
pub(crate) const HOUR: i64 = 3_600_000;
pub(crate) const ONE: &str = "https://one.example.org/feed";
pub(crate) const TWO: &str = "https://two.example.org/feed";

pub(crate) struct Rig {
    pub(crate) provider: Podcast,
    pub(crate) host: FakeHost,
    pub(crate) web: Publisher,
    settings: serde_json::Value,
}

/// What a host has of an account, kept as a host keeps it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Mirror {
    pub(crate) items: BTreeMap<String, Item>,
    pub(crate) token: Option<String>,
    pub(crate) pages: Vec<LibraryPage>,
}

pub(crate) fn call<T>(request: T) -> Call<T> {
    Call { account: Some(AccountContext { id: ACCOUNT.into() }), ..testing::call(request) }
}

pub(crate) fn setup(input: SetupInput) -> SetupRequest {
    SetupRequest {
        memory: None,
        input,
        state: "state".into(),
        secret: "s".repeat(64),
        redirects: vec![],
        credentials: None,
    }
}

pub(crate) fn form(values: &serde_json::Value) -> SetupRequest {
    setup(SetupInput::Form { values: values.to_string() })
}

pub(crate) fn code<T: std::fmt::Debug>(result: Result<T>) -> (ErrorKind, String) {
    let error = result.unwrap_err();
    (error.kind, error.code.unwrap_or_default())
}

impl Rig {
    pub(crate) fn with(settings: serde_json::Value) -> Self {
        let (cx, host) = testing::context("pod");
        host.set_now_ms(NOW);
        let web = Publisher::default();
        let server = web.clone();
        host.serve(move |request| server.answer(&request));
        let provider = Podcast::new(cx, parse(&settings)).unwrap();
        Self { provider, host, web, settings }
    }

    /// Connected with a list of feeds.
    pub(crate) async fn following(feeds: &[&str]) -> Self {
        let rig = Self::with(json!({}));
        rig.connect(&json!({"feeds": feeds.join("\n")})).await;
        rig
    }

    pub(crate) async fn connect(&self, values: &serde_json::Value) -> SetupDone {
        match self.provider.setup(testing::call(form(values))).await.unwrap() {
            SetupStep::Done(done) => {
                self.host.set_credentials(ACCOUNT, &done.credentials);
                *done
            }
            other => panic!("not connected: {other:?}"),
        }
    }

    /// The same after its process was started anew.
    pub(crate) fn restarted(self) -> Self {
        let provider = Podcast::new(self.host.context("pod"), parse(&self.settings)).unwrap();
        Self { provider, ..self }
    }

    pub(crate) fn later(&self, ms: i64) {
        let server = self.web.clone();
        self.host.serve(move |request| server.answer(&request));
        self.host.set_now_ms(NOW + ms);
    }

    pub(crate) async fn page(&self, since: Option<&str>, cursor: Option<&str>) -> Result<LibraryPage> {
        let request = LibraryChanges { since: since.map(Into::into), cursor: cursor.map(Into::into) };
        self.provider.library_changes(call(request)).await
    }

    /// A whole run, as a host does it.
    pub(crate) async fn pull(&self, mirror: &mut Mirror) {
        mirror.pages.clear();
        let mut cursor: Option<String> = None;
        loop {
            let page = self.page(mirror.token.as_deref(), cursor.as_deref()).await.unwrap();
            mirror.store(&page);
            cursor.clone_from(&page.next);
            mirror.pages.push(page);
            if cursor.is_none() {
                return mirror.finish();
            }
        }
    }

    pub(crate) async fn resolve(&self, text: &str) -> Result<Vec<Item>> {
        let by = ResolveBy::Text { text: text.into() };
        Ok(self.provider.resolve(call(Resolve { by })).await?.items.rows)
    }

    pub(crate) async fn show(&self, url: &str) -> Uri {
        self.resolve(url).await.unwrap().remove(0).uri().clone()
    }

    pub(crate) async fn edit(&self, add: &[&Uri], remove: &[&Uri]) -> Vec<Option<ProviderError>> {
        let keys = |uris: &[&Uri]| uris.iter().map(|uri| ItemKey { uri: (*uri).clone(), locator: None }).collect();
        let edited = self.provider.library_edit(call(LibraryEdit { add: keys(add), remove: keys(remove) })).await;
        edited.unwrap().results.rows.into_iter().map(|result| result.error).collect()
    }

    pub(crate) async fn episodes(&self, show: &Uri, cursor: Option<String>, limit: u32) -> Result<Page> {
        let page = PageRequest { cursor, limit };
        let request = Children { uri: show.clone(), relation: Relation::ShowEpisodes, locator: None, page };
        self.provider.children(call(request)).await
    }

    /// How often an address was asked for.
    pub(crate) fn asked(&self, url: &str) -> usize {
        self.host.requests().iter().filter(|request| request.url == url).count()
    }
}

fn parse(settings: &serde_json::Value) -> Settings {
    serde_json::from_value(settings.clone()).unwrap()
}

impl Mirror {
    /// Stores a page, as a host does before it asks for the next one.
    pub(crate) fn store(&mut self, page: &LibraryPage) {
        for (old, new) in &page.moved {
            assert!(self.items.remove(old.as_str()).is_some(), "{old} was never told, and moved to {new}");
        }
        for item in &page.upsert.rows {
            self.items.insert(item.uri().to_string(), item.clone());
        }
    }

    /// What the end of a run does.
    pub(crate) fn finish(&mut self) {
        let last = self.pages.last().unwrap();
        if last.completeness != Completeness::Complete {
            assert_eq!(last.sync_token, None, "a token of a partial run");
            return;
        }
        self.token.clone_from(&last.sync_token);
        let removed: BTreeSet<_> = self.pages.iter().flat_map(|page| &page.removed).map(Uri::to_string).collect();
        if last.listing == Listing::Everything {
            let named: BTreeSet<_> =
                self.pages.iter().flat_map(|page| &page.upsert.rows).map(|item| item.uri().to_string()).collect();
            self.items.retain(|uri, _| named.contains(uri));
        }
        self.items.retain(|uri, _| !removed.contains(uri));
    }

    pub(crate) fn shows(&self) -> Vec<&Show> {
        self.items.values().filter_map(|item| if let Item::Show(show) = item { Some(show) } else { None }).collect()
    }

    pub(crate) fn episodes(&self) -> Vec<&Episode> {
        self.items.values().filter_map(|item| if let Item::Episode(x) = item { Some(x) } else { None }).collect()
    }

    pub(crate) fn titles(&self) -> BTreeSet<&str> {
        self.episodes().into_iter().map(|episode| episode.title.as_str()).collect()
    }

    /// Items that the last run told.
    pub(crate) fn told(&self) -> usize {
        self.pages.iter().map(|page| page.upsert.rows.len() + page.removed.len() + page.moved.len()).sum()
    }

    pub(crate) fn skipped(&self) -> Vec<(&str, &str)> {
        let all = self.pages.iter().flat_map(|page| &page.skipped);
        all.map(|skipped| (skipped.name.as_str(), skipped.code.as_str())).collect()
    }

    pub(crate) fn completeness(&self) -> &Completeness {
        &self.pages.last().unwrap().completeness
    }
}

pub(crate) fn is_partial(completeness: &Completeness) -> bool {
    matches!(completeness, Completeness::Partial { code, .. } if code == "feeds_unreadable")
}
