//! Playlists: reading rows of every sort, and edits that keep what they should.

use serde_json::{Value, json};
use zotify_plugin_api::{
    ErrorKind, Kind, PageRequest, PlaylistCreate, PlaylistEdit, PlaylistEdited, PlaylistEntry, PlaylistImage,
    PlaylistItems, PlaylistOp, PlaylistUpdate, Provider as _, Result,
};

use crate::support::{World, answer, broken, call, id, key, ok, path, query, row, track, uri};

const LIST: usize = 900;

async fn entries(world: &World) -> Vec<PlaylistEntry> {
    let mut entries = Vec::new();
    let mut cursor = None;
    loop {
        let page = PageRequest { cursor, limit: 0 };
        let request = PlaylistItems { uri: uri(Kind::Playlist, LIST), locator: None, page };
        let page = world.spotify.playlist_items(call(request)).await.unwrap();
        entries.extend(page.entries.rows);
        cursor = page.next;
        if cursor.is_none() {
            return entries;
        }
    }
}

async fn edit(world: &World, ops: Vec<PlaylistOp>) -> Result<PlaylistEdited> {
    world.spotify.playlist_edit(call(PlaylistEdit { playlist: key(Kind::Playlist, LIST), version: None, ops })).await
}

fn numbers(range: impl IntoIterator<Item = usize>) -> Vec<String> {
    range.into_iter().map(|n| n.to_string()).collect()
}

fn local() -> Value {
    let item = json!({"uri": "spotify:local:Artist:Album:Song:12", "id": null, "type": "track", "name": "Song",
        "artists": [{"name": "Artist", "id": null}], "external_ids": {}, "album": {"album_type": null}});
    json!({"added_at": "2026-01-01T00:00:00Z", "is_local": true, "item": item})
}

#[tokio::test]
async fn every_row_keeps_its_place() {
    let world = World::new();
    let old = json!({"added_at": null, "track": track(2)});
    let chapter = json!({"item": {"type": "chapter", "uri": format!("spotify:chapter:{}", id(5)), "name": "One"}});
    let rows = vec![row(1), old, json!({"item": track(3)}), json!({"item": null}), Value::Null, local(), chapter];
    world.playlist(LIST, rows);
    let entries = entries(&world).await;
    let seen: Vec<Option<String>> = (entries.iter())
        .map(|entry| entry.item.as_ref().map(|item| item.uri().id().to_owned()).or(entry.title.clone()))
        .collect();
    let wanted = [Some(id(1)), Some(id(2)), Some(id(3)), None, None, Some("Artist – Song".into()), Some("One".into())];
    assert_eq!(seen, wanted);
    let ids: std::collections::BTreeSet<&str> = entries.iter().map(|entry| entry.entry_id.as_str()).collect();
    assert_eq!(ids.len(), entries.len());
    assert_eq!(query(&world.host.requests()[0], "additional_types").as_deref(), Some("track,episode"));
}

#[tokio::test]
async fn entries_keep_their_ids_wherever_they_stand() {
    let world = World::new();
    let mut rows: Vec<Value> = (0..230).map(row).collect();
    rows.extend([row(7), row(7)]);
    world.playlist(LIST, rows);
    let before = entries(&world).await;
    assert_eq!(before.len(), 232);
    world.service().playlists.get_mut(&id(LIST)).unwrap().rows.rotate_right(3);
    let after = entries(&world).await;
    let ids = |entries: &[PlaylistEntry]| {
        entries.iter().map(|e| e.entry_id.clone()).collect::<std::collections::BTreeSet<_>>()
    };
    assert_eq!(ids(&before), ids(&after));
    assert_eq!(ids(&before).len(), 232);
    assert_ne!(before[0].entry_id, after[0].entry_id);
}

#[tokio::test]
async fn what_a_followed_playlist_hides_is_not_empty() {
    let world = World::new();
    world.playlist(LIST, vec![row(1)]);
    world.service().playlists.get_mut(&id(LIST)).unwrap().hidden = true;
    let request = PlaylistItems { uri: uri(Kind::Playlist, LIST), locator: None, page: PageRequest::default() };
    let error = world.spotify.playlist_items(call(request)).await.unwrap_err();
    assert_eq!((error.kind, error.code.as_deref()), (ErrorKind::Restricted, Some("not_accessible")));
}

#[tokio::test]
async fn one_of_three_copies_goes_and_two_stay() {
    let world = World::new();
    world.playlist(LIST, [5, 1, 5, 2, 5].map(row).into());
    let entry = entries(&world).await[2].entry_id.clone();
    let edited = edit(&world, vec![PlaylistOp::Remove { entries: vec![entry] }]).await.unwrap();
    assert_eq!(edited.results, [None]);
    assert_eq!(world.contents(LIST), ["5", "1", "2", "5"]);
    // It was looked at afterwards.
    assert!(world.log().last().unwrap().starts_with("GET /playlists/"));
}

#[tokio::test]
async fn operations_build_on_each_other() {
    let world = World::new();
    world.playlist(LIST, (1..7).map(row).collect());
    let ids: Vec<String> = entries(&world).await.into_iter().map(|entry| entry.entry_id).collect();
    let ops = vec![
        PlaylistOp::Move { entries: vec![ids[4].clone(), ids[5].clone()], before: Some(ids[0].clone()) },
        PlaylistOp::Add { items: vec![key(Kind::Track, 20), key(Kind::Album, 3)], before: Some(ids[1].clone()) },
        PlaylistOp::Remove { entries: vec![ids[2].clone()] },
        PlaylistOp::Add { items: vec![key(Kind::Track, 30)], before: None },
    ];
    let edited = edit(&world, ops).await.unwrap();
    assert_eq!(edited.results, [None, None, None, None]);
    assert_eq!(world.contents(LIST), ["5", "6", "1", "20", "2", "4", "30"]);
    assert_eq!(edited.refused.rows[0].error.as_ref().unwrap().code.as_deref(), Some("not_addable"));
    assert_eq!(edited.version, Some(world.service().snapshot()));
}

#[tokio::test]
async fn what_cannot_be_put_back_is_never_replaced_and_can_be_moved() {
    let world = World::new();
    world.playlist(LIST, vec![row(1), local(), row(2)]);
    let ids: Vec<String> = entries(&world).await.into_iter().map(|entry| entry.entry_id).collect();
    let error = edit(&world, vec![PlaylistOp::Replace { items: vec![key(Kind::Track, 9)] }]).await.unwrap_err();
    assert_eq!(error.code.as_deref(), Some("would_lose_entries"));
    let error = edit(&world, vec![PlaylistOp::Remove { entries: vec![ids[1].clone()] }]).await.unwrap_err();
    assert_eq!(error.code.as_deref(), Some("not_removable"));
    assert!(world.host.requests().iter().all(|request| request.method == "GET"));
    edit(&world, vec![PlaylistOp::Move { entries: vec![ids[1].clone()], before: None }]).await.unwrap();
    assert_eq!(world.service().playlists[&id(LIST)].rows[2], local());
}

#[tokio::test]
async fn three_hundred_items_go_in_by_hundreds_and_replace_what_was_there() {
    let world = World::new();
    world.playlist(LIST, vec![row(1)]);
    let items: Vec<_> = (2..302).map(|n| key(Kind::Track, n)).collect();
    edit(&world, vec![PlaylistOp::Add { items: items.clone(), before: None }]).await.unwrap();
    assert_eq!(world.contents(LIST), numbers(1..302));
    edit(&world, vec![PlaylistOp::Replace { items }]).await.unwrap();
    assert_eq!(world.contents(LIST), numbers(2..302));
    let entry = entries(&world).await[0].entry_id.clone();
    let first = PlaylistOp::Add { items: (500..650).map(|n| key(Kind::Track, n)).collect(), before: Some(entry) };
    edit(&world, vec![first]).await.unwrap();
    assert_eq!(world.contents(LIST), numbers((500..650).chain(2..302)));
}

#[tokio::test]
async fn what_of_three_hundred_is_missing_is_named() {
    for replace in [false, true] {
        let world = World::new();
        world.playlist(LIST, vec![row(1)]);
        let mut posts = 0;
        world.hook(move |request, _| {
            posts += usize::from(request.method == "POST");
            (request.method == "POST" && posts + usize::from(replace) == 3).then(|| answer(403, ""))
        });
        let items: Vec<_> = (2..302).map(|n| key(Kind::Track, n)).collect();
        let all = if replace { PlaylistOp::Replace { items } } else { PlaylistOp::Add { items, before: None } };
        let edited = edit(&world, vec![all]).await.unwrap();
        assert_eq!(edited.results[0].as_ref().unwrap().kind, ErrorKind::Restricted);
        let missing: Vec<_> = edited.refused.rows.iter().map(|result| result.uri.clone()).collect();
        assert_eq!(missing, (202..302).map(|n| uri(Kind::Track, n)).collect::<Vec<_>>());
        assert_eq!(world.contents(LIST), numbers(if replace { 2..202 } else { 1..202 }));
    }
}

#[tokio::test]
async fn an_answer_that_got_lost_adds_nothing_twice() {
    for (done, left) in [(true, 1), (false, 1)] {
        let world = World::new();
        world.playlist(LIST, vec![row(1)]);
        let mut left = left;
        world.hook(move |request, service| {
            (left > 0 && request.method == "POST").then(|| {
                left -= 1;
                if done {
                    service.serve(request).unwrap();
                }
                broken()
            })
        });
        let ops = vec![PlaylistOp::Add { items: vec![key(Kind::Track, 2)], before: None }];
        assert_eq!(edit(&world, ops).await.unwrap().results, [None]);
        assert_eq!(world.contents(LIST), ["1", "2"], "done: {done}");
        let posts = world.host.requests().iter().filter(|request| request.method == "POST").count();
        assert_eq!(posts, if done { 1 } else { 2 });
    }
}

#[tokio::test]
async fn a_move_whose_answer_got_lost_is_not_done_twice() {
    let world = World::new();
    world.playlist(LIST, (1..5).map(row).collect());
    let ids: Vec<String> = entries(&world).await.into_iter().map(|entry| entry.entry_id).collect();
    let mut left = 1;
    world.hook(move |request, service| {
        (left > 0 && request.method == "PUT").then(|| {
            left -= 1;
            service.serve(request).unwrap();
            answer(502, "<html>")
        })
    });
    edit(&world, vec![PlaylistOp::Move { entries: vec![ids[0].clone()], before: Some(ids[2].clone()) }]).await.unwrap();
    assert_eq!(world.contents(LIST), ["2", "1", "3", "4"]);
}

#[tokio::test]
async fn a_snapshot_that_lags_does_not_matter_and_another_version_does() {
    let world = World::new();
    world.playlist(LIST, (1..4).map(row).collect());
    let ids: Vec<String> = entries(&world).await.into_iter().map(|entry| entry.entry_id).collect();
    // What is read after a write still names the snapshot before.
    world.hook(move |request, service| {
        (request.method == "GET" && path(request) == format!("/playlists/{}", id(LIST))).then(|| {
            let answered = service.serve(request)?;
            let mut value: Value = serde_json::from_slice(&answered.body).unwrap();
            value["snapshot_id"] = json!("snapshot-old");
            ok(&value)
        })
    });
    let remove = |n: usize, version: &str| PlaylistEdit {
        playlist: key(Kind::Playlist, LIST),
        version: Some(version.into()),
        ops: vec![PlaylistOp::Remove { entries: vec![ids[n].clone()] }],
    };
    // Another version, in which the entry still stands.
    assert_eq!(world.spotify.playlist_edit(call(remove(0, "x"))).await.unwrap().results, [None]);
    let error = world.spotify.playlist_edit(call(remove(0, "x"))).await.unwrap_err();
    assert_eq!((error.kind, error.code.as_deref()), (ErrorKind::Conflict, Some("entry_gone")));
    let replace = PlaylistEdit { ops: vec![PlaylistOp::Replace { items: Vec::new() }], ..remove(0, "x") };
    assert_eq!(world.spotify.playlist_edit(call(replace)).await.unwrap_err().kind, ErrorKind::Conflict);
    assert_eq!(world.contents(LIST), ["2", "3"]);
}

#[tokio::test]
async fn a_failure_in_between_is_told_with_what_was_done() {
    let world = World::new();
    world.playlist(LIST, vec![row(1)]);
    let add = |n| PlaylistOp::Add { items: vec![key(Kind::Track, n)], before: None };
    let gone = PlaylistOp::Remove { entries: vec!["x".into()] };
    let edited = edit(&world, vec![add(2), gone, add(3)]).await.unwrap();
    assert_eq!(edited.results.len(), 2);
    assert_eq!(edited.results[1].as_ref().unwrap().code.as_deref(), Some("entry_gone"));
    assert_eq!(world.contents(LIST), ["1", "2"]);
}

#[tokio::test]
async fn what_spotify_would_refuse_or_spoil_is_not_sent() {
    let world = World::new();
    world.playlist(LIST, Vec::new());
    let update = |description: &str| PlaylistUpdate {
        playlist: key(Kind::Playlist, LIST),
        name: None,
        description: Some(description.into()),
        public: None,
        collaborative: None,
    };
    for description in ["", " ", "a\nb", &"x".repeat(301)] {
        let error = world.spotify.playlist_update(call(update(description))).await.unwrap_err();
        assert_eq!(error.code.as_deref(), Some("invalid_description"), "{description}");
    }
    let create = PlaylistCreate { name: "x".into(), description: None, public: Some(true), collaborative: true };
    let error = world.spotify.playlist_create(call(create)).await.unwrap_err();
    assert_eq!(error.code.as_deref(), Some("collaborative_public"));
    let image = |content_type: &str, size| {
        let mut bytes = vec![0; size];
        bytes[..3].copy_from_slice(&[0xff, 0xd8, 0xff]);
        PlaylistImage { playlist: key(Kind::Playlist, LIST), content_type: content_type.into(), bytes }
    };
    let error = world.spotify.playlist_image(call(image("image/jpeg", 200_000))).await.unwrap_err();
    assert_eq!((error.kind, error.code.as_deref()), (ErrorKind::InvalidRequest, Some("image_too_large")));
    let error = world.spotify.playlist_image(call(image("image/png", 2000))).await.unwrap_err();
    assert_eq!(error.code.as_deref(), Some("jpeg_only"));
    assert!(world.log().is_empty());
    world.next(1, "/playlists/", || answer(202, ""));
    world.spotify.playlist_image(call(image("image/jpeg", 190_000))).await.unwrap();
    assert!(world.host.requests()[0].body.iter().all(u8::is_ascii_graphic));
}

#[tokio::test]
async fn a_new_playlist_says_everything() {
    let world = World::new();
    world.hook(|request, _| {
        (request.method == "POST").then(|| {
            let body: Value = serde_json::from_slice(&request.body).unwrap();
            assert_eq!(body, json!({"name": "Mix", "public": false, "collaborative": false, "description": ""}));
            answer(201, json!({"type": "playlist", "id": id(3), "uri": format!("spotify:playlist:{}", id(3)),
                "name": "Mix", "description": "A &amp; B", "owner": {"id": "me"}, "public": true, "items": {"total": 0}})
            .to_string())
        })
    });
    let create = PlaylistCreate { name: "Mix".into(), ..PlaylistCreate::default() };
    let playlist = world.spotify.playlist_create(call(create.clone())).await.unwrap();
    // As Spotify says, not as it was asked for.
    assert_eq!(
        (playlist.public, playlist.description.as_deref(), playlist.editable),
        (Some(true), Some("A & B"), true)
    );
    world.hook(|_, _| None);
    let other = World::new();
    other.next(1, "/me/playlists", broken);
    let error = other.spotify.playlist_create(call(create)).await.unwrap_err();
    assert_eq!(error.code.as_deref(), Some("outcome_unknown"));
    assert_eq!(other.log().len(), 1);
    other.spotify.playlist_delete(call(key(Kind::Playlist, 3))).await.unwrap();
    assert_eq!(other.log().last().unwrap(), "DELETE /me/library");
}
