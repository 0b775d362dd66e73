#!/usr/bin/env bash
# Boots the emulated machines that tests/emulated/main.rs lists and runs the real program in them.
# Needs QEMU, cpio and a Debian kernel, and gets what is missing by apt; without a way to get it,
# says so in one line and ends well.
set -euo pipefail
cd "$(dirname "$0")/../.."
target=x86_64-unknown-linux-gnu
folder=$PWD/target/emulated/x86_64

skip() {
    echo "emulated machines: not tested, $1"
    exit 0
}

have() {
    command -v qemu-system-x86_64 cpio >/dev/null
}

apt() {
    DEBIAN_FRONTEND=noninteractive apt-get -qq -o APT::Sandbox::User=root "$@" >/dev/null 2>&1
}

if ! have; then
    { apt update && apt install -y --no-install-recommends qemu-system-x86 cpio; } || true
    have || skip "qemu-system-x86_64 or cpio is missing and cannot be installed"
fi

# Downloads the kernel's package into this folder.
download() {
    local package
    package=$(apt-cache depends linux-image-cloud-amd64 2>/dev/null |
        sed -n 's/.*Depends: \(linux-image.*\)/\1/p')
    [ -n "$package" ] && apt download "$package"
}

# It is kept: it is a large download.
mkdir -p "$folder"
if ! [ -e "$folder/kernel" ]; then
    scratch=$(mktemp -d)
    trap 'rm -rf "$scratch"' EXIT
    (cd "$scratch" && { download || { apt update && download; }; }) ||
        skip "no kernel (linux-image-cloud-amd64) can be downloaded"
    dpkg-deb -x "$scratch"/linux-image-*.deb "$scratch/kernel"
    cp "$scratch"/kernel/boot/vmlinuz-* "$folder/kernel"
fi

RUSTFLAGS="-C target-feature=+crt-static" cargo build --locked --release --target $target \
    --bin probecard --example emulated-init
root=$folder/root
rm -rf "$root"
mkdir -p "$root"/{proc,sys,dev,tmp}
cp "target/$target/release/probecard" "$root/probecard"
cp "target/$target/release/examples/emulated-init" "$root/init"
(cd "$root" && find . | cpio --quiet -o -H newc) >"$folder/initramfs"

# One after the other: each has several CPUs to emulate.
PROBECARD_EMULATED=$folder cargo test --locked --test emulated -- --ignored --nocapture --test-threads 1
