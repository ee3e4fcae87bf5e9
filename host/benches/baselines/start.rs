//! From the start of the process to its first answer.

use std::time::Instant;

use crate::{
    process::Host,
    report::{Goal, Report, median},
    skeleton::Skeleton,
};

const ROUNDS: usize = 9;

pub fn rows(report: &mut Report) {
    let folder = tempfile::tempdir().expect("a folder");
    let timed = |start: &dyn Fn()| {
        let started = Instant::now();
        start();
        started.elapsed().as_secs_f64() * 1000.0
    };
    drop(Skeleton::start(folder.path()));
    let bare = median((0..ROUNDS).map(|_| timed(&|| drop(Skeleton::start(folder.path())))).collect());
    let music = crate::library::demo();
    let sections = crate::library::section(&music);
    let fresh = median((0..ROUNDS).map(|_| timed(&|| drop(Host::start(&sections)))).collect());
    let mut dir = Some(Host::start(&sections).stop());
    let again = (0..ROUNDS).map(|_| {
        let folder = dir.take().expect("handed back");
        let started = Instant::now();
        let host = Host::at(folder, &sections);
        let took = started.elapsed().as_secs_f64() * 1000.0;
        dir = Some(host.stop());
        took
    });
    let again = median(again.collect());
    report.row("bare server, start to first connection", bare, "ms", Goal::None);
    report.row("host, first start with migrations", fresh, "ms", Goal::None);
    report.row("host, second start", again, "ms", Goal::AtMost(50.0));
}
