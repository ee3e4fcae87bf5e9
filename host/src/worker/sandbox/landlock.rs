//! The file part of the sandbox, and the parts of network and signals that Landlock closes.

use std::path::PathBuf;

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, LandlockStatus, RestrictionStatus, Ruleset, RulesetAttr as _,
    RulesetCreatedAttr as _, RulesetError, RulesetStatus, Scope, path_beneath_rules,
};

use super::Spec;

/// The newest rules that this was tested with; older kernels enforce what they know.
const NEWEST: ABI = ABI::V6;

/// What the dynamic loader, the C library and time zones need.
const SYSTEM: &[&str] = &[
    "/lib",
    "/lib64",
    "/usr/lib",
    "/usr/lib64",
    "/usr/local/lib",
    "/nix/store",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/usr/share/zoneinfo",
    "/dev/urandom",
    "/dev/null",
];

/// Closes the file system but for what the specification names. Answers what is enforced.
pub(super) fn apply(spec: &Spec) -> Result<String, String> {
    let status = restrict(spec).map_err(|e| e.to_string())?;
    let abi = match status.landlock {
        LandlockStatus::Available { effective_abi, .. } => format!("Landlock {effective_abi:?}"),
        LandlockStatus::NotEnabled => return Err("Landlock is not enabled in this kernel".into()),
        LandlockStatus::NotImplemented => return Err("this kernel has no Landlock".into()),
    };
    match status.ruleset {
        RulesetStatus::NotEnforced => Err("Landlock is not enforced".into()),
        RulesetStatus::FullyEnforced | RulesetStatus::PartiallyEnforced => Ok(abi),
    }
}

fn restrict(spec: &Spec) -> Result<RestrictionStatus, RulesetError> {
    // Reading covers no right to execute: mapping a library needs none, and nothing is to be run.
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let write = AccessFs::from_all(NEWEST) & !(AccessFs::Execute | AccessFs::IoctlDev | devices_and_sockets());
    let system = SYSTEM.iter().map(PathBuf::from);
    Ruleset::default()
        .handle_access(AccessFs::from_all(NEWEST))?
        .handle_access(AccessNet::from_all(NEWEST))?
        .scope(Scope::from_all(NEWEST))?
        .create()?
        .add_rules(path_beneath_rules(system.chain(spec.read.iter().cloned()), read))?
        .add_rules(path_beneath_rules(&spec.write, write))?
        .restrict_self()
}

fn devices_and_sockets() -> landlock::BitFlags<AccessFs> {
    AccessFs::MakeChar | AccessFs::MakeBlock | AccessFs::MakeSock | AccessFs::MakeFifo
}
