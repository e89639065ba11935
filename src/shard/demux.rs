//! Whose is a datagram? By its address once a connectivity check has proven it; before that only by the name in a check.
//!
//! The naive way is to ask every `Rtc` in turn, which a stranger can make us do a hundred thousand times a second. Here both look-ups are a map,
//! nothing is allocated for a stranger, and what is not a check from an unknown address is dropped before it reaches an `Rtc`.
//!
//! A participant can send a check that it signed itself from an address that is somebody else's. So an address changes hands only when its
//! owner has not checked from it for a while. That is noted per check, which comes every few seconds, and not per packet.

use std::collections::HashMap;
use std::time::Instant;

use crate::id::PeerId;
use crate::limits::{ADDRESS_LIFE, ADDRESSES_PER_PEER_MAX, NAMES_PER_PEER_MAX};
use crate::metrics::DropReason;
use crate::webrtc::{Source, stun};

/// Two maps, bounded by the number of peers.
#[derive(Debug, Default)]
pub struct Demux {
    by_ufrag: HashMap<String, PeerId>,
    by_address: HashMap<Source, PeerId>,
    /// With the time of the last check from there.
    addresses: HashMap<PeerId, Vec<(Source, Instant)>>,
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
        for (address, _) in self.addresses.remove(&peer).unwrap_or_default() {
            self.by_address.remove(&address);
        }
    }

    /// An authenticated check of `peer` came from this address, which is the peer's from now on. `false`: it is another's, or one too many.
    pub fn prove(&mut self, peer: PeerId, address: Source, now: Instant) -> bool {
        if !self.addresses.contains_key(&peer) || !self.release(peer, address, now) {
            return false;
        }
        let Some(mine) = self.addresses.get_mut(&peer) else { return false };
        if let Some((_, checked)) = mine.iter_mut().find(|(known, _)| *known == address) {
            *checked = now;
            return true;
        }
        if mine.len() == ADDRESSES_PER_PEER_MAX {
            let live = |checked: Instant| now.saturating_duration_since(checked) < ADDRESS_LIFE;
            let stalest = mine.iter().enumerate().min_by_key(|(_, (_, checked))| *checked);
            let Some(index) = stalest.filter(|(_, (_, checked))| !live(*checked)).map(|(index, _)| index) else { return false };
            self.by_address.remove(&mine.swap_remove(index).0);
        }
        mine.push((address, now));
        self.by_address.insert(address, peer);
        true
    }

    /// Takes an address from whoever else had it. `false`: they still check from there.
    fn release(&mut self, peer: PeerId, address: Source, now: Instant) -> bool {
        let Some(owner) = self.by_address.get(&address).copied().filter(|owner| *owner != peer) else { return true };
        let Some(theirs) = self.addresses.get_mut(&owner) else { return true };
        let live = |(known, checked): &(Source, Instant)| *known == address && now.saturating_duration_since(*checked) < ADDRESS_LIFE;
        if theirs.iter().any(live) {
            return false;
        }
        theirs.retain(|(known, _)| *known != address);
        true
    }

    /// A TCP connection is over, and nobody's any more. Returns whose it was.
    pub fn forget(&mut self, address: Source) -> Option<PeerId> {
        let owner = self.by_address.remove(&address)?;
        if let Some(theirs) = self.addresses.get_mut(&owner) {
            theirs.retain(|(known, _)| *known != address);
        }
        Some(owner)
    }

    /// Whose a datagram is.
    #[inline]
    pub fn find(&self, from: Source, datagram: &[u8]) -> Result<PeerId, DropReason> {
        if stun::is_stun(datagram) {
            let named = stun::local_ufrag(datagram).and_then(|ufrag| self.by_ufrag.get(ufrag));
            return named.copied().ok_or(DropReason::UnknownAddress);
        }
        self.by_address.get(&from).copied().ok_or(DropReason::UnprovenAddress)
    }

    /// Entries of all maps.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        let lists = self.addresses.values().map(Vec::len).sum::<usize>() + self.names.values().map(Vec::len).sum::<usize>();
        self.by_ufrag.len() + self.by_address.len() + self.addresses.len() + self.names.len() + lists
    }

    /// Nothing is remembered of anybody.
    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        self.names.is_empty() && self.by_ufrag.is_empty() && self.by_address.is_empty() && self.addresses.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::id::ConnectionId;
    use crate::webrtc::Transport;

    fn udp(address: &str) -> Source {
        (Transport::Udp, address.parse().unwrap())
    }

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
        let (a, b) = (udp("192.0.2.1:1"), udp("192.0.2.1:2"));
        let (mut d, now) = (Demux::default(), Instant::now());
        assert!(d.add(PeerId(1), "one") && d.add(PeerId(2), "two") && !d.add(PeerId(3), "one"));
        assert_eq!(d.find(a, &[0x80; 40]), Err(DropReason::UnprovenAddress));
        assert_eq!(d.find(a, &check("one")), Ok(PeerId(1)));
        assert_eq!(d.find(a, &check("three")), Err(DropReason::UnknownAddress));
        assert!(d.prove(PeerId(1), a, now));
        assert_eq!(d.find(a, &[0x80; 40]), Ok(PeerId(1)));
        assert_eq!(d.find(b, &[0x80; 40]), Err(DropReason::UnprovenAddress));
        let later = now + ADDRESS_LIFE;
        assert!(d.prove(PeerId(2), a, later)); // a NAT gave the port to somebody else
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
    fn an_address_in_use_is_not_taken_away() {
        let (mut d, now) = (Demux::default(), Instant::now());
        let at = |seconds| now + Duration::from_secs(seconds);
        let a = udp("192.0.2.1:1");
        assert!(d.add(PeerId(1), "one") && d.add(PeerId(2), "two"));
        assert!(d.prove(PeerId(1), a, now));
        for second in 1..60 {
            assert!(!d.prove(PeerId(2), a, at(second)), "second {second}");
            assert_eq!(d.find(a, &[0x80; 40]), Ok(PeerId(1)));
            assert!(d.prove(PeerId(1), a, at(second)));
        }
        assert!(!d.prove(PeerId(2), a, at(59 + 14)));
        assert!(d.prove(PeerId(2), a, at(59 + 15)), "its owner is silent");
        assert!(!d.prove(PeerId(1), a, at(59 + 16)), "and has lost it");
        d.remove(PeerId(2));
        assert!(d.prove(PeerId(1), a, at(59 + 17)), "its owner is gone");
        assert!(!d.prove(PeerId(3), a, at(120)), "nobody of that number");
        d.remove(PeerId(1));
        assert!(d.is_empty());
    }

    #[test]
    fn a_peer_that_moves_for_ever_keeps_a_bounded_number_of_addresses() {
        let (mut d, now) = (Demux::default(), Instant::now());
        d.add(PeerId(1), "one");
        let of_port = |port: u16| (Transport::Udp, ([192, 0, 2, 1], port).into());
        let home = of_port(1);
        for port in 1..1_000u16 {
            assert!(d.prove(PeerId(1), of_port(port), now + Duration::from_secs(port.into())));
            d.prove(PeerId(1), home, now + Duration::from_secs(port.into()));
        }
        assert_eq!(d.find(home, &[0x80; 40]), Ok(PeerId(1)), "what is in use is not forgotten");
        assert_eq!(d.by_address.len(), ADDRESSES_PER_PEER_MAX);
        for n in 0..100 {
            d.rename(PeerId(1), &n.to_string());
        }
        assert_eq!(d.by_ufrag.len(), NAMES_PER_PEER_MAX);
        d.remove(PeerId(1));
        assert!(d.is_empty());
    }

    #[test]
    fn a_tcp_connection_is_its_own_address_and_is_forgotten_with_its_end() {
        let (mut d, now) = (Demux::default(), Instant::now());
        assert!(d.add(PeerId(1), "one") && d.add(PeerId(2), "two"));
        let address = "192.0.2.1:1".parse().unwrap();
        let [udp, first, second] = [Transport::Udp, Transport::Tcp(ConnectionId(1)), Transport::Tcp(ConnectionId(2))].map(|t| (t, address));
        assert!(d.prove(PeerId(1), udp, now) && d.prove(PeerId(1), first, now));
        assert_eq!(d.find(second, &[0x80; 40]), Err(DropReason::UnprovenAddress));
        assert!(d.prove(PeerId(2), second, now), "nobody's, although its address is in use");
        assert_eq!([udp, first, second].map(|s| d.find(s, &[0x80; 40])), [Ok(PeerId(1)), Ok(PeerId(1)), Ok(PeerId(2))]);
        assert_eq!((d.forget(first), d.forget(first)), (Some(PeerId(1)), None));
        assert_eq!(d.find(first, &[0x80; 40]), Err(DropReason::UnprovenAddress));
        assert_eq!(d.find(udp, &[0x80; 40]), Ok(PeerId(1)));
        d.remove(PeerId(1));
        assert_eq!(d.forget(second), Some(PeerId(2)));
        d.remove(PeerId(2));
        assert!(d.is_empty());
    }
}
