//! The packets on their way, by transport-wide number: makes the numbers, and turns feedback about them into fates.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::bwe::Fate;
use crate::limits::PACKETS_ON_THE_WAY_MAX;

/// A packet told missing may still arrive while no more than so many later ones were told of.
const OVERTAKEN_MAX: usize = 256;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Nothing,
    Missing,
    Arrived,
}

#[derive(Debug)]
struct OnTheWay {
    sent: Instant,
    bytes: u16,
    unnumbered: u16,
    probe: u8,
    told: Told,
}

/// What one connection sent lately with transport-wide numbers.
#[derive(Debug, Default)]
pub struct Ledger {
    /// Number of the first packet in the list.
    first: u64,
    packets: VecDeque<OnTheWay>,
    unnumbered: u16,
    /// Place after the last packet that was told of.
    told: usize,
    fates: Vec<Fate>,
    clock: Clock,
}

/// The receiver's clock, whose numbers wrap after twelve days.
#[derive(Debug, Default)]
struct Clock {
    /// The last reference time, unwrapped.
    reference: Option<u64>,
}

impl Clock {
    const WRAP: u64 = 1 << 24;

    fn at(&mut self, reference: u32, quarters: i32) -> Duration {
        let reference = u64::from(reference) % Clock::WRAP;
        // One turn from zero, so that there is a time before the first.
        let last = *self.reference.get_or_insert(reference + Clock::WRAP);
        let ahead = reference.wrapping_sub(last) % Clock::WRAP;
        let unwrapped = if ahead < Clock::WRAP / 2 { last + ahead } else { (last + ahead).saturating_sub(Clock::WRAP) };
        self.reference = Some(unwrapped);
        Duration::from_micros((unwrapped * 64_000).saturating_add_signed(i64::from(quarters) * 250))
    }
}

impl Ledger {
    /// The next packet's number.
    #[inline]
    pub fn next(&self) -> u16 {
        (self.first + self.packets.len() as u64) as u16
    }

    /// The packet with the next number was sent. `probe`: its cluster, or 0.
    #[inline]
    pub fn note(&mut self, bytes: u32, probe: u8, now: Instant) {
        if self.packets.len() == PACKETS_ON_THE_WAY_MAX {
            self.forget(1);
        }
        let unnumbered = std::mem::take(&mut self.unnumbered);
        self.packets.push_back(OnTheWay { sent: now, bytes: bytes as u16, unnumbered, probe, told: Told::Nothing });
    }

    /// A packet without a number was sent.
    #[inline]
    pub fn note_unnumbered(&mut self, bytes: u32) {
        self.unnumbered = self.unnumbered.saturating_add(bytes as u16);
    }

    /// The receiver tells of one packet: `quarters` of a millisecond after the feedback's reference time (24 bits, in 64 ms), `None`: not there yet.
    pub fn on_told(&mut self, number: u16, reference: u32, quarters: Option<i32>) {
        let arrived = quarters.map(|quarters| self.clock.at(reference, quarters));
        let place = usize::from(number.wrapping_sub(self.first as u16));
        let Some(packet) = self.packets.get_mut(place) else { return };
        let recovered = packet.told == Told::Missing;
        match (packet.told, arrived) {
            (Told::Nothing, None) => packet.told = Told::Missing,
            (Told::Nothing | Told::Missing, Some(_)) => packet.told = Told::Arrived,
            (Told::Missing, None) | (Told::Arrived, _) => return,
        }
        let OnTheWay { sent, bytes, unnumbered, probe, .. } = *packet;
        self.told = self.told.max(place + 1);
        self.fates.push(Fate { sent, bytes: bytes.into(), unnumbered: unnumbered.into(), probe, arrived, recovered });
    }

    /// Hands over what was told, and forgets what nobody will tell of any more.
    pub fn settle(&mut self, read: impl FnOnce(&[Fate])) {
        read(&self.fates);
        self.fates.clear();
        let overtaken = self.told.saturating_sub(OVERTAKEN_MAX);
        let arrived = self.packets.iter().skip(overtaken).take_while(|p| p.told == Told::Arrived).count();
        self.forget(overtaken + arrived);
    }

    fn forget(&mut self, count: usize) {
        self.packets.drain(..count);
        self.first += count as u64;
        self.told = self.told.saturating_sub(count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(ledger: &mut Ledger, what: &[(u16, bool)]) -> Vec<(u32, bool, bool)> {
        what.iter().for_each(|(number, arrived)| ledger.on_told(*number, 0, arrived.then_some(0)));
        let mut out = vec![];
        ledger.settle(|fates| out.extend(fates.iter().map(|f| (f.bytes, f.arrived.is_some(), f.recovered))));
        out
    }

    #[test]
    fn each_fate_is_told_once() {
        let now = Instant::now();
        let mut l = Ledger { first: 65_534, ..Ledger::default() };
        for bytes in [100, 101, 102, 103] {
            l.note(bytes, 0, now);
        }
        assert_eq!(l.next(), 2);
        assert_eq!(
            told(&mut l, &[(65_534, true), (65_535, false), (0, true)]),
            [(100, true, false), (101, false, false), (102, true, false)]
        );
        assert_eq!(told(&mut l, &[(65_534, true), (65_535, false), (0, true)]), [], "again");
        assert_eq!(told(&mut l, &[(65_535, true)]), [(101, true, true)], "late, but there");
        assert_eq!(told(&mut l, &[(7, true), (1, true)]), [(103, true, false)], "only what was sent");
        assert!(l.packets.is_empty() && l.next() == 2);
    }

    #[test]
    fn the_receivers_clock_wraps() {
        let mut c = Clock::default();
        let first = c.at(0xff_ffff, 4);
        assert_eq!(c.at(0, 0) - first, Duration::from_millis(63));
        assert_eq!(c.at(0xff_ffff, 0) + Duration::from_millis(1), first, "and back");
        assert_eq!(c.at(0xff_fffe, -8) + Duration::from_millis(67), first);
        let mut zero = Clock::default();
        zero.at(0, 0);
        for i in 0..100u32 {
            zero.at(i.wrapping_neg().wrapping_mul(0x7f_ffff), i32::MIN);
        }
    }

    #[test]
    fn bounded_with_and_without_feedback() {
        let now = Instant::now();
        let mut l = Ledger::default();
        (0..100_000u32).for_each(|_| l.note(100, 0, now));
        assert_eq!(l.packets.len(), PACKETS_ON_THE_WAY_MAX);
        let last = l.next().wrapping_sub(1);
        told(&mut l, &[(last, true)]);
        assert!(l.packets.len() <= OVERTAKEN_MAX, "{}", l.packets.len());
        l.note_unnumbered(70);
        l.note(100, 3, now);
        l.on_told(l.next().wrapping_sub(1), 0, None);
        let fate = l.fates[0];
        assert_eq!((fate.unnumbered, fate.probe, fate.arrived), (70, 3, None));
    }
}
