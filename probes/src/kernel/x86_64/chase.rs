//! Dependent loads.
use crate::kernel::generic::loops::walk;

walk!("mov {at}, [{at}]");
