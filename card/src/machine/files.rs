//! Reading /proc, /sys and /etc below a root, so that tests can lay out any machine in a folder.
//! Whatever cannot be read comes back as a reason that names the path.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// A value, or why there is none.
pub(super) type Found<T> = Result<T, String>;

/// The file systems of one machine.
pub(super) struct Files {
    root: PathBuf,
}

impl Files {
    /// Paths given to the other functions are absolute and looked up below `root`.
    pub(super) fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    fn at(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// Whether the path is there.
    pub(super) fn exists(&self, path: &str) -> bool {
        self.at(path).exists()
    }

    /// The path with every link followed, as seen from `root`.
    pub(super) fn real(&self, path: &str) -> Found<String> {
        let real = self.at(path).canonicalize().map_err(|error| self.reason(path, &error))?;
        let root = self.root.canonicalize().map_err(|error| self.reason("/", &error))?;
        let below = real.strip_prefix(root).unwrap_or(&real);
        Ok(format!("/{}", below.display()))
    }

    /// The raw content.
    pub(super) fn bytes(&self, path: &str) -> Found<Vec<u8>> {
        fs::read(self.at(path)).map_err(|error| self.reason(path, &error))
    }

    /// The content without the spaces, line ends and zero bytes around it: some kernels count the
    /// end of their string among what they show.
    pub(super) fn text(&self, path: &str) -> Found<String> {
        let bytes = self.bytes(path)?;
        let text = String::from_utf8_lossy(&bytes);
        Ok(text.trim_matches(|c: char| c.is_whitespace() || c == '\0').to_owned())
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
        let entries = fs::read_dir(self.at(path)).map_err(|error| self.reason(path, &error))?;
        let mut names: Vec<String> =
            entries.flatten().map(|e| e.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        Ok(names)
    }

    /// Numbers `n` of the entries called `<prefix>n` in a folder, sorted.
    pub(super) fn numbered(&self, path: &str, prefix: &str) -> Found<Vec<usize>> {
        let names = self.names(path)?;
        let mut numbers: Vec<usize> =
            names.iter().filter_map(|name| name.strip_prefix(prefix)?.parse().ok()).collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// Why a path cannot be read. For a missing one, the folder nearest to the root that is
    /// missing tells more than the file itself.
    fn reason(&self, path: &str, error: &io::Error) -> String {
        match error.kind() {
            ErrorKind::NotFound => format!("{} does not exist", self.first_missing(path)),
            ErrorKind::PermissionDenied => format!("{path} may not be read (permission denied)"),
            _ => format!("{path} cannot be read ({error})"),
        }
    }

    fn first_missing<'a>(&self, path: &'a str) -> &'a str {
        let ends = path.match_indices('/').map(|(at, _)| at).skip(1).chain([path.len()]);
        ends.map(|end| &path[..end]).find(|part| !self.exists(part)).unwrap_or(path)
    }
}

/// No machine has more CPUs or nodes; a larger number is a damaged file, not a list to expand.
const LARGEST: usize = 1 << 20;

/// Reads `0-3,8`: sorted, each number once. Empty text is the empty list.
pub(super) fn parse_list(text: &str) -> Option<Vec<usize>> {
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
