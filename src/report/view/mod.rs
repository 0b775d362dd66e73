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

/// Values by key, keys in the order of their first appearance.
pub(in crate::report) fn grouped<'a>(
    items: impl Iterator<Item = (String, &'a str)>,
) -> Vec<(String, Vec<&'a str>)> {
    let mut groups: Vec<(String, Vec<&str>)> = Vec::new();
    for (key, value) in items {
        match groups.iter_mut().find(|(k, _)| *k == key) {
            Some((_, values)) => values.push(value),
            None => groups.push((key, vec![value])),
        }
    }
    groups
}
