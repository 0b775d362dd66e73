//! How two CPUs belong together, as the machine claims.

use serde::{Deserialize, Serialize};

use super::Machine;

/// The nearest thing that two CPUs share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Relation {
    /// Two hardware threads of a core.
    Siblings,
    /// Two cores at one level 3 cache.
    SameL3,
    /// Different level 3 caches of one memory node.
    OtherL3,
    /// Different memory nodes.
    OtherNode,
    /// The machine does not say.
    Unclaimed,
}

impl Relation {
    /// As in parameters.
    pub const fn name(self) -> &'static str {
        match self {
            Relation::Siblings => "siblings",
            Relation::SameL3 => "same_l3",
            Relation::OtherL3 => "other_l3",
            Relation::OtherNode => "other_node",
            Relation::Unclaimed => "unclaimed",
        }
    }

    /// For readers: "two CPUs are claimed to be …".
    pub const fn words(self) -> &'static str {
        match self {
            Relation::Siblings => "SMT siblings",
            Relation::SameL3 => "cores at one L3 cache",
            Relation::OtherL3 => "cores at different L3 caches",
            Relation::OtherNode => "cores of different memory nodes",
            Relation::Unclaimed => "CPUs whose place is not claimed",
        }
    }
}

impl Machine {
    /// What the machine claims of two different CPUs.
    pub fn relation(&self, a: usize, b: usize) -> Relation {
        let group = |groups: &[Vec<usize>], cpu| groups.iter().position(|g| g.contains(&cpu));
        let both = |groups: &[Vec<usize>]| Some((group(groups, a)?, group(groups, b)?));
        if self.siblings_of(a).contains(&b) {
            return Relation::Siblings;
        }
        let nodes: Vec<Vec<usize>> = self.numa_nodes().iter().map(|n| n.cpus().to_vec()).collect();
        match (both(self.l3_groups()), both(&nodes)) {
            (Some((x, y)), _) if x == y => Relation::SameL3,
            (_, Some((x, y))) if x != y => Relation::OtherNode,
            (Some(_), _) => Relation::OtherL3,
            (None, _) => Relation::Unclaimed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CPUs 0 to 15: cores of two, L3 caches of four, nodes of eight.
    fn sixteen() -> Machine {
        let groups = |size: usize| -> Vec<Vec<usize>> {
            (0..16 / size).map(|g| (g * size..(g + 1) * size).collect()).collect()
        };
        let node = |(id, cpus)| serde_json::json!({ "id": id, "cpus": cpus });
        let nodes: Vec<_> = groups(8).into_iter().enumerate().map(node).collect();
        serde_json::from_value(serde_json::json!({ "topology": {
            "cores": groups(2), "l3_groups": groups(4), "numa_nodes": nodes,
        }}))
        .unwrap()
    }

    #[test]
    fn the_nearest_thing_that_is_shared_counts() {
        let machine = sixteen();
        assert_eq!(machine.relation(0, 1), Relation::Siblings);
        assert_eq!(machine.relation(3, 1), Relation::SameL3);
        assert_eq!(machine.relation(3, 4), Relation::OtherL3);
        assert_eq!(machine.relation(9, 4), Relation::OtherNode);
        assert_eq!(machine.relation(0, 99), Relation::Unclaimed);
    }

    #[test]
    fn without_claims_nothing_is_claimed() {
        assert_eq!(Machine::default().relation(0, 1), Relation::Unclaimed);
        let mut machine = sixteen();
        machine.topology.l3_groups = Default::default();
        assert_eq!(machine.relation(0, 1), Relation::Siblings);
        assert_eq!(machine.relation(0, 2), Relation::Unclaimed);
        assert_eq!(machine.relation(0, 8), Relation::OtherNode);
    }
}
