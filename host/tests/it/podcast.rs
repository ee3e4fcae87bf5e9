//! Podcasts over the API: a publisher that listens here, and the plugin in a process of its own.

use std::sync::{Arc, Mutex};

use reqwest::Method;
use serde_json::{Value, json};
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate, matchers::any};

use crate::{
    lab::Bench,
    support::{Reply, TestApp},
};

/// What a publisher serves: addresses, and what stands there.
#[derive(Clone, Default)]
struct Shelf(Arc<Mutex<Vec<(String, Served)>>>);

#[derive(Clone)]
enum Served {
    /// A feed, whose entity tag is made of its text.
    Feed(String),
    Audio(Vec<u8>),
    Moved(String),
    Broken,
}

impl Shelf {
    fn put(&self, path: &str, served: Served) {
        let mut shelf = self.0.lock().unwrap();
        shelf.retain(|(known, _)| known != path);
        shelf.push((path.to_owned(), served));
    }
}

impl Respond for Shelf {
    fn respond(&self, request: &Request) -> ResponseTemplate {
        let shelf = self.0.lock().unwrap();
        let served = shelf.iter().find(|(path, _)| path == request.url.path()).map(|(_, served)| served.clone());
        match served {
            None => ResponseTemplate::new(404),
            Some(Served::Broken) => ResponseTemplate::new(500),
            Some(Served::Moved(to)) => ResponseTemplate::new(301).insert_header("location", to.as_str()),
            Some(Served::Audio(bytes)) => {
                let range = request.headers.get("range").and_then(|range| range.to_str().ok());
                let first =
                    range.and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse::<usize>().ok());
                // As servers of files do: by a name that says nothing of what it is.
                match first {
                    Some(first) => ResponseTemplate::new(206)
                        .insert_header("content-range", format!("bytes {first}-{}/{}", bytes.len() - 1, bytes.len()))
                        .set_body_raw(bytes[first..].to_vec(), "binary/octet-stream"),
                    None => ResponseTemplate::new(200)
                        .insert_header("accept-ranges", "bytes")
                        .set_body_raw(bytes, "binary/octet-stream"),
                }
            }
            Some(Served::Feed(text)) => {
                let etag = format!("\"{}-{}\"", text.len(), text.bytes().map(u64::from).sum::<u64>());
                match request.headers.get("if-none-match").is_some_and(|tag| tag == etag.as_str()) {
                    true => ResponseTemplate::new(304),
                    false => ResponseTemplate::new(200)
                        .insert_header("etag", etag.as_str())
                        .set_body_raw(text, "application/rss+xml"),
                }
            }
        }
    }
}

fn feed(title: &str, items: std::ops::Range<usize>) -> String {
    let item = |n| {
        format!(
            "<item><title>{title} number {n}</title><guid>{title}-{n}</guid><pubDate>{:02} Mar 2026 08:00:00 GMT</pubDate>\
             <enclosure url=\"/audio/{n}.mp3\" length=\"5000\" type=\"audio/mpeg\"/><itunes:duration>1:40</itunes:duration>\
             <itunes:season>1</itunes:season><itunes:episode>{n}</itunes:episode></item>",
            n + 1
        )
    };
    let items: String = items.map(item).collect();
    format!(
        "<rss version=\"2.0\" xmlns:itunes=\"http://www.itunes.com/dtds/podcast-1.0.dtd\"><channel><title>{title}</title>\
         <itunes:image href=\"/cover.jpg\"/>{items}</channel></rss>"
    )
}

fn audio(n: usize) -> Vec<u8> {
    (0..5000).map(|i| (i * 7 + n) as u8).collect()
}

struct World {
    host: TestApp,
    publisher: MockServer,
    shelf: Shelf,
    plugins: Bench,
}

impl World {
    async fn new() -> Self {
        let (publisher, shelf) = (MockServer::start().await, Shelf::default());
        Mock::given(any()).respond_with(shelf.clone()).mount(&publisher).await;
        let plugins = Bench::new().with("zotify_plugin_podcast");
        let host = TestApp::with(&configuration(&plugins, &publisher)).await.admin().await;
        host.until("/api/providers/pod", |provider| provider["state"] == "started").await;
        Self { host, publisher, shelf, plugins }
    }

    async fn restarted(self) -> Self {
        let dir = self.host.stop().await;
        let host = TestApp::at(dir, "", &configuration(&self.plugins, &self.publisher)).await.sign_in_again().await;
        host.until("/api/providers/pod", |provider| provider["state"] == "started").await;
        Self { host, ..self }
    }

    fn at(&self, path: &str) -> String {
        format!("{}{path}", self.publisher.uri())
    }

    /// Connects an account with a form's values; answers its id.
    async fn connect(&self, values: &Value) -> String {
        let flow = self.host.post("/api/accounts/flows", &json!({"provider": "pod"})).await.expect(201);
        let path = format!("/api/accounts/flows/{}", flow["id"].as_str().unwrap());
        let done = self.host.post(&path, &json!({"values": values})).await.expect(200);
        let account = done["step"]["account"].as_str().unwrap_or_else(|| panic!("{done:#}")).to_owned();
        self.calm().await;
        account
    }

    async fn sync(&self) {
        self.host.post("/api/sync", &json!({"direction": "pull"})).await.expect(202);
        self.calm().await;
    }

    /// Waits until no job is left to do.
    async fn calm(&self) {
        let ended = |job: &Value| ["succeeded", "failed", "cancelled"].contains(&job["state"].as_str().unwrap());
        let jobs =
            self.host.until("/api/jobs?limit=200", |jobs| jobs["data"].as_array().unwrap().iter().all(ended)).await;
        let failed: Vec<_> =
            jobs["data"].as_array().unwrap().iter().filter(|job| job["state"] != "succeeded").collect();
        assert!(failed.is_empty(), "{failed:#?}");
    }

    async fn list(&self, path: &str) -> Vec<Value> {
        let page = self.host.get(path).await.expect(200);
        page["data"].as_array().unwrap().clone()
    }

    async fn uris(&self, kind: &str) -> Vec<String> {
        let rows = self.list(&format!("/api/library/{kind}?limit=200")).await;
        rows.iter().map(|row| row["uri"].as_str().unwrap().to_owned()).collect()
    }

    async fn edit(&self, body: &Value) -> Value {
        self.host.patch("/api/library", body).await.expect(200)
    }

    async fn media(&self, episode: &str, range: Option<&str>) -> Reply {
        let request = self.host.request(Method::GET, &format!("/api/episodes/{episode}/media"));
        self.host.send(range.into_iter().fold(request, |request, range| request.header("range", range))).await
    }

    /// The requests for a path: how many, and how many of them asked whether it changed.
    async fn asked(&self, path: &str) -> (usize, usize) {
        let requests = self.publisher.received_requests().await.unwrap();
        let of_path: Vec<_> = requests.iter().filter(|request| request.url.path() == path).collect();
        (of_path.len(), of_path.iter().filter(|request| request.headers.contains_key("if-none-match")).count())
    }
}

fn configuration(plugins: &Bench, publisher: &MockServer) -> String {
    format!(
        "[plugins]\ndirectories = [{:?}]\n[providers.pod]\nplugin = \"podcast\"\npermissions = [\"public-internet\"]\n\
         settings = {{ refresh_minutes = 0, max_feed_mb = 16, contact = \"me@example.org\", local_origins = [\"{}\"] }}\n",
        plugins.path("plugins"),
        publisher.uri()
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_podcast_is_followed_read_and_played() {
    let world = World::new().await;
    world.shelf.put("/trains", Served::Feed(feed("Trains", 0..3)));
    (0..5).for_each(|n| world.shelf.put(&format!("/audio/{n}.mp3"), Served::Audio(audio(n))));
    let opml = format!(
        "<opml version=\"2.0\"><head><title>{}</title></head><body><outline text=\"T\" xmlUrl=\"{}\"/></body></opml>",
        "x".repeat(100_000),
        world.at("/trains")
    );
    let account = world.connect(&json!({"name": "Mine", "opml": opml})).await;
    let connected = world.host.get(&format!("/api/accounts/{account}")).await.expect(200);
    assert_eq!((&connected["label"], &connected["completeness"]), (&json!("Mine"), &json!("complete")));

    let shows = world.list("/api/library/shows").await;
    assert_eq!((&shows[0]["title"], &shows[0]["episode_count"]), (&json!("Trains"), &json!(3)));
    let show = shows[0]["uri"].as_str().unwrap();
    let episodes = world.list(&format!("/api/shows/{show}/episodes")).await;
    let titles: Vec<_> = episodes.iter().map(|episode| episode["title"].as_str().unwrap()).collect();
    assert_eq!(titles, ["Trains number 2", "Trains number 1", "Trains number 0"]);
    assert_eq!((&episodes[0]["duration_ms"], &episodes[0]["release_date"]), (&json!(100_000), &json!("2026-03-03")));
    assert_eq!((&episodes[0]["season_number"], &episodes[0]["episode_number"]), (&json!(1), &json!(2)));
    // The library stands in for a catalogue to search.
    for scope in ["library", "catalog"] {
        let found = world.list(&format!("/api/search?q=number+trains&kinds=episode&scope={scope}")).await;
        assert_eq!(found.len(), 3, "{scope}");
    }

    let episode = episodes[1]["uri"].as_str().unwrap();
    let whole = world.media(episode, None).await;
    assert_eq!((whole.status.as_u16(), whole.header("content-type")), (200, "audio/mpeg"));
    assert_eq!(whole.bytes.as_ref() as &[u8], audio(1).as_slice());
    let part = world.media(episode, Some("bytes=4000-")).await;
    assert_eq!((part.status.as_u16(), part.bytes.as_ref() as &[u8]), (206, &audio(1)[4000..]));

    // What the publisher takes away can be told from what never was.
    world.shelf.put("/audio/1.mp3", Served::Broken);
    world.media(episode, None).await.expect_problem(502, "provider_failed");
    let user_agents = world.publisher.received_requests().await.unwrap();
    let named = user_agents.iter().filter(|request| request.url.path() == "/trains");
    assert!(named.into_iter().all(|r| r.headers["user-agent"].to_str().unwrap().ends_with("(+me@example.org)")));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_did_not_change_is_not_read_and_what_moved_stays_the_same() {
    let world = World::new().await;
    world.shelf.put("/trains", Served::Feed(feed("Trains", 0..30)));
    world.connect(&json!({"feeds": world.at("/trains")})).await;
    let (shows, episodes) = (world.uris("shows").await, world.uris("episodes").await);
    assert_eq!((shows.len(), episodes.len(), world.asked("/trains").await), (1, 30, (1, 0)));
    let world = world.restarted().await;
    // A host that starts looks at its libraries by itself.
    world.calm().await;
    let (before, _) = world.asked("/trains").await;
    world.sync().await;
    let (requests, conditional) = world.asked("/trains").await;
    assert_eq!((requests - before, conditional), (1, requests - 1), "each but the first asks whether it changed");
    let runs = world.list("/api/sync/runs").await;
    assert_eq!(
        (&runs[0]["completeness"], &runs[0]["counts"]["upserted"]),
        (&json!("complete"), &json!(0)),
        "{:#}",
        runs[0]
    );

    world.shelf.put("/trains", Served::Moved(world.at("/railways")));
    world.shelf.put("/railways", Served::Feed(feed("Railways", 0..31).replace("Railways-", "Trains-")));
    world.sync().await;
    assert_eq!(world.uris("shows").await, shows);
    let now = world.uris("episodes").await;
    assert!(now.len() == 31 && episodes.iter().all(|uri| now.contains(uri)));
    assert_eq!(world.list("/api/library/shows").await[0]["title"], "Railways");
    let (old, _) = world.asked("/trains").await;
    world.sync().await;
    assert_eq!(
        (world.asked("/trains").await.0, world.asked("/railways").await),
        (old, (2, 1)),
        "asked where it is now"
    );

    world.shelf.put("/railways", Served::Broken);
    world.sync().await;
    let run = world.list("/api/sync/runs").await.remove(0);
    assert_eq!((&run["completeness"], &run["code"]), (&json!("partial"), &json!("feeds_unreadable")), "{run:#}");
    assert_eq!(world.uris("episodes").await.len(), 31, "nothing goes because a server is down");
}

#[tokio::test(flavor = "multi_thread")]
async fn podcasts_come_and_go_by_their_address() {
    let world = World::new().await;
    world.shelf.put("/trains", Served::Feed(feed("Trains", 0..30)));
    world.shelf.put("/ships", Served::Feed(feed("Ships", 0..3)));
    world.connect(&json!({"feeds": world.at("/ships")})).await;

    let found = world.host.post("/api/resolve", &json!({"urls": [world.at("/trains")]})).await.expect(200);
    let show = found["data"][0]["matches"][0]["uri"].as_str().unwrap_or_else(|| panic!("{found:#}")).to_owned();
    // Nobody follows it yet, and it can be looked at.
    assert_eq!(world.list(&format!("/api/shows/{show}/episodes?limit=30")).await.len(), 30);
    let added = world.edit(&json!({"add": [world.at("/trains")]})).await;
    assert_eq!((&added["data"][0]["uri"], &added["data"][0]["status"]), (&json!(show), &json!("added")), "{added:#}");
    assert_eq!(world.uris("shows").await.len(), 2, "at once");
    world.host.until("/api/library/episodes?limit=200", |page| page["data"].as_array().unwrap().len() == 33).await;
    world.calm().await;

    world.edit(&json!({"remove": [show]})).await;
    assert_eq!(
        (world.uris("shows").await.len(), world.uris("episodes").await.len()),
        (1, 3),
        "its episodes go with it"
    );
    world.sync().await;
    let held = world.list("/api/sync/runs").await;
    assert!(held.iter().all(|run| run["state"] == "applied"), "{held:#?}");
    assert_eq!(world.uris("episodes").await.len(), 3);

    let nowhere = world.edit(&json!({"add": [world.at("/nowhere")]})).await;
    assert_eq!(nowhere["data"][0]["code"], "item_not_found", "{nowhere:#}");
    // This machine's other ports are nobody's business.
    let private = world.edit(&json!({"add": ["http://127.0.0.1:9/feed"]})).await;
    assert_eq!(private["data"][0]["code"], "provider_refused", "{private:#}");
    let log = world.host.get("/api/library/shows").await.expect(200).to_string();
    assert!(!log.contains("/ships\""), "addresses of feeds may hold secrets: {log}");
}

/// As many large feeds as are read at a time, in the memory that a plugin has.
#[tokio::test(flavor = "multi_thread")]
async fn large_feeds_fit_the_process() {
    let world = World::new().await;
    let notes = format!("<description>{}</description></item>", "Notes &amp; links. ".repeat(3400));
    let large = |n| feed(&format!("Large{n}"), 0..240).replace("</item>", &notes);
    assert!((14 << 20..16 << 20).contains(&large(0).len()), "{}", large(0).len());
    (0..4).for_each(|n| world.shelf.put(&format!("/large{n}"), Served::Feed(large(n))));
    let addresses: Vec<String> = (0..4).map(|n| world.at(&format!("/large{n}"))).collect();
    let account = world.connect(&json!({"feeds": addresses.join("\n")})).await;
    let account = world.host.get(&format!("/api/accounts/{account}")).await.expect(200);
    assert_eq!(account["completeness"], "complete", "{account:#}");
    let run = world.list("/api/sync/runs").await.remove(0);
    assert_eq!((&run["counts"]["upserted"], &run["counts"]["skipped"]), (&json!(964), &json!(0)), "{run:#}");
}
