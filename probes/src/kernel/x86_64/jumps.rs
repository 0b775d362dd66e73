//! An indirect jump.
use crate::kernel::generic::loops::indirect;

indirect!(
    "lea {base}, [rip + 4f]"
    ["movzx {to:e}, byte ptr [{next}]" "inc {next}" "shl {to}, 6" "add {to}, {base}" "jmp {to}"]
    ["add {sum}, \\t" "dec {n}" "jnz 2b" "jmp 3f"]
);
