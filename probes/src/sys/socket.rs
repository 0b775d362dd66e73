//! What the standard library's sockets leave out: a socket before it is connected, so that
//! connecting alone can be timed, and a way to close one without a trace.

use std::io;
use std::mem;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

/// A TCP socket for addresses like this one, not connected yet.
pub fn tcp(like: &SocketAddr) -> io::Result<TcpStream> {
    let family = if like.is_ipv6() { libc::AF_INET6 } else { libc::AF_INET };
    // SAFETY: takes numbers and touches no memory of ours.
    let fd = unsafe { libc::socket(family, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor was opened just now, and no one else has it.
    Ok(TcpStream::from(unsafe { OwnedFd::from_raw_fd(fd) }))
}

/// Connects it, and waits for the answer as long as the socket's write timeout says: beyond,
/// see [`timed_out`].
pub fn connect(socket: &TcpStream, to: &SocketAddr) -> io::Result<()> {
    let address = Address::of(to);
    // SAFETY: the address is a whole sockaddr of that many bytes and lives through the call.
    let done = unsafe { libc::connect(socket.as_raw_fd(), address.pointer(), address.len()) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Whether connecting failed because no one answered.
pub fn timed_out(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EINPROGRESS | libc::ETIMEDOUT | libc::EAGAIN))
}

/// Lets the connection end with a reset when it is closed, so that no port of it stays in
/// TIME_WAIT.
pub fn reset_on_close(socket: &TcpStream) -> io::Result<()> {
    set(socket, libc::SO_LINGER, &libc::linger { l_onoff: 1, l_linger: 0 })
}

/// Lets accepting wait no longer than so many whole seconds: beyond, see [`timed_out`].
pub fn accept_within(listener: &TcpListener, time: Duration) -> io::Result<()> {
    let time = libc::timeval { tv_sec: time.as_secs() as libc::time_t, tv_usec: 0 };
    set(listener, libc::SO_RCVTIMEO, &time)
}

/// Sets an option of sockets. The kernel refuses a value of the wrong size.
fn set<T>(socket: &impl AsFd, option: libc::c_int, value: &T) -> io::Result<()> {
    let len = mem::size_of_val(value) as libc::socklen_t;
    let (fd, value) = (socket.as_fd().as_raw_fd(), &raw const *value);
    // SAFETY: the pointer is to a whole value of that many bytes, which lives through the call.
    let done = unsafe { libc::setsockopt(fd, libc::SOL_SOCKET, option, value.cast(), len) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// An address as the kernel reads it.
enum Address {
    V4(libc::sockaddr_in),
    V6(libc::sockaddr_in6),
}

impl Address {
    fn of(address: &SocketAddr) -> Address {
        match address {
            SocketAddr::V4(v4) => Address::V4(libc::sockaddr_in {
                sin_family: libc::AF_INET as libc::sa_family_t,
                sin_port: v4.port().to_be(),
                sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(v4.ip().octets()) },
                sin_zero: [0; 8],
            }),
            SocketAddr::V6(v6) => Address::V6(libc::sockaddr_in6 {
                sin6_family: libc::AF_INET6 as libc::sa_family_t,
                sin6_port: v6.port().to_be(),
                sin6_flowinfo: v6.flowinfo(),
                sin6_addr: libc::in6_addr { s6_addr: v6.ip().octets() },
                sin6_scope_id: v6.scope_id(),
            }),
        }
    }

    fn pointer(&self) -> *const libc::sockaddr {
        match self {
            Address::V4(v4) => (&raw const *v4).cast(),
            Address::V6(v6) => (&raw const *v6).cast(),
        }
    }

    fn len(&self) -> libc::socklen_t {
        let len = match self {
            Address::V4(v4) => mem::size_of_val(v4),
            Address::V6(v6) => mem::size_of_val(v6),
        };
        len as libc::socklen_t
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn a_connection_reaches_its_address_and_ends_with_a_reset() {
        for local in ["127.0.0.1:0", "[::1]:0"] {
            // A machine may have no IPv6.
            let Ok(listener) = TcpListener::bind(local) else { continue };
            let at = listener.local_addr().unwrap();
            let socket = tcp(&at).unwrap();
            connect(&socket, &at).unwrap();
            let (mut accepted, from) = listener.accept().unwrap();
            assert_eq!(socket.peer_addr().unwrap(), at);
            assert_eq!(socket.local_addr().unwrap(), from);
            reset_on_close(&socket).unwrap();
            drop(socket);
            let end = accepted.read(&mut [0]).unwrap_err();
            assert_eq!(end.kind(), io::ErrorKind::ConnectionReset);
        }
    }

    #[test]
    fn a_port_without_a_listener_refuses() {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = free.local_addr().unwrap();
        drop(free);
        let refused = connect(&tcp(&at).unwrap(), &at).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    }
}
