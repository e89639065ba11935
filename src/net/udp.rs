//! One UDP port in both families: batches in (recvmmsg, GRO), runs of equal datagrams out (GSO).
//!
//! IPv4 and IPv6 are two sockets on the same port, so that addresses are what they look like. Packet information tells which of our addresses a
//! datagram came to, and answers leave from there: a machine may have several.

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use quinn_udp::{BATCH_SIZE, RecvMeta, Transmit, UdpSockRef, UdpSocketState};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::Interest;

/// Kernel buffers. A late tick must not lose a publisher's packets, each of which may be many viewers'. The kernel may grant less.
const SOCKET_BUFFER_BYTES: usize = 4 * 1024 * 1024;
/// One receive buffer: a full GRO train.
const RECEIVE_BYTES: usize = 64 * 1024;
/// Tries to find a port that is free in both families.
const PORT_TRIES_MAX: usize = 20;

/// A received datagram.
#[derive(Clone, Copy, Debug)]
pub struct Received<'a> {
    /// Who sent it.
    pub remote: SocketAddr,
    /// Which of our addresses it came to.
    pub local: SocketAddr,
    /// What it says.
    pub bytes: &'a [u8],
}

/// A run of datagrams of equal size (the last may be shorter).
#[derive(Clone, Copy, Debug)]
pub struct Run<'a> {
    /// To whom.
    pub remote: SocketAddr,
    /// From which of our addresses; `None`: the kernel chooses.
    pub local: Option<IpAddr>,
    /// All of them, one behind the other.
    pub bytes: &'a [u8],
    /// Bytes of each.
    pub segment: usize,
}

struct Family {
    io: tokio::net::UdpSocket,
    state: UdpSocketState,
    local: SocketAddr,
}

/// A port, with its buffers.
pub struct UdpPort {
    v4: Family,
    /// Absent on machines without IPv6.
    v6: Option<Family>,
    buffers: Vec<Vec<u8>>,
}

impl UdpPort {
    /// Binds `port` in both families; 0: any that is free. Called within a tokio runtime, which will drive it.
    pub fn bind(port: u16) -> io::Result<UdpPort> {
        let mut tries = 0;
        loop {
            let v4 = Family::bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)))?;
            let number = v4.local.port();
            let buffers = vec![vec![0; RECEIVE_BYTES]; BATCH_SIZE];
            match Family::bind(SocketAddr::from((Ipv6Addr::UNSPECIFIED, number))) {
                Ok(v6) => return Ok(UdpPort { v4, v6: Some(v6), buffers }),
                Err(e) if e.kind() == io::ErrorKind::AddrInUse && port == 0 && tries < PORT_TRIES_MAX => tries += 1,
                Err(e) if e.kind() == io::ErrorKind::AddrInUse => return Err(e),
                Err(_) => return Ok(UdpPort { v4, v6: None, buffers }),
            }
        }
    }

    /// The port's number.
    pub fn number(&self) -> u16 {
        self.v4.local.port()
    }

    /// Whether IPv6 is there.
    pub fn has_v6(&self) -> bool {
        self.v6.is_some()
    }

    /// How many datagrams may leave in one run.
    pub fn run_max(&self) -> usize {
        self.v4.state.max_gso_segments()
    }

    /// Waits until there is something to receive.
    pub async fn readable(&self) -> io::Result<()> {
        match &self.v6 {
            Some(v6) => tokio::select! {
                ready = self.v4.io.readable() => ready,
                ready = v6.io.readable() => ready,
            },
            None => self.v4.io.readable().await,
        }
    }

    /// Receives at most one batch of each family, without waiting. Returns how many datagrams there were.
    pub fn receive(&mut self, mut on: impl FnMut(Received<'_>)) -> io::Result<usize> {
        let mut count = self.v4.receive(&mut self.buffers, &mut on)?;
        if let Some(v6) = &self.v6 {
            count += v6.receive(&mut self.buffers, &mut on)?;
        }
        Ok(count)
    }

    /// Sends a run without waiting. What the kernel does not take is lost, as on any network.
    pub fn send(&self, run: Run<'_>) -> io::Result<()> {
        let family = match run.remote {
            SocketAddr::V4(_) => &self.v4,
            SocketAddr::V6(_) => self.v6.as_ref().ok_or(io::ErrorKind::Unsupported)?,
        };
        family.send(run)
    }
}

impl Family {
    fn bind(address: SocketAddr) -> io::Result<Family> {
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        socket.set_recv_buffer_size(SOCKET_BUFFER_BYTES)?;
        socket.set_send_buffer_size(SOCKET_BUFFER_BYTES)?;
        socket.bind(&address.into())?;
        let std: std::net::UdpSocket = socket.into();
        let state = UdpSocketState::new(UdpSockRef::from(&std))?;
        std.set_nonblocking(true)?;
        let local = std.local_addr()?;
        Ok(Family { io: tokio::net::UdpSocket::from_std(std)?, state, local })
    }

    fn receive(&self, buffers: &mut [Vec<u8>], on: &mut impl FnMut(Received<'_>)) -> io::Result<usize> {
        let mut metas = [RecvMeta::default(); BATCH_SIZE];
        let received = {
            let mut slices: Vec<IoSliceMut<'_>> = buffers.iter_mut().map(|b| IoSliceMut::new(b)).collect();
            self.io.try_io(Interest::READABLE, || self.state.recv(UdpSockRef::from(&self.io), &mut slices, &mut metas))
        };
        let received = match received {
            Ok(received) => received,
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(0),
            Err(e) => return Err(e),
        };
        let mut count = 0;
        for (meta, buffer) in metas.iter().zip(buffers.iter()).take(received) {
            let local = SocketAddr::new(meta.dst_ip.unwrap_or(self.local.ip()), self.local.port());
            for bytes in buffer[..meta.len].chunks(meta.stride.max(1)) {
                on(Received { remote: meta.addr, local, bytes });
                count += 1;
            }
        }
        Ok(count)
    }

    fn send(&self, run: Run<'_>) -> io::Result<()> {
        let segment_size = (run.bytes.len() > run.segment).then_some(run.segment);
        let transmit = Transmit { destination: run.remote, ecn: None, contents: run.bytes, segment_size, src_ip: run.local };
        // Past tokio's bookkeeping: it says "would block" until it has once seen the socket writable, and nobody here waits for that.
        self.state.try_send(UdpSockRef::from(&self.io), &transmit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn received(port: &mut UdpPort, count: usize) -> Vec<(SocketAddr, SocketAddr, Vec<u8>)> {
        let mut got = vec![];
        while got.len() < count {
            port.readable().await.unwrap();
            port.receive(|r| got.push((r.remote, r.local, r.bytes.to_vec()))).unwrap();
        }
        got
    }

    #[tokio::test]
    async fn a_run_arrives_as_its_datagrams_at_the_address_it_was_sent_to() {
        let (a, mut b) = (UdpPort::bind(0).unwrap(), UdpPort::bind(0).unwrap());
        let mut families = vec![IpAddr::V4(Ipv4Addr::LOCALHOST)];
        if a.has_v6() && b.has_v6() {
            families.push(IpAddr::V6(Ipv6Addr::LOCALHOST));
        }
        for ip in families {
            let bytes: Vec<u8> = (0..250).collect();
            let remote = SocketAddr::new(ip, b.number());
            a.send(Run { remote, local: Some(ip), bytes: &bytes, segment: 100 }).unwrap();
            let got = received(&mut b, 3).await;
            assert_eq!(got.iter().map(|(_, _, d)| d.len()).collect::<Vec<_>>(), [100, 100, 50]);
            assert_eq!(got.iter().flat_map(|(_, _, d)| d.clone()).collect::<Vec<_>>(), bytes);
            assert!(got.iter().all(|(from, to, _)| *from == SocketAddr::new(ip, a.number()) && *to == remote));
        }
    }

    #[tokio::test]
    async fn a_taken_port_is_an_error() {
        let a = UdpPort::bind(0).unwrap();
        let error = UdpPort::bind(a.number()).err().map(|e| e.kind());
        assert_eq!(error, Some(io::ErrorKind::AddrInUse));
    }
}
