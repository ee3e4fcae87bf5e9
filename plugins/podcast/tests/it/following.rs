//! Connecting, following and leaving.

use serde_json::{Value, json};
use zotify_plugin_api::{prelude::*, service::PluginEvent, testing};

use crate::{
    publisher::rss,
    support::{ACCOUNT, HOUR, Mirror, ONE, Rig, TWO, call, form, setup},
};

const OPML: &str = r#"<opml version="2.0"><body><outline text="Folder">
    <outline type="rss" text="Called One" xmlUrl="https://one.example.org/feed"/>
    <outline type="rss" text="Called Two" xmlUrl="http://two.example.org/feed"/></outline></body></opml>"#;

fn schema(step: SetupStep) -> (Value, Option<String>) {
    match step {
        SetupStep::Form(form) => (form.schema, form.error),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn lists_are_taken_over_once() {
    let rig = Rig::with(json!({}));
    let (form, _) = schema(rig.provider.setup(testing::call(setup(SetupInput::Start))).await.unwrap());
    assert_eq!(form["properties"]["name"]["default"], "Podcasts");
    assert_eq!(form["properties"]["export"], Value::Null);
    let done = rig.connect(&json!({"name": " My  Shows ", "feeds": TWO, "opml": OPML})).await;
    assert_eq!((done.account_key.as_str(), done.label.as_str()), ("my shows", "My Shows"));
    assert!(!done.credentials.contains("example.org"), "addresses may hold secrets, and lists are long");
    let mut mirror = Mirror::default();
    rig.pull(&mut mirror).await;
    let titles: Vec<_> = mirror.shows().into_iter().map(|show| show.title.clone()).collect();
    assert_eq!(titles.len(), 2, "{titles:?}");
    assert!(titles.contains(&"Called One".to_owned()), "by its name in the list, until its feed can be read");
    // What is left is not taken over again, whoever asks.
    let one = mirror.shows().into_iter().find(|show| show.title == "Called One").unwrap().uri.clone();
    assert_eq!(rig.edit(&[], &[&one]).await, [None]);
    rig.provider.check(call(())).await.unwrap();
    let rig = rig.restarted();
    rig.later(HOUR);
    rig.pull(&mut mirror).await;
    assert_eq!(mirror.pages.iter().flat_map(|page| &page.removed).collect::<Vec<_>>(), [&one]);
    assert!(rig.host.keys().iter().all(|key| !key.starts_with("import/")), "{:?}", rig.host.keys());
}

#[tokio::test]
async fn a_bad_list_is_refused_with_its_reason() {
    let rig = Rig::with(json!({}));
    for (values, word) in [
        (json!({"feeds": "https://one.example.org/feed\nnonsense"}), "Line 2"),
        (json!({"opml": "<rss/>"}), "<opml>"),
        (json!({"opml": "x"}), "no XML"),
        (json!({"feeds": "file:///etc/passwd"}), "Line 1"),
        (json!({"name": "x".repeat(61)}), "too long"),
        (json!({"feeds": "https://one.example.org/\n".repeat(2001)}), "more than"),
    ] {
        let (_, error) = schema(rig.provider.setup(testing::call(form(&values))).await.unwrap());
        assert!(error.as_ref().unwrap().contains(word), "{error:?}");
    }
    assert_eq!(rig.host.requests().len(), 0);
    let empty = rig.connect(&json!({})).await;
    assert_eq!(empty.account_key, "podcasts", "a list may start empty");
}

#[tokio::test]
async fn the_form_shows_what_is_followed_and_takes_more() {
    let rig = Rig::following(&[ONE]).await;
    rig.web.feed(ONE, &rss("Names & more", "", 0..1).replace("Names & more", "Names &amp; more"));
    let mut mirror = Mirror::default();
    rig.pull(&mut mirror).await;
    let again = |input| {
        let credentials = Some(json!({"key": "podcasts", "batch": null}).to_string());
        let call = testing::call(SetupRequest { credentials, ..setup(input) });
        Call { account: Some(AccountContext { id: ACCOUNT.into() }), ..call }
    };
    let (form, _) = schema(rig.provider.setup(again(SetupInput::Start)).await.unwrap());
    let export = form["properties"]["export"]["default"].as_str().unwrap();
    assert!(export.contains(r#"text="Names &amp; more" xmlUrl="https://one.example.org/feed""#), "{export}");
    assert_eq!(form["properties"]["name"], Value::Null);
    let values = SetupInput::Form { values: json!({"feeds": TWO, "opml": export}).to_string() };
    let SetupStep::Done(done) = rig.provider.setup(again(values)).await.unwrap() else { panic!() };
    assert_eq!(done.account_key, "podcasts");
    rig.web.feed(TWO, &rss("Two", "", 0..1));
    rig.pull(&mut mirror).await;
    assert_eq!(mirror.shows().len(), 2);
}

#[tokio::test]
async fn an_address_is_looked_up_and_then_followed() {
    let rig = Rig::following(&[]).await;
    rig.web.feed(ONE, &rss("One", "", 0..3));
    let found = rig.resolve("feed://one.example.org/feed#x").await.unwrap().remove(0);
    let Item::Show(show) = &found else { panic!("{found:?}") };
    assert_eq!((show.title.as_str(), show.episode_count), ("One", Some(3)));
    // Another process, another node.
    let rig = rig.restarted();
    assert_eq!(rig.edit(&[&show.uri], &[]).await, [None]);
    assert_eq!(rig.edit(&[&show.uri], &[]).await, [None], "twice is once");
    let emitted = PluginEvent::LibraryChanged { account: Some(ACCOUNT.into()) };
    assert_eq!(rig.host.events(), [emitted.clone(), emitted]);
    let mut mirror = Mirror::default();
    rig.pull(&mut mirror).await;
    assert_eq!((mirror.shows().len(), mirror.episodes().len()), (1, 3));
    assert_eq!(mirror.shows()[0].uri, show.uri);

    let unknown: Uri = "pod:show:AAAAAAAAAAAAAAAAAAAA".parse().unwrap();
    let episode = mirror.episodes()[0].uri.clone();
    let errors = rig.edit(&[&unknown, &episode], &[&unknown]).await;
    let codes: Vec<_> = errors.iter().map(|error| error.as_ref().map(|e| (e.kind, e.code.clone()))).collect();
    assert_eq!(
        codes,
        [Some((ErrorKind::NotFound, Some("look_up_again".into()))), Some((ErrorKind::Unsupported, None)), None]
    );
}

#[tokio::test]
async fn looked_up_shows_are_forgotten_and_locators_are_checked() {
    let rig = Rig::following(&[]).await;
    rig.web.feed(ONE, &rss("One", "", 0..3));
    let show = rig.show(ONE).await;
    rig.later(25 * HOUR);
    let errors = rig.edit(&[&show], &[]).await;
    assert_eq!(errors[0].as_ref().unwrap().code.as_deref(), Some("look_up_again"));
    let by = |locator: &str| {
        let key = ItemKey { uri: show.clone(), locator: Some(locator.into()) };
        rig.provider.library_edit(call(LibraryEdit { add: vec![key], remove: vec![] }))
    };
    assert!(by(TWO).await.unwrap().results.rows[0].error.is_some(), "the address of another show");
    assert!(by("nonsense").await.unwrap().results.rows[0].error.is_some());
    assert_eq!(by(ONE).await.unwrap().results.rows[0].error, None, "what the host kept with the show");
}

#[tokio::test]
async fn a_show_that_is_left_goes_and_comes_back_whole() {
    let rig = Rig::following(&[ONE, TWO]).await;
    rig.web.feed(ONE, &rss("One", "", 0..5000));
    rig.web.feed(TWO, &rss("Two", "", 0..2));
    let mut mirror = Mirror::default();
    rig.pull(&mut mirror).await;
    let (one, two) = (rig.show(ONE).await, rig.show(TWO).await);
    assert_eq!(rig.edit(&[], &[&one]).await, [None]);
    // A partial run removes nothing, and the next one tells it again.
    rig.later(HOUR);
    rig.web.put(TWO, crate::publisher::Page::Down);
    rig.pull(&mut mirror).await;
    assert_eq!(mirror.items.len(), 5004);
    rig.later(2 * HOUR);
    rig.web.feed(TWO, &rss("Two", "", 0..2));
    rig.pull(&mut mirror).await;
    assert_eq!(mirror.items.len(), 3);
    assert!(mirror.items.contains_key(two.as_str()));
    assert!(mirror.pages.iter().all(|page| zotify_plugin_api::wire::encode(page).unwrap().len() < 1 << 20));
    rig.later(3 * HOUR);
    rig.pull(&mut mirror).await;
    assert_eq!(mirror.told(), 0);
    rig.show(ONE).await;
    assert_eq!(rig.edit(&[&one], &[]).await, [None]);
    rig.later(4 * HOUR);
    rig.pull(&mut mirror).await;
    assert_eq!((mirror.items.len(), mirror.told()), (5004, 5001));
}

/// Left and followed again before a pull saw either: the host dropped the show and its episodes meanwhile.
#[tokio::test]
async fn a_show_that_is_followed_anew_is_told_anew() {
    let rig = Rig::following(&[ONE]).await;
    rig.web.feed(ONE, &rss("One", "", 0..3));
    let mut mirror = Mirror::default();
    rig.pull(&mut mirror).await;
    let one = rig.show(ONE).await;
    rig.edit(&[], &[&one]).await;
    mirror.items.clear();
    assert_eq!(rig.edit(&[&one], &[]).await[0].as_ref().unwrap().code.as_deref(), Some("look_up_again"));
    rig.show(ONE).await;
    assert_eq!(rig.edit(&[&one], &[]).await, [None]);
    rig.later(HOUR);
    rig.pull(&mut mirror).await;
    assert_eq!((mirror.shows().len(), mirror.episodes().len()), (1, 3));
}

#[tokio::test]
async fn there_is_an_end_to_what_an_account_follows() {
    let rig = Rig::with(json!({}));
    let feeds: Vec<String> = (0..2000).map(|n| format!("https://{n}.example.org/feed")).collect();
    rig.connect(&json!({"feeds": feeds.join("\n")})).await;
    rig.provider.check(call(())).await.unwrap();
    rig.web.feed(ONE, &rss("One", "", 0..3));
    let errors = rig.edit(&[&rig.show(ONE).await], &[]).await;
    assert_eq!(errors[0].as_ref().unwrap().code.as_deref(), Some("too_many_subscriptions"));
    let call = testing::call(form(&json!({"feeds": ONE})));
    let call = Call { account: Some(AccountContext { id: ACCOUNT.into() }), ..call };
    let (_, error) = schema(rig.provider.setup(call).await.unwrap());
    assert!(error.unwrap().contains("at most"));
}

#[tokio::test]
async fn accounts_know_nothing_of_each_other() {
    let rig = Rig::following(&[ONE]).await;
    rig.web.feed(ONE, &rss("One", "", 0..3));
    let mut mirror = Mirror::default();
    rig.pull(&mut mirror).await;
    let other =
        Call { account: Some(AccountContext { id: "01OTHER".into() }), ..testing::call(LibraryChanges::default()) };
    assert_eq!(rig.provider.library_changes(other.clone()).await.unwrap_err().kind, ErrorKind::AuthRequired);
    rig.host.set_credentials("01OTHER", r#"{"key": "x"}"#);
    let page = rig.provider.library_changes(other).await.unwrap();
    assert_eq!((page.upsert.rows.len(), page.completeness), (0, Completeness::Complete));
    let get = Get { uri: mirror.shows()[0].uri.clone(), locator: None };
    let theirs = Call { account: Some(AccountContext { id: "01OTHER".into() }), ..testing::call(get) };
    assert_eq!(rig.provider.get(theirs).await.unwrap_err().kind, ErrorKind::NotFound);
}
