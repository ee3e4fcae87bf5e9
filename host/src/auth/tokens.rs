//! Access tokens: JWTs that live for minutes and name a session that is looked up live.

pub mod keys;

use std::{
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::{Duration, Instant},
};

use aws_lc_rs::hmac;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, Header, Validation, decode, encode, errors::ErrorKind};
use serde::{Deserialize, Serialize};

use self::keys::Keys;
use crate::{
    App,
    db::{self, Db, now_ms},
    error::ApiError,
    recent::Recent,
    secrets::{Secrets, SecretsError, random},
};

/// Who issues the tokens.
const ISSUER: &str = "zotify";
/// Whom they are for.
const AUDIENCE: &str = "zotify-api";
/// The longest token that is looked at, in bytes.
const MAX_LENGTH: usize = 4096;
/// Characters of a signature: 32 bytes in base64.
const SIGNATURE: usize = 43;
/// The problem of a token whose key is not known.
const FOREIGN: &str = "token_foreign";
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

/// Signs and checks access tokens, and holds the key of signed links.
pub struct Tokens {
    keys: RwLock<Arc<Keys>>,
    /// When keys that this node did not know were last looked for.
    looked: Mutex<Option<Instant>>,
    /// What tokens said a moment ago: reading one costs more than all else that finds out who asks.
    read: Recent<Claims>,
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
        db::state::lock(&mut tx, keys::LOCK).await?;
        if db::signing_keys::list(&mut *tx, keys::ALGORITHM).await?.is_empty() {
            keys::add(&mut tx, secrets).await?;
        }
        let rows = db::signing_keys::list(&mut *tx, keys::ALGORITHM).await?;
        let link_key = match db::state::get(&mut *tx, LINK_KEY).await? {
            Some(sealed) => secrets.open(LINK_KEY, &sealed)?,
            None => {
                let key = random::<32>()?;
                db::state::set(&mut tx, LINK_KEY, &secrets.seal(LINK_KEY, &key)?).await?;
                key.to_vec()
            }
        };
        tx.commit().await?;
        Ok(Self::of(Keys::open(secrets, rows)?, &link_key))
    }

    fn of(keys: Keys, link_key: &[u8]) -> Self {
        let link_key = hmac::Key::new(hmac::HMAC_SHA256, link_key);
        Self {
            keys: RwLock::new(Arc::new(keys)),
            looked: Mutex::new(None),
            read: Recent::default(),
            validation: validation(),
            link_key,
        }
    }

    fn keys(&self) -> Arc<Keys> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes over the keys that the database holds.
    ///
    /// # Errors
    /// When a key can't be opened or the database fails.
    pub async fn reload(&self, db: &Db, secrets: &Secrets) -> Result<(), SecretsError> {
        let rows = db::signing_keys::list(db.read(), keys::ALGORITHM).await?;
        if !self.keys().are(&rows) {
            let keys = Arc::new(Keys::open(secrets, rows)?);
            *self.keys.write().unwrap_or_else(PoisonError::into_inner) = keys;
            self.read.forget();
        }
        Ok(())
    }

    /// Whether keys may be looked for now: once a second, so that made up tokens do not become queries.
    fn may_look(&self) -> bool {
        let mut looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
        let may = looked.is_none_or(|at| at.elapsed() >= Duration::from_secs(1));
        if may {
            *looked = Some(Instant::now());
        }
        may
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
        let keys = self.keys();
        let header = Header { kid: Some(keys.current.kid.clone()), ..Header::new(Algorithm::HS256) };
        let token = encode(&header, &claims, &keys.current.encoding).map_err(ApiError::internal)?;
        Ok((token, lifetime))
    }

    /// What a token says, if it is one of ours and has not ended.
    ///
    /// # Errors
    /// 401 `token_expired`, `token_truncated`, `token_unsigned`, `token_foreign`, `token_wrong_audience` or
    /// `invalid_token`.
    pub fn check(&self, token: &str) -> Result<Claims, ApiError> {
        let head = Head::of(token)?;
        let keys = self.keys();
        let key = keys.find(&head.kid).ok_or_else(foreign)?;
        match decode::<Claims>(token, &key.decoding, &self.validation) {
            Ok(data) => Ok(data.claims),
            Err(e) => Err(match e.kind() {
                ErrorKind::ExpiredSignature => {
                    ApiError::unauthorized("token_expired", "the access token has ended; refresh it or sign in again")
                }
                ErrorKind::InvalidAudience | ErrorKind::InvalidIssuer => ApiError::unauthorized(
                    "token_wrong_audience",
                    "the token was made for something else than this API",
                ),
                _ => invalid("the access token's signature does not fit; it was changed on its way"),
            }),
        }
    }

    /// As [`check`](Self::check); a key that is not known is looked for in the database, where another node may have put
    /// it.
    ///
    /// # Errors
    /// Those of [`check`](Self::check), or when the database fails.
    pub async fn check_on(&self, app: &App, token: &str) -> Result<Claims, ApiError> {
        let read = async {
            let checked = match self.check(token) {
                Err(error) if error.code() == FOREIGN && self.may_look() => {
                    self.reload(&app.db, &app.secrets).await.map_err(ApiError::internal)?;
                    self.check(token)
                }
                checked => checked,
            };
            checked.map(Some)
        };
        self.read.get(token, read).await?.ok_or_else(foreign)
    }
}

/// What a token says of its signature, before that is checked.
#[derive(Deserialize)]
struct Head {
    alg: String,
    #[serde(default)]
    kid: String,
}

impl Head {
    /// Says what is wrong with a text that is no whole token of this host's kind.
    fn of(token: &str) -> Result<Self, ApiError> {
        let nonsense = || invalid("the Authorization header holds no access token; sign in at /api/auth/login");
        if token.len() > MAX_LENGTH {
            return Err(nonsense());
        }
        let parts: Vec<_> = token.split('.').collect();
        let head = parts.first().and_then(|part| URL_SAFE_NO_PAD.decode(part).ok()).ok_or_else(nonsense)?;
        let head: Self = serde_json::from_slice(&head).map_err(|_| nonsense())?;
        if parts.len() > 3 {
            return Err(nonsense());
        }
        if head.alg.eq_ignore_ascii_case("none") {
            return Err(ApiError::unauthorized("token_unsigned", "the access token has no signature; sign in for one"));
        }
        if head.alg != keys::ALGORITHM {
            return Err(invalid("the access token is signed in a way that this server does not use"));
        }
        match parts.get(2) {
            Some(signature) if signature.len() >= SIGNATURE => Ok(head),
            _ => Err(ApiError::unauthorized(
                "token_truncated",
                "the access token was cut off; send all three parts of it",
            )),
        }
    }
}

fn invalid(detail: &'static str) -> ApiError {
    ApiError::unauthorized("invalid_token", detail)
}

fn foreign() -> ApiError {
    ApiError::unauthorized(FOREIGN, "another server made the access token, or its key was revoked; sign in again")
}

#[cfg(fuzzing)]
impl Tokens {
    /// With one key that everybody knows.
    pub(super) fn known() -> Self {
        Self::of(Keys { current: keys::Key::new("a".into(), &[1; 32]), former: Vec::new() }, &[7; 32])
    }
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
    use super::{keys::Key, *};

    fn key(kid: &str, byte: u8) -> Key {
        Key::new(kid.into(), &[byte; 32])
    }

    fn tokens(current: Key, former: Vec<Key>) -> Tokens {
        Tokens::of(Keys { current, former }, &[7; 32])
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
        assert_eq!(code(&tokens(key("b", 2), vec![]), &token), "token_foreign");
        assert_eq!(code(&tokens(key("a", 3), vec![]), &token), "invalid_token");
    }

    #[test]
    fn forged_tokens_are_refused() {
        let tokens = tokens(key("a", 1), vec![]);
        assert!(tokens.check(&forge(Algorithm::HS256, Some("a"), &claims())).is_ok());
        assert_eq!(code(&tokens, &forge(Algorithm::HS512, Some("a"), &claims())), "invalid_token");
        assert_eq!(code(&tokens, &forge(Algorithm::HS256, None, &claims())), "token_foreign");
        let other = |change: fn(&mut Claims)| {
            let mut claims = claims();
            change(&mut claims);
            code(&tokens, &forge(Algorithm::HS256, Some("a"), &claims))
        };
        assert_eq!(other(|c| c.iss = "another".into()), "token_wrong_audience");
        assert_eq!(other(|c| c.aud = "another".into()), "token_wrong_audience");
        assert_eq!(other(|c| c.exp = c.iat - 60), "token_expired");
        for text in ["", "a", "a.b.c", "....", "eyJhbGciOiJIUzI1NiJ9.e30.x.y", &"a".repeat(5000)] {
            assert_eq!(code(&tokens, text), "invalid_token", "{text}");
        }
        // Unsigned, but naming the key.
        let none = "eyJhbGciOiJub25lIiwia2lkIjoiYSJ9.eyJzdWIiOiJ1In0.";
        assert_eq!(code(&tokens, none), "token_unsigned");
        let (whole, _) = tokens.issue("user", "session", 15).unwrap();
        for end in [whole.len() - 1, whole.rfind('.').unwrap(), whole.find('.').unwrap()] {
            assert_eq!(code(&tokens, &whole[..end]), "token_truncated", "{end}");
        }
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
