//! One receive section: what signalling says it shows, what comes through it, and whether both agree.
//!
//! Packets and signalling do not arrive together, so a packet that does not fit what was said waits: within a second there must come a `slots`
//! message after which it fits, else it is the wrong face under the name. That is the rule of `first_timestamp` (protocol.md, "Slots").

use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use ninefold::api::protocol as wire;

use crate::light::Counted;
use crate::pictures::Pictures;

/// A picture that stands for longer is a freeze.
const FREEZE: Duration = Duration::from_millis(500);
/// Signalling may come so much later than the packets that it explains.
const EXPLAINED_WITHIN: Duration = Duration::from_secs(1);
/// Sources told of one slot that are remembered. More: the oldest is forgotten, and no packet is that old.
const SAID_MAX: usize = 64;
/// Packets that wait for an explanation: a second of a 3 Mbit/s stream. More: the oldest counts as unexplained.
const UNEXPLAINED_MAX: usize = 400;
/// Sequence numbers that are missing. More: the oldest stay missing for good.
const MISSING_MAX: usize = 10_000;

/// Who says what a slot shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Face {
    /// Signalling, and it may say something else at any time: a Ninefold server.
    #[default]
    Told,
    /// Nobody: it is and stays whoever comes first.
    First,
    /// It is and stays this one.
    Always(u32),
}

/// A packet as a slot sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrived {
    /// Extended sequence number.
    pub seq: u64,
    /// RTP timestamp.
    pub time: u32,
    /// The track in its CSRC.
    pub track: u32,
    /// Who made the payload.
    pub owner: u32,
    /// First of its frame.
    pub start: bool,
    /// Part of a keyframe.
    pub keyframe: bool,
    /// Last of its frame.
    pub marker: bool,
    /// Of the payload.
    pub bytes: usize,
}

/// One receive section.
#[derive(Debug, Default)]
pub struct Slot {
    /// Audio or video.
    pub video: bool,
    /// Whose it should be.
    pub face: Face,
    /// What signalling said last.
    pub told: Option<wire::Slot>,
    /// The last packet.
    pub last: Option<Arrived>,
    /// Packets that came.
    pub packets: u64,
    /// Their payload bytes.
    pub bytes: u64,
    /// Frames that ended.
    pub frames: u64,
    /// Pictures that stood still for more than 500 ms although their source was sending.
    pub freezes: u64,
    /// Which frames could have been shown.
    pub pictures: Pictures,
    /// Packets that did not come in their turn: before any repair, they were lost or late.
    pub missed: u64,
    /// When the last packet came.
    pub last_at: Option<Instant>,
    /// When signalling said something last.
    pub told_at: Option<Instant>,
    said: VecDeque<(u32, u32, u32)>,
    unexplained: VecDeque<(Arrived, Instant)>,
    highest: Option<(u64, u32)>,
    missing: BTreeSet<u64>,
    missing_for_good: u64,
    frozen: bool,
}

impl Slot {
    /// An empty one.
    pub fn new(video: bool) -> Slot {
        Slot::with_face(video, Face::Told)
    }

    /// An empty one at another server.
    pub fn with_face(video: bool, face: Face) -> Slot {
        Slot { video, face, ..Slot::default() }
    }

    /// Sequence numbers that have not come, and no repair brought them.
    pub fn lost(&self) -> u64 {
        self.missing.len() as u64 + self.missing_for_good
    }

    /// What comes through it now is what signalling says.
    pub fn is_right(&self) -> bool {
        if let Face::Always(owner) = self.face {
            return self.last.is_some_and(|last| last.owner == owner);
        }
        let told = self.told.as_ref().and_then(|told| Some((told.track?, told.participant?, told.first_timestamp?)));
        matches!((told, &self.last), (Some((track, participant, first)), Some(last))
            if last.track == track && last.owner == participant && is_since(last.time, first))
    }

    /// Signalling said something.
    pub fn handle_told(&mut self, told: &wire::Slot, now: Instant) {
        if let (Some(track), Some(participant), Some(first)) = (told.track, told.participant, told.first_timestamp) {
            if self.said.back() != Some(&(first, track, participant)) {
                self.said.push_back((first, track, participant));
            }
            if self.said.len() > SAID_MAX {
                self.said.pop_front();
            }
        }
        if told.reason.is_some() || self.told.as_ref().is_none_or(|before| before.track != told.track) {
            self.pictures.interrupt();
        }
        self.told = Some(told.clone());
        self.told_at = Some(now);
        self.frozen = false;
        let mut waiting = std::mem::take(&mut self.unexplained);
        waiting.retain(|(packet, _)| !self.fits(packet));
        self.unexplained = waiting;
    }

    /// A packet came. Returns what is wrong with it.
    pub fn handle_packet(&mut self, packet: Arrived, now: Instant) -> Vec<String> {
        let mut faults = vec![];
        // Behind a gap the keyframe may be what is missing, and a packet that was repaired may be of the source before.
        let follows = self.highest.is_none_or(|(highest, _)| packet.seq == highest + 1);
        if self.video && follows && self.last.is_none_or(|last| last.track != packet.track) && !packet.keyframe {
            faults.push(format!("track {} begins without a keyframe", packet.track));
        }
        faults.extend(self.note_number(packet.seq, packet.time));
        if self.face == Face::First {
            self.face = Face::Always(packet.owner);
        }
        if let Face::Always(owner) = self.face {
            faults.extend((packet.owner != owner).then(|| format!("a packet of {} in the place of {owner}", packet.owner)));
        } else if !self.fits(&packet) {
            self.unexplained.push_back((packet, now));
            if self.unexplained.len() > UNEXPLAINED_MAX {
                faults.extend(self.unexplained.pop_front().map(|(packet, _)| self.unexplained_text(&packet)));
            }
        }
        if self.video {
            self.pictures.handle_packet(&packet, now);
        }
        self.packets += 1;
        self.bytes += packet.bytes as u64;
        self.frames += u64::from(packet.marker && self.video);
        self.last = Some(packet);
        self.last_at = Some(now);
        self.frozen = false;
        faults
    }

    /// A packet came of which nobody has seen more than the header. Returns what is wrong with it.
    pub fn handle_counted(&mut self, packet: Counted, now: Instant) -> Option<String> {
        let fault = self.note_number(packet.seq, packet.time);
        self.packets += 1;
        self.bytes += packet.bytes as u64;
        self.frames += u64::from(packet.marker && self.video);
        self.last_at = Some(now);
        self.frozen = false;
        fault
    }

    /// A packet that was missing came by a retransmission.
    pub fn handle_repaired(&mut self, seq: u64) {
        self.missing.remove(&seq);
    }

    /// Time goes by. Returns what has become wrong.
    pub fn handle_timeout(&mut self, now: Instant) -> Vec<String> {
        let mut faults = vec![];
        while let Some((packet, at)) = self.unexplained.front().copied()
            && now - at > EXPLAINED_WITHIN
        {
            self.unexplained.pop_front();
            faults.push(self.unexplained_text(&packet));
        }
        let sends =
            self.face != Face::Told || self.told.as_ref().is_some_and(|told| told.first_timestamp.is_some() && told.reason.is_none());
        let since = self.last_at.max(self.told_at);
        if self.video && sends && !self.frozen && since.is_some_and(|at| now - at > FREEZE) {
            self.frozen = true;
            self.freezes += 1;
        }
        faults
    }

    /// Counts a number. Returns what is wrong with it.
    fn note_number(&mut self, seq: u64, time: u32) -> Option<String> {
        match self.highest {
            Some((highest, last)) if seq > highest => {
                self.highest = Some((seq, time));
                self.missed += seq - highest - 1;
                self.missing.extend((highest + 1..seq).rev().take(MISSING_MAX));
                while self.missing.len() > MISSING_MAX {
                    self.missing.pop_first();
                    self.missing_for_good += 1;
                }
                (!is_since(time, last)).then(|| format!("time goes back: {last} → {time}"))
            }
            Some(_) => (!self.missing.remove(&seq)).then(|| format!("number {seq} comes twice")),
            None => {
                self.highest = Some((seq, time));
                None
            }
        }
    }

    fn fits(&self, packet: &Arrived) -> bool {
        let said = self.said.iter().rev().find(|(first, _, _)| is_since(packet.time, *first));
        said.is_some_and(|(_, track, participant)| (*track, *participant) == (packet.track, packet.owner))
    }

    fn unexplained_text(&self, packet: &Arrived) -> String {
        let Arrived { time, track, owner, .. } = packet;
        format!("a packet of {owner} (track {track}, time {time}) under what was said: {:?}", self.said)
    }
}

/// `time` is `first` or later, modulo 2³².
fn is_since(time: u32, first: u32) -> bool {
    time.wrapping_sub(first) < 1 << 31
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(seq: u64, time: u32, track: u32) -> Arrived {
        Arrived { seq, time, track, owner: track * 10, start: true, keyframe: true, marker: true, bytes: 100 }
    }

    fn told(track: u32, first: Option<u32>) -> wire::Slot {
        wire::Slot { mid: "1".into(), track: Some(track), participant: Some(track * 10), first_timestamp: first, reason: None }
    }

    #[test]
    fn packets_may_come_before_they_are_explained_but_not_a_second() {
        let mut now = Instant::now();
        let mut slot = Slot::new(true);
        assert!(slot.handle_packet(packet(1, u32::MAX, 1), now).is_empty());
        assert!(!slot.is_right());
        slot.handle_told(&told(1, Some(u32::MAX)), now);
        assert!(slot.is_right());
        // A new source after the timestamps wrapped, told late.
        assert!(slot.handle_packet(packet(2, 500, 2), now).is_empty());
        now += Duration::from_millis(900);
        assert!(slot.handle_timeout(now).is_empty());
        slot.handle_told(&told(2, Some(500)), now);
        // A late packet of the source before is still that one's.
        slot.missing.insert(0);
        assert!(slot.handle_packet(packet(0, 499, 1), now).is_empty());
        assert!(slot.unexplained.is_empty());
        assert!(slot.handle_packet(packet(3, 600, 3), now).is_empty());
        now += Duration::from_millis(1_100);
        assert_eq!(slot.handle_timeout(now).len(), 1);
    }

    #[test]
    fn gaps_are_lost_until_they_are_repaired() {
        let now = Instant::now();
        let mut slot = Slot::new(true);
        for seq in [10, 13, 11] {
            assert!(slot.handle_packet(packet(seq, 5, 1), now).is_empty());
        }
        assert_eq!((slot.lost(), slot.missed), (1, 2));
        assert_eq!(slot.handle_packet(packet(11, 5, 1), now).len(), 1, "twice");
        assert_eq!(slot.handle_packet(packet(14, 4, 1), now).len(), 1, "time goes back");
        assert!(slot.handle_packet(packet(12, 5, 1), now).is_empty());
        assert_eq!(slot.lost(), 0);
    }

    #[test]
    fn a_picture_that_stands_is_a_freeze_unless_muted() {
        let mut now = Instant::now();
        let mut slot = Slot::new(true);
        slot.handle_told(&told(1, Some(5)), now);
        slot.handle_packet(packet(1, 5, 1), now);
        now += Duration::from_millis(600);
        slot.handle_timeout(now);
        slot.handle_timeout(now);
        assert_eq!(slot.freezes, 1);
        slot.handle_told(&wire::Slot { reason: Some(wire::SlotReason::Muted), ..told(1, None) }, now);
        now += Duration::from_millis(600);
        slot.handle_timeout(now);
        assert_eq!(slot.freezes, 1);
    }

    #[test]
    fn where_nobody_tells_the_first_face_stays() {
        let mut now = Instant::now();
        let mut slot = Slot::with_face(true, Face::First);
        assert!(!slot.is_right());
        assert!(slot.handle_packet(packet(1, 5, 1), now).is_empty());
        assert!(slot.is_right());
        now += Duration::from_secs(2);
        assert!(slot.handle_timeout(now).is_empty(), "nothing waits to be explained");
        assert_eq!(slot.freezes, 1);
        assert_eq!(slot.handle_packet(packet(2, 6, 2), now), ["a packet of 20 in the place of 10"]);
        assert!(!slot.is_right());
    }

    #[test]
    fn a_source_begins_with_a_keyframe() {
        let mut slot = Slot::new(true);
        let faults = slot.handle_packet(Arrived { keyframe: false, ..packet(1, 5, 1) }, Instant::now());
        assert_eq!(faults, ["track 1 begins without a keyframe"]);
        let next = Arrived { keyframe: false, ..packet(2, 5, 2) };
        assert_eq!(slot.handle_packet(next, Instant::now()), ["track 2 begins without a keyframe"]);
        // Nobody knows what was in the gap.
        assert!(slot.handle_packet(Arrived { seq: 4, track: 3, ..next }, Instant::now()).is_empty());
        assert!(slot.handle_packet(Arrived { seq: 3, ..next }, Instant::now()).is_empty(), "repaired, of the source before");
    }
}
