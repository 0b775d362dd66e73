//! Where the program runs: host, operating system, virtual machine, container.

#[expect(deprecated, reason = "as where it is used")]
use std::hash::{Hasher, SipHasher};

use serde::{Deserialize, Serialize};

use super::cgroup::Cgroups;
use super::cpuinfo::CpuInfo;
use super::files::{Files, Found};
use super::{CpuidFacts, Fact};

const DMI: &str = "/sys/class/dmi/id";

/// The surroundings.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Host {
    /// Host name.
    pub name: Fact<String>,
    /// A number that stands for /etc/machine-id here and nowhere else: the id itself is confidential.
    pub identity: Fact<String>,
    /// "Debian GNU/Linux 12 (bookworm)".
    pub os: Fact<String>,
    /// Maker and product: "Dell Inc. PowerEdge R7625", "Amazon EC2 m7a.large".
    pub product: Fact<String>,
    /// Name of the hypervisor; "none" where nothing speaks of one.
    pub hypervisor: Fact<String>,
    /// What points to a container; empty when nothing does.
    pub container_hints: Vec<String>,
}

impl Host {
    pub(super) fn detect(
        files: &Files,
        cpuid: &Fact<CpuidFacts>,
        info: &CpuInfo,
        groups: &Cgroups<'_>,
    ) -> Self {
        let product = product(files);
        Self {
            name: files.text("/proc/sys/kernel/hostname").into(),
            identity: identity(files).into(),
            os: os(files).into(),
            hypervisor: hypervisor(files, cpuid, info, &product).into(),
            product: product.into(),
            container_hints: container_hints(files, groups),
        }
    }

    /// The hypervisor's name, unless there is none or it is not known.
    pub fn guest_of(&self) -> Option<&str> {
        self.hypervisor.known().map(String::as_str).filter(|name| *name != NO_HYPERVISOR)
    }
}

const NO_HYPERVISOR: &str = "none";

/// As systemd advises: a keyed hash of the program's own name, whose key is the id.
fn identity(files: &Files) -> Found<String> {
    const PATH: &str = "/etc/machine-id";
    let id = files.secret(PATH)?;
    let half = |digits: &str| u64::from_str_radix(digits, 16).ok();
    let keys = id.split_at_checked(16).and_then(|(a, b)| half(a).zip(half(b)));
    let (a, b) = keys
        .filter(|_| id.len() == 32)
        .ok_or_else(|| format!("{PATH} holds no id of 32 hexadecimal digits"))?;
    // The standard library's SipHash 2-4 stays what it is; the hasher in its place may change.
    #[expect(deprecated, reason = "what replaces it promises no algorithm")]
    let mut hasher = SipHasher::new_with_keys(a, b);
    hasher.write(b"probecard");
    Ok(format!("{:016x}", hasher.finish()))
}

fn os(files: &Files) -> Found<String> {
    let read = |path: &str| -> Found<String> {
        let text = files.text(path)?;
        let value = text.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
        let value = value.map(|quoted| quoted.trim_matches(['"', '\'']).to_owned());
        value.ok_or_else(|| format!("{path} has no PRETTY_NAME"))
    };
    read("/etc/os-release").or_else(|reason| read("/usr/lib/os-release").map_err(|_| reason))
}

fn product(files: &Files) -> Found<String> {
    let parts = ["sys_vendor", "product_name"].map(|name| files.text(&format!("{DMI}/{name}")));
    let reason = parts.iter().find_map(|part| part.as_ref().err().cloned());
    let known: Vec<String> = parts.into_iter().flatten().filter(|part| !part.is_empty()).collect();
    if known.is_empty() {
        return files
            .text("/proc/device-tree/model")
            .map_err(|_| reason.unwrap_or_else(|| format!("{DMI} names no product")));
    }
    Ok(known.join(" "))
}

/// CPUID has the last word. Without it there are only traces, and their absence proves nothing.
fn hypervisor(
    files: &Files,
    cpuid: &Fact<CpuidFacts>,
    info: &CpuInfo,
    product: &Found<String>,
) -> Found<String> {
    if let Fact::Known(cpuid) = cpuid {
        return Ok(cpuid.hypervisor.clone().unwrap_or_else(|| NO_HYPERVISOR.into()));
    }
    if let Ok(kind) = files.text("/sys/hypervisor/type") {
        return Ok(kind);
    }
    if let Ok(compatible) = files.text("/proc/device-tree/hypervisor/compatible") {
        return Ok(compatible);
    }
    let product = product.as_deref().unwrap_or_default();
    let found = VIRTUAL_PRODUCTS.iter().find(|(trace, _)| product.contains(trace));
    if let Some((_, name)) = found {
        return Ok((*name).to_owned());
    }
    // An x86 kernel lists the bit by which a hypervisor shows itself.
    let flags = info.cpus().and_then(|cpus| info.get(cpus[0], "flags"));
    match flags.map(|flags| flags.split_whitespace().any(|flag| flag == "hypervisor")) {
        Ok(false) => Ok(NO_HYPERVISOR.into()),
        Ok(true) => Err("there is one (flags of /proc/cpuinfo), which only CPUID names".into()),
        Err(_) => Err("no CPUID, and neither /sys/hypervisor, the device tree nor the product \
                       names one"
            .into()),
    }
}

/// What virtual machines call themselves.
const VIRTUAL_PRODUCTS: &[(&str, &str)] = &[
    ("KVM", "KVM"),
    ("QEMU", "QEMU"),
    ("VMware", "VMware"),
    ("VirtualBox", "VirtualBox"),
    ("Microsoft Corporation Virtual Machine", "Hyper-V"),
    ("Google Compute Engine", "KVM"),
    ("Alibaba Cloud ECS", "KVM"),
    ("Apple Virtualization", "Apple"),
];

fn container_hints(files: &Files, groups: &Cgroups<'_>) -> Vec<String> {
    let traces = ["/.dockerenv", "/run/.containerenv", "/run/secrets/kubernetes.io/serviceaccount"];
    let mut hints: Vec<String> =
        traces.iter().filter(|path| files.exists(path)).map(|path| (*path).to_owned()).collect();
    let names = ["docker", "kubepods", "containerd", "libpod", "lxc", "machine.slice"];
    let telling = |path: &&str| names.iter().any(|name| path.contains(name));
    hints.extend(groups.paths().find(telling).map(|path| format!("cgroup {path}")));
    hints
}

#[cfg(test)]
mod tests {
    use super::super::Machine;
    use super::super::tree::Tree;
    use super::*;

    #[test]
    fn a_container_in_a_guest() {
        let host = Tree::new()
            .file("/etc/os-release", "NAME=x\nPRETTY_NAME=\"Debian GNU/Linux 12\"\n")
            .file("/proc/sys/kernel/hostname", "web-7\n")
            .file("/.dockerenv", "")
            .file("/proc/self/cgroup", "0::/kubepods/pod1\n")
            .file(&format!("{DMI}/sys_vendor"), "Amazon EC2\n")
            .file(&format!("{DMI}/product_name"), "m7a.large\n")
            .machine_with(CpuidFacts { hypervisor: Some("KVM".into()), ..CpuidFacts::default() })
            .host;
        assert_eq!(host.os, Fact::Known("Debian GNU/Linux 12".into()));
        assert_eq!(host.name, Fact::Known("web-7".into()));
        assert_eq!(host.product, Fact::Known("Amazon EC2 m7a.large".into()));
        assert_eq!(host.guest_of(), Some("KVM"));
        assert_eq!(host.container_hints, ["/.dockerenv", "cgroup /kubepods/pod1"]);
    }

    #[test]
    fn a_machine_id_is_told_by_a_number_of_its_own() {
        let identity = |id: &str| Tree::new().file("/etc/machine-id", id).machine().host.identity;
        let (id, clone) =
            ("0123456789abcdeffedcba9876543210\n", "1123456789abcdeffedcba9876543210");
        let hashed = identity(id);
        let number = hashed.known().unwrap();
        // Cards are compared for years: it stays what it is.
        assert_eq!(number, "88ac45aa5d3f318f");
        assert_ne!(identity(clone), hashed);
        for none in ["", "uninitialized", "0123456789abcdef", "é123456789abcdeffedcba987654321x"] {
            let reason = identity(none).reason().unwrap().to_owned();
            assert!(reason.contains("no id of 32") && !reason.contains("abcdef"), "{reason}");
        }
        assert!(Tree::new().machine().host.identity.reason().is_some());
        // What is sent to others has it neither hashed nor as it is.
        let tree = Tree::new().file("/etc/machine-id", id).file("/etc/os-release", "NAME=x\n");
        let files = tree.files().remembering();
        Machine::described_by(&files);
        let gathered = files.into_read();
        assert!(gathered.entries().any(|(path, _)| path == "/etc/os-release"));
        assert!(gathered.entries().all(|(path, _)| path != "/etc/machine-id"));
    }

    #[test]
    fn on_the_metal() {
        let host = Tree::new().machine_with(CpuidFacts::default()).host;
        assert_eq!((host.hypervisor.clone(), host.guest_of()), (Fact::Known("none".into()), None));
        assert_eq!(host.container_hints, [""; 0]);
        assert_eq!(host.product.reason(), Some("/sys does not exist"));
    }

    #[test]
    fn without_cpuid_traces_must_do() {
        let product = Tree::new().file(&format!("{DMI}/product_name"), "KVM Virtual Machine\n");
        assert_eq!(product.machine().host.guest_of(), Some("KVM"));
        let xen = Tree::new().file("/sys/hypervisor/type", "xen\n");
        assert_eq!(xen.machine().host.guest_of(), Some("xen"));
        let tree = Tree::new().file("/proc/device-tree/hypervisor/compatible", "linux,kvm\0");
        assert_eq!(tree.machine().host.guest_of(), Some("linux,kvm"));
        let none = Tree::new().machine().host;
        assert!(none.hypervisor.reason().is_some_and(|r| r.contains("no CPUID")));
    }
}
