//! Control groups, version 1 and 2: which folders govern this process, and what they allow.
//!
//! A limit anywhere between the process and the root holds, so every question is put to the
//! whole chain of folders, the process's own first.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::files::{Files, Found, parse_list};
use super::limits::MemoryBound;
use super::mounts::{Mount, mounts};

/// Share of CPU time that a control group grants.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CpuQuota {
    /// So many CPUs' worth of time; 0.5 is half a CPU.
    pub cpus: f64,
    /// "cgroup cpu.max /foo".
    pub source: String,
}

/// How often and how long a quota kept the processes of its control groups from running.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Throttled {
    /// How often.
    pub times: u64,
    /// For how many seconds, of all CPUs together.
    pub seconds: f64,
}

impl Throttled {
    /// By the groups that this process is in now, since they were made; never where there is no quota
    /// or the kernel does not tell.
    pub fn so_far() -> Throttled {
        Cgroups::read(&Files::new(Path::new("/"))).throttled()
    }

    /// What has come to it since then.
    #[must_use]
    pub fn since(&self, then: &Throttled) -> Throttled {
        let seconds = (self.seconds - then.seconds).max(0.0);
        Throttled { times: self.times.saturating_sub(then.times), seconds }
    }

    /// Whether there was none of it.
    pub fn is_none(&self) -> bool {
        self.times == 0
    }

    /// Both together.
    #[must_use]
    pub fn and(&self, other: &Throttled) -> Throttled {
        let (times, seconds) = (self.times + other.times, self.seconds + other.seconds);
        Throttled { times, seconds }
    }

    /// "this group's own CPU quota of 0.5 CPUs (cgroup cpu.max /foo) stopped it 65 times", if it did.
    pub fn by(&self, quota: Option<&CpuQuota>) -> Option<String> {
        let of = quota.map_or_else(String::new, |quota| {
            let unit = if quota.cpus > 1.0 { "CPUs" } else { "CPU" };
            format!(" of {} {unit} ({})", quota.cpus, quota.source)
        });
        let times = if self.times == 1 { "once".into() } else { format!("{} times", self.times) };
        (self.times > 0).then(|| format!("this group's own CPU quota{of} stopped it {times}"))
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Version {
    V1,
    V2,
}

/// A mounted hierarchy.
struct Hierarchy {
    version: Version,
    /// Where it is mounted.
    point: String,
    /// Which of its folders is mounted there; a container often sees only its own.
    root: String,
    /// Controllers, version 1 only.
    controllers: Vec<String>,
}

/// The mounted hierarchies and where this process is in them.
pub(super) struct Cgroups<'a> {
    files: &'a Files,
    mounts: Vec<Hierarchy>,
    /// Lines of /proc/self/cgroup: controllers (none in version 2) and path.
    places: Vec<(Vec<String>, String)>,
}

/// One folder of the chain.
struct Group {
    version: Version,
    folder: String,
    /// Its name as the reader knows it: `/kubepods/pod1`.
    label: String,
}

impl<'a> Cgroups<'a> {
    pub(super) fn read(files: &'a Files) -> Self {
        let mounts = match files.lines("/proc/self/mountinfo", |line| line.contains(" - cgroup")) {
            Ok(text) => mounts(&text).filter_map(hierarchy).collect(),
            Err(_) => usual_mounts(files),
        };
        let text = files.text("/proc/self/cgroup").unwrap_or_default();
        Self { files, mounts, places: text.lines().filter_map(place).collect() }
    }

    /// The path of this process in the hierarchy that names it best, for hints of a container.
    pub(super) fn paths(&self) -> impl Iterator<Item = &str> {
        self.places.iter().map(|(_, path)| path.as_str())
    }

    /// The folders that rule `controller`, the process's own first.
    fn chain(&self, controller: &str) -> Found<Vec<Group>> {
        let named = |mount: &&Hierarchy| mount.controllers.iter().any(|name| name == controller);
        // On a system with both versions the controller is where version 1 claims it.
        let mount = self
            .mounts
            .iter()
            .find(named)
            .or_else(|| self.mounts.iter().find(|mount| mount.version == Version::V2))
            .ok_or_else(|| format!("no cgroup hierarchy with \"{controller}\" is mounted"))?;
        let place = self.places.iter().find(|(controllers, _)| match mount.version {
            Version::V1 => controllers.iter().any(|name| name == controller),
            Version::V2 => controllers.is_empty(),
        });
        let path = place.map_or("/", |(_, path)| path.as_str());
        Ok(mount.ancestry(path))
    }

    /// The first answer along the chain: for files that already take the ancestors into account.
    fn nearest<T>(
        &self,
        controller: &str,
        answer: impl Fn(&Group) -> Option<T>,
    ) -> Found<Option<T>> {
        Ok(self.chain(controller)?.iter().find_map(answer))
    }

    /// All answers along the chain.
    fn all<T>(&self, controller: &str, answer: impl Fn(&Group) -> Vec<T>) -> Found<Vec<T>> {
        Ok(self.chain(controller)?.iter().flat_map(answer).collect())
    }

    /// What every memory limit along the chain leaves.
    pub(super) fn memory(&self) -> Vec<MemoryBound> {
        self.all("memory", |group| match group.version {
            // Above memory.high the kernel slows the process down, which ruins a measurement
            // as surely as an end at memory.max.
            Version::V2 => ["memory.max", "memory.high"]
                .iter()
                .filter_map(|file| self.bound(group, file, "memory.current", "inactive_file"))
                .collect(),
            Version::V1 => self
                .bound(
                    group,
                    "memory.limit_in_bytes",
                    "memory.usage_in_bytes",
                    "total_inactive_file",
                )
                .into_iter()
                .collect(),
        })
        .unwrap_or_default()
    }

    fn bound(&self, group: &Group, limit: &str, usage: &str, cache: &str) -> Option<MemoryBound> {
        let limit_bytes = self.number(group, limit).filter(|&bytes| bytes < NO_LIMIT)?;
        let used = self.number(group, usage).unwrap_or(0);
        // Cold file cache counts as usage but makes room when asked to, as in MemAvailable.
        let cold = self.stat(group, cache).unwrap_or(0);
        Some(MemoryBound {
            source: format!("cgroup {limit} {}", group.label),
            limit_bytes,
            available_bytes: limit_bytes.saturating_sub(used.saturating_sub(cold)),
        })
    }

    /// The tightest quota along the chain; `None` where there is no quota.
    pub(super) fn cpu_quota(&self) -> Found<Option<CpuQuota>> {
        let quotas = self.all("cpu", |group| self.quota(group).into_iter().collect())?;
        Ok(quotas.into_iter().min_by(|a, b| a.cpus.total_cmp(&b.cpus)))
    }

    fn quota(&self, group: &Group) -> Option<CpuQuota> {
        let (file, quota, period) = match group.version {
            Version::V2 => {
                let text = self.text(group, "cpu.max")?;
                let (quota, period) = text.split_once(' ')?;
                ("cpu.max", quota.to_owned(), period.to_owned())
            }
            Version::V1 => {
                let quota = self.text(group, "cpu.cfs_quota_us")?;
                ("cpu.cfs_quota_us", quota, self.text(group, "cpu.cfs_period_us")?)
            }
        };
        // "max" and "-1" are no quota, and no positive number either.
        let quota = quota.parse::<f64>().ok().filter(|&q| q > 0.0)?;
        let period = period.trim().parse::<f64>().ok().filter(|&p| p > 0.0)?;
        let source = format!("cgroup {file} {}", group.label);
        Some(CpuQuota { cpus: quota / period, source })
    }

    /// What all quotas along the chain did.
    fn throttled(&self) -> Throttled {
        let of = |group: &Group| {
            let stat = self.quota(group).and_then(|_| self.text(group, "cpu.stat"))?;
            let number = |name: &str| entry(&stat, name);
            let seconds = match group.version {
                Version::V2 => number("throttled_usec")? as f64 / 1e6,
                Version::V1 => number("throttled_time")? as f64 / 1e9,
            };
            Some(Throttled { times: number("nr_throttled")?, seconds })
        };
        let all = self.all("cpu", |group| of(group).into_iter().collect()).unwrap_or_default();
        all.iter().fold(Throttled::default(), |sum, one| sum.and(one))
    }

    /// The CPUs that the cpuset allows; `None` where there is no cpuset.
    pub(super) fn cpuset(&self) -> Found<Option<Vec<usize>>> {
        self.allowed("cpus")
    }

    /// The memory nodes that the cpuset allows; `None` where there is no cpuset.
    pub(super) fn memory_nodes(&self) -> Found<Option<Vec<usize>>> {
        self.allowed("mems")
    }

    fn allowed(&self, what: &str) -> Found<Option<Vec<usize>>> {
        self.nearest("cpuset", |group| {
            let effective = match group.version {
                Version::V2 => format!("cpuset.{what}.effective"),
                Version::V1 => format!("cpuset.effective_{what}"),
            };
            let own = format!("cpuset.{what}");
            [effective, own].iter().find_map(|file| {
                parse_list(&self.text(group, file)?).filter(|list| !list.is_empty())
            })
        })
    }

    fn text(&self, group: &Group, file: &str) -> Option<String> {
        self.files.text(&format!("{}/{file}", group.folder)).ok()
    }

    fn number(&self, group: &Group, file: &str) -> Option<u64> {
        self.text(group, file)?.parse().ok()
    }

    fn stat(&self, group: &Group, name: &str) -> Option<u64> {
        entry(&self.text(group, "memory.stat")?, name)
    }
}

/// A number of a file that has a name and a number a line.
fn entry(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
}

/// Version 1 writes "no limit" as the largest multiple of the page size.
const NO_LIMIT: u64 = 1 << 62;

impl Hierarchy {
    /// The folder of `path` and those above it, as far as they are mounted.
    fn ancestry(&self, path: &str) -> Vec<Group> {
        let inside = self.inside(path);
        let mut ends: Vec<usize> = inside.match_indices('/').map(|(at, _)| at).collect();
        ends.push(inside.len());
        ends.dedup();
        ends.iter()
            .rev()
            .map(|&end| {
                let label = format!("{}{}", self.root.trim_end_matches('/'), &inside[..end]);
                Group {
                    version: self.version,
                    folder: format!("{}{}", self.point, &inside[..end]),
                    label: if label.is_empty() { "/".into() } else { label },
                }
            })
            .collect()
    }

    /// The part of `path` below what is mounted: "" or "/a/b". A path outside it, as a process
    /// in another namespace sees, leaves the mounted folder itself.
    fn inside<'p>(&self, path: &'p str) -> &'p str {
        let root = self.root.trim_end_matches('/');
        match path.strip_prefix(root) {
            Some(rest) if rest.starts_with('/') && !rest.starts_with("/..") => {
                rest.trim_end_matches('/')
            }
            _ => "",
        }
    }
}

/// The hierarchy that a mount is, if it is one.
fn hierarchy(mount: Mount) -> Option<Hierarchy> {
    let (version, controllers) = match mount.kind.as_str() {
        "cgroup" => (Version::V1, mount.options.split(',').map(str::to_owned).collect()),
        "cgroup2" => (Version::V2, Vec::new()),
        _ => return None,
    };
    Some(Hierarchy { version, point: mount.point, root: mount.root, controllers })
}

/// A line of /proc/self/cgroup: `4:memory:/foo`, or `0::/foo` for version 2.
fn place(line: &str) -> Option<(Vec<String>, String)> {
    let mut parts = line.splitn(3, ':').skip(1);
    let (controllers, path) = (parts.next()?, parts.next()?);
    let controllers = controllers.split(',').filter(|name| !name.is_empty());
    Some((controllers.map(str::to_owned).collect(), path.to_owned()))
}

/// Where the hierarchies are by custom, for when /proc does not say.
fn usual_mounts(files: &Files) -> Vec<Hierarchy> {
    let top = "/sys/fs/cgroup";
    if files.exists(&format!("{top}/cgroup.controllers")) {
        let root = "/".to_owned();
        let point = top.to_owned();
        return vec![Hierarchy { version: Version::V2, point, root, controllers: Vec::new() }];
    }
    ["memory", "cpu", "cpuset"]
        .iter()
        .map(|name| (format!("{top}/{name}"), vec![(*name).to_owned()]))
        .filter(|(point, _)| files.exists(point))
        .map(|(point, controllers)| Hierarchy {
            version: Version::V1,
            point,
            root: "/".into(),
            controllers,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::tree::Tree;
    use super::*;

    const V2: &str = "31 23 0:28 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate\n";
    const V1: &str = "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
                      32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n\
                      34 31 0:31 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n\
                      41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";

    fn tree(mounts: &str, places: &str) -> Tree {
        Tree::new().file("/proc/self/mountinfo", mounts).file("/proc/self/cgroup", places)
    }

    fn sources(bounds: &[MemoryBound]) -> Vec<(&str, u64)> {
        bounds.iter().map(|b| (b.source.as_str(), b.available_bytes)).collect()
    }

    #[test]
    fn the_quotas_of_the_chain_say_how_often_they_stopped_it() {
        let two = tree(V2, "0::/pod/app\n")
            .file("/sys/fs/cgroup/pod/app/cpu.max", "50000 100000\n")
            .file("/sys/fs/cgroup/pod/app/cpu.stat", "nr_throttled 65\nthrottled_usec 3500000\n")
            .file("/sys/fs/cgroup/pod/cpu.max", "max 100000\n")
            .file("/sys/fs/cgroup/pod/cpu.stat", "nr_throttled 9\nthrottled_usec 9\n");
        let one = tree(V1, "3:cpu,cpuacct:/app\n")
            .file("/sys/fs/cgroup/cpu/app/cpu.cfs_quota_us", "50000\n")
            .file("/sys/fs/cgroup/cpu/app/cpu.cfs_period_us", "100000\n")
            .file(
                "/sys/fs/cgroup/cpu/app/cpu.stat",
                "nr_throttled 65\nthrottled_time 3500000000\n",
            );
        for tree in [two, one] {
            let files = tree.files();
            let groups = Cgroups::read(&files);
            let throttled = groups.throttled();
            assert_eq!(throttled, Throttled { times: 65, seconds: 3.5 });
            let text = throttled.by(groups.cpu_quota().unwrap().as_ref()).unwrap();
            assert!(
                text.starts_with("this group's own CPU quota of 0.5 CPU (cgroup cpu."),
                "{text}"
            );
            assert!(text.ends_with("/app) stopped it 65 times"), "{text}");
            assert_eq!(throttled.since(&throttled).by(None), None);
        }
    }

    #[test]
    fn a_limit_of_version_2() {
        let tree = tree(V2, "0::/app\n")
            .file("/sys/fs/cgroup/app/memory.max", "209715200\n")
            .file("/sys/fs/cgroup/app/memory.high", "max\n")
            .file("/sys/fs/cgroup/app/memory.current", "60000000\n")
            .file("/sys/fs/cgroup/app/memory.stat", "anon 1\ninactive_file 10000000\n");
        let files = tree.files();
        let bounds = Cgroups::read(&files).memory();
        assert_eq!(sources(&bounds), [("cgroup memory.max /app", 159_715_200)]);
        assert_eq!(bounds[0].limit_bytes, 209_715_200);
    }

    #[test]
    fn a_parent_of_version_2_with_the_tighter_limit() {
        let tree = tree(V2, "0::/pod/app\n")
            .file("/sys/fs/cgroup/pod/app/memory.max", "400\n")
            .file("/sys/fs/cgroup/pod/app/memory.current", "100\n")
            .file("/sys/fs/cgroup/pod/memory.max", "500\n")
            .file("/sys/fs/cgroup/pod/memory.current", "350\n")
            .file("/sys/fs/cgroup/pod/memory.high", "450\n")
            .file("/sys/fs/cgroup/pod/cpu.max", "50000 100000\n")
            .file("/sys/fs/cgroup/pod/app/cpu.max", "200000 100000\n");
        let files = tree.files();
        let groups = Cgroups::read(&files);
        assert_eq!(
            sources(&groups.memory()),
            [
                ("cgroup memory.max /pod/app", 300),
                ("cgroup memory.max /pod", 150),
                ("cgroup memory.high /pod", 100)
            ]
        );
        let quota = CpuQuota { cpus: 0.5, source: "cgroup cpu.max /pod".into() };
        assert_eq!(groups.cpu_quota(), Ok(Some(quota)));
    }

    #[test]
    fn no_quota_in_either_version() {
        let two = tree(V2, "0::/app\n").file("/sys/fs/cgroup/app/cpu.max", "max 100000\n");
        assert_eq!(Cgroups::read(&two.files()).cpu_quota(), Ok(None));
        let one = tree(V1, "1:cpu,cpuacct:/app\n")
            .file("/sys/fs/cgroup/cpu/app/cpu.cfs_quota_us", "-1\n")
            .file("/sys/fs/cgroup/cpu/app/cpu.cfs_period_us", "100000\n");
        assert_eq!(Cgroups::read(&one.files()).cpu_quota(), Ok(None));
    }

    #[test]
    fn version_1_beside_an_empty_version_2() {
        let tree = tree(V1, "4:memory:/a\n3:cpuset:/b\n1:cpu,cpuacct:/c\n0::/\n")
            .file("/sys/fs/cgroup/memory/a/memory.limit_in_bytes", "1000\n")
            .file("/sys/fs/cgroup/memory/a/memory.usage_in_bytes", "400\n")
            .file("/sys/fs/cgroup/memory/a/memory.stat", "total_inactive_file 100\n")
            .file("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n")
            .file("/sys/fs/cgroup/cpuset/b/cpuset.cpus", "\n")
            .file("/sys/fs/cgroup/cpuset/cpuset.cpus", "2-3\n")
            .file("/sys/fs/cgroup/cpu/c/cpu.cfs_quota_us", "150000\n")
            .file("/sys/fs/cgroup/cpu/c/cpu.cfs_period_us", "100000\n");
        let files = tree.files();
        let groups = Cgroups::read(&files);
        assert_eq!(sources(&groups.memory()), [("cgroup memory.limit_in_bytes /a", 700)]);
        assert_eq!(groups.cpuset(), Ok(Some(vec![2, 3])));
        let quota = CpuQuota { cpus: 1.5, source: "cgroup cpu.cfs_quota_us /c".into() };
        assert_eq!(groups.cpu_quota(), Ok(Some(quota)));
    }

    #[test]
    fn a_container_sees_only_its_own_folder() {
        let mounts = "35 31 0:32 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n";
        let tree = tree(mounts, "4:memory:/docker/abc\n")
            .file("/sys/fs/cgroup/memory/memory.limit_in_bytes", "1000\n");
        let files = tree.files();
        let bounds = Cgroups::read(&files).memory();
        let expected = ("cgroup memory.limit_in_bytes /docker/abc", 1000);
        assert_eq!(sources(&bounds), [expected]);
    }

    #[test]
    fn a_process_outside_what_is_mounted() {
        let mount = |root: &str| Hierarchy {
            version: Version::V2,
            point: "/m".into(),
            root: root.into(),
            controllers: vec![],
        };
        let folders = |root: &str, path: &str| -> Vec<String> {
            mount(root).ancestry(path).into_iter().map(|group| group.folder).collect()
        };
        assert_eq!(folders("/", "/a/b"), ["/m/a/b", "/m/a", "/m"]);
        assert_eq!(folders("/", "/"), ["/m"]);
        assert_eq!(folders("/", "/../x"), ["/m"]);
        assert_eq!(folders("/a", "/ab"), ["/m"]);
        assert_eq!(folders("/a", "/a/b"), ["/m/b", "/m"]);
    }

    #[test]
    fn the_usual_places_when_proc_does_not_say() {
        let two = Tree::new()
            .file("/sys/fs/cgroup/cgroup.controllers", "memory cpu\n")
            .file("/sys/fs/cgroup/memory.max", "1000\n")
            .file("/sys/fs/cgroup/cpuset.cpus.effective", "1\n");
        let files = two.files();
        let groups = Cgroups::read(&files);
        assert_eq!(sources(&groups.memory()), [("cgroup memory.max /", 1000)]);
        assert_eq!(groups.cpuset(), Ok(Some(vec![1])));
        let one = Tree::new().file("/sys/fs/cgroup/memory/memory.limit_in_bytes", "77");
        let files = one.files();
        let expected = [("cgroup memory.limit_in_bytes /", 77)];
        assert_eq!(sources(&Cgroups::read(&files).memory()), expected);
    }

    #[test]
    fn no_cgroups() {
        let tree = Tree::new();
        let files = tree.files();
        let groups = Cgroups::read(&files);
        assert_eq!(groups.memory(), []);
        assert!(groups.cpu_quota().is_err_and(|e| e.contains("\"cpu\" is mounted")));
    }

    #[test]
    fn a_mount_point_with_a_space() {
        let mounts = "1 1 0:1 / /my\\040groups rw - cgroup2 none rw\n";
        let tree = tree(mounts, "0::/\n").file("/my groups/memory.max", "5");
        let files = tree.files();
        assert_eq!(sources(&Cgroups::read(&files).memory()), [("cgroup memory.max /", 5)]);
    }
}
