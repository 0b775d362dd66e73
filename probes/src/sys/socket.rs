//! What the standard library's sockets leave out: a socket before it is connected, so that
//! connecting alone can be timed, and a way to close one without a trace.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use socket2::{Domain, SockRef, Socket, Type};

/// A TCP socket for addresses like this one, not connected yet.
///
/// # Errors
/// If the kernel knows no such addresses, or this process may open no more files.
pub fn tcp(like: &SocketAddr) -> io::Result<TcpStream> {
    Socket::new(Domain::for_address(*like), Type::STREAM, None).map(TcpStream::from)
}

/// Connects it, and waits for the answer as long as the socket's write timeout says.
///
/// # Errors
/// If no one answered, see [`timed_out`], or the other side or the network refused.
pub fn connect(socket: &TcpStream, to: &SocketAddr) -> io::Result<()> {
    SockRef::from(socket).connect(&(*to).into())
}

/// Whether connecting failed because no one answered.
pub fn timed_out(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EINPROGRESS | libc::ETIMEDOUT | libc::EAGAIN))
}

/// Lets the connection end with a reset when it is closed, so that no port of it stays in
/// TIME_WAIT.
///
/// # Errors
/// If a filter of system calls refuses.
pub fn reset_on_close(socket: &TcpStream) -> io::Result<()> {
    SockRef::from(socket).set_linger(Some(Duration::ZERO))
}

/// Lets accepting wait no longer than so long: beyond, see [`timed_out`].
///
/// # Errors
/// If a filter of system calls refuses.
pub fn accept_within(listener: &TcpListener, time: Duration) -> io::Result<()> {
    SockRef::from(listener).set_read_timeout(Some(time))
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
        // The port is taken, so that nobody else begins to listen on it, and no one listens.
        let taken = tcp(&([127, 0, 0, 1], 0).into()).unwrap();
        SockRef::from(&taken).bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        let at = taken.local_addr().unwrap();
        let refused = connect(&tcp(&at).unwrap(), &at).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    }
}
