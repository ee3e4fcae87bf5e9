//! Search, single items, resolving, likes and plays.

use super::*;

#[tokio::test]
async fn the_catalogue_is_searched_around_holes() {
    let lab = Lab::new(small()).await;
    lab.simulator.rule(
        Rule::new("GET", "^/v1/search", Effect::Set { pointer: "/tracks/items/1".into(), value: Value::Null }).times(0),
    );
    let found = lab.host.get("/api/search?q=ri&scope=catalog&kinds=track&limit=10").await.expect(200);
    let rows = found["data"].as_array().unwrap();
    assert!(rows.len() >= 8, "{found:#}");
    assert!(rows.iter().all(|row| text(row, "uri").starts_with("spotify:track:")));
}

#[tokio::test]
async fn links_and_numbers_lead_to_the_same_track() {
    let lab = Lab::new(small()).await;
    let uri = lab.simulator.saved(USER, "track")[0].clone();
    let id = uri.rsplit(':').next().unwrap();
    let isrc = text(&lab.simulator.item(&uri).unwrap()["external_ids"], "isrc").to_lowercase();
    let isrc = format!("{}-{}-{}-{}", &isrc[..2], &isrc[2..5], &isrc[5..7], &isrc[7..]);
    for query in [
        json!({"uris": [uri]}),
        json!({"urls": [format!("https://open.spotify.com/track/{id}?si=abc")]}),
        json!({"urls": [format!("https://open.spotify.com/intl-de/track/{id}")]}),
        json!({"isrc": [isrc]}),
    ] {
        let found = lab.host.post("/api/resolve", &query).await.expect(200);
        assert!(found.to_string().contains(&format!("\"uri\":\"{uri}\"")), "{query}: {found:#}");
    }
}

/// A short link is followed to the item, and nowhere else; nobody's token goes along.
#[tokio::test]
async fn short_links_lead_to_the_item() {
    let lab = Lab::new(small()).await;
    let uri = lab.simulator.saved(USER, "track")[0].clone();
    let id = uri.rsplit(':').next().unwrap();
    lab.simulator.forget_requests();
    let link = json!({"urls": [format!("https://spotify.link/track/{id}?_p=c11")]});
    let found = lab.host.post("/api/resolve", &link).await.expect(200);
    assert!(found.to_string().contains(&format!("\"uri\":\"{uri}\"")), "{found:#}");
    let asked = lab.simulator.requests();
    let hop = asked.iter().find(|entry| entry.path == format!("/short/track/{id}")).unwrap();
    assert_eq!((hop.status, &hop.user, hop.query.as_str()), (302, &None, "_p=c11"));

    let stranger = wiremock::MockServer::start().await;
    for to in [format!("{}/track/{id}", stranger.uri()), "https://open.spotify.com.example.org/track/x".to_owned()] {
        let headers = [("location".to_owned(), to)].into();
        lab.rule("GET", "^/short/", Effect::Reply { status: 302, headers, body: String::new() });
        let found = lab.host.post("/api/resolve", &link).await.expect(200);
        assert!(!found.to_string().contains(&format!("\"uri\":\"{uri}\"")), "{found:#}");
    }
    let headers = [("location".to_owned(), format!("https://spotify.link/track/{id}"))].into();
    lab.simulator
        .rule(Rule::new("GET", "^/short/", Effect::Reply { status: 302, headers, body: String::new() }).times(0));
    lab.simulator.forget_requests();
    lab.host.post("/api/resolve", &link).await.expect(200);
    assert!(lab.simulator.count("unknown") < 10 && lab.simulator.requests().len() < 10, "a circle ends");
    assert!(stranger.received_requests().await.unwrap().is_empty());
}

/// Saved tracks are likes, and plays come with the pull.
#[tokio::test]
async fn likes_and_plays_come_from_the_account() {
    let lab = Lab::new(small()).await;
    let liked = lab.host.get("/api/user/liked?limit=200").await.expect(200);
    let mut liked: Vec<_> = liked["data"].as_array().unwrap().iter().map(|row| text(row, "uri").to_owned()).collect();
    liked.sort();
    assert_eq!(liked, lab.saved("track"));
    let new = lab.simulator.unsaved_track(USER).unwrap();
    let answer = crate::starred::like(&lab.host, &new).await.expect(200);
    assert_eq!(answer["written_through"], true, "{answer:#}");
    assert!(lab.simulator.saved(USER, "track").contains(&new));
    crate::starred::unlike(&lab.host, &new).await;
    assert!(!lab.simulator.saved(USER, "track").contains(&new));
    let plays = lab.host.get("/api/user/history?limit=200").await.expect(200);
    assert_eq!(plays["data"].as_array().unwrap().len(), 50);
}

/// Pictures come from the service, without anybody's token.
#[tokio::test]
async fn pictures_are_passed_on() {
    let lab = Lab::new(small()).await;
    let album = lab.simulator.saved(USER, "album")[0].clone();
    let picture = lab.host.get(&format!("/api/artwork/{album}")).await;
    assert_eq!((picture.status.as_u16(), picture.header("content-type")), (200, "image/jpeg"), "{}", picture.text());
    let asked = lab.simulator.requests();
    let image = asked.iter().find(|entry| entry.path.starts_with("/image/")).unwrap();
    assert_eq!(image.user, None, "the token went along");
}
