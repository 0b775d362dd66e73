//! Points of single probes put together, for pictures and findings: these know what their probe
//! records, as [`crate::metrics`] does not.

pub mod core_matrix;
pub mod each_cpu;
pub mod scaling;
