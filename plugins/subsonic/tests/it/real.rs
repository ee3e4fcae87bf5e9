//! Real servers: `ZOTIFY_SUBSONIC` names them, `http://user:password@host:port/path` each, separated by spaces.

use std::{
    collections::BTreeSet,
    io::{Read as _, Write as _},
    net::TcpStream,
};

use zotify_plugin_api::{
    prelude::*,
    service::{HttpRequest, HttpResponse},
};

use crate::support::*;

fn send(request: &HttpRequest) -> Result<HttpResponse> {
    let url = url::Url::parse(&request.url).unwrap();
    let gone = |e: std::io::Error| ProviderError::unavailable(e.to_string());
    let host = format!("{}:{}", url.host_str().unwrap(), url.port_or_known_default().unwrap());
    let mut stream = TcpStream::connect(&host).map_err(gone)?;
    let target = &url[url::Position::BeforePath..];
    let mut head =
        format!("{} {target} HTTP/1.0\r\nhost: {host}\r\ncontent-length: {}\r\n", request.method, request.body.len());
    for (name, value) in &request.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    stream.write_all(format!("{head}\r\n").as_bytes()).map_err(gone)?;
    stream.write_all(&request.body).map_err(gone)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).map_err(gone)?;
    let end = answer.windows(4).position(|w| w == b"\r\n\r\n").unwrap();
    let head = String::from_utf8_lossy(&answer[..end]).into_owned();
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let header = |line: &str| line.split_once(':').map(|(n, v)| (n.to_lowercase(), v.trim().to_owned()));
    Ok(HttpResponse { status, headers: lines.filter_map(header).collect(), body: answer.split_off(end + 4) })
}

fn fetch(source: MediaSource, range: Option<&str>) -> HttpResponse {
    let MediaSource::Http(source) = source else { panic!("{source:?}") };
    let headers = range.map(|range| ("range".to_owned(), range.to_owned())).into_iter().collect();
    let (method, url) = ("GET".into(), source.url);
    let request = HttpRequest { method, url, headers, body: vec![], timeout_ms: 0, budget: None, no_redirects: true };
    send(&request).unwrap()
}

#[tokio::test]
#[ignore = "needs servers"]
async fn does_all_of_it() {
    for address in std::env::var("ZOTIFY_SUBSONIC").unwrap().split_whitespace() {
        let mut url = url::Url::parse(address).unwrap();
        let (user, password) = (url.username().to_owned(), url.password().unwrap().to_owned());
        url.set_username("").unwrap();
        url.set_password(None).unwrap();
        println!("== {url}");
        let rig = Rig::new(url.as_str());
        rig.host.serve(|request| send(&request));
        println!("{:?}", rig.sign_in(&user, &password).await);
        let (items, last) = rig.pull(None).await;
        let tracks: Vec<_> = items.iter().filter(|i| i.kind() == Kind::Track).map(|i| i.uri().clone()).collect();
        println!("{} items, {} tracks, {:?} {:?}", items.len(), tracks.len(), last.completeness, last.forecast);
        assert_eq!(tracks.iter().collect::<BTreeSet<_>>().len(), tracks.len());
        assert!(tracks.len() > 3 && last.completeness == Completeness::Complete);
        plays(&rig, &tracks[0]).await;
        stars(&rig, &tracks).await;
        lists(&rig, &tracks).await;
    }
}

async fn plays(rig: &Rig, uri: &Uri) {
    let open = || async { rig.provider.open_media(call(media(uri))).await.unwrap() };
    let whole = fetch(open().await, None);
    let part = fetch(open().await, Some("bytes=100-199"));
    assert_eq!((whole.status, part.status), (200, 206));
    assert_eq!(part.body, whole.body[100..200]);
    assert!(whole.body.starts_with(b"OggS"), "{:?}", whole.headers);
    assert_eq!(code(rig.provider.open_media(call(media(&track("nope")))).await).0, ErrorKind::NotFound);
    let Item::Track(item) = rig.provider.get(call(Get { uri: uri.clone(), locator: None })).await.unwrap() else {
        panic!()
    };
    let search = Search { query: item.title.clone(), kinds: vec![], page: PageRequest::default() };
    let found = rig.provider.search(call(search)).await.unwrap();
    assert!(found.items.rows.iter().any(|i| i.uri() == uri), "{}", item.title);
    for locator in item.artwork.iter().map(|a| a.locator.clone()).chain(["nope".to_owned()]) {
        let request = ArtworkRequest { uri: uri.clone(), locator: Some(locator.clone()), size: Some(100) };
        match rig.provider.artwork(call(request)).await {
            Ok(source) => {
                assert!(fetch(source, None).header("content-type").unwrap().starts_with("image/"), "{locator}")
            }
            Err(error) => assert_eq!(error.kind, ErrorKind::NotFound, "{locator}: {error}"),
        }
    }
    let play = Play { item: Item::Track(item), at: "2026-01-02T03:04:05Z".into(), heard_ms: None };
    rig.provider.history_add(call(play)).await.unwrap();
}

async fn stars(rig: &Rig, tracks: &[Uri]) {
    let edit = |add: &[Uri], remove: &[Uri]| {
        let edit = LikesEdit { add: add.iter().map(key).collect(), remove: remove.iter().map(key).collect() };
        rig.provider.likes_edit(call(edit))
    };
    let list = || async { rig.provider.likes(call(PageRequest::default())).await.unwrap().likes.rows };
    for _ in 0..2 {
        let edited = edit(&tracks[..2], &tracks[2..3]).await.unwrap();
        assert!(edited.results.rows.iter().all(|r| r.error.is_none()), "{edited:?}");
    }
    let likes = list().await;
    assert_eq!(likes.len(), 2);
    assert!(likes.iter().all(|like| like.liked_at.is_some()));
    edit(&[], &tracks[..2]).await.unwrap();
    assert!(list().await.is_empty());
}

/// What takes several requests.
async fn reorders_long(rig: &Rig, uri: &Uri, tracks: &[Uri]) {
    let mut long: Vec<String> = tracks.iter().cycle().take(190).map(Uri::native_id).collect();
    let replace = PlaylistOp::Replace { items: keys(long.iter().map(String::as_str)) };
    rig.edit(uri, None, vec![replace]).await.unwrap();
    assert_eq!(rig.songs(uri).await, long);
    let page = rig.entries(uri).await;
    let entry = |n: usize| page.entries.rows[n].entry_id.clone();
    let ops = vec![
        PlaylistOp::Remove { entries: vec![entry(100)] },
        PlaylistOp::Move { entries: vec![entry(189)], before: Some(entry(1)) },
    ];
    rig.edit(uri, page.version.as_deref(), ops).await.unwrap();
    long.remove(100);
    let last = long.pop().unwrap();
    long.insert(1, last);
    assert_eq!(rig.songs(uri).await, long);
}

async fn lists(rig: &Rig, tracks: &[Uri]) {
    let create = PlaylistCreate { name: "Zotify's".into(), description: Some("d".into()), ..PlaylistCreate::default() };
    let made = rig.provider.playlist_create(call(create)).await.unwrap();
    let ids = |n: &[usize]| n.iter().map(|n| tracks[*n].native_id()).collect::<Vec<_>>();
    let add = |n: &[usize], before: Option<String>| PlaylistOp::Add {
        items: n.iter().map(|n| key(&tracks[*n])).collect(),
        before,
    };
    let mut unknown = add(&[0, 1, 0], None);
    if let PlaylistOp::Add { items, .. } = &mut unknown {
        items.push(key(&track("00000000-0000-0000-0000-000000000000")));
    }
    let edited = rig.edit(&made.uri, None, vec![unknown]).await.unwrap();
    assert_eq!(edited.refused.rows.len(), 1);
    assert_eq!(rig.songs(&made.uri).await, ids(&[0, 1, 0]));
    let page = rig.entries(&made.uri).await;
    let entry = |n: usize| page.entries.rows[n].entry_id.clone();
    let ops = vec![
        PlaylistOp::Move { entries: vec![entry(2)], before: Some(entry(0)) },
        add(&[2], Some(entry(1))),
        PlaylistOp::Remove { entries: vec![entry(0)] },
    ];
    rig.edit(&made.uri, page.version.as_deref(), ops).await.unwrap();
    assert_eq!(rig.songs(&made.uri).await, ids(&[0, 2, 1]));
    reorders_long(rig, &made.uri, tracks).await;
    let renamed = PlaylistUpdate {
        playlist: key(&made.uri),
        name: Some("Renamed".into()),
        description: None,
        public: None,
        collaborative: None,
    };
    assert_eq!(rig.provider.playlist_update(call(renamed)).await.unwrap().name, "Renamed");
    rig.edit(&made.uri, None, vec![PlaylistOp::Replace { items: vec![] }]).await.unwrap();
    assert!(rig.songs(&made.uri).await.is_empty());
    rig.provider.playlist_delete(call(key(&made.uri))).await.unwrap();
    let gone = rig.provider.get(call(Get { uri: made.uri.clone(), locator: None })).await;
    assert_eq!(code(gone).0, ErrorKind::NotFound);
}
