#!/usr/bin/env bash
# Boots the emulated machines that tests/emulated/main.rs lists and runs the real program in them.
# Needs QEMU, cpio, Debian kernels and a toolchain for aarch64, and gets what is missing by apt;
# without a way to get it, says so in one line and ends well, or badly if
# PROBECARD_REQUIRE_EMULATED is set. Arguments go to the tests: a name, --skip NAME.
set -euo pipefail
cd "$(dirname "$0")/../.."
top=$PWD/target/emulated

skip() {
    echo "emulated machines: not tested, $1"
    [ -z "${PROBECARD_REQUIRE_EMULATED-}" ]
    exit
}

apt() {
    DEBIAN_FRONTEND=noninteractive apt-get -qq -o APT::Sandbox::User=root "$@" >/dev/null 2>&1
}

install() {
    apt install -y --no-install-recommends "$@" || { apt update && apt install -y --no-install-recommends "$@"; }
}

# need COMMAND PACKAGE...: installs the packages unless there is the command.
need() {
    command -v "$1" >/dev/null || install "${@:2}" || true
    command -v "$1" >/dev/null || skip "$1 is missing and cannot be installed"
}

# Downloads into this folder the package of the kernel that the first of these that there is depends on.
download() {
    local package
    package=$(apt-cache depends "$@" 2>/dev/null | sed -n 's/.*Depends: \(linux-image.*\)/\1/p' | head -1)
    [ -n "$package" ] && apt download "$package"
}

# kernel ARCHITECTURE FILE PACKAGE...: of the first package that there is. It is kept, because it is a
# large download.
kernel() {
    local folder=$top/$1 file=$2 scratch
    mkdir -p "$folder"
    [ -e "$folder/$file" ] && return
    scratch=$(mktemp -d)
    (cd "$scratch" && { download "${@:3}" || { apt update && download "${@:3}"; }; }) ||
        skip "no kernel (${*:3}) can be downloaded"
    dpkg-deb -x "$scratch"/linux-image-*.deb "$scratch/kernel"
    cp "$scratch"/kernel/boot/vmlinuz-* "$folder/$file"
    rm -rf "$scratch"
}

# build ARCHITECTURE TARGET OPTION...: the program and the first process, and a file system of both.
# Fast to build, not to run: nothing is timed. In folders of their own, so that no compiler throws
# away what another one built.
build() {
    local folder=$top/$1 root=$top/$1/root
    local built=$folder/built/$2/emulated
    RUSTFLAGS="-C target-feature=+crt-static" CARGO_TARGET_DIR=$folder/built \
        cargo build --locked --profile emulated --target "$2" -p probecard -p emulated-init --bins
    rm -rf "$root"
    mkdir -p "$root"/{proc,sys,dev,tmp}
    cp "$built/probecard" "$root/probecard"
    cp "$built/emulated-init" "$root/init"
    (cd "$root" && find . | cpio --quiet -o -H newc) >"$folder/initramfs"
}

# property NODE NAME VALUE...: numbers in hexadecimal, in the device tree.
property() {
    fdtput -t x "$tree" "$@"
}

# holds NODE PREFIX SETS: a cache of so many sets, four ways and lines of 64 bytes.
holds() {
    property "$1" "$2-size" "$(printf %x $((0x$3 * 4 * 64)))"
    property "$1" "$2-line-size" 40
    property "$1" "$2-sets" "$3"
}

# unified NODE LEVEL SETS NAME: a cache as a node of its own, which others can name.
unified() {
    fdtput -p -t s "$tree" "$1" compatible cache
    fdtput "$tree" "$1" cache-unified
    property "$1" cache-level "$2"
    holds "$1" cache "$3"
    property "$1" phandle "$4"
}

# QEMU's machine says nothing of caches: a device tree of four CPUs that have them, 64 KiB, 1 MiB
# and, for all together, 4 MiB.
caches() {
    local cpu tree=$top/aarch64/caches.dtb
    qemu-system-aarch64 -M "virt,dumpdtb=$tree" -cpu neoverse-n1 -smp 4 >/dev/null 2>&1
    unified /cpus/l3-cache 3 4000 7003
    for cpu in 0 1 2 3; do
        holds /cpus/cpu@$cpu d-cache 100
        holds /cpus/cpu@$cpu i-cache 100
        unified /cpus/l2-cache$cpu 2 1000 701$cpu
        property /cpus/cpu@$cpu next-level-cache 701$cpu
        property /cpus/l2-cache$cpu next-level-cache 7003
    done
}

# The same with two kinds of core: QEMU has one design for all, but what the scheduler is told of
# their work may differ.
kinds() {
    local cpu tree=$top/aarch64/kinds.dtb
    cp "$top/aarch64/caches.dtb" "$tree"
    for cpu in 0 1 2 3; do
        property /cpus/cpu@$cpu capacity-dmips-mhz "$(if [ $cpu -lt 2 ]; then echo 200; else echo 400; fi)"
    done
}

need cpio cpio
need qemu-system-x86_64 qemu-system-x86
kernel x86_64 kernel linux-image-cloud-amd64
build x86_64 x86_64-unknown-linux-gnu

# A compiler for aarch64: the usual one where it has that target or can get it, else Debian's.
target=aarch64-unknown-linux-gnu
has_target() {
    [ -e "$("$1" --print target-libdir --target $target 2>/dev/null)" ]
}
need qemu-system-aarch64 qemu-system-arm
need qemu-aarch64-static qemu-user-static
need fdtput device-tree-compiler
need aarch64-linux-gnu-gcc gcc-aarch64-linux-gnu libc6-dev-arm64-cross
dpkg --print-foreign-architectures | grep -qx arm64 || { dpkg --add-architecture arm64 && apt update; } ||
    skip "packages for arm64 cannot be had"
kernel aarch64 kernel linux-image-arm64:arm64
# The release of 2023 has it under the other name.
kernel aarch64 kernel-16k linux-image-arm64-16k:arm64 linux-image-6.12-arm64-16k:arm64
compiler=${RUSTC-rustc}
if ! has_target "$compiler" && ! rustup target add $target >/dev/null 2>&1; then
    compiler=/usr/bin/rustc
    has_target $compiler || install rustc-web libstd-rust-web-dev:arm64 libc6-dev:arm64 || true
    has_target $compiler || skip "there is no Rust compiler for $target"
fi
caches
kinds
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
RUSTC=$compiler build aarch64 $target
# Each kernel by itself, without a machine around it, with each length of SVE's vectors that there are
# kernels for; its instructions are the same however little the rest is optimised.
for bytes in 16 32 64; do
    QEMU_CPU=max,pauth-impdef=on,sve-default-vector-length=$bytes \
        RUSTC=$compiler CARGO_TARGET_DIR=$top/aarch64/built RUSTFLAGS="-C target-feature=+crt-static" \
        CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER=qemu-aarch64-static \
        cargo test --locked --quiet --profile emulated --target $target -p probecard-probes --lib \
        --config 'profile.emulated.package.probecard-probes.opt-level=0' kernel
done

# One after the other: each has several CPUs to emulate.
PROBECARD_EMULATED=$top cargo test --locked --test emulated -- --test-threads 1 "$@"
