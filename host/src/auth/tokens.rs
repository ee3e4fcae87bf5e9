//! Access tokens: JWTs that live for minutes and name a session that is looked up live.

use aws_lc_rs::hmac;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, decode_header, encode, errors};
use serde::{Deserialize, Serialize};
use ulid::Ulid;

use crate::{
    db::{self, Db, now_ms, signing_keys::SealedKey},
    error::ApiError,
    secrets::{Secrets, SecretsError, random},
};

/// Who issues the tokens.
const ISSUER: &str = "zotify";
/// Whom they are for.
const AUDIENCE: &str = "zotify-api";
/// The longest token that is looked at, in bytes.
const MAX_LENGTH: usize = 4096;
/// As it stands in the database.
const ALGORITHM: &str = "HS256";
/// The key that signs links, in `host_state`.
const LINK_KEY: &str = "auth.link_key";

/// What a token says.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Claims {
    iss: String,
    aud: String,
    /// The user's id.
    pub sub: String,
    /// The session's id.
    pub sid: String,
    /// When it was made, Unix seconds.
    pub iat: i64,
    /// When it ends, Unix seconds.
    pub exp: i64,
}

struct Key {
    kid: String,
    encoding: EncodingKey,
    decoding: DecodingKey,
}

/// Signs and checks access tokens, and holds the key of signed links.
pub struct Tokens {
    /// Newest first: that one signs.
    current: Key,
    former: Vec<Key>,
    validation: Validation,
    pub(super) link_key: hmac::Key,
}

impl Tokens {
    /// Reads the keys, and makes them on the first start.
    ///
    /// # Errors
    /// When a key can't be opened or the database fails.
    pub async fn load(db: &Db, secrets: &Secrets) -> Result<Self, SecretsError> {
        let mut tx = db.write().await?;
        // Of several nodes that start at once, one makes the keys.
        db::state::lock(&mut tx, "auth.keys").await?;
        let mut rows = db::signing_keys::list(&mut *tx, ALGORITHM).await?;
        if rows.is_empty() {
            let kid = Ulid::generate().to_string();
            let row = SealedKey { sealed: secrets.seal(&context(&kid), &random::<32>()?)?, kid };
            db::signing_keys::insert(&mut tx, ALGORITHM, &row).await?;
            rows.push(row);
        }
        let link_key = match db::state::get(&mut *tx, LINK_KEY).await? {
            Some(sealed) => secrets.open(LINK_KEY, &sealed)?,
            None => {
                let key = random::<32>()?;
                db::state::set(&mut tx, LINK_KEY, &secrets.seal(LINK_KEY, &key)?).await?;
                key.to_vec()
            }
        };
        tx.commit().await?;
        let mut keys = rows.into_iter().map(|row| {
            let secret = secrets.open(&context(&row.kid), &row.sealed)?;
            let (encoding, decoding) = (EncodingKey::from_secret(&secret), DecodingKey::from_secret(&secret));
            Ok::<_, SecretsError>(Key { kid: row.kid, encoding, decoding })
        });
        let current = keys.next().ok_or(SecretsError::Damaged)??;
        let former = keys.collect::<Result<_, _>>()?;
        let link_key = hmac::Key::new(hmac::HMAC_SHA256, &link_key);
        Ok(Self { current, former, validation: validation(), link_key })
    }

    /// Makes a token for a session; answers it and the seconds that it lives.
    ///
    /// # Errors
    /// When signing fails.
    pub fn issue(&self, user_id: &str, session_id: &str, minutes: u64) -> Result<(String, i64), ApiError> {
        let lifetime = i64::try_from(minutes.saturating_mul(60)).unwrap_or(i64::MAX / 2);
        let iat = now_ms() / 1000;
        let claims = Claims {
            iss: ISSUER.into(),
            aud: AUDIENCE.into(),
            sub: user_id.into(),
            sid: session_id.into(),
            iat,
            exp: iat.saturating_add(lifetime),
        };
        let header = Header { kid: Some(self.current.kid.clone()), ..Header::new(Algorithm::HS256) };
        let token = encode(&header, &claims, &self.current.encoding).map_err(ApiError::internal)?;
        Ok((token, lifetime))
    }

    /// What a token says, if it is one of ours and has not ended.
    ///
    /// # Errors
    /// 401 `token_expired` or `invalid_token`.
    pub fn check(&self, token: &str) -> Result<Claims, ApiError> {
        let invalid = || ApiError::unauthorized("invalid_token", "the access token is not one of this server");
        if token.len() > MAX_LENGTH {
            return Err(invalid());
        }
        let kid = decode_header(token).ok().and_then(|header| header.kid).ok_or_else(invalid)?;
        let mut keys = std::iter::once(&self.current).chain(&self.former);
        let key = keys.find(|key| key.kid == kid).ok_or_else(invalid)?;
        match decode::<Claims>(token, &key.decoding, &self.validation) {
            Ok(data) => Ok(data.claims),
            Err(e) if matches!(e.kind(), errors::ErrorKind::ExpiredSignature) => {
                Err(ApiError::unauthorized("token_expired", "the access token has ended; refresh it or sign in again"))
            }
            Err(_) => Err(invalid()),
        }
    }
}

#[cfg(fuzzing)]
impl Tokens {
    /// With one key that everybody knows.
    pub(super) fn known() -> Self {
        let secret = [1; 32];
        let (encoding, decoding) = (EncodingKey::from_secret(&secret), DecodingKey::from_secret(&secret));
        let current = Key { kid: "a".into(), encoding, decoding };
        let link_key = hmac::Key::new(hmac::HMAC_SHA256, &[7; 32]);
        Self { current, former: Vec::new(), validation: validation(), link_key }
    }
}

/// What the key of this id is sealed for.
pub(crate) fn context(kid: &str) -> String {
    format!("signing_keys:{kid}")
}

fn validation() -> Validation {
    let mut validation = Validation::new(Algorithm::HS256);
    validation.leeway = 5;
    validation.set_issuer(&[ISSUER]);
    validation.set_audience(&[AUDIENCE]);
    validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    validation
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(kid: &str, byte: u8) -> Key {
        let secret = [byte; 32];
        Key {
            kid: kid.into(),
            encoding: EncodingKey::from_secret(&secret),
            decoding: DecodingKey::from_secret(&secret),
        }
    }

    fn tokens(current: Key, former: Vec<Key>) -> Tokens {
        Tokens { current, former, validation: validation(), link_key: hmac::Key::new(hmac::HMAC_SHA256, &[7; 32]) }
    }

    fn claims() -> Claims {
        let now = now_ms() / 1000;
        Claims { iss: ISSUER.into(), aud: AUDIENCE.into(), sub: "u".into(), sid: "s".into(), iat: now, exp: now + 900 }
    }

    fn code(tokens: &Tokens, token: &str) -> String {
        tokens.check(token).unwrap_err().code().to_owned()
    }

    fn forge(algorithm: Algorithm, kid: Option<&str>, claims: &impl Serialize) -> String {
        let header = Header { kid: kid.map(str::to_owned), ..Header::new(algorithm) };
        encode(&header, claims, &key("a", 1).encoding).unwrap()
    }

    #[test]
    fn a_token_says_who_and_which_session() {
        let tokens = tokens(key("a", 1), vec![]);
        let (token, lifetime) = tokens.issue("user", "session", 15).unwrap();
        let claims = tokens.check(&token).unwrap();
        assert_eq!((claims.sub.as_str(), claims.sid.as_str(), lifetime), ("user", "session", 900));
        assert_eq!(claims.exp - claims.iat, 900);
    }

    #[test]
    fn tokens_of_a_former_key_stay_good() {
        let (token, _) = tokens(key("a", 1), vec![]).issue("user", "session", 15).unwrap();
        assert!(tokens(key("b", 2), vec![key("a", 1)]).check(&token).is_ok());
        assert_eq!(code(&tokens(key("b", 2), vec![]), &token), "invalid_token");
        assert_eq!(code(&tokens(key("a", 3), vec![]), &token), "invalid_token");
    }

    #[test]
    fn forged_tokens_are_refused() {
        let tokens = tokens(key("a", 1), vec![]);
        assert!(tokens.check(&forge(Algorithm::HS256, Some("a"), &claims())).is_ok());
        assert_eq!(code(&tokens, &forge(Algorithm::HS512, Some("a"), &claims())), "invalid_token");
        assert_eq!(code(&tokens, &forge(Algorithm::HS256, None, &claims())), "invalid_token");
        let other = |change: fn(&mut Claims)| {
            let mut claims = claims();
            change(&mut claims);
            code(&tokens, &forge(Algorithm::HS256, Some("a"), &claims))
        };
        assert_eq!(other(|c| c.iss = "another".into()), "invalid_token");
        assert_eq!(other(|c| c.aud = "another".into()), "invalid_token");
        assert_eq!(other(|c| c.exp = c.iat - 60), "token_expired");
        for text in ["", "a", "a.b.c", "....", "eyJhbGciOiJub25lIn0.e30.", &"a".repeat(5000)] {
            assert_eq!(code(&tokens, text), "invalid_token", "{text}");
        }
        // Unsigned, but naming the key.
        let none = "eyJhbGciOiJub25lIiwia2lkIjoiYSJ9.eyJzdWIiOiJ1In0.";
        assert_eq!(code(&tokens, none), "invalid_token");
    }

    #[test]
    fn a_changed_token_is_refused() {
        let tokens = tokens(key("a", 1), vec![]);
        let (token, _) = tokens.issue("user", "session", 15).unwrap();
        let (head, signature) = token.rsplit_once('.').unwrap();
        let flipped: String = signature.chars().rev().collect();
        assert_eq!(code(&tokens, &format!("{head}.{flipped}")), "invalid_token");
    }
}
