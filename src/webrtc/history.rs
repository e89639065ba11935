//! What one slot sent lately: answers NACKs, and refuses to send a sequence number twice.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::id::TrackId;
use crate::limits::HISTORY_AGE_MAX;
use crate::metrics::DropReason;
use crate::rtp::{Packet, Rewritten};

/// Packets that are looked at for padding.
const PADDING_SEARCH: u64 = 64;

/// One packet that was sent. The payload is shared with everybody who got it.
#[derive(Clone, Debug)]
pub struct Sent {
    /// As the slot numbered it.
    pub header: Rewritten,
    /// Its track.
    pub track: TrackId,
    /// What it was made of.
    pub packet: Arc<Packet>,
    /// When it was last sent again.
    pub repeated: Option<Instant>,
}

/// A packet was asked for again before its repetition can have come.
#[derive(Debug)]
pub struct TooSoon;

/// A ring by sequence number. Packets and what was written of them stand apart: who only writes waits for no memory, and a thousand receivers' rings are
/// far from the processor.
#[derive(Debug)]
pub struct History {
    packets: Vec<Option<Arc<Packet>>>,
    notes: Vec<Note>,
    size: usize,
    highest: Option<u64>,
    /// Lower numbers were forgotten.
    floor: u64,
    /// The first packet of the present source: nobody needs what went before.
    began: u64,
}

/// What was written of a packet.
#[derive(Clone, Copy, Debug)]
struct Note {
    header: Rewritten,
    track: TrackId,
    repeated: Option<Instant>,
}

impl History {
    /// Keeps the last `size` packets. Memory is taken when the first is sent.
    pub fn new(size: usize) -> History {
        History { packets: vec![], notes: vec![], size, highest: None, floor: 0, began: 0 }
    }

    /// May this number be sent? Only once, and only while the ring still remembers whether it was.
    #[inline]
    pub fn admit(&self, seq: u64) -> Result<(), DropReason> {
        let Some(highest) = self.highest.filter(|highest| seq <= *highest) else { return Ok(()) };
        if seq < self.floor || seq + self.size as u64 <= highest {
            return Err(DropReason::Late);
        }
        if self.at(seq).is_some() { Err(DropReason::Duplicate) } else { Ok(()) }
    }

    /// Notes an admitted packet.
    #[inline]
    pub fn note(&mut self, sent: Sent) {
        let Sent { header, track, packet, repeated } = sent;
        let note = Note { header, track, repeated };
        if header.begins {
            self.began = header.seq;
        }
        if self.packets.is_empty() {
            self.packets.resize(self.size, None);
            self.notes.resize(self.size, note);
        }
        let place = self.place(header.seq);
        self.packets[place] = Some(packet);
        self.notes[place] = note;
        self.highest = Some(self.highest.map_or(header.seq, |h| h.max(header.seq)));
    }

    /// Forgets the packets and remembers the numbers: nothing at or below the highest is admitted any more.
    pub fn clear(&mut self) {
        (self.packets, self.notes) = (vec![], vec![]);
        self.floor = self.highest.map_or(0, |h| h + 1);
    }

    /// The packet for a NACK as it was found, with the time of its last repetition, unless it is too old. [`TooSoon`]: it was repeated within `again`, and its repetition is still on the way.
    pub fn repeat(&mut self, seq: u16, now: Instant, again: Duration) -> Result<Option<Sent>, TooSoon> {
        let Some(sent) = self.find(seq, now) else { return Ok(None) };
        if sent.repeated.is_some_and(|at| now.saturating_duration_since(at) < again) {
            return Err(TooSoon);
        }
        let place = self.place(sent.header.seq);
        self.notes[place].repeated = Some(now);
        Ok(Some(sent))
    }

    /// The newest packet, if it is remembered.
    pub fn newest(&self) -> Option<Sent> {
        self.at(self.highest?)
    }

    /// For padding that is of use: the newest packet of at most so many bytes that was not repeated within `again`. Looks at a few only.
    pub fn repeat_any(&mut self, bytes_max: usize, now: Instant, again: Duration) -> Option<Sent> {
        let highest = self.highest?;
        let lowest = highest.saturating_sub(PADDING_SEARCH).max(self.began);
        let is_of_use = |sent: &Sent| {
            let waited = sent.repeated.is_none_or(|at| now.saturating_duration_since(at) >= again);
            waited && sent.packet.payload.len() <= bytes_max && sent.is_young(now)
        };
        let mut sent = (lowest..=highest).rev().filter_map(|seq| self.at(seq)).find(is_of_use)?;
        let place = self.place(sent.header.seq);
        sent.repeated = Some(now);
        self.notes[place].repeated = sent.repeated;
        Some(sent)
    }

    fn find(&self, seq: u16, now: Instant) -> Option<Sent> {
        let highest = self.highest?;
        // The newest number with these lower bits that is not beyond the highest sent.
        let back = (highest as u16).wrapping_sub(seq);
        let seq = highest.checked_sub(back.into()).filter(|seq| *seq >= self.began)?;
        self.at(seq).filter(|sent| sent.is_young(now))
    }

    /// The packet with this number.
    fn at(&self, seq: u64) -> Option<Sent> {
        let place = self.place(seq);
        let (note, packet) = (self.notes.get(place)?, self.packets.get(place)?.as_ref()?);
        let Note { header, track, repeated } = *note;
        (header.seq == seq).then(|| Sent { header, track, packet: packet.clone(), repeated })
    }

    fn place(&self, seq: u64) -> usize {
        (seq % self.size as u64) as usize
    }
}

impl Sent {
    /// No jitter buffer waits so long, and the picture may be of somebody who is gone.
    fn is_young(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.packet.received) <= HISTORY_AGE_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtp::{Codec, Extensions, Patch};

    fn sent(seq: u64, now: Instant) -> Sent {
        let packet = Packet {
            seq,
            timestamp: 0,
            marker: false,
            codec: Codec::Vp8,
            extensions: Extensions::default(),
            payload: Arc::from([1u8]),
            red: None,
            received: now,
            captured: now,
        };
        Sent {
            header: Rewritten { seq, timestamp: 0, marker: false, empty: false, begins: false, patch: Patch::default() },
            track: TrackId(1),
            packet: Arc::new(packet),
            repeated: None,
        }
    }

    #[test]
    fn a_number_is_admitted_once() {
        let now = Instant::now();
        let mut h = History::new(8);
        for seq in [65_533, 65_534, 65_536] {
            assert_eq!(h.admit(seq), Ok(()));
            h.note(sent(seq, now));
        }
        assert_eq!(h.admit(65_534), Err(DropReason::Duplicate));
        assert_eq!(h.admit(65_535), Ok(()), "a hole may be filled");
        assert_eq!(h.admit(65_528), Err(DropReason::Late));
        assert_eq!(h.admit(65_529), Ok(()));
    }

    #[test]
    fn a_cleared_history_remembers_its_numbers() {
        let now = Instant::now();
        let mut h = History::new(8);
        (1..=5).for_each(|seq| h.note(sent(seq, now)));
        h.clear();
        assert_eq!(h.admit(5), Err(DropReason::Late));
        assert_eq!(h.admit(6), Ok(()));
        assert!(h.repeat(5, now, Duration::ZERO).unwrap().is_none());
        h.note(sent(6, now));
        assert!(h.repeat(6, now, Duration::ZERO).unwrap().is_some());
        assert!(h.repeat(6, now + HISTORY_AGE_MAX * 2, Duration::ZERO).unwrap().is_none());
    }

    #[test]
    fn a_nack_finds_its_packet_across_the_wrap_and_waits_a_round_trip() {
        let now = Instant::now();
        let mut h = History::new(8);
        (65_530..65_540).for_each(|seq| h.note(sent(seq, now)));
        let rtt = Duration::from_millis(50);
        assert_eq!(h.repeat(65_535, now, rtt).unwrap().map(|s| s.header.seq), Some(65_535));
        assert_eq!(h.repeat(1, now, rtt).unwrap().map(|s| s.header.seq), Some(65_537));
        assert!(h.repeat(1, now + rtt / 2, rtt).is_err());
        assert!(h.repeat(1, now + rtt, rtt).unwrap().is_some());
        assert!(h.repeat(65_530, now, rtt).unwrap().is_none(), "overwritten");
        assert!(h.repeat(9, now, rtt).unwrap().is_none(), "not sent yet");
        assert_eq!(h.newest().map(|s| s.header.seq), Some(65_539));
        let any = |h: &mut History, bytes, now| h.repeat_any(bytes, now, rtt).map(|s| s.header.seq);
        assert_eq!([any(&mut h, 1, now), any(&mut h, 1, now), any(&mut h, 0, now)], [Some(65_539), Some(65_538), None]);
        assert_eq!(any(&mut h, 1, now + rtt), Some(65_539));
        assert_eq!(any(&mut h, 1, now + HISTORY_AGE_MAX * 2), None);
    }
}
