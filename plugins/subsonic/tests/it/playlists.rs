use zotify_plugin_api::prelude::*;

use crate::{server::Manners, support::*};

fn named(name: &str) -> PlaylistCreate {
    PlaylistCreate { name: name.into(), ..PlaylistCreate::default() }
}

#[tokio::test]
async fn are_made_changed_and_deleted() {
    for manners in [Manners::modern(), Manners::old()] {
        let (rig, server) = Rig::of(manners, 2).await;
        let other = rig.provider.playlist_create(call(named("Same"))).await.unwrap();
        let create = PlaylistCreate { description: Some("about".into()), public: Some(true), ..named("Same") };
        let made = rig.provider.playlist_create(call(create)).await.unwrap();
        assert_ne!(made.uri, other.uri, "of two with one name it is the new one");
        assert_eq!((made.description.as_deref(), made.public, made.editable), (Some("about"), Some(true), true));
        let update = |name: Option<&str>, description: Option<&str>| {
            rig.provider.playlist_update(call(PlaylistUpdate {
                playlist: key(&made.uri),
                name: name.map(Into::into),
                description: description.map(Into::into),
                public: None,
                collaborative: None,
            }))
        };
        let updated = update(Some("Új név"), Some("")).await.unwrap();
        assert_eq!((updated.name.as_str(), updated.description, updated.public), ("Új név", None, Some(true)));
        assert_eq!(update(None, None).await.unwrap().name, "Új név");
        let page = rig.provider.playlists(call(PageRequest { cursor: None, limit: 1 })).await.unwrap();
        assert_eq!((page.items.rows.len(), page.next.as_deref(), page.total), (1, Some("1"), Some(2)));
        rig.provider.playlist_delete(call(key(&other.uri))).await.unwrap();
        assert_eq!(code(rig.provider.playlist_delete(call(key(&other.uri))).await).0, ErrorKind::NotFound);
        assert_eq!(server.state().lists.len(), 1);
        let together = PlaylistCreate { collaborative: true, ..named("x") };
        assert_eq!(code(rig.provider.playlist_create(call(together)).await).1, "no_collaboration");
        assert_eq!(code(rig.provider.playlist_delete(call(key(&track("so-1")))).await).0, ErrorKind::NotFound);
    }
}

#[tokio::test]
async fn are_edited_by_entry() {
    for manners in [Manners::modern(), Manners::old()] {
        let (rig, _) = Rig::of(manners, 2).await;
        let uri = rig.provider.playlist_create(call(named("P"))).await.unwrap().uri;
        let add = PlaylistOp::Add { items: keys(["so-1", "so-2", "so-1", "so-3"]), before: None };
        let edited = rig.edit(&uri, None, vec![add]).await.unwrap();
        assert_eq!((edited.results, edited.refused.rows.len()), (vec![None], 0));
        let page = rig.entries(&uri).await;
        assert_eq!(page.version, edited.version);
        let entry = |n: usize| page.entries.rows[n].entry_id.clone();
        let ops = vec![
            PlaylistOp::Remove { entries: vec![entry(0)] },
            PlaylistOp::Move { entries: vec![entry(3), entry(2)], before: Some(entry(1)) },
            PlaylistOp::Add { items: keys(["so-4"]), before: Some(entry(2)) },
        ];
        let edited = rig.edit(&uri, page.version.as_deref(), ops).await.unwrap();
        assert_eq!(rig.songs(&uri).await, ["so-3", "so-4", "so-1", "so-2"]);
        // The names of a version that is gone: what is still there can be meant, what is not can't.
        let now = rig.entries(&uri).await;
        assert_ne!(edited.version, page.version);
        let remove = |entries: Vec<String>| vec![PlaylistOp::Remove { entries }];
        rig.edit(&uri, page.version.as_deref(), remove(vec![now.entries.rows[1].entry_id.clone()])).await.unwrap();
        let gone = rig.edit(&uri, page.version.as_deref(), remove(vec![entry(2), entry(1)])).await;
        assert_eq!(code(gone), (ErrorKind::Conflict, "entry_gone".into()));
        assert_eq!(rig.songs(&uri).await, ["so-3", "so-1", "so-2"], "nothing of it was done");
        rig.edit(&uri, None, vec![PlaylistOp::Replace { items: vec![] }]).await.unwrap();
        assert!(rig.songs(&uri).await.is_empty());
    }
}

#[tokio::test]
async fn tracks_that_are_not_there_are_refused_by_name() {
    for manners in [Manners::modern(), Manners::old()] {
        let (rig, _) = Rig::of(manners, 2).await;
        let uri = rig.provider.playlist_create(call(named("P"))).await.unwrap().uri;
        let op = |ids| vec![PlaylistOp::Add { items: keys(ids), before: None }];
        let edited = rig.edit(&uri, None, op(["so-1", "nope", "so-2"])).await.unwrap();
        let refused: Vec<_> =
            edited.refused.rows.iter().map(|r| (r.uri.native_id(), r.error.clone().unwrap().kind)).collect();
        assert_eq!(refused, [("nope".to_owned(), ErrorKind::NotFound)]);
        assert_eq!(rig.songs(&uri).await, ["so-1", "so-2"]);
    }
}

#[tokio::test]
async fn long_ones_are_written_in_parts() {
    let (rig, _) = Rig::of(Manners::old(), 30).await;
    let uri = rig.provider.playlist_create(call(named("P"))).await.unwrap().uri;
    let ids: Vec<String> = (0..300).map(|n| format!("so-{n}")).collect();
    let replace = |ids: &[String]| vec![PlaylistOp::Replace { items: keys(ids.iter().map(String::as_str)) }];
    rig.edit(&uri, None, replace(&ids)).await.unwrap();
    assert_eq!(rig.songs(&uri).await, ids);
    let reversed: Vec<_> = ids.iter().rev().cloned().collect();
    rig.edit(&uri, None, replace(&reversed)).await.unwrap();
    assert_eq!(rig.songs(&uri).await, reversed);
    let entries = rig.entries(&uri).await.entries.rows.into_iter().take(299).map(|entry| entry.entry_id).collect();
    rig.edit(&uri, None, vec![PlaylistOp::Remove { entries }]).await.unwrap();
    assert_eq!(rig.songs(&uri).await, ["so-0"]);
    assert!(rig.host.requests().iter().all(|request| request.url.len() < 8000), "addresses have an end");
}

#[tokio::test]
async fn what_others_added_meanwhile_is_not_replaced() {
    for manners in [Manners::modern(), Manners::old()] {
        let (rig, server) = Rig::of(manners, 2).await;
        let uri = rig.provider.playlist_create(call(named("P"))).await.unwrap().uri;
        let add = PlaylistOp::Add { items: keys(["so-1"]), before: None };
        let version = rig.edit(&uri, None, vec![add]).await.unwrap().version;
        server.state().lists[0].songs.push("so-7".into());
        let replace = || vec![PlaylistOp::Replace { items: keys(["so-2"]) }];
        let refused = rig.edit(&uri, version.as_deref(), replace()).await;
        assert_eq!(code(refused), (ErrorKind::Conflict, "changed".into()));
        assert_eq!(rig.songs(&uri).await, ["so-1", "so-7"]);
        let now = rig.entries(&uri).await.version;
        rig.edit(&uri, now.as_deref(), replace()).await.unwrap();
        assert_eq!(rig.songs(&uri).await, ["so-2"]);
    }
}

#[tokio::test]
async fn a_failure_without_a_reason_deletes_nothing() {
    let (rig, server) = Rig::of(Manners::modern(), 1).await;
    let uri = rig.provider.playlist_create(call(named("P"))).await.unwrap().uri;
    rig.serve_instead(&server, |method, _| (method == "deletePlaylist").then(|| vague("locked"))?);
    let refused = rig.provider.playlist_delete(call(key(&uri))).await;
    assert_eq!(code(refused), (ErrorKind::BadUpstream, "server_error".into()), "it is still listed");
    server.state().lists.clear();
    assert_eq!(code(rig.provider.playlist_delete(call(key(&uri))).await).0, ErrorKind::NotFound);
}
