//! Reading memory in a straight line.
use crate::kernel::generic::loops::sum;

sum!(
    [".irp i, 0, 1, 2, 3" "pxor xmm\\i, xmm\\i" ".endr"]
    [".irp at, 0, 64, 128, 192" "paddd xmm0, [{at} + \\at]" "paddd xmm1, [{at} + \\at + 16]"
     "paddd xmm2, [{at} + \\at + 32]" "paddd xmm3, [{at} + \\at + 48]" ".endr" "add {at}, 256"]
    ["paddd xmm0, xmm1" "paddd xmm2, xmm3" "paddd xmm0, xmm2" "movdqu [{lanes}], xmm0"]
    [out("xmm0") _, out("xmm1") _, out("xmm2") _, out("xmm3") _,]
);
