//! Other users, whom only root can become.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::program;

/// Whether this is root, by whose /proc/self is.
pub(crate) fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

/// A directory in which every user may write.
pub(crate) fn directory_for_everyone() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
    dir
}

/// A copy of the program in such a directory: not every user may reach the place where it was built.
pub(crate) fn program_in(dir: &Path) -> PathBuf {
    let copy = dir.join("probecard");
    if !copy.exists() {
        fs::copy(program(), &copy).unwrap();
    }
    copy
}
