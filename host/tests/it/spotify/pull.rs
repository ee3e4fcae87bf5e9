//! Reading a library that changes, through answers that are not what they should be.

use super::*;

/// Behaviour 6, small: asked to wait in the middle, with and without saying how long.
#[tokio::test]
async fn a_pull_goes_on_where_it_was_told_to_wait() {
    let tracks = Options { tracks: 600, ..small() };
    let lab = Lab::prepared(tracks, |simulator| {
        let tracks = |page: usize, retry_after: Option<&str>| {
            let effect = Effect::TooManyRequests { retry_after: retry_after.map(str::to_owned) };
            simulator.rule(Rule::new("GET", "^/v1/me/tracks", effect).page(page));
        };
        tracks(7, Some("1"));
        tracks(9, None);
    })
    .await;
    lab.calm().await;
    assert_eq!(lab.simulator.hits(), 2);
    assert_eq!(lab.library("tracks").await, lab.saved("track"));
    let asked: Vec<_> = lab.simulator.requests().into_iter().filter(|entry| entry.path == "/v1/me/tracks").collect();
    assert_eq!(asked.len(), 12 + 2, "no page is read again but the two that were refused");
    assert_eq!(lab.last_run().await["completeness"], "complete");
}

/// Behaviour 10: `next` of an endpoint that is gone, and of somebody else's server.
#[tokio::test]
async fn next_is_never_followed() {
    let stranger = wiremock::MockServer::start().await;
    let foreign = format!("{}/v1/me/tracks?offset=50&limit=50", stranger.uri());
    let lab = Lab::prepared(small(), |simulator| {
        simulator.rule(Rule::new("GET", "^/v1/me/tracks", Effect::Next { url: foreign }).times(0));
        let gone = format!("{}/users/listener/playlists?offset=48&limit=50", simulator.api_base());
        simulator.rule(Rule::new("GET", "^/v1/me/playlists", Effect::Next { url: gone }).times(0));
    })
    .await;
    lab.calm().await;
    assert_eq!(lab.library("tracks").await, lab.saved("track"));
    assert!(stranger.received_requests().await.unwrap().is_empty(), "a token went to a stranger");
    assert!(lab.simulator.requests().iter().all(|entry| !entry.deprecated));
}

/// Behaviour 11: fewer rows than were asked for.
#[tokio::test]
async fn a_smaller_limit_than_asked_for_loses_no_rows() {
    let lab = Lab::prepared(small(), |simulator| {
        simulator.rule(Rule::new("GET", "^/v1/me/(tracks|playlists)", Effect::EchoLimit { limit: 18 }).times(0));
    })
    .await;
    lab.calm().await;
    assert_eq!(lab.library("tracks").await, lab.saved("track"));
}

/// Behaviour 11: a list that says it goes on when it does not.
#[tokio::test]
async fn a_list_without_an_end_is_given_up() {
    let lab = Lab::prepared(small(), |simulator| {
        let more = format!("{}/me/shows?offset=0&limit=50", simulator.api_base());
        let rule = Rule::new("GET", "^/v1/me/shows", Effect::Next { url: more }).times(0);
        simulator.rule(rule.and(Effect::Total { by: 1_000_000 }));
    })
    .await;
    lab.calm().await;
    assert!(lab.simulator.count("GET /me/shows") < 10, "{}", lab.simulator.count("GET /me/shows"));
    assert_eq!(lab.library("shows").await, lab.saved("show"));
    assert_eq!(lab.last_run().await["completeness"], "partial");
}

/// Behaviour 12: the user removes tracks while they are read.
#[tokio::test]
async fn a_list_that_shrinks_while_it_is_read_removes_nothing_that_is_there() {
    let lab = Lab::new(Options { tracks: 400, ..small() }).await;
    let old = lab.saved("track");
    // Something in the middle is gone, so that everything is read again; and more goes while it is.
    let gone = lab.simulator.saved(USER, "track")[200].clone();
    lab.simulator.change(&Change::Remove { user: USER.into(), uris: vec![gone] });
    let newest = Change::RemoveNewest { user: USER.into(), count: 3 };
    lab.simulator.rule(Rule::new("GET", "^/v1/me/tracks", Effect::Change(newest)).page(4));
    let run = lab.pull().await;
    assert_eq!(lab.simulator.hits(), 1, "{run:#}");
    let (held, saved) = (lab.library("tracks").await, lab.saved("track"));
    assert!(saved.iter().all(|uri| held.contains(uri)), "a track that is there is lost: {run:#}");
    assert!(held.iter().all(|uri| old.contains(uri)));
    assert_eq!(run["completeness"], "partial", "{run:#}");
    lab.simulator.clear_rules();
    lab.pull().await;
    assert_eq!(lab.library("tracks").await, saved, "the next one is exact");
}

/// Behaviour 13: an album that is `null`, and an episode of which nothing is left.
#[tokio::test]
async fn holes_are_counted_and_nothing_is_removed_for_them() {
    let lab = Lab::new(small()).await;
    let (albums, episodes) = (lab.library("albums").await, lab.library("episodes").await);
    let gone = lab.simulator.saved(USER, "album")[3].clone();
    lab.simulator.change(&Change::Remove { user: USER.into(), uris: vec![gone] });
    lab.simulator.rule(Rule::new("GET", "^/v1/me/albums", Effect::NullItems { at: vec![2] }).times(0));
    lab.simulator.rule(Rule::new("GET", "^/v1/me/episodes", Effect::GhostEpisodes { at: vec![0, 4] }).times(0));
    lab.simulator.rule(Rule::new("GET", "^/v1/me/shows", Effect::NullRows { at: vec![1] }).times(0));
    let run = lab.pull().await;
    assert_eq!((&run["state"], &run["completeness"]), (&json!("applied"), &json!("partial")), "{run:#}");
    assert!(run["counts"]["skipped"].as_u64().unwrap() >= 3, "{run:#}");
    assert_eq!((lab.library("albums").await, lab.library("episodes").await), (albums, episodes));
}

/// Behaviour 13, for good: one of a thousand rows is empty in every pull. None after the first walks the list for it.
#[tokio::test]
async fn a_hole_that_stays_makes_no_later_pull_long() {
    let mut ghost = String::new();
    let lab = Lab::prepared(Options { tracks: 1000, ..small() }, |simulator| {
        ghost = simulator.saved(USER, "track")[412].clone();
        simulator.change(&Change::Hide { uri: ghost.clone() });
    })
    .await;
    lab.calm().await;
    let but_ghost = || lab.saved("track").into_iter().filter(|uri| *uri != ghost).collect::<Vec<_>>();
    assert_eq!(lab.library("tracks").await, but_ghost(), "its neighbours are there");
    let run = lab.last_run().await;
    assert_eq!((&run["completeness"], &run["code"]), (&json!("partial"), &json!("unreadable_rows")), "{run:#}");
    assert!(lab.simulator.count("GET /me/tracks") >= 20);

    // What is new comes, in the first page and the one with the hole; of shows, which fit on a page, one goes.
    let show = lab.simulator.saved(USER, "show")[1].clone();
    for n in 0..2 {
        let new = lab.simulator.unsaved_track(USER).unwrap();
        lab.simulator.change(&Change::Save { user: USER.into(), uris: vec![new] });
        lab.simulator.change(&Change::Remove { user: USER.into(), uris: vec![show.clone()] });
        lab.simulator.forget_requests();
        let run = lab.pull().await;
        assert_eq!(lab.simulator.count("GET /me/tracks"), 2, "pull {n}: {run:#}");
        assert!(lab.simulator.api_calls() <= 12, "{}", lab.simulator.api_calls());
        assert_eq!(run["completeness"], "partial", "{run:#}");
        assert_eq!(run["skipped"][0]["name"], "a saved track", "{run:#}");
        assert_eq!(lab.library("tracks").await, but_ghost());
        assert!(lab.library("shows").await.contains(&show), "a partial run removes nothing");
    }

    // It is something again, far from the beginning.
    lab.simulator.change(&Change::Show { uri: ghost.clone() });
    let run = lab.pull().await;
    assert_eq!(run["completeness"], "complete", "{run:#}");
    assert_eq!(lab.library("tracks").await, lab.saved("track"));
    assert_eq!(lab.library("shows").await, lab.saved("show"), "what was not removed before is now");
    lab.simulator.forget_requests();
    lab.pull().await;
    assert_eq!(lab.simulator.count("GET /me/tracks"), 1);
}

/// Behaviour 13, in the list that a user looks at first: a hole at its beginning, and later a row less.
#[tokio::test]
async fn a_hole_at_the_head_is_no_beginning() {
    let lab = Lab::prepared(Options { tracks: 300, ..small() }, |simulator| {
        simulator.change(&Change::Hide { uri: simulator.saved(USER, "track")[0].clone() });
    })
    .await;
    lab.calm().await;
    let ghost = lab.simulator.saved(USER, "track")[0].clone();
    let new = lab.simulator.unsaved_track(USER).unwrap();
    lab.simulator.change(&Change::Save { user: USER.into(), uris: vec![new.clone()] });
    lab.simulator.forget_requests();
    lab.pull().await;
    assert_eq!(lab.simulator.count("GET /me/tracks"), 1);
    assert!(lab.library("tracks").await.contains(&new));
    // The user removes what is not there any more.
    lab.simulator.change(&Change::Remove { user: USER.into(), uris: vec![ghost] });
    assert_eq!(lab.pull().await["completeness"], "complete");
    assert_eq!(lab.library("tracks").await, lab.saved("track"));
}

/// Behaviour 13 in the list of playlists: what a list with a hole does not name is not gone.
#[tokio::test]
async fn a_hole_in_the_list_of_playlists_removes_none() {
    let lab = Lab::new(small()).await;
    let held = async || {
        let all = lab.host.get("/api/playlists?limit=200").await.expect(200);
        let uris = all["data"].as_array().unwrap().iter().map(|row| text(row, "uri").to_owned());
        uris.collect::<std::collections::BTreeSet<_>>()
    };
    let before = held().await;
    let [hidden, gone] = [2, 4].map(|n| format!("spotify:playlist:{}", lab.playlist(n)));
    let track = lab.simulator.saved(USER, "track")[7].clone();
    lab.simulator.change(&Change::Hide { uri: hidden.clone() });
    lab.simulator.change(&Change::Remove { user: USER.into(), uris: vec![gone.clone(), track.clone()] });
    let run = lab.pull().await;
    assert_eq!((&run["completeness"], &run["code"]), (&json!("partial"), &json!("unreadable_rows")), "{run:#}");
    assert!(run["skipped"].as_array().unwrap().iter().any(|skip| skip["name"] == "a playlist"), "{run:#}");
    assert_eq!(held().await, before);
    assert_eq!(lab.library("tracks").await, lab.saved("track"), "the library is another list, which has no hole");
    lab.simulator.change(&Change::Show { uri: hidden.clone() });
    assert_eq!(lab.pull().await["completeness"], "complete");
    let after = held().await;
    assert!(after.contains(&hidden) && !after.contains(&gone), "{after:?}");
}

/// Behaviour 19: what is listed is another track than was saved, with the same ISRC.
#[tokio::test]
async fn a_relinked_track_is_one_track_and_can_be_unliked() {
    let lab = Lab::new(small()).await;
    let (saved, listed) = (lab.simulator.saved(USER, "track")[5].clone(), lab.simulator.unsaved_track(USER).unwrap());
    lab.simulator.change(&Change::Relink { from: saved.clone(), to: listed.clone() });
    lab.simulator
        .change(&Change::Save { user: USER.into(), uris: vec![lab.simulator.saved(USER, "track")[80].clone()] });
    let isrc = lab.simulator.item(&listed).unwrap()["external_ids"]["isrc"].clone();
    lab.pull().await;
    let mut held = Vec::new();
    for uri in lab.library("tracks").await {
        let track = lab.host.get(&format!("/api/tracks/{uri}")).await.expect(200);
        if track["isrc"] == isrc {
            held.push(uri);
        }
    }
    assert_eq!(held.len(), 1, "one recording, once: {held:?}");
    let answer = lab.host.patch("/api/library", &json!({"remove": held})).await.expect(200);
    assert_eq!(answer["data"][0]["status"], "removed", "{answer:#}");
    assert!(!lab.simulator.saved(USER, "track").contains(&saved));
}

/// Behaviour 20: bodies of development mode and of extended quota; odd numbers and dates.
#[tokio::test]
async fn both_shapes_and_odd_values_are_read() {
    let set = |path: &str, pointer: &str, value: Value| {
        Rule::new("GET", path, Effect::Set { pointer: pointer.into(), value }).times(0)
    };
    for legacy in [false, true] {
        let lab = Lab::prepared(Options { legacy, ..small() }, |simulator| {
            simulator.rule(set("^/v1/me/tracks", "/items/0/track/duration_ms", json!(201_000.0)));
            simulator.rule(set("^/v1/me/tracks", "/items/1/track/album/release_date", json!("0000")));
            simulator.rule(set("^/v1/me/tracks", "/items/2/track/album/release_date", Value::Null));
            simulator.rule(set("^/v1/me/tracks", "/items/3/track/album/release_date", json!("1981")));
        })
        .await;
        lab.calm().await;
        assert_eq!(lab.library("tracks").await, lab.saved("track"), "legacy: {legacy}");
        let order = lab.simulator.saved(USER, "track");
        let first = lab.host.get(&format!("/api/tracks/{}", order[0])).await.expect(200);
        assert_eq!(first["duration_ms"], 201_000, "{first:#}");
        let fourth = lab.host.get(&format!("/api/tracks/{}", order[3])).await.expect(200);
        assert_eq!(fourth["release_date"], "1981", "{fourth:#}");
        let playlist = lab.host.get(&format!("/api/playlists/spotify:playlist:{}", lab.playlist(0))).await.expect(200);
        let description = text(&playlist, "description");
        assert!(description.starts_with("It's <") && description.ends_with("& \"more\""), "{description}");
    }
}

/// Behaviour 20: no search and no discography asks for more than ten.
#[tokio::test]
async fn limits_of_development_mode_are_kept() {
    let lab = Lab::new(small()).await;
    let found = lab.host.get("/api/search?q=ri&scope=catalog&limit=50").await.expect(200);
    assert_eq!(found["meta"]["providers"]["spotify"]["state"], "ok", "{found:#}");
    let artist = lab.simulator.saved(USER, "artist")[0].clone();
    lab.host.get(&format!("/api/artists/{artist}/albums?limit=50")).await.expect(200);
    assert!(lab.simulator.requests().iter().all(|entry| entry.status != 400), "{:#?}", lab.simulator.requests());
}
