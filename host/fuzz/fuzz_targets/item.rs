//! Items of providers on their way into the mirror: everything has a limit, cleaning twice changes nothing, and the row
//! holds nothing that a database refuses. The input is JSON.
#![no_main]

use libfuzzer_sys::fuzz_target;
use zotify_host::mirror::{
    Row,
    clean::{clean, parse_time},
};
use zotify_plugin_api::{Item, wire};

fuzz_target!(|data: &[u8]| {
    let Ok(mut item) = serde_json::from_slice::<Item>(data) else { return };
    let packed: Item = wire::decode(&wire::encode(&item).unwrap()).unwrap();
    assert_eq!(format!("{packed:?}"), format!("{item:?}"));
    let whole = item.clone();
    if clean(&mut item, "local").is_err() {
        return;
    }
    assert_eq!((item.uri(), item.kind()), (whole.uri(), whole.kind()));
    assert_eq!((item.uri().instance(), item.uri().kind()), ("local", item.kind()));
    let once = item.clone();
    clean(&mut item, "local").expect("what is clean stays clean");
    assert_eq!(item, once, "cleaning twice changes nothing");
    check(&Row::new(item, 1_000).expect("all kinds are known"));
});

fn check(row: &Row) {
    let value: serde_json::Value = serde_json::from_str(&row.doc).expect("the document is JSON");
    assert!(value.get("locator").is_none(), "locators stay in the host");
    let field = |name: &str| value.get(name).and_then(|v| v.as_str()).map(str::to_owned);
    assert_eq!(field("uri").as_deref(), Some(row.uri.as_str()));
    let added = field("added_at").and_then(|text| parse_time(&text)).expect("a time that can be read");
    assert_eq!(added.div_euclid(1000), row.added_at.div_euclid(1000));
    assert!(field("added_at").is_some_and(|text| text.len() == 20), "all times are as long, and sort as text");
    let printable = |text: String| text.chars().all(|c| !c.is_control());
    for name in ["title", "name", "web_url", "description", "isrc", "mbid", "release_date"] {
        assert!(field(name).is_none_or(printable), "{name}");
    }
    let texts = [&row.title_key, &row.artist_key, &row.release_date, &row.parent_uri, &row.genres, &row.search_text];
    let optional = [&row.isrc, &row.mbid, &row.locator, &row.artwork, &row.version];
    let all = texts.into_iter().chain(optional.into_iter().flatten()).chain([&row.doc]).chain(&row.artists);
    for text in all {
        assert!(!text.contains('\0'), "PostgreSQL takes no NUL: {text:?}");
        assert!(text.len() <= 1 << 20);
    }
    assert!(row.title_key.len() <= 120 && row.release_date.len() <= 10);
    assert!(row.seq >= 0 && row.duration_ms >= 0 && (-1..=1).contains(&row.playable));
}
