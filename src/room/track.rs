//! A published track: its encodings, who receives it, and when its publisher may be asked for a keyframe.

use std::time::{Duration, Instant};

use super::cache::Cache;
use super::encoding::Encoding;
use super::event::TrackSpec;
use crate::id::{LayerIndex, PeerId};
use crate::limits::{CODEC_CHANGE_PAUSE, KEYFRAME_DEBOUNCE, KEYFRAME_GATHER, KEYFRAME_REPEAT, LAYER_LIFE, LAYERS_PER_TRACK_MAX};
use crate::rtp::{Codec, Kind, Layer, Level, Packet, Place};

/// One published source.
pub(super) struct Track {
    pub(super) owner: PeerId,
    pub(super) kind: Kind,
    pub(super) screen: bool,
    pub(super) muted: bool,
    /// Codec of the last packet; `None` before the first.
    pub(super) codec: Option<Codec>,
    /// Since when, if it was another before.
    changed: Option<Instant>,
    pub(super) encodings: Vec<Encoding>,
    /// Keys of the slots that have this track as their source.
    pub(super) receivers: Vec<usize>,
    pub(super) level: Level,
    /// What the fillers last knew of the level.
    pub(super) phase: Phase,
    /// The last pictures of the lowest layer.
    pub(super) cache: Cache,
    /// Newcomers whose offers were accepted will watch it, until then.
    pub(super) expected: Option<Instant>,
    /// Its encodings want to be looked at then.
    pub(super) again: Option<Instant>,
    /// News about its encodings stands in the room's output.
    pub(super) queued: bool,
}

/// How long ago somebody was heard, as coarse as the fillers look at it: a change is a reason to fill anew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Phase {
    pub(super) speaking: bool,
    pub(super) kept: bool,
    pub(super) active: bool,
}

/// What to do about a keyframe that is needed.
pub(super) enum Ask {
    /// Ask now, and look again then.
    Now(Instant),
    /// Look again then.
    At(Instant),
    /// Nobody needs it.
    Never,
}

impl Track {
    pub(super) fn new(owner: PeerId, spec: &TrackSpec, now: Instant) -> Track {
        let encodings = usize::from(spec.layers).clamp(1, LAYERS_PER_TRACK_MAX);
        Track {
            owner,
            kind: spec.kind,
            screen: spec.screen,
            muted: spec.muted,
            codec: None,
            changed: None,
            encodings: (0..encodings).map(|_| Encoding::new(now)).collect(),
            receivers: Vec::new(),
            level: Level::default(),
            phase: Phase::default(),
            cache: Cache::default(),
            expected: None,
            again: None,
            queued: false,
        }
    }

    /// Its layers are encodings of their own, and not all in one stream.
    pub(super) fn is_simulcast(&self) -> bool {
        self.encodings.len() > 1
    }

    /// Which of its encodings the publisher is to send.
    pub(super) fn active(&self) -> Vec<bool> {
        self.encodings.iter().map(|encoding| encoding.active).collect()
    }

    /// Where a layer of the track is: the encoding, and the layer within.
    pub(super) fn place(&self, layer: Layer) -> (LayerIndex, Layer) {
        match self.is_simulcast() {
            true => (LayerIndex(layer.spatial), Layer { spatial: 0, temporal: layer.temporal }),
            false => (LayerIndex(0), layer),
        }
    }

    /// The layer of the track that a layer within an encoding is.
    pub(super) fn layer(&self, encoding: LayerIndex, layer: Layer) -> Layer {
        if self.is_simulcast() { Layer { spatial: encoding.0, ..layer } } else { layer }
    }

    /// Whether the codec may be this one now. Each change is told to all receivers, so there are few.
    pub(super) fn may_be(&self, codec: Codec, now: Instant) -> bool {
        self.codec.is_none_or(|old| old == codec) || self.changed.is_none_or(|at| now.saturating_duration_since(at) >= CODEC_CHANGE_PAUSE)
    }

    /// The codec is this one. True if that is news.
    pub(super) fn set_codec(&mut self, codec: Codec, now: Instant) -> bool {
        let old = self.codec.replace(codec);
        if old.is_some_and(|old| old != codec) {
            self.changed = Some(now);
            self.cache.clear();
        }
        old != Some(codec)
    }

    /// Notes a packet. `None` if there is no such encoding.
    pub(super) fn arrive(&mut self, index: LayerIndex, packet: &Packet, now: Instant) -> Option<Arrived> {
        let encoding = self.encodings.get_mut(usize::from(index.0))?;
        let newest = match encoding.head.map(|head| head.place(packet, now)) {
            None | Some(Place::Newer | Place::Restart) => true,
            Some(Place::Older | Place::TooOld) => false,
        };
        // Padding probes the network: of an encoding that is off, no picture is being sent.
        let begins = !encoding.live && !packet.payload.is_empty();
        if newest && (encoding.live || begins) {
            encoding.note(packet, now);
        }
        Some(Arrived { newest, begins })
    }

    /// Somebody waits for a keyframe of this encoding; `urgent`: and has nothing else to show.
    pub(super) fn need(&mut self, index: LayerIndex, urgent: bool) {
        if let Some(encoding) = self.encodings.get_mut(usize::from(index.0)) {
            encoding.needed = true;
            encoding.urgent |= urgent;
        }
    }

    /// A keyframe of this encoding passes: whoever waited has it. Of a better one nobody needs it soon any more, since whoever had nothing to show
    /// begins with this one; who falls from a better one still says so with its next packet.
    pub(super) fn keyframe_came(&mut self, index: LayerIndex) {
        let (lower, better) = self.encodings.split_at_mut(usize::from(index.0) + 1);
        better.iter_mut().for_each(|encoding| encoding.urgent = false);
        if let Some(encoding) = lower.last_mut() {
            (encoding.needed, encoding.urgent) = (false, false);
            encoding.answered = true;
        }
    }

    /// Whether the publisher shall be asked for a keyframe of this encoding.
    pub(super) fn ask(&mut self, index: LayerIndex, now: Instant) -> Ask {
        let newcomers = self.expected.is_some();
        let Some(encoding) = self.encodings.get_mut(usize::from(index.0)) else { return Ask::Never };
        let wanted = self.kind == Kind::Video && !self.muted && (!self.receivers.is_empty() || newcomers);
        let silent = encoding.head.is_none_or(|head| now.saturating_duration_since(head.at()) > LAYER_LIFE);
        // Before its first packet an encoding is not asked, nor when it was turned off: an encoder begins with a keyframe.
        if !wanted || encoding.head.is_none() || !encoding.active || (silent && encoding.watchers == 0) {
            (encoding.needed, encoding.urgent) = (false, false);
        }
        if !encoding.needed {
            return Ask::Never;
        }
        let due = match encoding.asked {
            None => now,
            Some(asked) if encoding.answered && !encoding.urgent => asked + KEYFRAME_GATHER,
            Some(asked) => asked + pause(encoding.answered, silent),
        };
        if due > now {
            return Ask::At(due);
        }
        encoding.asked = Some(now);
        encoding.answered = false;
        Ask::Now(now + pause(false, silent))
    }
}

/// What a packet was to its encoding.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrived {
    /// The newest.
    pub(super) newest: bool,
    /// The first after it was off.
    pub(super) begins: bool,
}

/// Time from one request to the next.
fn pause(answered: bool, silent: bool) -> Duration {
    match (answered, silent) {
        (true, _) => KEYFRAME_DEBOUNCE,
        (false, false) => KEYFRAME_REPEAT,
        // A still screen sends one frame a second, a dead publisher none: both are asked without haste.
        (false, true) => LAYER_LIFE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtp::Extensions;

    #[test]
    fn who_has_a_smaller_picture_is_in_no_hurry() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut track = Track::new(PeerId(1), &TrackSpec { kind: Kind::Video, screen: false, layers: 3, muted: false }, start);
        track.receivers.push(0);
        let extensions = Extensions::default();
        let payload = [0u8; 4].into();
        let packet = Packet {
            seq: 1,
            timestamp: 0,
            marker: true,
            codec: Codec::Vp8,
            extensions,
            payload,
            red: None,
            received: start,
            captured: start,
        };
        for index in 0..3 {
            track.arrive(LayerIndex(index), &packet, start);
        }
        let ask = |track: &mut Track, index, ms| match track.ask(LayerIndex(index), at(ms)) {
            Ask::Now(_) => 0,
            Ask::At(when) => (when - start).as_millis(),
            Ask::Never => u128::MAX,
        };
        track.need(LayerIndex(2), false);
        assert_eq!(ask(&mut track, 2, 0), 0);
        track.keyframe_came(LayerIndex(2));
        track.need(LayerIndex(2), true);
        assert_eq!(ask(&mut track, 2, 40), 500, "a newcomer has nothing to show");
        track.keyframe_came(LayerIndex(0));
        assert_eq!(ask(&mut track, 2, 60), 2_000, "and now it has");
        track.need(LayerIndex(2), true);
        assert_eq!(ask(&mut track, 2, 80), 500, "another one falls");
    }
}
