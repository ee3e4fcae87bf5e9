//! The OpenAPI document: what the handlers say, and what holds for all of them.

use utoipa::{
    Modify, OpenApi,
    openapi::{
        Content, Ref, RefOr, ResponseBuilder, Server,
        header::HeaderBuilder,
        path::{Operation, PathItem},
        schema::{ObjectBuilder, Type},
        security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
    },
};

use crate::{auth::cookie, error::Problem, middleware::deprecation, router};

/// What stands in the document before any handler.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Zotify platform",
        description = "One REST API to every music provider that the host has loaded.\n\nFailures are RFC 9457 problems with a stable `code`. \
            Lists are pages with an opaque `next_cursor`. Times are RFC 3339 UTC, durations milliseconds. Addresses that replies hold \
            (artwork, media) are paths below the server's own address.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0"),
    ),
    components(schemas(Problem)),
    modifiers(&Common),
    tags(
        (name = "Meta", description = "Probes, version, documentation"),
        (name = "Sign-in", description = "Users and their sessions"),
        (name = "User", description = "What belongs to the caller"),
        (name = "Admin", description = "What admins see and do for everybody"),
        (name = "Providers", description = "Loaded music providers"),
        (name = "Accounts", description = "Connections to music services"),
        (name = "Catalogue", description = "Search, items, audio and pictures"),
        (name = "Library", description = "What the accounts own or saved, and keeping it in step"),
        (name = "Playlists", description = "Playlists of all accounts"),
        (name = "Jobs", description = "Background work"),
        (name = "Privacy", description = "What is held about the caller"),
    )
)]
pub struct ApiDoc;

struct Common;

impl Modify for Common {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let components = document.components.get_or_insert_with(Default::default);
        let bearer = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .bearer_format("JWT")
            .description(Some("The access token of POST /api/auth/login"))
            .build();
        components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
        let key = ApiKey::Header(ApiKeyValue::with_description("X-API-Key", "An API key with the scope"));
        components.add_security_scheme("api_key", SecurityScheme::ApiKey(key));
        let about =
            "The session of a browser, by POST /api/auth/login with `kind`: `ui`; only for the host's own pages";
        let cookie = ApiKey::Cookie(ApiKeyValue::with_description(cookie::NAME, about));
        components.add_security_scheme("cookie", SecurityScheme::ApiKey(cookie));
    }
}

/// The document of the API, for a server that is reached under a path prefix (empty at the root).
pub fn document(prefix: &str) -> utoipa::openapi::OpenApi {
    let mut document = router::routes().into_openapi();
    document.servers = Some(vec![Server::new(if prefix.is_empty() { "/" } else { prefix })]);
    for (path, item) in &mut document.paths.paths {
        let strict = path.starts_with("/api/");
        let deprecated = deprecation::ALL.iter().any(|route| route.path == path);
        for operation in operations(item) {
            complete(operation, strict);
            if deprecated {
                operation.deprecated = Some(utoipa::openapi::Deprecated::True);
            }
            // A cookie opens what an access token opens.
            if let Some(security) = operation.security.as_mut().filter(|all| !all.is_empty()) {
                security.push(SecurityRequirement::new("cookie", std::iter::empty::<String>()));
            }
        }
    }
    document
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [&mut item.get, &mut item.put, &mut item.post, &mut item.delete, &mut item.head, &mut item.patch]
        .into_iter()
        .filter_map(Option::as_mut)
}

/// Adds what every operation may answer.
fn complete(operation: &mut Operation, strict: bool) {
    let problem = |description: &str| {
        let content = Content::new(Some(Ref::from_schema_name("Problem")));
        RefOr::T(ResponseBuilder::new().description(description).content("application/problem+json", content).build())
    };
    let responses = &mut operation.responses.responses;
    if strict {
        let refused = || problem("The request is malformed, or has a parameter that is not listed here");
        responses.entry("400".into()).or_insert_with(refused);
    }
    responses.insert("default".into(), problem("A problem; its code says which"));
    for response in operation.responses.responses.values_mut() {
        if let RefOr::T(response) = response {
            let text = ObjectBuilder::new().schema_type(Type::String).build();
            let id = HeaderBuilder::new().schema(Some(text)).description(Some("The request's id")).build();
            response.headers.insert("X-Request-Id".into(), id.into());
        }
    }
}
