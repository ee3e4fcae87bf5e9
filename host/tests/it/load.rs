//! Many clients while plugins die: `.ci/load` in small.

#[path = "../../benches/load/drive.rs"]
mod drive;

use std::{
    path::Path,
    time::{Duration, Instant},
};

use crate::support::{PATIENCE, plugins};

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_is_typed_and_nothing_is_left_behind_while_plugins_are_killed() {
    let host = drive::Host::start(Path::new(env!("CARGO_BIN_EXE_zotify-host")), &plugins()).await;
    let warm = host.round(200, Duration::from_secs(3)).await;
    assert!(warm.violations.is_empty(), "{:?}\n{}", warm.violations, host.log());
    // Connections of clients that left are closed, and idle threads end.
    let before = settled(&host, |_| false).await;
    let round = host.round(200, Duration::from_secs(8)).await;
    assert!(round.violations.is_empty(), "{:?}\n{}", round.violations, host.log());
    assert!(round.kills >= 2 && round.latencies.len() > 200, "{} kills, {}", round.kills, round.latencies.len());
    assert!(host.restarts().await >= 2, "both were started again");
    let low = |usage: drive::Usage| usage.handles <= before.handles + 8 && usage.threads <= before.threads + 8;
    let after = settled(&host, low).await;
    assert!(low(after), "it keeps {after:?} of {before:?}, at the peak {:?}", round.peak);
}

/// What the host takes once that is as wanted, or has stayed the same for longer than an idle thread lives.
async fn settled(host: &drive::Host, wanted: impl Fn(drive::Usage) -> bool) -> drive::Usage {
    let (started, mut since, mut last) = (Instant::now(), Instant::now(), host.usage());
    while !wanted(last) && since.elapsed() < Duration::from_secs(11) && started.elapsed() < PATIENCE {
        tokio::time::sleep(Duration::from_millis(250)).await;
        let now = host.usage();
        if (now.handles, now.threads) != (last.handles, last.threads) {
            since = Instant::now();
        }
        last = now;
    }
    last
}
