//! A published track: its layers, which of them is forwarded, who receives it, and when its publisher may be asked for a keyframe.

use std::time::{Duration, Instant};

use super::event::TrackSpec;
use crate::id::{LayerIndex, PeerId};
use crate::limits::{CODEC_CHANGE_PAUSE, KEYFRAME_DEBOUNCE, KEYFRAME_REPEAT, LAYER_LIFE, LAYERS_PER_TRACK_MAX};
use crate::rtp::{Codec, Head, Kind, Level, Packet, Place};

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
    /// The best layer that is being received, which slots have or wait for; `None` before the first packet.
    pub(super) target: Option<LayerIndex>,
    pub(super) layers: Vec<Layer>,
    /// Keys of the slots that have this track as their source.
    pub(super) receivers: Vec<usize>,
    pub(super) level: Level,
    /// What the fillers last knew of the level.
    pub(super) phase: Phase,
}

/// How long ago somebody was heard, as coarse as the fillers look at it: a change is a reason to fill anew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Phase {
    pub(super) speaking: bool,
    pub(super) kept: bool,
    pub(super) active: bool,
}

/// One received encoding.
#[derive(Default)]
pub(super) struct Layer {
    head: Option<Head>,
    asked: Option<Instant>,
    /// A keyframe came since the last request.
    answered: bool,
    /// Somebody waits for a keyframe.
    needed: bool,
    /// A request stands in the room's output.
    pub(super) queued: bool,
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
    pub(super) fn new(owner: PeerId, spec: &TrackSpec) -> Track {
        let layers = usize::from(spec.layers).clamp(1, LAYERS_PER_TRACK_MAX);
        Track {
            owner,
            kind: spec.kind,
            screen: spec.screen,
            muted: spec.muted,
            codec: None,
            changed: None,
            target: None,
            layers: (0..layers).map(|_| Layer::default()).collect(),
            receivers: Vec::new(),
            level: Level::default(),
            phase: Phase::default(),
        }
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
        }
        old != Some(codec)
    }

    /// Notes a packet. `None` if there is no such layer, else whether it is the newest of its layer. A layer better than the target becomes
    /// the target.
    pub(super) fn arrive(&mut self, index: LayerIndex, packet: &Packet, now: Instant) -> Option<bool> {
        let layer = self.layers.get_mut(usize::from(index.0))?;
        let newest = match layer.head.map(|head| head.place(packet, now)) {
            None | Some(Place::Newer | Place::Restart) => true,
            Some(Place::Older | Place::TooOld) => false,
        };
        if packet.payload.is_empty() && self.target != Some(index) {
            return Some(newest); // padding that probes the network: no picture of this layer is being sent
        }
        if newest {
            layer.head = Some(Head::of(packet, now));
        }
        if self.target.is_none_or(|target| target < index) {
            self.retarget(index);
        }
        Some(newest)
    }

    /// The target falls to the best layer that is being received, if it is not one itself and there is one. Says when to look again.
    pub(super) fn handle_timeout(&mut self, now: Instant) -> Option<Instant> {
        let target = self.target?;
        let since = |layer: &Layer| layer.head.map(|head| head.at());
        let live = |layer: &Layer| since(layer).is_some_and(|at| now.saturating_duration_since(at) < LAYER_LIFE);
        let best = self.layers.iter().rposition(live)?;
        if best != usize::from(target.0) {
            self.retarget(LayerIndex(best as u8));
        }
        since(&self.layers[best]).map(|at| at + LAYER_LIFE)
    }

    fn retarget(&mut self, index: LayerIndex) {
        if let Some(old) = self.target.replace(index) {
            self.layers[usize::from(old.0)].needed = false;
        }
        self.need(index);
    }

    /// Somebody waits for a keyframe of this layer.
    pub(super) fn need(&mut self, index: LayerIndex) {
        if let Some(layer) = self.layers.get_mut(usize::from(index.0)) {
            layer.needed = true;
        }
    }

    /// A keyframe of this layer passes: whoever waited has it.
    pub(super) fn keyframe_came(&mut self, index: LayerIndex) {
        let layer = &mut self.layers[usize::from(index.0)];
        layer.needed = false;
        layer.answered = true;
    }

    /// Whether the publisher shall be asked for a keyframe of this layer.
    pub(super) fn ask(&mut self, index: LayerIndex, now: Instant) -> Ask {
        let wanted = self.kind == Kind::Video && !self.muted && !self.receivers.is_empty();
        let is_target = self.target == Some(index);
        let layer = &mut self.layers[usize::from(index.0)];
        let silent = layer.head.is_none_or(|head| now.saturating_duration_since(head.at()) > LAYER_LIFE);
        // Before its first packet a layer is not asked: an encoder begins with a keyframe.
        if !wanted || layer.head.is_none() || (silent && !is_target) {
            layer.needed = false;
        }
        if !layer.needed {
            return Ask::Never;
        }
        let due = match layer.asked {
            None => now,
            Some(asked) => asked + pause(layer.answered, silent),
        };
        if due > now {
            return Ask::At(due);
        }
        layer.asked = Some(now);
        layer.answered = false;
        Ask::Now(now + pause(false, silent))
    }
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
