//! Cursors of lists: only those of the same list are taken, they hold no NUL, and what they say survives.
#![no_main]

use std::fmt::Debug;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use libfuzzer_sys::fuzz_target;
use serde::{Serialize, de::DeserializeOwned};
use zotify_host::{
    api::page::{Paging, cursor},
    db::items::{Hit, Key},
};

fuzz_target!(|data: &[u8]| {
    // As a client sends it, and as the JSON in it.
    for text in [String::from_utf8_lossy(data).into_owned(), URL_SAFE_NO_PAD.encode(data)] {
        check::<(Key, String)>(&text);
        check::<Hit>(&text);
        check::<(i64, String)>(&text);
        check::<String>(&text);
        check::<i64>(&text);
    }
});

fn check<K: Serialize + DeserializeOwned + Debug>(text: &str) {
    let read = |text: &str, list: &str| Paging { limit: None, cursor: Some(text.to_owned()) }.after::<K>(list);
    match read(text, "list") {
        Ok(keys) => {
            let keys = keys.expect("there is a cursor");
            assert!(!has_nul(&serde_json::to_value(&keys).unwrap()), "PostgreSQL takes no NUL");
            let written = cursor("list", &keys).unwrap();
            let again = read(&written, "list").expect("a cursor of ours").unwrap();
            assert_eq!(format!("{again:?}"), format!("{keys:?}"));
            assert!(read(&written, "another").is_err(), "it belongs to one list");
        }
        Err(error) => assert_eq!((error.status().as_u16(), error.code()), (400, "invalid_cursor")),
    }
}

fn has_nul(value: &serde_json::Value) -> bool {
    match value {
        serde_json::Value::String(text) => text.contains('\0'),
        serde_json::Value::Array(values) => values.iter().any(has_nul),
        serde_json::Value::Object(map) => map.iter().any(|(key, value)| key.contains('\0') || has_nul(value)),
        _ => false,
    }
}
