//! Item URIs: what is read prints the same, and ids of services survive.
#![no_main]

use libfuzzer_sys::fuzz_target;
use zotify_plugin_api::{Kind, Uri, is_item_id, wire};

fuzz_target!(|text: &str| {
    let read: Result<Uri, _> = text.parse();
    let json = serde_json::from_value::<Uri>(text.into());
    let packed = wire::decode::<Uri>(&wire::encode(text).unwrap());
    assert_eq!((json.is_ok(), packed.is_ok()), (read.is_ok(), read.is_ok()), "all readers agree");
    if let Ok(uri) = read {
        assert_eq!(uri.as_str(), text);
        assert!(text.bytes().all(|b| b.is_ascii_alphanumeric() || b":-._~".contains(&b)), "stands in a path as it is");
        assert_eq!(Uri::new(uri.instance(), uri.kind(), uri.id()), Ok(uri.clone()));
        assert_eq!((json.ok(), packed.ok()), (Some(uri.clone()), Some(uri.clone())));
        native(uri.instance(), uri.kind(), &uri.native_id());
    }
    native("some-nas", Kind::Album, text);
});

/// Whatever a service calls an item, it gets the same back.
fn native(instance: &str, kind: Kind, id: &str) {
    match Uri::native(instance, kind, id) {
        Ok(uri) => {
            assert_eq!(uri.native_id(), id);
            assert_eq!(uri.as_str().parse(), Ok(uri));
        }
        // What starts with ~ is encoded, as what is encoded starts with it.
        Err(_) => assert!(id.is_empty() || ((!is_item_id(id) || id.starts_with('~')) && id.len() > 140), "{id:?}"),
    }
}
