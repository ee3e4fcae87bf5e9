//! A host with a provider whose libraries and playlists can be changed.

use reqwest::Method;
use serde_json::{Value, json};
use zotify_host::db;

use crate::{
    lab::Bench,
    support::{Reply, TestApp},
};

/// The host, and the folder that its plugin is in.
pub struct Editable {
    pub host: TestApp,
    plugins: Bench,
}

fn configuration(plugins: &Bench, settings: &str) -> String {
    format!(
        "[plugins]\ndirectories = [{:?}]\ncall_timeout_s = 1\njob_timeout_s = 2\n\
         [plugins.breaker]\nfailures = 1000\n\
         [providers.ed]\nplugin = \"editable\"\n\
         settings = {{ titles = [\"One\", \"Two\", \"Three\", \"Four\", \"Five\"], albums = [\"First\", \"Second\"], {settings} }}\n",
        plugins.path("plugins")
    )
}

impl Editable {
    /// A host whose admin has an account of their own there, `acct`, that was read once.
    pub async fn with(settings: &str) -> Self {
        let plugins = Bench::new().with("editable_provider");
        let host = TestApp::with(&configuration(&plugins, settings)).await.admin().await;
        let editable = Self { host, plugins };
        editable.started().await;
        editable.connect("root-of-tests", "acct").await;
        editable.sync().await;
        editable
    }

    /// The same host after a restart, where the provider is like something else.
    pub async fn again(self, settings: &str) -> Self {
        let dir = self.host.stop().await;
        let host = TestApp::at(dir, "", &configuration(&self.plugins, settings)).await.sign_in_again().await;
        let editable = Self { host, plugins: self.plugins };
        editable.started().await;
        editable.calm().await;
        editable
    }

    /// Another node on the same database.
    pub async fn beside(&self) -> TestApp {
        let node = self.host.beside(&configuration(&self.plugins, "")).await;
        node.until("/api/providers/ed", |provider| provider["state"] == "started").await;
        node
    }

    async fn started(&self) {
        self.host.until("/api/providers/ed", |provider| provider["state"] == "started").await;
    }

    /// Gives a user an account; without a name, one that all share.
    pub async fn connect(&self, user: impl Into<Option<&str>>, id: &str) {
        let app = &self.host.app;
        let user = match user.into() {
            Some(name) => Some(db::users::find_by_name(app.db.read(), name).await.unwrap().unwrap().id),
            None => None,
        };
        let mut tx = app.db.write().await.unwrap();
        sqlx::query(
            "INSERT INTO accounts (id, instance, owner, label, state, remote_key, created_at, updated_at)
             VALUES ($1, 'ed', $2, 'mine', 'ok', $1, 1, 1)",
        )
        .bind(id.to_owned())
        .bind(user)
        .execute(&mut *tx)
        .await
        .unwrap();
        tx.commit().await.unwrap();
        app.recent_accounts.forget();
    }

    /// Says what an account can't do.
    pub async fn restrict(&self, capability: &str) {
        let app = &self.host.app;
        let states = json!({capability: {"state": "restricted", "code": "premium_required"}}).to_string();
        let mut tx = app.db.write().await.unwrap();
        let update = sqlx::query("UPDATE accounts SET capabilities = $1 WHERE id = 'acct'");
        update.bind(states).execute(&mut *tx).await.unwrap();
        tx.commit().await.unwrap();
    }

    /// Reads the caller's accounts.
    pub async fn sync(&self) {
        self.host.post("/api/sync", &json!({"direction": "pull"})).await.expect(202);
        self.calm().await;
    }

    /// Waits until no job is left to do.
    pub async fn calm(&self) {
        let ended = |job: &Value| ["succeeded", "failed", "cancelled"].contains(&job["state"].as_str().unwrap());
        self.host.until("/api/jobs?limit=200", |jobs| jobs["data"].as_array().unwrap().iter().all(ended)).await;
    }

    /// How often an account's provider was asked something.
    pub async fn asked(&self, account: &str, method: &str) -> u8 {
        self.kept(account, &format!("count/{method}")).await.map_or(0, |value| *value.last().unwrap())
    }

    /// What the plugin keeps for an account.
    pub async fn kept(&self, account: &str, key: &str) -> Option<Vec<u8>> {
        let found =
            sqlx::query_scalar("SELECT value FROM plugin_kv WHERE instance = 'ed' AND account = $1 AND key = $2");
        let found = found.bind(account.to_owned()).bind(key.as_bytes().to_vec());
        found.fetch_optional(self.host.app.db.read()).await.unwrap()
    }

    pub async fn send(&self, method: Method, path: &str, if_match: Option<&str>, body: Value) -> Reply {
        let mut request = self.host.request(method, path);
        if let Some(tag) = if_match {
            request = request.header("if-match", tag);
        }
        self.host.send(if body.is_null() { request } else { request.json(&body) }).await
    }

    /// Makes a playlist with some tracks; answers its path, and the version that it has.
    pub async fn playlist(&self, tracks: &[u32]) -> (String, String) {
        let made = self.host.post("/api/playlists", &json!({"name": "Mix"})).await;
        let path = made.header("location").to_owned();
        made.expect(201);
        if tracks.is_empty() {
            return (path, made.header("etag").to_owned());
        }
        let uris: Vec<String> = tracks.iter().map(|n| format!("ed:track:{n}")).collect();
        let reply = self.host.post(&format!("{path}/items"), &json!({"uris": uris})).await;
        reply.expect(200);
        (path, reply.header("etag").to_owned())
    }

    /// The entries of a playlist: their ids, and their tracks' titles.
    pub async fn entries(&self, path: &str) -> Vec<(String, String)> {
        let page = self.host.get(&format!("{path}/items?limit=200")).await.expect(200);
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let rows = page["data"].as_array().unwrap().iter();
        rows.map(|row| (text(&row["entry_id"]), text(&row["item"]["title"]))).collect()
    }

    /// The titles of a playlist's entries.
    pub async fn titles(&self, path: &str) -> Vec<String> {
        self.entries(path).await.into_iter().map(|(_, title)| title).collect()
    }

    /// The URIs of the saved tracks, sorted.
    pub async fn saved(&self) -> Vec<String> {
        let page = self.host.get("/api/library/tracks?limit=200").await.expect(200);
        let rows = page["data"].as_array().unwrap().iter();
        let mut uris: Vec<_> = rows.map(|row| row["uri"].as_str().unwrap().to_owned()).collect();
        uris.sort();
        uris
    }
}
