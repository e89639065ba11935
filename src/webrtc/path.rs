//! The way of a datagram: between which addresses, and by what.

use std::net::SocketAddr;

use crate::id::ConnectionId;

/// What carries datagrams.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// UDP.
    Udp,
    /// This TCP connection (RFC 6544). Another connection is another path, between whatever addresses: a proof of one is none of the next.
    Tcp(ConnectionId),
}

/// Where datagrams come from, as far as it can be told: what a check proves, and what belongs to one peer.
pub type Source = (Transport, SocketAddr);

/// Where a datagram came from, which of our addresses it came to, and how; or how one goes the other way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Path {
    /// How.
    pub transport: Transport,
    /// The client.
    pub remote: SocketAddr,
    /// Us, as announced.
    pub local: SocketAddr,
}

impl Path {
    /// By UDP.
    pub fn udp(remote: SocketAddr, local: SocketAddr) -> Path {
        Path { transport: Transport::Udp, remote, local }
    }

    /// By a TCP connection.
    pub fn tcp(connection: ConnectionId, remote: SocketAddr, local: SocketAddr) -> Path {
        Path { transport: Transport::Tcp(connection), remote, local }
    }

    /// Its far end.
    pub fn source(&self) -> Source {
        (self.transport, self.remote)
    }
}
