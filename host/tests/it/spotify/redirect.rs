//! Where Spotify sends browsers back to.

use serde_json::{Value, json};
use spotify_simulator::Options;

use super::{Lab, USER, configuration, contract::Held, small};
use crate::{lab::Bench, library::text, support::TestApp};

const FLOWS: &str = "/api/accounts/flows";

/// A host whose settings name the only address that the service knows; nothing is connected.
async fn registered(redirect: &str) -> Lab {
    let options = Options { redirect_uris: vec![redirect.to_owned()], ..small() };
    let simulator = Held::start(options).await;
    let plugins = Bench::new().with("zotify_plugin_spotify");
    let settings = format!("settings = {{ redirect_uri = {redirect:?}, ");
    let toml = configuration(&plugins, &simulator, "").replace("settings = { ", &settings);
    let host = TestApp::with(&toml).await.admin().await;
    let lab = Lab { host, simulator, plugins, account: String::new() };
    lab.started().await;
    lab
}

async fn visit(lab: &Lab) -> (Value, String) {
    let flow = lab.host.post(FLOWS, &json!({"provider": "spotify"})).await.expect(201);
    let back = lab.simulator.agree(text(&flow["step"], "url"), USER).unwrap();
    (flow, back)
}

/// An address as a person has it who copied it after the browser's name for this host.
fn with_start(back: &str, start: &str) -> Value {
    json!({ "url": format!("{start}?{}", back.split_once('?').unwrap().1) })
}

#[tokio::test]
async fn an_address_of_the_settings_is_come_back_to_wherever_it_is() {
    for redirect in ["http://127.0.0.1:4381/login", "https://music.example.org/api/auth/spotify/callback"] {
        let lab = registered(redirect).await;
        let (flow, back) = visit(&lab).await;
        assert_eq!((text(&flow["step"], "redirect"), &flow["step"]["paste_back"]), (redirect, &json!(true)));
        assert!(back.starts_with(redirect), "{back}");
        let path = format!("{FLOWS}/{}", text(&flow, "id"));
        for elsewhere in ["http://127.0.0.1:4382/login", "http://127.0.0.1:4381/login/x", "https://evil.example/login"]
        {
            let refused = lab.host.post(&path, &with_start(&back, elsewhere)).await;
            refused.expect_problem(400, "wrong_address");
        }
        assert_eq!(lab.host.post(&path, &json!({"url": back})).await.expect(200)["state"], "done", "{redirect}");
        // Where a proxy leads there, the host's own page is found under any name.
        let (flow, back) = visit(&lab).await;
        let page = format!("{}/api/auth/spotify/callback", lab.host.base);
        let path = format!("{FLOWS}/{}", text(&flow, "id"));
        let done = lab.host.post(&path, &with_start(&back, &page)).await.expect(200);
        assert_eq!(done["state"], "done", "{done:#}");
    }
}

#[tokio::test]
async fn without_one_it_is_the_port_that_the_host_listens_at() {
    let lab = Lab::new(small()).await;
    let (flow, back) = visit(&lab).await;
    let page = format!("{}/api/auth/spotify/callback", lab.host.base);
    assert_eq!(text(&flow["step"], "redirect"), page);
    assert!(back.starts_with(&page), "{back}");
}
