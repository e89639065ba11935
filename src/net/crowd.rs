//! How many come from one address at a time. An IPv6 subscriber has a /64 at least, so that counts as one address.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

/// Counts who is here, by address. Its map holds only those who are, so what bounds them bounds it.
#[derive(Clone, Debug)]
pub struct Crowd {
    counts: Arc<Mutex<HashMap<IpAddr, usize>>>,
    per_address_max: usize,
}

/// A place in the crowd, given back when dropped.
#[derive(Debug)]
pub struct Place {
    counts: Arc<Mutex<HashMap<IpAddr, usize>>>,
    subscriber: IpAddr,
}

impl Crowd {
    /// With so many places for each address.
    pub fn new(per_address_max: usize) -> Crowd {
        Crowd { counts: Arc::default(), per_address_max }
    }

    /// One more from there. `None`: they are too many.
    pub fn enter(&self, ip: IpAddr) -> Option<Place> {
        let subscriber = subscriber(ip);
        // Whoever panicked while holding it had changed one number at most.
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.get(&subscriber).copied().unwrap_or(0);
        if count >= self.per_address_max {
            return None;
        }
        counts.insert(subscriber, count + 1);
        Some(Place { counts: Arc::clone(&self.counts), subscriber })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        match counts.get_mut(&self.subscriber) {
            Some(count) if *count > 1 => *count -= 1,
            Some(_) | None => drop(counts.remove(&self.subscriber)),
        }
    }
}

/// The address that stands for whoever has this one: itself, or its /64.
pub fn subscriber(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V4(ip) => IpAddr::V4(ip),
        IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & (u128::MAX << 64))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_by_subscriber_and_come_back() {
        let ip = |text: &str| text.parse::<IpAddr>().expect("an address");
        let crowd = Crowd::new(2);
        let first = crowd.enter(ip("192.0.2.1"));
        let second = crowd.enter(ip("::ffff:192.0.2.1"));
        assert!(first.is_some() && second.is_some());
        assert!(crowd.enter(ip("192.0.2.1")).is_none());
        let others = ["192.0.2.2", "2001:db8::1", "2001:db8::ffff:1", "2001:db8:0:1::1"].map(|text| crowd.enter(ip(text)));
        assert!(others.iter().all(Option::is_some));
        assert!(crowd.enter(ip("2001:db8::5:5")).is_none(), "the same /64");
        drop(second);
        assert!(crowd.enter(ip("192.0.2.1")).is_some());
        drop((first, others));
        assert!(crowd.counts.lock().expect("nobody panicked").is_empty());
    }
}
