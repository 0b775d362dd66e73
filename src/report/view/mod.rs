//! What is shown of a card, before it is text, page or picture: each renderer asks these for the
//! same rows.

pub(super) mod bandwidth;
pub(super) mod change;
pub(super) mod counter_table;
pub(super) mod each_cpu;
pub(super) mod ladder;
pub(super) mod levels;
pub(super) mod machine_view;
pub(super) mod unit_twins;
pub(super) mod vectors;
