//! Connecting an account.

use serde_json::{Value, json};
use url::Url;
use zotify_plugin_api::{
    ErrorKind, Provider as _, ProviderError, SetupInput, SetupRequest, SetupStep, SignIn, capability,
    testing::{self, FakeHost},
};
use zotify_plugin_spotify::Spotify;

use crate::support::{World, answer, provider};

const SECRET: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXkdBjftJeZ4CVP-mB92K27u";

fn request(input: SetupInput, memory: Option<String>) -> zotify_plugin_api::Call<SetupRequest> {
    testing::call(SetupRequest {
        memory,
        input,
        state: "state-1".into(),
        secret: SECRET.into(),
        redirects: vec!["http://nas.local/callback".into(), "http://127.0.0.1:4381/callback".into()],
        credentials: None,
    })
}

async fn to_page(spotify: &Spotify, input: SetupInput) -> (Url, Option<String>) {
    match spotify.setup(request(input, None)).await.unwrap() {
        SetupStep::External(step) => (step.url.parse().unwrap(), step.memory),
        other => panic!("{other:?}"),
    }
}

fn returned(query: &str) -> SetupInput {
    SetupInput::Returned { url: format!("http://127.0.0.1:4381/callback?{query}") }
}

#[tokio::test]
async fn an_account_without_an_app_is_asked_for_one_and_told_of_premium_first() {
    let host = FakeHost::default();
    let spotify = provider(&host, &json!({})).unwrap();
    let SetupStep::Form(form) = spotify.setup(request(SetupInput::Start, None)).await.unwrap() else {
        panic!("no form")
    };
    assert!(form.help.split('.').next().unwrap().contains("Premium"));
    assert!(form.help.contains("http://127.0.0.1:4381/callback"));
    let bad = SetupInput::Form { values: json!({"client_id": "a b"}).to_string() };
    let SetupStep::Form(form) = spotify.setup(request(bad, None)).await.unwrap() else { panic!("no form") };
    assert!(form.error.is_some());
    let good = SetupInput::Form { values: json!({"client_id": "own-client"}).to_string() };
    let (url, _) = to_page(&spotify, good).await;
    let query: std::collections::BTreeMap<String, String> = url.query_pairs().into_owned().collect();
    assert_eq!(url.path(), "/authorize");
    for (key, value) in [
        ("client_id", "own-client"),
        ("state", "state-1"),
        ("redirect_uri", "http://127.0.0.1:4381/callback"),
        ("code_challenge_method", "S256"),
        // Of the secret above, by `openssl dgst -sha256 -binary | basenc --base64url`.
        ("code_challenge", "VGtWDHlNzyGfaTfAddUY4qSIXr_uc7aAmI1B1Lxy8sM"),
        ("response_type", "code"),
    ] {
        assert_eq!(query[key], value, "{key}");
    }
    assert!(!url.as_str().contains(SECRET));
}

#[tokio::test]
async fn a_code_becomes_an_account_that_lasts_six_months() {
    let world = World::new();
    let (_, memory) = to_page(&world.spotify, SetupInput::Start).await;
    world.service().token = (
        200,
        json!({"access_token": "access-1", "refresh_token": "r", "expires_in": 3600, "scope": "user-library-read"}),
    );
    let step = world.spotify.setup(request(returned("code=c&state=state-1"), memory)).await.unwrap();
    let SetupStep::Done(done) = step else { panic!("not done") };
    assert_eq!((done.account_key.as_str(), done.label.as_str()), ("pseudonym", "Me"));
    assert_eq!((done.lasts_ms, done.scopes), (Some(181 * 86_400_000), vec!["user-library-read".to_owned()]));
    let credentials: Value = serde_json::from_str(&done.credentials).unwrap();
    assert_eq!((credentials["refresh_token"].as_str(), credentials["user_id"].as_str()), (Some("r"), Some("me")));
    let form = String::from_utf8(world.host.requests()[0].body.clone()).unwrap();
    assert!(form.contains(&format!("code_verifier={SECRET}")) && !form.contains("client_secret"), "{form}");
    // Signing in again needs no form, even where the settings name no app.
    let bare = provider(&world.host, &json!({})).unwrap();
    let mut again = request(SetupInput::Start, None);
    again.request.credentials = Some(done.credentials);
    assert!(
        matches!(bare.setup(again).await.unwrap(), SetupStep::External(step) if step.url.contains("client_id=client"))
    );
}

#[tokio::test]
async fn what_goes_wrong_on_the_way_has_a_name() {
    let world = World::new();
    let (_, memory) = to_page(&world.spotify, SetupInput::Start).await;
    for (query, code) in [
        ("error=access_denied&state=state-1", "access_denied"),
        ("error=server_error&state=state-1", "service_error"),
        ("error=invalid_scope&state=state-1", "authorize_refused"),
        ("code=c&state=other", "other_state"),
        ("code=c", "other_state"),
        ("state=state-1", "no_code"),
    ] {
        let error = world.spotify.setup(request(returned(query), memory.clone())).await.unwrap_err();
        assert_eq!(error.code.as_deref(), Some(code), "{query}");
    }
    assert!(world.log().is_empty());
    let error = world.spotify.setup(request(returned("code=c&state=state-1"), None)).await.unwrap_err();
    assert_eq!(error.code.as_deref(), Some("no_memory"));
    world.service().token = (400, json!({"error": "invalid_grant", "error_description": "Authorization code expired"}));
    let error = world.spotify.setup(request(returned("code=c&state=state-1"), memory.clone())).await.unwrap_err();
    assert_eq!((error.kind, error.code.as_deref()), (ErrorKind::InvalidRequest, Some("code_invalid")));
    world.service().token = (200, json!({"access_token": "access-1", "refresh_token": "r"}));
    world.next(1, "/me", || answer(403, "User not registered in the Developer Dashboard"));
    let error = world.spotify.setup(request(returned("code=c&state=state-1"), memory)).await.unwrap_err();
    assert_eq!(error.code.as_deref(), Some("user_not_allowed"));
}

#[tokio::test]
async fn addresses_that_spotify_does_not_take_are_not_offered() {
    let host = FakeHost::default();
    let spotify = provider(&host, &json!({"client_id": "client"})).unwrap();
    let mut start = request(SetupInput::Start, None);
    start.request.redirects = vec!["http://192.168.1.2/callback".into(), "http://localhost:1/callback".into()];
    let error: ProviderError = spotify.setup(start).await.unwrap_err();
    assert_eq!(error.code.as_deref(), Some("no_redirect"));
}

#[test]
fn the_manifest_promises_no_audio() {
    let manifest = Spotify::manifest();
    let known = |name: &String| capability::ALL.contains(&name.as_str());
    assert!(manifest.capabilities.iter().all(known));
    for name in [capability::MEDIA_STREAM, capability::DOWNLOAD_AUDIO, capability::HISTORY_WRITE] {
        assert!(!manifest.capabilities.iter().any(|have| have == name), "{name}");
    }
    assert!(manifest.sign_in == SignIn::SetupFlow && manifest.likes_are_saved_tracks);
}
