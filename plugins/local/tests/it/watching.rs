use std::{
    fs,
    time::{Duration, Instant},
};

use zotify_plugin_api::{Provider as _, service::PluginEvent, testing::call};

use crate::{files::write, support::Library};

/// Waits until the host was told of a change.
fn wait_for_event(library: &Library, before: usize) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while library.host.events().len() <= before {
        assert!(Instant::now() < deadline, "nothing was told");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(matches!(library.host.events()[0], PluginEvent::LibraryChanged { account: None }));
}

#[tokio::test]
async fn changes_are_told() {
    let library = Library::with(|root| format!(r#"{{"folders": [{root:?}]}}"#));
    // Watching starts on a thread of its own: changes are made until one is noticed.
    let deadline = Instant::now() + Duration::from_secs(30);
    let mut n = 0;
    while library.host.events().is_empty() {
        assert!(Instant::now() < deadline, "nothing was told");
        write(&library.path(&format!("{n}.wav")), 1, &[]);
        n += 1;
        let quiet = Instant::now() + Duration::from_secs(4);
        while library.host.events().is_empty() && Instant::now() < quiet {
            std::thread::sleep(Duration::from_millis(50));
        }
    }
    let before = library.host.events().len();
    fs::remove_file(library.path("0.wav")).unwrap();
    wait_for_event(&library, before);
    assert_eq!(library.local.check(call(())).await.unwrap().warnings, Vec::<String>::new());

    // Nothing goes on when the instance is gone.
    let host = library.host.clone();
    drop(library);
    let deadline = Instant::now() + Duration::from_secs(30);
    while host.contexts() > 0 {
        assert!(Instant::now() < deadline, "a thread still holds the host");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[tokio::test]
async fn a_folder_that_cannot_be_watched_is_a_warning() {
    let library = Library::with(|root| {
        let missing = root.join("missing");
        format!(r#"{{"folders": [{root:?}, {missing:?}]}}"#)
    });
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        // One of the folder itself is not counted: it is inside the other.
        let warnings = library.local.check(call(())).await.unwrap().warnings;
        if warnings.iter().any(|warning| warning.contains("not noticed")) {
            break;
        }
        assert!(Instant::now() < deadline, "{warnings:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
