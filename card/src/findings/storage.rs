//! Disks that are not what they claim to be.

use crate::record::Point;

use super::{Finding, believed, shown};
use crate::file::Card;
use crate::metrics::Metrics;

const RANDOM: &str = "storage.read_4k_random_ns";
const FSYNC: &str = "storage.fsync_ns";

/// A quarter of a turn of the fastest rotating disk: the median of random reads cannot be below.
const ROTATES_NS: f64 = 1e6;

/// What only a rotating disk, or a much loaded network disk, takes for a random read.
const SEEKS_NS: f64 = 3e6;

/// Flash needs 50 µs and more for a random read, and a hypervisor adds to that.
const MEMORY_NS: f64 = 20e3;

/// The page cache answers in about a microsecond; no device answers so fast, whoever plays it.
const COPY_NS: f64 = 4e3;

/// Writing flash takes hundreds of microseconds; so fast is a cache alone.
const CACHED_NS: f64 = 20e3;

pub(super) fn find(card: &Card, metrics: &Metrics) -> Vec<Finding> {
    let file = card.points.iter().find(|p| p.probe == "storage" && p.quantity == "file");
    let disk = file.and_then(|file| disk(file, metrics));
    let durable = durable(metrics);
    [disk, durable].into_iter().flatten().collect()
}

/// Why nothing here speaks of a disk of any kind, although a file was read.
pub fn unknown_disk(card: &Card) -> Option<String> {
    let file = card.points.iter().find(|p| p.probe == "storage" && p.quantity == "file")?;
    let says = |name: &str| file.params.get(name).map(ToString::to_string).unwrap_or_default();
    let (system, disk, stand_in) = (says("file_system"), says("disk"), says("stand_in"));
    let what = match (disk.as_str(), stand_in.as_str()) {
        ("unknown", _) => format!("{system}, which names no disk"),
        (disk, "none") => format!("{disk}, which does not say what it is"),
        (disk, stand_in) => format!("{disk} ({stand_in})"),
    };
    (says("claim") == "unknown").then(|| format!("not known to be an SSD: the file is on {what}"))
}

/// What the disk claims, against what random reads take.
fn disk(file: &Point, metrics: &Metrics) -> Option<Finding> {
    let random = believed(metrics, RANDOM)?;
    let says = |name: &str| file.params.get(name).map(ToString::to_string).unwrap_or_default();
    let (name, takes) = (says("disk"), shown(metrics, RANDOM));
    let (claim, stand_in, system) = (says("claim"), says("stand_in"), says("file_system"));
    let reads = format!("4 KiB read in {takes}");
    let finding = |code, headline: String, claimed: String, cause: &str| {
        Finding::claim(code, headline, claimed, reads.as_str()).cause(cause).of(&[RANDOM])
    };
    Some(if random < COPY_NS || (random < MEMORY_NS && name == "unknown") {
        finding(
            "STORAGE_IN_MEMORY",
            format!("{reads} on {system} (disk: {name}): faster than a disk"),
            format!("file on {system}"),
            "it is read from memory, perhaps by a file system that takes O_DIRECT and ignores it, such \
             as ZFS before 2.3",
        )
    } else if claim == "rotating" && random < ROTATES_NS {
        // Of a disk below others, "sda below dm-0".
        let bare = name.split(' ').next().unwrap_or_default();
        finding(
            "ROTATIONAL_FLAG",
            format!("{name} reports rotational=1, but reads 4 KiB in {takes}"),
            format!("{name} rotational=1"),
            "the 4 KiB random read rules out a disk with a seek",
        )
        .action(format!("echo 0 > /sys/block/{bare}/queue/rotational"))
    } else if claim == "solid_state" && random > SEEKS_NS {
        finding(
            "SOLID_STATE_FLAG",
            format!("{name} reports rotational=0, but reads 4 KiB in {takes}"),
            format!("{name} is an SSD"),
            "seek time of a rotating disk, or a network disk under load",
        )
    } else if random < MEMORY_NS && stand_in != "none" {
        finding(
            "STORAGE_IN_MEMORY",
            format!("{name} reads 4 KiB in {takes}: faster than flash"),
            format!("{name} is a disk"),
            "the virtual disk's backend may cache the file; a larger file may take longer",
        )
    } else {
        return None;
    })
}

fn durable(metrics: &Metrics) -> Option<Finding> {
    let fsync = believed(metrics, FSYNC)?;
    let takes = shown(metrics, FSYNC);
    let headline = format!("durable write of 4 KiB in {takes}: faster than flash");
    let measured = format!("write and fdatasync in {takes}");
    let found = Finding::claim("FLUSH_CACHED", headline, "fsync is durable", measured);
    let cause = "either the cache of the disk survives a power failure, or flushes are ignored and data \
                 may be lost";
    (fsync < CACHED_NS).then(|| found.cause(cause).of(&[FSYNC]))
}

#[cfg(test)]
mod tests {
    use crate::declare::Unit;
    use crate::record::Param;

    use super::super::tests::value;
    use super::*;
    use crate::fixture;

    /// What is said of the recorded card's disk, as if nothing were claimed of it, as changed.
    fn texts(change: impl Fn(&mut Point), numbers: &[(&str, f64)]) -> Vec<String> {
        let mut card = fixture::recorded().card;
        card.points.iter_mut().for_each(set("claim", "unknown"));
        card.points.iter_mut().for_each(change);
        let metrics = numbers.iter().map(|(id, ns)| value(id, Unit::Ns, *ns)).collect();
        find(&card, &Metrics(metrics)).into_iter().map(|f| f.text()).collect()
    }

    fn set(name: &'static str, to: &'static str) -> impl Fn(&mut Point) {
        move |point| {
            if point.params.contains_key(name) {
                point.params.insert(name.into(), Param::from(to));
            }
        }
    }

    #[test]
    fn who_answers_in_the_place_of_a_disk_is_named() {
        let said = |changes: &[(&'static str, &'static str)]| {
            let mut card = fixture::recorded().card;
            for &(name, to) in changes {
                card.points.iter_mut().for_each(set(name, to));
            }
            unknown_disk(&card)
        };
        assert_eq!(said(&[]), None);
        let fuse = [("claim", "unknown"), ("disk", "unknown"), ("file_system", "fuse.bindfs")];
        assert!(said(&fuse).unwrap().ends_with("on fuse.bindfs, which names no disk"));
        let stand_in = "a loop device over /x";
        let over = [("claim", "unknown"), ("disk", "loop0"), ("stand_in", stand_in)];
        assert!(said(&over).unwrap().ends_with("on loop0 (a loop device over /x)"));
    }

    #[test]
    fn an_ordinary_disk_is_no_news() {
        let ordinary = |p: &mut Point| {
            set("claim", "solid_state")(p);
            set("stand_in", "none")(p)
        };
        let usual = [(RANDOM, 75e3), (FSYNC, 1e6)];
        assert_eq!(texts(ordinary, &usual), [] as [String; 0]);
        assert_eq!(find(&fixture::empty().card, &Metrics::default()), []);
    }

    #[test]
    fn a_claim_to_rotate_is_held_against_the_reads() {
        let says = |claim, ns| texts(set("claim", claim), &[(RANDOM, ns)]);
        assert!(says("rotating", 75e3)[0].contains("vda reports rotational=1, but reads"));
        assert!(says("rotating", 8e6).is_empty());
        assert!(
            says("solid_state", 8e6)[0]
                .contains("reports rotational=0, but reads 4 KiB in 8.00 ms")
        );
        assert!(says("unknown", 8e6).is_empty());
        let below = |p: &mut Point| {
            set("claim", "rotating")(p);
            set("disk", "sda below dm-0")(p)
        };
        let text = &texts(below, &[(RANDOM, 75e3)])[0];
        assert!(
            text.starts_with("sda below dm-0 reports")
                && text.contains("/sys/block/sda/queue/rotational")
        );
    }

    #[test]
    fn memory_is_not_taken_for_a_disk() {
        let says = |stand_in, ns| texts(set("stand_in", stand_in), &[(RANDOM, ns)]);
        assert!(says("virtio", 9e3)[0].contains("backend may cache"));
        assert!(says("none", 9e3).is_empty());
        assert!(says("none", 1.2e3)[0].contains("on ext4 (disk: vda)"));
        let unknown = |ns| {
            texts(
                |p| {
                    set("stand_in", "none")(p);
                    set("disk", "unknown")(p)
                },
                &[(RANDOM, ns)],
            )
        };
        assert!(unknown(9e3)[0].contains("ZFS") && unknown(75e3).is_empty());
        assert!(texts(|_| (), &[(FSYNC, 12e3)])[0].contains("flushes are ignored"));
        assert!(texts(|_| (), &[(FSYNC, 40e3)]).is_empty());
    }
}
