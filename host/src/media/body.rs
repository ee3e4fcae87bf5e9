//! Bytes on their way out: exactly as many as were promised, and never stuck.

use std::{fs, io, time::Duration};

use bytes::Bytes;
use futures::{Stream, StreamExt as _, stream::BoxStream};
use tokio::io::AsyncSeekExt as _;
use tokio_util::io::ReaderStream;

use super::stream_error;
use crate::providers::PluginStream;

/// Bytes that are read from a file at once.
const CHUNK: usize = 64 << 10;

/// Where the bytes come from.
pub(super) enum Chunks {
    Empty,
    File(ReaderStream<tokio::fs::File>),
    Plugin(Box<PluginStream>),
    Http(BoxStream<'static, io::Result<Bytes>>),
}

impl Chunks {
    /// A file, from some byte on.
    pub(super) async fn file(file: fs::File, start: u64) -> io::Result<Self> {
        let mut file = tokio::fs::File::from_std(file);
        file.seek(io::SeekFrom::Start(start)).await?;
        Ok(Self::File(ReaderStream::with_capacity(file, CHUNK)))
    }

    async fn next(&mut self) -> Option<io::Result<Bytes>> {
        match self {
            Self::Empty => None,
            Self::File(stream) => stream.next().await,
            Self::Plugin(stream) => stream.next().await.map_err(|e| stream_error(&e)).transpose(),
            Self::Http(stream) => stream.next().await,
        }
    }
}

/// Passes chunks on until `length` is reached. A source that has less, or that says nothing for `idle`, ends the
/// connection, so that the client does not take a part for the whole. A plugin that promised a length and goes on is
/// cut off. Without a promise, more than `limit` is an error.
pub(super) fn checked(
    mut chunks: Chunks,
    length: Option<u64>,
    limit: Option<u64>,
    idle: Duration,
) -> impl Stream<Item = io::Result<Bytes>> + Send {
    async_stream::try_stream! {
        let mut left = length.or(limit).unwrap_or(u64::MAX);
        while length.is_none() || left > 0 {
            let chunk = match tokio::time::timeout(idle, chunks.next()).await {
                Ok(Some(Ok(chunk))) => chunk,
                Ok(Some(Err(error))) => break_off(error).await?,
                Ok(None) => break,
                Err(_) => break_off(io::Error::other("a stream stood still for too long")).await?,
            };
            let size = chunk.len() as u64;
            match length {
                Some(_) => {
                    let kept = chunk.slice(..usize::try_from(left.min(size)).unwrap_or(usize::MAX));
                    left -= kept.len() as u64;
                    yield kept;
                }
                None if size > left => {
                    break_off(io::Error::other("a stream is larger than allowed")).await?;
                }
                None => {
                    left -= size;
                    yield chunk;
                }
            }
        }
        if length.is_some() && left > 0 {
            break_off(io::Error::other("a stream ended before its promised size")).await?;
        }
    }
}

/// Ends a stream. The bytes before go out first: whoever sends them drops what it holds when it meets an error at once.
async fn break_off(error: io::Error) -> io::Result<Bytes> {
    tracing::warn!("a stream broke off: {error}");
    tokio::task::yield_now().await;
    Err(error)
}

#[cfg(test)]
mod tests {
    use futures::stream;

    use super::*;

    async fn read(chunks: &[&'static str], length: Option<u64>, limit: Option<u64>) -> Result<String, String> {
        let chunks: Vec<io::Result<Bytes>> = chunks.iter().map(|c| Ok(Bytes::from_static(c.as_bytes()))).collect();
        let chunks = Chunks::Http(stream::iter(chunks).boxed());
        let mut out = String::new();
        let mut body = std::pin::pin!(checked(chunks, length, limit, Duration::from_secs(5)));
        while let Some(chunk) = body.next().await {
            out.push_str(std::str::from_utf8(&chunk.map_err(|e| e.to_string())?).unwrap());
        }
        Ok(out)
    }

    #[tokio::test]
    async fn exactly_what_was_promised() {
        assert_eq!(read(&["ab", "cd"], Some(4), None).await.unwrap(), "abcd");
        assert_eq!(read(&["ab", "cdef"], Some(3), None).await.unwrap(), "abc");
        assert!(read(&["ab"], Some(3), None).await.unwrap_err().contains("promised"));
        assert_eq!(read(&["ab", "cd"], None, None).await.unwrap(), "abcd");
        assert!(read(&["ab", "cd"], None, Some(3)).await.unwrap_err().contains("larger"));
    }

    #[tokio::test]
    async fn a_stream_that_stands_still_ends() {
        let chunks = Chunks::Http(stream::pending().boxed());
        let mut body = std::pin::pin!(checked(chunks, None, None, Duration::from_millis(10)));
        assert!(body.next().await.unwrap().unwrap_err().to_string().contains("still"));
    }
}
