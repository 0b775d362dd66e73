//! The doctor of other machines, by their files, and of this one where files are hidden or say
//! something else.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use card::fixture::tree;
use card::machine::{Entry, Machine};
use serde_json::Value;

use crate::common::program;
use crate::common::turn::beside_others;
use crate::common::user::{directory_for_everyone, is_root, program_in};

fn printed(output: Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn doctor(args: &[&str]) -> String {
    printed(Command::new(program()).arg("doctor").args(args).output().unwrap())
}

/// What `doctor --root` says in JSON of the machine there.
fn described(root: &Path) -> Value {
    serde_json::from_str(&doctor(&["--json", "--root", root.to_str().unwrap()])).unwrap()
}

/// The files of a tree below a folder.
fn lay_out(name: &str, folder: &Path) {
    for (path, entry) in tree(name).entries() {
        let Entry::File(bytes) = entry else { continue };
        let path = folder.join(path.trim_start_matches('/'));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}

#[test]
fn of_another_machine_nothing_is_said_of_this_one() {
    let _turn = beside_others();
    let dir = tempfile::tempdir().unwrap();
    lay_out("gb10", dir.path());
    let text = doctor(&["--root", dir.path().to_str().unwrap()]);
    for said in ["Linux 6.11.0-1016-nvidia", "20 CPUs", "not known from files", "MemAvailable"] {
        assert!(text.contains(said), "{said}: {text}");
    }
    let here = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    assert!(!text.contains(here.trim()), "{text}");
    let said = described(dir.path());
    let machine: Machine = serde_json::from_value(said["machine"].clone()).unwrap();
    assert_eq!(machine.cpu.architecture, "aarch64");
    assert_eq!(machine.host.hypervisor.known(), None);
    assert!(said.get("counters").is_none(), "nothing was tried");
    assert_eq!(said["checks"].as_array().map(Vec::len), Some(1), "{said}");
}

#[test]
fn what_is_no_tree_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let output =
        Command::new(program()).args(["doctor", "--root"]).arg(dir.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(error.contains("neither proc nor sys"), "{error}");
}

/// What moves between two looks at a machine.
fn settled(mut said: Value) -> Value {
    let machine = &mut said["machine"];
    machine["memory"]["available_bytes"] = Value::Null;
    machine["limits"]["memory"] = Value::Null;
    for node in machine["topology"]["numa_nodes"].as_array_mut().into_iter().flatten() {
        node["available_bytes"] = Value::Null;
    }
    // Which machine it is, is nobody else's business.
    machine["host"]["identity"] = Value::Null;
    said["checks"] = Value::Null;
    said
}

#[test]
fn what_is_gathered_here_tells_the_same_of_this_machine_elsewhere() {
    let _turn = beside_others();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("m.tar.zst");
    let text = doctor(&["--gather", file.to_str().unwrap(), "--with-host-name"]);
    assert!(text.contains("files") && text.contains("left out: "), "{text}");
    let packed = described(&file);
    assert_eq!(settled(packed.clone()), settled(described(Path::new("/"))));
    // An ordinary tar unpacks it to the same.
    let unpacked = dir.path().join("unpacked");
    fs::create_dir(&unpacked).unwrap();
    let zstd = fs::read(&file).unwrap();
    let tar = dir.path().join("m.tar");
    fs::write(&tar, zstd::decode_all(&zstd[..]).unwrap()).unwrap();
    let tar = Command::new("tar").arg("-xf").arg(&tar).arg("-C").arg(&unpacked).output().unwrap();
    assert!(tar.status.success() && tar.stderr.is_empty(), "{tar:?}");
    assert_eq!(described(&unpacked), packed);
    // What is there is not overwritten.
    let again = Command::new(program()).args(["doctor", "--gather"]).arg(&file).output().unwrap();
    assert_eq!(again.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&again.stderr).contains("another name"), "{again:?}");
    assert_eq!(fs::read(&file).unwrap(), zstd);
}

#[test]
fn the_name_of_the_host_and_what_was_not_read_are_not_gathered() {
    let _turn = beside_others();
    let dir = tempfile::tempdir().unwrap();
    let gather = |name: &str, more: &[&str]| {
        let file = dir.path().join(name);
        let file = file.to_str().unwrap().to_owned();
        let script = "hostname probecard-web7 && exec \"$0\" doctor --gather \"$@\"";
        let mut command = Command::new("unshare");
        command.args(["--uts", "sh", "-c", script]).arg(program()).arg(&file).args(more);
        let output = command.output().unwrap();
        output
            .status
            .success()
            .then(|| (printed(output), zstd::decode_all(&fs::read(&file).unwrap()[..]).unwrap()))
    };
    // Only root may call a machine something else.
    let Some((text, hidden)) = gather("hidden.tar.zst", &[]) else { return };
    let has = |bytes: &[u8], what: &str| bytes.windows(what.len()).any(|at| at == what.as_bytes());
    assert!(text.contains("left out: the host name"), "{text}");
    assert!(!has(&hidden, "probecard-web7"));
    assert!(has(&hidden, "proc/self/status") && !has(&hidden, "proc/cmdline"));
    let (_, named) = gather("named.tar.zst", &["--with-host-name"]).unwrap();
    assert!(has(&named, "probecard-web7"));
}

/// The doctor's machine in a mount namespace of its own, in which `prepare` has put something else in
/// the place of files, run by `user`; `None` where that is not permitted.
fn within_mounts(prepare: &str, user: &str) -> Option<Machine> {
    if !is_root() {
        return None;
    }
    let dir = directory_for_everyone();
    let script = format!(
        "set -e; cd {}; {{ {prepare}; }} >&2 || exit 77; exec {user} {} doctor --json",
        dir.path().display(),
        program_in(dir.path()).display()
    );
    let output = Command::new("unshare").args(["--mount", "sh", "-c", &script]).output().unwrap();
    if output.status.code() == Some(77) {
        return None;
    }
    let said: Value = serde_json::from_str(&printed(output)).unwrap();
    Some(serde_json::from_value(said["machine"].clone()).unwrap())
}

#[test]
fn where_proc_shows_processes_alone_calls_tell_of_the_machine() {
    let _turn = beside_others();
    let hidden = within_mounts("mount -t proc -o subset=pid proc /proc", "");
    let Some(machine) = hidden else { return };
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    assert_eq!(machine.host.name.known().map(String::as_str), Some(host.trim()));
    assert!(machine.kernel.release.known().is_some());
    let (total, available) = (&machine.memory.total_bytes, &machine.memory.available_bytes);
    assert!(total.known() > Some(&0) && available.known() > Some(&0), "{:?}", machine.memory);
    assert!(!machine.limits.memory.is_empty(), "no bound of memory");
    assert!(machine.buffer_limit() > 64 << 20, "{:?}", machine.limits.memory);
    assert!(!machine.allowed_cpus().is_empty());
}

#[test]
fn a_cpuset_with_one_of_two_nodes_bounds_buffers_by_what_that_one_has() {
    let _turn = beside_others();
    let node = |id: usize, cpus: &str, free: usize| {
        format!(
            "mkdir n/node{id}; echo {cpus} > n/node{id}/cpulist; echo 10 21 > n/node{id}/distance; \
             printf 'Node {id} MemTotal: 8388608 kB\\nNode {id} MemFree: {free} kB\\n' > n/node{id}/meminfo; "
        )
    };
    // This process may use node 0 alone, as every process of a machine with one node.
    let prepare = format!(
        "mkdir n; {}{} mount --bind n /sys/devices/system/node",
        node(0, "0-63", 65536),
        node(1, "64-127", 8_000_000)
    );
    let Some(machine) = within_mounts(&prepare, "") else { return };
    if machine.limits.memory_nodes.known() == Some(&vec![0]) {
        assert_eq!(machine.memory_limit_source(), "the cpuset's node 0");
        assert_eq!(machine.buffer_limit(), 32 << 20);
    }
}

#[test]
fn where_nothing_is_promised_twice_the_commit_limit_bounds_buffers() {
    let _turn = beside_others();
    let prepare = "echo 2 > two; sed 's/^CommitLimit.*/CommitLimit: 200000 kB/; \
                   s/^Committed_AS.*/Committed_AS: 100000 kB/' /proc/meminfo > info; \
                   mount --bind two /proc/sys/vm/overcommit_memory; mount --bind info /proc/meminfo";
    let Some(machine) = within_mounts(prepare, "") else { return };
    assert_eq!(machine.memory_limit_source(), "CommitLimit (vm.overcommit_memory is 2)");
    assert_eq!(machine.buffer_limit(), 100_000 * 1024 / 2);
}

#[test]
fn without_sys_there_are_reasons_and_all_that_needs_none() {
    let _turn = beside_others();
    let nobody = "setpriv --reuid=65534 --regid=65534 --clear-groups";
    for (options, user, says) in [
        ("mode=700", nobody, "may not be read (permission denied)"),
        ("mode=755", "", "does not exist"),
    ] {
        let hide = format!("mount -t tmpfs -o {options} none /sys");
        let Some(machine) = within_mounts(&hide, user) else { return };
        let reason = machine.kernel.clock_source.reason();
        assert!(reason.is_some_and(|r| r.contains(says)), "{reason:?}");
        assert!(!machine.allowed_cpus().is_empty());
        assert!(machine.topology.online.known().is_some(), "from /proc/cpuinfo");
        assert!(machine.memory.available_bytes.known().is_some());
    }
}
