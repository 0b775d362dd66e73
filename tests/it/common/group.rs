//! Control groups of the tests' own.

use std::fs;
use std::path::{Path, PathBuf};

/// A control group; it goes when it is dropped.
pub(crate) struct Group(PathBuf);

impl Group {
    /// In the hierarchy of that controller, with the first of these settings that its version knows;
    /// `None` where groups cannot be made.
    pub(crate) fn with(controller: &str, settings: &[(&str, &str)]) -> Option<Group> {
        let value = settings.first()?.1;
        let name = format!("probecard-test-{}-{controller}-{value}", std::process::id());
        let (second, first) = (Path::new("/sys/fs/cgroup"), format!("/sys/fs/cgroup/{controller}"));
        let own = fs::read_to_string("/proc/self/cgroup").ok()?;
        let named = format!(":{controller}:");
        let in_v1 = own.lines().find_map(|line| line.split_once(&named).map(|l| l.1));
        let in_v2 = own.lines().find_map(|line| line.strip_prefix("0::"));
        let first = Path::new(&first);
        let (root, place) = if first.is_dir() { (first, in_v1?) } else { (second, in_v2?) };
        let group = Group(root.join(place.trim_start_matches('/')).join(name));
        fs::create_dir(&group.0).ok()?;
        let set = |(file, value): &(&str, &str)| fs::write(group.0.join(file), value).is_ok();
        settings.iter().any(set).then_some(group)
    }

    /// What the shell does to run a command in it.
    pub(crate) fn enter(&self) -> String {
        format!("echo $$ > {}/cgroup.procs && exec \"$@\"", self.0.display())
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}
