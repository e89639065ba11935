//! What a browser makes of the packets of one audio slot: how much of it had to be made up.
//!
//! A jitter buffer of [`BUFFER`] that stretches like NetEq's: where nothing is there to be played, sound is made up until the next packet comes,
//! and all behind it is played so much later; then it is played a little faster until the buffer is as short as before. A packet that is missing
//! between others when its turn comes, itself and every copy of it, is made up for good. Silence that is not sent (DTX) is nobody's loss: its numbers have no hole.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::link::BIN;
use crate::id::PeerId;

/// From a packet's arrival to its turn, where the network is even.
const BUFFER: Duration = Duration::from_millis(80);
/// One packet.
const PACKET: Duration = Duration::from_millis(20);
const TICKS: u32 = 48_000;
/// So much of the time that it runs behind is caught up.
const CATCH_UP: f64 = 0.05;
/// Missing packets that it still waits for; a second of them.
const MISSING_MAX: usize = 50;

/// What was played in one bin.
#[derive(Clone, Copy, Debug, Default)]
pub struct Heard {
    /// Made up or not.
    pub played: Duration,
    pub concealed: Duration,
}

/// One audio slot's.
#[derive(Debug, Default)]
pub struct Listener {
    /// When which timestamp has its turn.
    turn: Option<(Instant, u32)>,
    /// Behind the shortest that the network allows.
    behind: Duration,
    highest: Option<(u64, u32, Instant)>,
    /// By sequence number: when it is their turn.
    missing: BTreeMap<u64, Instant>,
    /// In each bin since the client began.
    pub heard: Vec<Heard>,
    /// 1 for each bin in which a packet came.
    pub came: Vec<usize>,
    /// Whose it was, from when on; at most one entry for each change.
    pub voices: Vec<(Instant, PeerId)>,
}

impl Listener {
    pub fn handle_packet(&mut self, (seq, timestamp): (u64, u32), owner: PeerId, (start, now): (Instant, Instant)) {
        let bin = ((now - start).as_millis() / BIN.as_millis()) as usize;
        if self.heard.len() <= bin {
            self.heard.resize(bin + 1, Heard::default());
            self.came.resize(bin + 1, 0);
        }
        self.came[bin] = 1;
        if self.voices.last().is_none_or(|(_, last)| *last != owner) {
            self.voices.push((now, owner));
        }
        self.conceal_missing(now);
        match self.highest {
            Some((highest, _, _)) if seq <= highest => {
                // A repetition, or one that was overtaken.
                self.handle_copy(seq);
            }
            _ => self.handle_newest(seq, timestamp, now),
        }
    }

    /// A packet came once more, within the one that was just handled: in time, or its turn is over and it was made up.
    pub fn handle_copy(&mut self, seq: u64) {
        if self.missing.remove(&seq).is_some() {
            self.play(PACKET, Duration::ZERO);
        }
    }

    fn handle_newest(&mut self, seq: u64, timestamp: u32, now: Instant) {
        let turn = self.turn_of(timestamp, now);
        if let Some((highest, _, _)) = self.highest {
            let first = (highest + 1).max(seq.saturating_sub(MISSING_MAX as u64));
            for missing in first..seq {
                let turn = turn.checked_sub(PACKET * (seq - missing) as u32).unwrap_or(turn);
                self.missing.insert(missing, turn);
            }
        }
        if now > turn {
            // Nothing was there to be played.
            let gap = now - turn;
            self.behind += gap;
            self.turn = self.turn.map(|(at, of)| (at + gap, of));
            self.play(gap, gap);
        }
        self.catch_up(now);
        self.play(PACKET, Duration::ZERO);
        self.highest = Some((seq, timestamp, now));
        self.conceal_missing(now);
    }

    /// When a timestamp has its turn, by what was heard so far. One that comes earlier than any shows that the network is shorter than thought.
    fn turn_of(&mut self, timestamp: u32, now: Instant) -> Instant {
        let earliest = now + BUFFER;
        let turn = match self.turn {
            None => earliest,
            Some((at, of)) => {
                let ticks = timestamp.wrapping_sub(of) as i32;
                let time = Duration::from_secs_f64(f64::from(ticks.unsigned_abs()) / f64::from(TICKS));
                let turn = if ticks < 0 { at.checked_sub(time).unwrap_or(at) } else { at + time };
                // After a silence the buffer is built anew.
                let silent = self.highest.is_some_and(|(_, last, _)| timestamp.wrapping_sub(last) as i32 > 10 * 960);
                if silent { earliest } else { turn }
            }
        };
        self.turn = Some((turn, timestamp));
        turn
    }

    fn catch_up(&mut self, now: Instant) {
        let Some((at, of)) = self.turn else { return };
        // Only what waits longer than the buffer can be played faster.
        let spare = (at.saturating_duration_since(now)).saturating_sub(BUFFER);
        let saved = spare.min(self.behind).min(PACKET.mul_f64(CATCH_UP));
        self.behind -= saved;
        self.turn = Some((at - saved, of));
    }

    fn conceal_missing(&mut self, now: Instant) {
        while let Some(entry) = self.missing.first_entry().filter(|entry| *entry.get() <= now) {
            entry.remove();
            self.play(PACKET, PACKET);
        }
    }

    fn play(&mut self, played: Duration, concealed: Duration) {
        if let Some(heard) = self.heard.last_mut() {
            heard.played += played;
            heard.concealed += concealed;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Packets of ten seconds, each 50 ms on its way and `late` more (`None`: lost); the share that was made up.
    fn share(late: impl Fn(u32) -> Option<u32>) -> f64 {
        share_with(0, late)
    }

    /// The same, where each carries so many of those before it.
    fn share_with(copies: u64, late: impl Fn(u32) -> Option<u32>) -> f64 {
        let start = Instant::now();
        let mut packets: Vec<(u32, u32)> = (0..500).filter_map(|n| late(n).map(|late| (n * 20 + 50 + late, n))).collect();
        packets.sort_unstable();
        let mut listener = Listener::default();
        for (ms, n) in packets {
            let at = start + MS * ms;
            let seq = u64::from(n) + 7;
            listener.handle_packet((seq, n * 960), PeerId(1), (start, at));
            (1..=copies).for_each(|back| listener.handle_copy(seq - back));
        }
        share_of(&listener)
    }

    fn share_of(listener: &Listener) -> f64 {
        let sum = |of: fn(&Heard) -> Duration| listener.heard.iter().map(of).sum::<Duration>().as_secs_f64();
        sum(|h| h.concealed) / sum(|h| h.played)
    }

    #[test]
    fn what_is_made_up_is_what_was_missing() {
        for (name, share, least, most) in [
            ("all in time", share(|_| Some(0)), 0.0, 0.0),
            ("jitter within the buffer", share(|n| Some(n * 37 % 70)), 0.0, 0.001),
            ("one of five lost", share(|n| (n % 5 != 4).then_some(0)), 0.19, 0.21),
            ("repeated in time", share(|n| Some(if n % 5 == 4 { 60 } else { 0 })), 0.0, 0.0),
            ("repeated too late", share(|n| Some(if n % 5 == 4 { 200 } else { 0 })), 0.19, 0.21),
            ("one of five lost, each sent twice", share_with(1, |n| (n % 5 != 4).then_some(0)), 0.0, 0.0),
            ("two of ten lost together, each sent twice", share_with(1, |n| (n % 10 < 8).then_some(0)), 0.09, 0.11),
            ("each sent twice, and both too late", share_with(1, |n| Some(if n % 10 > 7 { 200 } else { 0 })), 0.09, 0.11),
            ("a queue that grows by 300 ms", share(|n| Some(if n < 250 { 0 } else { 300 })), 0.02, 0.024),
            ("a hole of a second", share(|n| (!(200..250).contains(&n)).then_some(0)), 0.09, 0.11),
        ] {
            assert!((least..=most).contains(&share), "{name}: {share}");
        }
    }

    #[test]
    fn silence_that_is_not_sent_is_no_loss() {
        let start = Instant::now();
        let mut listener = Listener::default();
        for n in 0..100u32 {
            // A packet every 400 ms: its time goes on, its number has no hole.
            listener.handle_packet((u64::from(n), n * 960 * 20), PeerId(1), (start, start + MS * n * 400));
        }
        assert_eq!(share_of(&listener), 0.0);
    }

    #[test]
    fn voices_are_told_apart() {
        let start = Instant::now();
        let mut listener = Listener::default();
        for (n, owner) in [1, 1, 2, 2, 1].into_iter().enumerate() {
            let ms = n as u32 * 20;
            listener.handle_packet((n as u64, n as u32 * 960), PeerId(owner), (start, start + MS * ms));
        }
        assert_eq!(listener.voices, [(start, PeerId(1)), (start + MS * 40, PeerId(2)), (start + MS * 80, PeerId(1))]);
    }
}
