//! What servers answer instead of an answer, and what that means to the host.

use zotify_plugin_api::{ErrorKind, ProviderError, service::HttpResponse};

/// Why a request came to nothing.
#[derive(Clone, Debug)]
pub(crate) enum Failure {
    /// The server said so.
    Api {
        /// As the API numbers errors.
        code: u64,
        /// The server's words, cut and without secrets; empty for none.
        message: String,
        /// The version of the API that the server speaks.
        version: Option<String>,
    },
    /// It did not get so far.
    Other(ProviderError),
}

impl From<ProviderError> for Failure {
    fn from(error: ProviderError) -> Self {
        Self::Other(error)
    }
}

impl Failure {
    /// The API's number of the error.
    pub(crate) fn code(&self) -> Option<u64> {
        match self {
            Self::Api { code, .. } => Some(*code),
            Self::Other(_) => None,
        }
    }

    /// The server does not have what was asked for.
    pub(crate) fn is_missing(&self) -> bool {
        self.code() == Some(70)
    }

    /// The server failed without saying why: some do so with what they don't have, but also when they have other troubles.
    pub(crate) fn is_vague(&self) -> bool {
        self.code() == Some(0)
    }

    /// The sign-in does not work any more: the code and the sentence that say why.
    pub(crate) fn ends_sign_in(&self) -> Option<(&'static str, &'static str)> {
        match self.code()? {
            40 => Some(("wrong_credentials", "The server does not take the username and password any more.")),
            44 => Some(("wrong_credentials", "The server does not take the API key any more.")),
            41..=43 => Some(("sign_in_changed", "The server does not take this way of signing in any more.")),
            _ => None,
        }
    }

    /// As an error for the host.
    pub(crate) fn into_error(self, what: &str) -> ProviderError {
        let (code, message) = match self {
            Self::Other(error) => return error,
            Self::Api { code, message, .. } => (code, message),
        };
        let said = if message.is_empty() { String::new() } else { format!(": {message}") };
        let error = |kind, reason: &str, text: String| ProviderError::new(kind, text).with_code(reason);
        match code {
            20 => error(ErrorKind::Unsupported, "client_too_old", "the server wants a newer version of the API".into()),
            30 => error(ErrorKind::Unsupported, "server_too_old", "the server's version of the API is too old".into()),
            40..=44 => error(ErrorKind::AuthRequired, "wrong_credentials", "the server refuses the sign-in".into()),
            50 => error(
                ErrorKind::Restricted,
                "not_authorized",
                format!("the server does not let this user do that{said}"),
            ),
            60 => error(ErrorKind::Restricted, "trial_over", "the server's trial period is over".into()),
            70 => ProviderError::not_found(what),
            _ => error(ErrorKind::BadUpstream, "server_error", format!("the server failed with error {code}{said}")),
        }
    }
}

/// An answer that is not the API's.
pub(crate) fn not_the_api(response: HttpResponse) -> ProviderError {
    let error = |kind, code: &str, text: &str| ProviderError::new(kind, text).with_code(code);
    match response.status {
        300..=399 => error(
            ErrorKind::BadUpstream,
            "redirected",
            "the server redirects to another address; write the one that it redirects to into the settings",
        ),
        401 | 403 | 407 => error(
            ErrorKind::Restricted,
            "refused_before_server",
            "something in front of the server asks for a sign-in of its own",
        ),
        404 | 405 | 410 | 501 => error(
            ErrorKind::Unsupported,
            "no_such_method",
            "there is no such method of the Subsonic API at this address",
        ),
        200..=299 => error(
            ErrorKind::BadUpstream,
            "not_subsonic",
            "what answers at this address does not speak the Subsonic API; check the address",
        ),
        _ => match response.success() {
            Err(error) => error,
            Ok(_) => error(ErrorKind::BadUpstream, "not_subsonic", "the server's answer cannot be read"),
        },
    }
}
