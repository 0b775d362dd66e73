//! The processes of a run, and signals to them.

use std::fs;
use std::process::Command;

/// Sends the signal of that name, such as `-KILL`.
pub(crate) fn signal(pid: u32, name: &str) {
    assert!(Command::new("kill").arg(name).arg(pid.to_string()).status().unwrap().success());
}

/// The measuring child of a run.
pub(crate) fn child_of(pid: u32) -> Option<u32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    children.split_ascii_whitespace().next()?.parse().ok()
}
