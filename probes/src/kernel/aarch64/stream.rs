//! Reading memory in a straight line.
use crate::kernel::generic::loops::sum;

sum!(
    [".irp i, 0, 1, 2, 3" "movi.2d v\\i, #0" ".endr"]
    [".irp at, 0, 64, 128, 192" "ldp q4, q5, [{at}, #\\at]" "ldp q6, q7, [{at}, #(\\at + 32)]"
     "add v0.4s, v0.4s, v4.4s" "add v1.4s, v1.4s, v5.4s" "add v2.4s, v2.4s, v6.4s"
     "add v3.4s, v3.4s, v7.4s" ".endr" "add {at}, {at}, #256"]
    ["add v0.4s, v0.4s, v1.4s" "add v2.4s, v2.4s, v3.4s" "add v0.4s, v0.4s, v2.4s"
     "str q0, [{lanes}]"]
    [out("v0") _, out("v1") _, out("v2") _, out("v3") _,
     out("v4") _, out("v5") _, out("v6") _, out("v7") _,]
);
