//! Stores, and loads that may need what was stored.
use crate::kernel::generic::forward::{chain, chase_past_store, copy, vector};

/// Proof that 32 bytes can be stored and loaded at once. There is none: a NEON register has 16, and
/// a pair of them is two accesses on many cores.
#[derive(Clone, Copy, Debug)]
pub(in crate::kernel) enum Wide {}

impl Wide {
    pub(in crate::kernel) fn detect() -> Option<Wide> {
        None
    }
}

chain!(eight: 64 times "str {v}, [{s}]", "ldr {v}, [{l}]");
chain!(eight_in_small_loop: 4 times "str {v}, [{s}]", "ldr {v}, [{l}]");
chain!(eight_and_multiply: 64 times "str {v}, [{s}]", "ldr {v}, [{l}]", "mul {v}, {v}, {one}"; one);
chain!(four_of_eight: 64 times "str {v}, [{s}]", "ldr {v:w}, [{l}]");
chain!(eight_of_four: 64 times "str {v:w}, [{s}]", "ldr {v}, [{l}]");
chain!(two_stores: 64 times "str {v:w}, [{s}]", "str {v:w}, [{s}, #4]", "ldr {v}, [{l}]");

vector!(vector_16 (): "ldr q0, [{v}]" "str q0, [{s}]" "ldr q0, [{l}]" ["str q0, [{v}]"] "v0");

/// The same with 32 bytes, which nobody can ask for.
///
/// # Safety
/// There is no proof to call it with.
pub(in crate::kernel) unsafe fn vector_32(
    wide: Wide,
    _: *mut u8,
    _: *const u8,
    _: &mut [u64; 4],
    _: u64,
) {
    match wide {}
}

chase_past_store!("str {at}, [{s}]" "ldr {at}, [{at}]");

copy!("ldr q\\i, [{from}, #(16 * \\i)]" "str q\\i, [{to}, #(16 * \\i)]"
    ["add {from}, {from}, #64" "add {to}, {to}, #64"]
    [out("v0") _, out("v1") _, out("v2") _, out("v3") _,]);
