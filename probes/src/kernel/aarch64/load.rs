//! Traffic on the way to memory, as much as is wanted.
use crate::kernel::generic::loops::read;

read!(
    ["ldr {a}, [{at}]" "ldr {b}, [{at}, #64]" "ldr {c}, [{at}, #128]" "ldr {d}, [{at}, #192]"
     "add {at}, {at}, #256"]
    ["mov {left}, {delay}" "cbz {left}, 4f"]
    "mul {chain}, {chain}, {chain}" "subs {left}, {left}, #1\nb.ne 3b"
);
