//! The newest packet of a stream: it tells what follows, what is late, and what is a publisher that started anew.
//!
//! Kept once for each received layer, and for each slot's source by what chooses and by what numbers, so that all judge alike.

use std::time::{Duration, Instant};

use super::packet::Packet;
use crate::limits::{JUMP_PACKETS_MAX, JUMP_TIME_MAX, LATE_PACKETS_MAX};

/// The newest packet seen so far.
#[derive(Clone, Copy, Debug)]
pub struct Head {
    seq: u64,
    timestamp: u32,
    at: Instant,
}

/// Where a packet stands in relation to the newest one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// It is the newest now.
    Newer,
    /// Out of order, sent again, or the same once more.
    Older,
    /// Further back than anybody waits for.
    TooOld,
    /// Numbers or times jumped: another encoder under the same name.
    Restart,
}

impl Head {
    /// `packet` is the newest.
    pub fn of(packet: &Packet, now: Instant) -> Head {
        Head { seq: packet.seq, timestamp: packet.timestamp, at: now }
    }

    /// Sequence number of the newest packet.
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// RTP timestamp of the newest packet.
    pub fn timestamp(&self) -> u32 {
        self.timestamp
    }

    /// When the newest packet came.
    pub fn at(&self) -> Instant {
        self.at
    }

    /// Judges `packet`; changes nothing.
    pub fn place(&self, packet: &Packet, now: Instant) -> Place {
        let ticks_ahead = i64::from(packet.timestamp.wrapping_sub(self.timestamp) as i32);
        let rate = i64::from(packet.codec.kind().clock_rate());
        let tolerance = ticks(JUMP_TIME_MAX, rate);
        if packet.seq > self.seq {
            // Real time stands still in bursts and RTP time in pauses, so the two are compared loosely.
            let elapsed = ticks(now.saturating_duration_since(self.at), rate);
            // The difference is taken modulo 2^32 like the timestamps themselves: a pause may be longer than half their range.
            let drift = i64::from((ticks_ahead as u32).wrapping_sub(elapsed as u32) as i32);
            let jumped = packet.seq - self.seq > JUMP_PACKETS_MAX || drift.abs() > tolerance;
            return if jumped { Place::Restart } else { Place::Newer };
        }
        let behind = self.seq - packet.seq;
        if behind > JUMP_PACKETS_MAX || ticks_ahead.abs() > tolerance {
            Place::Restart
        } else if behind > LATE_PACKETS_MAX {
            Place::TooOld
        } else {
            Place::Older
        }
    }
}

/// In 64 bits, since this is on the packet path: good for a pause of three years, then the packet counts as a restart.
fn ticks(time: Duration, rate: i64) -> i64 {
    let micros = (time.as_secs() as i64).wrapping_mul(1_000_000).wrapping_add(i64::from(time.subsec_micros()));
    micros.wrapping_mul(rate) / 1_000_000
}
