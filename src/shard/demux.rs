//! Whose is a datagram? By its address once a connectivity check has proven it; before that only by the name in a check.
//!
//! The naive way is to ask every `Rtc` in turn, which a stranger can make us do a hundred thousand times a second. Here both look-ups are a map,
//! nothing is allocated for a stranger, and what is not a check from an unknown address is dropped before it reaches an `Rtc`.

use std::collections::HashMap;
use std::net::SocketAddr;

use crate::id::PeerId;
use crate::limits::{ADDRESSES_PER_PEER_MAX, NAMES_PER_PEER_MAX};
use crate::metrics::DropReason;
use crate::webrtc::stun;

/// Two maps, bounded by the number of peers.
#[derive(Debug, Default)]
pub struct Demux {
    by_ufrag: HashMap<String, PeerId>,
    by_address: HashMap<SocketAddr, PeerId>,
    addresses: HashMap<PeerId, Vec<SocketAddr>>,
    names: HashMap<PeerId, Vec<String>>,
}

impl Demux {
    /// A peer whose checks will begin with `ufrag`. `false`: the name is taken (str0m draws them at random).
    pub fn add(&mut self, peer: PeerId, ufrag: &str) -> bool {
        if self.by_ufrag.contains_key(ufrag) {
            return false;
        }
        self.addresses.insert(peer, vec![]);
        self.rename(peer, ufrag);
        true
    }

    /// An ICE restart gave the peer another name. The old ones count on for what is on its way.
    pub fn rename(&mut self, peer: PeerId, ufrag: &str) {
        if self.by_ufrag.contains_key(ufrag) {
            return;
        }
        let names = self.names.entry(peer).or_default();
        if names.len() == NAMES_PER_PEER_MAX {
            self.by_ufrag.remove(&names.remove(0));
        }
        names.push(ufrag.to_string());
        self.by_ufrag.insert(ufrag.to_string(), peer);
    }

    /// The peer is gone, with its addresses.
    pub fn remove(&mut self, peer: PeerId) {
        for name in self.names.remove(&peer).unwrap_or_default() {
            self.by_ufrag.remove(&name);
        }
        for address in self.addresses.remove(&peer).unwrap_or_default() {
            if self.by_address.get(&address) == Some(&peer) {
                self.by_address.remove(&address);
            }
        }
    }

    /// An authenticated check came from this address: it belongs to the peer from now on, whoever had it before.
    pub fn prove(&mut self, peer: PeerId, address: SocketAddr) {
        let Some(mine) = self.addresses.get_mut(&peer) else { return };
        if mine.contains(&address) && self.by_address.get(&address) == Some(&peer) {
            return;
        }
        if mine.len() == ADDRESSES_PER_PEER_MAX {
            let oldest = mine.remove(0);
            if self.by_address.get(&oldest) == Some(&peer) {
                self.by_address.remove(&oldest);
            }
        }
        mine.retain(|known| *known != address);
        mine.push(address);
        self.by_address.insert(address, peer);
    }

    /// Whose a datagram is.
    #[inline]
    pub fn find(&self, from: SocketAddr, datagram: &[u8]) -> Result<PeerId, DropReason> {
        if stun::is_stun(datagram) {
            let named = stun::local_ufrag(datagram).and_then(|ufrag| self.by_ufrag.get(ufrag));
            return named.copied().ok_or(DropReason::UnknownAddress);
        }
        self.by_address.get(&from).copied().ok_or(DropReason::UnprovenAddress)
    }

    /// Nothing is remembered of anybody.
    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        self.names.is_empty() && self.by_ufrag.is_empty() && self.by_address.is_empty() && self.addresses.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(ufrag: &str) -> Vec<u8> {
        let name = format!("{ufrag}:x");
        let mut d = vec![0, 1, 0, (4 + name.len().next_multiple_of(4)) as u8, 0x21, 0x12, 0xa4, 0x42];
        d.extend([0; 12]);
        d.extend([0, 6, 0, name.len() as u8]);
        d.extend(name.as_bytes());
        d.resize(d.len().next_multiple_of(4), 0);
        d
    }

    #[test]
    fn strangers_reach_nobody_and_proven_addresses_their_peer() {
        let (a, b): (SocketAddr, SocketAddr) = ("192.0.2.1:1".parse().unwrap(), "192.0.2.1:2".parse().unwrap());
        let mut d = Demux::default();
        assert!(d.add(PeerId(1), "one") && d.add(PeerId(2), "two") && !d.add(PeerId(3), "one"));
        assert_eq!(d.find(a, &[0x80; 40]), Err(DropReason::UnprovenAddress));
        assert_eq!(d.find(a, &check("one")), Ok(PeerId(1)));
        assert_eq!(d.find(a, &check("three")), Err(DropReason::UnknownAddress));
        d.prove(PeerId(1), a);
        assert_eq!(d.find(a, &[0x80; 40]), Ok(PeerId(1)));
        assert_eq!(d.find(b, &[0x80; 40]), Err(DropReason::UnprovenAddress));
        d.prove(PeerId(2), a); // a NAT gave the port to somebody else
        assert_eq!(d.find(a, &[0x80; 40]), Ok(PeerId(2)));
        d.rename(PeerId(2), "three");
        assert_eq!(d.find(b, &check("three")), Ok(PeerId(2)));
        assert_eq!(d.find(b, &check("two")), Ok(PeerId(2)));
        d.remove(PeerId(1));
        assert_eq!(d.find(a, &[0x80; 40]), Ok(PeerId(2)));
        d.remove(PeerId(2));
        assert!(d.is_empty());
    }

    #[test]
    fn a_peer_that_moves_for_ever_keeps_a_bounded_number_of_addresses() {
        let mut d = Demux::default();
        d.add(PeerId(1), "one");
        for port in 1..1_000 {
            d.prove(PeerId(1), SocketAddr::from(([192, 0, 2, 1], port)));
        }
        assert_eq!(d.by_address.len(), ADDRESSES_PER_PEER_MAX);
        for n in 0..100 {
            d.rename(PeerId(1), &n.to_string());
        }
        assert_eq!(d.by_ufrag.len(), NAMES_PER_PEER_MAX);
        d.remove(PeerId(1));
        assert!(d.is_empty());
    }
}
