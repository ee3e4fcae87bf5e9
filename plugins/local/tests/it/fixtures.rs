//! Reads whatever files `ZOTIFY_FIXTURES` names a folder of, such as the test files of tag libraries.

use std::time::Instant;

use crate::support::Library;

/// CPU time of the process, in hundredths of a second.
fn cpu_ticks() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    stat.split(' ').skip(13).take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum()
}

#[tokio::test]
#[ignore = "needs ZOTIFY_FIXTURES"]
async fn odd_files_are_tracks_or_skipped_for_a_reason() {
    let folder = std::env::var("ZOTIFY_FIXTURES").unwrap();
    let mut library = Library::with(|_| format!(r#"{{"folders": [{folder:?}], "watch": false}}"#));
    let (began, ticks) = (Instant::now(), cpu_ticks());
    let run = library.scan().await;
    println!("first run: {:?}, {} ticks of CPU time, {} pages", began.elapsed(), cpu_ticks() - ticks, run.pages);
    for track in library.tracks() {
        assert!(!track.title.is_empty() && track.audio.is_some());
        println!("{} | {:?} | {:?} ms", track.title, track.artists.first().map(|a| &a.name), track.duration_ms);
    }
    let mut skipped = run.skipped.clone();
    skipped.sort();
    for (name, code) in &skipped {
        println!("{code:20} {name}");
    }
    println!("{} tracks, {} skipped", library.tracks().len(), run.skipped.len());
    assert!(run.is_complete());
    for _ in 0..5 {
        let (began, ticks) = (Instant::now(), cpu_ticks());
        let again = library.scan().await;
        println!("another run: {:?}, {} ticks of CPU time", began.elapsed(), cpu_ticks() - ticks);
        assert!(again.is_silent(), "{again:?}");
    }
}
