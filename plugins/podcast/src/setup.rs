//! Connecting an account: a form that takes a list of podcasts. Gone through again, it takes another list, and shows the
//! one that there is.

use serde_json::json;
use zotify_plugin_api::prelude::*;

use crate::{
    follow::{self, Credentials},
    opml::{self, Refused},
    store::{Seed, Store},
    text,
};

/// The longest list, in characters: as much as a form takes.
const MAX_LIST: usize = 256 << 10;
/// The longest name of an account, in characters.
const MAX_NAME: usize = 60;
/// What an account is called where nobody says it.
const NAME: &str = "Podcasts";
/// The largest list that a form can show, in bytes: a form has 16 KiB as JSON in all.
const MAX_SHOWN: usize = 12 << 10;

/// What the form asks for.
#[derive(Default, Deserialize)]
struct Values {
    #[serde(default)]
    name: String,
    #[serde(default)]
    feeds: String,
    #[serde(default)]
    opml: String,
}

pub(crate) async fn step(cx: &Context, call: &Call<SetupRequest>) -> Result<SetupStep> {
    let account = call.account.as_ref().map(|account| account.id.as_str());
    match &call.input {
        SetupInput::Start => form(cx, account, None).await,
        SetupInput::Form { values } => {
            let values: Values =
                serde_json::from_str(values).map_err(|_| ProviderError::invalid("the form's values cannot be read"))?;
            let seeds = match seeds(&values) {
                Ok(seeds) => seeds,
                Err(Refused(why)) => return form(cx, account, Some(why)).await,
            };
            match connect(cx, account, call, &values, &seeds).await {
                Ok(done) => Ok(SetupStep::Done(Box::new(done))),
                Err(error) if error.kind == ErrorKind::TooLarge => {
                    form(cx, account, Some(sentence(&error.message))).await
                }
                Err(error) => Err(error),
            }
        }
        _ => Err(ProviderError::unsupported("this step of connecting")),
    }
}

fn seeds(values: &Values) -> Result<Vec<Seed>, Refused> {
    let long = |text: &str| text.chars().count() > MAX_LIST;
    if long(&values.feeds) || long(&values.opml) || values.name.chars().count() > MAX_NAME {
        return Err(Refused("A value is too long.".into()));
    }
    let mut seeds = opml::lines(&values.feeds)?;
    if !values.opml.trim().is_empty() {
        seeds.extend(opml::read(&values.opml)?);
    }
    Ok(seeds)
}

/// An account that is there takes the list over at once; for a new one it is laid aside.
async fn connect(
    cx: &Context,
    account: Option<&str>,
    call: &SetupRequest,
    values: &Values,
    seeds: &[Seed],
) -> Result<SetupDone> {
    let before: Option<Credentials> = call.credentials.as_deref().and_then(|text| serde_json::from_str(text).ok());
    let name = text::title(&values.name).unwrap_or_else(|| NAME.to_owned());
    let mut credentials = before.unwrap_or_else(|| Credentials { key: text::fold(&name), batch: None });
    match account {
        Some(account) => Store::of(cx, account).follow(seeds, cx.clock().now_ms().await?).await?,
        None if seeds.is_empty() => {}
        None if seeds.len() > crate::store::MAX_SHOWS => {
            return Err(ProviderError::new(ErrorKind::TooLarge, "these are more podcasts than an account can follow"));
        }
        None => credentials.batch = Some(follow::lay_aside(cx, seeds).await?),
    }
    let text = serde_json::to_string(&credentials).map_err(ProviderError::internal)?;
    Ok(SetupDone { account_key: credentials.key, label: name, credentials: text, ..SetupDone::default() })
}

async fn form(cx: &Context, account: Option<&str>, error: Option<String>) -> Result<SetupStep> {
    let area = |title: &str| json!({"type": "string", "format": "textarea", "title": title, "maxLength": MAX_LIST});
    let mut properties = json!({
        "feeds": area("Addresses of feeds, one in a line"),
        "opml": area("Or a list of another player: the text of its OPML file"),
    });
    let mut help = "Podcasts to follow. Both may stay empty: podcasts can be followed later, too.".to_owned();
    match account {
        None => {
            let name = json!({"type": "string", "title": "Name of this list", "maxLength": MAX_NAME, "default": NAME});
            properties["name"] = name;
        }
        Some(account) => match export(cx, account).await? {
            Some(text) => {
                help = "Podcasts to follow besides those that are followed.".to_owned();
                let mut export = area("What is followed, as OPML for other players");
                (export["readOnly"], export["default"]) = (true.into(), text.into());
                properties["export"] = export;
            }
            None => help.push_str(" This list is too long to be shown here."),
        },
    }
    let schema = json!({"type": "object", "additionalProperties": false, "properties": properties});
    Ok(SetupStep::Form(SetupForm { title: "Podcasts".into(), help, schema, error, memory: None }))
}

/// What an account follows; none where that is too much for a form.
async fn export(cx: &Context, account: &str) -> Result<Option<String>> {
    let store = Store::of(cx, account);
    let (subscriptions, states) = (store.subscriptions().await?, store.states().await?);
    let feeds = subscriptions.iter().map(|(show, subscription)| {
        let state = states.get(show);
        let title = state.and_then(|state| state.title.as_deref()).or(subscription.title.as_deref());
        let url = state.map_or(subscription.url.as_str(), |state| state.url.as_str());
        (url, title.unwrap_or(url))
    });
    let text = opml::write(feeds);
    let shown = serde_json::to_string(&text).map_err(ProviderError::internal)?.len();
    Ok(Some(text).filter(|_| shown <= MAX_SHOWN))
}

fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(|c| c.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", chars.as_str())
}
