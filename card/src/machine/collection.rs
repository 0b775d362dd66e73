//! Files of a machine that were collected, to tell of it elsewhere.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::Machine;
use super::files::Files;

/// What is at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A file with its content.
    File(Vec<u8>),
    /// A folder.
    Folder,
    /// Something that may not be read.
    Denied,
}

/// Files of one machine by their absolute paths. Folders are there by what they hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Collection(BTreeMap<String, Entry>);

impl Collection {
    /// The files of this machine that its facts come from: all that detection reads, and no more.
    pub fn gather() -> Collection {
        let files = Files::new(Path::new("/")).remembering();
        Machine::described_by(&files);
        files.into_read()
    }

    /// Puts something at a path, in place of what was there.
    pub fn put(&mut self, path: &str, entry: Entry) {
        self.0.insert(path.to_owned(), entry);
    }

    /// Puts something where nothing is yet.
    pub(super) fn note(&mut self, path: &str, entry: Entry) {
        self.0.entry(path.to_owned()).or_insert(entry);
    }

    /// What was put there.
    pub(super) fn get(&self, path: &str) -> Option<&Entry> {
        self.0.get(path)
    }

    /// What is in a folder, if it is one.
    pub(super) fn names(&self, folder: &str) -> Option<Vec<String>> {
        let folder = folder.trim_end_matches('/');
        let inside = format!("{folder}/");
        let below =
            self.0.range(inside.clone()..).map_while(|(path, _)| path.strip_prefix(&inside));
        let names: BTreeSet<&str> =
            below.map(|rest| rest.split('/').next().unwrap_or_default()).collect();
        let is_folder = !names.is_empty() || self.get(folder) == Some(&Entry::Folder);
        is_folder.then(|| names.into_iter().map(str::to_owned).collect())
    }

    /// Everything, by path.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.0.iter().map(|(path, entry)| (path.as_str(), entry))
    }

    fn file(&self, path: &str) -> Option<Cow<'_, str>> {
        match self.get(path) {
            Some(Entry::File(bytes)) => Some(String::from_utf8_lossy(bytes)),
            _ => None,
        }
    }

    /// Takes out what tells one machine from others of its kind, in paths and in files, and says
    /// what that was: UUIDs, hardware addresses and other long hexadecimal numbers become counting
    /// numbers of the same shape, serial numbers 0, and the name of the host "host", unless it is
    /// to stay.
    pub fn anonymise(&mut self, keep_host_name: bool) -> Vec<String> {
        let mut told = Vec::new();
        if !keep_host_name && self.hide_host_name() {
            told.push("the host name".to_owned());
        }
        let mut identifiers = Identifiers::default();
        let mut serials = 0;
        let mut hidden = BTreeMap::new();
        for (path, mut entry) in std::mem::take(&mut self.0) {
            if let Entry::File(bytes) = &mut entry {
                serials += hide_serial_numbers(bytes);
                if path.ends_with("/topology/ppin") {
                    identifiers.hide_inventory_number(bytes);
                }
                identifiers.hide(bytes);
            }
            let mut path = path.into_bytes();
            identifiers.hide(&mut path);
            hidden.insert(String::from_utf8_lossy(&path).into_owned(), entry);
        }
        self.0 = hidden;
        let counted = [
            (identifiers.numbers.len(), "UUID, hardware address or other long identifier"),
            (serials, "serial number"),
        ];
        told.extend(
            counted.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} × {what}")),
        );
        told
    }

    /// In its own file, and in the names of control groups, whose folders are paths.
    fn hide_host_name(&mut self) -> bool {
        const OWN: &str = "/proc/sys/kernel/hostname";
        const GROUPS: [&str; 2] = ["/proc/self/cgroup", "/proc/self/mountinfo"];
        let Some(name) = self.file(OWN).map(|text| text.trim().to_owned()) else {
            return false;
        };
        self.put(OWN, Entry::File(b"host\n".to_vec()));
        let places = self.file(GROUPS[0]).unwrap_or_default().into_owned();
        let groups = places.lines().filter_map(|line| line.splitn(3, ':').nth(2));
        let folders: BTreeSet<&str> = groups.flat_map(|path| path.split('/')).collect();
        let renamed = folders.into_iter().filter_map(|folder| {
            let other = replace_word(folder, &name, "host");
            (other != folder).then(|| (folder.to_owned(), other))
        });
        let renamed: BTreeMap<String, String> = renamed.collect();
        if renamed.is_empty() {
            return true;
        }
        let rename = |text: &str| -> String {
            let part = |part: &str| {
                let (folder, rest) = part.split_at(part.find([' ', '\n']).unwrap_or(part.len()));
                format!("{}{rest}", renamed.get(folder).map_or(folder, String::as_str))
            };
            text.split('/').map(part).collect::<Vec<String>>().join("/")
        };
        for path in GROUPS {
            if let Some(text) = self.file(path).map(|text| rename(&text)) {
                self.put(path, Entry::File(text.into_bytes()));
            }
        }
        self.0 = std::mem::take(&mut self.0).into_iter().map(|(p, e)| (rename(&p), e)).collect();
        true
    }
}

/// The text with a word replaced wherever it stands between others.
fn replace_word(text: &str, word: &str, by: &str) -> String {
    if word.is_empty() {
        return text.to_owned();
    }
    let inside = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
    let mut out = String::new();
    let mut from = 0;
    for (at, _) in text.match_indices(word) {
        let end = at + word.len();
        if !inside(text[..at].chars().next_back()) && !inside(text[end..].chars().next()) {
            out += &text[from..at];
            out += by;
            from = end;
        }
    }
    out + &text[from..]
}

/// Makes the value of every line "… serial …: value" 0; how many there were.
fn hide_serial_numbers(bytes: &mut Vec<u8>) -> usize {
    let mut hidden = 0;
    let lines: Vec<Cow<'_, [u8]>> = bytes
        .split_inclusive(|&b| b == b'\n')
        .map(|line| {
            let colon = line.iter().position(|&b| b == b':').unwrap_or(0);
            if !line[..colon].to_ascii_lowercase().windows(6).any(|word| word == b"serial") {
                return Cow::Borrowed(line);
            }
            hidden += 1;
            Cow::Owned([&line[..colon], b": 0\n"].concat())
        })
        .collect();
    if hidden > 0 {
        *bytes = lines.concat();
    }
    hidden
}

/// Numbers that name one thing in the world, and the counting numbers in their place.
#[derive(Default)]
struct Identifiers {
    numbers: BTreeMap<Vec<u8>, usize>,
}

/// Containers, machines and boots have names of 128 bits or more; no register and no mask of the
/// kernel is written so long without a comma.
const LONG: usize = 32;

impl Identifiers {
    /// Puts a counting number into the digits of each.
    fn hide(&mut self, text: &mut [u8]) {
        let mut at = 0;
        while at < text.len() {
            let Some(length) = identifier(text, at) else {
                at += 1;
                continue;
            };
            self.count(&mut text[at..at + length]);
            at += length;
        }
    }

    /// That of a processor is shorter than others: "0x2b8c9d0e1f000001".
    fn hide_inventory_number(&mut self, text: &mut [u8]) {
        let prefix = if text.starts_with(b"0x") { 2 } else { 0 };
        let number = &mut text[prefix..];
        let digits = number.iter().take_while(|b| b.is_ascii_hexdigit()).count();
        if digits > 0 {
            self.count(&mut number[..digits]);
        }
    }

    /// Puts the counting number of an identifier in its place.
    fn count(&mut self, found: &mut [u8]) {
        let next = self.numbers.len() + 1;
        let mut number = *self.numbers.entry(found.to_ascii_lowercase()).or_insert(next);
        for digit in found.iter_mut().rev().filter(|b| b.is_ascii_hexdigit()) {
            *digit = b"0123456789abcdef"[number % 16];
            number /= 16;
        }
    }
}

/// The length of the identifier that begins there, if one does.
fn identifier(text: &[u8], at: usize) -> Option<usize> {
    let grouped = |groups: &[usize], separators: &[u8]| {
        let mut end = at;
        for (nth, &digits) in groups.iter().enumerate() {
            if nth > 0 {
                separators.contains(text.get(end)?).then_some(())?;
                end += 1;
            }
            text.get(end..end + digits)?.iter().all(u8::is_ascii_hexdigit).then_some(())?;
            end += digits;
        }
        Some(end - at)
    };
    let ends = |length: &usize| !text.get(at + length).is_some_and(u8::is_ascii_hexdigit);
    let begins = !at.checked_sub(1).is_some_and(|b| text[b].is_ascii_hexdigit() || text[b] == b':');
    let run = text[at..].iter().take_while(|b| b.is_ascii_hexdigit()).count();
    grouped(&[8, 4, 4, 4, 12], b"-_")
        .filter(ends)
        .or_else(|| grouped(&[2; 6], b":-").filter(ends).filter(|_| begins))
        .or_else(|| (run >= LONG).then_some(run))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn collection(files: &[(&str, &str)]) -> Collection {
        let mut all = Collection::default();
        files.iter().for_each(|(path, text)| all.put(path, Entry::File(text.as_bytes().to_vec())));
        all
    }

    fn hidden(text: &str) -> String {
        let mut bytes = text.as_bytes().to_vec();
        Identifiers::default().hide(&mut bytes);
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn folders_hold_what_lies_below_them() {
        let all = collection(&[("/a/node1/x", ""), ("/a/node1-b", ""), ("/a/node1/y", "")]);
        assert_eq!(all.names("/a"), Some(vec!["node1".to_owned(), "node1-b".to_owned()]));
        assert_eq!(all.names("/a/node"), None);
        assert_eq!(all.names("/a/node1-b"), None);
    }

    #[test]
    fn identifiers_become_counting_numbers_of_their_shape() {
        let uuid = "0b53c9a6-7d7f-4b8e-9d38-2f0d4b0a1c55";
        let long = "6bf02ab1648b4a77ef1f7805b30f35cb";
        let said = hidden(&format!("pod{uuid} {long} {uuid} 52:54:00:ab:cd:ef."));
        assert_eq!(
            said,
            "pod00000000-0000-0000-0000-000000000001 00000000000000000000000000000002 \
             00000000-0000-0000-0000-000000000001 00:00:00:00:00:03."
        );
    }

    #[test]
    fn masks_versions_and_lists_stay() {
        for text in [
            "Cpus_allowed:\tffffffff,ffffffff,ffffffff",
            "CapEff:\t000001ffffffffff",
            "fp asimd crc32 atomics",
            "1073741824\n",
            "0-3,8",
        ] {
            assert_eq!(hidden(text), text);
        }
    }

    #[test]
    fn serial_numbers_go_and_all_else_of_the_file_stays() {
        let text = "Hardware\t: BCM2835\nSerial\t\t: 10000000abcdef01\nModel\t: Pi 5";
        let mut all = collection(&[("/proc/cpuinfo", text)]);
        assert_eq!(all.anonymise(false), ["1 × serial number"]);
        let expected = "Hardware\t: BCM2835\nSerial\t\t: 0\nModel\t: Pi 5";
        assert_eq!(all, collection(&[("/proc/cpuinfo", expected)]));
    }

    #[test]
    fn inventory_numbers_of_processors_go_and_still_tell_them_apart() {
        let path = |cpu: usize| format!("/sys/devices/system/cpu/cpu{cpu}/topology/ppin");
        let files = |numbers: [&str; 3]| {
            let files = [path(0), path(1), path(2)];
            let files: Vec<(&str, &str)> = files.iter().map(String::as_str).zip(numbers).collect();
            collection(&files)
        };
        let mut all = files(["0x2b8c9d0e1f00\n", "0x2b8c9d0e1f01\n", "0x2b8c9d0e1f00\n"]);
        all.anonymise(false);
        assert_eq!(all, files(["0x000000000001\n", "0x000000000002\n", "0x000000000001\n"]));
    }

    #[test]
    fn the_host_name_goes_from_its_file_and_from_control_groups() {
        let files = |name: &str| {
            let own = format!("{name}\n");
            let group = format!("9:cpu:/lxc.payload.{name}/cpu\n0::/{name}.slice\n");
            let mount = format!("1 1 0:1 /lxc.payload.{name} /sys/fs/cgroup rw - cgroup2 x rw\n");
            let file = format!("/sys/fs/cgroup/lxc.payload.{name}/cpu/cpu.max");
            collection(&[
                ("/proc/sys/kernel/hostname", &own),
                ("/proc/self/cgroup", &group),
                ("/proc/self/mountinfo", &mount),
                (&file, "max 100000"),
                ("/sys/devices/system/cpu/online", "0"),
            ])
        };
        let mut all = files("web7");
        assert_eq!(all.anonymise(false), ["the host name"]);
        assert_eq!(all, files("host"));
        let mut kept = files("web7");
        assert_eq!(kept.anonymise(true), [""; 0]);
        assert_eq!(kept, files("web7"));
    }

    proptest! {
        #[test]
        fn nothing_longer_than_a_register_survives(digits in "[0-9a-f]{32,70}", around in "[g-z/ ]{0,5}") {
            let text = format!("{around}{digits}{around}");
            let said = hidden(&text);
            prop_assert_eq!(said.len(), text.len());
            let first = "0".repeat(digits.len() - 1) + "1";
            prop_assert!(said.contains(&first), "{}", said);
        }

        #[test]
        fn no_text_makes_it_panic(name in ".{0,8}", text in ".{0,80}") {
            let mut all = collection(&[
                ("/proc/sys/kernel/hostname", &name),
                ("/proc/self/cgroup", &format!("0::/{text}")),
                (&format!("/sys/{text}"), &text),
            ]);
            all.anonymise(false);
        }
    }
}
