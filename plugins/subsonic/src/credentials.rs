//! How an account proves who it is.

use md5::{Digest, Md5};
use serde::{Deserialize, Serialize};
use ulid::Ulid;

/// The newest version of the API that this client speaks.
pub(crate) const API: &str = "1.16.1";

/// The parameters that sign a request.
const SIGNS: [&str; 4] = ["apiKey", "p", "t", "s"];

/// How a request is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Auth {
    /// A salted hash of the password, fresh for each request.
    Token,
    /// The password as hexadecimal digits, for servers that know no tokens.
    Password,
    /// A key that the server gave out.
    ApiKey,
}

/// What the token vault keeps of an account.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Credentials {
    pub(crate) username: String,
    /// The password, or the API key.
    pub(crate) secret: String,
    pub(crate) auth: Auth,
    /// The server's name and version, for people.
    #[serde(default)]
    pub(crate) server: String,
    /// The version of the API that both sides speak.
    #[serde(default = "newest")]
    pub(crate) version: String,
    #[serde(default)]
    pub(crate) open_subsonic: bool,
    /// Extensions of OpenSubsonic that the server has.
    #[serde(default)]
    pub(crate) extensions: Vec<String>,
}

fn newest() -> String {
    API.to_owned()
}

impl Credentials {
    /// The parameters that sign a request.
    pub(crate) fn sign(&self) -> Vec<(&'static str, String)> {
        let user = ("u", self.username.clone());
        match self.auth {
            Auth::ApiKey => vec![("apiKey", self.secret.clone())],
            Auth::Password => vec![user, ("p", format!("enc:{}", hex(self.secret.as_bytes())))],
            Auth::Token => {
                let salt = Ulid::generate().to_string().to_ascii_lowercase();
                let token = hex(&Md5::digest(format!("{}{salt}", self.secret)));
                vec![user, ("t", token), ("s", salt)]
            }
        }
    }

    /// Whether an extension of OpenSubsonic is there.
    pub(crate) fn has(&self, extension: &str) -> bool {
        self.extensions.iter().any(|e| e == extension)
    }

    /// A text that may come from a server, unless it repeats the secret, or what signed the request that it answers.
    pub(crate) fn harmless<'a>(&self, text: &'a str, sent: &[(&str, String)]) -> Option<&'a str> {
        let signs = |(name, _): &&(&str, String)| SIGNS.contains(name);
        let signed = sent.iter().filter(signs).map(|(_, value)| value.to_lowercase());
        let secrets = [self.secret.to_lowercase(), hex(self.secret.as_bytes())].into_iter().chain(signed);
        let secrets: Vec<String> = secrets.filter(|secret| !secret.is_empty()).collect();
        let told = readings(text).iter().any(|text| secrets.iter().any(|secret| text.contains(secret)));
        (!told && !text.is_empty()).then_some(text)
    }
}

/// A text, and what it says where it is a part of an address; all in lower case.
fn readings(text: &str) -> Vec<String> {
    let decoded = |text: &str| -> Vec<String> {
        let pairs = url::form_urlencoded::parse(text.as_bytes());
        pairs.flat_map(|(name, value)| [name.to_lowercase(), value.to_lowercase()]).collect()
    };
    // Not all who write addresses write a space as a plus.
    [vec![text.to_lowercase()], decoded(text), decoded(&text.replace('+', "%2B"))].concat()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credentials(auth: Auth) -> Credentials {
        let (server, version) = (String::new(), API.into());
        let (username, secret) = ("alice".into(), "sesame".into());
        Credentials { username, secret, auth, server, version, open_subsonic: false, extensions: Vec::new() }
    }

    #[test]
    fn signs_as_the_api_has_it() {
        // The example of the API's own description.
        assert_eq!(hex(&Md5::digest("sesamec19b2d")), "26719a1196d2a940705a59634eb18eab");
        let (first, second) = (credentials(Auth::Token).sign(), credentials(Auth::Token).sign());
        assert_ne!(first, second, "each request has its own salt");
        assert_eq!(first[1].1, hex(&Md5::digest(format!("sesame{}", first[2].1))));
        assert_eq!(credentials(Auth::Password).sign()[1].1, "enc:736573616d65");
        assert_eq!(credentials(Auth::ApiKey).sign(), [("apiKey", "sesame".to_owned())], "a name beside it is an error");
    }

    #[test]
    fn repeats_no_secret() {
        let it = credentials(Auth::Token);
        let sent = it.sign();
        assert_eq!(it.harmless("Song not found", &sent), Some("Song not found"));
        for told in ["bad p=Sesame", "enc:736573616D65", "GET /rest?p=%73es%61me", "%73esame&x=1", ""] {
            assert_eq!(it.harmless(told, &sent), None, "{told}");
        }
        let (token, salt) = (&sent[1].1, &sent[2].1);
        for told in [format!("u=alice&t={token}"), format!("bad salt {}", salt.to_uppercase())] {
            assert_eq!(it.harmless(&told, &sent), None, "{told}");
            let other = it.sign();
            assert!(it.harmless(&told, &other).is_some(), "of another request: {told}");
        }
        let odd = Credentials { secret: "pá s+&=%ß".into(), ..it };
        for told in [
            "p%C3%A1+s%2B%26%3D%25%c3%9f",
            "x?p=p%C3%A1%20s%2B%26%3D%25%C3%9F",
            "p%c3%a1%20s+%26%3d%25%c3%9f",
            "PÁ S+&=%ß",
        ] {
            assert_eq!(odd.harmless(told, &[]), None, "{told}");
        }
    }
}
