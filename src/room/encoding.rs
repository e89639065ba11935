//! One received encoding of a track: a simulcast layer, or the one stream that has all layers. What it is made of, what it takes, who
//! watches it.

use std::time::Instant;

use super::meter::{LAYERS, Meter};
use crate::limits::{ENCODING_LINGER, ENCODING_START, LAYER_BEHIND, LAYER_LIFE};
use crate::rtp::{Facts, Head, Layer, Packet, Reader};

/// What an encoding is taken to cost before it was measured: the field's usual rates for 180, 360 and 720 lines, the lowest low, so that a
/// newcomer sees something.
const GUESS: [u64; LAYERS] = [100_000, 500_000, 1_700_000];
/// A layer whose rate moved by more than this share is judged anew.
const MOVED_PERCENT: u64 = 10;

/// A layer that could be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Step {
    /// In the track.
    pub(super) layer: Layer,
    /// What it takes with the layers below that it needs.
    pub(super) bps: u64,
    /// Its picture.
    pub(super) size: Option<(u16, u16)>,
}

/// One received encoding.
pub(super) struct Encoding {
    pub(super) head: Option<Head>,
    pub(super) reader: Reader,
    pub(super) meter: Meter,
    /// By spatial layer within.
    sizes: [Option<(u16, u16)>; LAYERS],
    /// It is being received, as last judged.
    pub(super) live: bool,
    /// What it took when it was last judged.
    judged: u64,
    pub(super) asked: Option<Instant>,
    /// A keyframe came since the last request.
    pub(super) answered: bool,
    /// Somebody waits for a keyframe.
    pub(super) needed: bool,
    /// Somebody of them has nothing else to show.
    pub(super) urgent: bool,
    /// A request stands in the room's output.
    pub(super) queued: bool,
    /// Slots that have it or want it.
    pub(super) watchers: u32,
    /// The publisher was not told to turn it off.
    pub(super) active: bool,
    /// Since it is active.
    since: Instant,
    /// Nobody watches it or a better one, since then.
    unwatched: Option<Instant>,
}

impl Encoding {
    pub(super) fn new(now: Instant) -> Encoding {
        Encoding {
            head: None,
            reader: Reader::default(),
            meter: Meter::default(),
            sizes: [None; LAYERS],
            live: false,
            judged: 0,
            asked: None,
            answered: false,
            needed: false,
            urgent: false,
            queued: false,
            watchers: 0,
            active: true,
            since: now,
            // Nobody watched it before it was there.
            unwatched: now.checked_sub(ENCODING_LINGER),
        }
    }

    /// A packet that is the newest.
    pub(super) fn note(&mut self, packet: &Packet, now: Instant) {
        self.head = Some(Head::of(packet, now));
        self.live = true;
    }

    /// What was found out about a packet.
    pub(super) fn learn(&mut self, facts: &Facts, payload: usize, now: Instant) {
        self.meter.count(facts, payload, now);
        if let Some(size) = facts.size {
            self.sizes[usize::from(facts.layer.spatial).min(LAYERS - 1)] = Some(size);
        }
    }

    /// Judges it anew, where the track's newest packet came at `newest`. True if something changed that allocation goes by.
    pub(super) fn judge(&mut self, newest: Option<Instant>, now: Instant) -> bool {
        // The encodings of a camera have their frames together: one that falls behind has stopped.
        let behind = |at: Instant| newest.is_some_and(|newest| newest.saturating_duration_since(at) > LAYER_BEHIND);
        let live = self.head.is_some_and(|head| now.saturating_duration_since(head.at()) < LAYER_LIFE && !behind(head.at()));
        let rate = self.meter.rate(Layer::MAX).unwrap_or(0);
        let moved = rate.abs_diff(self.judged) * 100 > self.judged * MOVED_PERCENT;
        let changed = live != self.live || (live && moved);
        self.live = live;
        if changed {
            self.judged = rate;
        }
        changed
    }

    /// It is received, or would be if somebody wanted it.
    fn is_to_be_had(&self, now: Instant) -> bool {
        let begun = self.head.is_some_and(|head| head.at() >= self.since);
        self.live || !self.active || (!begun && now.saturating_duration_since(self.since) < ENCODING_START)
    }

    /// The steps of this encoding, the lowest first. `index`: which of the track's it is; `simulcast`: there are others.
    pub(super) fn steps(&self, index: usize, simulcast: bool, now: Instant) -> Vec<Step> {
        if !self.is_to_be_had(now) {
            return vec![];
        }
        let outer = |layer: Layer| if simulcast { Layer { spatial: index as u8, ..layer } } else { layer };
        let Some(highest) = self.meter.highest() else {
            let top = if simulcast { Layer { spatial: 0, ..Layer::MAX } } else { Layer::MAX };
            let guess = if simulcast { GUESS[index.min(LAYERS - 1)] } else { GUESS[0] };
            return vec![Step { layer: outer(top), bps: guess, size: self.sizes.iter().copied().flatten().last() }];
        };
        let mut steps = Vec::with_capacity(LAYERS * LAYERS);
        for spatial in 0..=highest.spatial {
            for temporal in 0..=highest.temporal {
                let layer = Layer { spatial, temporal };
                let bps = self.meter.rate(layer).unwrap_or(0);
                steps.push(Step { layer: outer(layer), bps, size: self.sizes[usize::from(spatial)] });
            }
        }
        steps
    }

    /// Whether the publisher shall send it, when `watched` says whether somebody watches it or a better one. Says when to ask again.
    pub(super) fn activate(&mut self, watched: bool, now: Instant) -> (bool, Option<Instant>) {
        if watched {
            self.unwatched = None;
            if !self.active {
                (self.active, self.since) = (true, now);
                self.meter.restart();
                return (true, Some(now + ENCODING_START));
            }
            return (false, None);
        }
        let since = *self.unwatched.get_or_insert(now);
        if !self.active {
            return (false, None);
        }
        if now < since + ENCODING_LINGER {
            return (false, Some(since + ENCODING_LINGER));
        }
        self.active = false;
        (true, None)
    }
}
