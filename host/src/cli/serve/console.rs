//! What `serve` tells the person who started it: what was loaded, where to go, how the scan gets on.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    io::{self, IsTerminal as _, Write as _},
    net::SocketAddr,
    time::Duration,
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use crate::{
    AppState, accounts,
    auth::bootstrap::{ADMIN, PASSWORD_FILE},
    db,
    jobs::{Job as _, pull::PullLibrary},
    providers::Report,
};

/// How often the progress is looked up.
const LOOK: Duration = Duration::from_millis(200);
/// How long plugins may take before the rest is told without them.
const PLUGINS: Duration = Duration::from_secs(10);

/// Tells what there is, and follows the first scan.
pub(super) async fn report(app: AppState, address: SocketAddr, admin_password: Option<String>) {
    let mut text = String::new();
    welcome(&mut text, &app, address, admin_password.as_deref());
    if tokio::time::timeout(PLUGINS, app.providers.ready()).await.is_err() {
        text.push_str("\nSome plugins are still loading; GET /api/providers tells their state.\n");
    }
    plugins(&mut text, &app.providers.list());
    say(&text);
    follow(&app).await;
}

fn welcome(text: &mut String, app: &AppState, address: SocketAddr, admin_password: Option<&str>) {
    let base = match &app.config.server.public_url {
        Some(url) => url.as_str().trim_end_matches('/').to_owned(),
        None => format!("http://{address}"),
    };
    let _ = writeln!(text, "\nZotify {} listens at {base}", env!("CARGO_PKG_VERSION"));
    let _ = writeln!(text, "  documentation  {base}/docs/\n  health         {base}/health");
    let file = app.data_dir().join(PASSWORD_FILE);
    if let Some(password) = admin_password.filter(|_| io::stdout().is_terminal()) {
        let _ = writeln!(text, "\nFirst start: sign in as {ADMIN} with the password {password}");
        let _ = writeln!(text, "It is also in {} until the first sign-in.", file.display());
    } else if file.exists() {
        let _ = writeln!(text, "\nSign in as {ADMIN}; the password is in {} until the first sign-in.", file.display());
    }
}

fn plugins(text: &mut String, reports: &[Report]) {
    if reports.is_empty() {
        text.push_str(
            "\nNo provider is configured: add one to zotify.toml (`zotify-host config init --music FOLDER`).\n",
        );
        return;
    }
    text.push_str("\nProviders:\n");
    for report in reports {
        let _ = writeln!(text, "  {}", line(report));
        if let Some(problem) = &report.problem {
            let _ = writeln!(text, "    {}: {}\n    {}", problem.code, problem.detail, problem.remedy);
        }
    }
}

/// What is loaded, from where, in which run mode, locked down or not.
fn line(report: &Report) -> String {
    let state = format!("{:?}", report.state).to_lowercase();
    let mut line = format!("{:<12} {state:<8} {} {}", report.id, report.name, report.version.as_deref().unwrap_or(""));
    if let Some(source) = &report.source {
        let origin = if source.bundled { "bundled" } else { "trusted" };
        let _ = write!(line, " · {} ({origin})", source.file);
    }
    let _ = write!(line, " · {}", report.isolation);
    if let Some(sandbox) = &report.sandbox {
        let _ = write!(line, " · sandbox {}", format!("{:?}", sandbox.state).to_lowercase());
    }
    line
}

fn say(text: &str) {
    // A closed standard output is no reason to stop serving.
    let _ = io::stdout().lock().write_all(text.as_bytes());
}

/// Shows the progress of library pulls until there are none, as a bar on a terminal.
async fn follow(app: &AppState) {
    let bar = ProgressBar::new_spinner();
    if !io::stderr().is_terminal() {
        bar.set_draw_target(ProgressDrawTarget::hidden());
    }
    let style =
        ProgressStyle::with_template("{spinner} {msg} {wide_bar} {pos}/{len} {rate}, {eta} left").map(|style| {
            style.with_key("rate", |state: &ProgressState, text: &mut dyn std::fmt::Write| {
                // A line that cannot be written is not worth a word.
                let _ = write!(text, "{:.0}/s", state.per_sec());
            })
        });
    let mut seen = false;
    while !app.shutdown.is_cancelled() {
        match db::jobs::active(app.db.read(), PullLibrary::NAME).await {
            Ok(jobs) if jobs.is_empty() && seen => break,
            Ok(jobs) => {
                seen = seen || !jobs.is_empty();
                if let (Some(job), Ok(style)) = (jobs.first(), &style) {
                    bar.set_style(style.clone());
                    bar.set_length(u64::try_from(job.progress_total.unwrap_or(0)).unwrap_or_default());
                    bar.set_position(u64::try_from(job.progress_done).unwrap_or_default());
                    bar.set_message(job.message.clone().unwrap_or_else(|| "reading the library".into()));
                }
            }
            Err(_) => break,
        }
        if !seen && app.started.elapsed() > PLUGINS {
            break;
        }
        tokio::select! {
            () = app.shutdown.cancelled() => break,
            () = tokio::time::sleep(LOOK) => {}
        }
    }
    bar.finish_and_clear();
    if seen && !app.shutdown.is_cancelled() {
        summarise(app).await;
    }
}

/// What all libraries hold together.
async fn summarise(app: &AppState) {
    let mut accounts = Vec::new();
    for handle in app.providers.instances() {
        accounts.extend(accounts::of_instance(&app.db, handle.id()).await.unwrap_or_default());
    }
    let accounts: Vec<_> = accounts.into_iter().map(|account| account.id).collect();
    let mut kinds = BTreeMap::<String, i64>::new();
    for count in db::items::counts(app.db.read(), &accounts).await.unwrap_or_default() {
        *kinds.entry(count.kind).or_default() += count.items;
    }
    let parts: Vec<_> = kinds.iter().rev().map(|(kind, n)| format!("{n} {kind}s")).collect();
    say(&format!("\nLibrary: {}\n", if parts.is_empty() { "empty".to_owned() } else { parts.join(", ") }));
}
