//! What carries a bot's datagrams: a UDP socket, or a TCP connection with frames (RFC 6544, RFC 4571), for those whose UDP is blocked.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use socket2::SockRef;
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

/// Bytes that the system keeps for a bot that is not at work just now; it gives what it allows.
const RECEIVE_BUFFER: usize = 4 * 1024 * 1024;
/// Reads before something else gets its turn.
const READ_AT_ONCE: usize = 64;
/// Bytes of frames that wait for the system to take them. Beyond, datagrams are lost, as on any network.
const OUT_MAX: usize = 256 * 1024;
/// A connection that takes longer is none.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Which of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Transport {
    /// UDP.
    #[default]
    Udp,
    /// ICE-TCP, with the active side here.
    Tcp,
}

/// A way to the server's media port.
#[derive(Debug)]
pub enum Carrier {
    /// A socket of its own.
    Udp(UdpSocket, SocketAddr),
    /// A connection, the stream that has come in and is no whole frame yet, and that which has still to go out.
    Tcp(TcpStream, Vec<u8>, Vec<u8>),
}

impl Transport {
    /// As candidates have it.
    pub fn name(self) -> &'static str {
        match self {
            Transport::Udp => "udp",
            Transport::Tcp => "tcp",
        }
    }
}

impl Carrier {
    /// From the address from which the server is reached.
    pub async fn open(transport: Transport, remote: SocketAddr) -> io::Result<Carrier> {
        match transport {
            Transport::Udp => {
                let socket = bind(remote)?;
                // Before the first poll nobody knows that it can be written to, and the first check would be lost.
                socket.writable().await?;
                Ok(Carrier::Udp(socket, remote))
            }
            Transport::Tcp => {
                let stream = timeout(CONNECT_TIMEOUT, TcpStream::connect(remote)).await??;
                stream.set_nodelay(true)?;
                Ok(Carrier::Tcp(stream, vec![], vec![]))
            }
        }
    }

    /// Our end.
    pub fn local(&self) -> io::Result<SocketAddr> {
        match self {
            Carrier::Udp(socket, _) => socket.local_addr(),
            Carrier::Tcp(stream, _, _) => stream.local_addr(),
        }
    }

    /// Waits until there is something to read, or place to write what waits. An error: it carries nothing any more.
    pub async fn ready(&self) -> io::Result<()> {
        match self {
            Carrier::Udp(socket, _) => socket.readable().await,
            Carrier::Tcp(stream, _, out) if out.is_empty() => stream.readable().await,
            Carrier::Tcp(stream, _, _) => tokio::select! {
                ready = stream.readable() => ready,
                ready = stream.writable() => ready,
            },
        }
    }

    /// Hands out what came, without waiting. `false`: it carries nothing any more.
    pub fn read(&mut self, buffer: &mut [u8], mut on: impl FnMut(SocketAddr, &[u8])) -> bool {
        for _ in 0..READ_AT_ONCE {
            match self {
                Carrier::Udp(socket, _) => match socket.try_recv_from(buffer) {
                    Ok((length, from)) => on(from, &buffer[..length]),
                    // Empty; or the server's port is closed, which the WebSocket tells better.
                    Err(_) => return true,
                },
                Carrier::Tcp(stream, begun, _) => match (stream.try_read(buffer), stream.peer_addr()) {
                    (Ok(1..), Err(_)) | (Ok(0), _) => return false,
                    (Ok(length), Ok(from)) => {
                        begun.extend_from_slice(&buffer[..length]);
                        let used = frames(begun, |datagram| on(from, datagram));
                        begun.drain(..used);
                    }
                    (Err(error), _) => return error.kind() == io::ErrorKind::WouldBlock,
                },
            }
        }
        true
    }

    /// Sends without waiting. A full buffer or a server that is gone: what matters is sent again, as on any network.
    pub fn send(&mut self, datagram: &[u8]) {
        match self {
            Carrier::Udp(socket, remote) => drop(socket.try_send_to(datagram, *remote)),
            Carrier::Tcp(_, _, out) => {
                if out.len() + datagram.len() <= OUT_MAX
                    && let Ok(length) = u16::try_from(datagram.len())
                {
                    out.extend_from_slice(&length.to_be_bytes());
                    out.extend_from_slice(datagram);
                }
            }
        }
    }

    /// Writes what [`Carrier::send`] could only queue.
    pub fn flush(&mut self) {
        if let Carrier::Tcp(stream, _, out) = self
            && !out.is_empty()
            && let Ok(written) = stream.try_write(out)
        {
            out.drain(..written);
        }
    }
}

/// Hands out the whole frames at the beginning of a stream; returns their bytes.
fn frames(stream: &[u8], mut on: impl FnMut(&[u8])) -> usize {
    let mut rest = stream;
    while let Some((head, behind)) = rest.split_first_chunk::<2>()
        && let Some((datagram, behind)) = behind.split_at_checked(usize::from(u16::from_be_bytes(*head)))
    {
        on(datagram);
        rest = behind;
    }
    stream.len() - rest.len()
}

/// The addresses that an answer names for this transport, each once.
pub fn candidates(answer: &str, transport: Transport) -> Vec<SocketAddr> {
    let mut found = vec![];
    for line in answer.lines().filter(|line| is_candidate(line, transport)) {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        if let [_, _, _, _, ip, port, ..] = words[..]
            && let (Ok(ip), Ok(port)) = (ip.parse(), port.parse())
            && !found.contains(&SocketAddr::new(ip, port))
        {
            found.push(SocketAddr::new(ip, port));
        }
    }
    found
}

/// Whether a line of an answer names an address for this transport. By TCP it is the server who listens.
pub fn is_candidate(line: &str, transport: Transport) -> bool {
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    let is_of = |name: &str| name.eq_ignore_ascii_case(transport.name());
    let listens = transport == Transport::Udp || words.windows(2).any(|pair| pair == ["tcptype", "passive"]);
    line.starts_with("a=candidate:") && words.get(2).is_some_and(|name| is_of(name)) && listens
}

/// On loopback if the server is there, else the server's first address.
pub fn choose(candidates: &[SocketAddr]) -> Option<SocketAddr> {
    candidates.iter().find(|address| address.ip().is_loopback()).or(candidates.first()).copied()
}

/// A socket of our own with the address from which the server is reached.
fn bind(remote: SocketAddr) -> io::Result<UdpSocket> {
    let any: IpAddr = if remote.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let probe = std::net::UdpSocket::bind((any, 0))?;
    probe.connect(remote)?;
    let socket = std::net::UdpSocket::bind((probe.local_addr()?.ip(), 0))?;
    // It is a wish; what the system gives is enough for some bots.
    let _ = SockRef::from(&socket).set_recv_buffer_size(RECEIVE_BUFFER);
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn candidates_of_an_answer() {
        let answer = "v=0\r\na=candidate:1 1 udp 2130706431 192.0.2.1 10000 typ host\r\na=candidate:2 1 tcp 1 192.0.2.1 10002 typ host\r\n\
                      a=candidate:1 1 udp 2130706431 192.0.2.1 10000 typ host\r\na=candidate:3 1 UDP 1 ::1 10001 typ host ufrag x\r\n\
                      a=candidate:2 1 tcp 1 192.0.2.1 10003 typ host tcptype passive ufrag x\r\n";
        let found = candidates(answer, Transport::Udp);
        assert_eq!(found, ["192.0.2.1:10000".parse().expect("an address"), "[::1]:10001".parse().expect("an address")]);
        assert_eq!(choose(&found), Some(found[1]));
        assert_eq!(choose(&found[..1]), Some(found[0]));
        assert_eq!(candidates(answer, Transport::Tcp), ["192.0.2.1:10003".parse().expect("an address")]);
    }

    #[test]
    fn frames_of_a_stream() {
        let stream = [0, 2, 7, 8, 0, 0, 0, 1, 9, 0, 5, 1];
        let mut got = vec![];
        assert_eq!(frames(&stream, |datagram| got.push(datagram.to_vec())), 9);
        assert_eq!(got, [vec![7, 8], vec![], vec![9]]);
        assert_eq!(frames(&stream[9..], |_| panic!("it is not whole")), 0);
    }
}
