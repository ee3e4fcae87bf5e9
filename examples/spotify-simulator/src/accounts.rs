//! The accounts service: the page that asks for consent, codes and tokens.

use std::net::IpAddr;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use url::{Host, Url};

use crate::{
    call::{Body, Reply},
    options::RefreshToken,
    playlists::escaped,
    state::State,
};

/// How long a code can be exchanged.
const CODE_LIVES_MS: i64 = 600_000;
/// How long a refresh token lives after the consent; refreshing does not lengthen it.
const REFRESH_LIVES_MS: i64 = 182 * 86_400_000;

/// A code that was given out.
#[derive(Clone, Debug)]
pub(crate) struct Code {
    user: usize,
    client: String,
    redirect: String,
    challenge: String,
    scopes: Vec<String>,
    made_ms: i64,
    used: bool,
}

/// An access token.
#[derive(Clone, Debug)]
pub(crate) struct Access {
    pub(crate) user: usize,
    pub(crate) scopes: Vec<String>,
    pub(crate) until_ms: i64,
}

impl Access {
    /// A token of another accounts service, which may do everything for the first user.
    pub(crate) fn foreign() -> Self {
        let scopes = "user-library-read user-library-modify user-follow-read user-follow-modify playlist-read-private \
            playlist-modify-private playlist-modify-public ugc-image-upload user-read-recently-played user-top-read";
        Self { user: 0, scopes: scopes.split_whitespace().map(str::to_owned).collect(), until_ms: i64::MAX }
    }
}

/// A refresh token.
#[derive(Clone, Debug)]
pub(crate) struct Refresh {
    pub(crate) user: usize,
    client: String,
    scopes: Vec<String>,
    /// When the user agreed.
    pub(crate) agreed_ms: i64,
    pub(crate) revoked: bool,
}

type Pairs = [(String, String)];

fn get<'a>(pairs: &'a Pairs, name: &str) -> &'a str {
    pairs.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
}

/// Whether the service lets an app register an address: HTTPS, or HTTP on a loopback address that is a number.
fn registrable(redirect: &str) -> bool {
    let Ok(url) = Url::parse(redirect) else { return false };
    let loopback = match url.host() {
        Some(Host::Ipv4(ip)) => IpAddr::V4(ip).is_loopback(),
        Some(Host::Ipv6(ip)) => IpAddr::V6(ip).is_loopback(),
        _ => false,
    };
    url.scheme() == "https" && url.host_str() != Some("localhost") || url.scheme() == "http" && loopback
}

/// A loopback address that was registered without a port fits any port.
fn fits(registered: &str, asked: &str) -> bool {
    let portless = |text: &str| {
        let mut url = Url::parse(text).ok().filter(|url| url.scheme() == "http")?;
        url.set_port(None).ok()?;
        Some(url)
    };
    let open = Url::parse(registered).is_ok_and(|url| url.port().is_none()) && portless(registered).is_some();
    registered == asked || open && portless(registered) == portless(asked)
}

/// What is wrong with a request for consent, before there is anybody to tell it to.
fn refusal(state: &State, query: &Pairs) -> Option<&'static str> {
    let (client, redirect) = (get(query, "client_id"), get(query, "redirect_uri"));
    let o = &state.options;
    if client.is_empty() || !o.client_ids.is_empty() && !o.client_ids.iter().any(|known| known == client) {
        return Some("INVALID_CLIENT: Invalid client");
    }
    if !registrable(redirect)
        || !o.redirect_uris.is_empty() && !o.redirect_uris.iter().any(|known| fits(known, redirect))
    {
        return Some("INVALID_CLIENT: Invalid redirect URI");
    }
    if get(query, "response_type") != "code" {
        return Some("response_type must be code");
    }
    if get(query, "code_challenge_method") != "S256" || get(query, "code_challenge").len() != 43 {
        return Some("code_challenge_method must be S256");
    }
    None
}

/// The address that the browser goes back to.
fn back(query: &Pairs, pairs: &[(&str, &str)]) -> String {
    let Ok(mut url) = Url::parse(get(query, "redirect_uri")) else { return String::new() };
    url.query_pairs_mut().extend_pairs(pairs);
    if !get(query, "state").is_empty() {
        url.query_pairs_mut().append_pair("state", get(query, "state"));
    }
    url.into()
}

/// A user's consent: the address to go back to, with a code.
pub(crate) fn agree(state: &mut State, query: &Pairs, user: usize) -> Result<String, String> {
    if let Some(why) = refusal(state, query) {
        return Err(why.to_owned());
    }
    let code = state.fresh("AQ", 120);
    let made = Code {
        user,
        client: get(query, "client_id").to_owned(),
        redirect: get(query, "redirect_uri").to_owned(),
        challenge: get(query, "code_challenge").to_owned(),
        scopes: get(query, "scope").split_whitespace().map(str::to_owned).collect(),
        made_ms: state.now_ms(),
        used: false,
    };
    let address = back(query, &[("code", &code)]);
    state.codes.insert(code, made);
    Ok(address)
}

/// `GET /authorize`: the page, or straight back where consent is given in advance.
pub(crate) fn page(state: &mut State, query: &Pairs) -> Reply {
    if let Some(why) = refusal(state, query) {
        return Reply::text(400, "text/plain; charset=utf-8", why);
    }
    if let Some(user) = state.options.agree_as {
        return answer(state, query, user.saturating_sub(1).min(state.options.users.saturating_sub(1)));
    }
    let hidden: String = query
        .iter()
        .map(|(key, value)| format!("<input type=hidden name=\"{}\" value=\"{}\">", escaped(key), escaped(value)))
        .collect();
    let users: String = state.users[..state.options.users]
        .iter()
        .map(|user| format!("<option value=\"{}\">{}</option>", escaped(&user.id), escaped(&user.name)))
        .collect();
    let scopes: String = get(query, "scope").split_whitespace().map(|s| format!("<li>{}</li>", escaped(s))).collect();
    let text = format!(
        "<!doctype html><html lang=en><meta charset=utf-8><title>Spotify simulator</title><h1>Spotify simulator</h1>\
         <p>The app <b>{}</b> asks for:</p><ul>{scopes}</ul><form method=post action=/authorize>{hidden}\
         <p><label>Sign in as <select name=user>{users}</select></label></p>\
         <button name=answer value=agree>Agree</button> <button name=answer value=cancel>Cancel</button></form></html>",
        escaped(get(query, "client_id"))
    );
    Reply::text(200, "text/html; charset=utf-8", &text)
}

fn answer(state: &mut State, query: &Pairs, user: usize) -> Reply {
    match agree(state, query, user) {
        Ok(address) => Reply::empty(302).with("location", &address),
        Err(why) => Reply::text(400, "text/plain; charset=utf-8", &why),
    }
}

/// `POST /authorize`: what the page's form says.
pub(crate) fn answered(state: &mut State, form: &Pairs) -> Reply {
    if let Some(why) = refusal(state, form) {
        return Reply::text(400, "text/plain; charset=utf-8", why);
    }
    let user = state.user(get(form, "user"));
    match user.filter(|_| get(form, "answer") == "agree") {
        Some(user) => answer(state, form, user),
        None => Reply::empty(302).with("location", &back(form, &[("error", "access_denied")])),
    }
}

fn refused(error: &str, description: &str) -> Reply {
    Reply::json(400, json!({"error": error, "error_description": description}))
}

/// `POST /api/token`.
pub(crate) fn token(state: &mut State, form: &Pairs) -> Reply {
    let answer = match get(form, "grant_type") {
        "authorization_code" => exchange(state, form),
        "refresh_token" => renew(state, form),
        _ => Err(refused("unsupported_grant_type", "grant_type must be authorization_code or refresh_token")),
    };
    let mut reply = answer.map_or_else(|refused| refused, |value| Reply::json(200, value));
    if let Body::Json(_) = reply.body {
        reply = reply.with("cache-control", "no-store");
    }
    reply
}

fn exchange(state: &mut State, form: &Pairs) -> Result<Value, Reply> {
    let now = state.now_ms();
    let code = state.codes.get_mut(get(form, "code"));
    let code = code.ok_or_else(|| refused("invalid_grant", "Invalid authorization code"))?;
    let verifier = get(form, "code_verifier");
    let problem = if code.used {
        Some("Invalid authorization code")
    } else if now - code.made_ms > CODE_LIVES_MS {
        Some("Authorization code expired")
    } else if code.client != get(form, "client_id") {
        Some("Invalid client")
    } else if code.redirect != get(form, "redirect_uri") {
        Some("Invalid redirect URI")
    } else if !(43..=128).contains(&verifier.len())
        || URL_SAFE_NO_PAD.encode(Sha256::digest(verifier)) != code.challenge
    {
        Some("code_verifier was incorrect")
    } else {
        None
    };
    code.used = true;
    if let Some(problem) = problem {
        return Err(refused("invalid_grant", problem));
    }
    let code = code.clone();
    let refresh = Refresh { user: code.user, client: code.client, scopes: code.scopes, agreed_ms: now, revoked: false };
    let mut value = access(state, &refresh);
    let name = state.fresh("AQ", 110);
    value["refresh_token"] = json!(name);
    state.refresh.insert(name, refresh);
    Ok(value)
}

/// A new access token in an answer.
fn access(state: &mut State, of: &Refresh) -> Value {
    let token = state.fresh("BQ", 120);
    let lives = state.options.access_lives_s;
    let until_ms = state.now_ms() + lives * 1_000;
    let made = Access { user: of.user, scopes: of.scopes.clone(), until_ms };
    state.access.insert(token.clone(), made);
    json!({"access_token": token, "token_type": "Bearer", "scope": of.scopes.join(" "), "expires_in": lives})
}

fn renew(state: &mut State, form: &Pairs) -> Result<Value, Reply> {
    let sent = get(form, "refresh_token");
    let known = state.refresh.get(sent).cloned().ok_or_else(|| refused("invalid_grant", "Invalid refresh token"))?;
    if known.client != get(form, "client_id") {
        return Err(refused("invalid_grant", "Invalid refresh token"));
    }
    if known.revoked {
        return Err(refused("invalid_grant", "Refresh token revoked"));
    }
    if state.now_ms() - known.agreed_ms > REFRESH_LIVES_MS {
        return Err(refused("invalid_grant", "Refresh token expired"));
    }
    let mut value = access(state, &known);
    match state.options.refresh_token {
        RefreshToken::Absent => {}
        RefreshToken::Empty => value["refresh_token"] = json!(""),
        RefreshToken::Same => value["refresh_token"] = json!(sent),
        RefreshToken::Rotate => {
            let name = state.fresh("AQ", 110);
            value["refresh_token"] = json!(name);
            state.refresh.insert(name, known);
            state.refresh.remove(sent);
        }
    }
    Ok(value)
}
