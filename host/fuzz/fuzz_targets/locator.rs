//! Locators of files, and what files' names say: a locator leads nowhere out of its folder, and has one spelling.
#![no_main]

use std::path::{Component, Path};

use libfuzzer_sys::fuzz_target;
use zotify_plugin_api::is_item_id;
use zotify_plugin_local::fuzzing::{file_name, locator, locator_of};

fuzz_target!(|text: &str| {
    read(text);
    let path = Path::new(text);
    let plain =
        !text.is_empty() && !text.contains('\0') && path.components().all(|c| matches!(c, Component::Normal(_)));
    assert_eq!(read(&locator_of(path)), plain, "{text:?}");
    let (disc, track, title) = file_name(text);
    assert!([disc, track].into_iter().flatten().all(|n| (1..=999).contains(&n)));
    assert!(text.is_empty() || !title.is_empty(), "{text:?}");
});

/// Whether it is a locator.
fn read(text: &str) -> bool {
    let Some((path, id, again)) = locator(text) else { return false };
    assert_eq!(again, text, "a locator has one spelling");
    assert!(is_item_id(&id), "{id}");
    assert!(path.starts_with("/music") && !path.components().any(|c| matches!(c, Component::ParentDir)), "{path:?}");
    true
}
