//! Processes under measurement: started, asked what they used, ended with the value that holds them.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::http::{self, Connection};

/// How long a server may take to start.
const PATIENCE: Duration = Duration::from_secs(30);

/// The host's program, built by the same profile.
pub fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_zotify-host"))
}

/// A shared library of the workspace, beside the program.
pub fn plugin(name: &str) -> PathBuf {
    let path = program().with_file_name(format!("lib{name}.so"));
    assert!(path.exists(), "{} is missing: `make bench` builds it", path.display());
    path
}

/// A process that ends with this value.
pub struct Running(pub Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Running {
    pub fn pid(&self) -> u32 {
        self.0.id()
    }

    /// This process and its children.
    pub fn family(&self) -> Vec<u32> {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.pid())).into_iter().flatten().flatten();
        let children = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
        let children =
            children.flat_map(|list| list.split_whitespace().filter_map(|n| n.parse().ok()).collect::<Vec<_>>());
        std::iter::once(self.pid()).chain(children).collect()
    }
}

/// CPU time that processes used so far, in seconds. The kernel counts in ticks of 10 ms.
pub fn cpu(pids: &[u32]) -> f64 {
    let ticks = |pid: &u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // The second field is a name that may hold anything; after its bracket comes the third.
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or("").split_whitespace().collect();
        let field = |n: usize| fields.get(n).and_then(|f| f.parse::<f64>().ok()).unwrap_or(0.0);
        field(11) + field(12)
    };
    pids.iter().map(ticks).sum::<f64>() / 100.0
}

/// Memory of processes in MB, shared pages in equal parts (PSS).
pub fn memory(pids: &[u32]) -> f64 {
    let pss = |pid: &u32| {
        let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
        let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"));
        line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse::<f64>().ok()).unwrap_or(0.0)
    };
    pids.iter().map(pss).sum::<f64>() * 1024.0 / 1e6
}

/// A host with a folder, an address and an admin of its own.
pub struct Host {
    pub process: Running,
    pub address: String,
    pub dir: TempDir,
}

impl Host {
    /// Starts a host with sections of a configuration; answers when it serves.
    pub fn start(sections: &str) -> Self {
        Self::at(tempfile::tempdir().expect("a folder"), sections)
    }

    /// Starts a host on a folder that an earlier one may have used.
    pub fn at(dir: TempDir, sections: &str) -> Self {
        let address = free_address();
        // Requests are counted as ever, against limits that are never met.
        let config = format!(
            "[server]\nlisten = \"{address}\"\ndata_dir = \"data\"\n[log]\nlevel = \"warn\"\n\
             [limits]\nrequests_per_minute_per_address = 10000000\nsign_ins_per_minute_per_address = 1000000\n\
             [quotas]\nrequests_per_minute = 10000000\n{sections}\n"
        );
        fs::write(dir.path().join("zotify.toml"), config).expect("a configuration");
        let process = Self::command(&dir).arg("serve").stdout(Stdio::null()).spawn().expect("the host starts");
        let host = Self { process: Running(process), address, dir };
        host.wait();
        host
    }

    /// Ends it as an operator would, and hands the folder back.
    pub fn stop(mut self) -> TempDir {
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.process.pid()).expect("a process id"));
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).expect("it runs");
        self.process.0.wait().expect("it ends");
        self.dir
    }

    fn command(dir: &TempDir) -> Command {
        let mut command = Command::new(program());
        command.current_dir(dir.path());
        command
    }

    fn wait(&self) {
        let until = Instant::now() + PATIENCE;
        // The port is taken early: what counts is the first answer.
        while !Connection::open(&self.address).is_ok_and(|mut c| c.send(&http::get("/health/live", "")).is_ok()) {
            assert!(Instant::now() < until, "the host does not start");
            std::thread::sleep(Duration::from_micros(200));
        }
    }

    /// The value of an `Authorization` header for a new admin.
    pub fn sign_in(&self) -> String {
        use std::io::Write as _;
        const PASSWORD: &str = "a password for measuring";
        let mut made = Self::command(&self.dir)
            .args(["user", "create", "bench", "--admin", "--password-stdin"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("a user is made");
        made.stdin.take().expect("piped").write_all(PASSWORD.as_bytes()).expect("a password");
        assert!(made.wait().expect("it ends").success());
        let body = serde_json::json!({"username": "bench", "password": PASSWORD});
        let answer = crate::http::request(&self.address, "POST", "/api/auth/login", "", &body.to_string());
        format!("Bearer {}", answer["access_token"].as_str().expect("a token"))
    }
}

/// An address that nothing listens at.
pub fn free_address() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("bound").to_string()
}
