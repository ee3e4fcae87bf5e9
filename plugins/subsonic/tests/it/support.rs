//! A provider with one signed-in account, and what tests ask of it.

use serde_json::json;
use zotify_plugin_api::{
    prelude::*,
    service::{HttpRequest, HttpResponse},
    testing::{self, FakeHost},
};
use zotify_plugin_subsonic::{Settings, Subsonic};

use crate::server::{Manners, Server};

pub(crate) const ACCOUNT: &str = "01ACCOUNT";

pub(crate) struct Rig {
    pub(crate) provider: Subsonic,
    pub(crate) host: FakeHost,
}

pub(crate) fn settings(url: &str) -> Settings {
    serde_json::from_value(json!({"url": url})).unwrap()
}

pub(crate) fn call<T>(request: T) -> Call<T> {
    Call { account: Some(AccountContext { id: ACCOUNT.into() }), ..testing::call(request) }
}

pub(crate) fn setup(input: SetupInput) -> Call<SetupRequest> {
    testing::call(SetupRequest {
        memory: None,
        input,
        state: "state".into(),
        secret: "s".repeat(64),
        redirects: vec![],
        credentials: None,
    })
}

pub(crate) fn form(values: serde_json::Value) -> Call<SetupRequest> {
    setup(SetupInput::Form { values: values.to_string() })
}

pub(crate) fn code<T: std::fmt::Debug>(result: Result<T>) -> (ErrorKind, String) {
    let error = result.unwrap_err();
    (error.kind, error.code.unwrap_or_default())
}

impl Rig {
    pub(crate) fn new(url: &str) -> Self {
        let (cx, host) = testing::context("sub");
        Self { provider: Subsonic::new(cx, settings(url)).unwrap(), host }
    }

    /// Served by a server in memory.
    pub(crate) fn before(server: &Server, url: &str) -> Self {
        let rig = Self::new(url);
        let server = server.clone();
        rig.host.serve(move |request| Ok(server.answer(&request)));
        rig
    }

    pub(crate) async fn signed_in(server: &Server) -> Self {
        let rig = Self::before(server, "http://nas.local:4533");
        rig.sign_in("alice", "sesame").await;
        rig
    }

    pub(crate) async fn of(manners: Manners, albums: usize) -> (Self, Server) {
        let server = Server::new(manners, albums);
        (Self::signed_in(&server).await, server)
    }

    pub(crate) async fn step(&self, call: Call<SetupRequest>) -> SetupStep {
        self.provider.setup(call).await.unwrap()
    }

    /// Signs in, and checks the account as the host does.
    pub(crate) async fn sign_in(&self, username: &str, password: &str) -> Checked {
        match self.step(form(json!({"username": username, "password": password}))).await {
            SetupStep::Done(done) => self.host.set_credentials(ACCOUNT, &done.credentials),
            other => panic!("not signed in: {other:?}"),
        };
        self.provider.check(call(())).await.unwrap()
    }

    /// All pages of a run.
    pub(crate) async fn pull(&self, since: Option<String>) -> (Vec<Item>, LibraryPage) {
        let (mut items, mut request) = (Vec::new(), LibraryChanges { since, cursor: None });
        loop {
            let page = self.provider.library_changes(call(request.clone())).await.unwrap();
            items.extend(page.upsert.rows.iter().cloned());
            if page.next.is_none() {
                return (items, page);
            }
            request.cursor.clone_from(&page.next);
        }
    }

    pub(crate) async fn entries(&self, uri: &Uri) -> PlaylistPage {
        let request = PlaylistItems { uri: uri.clone(), locator: None, page: PageRequest::default() };
        self.provider.playlist_items(call(request)).await.unwrap()
    }

    /// The ids of a playlist's tracks.
    pub(crate) async fn songs(&self, uri: &Uri) -> Vec<String> {
        let id = |entry: PlaylistEntry| entry.item.unwrap().uri().native_id();
        self.entries(uri).await.entries.rows.into_iter().map(id).collect()
    }

    pub(crate) async fn edit(&self, uri: &Uri, version: Option<&str>, ops: Vec<PlaylistOp>) -> Result<PlaylistEdited> {
        let edit = PlaylistEdit { playlist: key(uri), version: version.map(Into::into), ops };
        self.provider.playlist_edit(call(edit)).await
    }

    /// Asks something before the server does: what it answers is the answer.
    pub(crate) fn serve_instead(
        &self,
        server: &Server,
        instead: impl Fn(&str, &HttpRequest) -> Option<Result<HttpResponse>> + Send + Sync + 'static,
    ) {
        let server = server.clone();
        self.host.serve(move |request| {
            let url = url::Url::parse(&request.url).unwrap();
            let method = url.path_segments().unwrap().next_back().unwrap().trim_end_matches(".view").to_owned();
            instead(&method, &request).unwrap_or_else(|| Ok(server.answer(&request)))
        });
    }

    /// How often methods were called since.
    pub(crate) fn requests_after(&self, count: usize) -> Vec<HttpRequest> {
        self.host.requests().split_off(count)
    }
}

/// An answer that says of a failure no more than a message.
pub(crate) fn vague(message: &str) -> Option<Result<HttpResponse>> {
    let body = json!({"subsonic-response": {"status": "failed", "error": {"code": 0, "message": message}}});
    Some(Ok(HttpResponse { status: 200, headers: vec![], body: body.to_string().into_bytes() }))
}

pub(crate) fn key(uri: &Uri) -> ItemKey {
    ItemKey { uri: uri.clone(), locator: None }
}

pub(crate) fn track(id: &str) -> Uri {
    Uri::native("sub", Kind::Track, id).unwrap()
}

pub(crate) fn keys<'a>(ids: impl IntoIterator<Item = &'a str>) -> Vec<ItemKey> {
    ids.into_iter().map(|id| key(&track(id))).collect()
}

pub(crate) fn media(uri: &Uri) -> MediaRequest {
    MediaRequest { uri: uri.clone(), locator: None, format: None, max_bitrate: None }
}
