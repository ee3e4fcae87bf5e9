//! Connecting an account: the settings say which steps that takes. The service is made up: whoever comes back with
//! `code=…` is who the code says, and a form takes any name with the password `sesame`.

use serde_json::json;
use url::Url;
use zotify_plugin_api::prelude::*;

/// How often somebody has to ask before the service is ready.
const POLLS: usize = 2;
/// What is granted.
const SCOPES: [&str; 2] = ["likes", "plays"];

/// How accounts are connected, and what they may do.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Connect {
    /// What it takes, in this order.
    steps: Vec<Kind>,
    /// How long a sign-in lasts, in milliseconds.
    lasts_ms: Option<u64>,
    /// Capabilities that accounts do not have.
    restricted: Vec<String>,
    /// How the service takes what accounts do.
    pub(crate) works: Works,
}

impl Default for Connect {
    fn default() -> Self {
        let steps = vec![Kind::Form, Kind::External, Kind::Progress];
        Self { steps, lasts_ms: None, restricted: Vec::new(), works: Works::Fine }
    }
}

/// A step.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Form,
    External,
    Progress,
    /// A form with fields within fields, as no host should take it.
    Deep,
    /// A visit to what is no web page, as no host should take it.
    Script,
    /// A visit that comes back to elsewhere, as no host should take it.
    Elsewhere,
    /// Nothing but a failure.
    Away,
}

/// How the service takes what accounts do.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Works {
    Fine,
    /// Somebody has to sign in again.
    Expired,
    /// The account may do nothing.
    Restricted,
    /// It does not answer.
    Away,
}

/// What the flow remembers.
#[derive(Clone, Default, Serialize, Deserialize)]
struct Memory {
    /// The step that was answered last.
    at: usize,
    /// Who signs in.
    name: String,
    polls: usize,
}

/// The service wants another sign-in.
pub(crate) fn expired() -> ProviderError {
    ProviderError::new(ErrorKind::AuthRequired, "the service wants somebody to sign in again").with_code("grant_ended")
}

impl Connect {
    /// What an account may do.
    pub(crate) fn check(&self, account: bool) -> Result<Checked> {
        let restricted = || ProviderError::new(ErrorKind::Restricted, "the service is not for you");
        match self.works {
            _ if !account => Ok(Checked::default()),
            Works::Fine => {
                let state = CapabilityState::Restricted { code: "premium_required".into() };
                let capabilities = self.restricted.iter().map(|name| (name.clone(), state.clone())).collect();
                Ok(Checked { capabilities, ..Checked::default() })
            }
            Works::Expired => Err(expired()),
            Works::Restricted => Err(restricted().with_code("not_allowlisted")),
            Works::Away => Err(ProviderError::unavailable("the service is away")),
        }
    }

    /// The next step.
    pub(crate) fn step(&self, request: &SetupRequest) -> Result<SetupStep> {
        let memory = request.memory.as_deref().map(serde_json::from_str).transpose();
        let mut memory: Memory = memory.map_err(ProviderError::internal)?.unwrap_or_default();
        match &request.input {
            SetupInput::Start => return self.ask(request, memory),
            SetupInput::Form { values } => {
                let values: serde_json::Value = serde_json::from_str(values).map_err(ProviderError::internal)?;
                if values["password"] != "sesame" {
                    return Ok(form(&memory, Some("the name or the password is wrong")));
                }
                memory.name = values["name"].as_str().unwrap_or_default().to_owned();
            }
            SetupInput::Returned { url } => memory.name = came_back(url)?,
            SetupInput::Poll => {
                memory.polls += 1;
                if memory.polls < POLLS {
                    return self.ask(request, memory);
                }
            }
            _ => return Err(ProviderError::unsupported("this answer")),
        }
        memory.at += 1;
        self.ask(request, memory)
    }

    fn ask(&self, request: &SetupRequest, memory: Memory) -> Result<SetupStep> {
        let first = || request.redirects.first().cloned().ok_or_else(|| ProviderError::invalid("nowhere to come back"));
        Ok(match self.steps.get(memory.at) {
            None => SetupStep::Done(Box::new(self.done(request, &memory))),
            Some(Kind::Form) => form(&memory, None),
            Some(Kind::External) => external(request, "https://service.example/authorize", first()?, &memory),
            Some(Kind::Progress) => SetupStep::Progress(SetupProgress {
                message: "Type the code in at the service.".into(),
                code: Some("WXYZ".into()),
                url: Some("https://service.example/device".into()),
                poll_after_ms: 1,
                expires_in_ms: 60_000,
                memory: remembered(&memory),
            }),
            Some(Kind::Deep) => {
                let inner = json!({"type": "object", "properties": {"a": {"type": "string"}}});
                let schema = json!({"type": "object", "properties": {"inner": inner}});
                SetupStep::Form(SetupForm { schema, ..SetupForm::default() })
            }
            Some(Kind::Script) => external(request, "javascript:alert(1)", first()?, &memory),
            Some(Kind::Elsewhere) => {
                external(request, "https://service.example/", "https://elsewhere.example/".into(), &memory)
            }
            Some(Kind::Away) => return Err(ProviderError::unavailable("the service is away")),
        })
    }

    fn done(&self, request: &SetupRequest, memory: &Memory) -> SetupDone {
        let again = request.credentials.is_some();
        SetupDone {
            account_key: memory.name.clone(),
            label: format!("{} at the stars", memory.name),
            credentials: json!({"token": format!("token-of-{}", memory.name), "again": again}).to_string(),
            lasts_ms: self.lasts_ms,
            scopes: SCOPES.map(str::to_owned).to_vec(),
        }
    }
}

fn remembered(memory: &Memory) -> Option<String> {
    serde_json::to_string(memory).ok()
}

fn form(memory: &Memory, error: Option<&str>) -> SetupStep {
    let schema = json!({
        "type": "object",
        "required": ["name", "password"],
        "properties": {
            "name": {"type": "string", "title": "Name", "minLength": 2, "pattern": "^[a-z]+$"},
            "password": {"type": "string", "title": "Password", "writeOnly": true},
            "stay": {"type": "boolean", "title": "Stay signed in"},
        },
    });
    SetupStep::Form(SetupForm {
        title: "Sign in".into(),
        help: "As at the service.".into(),
        schema,
        error: error.map(str::to_owned),
        memory: remembered(memory),
    })
}

fn external(request: &SetupRequest, url: &str, redirect: String, memory: &Memory) -> SetupStep {
    let url = match Url::parse_with_params(url, [("state", &request.state), ("redirect_uri", &redirect)]) {
        Ok(url) => url.into(),
        Err(_) => url.to_owned(),
    };
    SetupStep::External(SetupExternal { url, redirect, help: "Allow it there.".into(), memory: remembered(memory) })
}

/// Who the service says it is.
fn came_back(url: &str) -> Result<String> {
    let url = Url::parse(url).map_err(|_| ProviderError::invalid("no address"))?;
    let code = url.query_pairs().find(|(name, _)| name == "code").map(|(_, code)| code.into_owned());
    match code.as_deref() {
        None | Some("") => Err(ProviderError::invalid("the service sent no code")),
        Some("away") => Err(ProviderError::unavailable("the service is away")),
        Some("refused") => Err(ProviderError::new(ErrorKind::Restricted, "not for you").with_code("not_allowlisted")),
        Some(name) => Ok(name.to_owned()),
    }
}
