//! Watches a whole test for secrets in places where none belongs: every reply that the test reads, and the log of the
//! host at its most talkative.

use std::{
    io,
    sync::{LazyLock, Mutex, MutexGuard, PoisonError},
};

use reqwest::{Request, header};
use serde_json::Value;
use tracing_subscriber::{EnvFilter, fmt::MakeWriter};

use super::Reply;

/// What is logged: all that the host can say of itself, and what is below it as far as an admin would ever turn it up.
const FILTER: &str = "info,zotify_host=trace,tower_http=trace,hyper=debug,sqlx=warn";
/// Fields in which secrets travel, both ways.
const FIELDS: [&str; 9] = [
    "access_token",
    "refresh_token",
    "password",
    "current_password",
    "new_password",
    "invite",
    "code",
    "key",
    "secret",
];
/// What is shorter may well stand in a sentence.
const SHORTEST: usize = 16;

static LOG: Log = Log(Mutex::new(Vec::new()));
static KNOWN: LazyLock<Mutex<Vec<String>>> = LazyLock::new(Mutex::default);

struct Log(Mutex<Vec<u8>>);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl io::Write for &Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        lock(&self.0).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for &'static Log {
    type Writer = &'static Log;

    fn make_writer(&'a self) -> &'static Log {
        self
    }
}

/// Starts to listen to the log of this process.
pub fn watch() {
    let subscriber = tracing_subscriber::fmt().with_env_filter(EnvFilter::new(FILTER)).with_ansi(false);
    let _ = subscriber.with_writer(&LOG).try_init();
}

/// Learns the secrets of a request.
pub fn sent(request: &Request) {
    for name in [header::AUTHORIZATION.as_str(), "x-api-key", header::COOKIE.as_str()] {
        let value = request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        learn(value.trim_start_matches("Bearer ").rsplit('=').next().unwrap_or_default());
    }
    let body = request.body().and_then(|body| body.as_bytes()).unwrap_or_default();
    match serde_json::from_slice::<Value>(body) {
        Ok(json) => fields(&json, None, &mut |_, text, secret| {
            if secret {
                learn(text);
            }
        }),
        Err(_) => url::form_urlencoded::parse(body)
            .filter(|(name, _)| FIELDS.contains(&&**name))
            .for_each(|(_, value)| learn(&value)),
    }
}

/// Learns the secrets of a reply that was to hold them, and finds those that were not.
pub fn received(path: &str, reply: &Reply) {
    for (name, value) in &reply.headers {
        let value = value.to_str().unwrap_or_default();
        if name == header::SET_COOKIE {
            learn(value.split(';').next().and_then(|pair| pair.split_once('=')).map_or("", |(_, value)| value));
        } else {
            free_of_secrets(value, &format!("{path}: the header {name}"));
        }
    }
    match serde_json::from_slice::<Value>(&reply.bytes) {
        Ok(json) => fields(&json, None, &mut |name, text, secret| {
            if secret {
                learn(text);
            } else {
                free_of_secrets(text, &format!("{path}: {name:?}"));
            }
        }),
        Err(_) => free_of_secrets(&reply.text(), path),
    }
}

/// Makes sure that no secret was logged.
pub fn check_log() {
    let log = String::from_utf8_lossy(&lock(&LOG.0)).into_owned();
    free_of_secrets(&log, "the log");
}

/// Walks through every text of a document, with its field's name and whether a secret stands there.
fn fields(value: &Value, name: Option<&str>, found: &mut impl FnMut(Option<&str>, &str, bool)) {
    match value {
        Value::String(text) => {
            let secret = name.is_some_and(|name| FIELDS.contains(&name));
            // Codes of problems and keys of other kinds are no secrets.
            let marked = !matches!(name, Some("code" | "key")) || text.starts_with("zt");
            found(name, text, secret && marked);
        }
        Value::Array(values) => values.iter().for_each(|value| fields(value, name, found)),
        Value::Object(map) => map.iter().for_each(|(name, value)| fields(value, Some(name), found)),
        _ => {}
    }
}

/// Takes note of a secret.
pub fn learn(secret: &str) {
    let mut known = lock(&KNOWN);
    if secret.len() >= SHORTEST && !known.iter().any(|one| one == secret) {
        known.push(secret.to_owned());
    }
}

fn free_of_secrets(text: &str, place: &str) {
    for secret in lock(&KNOWN).iter() {
        if let Some(at) = text.find(secret.as_str()) {
            let line = text[..at].rfind('\n').map_or(0, |start| start + 1);
            let context: String = text[line..at].chars().take(300).collect();
            panic!("{place} holds the secret {:.12}… after {context:?}", secret);
        }
    }
}

#[test]
fn a_secret_in_the_log_is_found() {
    watch();
    learn("a secret that nobody else has");
    check_log();
    tracing::debug!(target: "zotify_host", "it slipped out: a secret that nobody else has");
    assert!(std::panic::catch_unwind(check_log).is_err());
    lock(&LOG.0).clear();
}
