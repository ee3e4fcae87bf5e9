//! What crosses the socket between the host and a plugin's process.
//!
//! A frame is a length (u32, big endian) and that many bytes of MessagePack: the array `[kind, id, name, body]` of an
//! integer, an integer, a string and a byte string. The length is checked before anything is allocated.

use std::io::{self, Read};

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use zotify_plugin_api::wire::{self, MAX_PAYLOAD};

/// The version of the frames; host and worker are the same program, so it only guards against mix-ups.
pub const VERSION: u32 = 0;

/// The largest frame behind its length, in bytes: a payload and its head.
pub const MAX_FRAME: usize = MAX_PAYLOAD + 1024;

/// The longest method or service name, in bytes.
const MAX_NAME: usize = 128;

/// What a frame is about. `→` goes to the worker, `←` to the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "u8", try_from = "u8")]
#[repr(u8)]
pub enum Kind {
    /// → Once, first: what to load and within which limits ([`Hello`]).
    Hello = 0,
    /// ← The plugin is loaded ([`Ready`]).
    Ready = 1,
    /// ← The plugin cannot be loaded ([`Failed`]); the worker ends.
    Failed = 2,
    /// → Calls the method `name`.
    Call = 3,
    /// ← The answer to a call, or an opened stream.
    Reply = 4,
    /// ← The encoded error of a call or a stream.
    Error = 5,
    /// → Gives up a call; answered by `Error` like the call itself.
    Cancel = 6,
    /// → Opens a stream, which is then known by the frame's id.
    OpenStream = 7,
    /// → Asks for the next chunk of a stream.
    Next = 8,
    /// ← A chunk.
    Chunk = 9,
    /// ← The end of a stream.
    End = 10,
    /// → Drops a stream.
    Close = 11,
    /// ← Calls the host service `name`.
    HostCall = 12,
    /// → A part of an answer that is larger than a frame; more follows.
    HostPart = 13,
    /// → The (last part of the) answer of a host service.
    HostReply = 14,
    /// → The encoded error of a host service.
    HostError = 15,
    /// ← Gives up a call of a host service.
    HostCancel = 16,
    /// ← An encoded `LogRecord`.
    Log = 17,
}

impl From<Kind> for u8 {
    fn from(kind: Kind) -> Self {
        kind as Self
    }
}

impl TryFrom<u8> for Kind {
    type Error = String;

    fn try_from(value: u8) -> Result<Self, String> {
        const ALL: [Kind; 18] = [
            Kind::Hello,
            Kind::Ready,
            Kind::Failed,
            Kind::Call,
            Kind::Reply,
            Kind::Error,
            Kind::Cancel,
            Kind::OpenStream,
            Kind::Next,
            Kind::Chunk,
            Kind::End,
            Kind::Close,
            Kind::HostCall,
            Kind::HostPart,
            Kind::HostReply,
            Kind::HostError,
            Kind::HostCancel,
            Kind::Log,
        ];
        ALL.get(usize::from(value)).copied().ok_or_else(|| format!("no frame has the kind {value}"))
    }
}

/// One frame.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Frame {
    /// What it is about.
    pub kind: Kind,
    /// The call or stream that it belongs to; both sides count their own.
    pub id: u64,
    /// The method or service; empty where the kind has none.
    pub name: String,
    /// The payload.
    #[serde(with = "serde_bytes")]
    pub body: Vec<u8>,
}

impl Frame {
    /// A frame without a name.
    pub fn new(kind: Kind, id: u64, body: Vec<u8>) -> Self {
        Self { kind, id, name: String::new(), body }
    }

    /// The bytes that go over the socket, length first.
    ///
    /// # Errors
    /// When the frame would be too large for the other side.
    pub fn encode(&self) -> io::Result<Vec<u8>> {
        if self.body.len() > MAX_FRAME {
            // Said before it is copied: the worker may have no memory for that.
            return Err(invalid(format!("a frame of {} bytes is over the limit of {MAX_FRAME}", self.body.len())));
        }
        let mut bytes = Vec::with_capacity(self.body.len() + self.name.len() + 32);
        bytes.extend([0; 4]);
        rmp_serde::encode::write(&mut bytes, self).map_err(io::Error::other)?;
        let length = bytes.len() - 4;
        if length > MAX_FRAME {
            return Err(invalid(format!("a frame of {length} bytes is over the limit of {MAX_FRAME}")));
        }
        let length = u32::try_from(length).map_err(io::Error::other)?;
        bytes[..4].copy_from_slice(&length.to_be_bytes());
        Ok(bytes)
    }

    fn decode(bytes: &[u8]) -> io::Result<Self> {
        let frame: Self = wire::decode(bytes).map_err(|e| invalid(format!("unreadable frame: {e}")))?;
        if frame.name.len() > MAX_NAME {
            return Err(invalid("a name in a frame is too long"));
        }
        Ok(frame)
    }
}

/// Reads one frame; none at the end of the stream.
///
/// # Errors
/// When the socket fails, or what comes is no frame.
pub fn read_blocking(from: &mut impl Read) -> io::Result<Option<Frame>> {
    let mut head = [0; 4];
    match from.read_exact(&mut head) {
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    }
    let mut bytes = vec![0; checked_length(head)?];
    from.read_exact(&mut bytes)?;
    Frame::decode(&bytes).map(Some)
}

/// Reads one frame; none at the end of the stream. Not safe to cancel.
///
/// # Errors
/// When the socket fails, or what comes is no frame.
pub async fn read(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Frame>> {
    let mut head = [0; 4];
    match from.read_exact(&mut head).await {
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    };
    let mut bytes = vec![0; checked_length(head)?];
    from.read_exact(&mut bytes).await?;
    Frame::decode(&bytes).map(Some)
}

fn checked_length(head: [u8; 4]) -> io::Result<usize> {
    let length = u32::from_be_bytes(head) as usize;
    if length > MAX_FRAME {
        return Err(invalid(format!("a frame of {length} bytes is over the limit of {MAX_FRAME}")));
    }
    Ok(length)
}

fn invalid(message: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message.into())
}

/// What a worker is told first.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Hello {
    /// The host's version: a worker of another build refuses to work.
    pub build: String,
    /// [`VERSION`].
    pub frames: u32,
    /// The shared library to load.
    pub plugin: std::path::PathBuf,
    /// What the process may do.
    pub sandbox: super::sandbox::Spec,
    /// The instance to make, as an encoded `CreateRequest`; none only reads the manifest (a probe).
    #[serde(with = "serde_bytes")]
    pub create: Option<Vec<u8>>,
}

/// What a worker answers when all is well.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Ready {
    /// The library's manifest as JSON; only in a probe.
    pub manifest: Option<String>,
    /// How well the process is locked down.
    pub sandbox: super::sandbox::Sandbox,
}

/// What a worker answers when it cannot load the plugin.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum Failed {
    /// Host and worker are different builds.
    Build {
        /// The worker's build.
        build: String,
    },
    /// The sandbox that the configuration requires cannot be set up.
    Sandbox {
        /// What is missing.
        detail: String,
    },
    /// The file is no plugin for this host.
    Load(zotify_plugin_api::ffi::LoadError),
    /// The plugin's constructor refused.
    Create(zotify_plugin_api::ProviderError),
}

/// The build that must be the same on both sides.
pub fn build() -> String {
    format!("{} {}", env!("CARGO_PKG_VERSION"), std::env::consts::ARCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_survive_the_way() {
        let frame = Frame { kind: Kind::Call, id: 7, name: "search".into(), body: vec![0, 255, 3] };
        let bytes = frame.encode().unwrap();
        let mut from = bytes.as_slice();
        assert_eq!(read_blocking(&mut from).unwrap(), Some(frame));
        assert_eq!(read_blocking(&mut from).unwrap(), None);
    }

    #[test]
    fn every_kind_has_its_number() {
        for number in 0..=17 {
            assert_eq!(u8::from(Kind::try_from(number).unwrap()), number);
        }
        assert!(Kind::try_from(18).is_err());
    }

    #[test]
    fn too_large_and_broken_frames_are_refused() {
        let body = vec![0; MAX_FRAME + 1];
        assert!(Frame::new(Kind::Reply, 1, body).encode().is_err());
        let length = u32::try_from(MAX_FRAME + 1).unwrap().to_be_bytes();
        assert!(read_blocking(&mut length.as_slice()).is_err(), "refused by its length alone");
        assert!(read_blocking(&mut [0, 0, 0, 2, 0xc1, 0xc1].as_slice()).is_err(), "not MessagePack");
        assert!(read_blocking(&mut [0, 0, 0, 9, 1].as_slice()).is_err(), "cut off");
        let long = Frame { kind: Kind::HostCall, id: 1, name: "x".repeat(MAX_NAME + 1), body: Vec::new() };
        assert!(read_blocking(&mut long.encode().unwrap().as_slice()).is_err());
    }
}
