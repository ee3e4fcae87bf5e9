//! The log: `tracing` to standard error.
//!
//! What must never be logged is kept out where spans are made: query strings (signed links stand there), headers and
//! bodies.

use std::io::{self, IsTerminal as _};

use tracing_subscriber::{EnvFilter, layer::SubscriberExt as _, util::SubscriberInitExt as _};

use crate::config::{Log, LogFormat};

/// Starts logging for the whole process. `RUST_LOG` goes before the configured filter. A second call changes nothing.
pub fn init(config: &Log) {
    let (filter, problem) = filter(std::env::var("RUST_LOG").ok().as_deref(), &config.level);
    let registry = tracing_subscriber::registry().with(filter);
    let layer = tracing_subscriber::fmt::layer().with_writer(io::stderr);
    let started = match config.format {
        LogFormat::Json => registry.with(layer.json().flatten_event(true).with_span_list(false)).try_init(),
        LogFormat::Pretty => registry.with(layer.compact().with_ansi(colours())).try_init(),
    };
    if started.is_ok()
        && let Some(problem) = problem
    {
        tracing::warn!("RUST_LOG is not a filter, so log.level is used: {problem}");
    }
}

/// Colours are for terminals whose owner did not refuse them (<https://no-color.org>).
fn colours() -> bool {
    io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// The filter in effect, and what was wrong with `RUST_LOG`.
fn filter(variable: Option<&str>, level: &str) -> (EnvFilter, Option<String>) {
    let configured = || EnvFilter::try_new(level).unwrap_or_else(|_| EnvFilter::new("info"));
    match variable.map(str::trim).filter(|text| !text.is_empty()).map(EnvFilter::try_new) {
        Some(Ok(filter)) => (filter, None),
        Some(Err(problem)) => (configured(), Some(problem.to_string())),
        None => (configured(), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_goes_before_the_configuration() {
        assert_eq!(filter(None, "warn").0.to_string(), "warn");
        assert_eq!(filter(Some(" "), "warn").0.to_string(), "warn");
        assert_eq!(filter(Some("debug"), "warn").0.to_string(), "debug");
        let (used, problem) = filter(Some("zotify_host=loud"), "warn");
        assert_eq!(used.to_string(), "warn");
        assert!(problem.is_some());
    }
}
