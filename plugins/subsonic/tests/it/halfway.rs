//! Edits that take several requests, and end after some of them.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use zotify_plugin_api::prelude::*;

use crate::{
    server::{Manners, Server},
    support::*,
};

fn ids(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|n| format!("so-{n}")).collect()
}

fn items(ids: &[String]) -> Vec<ItemKey> {
    keys(ids.iter().map(String::as_str))
}

/// A playlist of 200 tracks at a server that takes 80 in a request.
async fn long(manners: Manners) -> (Rig, Server, Uri) {
    let (rig, server) = Rig::of(manners, 30).await;
    let create = PlaylistCreate { name: "P".into(), ..PlaylistCreate::default() };
    let uri = rig.provider.playlist_create(call(create)).await.unwrap().uri;
    let list = &mut server.state().lists[0];
    (list.songs, list.written) = (ids(0..200), true);
    (rig, server.clone(), uri)
}

fn songs(server: &Server) -> Vec<String> {
    server.state().lists[0].songs.clone()
}

fn counts(songs: &[String]) -> BTreeMap<&str, usize> {
    let mut counts = BTreeMap::new();
    songs.iter().for_each(|song| *counts.entry(song.as_str()).or_default() += 1);
    counts
}

fn holds(all: &[String], part: &[String]) -> bool {
    let all = counts(all);
    counts(part).into_iter().all(|(song, count)| all.get(song).is_some_and(|has| *has >= count))
}

fn is_write(method: &str) -> bool {
    ["updatePlaylist", "createPlaylist"].contains(&method)
}

/// After so many writes nothing is answered any more.
fn dies_after(rig: &Rig, server: &Server, writes: usize) {
    let seen = AtomicUsize::new(0);
    rig.serve_instead(server, move |method, _| {
        let before = seen.fetch_add(usize::from(is_write(method)), Ordering::Relaxed);
        let dead = before > writes || (before == writes && is_write(method));
        dead.then(|| Err(ProviderError::unavailable("the server is gone")))
    });
}

/// One write fails; where `done`, only its answer is lost.
fn fails_once(rig: &Rig, server: &Server, write: usize, done: bool) -> Arc<AtomicUsize> {
    let (seen, behind) = (Arc::new(AtomicUsize::new(0)), server.clone());
    let writes = Arc::clone(&seen);
    rig.serve_instead(server, move |method, request| {
        let fails = is_write(method) && seen.fetch_add(1, Ordering::Relaxed) == write;
        if fails && done {
            behind.answer(request);
        }
        fails.then(|| Err(ProviderError::unavailable("the answer is lost")))
    });
    writes
}

/// Edits of the long playlist, and what they make of it.
async fn edits(rig: &Rig, uri: &Uri) -> Vec<(Vec<PlaylistOp>, Vec<String>)> {
    let entries: Vec<_> = rig.entries(uri).await.entries.rows.into_iter().map(|entry| entry.entry_id).collect();
    let (before, reversed) = (ids(0..200), ids(0..200).into_iter().rev().collect::<Vec<_>>());
    let moved = PlaylistOp::Move { entries: vec![entries[199].clone()], before: Some(entries[0].clone()) };
    let inserted = PlaylistOp::Add { items: items(&ids(250..251)), before: Some(entries[20].clone()) };
    let removed = PlaylistOp::Remove { entries: entries[50..150].to_vec() };
    let appended = PlaylistOp::Add { items: items(&ids(200..300)), before: None };
    let joined = |parts: &[&[String]]| parts.concat();
    vec![
        (vec![PlaylistOp::Replace { items: items(&reversed) }], reversed),
        (vec![PlaylistOp::Replace { items: items(&ids(150..300)) }], ids(150..300)),
        (vec![moved], joined(&[&before[199..], &before[..199]])),
        (vec![inserted], joined(&[&before[..20], &ids(250..251), &before[20..]])),
        (vec![removed, appended.clone()], joined(&[&before[..50], &before[150..], &ids(200..300)])),
        (vec![appended], ids(0..300)),
    ]
}

#[tokio::test]
async fn nothing_is_lost_wherever_an_edit_ends() {
    let (rig, server, uri) = long(Manners::old()).await;
    let before = ids(0..200);
    for (n, (ops, wanted)) in edits(&rig, &uri).await.into_iter().enumerate() {
        for writes in 0.. {
            server.state().lists[0].songs.clone_from(&before);
            dies_after(&rig, &server, writes);
            let edited = rig.edit(&uri, None, ops.clone()).await;
            let now = songs(&server);
            assert!(holds(&now, &before) || holds(&now, &wanted), "{n}, {writes}: {now:?}");
            rig.serve_instead(&server, |_, _| None);
            if edited.is_ok() {
                assert_eq!((now, writes > 1), (wanted, true), "{n}");
                break;
            }
            assert_eq!(code(edited), (ErrorKind::Conflict, "playlist_half_written".into()), "{n}, {writes}");
            rig.edit(&uri, None, ops.clone()).await.unwrap();
            assert_eq!(songs(&server), wanted, "{n}, {writes}: the same edit once more");
        }
    }
}

#[tokio::test]
async fn the_next_edit_takes_away_what_stands_there_twice() {
    let (rig, server, uri) = long(Manners::old()).await;
    let before = ids(0..200);
    for (n, (ops, wanted)) in edits(&rig, &uri).await.into_iter().enumerate() {
        for writes in 0.. {
            server.state().lists[0].songs.clone_from(&before);
            dies_after(&rig, &server, writes);
            let edited = rig.edit(&uri, None, ops.clone()).await;
            let left = songs(&server);
            rig.serve_instead(&server, |_, _| None);
            if edited.is_ok() {
                break;
            }
            let other = PlaylistOp::Add { items: items(&ids(260..261)), before: None };
            let version = rig.entries(&uri).await.version;
            rig.edit(&uri, version.as_deref(), vec![other]).await.unwrap();
            let mut now = songs(&server);
            assert_eq!(now.pop().as_deref(), Some("so-260"), "{n}, {writes}");
            let (had, has) = (counts(&left), counts(&now));
            assert_eq!(
                had.keys().collect::<Vec<_>>(),
                has.keys().collect::<Vec<_>>(),
                "{n}, {writes}: all still there"
            );
            assert!(has.values().all(|count| *count == 1), "{n}, {writes}: each once");
            assert!(now.starts_with(&before) || now.ends_with(&wanted[wanted.len() - 50..]), "{n}, {writes}: in order");
        }
    }
}

#[tokio::test]
async fn one_failure_is_made_good_at_once() {
    let (rig, server, uri) = long(Manners::old()).await;
    let before = ids(0..200);
    for (n, (ops, wanted)) in edits(&rig, &uri).await.into_iter().enumerate() {
        let (mut undone, mut done) = (0, 0);
        for (write, applied) in (0..).flat_map(|write| [(write, false), (write, true)]) {
            server.state().lists[0].songs.clone_from(&before);
            let writes = fails_once(&rig, &server, write, applied);
            match rig.edit(&uri, None, ops.clone()).await {
                Ok(_) => {
                    assert_eq!(songs(&server), wanted, "{n}, {write}, {applied}");
                    done += 1;
                    if writes.load(Ordering::Relaxed) <= write {
                        break;
                    }
                }
                Err(error) => {
                    assert_eq!(error.kind, ErrorKind::Unavailable, "{n}, {write}, {applied}: {error}");
                    assert_eq!(songs(&server), before, "{n}, {write}, {applied}");
                    undone += 1;
                }
            }
        }
        assert!(undone > 0 && done > 0, "{n}");
    }
}

#[tokio::test]
async fn nothing_goes_before_all_is_there() {
    let before = ids(0..200);
    let (rig, server, uri) = long(Manners { passes_over: true, ..Manners::old() }).await;
    let mut wanted = ids(100..250);
    let replace = PlaylistOp::Replace { items: items(&[&wanted[..], &["nope".to_owned()]].concat()) };
    let edited = rig.edit(&uri, None, vec![replace]).await.unwrap();
    assert_eq!((edited.refused.rows.len(), songs(&server)), (1, wanted.clone()));
    // One that leaves out what it has no room for.
    let (rig, server, uri) = long(Manners { most_entries: 250, ..Manners::old() }).await;
    wanted.reverse();
    let replace = PlaylistOp::Replace { items: items(&wanted) };
    let refused = rig.edit(&uri, None, vec![replace]).await;
    assert_eq!(code(refused), (ErrorKind::Conflict, "edit_not_kept".into()));
    assert_eq!(songs(&server), before);
}

#[tokio::test]
async fn others_edits_are_left_alone() {
    let (rig, server, uri) = long(Manners::old()).await;
    let replace = || vec![PlaylistOp::Replace { items: items(&ids(0..200).into_iter().rev().collect::<Vec<_>>()) }];
    dies_after(&rig, &server, 2);
    assert_eq!(code(rig.edit(&uri, None, replace()).await).1, "playlist_half_written");
    rig.serve_instead(&server, |_, _| None);
    let theirs: Vec<String> = ids(0..200).into_iter().chain(ids(7..9)).chain(ids(7..9)).collect();
    server.state().lists[0].songs.clone_from(&theirs);
    let add = PlaylistOp::Add { items: keys(["so-1"]), before: None };
    rig.edit(&uri, None, vec![add]).await.unwrap();
    assert_eq!(songs(&server), [theirs, ids(1..2)].concat());
}

#[tokio::test]
async fn what_the_time_is_too_short_for_is_refused_at_once() {
    let (rig, server, uri) = long(Manners::old()).await;
    let edit = |items, deadline_ms| {
        let edit = PlaylistEdit { playlist: key(&uri), version: None, ops: vec![PlaylistOp::Replace { items }] };
        rig.provider.playlist_edit(Call { deadline_ms, ..call(edit) })
    };
    let reversed: Vec<String> = ids(0..200).into_iter().rev().collect();
    let refused = edit(items(&reversed), 500).await;
    assert_eq!(code(refused), (ErrorKind::InvalidRequest, "playlist_too_long".into()));
    let endless: Vec<String> = std::iter::repeat_n(ids(0..100), 100).flatten().collect();
    assert_eq!(code(edit(items(&endless), 60_000).await).1, "playlist_too_long");
    assert_eq!(songs(&server), ids(0..200));
    edit(items(&reversed), 600).await.unwrap();
    assert_eq!(songs(&server), reversed);
}
