//! What a browser makes of the packets of one video slot: frames, which of them can be decoded and when, when it asks for a keyframe. No pictures.
//!
//! ```text
//! packets → frames whose packets are all there → decodable by what the descriptor says → shown
//! ```
//!
//! A frame may be decoded as libwebrtc's VP8 reference finder allows (`modules/video_coding/rtp_vp8_ref_finder.cc`): a base frame when the base
//! frame before it (TL0PICIDX) was; a frame that refers only to its base (Y) when that was; any other when every picture since its base was. So a
//! picture id that never comes stops it, as in a browser. What was made says the truth beside it: a frame that is decoded though a frame that
//! it refers to is not there would be a spoilt picture, and is a fault of the server.
//!
//! Each frame has its turn, by its timestamp: at the delay of the network as it was met so far. A frame that comes late is shown late, and those
//! behind it then wait as long as it did, so that the next repetition is in time (at most [`WAIT_MAX`] longer than the shortest way); from then on
//! the wait melts slowly. So does a browser's jitter buffer; its noise filters are left out. A frame that is missing when one that does not
//! need it has its turn is left out.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use super::payload::{Layered, Payload};
use crate::id::PeerId;

/// Behind the shortest way through the network, at most.
const WAIT_MAX: Duration = Duration::from_millis(500);
/// So much less for each frame that came before its turn.
const MELTS: Duration = Duration::from_micros(300);
/// Of the simulated time, at most.
const STEP: Duration = Duration::from_millis(1);
/// So long after its turn a frame is given up, and with it all up to a keyframe.
const GIVE_UP: Duration = Duration::from_millis(500);
/// So long after the turn of a frame that cannot be shown it asks for a keyframe.
const ASK_AFTER: Duration = Duration::from_millis(200);
/// And again.
const ASK_EVERY: Duration = Duration::from_millis(300);
/// No request so long after a packet of a keyframe: it is coming.
const KEY_COMING: Duration = Duration::from_millis(200);
/// Packets and frames that are kept; more than the largest keyframe and half a second of others.
const KEPT_MAX: usize = 1_000;

/// A frame that was shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shown {
    pub at: Instant,
    pub owner: PeerId,
    pub layer: u8,
    pub temporal: u8,
    pub key: bool,
    /// Of payload.
    pub bytes: usize,
}

/// What the RTP header says of a packet, and how long its payload is.
#[derive(Clone, Copy, Debug)]
pub struct Header {
    pub seq: u64,
    pub timestamp: u32,
    pub marker: bool,
    pub bytes: usize,
}

#[derive(Clone, Copy, Debug)]
struct Part {
    timestamp: u32,
    marker: bool,
    bytes: usize,
    payload: Payload,
    layered: Layered,
}

/// All of its packets are there.
#[derive(Clone, Copy, Debug)]
struct Frame {
    since: Instant,
    timestamp: u32,
    bytes: usize,
    payload: Payload,
    layered: Layered,
    tl0: i64,
}

/// When which timestamp has its turn.
#[derive(Clone, Copy, Debug)]
struct Clock {
    at: Instant,
    timestamp: u32,
    /// Longer than the shortest way.
    wait: Duration,
}

impl Clock {
    fn turn(&self, timestamp: u32) -> Instant {
        let ticks = timestamp.wrapping_sub(self.timestamp) as i32;
        let time = Duration::from_micros(u64::from(ticks.unsigned_abs()) * 100 / 9);
        if ticks < 0 { self.at.checked_sub(time).unwrap_or(self.at) } else { self.at + time }
    }

    /// A frame that had come at `since` is shown `now`.
    fn note(&mut self, timestamp: u32, since: Instant, now: Instant) {
        let turn = self.turn(timestamp);
        // Time goes in steps, so each one is shown a little after its turn.
        let late = now.saturating_duration_since(turn + STEP).min(WAIT_MAX.saturating_sub(self.wait));
        let early = turn.saturating_duration_since(since).min(MELTS).min(self.wait);
        (self.at, self.timestamp) = (turn + late - early, timestamp);
        self.wait = self.wait + late - early;
    }
}

/// One video slot's.
#[derive(Debug, Default)]
pub struct Decoder {
    /// By sequence number.
    parts: BTreeMap<u64, Part>,
    /// By picture id, counted on over its wraps.
    frames: BTreeMap<i64, Frame>,
    /// Decoded ones: picture id, TL0PICIDX, whether base layer. As many as anything refers to.
    decoded: VecDeque<(i64, i64, bool)>,
    /// What they really were.
    truth: VecDeque<(PeerId, u8, u32)>,
    /// The highest seen, to count over wraps: picture id and TL0PICIDX.
    heights: Option<(i64, i64)>,
    /// Decodes nothing before a keyframe.
    keyless: bool,
    clock: Option<Clock>,
    /// The first timestamp of which something came and that was not shown.
    awaited: Option<u32>,
    /// The last timestamp shown.
    last: Option<u32>,
    key_seen: Option<Instant>,
    asked: Option<Instant>,
    pub shown: Vec<Shown>,
    /// When keyframes were asked for.
    pub asks: Vec<Instant>,
    /// What a browser would have shown spoilt.
    pub faults: Vec<String>,
}

impl Decoder {
    pub fn handle_packet(&mut self, header: Header, payload: Payload, layered: Layered, now: Instant) {
        let Header { seq, timestamp, marker, bytes } = header;
        let ahead = |of: u32| timestamp.wrapping_sub(of) as i32 > 0;
        if self.last.is_some_and(|last| !ahead(last)) {
            return;
        }
        self.keyless |= self.clock.is_none();
        self.clock.get_or_insert(Clock { at: now, timestamp, wait: Duration::ZERO });
        if payload.key {
            self.key_seen = Some(now);
        }
        if self.awaited.is_none_or(|awaited| !ahead(awaited)) {
            self.awaited = Some(timestamp);
        }
        self.parts.insert(seq, Part { timestamp, marker, bytes, payload, layered });
        while self.parts.len() > KEPT_MAX {
            self.parts.pop_first();
        }
        if let Some(frame) = self.assemble(seq, now) {
            let (id, tl0) = self.count(frame.layered);
            self.frames.insert(id, Frame { tl0, ..frame });
            while self.frames.len() > KEPT_MAX {
                self.frames.pop_first();
            }
            self.decode(now);
        }
    }

    /// Lets time pass; `true`: asks for a keyframe now.
    pub fn poll(&mut self, now: Instant) -> bool {
        if !self.frames.is_empty() {
            self.decode(now);
        }
        let (Some(clock), Some(awaited)) = (self.clock, self.awaited) else { return false };
        let stuck = now.saturating_duration_since(clock.turn(awaited));
        let coming = self.key_seen.is_some_and(|at| now - at < KEY_COMING);
        self.keyless |= stuck >= GIVE_UP;
        let due = stuck >= ASK_AFTER && !coming && self.asked.is_none_or(|at| now - at >= ASK_EVERY);
        if due {
            self.asked = Some(now);
            self.asks.push(now);
        }
        due
    }

    /// The frame that this packet is of, if it was the last one missing. Its packets go.
    fn assemble(&mut self, seq: u64, now: Instant) -> Option<Frame> {
        let Part { timestamp, payload, .. } = self.parts[&seq];
        let mut first = seq;
        while !self.parts.get(&first)?.layered.start {
            first = first.checked_sub(1)?;
        }
        let mut last = seq;
        while !self.parts.get(&last)?.marker {
            last += 1;
        }
        let parts: Vec<Part> = (first..=last).filter_map(|seq| self.parts.remove(&seq)).collect();
        if parts.iter().any(|part| part.timestamp != timestamp || part.payload.number != payload.number) {
            self.faults.push(format!("packets {first} to {last} are of several frames"));
        }
        let bytes = parts.iter().map(|part| part.bytes).sum();
        Some(Frame { since: now, timestamp, bytes, payload, layered: parts[0].layered, tl0: 0 })
    }

    /// Picture id and TL0PICIDX as numbers without wraps.
    fn count(&mut self, layered: Layered) -> (i64, i64) {
        let (id, tl0) = (i64::from(layered.picture_id), i64::from(layered.tl0));
        let Some((highest_id, highest_tl0)) = self.heights else {
            self.heights = Some((id, tl0));
            return (id, tl0);
        };
        let near = |value: i64, highest: i64, bits: u32| highest + ((value - highest) << (64 - bits) >> (64 - bits));
        let (id, tl0) = (near(id, highest_id, 15), near(tl0, highest_tl0, 8));
        self.heights = Some((highest_id.max(id), highest_tl0.max(tl0)));
        (id, tl0)
    }

    fn decode(&mut self, now: Instant) {
        let last = self.decoded.back().map(|(id, _, _)| *id);
        if let Some(last) = last {
            // Too late: a later one was shown.
            self.frames = self.frames.split_off(&(last + 1));
        }
        while let Some((id, frame)) = self.frames.iter().find(|(_, frame)| self.decodable(frame)).map(|(id, f)| (*id, *f)) {
            if self.clock.is_some_and(|clock| now < clock.turn(frame.timestamp)) {
                return;
            }
            self.frames = self.frames.split_off(&(id + 1));
            self.show(id, frame, now);
        }
    }

    fn decodable(&self, frame: &Frame) -> bool {
        if frame.payload.key {
            return true;
        }
        if self.keyless {
            return false;
        }
        let wanted = if frame.layered.temporal == 0 { frame.tl0 - 1 } else { frame.tl0 };
        let Some(base) = self.decoded.iter().rposition(|(_, tl0, is_base)| *is_base && *tl0 == wanted) else { return false };
        if frame.layered.temporal == 0 || frame.layered.sync {
            return true;
        }
        let (base_id, id) = (self.decoded[base].0, self.near_id(frame.layered.picture_id));
        (self.decoded.len() - base) as i64 == id - base_id
    }

    fn near_id(&self, picture_id: u16) -> i64 {
        let highest = self.heights.map_or(0, |(id, _)| id);
        highest + ((i64::from(picture_id) - highest) << 49 >> 49)
    }

    fn show(&mut self, id: i64, frame: Frame, now: Instant) {
        let Frame { timestamp, bytes, payload, layered, since, .. } = frame;
        for back in layered.back.iter().filter(|back| **back > 0) {
            let refers_to = (payload.owner, layered.layer, payload.number.wrapping_sub(u32::from(*back)));
            if !self.truth.contains(&refers_to) {
                self.faults.push(format!("spoilt: {refers_to:?} was not decoded before {}", payload.number));
            }
        }
        self.decoded.push_back((id, frame.tl0, layered.temporal == 0));
        self.truth.push_back((payload.owner, layered.layer, payload.number));
        if self.decoded.len() > 16 {
            self.decoded.pop_front();
            self.truth.pop_front();
        }
        self.keyless = false;
        if let Some(clock) = &mut self.clock {
            clock.note(timestamp, since, now);
        }
        let pending = |other: u32| other.wrapping_sub(timestamp) as i32 > 0;
        self.parts.retain(|_, part| pending(part.timestamp));
        let rest = self.parts.values().map(|part| part.timestamp).chain(self.frames.values().map(|frame| frame.timestamp));
        self.awaited = rest.min_by_key(|other| other.wrapping_sub(timestamp));
        self.last = Some(timestamp);
        self.shown.push(Shown { at: now, owner: payload.owner, layer: layered.layer, temporal: layered.temporal, key: payload.key, bytes });
    }
}

#[cfg(test)]
mod tests {
    use super::super::encoder::{BITRATES, Encoder, Frame as Made};
    use super::super::payload::{packets, read_video};
    use super::*;
    use str0m::format::Codec;

    const MS: Duration = Duration::from_millis(1);

    /// An encoder and a decoder, and packets between them of which the test keeps what it wants.
    struct Line {
        encoder: Encoder,
        decoder: Decoder,
        start: Instant,
        ms: u32,
        seq: u64,
        held: Vec<(u32, u64, u32, bool, Vec<u8>)>,
    }

    impl Line {
        fn new(seed: u64) -> Line {
            let start = Instant::now();
            Line { encoder: Encoder::new(seed, start), decoder: Decoder::default(), start, ms: 0, seq: 100, held: vec![] }
        }

        /// Runs for `ms`; `fate` of a packet (frame, part): `None` lost, else milliseconds late. Keyframes asked for are given.
        fn run(&mut self, ms: u32, mut fate: impl FnMut(&Made, usize) -> Option<u32>) {
            for at in self.ms..self.ms + ms {
                let now = self.start + MS * at;
                for frame in self.encoder.poll(now).into_iter().filter(|f| f.layer == 1) {
                    let packets = packets(&frame, Some(PeerId(1)));
                    let count = packets.len();
                    for (part, packet) in packets.into_iter().enumerate() {
                        self.seq += 1;
                        if let Some(late) = fate(&frame, part) {
                            self.held.push((at + late, self.seq, Encoder::timestamp(&frame), part == count - 1, packet));
                        }
                    }
                }
                let (due, held) = std::mem::take(&mut self.held).into_iter().partition(|h| h.0 <= at);
                self.held = held;
                for (_, seq, timestamp, marker, packet) in due {
                    let payload = read_video(Codec::Vp8, &packet).unwrap();
                    let header = Header { seq, timestamp, marker, bytes: packet.len() };
                    self.decoder.handle_packet(header, payload, payload.layered.unwrap(), now);
                }
                if self.decoder.poll(now) {
                    self.encoder.request_keyframe(1, now);
                }
            }
            self.ms += ms;
            assert_eq!(self.decoder.faults, Vec::<String>::new());
        }

        /// Gaps of more than 50 ms, in milliseconds.
        fn gaps(&self) -> Vec<u128> {
            let pairs = self.decoder.shown.windows(2).map(|w| (w[1].at - w[0].at).as_millis());
            pairs.filter(|gap| *gap > 50).collect()
        }
    }

    #[test]
    fn everything_that_comes_is_shown() {
        let mut line = Line::new(1);
        line.run(10_000, |_, _| Some(0));
        assert_eq!((line.decoder.shown.len(), line.gaps(), line.decoder.asks.len()), (300, vec![], 0));
        assert!(line.decoder.parts.is_empty() && BITRATES[1] == 500_000);
    }

    #[test]
    fn a_repetition_in_time_costs_a_short_wait() {
        let mut line = Line::new(2);
        line.run(3_000, |frame, part| Some(if frame.number == 45 && part == 0 { 80 } else { 0 }));
        // Those behind it wait as long; the last two still do.
        assert_eq!((line.decoder.shown.len(), line.decoder.asks.len()), (88, 0));
        assert!(line.gaps().iter().all(|gap| *gap <= 120) && line.gaps().len() == 1, "{:?}", line.gaps());
    }

    #[test]
    fn the_buffer_learns_how_late_repetitions_are() {
        let mut line = Line::new(2);
        // One of ten packets comes 150 ms late: nothing is skipped, and only the first few are seen as gaps.
        line.run(20_000, |frame, part| Some(if (frame.number as usize + part).is_multiple_of(10) { 150 } else { 0 }));
        assert_eq!(line.decoder.asks.len(), 0);
        assert!((590..=600).contains(&line.decoder.shown.len()), "{}", line.decoder.shown.len());
        assert!(line.gaps().iter().filter(|gap| **gap > 100).count() <= 2, "{:?}", line.gaps());
    }

    #[test]
    fn a_lost_frame_that_nothing_needs_is_left_out() {
        let mut line = Line::new(3);
        // The second frame of every four is of the highest temporal layer; the fourth needs the picture ids before it.
        line.run(3_000, |frame, _| (frame.number != 42).then_some(0));
        assert_eq!((line.decoder.asks.len(), line.decoder.shown.len()), (0, 88), "it and one that would refer to it");
        assert!(line.gaps().iter().all(|gap| *gap <= 70), "{:?}", line.gaps());
    }

    #[test]
    fn a_lost_base_frame_stops_until_a_keyframe() {
        let mut line = Line::new(4);
        line.run(3_000, |frame, _| (frame.number != 45).then_some(0));
        assert_eq!(line.decoder.asks.len(), 1);
        let gap = line.gaps();
        // Asked for after 200 ms; 80 ms and the next frame later it is there.
        assert!(gap.len() == 1 && (300..=400).contains(&gap[0]), "{gap:?}");
        assert!(line.decoder.shown.iter().filter(|s| s.key).count() == 2);
    }

    #[test]
    fn a_repetition_too_late_does_not_help() {
        let mut line = Line::new(5);
        // No keyframe comes either for a while.
        line.run(1_400, |_, _| Some(0));
        line.run(2_000, |frame, _| if frame.key { None } else { Some(if frame.number == 45 { 700 } else { 0 }) });
        let before = line.decoder.shown.len();
        line.run(1_000, |_, _| Some(0));
        assert!(line.decoder.asks.len() >= 4, "{:?}", line.decoder.asks.len());
        assert!(before <= 46 && line.decoder.shown.len() > before + 10, "{before}");
    }

    #[test]
    fn a_reference_that_numbers_hide_is_a_fault() {
        let mut line = Line::new(6);
        line.run(1_000, |_, _| Some(0));
        // Somebody leaves out a base frame and numbers on as if nothing were missing.
        let made = |number, temporal, tl0, picture_id| Made {
            layer: 1,
            number,
            temporal,
            key: false,
            sync: false,
            picture_id,
            tl0,
            bytes: 100,
            back: [4, 0],
        };
        let (id, tl0, _) = *line.decoder.decoded.back().unwrap();
        let frame = made(line.encoder_number() + 7, 0, tl0 as u8 + 1, id as u16 + 1);
        let packet = packets(&frame, Some(PeerId(1))).remove(0);
        let payload = read_video(Codec::Vp8, &packet).unwrap();
        let header = Header { seq: line.seq + 1, timestamp: line.decoder.last.unwrap() + 1, marker: true, bytes: 100 };
        line.decoder.handle_packet(header, payload, payload.layered.unwrap(), line.start + MS * 1_000);
        assert_eq!(line.decoder.faults.len(), 1, "{:?}", line.decoder.faults);
    }

    impl Line {
        fn encoder_number(&self) -> u32 {
            self.decoder.truth.back().unwrap().2
        }
    }
}
