//! `docs`: the pages of the documentation that are made from the program itself.

use std::fmt::Write as _;

use clap::{Command, CommandFactory as _, ValueEnum};

use super::{Cli, CliResult, print};
use crate::config;

/// A generated page.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Page {
    /// docs/configuration.md
    Config,
    /// docs/cli.md
    Cli,
}

pub(super) fn run(page: Page) -> CliResult {
    print(&text(page))
}

fn text(page: Page) -> String {
    match page {
        Page::Config => config::docs::page(),
        Page::Cli => cli(),
    }
}

fn cli() -> String {
    let mut page = "# Command line\n\nMade by `zotify-host docs cli`; do not edit.\n".to_owned();
    let mut command = Cli::command().term_width(100).color(clap::ColorChoice::Never);
    command.build();
    add(&mut page, &mut command, 1);
    page
}

/// The help of a command, then those of the commands below it. Only the first shows the options that all have.
fn add(page: &mut String, command: &mut Command, level: usize) {
    if level > 1 {
        let name = command.get_bin_name().unwrap_or_else(|| command.get_name()).to_owned();
        let _ = write!(page, "\n{} {name}\n", "#".repeat(level));
    }
    let help = command.render_long_help().to_string();
    let lines: Vec<&str> = help.lines().map(str::trim_end).collect();
    let _ = write!(page, "\n```text\n{}\n```\n", lines.join("\n").trim_end());
    for child in command.get_subcommands_mut().filter(|child| !child.is_hide_set()) {
        add(page, child, level + 1);
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn assert_fresh(page: Page, file: &str) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(file);
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        let name = file.trim_end_matches(".md").trim_end_matches("uration");
        assert!(committed == text(page), "docs/{file} is old; run: zotify-host docs {name} > docs/{file}");
    }

    #[test]
    fn the_configuration_page_is_fresh() {
        assert_fresh(Page::Config, "configuration.md");
    }

    #[test]
    fn the_command_line_page_is_fresh() {
        assert_fresh(Page::Cli, "cli.md");
    }
}
