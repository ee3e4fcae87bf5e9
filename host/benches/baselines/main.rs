//! What the host costs, beside a bare server and, where they are installed, other music servers, in one run.
//!
//! `make bench` runs all of it; `make bench ROWS=requests,memory` a part. Every goal names what it is measured against.
//! Figures of a busy machine are worth little by themselves: read the ratios.

#![expect(unreachable_pub, reason = "one binary: its modules share their helpers")]

mod boundary;
mod http;
mod identity;
mod library;
mod peers;
mod process;
mod report;
mod requests;
mod skeleton;
mod spotify;
mod start;

use report::Report;

/// Measures a group of rows.
type Rows = fn(&mut Report);

/// The groups of rows, by name.
const GROUPS: [(&str, Rows); 6] = [
    ("start", start::rows),
    ("requests", requests::rows),
    ("identity", identity::rows),
    ("library", library::rows),
    ("boundary", boundary::rows),
    ("spotify", spotify::rows),
];

fn main() {
    // Cargo adds `--bench`.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if arguments.first().is_some_and(|first| first == skeleton::COMMAND) {
        return skeleton::run(&arguments[1]);
    }
    if arguments.first().is_some_and(|first| first == identity::COMMAND) {
        return identity::run(&arguments[1..]);
    }
    let wanted =
        |name: &str| arguments.is_empty() || arguments.iter().flat_map(|list| list.split(',')).any(|a| a == name);
    let known = |name: &str| GROUPS.iter().any(|(group, _)| *group == name);
    if let Some(unknown) = arguments.iter().flat_map(|list| list.split(',')).find(|name| !known(name)) {
        eprintln!("there is no group {unknown}; there are {}", GROUPS.map(|(name, _)| name).join(", "));
        std::process::exit(2);
    }
    let mut report = Report::new();
    for (name, rows) in GROUPS {
        if wanted(name) {
            report.group(name);
            rows(&mut report);
        }
    }
    report.end();
}
