//! Where bytes come from. The host moves them: ranges, resumption and checksums exist once, there.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::Uri;

/// Asks for an item's audio.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MediaRequest {
    /// The track or episode.
    pub uri: Uri,
    /// What the provider named with the item.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locator: Option<String>,
    /// Wanted format (`mp3`, `opus`, …); none for the audio as it is stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
    /// Highest bit rate in kbit/s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_bitrate: Option<u32>,
}

/// Asks for a picture.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ArtworkRequest {
    /// The item.
    pub uri: Uri,
    /// The picture's locator, where the item names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locator: Option<String>,
    /// Wanted width in pixels; the provider may answer another size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u32>,
}

/// Where the host gets the bytes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum MediaSource {
    /// The host fetches an address, under the plugin's permissions.
    Http(HttpSource),
    /// The host opens a file beneath a folder that the plugin was granted.
    File {
        /// The absolute path.
        path: PathBuf,
        /// Media type, such as `audio/flac`.
        content_type: String,
    },
    /// The host pulls the bytes through `open_stream`.
    Stream {
        /// Handed to `open_stream`.
        token: String,
        /// Media type.
        content_type: String,
        /// Size in bytes, where known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        size: Option<u64>,
        /// Changes whenever the bytes do.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        etag: Option<String>,
    },
    /// One that this build does not know.
    #[serde(other)]
    Unknown,
}

/// An address to fetch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpSource {
    /// The address.
    pub url: String,
    /// Headers to send.
    #[serde(default)]
    pub headers: Vec<(String, String)>,
    /// Until when the address works, RFC 3339 UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
    /// Media type, where the answer's own header is not to be trusted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
}

/// Opens a stream that a [`MediaSource::Stream`] named.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StreamRequest {
    /// The source's token.
    pub token: String,
    /// The first wanted byte.
    #[serde(default)]
    pub offset: u64,
}
