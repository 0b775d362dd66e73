//! Dependent loads.
use crate::kernel::generic::loops::walk;

walk!("ldr {at}, [{at}]");
