//! Between two threads of this machine.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::Duration;

use crate::harness::bench::{Bench, params};
use crate::sys::socket;
use crate::threads::{cpus, pinning};
use card::declare::{Declare, Estimator, NoiseClass, Unit};
use card::estimate::median;
use card::record::{Params, Point, PointState, Skip};

const ROUND_TRIP: &str = "round_trip";
const CONNECT: &str = "connect";
const SEND: &str = "send";

pub(super) fn declare(d: &mut Declare) {
    let round_trip = d.quantity(ROUND_TRIP, Unit::Ns, Estimator::Median);
    let connect = d.quantity(CONNECT, Unit::Ns, Estimator::Median);
    let send = d.quantity(SEND, Unit::Ns, Estimator::Median);
    for (via, stem, title) in
        [("tcp", "network.loopback", "TCP on 127.0.0.1"), ("unix", "network.unix", "Unix sockets")]
    {
        for (cpus, infix, ends) in
            [("one", "", "both ends on one CPU"), ("two", "_two_cpus", "each end on its CPU")]
        {
            d.metric(
                format!("{stem}{infix}_round_trip_ns"),
                NoiseClass::T4,
                round_trip.with("via", via).with("cpus", cpus),
                format!("round trip of 1 byte over {title}, {ends}"),
            );
        }
    }
    d.metric("network.loopback_connect_ns", NoiseClass::T4, connect, "TCP connect on 127.0.0.1");
    for (bytes, short, long) in
        [(KIB, "1k", "1 KiB"), (2 * KIB, "2k", "2 KiB"), (MIB, "1m", "1 MiB")]
    {
        d.metric(
            format!("network.send_{short}_ns"),
            NoiseClass::T4,
            send.with("bytes", bytes),
            format!("request of {long} and its answer over loopback TCP"),
        );
    }
}

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

/// Samples of a point: each is the median of a part of the exchanges.
const SAMPLES: u32 = 7;

/// The kernel's buffers grow with use, and the first exchanges find cold caches.
const WARM_UP: usize = 20;

/// Nothing within a machine takes so long: what was sent has been dropped.
const IO_TIMEOUT: Duration = Duration::from_secs(1);

/// Two ends of a connection within this machine.
trait Link: Read + Write + Send + Sized {
    fn pair() -> io::Result<(Self, Self)>;
}

impl Link for UnixStream {
    fn pair() -> io::Result<(Self, Self)> {
        let (here, there) = UnixStream::pair()?;
        for end in [&here, &there] {
            end.set_read_timeout(Some(IO_TIMEOUT))?;
            end.set_write_timeout(Some(IO_TIMEOUT))?;
        }
        Ok((here, there))
    }
}

impl Link for TcpStream {
    fn pair() -> io::Result<(Self, Self)> {
        let listener = listener()?;
        let at = listener.local_addr()?;
        let here = socket::tcp(&at)?;
        // Connecting waits no longer than writing would.
        here.set_write_timeout(Some(IO_TIMEOUT))?;
        socket::connect(&here, &at)?;
        let there = accept(&listener, here.local_addr()?)?;
        there.set_write_timeout(Some(IO_TIMEOUT))?;
        for end in [&here, &there] {
            end.set_read_timeout(Some(IO_TIMEOUT))?;
            end.set_nodelay(true)?;
            socket::reset_on_close(end)?;
        }
        Ok((here, there))
    }
}

fn listener() -> io::Result<TcpListener> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    socket::accept_within(&listener, IO_TIMEOUT)?;
    Ok(listener)
}

/// The other end of a connection from that address: anyone on this machine may connect.
fn accept(listener: &TcpListener, from: SocketAddr) -> io::Result<TcpStream> {
    loop {
        let (stream, who) = listener.accept()?;
        if who == from {
            return Ok(stream);
        }
    }
}

/// Everything that needs no one else.
pub(super) fn measure(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let cpus = cpus::pinnable(bench);
    if !cpus.contains(&bench.cpu) {
        return bench.skip(unpinned(bench));
    }
    let other = cpus::others(bench, &cpus).first().copied();
    let answers = !bench.gave_up(LOOPBACK) && is_answered(bench)?;
    // Some is left for the peer.
    let time = bench.share(0.7 / 8.0);
    for (bytes, cpus) in [(1, "one"), (1, "two"), (KIB, "one"), (2 * KIB, "one"), (MIB, "one")] {
        let partner = if cpus == "one" { Some(bench.cpu) } else { other };
        let Some(partner) = partner else {
            bench.skip(one_cpu())?;
            continue;
        };
        let (quantity, labels) = match bytes {
            1 => (ROUND_TRIP, params([("via", "tcp".into()), ("cpus", cpus.into())])),
            _ => (SEND, params([("bytes", bytes.into())])),
        };
        if answers {
            exchange::<TcpStream>(bench, quantity, labels, (bytes as usize, partner), time)?;
        }
        if bytes == 1 {
            let labels = params([("via", "unix".into()), ("cpus", cpus.into())]);
            exchange::<UnixStream>(bench, quantity, labels, (1, partner), time)?;
        }
    }
    if answers { connect(bench, time) } else { Ok(()) }
}

/// Whether connects to 127.0.0.1 are not dropped: that costs a second, and is waited for once.
fn is_answered(bench: &mut Bench<'_>) -> anyhow::Result<bool> {
    match TcpStream::pair() {
        Err(e) if socket::timed_out(&e) => bench.skip(silent()).map(|()| false),
        _ => Ok(true),
    }
}

/// So many bytes there and one back, as often as there is time for.
fn exchange<L: Link>(
    bench: &mut Bench<'_>,
    quantity: &str,
    labels: Params,
    (bytes, partner): (usize, usize),
    time: Duration,
) -> anyhow::Result<()> {
    let (mut here, there) = match L::pair() {
        Ok(pair) => pair,
        Err(e) => return bench.skip(no_socket(&e)),
    };
    let mut message: Vec<u8> = (0..bytes).map(|_| bench.rng.u8(..)).collect();
    let exchanged = thread::scope(|scope| {
        let answering = thread::Builder::new()
            .spawn_scoped(scope, move || {
                pinning::pin(partner);
                answer(there, bytes)
            })
            .map_err(|e| no_threads(&e))?;
        let sampled = sample(bench, time, || ask(&mut here, &mut message));
        // The other end reads the end of the stream, and its thread comes to its own.
        drop(here);
        let seen = answering.join().map_err(|_| io::Error::other("the answering thread panicked"));
        Ok(sampled.and_then(|(samples, exchanges)| Ok((samples, exchanges, seen?))))
    });
    match exchanged {
        Err(unmet) => bench.skip(unmet),
        Ok(Err(e)) if e.kind() == io::ErrorKind::InvalidData => {
            bench.check(false, || format!("a message of {bytes} bytes: {e}"))
        }
        Ok(Err(e)) => bench.skip(no_socket(&e)),
        Ok(Ok((samples, exchanges, seen))) => {
            bench
                .check(seen == message, || format!("{bytes} bytes over a socket came as others"))?;
            let ops = exchanges / u64::from(SAMPLES);
            let point = bench.point(quantity, labels, Unit::Ns, samples, PointState::Ok);
            bench.emit(Point { ops, ..point })
        }
    }
}

/// One exchange. Its first and last byte change, so that an answer cannot be one to an earlier one.
fn ask(stream: &mut (impl Read + Write), message: &mut [u8]) -> io::Result<()> {
    let last = message.len() - 1;
    message[0] = message[0].wrapping_add(1);
    message[last] = message[last].wrapping_add(3);
    stream.write_all(message)?;
    let mut answer = [0];
    stream.read_exact(&mut answer)?;
    if answer[0] == digest(message) {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::InvalidData, "the answer is that to another one"))
}

fn digest(message: &[u8]) -> u8 {
    message[0] ^ message[message.len() - 1].rotate_left(3)
}

/// Answers each message with one byte until there is no more; returns the last one.
fn answer(mut stream: impl Read + Write, bytes: usize) -> Vec<u8> {
    let mut message = vec![0; bytes];
    loop {
        let begun = match stream.read(&mut message) {
            Ok(begun @ 1..) => begun,
            // A socket that waits for a limited time is interrupted when its process was stopped.
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Ok(0) | Err(_) => return message,
        };
        let whole = stream.read_exact(&mut message[begun..]);
        if whole.and_then(|()| stream.write_all(&[digest(&message)])).is_err() {
            return message;
        }
    }
}

/// Medians of several parts of the time, after a warm-up, and how many exchanges they are of.
fn sample(
    bench: &mut Bench<'_>,
    time: Duration,
    mut exchange: impl FnMut() -> io::Result<()>,
) -> io::Result<(Vec<f64>, u64)> {
    for _ in 0..WARM_UP {
        exchange()?;
    }
    let part = bench.timer.units(time.as_nanos() as f64 / f64::from(SAMPLES));
    let (mut samples, mut all) = (Vec::new(), 0);
    for _ in 0..SAMPLES {
        let began = bench.timer.stamp();
        let mut times = Vec::new();
        let mut start = began;
        while start.wrapping_sub(began) < part || times.is_empty() {
            start = bench.timer.stamp();
            exchange()?;
            times.push(bench.timer.ns_between(start, bench.timer.stamp()));
        }
        all += times.len() as u64;
        samples.extend(median(&times));
    }
    Ok((samples, all))
}

/// Connects to a listener of our own, and nothing else of it.
fn connect(bench: &mut Bench<'_>, time: Duration) -> anyhow::Result<()> {
    let (timer, part) = (bench.timer, time / SAMPLES);
    let mut samples = Vec::new();
    let mut all = 0;
    let mut connects = || -> io::Result<()> {
        let listener = listener()?;
        let at = listener.local_addr()?;
        for _ in 0..SAMPLES {
            let began = timer.stamp();
            let mut times = Vec::new();
            while times.is_empty()
                || timer.ns_between(began, timer.stamp()) < part.as_nanos() as f64
            {
                let here = socket::tcp(&at)?;
                here.set_write_timeout(Some(IO_TIMEOUT))?;
                socket::reset_on_close(&here)?;
                let start = timer.stamp();
                socket::connect(&here, &at)?;
                times.push(timer.ns_between(start, timer.stamp()));
                accept(&listener, here.local_addr()?)?;
            }
            all += times.len() as u64;
            samples.extend(median(&times));
        }
        Ok(())
    };
    if let Err(e) = connects() {
        return bench.skip(no_socket(&e));
    }
    let point = bench.point(CONNECT, params([]), Unit::Ns, samples, PointState::Ok);
    bench.emit(Point { ops: all / u64::from(SAMPLES), ..point })
}

fn no_socket(error: &io::Error) -> Skip {
    if socket::timed_out(error) {
        return silent();
    }
    Skip::new(
        "sockets within this machine",
        error.to_string(),
        "allow sockets in the seccomp profile, and 127.0.0.1 (`ip link set lo up`)",
    )
    .of(LOCAL)
}

/// All that is measured here.
const LOCAL: [&str; 3] = ["network.loopback_*", "network.unix_*", "network.send_*"];

/// What goes over 127.0.0.1.
const LOOPBACK: &[&str] = &["network.loopback_*", "network.send_*"];

fn silent() -> Skip {
    Skip::new(
        "answers from 127.0.0.1",
        format!("nothing came within {} s: packets are dropped", IO_TIMEOUT.as_secs()),
        "let pass what the machine sends to itself (`iptables -L`, `nft list ruleset`)",
    )
    .of(LOOPBACK)
}

fn no_threads(error: &io::Error) -> Skip {
    cpus::few_threads(2, error).of(LOCAL)
}

fn unpinned(bench: &Bench<'_>) -> Skip {
    cpus::unpinned(bench.machine, bench.cpu).of(LOCAL)
}

fn one_cpu() -> Skip {
    Skip::new(
        "2 CPUs",
        "the affinity mask allows one",
        "give the process 2 CPUs (taskset, cpuset, --cpus)",
    )
    .of(["network.*_two_cpus_*"])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn both_ends<L: Link>() -> Option<(Vec<u8>, Vec<u8>)> {
        let (mut here, there) = L::pair().ok()?;
        let mut message: Vec<u8> = (0..5000_u32).map(|i| i as u8).collect();
        let answering = thread::scope(|scope| {
            let answering = scope.spawn(move || answer(there, 5000));
            for _ in 0..300 {
                ask(&mut here, &mut message).unwrap();
            }
            drop(here);
            answering.join().unwrap()
        });
        Some((message, answering))
    }

    #[test]
    fn what_is_sent_arrives_and_each_answer_is_to_its_message() {
        for (sent, seen) in
            [both_ends::<TcpStream>(), both_ends::<UnixStream>()].into_iter().flatten()
        {
            assert_eq!(sent, seen);
        }
    }

    #[test]
    fn a_wrong_answer_is_noticed() {
        let (mut here, mut there) = UnixStream::pair().unwrap();
        there.write_all(&[7]).unwrap();
        let message = &mut [6, 1, 0];
        message[2] = (7_u8 ^ 7).wrapping_sub(3);
        assert!(ask(&mut here, message).is_ok(), "7 is the digest of 7, 1, 0");
        there.write_all(&[9]).unwrap();
        let error = ask(&mut here, message).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn who_never_answers_is_not_waited_for_for_long() {
        let (mut here, there) = <UnixStream as Link>::pair().unwrap();
        let error = ask(&mut here, &mut [1, 2, 3]).unwrap_err();
        assert!(socket::timed_out(&error), "{error:?}");
        assert_eq!(no_socket(&error).metrics, LOOPBACK);
        assert_eq!(no_socket(&io::Error::from_raw_os_error(libc::EPERM)).metrics, LOCAL);
        // The other end gives up as well: the first message, and no second one.
        assert_eq!(answer(there, 3), [2, 2, 6]);
        let error = listener().unwrap().accept().unwrap_err();
        assert!(socket::timed_out(&error), "{error:?}");
    }

    #[test]
    fn strangers_are_not_taken_for_the_other_end() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let at = listener.local_addr().unwrap();
        let (stranger, own) = (TcpStream::connect(at).unwrap(), TcpStream::connect(at).unwrap());
        let accepted = accept(&listener, own.local_addr().unwrap()).unwrap();
        assert_eq!(accepted.peer_addr().unwrap(), own.local_addr().unwrap());
        drop(stranger);
    }
}
