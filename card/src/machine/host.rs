//! Where the program runs: host, operating system, virtual machine, container.

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
