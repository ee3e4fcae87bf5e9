//! Requests that no single provider owns: every provider is asked, and one that fails takes nothing from the others.

use serde_json::{Value, json};

use crate::{lab::Bench, support::TestApp};

/// A host with two instances of one plugin, one of a plugin that panics, and one of a plugin that does not exist.
async fn host() -> (TestApp, Bench) {
    let plugins = Bench::new().with("minimal_provider").with("hostile_plugin");
    let config = format!(
        "[plugins]\ndirectories = [\"{}\"]\n\
         [providers.one]\nplugin = \"minimal\"\nsettings = {{ title = \"First song\" }}\n\
         [providers.two]\nplugin = \"minimal\"\nsettings = {{ title = \"Second song\" }}\n\
         [providers.bad]\nplugin = \"hostile\"\n\
         [providers.gone]\nplugin = \"nothing\"\n",
        plugins.path("plugins").display()
    );
    let host = TestApp::with(&config).await.admin().await;
    // Requests go to accounts, which an instance gets when it has started.
    host.until("/api/sync/runs", |runs| {
        let pulled = |provider: &str| runs["data"].as_array().unwrap().iter().any(|run| run["provider"] == provider);
        pulled("one") && pulled("two") && pulled("bad")
    })
    .await;
    (host, plugins)
}

fn uris(page: &Value) -> Vec<&str> {
    page["data"].as_array().unwrap().iter().map(|row| row["uri"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_catalogue_search_asks_every_account() {
    let (host, _plugins) = host().await;
    let found = host.get("/api/search?scope=catalog&q=song").await.expect(200);
    let mut all = uris(&found);
    // The hostile one answers every search with something.
    all.retain(|uri| !uri.starts_with("bad:"));
    all.sort_unstable();
    assert_eq!(all, ["one:track:1", "two:track:1"], "{found:#}");
    let providers = &found["meta"]["providers"];
    assert_eq!((&providers["one"]["state"], &providers["two"]["state"]), (&json!("ok"), &json!("ok")));
    assert!(providers["gone"].is_null(), "nobody has an account there: {providers:#}");
}

#[tokio::test]
async fn a_provider_that_panics_is_one_failed_part() {
    let (host, _plugins) = host().await;
    let found = host.get("/api/search?scope=catalog&q=panic").await.expect(200);
    assert_eq!(found["meta"]["providers"]["bad"]["state"], "failed", "{found:#}");
    assert!(found["meta"]["providers"]["bad"]["code"].is_string(), "{found:#}");
    assert_eq!(found["meta"]["providers"]["one"]["state"], "ok", "{found:#}");
}

#[tokio::test]
async fn instances_of_one_plugin_keep_their_own_libraries() {
    let (host, _plugins) = host().await;
    host.until("/api/library/tracks", |page| page["data"].as_array().is_some_and(|rows| rows.len() == 2)).await;
    assert_eq!(host.get("/api/tracks/one:track:1").await.expect(200)["title"], "First song");
    assert_eq!(host.get("/api/tracks/two:track:1").await.expect(200)["title"], "Second song");
    let one = host.get("/api/library/tracks?providers=one").await.expect(200);
    assert_eq!(uris(&one), ["one:track:1"]);
    // It declares no audio, and says so rather than failing.
    host.get("/api/tracks/one:track:1/media").await.expect_problem(422, "unsupported");
    host.get("/api/tracks/gone:track:1").await.expect_problem(404, "item_not_found");
}
