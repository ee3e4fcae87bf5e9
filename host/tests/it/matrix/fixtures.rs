//! A host with users who have things of every kind.

use reqwest::Method;
use tempfile::TempDir;
use ulid::Ulid;
use zotify_host::{
    auth::keys::NewSecret,
    db::{self, api_keys::KeyRow, now_ms},
};
use zotify_plugin_api::{Kind, Uri};

use crate::{
    library::{all, music, text},
    support::{TestApp, plugin},
};

/// A host, its users and what they have.
pub struct World {
    pub host: TestApp,
    /// An access token of a user who has nothing.
    pub stranger: String,
    /// A track of the owner's private library.
    pub track: String,
    album: String,
    artist: String,
    playlist: String,
    /// An episode whose audio can be had.
    episode: String,
    account: String,
    _folders: [TempDir; 2],
}

/// What a path speaks of.
pub struct Thing {
    /// The path with its ids.
    pub path: String,
    /// Whether others must not see it.
    pub private: bool,
    /// Whose it is: a name for [`World::name`].
    pub owner: String,
}

impl World {
    pub async fn new() -> Self {
        let (music, plugins) = (music(), tempfile::tempdir().unwrap());
        std::fs::copy(plugin("hostile_plugin"), plugins.path().join("hostile.so")).unwrap();
        let configuration = format!(
            "[auth]\nregistration = \"open\"\n\
             [quotas]\napi_keys = 10000\nsessions = 10000\nrequests_per_minute = 1000000\n\
             [plugins]\ndirectories = [{:?}]\n\
             [providers.local]\nplugin = \"local\"\nsettings = {{ folders = [{:?}] }}\n\
             [providers.bad]\nplugin = \"hostile\"\n",
            plugins.path(),
            music.path()
        );
        let host = TestApp::with(&configuration).await.admin().await;
        for id in ["local", "bad"] {
            host.until(&format!("/api/providers/{id}"), |provider| provider["state"] == "started").await;
            let account = db::accounts::find_shared(host.app.db.read(), id).await.unwrap().unwrap().id;
            let runs = format!("/api/sync/runs?account={account}");
            host.until(&runs, |runs| runs["data"][0]["state"] == "applied").await;
        }
        host.make_user("owner", false).await;
        host.make_user("stranger", false).await;
        let first = async |kind: &str| text(&all(&host, kind).await[0], "uri").to_owned();
        let mut world = Self {
            track: first("tracks").await,
            album: first("albums").await,
            artist: first("artists").await,
            playlist: first("playlists").await,
            episode: Uri::native("bad", Kind::Episode, "stream 3").unwrap().to_string(),
            account: db::accounts::find_shared(host.app.db.read(), "local").await.unwrap().unwrap().id,
            stranger: host.sign_in("stranger").await,
            host,
            _folders: [music, plugins],
        };
        world.fill().await;
        world.host.sign_out();
        world
    }

    /// What everybody saw becomes the owner's own, with a show and an episode, which no folder of music has.
    async fn fill(&mut self) {
        let owner = self.id("owner").await;
        self.execute("UPDATE accounts SET owner = $1", &[&owner]).await;
        self.execute("UPDATE jobs SET user_id = $1", &[&owner]).await;
        let copy = "INSERT INTO items (library, uri, kind, saved, title_key, artist_key, release_date, added_at, updated_at,
                parent_uri, seq, duration_ms, playable, seen_run, genres, search_text, doc)
             SELECT (SELECT l.id FROM libraries l JOIN accounts a ON a.id = l.account_id WHERE a.instance = $4), $1, $2, 1,
                title_key, artist_key, release_date, added_at, updated_at, '', 0, duration_ms, 1, seen_run, genres, '', doc
             FROM items WHERE uri = $3";
        self.execute(copy, &["local:show:s", "show", &self.track, "local"]).await;
        // The second provider's library is empty, and may not have a row yet.
        let library = "INSERT INTO libraries (account_id) SELECT id FROM accounts WHERE instance = $1 AND id NOT IN \
                       (SELECT account_id FROM libraries)";
        self.execute(library, &["bad"]).await;
        self.execute(copy, &[&self.episode, "episode", &self.track, "bad"]).await;
        self.host.app.recent_accounts.forget();
    }

    /// The user whom an owner's name stands for.
    pub fn name<'a>(&self, owner: &'a str) -> &'a str {
        if owner == "admin" { "root-of-tests" } else { owner }
    }

    async fn id(&self, owner: &str) -> String {
        db::users::find_by_name(self.host.app.db.read(), self.name(owner)).await.unwrap().unwrap().id
    }

    async fn execute(&self, sql: &'static str, values: &[&str]) {
        let mut tx = self.host.app.db.write().await.unwrap();
        let query = values.iter().fold(sqlx::query(sql), |query, value| query.bind((*value).to_owned()));
        query.execute(&mut *tx).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
        tx.commit().await.unwrap();
    }

    /// A key of a user, with scopes; whole, as it is shown once.
    pub async fn key(&self, owner: &str, scopes: &[&str]) -> String {
        self.make_key(owner, scopes).await.1
    }

    async fn make_key(&self, owner: &str, scopes: &[&str]) -> (String, String) {
        let secret = NewSecret::generate().unwrap();
        let row = KeyRow {
            id: Ulid::generate().to_string(),
            user_id: self.id(owner).await,
            user_name: String::new(),
            name: "matrix".into(),
            scopes: scopes.join(" "),
            created_at: now_ms(),
            expires_at: None,
            last_used_at: Some(now_ms()),
            revoked_at: None,
            bootstrap: 0,
            prefix: secret.prefix,
            hash: secret.hash,
        };
        let mut tx = self.host.app.db.write().await.unwrap();
        db::api_keys::insert(&mut tx, &row).await.unwrap();
        tx.commit().await.unwrap();
        (row.id, secret.secret)
    }

    /// A user that nothing else depends on.
    async fn fresh_user(&self) -> String {
        let name = format!("fresh-{}", Ulid::generate().to_string().to_lowercase());
        self.host.make_user(&name, false).await;
        name
    }

    async fn session(&self, owner: &str) -> String {
        let id = Ulid::generate().to_string();
        let sql = "INSERT INTO sessions (id, user_id, kind, created_at, last_used_at, expires_at)
             VALUES ($1, $2, 'api', 1, 1, 4000000000000)";
        self.execute(sql, &[&id, &self.id(owner).await]).await;
        id
    }

    /// What the path of an operation speaks of, made for it.
    pub async fn thing(&self, method: &Method, path: &str, by_admin: bool) -> Thing {
        let shared = |value: &str| (value.to_owned(), false);
        let private = |value: &str| (value.to_owned(), true);
        let parameter = |name: &str| format!("{{{name}}}");
        // Whoever is gone or has another password afterwards is nobody else's owner.
        let consumed = matches!(
            (method.as_str(), path),
            ("DELETE", "/api/privacy/data") | ("POST", "/api/auth/password" | "/api/auth/logout")
        );
        let owner = if consumed { self.fresh_user().await } else { "owner".to_owned() };
        if !path.contains('{') {
            return Thing { path: path.to_owned(), private: false, owner };
        }
        let (name, (value, private)) = match path {
            "/api/library/{kind}" => ("kind", shared("tracks")),
            _ if path.starts_with("/api/providers/{id}") => ("id", shared("local")),
            _ if path.starts_with("/api/privacy/receipts/{receipt}") => ("receipt", shared("none")),
            _ if path.starts_with("/api/items/{uri}") => ("uri", private(&self.track)),
            _ if path.starts_with("/api/tracks/{uri}") => ("uri", private(&self.track)),
            _ if path.starts_with("/api/artwork/{uri}") => ("uri", private(&self.track)),
            _ if path.starts_with("/api/albums/{uri}") => ("uri", private(&self.album)),
            _ if path.starts_with("/api/artists/{uri}") => ("uri", private(&self.artist)),
            _ if path.starts_with("/api/shows/{uri}") => ("uri", private("local:show:s")),
            _ if path.starts_with("/api/episodes/{uri}") => ("uri", private(&self.episode)),
            _ if path.starts_with("/api/playlists/{uri}") => ("uri", private(&self.playlist)),
            _ if path.starts_with("/api/user/liked/{uri}") => ("uri", private(&self.track)),
            _ if path.starts_with("/api/user/positions/{uri}") => {
                self.position().await;
                ("uri", private(&self.track))
            }
            "/api/auth/{provider}/callback" if method == Method::POST => {
                self.flow().await;
                ("provider", private("local"))
            }
            "/api/auth/{provider}/login" | "/api/auth/{provider}/callback" => ("provider", shared("local")),
            "/api/accounts/flows/{id}" => ("id", (self.flow().await, true)),
            "/api/accounts/{id}" if method == Method::DELETE => ("id", (self.connection().await, true)),
            _ if path.starts_with("/api/accounts/{id}") => ("id", private(&self.account)),
            _ if path.starts_with("/api/jobs/{id}") => ("id", (self.job().await, true)),
            _ if path.starts_with("/api/sync/runs/{id}") => ("id", (self.run().await, true)),
            _ if path.starts_with("/api/user/history/{id}") => ("id", (self.play().await, true)),
            _ if path.starts_with("/api/user/keys/{id}") => ("id", (self.make_key(&owner, &["profile"]).await.0, true)),
            _ if path.starts_with("/api/auth/sessions/{id}") => ("id", (self.session(&owner).await, true)),
            _ if path.starts_with("/api/admin/keys/{id}") => {
                ("id", (self.make_key("owner", &["profile"]).await.0, false))
            }
            _ if path.starts_with("/api/admin/sessions/{id}") => ("id", (self.session("owner").await, false)),
            _ if path.starts_with("/api/admin/invites/{id}") => ("id", (self.invite().await, false)),
            _ if path.starts_with("/api/admin/jobs/{id}") => ("id", (self.job().await, false)),
            _ if path.starts_with("/api/admin/users/{id}") => {
                let name = self.fresh_user().await;
                ("id", (self.id(&name).await, false))
            }
            _ => panic!("{method} {path}: say in World::thing (host/tests/it/matrix/fixtures.rs) what its ids name"),
        };
        let path = path.replace(&parameter(name), &value).replace("{entry_id}", "0");
        assert!(
            !path.contains('{'),
            "{method} {path}: World::thing (host/tests/it/matrix/fixtures.rs) has no second id"
        );
        Thing { path, private: private && !by_admin, owner }
    }

    /// A job that waits for a time far away.
    async fn job(&self) -> String {
        let id = Ulid::generate().to_string();
        let sql = "INSERT INTO jobs (id, kind, state, user_id, payload, run_at, max_attempts, created_at)
             VALUES ($1, 'library.pull', 'waiting', $2, '{}', 4000000000000, 3, 1)";
        self.execute(sql, &[&id, &self.id("owner").await]).await;
        id
    }

    /// An account that is being connected, by a flow that the service knows as `matrix`.
    async fn flow(&self) -> String {
        const HASH: &str = "bgDNVizC2I4jjfuB2UOd5-yEPunQyYedVJyxQ2eG-XU";
        let id = Ulid::generate().to_string();
        let sql = "INSERT INTO setup_flows
               (id, user_id, instance, shared, state, state_hash, step, created_at, updated_at, expires_at)
             VALUES ($1, $2, 'local', 0, 'open', $3, 1, 1, 1, 4000000000000)";
        self.execute("DELETE FROM setup_flows WHERE state_hash = $1", &[HASH]).await;
        self.execute(sql, &[&id, &self.id("owner").await, HASH]).await;
        id
    }

    /// The owner is somewhere in the track.
    async fn position(&self) {
        let sql =
            "INSERT INTO play_positions (user_id, uri, position_ms, finished, updated_at) VALUES ($1, $2, 1, 0, 1)
             ON CONFLICT DO NOTHING";
        self.execute(sql, &[&self.id("owner").await, &self.track]).await;
    }

    /// An account that nothing else depends on.
    async fn connection(&self) -> String {
        let id = Ulid::generate().to_string();
        let sql = "INSERT INTO accounts (id, instance, owner, label, state, created_at, updated_at)
             VALUES ($1, 'bad', $2, 'spare', 'ok', 1, 1)";
        self.execute(sql, &[&id, &self.id("owner").await]).await;
        id
    }

    /// A run that waits for confirmation.
    async fn run(&self) -> String {
        let id = Ulid::generate().to_string();
        let sql =
            "INSERT INTO pull_runs (id, account_id, job_id, state, started_at) VALUES ($1, $2, 'none', 'held', 1)";
        self.execute(sql, &[&id, &self.account]).await;
        id
    }

    async fn play(&self) -> String {
        let id = Ulid::generate().to_string();
        let sql = "INSERT INTO plays (id, user_id, uri, played_at, source) VALUES ($1, $2, $3, 1, 'client')";
        self.execute("DELETE FROM plays WHERE played_at = 1 AND id <> $1", &[&id]).await;
        self.execute(sql, &[&id, &self.id("owner").await, &self.track]).await;
        id
    }

    async fn invite(&self) -> String {
        let id = Ulid::generate().to_string();
        let sql =
            "INSERT INTO invites (id, hash, role, created_at, expires_at) VALUES ($1, $2, 'user', 1, 4000000000000)";
        self.execute(sql, &[&id, &format!("hash of {id}")]).await;
        id
    }
}
