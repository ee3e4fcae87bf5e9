//! Connecting an account: the client id, Spotify's own page, and the exchange of its code for tokens.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use url::Url;
use zotify_plugin_api::prelude::*;

use crate::{
    Spotify,
    client::{Ask, Session, is},
    endpoints,
    settings::{is_client_id, is_redirect},
    text::text,
    token::{self, Credentials},
};

/// How long a sign-in lasts, however often it is refreshed: the shortest six months, in milliseconds.
const LASTS_MS: u64 = 181 * 24 * 3_600_000;

/// What is remembered between the steps.
#[derive(Serialize, Deserialize)]
struct Memory {
    /// None while the form is open.
    client_id: Option<String>,
    redirect: String,
    /// What the page was told, and the browser brings back. The host makes another one for each step.
    state: String,
}

/// One step.
pub(crate) async fn step(spotify: &Spotify, call: &Call<SetupRequest>) -> Result<SetupStep> {
    let request = &call.request;
    match &request.input {
        SetupInput::Start => {
            let redirect = redirect(spotify, request)?;
            match known_client_id(spotify, request) {
                Some(client_id) => external(spotify, request, client_id, redirect),
                None => form(&redirect, None),
            }
        }
        SetupInput::Form { values } => {
            let redirect = redirect(spotify, request)?;
            let values: serde_json::Value = serde_json::from_str(values).unwrap_or_default();
            match text(&values, "client_id").map(str::trim).filter(|id| is_client_id(id)) {
                Some(client_id) => external(spotify, request, client_id.to_owned(), redirect),
                None => form(&redirect, Some("This is no client id: at most 64 letters and digits.")),
            }
        }
        SetupInput::Returned { url } => returned(spotify, call, url).await,
        _ => Err(ProviderError::unsupported("this step of connecting an account")),
    }
}

/// Signing in again goes to the app that the account signed in to.
fn known_client_id(spotify: &Spotify, request: &SetupRequest) -> Option<String> {
    let before = request.credentials.as_deref().and_then(|text| serde_json::from_str::<Credentials>(text).ok());
    before.map(|credentials| credentials.client_id).or_else(|| spotify.settings.client_id.clone())
}

fn redirect(spotify: &Spotify, request: &SetupRequest) -> Result<String> {
    let offered = || request.redirects.iter().find(|uri| is_redirect(uri)).cloned();
    spotify.settings.redirect_uri.clone().or_else(offered).ok_or_else(|| {
        let text = "Spotify sends browsers back to https addresses and to 127.0.0.1 only, and the host offers neither; \
                    set redirect_uri in the provider's settings";
        ProviderError::invalid(text).with_code("no_redirect")
    })
}

fn form(redirect: &str, error: Option<&str>) -> Result<SetupStep> {
    let help = format!(
        "This needs Spotify Premium on the account that registers the app. Sign in at developer.spotify.com/dashboard, \
         create an app with the Web API, and enter exactly this redirect URI: {redirect} — then add everybody who will \
         connect here under User Management (at most five people), and copy the app's client id. The client secret is not \
         needed."
    );
    let schema = json!({
        "type": "object",
        "properties": {
            "client_id": {
                "type": "string",
                "title": "Client ID",
                "description": "As the app's page at developer.spotify.com shows it.",
                "minLength": 1,
                "maxLength": 64,
                "pattern": "^[A-Za-z0-9_-]+$",
            },
        },
        "required": ["client_id"],
        "additionalProperties": false,
    });
    let title = "An app of your own at Spotify".into();
    Ok(SetupStep::Form(SetupForm { title, help, schema, error: error.map(str::to_owned), memory: None }))
}

fn external(spotify: &Spotify, request: &SetupRequest, client_id: String, redirect: String) -> Result<SetupStep> {
    let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(request.secret.as_bytes()));
    let mut url = Url::parse(&format!("{}/authorize", spotify.settings.accounts_base))
        .map_err(|_| ProviderError::invalid("accounts_base is no address").with_code("settings_invalid"))?;
    url.query_pairs_mut().extend_pairs([
        ("response_type", "code"),
        ("client_id", &client_id),
        ("redirect_uri", &redirect),
        ("scope", &endpoints::SCOPES.join(" ")),
        ("state", &request.state),
        ("code_challenge_method", "S256"),
        ("code_challenge", &challenge),
        ("show_dialog", "true"),
    ]);
    let help = format!(
        "Agree on Spotify's page. If it says INVALID_CLIENT or asks for Premium, look at the app: it must have the redirect \
         URI {redirect}, its owner needs Premium, and you must be listed under User Management. If the browser then shows an \
         address that it cannot open, copy that whole address back here."
    );
    let memory = Memory { client_id: Some(client_id), redirect: redirect.clone(), state: request.state.clone() };
    let memory = serde_json::to_string(&memory).map_err(|_| ProviderError::internal("cannot write the step"))?;
    Ok(SetupStep::External(SetupExternal { url: url.into(), redirect, help, memory: Some(memory) }))
}

async fn returned(spotify: &Spotify, call: &Call<SetupRequest>, url: &str) -> Result<SetupStep> {
    let memory = call.memory.as_deref().and_then(|text| serde_json::from_str::<Memory>(text).ok());
    let Some(Memory { client_id: Some(client_id), redirect, state }) = memory else {
        return Err(ProviderError::invalid("the steps came out of order; start again").with_code("no_memory"));
    };
    let code = code(url, &state)?;
    let form = [
        ("grant_type", "authorization_code"),
        ("code", code.as_str()),
        ("redirect_uri", &redirect),
        ("client_id", &client_id),
        ("code_verifier", &call.secret),
    ];
    let granted = token::ask(&spotify.cx, &spotify.settings, &form).await.map_err(exchange_error)?;
    let mut credentials = Credentials {
        client_id,
        access_token: String::new(),
        refresh_token: String::new(),
        expires_at_ms: 0,
        // Where Spotify does not say, it is what was asked for.
        scopes: endpoints::SCOPES.iter().map(|&scope| scope.to_owned()).collect(),
        user_id: String::new(),
    };
    credentials.take(granted, spotify.cx.clock().now_ms().await?);
    if credentials.refresh_token.is_empty() {
        return Err(crate::error::unreadable("no refresh token in it"));
    }
    done(spotify, call, credentials).await
}

/// The code of the address that the browser came back to.
fn code(url: &str, state: &str) -> Result<String> {
    let url = Url::parse(url).map_err(|_| ProviderError::invalid("this is no address").with_code("no_code"))?;
    let field = |name: &str| url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned());
    if field("state").as_deref() != Some(state) {
        return Err(ProviderError::invalid("the address belongs to another sign-in").with_code("other_state"));
    }
    match (field("error").as_deref(), field("code").filter(|code| !code.is_empty())) {
        (Some("access_denied"), _) => {
            let text = "the sign-in was refused on Spotify's page; nothing was connected";
            Err(ProviderError::new(ErrorKind::Restricted, text).with_code("access_denied"))
        }
        (Some("server_error" | "temporarily_unavailable"), _) => {
            Err(ProviderError::unavailable("Spotify's sign-in has a fault of its own now").with_code("service_error"))
        }
        (Some(_), _) => {
            let text = "Spotify's page refused the request; look at the app's client id and redirect URI";
            Err(ProviderError::new(ErrorKind::Restricted, text).with_code("authorize_refused"))
        }
        (None, Some(code)) => Ok(code),
        (None, None) => Err(ProviderError::invalid("the address holds no code from Spotify").with_code("no_code")),
    }
}

fn exchange_error(error: ProviderError) -> ProviderError {
    if !is(&error, "invalid_grant") {
        return error;
    }
    ProviderError::invalid("Spotify's code was used already, or is too old; start again").with_code("code_invalid")
}

async fn done(spotify: &Spotify, call: &Call<SetupRequest>, credentials: Credentials) -> Result<SetupStep> {
    let mut session = Session::with(spotify, credentials, call).await?;
    let me = session.json(&Ask::new(&endpoints::ME, &[])).await?;
    let mut credentials = session.credentials;
    let user_id = text(&me, "id").unwrap_or_default();
    let account_key = text(&me, "account_id").or_else(|| text(&me, "id")).unwrap_or_default();
    if account_key.is_empty() {
        return Err(crate::error::unreadable("it names nobody"));
    }
    credentials.user_id = user_id.to_owned();
    Ok(SetupStep::Done(Box::new(SetupDone {
        account_key: account_key.to_owned(),
        label: text(&me, "display_name").unwrap_or(user_id).to_owned(),
        credentials: credentials.to_json()?,
        lasts_ms: Some(LASTS_MS),
        scopes: credentials.scopes,
    })))
}
