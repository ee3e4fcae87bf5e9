//! Being written.
#[derive(clap::Subcommand, Debug)] pub enum UserCommand { List }
pub async fn run(_command: UserCommand, _config: &crate::config::Config) -> Result<String, String> { Err("being written".into()) }
