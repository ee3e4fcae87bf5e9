//! Sends requests to a server, and reads its answers.

use serde_json::Value;
use url::Url;
use zotify_plugin_api::{Context, HttpRequestBuilder, ProviderError, Result, service::HttpResponse};

use crate::{
    credentials::{Auth, Credentials},
    failure::{Failure, not_the_api},
    fields::{Fields, cut},
    settings::{Settings, keeps_passwords},
};

/// The longest message of a server that is passed on, in bytes.
const MAX_MESSAGE: usize = 200;
/// What this client is called where the settings name nothing.
const CLIENT: &str = "zotify";

/// Parameters of a request, some of them several times.
pub(crate) type Params<'a> = Vec<(&'a str, String)>;

/// A server.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) cx: Context,
    pub(crate) base: Url,
    client: String,
}

/// The `subsonic-response` of an answer.
#[derive(Debug)]
pub(crate) struct Answer(Value);

impl Answer {
    pub(crate) fn fields(&self) -> Fields<'_> {
        Fields(&self.0)
    }

    /// An object of the answer; an empty one where it is not there.
    pub(crate) fn object(&self, name: &str) -> Fields<'_> {
        self.fields().object(name).unwrap_or(Fields(&Value::Null))
    }
}

impl Server {
    pub(crate) fn new(cx: Context, settings: &Settings) -> Result<Self> {
        let client = settings.client.clone().unwrap_or_else(|| CLIENT.to_owned());
        Ok(Self { cx, base: settings.base()?, client })
    }

    /// Whether a password may be sent as it is.
    pub(crate) fn keeps_passwords(&self) -> bool {
        keeps_passwords(&self.base)
    }

    fn method(&self, method: &str) -> Result<Url> {
        // Old servers know the names with this ending only, and newer ones both.
        self.base.join(&format!("{method}.view")).map_err(|_| ProviderError::internal("the method has no address"))
    }

    fn common(&self, version: &str) -> [(&'static str, String); 3] {
        [("v", version.to_owned()), ("c", self.client.clone()), ("f", "json".to_owned())]
    }

    /// The address of bytes, signed.
    pub(crate) fn address(&self, method: &str, credentials: &Credentials, params: &Params<'_>) -> Result<String> {
        self.may_send(credentials)?;
        let mut url = self.method(method)?;
        url.query_pairs_mut().extend_pairs(self.all(credentials, params));
        Ok(url.into())
    }

    fn all<'a>(&self, credentials: &Credentials, params: &Params<'a>) -> Params<'a> {
        let mut all: Params<'a> = credentials.sign();
        all.extend(self.common(&credentials.version));
        all.extend(params.iter().cloned());
        all
    }

    /// A setting may change after the sign-in.
    fn may_send(&self, credentials: &Credentials) -> Result<()> {
        if credentials.auth == Auth::Password && !self.keeps_passwords() {
            return Err(ProviderError::invalid(PLAIN).with_code("password_unprotected"));
        }
        Ok(())
    }

    /// Calls a method.
    pub(crate) async fn call(
        &self,
        method: &str,
        credentials: &Credentials,
        params: &Params<'_>,
    ) -> Result<Answer, Failure> {
        self.may_send(credentials)?;
        let all = self.all(credentials, params);
        let response = self.request(method, &all, credentials.has("formPost"))?.send().await.map_err(|error| {
            let message = credentials.harmless(&error.message, &all).unwrap_or("the server could not be asked");
            ProviderError { message: message.to_owned(), ..error }
        })?;
        read(response, |message| credentials.harmless(message, &all))
    }

    /// Calls a method that needs no sign-in.
    pub(crate) async fn call_unsigned(&self, method: &str) -> Result<Answer, Failure> {
        let params = self.common(crate::credentials::API).to_vec();
        read(self.request(method, &params, false)?.send().await?, |_| None)
    }

    /// Secrets belong into a body, where the server takes one: addresses stand in logs of proxies. Redirects are not
    /// followed, for the same reason.
    fn request(&self, method: &str, params: &Params<'_>, post: bool) -> Result<HttpRequestBuilder> {
        let mut url = self.method(method)?;
        let http = self.cx.http();
        if post {
            let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(params).finish();
            return Ok(http.post(url).body("application/x-www-form-urlencoded", body).no_redirects());
        }
        url.query_pairs_mut().extend_pairs(params);
        Ok(http.get(url).no_redirects())
    }
}

/// Why no password is sent.
pub(crate) const PLAIN: &str = "this server knows no tokens, and a password is sent as it is only over https or within the \
                                local network; use an https address";

/// Reads an answer. `harmless` passes on a message that repeats no secret.
fn read(response: HttpResponse, harmless: impl Fn(&str) -> Option<&str>) -> Result<Answer, Failure> {
    let mut value: Value = serde_json::from_slice(&response.body).unwrap_or_default();
    let Some(inner) = value.get_mut("subsonic-response").filter(|inner| inner.is_object()).map(Value::take) else {
        return Err(not_the_api(response).into());
    };
    let fields = Fields(&inner);
    let ok = fields.text("status", 16).is_some_and(|status| status.eq_ignore_ascii_case("ok"));
    if ok && fields.object("error").is_none() {
        return Ok(Answer(inner));
    }
    let version = fields.text("version", 16);
    let error = fields.object("error").unwrap_or(Fields(&Value::Null));
    let code = error.number("code").unwrap_or(0);
    let message = error.text("message", 2000).unwrap_or_default();
    let message = cut(harmless(&message).unwrap_or_default(), MAX_MESSAGE).replace(char::is_control, " ");
    Err(Failure::Api { code, message, version })
}

/// A server, as one account sees it.
pub(crate) struct Session {
    pub(crate) server: Server,
    pub(crate) account: String,
    pub(crate) credentials: Credentials,
    /// Of the credentials.
    version: i64,
}

impl Session {
    /// # Errors
    /// `auth_required` where the account has to sign in.
    pub(crate) async fn open(server: &Server, account: &str) -> Result<Self> {
        let entry = server.cx.vault(account).get().await?;
        let credentials = serde_json::from_str(&entry.credentials)
            .map_err(|_| ProviderError::internal("the account's credentials cannot be read; sign in again"))?;
        Ok(Self { server: server.clone(), account: account.to_owned(), credentials, version: entry.version })
    }

    /// Calls a method; tells the host when the sign-in has ended.
    pub(crate) async fn call(&self, method: &str, params: Params<'_>) -> Result<Answer, Failure> {
        let answer = self.server.call(method, &self.credentials, &params).await;
        if let Err(failure) = &answer
            && let Some((code, detail)) = failure.ends_sign_in()
        {
            self.server.cx.vault(&self.account).end(self.version, None, code, detail).await?;
        }
        answer
    }

    /// Asks for one thing by its id.
    ///
    /// # Errors
    /// `not_found` where the server does not have it.
    pub(crate) async fn one(&self, method: &str, id: &str, what: &str) -> Result<Answer> {
        match self.call(method, vec![("id", id.to_owned())]).await {
            Ok(answer) => Ok(answer),
            Err(failure) => Err(self.explain(failure, method, id, what).await),
        }
    }

    /// Why something came to nothing that names one thing by its id; `method` reads that.
    pub(crate) async fn explain(&self, failure: Failure, method: &str, id: &str, what: &str) -> ProviderError {
        if self.lacks(&failure, method, id).await { ProviderError::not_found(what) } else { failure.into_error(what) }
    }

    /// Whether something failed since the server does not have the thing that it names. Of failures that may mean anything
    /// only one that comes again when the thing is read, while the server can read others.
    async fn lacks(&self, failure: &Failure, method: &str, id: &str) -> bool {
        if !failure.is_vague() {
            return failure.is_missing();
        }
        match self.call(method, vec![("id", id.to_owned())]).await {
            Err(again) if again.is_vague() => self.call("getMusicFolders", Vec::new()).await.is_ok(),
            Err(again) => again.is_missing(),
            Ok(_) => false,
        }
    }

    /// The signed address of bytes.
    pub(crate) fn address(&self, method: &str, params: Params<'_>) -> Result<String> {
        self.server.address(method, &self.credentials, &params)
    }

    /// How many ids may stand in one request: an address has an end.
    pub(crate) fn ids_per_request(&self) -> usize {
        if self.credentials.has("formPost") { 500 } else { 80 }
    }
}
