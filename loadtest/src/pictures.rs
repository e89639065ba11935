//! Which frames of a slot could have been shown, and when the picture stood still.
//!
//! A frame can be shown when all of it has come and the one before it was shown, or when it is a whole keyframe. A freeze is what WebRTC calls one,
//! in simpler words: no new frame for longer than 150 ms and three times the usual.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::slot::Arrived;

/// A shorter stand is no freeze at any frame rate.
const FREEZE_MIN: Duration = Duration::from_millis(150);
/// So many times the usual is a freeze.
const FREEZE_FACTOR: u32 = 3;
/// Frames over which the usual time between two is taken.
const USUAL_FRAMES: u32 = 30;
/// Packets behind a gap: seconds of a 3 Mbit/s stream. More: the oldest is forgotten, and its frame is not shown.
const PARTS_MAX: usize = 2_048;

/// What waits behind a gap for so long will not be repaired any more. (A browser asks for a keyframe after 0.2 to 3 s, depending on what it waits
/// for.)
const STUCK: Duration = Duration::from_secs(1);

/// What was shown in some time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    /// Frames.
    pub frames: u64,
    /// Times that the picture stood still.
    pub freezes: u64,
    /// For how long in all.
    pub frozen: Duration,
    /// Between two frames, at most.
    pub longest: Duration,
}

/// The frames of one slot.
#[derive(Debug, Default)]
pub struct Pictures {
    /// The next packet of what can be shown. None: nothing before a keyframe.
    next: Option<u64>,
    /// What has come behind it.
    parts: BTreeMap<u64, Part>,
    /// Since when nothing has come of what is behind a gap.
    stuck_since: Option<Instant>,
    shown_at: Option<Instant>,
    usual: Option<Duration>,
    counted: Shown,
    /// What was before is counted already.
    counted_until: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Part {
    start: bool,
    keyframe: bool,
    marker: bool,
}

impl Pictures {
    /// A packet came.
    pub fn handle_packet(&mut self, packet: &Arrived, now: Instant) {
        let Arrived { seq, start, keyframe, marker, .. } = *packet;
        if self.next.is_some_and(|next| seq < next) {
            return; // of a frame that was shown or given up
        }
        self.parts.insert(seq, Part { start, keyframe, marker });
        if self.parts.len() > PARTS_MAX {
            self.parts.pop_first();
        }
        if self.next != Some(seq) && keyframe {
            self.begin_with_keyframe(seq);
        }
        while let Some(next) = self.next
            && let Some(part) = self.parts.remove(&next)
        {
            self.next = Some(next + 1);
            if part.marker {
                self.show(now);
            }
        }
        self.stuck_since = if self.parts.is_empty() { None } else { self.stuck_since.or(Some(now)) };
    }

    /// A keyframe should be asked for, and again if none comes.
    pub fn poll_keyframe(&mut self, now: Instant) -> bool {
        let is_stuck = self.stuck_since.is_some_and(|since| now - since >= STUCK);
        if is_stuck {
            self.stuck_since = Some(now);
        }
        is_stuck
    }

    /// There is no picture that could stand still: another source, or none.
    pub fn interrupt(&mut self) {
        (self.shown_at, self.stuck_since) = (None, None);
    }

    /// What was shown since this was asked last.
    pub fn take(&mut self, now: Instant) -> Shown {
        self.count(now, false);
        self.counted_until = Some(now);
        std::mem::take(&mut self.counted)
    }

    /// If the keyframe with this packet is whole, it is where to go on.
    fn begin_with_keyframe(&mut self, seq: u64) {
        let mut first = seq;
        while let Some(part) = self.parts.get(&first)
            && part.keyframe
            && !part.start
            && first > 0
        {
            first -= 1;
        }
        if !self.parts.get(&first).is_some_and(|part| part.keyframe && part.start) {
            return;
        }
        let mut last = seq;
        while let Some(part) = self.parts.get(&last) {
            if part.marker {
                self.next = Some(first);
                self.parts = self.parts.split_off(&first);
                return;
            }
            last += 1;
        }
    }

    fn show(&mut self, now: Instant) {
        self.count(now, true);
        if let Some(shown_at) = self.shown_at {
            let gap = now - shown_at;
            self.usual = Some(self.usual.map_or(gap, |usual| (usual * (USUAL_FRAMES - 1) + gap) / USUAL_FRAMES));
        }
        self.counted.frames += 1;
        self.stuck_since = None;
        self.shown_at = Some(now);
    }

    /// The time since the last frame, of which a part may be counted already.
    fn count(&mut self, now: Instant, is_over: bool) {
        let Some(shown_at) = self.shown_at else { return };
        let freeze = self.usual.map_or(FREEZE_MIN, |usual| FREEZE_MIN.max(usual * FREEZE_FACTOR));
        let gap = now - self.counted_until.map_or(shown_at, |until| until.max(shown_at));
        let is_freeze = now - shown_at > freeze;
        if is_over || is_freeze {
            self.counted.longest = self.counted.longest.max(gap);
        }
        if is_freeze && !gap.is_zero() {
            self.counted.freezes += 1;
            self.counted.frozen += gap;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// A stream of frames with two packets each, 40 ms apart; each tenth is a keyframe.
    struct Bench {
        pictures: Pictures,
        now: Instant,
    }

    impl Bench {
        fn new() -> Bench {
            Bench { pictures: Pictures::default(), now: Instant::now() }
        }

        fn packet(&mut self, seq: u64) {
            let frame = seq / 2;
            let packet = Arrived {
                seq,
                time: frame as u32 * 3_600,
                track: 1,
                owner: 1,
                start: seq.is_multiple_of(2),
                keyframe: frame.is_multiple_of(10),
                marker: !seq.is_multiple_of(2),
                bytes: 100,
            };
            self.pictures.handle_packet(&packet, self.now);
        }

        fn frames(&mut self, frames: std::ops::Range<u64>) {
            for frame in frames {
                self.packet(frame * 2);
                self.packet(frame * 2 + 1);
                self.now += 40 * MS;
            }
        }

        fn take(&mut self) -> Shown {
            self.pictures.take(self.now)
        }
    }

    #[test]
    fn an_unbroken_stream_is_all_shown() {
        let mut bench = Bench::new();
        bench.frames(0..100);
        assert_eq!(bench.take(), Shown { frames: 100, longest: 40 * MS, ..Shown::default() });
    }

    #[test]
    fn nothing_is_shown_before_a_keyframe() {
        let mut bench = Bench::new();
        bench.frames(5..20);
        assert_eq!(bench.take().frames, 10);
    }

    #[test]
    fn a_repair_in_time_is_no_freeze_and_a_late_one_is() {
        for (frames, freezes, frozen) in [(2, 0, Duration::ZERO), (8, 1, 320 * MS)] {
            let mut bench = Bench::new();
            bench.frames(0..50);
            // The first packet of frame 50 is lost and comes so many frames later.
            bench.packet(101);
            bench.now += 40 * MS;
            bench.frames(51..50 + frames);
            assert_eq!(bench.pictures.counted.frames, 50);
            bench.packet(100);
            let shown = bench.take();
            assert_eq!(
                (shown.frames, shown.freezes, shown.frozen),
                (50 + frames, freezes, frozen + if freezes > 0 { 40 * MS } else { Duration::ZERO })
            );
            assert!(bench.pictures.parts.is_empty());
        }
    }

    #[test]
    fn without_repair_the_next_keyframe_goes_on() {
        let mut bench = Bench::new();
        bench.frames(0..53);
        bench.packet(107);
        bench.now += 40 * MS;
        bench.frames(54..70);
        let shown = bench.take();
        assert_eq!((shown.frames, shown.freezes, shown.frozen, shown.longest), (53 + 10, 1, 320 * MS, 320 * MS));
        bench.packet(106);
        assert_eq!(bench.take().frames, 0, "too late");
    }

    #[test]
    fn a_keyframe_is_asked_for_when_no_repair_comes() {
        let mut bench = Bench::new();
        bench.frames(1..5);
        bench.now += STUCK - 200 * MS;
        assert!(!bench.pictures.poll_keyframe(bench.now));
        bench.now += 100 * MS;
        assert!(bench.pictures.poll_keyframe(bench.now), "nothing has been shown since the first packet");
        assert!(!bench.pictures.poll_keyframe(bench.now), "not twice at once");
        bench.frames(10..20);
        bench.packet(43); // of frame 21; a packet of each is lost
        bench.now += STUCK;
        assert!(bench.pictures.poll_keyframe(bench.now));
        bench.packet(42);
        bench.now += STUCK;
        assert!(bench.pictures.poll_keyframe(bench.now), "frame 20 is missing still");
        [40, 41].into_iter().for_each(|seq| bench.packet(seq));
        bench.now += STUCK * 2;
        assert!(!bench.pictures.poll_keyframe(bench.now), "nothing is missing");
    }

    #[test]
    fn a_broken_keyframe_is_shown_when_it_is_whole() {
        let mut bench = Bench::new();
        bench.frames(0..9);
        bench.packet(21); // the end of keyframe 10; frame 9 is lost
        assert_eq!(bench.take().frames, 9);
        bench.packet(20);
        assert_eq!(bench.take().frames, 1);
    }

    #[test]
    fn a_freeze_is_parted_where_counting_is() {
        let mut bench = Bench::new();
        bench.frames(0..50);
        bench.now += 260 * MS;
        assert_eq!(bench.take(), Shown { frames: 50, freezes: 1, frozen: 300 * MS, longest: 300 * MS });
        assert_eq!(bench.take(), Shown::default());
        bench.now += 100 * MS;
        bench.frames(50..51);
        assert_eq!(bench.take(), Shown { frames: 1, freezes: 1, frozen: 100 * MS, longest: 100 * MS });
        bench.now += 500 * MS;
        bench.pictures.interrupt();
        bench.frames(51..52);
        assert_eq!(bench.take(), Shown { frames: 1, ..Shown::default() }, "a source that was away is no freeze");
    }

    #[test]
    fn what_waits_has_a_bound() {
        let mut bench = Bench::new();
        bench.frames(11..19);
        (0..PARTS_MAX as u64 * 2).for_each(|i| bench.packet(1_000 + i * 20 + 5));
        assert_eq!(bench.pictures.parts.len(), PARTS_MAX);
    }
}
