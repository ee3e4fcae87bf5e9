//! How payloads cross the boundary: MessagePack with named fields, so that either side may know more fields.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser::SerializeSeq};

use crate::{ProviderError, Result};

/// The largest payload of one call or reply, in bytes. The host refuses more before it allocates.
pub const MAX_PAYLOAD: usize = 1 << 20;

/// How deep lists and maps may lie in one another. Passing over what is unknown takes stack for each level, and a list
/// that says it is long up to a mebibyte of address space.
const MAX_DEPTH: usize = 32;

/// The largest chunk of a stream, in bytes.
pub const MAX_CHUNK: usize = 64 << 10;

/// Encodes a payload.
///
/// # Errors
/// `internal` when the value cannot be serialised.
pub fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>> {
    rmp_serde::to_vec_named(value).map_err(|e| ProviderError::internal(format!("cannot encode the payload: {e}")))
}

/// Decodes a payload. Unknown fields are passed over.
///
/// # Errors
/// `bad_upstream` when the bytes are no such value.
pub fn decode<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T> {
    read(bytes).map_err(|e| {
        ProviderError::new(crate::ErrorKind::BadUpstream, format!("cannot decode the payload: {e}"))
            .with_code("undecodable_payload")
    })
}

fn read<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> std::result::Result<T, rmp_serde::decode::Error> {
    let mut deserializer = rmp_serde::Deserializer::from_read_ref(bytes);
    deserializer.set_max_depth(MAX_DEPTH);
    T::deserialize(&mut deserializer)
}

/// Encodes an error for the reply's error side.
pub fn encode_error(error: &ProviderError) -> Vec<u8> {
    encode(error).unwrap_or_default()
}

/// Decodes the reply's error side; garbage becomes an `internal` error of its own.
pub fn decode_error(bytes: &[u8]) -> ProviderError {
    decode(bytes).unwrap_or_else(|_| ProviderError::internal("the plugin answered an error that cannot be read"))
}

/// Rows that are encoded one by one, so that a row which cannot be read spoils no other.
///
/// On the wire: an array of byte strings, each the MessagePack of one row.
#[derive(Clone, Debug, PartialEq)]
pub struct Rows<T> {
    /// The rows that could be read, in order.
    pub rows: Vec<T>,
    /// Why rows were left out; always empty on the sending side.
    pub rejected: Vec<String>,
}

impl<T> Default for Rows<T> {
    fn default() -> Self {
        Self { rows: Vec::new(), rejected: Vec::new() }
    }
}

impl<T> From<Vec<T>> for Rows<T> {
    fn from(rows: Vec<T>) -> Self {
        Self { rows, rejected: Vec::new() }
    }
}

impl<T> FromIterator<T> for Rows<T> {
    fn from_iter<I: IntoIterator<Item = T>>(iter: I) -> Self {
        Vec::from_iter(iter).into()
    }
}

impl<T: Serialize> Serialize for Rows<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let mut seq = serializer.serialize_seq(Some(self.rows.len()))?;
        let mut bytes = Vec::with_capacity(1024);
        for row in &self.rows {
            bytes.clear();
            let mut encoder = rmp_serde::Serializer::new(&mut bytes).with_struct_map();
            row.serialize(&mut encoder).map_err(serde::ser::Error::custom)?;
            seq.serialize_element(serde_bytes::Bytes::new(&bytes))?;
        }
        seq.end()
    }
}

impl<'de, T: de::DeserializeOwned> Deserialize<'de> for Rows<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Visitor<T>(std::marker::PhantomData<T>);

        impl<'de, T: de::DeserializeOwned> de::Visitor<'de> for Visitor<T> {
            type Value = Rows<T>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an array of encoded rows")
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, mut seq: A) -> std::result::Result<Rows<T>, A::Error> {
                let mut out = Rows::default();
                while let Some(bytes) = seq.next_element::<&serde_bytes::Bytes>()? {
                    match read(bytes) {
                        Ok(row) => out.rows.push(row),
                        Err(e) => out.rejected.push(e.to_string()),
                    }
                }
                Ok(out)
            }
        }

        deserializer.deserialize_seq(Visitor(std::marker::PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Get, Item};

    /// Of a thread of the host's runtime.
    const STACK: usize = 2 << 20;

    /// A payload of nothing but nested lists, under a field that nobody knows, or in front of the tag of an item.
    fn nested(field: &str) -> Vec<u8> {
        let mut bytes = vec![0x81, 0xa0 | u8::try_from(field.len()).unwrap()];
        bytes.extend_from_slice(field.as_bytes());
        bytes.resize(MAX_PAYLOAD, 0x91);
        bytes
    }

    #[test]
    fn depth_has_a_limit_that_payloads_do_not_reach() {
        assert!(decode::<Get>(&nested("future")).unwrap_err().message.contains("depth"));
        let mut deep = crate::PlaylistPage::default();
        let mut track = crate::Track::new("a:track:1".parse().unwrap(), "t");
        track.replay_gain =
            Some(crate::ReplayGain { track: Some(crate::Gain { gain_db: 1.0, peak: None }), album: None });
        let item = Some(Item::Track(track));
        deep.entries.rows = vec![crate::PlaylistEntry { entry_id: "e".into(), added_at: None, item, title: None }];
        assert_eq!(decode::<crate::PlaylistPage>(&encode(&deep).unwrap()).unwrap(), deep);
    }

    #[test]
    fn nesting_does_not_use_up_the_stack() {
        let decoding = std::thread::Builder::new().stack_size(STACK).spawn(|| {
            assert!(decode::<Get>(&nested("future")).is_err());
            assert!(decode::<Item>(&nested("item")).is_err());
            assert!(decode::<crate::MediaSource>(&nested("x")).is_err());
        });
        decoding.unwrap().join().unwrap();
    }
}
