//! What is detected in the files of machines that are not at hand.

use super::{Collection, Entry, Fact, Files, Machine};
use crate::fixture::tree;

const ALL: [&str; 7] = ["cpuset", "gb10", "grace-hopper", "i7-1370p", "kunpeng", "lxcfs", "pi5"];

fn machine(name: &str) -> Machine {
    Machine::described_by(&Files::collected(tree(name)))
}

fn row(machine: &Machine, label: &str) -> String {
    let row = machine.rows().into_iter().find(|row| row.label == label);
    row.unwrap_or_else(|| panic!("no row {label}")).value
}

#[test]
fn the_architecture_is_that_of_the_files() {
    for (name, architecture) in [
        ("gb10", "aarch64"),
        ("kunpeng", "aarch64"),
        ("pi5", "aarch64"),
        ("i7-1370p", "x86_64"),
        ("cpuset", ""),
    ] {
        assert_eq!(machine(name).cpu.architecture, architecture, "{name}");
    }
    assert!(machine("cpuset").title().starts_with("unknown processor"));
}

#[test]
fn an_x86_processor_is_known_from_what_its_kernel_repeats_of_cpuid() {
    let machine = machine("i7-1370p");
    assert!(machine.title().contains("Intel Core i7-1370P"), "{}", machine.title());
    assert_eq!(machine.cpu.family, Fact::Known(6));
    assert_eq!(machine.cpu.model, Fact::Known(186));
    assert_eq!(machine.cpu.invariant_tsc, Fact::Known(true));
    assert_eq!(machine.claimed_tsc_hz(), Some(2_188_800_000));
    assert_eq!(machine.host.hypervisor, Fact::Known("none".into()));
    assert!(machine.has_feature("avx2") && !machine.has_feature("avx512f"));
    assert_eq!(machine.allowed_cpus().len(), 20);
}

#[test]
fn what_only_the_machine_itself_answers_is_not_known() {
    // On x86 there are no claims of caches without sysfs: CPUID is that of another machine.
    let caches = machine("lxcfs").caches;
    assert!(caches.reason().is_some_and(|r| r.contains("not known from files")), "{caches:?}");
    let brand = machine("gb10").cpu.brand;
    assert!(brand.reason().is_some_and(|r| r.contains("not known from files")), "{brand:?}");
}

#[test]
fn lists_that_end_in_a_zero_byte_are_lists() {
    let machine = machine("kunpeng");
    assert_eq!(machine.numa_nodes().len(), 4);
    assert!(machine.numa_nodes().iter().all(|node| !node.is_memory_only()));
    let row = row(&machine, "NUMA");
    assert!(row.starts_with("4 nodes") && !row.contains("without CPUs"), "{row}");
}

#[test]
fn a_kernel_of_larger_pages() {
    let machine = machine("pi5");
    assert_eq!(machine.memory.page_bytes, Fact::Known(16 << 10));
    assert_eq!(machine.host.product, Fact::Known("Raspberry Pi 5 Model B Rev 1.0".into()));
    assert_eq!(machine.claimed_tsc_hz(), Some(54_000_000));
}

#[test]
fn no_more_than_the_cpusets_node_has_left() {
    let machine = machine("cpuset");
    assert_eq!(machine.memory_limit_source(), "the cpuset's node 0");
    assert_eq!(machine.buffer_limit(), 512 << 20);
    let row = row(&machine, "Limits");
    assert!(row.contains("512 MiB (the cpuset's node 0)"), "{row}");
    // The parent's limit is among the bounds, though it is not the tightest.
    let bounds: Vec<&str> = machine.limits.memory.iter().map(|b| b.source.as_str()).collect();
    assert_eq!(bounds[1..], ["cgroup memory.max /system.slice", "MemAvailable"]);
}

#[test]
fn the_cpusets_nodes_are_those_of_its_group_where_the_process_does_not_say() {
    let mut files = tree("cpuset");
    files.put("/proc/self/status", Entry::File(b"Cpus_allowed_list:\t0-3\n".to_vec()));
    let machine = Machine::described_by(&Files::collected(files));
    assert_eq!(machine.limits.memory_nodes, Fact::Known(vec![0]));
    assert_eq!(machine.buffer_limit(), 512 << 20);
}

#[test]
fn a_memory_policy_narrows_what_may_be_used_further() {
    let mut machine = machine("kunpeng");
    machine.bind_memory(&[1, 2]);
    assert_eq!(machine.memory_limit_source(), "the memory policy's nodes 1-2");
    assert_eq!(machine.buffer_limit(), 2 * 30_100_000 * 1024 / 2);
    assert_eq!(machine.limits.memory_nodes, Fact::Known(vec![1, 2]));
}

#[test]
fn memory_of_a_device_is_not_counted() {
    let machine = machine("grace-hopper");
    assert_eq!(machine.memory_limit_source(), "memory node 0 (not counting nodes without CPUs)");
    assert_eq!(machine.buffer_limit(), (471_859_200 + 2_097_152) * 1024 / 2);
}

#[test]
fn where_all_nodes_count_memavailable_knows_best() {
    for name in ["gb10", "i7-1370p", "kunpeng"] {
        assert_eq!(machine(name).memory_limit_source(), "MemAvailable", "{name}");
    }
    let mut files = tree("kunpeng");
    files.put("/proc/meminfo", Entry::Denied);
    let machine = Machine::described_by(&Files::collected(files));
    assert_eq!(machine.memory_limit_source(), "memory nodes 0-3");
    assert_eq!(machine.buffer_limit(), 4 * 30_100_000 * 1024 / 2);
    let reason = machine.memory.total_bytes.reason();
    assert_eq!(reason, Some("/proc/meminfo may not be read (permission denied)"));
}

#[test]
fn a_container_with_renumbered_cpus_has_its_parents_limit() {
    let machine = machine("lxcfs");
    assert_eq!(machine.memory_limit_source(), "MemAvailable");
    assert_eq!(machine.limits.memory[1].source, "cgroup memory.max /");
}

/// What is read of a machine's files is what makes it: nothing else is needed to describe it again,
/// neither in memory nor in a folder.
#[test]
fn what_was_read_describes_the_same_machine() {
    for name in ALL {
        let mut files = tree(name);
        files.put("/proc/not-read", Entry::File(b"secret".to_vec()));
        let files = Files::collected(files).remembering();
        let first = Machine::described_by(&files);
        let read = files.into_read();
        assert!(read.get("/proc/not-read").is_none(), "{name}");
        let folder = super::tree::Tree::of(&read);
        assert_eq!(Machine::described_by(&folder.files()), first, "{name}");
        assert_eq!(Machine::described_by(&Files::collected(read)), first, "{name}");
    }
}

#[test]
fn of_what_is_mounted_only_control_groups_are_read() {
    let files = Files::collected(tree("cpuset")).remembering();
    Machine::described_by(&files);
    let Some(Entry::File(mounts)) = files.into_read().get("/proc/self/mountinfo").cloned() else {
        panic!("not read");
    };
    let mounts = String::from_utf8(mounts).unwrap();
    assert!(mounts.contains("cgroup2") && !mounts.contains("alice"), "{mounts}");
}

#[test]
fn what_is_hidden_in_a_report_is_no_fact_of_the_machine() {
    for name in ALL {
        let mut files = tree(name);
        let first = machine(name);
        let told = files.anonymise(true);
        assert_eq!(told.len(), usize::from(name == "pi5"), "{name}: {told:?}");
        assert_eq!(Machine::described_by(&Files::collected(files)), first, "{name}");
    }
}

#[test]
fn a_link_out_of_a_tree_is_not_followed() {
    let outside = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(outside.path(), "6.18.44\n").unwrap();
    let folder = super::tree::Tree::new().file("/proc/sys/kernel/version", "x");
    let link = folder.path().join("proc/sys/kernel/osrelease");
    std::os::unix::fs::symlink(outside.path(), link).unwrap();
    let release = Machine::described_by(&folder.files()).kernel.release;
    assert!(release.reason().is_some_and(|r| r.contains("leads out of the tree")), "{release:?}");
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]

    /// Damaged files are survived, whatever they say.
    #[test]
    fn damaged_files_do_no_harm(which in 0..ALL.len(), at in 0..200_usize, with in ".{0,12}") {
        let mut files = tree(ALL[which]);
        let paths: Vec<String> = files.entries().map(|(path, _)| path.to_owned()).collect();
        let path = &paths[at % paths.len()];
        files.put(path, Entry::File(with.into_bytes()));
        let machine = Machine::described_by(&Files::collected(files));
        assert!(machine.rows().iter().all(|row| !row.label.is_empty()));
    }
}

/// Only what is in the tree: none of the files of the machine that runs the test.
#[test]
fn an_empty_tree_tells_nothing() {
    let machine = Machine::described_by(&Files::collected(Collection::default()));
    assert_eq!(machine.cpu.architecture, "");
    assert!(machine.rows().iter().all(|row| !row.known || row.label == "Limits"));
}
