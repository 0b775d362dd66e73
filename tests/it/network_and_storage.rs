//! The real program and what is outside of the CPU: directories that are no place for a file, and
//! peers that answer, refuse, keep silent or are not there.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use card::metrics::{State, Value};
use card::record::Skip;

use crate::common::children::{child_of, signal};
use crate::common::run::{Run, quick};
use crate::common::turn::beside_others;
use crate::common::wait::wait_for;
use crate::common::{card_in, program};

fn value(run: &Run, id: &str) -> Value {
    run.metrics.get(id).unwrap_or_else(|| panic!("no {id}")).clone()
}

/// That line of the ladder.
fn rung<'a>(run: &'a Run, label: &str) -> &'a str {
    run.text().lines().find(|line| line.starts_with(label)).expect("every row is there")
}

/// The one skip that is about this.
fn skip<'a>(run: &'a Run, about: &str) -> &'a Skip {
    let is_about = |s: &&Skip| s.need == about || s.names(about);
    let all: Vec<&Skip> = run.card.skips.iter().filter(is_about).collect();
    assert_eq!(all.len(), 1, "{about}: {:?}", run.card.skips);
    assert!(!all[0].remedy.is_empty());
    all[0]
}

fn start(probe: &str, args: &[&str], out: &Path) -> Child {
    quick(&[probe])
        .args(args)
        .arg("--out")
        .arg(out)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn run(probe: &str, args: &[&str]) -> Run {
    let _turn = beside_others();
    let out = tempfile::tempdir().unwrap();
    let output = start(probe, args, out.path()).wait_with_output().unwrap();
    Run::completed(output, out.path())
}

fn with_peer(peer: &str) -> Run {
    run("network", &["--peer", peer])
}

/// Whatever becomes of the peer, what needs none is measured.
fn has_loopback(run: &Run) {
    for id in ["loopback_round_trip", "unix_round_trip", "loopback_connect", "send_2k", "send_1m"] {
        let value = value(run, &format!("network.{id}_ns"));
        assert!(value.value.is_some_and(|ns| ns > 100.0), "{id}: {value:?}");
    }
}

const PEER: &str = "network.peer_round_trip_ns";

/// Where the tests are built there is a disk, unless all of the machine is an overlay.
fn on_disk() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

#[test]
fn malformed_options_are_exit_code_2_and_say_what_is_right() {
    let out = tempfile::tempdir().unwrap();
    let cases: [(&[&str], &str); 8] = [
        (&["--peer", "localhost"], "HOST:PORT"),
        (&["--peer", "localhost:0"], "no port from 1 to 65535"),
        (&["--peer", "::1:22"], "in brackets"),
        (&["--peer", "https://example.org:443"], "URL"),
        (&["--peer", ""], "HOST:PORT"),
        (&["--scratch", "/nonexistent/dir"], "No such file"),
        (&["--scratch", "/dev/null"], "is no directory"),
        (&["--scratch", ""], "No such file"),
    ];
    for (args, says) in cases {
        let output = start("locks", args, out.path()).wait_with_output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(stderr.contains(says), "{args:?}: {stderr}");
    }
    assert_eq!(fs::read_dir(out.path()).unwrap().count(), 0, "nothing was begun");
}

#[test]
fn without_a_peer_the_rows_of_a_network_say_what_they_need() {
    let run = run("network", &[]);
    has_loopback(&run);
    let value = value(&run, PEER);
    assert_eq!((value.state, value.value), (State::Unavailable, None));
    assert!(value.reason.unwrap().contains("needs --peer HOST:PORT"));
    assert!(run.text().contains("--peer HOST:PORT"), "{}", run.text());
    assert_eq!(run.card.header.plan.peer, None);
    assert!(rung(&run, "Round trip in datacenter").contains(" – "), "{}", run.text());
    assert!(!rung(&run, "TCP round trip, loopback").contains(" – "), "{}", run.text());
}

#[test]
fn a_listener_is_measured_politely_and_known_to_be_here() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let at = listener.local_addr().unwrap();
    let (connects, over) = (AtomicUsize::new(0), AtomicBool::new(false));
    let run = std::thread::scope(|scope| {
        scope.spawn(|| {
            listener.set_nonblocking(true).unwrap();
            while !over.load(Ordering::Relaxed) {
                match listener.accept() {
                    // Closed without a word, and not reset.
                    Ok((mut stream, _)) => {
                        stream.set_nonblocking(false).unwrap();
                        let read = std::io::Read::read(&mut stream, &mut [0]).unwrap();
                        assert_eq!(read, 0);
                        connects.fetch_add(1, Ordering::Relaxed);
                    }
                    Err(_) => std::thread::sleep(Duration::from_millis(1)),
                }
            }
        });
        let run = with_peer(&at.to_string());
        over.store(true, Ordering::Relaxed);
        run
    });
    has_loopback(&run);
    let [low, middle, high] =
        ["_min", "", "_max"].map(|s| value(&run, &format!("network.peer_round_trip{s}_ns")).value);
    assert!(low.unwrap() > 100.0 && low <= middle && middle <= high, "{low:?} {middle:?} {high:?}");
    let samples: usize = run.points("peer_round_trip").map(|p| p.samples.len()).sum();
    // One more a round, which is not timed.
    assert_eq!(connects.load(Ordering::Relaxed), samples + 3);
    assert!((9..=60).contains(&samples), "{samples}");
    assert!(
        run.points("peer_round_trip").all(|p| p.note.as_ref().unwrap().contains("this machine"))
    );
    assert!(rung(&run, "Round trip in datacenter").contains("µs"), "{}", run.text());
    assert!(run.text().contains("Round trip in datacenter: the peer is this machine"));
    assert_eq!(run.card.header.plan.peer.as_ref().unwrap().to_string(), at.to_string());
}

#[test]
fn a_peer_at_an_ipv6_address_is_measured() {
    // A machine may have no IPv6.
    let Ok(listener) = TcpListener::bind("[::1]:0") else { return };
    let run = with_peer(&listener.local_addr().unwrap().to_string());
    assert!(value(&run, PEER).value.is_some_and(|ns| ns > 100.0));
}

#[test]
fn a_refusal_is_a_round_trip_and_labelled() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let at = listener.local_addr().unwrap();
    drop(listener);
    let run = with_peer(&at.to_string());
    has_loopback(&run);
    assert!(value(&run, PEER).value.is_some_and(|ns| ns > 100.0));
    for point in run.points("peer_round_trip") {
        assert_eq!(point.params["answer"].to_string(), "refused");
    }
}

/// A listener that answers no one, since no one accepts what waits: the kernel drops what comes.
fn black_hole() -> (TcpListener, Vec<TcpStream>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let at: SocketAddr = listener.local_addr().unwrap();
    let mut waiting = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&at, Duration::from_millis(300)) {
        waiting.push(stream);
        assert!(waiting.len() < 5000, "the kernel takes any number of connects");
    }
    (listener, waiting)
}

#[test]
fn a_peer_that_keeps_silent_is_waited_for_once() {
    let _turn = beside_others();
    let (listener, _waiting) = black_hole();
    let at = listener.local_addr().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let measuring = start("network", &["--peer", &at.to_string()], dir.path());
    let run = Run::completed(measuring.wait_with_output().unwrap(), dir.path());
    has_loopback(&run);
    let skip = skip(&run, PEER);
    assert_eq!(skip.reason, format!("no answer from {at} within 1 s"));
    assert!(skip.remedy.contains("firewall"));
    let value = value(&run, PEER);
    assert!(value.value.is_none() && value.reason.unwrap().contains("no answer from"));
    // The first round waits for a second and says so; those after it do not ask.
    assert!(run.card.rounds[0].wall_s >= 1.0, "{:?}", run.card.rounds);
    let text = fs::read_to_string(card_in(dir.path()).unwrap()).unwrap();
    assert_eq!(text.lines().filter(|line| line.contains("no answer from")).count(), 1);
}

#[test]
fn a_name_without_an_address_is_named() {
    // Reserved for not being there (RFC 6761).
    let run = with_peer("nowhere.invalid:443");
    has_loopback(&run);
    let skip = skip(&run, PEER);
    assert!(skip.reason.contains("nowhere.invalid has no address"), "{skip:?}");
    assert!(skip.remedy.contains("check the name"));
}

#[test]
fn a_resumed_run_asks_the_same_peer_and_uses_the_same_directory() {
    let _turn = beside_others();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let (dir, scratch) = (tempfile::tempdir().unwrap(), on_disk());
    let at = listener.local_addr().unwrap().to_string();
    let there = scratch.path().to_str().unwrap();
    let mut run = start("network", &["--peer", &at, "--scratch", there], dir.path());
    wait_for("a round", || {
        let text = fs::read_to_string(card_in(dir.path())?).ok()?;
        text.contains("\"kind\":\"round\"").then_some(())
    });
    signal(run.id(), "-TERM");
    run.wait().unwrap();
    let path = card_in(dir.path()).unwrap();
    let output = Command::new(program()).arg("--resume").arg(&path).output().unwrap();
    let run = Run::completed(output, dir.path());
    assert_eq!(run.card.header.plan.scratch.as_deref(), Some(there));
    let rounds: Vec<u32> = run.points("peer_round_trip").map(|p| p.round).collect();
    assert_eq!(rounds, [0, 1, 2]);
}

/// Inodes of the sockets of a process, and those of all that listen, with their addresses.
fn listening(pid: u32) -> Vec<(String, String)> {
    let own: Vec<String> = fs::read_dir(format!("/proc/{pid}/fd"))
        .into_iter()
        .flatten()
        .filter_map(|fd| Some(fs::read_link(fd.ok()?.path()).ok()?.to_string_lossy().into_owned()))
        .collect();
    let tables =
        ["/proc/net/tcp", "/proc/net/tcp6"].map(|t| fs::read_to_string(t).unwrap_or_default());
    let lines = tables.iter().flat_map(|table| table.lines().skip(1));
    let fields = lines.map(|line| line.split_ascii_whitespace().collect::<Vec<&str>>());
    fields
        .filter(|f| f[3] == "0A" && own.contains(&format!("socket:[{}]", f[9])))
        .map(|f| (f[9].to_owned(), f[1].to_owned()))
        .collect()
}

#[test]
fn nothing_listens_to_others_nor_after_the_run() {
    let _turn = beside_others();
    let dir = tempfile::tempdir().unwrap();
    let args = ["run", "--only", "network", "--out"];
    let mut run = Command::new(program())
        .args(args)
        .arg(dir.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut seen = std::collections::BTreeSet::new();
    while run.try_wait().unwrap().is_none() {
        seen.extend(child_of(run.id()).into_iter().flat_map(listening));
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(!seen.is_empty(), "the probe listens for a while");
    for (_, address) in &seen {
        assert!(address.starts_with("0100007F:"), "{address} is not 127.0.0.1");
    }
    let tables = fs::read_to_string("/proc/net/tcp").unwrap();
    for (inode, _) in &seen {
        assert!(!tables.contains(&format!(" {inode} ")), "{inode} still listens");
    }
}

#[test]
fn a_disk_is_measured_and_described_and_left_as_it_was() {
    let scratch = on_disk();
    let run = run("storage", &["--scratch", scratch.path().to_str().unwrap()]);
    assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 0);
    if let Some(skip) = run.card.skips.iter().find(|s| s.need == "a directory on a disk") {
        assert!(skip.reason.contains("overlay") || skip.reason.contains("free"), "{skip:?}");
        return;
    }
    for id in ["read_4k_random", "read_1m_sequential", "fsync", "fdatasync"] {
        let value = value(&run, &format!("storage.{id}_ns"));
        assert!(value.value.is_some_and(|ns| ns > 100.0), "{id}: {value:?}");
    }
    let middle = value(&run, "storage.read_4k_random_ns").value;
    assert!(
        value(&run, "storage.read_4k_random_p99_ns").value.is_none_or(|p99| Some(p99) > middle)
    );
    for file in run.points("file") {
        // The card keeps five digits.
        let mib = file.samples[0] / f64::from(1 << 20);
        assert!((1.0..192.1).contains(&mib), "{mib}");
        assert!(file.note.as_ref().unwrap().contains(" on "));
    }
    for writes in run.points("durable_write") {
        assert!(writes.ops * writes.samples.len() as u64 <= 1000, "{writes:?}");
    }
    // A rotating disk has its seeks, any other disk says that it is none.
    if value(&run, "storage.seek_ns").value.is_none() {
        assert!(skip(&run, "storage.seek_ns").reason.starts_with("no rotating disk here"));
    }
}

#[test]
fn memory_is_no_disk() {
    let Ok(dir) = tempfile::tempdir_in("/dev/shm") else { return };
    let run = run("storage", &["--scratch", dir.path().to_str().unwrap()]);
    let skip = skip(&run, "a directory on a disk");
    assert!(skip.reason.contains("tmpfs, which is memory") && skip.remedy.contains("--scratch"));
    let value = value(&run, "storage.read_4k_random_ns");
    assert!(value.value.is_none() && value.reason.unwrap().contains("tmpfs"));
}

/// Runs the probe in a mount namespace of its own, in which `prepare` has mounted something at
/// `$DIR/at`; `None` where that is not permitted.
fn within_mounts(prepare: &str) -> Option<Run> {
    let _turn = beside_others();
    let (dir, out) = (on_disk(), tempfile::tempdir().unwrap());
    fs::create_dir(dir.path().join("at")).unwrap();
    let script = format!(
        "set -e; {{ {prepare}; }} >&2 || exit 77; \
         exec \"$PROGRAM\" run --tier quick --only storage --scratch \"$DIR/at\" --out \"$OUT\""
    );
    let output = Command::new("unshare")
        .args(["--mount", "sh", "-c", &script])
        .envs([("DIR", dir.path()), ("OUT", out.path()), ("PROGRAM", &program())])
        .output()
        .ok()?;
    // Not for ordinary users, nor in every container.
    (card_in(out.path()).is_some()).then(|| Run::completed(output, out.path()))
}

#[test]
fn an_overlay_a_read_only_and_a_full_disk_are_refused() {
    let overlay = "mkdir \"$DIR/u\" \"$DIR/w\" \"$DIR/l\"; \
                   mount -t overlay o -o lowerdir=\"$DIR/l\",upperdir=\"$DIR/u\",workdir=\"$DIR/w\" \"$DIR/at\"";
    let read_only =
        "mount --bind -o ro \"$DIR/at\" \"$DIR/at\"; mount -o remount,bind,ro \"$DIR/at\"";
    let full = "truncate -s 16M \"$DIR/disk\"; mkfs.ext4 -q -m 0 \"$DIR/disk\"; \
                mount -o loop \"$DIR/disk\" \"$DIR/at\"; \
                head -c 64M /dev/zero > \"$DIR/at/all\" 2>/dev/null || true";
    for (prepare, says, remedy) in [
        (overlay, "an overlay", "--scratch"),
        (read_only, "Read-only file system", "--scratch"),
        (full, "are free, and a tenth stays free", "free space"),
    ] {
        let Some(run) = within_mounts(prepare) else { continue };
        let skip = skip(&run, "a directory on a disk");
        assert!(skip.reason.contains(says) && skip.remedy.contains(remedy), "{skip:?}");
        assert!(run.points("read_4k_random").next().is_none());
    }
}

#[test]
fn where_a_nameless_file_is_never_durable_no_price_of_that_is_told() {
    let btrfs = "truncate -s 512M \"$DIR/disk\"; mkfs.btrfs -q \"$DIR/disk\"; \
                 mount -o loop \"$DIR/disk\" \"$DIR/at\"";
    let Some(run) = within_mounts(btrfs) else { return };
    let skip = skip(&run, "storage.fsync_ns");
    assert!(skip.reason.contains("btrfs") && skip.remedy.contains("another file system"));
    assert!(run.points("durable_write").next().is_none());
    for id in ["storage.fsync_ns", "storage.fdatasync_ns"] {
        let value = value(&run, id);
        assert!(value.value.is_none() && value.reason.is_some_and(|r| r.contains("btrfs")), "{id}");
    }
    assert!(value(&run, "storage.read_4k_random_ns").value.is_some());
}

#[test]
fn where_a_file_may_not_grow_it_says_so() {
    let _turn = beside_others();
    let (dir, scratch) = (tempfile::tempdir().unwrap(), on_disk());
    // 512 KiB: enough for the card, too little for anything else. Pictures may be larger.
    let output = Command::new("bash")
        .args(["-c", "ulimit -f 900; exec \"$0\" \"$@\""])
        .arg(program())
        .args(["run", "--tier", "quick", "--only", "storage", "--scratch"])
        .arg(scratch.path())
        .arg("--out")
        .arg(dir.path())
        .output()
        .unwrap();
    let run = Run::completed(output, dir.path());
    let reason = &skip(&run, "a directory on a disk").reason;
    assert!(reason.contains("ulimit -f") || reason.contains("overlay"), "{reason}");
}

#[test]
fn a_killed_round_leaves_no_file() {
    let _turn = beside_others();
    let (dir, scratch) = (tempfile::tempdir().unwrap(), on_disk());
    let there = scratch.path().to_str().unwrap();
    let mut run = start("storage", &["--scratch", there], dir.path());
    let open = |pid: u32| {
        let fds = fs::read_dir(format!("/proc/{pid}/fd")).ok()?;
        let mut targets = fds.filter_map(|fd| fs::read_link(fd.ok()?.path()).ok());
        targets.find(|t| t.starts_with(there)).map(|_| pid)
    };
    let found = wait_for("the file or the end", || {
        let ended = run.try_wait().unwrap().is_some();
        let open = child_of(run.id()).and_then(open);
        (ended || open.is_some()).then_some(open)
    });
    // On an overlay there is no file to be left.
    let Some(measuring) = found else { return };
    signal(measuring, "-KILL");
    signal(run.id(), "-KILL");
    run.wait().unwrap();
    wait_for("the child to end", || {
        let status = fs::read_to_string(format!("/proc/{measuring}/stat")).ok();
        status.is_none_or(|s| s.contains(") Z ")).then_some(())
    });
    assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 0);
}

#[test]
fn doctor_says_which_disk_and_what_a_peer_would_add() {
    let _turn = beside_others();
    let scratch = on_disk();
    let output =
        Command::new(program()).arg("doctor").current_dir(scratch.path()).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("--peer HOST:PORT") && text.contains("storage"), "{text}");
    assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 0);
}
