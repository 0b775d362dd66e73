//! To another machine: connects to a port, and nothing else.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use crate::harness::bench::{Bench, params};
use crate::harness::clock::Timer;
use crate::sys::socket;
use card::declare::{Declare, Estimator, NoiseClass, Unit};
use card::peer::Peer;
use card::record::{Point, PointState, Skip};

const ROUND_TRIP: &str = "peer_round_trip";

pub(super) fn declare(d: &mut Declare) {
    let round_trip = d.quantity(ROUND_TRIP, Unit::Ns, Estimator::Median);
    d.metric(
        "network.peer_round_trip_ns",
        NoiseClass::T4,
        round_trip.clone(),
        "TCP connect to --peer: one round trip",
    );
    d.metric(
        "network.peer_round_trip_min_ns",
        NoiseClass::T4,
        round_trip.statistic(Estimator::Lowest),
        "TCP connect to --peer: minimum of a round",
    );
    d.metric(
        "network.peer_round_trip_max_ns",
        NoiseClass::T4,
        round_trip.statistic(Estimator::Highest),
        "TCP connect to --peer: maximum of a round",
    );
}

/// The metrics that need a peer.
const PEER: &[&str] = &["network.peer_*"];

/// Connects of a round: enough for a median, few enough for someone else's machine.
const CONNECTS: usize = 12;

/// Fewest of them, however far the peer is.
const FEWEST: usize = 3;

/// Between two connects.
const SPACING: Duration = Duration::from_millis(8);

/// A handshake that takes longer has lost a packet: the kernel sends the first one again after 1 s.
const IO_TIMEOUT: Duration = Duration::from_secs(1);

/// The resolver asks several servers several times, each for seconds.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(2);

/// Time for all connects of a round.
const TOGETHER: Duration = Duration::from_millis(400);

/// Addresses of a name that are tried.
const ADDRESSES: usize = 4;

/// Who answered a connect.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Answer {
    Accepted,
    /// A reset: no one listens there, or someone on the way says so.
    Refused,
}

/// Connects a few times, unless an earlier round has done so in vain.
pub(super) fn measure(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    if bench.gave_up(PEER) {
        return Ok(());
    }
    let Some(peer) = bench.peer else {
        let (reason, remedy) =
            ("no other machine was named", "add --peer HOST:PORT, any open port");
        return bench.skip(unmet(reason, remedy));
    };
    let found = resolve(peer).and_then(|addresses| first_to_answer(bench.timer, peer, &addresses));
    let (address, first) = match found {
        Ok(found) => found,
        Err(unmet) => return bench.skip(unmet),
    };
    let until = bench.meter.elapsed() + TOGETHER;
    // The first one also asked for the way and the neighbour's address: it is not one of them.
    let (mut samples, mut lost) = (Vec::new(), false);
    while !lost
        && samples.len() < CONNECTS
        && (samples.len() < FEWEST || bench.meter.elapsed() < until)
    {
        bench.meter.pause(SPACING);
        match connect(bench.timer, &address) {
            Ok(again) if again.answer == first.answer => samples.push(again.ns),
            // Whoever limits connects would answer no more of them.
            _ => lost = true,
        }
    }
    if samples.is_empty() {
        return bench.skip(silent(peer));
    }
    let answer = if first.answer == Answer::Accepted { "accepted" } else { "refused" };
    let place = if first.here { "this_machine" } else { "elsewhere" };
    let labels = params([("answer", answer.into()), ("peer", place.into())]);
    let note = Some(note(peer, &address, &first, lost));
    let state = if lost { PointState::Noisy } else { PointState::Ok };
    let point = bench.point(ROUND_TRIP, labels, Unit::Ns, samples, state);
    bench.emit(Point { note, ..point })
}

/// One handshake.
struct Handshake {
    answer: Answer,
    ns: f64,
    /// Whether no network was in between.
    here: bool,
}

/// Connects, and closes at once. An error means that no one answered.
fn connect(timer: Timer, address: &SocketAddr) -> io::Result<Handshake> {
    let socket = socket::tcp(address)?;
    // Connecting waits no longer than writing would.
    socket.set_write_timeout(Some(IO_TIMEOUT))?;
    let start = timer.stamp();
    let outcome = socket::connect(&socket, address);
    let ns = timer.ns_between(start, timer.stamp());
    let answer = match outcome {
        Ok(()) => Answer::Accepted,
        Err(e) if e.kind() == ErrorKind::ConnectionRefused => Answer::Refused,
        Err(e) => return Err(e),
    };
    let own = socket.local_addr().is_ok_and(|own| own.ip() == address.ip());
    Ok(Handshake { answer, ns, here: own || address.ip().is_loopback() })
}

/// The addresses of a name. The resolver has no time limit, so that it works aside; a thread that
/// still waits ends with this process.
fn resolve(peer: &Peer) -> Result<Vec<SocketAddr>, Skip> {
    if let Ok(address) = peer.host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, peer.port)]);
    }
    let (send, receive) = mpsc::channel();
    let (host, port) = (peer.host.clone(), peer.port);
    let asked = thread::Builder::new().spawn(move || {
        let found = (host.as_str(), port).to_socket_addrs();
        // Whoever asked may have gone.
        let _ = send.send(found.map(|all| all.take(ADDRESSES).collect::<Vec<SocketAddr>>()));
    });
    let unknown = |why: &str| {
        let reason = format!("{} has no address: {why}", peer.host);
        unmet(&reason, "check the name, or give the address itself")
    };
    match asked.map(|_| receive.recv_timeout(RESOLVE_TIMEOUT)) {
        Ok(Ok(Ok(addresses))) if !addresses.is_empty() => Ok(addresses),
        Ok(Ok(Ok(_))) => Err(unknown("the name is known, without an address")),
        Ok(Ok(Err(e))) => Err(unknown(&e.to_string())),
        Ok(Err(_)) => Err(unknown(&format!(
            "no answer from the resolver within {} s",
            RESOLVE_TIMEOUT.as_secs()
        ))),
        Err(e) => Err(unknown(&format!("no thread to resolve it ({e})"))),
    }
}

/// The first address that accepts, else one that refuses. One that says nothing ends the search.
fn first_to_answer(
    timer: Timer,
    peer: &Peer,
    addresses: &[SocketAddr],
) -> Result<(SocketAddr, Handshake), Skip> {
    let mut refused = None;
    let mut failed = None;
    for &address in addresses {
        match connect(timer, &address) {
            Ok(hand) if hand.answer == Answer::Accepted => return Ok((address, hand)),
            Ok(hand) => refused = refused.or(Some((address, hand))),
            Err(e) if socket::timed_out(&e) => {
                failed = Some(silent(peer));
                break;
            }
            Err(e) => {
                let remedy = "check the address, the route, and what the sandbox allows";
                failed = failed.or(Some(unmet(&format!("{peer} cannot be reached: {e}"), remedy)));
            }
        }
    }
    refused.ok_or_else(|| failed.unwrap_or_else(|| silent(peer)))
}

fn silent(peer: &Peer) -> Skip {
    let reason = format!("no answer from {peer} within {} s", IO_TIMEOUT.as_secs());
    unmet(&reason, "check that the port is open and that no firewall drops connects to it")
}

fn unmet(reason: &str, remedy: &str) -> Skip {
    Skip::new("--peer HOST:PORT", reason, remedy).of(PEER)
}

/// What the reader must know of the number.
fn note(peer: &Peer, address: &SocketAddr, first: &Handshake, lost: bool) -> String {
    let mut note = peer.to_string();
    if address.ip().to_string() != peer.host {
        note += &format!(" at {}", address.ip());
    }
    if first.here {
        note += " is this machine: no network in between";
    } else if first.answer == Answer::Refused {
        note += " refused: a firewall on the way may have answered instead of it";
    } else {
        note += " accepted";
    }
    if lost {
        note += "; later connects of the round were not answered alike, and not repeated";
    }
    note
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn local(text: &str) -> Peer {
        text.parse().unwrap()
    }

    #[test]
    fn an_open_port_accepts_and_a_closed_one_refuses() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        let open = connect(Timer::CLOCK, &at).unwrap();
        assert_eq!((open.answer, open.here), (Answer::Accepted, true));
        assert!(open.ns > 0.0);
        drop(listener);
        assert_eq!(connect(Timer::CLOCK, &at).unwrap().answer, Answer::Refused);
    }

    #[test]
    fn of_several_addresses_the_one_that_accepts_is_taken() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let open = listener.local_addr().unwrap();
        let gone = TcpListener::bind("127.0.0.1:0").unwrap();
        let closed = gone.local_addr().unwrap();
        drop(gone);
        let peer = local("name:1");
        let first = |all: &[SocketAddr]| first_to_answer(Timer::CLOCK, &peer, all).map(|f| f.0);
        assert_eq!(first(&[closed, open]), Ok(open));
        assert_eq!(first(&[closed]), Ok(closed));
        assert!(first(&[]).unwrap_err().reason.contains("no answer from name:1"));
    }

    #[test]
    fn addresses_need_no_resolver_and_names_without_one_say_so() {
        assert_eq!(resolve(&local("127.0.0.1:22")).unwrap(), ["127.0.0.1:22".parse().unwrap()]);
        assert_eq!(resolve(&local("[::1]:22")).unwrap(), ["[::1]:22".parse().unwrap()]);
        // The name is reserved for not being there (RFC 6761).
        let nowhere = resolve(&local("nowhere.invalid:22")).unwrap_err();
        assert!(nowhere.reason.contains("nowhere.invalid") && nowhere.need.contains("--peer"));
    }

    #[test]
    fn the_note_says_who_answered() {
        let hand = |answer, here| Handshake { answer, ns: 1.0, here };
        let far: SocketAddr = "192.0.2.7:443".parse().unwrap();
        let says = |peer: &str, hand: &Handshake, lost| note(&local(peer), &far, hand, lost);
        assert_eq!(
            says("db1:443", &hand(Answer::Accepted, false), false),
            "db1:443 at 192.0.2.7 accepted"
        );
        assert!(
            says("192.0.2.7:443", &hand(Answer::Refused, false), false)
                .starts_with("192.0.2.7:443 refused: a firewall")
        );
        assert!(says("db1:443", &hand(Answer::Accepted, true), true).contains("this machine"));
        assert!(says("db1:443", &hand(Answer::Accepted, false), true).contains("not answered"));
    }
}
