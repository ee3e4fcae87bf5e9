//! What an answer costs, and the memory while many are given.

use std::time::Duration;

use crate::{
    http::{Load, get, load, request},
    library::{Music, section, sync},
    process::{Host, cpu, memory},
    report::{Goal, Report, median},
    skeleton::Skeleton,
};

/// Connections, as many as `wrk -c16` had for the figures that the goals come from.
const CONNECTIONS: usize = 16;
const ROUND: Duration = Duration::from_secs(2);
const ROUNDS: usize = 5;
/// Files in the library that lists are read from.
const FILES: usize = 5_000;

/// One request at a server.
struct Target<'a> {
    address: &'a str,
    pids: Vec<u32>,
    request: Vec<u8>,
}

/// What a round measured: microseconds of the server's CPU time for each request, requests per second, and p99.
struct Round {
    cpu_us: f64,
    rate: f64,
    p99_ms: f64,
}

impl Target<'_> {
    fn round(&self) -> Round {
        let before = cpu(&self.pids);
        let Load { requests, seconds, p99_ms } = load(self.address, &self.request, CONNECTIONS, ROUND);
        Round { cpu_us: (cpu(&self.pids) - before) * 1e6 / requests, rate: requests / seconds, p99_ms }
    }
}

/// A kind of request: ours and the skeleton's, and the goals for CPU time and for the rate as a share of the skeleton's.
struct Pair {
    what: &'static str,
    ours: String,
    bare: &'static str,
    cpu_us: f64,
    share: f64,
}

pub fn rows(report: &mut Report) {
    let music = Music::make(FILES);
    let host = Host::start(&section(music.path()));
    let authorization = host.sign_in();
    sync(&host, &authorization);
    let skeleton = Skeleton::start(host.dir.path());
    // The shares: how many times the requests of the original server that BASELINES asks for, as a share of what the
    // skeleton answered on the same machine.
    let pairs = [
        Pair { what: "health", ours: "/health/live".into(), bare: "/health", cpu_us: 30.0, share: 0.58 },
        Pair { what: "signed in, one row", ours: "/api/user/profile".into(), bare: "/row", cpu_us: 110.0, share: 0.34 },
        Pair {
            what: "signed in, page of 50 rows",
            ours: "/api/library/tracks?limit=50".into(),
            bare: "/page",
            cpu_us: 180.0,
            share: 0.36,
        },
    ];
    for pair in &pairs {
        let ours =
            Target { address: &host.address, pids: vec![host.process.pid()], request: get(&pair.ours, &authorization) };
        let bare =
            Target { address: &skeleton.address, pids: vec![skeleton.process.pid()], request: get(pair.bare, "") };
        measure(report, pair, &ours, &bare);
    }
    let body = request(&host.address, "GET", "/api/library/tracks?limit=50", &authorization, "").to_string();
    report.note(&format!("the page of 50 rows has {} bytes", body.len()));
    report.row("memory under load, host and plugins (PSS)", memory(&host.process.family()), "MB", Goal::AtMost(25.0));
    report.row("memory of the host alone", memory(&[host.process.pid()]), "MB", Goal::None);
    report.row("memory of the bare server", memory(&[skeleton.process.pid()]), "MB", Goal::None);
}

fn measure(report: &mut Report, pair: &Pair, ours: &Target<'_>, bare: &Target<'_>) {
    // A first round each is not counted: pools and caches fill.
    ours.round();
    bare.round();
    let rounds: Vec<(Round, Round)> = (0..ROUNDS).map(|_| (bare.round(), ours.round())).collect();
    let of = |figure: &dyn Fn(&(Round, Round)) -> f64| median(rounds.iter().map(figure).collect());
    let what = pair.what;
    report.row(&format!("{what}: CPU"), of(&|(_, ours)| ours.cpu_us), "µs/request", Goal::AtMost(pair.cpu_us));
    report.row(&format!("{what}: CPU of the bare server"), of(&|(bare, _)| bare.cpu_us), "µs/request", Goal::None);
    let share = of(&|(bare, ours)| ours.rate / bare.rate);
    report.row(&format!("{what}: rate against the bare server"), share, "×", Goal::AtLeast(pair.share));
    report.row(&format!("{what}: rate"), of(&|(_, ours)| ours.rate), "requests/s", Goal::None);
    report.row(&format!("{what}: p99"), of(&|(_, ours)| ours.p99_ms), "ms", Goal::AtMost(5.0));
}
