//! The pages of the callback: few words, no scripts, nothing from elsewhere but the web interface's style.

use std::fmt::Write as _;

use axum::{
    http::{HeaderValue, header},
    response::{Html, IntoResponse as _, Response},
};

/// No script, no picture, and a form that goes to this host alone.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
);
/// Other sites hear nothing of the address. This host must: without it browsers don't say where the form comes from.
const REFERRER: HeaderValue = HeaderValue::from_static("same-origin");

/// Asks whom to link.
pub(super) fn ask(user: &str, provider: &str, query: &str) -> Response {
    let (user, provider, query) = (escaped(user), escaped(provider), escaped(query));
    page(
        "Link this account?",
        &format!(
            "<p>Link the account that you signed in to at <b>{provider}</b> to the Zotify user <b>{user}</b>?</p>\n\
             <form method=\"post\" action=\"callback\">\n<input type=\"hidden\" name=\"query\" value=\"{query}\">\n\
             <button type=\"submit\">Link to {user}</button>\n</form>\n\
             <p>If you are not {user}, or did not ask for this, close this page: nothing happens then.</p>"
        ),
    )
}

/// Somebody refused at the service: there is nothing to ask, but the flow has to hear of it.
pub(super) fn denied(provider: &str, query: &str) -> Response {
    let (provider, query) = (escaped(provider), escaped(query));
    page(
        "Nothing was linked",
        &format!(
            "<p>Access was refused at <b>{provider}</b>.</p>\n\
             <form method=\"post\" action=\"callback\">\n<input type=\"hidden\" name=\"query\" value=\"{query}\">\n\
             <button type=\"submit\">Go on</button>\n</form>"
        ),
    )
}

/// For a browser that nobody is signed in with.
pub(super) fn sign_in_or_paste() -> Response {
    page(
        "Almost there",
        "<p>Nobody is signed in to Zotify in this browser.</p>\n\
         <p>Either <a href=\"../../../ui\">sign in</a> and reload this page, or copy the whole address of this page and \
         paste it where you began to connect the account.</p>",
    )
}

/// For an address that belongs to no flow of the user's.
pub(super) fn unknown() -> Response {
    page(
        "This does not work any more",
        "<p>This address was used already, took too long, or belongs to somebody else. Start connecting the account anew.</p>",
    )
}

/// The account is connected.
pub(super) fn linked(provider: &str) -> Response {
    let provider = escaped(provider);
    page(
        "Linked",
        &format!(
            "<p>The account at <b>{provider}</b> is linked; its library is being read. You can close this page.</p>"
        ),
    )
}

/// The flow has another step.
pub(super) fn goes_on() -> Response {
    page("One more step", "<p>Go back to where you began to connect the account: it goes on there.</p>")
}

/// It did not work.
pub(super) fn failed(detail: &str) -> Response {
    let detail = escaped(detail);
    page("The account was not linked", &format!("<p>{detail}</p>"))
}

fn page(title: &str, body: &str) -> Response {
    let html = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{title} – Zotify</title>\n\
         <link rel=\"stylesheet\" href=\"../../../ui/assets/ui.css\">\n</head>\n\
         <body>\n<main id=\"page\">\n<h1>{title}</h1>\n{body}\n</main>\n</body>\n</html>\n"
    );
    let mut response = Html(html).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, POLICY);
    headers.insert(header::REFERRER_POLICY, REFERRER);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Text as it may stand in HTML, also within quotes.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' | '<' | '>' | '"' | '\'' | '`' => {
                // Never fails: it is a string.
                let _ = write!(safe, "&#{};", u32::from(c));
            }
            _ => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_gets_out_of_its_quotes() {
        assert_eq!(escaped("a\"><script>'&`"), "a&#34;&#62;&#60;script&#62;&#39;&#38;&#96;");
    }
}
