//! Being written.
#[derive(clap::Subcommand, Debug)]
pub enum PluginCommand {
    List,
}
pub async fn run(
    _command: PluginCommand,
    _config: impl Fn() -> Result<crate::config::Config, crate::config::ConfigErrors>,
) -> Result<String, super::Failure> {
    Err(super::Failure::new("being written"))
}
