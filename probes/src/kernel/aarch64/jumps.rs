//! An indirect jump.
use crate::kernel::generic::loops::indirect;

indirect!(
    "adr {base}, 4f"
    ["ldrb {to:w}, [{next}], #1" "add {to}, {base}, {to}, lsl #6" "br {to}"]
    ["add {sum}, {sum}, #\\t" "subs {n}, {n}, #1" "b.ne 2b" "b 3f"]
);
