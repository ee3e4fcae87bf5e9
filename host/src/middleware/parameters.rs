//! Refuses query parameters that an endpoint does not have: a misspelt filter that is passed over answers too much.

use std::{collections::HashMap, sync::Arc};

use axum::{
    extract::{MatchedPath, Request, State},
    http::Method,
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use url::form_urlencoded;
use utoipa::openapi::{
    OpenApi, PathItem, RefOr,
    path::{Operation, ParameterIn},
};

use crate::error::ApiError;

/// The similarity from which on a name is taken for a misspelt one.
const SIMILAR: f64 = 0.8;
/// Where endpoints are strict. Probes and pages outside may be asked with whatever a monitor or browser adds.
const STRICT: &str = "/api/";

/// Where a service adds what it likes.
const LOOSE: &str = "/callback";

/// A method, and the query parameters that it takes.
type Endpoint = (Method, Vec<String>);

/// The query parameters of every endpoint, by path.
#[derive(Clone, Default)]
pub struct Parameters(Arc<HashMap<String, Vec<Endpoint>>>);

impl Parameters {
    /// Those that the API's document names.
    pub fn of(document: &OpenApi) -> Self {
        let strict = document.paths.paths.iter().filter(|(path, _)| path.starts_with(STRICT) && !path.ends_with(LOOSE));
        Self(Arc::new(strict.map(|(path, item)| (path.clone(), methods(item))).collect()))
    }

    fn of_endpoint(&self, path: &str, method: &Method) -> Option<&[String]> {
        let methods = self.0.get(path)?;
        let find = |wanted: &Method| methods.iter().find(|(method, _)| method == wanted);
        // HEAD is answered wherever GET is.
        let found = find(method).or_else(|| if method == Method::HEAD { find(&Method::GET) } else { None });
        found.map(|(_, names)| names.as_slice())
    }
}

fn methods(item: &PathItem) -> Vec<Endpoint> {
    let all = [
        (Method::GET, &item.get),
        (Method::HEAD, &item.head),
        (Method::POST, &item.post),
        (Method::PUT, &item.put),
        (Method::PATCH, &item.patch),
        (Method::DELETE, &item.delete),
    ];
    all.into_iter().filter_map(|(method, operation)| Some((method, names(operation.as_ref()?)))).collect()
}

fn names(operation: &Operation) -> Vec<String> {
    let named = operation.parameters.iter().flatten().filter_map(|parameter| match parameter {
        RefOr::T(parameter) if parameter.parameter_in == ParameterIn::Query => Some(parameter.name.clone()),
        _ => None,
    });
    named.collect()
}

/// The layer, around matched routes.
pub async fn layer(State(parameters): State<Parameters>, request: Request, next: Next) -> Response {
    let path = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    if let (Some(query), Some(path)) = (request.uri().query(), path)
        && let Some(known) = parameters.of_endpoint(path, request.method())
        && let Some(unknown) = unknown(query, known)
    {
        return refusal(&unknown, known).into_response();
    }
    next.run(request).await
}

fn unknown(query: &str, known: &[String]) -> Option<String> {
    let mut names = form_urlencoded::parse(query.as_bytes()).map(|(name, _)| name);
    names.find(|name| !known.iter().any(|known| known == name)).map(std::borrow::Cow::into_owned)
}

fn refusal(unknown: &str, known: &[String]) -> ApiError {
    let scored = known.iter().map(|name| (strsim::jaro_winkler(unknown, name), name));
    let nearest = scored.filter(|(score, _)| *score > SIMILAR).max_by(|a, b| a.0.total_cmp(&b.0));
    let hint = match nearest {
        Some((_, name)) => format!("did you mean {name}?"),
        None if known.is_empty() => "it takes none".to_owned(),
        None => format!("it takes {}", known.join(", ")),
    };
    ApiError::bad_request("unknown_parameter", format!("this endpoint has no parameter {unknown:.64}; {hint}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn misspelt_names_get_a_hint() {
        let known = ["limit".to_owned(), "cursor".to_owned()];
        let detail = |query: &str, known: &[String]| {
            unknown(query, known).map(|name| refusal(&name, known).detail().rsplit("; ").next().unwrap().to_owned())
        };
        assert_eq!(detail("limit=1&cursor=", &known), None);
        assert_eq!(detail("", &known), None);
        assert_eq!(detail("limt=1", &known).unwrap(), "did you mean limit?");
        assert_eq!(detail("q=1", &known).unwrap(), "it takes limit, cursor");
        assert_eq!(detail("q", &[]).unwrap(), "it takes none");
        assert_eq!(detail("l%69mit=1", &known), None, "names are decoded");
    }
}
