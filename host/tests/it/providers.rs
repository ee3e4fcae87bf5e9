//! `/api/providers`.

use zotify_host::providers::State;

use crate::{
    lab::Bench,
    support::{PATIENCE, TestApp},
};

/// A host with two good instances and a bad one.
async fn host() -> TestApp {
    let plugins = Bench::new().with("minimal_provider");
    let folder = plugins.path("plugins");
    let config = format!(
        "[plugins]\ndirectories = [\"{}\"]\n[providers.one]\nplugin = \"minimal\"\nsettings = {{ title = \"Song\" }}\n\
         [providers.two]\nplugin = \"minimal\"\nisolation = \"in-process\"\nlabel = \"Second\"\n\
         settings = {{ title = \"Song\" }}\n[providers.wrong]\nplugin = \"nothing\"\n",
        folder.display()
    );
    let host = TestApp::with(&config).await.admin().await;
    tokio::time::timeout(PATIENCE, host.app.providers.ready()).await.unwrap();
    assert_eq!(host.app.providers.get("one").unwrap().state(), State::Started);
    host
}

#[tokio::test]
async fn providers_are_listed_with_their_state_and_remedy() {
    let mut host = host().await;
    let page = host.get("/api/providers").await.expect(200);
    let ids: Vec<_> = page["data"].as_array().unwrap().iter().map(|p| p["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["one", "two", "wrong"]);
    assert_eq!(page["meta"]["total"], 3);
    let [one, two, wrong] = [0, 1, 2].map(|n| &page["data"][n]);
    assert_eq!((&one["state"], &one["isolation"], &one["problem"]), (&"started".into(), &"process".into(), &().into()));
    assert_eq!(one["sandbox"]["state"], "enforced");
    assert_eq!(one["capabilities"]["catalog.search"]["state"], "available");
    assert_eq!((&two["name"], &two["isolation"]), (&"Second".into(), &"in-process".into()));
    assert_eq!(two["sandbox"]["state"], "off");
    assert_eq!((&wrong["state"], &wrong["problem"]["code"]), (&"failed".into(), &"plugin_not_found".into()));
    assert!(wrong["problem"]["remedy"].as_str().unwrap().contains("plugins.directories"));

    let first = host.get("/api/providers?limit=2").await.expect(200);
    let cursor = first["meta"]["next_cursor"].as_str().unwrap();
    let second = host.get(&format!("/api/providers?limit=2&cursor={cursor}")).await.expect(200);
    assert_eq!((&second["data"][0]["id"], &second["meta"]["next_cursor"]), (&"wrong".into(), &().into()));

    assert_eq!(host.get("/api/providers/two").await.expect(200)["id"], "two");
    host.get("/api/providers/three").await.expect_problem(404, "provider_not_found");
    host.become_user("somebody").await;
    let seen = host.get("/api/providers/one").await.expect(200);
    assert_eq!((&seen["state"], &seen["source"]), (&"started".into(), &().into()), "no files for users");
    host.sign_out();
    host.get("/api/providers").await.expect_problem(401, "missing_credentials");
    host.stop().await;
}
