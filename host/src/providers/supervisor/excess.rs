//! Looks at what a plugin's process takes of the machine: the limits of the kernel leave some of it out.
//!
//! `RLIMIT_DATA` counts private writable memory only, and nothing counts threads by process.

use std::time::Duration;

/// How often a process is looked at.
const LOOK: Duration = Duration::from_millis(500);
/// Threads that a plugin may have.
const MAX_THREADS: u64 = 512;
/// Memory beside what `plugins.memory_mib` limits, such as stacks, in MiB.
const SPARE_MIB: u64 = 64;

/// Ends when a process takes too much, and says of what.
pub(super) async fn outgrown(pid: Option<u32>, memory_mib: u64) -> String {
    let path = format!("/proc/{}/status", pid.unwrap_or_default());
    while let Ok(status) = tokio::fs::read_to_string(&path).await {
        if let Some(excess) = excess(&status, memory_mib) {
            return excess;
        }
        tokio::time::sleep(LOOK).await;
    }
    // It is gone, which others notice, or this system has no such file.
    std::future::pending().await
}

fn excess(status: &str, memory_mib: u64) -> Option<String> {
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0)
    };
    let threads = field("Threads");
    let mib = (field("RssAnon") + field("RssShmem") + field("VmSwap")) / 1024;
    if threads > MAX_THREADS {
        return Some(format!("it had {threads} threads, of {MAX_THREADS} that it may have"));
    }
    (mib > memory_mib.saturating_add(SPARE_MIB)).then(|| format!("it had {mib} MiB of memory, of {memory_mib}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_many_threads_and_too_much_memory_are_seen() {
        let status = |threads: u64, anon: u64, shared: u64| {
            format!("Name:\tzotify-host\nRssAnon:\t  {anon} kB\nRssShmem:\t {shared} kB\nThreads:\t{threads}\n")
        };
        assert_eq!(excess(&status(3, 10_000, 0), 256), None);
        assert!(excess(&status(513, 10_000, 0), 256).is_some_and(|e| e.contains("513 threads")));
        assert!(excess(&status(3, 200 << 10, 200 << 10), 256).is_some_and(|e| e.contains("400 MiB")));
        assert_eq!(excess("", 256), None, "a process that has ended");
    }
}
