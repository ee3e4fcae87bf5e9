//! What becomes of plugins that crash, hang, flood and pry.

use std::{fs, time::Duration};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use zotify_host::providers::{Lane, Notice, State};
use zotify_plugin_api::{ErrorKind, Item, LibraryChanges, StreamRequest, method::PullLibrary};

use crate::{
    lab::{Bench, Lab},
    support::PATIENCE,
};

/// Short limits, so that no test waits long.
const QUICK: &str = "call_timeout_s = 1\ngrace_s = 1\nbreaker = { failures = 1000 }";
/// Nothing is given up for crashing.
const PATIENT: &str = "quarantine = { crashes = 1000 }\nbreaker = { failures = 1000 }";

async fn pid(lab: &Lab) -> Pid {
    Pid::from_raw(lab.command("pid").await.unwrap().parse().unwrap())
}

#[tokio::test]
async fn each_way_to_die_is_an_error_and_the_next_call_works() {
    let lab = Lab::hostile(PATIENT, "").await;
    for (command, how) in [("abort", "signal 6"), ("exit", "exit code 7"), ("overflow", "signal 6")] {
        let error = lab.command(command).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Crashed, "{command}: {error:?}");
        assert!(error.message.contains(how), "{command}: {error:?}");
        // It waits for the new process.
        assert_eq!(lab.command("echo again").await.unwrap(), "again");
    }
    assert_eq!(lab.report("bad").restarts, 3);
    lab.stop().await;
}

#[tokio::test]
async fn a_panic_is_an_error_and_costs_no_process() {
    for isolation in ["process", "in-process"] {
        let lab = Lab::hostile("", &format!("isolation = \"{isolation}\"")).await;
        let before = pid(&lab).await;
        let error = lab.command("panic").await.unwrap_err();
        assert_eq!((error.kind, error.message.as_str()), (ErrorKind::Panicked, "the plugin panicked: as asked"));
        assert_eq!(pid(&lab).await, before);
        lab.stop().await;
    }
}

#[tokio::test]
async fn a_process_killed_from_outside_is_replaced_and_reads_are_tried_again() {
    let lab = Lab::hostile(PATIENT, "").await;
    for _ in 0..3 {
        let before = pid(&lab).await;
        let call = lab.command("sleep 300");
        let murder = async {
            tokio::task::yield_now().await;
            kill(before, Signal::SIGKILL).unwrap();
        };
        let (answer, ()) = tokio::join!(call, murder);
        assert_eq!(answer.unwrap(), "slept", "a read is tried once more");
        assert_ne!(pid(&lab).await, before);
    }
    lab.stop().await;
}

#[tokio::test]
async fn a_call_that_never_answers_ends_at_its_deadline() {
    for isolation in ["process", "in-process"] {
        let lab = Lab::hostile(QUICK, &format!("isolation = \"{isolation}\"")).await;
        let before = pid(&lab).await;
        assert_eq!(lab.command("wait").await.unwrap_err().kind, ErrorKind::Timeout);
        assert_eq!(pid(&lab).await, before, "a plugin that gives up when told is not killed");
        lab.stop().await;
    }
}

#[tokio::test]
async fn a_process_that_blocks_is_killed() {
    let lab = Lab::hostile(QUICK, "").await;
    let before = pid(&lab).await;
    assert_eq!(lab.command("block").await.unwrap_err().kind, ErrorKind::Timeout);
    let after = loop {
        // Until the kill, calls time out behind the blocked one.
        match lab.command("pid").await {
            Ok(pid) => break pid,
            Err(e) => assert!(matches!(e.kind, ErrorKind::Timeout | ErrorKind::Crashed), "{e:?}"),
        }
    };
    assert_ne!(after, before.to_string());
    lab.stop().await;
}

#[tokio::test]
async fn a_plugin_that_keeps_crashing_is_quarantined_until_it_is_restarted() {
    let lab = Lab::hostile("quarantine = { crashes = 3 }\nbreaker = { failures = 1000 }", "").await;
    for _ in 0..3 {
        assert_eq!(lab.command("abort").await.unwrap_err().kind, ErrorKind::Crashed);
    }
    lab.until("bad", State::Quarantined).await;
    assert_eq!(lab.problem("bad"), "crashed");
    let error = lab.command("echo x").await.unwrap_err();
    assert_eq!((error.kind, error.code.as_deref()), (ErrorKind::Unavailable, Some("quarantined")));
    assert!(lab.registry.restart("bad").await);
    lab.until("bad", State::Started).await;
    assert_eq!(lab.command("echo back").await.unwrap(), "back");
    lab.stop().await;
}

#[tokio::test]
async fn a_plugin_that_dies_at_each_start_ends_in_quarantine() {
    let lab = Lab::hostile("quarantine = { crashes = 2 }", "settings.start = \"abort\"").await;
    lab.until("bad", State::Quarantined).await;
    assert!(lab.report("bad").problem.unwrap().detail.contains("signal 6"));
    lab.stop().await;
}

/// Crashes the plugin, once it has come back from the last time.
async fn crash(lab: &Lab) {
    loop {
        let error = lab.command("abort").await.unwrap_err();
        match error.code.as_deref() {
            Some("restarting") => tokio::time::sleep(Duration::from_millis(20)).await,
            _ => return assert_eq!(error.kind, ErrorKind::Crashed, "{error:?}"),
        }
    }
}

#[tokio::test]
async fn calls_do_not_wait_for_a_start_that_is_far_away() {
    // What is refused meanwhile is no failure of the plugin's: it would open the breaker.
    let lab = Lab::hostile("quarantine = { crashes = 1000 }\nbreaker = { failures = 10 }", "").await;
    for _ in 0..5 {
        crash(&lab).await;
    }
    let error = lab.command("echo x").await.unwrap_err();
    assert_eq!((error.kind, error.code.as_deref()), (ErrorKind::Unavailable, Some("restarting")), "{error:?}");
    assert!(error.retry_after_ms.is_some_and(|ms| (2000..=8000).contains(&ms)), "{error:?}");
    assert_eq!((lab.handle("bad").state(), lab.problem("bad")), (State::Loading, "crashed"));
    lab.stop().await;
}

#[tokio::test]
async fn the_breaker_opens_and_closes_again() {
    let lab = Lab::hostile("breaker = { failures = 2, open_s = 1 }", "").await;
    for _ in 0..2 {
        assert_eq!(lab.command("panic").await.unwrap_err().kind, ErrorKind::Panicked);
    }
    let error = lab.command("echo x").await.unwrap_err();
    assert_eq!(error.code.as_deref(), Some("breaker_open"));
    assert!(error.retry_after_ms.is_some_and(|ms| ms <= 1000));
    assert_eq!(lab.report("bad").breaker.state, "open");
    let closed = async {
        while lab.command("echo x").await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(crate::support::PATIENCE, closed).await.unwrap();
    assert_eq!(lab.report("bad").breaker.state, "closed");
    lab.stop().await;
}

#[tokio::test]
async fn calls_do_not_wait_for_each_other() {
    let lab = Lab::hostile("", "").await;
    let (slow, quick) = tokio::join!(lab.command("sleep 200"), async {
        let mut last = String::new();
        for n in 0..20 {
            last = lab.command(&format!("echo {n}")).await.unwrap();
        }
        last
    });
    assert_eq!((slow.unwrap().as_str(), quick.as_str()), ("slept", "19"));
    assert_eq!(lab.report("bad").calls_in_flight, 0);
    lab.stop().await;
}

#[tokio::test]
async fn too_large_answers_and_floods_of_logs_are_stopped() {
    for isolation in ["process", "in-process"] {
        let lab = Lab::hostile("breaker = { failures = 1000 }", &format!("isolation = \"{isolation}\"")).await;
        assert_eq!(lab.command("huge").await.unwrap_err().kind, ErrorKind::TooLarge);
        assert_eq!(lab.command("logs").await.unwrap(), "logged");
        assert_eq!(lab.command("echo fine").await.unwrap(), "fine");
        let request = "x".repeat(2 << 20);
        assert_eq!(lab.command(&request).await.unwrap_err().kind, ErrorKind::TooLarge);
        lab.stop().await;
    }
}

#[tokio::test]
async fn notices_reach_the_host() {
    let lab = Lab::hostile("", "").await;
    let mut notices = lab.registry.subscribe();
    assert_eq!(lab.command("changed").await.unwrap(), "told");
    let wanted = Notice::LibraryChanged { instance: "bad".into(), account: None };
    assert_eq!(notices.recv().await.unwrap(), wanted);
    lab.stop().await;
}

#[tokio::test]
async fn streams_come_in_chunks_in_both_modes() {
    for isolation in ["process", "in-process"] {
        let lab =
            Lab::hostile("stream_idle_s = 1\nbreaker = { failures = 1000 }", &format!("isolation = \"{isolation}\""))
                .await;
        let handle = lab.handle("bad");
        let open = |token: &str| handle.open_stream(StreamRequest { token: token.into(), offset: 0 });
        let mut stream = open("200000").await.unwrap();
        let mut bytes = Vec::new();
        while let Some(chunk) = stream.next().await.unwrap() {
            assert!(chunk.len() <= 64 << 10);
            bytes.extend_from_slice(&chunk);
        }
        let expected: Vec<u8> = (0..=250_u8).cycle().take(200_000).collect();
        assert!(bytes == expected, "{} bytes", bytes.len());
        assert!(stream.next().await.unwrap().is_none(), "the end stays the end");

        assert_eq!(open("nothing").await.err().unwrap().kind, ErrorKind::NotFound);
        let mut stream = open("3:fail").await.unwrap();
        assert_eq!(&stream.next().await.unwrap().unwrap()[..], [0, 1, 2]);
        assert_eq!(stream.next().await.unwrap_err().kind, ErrorKind::Unavailable);
        let mut stream = open("3:wait").await.unwrap();
        stream.next().await.unwrap();
        assert_eq!(stream.next().await.unwrap_err().kind, ErrorKind::Timeout);
        assert_eq!(lab.command("echo fine").await.unwrap(), "fine");
        lab.stop().await;
    }
}

#[tokio::test]
async fn a_folder_that_is_replaced_is_seen_by_the_next_pull() {
    let bench = Bench::new().with("hostile_plugin");
    let music = bench.path("music");
    let lab = bench.start("[providers.bad]\nplugin = \"hostile\"\nsettings = { folders = [\"music\"] }\n").await;
    assert!(lab.report("bad").warnings.iter().any(|w| w.contains("music")), "the folder is missing");
    let pull = || lab.registry.call::<PullLibrary>("bad", None, Lane::Job, LibraryChanges::default());
    assert_eq!(pull().await.unwrap_err().kind, ErrorKind::Unavailable);

    fs::create_dir(&music).unwrap();
    fs::write(music.join("one"), "").unwrap();
    let names = |page: zotify_plugin_api::LibraryPage| {
        let title = |item| if let Item::Track(track) = item { track.title } else { String::new() };
        page.upsert.rows.into_iter().map(title).collect::<Vec<_>>()
    };
    assert_eq!(names(pull().await.unwrap()), ["one"]);
    assert_eq!(lab.handle("bad").granted_roots(), [music.canonicalize().unwrap()]);

    fs::rename(&music, lab.dir.path().join("old")).unwrap();
    fs::create_dir(&music).unwrap();
    fs::write(music.join("two"), "").unwrap();
    assert_eq!(names(pull().await.unwrap()), ["two"]);
    assert_eq!(lab.report("bad").problem, None, "being started anew for that is no fault");
    lab.stop().await;
}

#[tokio::test]
async fn the_process_ends_with_the_host() {
    let lab = Lab::hostile("", "").await;
    let process = pid(&lab).await;
    lab.stop().await;
    assert_eq!(kill(process, None), Err(nix::errno::Errno::ESRCH));
}

#[tokio::test]
async fn a_plugin_that_hangs_at_its_start_says_so_and_does_not_keep_the_host_from_stopping() {
    let lab = Lab::hostile(PATIENT, "settings.start = \"hang\"").await;
    let said = async {
        while lab.report("bad").problem.is_none() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, said).await.unwrap();
    assert_eq!(lab.problem("bad"), "start_timeout");
    lab.stop().await;
}
