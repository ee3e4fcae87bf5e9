//! What a plugin's process can do, tried from inside one.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use nix::libc;
use zotify_host::worker::sandbox::Strength;
use zotify_plugin_api::ErrorKind;

use crate::lab::{Bench, Lab};

/// Nothing is given up for failing.
const PATIENT: &str = "quarantine = { crashes = 1000 }\nbreaker = { failures = 1000 }";

/// What a refused system call answers.
const REFUSED: &str = "ok EPERM";
/// What the standard library makes of a refusal by either part of the sandbox.
const DENIED: &str = "PermissionDenied";

/// A hostile instance, with the folders `music` (granted) and `outside` beside it, each holding `file`.
struct Cell {
    lab: Lab,
    base: PathBuf,
}

impl Cell {
    async fn new() -> Self {
        let bench = Bench::new().with("hostile_plugin");
        for folder in ["music", "music/album", "outside"] {
            fs::create_dir(bench.path(folder)).unwrap();
            fs::write(bench.path(folder).join("file"), folder).unwrap();
        }
        let base = bench.path("").canonicalize().unwrap();
        let config =
            format!("{PATIENT}\n[providers.bad]\nplugin = \"hostile\"\nsettings = {{ folders = [\"music\"] }}\n");
        let lab = bench.start(&config).await;
        let sandbox = lab.report("bad").sandbox.unwrap();
        assert_eq!(sandbox.state, Strength::Enforced, "{}", sandbox.detail);
        Self { lab, base }
    }

    /// An absolute path.
    fn at(&self, path: &str) -> String {
        self.base.join(path).display().to_string()
    }

    async fn says(&self, command: &str) -> String {
        self.lab.command(command).await.unwrap_or_else(|e| panic!("{command}: {e:?}"))
    }

    async fn expect(&self, command: &str, wanted: &str) {
        assert_eq!(self.says(command).await, wanted, "{command}");
    }

    /// Tries system calls, of which none may get through.
    async fn refuses(&self, calls: &[(&str, libc::c_long, &str)]) {
        for (name, number, arguments) in calls {
            assert_eq!(self.says(&format!("syscall {number} {arguments}")).await, REFUSED, "{name} {arguments}");
        }
    }
}

#[tokio::test]
async fn no_socket_of_any_family_can_be_made() {
    let cell = Cell::new().await;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    cell.expect(&format!("connect {}", listener.local_addr().unwrap()), DENIED).await;
    for (name, family) in [
        ("AF_UNIX", libc::AF_UNIX),
        ("AF_INET", libc::AF_INET),
        ("AF_INET6", libc::AF_INET6),
        ("AF_NETLINK", libc::AF_NETLINK),
        ("AF_PACKET", libc::AF_PACKET),
        ("AF_ALG", libc::AF_ALG),
        ("AF_VSOCK", libc::AF_VSOCK),
    ] {
        for (kind, number) in [("stream", libc::SOCK_STREAM), ("datagram", libc::SOCK_DGRAM), ("raw", libc::SOCK_RAW)] {
            let arguments = format!("{family} {number} 0");
            cell.refuses(&[(&format!("{name} {kind}"), libc::SYS_socket, &arguments)]).await;
        }
    }
    cell.refuses(&[
        ("socketpair", libc::SYS_socketpair, "1 1 0 &8"),
        ("bind", libc::SYS_bind, "0 &16 16"),
        ("listen", libc::SYS_listen, "0 1"),
        ("accept4", libc::SYS_accept4, "0 0 0 0"),
        ("connect", libc::SYS_connect, "0 &16 16"),
        ("io_uring_setup", libc::SYS_io_uring_setup, "8 &120"),
        ("io_uring_enter", libc::SYS_io_uring_enter, "3 1 0 0 0 0"),
        ("io_uring_register", libc::SYS_io_uring_register, "3 0 0 0"),
        ("mq_open", libc::SYS_mq_open, "@queue 66 384 0"),
        ("msgget", libc::SYS_msgget, "0 512"),
        ("semget", libc::SYS_semget, "0 1 512"),
    ])
    .await;
    let error = cell.lab.command(&format!("fetch http://{}/", listener.local_addr().unwrap())).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::PermissionDenied, "{error:?}");
    // The one to the host, its second handle, and what the runtime waits with; no file, folder or device.
    let open = cell.says("descriptors").await;
    let kinds = |kind: char| open.split(' ').filter(|fd| fd.ends_with(kind)).count();
    assert_eq!((kinds('f'), kinds('d'), kinds('c')), (0, 0, 0), "{open}");
    assert!(kinds('s') <= 4, "{open}");
    cell.lab.stop().await;
}

#[tokio::test]
async fn no_program_can_be_run_and_no_process_made() {
    let cell = Cell::new().await;
    cell.expect("run /bin/true", DENIED).await;
    cell.expect("run /proc/self/exe", DENIED).await;
    cell.refuses(&[
        ("execve", libc::SYS_execve, "@/bin/true 0 0"),
        ("execveat", libc::SYS_execveat, "-100 @/bin/true 0 0 0"),
        ("clone", libc::SYS_clone, "17 0 0 0 0"),
        ("clone with its memory", libc::SYS_clone, "16657 0 0 0 0"),
        ("unshare", libc::SYS_unshare, "268435456"),
        ("setns", libc::SYS_setns, "0 0"),
        ("personality", libc::SYS_personality, "0"),
    ])
    .await;
    #[cfg(target_arch = "x86_64")]
    cell.refuses(&[("fork", libc::SYS_fork, ""), ("vfork", libc::SYS_vfork, "")]).await;
    cell.expect(&format!("syscall {} &88 88", libc::SYS_clone3), "ok ENOSYS").await;
    cell.expect("thread", "ok ran").await;
    cell.lab.stop().await;
}

#[tokio::test]
async fn other_processes_can_be_neither_read_nor_stopped() {
    let cell = Cell::new().await;
    let host = std::process::id();
    for (name, number, arguments) in [
        ("ptrace", libc::SYS_ptrace, format!("16 {host} 0 0")),
        ("kill", libc::SYS_kill, format!("{host} 0")),
        ("kill all", libc::SYS_kill, "-1 0".into()),
        ("kill its group", libc::SYS_kill, "0 0".into()),
        ("tkill", libc::SYS_tkill, format!("{host} 0")),
        ("tgkill", libc::SYS_tgkill, format!("{host} {host} 0")),
        ("rt_sigqueueinfo", libc::SYS_rt_sigqueueinfo, format!("{host} 0 &128")),
        ("pidfd_open", libc::SYS_pidfd_open, format!("{host} 0")),
        ("pidfd_send_signal", libc::SYS_pidfd_send_signal, "0 0 0 0".into()),
        ("process_vm_readv", libc::SYS_process_vm_readv, format!("{host} &16 1 &16 1 0")),
        ("process_vm_writev", libc::SYS_process_vm_writev, format!("{host} &16 1 &16 1 0")),
        ("setpriority", libc::SYS_setpriority, format!("0 {host} 19")),
        ("ioprio_set", libc::SYS_ioprio_set, format!("1 {host} 0")),
        ("sched_setscheduler", libc::SYS_sched_setscheduler, format!("{host} 5 &4")),
        ("sched_setaffinity", libc::SYS_sched_setaffinity, format!("{host} 8 &8")),
        ("prlimit64", libc::SYS_prlimit64, format!("{host} 7 &16 0")),
        ("own limits", libc::SYS_prlimit64, "0 2 &16 0".into()),
        ("setrlimit", libc::SYS_setrlimit, "2 &16".into()),
        ("fcntl F_SETOWN", libc::SYS_fcntl, format!("0 8 {host}")),
        ("fcntl F_SETOWN, disguised", libc::SYS_fcntl, format!("0 {} {host}", 8_i64 + (1 << 32))),
        ("fcntl F_SETSIG", libc::SYS_fcntl, "0 10 9".into()),
        ("ioctl FIOSETOWN", libc::SYS_ioctl, format!("0 {} &4", 0x8901)),
        ("ioctl TIOCSTI", libc::SYS_ioctl, format!("0 {} &4", 0x5412)),
        ("setuid", libc::SYS_setuid, "0".into()),
        ("capset", libc::SYS_capset, "&8 &24".into()),
        ("bpf", libc::SYS_bpf, "0 &64 64".into()),
        ("perf_event_open", libc::SYS_perf_event_open, format!("&128 {host} -1 -1 0")),
        ("userfaultfd", libc::SYS_userfaultfd, "0".into()),
    ] {
        cell.refuses(&[(name, number, &arguments)]).await;
    }
    for whose in [host.to_string(), "self".into(), "1".into()] {
        for what in ["environ", "mem", "maps", "cmdline", "status", "root/etc/passwd", "cwd/../../secret.key"] {
            cell.expect(&format!("read /proc/{whose}/{what}"), DENIED).await;
        }
        // The link to its own folder leads where it may go anyway, to nothing that could be read as a file.
        let folder = if whose == "self" { "IsADirectory" } else { DENIED };
        cell.expect(&format!("read /proc/{whose}/cwd"), folder).await;
    }
    for link in ["exe", "cwd", "root"] {
        cell.expect(&format!("target /proc/{host}/{link}"), DENIED).await;
    }
    cell.expect("environment", "ok ").await;
    cell.lab.stop().await;
}

#[tokio::test]
async fn the_name_space_of_files_is_not_to_be_rearranged() {
    let cell = Cell::new().await;
    cell.refuses(&[
        ("mount", libc::SYS_mount, "@none @. @tmpfs 0 0"),
        ("umount2", libc::SYS_umount2, "@/ 2"),
        ("pivot_root", libc::SYS_pivot_root, "@. @."),
        ("chroot", libc::SYS_chroot, "@."),
        ("fsopen", libc::SYS_fsopen, "@tmpfs 0"),
        ("fspick", libc::SYS_fspick, "-100 @/ 0"),
        ("open_tree", libc::SYS_open_tree, "-100 @/ 0"),
        ("open_tree_attr", 467, "-100 @/ 0 &32 32"),
        ("move_mount", libc::SYS_move_mount, "-100 @/ -100 @/ 0"),
        ("mount_setattr", libc::SYS_mount_setattr, "-100 @/ 0 &32 32"),
        ("name_to_handle_at", libc::SYS_name_to_handle_at, "-100 @/etc/passwd &136 &4 0"),
        ("open_by_handle_at", libc::SYS_open_by_handle_at, "0 &136 0"),
        ("mknodat", libc::SYS_mknodat, "-100 @node 8630 259"),
        ("swapon", libc::SYS_swapon, "@/dev/null 0"),
    ])
    .await;
    cell.lab.stop().await;
}

#[tokio::test]
async fn only_what_was_granted_can_be_read() {
    let cell = Cell::new().await;
    let (music, outside) = (cell.at("music"), cell.at("outside"));
    // The admin's own links: one that leads out of the folder, and one within.
    std::os::unix::fs::symlink(&outside, Path::new(&music).join("out")).unwrap();
    std::os::unix::fs::symlink("album/file", Path::new(&music).join("within")).unwrap();
    cell.expect(&format!("read {music}/file"), "ok music").await;
    cell.expect(&format!("read {music}/within"), "ok music/album").await;
    cell.expect(&format!("list {music}"), "ok 4").await;
    for path in [
        format!("{outside}/file"),
        format!("{music}/out/file"),
        format!("{music}/../outside/file"),
        format!("{music}/album/../../outside/file"),
        cell.at("data/secret.key"),
        cell.at("data/test.db"),
        "../../secret.key".into(),
        "../../test.db".into(),
        "/etc/passwd".into(),
        "/proc/self/status".into(),
        "/proc/version".into(),
        "/sys/kernel/notes".into(),
        "/etc/shadow".into(),
        "/tmp/anything".into(),
        "/dev/mem".into(),
        "/dev/zero".into(),
        "/dev/tty".into(),
        "/dev/shm/x".into(),
    ] {
        let said = cell.says(&format!("read {path}")).await;
        assert!(said == DENIED || (!Path::new(&path).exists() && said == "NotFound"), "{path}: {said}");
    }
    for path in [outside.as_str(), "/", "/etc", "/proc", "/dev", "/home", "/tmp", "..", "../.."] {
        cell.expect(&format!("list {path}"), DENIED).await;
    }
    cell.expect("list .", "ok 0").await;
    cell.lab.stop().await;
}

#[tokio::test]
async fn nothing_can_be_written_and_no_disk_filled() {
    let cell = Cell::new().await;
    let (music, outside) = (cell.at("music"), cell.at("outside"));
    let before = fs::metadata(format!("{music}/file")).unwrap();
    for command in [
        "write own".to_owned(),
        "folder own".into(),
        "symlink /etc own".into(),
        format!("write {music}/new"),
        format!("append {music}/file"),
        format!("remove {music}/file"),
        format!("folder {music}/new"),
        format!("readonly {music}/file"),
        format!("mode {music}/file"),
        format!("touch {music}/file"),
        format!("readonly {outside}/file"),
        format!("write {outside}/new"),
        format!("append {outside}/file"),
        format!("remove {outside}/file"),
        "write /dev/shm/x".into(),
        "write /var/tmp/x".into(),
        "append /dev/null".into(),
    ] {
        cell.expect(&command, DENIED).await;
    }
    for command in [
        format!("link {outside}/file own"),
        format!("link {outside}/file {music}/new"),
        format!("link {music}/file {music}/album/new"),
        format!("rename {music}/file {music}/album/new"),
        format!("rename {outside}/file {music}/new"),
    ] {
        let said = cell.says(&command).await;
        assert!(said == DENIED || said == "CrossesDevices", "{command}: {said}");
    }
    let file = format!("@{music}/file");
    cell.refuses(&[
        ("fchmodat", libc::SYS_fchmodat, &format!("-100 {file} 511")),
        ("fchmodat2", libc::SYS_fchmodat2, &format!("-100 {file} 511 0")),
        ("fchownat", libc::SYS_fchownat, &format!("-100 {file} 1 1 0")),
        ("fchown", libc::SYS_fchown, "0 1 1"),
        ("utimensat", libc::SYS_utimensat, &format!("-100 {file} 0 0")),
        ("setxattr", libc::SYS_setxattr, &format!("{file} @user.x &1 1 0")),
        ("fsetxattr", libc::SYS_fsetxattr, "0 @user.x &1 1 0"),
        ("removexattr", libc::SYS_removexattr, &format!("{file} @user.x")),
        ("setxattrat", 463, &format!("-100 {file} 0 @user.x &16 16")),
        ("file_setattr", 469, &format!("-100 {file} &24 24 0")),
        ("FS_IOC_SETFLAGS", libc::SYS_ioctl, &format!("0 {} &8", 0x4008_6602)),
        ("quotactl", libc::SYS_quotactl, "0 0 0 0"),
    ])
    .await;
    #[cfg(target_arch = "x86_64")]
    cell.refuses(&[
        ("chmod", libc::SYS_chmod, &format!("{file} 511")),
        ("chown", libc::SYS_chown, &format!("{file} 1 1")),
        ("utime", libc::SYS_utime, &format!("{file} 0")),
        ("utimes", libc::SYS_utimes, &format!("{file} 0")),
    ])
    .await;
    // A file without a name, which no look at a folder would find.
    let unnamed = libc::O_TMPFILE | libc::O_RDWR;
    cell.expect(&format!("syscall {} -100 @. {unnamed} 384", libc::SYS_openat), "ok EACCES").await;
    cell.expect(&format!("syscall {} {file} 0", libc::SYS_truncate), "ok EACCES").await;
    let after = fs::metadata(format!("{music}/file")).unwrap();
    let about = |m: &fs::Metadata| (m.modified().unwrap(), m.permissions(), m.len());
    assert_eq!(about(&before), about(&after));
    cell.lab.stop().await;
}

#[tokio::test]
async fn memory_has_one_limit_however_it_is_asked_for() {
    let cell = Cell::new().await;
    cell.expect("allocate 8", "ok 8388608").await;
    cell.expect("allocate 400", "Other").await;
    let mib = 1 << 20;
    let (read_write, private) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    let mmap = |size: i64, flags: libc::c_int| format!("0 {size} {read_write} {flags} -1 0");
    let shared = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
    cell.refuses(&[
        ("shared", libc::SYS_mmap, &mmap(mib, shared)),
        ("shared and checked", libc::SYS_mmap, &mmap(mib, shared | libc::MAP_SHARED_VALIDATE)),
        ("growing", libc::SYS_mmap, &mmap(400 * mib, private | libc::MAP_GROWSDOWN)),
        ("memfd_create", libc::SYS_memfd_create, "@x 0"),
        ("memfd_secret", libc::SYS_memfd_secret, "0"),
        ("shmget", libc::SYS_shmget, "0 1048576 896"),
        ("shmat", libc::SYS_shmat, "0 0 0"),
    ])
    .await;
    cell.expect(&format!("syscall {} {}", libc::SYS_mmap, mmap(400 * mib, private)), "ok ENOMEM").await;
    cell.expect(&format!("syscall {} {}", libc::SYS_mmap, mmap(400 * mib, private | libc::MAP_NORESERVE)), "ok ENOMEM")
        .await;
    // Stacks count as well: 100 of 4 MiB are more than 256.
    let said = cell.says("threads 100 4096").await;
    assert!(said.ends_with("WouldBlock") || said.ends_with("OutOfMemory"), "{said}");
    cell.lab.stop().await;
}

#[tokio::test]
async fn a_process_with_thousands_of_threads_is_killed() {
    let cell = Cell::new().await;
    // Small ones, which the limit of memory leaves room for.
    let _ = cell.lab.command("threads 3000 16").await;
    let killed = async {
        while cell.lab.report("bad").restarts == 0 {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(crate::support::PATIENCE, killed).await.unwrap();
    let problem = cell.lab.report("bad").problem.unwrap();
    assert!(problem.code == "crashed" && problem.detail.contains("threads, of 512"), "{problem:?}");
    cell.expect("echo back", "back").await;
    cell.lab.stop().await;
}

#[tokio::test]
async fn what_takes_the_place_of_a_granted_folder_is_not_granted() {
    let cell = Cell::new().await;
    let (music, aside) = (cell.at("music"), cell.at("aside"));
    fs::rename(&music, &aside).unwrap();
    fs::create_dir(&music).unwrap();
    fs::write(format!("{music}/file"), "another").unwrap();
    cell.expect(&format!("read {music}/file"), DENIED).await;
    fs::remove_dir_all(&music).unwrap();
    std::os::unix::fs::symlink(cell.at("outside"), &music).unwrap();
    cell.expect(&format!("read {music}/file"), DENIED).await;
    fs::remove_file(&music).unwrap();
    fs::rename(&aside, &music).unwrap();
    cell.expect(&format!("read {music}/file"), "ok music").await;

    let status = Command::new("mount").args(["--bind", &cell.at("outside"), &music]).status();
    if status.is_ok_and(|status| status.success()) {
        let said = cell.says(&format!("read {music}/file")).await;
        let unmounted = Command::new("umount").arg(&music).status().unwrap();
        assert!(unmounted.success());
        assert_eq!(said, DENIED, "a folder mounted over it");
    } else {
        eprintln!("skipped: mounting over a folder needs root");
    }
    cell.lab.stop().await;
}

#[tokio::test]
async fn frames_that_the_plugin_forges_reach_only_its_own_host_side() {
    let cell = Cell::new().await;
    // It holds the socket to the host: what is no frame ends the process, not the host.
    let _ = cell.lab.command(&format!("syscall {} 0 @garbage-that-is-no-frame-at-all 24", libc::SYS_write)).await;
    let replaced = async {
        while cell.lab.report("bad").restarts == 0 {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(crate::support::PATIENCE, replaced).await.unwrap();
    cell.expect("echo back", "back").await;
    let problem = cell.lab.report("bad").problem.unwrap();
    assert!(problem.detail.contains("no frame"), "{problem:?}");
    cell.lab.stop().await;
}
