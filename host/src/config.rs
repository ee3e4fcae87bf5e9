//! Being written.
use secrecy::SecretString;
use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf};
/// The effective configuration.
#[derive(Clone, Debug)]
pub struct Config {
    pub server: Server,
    pub database: Database,
    pub auth: Auth,
    pub secrets: SecretsSection,
    pub plugins: Plugins,
    pub log: Log,
    pub providers: BTreeMap<String, Instance>,
    pub automations: BTreeMap<String, Instance>,
    pub file: Option<PathBuf>,
    pub base_dir: PathBuf,
}
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Dev,
    Prod,
}
#[derive(Clone, Debug)]
pub struct Server {
    pub mode: Mode,
    pub listen: SocketAddr,
    pub public_url: Option<url::Url>,
    pub data_dir: PathBuf,
    pub trusted_proxies: Vec<String>,
    pub max_body_bytes: usize,
    pub request_timeout_s: u64,
    pub shutdown_grace_s: u64,
}
#[derive(Clone, Debug)]
pub struct Database {
    pub url: String,
}
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Registration {
    Open,
    Invite,
    Closed,
}
#[derive(Clone, Debug)]
pub struct Auth {
    pub registration: Registration,
    pub access_token_minutes: u64,
    pub session_days: u64,
    pub password_min_length: usize,
}
#[derive(Clone, Debug)]
pub struct SecretsSection {
    pub master_key: Option<SecretString>,
}
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SandboxPolicy {
    Required,
    BestEffort,
}
#[derive(Clone, Debug)]
pub struct Breaker {
    pub failures: u32,
    pub window_s: u64,
    pub open_s: u64,
}
#[derive(Clone, Debug)]
pub struct Quarantine {
    pub crashes: u32,
    pub window_s: u64,
}
#[derive(Clone, Debug)]
pub struct Plugins {
    pub directories: Vec<PathBuf>,
    pub bundled: PathBuf,
    pub sandbox: SandboxPolicy,
    pub call_timeout_s: u64,
    pub job_timeout_s: u64,
    pub stream_idle_s: u64,
    pub grace_s: u64,
    pub max_calls: usize,
    pub memory_mib: u64,
    pub breaker: Breaker,
    pub quarantine: Quarantine,
}
#[derive(Clone, Debug)]
pub struct Log {
    pub level: String,
    pub format: String,
}
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    Process,
    InProcess,
}
#[derive(Clone, Debug)]
pub struct Instance {
    pub plugin: String,
    pub provider: Option<String>,
    pub enabled: bool,
    pub isolation: Isolation,
    pub settings: serde_json::Value,
    pub permissions: Vec<String>,
    pub label: Option<String>,
}
