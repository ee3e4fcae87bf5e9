//! What is let out, and what is not.

use wiremock::{
    Mock, MockServer, ResponseTemplate,
    matchers::{header_exists, method, path},
};

use super::*;

#[test]
fn names_match_whole_labels() {
    assert!(matches_name("api.example.org", "api.example.org"));
    assert!(matches_name("*.example.org", "cdn.example.org"));
    assert!(!matches_name("*.example.org", "example.org"));
    assert!(!matches_name("*.example.org", "evilexample.org"));
    assert!(!matches_name("example.org", "api.example.org"));
}

fn granted(hosts: Vec<HostRule>, public_internet: bool) -> Egress {
    Egress::new(Clients::new().unwrap(), &Grants { hosts, public_internet, ..Grants::default() })
}

fn kind(egress: &Egress, url: &str) -> Option<ErrorKind> {
    egress.client_for(&url.parse().unwrap()).err().map(|e| e.kind)
}

#[test]
fn only_granted_addresses_are_let_through() {
    let denied = Some(ErrorKind::PermissionDenied);
    let nas = HostRule::Origin { host: "192.168.1.7".into(), port: 4533 };
    let egress = granted(vec![nas, HostRule::Name("api.example.org".into())], false);
    assert_eq!(kind(&egress, "http://192.168.1.7:4533/rest"), None);
    assert_eq!(kind(&egress, "http://192.168.1.7/rest"), denied, "another port");
    assert_eq!(kind(&egress, "https://api.example.org/"), None);
    assert_eq!(kind(&egress, "https://other.example.org/"), denied);
    assert_eq!(kind(&egress, "file:///etc/passwd"), denied);
    assert_eq!(kind(&Egress::closed(), "https://api.example.org/"), denied);

    let open = granted(Vec::new(), true);
    assert_eq!(kind(&open, "https://anything.example.org/"), None);
    for url in
        ["http://127.0.0.1/", "http://[::1]/", "http://169.254.169.254/", "http://0x7f.1/", "http://[::ffff:10.0.0.1]/"]
    {
        assert_eq!(kind(&open, url), denied, "{url}");
    }
}

#[tokio::test]
async fn a_name_that_leads_home_is_refused() {
    let open = granted(Vec::new(), true);
    let request = HttpRequest {
        method: "GET".into(),
        url: "http://localhost:9/".into(),
        headers: Vec::new(),
        body: Vec::new(),
        timeout_ms: 0,
        budget: None,
        no_redirects: false,
    };
    assert_eq!(open.send(&request).await.unwrap_err().kind, ErrorKind::PermissionDenied);
}

/// A name that answers a public address at first and a private one later, or both at once, leads to the public one or
/// nowhere: each connection goes to what this lookup left, and there is no other lookup.
#[test]
fn of_the_addresses_of_a_name_only_public_ones_are_connected_to() {
    let addresses = |texts: &[&str]| texts.iter().map(|t| SocketAddr::new(t.parse().unwrap(), 0)).collect::<Vec<_>>();
    let left = public(addresses(&["127.0.0.1", "93.184.215.14", "10.0.0.1", "::1"]).into_iter()).unwrap();
    assert_eq!(left, addresses(&["93.184.215.14"]));
    assert!(public(addresses(&["192.168.1.1", "fd00::1"]).into_iter()).is_err());
    assert!(public(std::iter::empty()).is_err());
}

/// An instance whose admin wrote the address of a server.
fn granted_server(server: &MockServer) -> Egress {
    let address = server.address();
    granted(vec![HostRule::Origin { host: address.ip().to_string(), port: address.port() }], false)
}

fn get(url: String) -> HttpRequest {
    HttpRequest {
        method: "GET".into(),
        url,
        headers: Vec::new(),
        body: Vec::new(),
        timeout_ms: 0,
        budget: None,
        no_redirects: false,
    }
}

#[tokio::test]
async fn redirects_are_followed_only_to_what_is_granted() {
    let (home, away) = (MockServer::start().await, MockServer::start().await);
    let to = |location: String| ResponseTemplate::new(302).insert_header("location", location);
    let at = |place: &str| Mock::given(method("GET")).and(path(place.to_owned()));
    at("/moved").respond_with(to("/here".into())).mount(&home).await;
    at("/here").respond_with(ResponseTemplate::new(200).set_body_string("hello")).mount(&home).await;
    at("/away").respond_with(to(format!("{}/secret", away.uri()))).mount(&home).await;
    at("/circle").respond_with(to("/circle".into())).mount(&home).await;
    at("/file").respond_with(to("file:///etc/passwd".into())).mount(&home).await;
    let egress = granted_server(&home);
    let answer = egress.send(&get(format!("{}/moved", home.uri()))).await.unwrap();
    assert_eq!((answer.status, answer.body.as_slice()), (200, b"hello".as_slice()));
    let seen = egress.send(&HttpRequest { no_redirects: true, ..get(format!("{}/away", home.uri())) }).await.unwrap();
    assert_eq!((seen.status, seen.header("location")), (302, Some(format!("{}/secret", away.uri()).as_str())));
    for (place, kind) in [
        ("/away", ErrorKind::PermissionDenied),
        ("/file", ErrorKind::PermissionDenied),
        ("/circle", ErrorKind::BadUpstream),
    ] {
        let error = egress.send(&get(format!("{}{place}", home.uri()))).await.unwrap_err();
        assert_eq!(error.kind, kind, "{place}: {error}");
    }
    assert!(away.received_requests().await.unwrap().is_empty());
}

#[tokio::test]
async fn credentials_do_not_follow_to_another_origin() {
    let (home, away) = (MockServer::start().await, MockServer::start().await);
    let to = ResponseTemplate::new(307).insert_header("location", away.uri());
    Mock::given(header_exists("x-key")).respond_with(to).mount(&home).await;
    Mock::given(method("GET")).respond_with(ResponseTemplate::new(200)).mount(&away).await;
    let rule = |server: &MockServer| {
        let address = server.address();
        HostRule::Origin { host: address.ip().to_string(), port: address.port() }
    };
    let egress = granted(vec![rule(&home), rule(&away)], false);
    let headers = vec![("X-Key".into(), "secret".into()), ("Accept".into(), "text/plain".into())];
    egress.send(&HttpRequest { headers, ..get(home.uri()) }).await.unwrap();
    let seen = &away.received_requests().await.unwrap()[0];
    assert!(seen.headers.get("x-key").is_none());
    assert_eq!(seen.headers["accept"], "text/plain");
}

#[tokio::test]
async fn a_redirected_post_becomes_a_get_without_its_body() {
    let home = MockServer::start().await;
    let to = ResponseTemplate::new(303).insert_header("location", "/done");
    Mock::given(method("POST")).respond_with(to).mount(&home).await;
    Mock::given(method("GET")).and(path("/done")).respond_with(ResponseTemplate::new(204)).mount(&home).await;
    let request = HttpRequest { method: "POST".into(), body: b"data".to_vec(), ..get(home.uri()) };
    assert_eq!(granted_server(&home).send(&request).await.unwrap().status, 204);
    assert!(home.received_requests().await.unwrap()[1].body.is_empty());
}

#[tokio::test]
async fn large_slow_and_missing_servers_are_errors() {
    let home = MockServer::start().await;
    let at = |place: &str| Mock::given(path(place.to_owned()));
    at("/large").respond_with(ResponseTemplate::new(200).set_body_bytes(vec![0; MAX_BODY + 1])).mount(&home).await;
    let slow = ResponseTemplate::new(200).set_delay(Duration::from_secs(30));
    at("/slow").respond_with(slow).mount(&home).await;
    let egress = granted_server(&home);
    let large = egress.send(&get(format!("{}/large", home.uri()))).await.unwrap_err();
    assert_eq!(large.kind, ErrorKind::TooLarge);
    let hasty = HttpRequest { timeout_ms: 50, ..get(format!("{}/slow", home.uri())) };
    assert_eq!(egress.send(&hasty).await.unwrap_err().kind, ErrorKind::Timeout);

    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let rule = HostRule::Origin { host: "127.0.0.1".into(), port: closed.port() };
    let error = granted(vec![rule], false).send(&get(format!("http://{closed}/?key=secret"))).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable);
    assert!(!error.message.contains("secret"), "{error}");
}

#[tokio::test]
async fn refusals_arrive_with_their_words() {
    let server = MockServer::start().await;
    for status in [401, 403, 429] {
        let answer = ResponseTemplate::new(status).insert_header("retry-after", "1.5").set_body_string("the reason");
        Mock::given(path(format!("/{status}"))).respond_with(answer).mount(&server).await;
        let answer = granted_server(&server).send(&get(format!("{}/{status}", server.uri()))).await.unwrap();
        let words = (answer.status, answer.header("retry-after"), answer.body.as_slice());
        assert_eq!(words, (status, Some("1.5"), b"the reason".as_slice()));
    }
}
