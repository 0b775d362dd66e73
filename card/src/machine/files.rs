//! Reading /proc, /sys and /etc: of the machine that runs this, of a folder that holds another
//! machine's, or of a [`Collection`]. Whatever cannot be read comes back as a reason that names the
//! path.

use std::cell::RefCell;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::collection::{Collection, Entry};

/// A value, or why there is none.
pub(super) type Found<T> = Result<T, String>;

/// The file systems of one machine.
#[derive(Debug)]
pub struct Files {
    source: Source,
    /// What was read so far, where that is asked for.
    read: Option<RefCell<Collection>>,
}

#[derive(Debug)]
enum Source {
    Below(PathBuf),
    Collected(Collection),
}

impl Files {
    /// Those below a folder. Paths given to the other functions are absolute and looked up below
    /// it; a link that leads out of it is not followed.
    pub fn new(root: &Path) -> Self {
        let root = root.canonicalize().unwrap_or_else(|_| root.to_owned());
        Self { source: Source::Below(root), read: None }
    }

    /// Those of a collection.
    pub fn collected(collection: Collection) -> Self {
        Self { source: Source::Collected(collection), read: None }
    }

    /// These files, remembering what is read of them.
    pub fn remembering(self) -> Self {
        Self { read: Some(RefCell::default()), ..self }
    }

    /// What was read of files that remember it.
    pub fn into_read(self) -> Collection {
        self.read.map(RefCell::into_inner).unwrap_or_default()
    }

    fn at(root: &Path, path: &str) -> io::Result<PathBuf> {
        let path = root.join(path.trim_start_matches('/'));
        if root != Path::new("/") && !path.canonicalize()?.starts_with(root) {
            return Err(io::Error::other("it leads out of the tree"));
        }
        Ok(path)
    }

    fn remember(&self, note: impl FnOnce(&mut Collection)) {
        if let Some(read) = &self.read {
            note(&mut read.borrow_mut());
        }
    }

    /// Whether the path is there.
    pub(super) fn exists(&self, path: &str) -> bool {
        let found = match &self.source {
            Source::Below(root) => Self::at(root, path)
                .and_then(fs::metadata)
                .ok()
                .map(|data| if data.is_dir() { Entry::Folder } else { Entry::File(Vec::new()) }),
            Source::Collected(collection) => collection
                .get(path)
                .cloned()
                .or_else(|| collection.names(path).map(|_| Entry::Folder)),
        };
        let exists = found.is_some();
        self.remember(|read| found.into_iter().for_each(|entry| read.note(path, entry)));
        exists
    }

    /// The path with every link followed, as seen from the root.
    pub(super) fn real(&self, path: &str) -> Found<String> {
        let Source::Below(root) = &self.source else {
            return Ok(path.to_owned()); // there are no links in a collection
        };
        let real = Self::at(root, path).and_then(fs::canonicalize);
        let real = real.map_err(|error| self.reason(path, &error))?;
        Ok(format!("/{}", real.strip_prefix(root).unwrap_or(&real).display()))
    }

    fn read(&self, path: &str) -> Found<Vec<u8>> {
        let read = match &self.source {
            Source::Below(root) => Self::at(root, path).and_then(fs::read),
            Source::Collected(collection) => match collection.get(path) {
                Some(Entry::File(bytes)) => Ok(bytes.clone()),
                Some(Entry::Denied) => Err(ErrorKind::PermissionDenied.into()),
                Some(Entry::Folder) => Err(ErrorKind::IsADirectory.into()),
                None => Err(ErrorKind::NotFound.into()),
            },
        };
        read.map_err(|error| self.reason(path, &error))
    }

    /// The raw content.
    pub(super) fn bytes(&self, path: &str) -> Found<Vec<u8>> {
        let bytes = self.read(path)?;
        self.remember(|read| read.put(path, Entry::File(bytes.clone())));
        Ok(bytes)
    }

    /// The content without what is around it: spaces, line ends, and the zeros that end texts of
    /// device trees and of some drivers.
    pub(super) fn text(&self, path: &str) -> Found<String> {
        Ok(text(&self.bytes(path)?))
    }

    /// The same of what is nobody else's business: it is not remembered.
    pub(super) fn secret(&self, path: &str) -> Found<String> {
        Ok(text(&self.read(path)?))
    }

    /// The lines of interest. No more of the file is remembered either.
    pub(super) fn lines(&self, path: &str, of_interest: impl Fn(&str) -> bool) -> Found<String> {
        let all = text(&self.read(path)?);
        let lines: String =
            all.lines().filter(|line| of_interest(line)).flat_map(|line| [line, "\n"]).collect();
        self.remember(|read| read.put(path, Entry::File(lines.clone().into_bytes())));
        Ok(lines)
    }

    /// A number on its own.
    pub(super) fn number<T: FromStr>(&self, path: &str) -> Found<T> {
        let text = self.text(path)?;
        text.parse().map_err(|_| format!("{path} holds {text:?}, which is no number"))
    }

    /// A list such as `0-3,8`.
    pub(super) fn list(&self, path: &str) -> Found<Vec<usize>> {
        let text = self.text(path)?;
        parse_list(&text).ok_or_else(|| format!("{path} holds {text:?}, which is no list"))
    }

    /// A list of CPUs that belong together with this one. A list without it is not of this CPU.
    pub(super) fn group(&self, path: &str, cpu: usize) -> Found<Vec<usize>> {
        let cpus = self.list(path)?;
        if !cpus.contains(&cpu) {
            let listed = format_list(&cpus);
            return Err(format!("{path} holds {listed:?}, which leaves out CPU {cpu} itself"));
        }
        Ok(cpus)
    }

    /// The choice in square brackets, as in `always [madvise] never`.
    pub(super) fn choice(&self, path: &str) -> Found<String> {
        let text = self.text(path)?;
        let inside = text.split_once('[').and_then(|(_, rest)| rest.split_once(']'));
        let (chosen, _) = inside.ok_or_else(|| format!("{path} holds {text:?}: no [choice]"))?;
        Ok(chosen.to_owned())
    }

    /// Names in a folder, sorted.
    pub(super) fn names(&self, path: &str) -> Found<Vec<String>> {
        self.names_like(path, |_| true)
    }

    /// Numbers `n` of the entries called `<prefix>n` in a folder, sorted.
    pub(super) fn numbered(&self, path: &str, prefix: &str) -> Found<Vec<usize>> {
        let number = |name: &str| name.strip_prefix(prefix)?.parse::<usize>().ok();
        let names = self.names_like(path, |name| number(name).is_some())?;
        let mut numbers: Vec<usize> = names.iter().filter_map(|name| number(name)).collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    fn names_like(&self, path: &str, wanted: impl Fn(&str) -> bool) -> Found<Vec<String>> {
        let listed = match &self.source {
            Source::Below(root) => Self::at(root, path).and_then(fs::read_dir).map(|entries| {
                entries.flatten().map(|e| e.file_name().to_string_lossy().into_owned()).collect()
            }),
            Source::Collected(collection) => match collection.get(path) {
                Some(Entry::Denied) => Err(ErrorKind::PermissionDenied.into()),
                _ => collection.names(path).ok_or_else(|| ErrorKind::NotFound.into()),
            },
        };
        let mut names: Vec<String> = listed.map_err(|error| self.reason(path, &error))?;
        names.retain(|name| wanted(name));
        names.sort();
        self.remember(|read| {
            read.note(path, Entry::Folder);
            names.iter().for_each(|name| read.note(&format!("{path}/{name}"), Entry::Folder));
        });
        Ok(names)
    }

    /// Why a path cannot be read. For a missing one, the folder nearest to the root that is
    /// missing tells more than the file itself.
    fn reason(&self, path: &str, error: &io::Error) -> String {
        match error.kind() {
            ErrorKind::NotFound => format!("{} does not exist", self.first_missing(path)),
            ErrorKind::PermissionDenied => {
                self.remember(|read| read.put(path, Entry::Denied));
                format!("{path} may not be read (permission denied)")
            }
            _ => format!("{path} cannot be read ({error})"),
        }
    }

    fn first_missing<'a>(&self, path: &'a str) -> &'a str {
        let ends = path.match_indices('/').map(|(at, _)| at).skip(1).chain([path.len()]);
        ends.map(|end| &path[..end]).find(|part| !self.exists(part)).unwrap_or(path)
    }
}

/// Bytes as text, as [`Files::text`] describes it.
fn text(bytes: &[u8]) -> String {
    let around = |c: char| c.is_whitespace() || c == '\0';
    String::from_utf8_lossy(bytes).trim_matches(around).to_owned()
}

/// No machine has more CPUs or nodes; a larger number is a damaged file, not a list to expand.
const LARGEST: usize = 1 << 20;

/// Reads `0-3,8`: sorted, each number once. Empty text is the empty list.
pub fn parse_list(text: &str) -> Option<Vec<usize>> {
    let mut numbers = Vec::new();
    for part in text.trim().split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (first.parse::<usize>().ok()?, last.parse::<usize>().ok()?);
        if first > last || last > LARGEST {
            return None;
        }
        numbers.extend(first..=last);
    }
    numbers.sort_unstable();
    numbers.dedup();
    Some(numbers)
}

/// Writes a sorted list as the kernel does: `0-3,8`.
pub fn format_list(numbers: &[usize]) -> String {
    let runs = numbers.chunk_by(|a, b| a + 1 == *b);
    let parts: Vec<String> = runs
        .map(|run| match run {
            [only] => only.to_string(),
            _ => format!("{}-{}", run[0], run[run.len() - 1]),
        })
        .collect();
    parts.join(",")
}

/// The value of `key` in text of lines `key: value`.
pub(super) fn field<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        (name.trim() == key).then(|| value.trim())
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::super::tree::Tree;
    use super::*;

    #[test]
    fn lists_as_the_kernel_writes_them() {
        assert_eq!(parse_list("0-3,8\n"), Some(vec![0, 1, 2, 3, 8]));
        assert_eq!(parse_list(""), Some(vec![]));
        assert_eq!(parse_list("5"), Some(vec![5]));
        assert_eq!(parse_list("3,1,1-2"), Some(vec![1, 2, 3]));
    }

    #[test]
    fn malformed_lists_are_refused() {
        for text in ["a", "1-", "-1", "3-1", "1--2", "0-18446744073709551615", "1 2", "0-99999999"]
        {
            assert_eq!(parse_list(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_list_survives_writing_and_reading(numbers in proptest::collection::btree_set(0usize..2048, 0..200)) {
            let sorted: Vec<usize> = numbers.iter().copied().collect();
            prop_assert_eq!(parse_list(&format_list(&sorted)), Some(sorted));
        }

        #[test]
        fn what_surrounds_a_list_does_not_matter(
            numbers in proptest::collection::btree_set(0usize..2048, 0..50),
            before in "[ \n]{0,3}",
            after in "[ \n\0]{0,3}",
        ) {
            let sorted: Vec<usize> = numbers.into_iter().collect();
            let tree = Tree::new().file("/list", before + &format_list(&sorted) + &after);
            prop_assert_eq!(tree.files().list("/list"), Ok(sorted));
        }

        #[test]
        fn a_group_has_the_cpu_that_it_is_of(
            numbers in proptest::collection::btree_set(0usize..16, 0..16),
            cpu in 0usize..16,
        ) {
            let sorted: Vec<usize> = numbers.into_iter().collect();
            let tree = Tree::new().file("/list", format_list(&sorted));
            let group = tree.files().group("/list", cpu);
            prop_assert_eq!(group.is_ok(), sorted.contains(&cpu));
            prop_assert!(group.is_err() || group == Ok(sorted));
        }

        #[test]
        fn ranges_in_any_order_give_their_union(ranges in proptest::collection::vec((0usize..500, 0usize..50), 0..20)) {
            let text: Vec<String> = ranges.iter().map(|(a, n)| format!("{a}-{}", a + n)).collect();
            let union: BTreeSet<usize> = ranges.iter().flat_map(|(a, n)| *a..=a + n).collect();
            prop_assert_eq!(parse_list(&text.join(",")), Some(union.into_iter().collect()));
        }

        #[test]
        fn no_text_makes_it_panic(text in ".*") {
            let _ = parse_list(&text);
        }

        #[test]
        fn no_list_like_text_makes_it_panic(text in "[0-9,\\- ]{0,40}") {
            if let Some(list) = parse_list(&text) {
                prop_assert!(list.is_sorted());
            }
        }
    }

    #[test]
    fn a_reason_names_the_first_missing_folder() {
        let tree = Tree::new().file("/sys/devices/system/cpu/online", "0");
        let files = tree.files();
        let reason = files.text("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor");
        assert_eq!(reason, Err("/sys/devices/system/cpu/cpu0 does not exist".into()));
        assert_eq!(files.text("/proc/meminfo"), Err("/proc does not exist".into()));
        assert!(files.number::<u64>("/sys/devices/system/cpu").is_err());
    }

    #[test]
    fn numbers_choices_and_folders() {
        let tree = Tree::new()
            .file("/a/number", "42\n")
            .file("/a/choice", "always [madvise] never\n")
            .file("/a/node10/x", "")
            .file("/a/node2/x", "");
        let files = tree.files();
        assert_eq!(files.number::<u64>("/a/number"), Ok(42));
        assert_eq!(files.choice("/a/choice"), Ok("madvise".into()));
        assert_eq!(files.numbered("/a", "node"), Ok(vec![2, 10]));
        assert!(files.number::<u64>("/a/choice").is_err_and(|e| e.contains("no number")));
        assert!(files.choice("/a/number").is_err_and(|e| e.contains("no [choice]")));
    }

    #[test]
    fn fields_of_colon_text() {
        assert_eq!(field("Name:\tcat\nSeccomp:\t2\n", "Seccomp"), Some("2"));
        assert_eq!(field("Seccomp_filters:\t2\n", "Seccomp"), None);
    }
}
