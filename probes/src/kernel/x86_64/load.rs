//! Traffic on the way to memory, as much as is wanted.
use crate::kernel::generic::loops::read;

read!(
    ["mov {a}, [{at}]" "mov {b}, [{at} + 64]" "mov {c}, [{at} + 128]" "mov {d}, [{at} + 192]"
     "add {at}, 256"]
    ["mov {left}, {delay}" "test {left}, {left}" "jz 4f"]
    "imul {chain}, {chain}" "dec {left}\njnz 3b"
);
