//! Starts a plugin's process and waits until it says that it is ready.

use std::{
    io,
    os::{fd::OwnedFd, unix::net::UnixStream as StdUnixStream, unix::process::ExitStatusExt as _},
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use nix::sys::signal::Signal;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::UnixStream,
    process::{Child, Command},
};
use zotify_plugin_api::wire;

use super::{
    rate::Bucket,
    refusal::{Code, Refusal},
};
use crate::worker::{
    self,
    frame::{self, Failed, Frame, Hello, Kind, Ready},
};

/// The longest line that is recorded of what a process prints, in bytes.
const MAX_LINE: u64 = 4096;

/// The program that plugin processes run: this one, even if its file was replaced meanwhile.
pub fn own_program() -> PathBuf {
    if cfg!(target_os = "linux") {
        return "/proc/self/exe".into();
    }
    std::env::current_exe().unwrap_or_else(|_| "zotify-host".into())
}

/// A process that is ready.
pub(super) struct Launched {
    pub(super) child: Child,
    pub(super) socket: UnixStream,
    pub(super) ready: Ready,
}

/// Why a process did not become ready.
#[derive(Debug)]
pub(super) enum LaunchError {
    /// The system refused.
    Io(io::Error),
    /// It took too long.
    Timeout,
    /// It ended before it was ready.
    Ended(ExitStatus),
    /// It said why.
    Failed(Failed),
}

impl From<io::Error> for LaunchError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl LaunchError {
    /// The refusal that stands for it. `timeout` says which limit passed.
    pub(super) fn refusal(self, timeout: Code) -> Refusal {
        match self {
            Self::Io(e) => Refusal::new(Code::HostFailed, format!("the plugin's process cannot be started: {e}")),
            Self::Timeout => Refusal::new(timeout, "the plugin's process was not ready in time"),
            // The loader maps more than the file has.
            Self::Ended(status) if status.signal() == Some(Signal::SIGBUS as i32) => {
                Refusal::new(Code::NotAPlugin, "the file is cut off")
            }
            Self::Ended(status) => {
                let how = describe(status);
                Refusal::new(Code::ConstructorFailed, format!("the plugin's process ended while it loaded ({how})"))
            }
            Self::Failed(Failed::Build { build }) => {
                Refusal::new(Code::HostFailed, format!("the worker program is another build ({build})"))
            }
            Self::Failed(Failed::Sandbox { detail }) => Refusal::new(Code::SandboxUnavailable, detail),
            Self::Failed(Failed::Load(error)) => error.into(),
            Self::Failed(Failed::Create(error)) => create_refused(&error),
        }
    }
}

/// What the plugin's own constructor refused.
pub(super) fn create_refused(error: &zotify_plugin_api::ProviderError) -> Refusal {
    let code =
        if error.code.as_deref() == Some("settings_invalid") { Code::SettingsInvalid } else { Code::CreateFailed };
    let detail: String = error.message.chars().filter(|c| !c.is_control()).take(500).collect();
    Refusal::new(code, format!("the plugin refuses to start: {detail}"))
}

/// Starts `program` in `folder` with a hello, and waits for its answer. `log` gets the records of a constructor.
pub(super) async fn launch(
    program: &Path,
    folder: &Path,
    hello: &Hello,
    timeout: Duration,
    label: &str,
    log: &(dyn Fn(&[u8]) + Sync),
) -> Result<Launched, LaunchError> {
    let (ours, theirs) = StdUnixStream::pair()?;
    let mut child = Command::new(program)
        .arg(worker::VERB)
        .env_clear()
        .current_dir(folder)
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        // Ctrl-C on a terminal goes to the whole group: the host stops first, and then its plugins.
        .process_group(0)
        .spawn()?;
    record(label, child.stdout.take());
    record(label, child.stderr.take());
    ours.set_nonblocking(true)?;
    let mut socket = UnixStream::from_std(ours)?;
    let answer =
        tokio::time::timeout(timeout, greet(&mut socket, hello, log)).await.map_err(|_| LaunchError::Timeout)?;
    let Some(frame) = answer? else {
        let status = tokio::time::timeout(timeout, child.wait()).await.map_err(|_| LaunchError::Timeout)??;
        return Err(LaunchError::Ended(status));
    };
    let unreadable = |e| LaunchError::Io(io::Error::other(e));
    match frame.kind {
        Kind::Ready => {
            let ready = wire::decode(&frame.body).map_err(unreadable)?;
            Ok(Launched { child, socket, ready })
        }
        Kind::Failed => Err(LaunchError::Failed(wire::decode(&frame.body).map_err(unreadable)?)),
        _ => Err(LaunchError::Io(io::Error::other("the process answered out of turn"))),
    }
}

async fn greet(socket: &mut UnixStream, hello: &Hello, log: &(dyn Fn(&[u8]) + Sync)) -> io::Result<Option<Frame>> {
    let body = wire::encode(hello).map_err(io::Error::other)?;
    let written = socket.write_all(&Frame::new(Kind::Hello, 0, body).encode()?).await;
    // A process that ends at once tells more by its status than by the broken pipe.
    if let Err(error) = written {
        return if error.kind() == io::ErrorKind::BrokenPipe { Ok(None) } else { Err(error) };
    }
    loop {
        match frame::read(socket).await {
            // A constructor may log before it is done.
            Ok(Some(frame)) if frame.kind == Kind::Log => log(&frame.body),
            Err(e) if e.kind() == io::ErrorKind::ConnectionReset => return Ok(None),
            other => return other,
        }
    }
}

/// How a process ended, for people.
pub(super) fn describe(status: ExitStatus) -> String {
    match (status.signal(), status.code()) {
        (Some(signal), _) => format!("signal {signal}"),
        (None, Some(code)) => format!("exit code {code}"),
        (None, None) => "unknown status".into(),
    }
}

/// Copies what a process prints to the log.
fn record(label: &str, from: Option<impl AsyncRead + Unpin + Send + 'static>) {
    let (Some(from), label) = (from, label.to_owned()) else { return };
    tokio::spawn(async move {
        let mut from = BufReader::new(from);
        let mut lines = Bucket::new(20, 50);
        let mut line = Vec::new();
        loop {
            line.clear();
            match (&mut from).take(MAX_LINE).read_until(b'\n', &mut line).await {
                Ok(0) | Err(_) => return,
                Ok(_) if lines.take() => {
                    let text = super::services::printable(&String::from_utf8_lossy(&line));
                    tracing::warn!(target: "plugin", instance = label, "printed: {text}");
                }
                Ok(_) => {}
            }
        }
    });
}
