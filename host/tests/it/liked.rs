//! What users like, here and at their providers.

use serde_json::{Value, json};

use crate::{
    library::{all, music, scanned, text},
    starred::{Starred, events, like, unlike},
    support::TestApp,
};

async fn liked(host: &TestApp) -> Vec<Value> {
    host.get("/api/user/liked").await.expect(200)["data"].as_array().unwrap().clone()
}

fn uris(rows: &[Value]) -> Vec<&str> {
    rows.iter().map(|row| text(row, "uri")).collect()
}

#[tokio::test]
async fn what_a_provider_keeps_no_likes_for_is_liked_here_and_said() {
    let music = music();
    let mut host = scanned(music.path()).await;
    let uri = text(&all(&host, "tracks").await[0], "uri").to_owned();
    let first = like(&host, &uri).await.expect(200);
    assert_eq!((&first["written_through"], &first["pending"]), (&json!(false), &json!(false)), "{first}");
    assert_eq!(first["code"], "unsupported");
    assert_eq!(like(&host, &uri).await.expect(200), first, "the same once more");
    let rows = liked(&host).await;
    assert_eq!((uris(&rows), &rows[0]["kind"]), (vec![uri.as_str()], &json!("track")));
    assert_eq!((&rows[0]["liked_at"], &rows[0]["written_through"]), (&first["liked_at"], &json!(false)));
    assert!(rows[0]["title"].is_string(), "{rows:#?}");

    host.become_user("anna").await;
    assert!(liked(&host).await.is_empty(), "everybody likes for themselves");
    unlike(&host, &uri).await;
    let host = host.sign_in_again().await;
    assert_eq!(liked(&host).await.len(), 1, "and takes back what is theirs");
    unlike(&host, &uri).await;
    unlike(&host, &uri).await;
    assert!(liked(&host).await.is_empty());
    let told =
        async |kind| events(&host, kind).await.into_iter().map(|(subject, _)| subject.unwrap()).collect::<Vec<_>>();
    assert_eq!((told("track.liked").await, told("track.unliked").await), (vec![uri.clone()], vec![uri]));
}

#[tokio::test]
async fn only_tracks_that_the_caller_sees_are_liked() {
    let music = music();
    let host = scanned(music.path()).await;
    let album = text(&all(&host, "albums").await[0], "uri").to_owned();
    like(&host, &album).await.expect_problem(404, "wrong_kind");
    like(&host, "local:track:nothing").await.expect_problem(404, "item_not_found");
    like(&host, "elsewhere:track:1").await.expect_problem(404, "item_not_found");
    like(&host, "local:track:a%00b").await.expect_problem(400, "invalid_uri");
    like(&host, "nonsense").await.expect_problem(400, "invalid_uri");
    let reply = host.delete("/api/user/liked/local:track:nothing").await;
    reply.expect_problem(404, "item_not_found");
    assert!(liked(&host).await.is_empty());
}

#[tokio::test]
async fn likes_come_in_pages_newest_first() {
    let music = music();
    let host = scanned(music.path()).await;
    let tracks = all(&host, "tracks").await;
    let mut wanted: Vec<&str> = tracks.iter().take(5).map(|track| text(track, "uri")).collect();
    for uri in &wanted {
        like(&host, uri).await.expect(200);
    }
    let mut found = Vec::new();
    let mut path = "/api/user/liked?limit=2".to_owned();
    loop {
        let page = host.get(&path).await.expect(200);
        let rows = page["data"].as_array().unwrap();
        assert!(rows.len() <= 2);
        found.extend(rows.iter().map(|row| (text(row, "liked_at").to_owned(), text(row, "uri").to_owned())));
        let Some(cursor) = page["meta"]["next_cursor"].as_str() else { break };
        path = format!("/api/user/liked?limit=2&cursor={cursor}");
    }
    assert!(found.is_sorted_by(|a, b| a > b), "{found:?}");
    let mut found: Vec<&str> = found.iter().map(|(_, uri)| uri.as_str()).collect();
    found.sort_unstable();
    wanted.sort_unstable();
    assert_eq!(found, wanted, "each once");
    host.get("/api/user/liked?cursor=nonsense").await.expect_problem(400, "invalid_cursor");
}

#[tokio::test]
async fn a_like_follows_its_file_and_outlives_it() {
    let music = music();
    let host = scanned(music.path()).await;
    let find = async |title: &str| all(&host, "tracks").await.into_iter().find(|t| t["title"] == title);
    let track = find("Sawtooth Serenade").await.unwrap();
    like(&host, text(&track, "uri")).await.expect(200);
    std::fs::rename(music.path().join("Various Artists"), music.path().join("Elsewhere")).unwrap();
    let has_moved = |page: &Value| page["data"][0]["kind"] == "track" && page["data"][0]["uri"] != track["uri"];
    host.post("/api/sync", &json!({})).await.expect(202);
    let page = host.until("/api/user/liked", has_moved).await;
    assert_eq!((&page["data"][0]["title"], page["data"].as_array().unwrap().len()), (&track["title"], 1));
    let uri = text(&page["data"][0], "uri").to_owned();

    std::fs::remove_dir_all(music.path().join("Elsewhere")).unwrap();
    host.post("/api/sync", &json!({})).await.expect(202);
    let page = host.until("/api/user/liked", |page| page["data"][0]["kind"] == "unknown").await;
    assert_eq!(page["data"][0]["uri"], uri, "it is not lost");
    unlike(&host, &uri).await;
    assert!(liked(&host).await.is_empty());
}

#[tokio::test]
async fn a_like_is_written_through_and_taken_back() {
    let stars = Starred::with("saved = 3", "").await;
    let answer = stars.like("stars:track:1").await.expect(200);
    assert_eq!((&answer["written_through"], &answer["pending"]), (&json!(true), &json!(false)), "{answer}");
    assert!(answer["code"].is_null());
    // One that is in no library, and is kept because it is liked.
    stars.like("stars:track:5").await.expect(200);
    stars.sync().await;
    let rows = liked(&stars.host).await;
    assert_eq!(uris(&rows), ["stars:track:5", "stars:track:1"]);
    assert_eq!((&rows[0]["title"], &rows[0]["written_through"]), (&json!("Five"), &json!(true)));
    assert_eq!(stars.held("acct").await, ["1", "5"]);
    stars.unlike("stars:track:1").await;
    assert_eq!((stars.held("acct").await, liked(&stars.host).await.len()), (vec!["5".to_owned()], 1));
    stars.sync().await;
    assert_eq!(uris(&liked(&stars.host).await), ["stars:track:5"]);
    stars.like("stars:track:99").await.expect_problem(404, "item_not_found");
}

#[tokio::test]
async fn accounts_of_others_are_not_touched() {
    let mut stars = Starred::with("saved = 3", "").await;
    stars.like("stars:track:1").await.expect(200);
    stars.host.become_user("anna").await;
    stars.like("stars:track:1").await.expect_problem(404, "item_not_found");
    stars.connect("anna", "hers").await;
    stars.like("stars:track:2").await.expect(200);
    assert_eq!((stars.held("acct").await, stars.held("hers").await), (vec!["1".to_owned()], vec!["2".to_owned()]));
}

#[tokio::test]
async fn what_the_provider_does_not_take_now_it_is_told_later() {
    let stars = Starred::with("saved = 3, failures = 2", "").await;
    let answer = stars.like("stars:track:1").await.expect(200);
    assert_eq!((&answer["written_through"], &answer["pending"]), (&json!(false), &json!(true)), "{answer}");
    assert_eq!(answer["code"], "provider_unavailable");
    assert_eq!(liked(&stars.host).await.len(), 1, "it is liked already");
    stars.host.until("/api/user/liked", |page| page["data"][0]["written_through"] == true).await;
    assert_eq!(stars.held("acct").await, ["1"]);
}

#[tokio::test]
async fn the_newest_change_of_mind_wins() {
    let stars = Starred::with("saved = 3, liked = [\"2\"], failures = 3", "").await;
    assert_eq!(uris(&liked(&stars.host).await), ["stars:track:2"]);
    stars.like("stars:track:1").await.expect(200);
    stars.unlike("stars:track:1").await;
    stars.unlike("stars:track:2").await;
    assert!(liked(&stars.host).await.is_empty(), "at once, whatever the provider says");
    // The provider still lists the second one when this is read.
    stars.sync().await;
    assert!(liked(&stars.host).await.is_empty());
    assert!(stars.held("acct").await.is_empty(), "and in the end the provider knows");
    stars.sync().await;
    assert!(liked(&stars.host).await.is_empty());
}

#[tokio::test]
async fn minds_that_change_at_once_end_the_same_here_and_there() {
    let stars = Starred::with("saved = 3", "").await;
    for round in 0..8 {
        let change = async |n: usize| match (n + round) % 2 {
            0 => drop(stars.like("stars:track:1").await.expect(200)),
            _ => stars.unlike("stars:track:1").await,
        };
        tokio::join!(change(0), change(1), change(2), change(3));
        stars.calm().await;
        let here = uris(&liked(&stars.host).await).len();
        assert_eq!(stars.held("acct").await.len(), here, "in round {round}");
        let pending = liked(&stars.host).await.iter().any(|row| row["written_through"] == false);
        assert!(!pending, "in round {round}");
    }
}

#[tokio::test]
async fn a_list_that_lacks_too_much_is_not_believed() {
    let titles: Vec<String> = (0..30).map(|n| format!("\"More {n}\"")).collect();
    let ids: Vec<String> = (6..=35).map(|n| format!("\"{n}\"")).collect();
    let more = format!("more = [{}]", titles.join(", "));
    let stars = Starred::with(&format!("{more}, liked = [{}]", ids.join(", ")), "").await;
    assert_eq!(liked(&stars.host).await.len(), 30);
    let stars = stars.again(&format!("{more}, liked = [{}]", ids[..25].join(", "))).await;
    stars.sync().await;
    assert_eq!(liked(&stars.host).await.len(), 25, "a few may go");
    let stars = stars.again(&more).await;
    stars.sync().await;
    let rows = liked(&stars.host).await;
    assert_eq!(rows.len(), 25);
    assert!(rows.iter().all(|row| row["written_through"] == false && row["kind"] == "track"), "{rows:#?}");
}

#[tokio::test]
async fn neither_an_empty_list_is_believed_nor_one_that_lacks_most() {
    let stars = Starred::with("saved = 3, liked = [\"1\", \"2\", \"3\"]", "").await;
    let held = async |stars: &Starred| {
        let mut rows = liked(&stars.host).await;
        rows.sort_by(|a, b| text(a, "uri").cmp(text(b, "uri")));
        rows.iter().map(|row| row["written_through"].as_bool().unwrap()).collect::<Vec<_>>()
    };
    let stars = stars.again("saved = 3").await;
    stars.sync().await;
    assert_eq!(held(&stars).await, [false, false, false], "they stay");
    let stars = stars.again("saved = 3, liked = [\"1\", \"2\", \"3\"]").await;
    stars.sync().await;
    assert_eq!(held(&stars).await, [true, true, true], "the provider has them after all");
    let stars = stars.again("saved = 3, liked = [\"3\"]").await;
    stars.sync().await;
    assert_eq!(held(&stars).await, [false, false, true]);
    let stars = stars.again("saved = 3").await;
    stars.sync().await;
    assert_eq!(held(&stars).await, [false, false, false], "not even the last one goes by an empty list");
}

#[tokio::test]
async fn what_the_provider_refuses_stays_here() {
    let stars = Starred::with("saved = 3, refused = [\"1\"]", "").await;
    let answer = stars.like("stars:track:1").await.expect(200);
    assert_eq!((&answer["written_through"], &answer["pending"]), (&json!(false), &json!(false)), "{answer}");
    assert_eq!(answer["code"], "provider_restricted");
    stars.sync().await;
    assert_eq!(uris(&liked(&stars.host).await), ["stars:track:1"]);
    stars.unlike("stars:track:1").await;
    assert!(liked(&stars.host).await.is_empty());
}

#[tokio::test]
async fn likes_of_the_provider_are_taken_over() {
    let stars = Starred::with("saved = 2, liked = [\"2\", \"4\", \"5\"]", "").await;
    let rows = liked(&stars.host).await;
    let mut found = uris(&rows);
    found.sort_unstable();
    assert_eq!(found, ["stars:track:2", "stars:track:4", "stars:track:5"]);
    assert!(rows.iter().all(|row| row["written_through"] == true && row["kind"] == "track"), "{rows:#?}");
    let merged = events(&stars.host, "likes.merged").await;
    assert_eq!(merged[0].1, json!({"provider": "stars", "added": 3, "removed": 0}));
    // What is taken back there goes here too, and what was only liked here stays.
    let stars = stars.again("saved = 2, liked = [\"4\", \"5\"], refused = [\"1\"]").await;
    stars.like("stars:track:1").await.expect(200);
    stars.sync().await;
    let rows = liked(&stars.host).await;
    let mut found = uris(&rows);
    found.sort_unstable();
    assert_eq!(found, ["stars:track:1", "stars:track:4", "stars:track:5"]);
}

#[tokio::test]
async fn nobody_likes_more_than_they_may() {
    let stars = Starred::with("saved = 3, liked = [\"4\", \"5\"]", "[quotas]\nlikes = 2").await;
    assert_eq!(liked(&stars.host).await.len(), 2);
    stars.like("stars:track:1").await.expect_problem(403, "quota_exceeded");
    stars.unlike("stars:track:4").await;
    stars.like("stars:track:1").await.expect(200);
    stars.like("stars:track:1").await.expect(200);
    assert_eq!(liked(&stars.host).await.len(), 2);
}
