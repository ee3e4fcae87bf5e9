//! `doctor`: checks the installation.

mod checks;

use std::fmt::Write as _;

use super::{CliResult, Failure, print};
use crate::config::{Config, ConfigErrors};

pub(super) const ABOUT: &str = "\
Check the installation; each fault comes with a remedy.

Looks at the configuration, the data folder, the database, keys, plugins and their instances, what the kernel offers for locking \
plugins up, free space and the address. Changes nothing.";

pub(super) const AFTER_HELP: &str = "Exit codes:\n  0  no check failed, warnings aside\n  1  a check failed";

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Ok,
    Warn,
    Fail,
}

/// One line of the report.
#[derive(Debug)]
struct Finding {
    outcome: Outcome,
    subject: &'static str,
    detail: String,
    remedy: String,
}

impl Finding {
    fn ok(subject: &'static str, detail: impl Into<String>) -> Self {
        Self { outcome: Outcome::Ok, subject, detail: detail.into(), remedy: String::new() }
    }

    fn warn(subject: &'static str, detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { outcome: Outcome::Warn, subject, detail: detail.into(), remedy: remedy.into() }
    }

    fn fail(subject: &'static str, detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { outcome: Outcome::Fail, subject, detail: detail.into(), remedy: remedy.into() }
    }
}

pub(super) async fn run(config: Result<Config, ConfigErrors>) -> CliResult {
    let findings = match config {
        Ok(config) => checks::all(&config).await,
        Err(errors) => errors
            .0
            .iter()
            .map(|problem| {
                Finding::fail(
                    "configuration",
                    problem.to_string(),
                    "correct it; docs/configuration.md lists all settings",
                )
            })
            .collect(),
    };
    print(&report(&findings))?;
    match findings.iter().filter(|finding| finding.outcome == Outcome::Fail).count() {
        0 => Ok(()),
        1 => Err(Failure::new("1 check failed")),
        more => Err(Failure::new(format!("{more} checks failed"))),
    }
}

fn report(findings: &[Finding]) -> String {
    let mut text = String::new();
    for finding in findings {
        let word = match finding.outcome {
            Outcome::Ok => "ok",
            Outcome::Warn => "warn",
            Outcome::Fail => "fail",
        };
        let _ = writeln!(text, "{word:<5} {:<14} {}", finding.subject, finding.detail);
        if !finding.remedy.is_empty() {
            let _ = writeln!(text, "{:<21}→ {}", "", finding.remedy);
        }
    }
    text
}
