//! What a forwarded packet says differently from the received one, and the arithmetic that decides it.
//!
//! ```text
//! source A  … 71 72 73 |                 | 74 (late: dropped)
//! source B             | 9000K 9001 9002 |
//! slot      …  5  6  7 |     8    9   10 |
//! ```
//!
//! It counts; it does not choose. Which packet begins a source, and which one is left out, is the room's decision. The rules were seen to hold
//! in Chromium and Firefox: patch a picture id only where there is one, drop what is older than the first packet, and add the real time to the
//! timestamp.

use std::time::Instant;

use super::counter::{Counter, PictureCounter};
use super::facts::Facts;
use super::head::{Head, Place};
use super::packet::{Codec, Kind, Packet};
use super::patch::{Patch, PictureIdPatch};
use super::shift::{Fate, Shift};

/// The header fields of one packet in one slot. The payload stays shared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rewritten {
    /// Sequence number in the slot, extended; the lower 16 bits go to the wire and the rest is the rollover counter. Starts below 65,536, and no
    /// value is given out twice. It may step back for packets that come out of order.
    pub seq: u64,
    /// RTP timestamp in the slot.
    pub timestamp: u32,
    /// RTP marker bit: the packet's own, unless the last packet of the picture for this receiver is another one.
    pub marker: bool,
    /// The payload stays behind: it only closes a hole.
    pub empty: bool,
    /// A source begins with it: nobody needs what went before.
    pub begins: bool,
    /// What changes in payload and descriptor.
    pub patch: Patch,
}

/// Why a packet has no place in a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// There is no source, or its publisher started anew: only `switch` helps.
    WaitKeyframe,
    /// Older than the source's first packet, or than anybody waits for, or left out before.
    Late,
}

/// First values of a slot. Random, so that nothing can be guessed from them; made by the owner's generator.
#[derive(Clone, Copy, Debug)]
pub struct Starts {
    /// First sequence number.
    pub seq: u16,
    /// First timestamp.
    pub timestamp: u32,
    /// First picture id (15 bits are used).
    pub picture_id: u16,
    /// First TL0PICIDX.
    pub tl0_picture_index: u8,
    /// First frame number.
    pub frame_number: u16,
}

impl Starts {
    /// Draws them. The sequence number starts in the lower half, so that the rollover is never near the first packet, where a receiver that
    /// loses it would guess the counter wrong (RFC 3711 §3.3.1).
    pub fn random(rng: &mut fastrand::Rng) -> Starts {
        Starts {
            seq: rng.u16(..0x8000),
            timestamp: rng.u32(..),
            picture_id: rng.u16(..),
            tl0_picture_index: rng.u8(..),
            frame_number: rng.u16(..),
        }
    }
}

/// Makes one stream of the sources that a slot has one after another: sequence numbers, timestamps and picture numbers run on, and the
/// decoder never notices. One for each slot; the room calls `switch` at a keyframe, and `rewrite` or `skip` for each packet that follows.
///
/// Gaps of the source stay gaps, since a retransmission may fill them; what is skipped leaves none. The same packet gets the same numbers
/// again; refusing it is left to the egress. A publisher that starts anew ([`Place::Restart`]) is waited for like any other source: `rewrite`
/// answers `WaitKeyframe`, until the caller has a keyframe to `switch` to.
#[derive(Clone, Debug)]
pub struct Rewriter {
    kind: Kind,
    /// The highest sequence number given out, plus one.
    next_seq: u64,
    /// The last timestamp given out, or the first to give.
    timestamp: u32,
    /// When that was captured; `None` before the first packet.
    timestamp_at: Option<Instant>,
    source: Option<Source>,
    picture_id: PictureCounter,
    tl0_picture_index: Counter,
    frame_number: Counter,
}

#[derive(Clone, Debug)]
struct Source {
    head: Head,
    first_in: u64,
    first_out: u64,
    timestamp_offset: u32,
    /// What became of its packets.
    shift: Shift,
}

impl Source {
    /// The number that belongs to the source's number `seq`, which is not before its first.
    fn out(&self, seq: u64) -> u64 {
        self.first_out + (seq - self.first_in) - self.shift.before(seq)
    }

    fn is_newest(&self, packet: &Packet) -> bool {
        packet.seq == self.shift.newest()
    }
}

impl Rewriter {
    /// A slot that has sent nothing.
    pub fn new(kind: Kind, starts: Starts) -> Rewriter {
        Rewriter {
            kind,
            next_seq: u64::from(starts.seq),
            timestamp: starts.timestamp,
            timestamp_at: None,
            source: None,
            picture_id: PictureCounter::new(starts.picture_id),
            tl0_picture_index: Counter::new(u16::from(starts.tl0_picture_index)),
            frame_number: Counter::new(starts.frame_number),
        }
    }

    /// Starts a new source with `packet`, which must start a keyframe (of audio, any will do): the next sequence number, the last timestamp
    /// plus the real time that went by, the next picture. A source that waited five seconds is thus not five seconds behind the sound.
    pub fn switch(&mut self, packet: &Packet, facts: &Facts, now: Instant) -> Rewritten {
        let timestamp = self.time_of(packet.captured);
        self.start(timestamp, packet, facts, now)
    }

    /// The same for the first of so many pictures that were kept, of which the last was captured at `newest`: it has the time that it would
    /// have, and the others go before it at one tick each, since their time is over. [`Rewriter::hurry`] continues.
    pub fn switch_kept(&mut self, packet: &Packet, facts: &Facts, pictures: u32, newest: Instant, now: Instant) -> Rewritten {
        let before = self.time_of(newest).wrapping_sub(pictures.saturating_sub(1));
        let back = before.wrapping_sub(self.timestamp) as i32 <= 0 && self.timestamp_at.is_some();
        self.start(if back { self.timestamp.wrapping_add(1) } else { before }, packet, facts, now)
    }

    /// The timestamp in the slot of what was captured then.
    fn time_of(&self, captured: Instant) -> u32 {
        self.timestamp_at.map_or(self.timestamp, |at| self.timestamp.wrapping_add(self.ticks_since(at, captured)))
    }

    fn start(&mut self, timestamp: u32, packet: &Packet, facts: &Facts, now: Instant) -> Rewritten {
        let source = self.source.insert(Source {
            head: Head::of(packet, now),
            first_in: packet.seq,
            first_out: self.next_seq,
            timestamp_offset: timestamp.wrapping_sub(packet.timestamp),
            shift: Shift::new(packet.seq),
        });
        source.shift.send(packet.seq);
        let seq = source.first_out;
        self.picture_id.detach();
        self.tl0_picture_index.detach();
        self.frame_number.detach();
        Rewritten { begins: true, ..self.give_out(seq, timestamp, packet, facts) }
    }

    /// Numbers for a further packet of the source, or why it does not go out.
    pub fn rewrite(&mut self, packet: &Packet, facts: &Facts, now: Instant) -> Result<Rewritten, Refused> {
        let Some(source) = &mut self.source else { return Err(Refused::WaitKeyframe) };
        match source.head.place(packet, now) {
            Place::Newer => {
                source.head = Head::of(packet, now);
                source.shift.advance(packet.seq);
            }
            // What came before the source's first packet has no number: the one before it belongs to another source.
            Place::Older if packet.seq < source.first_in => return Err(Refused::Late),
            Place::Older => match source.shift.fate(packet.seq) {
                Fate::Open | Fate::Sent => {}
                Fate::Closed | Fate::Filled => return Err(Refused::Late),
            },
            Place::TooOld => return Err(Refused::Late),
            Place::Restart => return Err(Refused::WaitKeyframe),
        }
        source.shift.send(packet.seq);
        let (seq, timestamp) = (source.out(packet.seq), packet.timestamp.wrapping_add(source.timestamp_offset));
        Ok(self.give_out(seq, timestamp, packet, facts))
    }

    /// The same for kept pictures: each is shown one tick after the one before it, and what follows goes on from the last.
    pub fn hurry(&mut self, packet: &Packet, facts: &Facts, now: Instant) -> Result<Rewritten, Refused> {
        if let Some(source) = &mut self.source
            && packet.timestamp.wrapping_add(source.timestamp_offset) != self.timestamp
        {
            source.timestamp_offset = self.timestamp.wrapping_add(1).wrapping_sub(packet.timestamp);
        }
        self.rewrite(packet, facts, now)
    }

    /// This packet of the source does not go out, and no number is missing for it: later ones move up. Of a picture all packets are skipped or
    /// none, so a VP8 picture id moves up with them: a receiver would wait for a missing one. VP9's and the descriptor's frame numbers keep
    /// their gaps, since references are differences of them; TL0PICIDX has none, since the base layer always goes out.
    ///
    /// Where it is too late to move up, because the packet came late and others went on with its number missing, that number is returned: an
    /// empty packet (padding) closes the hole.
    pub fn skip(&mut self, packet: &Packet, facts: &Facts) -> Option<Rewritten> {
        let source = self.source.as_mut()?;
        match source.head.place(packet, packet.received) {
            Place::Newer => {
                source.head = Head::of(packet, packet.received);
                source.shift.advance(packet.seq);
            }
            Place::Older if packet.seq >= source.first_in && source.shift.fate(packet.seq) == Fate::Open => {}
            Place::Older | Place::TooOld | Place::Restart => return None,
        }
        if let (Codec::Vp8, Some(id)) = (packet.codec, facts.picture_id) {
            self.picture_id.leave_out(id.value, id.bits(), source.is_newest(packet));
        }
        let seq = source.out(packet.seq);
        if seq >= self.next_seq {
            source.shift.close(packet.seq);
            return None;
        }
        source.shift.fill(packet.seq);
        let timestamp = packet.timestamp.wrapping_add(source.timestamp_offset);
        Some(Rewritten { seq, timestamp, marker: false, empty: true, begins: false, patch: Patch::default() })
    }

    fn give_out(&mut self, seq: u64, timestamp: u32, packet: &Packet, facts: &Facts) -> Rewritten {
        if seq >= self.next_seq {
            self.next_seq = seq + 1;
            let ahead = timestamp.wrapping_sub(self.timestamp) as i32 > 0;
            if ahead || self.timestamp_at.is_none() {
                self.timestamp = timestamp;
                self.timestamp_at = Some(packet.captured);
            }
        }
        let newest = self.source.as_ref().is_none_or(|source| source.is_newest(packet));
        let patch = Patch {
            picture_id: facts.picture_id.map(|id| PictureIdPatch {
                offset: id.offset,
                value: self.picture_id.map(id.value, id.bits(), newest),
                wide: id.wide,
            }),
            tl0_picture_index: facts
                .tl0_picture_index
                .map(|(offset, value)| (offset, self.tl0_picture_index.map(u16::from(value), 8) as u8)),
            frame_number: facts.descriptor.map(|d| self.frame_number.map(d.frame_number, 16)),
        };
        Rewritten { seq, timestamp, marker: packet.marker, empty: false, begins: false, patch }
    }

    /// Real time as ticks. At least one frame of sound, so that two sources never overlap in the decoder; at least one tick of video.
    fn ticks_since(&self, at: Instant, now: Instant) -> u32 {
        let micros = now.saturating_duration_since(at).as_micros();
        let ticks = (micros * u128::from(self.kind.clock_rate()) / 1_000_000) as u32;
        let least = match self.kind {
            Kind::Audio => 960,
            Kind::Video => 1,
        };
        ticks.max(least)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::facts::PictureId;
    use super::super::packet::{Codec, Extensions};
    use super::*;

    const STARTS: Starts = Starts { seq: 100, timestamp: 5_000, picture_id: 40, tl0_picture_index: 7, frame_number: 9 };

    fn packet(codec: Codec, seq: u64, timestamp: u32, now: Instant) -> Packet {
        let extensions = Extensions::default();
        Packet { seq, timestamp, marker: true, codec, extensions, payload: [0u8; 4].into(), red: None, received: now, captured: now }
    }

    fn numbered(value: u16, wide: bool, tl0: u8) -> Facts {
        let picture_id = Some(PictureId { offset: 2, value, wide });
        Facts { picture_id, tl0_picture_index: Some((4, tl0)), ..Facts::default() }
    }

    struct Slot {
        rewriter: Rewriter,
        now: Instant,
        codec: Codec,
    }

    impl Slot {
        fn new(codec: Codec) -> Slot {
            Slot { rewriter: Rewriter::new(codec.kind(), STARTS), now: Instant::now(), codec }
        }

        fn wait(&mut self, ms: u64) {
            self.now += Duration::from_millis(ms);
        }

        fn switch(&mut self, seq: u64, timestamp: u32) -> (u64, u32) {
            let out = self.rewriter.switch(&packet(self.codec, seq, timestamp, self.now), &Facts::default(), self.now);
            (out.seq, out.timestamp)
        }

        fn rewrite(&mut self, seq: u64, timestamp: u32) -> Result<(u64, u32), Refused> {
            let out = self.rewriter.rewrite(&packet(self.codec, seq, timestamp, self.now), &Facts::default(), self.now)?;
            Ok((out.seq, out.timestamp))
        }

        fn keyframe(&mut self, seq: u64, timestamp: u32) -> Result<(u64, u32), Refused> {
            match self.rewrite(seq, timestamp) {
                Err(Refused::WaitKeyframe) => Ok(self.switch(seq, timestamp)),
                other => other,
            }
        }

        fn pictures(&mut self, seq: u64, facts: Facts, switch: bool) -> (Option<u16>, Option<u8>) {
            let packet = packet(self.codec, seq, 0, self.now);
            let out = match switch {
                true => self.rewriter.switch(&packet, &facts, self.now),
                false => self.rewriter.rewrite(&packet, &facts, self.now).unwrap(),
            };
            (out.patch.picture_id.map(|p| p.value), out.patch.tl0_picture_index.map(|t| t.1))
        }
    }

    #[test]
    fn a_source_runs_on_through_wraps_gaps_and_reorder() {
        let mut slot = Slot::new(Codec::Vp8);
        assert_eq!(slot.rewrite(1, 0), Err(Refused::WaitKeyframe), "no source yet");
        assert_eq!(slot.switch(65_534, u32::MAX - 10), (100, 5_000));
        for (seq, timestamp, out) in [
            (65_535, u32::MAX - 10, Ok((101, 5_000))),
            (65_536, 2_990, Ok((102, 8_001))),
            (65_539, 5_990, Ok((105, 11_001))),
            (65_537, 2_990, Ok((103, 8_001))),
            (65_539, 5_990, Ok((105, 11_001))),
            (65_533, u32::MAX - 10, Err(Refused::Late)),
        ] {
            slot.wait(10);
            assert_eq!(slot.rewrite(seq, timestamp), out, "{seq}");
        }
    }

    #[test]
    fn a_switch_continues_numbers_and_adds_the_real_time() {
        let mut slot = Slot::new(Codec::Vp8);
        slot.switch(1_000, 77);
        slot.wait(33);
        assert_eq!(slot.rewrite(1_001, 77 + 3_000), Ok((101, 8_000)));
        slot.wait(100);
        assert_eq!(slot.switch(50_000, 4_000_000_000), (102, 17_000));
        assert_eq!(slot.rewrite(1_002, 77 + 6_000), Err(Refused::WaitKeyframe), "the old source is another encoder");
        assert_eq!(slot.rewrite(49_999, 4_000_000_000), Err(Refused::Late), "older than the keyframe");
        assert_eq!(slot.rewrite(50_001, 4_000_000_000), Ok((103, 17_000)));
        // At once: time still goes forward.
        assert_eq!(slot.switch(7, 7), (104, 17_001));
        // Five idle seconds.
        slot.wait(5_000);
        assert_eq!(slot.switch(9, 450_007), (105, 467_001));
    }

    #[test]
    fn sound_never_overlaps() {
        let mut slot = Slot::new(Codec::Opus);
        slot.switch(10, 0);
        assert_eq!(slot.switch(900, 123), (101, 5_960));
        slot.wait(40);
        assert_eq!(slot.switch(4, 5), (102, 7_880));
    }

    #[test]
    fn a_gap_before_the_switch_is_not_filled_afterwards() {
        let mut slot = Slot::new(Codec::Vp8);
        slot.switch(1_000, 0);
        assert_eq!(slot.rewrite(1_005, 0), Ok((105, 5_000)));
        assert_eq!(slot.switch(1_010, 0), (106, 5_001), "the same track, a later keyframe");
        assert_eq!(slot.rewrite(1_003, 0), Err(Refused::Late));
        assert_eq!(slot.rewrite(1_011, 0), Ok((107, 5_001)));
    }

    #[test]
    fn too_old_and_started_anew() {
        let mut slot = Slot::new(Codec::Vp8);
        slot.switch(10_000, 0);
        for step in 1..=4 {
            assert!(slot.rewrite(10_000 + step * 1_000, 0).is_ok());
        }
        assert_eq!(slot.rewrite(13_000, 0).map(|o| o.0), Ok(3_100), "exactly 1,000 behind");
        assert_eq!(slot.rewrite(12_999, 0), Err(Refused::Late));
        assert_eq!(slot.rewrite(18_000, 0), Err(Refused::WaitKeyframe), "far ahead");
        assert_eq!(slot.rewrite(14_001, 0).map(|o| o.0), Ok(4_101), "a stray does no harm");
        slot.wait(200);
        assert_eq!(slot.keyframe(90_000, 3), Ok((4_102, 5_000 + 18_000)));
        assert_eq!(slot.rewrite(90_001, 3).map(|o| o.0), Ok(4_103));
        slot.wait(200);
        assert_eq!(slot.keyframe(5, 3), Ok((4_104, 5_000 + 36_000)), "far behind");
        // Numbers near, times far: it started anew as well.
        slot.wait(100);
        assert_eq!(slot.rewrite(6, 2_000_000_000), Err(Refused::WaitKeyframe));
        assert_eq!(slot.keyframe(7, 2_000_000_000), Ok((4_105, 5_000 + 45_000)));
        assert_eq!(slot.keyframe(8, 0), Ok((4_106, 5_000 + 45_001)));
    }

    #[test]
    fn a_long_pause_of_one_source_is_no_restart() {
        let mut slot = Slot::new(Codec::Vp8);
        slot.switch(1, 0);
        for (seq, hours) in [(2, 1), (3, 30)] {
            slot.wait(hours * 3_600_000);
            let timestamp = slot.rewriter.timestamp.wrapping_sub(5_000).wrapping_add((hours * 3_600 * 90_000) as u32);
            assert!(slot.rewrite(seq, timestamp).is_ok(), "{hours} h");
        }
    }

    #[test]
    fn picture_numbers_wrap_and_mix() {
        let mut slot = Slot::new(Codec::Vp8);
        // Wide, over the wrap.
        assert_eq!(slot.pictures(1, numbered(0x7fff, true, 255), true), (Some(40), Some(7)));
        assert_eq!(slot.pictures(2, numbered(0, true, 0), false), (Some(41), Some(8)));
        assert_eq!(slot.pictures(4, numbered(2, true, 2), false), (Some(43), Some(10)));
        assert_eq!(slot.pictures(3, numbered(1, true, 1), false), (Some(42), Some(9)), "reordered");
        // A source without them leaves the numbers alone.
        assert_eq!(slot.pictures(100, Facts::default(), true), (None, None));
        assert_eq!(slot.pictures(101, Facts::default(), false), (None, None));
        // Narrow, over its wrap at 128.
        assert_eq!(slot.pictures(1, numbered(126, false, 0), true), (Some(44), Some(11)));
        for step in 1..200u16 {
            let (id, _) = slot.pictures(1 + u64::from(step), numbered((126 + step) & 0x7f, false, 0), false);
            assert_eq!(id, Some((44 + step) & 0x7f));
        }
        // Wide again: goes on after 44 + 199, which was counted beyond seven bits.
        assert_eq!(slot.pictures(9, numbered(5, true, 5), true), (Some(244), Some(12)));
    }

    #[test]
    fn wide_picture_ids_wrap_in_the_slot() {
        let mut rewriter = Rewriter::new(Kind::Video, Starts { picture_id: 0x7ffe, tl0_picture_index: 255, ..STARTS });
        let now = Instant::now();
        let mut out = Vec::new();
        for seq in 0..4u16 {
            let facts = numbered(100 + seq, true, seq as u8);
            let packet = packet(Codec::Vp8, u64::from(seq), 0, now);
            let patch = match seq {
                0 => rewriter.switch(&packet, &facts, now).patch,
                _ => rewriter.rewrite(&packet, &facts, now).unwrap().patch,
            };
            out.push((patch.picture_id.unwrap().value, patch.tl0_picture_index.unwrap().1));
        }
        assert_eq!(out, [(0x7ffe, 255), (0x7fff, 0), (0, 1), (1, 2)]);
    }

    #[test]
    fn what_is_skipped_leaves_no_hole() {
        let mut slot = Slot::new(Codec::Vp8);
        let skip = |slot: &mut Slot, seq, timestamp| {
            let out = slot.rewriter.skip(&packet(slot.codec, seq, timestamp, slot.now), &Facts::default());
            out.map(|out| (out.seq, out.timestamp, out.marker))
        };
        assert_eq!(skip(&mut slot, 1, 0), None, "no source yet");
        slot.switch(1_000, 0);
        assert_eq!(skip(&mut slot, 1_001, 0), None);
        assert_eq!(slot.rewrite(1_002, 0), Ok((101, 5_000)));
        // 1,003 is missing; then it comes, and goes out.
        assert_eq!(skip(&mut slot, 1_004, 0), None);
        assert_eq!(slot.rewrite(1_005, 0), Ok((103, 5_000)));
        assert_eq!(slot.rewrite(1_003, 0), Ok((102, 5_000)));
        // 1,006 comes too late to be closed up: padding stands for it, once.
        assert_eq!(slot.rewrite(1_007, 3_000), Ok((105, 8_000)));
        assert_eq!(skip(&mut slot, 1_006, 10), Some((104, 5_010, false)));
        assert_eq!(skip(&mut slot, 1_006, 10), None);
        // 1,008 is late as well, but nothing went out behind it.
        assert_eq!(skip(&mut slot, 1_009, 3_000), None);
        assert_eq!(skip(&mut slot, 1_008, 3_000), None);
        assert_eq!(slot.rewrite(1_010, 3_000), Ok((106, 8_000)));
        // Minds are not changed about a packet.
        for seq in [1_001, 1_006, 1_008, 1_009] {
            assert_eq!(slot.rewrite(seq, 0), Err(Refused::Late), "{seq}");
        }
        assert_eq!(skip(&mut slot, 1_010, 3_000), None, "it went out");
        assert_eq!(skip(&mut slot, 999, 3_000), None, "before the source");
        assert_eq!(skip(&mut slot, 9_000, 3_000), None, "another encoder");
        assert_eq!(slot.rewrite(1_011, 3_000), Ok((107, 8_000)));
        assert_eq!(slot.switch(1_012, 3_000), (108, 8_001), "another source goes on at once");
    }

    #[test]
    fn a_long_time_of_skipping_is_no_restart() {
        let mut slot = Slot::new(Codec::Vp8);
        slot.switch(1_000, 0);
        for step in 1..10_000 {
            slot.wait(33);
            let packet = packet(slot.codec, 1_000 + step, 3_000 * step as u32, slot.now);
            assert_eq!(slot.rewriter.skip(&packet, &Facts::default()), None);
        }
        slot.wait(33);
        assert_eq!(slot.rewrite(11_000, 30_000_000), Ok((101, 30_005_000)));
    }

    #[test]
    fn a_patch_is_written_where_it_was_read() {
        let original = [0x90, 0xf0, 0x92, 0x34, 7, 0x80, 0x00];
        let facts = Facts::parse(Codec::Vp8, &original, None);
        let mut rewriter = Rewriter::new(Kind::Video, STARTS);
        let now = Instant::now();
        let out = rewriter.switch(&packet(Codec::Vp8, 1, 1, now), &facts, now);
        let mut payload = original;
        out.patch.apply(&mut payload);
        let read = Facts::parse(Codec::Vp8, &payload, None);
        assert_eq!(read.picture_id, Some(PictureId { offset: 2, value: 40, wide: true }));
        assert_eq!(read.tl0_picture_index, Some((4, 7)));
        assert_eq!((payload[0], payload[1], payload[5], payload[6]), (0x90, 0xf0, 0x80, 0x00));
    }
}
