//! Stores, and loads that may need what was stored.
use crate::kernel::generic::forward::{chain, chase_past_store, copy, vector};

/// Proof that 32 bytes can be stored and loaded at once.
pub(in crate::kernel) use super::vector::Avx as Wide;

chain!(eight: 64 times "mov [{s}], {v}", "mov {v}, [{l}]");
chain!(eight_in_small_loop: 4 times "mov [{s}], {v}", "mov {v}, [{l}]");
chain!(eight_and_multiply: 64 times "mov [{s}], {v}", "mov {v}, [{l}]", "imul {v}, {one}"; one);
chain!(four_of_eight: 64 times "mov [{s}], {v}", "mov {v:e}, [{l}]");
chain!(eight_of_four: 64 times "mov [{s}], {v:e}", "mov {v}, [{l}]");
chain!(two_stores: 64 times "mov [{s}], {v:e}", "mov [{s} + 4], {v:e}", "mov {v}, [{l}]");

vector!(vector_16 (): "movups xmm0, [{v}]" "movups [{s}], xmm0" "movups xmm0, [{l}]"
    ["movups [{v}], xmm0"] "xmm0");
vector!(vector_32 Wide: "vmovups ymm0, [{v}]" "vmovups [{s}], ymm0" "vmovups ymm0, [{l}]"
    ["vmovups [{v}], ymm0" "vzeroupper"] "ymm0");

chase_past_store!("mov [{s}], {at}" "mov {at}, [{at}]");

copy!("movups xmm\\i, [{from} + 16*\\i]" "movups [{to} + 16*\\i], xmm\\i"
    ["add {from}, 64" "add {to}, 64"]
    [out("xmm0") _, out("xmm1") _, out("xmm2") _, out("xmm3") _,]);
