//! What is mounted where, from /proc/self/mountinfo.

/// A line of mountinfo.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Mount {
    /// Which folder of the file system is mounted.
    pub(super) root: String,
    /// Where it is mounted.
    pub(super) point: String,
    /// The file system's name, such as `ext4`.
    pub(super) kind: String,
    /// What is mounted: a device, or whatever the file system calls itself.
    pub(super) source: String,
    /// Options of the file system; of cgroup version 1 the controllers.
    pub(super) options: String,
}

/// The mounts in the order in which they were made; damaged lines are left out.
pub(super) fn mounts(mountinfo: &str) -> impl Iterator<Item = Mount> {
    mountinfo.lines().filter_map(parse)
}

/// "36 35 98:0 /root /mount\040point rw,noatime master:1 - ext3 /dev/root rw,errors=continue"
fn parse(line: &str) -> Option<Mount> {
    let (left, right) = line.split_once(" - ")?;
    let mut left = left.split(' ').skip(3);
    let (root, point) = (unescape(left.next()?), unescape(left.next()?));
    let mut right = right.split(' ');
    let (kind, source) = (right.next()?.to_owned(), unescape(right.next()?));
    let options = right.next().unwrap_or_default().to_owned();
    Some(Mount { root, point, kind, source, options })
}

/// Spaces and the like are written in octal: `\040`.
fn unescape(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let code = tail.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
        let code = code.filter(|_| *first == b'\\').and_then(|d| u8::from_str_radix(d, 8).ok());
        bytes.push(code.unwrap_or(*first));
        rest = if code.is_some() { &tail[3..] } else { tail };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_mount_has_a_place_and_a_file_system() {
        let line =
            "35 31 0:32 /a\\134b /two\\040words rw,relatime shared:4 master:1 - cgroup none rw,cpu";
        let mount = Mount {
            root: "/a\\b".into(),
            point: "/two words".into(),
            kind: "cgroup".into(),
            source: "none".into(),
            options: "rw,cpu".into(),
        };
        assert_eq!(mounts(line).collect::<Vec<Mount>>(), [mount]);
        assert_eq!(mounts("damaged\n1 2 3 - x").count(), 0);
    }

    proptest! {
        #[test]
        fn damaged_mounts_do_no_harm(text in "[ -~\\n]{0,200}") {
            mounts(&text).for_each(drop);
            unescape(&text);
        }
    }
}
