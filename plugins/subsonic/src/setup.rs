//! Signing an account in: a form, and the way of signing that the server takes.

use serde_json::json;
use zotify_plugin_api::prelude::*;

use crate::{
    client::{Answer, PLAIN, Server},
    credentials::{API, Auth, Credentials},
    failure::Failure,
};

/// The longest value of the form.
const MAX_VALUE: usize = 256;
/// The most extensions that are remembered.
const MAX_EXTENSIONS: usize = 50;
/// What the library needs came with this version of the API.
const OLDEST: (u32, u32) = (1, 8);

/// What the form asks for.
#[derive(Default, Deserialize)]
struct Values {
    #[serde(default)]
    username: String,
    #[serde(default)]
    password: String,
    #[serde(default)]
    api_key: String,
}

pub(crate) async fn step(server: &Server, request: &SetupRequest) -> Result<SetupStep> {
    let before: Option<Credentials> = request.credentials.as_deref().and_then(|text| serde_json::from_str(text).ok());
    match &request.input {
        SetupInput::Start => {
            let name = before.map(|credentials| credentials.username).unwrap_or_default();
            Ok(form(&name, offers_keys(server).await, None))
        }
        SetupInput::Form { values } => {
            let values: Values =
                serde_json::from_str(values).map_err(|_| ProviderError::invalid("the form's values cannot be read"))?;
            match sign_in(server, &values).await {
                Ok(done) => Ok(SetupStep::Done(Box::new(done))),
                Err(why) => Ok(form(values.username.trim(), offers_keys(server).await, Some(why))),
            }
        }
        _ => Err(ProviderError::unsupported("this step of signing in")),
    }
}

async fn offers_keys(server: &Server) -> bool {
    let answer = server.call_unsigned("getOpenSubsonicExtensions").await;
    answer.is_ok_and(|answer| extensions(&answer).iter().any(|e| e == "apiKeyAuthentication"))
}

fn form(username: &str, keys: bool, error: Option<String>) -> SetupStep {
    let mut name = json!({"type": "string", "title": "Username", "maxLength": MAX_VALUE});
    if !username.is_empty() {
        name["default"] = username.into();
    }
    let secret = |title: &str| json!({"type": "string", "title": title, "maxLength": MAX_VALUE, "writeOnly": true});
    let mut properties = json!({"username": name, "password": secret("Password")});
    let mut schema = json!({"type": "object", "additionalProperties": false});
    let mut help = "The name and password of your account at the server.".to_owned();
    if keys {
        properties["api_key"] = secret("API key");
        help.push_str(" Or an API key of the server's own settings, and nothing else.");
    } else {
        schema["required"] = json!(["username", "password"]);
    }
    schema["properties"] = properties;
    SetupStep::Form(SetupForm { title: "Sign in".into(), help, schema, error, memory: None })
}

/// Signs in; else says for people what is wrong.
async fn sign_in(server: &Server, values: &Values) -> Result<SetupDone, String> {
    let (username, key) = (values.username.trim(), values.api_key.trim());
    if [username, &values.password, key].iter().any(|value| value.len() > MAX_VALUE) {
        return Err("A value is too long.".into());
    }
    let (auth, secret) = match (username, values.password.as_str(), key) {
        ("", "", key) if !key.is_empty() => (Auth::ApiKey, key),
        (_, _, key) if !key.is_empty() => return Err("Give either username and password, or an API key.".into()),
        ("", _, _) | (_, "", _) => return Err("Give username and password.".into()),
        (_, password, _) => (Auth::Token, password),
    };
    let mut credentials = Credentials {
        username: username.to_owned(),
        secret: secret.to_owned(),
        auth,
        server: String::new(),
        version: API.to_owned(),
        open_subsonic: false,
        extensions: Vec::new(),
    };
    let greeting = greet(server, &mut credentials).await.map_err(|failure| explain(failure, credentials.auth))?;
    know(&mut credentials, &greeting)?;
    if credentials.open_subsonic
        && let Ok(answer) = server.call("getOpenSubsonicExtensions", &credentials, &Vec::new()).await
    {
        credentials.extensions = extensions(&answer);
    }
    if credentials.auth == Auth::ApiKey {
        let info = server.call("tokenInfo", &credentials, &Vec::new()).await;
        let info = info.map_err(|failure| explain(failure, Auth::ApiKey))?;
        credentials.username =
            info.object("tokenInfo").name("username").ok_or("The server does not say whose API key that is.")?;
    }
    let label = credentials.username.clone();
    let credentials = serde_json::to_string(&credentials).map_err(|_| "The credentials cannot be kept.".to_owned())?;
    Ok(SetupDone { account_key: label.clone(), label, credentials, ..SetupDone::default() })
}

/// Finds a way to sign in that the server takes, and leaves it in the credentials.
async fn greet(server: &Server, credentials: &mut Credentials) -> Result<Answer, Failure> {
    let mut answer = server.call("ping", credentials, &Vec::new()).await;
    if let Err(Failure::Api { code: 30, version: Some(version), .. }) = &answer {
        credentials.version.clone_from(version);
        answer = server.call("ping", credentials, &Vec::new()).await;
    }
    // No token where it wants one (10), for users of a directory (41), or not at all; 40 is about the password itself.
    let no_tokens = matches!(&answer, Err(Failure::Api { code: 0 | 10 | 20 | 30 | 41..=43, .. }));
    if credentials.auth == Auth::Token && no_tokens {
        if !server.keeps_passwords() {
            return Err(ProviderError::invalid(PLAIN).with_code("password_unprotected").into());
        }
        credentials.auth = Auth::Password;
        answer = server.call("ping", credentials, &Vec::new()).await;
    }
    answer
}

/// Takes note of what the server is.
fn know(credentials: &mut Credentials, greeting: &Answer) -> Result<(), String> {
    let fields = greeting.fields();
    let version = fields.text("version", 16).unwrap_or_else(|| API.to_owned());
    let said = parse(&version).unwrap_or((1, 16));
    if said < OLDEST {
        return Err(format!("The server speaks version {version} of the API; at least 1.8 is needed."));
    }
    if Some(said) < parse(API) {
        credentials.version = version;
    }
    credentials.open_subsonic = fields.flag("openSubsonic").unwrap_or(false);
    let name = fields.text("type", 64).unwrap_or_else(|| "Subsonic server".into());
    credentials.server = match fields.text("serverVersion", 64) {
        Some(version) => format!("{name} {version}"),
        None => name,
    };
    Ok(())
}

fn parse(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

fn extensions(answer: &Answer) -> Vec<String> {
    answer.fields().list("openSubsonicExtensions").filter_map(|e| e.text("name", 64)).take(MAX_EXTENSIONS).collect()
}

fn explain(failure: Failure, auth: Auth) -> String {
    if failure.ends_sign_in().is_some() {
        let wrong = if auth == Auth::ApiKey { "API key" } else { "username or password" };
        return format!("Wrong {wrong}.");
    }
    let text = failure.into_error("the server").message;
    let mut chars = text.chars();
    let first = chars.next().map(|c| c.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", chars.as_str())
}
