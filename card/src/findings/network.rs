//! Peers that are nearer or farther than they should be.

use crate::declare::Unit;
use crate::record::Point;

use super::{Finding, believed};
use crate::file::Card;
use crate::format;
use crate::metrics::Metrics;

const PEER: &str = "network.peer_round_trip_ns";

/// Four times the round trip in Dean's datacenter of 2007, which today's are far below.
const FAR_NS: f64 = 2e6;

pub(super) fn find(card: &Card, metrics: &Metrics) -> Option<Finding> {
    let trip = |p: &&Point| p.probe == "network" && p.quantity == "peer_round_trip";
    peer(card.points.iter().find(trip)?, believed(metrics, PEER)?)
}

fn is(point: &Point, name: &str, value: &str) -> bool {
    point.params.get(name).is_some_and(|param| param.to_string() == value)
}

/// Whether the peer that was named is the machine itself.
pub fn own_peer(card: &Card) -> bool {
    card.points.iter().any(|p| is(p, "peer", "this_machine"))
}

fn peer(point: &Point, ns: f64) -> Option<Finding> {
    let away = format::quantity(ns, Unit::Ns);
    if is(point, "peer", "this_machine") {
        let found = Finding::quality("PEER_IS_SELF", "the network peer is this machine");
        let cause = "its round trip says nothing of a network";
        return Some(found.cause(cause).action("name another host with --peer").of(&[PEER]));
    }
    if is(point, "answer", "refused") {
        let headline = format!("the peer refused the connection after {away}");
        let cause = "if a firewall on the way did that, the peer is farther away";
        return Some(Finding::quality("PEER_REFUSED", headline).cause(cause).of(&[PEER]));
    }
    let headline = format!("peer round trip {away}: another datacenter");
    (ns > FAR_NS).then(|| Finding::limit("PEER_FAR", headline).of(&[PEER]))
}

#[cfg(test)]
mod tests {
    use super::super::tests::value;
    use super::*;
    use crate::fixture;

    /// What is said of a peer that is so far away.
    fn said(ns: f64, peer: &str, answer: &str) -> Option<String> {
        let mut card = fixture::blank("test");
        let trip = fixture::point("network", "peer_round_trip", 0, Unit::Ns, vec![ns]);
        let labels = [("peer", peer.into()), ("answer", answer.into())];
        card.points.push(fixture::with(trip, &labels));
        let metrics = Metrics(vec![value(PEER, Unit::Ns, ns)]);
        find(&card, &metrics).map(|finding| finding.text())
    }

    #[test]
    fn a_peer_is_here_or_refuses_or_is_far() {
        let has = |said: Option<String>, words: &str| said.is_some_and(|text| text.contains(words));
        assert!(has(said(14e3, "this_machine", "accepted"), "this machine"));
        assert!(has(said(80e3, "other_machine", "refused"), "refused"));
        assert!(has(said(12e6, "other_machine", "accepted"), "12.0 ms: another datacenter"));
        assert_eq!(said(300e3, "other_machine", "accepted"), None);
        assert_eq!(find(&fixture::empty().card, &Metrics::default()), None);
    }
}
