//! Every operation of the API, asked by everybody: without credentials, with the wrong ones, for another user's things, and
//! rightly. What each gets is docs/authorization.md.

mod bodies;
mod fixtures;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    path::Path,
};

use reqwest::{Method, RequestBuilder};
use serde_json::Value;
use zotify_host::{auth::scopes, openapi};

use fixtures::World;

use crate::endpoints::endpoints;

/// Who may do something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    /// Whoever reaches the server.
    Anybody,
    /// Users, by session or key.
    User,
    /// Users who signed in.
    Session,
    /// Admins, by session or key.
    Admin,
    /// Admins who signed in.
    AdminSession,
}

impl Who {
    fn in_words(self) -> &'static str {
        match self {
            Self::Anybody => "anybody",
            Self::User => "user: session or key",
            Self::Session => "user: session",
            Self::Admin => "admin: session or key",
            Self::AdminSession => "admin: session",
        }
    }

    /// As `auth` in docs/endpoints.yaml.
    fn listed_as(self) -> &'static str {
        match self {
            Self::Anybody => "none",
            Self::User => "user",
            Self::Session => "session",
            Self::Admin | Self::AdminSession => "admin",
        }
    }

    fn is_admin(self) -> bool {
        matches!(self, Self::Admin | Self::AdminSession)
    }

    fn takes_keys(self) -> bool {
        matches!(self, Self::User | Self::Admin)
    }
}

/// An operation as the document describes it.
struct Operation {
    method: Method,
    path: String,
    who: Who,
    scope: Option<String>,
    /// What it takes, for a request that is right but for who sends it.
    body: Option<Value>,
    query: String,
}

impl Operation {
    fn name(&self) -> String {
        format!("{} {}", self.method, self.path)
    }
}

fn operations(world: &World) -> Vec<Operation> {
    let document = serde_json::to_value(openapi::document("")).unwrap();
    let mut found = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap().iter().filter(|(_, op)| op["responses"].is_object()) {
            let scope = operation["security"].as_array().and_then(|all| all.first());
            let scope = scope.and_then(|one| one["bearer"][0].as_str()).map(str::to_owned);
            let takes_keys =
                operation["security"].as_array().is_some_and(|all| all.iter().any(|one| one["api_key"].is_array()));
            let who = match (scope.as_deref(), takes_keys) {
                (None, _) => Who::Anybody,
                (Some("admin"), true) => Who::Admin,
                (Some("admin"), false) => Who::AdminSession,
                (_, true) => Who::User,
                (_, false) => Who::Session,
            };
            let method = method.to_uppercase().parse().unwrap();
            let body = bodies::body(&document, &method, path, operation, world);
            let query = bodies::query(path, operation);
            found.push(Operation { method, path: path.clone(), who, scope, body, query });
        }
    }
    found
}

/// Status and code of an answer. The body of a success, which may never end, is not read.
async fn ask(request: RequestBuilder, operation: &Operation) -> (u16, String) {
    let request = match &operation.body {
        Some(body) => request.json(body),
        None => request,
    };
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    if response.status().is_success() || response.status().is_redirection() {
        return (status, String::new());
    }
    let text = response.text().await.unwrap();
    let code = serde_json::from_str::<Value>(&text).map(|problem| problem["code"].as_str().unwrap_or("").to_owned());
    // HEAD has no body.
    (status, code.unwrap_or_default())
}

/// What the four ask, and what they must get.
async fn row(world: &World, operation: &Operation) -> String {
    let name = operation.name();
    let thing = world.thing(&operation.method, &operation.path, operation.who.is_admin()).await;
    let path = format!("{}{}", thing.path, operation.query);
    let request = || world.host.anonymous(operation.method.clone(), &path);
    let expect = |got: (u16, String), status: u16, code: &str, by: &str| {
        let code_fits = got.1 == code || (operation.method == Method::HEAD && got.1.is_empty());
        assert!(got.0 == status && code_fits, "{name} by {by}: wanted {status} {code}, got {} {}", got.0, got.1);
        if code.is_empty() { status.to_string() } else { format!("{status} `{code}`") }
    };
    let nobody = ask(request(), operation).await;
    let Some(scope) = operation.scope.as_deref() else {
        let guarded = ["missing_credentials", "insufficient_scope", "session_required", "admin_required"];
        assert!(nobody.0 < 500 && !guarded.contains(&nobody.1.as_str()), "{name} is for anybody: {nobody:?}");
        return cells(operation, ["yes", "–", "–", "–"]);
    };
    let nobody = expect(nobody, 401, "missing_credentials", "nobody");

    let owner = if operation.who.is_admin() { "admin" } else { thing.owner.as_str() };
    let others: Vec<_> = scopes::ALL.into_iter().filter(|other| *other != scope).collect();
    let wrong = if operation.who.takes_keys() {
        let key = world.key(owner, &others).await;
        expect(ask(request().header("x-api-key", key), operation).await, 403, "insufficient_scope", "another scope")
    } else {
        let key = world.key(owner, &scopes::ALL).await;
        expect(ask(request().header("x-api-key", key), operation).await, 403, "session_required", "a key")
    };
    let wrong = if operation.who.is_admin() {
        let by_user = ask(request().bearer_auth(&world.stranger), operation).await;
        format!("{}; {wrong}", expect(by_user, 403, "admin_required", "a user"))
    } else {
        wrong
    };

    let foreign = if thing.private {
        let got = if operation.who.takes_keys() {
            ask(request().header("x-api-key", world.key("stranger", &[scope]).await), operation).await
        } else {
            ask(request().bearer_auth(&world.stranger), operation).await
        };
        assert!(got.0 == 404, "{name} with another user's things: wanted 404, got {} {}", got.0, got.1);
        "404"
    } else {
        "–"
    };

    let right = if operation.who.takes_keys() {
        ask(request().header("x-api-key", world.key(owner, &[scope]).await), operation).await
    } else {
        ask(request().bearer_auth(world.host.sign_in(world.name(owner)).await), operation).await
    };
    let refused = [401, 403, 404].contains(&right.0) || right.0 >= 500;
    assert!(!refused, "{name} rightly asked by {owner}: {} {}{}", right.0, right.1, hint(&right));
    cells(operation, [&nobody, &wrong, foreign, "yes"])
}

fn hint(got: &(u16, String)) -> &'static str {
    if got.0 == 404 { " (see World::thing in host/tests/it/matrix/fixtures.rs)" } else { "" }
}

fn cells(operation: &Operation, four: [&str; 4]) -> String {
    let scope = operation.scope.as_ref().map_or("–".to_owned(), |scope| format!("`{scope}`"));
    let (method, path, who) = (&operation.method, &operation.path, operation.who.in_words());
    format!("| {method} | `{path}` | {who} | {scope} | {} |", four.join(" | "))
}

const HEAD: &str = "\
# Authorization

Who may do what?

Made by a test that asks every operation over HTTP, with real users, keys and things; do not edit. After a change of the API:
`UPDATE_GENERATED=1 cargo test -p zotify-host --test it matrix::`.

- **who**: a session is an access token of a sign-in; a key is an [API key](manual/api-keys.md) with the scope. Endpoints for sessions
  alone take no key, whatever its scopes; only the bootstrap key may use `/api/user/keys`, `/api/admin/users` and
  `/api/admin/invites`.
- **no credentials**: what a request without any gets. Audio and pictures also take a signed link (`?sig=`) instead.
- **wrong credentials**: with every scope but this one; with a key where a session is needed; by a user where an admin is.
- **another's things**: what a user with the right scope gets for another user's ids: the same as for ids that nobody has. – where
  there is nothing private in the path.
- **the right ones**: yes where the request is let through.

| method | path | who | scope | no credentials | wrong credentials | another's things | the right ones |
| --- | --- | --- | --- | --- | --- | --- | --- |
";

#[tokio::test]
async fn every_operation_is_open_to_those_it_is_for() {
    let world = World::new().await;
    let mut page = HEAD.to_owned();
    let mut seen = BTreeSet::new();
    let listed: BTreeMap<_, _> =
        endpoints().into_iter().map(|e| (format!("{} {}", e.method, e.path), e.auth)).collect();
    for operation in operations(&world) {
        let name = operation.name();
        let auth = listed.get(&name).map_or("not there", String::as_str);
        assert_eq!(operation.who.listed_as(), auth, "{name} in docs/endpoints.yaml");
        let _ = writeln!(page, "{}", row(&world, &operation).await);
        seen.insert(name);
    }
    assert!(seen.len() > 50, "{seen:?}");
    // M3U holds links to the audio, which are worth another scope.
    let path = world.thing(&Method::GET, "/api/playlists/{uri}/export", false).await.path + "?format=m3u8";
    let reply = world.host.by_key(&world.key("owner", &["playlists:read"]).await, &path).await;
    reply.expect_problem(403, "insufficient_scope");

    let path = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("docs/authorization.md");
    if std::env::var_os("UPDATE_GENERATED").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == page, "docs/authorization.md is stale: run `make generate`");
}
