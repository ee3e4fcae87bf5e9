//! What addresses and codes name.

use serde_json::{Value, json};

use crate::{editable::Editable, library::text};

async fn resolve(editable: &Editable, body: Value) -> Vec<Value> {
    let answer = editable.host.post("/api/resolve", &body).await.expect(200);
    answer["data"].as_array().unwrap().clone()
}

fn first(found: &Value) -> (&str, &Value) {
    (text(&found["matches"][0], "uri"), &found["matches"][0]["evidence"])
}

#[tokio::test]
async fn uris_addresses_and_codes_find_items() {
    let editable = Editable::with("saved = 1").await;
    let body = json!({
        "uris": ["ed:track:1", "ed:track:2"],
        "urls": ["https://editable.example/track/3"],
        "isrc": ["XX-EDT-26-00001", "xxedt2600004"],
        "mbid": ["00000000-0000-4000-8000-000000000005"],
    });
    let found = resolve(&editable, body).await;
    let expected = [
        ("ed:track:1", json!(["uri", "library"])),
        ("ed:track:2", json!(["uri"])),
        ("ed:track:3", json!(["url"])),
        ("ed:track:1", json!(["isrc", "library"])),
        ("ed:track:4", json!(["isrc"])),
        ("ed:track:5", json!(["mbid"])),
    ];
    let got: Vec<_> = found.iter().map(|one| (first(one).0, first(one).1.clone())).collect();
    assert_eq!(got, expected);
    assert_eq!(
        (&found[2]["matches"][0]["item"]["title"], &found[2]["matches"][0]["score"]),
        (&json!("Three"), &json!(1.0))
    );
    assert_eq!(
        (&found[2]["matches"][0]["provider"], &found[2]["matches"][0]["account"]),
        (&json!("ed"), &json!("acct"))
    );
    assert_eq!(editable.asked("acct", "resolve").await, 3, "what the library has is not asked for");
    let none = resolve(&editable, json!({"urls": ["https://elsewhere.example/1"]})).await;
    assert_eq!(none[0]["matches"], json!([]));
}

#[tokio::test]
async fn nonsense_is_refused_and_much_is_deferred() {
    let editable = Editable::with("").await;
    for body in [
        json!({}),
        json!({"isrc": ["no"]}),
        json!({"mbid": ["no"]}),
        json!({"urls": ["file:///etc/passwd"]}),
        json!({"uris": [""]}),
        json!({"uris": vec!["ed:track:1"; 51]}),
    ] {
        editable.host.post("/api/resolve", &body).await.expect_problem(422, "validation_failed");
    }
    for body in [json!({"isrc": [1]}), json!({"isrc": "GBAYK9700123"})] {
        editable.host.post("/api/resolve", &body).await.expect_problem(422, "invalid_body");
    }
    let urls: Vec<_> = (0..12).map(|n| format!("https://elsewhere.example/{n}")).collect();
    let found = resolve(&editable, json!({"urls": urls})).await;
    let codes: Vec<_> = found.iter().map(|one| one["errors"][0]["code"].as_str()).collect();
    assert_eq!((codes[9], codes[10], codes[11]), (None, Some("budget_deferred"), Some("budget_deferred")));
    let found = resolve(&editable, json!({"uris": ["ed:track:99"]})).await;
    assert_eq!(found[0]["errors"][0]["code"], "item_not_found");
}
