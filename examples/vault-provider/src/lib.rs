//! A provider whose accounts have tokens that end: it shows how the token vault and budgets are used, and tests see them
//! through it. Its service is whatever answers at the setting `server`.

use zotify_plugin_api::{
    prelude::*,
    service::{Budget, HttpResponse, VaultEntry},
};

struct Tokens {
    cx: Context,
    settings: Settings,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// The service: `POST /token` refreshes, `GET /api/…` wants the token.
    server: String,
}

/// What the vault keeps of an account.
#[derive(Serialize, Deserialize)]
struct Credentials {
    /// What shares the short window.
    client_id: String,
    /// What shares the quota of the day.
    developer: String,
    access_token: String,
    refresh_token: String,
}

/// What the service answers to a refresh.
#[derive(Deserialize)]
struct Refreshed {
    access_token: String,
    /// None where the former one stays good.
    #[serde(default)]
    refresh_token: Option<String>,
}

/// A page of the library.
#[derive(Deserialize)]
struct Titles {
    titles: Vec<String>,
    #[serde(default)]
    next: Option<String>,
}

impl Provider for Tokens {
    const ID: &'static str = "tokens";
    type Settings = Settings;

    fn manifest() -> ProviderManifest {
        let host = SettingOr::Setting { setting: "/server".into() };
        let hosts = vec![HostPermission { host, reason: "It is the service.".into() }];
        let capabilities = [capability::CATALOG_SEARCH, capability::CATALOG_GET, capability::LIBRARY_TRACKS_READ];
        ProviderManifest {
            sign_in: SignIn::SetupFlow,
            library: LibraryKind::Saved,
            permissions: Permissions { hosts, ..Permissions::default() },
            ..ProviderManifest::new("Tokens", capabilities)
        }
    }

    fn new(cx: Context, settings: Settings) -> Result<Self> {
        Ok(Self { cx, settings })
    }

    /// One track. Its title is what the service answers to `GET /api/<query>`; for `pid` the process's id, and for
    /// `vault <account>` the version of the credentials of an account that need not be the call's.
    async fn search(&self, call: Call<Search>) -> Result<Page> {
        let title = match call.query.split_once(' ') {
            _ if call.query == "pid" => std::process::id().to_string(),
            Some(("vault", account)) => self.cx.vault(account).get().await?.version.to_string(),
            _ => String::from_utf8_lossy(&self.ask(&call, &call.query).await?.body).into_owned(),
        };
        Ok(std::iter::once(Item::Track(Track::new(self.cx.uri(Kind::Track, "1")?, title))).collect())
    }

    /// A track whose title is what the service answers to `GET /api/<id>`.
    async fn get(&self, call: Call<Get>) -> Result<Item> {
        let response = self.ask(&call, &call.uri.native_id()).await?;
        Ok(Item::Track(Track::new(call.uri.clone(), String::from_utf8_lossy(&response.body))))
    }

    async fn library_changes(&self, call: Call<LibraryChanges>) -> Result<LibraryPage> {
        let page: Titles = self.ask(&call, call.cursor.as_deref().unwrap_or("library")).await?.json()?;
        let track = |title: &String| Ok(Item::Track(Track::new(self.cx.uri(Kind::Track, title)?, title)));
        let upsert = page.titles.iter().map(track).collect::<Result<Vec<_>>>()?;
        let listing = if page.next.is_none() { Listing::Everything } else { Listing::Unknown };
        Ok(LibraryPage { upsert: upsert.into(), next: page.next, listing, ..LibraryPage::default() })
    }
}

impl Tokens {
    /// Asks the service; where it does not take the token, once more with a fresh one.
    async fn ask<T: Sync>(&self, call: &Call<T>, path: &str) -> Result<HttpResponse> {
        let account = call.account_id()?;
        let entry = self.cx.vault(account).get().await?;
        let first = self.send(call, path, &entry).await?;
        if first.status != 401 {
            return first.success();
        }
        let entry = self.fresh(account, entry.version).await?;
        self.send(call, path, &entry).await?.success()
    }

    async fn send<T: Sync>(&self, call: &Call<T>, path: &str, entry: &VaultEntry) -> Result<HttpResponse> {
        let credentials = credentials(entry)?;
        let budget = Budget {
            window: credentials.client_id,
            quota: credentials.developer,
            account: Some(call.account_id()?.to_owned()),
            background: call.background,
        };
        let url = format!("{}/api/{path}", self.settings.server);
        self.cx.http().get(url).bearer(&credentials.access_token).budget(budget).send().await
    }

    /// Credentials newer than a version: those of another call that was faster, or those that this one asks for.
    async fn fresh(&self, account: &str, version: i64) -> Result<VaultEntry> {
        let vault = self.cx.vault(account);
        let granted = vault.refresh(version).await?;
        let Some(lease) = granted.lease else { return Ok(granted.entry) };
        let version = granted.entry.version;
        let answer = self.refreshed(&granted.entry).await;
        let fresh = match answer {
            Ok(Some(fresh)) => fresh,
            Ok(None) => {
                vault.end(version, Some(lease), "invalid_grant", "The service has withdrawn the sign-in.").await?;
                return Err(ProviderError::new(ErrorKind::AuthRequired, "sign in again").with_code("invalid_grant"));
            }
            Err(error) => {
                vault.give_back(version, lease).await?;
                return Err(error);
            }
        };
        // Kept before it is used: what the service took back for it is of no use any more.
        let document = serde_json::to_string(&fresh).map_err(ProviderError::internal)?;
        vault.put(document, version, Some(lease), None).await
    }

    /// None where the service does not take the refresh token any more.
    async fn refreshed(&self, entry: &VaultEntry) -> Result<Option<Credentials>> {
        let old = credentials(entry)?;
        let form = format!("grant_type=refresh_token&refresh_token={}", old.refresh_token);
        let url = format!("{}/token", self.settings.server);
        let response =
            self.cx.http().post(url).body("application/x-www-form-urlencoded", form).no_redirects().send().await?;
        if response.status == 400 {
            return Ok(None);
        }
        let Refreshed { access_token, refresh_token } = response.success()?.json()?;
        let refresh_token = refresh_token.filter(|token| !token.is_empty()).unwrap_or(old.refresh_token);
        Ok(Some(Credentials { access_token, refresh_token, ..old }))
    }
}

fn credentials(entry: &VaultEntry) -> Result<Credentials> {
    // The error of the parser could quote them.
    serde_json::from_str(&entry.credentials).map_err(|_| ProviderError::internal("the credentials cannot be read"))
}

register_provider!(Tokens);
export_plugin!("tokens", "Tokens provider");
