use serde_json::json;
use zotify_plugin_api::{prelude::*, testing};

use crate::{
    server::{Manners, Server},
    support::*,
};

fn error_of(step: SetupStep) -> String {
    match step {
        SetupStep::Form(form) => form.error.unwrap(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn modern_servers_never_see_the_password() {
    let (rig, _) = Rig::of(Manners { extensions: vec!["formPost"], ..Manners::modern() }, 1).await;
    rig.provider.search(call(Search { query: "t".into(), kinds: vec![], page: PageRequest::default() })).await.unwrap();
    let requests = rig.host.requests();
    let sent = |r: &zotify_plugin_api::service::HttpRequest| format!("{} {}", r.url, String::from_utf8_lossy(&r.body));
    for request in &requests {
        assert!(!sent(request).contains("sesame") && !sent(request).contains("736573616d65"), "{}", sent(request));
        assert!(request.no_redirects, "a redirect would take the token elsewhere");
    }
    let last = requests.last().unwrap();
    assert_eq!((last.method.as_str(), last.url.as_str()), ("POST", "http://nas.local:4533/rest/search3.view"));
    let salts: std::collections::HashSet<_> =
        requests.iter().filter_map(|r| Some(sent(r).split("&s=").nth(1)?.split('&').next()?.to_owned())).collect();
    assert!(salts.len() >= requests.len() - 1, "each request has its own salt");
}

#[tokio::test]
async fn old_servers_get_the_password_within_the_local_network_only() {
    let server = Server::new(Manners::old(), 1);
    let rig = Rig::before(&server, "http://nas.local:4533");
    let checked = rig.sign_in("alice", "sesame").await;
    assert_eq!(checked.account_name.as_deref(), Some("alice"));
    assert_eq!(checked.warnings.len(), 1);
    assert!(rig.host.requests().last().unwrap().url.contains("p=enc%3A736573616d65"));
    let https = Rig::before(&server, "https://music.example.org");
    assert!(https.sign_in("alice", "sesame").await.warnings.is_empty());
    let public = Rig::before(&server, "http://music.example.org");
    let step = public.step(form(json!({"username": "alice", "password": "sesame"}))).await;
    assert!(error_of(step).contains("https"));
    assert!(public.host.requests().iter().all(|r| !r.url.contains("p=")), "it was not sent");
    // Nor where the address was changed after the sign-in.
    let credentials = match https.step(form(json!({"username": "alice", "password": "sesame"}))).await {
        SetupStep::Done(done) => done.credentials,
        other => panic!("{other:?}"),
    };
    public.host.set_credentials(ACCOUNT, &credentials);
    assert_eq!(code(public.provider.likes(call(PageRequest::default())).await).1, "password_unprotected");
}

#[tokio::test]
async fn the_form_says_what_is_wrong() {
    let server = Server::new(Manners::modern(), 1);
    let rig = Rig::before(&server, "http://nas.local");
    for (values, word) in [
        (json!({"username": "alice", "password": "wrong"}), "Wrong username or password."),
        (json!({"username": "bob", "password": "sesame"}), "Wrong username or password."),
        (json!({"username": "alice"}), "Give username and password."),
        (json!({"username": "alice", "password": "x".repeat(300)}), "too long"),
        (json!({"api_key": "nope"}), "Wrong API key."),
        (json!({"api_key": "k", "username": "alice"}), "Give either"),
    ] {
        assert!(error_of(rig.step(form(values.clone())).await).contains(word), "{values}");
    }
    let says = |status, content_type, body: &str| {
        server.state().broken = Some((status, content_type, body.to_owned()));
        rig.step(form(json!({"username": "alice", "password": "sesame"})))
    };
    assert!(error_of(says(200, "text/html", "<html>Login</html>").await).contains("does not speak"));
    assert!(error_of(says(302, "text/html", "").await).contains("redirects"));
    assert!(error_of(says(401, "text/html", "").await).contains("in front of"));
    assert!(error_of(says(404, "text/html", "").await).contains("no such method"));
    let old = r#"{"subsonic-response": {"status": "ok", "version": "1.5.0"}}"#;
    assert!(error_of(says(200, "application/json", old).await).contains("1.5.0"));
    assert!(rig.provider.setup(setup(SetupInput::Poll)).await.is_err());
}

#[tokio::test]
async fn api_keys_where_the_server_has_them() {
    let fields = |step: SetupStep| match step {
        SetupStep::Form(form) => form.schema["properties"].as_object().unwrap().keys().cloned().collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    };
    let plain = Rig::before(&Server::new(Manners::modern(), 1), "http://nas.local");
    assert_eq!(fields(plain.step(setup(SetupInput::Start)).await), ["username", "password"]);
    let server = Server::new(Manners { extensions: vec!["apiKeyAuthentication"], ..Manners::modern() }, 1);
    let rig = Rig::before(&server, "http://nas.local");
    assert_eq!(fields(rig.step(setup(SetupInput::Start)).await), ["username", "password", "api_key"]);
    let SetupStep::Done(done) = rig.step(form(json!({"api_key": "key-of-alice"}))).await else { panic!() };
    assert_eq!((done.account_key.as_str(), done.label.as_str()), ("alice", "alice"));
    rig.host.set_credentials(ACCOUNT, &done.credentials);
    rig.provider.check(call(())).await.unwrap();
}

#[tokio::test]
async fn a_changed_password_ends_the_sign_in() {
    let (rig, server) = Rig::of(Manners::modern(), 1).await;
    server.state().password = "another".into();
    assert_eq!(
        code(rig.provider.likes(call(PageRequest::default())).await),
        (ErrorKind::AuthRequired, "wrong_credentials".into())
    );
    let asked = rig.host.requests().len();
    assert_eq!(
        code(rig.provider.likes(call(PageRequest::default())).await),
        (ErrorKind::AuthRequired, "wrong_credentials".into())
    );
    assert_eq!(rig.host.requests().len(), asked, "the server is not asked again");
    assert_eq!(code(rig.provider.likes(testing::call(PageRequest::default())).await).0, ErrorKind::AuthRequired);
}

#[tokio::test]
async fn troubles_of_servers_do_not_end_it() {
    let (rig, server) = Rig::of(Manners::modern(), 1).await;
    let says = |status, body: &str| {
        server.state().broken = Some((status, "text/html", body.to_owned()));
        rig.provider.likes(call(PageRequest::default()))
    };
    assert_eq!(code(says(502, "<html>").await).0, ErrorKind::Unavailable);
    assert_eq!(code(says(429, "").await).0, ErrorKind::RateLimited);
    assert_eq!(code(says(401, "").await).1, "refused_before_server");
    assert_eq!(code(says(200, "{").await).1, "not_subsonic");
    assert_eq!(code(says(200, &"[".repeat(5000)).await).1, "not_subsonic");
    let said =
        r#"{"subsonic-response": {"status": "failed", "error": {"code": "0", "message": "KeyError: 'sesame'"}}}"#;
    assert!(!says(200, said).await.unwrap_err().message.contains("sesame"), "a server may repeat what it was sent");
    let trial = r#"{"subsonic-response": {"status": "failed", "error": {"code": 60}}}"#;
    assert_eq!(code(says(200, trial).await), (ErrorKind::Restricted, "trial_over".into()));
    server.state().broken = None;
    rig.serve_instead(&server, |_, request| vague(&format!("cannot handle {}", request.url)));
    let error = rig.provider.likes(call(PageRequest::default())).await.unwrap_err();
    assert!(error.code.as_deref() == Some("server_error") && !error.message.contains("t="), "{error}");
    rig.serve_instead(&server, |_, _| None);
    assert!(rig.provider.likes(call(PageRequest::default())).await.is_ok());
    assert!(!format!("{:?}", rig.host.logs()).contains("sesame"));
}

#[tokio::test]
async fn roles_become_capabilities() {
    let roles = json!({"streamRole": "true", "downloadRole": false, "playlistRole": 0});
    let server = Server::new(Manners { roles, ..Manners::modern() }, 1);
    let rig = Rig::before(&server, "http://nas.local");
    let checked = rig.sign_in("alice", "sesame").await;
    let restricted = |name: &str| match checked.capabilities.get(name) {
        Some(CapabilityState::Restricted { code }) => code.clone(),
        other => format!("{other:?}"),
    };
    assert_eq!(restricted(capability::DOWNLOAD_AUDIO), "no_download_role");
    assert_eq!(restricted(capability::PLAYLISTS_ITEMS_MOVE), "no_playlist_role");
    assert_eq!(restricted(capability::MEDIA_STREAM), "None");
    // The instance without an account: somebody answers.
    rig.provider.check(testing::call(())).await.unwrap();
    server.state().broken = Some((500, "text/html", String::new()));
    assert_eq!(code(rig.provider.check(testing::call(())).await).0, ErrorKind::Unavailable);
}
