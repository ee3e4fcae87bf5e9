//! Item URIs: `<instance>:<kind>:<id>`.

use std::{fmt, str::FromStr};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The longest instance id.
const MAX_INSTANCE: usize = 32;
/// The longest id of an item.
const MAX_ID: usize = 200;

/// What an item is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A recording as it stands on an album.
    Track,
    /// An album, single or compilation.
    Album,
    /// A person or group.
    Artist,
    /// An ordered list of tracks and episodes.
    Playlist,
    /// A podcast or audiobook.
    Show,
    /// One part of a show.
    Episode,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 6] = [Self::Track, Self::Album, Self::Artist, Self::Playlist, Self::Show, Self::Episode];

    /// The word that stands in a URI.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Track => "track",
            Self::Album => "album",
            Self::Artist => "artist",
            Self::Playlist => "playlist",
            Self::Show => "show",
            Self::Episode => "episode",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Kind {
    type Err = InvalidUri;

    fn from_str(s: &str) -> Result<Self, InvalidUri> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == s).ok_or(InvalidUri::Kind)
    }
}

/// Why a text is no item URI.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidUri {
    /// Not of the form `<instance>:<kind>:<id>`.
    #[error("an item URI has the form <instance>:<kind>:<id>")]
    Form,
    /// The instance is not `[a-z][a-z0-9-]{0,31}`.
    #[error("the instance of a URI starts with a-z and has at most 32 of a-z, 0-9 and -")]
    Instance,
    /// The kind is unknown.
    #[error("the kind of a URI is one of track, album, artist, playlist, show, episode")]
    Kind,
    /// The id is not `[A-Za-z0-9._~-]{1,200}`, or is `.` or `..`.
    #[error("the id of a URI has 1 to 200 of A-Z, a-z, 0-9 and ._~- and is not . or ..")]
    Id,
}

/// The address of an item: the instance that owns it, its kind, and its id there.
///
/// Always valid, so it may stand in a path as it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Uri(Box<str>);

impl Uri {
    /// Makes a URI of its parts.
    ///
    /// # Errors
    /// When a part has characters or a length that URIs don't allow; see [`Uri::native`] for foreign ids.
    pub fn new(instance: &str, kind: Kind, id: &str) -> Result<Self, InvalidUri> {
        check(instance, id)?;
        Ok(Self(format!("{instance}:{kind}:{id}").into()))
    }

    /// Makes a URI for an id of the service's own, whatever characters it has.
    ///
    /// An id that could not stand in a URI becomes `~` and its base64url form; [`Uri::native_id`] turns it back.
    ///
    /// # Errors
    /// When the id is empty or too long.
    pub fn native(instance: &str, kind: Kind, id: &str) -> Result<Self, InvalidUri> {
        if is_item_id(id) && !id.starts_with('~') {
            return Self::new(instance, kind, id);
        }
        if id.is_empty() {
            return Err(InvalidUri::Id);
        }
        Self::new(instance, kind, &format!("~{}", URL_SAFE_NO_PAD.encode(id)))
    }

    fn parts(&self) -> (&str, &str, &str) {
        let mut parts = self.0.splitn(3, ':');
        let mut next = || parts.next().unwrap_or_default();
        (next(), next(), next())
    }

    /// The instance that owns the item.
    pub fn instance(&self) -> &str {
        self.parts().0
    }

    /// What the item is.
    pub fn kind(&self) -> Kind {
        // Checked when the URI was made.
        self.parts().1.parse().unwrap_or(Kind::Track)
    }

    /// The id as it stands in the URI.
    pub fn id(&self) -> &str {
        self.parts().2
    }

    /// The id as the service knows it: the reverse of [`Uri::native`].
    pub fn native_id(&self) -> String {
        let id = self.id();
        id.strip_prefix('~')
            .and_then(|encoded| URL_SAFE_NO_PAD.decode(encoded).ok())
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .unwrap_or_else(|| id.to_owned())
    }

    /// The whole URI.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether a text may be the id of an instance: `[a-z][a-z0-9-]{0,31}`.
pub fn is_instance_id(s: &str) -> bool {
    let bytes = s.as_bytes();
    (1..=MAX_INSTANCE).contains(&bytes.len())
        && bytes[0].is_ascii_lowercase()
        && bytes.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-')
}

/// Whether a text may be the id of an item: `[A-Za-z0-9._~-]{1,200}`, not `.` or `..`.
pub fn is_item_id(s: &str) -> bool {
    (1..=MAX_ID).contains(&s.len())
        && s != "."
        && s != ".."
        && s.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'~' | b'-'))
}

impl FromStr for Uri {
    type Err = InvalidUri;

    fn from_str(s: &str) -> Result<Self, InvalidUri> {
        let mut parts = s.splitn(3, ':');
        let (Some(instance), Some(kind), Some(id)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(InvalidUri::Form);
        };
        check(instance, id)?;
        kind.parse::<Kind>()?;
        Ok(Self(s.into()))
    }
}

fn check(instance: &str, id: &str) -> Result<(), InvalidUri> {
    if !is_instance_id(instance) {
        return Err(InvalidUri::Instance);
    }
    if is_item_id(id) { Ok(()) } else { Err(InvalidUri::Id) }
}

impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Uri {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Uri {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(UriVisitor)
    }
}

/// Reads a URI where it stands: a page holds hundreds of them.
struct UriVisitor;

impl de::Visitor<'_> for UriVisitor {
    type Value = Uri;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an item URI")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Uri, E> {
        text.parse().map_err(E::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_what_it_prints() {
        let uri: Uri = "local:track:a.b_c~d-e".parse().unwrap();
        assert_eq!((uri.instance(), uri.kind(), uri.id()), ("local", Kind::Track, "a.b_c~d-e"));
        assert_eq!(uri.to_string(), "local:track:a.b_c~d-e");
    }

    #[test]
    fn refuses_each_bad_part() {
        for (text, why) in [
            ("local:track", InvalidUri::Form),
            ("", InvalidUri::Form),
            ("Local:track:a", InvalidUri::Instance),
            ("9local:track:a", InvalidUri::Instance),
            (":track:a", InvalidUri::Instance),
            ("local:song:a", InvalidUri::Kind),
            ("local:track:", InvalidUri::Id),
            ("local:track:.", InvalidUri::Id),
            ("local:track:..", InvalidUri::Id),
            ("local:track:a/b", InvalidUri::Id),
            ("local:track:a%20b", InvalidUri::Id),
            ("local:track:a:b", InvalidUri::Id),
            ("local:track:é", InvalidUri::Id),
        ] {
            assert_eq!(text.parse::<Uri>(), Err(why), "{text}");
        }
        assert_eq!(format!("local:track:{}", "x".repeat(201)).parse::<Uri>(), Err(InvalidUri::Id));
    }

    proptest::proptest! {
        #[test]
        fn native_ids_survive(id in "\\PC{1,40}") {
            let uri = Uri::native("some-nas", Kind::Album, &id).unwrap();
            proptest::prop_assert_eq!(uri.native_id(), id);
            proptest::prop_assert_eq!(uri.as_str().parse::<Uri>().unwrap(), uri);
        }

        #[test]
        fn parsing_never_panics(text in "\\PC{0,80}") {
            let _ = text.parse::<Uri>();
        }
    }
}
