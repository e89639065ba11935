//! Packets that were sent in one burst, as one: between bursts the delay says something about the network, inside one only about the sender.
//!
//! draft-ietf-rmcat-gcc-02 5.2 and libwebrtc's `goog_cc/inter_arrival_delta.cc`.

use std::time::{Duration, Instant};

/// Packets sent within this time of their group's first belong to it.
const GROUP: Duration = Duration::from_millis(5);
/// Packets that arrive so close together, and sooner than they were sent, waited for the same thing (a radio's turn, an interrupt).
const BURST: Duration = Duration::from_millis(5);
/// Such a burst ends here, so that it cannot swallow a queue that drains.
const BURST_MAX: Duration = Duration::from_millis(100);
/// A receiver's clock that moves by more against ours was set anew.
const CLOCK_JUMP: Duration = Duration::from_secs(3);

/// How one group came compared with the one before.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Variation {
    /// Between the sending of the two, in ms.
    pub sent_ms: f64,
    /// Between their arrivals, in ms.
    pub arrived_ms: f64,
    /// When the later one had arrived, on the receiver's clock.
    pub at: Duration,
}

#[derive(Clone, Copy, Debug)]
struct Group {
    first_sent: Instant,
    last_sent: Instant,
    first_arrived: Duration,
    last_arrived: Duration,
}

/// Makes groups of packets.
#[derive(Debug, Default)]
pub struct Groups {
    current: Option<Group>,
    previous: Option<Group>,
}

impl Groups {
    /// A packet arrived, `arrived` on the receiver's clock. Tells of the group that it ended, if there was one before that to compare with.
    pub fn on_packet(&mut self, sent: Instant, arrived: Duration) -> Option<Variation> {
        let Some(group) = &mut self.current else {
            self.current = Some(Group::new(sent, arrived));
            return None;
        };
        if arrived + CLOCK_JUMP < group.last_arrived {
            *self = Groups::default();
            return self.on_packet(sent, arrived);
        }
        if sent < group.first_sent {
            return None; // overtaken: its group is over
        }
        if group.holds(sent, arrived) {
            group.last_sent = group.last_sent.max(sent);
            group.last_arrived = group.last_arrived.max(arrived);
            return None;
        }
        let ended = *group;
        self.current = Some(Group::new(sent, arrived));
        let before = self.previous.replace(ended)?;
        let sent = ended.last_sent.saturating_duration_since(before.last_sent);
        let arrived = ended.last_arrived.saturating_sub(before.last_arrived);
        if arrived > sent + CLOCK_JUMP {
            *self = Groups::default();
            return None;
        }
        Some(Variation { sent_ms: ms(sent), arrived_ms: ms(arrived), at: ended.last_arrived })
    }
}

impl Group {
    fn new(sent: Instant, arrived: Duration) -> Group {
        Group { first_sent: sent, last_sent: sent, first_arrived: arrived, last_arrived: arrived }
    }

    fn holds(&self, sent: Instant, arrived: Duration) -> bool {
        if sent.saturating_duration_since(self.first_sent) <= GROUP {
            return true;
        }
        let later_sent = sent.saturating_duration_since(self.last_sent);
        let later = arrived.saturating_sub(self.last_arrived);
        later < later_sent && later <= BURST && arrived.saturating_sub(self.first_arrived) < BURST_MAX
    }
}

/// As a fraction of milliseconds.
pub fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// (sent ms, arrived ms) in; (sent, arrived) differences out.
    fn variations(packets: &[(u64, u64)]) -> Vec<(f64, f64)> {
        let start = Instant::now();
        let mut groups = Groups::default();
        let arrivals = packets.iter().map(|(s, a)| (start + Duration::from_millis(*s), Duration::from_millis(*a)));
        arrivals.filter_map(|(s, a)| groups.on_packet(s, a)).map(|v| (v.sent_ms.round(), v.arrived_ms.round())).collect()
    }

    #[test]
    fn bursts_are_compared_by_their_ends() {
        type Case<'a> = (&'a [(u64, u64)], &'a [(f64, f64)]);
        let table: &[Case] = &[
            (&[(0, 50), (20, 70), (40, 90)], &[(20.0, 20.0)]),
            (&[(0, 50), (3, 54), (20, 70), (25, 81), (40, 90)], &[(22.0, 27.0)]),
            (&[(0, 50), (20, 90), (30, 91), (40, 92), (60, 110), (80, 130)], &[(40.0, 42.0), (20.0, 18.0)]),
            (&[(0, 50), (20, 70), (10, 60), (40, 90)], &[(20.0, 20.0)]),
            (&[(0, 50_000), (20, 50_020), (40, 90), (60, 110), (80, 130), (100, 150)], &[(20.0, 20.0); 2]),
            (&[(0, 50), (20, 90_000), (40, 90_020), (60, 90_040), (80, 90_060), (100, 90_080)], &[(20.0, 20.0)]),
        ];
        for (packets, expected) in table {
            assert_eq!(variations(packets), *expected, "{packets:?}");
        }
    }
}
