//! Streams through memory at each width: loads, stores and their mixtures.
//!
//! Stores past the caches are STNP, which is a hint: cores may treat it as any other store, and many
//! do.
use super::width::Width;
use crate::kernel::bandwidth::{Kernel, Lanes};
use crate::kernel::generic::bandwidth::{Stream, Walk, framed, one, three, two};

impl Width {
    /// The loop of a kernel; none for those that know no width.
    pub(in crate::kernel) fn stream(self, kernel: Kernel) -> Option<Stream> {
        let (scalar, neon, sve): (Stream, Stream, [Stream; 3]) = match kernel {
            Kernel::Read => (read_scalar, read_neon, READ_SVE),
            Kernel::ReadSum => (sum_scalar, sum_neon, SUM_SVE),
            Kernel::Write => (write_scalar, write_neon, WRITE_SVE),
            Kernel::WriteNt | Kernel::WriteNtZero => (write_nt_scalar, write_nt_neon, WRITE_NT_SVE),
            Kernel::Copy => (copy_scalar, copy_neon, COPY_SVE),
            Kernel::CopyNt => (copy_nt_scalar, copy_nt_neon, COPY_NT_SVE),
            Kernel::Triad => (triad_scalar, triad_neon, TRIAD_SVE),
            Kernel::Update => (update_scalar, update_neon, UPDATE_SVE),
            Kernel::ZeroLine | Kernel::Movsb | Kernel::Memcpy => return None,
        };
        Some(match self {
            Width::Scalar => scalar,
            Width::Neon => neon,
            Width::Sve(length) => length.of(sve),
        })
    }
}

/// The frame of all loops.
macro_rules! frame {
    ($name:ident $walk:ident $lanes:ident $parts:literal $regs:literal [$($before:literal)*]
     $($loop:tt)*) => {
        framed!(["add {at}, {at}, #512" "cmp {at}, {end}" "csel {at}, {base}, {at}, eq"]
            [out("v0") _, out("v1") _, out("v2") _, out("v3") _, out("v4") _, out("v5") _,
             out("v6") _, out("v7") _, out("v16") _, out("v17") _, out("v31") _, out("p0") _,]
            $name $walk $lanes $parts $regs [".arch_extension sve" $($before)*] $($loop)*);
    };
}

/// Puts the place at that distance into a register.
macro_rules! point {
    ($to:literal $distance:literal) => {
        concat!("add {", $to, "}, {at}, {", $distance, "}")
    };
}

pub(super) use {frame, point};

/// A loop of SVE for each length of its vectors: eight registers are that part of a block.
macro_rules! scalable {
    ($form:ident $name:ident $($rest:tt)*) => {
        const $name: [Stream; 3] = {
            $form!(short "0, 8, 16, 24" $($rest)*);
            $form!(middle "0, 8" $($rest)*);
            $form!(long "0" $($rest)*);
            [short, middle, long]
        };
    };
}

pub(super) use scalable;

one!(read_scalar "0, 64, 128, 192, 256, 320, 384, 448"
    []
    ["ldr {t}, [{at}, #(\\h + 8*\\i)]"]
    ["str {t}, [{lanes}]"]
    [t = out(reg) _,]);
one!(read_neon "0, 128, 256, 384"
    []
    ["ldr q\\i, [{at}, #(\\h + 16*\\i)]"]
    ["str q7, [{lanes}]"]);
scalable!(one READ_SVE
    []
    ["ldr z\\i, [{at}, #(\\h + \\i), mul vl]"]
    ["str z7, [{lanes}]"]);

frame!(sum_scalar walk lanes "0, 64, 128, 192, 256, 320, 384, 448" "8, 9, 10, 11, 12, 13, 14, 15"
    [".irp i, 8, 9, 10, 11, 12, 13, 14, 15" "mov x\\i, xzr" ".endr"]
    []
    ["ldr {t}, [{at}, #(\\h + 8*\\i - 64)]" "add x\\i, x\\i, {t}"]
    [".irp i, 8, 9, 10, 11, 12, 13, 14, 15" "str x\\i, [{lanes}, #(8*\\i - 64)]" ".endr"]
    [lanes = in(reg) lanes.0.as_mut_ptr(), t = out(reg) _,
     out("x8") _, out("x9") _, out("x10") _, out("x11") _,
     out("x12") _, out("x13") _, out("x14") _, out("x15") _,]);
one!(sum_neon "0, 128, 256, 384"
    [".irp i, 0, 1, 2, 3, 4, 5, 6, 7" "movi.2d v\\i, #0" ".endr"]
    ["ldr q16, [{at}, #(\\h + 16*\\i)]" "add.2d v\\i, v\\i, v16"]
    [".irp i, 0, 1, 2, 3, 4, 5, 6, 7" "str q\\i, [{lanes}, #(16*\\i)]" ".endr"]);
scalable!(one SUM_SVE
    [".irp i, 0, 1, 2, 3, 4, 5, 6, 7" "movi.2d v\\i, #0" ".endr"]
    ["ldr z16, [{at}, #(\\h + \\i), mul vl]" "add z\\i\\\\()().d, z\\i\\\\()().d, z16.d"]
    [".irp i, 0, 1, 2, 3, 4, 5, 6, 7" "str z\\i, [{lanes}, #\\i, mul vl]" ".endr"]);

one!(write_scalar "0, 64, 128, 192, 256, 320, 384, 448"
    ["ldr {t}, [{lanes}]"]
    ["str {t}, [{at}, #(\\h + 8*\\i)]"]
    []
    [t = out(reg) _,]);
one!(write_neon "0, 128, 256, 384"
    ["ldr q31, [{lanes}]"]
    ["str q31, [{at}, #(\\h + 16*\\i)]"]
    []);
scalable!(one WRITE_SVE
    ["ldr z31, [{lanes}]"]
    ["str z31, [{at}, #(\\h + \\i), mul vl]"]
    []);

one!(write_nt_scalar "0, 128, 256, 384"
    ["ldr {t}, [{lanes}]"]
    ["stnp {t}, {t}, [{at}, #(\\h + 16*\\i)]"]
    ["dmb ishst"]
    [t = out(reg) _,]);
one!(write_nt_neon "0, 256"
    ["ldr q31, [{lanes}]"]
    ["stnp q31, q31, [{at}, #(\\h + 32*\\i)]"]
    ["dmb ishst"]);
scalable!(one WRITE_NT_SVE
    ["ldr z31, [{lanes}]" "ptrue p0.b"]
    ["addvl {t}, {at}, #\\h" "stnt1d {{ z31.d }}, p0, [{t}, #\\i, mul vl]"]
    ["dmb ishst"]
    [t = out(reg) _,]);

two!(copy_scalar "0, 64, 128, 192, 256, 320, 384, 448"
    []
    ["ldr {t}, [{at}, #(\\h + 8*\\i)]" "str {t}, [{to}, #(\\h + 8*\\i)]"]
    []
    [t = out(reg) _,]);
two!(copy_neon "0, 128, 256, 384"
    []
    ["ldr q\\i, [{at}, #(\\h + 16*\\i)]" "str q\\i, [{to}, #(\\h + 16*\\i)]"]
    []);
scalable!(two COPY_SVE
    []
    ["ldr z\\i, [{at}, #(\\h + \\i), mul vl]" "str z\\i, [{to}, #(\\h + \\i), mul vl]"]
    []);

two!(copy_nt_scalar "0, 128, 256, 384"
    []
    ["ldp {t}, {u}, [{at}, #(\\h + 16*\\i)]" "stnp {t}, {u}, [{to}, #(\\h + 16*\\i)]"]
    ["dmb ishst"]
    [t = out(reg) _, u = out(reg) _,]);
two!(copy_nt_neon "0, 256"
    []
    ["ldp q16, q17, [{at}, #(\\h + 32*\\i)]" "stnp q16, q17, [{to}, #(\\h + 32*\\i)]"]
    ["dmb ishst"]);
scalable!(two COPY_NT_SVE
    ["ptrue p0.b"]
    ["ldr z16, [{at}, #(\\h + \\i), mul vl]" "addvl {t}, {to}, #\\h"
     "stnt1d {{ z16.d }}, p0, [{t}, #\\i, mul vl]"]
    ["dmb ishst"]
    [t = out(reg) _,]);

three!(triad_scalar "0, 64, 128, 192, 256, 320, 384, 448"
    ["ldr d31, [{lanes}]"]
    ["ldr d\\i, [{at}, #(\\h + 8*\\i)]" "ldr d16, [{and}, #(\\h + 8*\\i)]"
     "fmadd d\\i, d16, d31, d\\i" "str d\\i, [{to}, #(\\h + 8*\\i)]"]
    []);
three!(triad_neon "0, 128, 256, 384"
    ["ldr q31, [{lanes}]"]
    ["ldr q\\i, [{at}, #(\\h + 16*\\i)]" "ldr q16, [{and}, #(\\h + 16*\\i)]"
     "fmla.2d v\\i, v16, v31" "str q\\i, [{to}, #(\\h + 16*\\i)]"]
    []);
scalable!(three TRIAD_SVE
    ["ldr z31, [{lanes}]" "ptrue p0.b"]
    ["ldr z\\i, [{at}, #(\\h + \\i), mul vl]" "ldr z16, [{and}, #(\\h + \\i), mul vl]"
     "fmla z\\i\\\\()().d, p0/m, z16.d, z31.d" "str z\\i, [{to}, #(\\h + \\i), mul vl]"]
    []);

one!(update_scalar "0, 64, 128, 192, 256, 320, 384, 448"
    ["ldr {t}, [{lanes}]"]
    ["ldr {u}, [{at}, #(\\h + 8*\\i)]" "add {u}, {u}, {t}" "str {u}, [{at}, #(\\h + 8*\\i)]"]
    []
    [t = out(reg) _, u = out(reg) _,]);
one!(update_neon "0, 128, 256, 384"
    ["ldr q31, [{lanes}]"]
    ["ldr q\\i, [{at}, #(\\h + 16*\\i)]" "add.2d v\\i, v\\i, v31"
     "str q\\i, [{at}, #(\\h + 16*\\i)]"]
    []);
scalable!(one UPDATE_SVE
    ["ldr z31, [{lanes}]"]
    ["ldr z\\i, [{at}, #(\\h + \\i), mul vl]" "add z\\i\\\\()().d, z\\i\\\\()().d, z31.d" "str z\\i, [{at}, #(\\h + \\i), mul vl]"]
    []);

frame!(clear_lines walk _lanes "0" "0, 1, 2, 3, 4, 5, 6, 7"
    []
    []
    ["add {t}, {at}, #(64*\\i)" "dc zva, {t}"]
    ["dmb ishst"]
    [t = out(reg) _,]);

/// The instruction that clears a line: DC ZVA, where it clears 64 bytes, as on almost all cores.
#[derive(Clone, Copy, Debug)]
pub(in crate::kernel) struct ZeroLine(());

impl ZeroLine {
    pub(in crate::kernel) fn detect() -> Option<ZeroLine> {
        let id: u64;
        // SAFETY: the register tells the size, and may be read by every program.
        unsafe {
            core::arch::asm!("mrs {}, dczid_el0", out(reg) id,
                options(nomem, nostack, preserves_flags));
        }
        // Bit 4 forbids it; below it is the logarithm of the words of four bytes.
        (id & 0x1f == 4).then_some(ZeroLine(()))
    }

    pub(in crate::kernel) fn stream(self) -> Stream {
        clear_lines
    }
}

/// The instruction that copies by itself. There is none: those of FEAT_MOPS have no kernel here
/// yet.
#[derive(Clone, Copy, Debug)]
pub(in crate::kernel) enum Movsb {}

impl Movsb {
    pub(in crate::kernel) fn detect() -> Option<Movsb> {
        None
    }

    /// Nobody can call it.
    ///
    /// # Safety
    /// There is no proof to call it with.
    pub(in crate::kernel) unsafe fn copy(self, _: *mut u8, _: *const u8, _: usize) {
        match self {}
    }
}
