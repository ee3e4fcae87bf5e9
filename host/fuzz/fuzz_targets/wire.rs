//! Payloads of the plugin boundary: reading takes memory in proportion, and what is read is written the same.
#![no_main]

mod support;

use libfuzzer_sys::fuzz_target;
use serde::{Serialize, de::DeserializeOwned};
use zotify_host::worker::frame::{Failed, Hello, Ready};
use zotify_plugin_api::{
    ArtworkRequest, Call, Checked, Children, CreateRequest, Get, Item, LibraryChanges, LibraryPage, MediaRequest,
    MediaSource, Page, PageRequest, PlaylistItems, PlaylistPage, ProviderError, Search, StreamRequest,
    service::{HttpRequest, HttpResponse, KvKey, KvPage, KvPut, KvScan, KvValue, LogRecord, PluginEvent},
    wire,
};

/// Bytes of memory for a byte that is read: rows and texts are larger in memory than on the wire.
const FACTOR: usize = 96;
/// What lists reserve that say they are long: a mebibyte each, as deep as they may lie in one another.
const SLACK: usize = 33 << 20;

/// A type of the boundary.
type Check = fn(&[u8]);

const CHECKS: &[Check] = &[
    check::<Call<Get>>,
    check::<Call<Search>>,
    check::<Call<Children>>,
    check::<Call<PageRequest>>,
    check::<Call<LibraryChanges>>,
    check::<Call<PlaylistItems>>,
    check::<Call<MediaRequest>>,
    check::<Call<ArtworkRequest>>,
    check::<Call<StreamRequest>>,
    check::<CreateRequest>,
    check::<Item>,
    check::<Page>,
    check::<LibraryPage>,
    check::<PlaylistPage>,
    check::<MediaSource>,
    check::<Checked>,
    check::<ProviderError>,
    check::<PluginEvent>,
    check::<LogRecord>,
    check::<HttpRequest>,
    check::<HttpResponse>,
    check::<KvKey>,
    check::<KvValue>,
    check::<KvPut>,
    check::<KvScan>,
    check::<KvPage>,
    check::<Hello>,
    check::<Ready>,
    check::<Failed>,
];

fuzz_target!(|data: &[u8]| {
    let (kind, bytes) = support::choice(data);
    CHECKS[usize::from(kind) % CHECKS.len()](bytes);
});

fn check<T: Serialize + DeserializeOwned>(bytes: &[u8]) {
    let read: Result<T, ProviderError> = support::within(SLACK + FACTOR * bytes.len(), || wire::decode(bytes));
    let value = match read {
        Ok(value) => value,
        Err(error) => return assert_eq!(error.code.as_deref(), Some("undecodable_payload")),
    };
    let written = wire::encode(&value).expect("what was read can be written");
    let again: T = wire::decode(&written).expect("what was written can be read");
    assert_eq!(wire::encode(&again).unwrap(), written, "and is the same");
}
