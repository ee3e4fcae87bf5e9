//! Rows of playlists in every shape that was seen.

use super::*;

fn entries_of(id: &str) -> String {
    format!("^/v1/playlists/{id}(/items)?")
}

/// Behaviour 8: both names for a row's content, either one, none, and no row at all.
#[tokio::test]
async fn rows_of_every_shape_keep_their_places() {
    let lab = Lab::prepared(small(), |simulator| {
        let id = &simulator.playlists(USER)[0];
        let on = |effect| simulator.rule(Rule::new("GET", &entries_of(id), effect).times(0));
        let track = simulator.item(&simulator.rows(id)[1]).unwrap();
        on(Effect::BothKeys);
        for prefix in ["/items", "/items/items"] {
            on(Effect::Set { pointer: format!("{prefix}/1"), value: json!({"added_at": null, "track": track}) });
        }
        on(Effect::NullItems { at: vec![3] });
        on(Effect::NullRows { at: vec![4] });
    })
    .await;
    lab.calm().await;
    let id = lab.playlist(0);
    let rows = lab.entries(&id).await;
    let wanted = lab.simulator.rows(&id);
    assert_eq!(rows.len(), wanted.len());
    for (n, row) in rows.iter().enumerate() {
        assert_eq!(row["position"], n, "{row:#}");
    }
    assert_eq!(uris(&rows[..3]), wanted[..3]);
    assert_eq!(
        (&rows[3]["item"]["kind"], &rows[4]["item"]["kind"]),
        (&json!("unknown"), &json!("unknown")),
        "{rows:#?}"
    );
    assert_eq!(uris(&rows[5..20]), wanted[5..20]);
}

/// Behaviour 9: a playlist of somebody else's, of which only the head can be read.
#[tokio::test]
async fn contents_out_of_reach_are_not_empty() {
    let lab = Lab::new(small()).await;
    let id = lab.playlist(3);
    let path = format!("/api/playlists/spotify:playlist:{id}");
    let playlist = lab.host.get(&path).await.expect(200);
    assert_eq!(playlist["editable"], false, "{playlist:#}");
    assert!(lab.entries(&id).await.is_empty());
    let run = lab.last_run().await;
    let skipped = run["skipped"].as_array().unwrap();
    assert!(skipped.iter().any(|skip| skip["code"] == "not_accessible"), "{run:#}");

    // It is not tried again as long as it is as it was: that would cost a request for each such playlist in every pull.
    lab.simulator.forget_requests();
    lab.pull().await;
    assert_eq!(lab.simulator.count("GET /playlists/{playlist_id}"), 0);
    assert!(lab.entries(&id).await.is_empty());

    // One that could be read once keeps what was read.
    let own = lab.playlist(2);
    let before = lab.entries(&own).await;
    assert!(!before.is_empty());
    lab.simulator.change(&Change::Rows { playlist: own.clone(), uris: lab.simulator.rows(&own)[1..].to_vec() });
    lab.simulator.rule(
        Rule::new("GET", &format!("^/v1/playlists/{own}(\\?|$)"), Effect::Remove { pointer: "/items".into() }).times(0),
    );
    let forbidden = Effect::Forbidden { why: spotify_simulator::Forbidden::NotOwner };
    lab.simulator.rule(Rule::new("GET", &format!("^/v1/playlists/{own}/items"), forbidden).times(0));
    lab.pull().await;
    assert_eq!(lab.entries(&own).await, before);
}

/// Behaviour 14: a file of the user's own is listed and never sent back.
#[tokio::test]
async fn local_files_are_listed_and_not_lost() {
    let lab = Lab::new(small()).await;
    let id = lab.playlist(9);
    let rows = lab.entries(&id).await;
    assert!(lab.simulator.rows(&id)[1].starts_with("spotify:local:"));
    assert!(text(&rows[1]["item"], "title").contains("Untitled & Unfinished"), "{:#}", rows[1]);
    let track = lab.simulator.saved(USER, "track")[0].clone();
    let path = format!("/api/playlists/spotify:playlist:{id}/items");
    let reply = lab.host.send(lab.host.request(Method::PUT, &path).json(&json!({"uris": [track]}))).await;
    reply.expect_problem(403, "provider_restricted");
    assert_eq!(lab.simulator.rows(&id).len(), rows.len());
}

/// Behaviour 15: episodes in a playlist, and a type that nobody knows yet.
#[tokio::test]
async fn episodes_and_unknown_types_stay_in_their_places() {
    let lab = Lab::prepared(small(), |simulator| {
        let id = &simulator.playlists(USER)[5];
        for prefix in ["/items", "/items/items"] {
            for (name, value) in [("type", "chapter"), ("uri", "spotify:chapter:0000000000000000000000")] {
                let pointer = format!("{prefix}/0/item/{name}");
                simulator
                    .rule(Rule::new("GET", &entries_of(id), Effect::Set { pointer, value: json!(value) }).times(0));
            }
        }
    })
    .await;
    lab.calm().await;
    let id = lab.playlist(5);
    let (rows, wanted) = (lab.entries(&id).await, lab.simulator.rows(&id));
    assert_eq!(rows.len(), wanted.len());
    assert_eq!(rows[0]["item"]["kind"], "unknown", "{:#}", rows[0]);
    assert_eq!((&rows[2]["item"]["kind"], uris(&rows[2..3])[0]), (&json!("episode"), wanted[2].as_str()));
}
