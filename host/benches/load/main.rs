//! Load: `cargo bench --bench load -- [seconds] [clients]` after the plugins were built with the same profile; `.ci/load`
//! does both. Many clients ask while the plugins' processes are killed every five seconds. Ends with 1 when a client got
//! what no client should get, or when the second of two equal rounds leaves more behind than the first.

#![expect(clippy::unwrap_used, reason = "a measurement ends where its preparation fails")]

mod drive;

use std::{path::Path, process::ExitCode, time::Duration};

use drive::{Host, Round, Usage};

/// How long the host rests after a round: longer than idle threads and connections are kept.
const REST: Duration = Duration::from_secs(30);
/// Handles and threads that the second round may leave beyond the first.
const SPARE: usize = 8;
/// Memory that it may, KiB, besides a tenth.
const SPARE_KIB: u64 = 8 * 1024;

fn main() -> ExitCode {
    // Cargo adds `--bench`.
    let mut numbers = std::env::args().skip(1).filter_map(|argument| argument.parse::<u64>().ok());
    let time = Duration::from_secs(numbers.next().unwrap_or(60).max(1));
    let clients = numbers.next().unwrap_or(1000).max(1) as usize;
    raise_limit();
    tokio::runtime::Runtime::new().unwrap().block_on(run(clients, time))
}

/// Each client is a connection. The host inherits the limit.
fn raise_limit() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, most.min(65_536), most).unwrap();
}

async fn run(clients: usize, time: Duration) -> ExitCode {
    let program = Path::new(env!("CARGO_BIN_EXE_zotify-host"));
    let host = Host::start(program, program.parent().unwrap()).await;
    show("before", host.usage());
    let mut left = Vec::new();
    let mut violated = false;
    for number in 1..=2 {
        println!("\nround {number}: {clients} clients for {} s", time.as_secs());
        let round = host.round(clients, time).await;
        report(&round);
        println!("  plugins killed {}, started again {} times in all", round.kills, host.restarts().await);
        violated |= !round.violations.is_empty();
        show("at the peak", round.peak);
        tokio::time::sleep(REST).await;
        let usage = host.usage();
        show("after a rest", usage);
        left.push(usage);
    }
    let (first, second) = (left[0], left[1]);
    let grown = second.handles > first.handles + SPARE
        || second.threads > first.threads + SPARE
        || second.pss > first.pss + first.pss / 10 + SPARE_KIB;
    if grown {
        println!("\nviolated: the second round left more behind than the first");
    }
    if violated {
        println!("\nthe host's log ends with:\n{}", host.log());
    }
    if grown || violated { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn report(round: &Round) {
    let count = round.latencies.len();
    let [p50, p99, p999] = [0.5, 0.99, 0.999].map(|share| percentile(&round.latencies, share));
    println!("  {count} requests, {:.0} a second", count as f64 / round.elapsed.as_secs_f64());
    println!("  answered within {p50:.1} ms (half), {p99:.1} ms (99 %), {p999:.1} ms (99.9 %)");
    for (code, count) in &round.problems {
        println!("  {count} × {code}");
    }
    for (what, count) in &round.violations {
        println!("  VIOLATED {count} × {what}");
    }
}

/// The latency that a share of the answers stays below, in milliseconds.
fn percentile(ascending: &[u32], share: f64) -> f64 {
    let at = (ascending.len() as f64 * share) as usize;
    ascending.get(at.min(ascending.len().saturating_sub(1))).map_or(0.0, |us| f64::from(*us) / 1000.0)
}

fn show(when: &str, usage: Usage) {
    println!(
        "  {when}: {} MiB RSS, {} MiB PSS, {} handles, {} threads",
        usage.rss / 1024,
        usage.pss / 1024,
        usage.handles,
        usage.threads
    );
}
