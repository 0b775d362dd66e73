//! Which disk is below a folder, and what it claims to be.

use std::path::Path;

use super::files::{Files, Found};
use super::mounts::{Mount, mounts};
use super::{Fact, human_bytes};

/// The disk below a folder, or what hides it.
#[derive(Clone, Debug, PartialEq)]
pub struct Disk {
    /// The file system's name, such as `ext4`.
    pub file_system: Fact<String>,
    /// The whole disk that the file system is on, not its partition.
    pub device: Fact<Device>,
}

/// What sysfs says of a whole disk.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Device {
    /// As in /sys/block.
    pub name: String,
    /// Vendor and model, where it has one.
    pub model: Option<String>,
    /// Its size.
    pub bytes: Option<u64>,
    /// Whether it claims to rotate; unknown where a file, memory or the network stands behind it.
    pub rotating: Option<bool>,
    /// Who orders its requests.
    pub scheduler: Option<String>,
    /// Who pretends to be this disk, where a hypervisor or the kernel does.
    pub stand_in: Option<String>,
}

impl Disk {
    /// The disk below a folder that exists.
    pub fn below(folder: &Path) -> Disk {
        Disk::below_in(Path::new("/"), folder)
    }

    fn below_in(root: &Path, folder: &Path) -> Disk {
        let files = Files::new(root);
        let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
        let mounts = files.text("/proc/self/mountinfo");
        let mount = mounts.and_then(|text| {
            let none = || format!("/proc/self/mountinfo names no mount of {}", folder.display());
            mount_of(&text, &folder).ok_or_else(none)
        });
        let number =
            folder.metadata().map_err(|e| e.to_string()).and_then(|m| numbers(&m).map(|n| n.0));
        let device = number.and_then(|number| {
            let at = block_device(number);
            if files.exists(&at) {
                return Device::at(&files, &at);
            }
            // A file system of several devices has a number of its own; its mount names one of them.
            let mount = mount.as_ref().map_err(Clone::clone)?;
            let source = root.join(mount.source.trim_start_matches('/'));
            match source.metadata().map_err(|e| e.to_string()).and_then(|m| numbers(&m)) {
                Ok((_, node)) if mount.source.starts_with("/dev/") => {
                    Device::at(&files, &block_device(node))
                }
                _ => Err(format!("{} on {} names no disk", mount.kind, mount.source)),
            }
        });
        Disk { file_system: mount.map(|m| m.kind).into(), device: device.into() }
    }

    /// "ext4 on vda (256 GiB, virtio, rotational=1, scheduler none)".
    pub fn title(&self) -> String {
        let system = self.file_system.known().map_or("an unknown file system", String::as_str);
        match self.device.as_result() {
            Ok(device) => format!("{system} on {}", device.title()),
            Err(reason) => format!("{system} on an unknown disk ({reason})"),
        }
    }
}

/// Of the device that a file is on, and of the device that it is.
#[cfg(unix)]
#[allow(clippy::unnecessary_wraps, reason = "there are systems without")]
fn numbers(file: &std::fs::Metadata) -> Result<(u64, u64), String> {
    use std::os::unix::fs::MetadataExt;
    Ok((file.dev(), file.rdev()))
}

#[cfg(not(unix))]
fn numbers(_: &std::fs::Metadata) -> Result<(u64, u64), String> {
    Err("devices have no numbers on this system".into())
}

fn block_device(number: u64) -> String {
    let (major, minor) = major_and_minor(number);
    format!("/sys/dev/block/{major}:{minor}")
}

/// The two halves of a device number, as glibc's `makedev` packs them.
fn major_and_minor(number: u64) -> (u64, u64) {
    (
        (number >> 32 & 0xffff_f000) | (number >> 8 & 0xfff),
        (number >> 12 & 0xffff_ff00) | (number & 0xff),
    )
}

/// How many devices a disk may stand on, one below the other: mapper over RAID over partition.
const DEEPEST: usize = 8;

impl Device {
    /// The disk whose folder in sysfs this is, or below it.
    fn at(files: &Files, path: &str) -> Found<Device> {
        let mut path = files.real(path)?;
        let mut through = Vec::new();
        for _ in 0..DEEPEST {
            if files.exists(&format!("{path}/partition")) {
                path = path.rsplit_once('/').map(|(disk, _)| disk.to_owned()).unwrap_or_default();
            }
            let below = files.names(&format!("{path}/slaves")).unwrap_or_default();
            let [one] = &below[..] else {
                let several = !below.is_empty();
                let stand_in = several.then(|| format!("made of {}", below.join(" and ")));
                let mut device = Device::named(files, &path, through, stand_in);
                // Loop, memory and network block devices say "solid state" whatever is behind them.
                if !several && path.contains("/virtual/block/") {
                    device.rotating = None;
                }
                return Ok(device);
            };
            through.push(last(&path).to_owned());
            path = files.real(&format!("{path}/slaves/{one}"))?;
        }
        Err(format!("more than {DEEPEST} devices stand on one another"))
    }

    fn named(
        files: &Files,
        path: &str,
        mut through: Vec<String>,
        mut stand_in: Option<String>,
    ) -> Device {
        let text =
            |name: &str| files.text(&format!("{path}/{name}")).ok().filter(|t| !t.is_empty());
        let name = last(path).to_owned();
        // A virtio disk has the number of its PCI vendor there.
        let vendor = text("device/vendor").filter(|vendor| !vendor.starts_with("0x"));
        let model: Vec<String> = [vendor, text("device/model")].into_iter().flatten().collect();
        let model = model.join(" ");
        if let Some(file) = text("loop/backing_file") {
            stand_in = Some(format!("a loop device over {file}"));
        }
        stand_in = stand_in.or_else(|| made_up(path, &model).map(str::to_owned));
        through.insert(0, name);
        Device {
            name: through.join(" below "),
            model: (!model.is_empty()).then_some(model),
            bytes: text("size").and_then(|sectors| Some(sectors.parse::<u64>().ok()? * 512)),
            rotating: text("queue/rotational").map(|flag| flag == "1"),
            scheduler: files.choice(&format!("{path}/queue/scheduler")).ok(),
            stand_in,
        }
    }

    /// "vda (256 GiB, virtio, rotational=1, scheduler none)".
    pub fn title(&self) -> String {
        let claim = self.rotating.map(|yes| if yes { "rotational=1" } else { "solid state" });
        let said = [
            self.model.clone(),
            self.bytes.map(human_bytes),
            self.stand_in.clone(),
            claim.map(str::to_owned),
            self.scheduler.as_ref().map(|name| format!("scheduler {name}")),
        ];
        let said: Vec<String> = said.into_iter().flatten().collect();
        format!("{} ({})", self.name, said.join(", "))
    }
}

fn last(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or_default()
}

/// Who plays this disk, by the bus it hangs on and by its model.
fn made_up(path: &str, model: &str) -> Option<&'static str> {
    let buses = [
        ("/virtio", "virtio"),
        ("/vbd-", "Xen"),
        ("/VMBUS", "Hyper-V"),
        ("/virtual/block/zram", "compressed memory"),
        ("/virtual/block/ram", "memory"),
        ("/virtual/block/nbd", "network block device"),
        ("/virtual/block/rbd", "Ceph"),
    ];
    let models = [
        ("QEMU", "QEMU"),
        ("VBOX", "VirtualBox"),
        ("VMware", "VMware"),
        ("Msft Virtual", "Hyper-V"),
        ("Amazon Elastic Block Store", "network disk"),
        ("PersistentDisk", "network disk"),
    ];
    let bus = buses.iter().find(|(mark, _)| path.contains(mark));
    bus.or_else(|| models.iter().find(|(mark, _)| model.contains(mark))).map(|(_, who)| *who)
}

/// The mount that a folder is on: the longest of those above it, and of equals the last, which
/// hides the others.
fn mount_of(mountinfo: &str, folder: &Path) -> Option<Mount> {
    let above = mounts(mountinfo).filter(|mount| folder.starts_with(&mount.point));
    above.max_by_key(|m| m.point.trim_end_matches('/').len())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::super::tree::Tree;
    use super::*;

    const MOUNTS: &str = "\
22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw,discard
30 27 0:27 / /mnt/two\\040words rw - nfs4 host:/export rw
31 27 0:28 / /mnt ro - xfs /dev/sdb1 rw
32 27 0:29 / /mnt rw shared:4 master:1 - btrfs /dev/sdc rw";

    #[test]
    fn the_mount_of_a_folder_is_the_nearest_and_the_last() {
        let kind = |folder: &str| mount_of(MOUNTS, Path::new(folder)).map(|m| m.kind);
        assert_eq!(kind("/home/me").as_deref(), Some("ext4"));
        assert_eq!(kind("/mnt/x").as_deref(), Some("btrfs"));
        assert_eq!(kind("/mntx").as_deref(), Some("ext4"));
        assert_eq!(kind("/mnt/two words/deep").as_deref(), Some("nfs4"));
        assert_eq!(mount_of("", Path::new("/")), None);
    }

    /// A disk with one partition, and a mapper device on that.
    fn disk(bus: &str) -> Tree {
        let at = format!("/sys/devices/{bus}/block/sda");
        let tree = Tree::new()
            .file(&format!("{at}/size"), "1953525168\n")
            .file(&format!("{at}/queue/rotational"), "1\n")
            .file(&format!("{at}/queue/scheduler"), "none [mq-deadline] bfq\n")
            .file(&format!("{at}/device/vendor"), "ATA     \n")
            .file(&format!("{at}/device/model"), "SLOW 1000\n")
            .file(&format!("{at}/sda1/partition"), "1\n")
            .file("/sys/devices/virtual/block/dm-0/size", "8\n");
        let root = tree.path().to_owned();
        let link = |from: &str, to: String| {
            let from = root.join(from);
            fs::create_dir_all(from.parent().unwrap()).unwrap();
            symlink(root.join(to.trim_start_matches('/')), from).unwrap();
        };
        link("sys/dev/block/8:0", at.clone());
        link("sys/dev/block/8:1", format!("{at}/sda1"));
        link("sys/dev/block/253:0", "/sys/devices/virtual/block/dm-0".into());
        link("sys/devices/virtual/block/dm-0/slaves/sda1", format!("{at}/sda1"));
        tree
    }

    #[test]
    fn a_partition_and_a_mapper_lead_to_their_disk() {
        let tree = disk("pci0000:00/ata1");
        let device = |number: &str| Device::at(&tree.files(), &format!("/sys/dev/block/{number}"));
        let whole = device("8:0").unwrap();
        assert_eq!(device("8:1").unwrap(), whole);
        assert_eq!(
            whole.title(),
            "sda (ATA SLOW 1000, 932 GiB, rotational=1, scheduler mq-deadline)"
        );
        let mapped = device("253:0").unwrap();
        assert_eq!(mapped, Device { name: "sda below dm-0".into(), ..whole });
        assert!(device("9:9").unwrap_err().contains("/sys/dev/block/9:9"));
    }

    #[test]
    fn several_disks_below_one_device_are_named() {
        let tree = disk("pci0000:00/ata1").file("/sys/devices/virtual/block/dm-0/slaves/sdb", "");
        let device = Device::at(&tree.files(), "/sys/dev/block/253:0").unwrap();
        assert_eq!(device.name, "dm-0");
        assert_eq!(device.stand_in.as_deref(), Some("made of sda1 and sdb"));
    }

    #[test]
    fn what_is_behind_a_loop_device_is_not_known() {
        let at = "/sys/devices/virtual/block/loop0";
        let tree = Tree::new()
            .file(&format!("{at}/queue/rotational"), "0\n")
            .file(&format!("{at}/loop/backing_file"), "/var/image\n");
        let device = Device::at(&tree.files(), at).unwrap();
        assert_eq!(device.rotating, None);
        assert_eq!(device.stand_in.as_deref(), Some("a loop device over /var/image"));
    }

    #[test]
    fn the_emulator_of_a_disk_shows_in_its_bus_or_model() {
        let tree = disk("pci0000:00/0000:00:02.0/virtio1");
        let device = Device::at(&tree.files(), "/sys/dev/block/8:1").unwrap();
        assert_eq!(device.stand_in.as_deref(), Some("virtio"));
        assert_eq!(
            made_up("/sys/devices/pci/nvme0", "Amazon Elastic Block Store"),
            Some("network disk")
        );
        assert_eq!(made_up("/sys/devices/pci/nvme0", "Samsung SSD 990"), None);
    }

    #[test]
    fn without_proc_and_sys_the_reasons_are_there() {
        let tree = Tree::new();
        let disk = Disk::below_in(tree.path(), tree.path());
        assert!(disk.title().contains("/proc does not exist"), "{}", disk.title());
    }

    #[test]
    fn this_machine_has_something_below_its_temporary_folder() {
        let disk = Disk::below(&std::env::temp_dir());
        assert!(disk.file_system.known().is_some(), "{disk:?}");
    }
}
