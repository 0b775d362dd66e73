//! Made-up machines for tests: a folder that stands for `/`.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use super::files::Files;
use super::{Collection, CpuidFacts, Entry, Fact, Machine};

/// A root folder that is filled file by file and deleted in the end.
pub(super) struct Tree {
    dir: TempDir,
}

impl Tree {
    pub(super) fn new() -> Self {
        Self { dir: TempDir::new().expect("a temporary folder") }
    }

    /// Adds a file with its folders.
    pub(super) fn file(self, path: &str, content: impl AsRef<[u8]>) -> Self {
        let full = self.dir.path().join(path.trim_start_matches('/'));
        fs::create_dir_all(full.parent().expect("a folder")).expect("folders");
        fs::write(full, content).expect("a file");
        self
    }

    /// A collection as a folder.
    pub(super) fn of(files: &Collection) -> Self {
        files.entries().fold(Self::new(), |tree, (path, entry)| match entry {
            Entry::File(bytes) => tree.file(path, bytes),
            Entry::Folder | Entry::Denied => {
                let folder = tree.dir.path().join(path.trim_start_matches('/'));
                fs::create_dir_all(folder).expect("a folder");
                tree
            }
        })
    }

    pub(super) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(super) fn files(&self) -> Files {
        Files::new(self.dir.path())
    }

    /// What is detected in this tree on a processor without CPUID.
    pub(super) fn machine(&self) -> Machine {
        Machine::detect_in(self.dir.path(), &Fact::unknown("no CPUID in this test"))
    }

    /// What is detected in this tree on that processor.
    pub(super) fn machine_with(&self, cpuid: CpuidFacts) -> Machine {
        Machine::detect_in(self.dir.path(), &Fact::Known(cpuid))
    }
}
