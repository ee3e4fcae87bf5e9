//! A host with a provider whose accounts keep likes and plays.

use std::path::Path;

use reqwest::Method;
use serde_json::{Value, json};
use zotify_host::{db, providers::Lane};
use zotify_plugin_api::{PageRequest, method::ListLikes};

use crate::{
    lab::Bench,
    support::{Reply, TestApp},
};

/// The host, and the folder that its plugin is in.
pub struct Starred {
    pub host: TestApp,
    plugins: Bench,
}

fn configuration(plugins: &Bench, settings: &str, more: &str) -> String {
    format!(
        "{more}\n[plugins]\ndirectories = [{:?}]\n[providers.stars]\nplugin = \"starred\"\n\
         settings = {{ titles = [\"One\", \"Two\", \"Three\", \"Four\", \"Five\"], {settings} }}\n",
        plugins.path("plugins")
    )
}

impl Starred {
    /// A host whose admin has an account of their own there, `acct`, that was read once.
    pub async fn with(settings: &str, more: &str) -> Self {
        let plugins = Bench::new().with("starred_provider");
        let host = TestApp::with(&configuration(&plugins, settings, more)).await.admin().await;
        let starred = Self { host, plugins };
        starred.connect("root-of-tests", "acct").await;
        starred.started().await;
        starred.sync().await;
        starred
    }

    /// The same host after a restart, where the provider is like something else.
    pub async fn again(self, settings: &str) -> Self {
        self.again_after(settings, |_| ()).await
    }

    /// The same with something done in the host's folder while it is stopped.
    pub async fn again_after(self, settings: &str, between: impl FnOnce(&Path)) -> Self {
        let dir = self.host.stop().await;
        between(dir.path());
        let host = TestApp::at(dir, "", &configuration(&self.plugins, settings, "")).await.sign_in_again().await;
        let starred = Self { host, plugins: self.plugins };
        starred.started().await;
        starred
    }

    async fn started(&self) {
        self.host.until("/api/providers/stars", |provider| provider["state"] == "started").await;
    }

    /// Gives a user an account.
    pub async fn connect(&self, user: &str, id: &str) {
        let app = &self.host.app;
        let user = db::users::find_by_name(app.db.read(), user).await.unwrap().unwrap().id;
        let mut tx = app.db.write().await.unwrap();
        sqlx::query(
            "INSERT INTO accounts (id, instance, owner, label, state, created_at, updated_at)
             VALUES ($1, 'stars', $2, 'mine', 'ok', 1, 1)",
        )
        .bind(id.to_owned())
        .bind(user)
        .execute(&mut *tx)
        .await
        .unwrap();
        tx.commit().await.unwrap();
        app.recent_accounts.forget();
    }

    /// Reads the caller's accounts, with likes and plays.
    pub async fn sync(&self) {
        self.host.post("/api/sync", &json!({})).await.expect(202);
        self.calm().await;
    }

    /// Waits until no job is left to do.
    pub async fn calm(&self) {
        let ended = |job: &Value| ["succeeded", "failed", "cancelled"].contains(&job["state"].as_str().unwrap());
        self.host.until("/api/jobs?limit=200", |jobs| jobs["data"].as_array().unwrap().iter().all(ended)).await;
    }

    /// How the last job of a kind ended: its state, and the code of its error.
    pub async fn ended(&self, kind: &str) -> (String, Option<String>) {
        let jobs = self.host.get("/api/jobs?limit=200").await.expect(200);
        let mut jobs: Vec<_> = jobs["data"].as_array().unwrap().iter().filter(|job| job["kind"] == kind).collect();
        jobs.sort_by_key(|job| job["id"].as_str().unwrap());
        let job = jobs.last().unwrap();
        (job["state"].as_str().unwrap().to_owned(), job["error"]["code"].as_str().map(str::to_owned))
    }

    /// What the provider says that an account likes, sorted.
    pub async fn held(&self, account: &str) -> Vec<String> {
        let (mut held, mut cursor) = (Vec::new(), None);
        loop {
            let request = PageRequest { cursor, limit: 0 };
            let call = self.host.app.providers.call::<ListLikes>("stars", Some(account), Lane::Job, request);
            let page = call.await.unwrap();
            held.extend(page.likes.rows.iter().map(|like| like.item.uri().native_id().to_string()));
            cursor = page.next;
            if cursor.is_none() {
                held.sort();
                return held;
            }
        }
    }

    pub async fn like(&self, uri: &str) -> Reply {
        like(&self.host, uri).await
    }

    pub async fn unlike(&self, uri: &str) {
        unlike(&self.host, uri).await;
    }
}

pub async fn like(host: &TestApp, uri: &str) -> Reply {
    host.send(host.request(Method::PUT, &format!("/api/user/liked/{uri}"))).await
}

pub async fn unlike(host: &TestApp, uri: &str) {
    let reply = host.send(host.request(Method::DELETE, &format!("/api/user/liked/{uri}"))).await;
    assert_eq!(reply.status, 204, "{}", reply.text());
}

/// The events of a type that the caller's things caused, oldest first.
pub async fn events(host: &TestApp, kind: &str) -> Vec<(Option<String>, Value)> {
    let all = db::events::after(host.app.db.read(), 0, 10_000).await.unwrap();
    let wanted = all.into_iter().filter(|event| event.kind == kind && event.user_id.is_some());
    wanted.map(|event| (event.subject, serde_json::from_str(&event.data).unwrap())).collect()
}
