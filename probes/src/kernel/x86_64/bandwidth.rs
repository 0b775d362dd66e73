//! Streams through memory at each width: loads, stores and their mixtures.
use core::arch::asm;

use raw_cpuid::CpuId;

use super::width::Width;
use crate::kernel::bandwidth::{Kernel, Lanes};
use crate::kernel::generic::bandwidth::{Stream, Walk, framed, one, three, two};

impl Width {
    /// The loop of a kernel; none for those that know no width.
    pub(in crate::kernel) fn stream(self, kernel: Kernel) -> Option<Stream> {
        let [scalar, sse, avx, avx512]: [Stream; 4] = match kernel {
            Kernel::Read => [read_scalar, read_sse, read_avx, read_avx512],
            Kernel::ReadSum => [sum_scalar, sum_sse, sum_avx, sum_avx512],
            Kernel::Write => [write_scalar, write_sse, write_avx, write_avx512],
            Kernel::WriteNt | Kernel::WriteNtZero => {
                [write_nt_scalar, write_nt_sse, write_nt_avx, write_nt_avx512]
            }
            Kernel::Copy => [copy_scalar, copy_sse, copy_avx, copy_avx512],
            Kernel::CopyNt => [copy_nt_scalar, copy_nt_sse, copy_nt_avx, copy_nt_avx512],
            Kernel::Triad => [triad_scalar, triad_sse, triad_avx, triad_avx512],
            Kernel::Update => [update_scalar, update_sse, update_avx, update_avx512],
            Kernel::ZeroLine | Kernel::Movsb | Kernel::Memcpy => return None,
        };
        Some(match self {
            Width::Scalar(_) => scalar,
            Width::Sse(_) => sse,
            Width::Avx(_) => avx,
            Width::Avx512(_) => avx512,
        })
    }
}

/// The frame of all loops.
macro_rules! frame {
    ($($loop:tt)*) => {
        framed!(["add {at}, 512" "cmp {at}, {end}" "cmove {at}, {base}"]
            [out("ymm0") _, out("ymm1") _, out("ymm2") _, out("ymm3") _,
             out("ymm4") _, out("ymm5") _, out("ymm6") _, out("ymm7") _, out("ymm15") _,]
            $($loop)*);
    };
}

/// Puts the place at that distance into a register.
macro_rules! point {
    ($to:literal $distance:literal) => {
        concat!("lea {", $to, "}, [{at} + {", $distance, "}]")
    };
}

pub(super) use {frame, point};

one!(read_scalar "0, 64, 128, 192, 256, 320, 384, 448"
    []
    ["mov {t}, [{at} + \\h + 8*\\i]"]
    ["mov [{lanes}], {t}"]
    [t = out(reg) _,]);
one!(read_sse "0, 128, 256, 384"
    []
    ["movdqa xmm\\i, [{at} + \\h + 16*\\i]"]
    ["movdqa [{lanes}], xmm7"]);
one!(read_avx "0, 256"
    []
    ["vmovdqa ymm\\i, [{at} + \\h + 32*\\i]"]
    ["vmovdqa [{lanes}], ymm7" "vzeroupper"]);
one!(read_avx512 "0"
    []
    ["vmovdqa64 zmm\\i, [{at} + \\h + 64*\\i]"]
    ["vmovdqa64 [{lanes}], zmm7" "vzeroupper"]);

frame!(sum_scalar walk lanes "0, 64, 128, 192, 256, 320, 384, 448" "8, 9, 10, 11, 12, 13, 14, 15"
    ["xor r8, r8" "xor r9, r9" "xor r10, r10" "xor r11, r11"
     "xor r12, r12" "xor r13, r13" "xor r14, r14" "xor r15, r15"]
    []
    ["add r\\i, [{at} + \\h + 8*\\i - 64]"]
    [".irp i, 8, 9, 10, 11, 12, 13, 14, 15" "mov [{lanes} + 8*\\i - 64], r\\i" ".endr"]
    [lanes = in(reg) lanes.0.as_mut_ptr(),
     out("r8") _, out("r9") _, out("r10") _, out("r11") _,
     out("r12") _, out("r13") _, out("r14") _, out("r15") _,]);
one!(sum_sse "0, 128, 256, 384"
    [".irp i, 0, 1, 2, 3, 4, 5, 6, 7" "pxor xmm\\i, xmm\\i" ".endr"]
    ["paddq xmm\\i, [{at} + \\h + 16*\\i]"]
    [".irp i, 0, 1, 2, 3, 4, 5, 6, 7" "movdqa [{lanes} + 16*\\i], xmm\\i" ".endr"]);
one!(sum_avx "0, 256"
    [".irp i, 0, 1, 2, 3, 4, 5, 6, 7" "vpxor ymm\\i, ymm\\i, ymm\\i" ".endr"]
    ["vpaddq ymm\\i, ymm\\i, [{at} + \\h + 32*\\i]"]
    [".irp i, 0, 1, 2, 3, 4, 5, 6, 7" "vmovdqa [{lanes} + 32*\\i], ymm\\i" ".endr" "vzeroupper"]);
one!(sum_avx512 "0"
    [".irp i, 0, 1, 2, 3, 4, 5, 6, 7" "vpxorq zmm\\i, zmm\\i, zmm\\i" ".endr"]
    ["vpaddq zmm\\i, zmm\\i, [{at} + \\h + 64*\\i]"]
    [".irp i, 0, 1, 2, 3, 4, 5, 6, 7" "vmovdqa64 [{lanes} + 64*\\i], zmm\\i" ".endr" "vzeroupper"]);

one!(write_scalar "0, 64, 128, 192, 256, 320, 384, 448"
    ["mov {t}, [{lanes}]"]
    ["mov [{at} + \\h + 8*\\i], {t}"]
    []
    [t = out(reg) _,]);
one!(write_sse "0, 128, 256, 384"
    ["movdqa xmm15, [{lanes}]"]
    ["movdqa [{at} + \\h + 16*\\i], xmm15"]
    []);
one!(write_avx "0, 256"
    ["vmovdqa ymm15, [{lanes}]"]
    ["vmovdqa [{at} + \\h + 32*\\i], ymm15"]
    ["vzeroupper"]);
one!(write_avx512 "0"
    ["vmovdqa64 zmm15, [{lanes}]"]
    ["vmovdqa64 [{at} + \\h + 64*\\i], zmm15"]
    ["vzeroupper"]);

one!(write_nt_scalar "0, 64, 128, 192, 256, 320, 384, 448"
    ["mov {t}, [{lanes}]"]
    ["movnti [{at} + \\h + 8*\\i], {t}"]
    ["sfence"]
    [t = out(reg) _,]);
one!(write_nt_sse "0, 128, 256, 384"
    ["movdqa xmm15, [{lanes}]"]
    ["movntdq [{at} + \\h + 16*\\i], xmm15"]
    ["sfence"]);
one!(write_nt_avx "0, 256"
    ["vmovdqa ymm15, [{lanes}]"]
    ["vmovntdq [{at} + \\h + 32*\\i], ymm15"]
    ["sfence" "vzeroupper"]);
one!(write_nt_avx512 "0"
    ["vmovdqa64 zmm15, [{lanes}]"]
    ["vmovntdq [{at} + \\h + 64*\\i], zmm15"]
    ["sfence" "vzeroupper"]);

two!(copy_scalar "0, 64, 128, 192, 256, 320, 384, 448"
    []
    ["mov {t}, [{at} + \\h + 8*\\i]" "mov [{to} + \\h + 8*\\i], {t}"]
    []
    [t = out(reg) _,]);
two!(copy_sse "0, 128, 256, 384"
    []
    ["movdqa xmm\\i, [{at} + \\h + 16*\\i]" "movdqa [{to} + \\h + 16*\\i], xmm\\i"]
    []);
two!(copy_avx "0, 256"
    []
    ["vmovdqa ymm\\i, [{at} + \\h + 32*\\i]" "vmovdqa [{to} + \\h + 32*\\i], ymm\\i"]
    ["vzeroupper"]);
two!(copy_avx512 "0"
    []
    ["vmovdqa64 zmm\\i, [{at} + \\h + 64*\\i]" "vmovdqa64 [{to} + \\h + 64*\\i], zmm\\i"]
    ["vzeroupper"]);

two!(copy_nt_scalar "0, 64, 128, 192, 256, 320, 384, 448"
    []
    ["mov {t}, [{at} + \\h + 8*\\i]" "movnti [{to} + \\h + 8*\\i], {t}"]
    ["sfence"]
    [t = out(reg) _,]);
two!(copy_nt_sse "0, 128, 256, 384"
    []
    ["movdqa xmm\\i, [{at} + \\h + 16*\\i]" "movntdq [{to} + \\h + 16*\\i], xmm\\i"]
    ["sfence"]);
two!(copy_nt_avx "0, 256"
    []
    ["vmovdqa ymm\\i, [{at} + \\h + 32*\\i]" "vmovntdq [{to} + \\h + 32*\\i], ymm\\i"]
    ["sfence" "vzeroupper"]);
two!(copy_nt_avx512 "0"
    []
    ["vmovdqa64 zmm\\i, [{at} + \\h + 64*\\i]" "vmovntdq [{to} + \\h + 64*\\i], zmm\\i"]
    ["sfence" "vzeroupper"]);

three!(triad_scalar "0, 64, 128, 192, 256, 320, 384, 448"
    ["movsd xmm15, [{lanes}]"]
    ["movsd xmm\\i, [{and} + \\h + 8*\\i]" "mulsd xmm\\i, xmm15"
     "addsd xmm\\i, [{at} + \\h + 8*\\i]" "movsd [{to} + \\h + 8*\\i], xmm\\i"]
    []);
three!(triad_sse "0, 128, 256, 384"
    ["movapd xmm15, [{lanes}]"]
    ["movapd xmm\\i, [{and} + \\h + 16*\\i]" "mulpd xmm\\i, xmm15"
     "addpd xmm\\i, [{at} + \\h + 16*\\i]" "movapd [{to} + \\h + 16*\\i], xmm\\i"]
    []);
three!(triad_avx "0, 256"
    ["vmovapd ymm15, [{lanes}]"]
    ["vmovapd ymm\\i, [{and} + \\h + 32*\\i]" "vfmadd213pd ymm\\i, ymm15, [{at} + \\h + 32*\\i]"
     "vmovapd [{to} + \\h + 32*\\i], ymm\\i"]
    ["vzeroupper"]);
three!(triad_avx512 "0"
    ["vmovapd zmm15, [{lanes}]"]
    ["vmovapd zmm\\i, [{and} + \\h + 64*\\i]" "vfmadd213pd zmm\\i, zmm15, [{at} + \\h + 64*\\i]"
     "vmovapd [{to} + \\h + 64*\\i], zmm\\i"]
    ["vzeroupper"]);

one!(update_scalar "0, 64, 128, 192, 256, 320, 384, 448"
    ["mov {t}, [{lanes}]"]
    ["add [{at} + \\h + 8*\\i], {t}"]
    []
    [t = out(reg) _,]);
one!(update_sse "0, 128, 256, 384"
    ["movdqa xmm15, [{lanes}]"]
    ["movdqa xmm\\i, xmm15" "paddq xmm\\i, [{at} + \\h + 16*\\i]"
     "movdqa [{at} + \\h + 16*\\i], xmm\\i"]
    []);
one!(update_avx "0, 256"
    ["vmovdqa ymm15, [{lanes}]"]
    ["vpaddq ymm\\i, ymm15, [{at} + \\h + 32*\\i]" "vmovdqa [{at} + \\h + 32*\\i], ymm\\i"]
    ["vzeroupper"]);
one!(update_avx512 "0"
    ["vmovdqa64 zmm15, [{lanes}]"]
    ["vpaddq zmm\\i, zmm15, [{at} + \\h + 64*\\i]" "vmovdqa64 [{at} + \\h + 64*\\i], zmm\\i"]
    ["vzeroupper"]);

frame!(clear_lines walk _lanes "0" "0, 1, 2, 3, 4, 5, 6, 7"
    []
    []
    ["lea rax, [{at} + 64*\\i]" "clzero"]
    ["sfence"]
    [out("rax") _,]);

/// The instruction that clears a line: AMD's CLZERO, whose lines have 64 bytes.
#[derive(Clone, Copy, Debug)]
pub(in crate::kernel) struct ZeroLine(());

impl ZeroLine {
    /// Asks the CPU, which a hypervisor may answer for: not where time counts.
    pub(in crate::kernel) fn detect() -> Option<ZeroLine> {
        let info = CpuId::new().get_processor_capacity_feature_info()?;
        info.has_cl_zero().then_some(ZeroLine(()))
    }

    pub(in crate::kernel) fn stream(self) -> Stream {
        clear_lines
    }
}

/// The instruction that copies by itself.
#[derive(Clone, Copy, Debug)]
pub(in crate::kernel) struct Movsb(());

impl Movsb {
    /// Every CPU has it.
    pub(in crate::kernel) fn detect() -> Option<Movsb> {
        Some(Movsb(()))
    }

    /// Copies with `rep movsb`.
    ///
    /// # Safety
    /// `len` bytes must be readable at `from` and writable at `to`, apart from each other.
    pub(in crate::kernel) unsafe fn copy(self, to: *mut u8, from: *const u8, len: usize) {
        // SAFETY: both ranges are the caller's; the direction flag is clear by the ABI.
        unsafe {
            asm!(
                "rep movsb",
                inout("rdi") to => _,
                inout("rsi") from => _,
                inout("rcx") len => _,
                options(nostack, preserves_flags),
            );
        }
    }
}
