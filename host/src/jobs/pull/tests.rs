//! The rules of reading a library, on a real database. With `ZOTIFY_TEST_DATABASE_URL` (a `postgres:` URL whose database
//! may be filled with schemas) on PostgreSQL, else on SQLite.

use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Row as _};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use zotify_plugin_api::{
    Album, AlbumRef, ArtistRef, Completeness, Item, LibraryPage, Listing, Page, Playlist, PlaylistEntry, Skipped,
    Track, Uri, wire::Rows,
};

use super::*;
use crate::{
    AppState,
    app::App,
    config::Config,
    db::{
        Db,
        items::{self, Filter, Hit, Order, Slice, Source, Wanted},
        playlists,
        pull_runs::{self, PullRun},
    },
    jobs::Enqueue,
};

mod lists;

#[test]
fn circles_of_cursors_are_noticed_and_lines_are_not() {
    for length in [1, 2, 3, 7, 100] {
        let mut circle = Circle::default();
        let lead = ["x", "y", "z"].map(String::from).into_iter();
        let mut cursors = lead.chain((0..).map(|n: usize| (n % length).to_string()));
        let steps = cursors.position(|cursor| circle.closes(&cursor)).unwrap();
        assert!(steps <= 3 * (length + 3) + 3, "{length}: {steps}");
    }
    let mut line = Circle::default();
    assert!((0..10_000).all(|n| !line.closes(&n.to_string())));
}

pub(in crate::jobs) struct World {
    pub(in crate::jobs) app: AppState,
    account: Account,
    _dir: TempDir,
}

impl World {
    pub(in crate::jobs) async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let url = match std::env::var("ZOTIFY_TEST_DATABASE_URL") {
            Ok(url) => schema_of_its_own(&url).await,
            Err(_) => format!("sqlite://{}/zotify.db", dir.path().display()),
        };
        let key = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
        let text = format!(
            "[server]\nmode = \"dev\"\nlisten = \"127.0.0.1:0\"\ndata_dir = \"{}/data\"\n[database]\nurl = \"{url}\"\n\
             [secrets]\nmaster_key = \"{key}\"\n",
            dir.path().display()
        );
        let config = Config::parse(&text, dir.path()).unwrap_or_else(|e| panic!("{e}"));
        let app = App::start(config).await.unwrap_or_else(|e| panic!("{e}")).app;
        let mut tx = app.db.write().await.unwrap();
        let account = accounts::ensure_shared(&mut tx, "fake").await.unwrap();
        tx.commit().await.unwrap();
        Self { app, account, _dir: dir }
    }

    /// A run that goes on from a checkpoint, or a new one.
    async fn pull(&self, checkpoint: Option<Checkpoint>) -> Pull {
        let account = accounts::find(&self.app.db, &self.account.id).await.unwrap().unwrap();
        let ctx = self.job().await;
        let can = Can { library: true, playlists: true, ..Can::default() };
        let at = match checkpoint {
            Some(at) => at,
            None => begin(&ctx, &account).await.unwrap(),
        };
        Pull { ctx, account, can, at }
    }

    /// A job that runs.
    pub(in crate::jobs) async fn job(&self) -> JobContext {
        let mut tx = self.app.db.write().await.unwrap();
        let job = PullLibrary { account_id: self.account.id.clone() };
        // A kind that no runner knows, so that none takes it.
        let id = crate::jobs::enqueue(&mut tx, &job, Enqueue::default()).await.unwrap();
        let lease =
            "UPDATE jobs SET state = 'running', lease_owner = 'tests', lease_until = 99999999999999 WHERE id = $1";
        sqlx::query(lease).bind(id.clone()).execute(&mut *tx).await.unwrap();
        tx.commit().await.unwrap();
        JobContext::for_tests(self.app.clone(), id, "tests", CancellationToken::new())
    }

    /// A whole run of one page.
    async fn run(&self, page: LibraryPage) -> PullRun {
        let mut pull = self.pull(None).await;
        pull.can.playlists = false;
        pull.store_library(page, None).await.unwrap();
        pull.finish().await.unwrap();
        self.ended(&pull).await
    }

    async fn ended(&self, pull: &Pull) -> PullRun {
        pull_runs::find(self.app.db.read(), std::slice::from_ref(&self.account.id), &pull.at.run)
            .await
            .unwrap()
            .unwrap()
    }

    fn sources(&self) -> Vec<Source> {
        vec![Source { account: self.account.id.clone(), before: Vec::new() }]
    }

    async fn titles(&self) -> Vec<String> {
        let filter = Filter { kind: Some("track"), ..Filter::default() };
        let slice = Slice { order: Order::Title, descending: false, after: None, limit: 1000 };
        let part = items::list(&self.app.db, &self.sources(), &filter, &slice).await.unwrap();
        titles(&part.json)
    }

    async fn doc(&self, uri: &str) -> Option<Value> {
        let found = items::find(self.app.db.read(), std::slice::from_ref(&self.account.id), uri).await.unwrap();
        found.map(|found| serde_json::from_str(&found.doc).unwrap())
    }

    async fn search(&self, text: &str, kinds: &[&'static str], limit: i64) -> Vec<String> {
        let (mut found, mut after): (Vec<String>, Option<Hit>) = (Vec::new(), None);
        loop {
            let wanted = Wanted { text, kinds };
            let (part, last) = items::search(&self.app.db, &self.sources(), &wanted, after, limit).await.unwrap();
            assert!((1..=limit).contains(&part.count) || (part.count == 0 && found.is_empty() && last.is_none()));
            found.extend(titles(&part.json));
            after = last;
            if after.is_none() {
                return found;
            }
        }
    }
}

/// A schema for one test, so that tests don't meet.
async fn schema_of_its_own(url: &str) -> String {
    let schema = format!("t{}", Ulid::generate().to_string().to_lowercase());
    let db = Db::connect(url).await.unwrap();
    sqlx::query(AssertSqlSafe(format!("CREATE SCHEMA {schema}"))).execute(db.read()).await.unwrap();
    let separator = if url.contains('?') { '&' } else { '?' };
    format!("{url}{separator}options=-c%20search_path%3D{schema}")
}

fn titles(json: &str) -> Vec<String> {
    let docs: Vec<Value> = serde_json::from_str(&format!("[{json}]")).unwrap();
    docs.iter().map(|doc| doc["title"].as_str().or(doc["name"].as_str()).unwrap().to_owned()).collect()
}

fn uri(text: &str) -> Uri {
    text.parse().unwrap()
}

fn track(id: impl std::fmt::Display, title: &str) -> Track {
    Track::new(uri(&format!("fake:track:{id}")), title)
}

fn page(tracks: impl IntoIterator<Item = Track>) -> LibraryPage {
    let upsert: Vec<Item> = tracks.into_iter().map(Item::Track).collect();
    LibraryPage { listing: Listing::Everything, upsert: upsert.into(), ..LibraryPage::default() }
}

fn many(n: usize) -> Vec<Track> {
    (0..n).map(|n| track(n, &format!("song {n:04}"))).collect()
}

#[tokio::test]
async fn absence_in_a_complete_list_is_deletion_and_in_a_partial_one_is_not() {
    let world = World::new().await;
    let first = world.run(page(many(3))).await;
    assert_eq!((first.state.as_str(), first.completeness.as_deref()), ("applied", Some("complete")));
    assert_eq!(first.counts.upserted, 3);

    let partial = Completeness::Partial { code: "folder_empty".into(), detail: "it is empty".into() };
    let second = world.run(LibraryPage { completeness: partial, ..page([]) }).await;
    assert_eq!((second.state.as_str(), second.completeness.as_deref()), ("applied", Some("partial")));
    assert_eq!(second.code.as_deref(), Some("folder_empty"));
    assert_eq!(world.titles().await.len(), 3);

    let unknown = world.run(LibraryPage { completeness: Completeness::Unknown, ..page([]) }).await;
    assert_eq!(unknown.completeness.as_deref(), Some("partial"));

    let third = world.run(LibraryPage { unchanged: vec![uri("fake:track:1")], ..page([]) }).await;
    assert_eq!((third.counts.unchanged, third.counts.removed), (1, 2));
    assert_eq!(world.titles().await, ["song 0001"]);
}

#[tokio::test]
async fn a_run_that_would_remove_a_lot_waits_for_confirmation() {
    let world = World::new().await;
    world.run(page(many(200))).await;
    // Twenty are within the limit.
    let run = world.run(page(many(180))).await;
    assert_eq!((run.state.as_str(), run.counts.removed), ("applied", 20));

    let held = world.run(page(many(100))).await;
    assert_eq!((held.state.as_str(), held.counts.removed), ("held", 0));
    let plan: Value = serde_json::from_str(&held.plan.clone().unwrap()).unwrap();
    assert_eq!((&plan["remove"], &plan["of"], &plan["kinds"]["track"]), (&json!(80), &json!(180), &json!(80)));
    assert_eq!(plan["sample"][0], json!({"uri": "fake:track:100", "title": "song 0100"}));
    assert_eq!(world.titles().await.len(), 180);

    // What comes back is not removed later; what stays away is not asked for twice.
    let again = world.run(page(many(150))).await;
    assert_eq!((again.state.as_str(), again.counts.removed), ("applied", 0));
    let mut tx = world.app.db.write().await.unwrap();
    assert!(pull_runs::release(&mut tx, &held.id).await.unwrap());
    assert_eq!(items::remove(&mut tx, &world.account.id, &held.id, false).await.unwrap(), 30);
    assert!(!pull_runs::release(&mut tx, &held.id).await.unwrap(), "a run is applied once");
    tx.commit().await.unwrap();
    assert_eq!(world.titles().await.len(), 150);
}

#[tokio::test]
async fn changes_name_what_is_gone_and_only_a_complete_run_believes_it() {
    let world = World::new().await;
    let changes = |removed: &[&str], completeness| LibraryPage {
        listing: Listing::Changes,
        removed: removed.iter().map(|u| uri(u)).collect(),
        completeness,
        ..LibraryPage::default()
    };
    world.run(LibraryPage { listing: Listing::Changes, ..page(many(3)) }).await;
    let partial = Completeness::Partial { code: "folder_missing".into(), detail: String::new() };
    world.run(changes(&["fake:track:0"], partial)).await;
    assert_eq!(world.titles().await.len(), 3);
    // The marks of the partial run must not count in the next one.
    world.run(changes(&[], Completeness::Complete)).await;
    assert_eq!(world.titles().await.len(), 3);
    let run = world.run(changes(&["fake:track:0", "other:track:1"], Completeness::Complete)).await;
    assert_eq!(run.counts.removed, 1);
    assert_eq!(world.titles().await, ["song 0001", "song 0002"]);
    world.run(LibraryPage { listing: Listing::Unknown, removed: vec![uri("fake:track:1")], ..page([]) }).await;
    assert_eq!(world.titles().await.len(), 2, "a listing that is not understood removes nothing");
}

#[tokio::test]
async fn a_killed_run_goes_on_where_it_was() {
    let world = World::new().await;
    world.run(page(many(30))).await;
    let all = many(30);
    let mut first = world.pull(None).await;
    first.store_library(page(all[..10].to_vec()), Some("10".into())).await.unwrap();
    // What the database holds is all that is left of a killed host.
    let saved: String = sqlx::query("SELECT checkpoint FROM jobs WHERE id = $1")
        .bind(first.ctx.id.clone())
        .fetch_one(world.app.db.read())
        .await
        .unwrap()
        .try_get(0)
        .unwrap();
    let at: Checkpoint = serde_json::from_str(&saved).unwrap();
    assert_eq!((at.cursor.as_deref(), at.step), (Some("10"), Step::Library));
    let mut second = world.pull(Some(at)).await;
    second.can.playlists = false;
    second.store_library(page(all[10..].to_vec()), None).await.unwrap();
    second.finish().await.unwrap();
    let run = world.ended(&second).await;
    assert_eq!((run.counts.upserted, run.counts.removed), (30, 0));
    assert_eq!(world.titles().await.len(), 30);
}

#[tokio::test]
async fn a_runner_that_lost_its_job_stores_nothing() {
    let world = World::new().await;
    let mut pull = world.pull(None).await;
    let steal = "UPDATE jobs SET lease_owner = 'another' WHERE id = $1";
    let mut tx = world.app.db.write().await.unwrap();
    sqlx::query(steal).bind(pull.ctx.id.clone()).execute(&mut *tx).await.unwrap();
    tx.commit().await.unwrap();
    assert!(pull.store_library(page(many(3)), None).await.is_err());
    assert!(world.titles().await.is_empty());
}

#[tokio::test]
async fn bad_items_are_dropped_and_named() {
    let world = World::new().await;
    let foreign = Item::Track(Track::new(uri("other:track:1"), "x"));
    let wrong = Item::Track(Track::new(uri("fake:album:1"), "x"));
    let misplaced = Item::Playlist(Playlist::new(uri("fake:playlist:1"), "x"));
    let (old, new) = (Item::Track(track(1, "old")), Item::Track(track(1, "new")));
    let mut upsert = Rows::from(vec![old, foreign, wrong, misplaced, new]);
    upsert.rejected.push("missing field `title`".into());
    let skipped = vec![Skipped { name: "bad.mp3".into(), code: "damaged".into(), detail: "no frames".into() }];
    let run = world.run(LibraryPage { upsert, skipped, ..page([]) }).await;
    assert_eq!((run.counts.upserted, run.counts.dropped, run.counts.skipped), (1, 4, 1));
    let mut codes: Vec<_> =
        pull_runs::skips(world.app.db.read(), &run.id).await.unwrap().into_iter().map(|s| s.code).collect();
    codes.sort();
    assert_eq!(codes, ["damaged", "foreign_uri", "undecodable", "wrong_kind", "wrong_kind"]);
    assert_eq!(world.titles().await, ["new"], "of two with one address the later counts");
}

#[tokio::test]
async fn a_move_keeps_what_hangs_on_the_item() {
    let world = World::new().await;
    let album = |id: &str| {
        let mut album = Album::new(uri(&format!("fake:album:{id}")), "Album");
        album.added_at = Some("2020-01-01T00:00:00Z".into());
        album
    };
    let mut song = track("a", "Song");
    song.album = Some(AlbumRef { title: "Album".into(), uri: Some(uri("fake:album:1")) });
    song.artists = vec![ArtistRef { name: "Artist".into(), uri: Some(uri("fake:artist:1")) }];
    song.artwork = vec![zotify_plugin_api::Artwork { locator: "x".into(), width: Some(10), height: None }];
    song.added_at = Some("2021-01-01T00:00:00Z".into());
    let mut start = page([song.clone()]);
    start.upsert.rows.push(Item::Album(album("1")));
    world.run(start).await;

    // Only the move is named.
    let moves = |pairs: &[(&str, &str)]| LibraryPage {
        listing: Listing::Changes,
        moved: pairs.iter().map(|(old, new)| (uri(old), uri(new))).collect(),
        ..LibraryPage::default()
    };
    let run = world.run(moves(&[("fake:track:a", "fake:track:b"), ("fake:album:1", "fake:album:2")])).await;
    assert_eq!(run.counts.moved, 2);
    let doc = world.doc("fake:track:b").await.unwrap();
    assert_eq!((&doc["uri"], &doc["album"]["uri"]), (&json!("fake:track:b"), &json!("fake:album:2")));
    assert_eq!(doc["artwork"][0]["url"], "/api/artwork/fake:track:b?size=10");
    assert_eq!(doc["added_at"], "2021-01-01T00:00:00Z");
    assert!(world.doc("fake:track:a").await.is_none());
    let children = items::children(&world.app.db, &world.sources(), "fake:album:2", None, 10).await.unwrap();
    assert_eq!(titles(&children.json), ["Song"]);

    // The new address came a page before the move.
    let mut again = track("c", "Song");
    again.added_at = None;
    world.run(LibraryPage { listing: Listing::Changes, ..page([again]) }).await;
    world.run(moves(&[("fake:track:b", "fake:track:c")])).await;
    assert_eq!(world.doc("fake:track:c").await.unwrap()["added_at"], "2021-01-01T00:00:00Z");
    assert_eq!(world.titles().await, ["Song"]);

    // Move and item on one page, as a scan of files says it.
    let mut moved = moves(&[("fake:track:c", "fake:track:d")]);
    moved.upsert = vec![Item::Track(track("d", "Song, retagged"))].into();
    world.run(moved).await;
    assert_eq!(world.doc("fake:track:d").await.unwrap()["added_at"], "2021-01-01T00:00:00Z");
}

#[tokio::test]
async fn what_the_plugin_takes_as_known_and_is_not_is_read_anew() {
    let world = World::new().await;
    let token = async || accounts::find(&world.app.db, &world.account.id).await.unwrap().unwrap().sync_token;
    world.run(LibraryPage { sync_token: Some("t1".into()), ..page(many(1)) }).await;
    assert_eq!(token().await.as_deref(), Some("t1"));
    let partial = Completeness::Partial { code: "x".into(), detail: String::new() };
    let page_with = |sync: Option<&str>, unchanged: &[&str]| LibraryPage {
        sync_token: sync.map(Into::into),
        unchanged: unchanged.iter().map(|u| uri(u)).collect(),
        ..page([])
    };
    let partial = |sync| LibraryPage { completeness: partial.clone(), ..page_with(sync, &[]) };
    world.run(partial(None)).await;
    assert_eq!(token().await.as_deref(), Some("t1"), "a partial run that names no token leaves it");
    world.run(partial(Some("t2"))).await;
    assert_eq!(token().await.as_deref(), Some("t2"), "one that knows how to go on moves it");
    assert_eq!(world.titles().await, ["song 0000"], "and removes nothing");
    world.run(page_with(Some("t3"), &["fake:track:0", "fake:track:99"])).await;
    assert_eq!(token().await, None);
}

#[tokio::test]
async fn a_run_whose_job_gave_up_is_listed_as_failed() {
    let world = World::new().await;
    let pull = world.pull(None).await;
    let listed = async |state: &str| {
        let accounts = std::slice::from_ref(&world.account.id);
        let runs = pull_runs::list(world.app.db.read(), accounts, Some(state), None, 10).await.unwrap();
        runs.into_iter().map(|run| (run.id, run.state)).collect::<Vec<_>>()
    };
    let id = pull.at.run.clone();
    assert_eq!(listed("running").await, [(id.clone(), "running".to_owned())]);
    let mut tx = world.app.db.write().await.unwrap();
    let end = "UPDATE jobs SET state = 'failed' WHERE id = $1";
    sqlx::query(end).bind(pull.ctx.id.clone()).execute(&mut *tx).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(listed("running").await, []);
    assert_eq!(listed("failed").await, [(id, "failed".to_owned())]);
}
