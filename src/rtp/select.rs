//! Which packets of one stream go to one receiver.
//!
//! ```text
//! L1T3, T2 and T1 left out:    T0  ·  ·  ·  T0  ·  ·  ·
//! and taken again:             T0  ·  T1*·  T0  T2*T1 T2    * where the frame says that one may go up
//! ```
//!
//! | the stream | down in time | up in time | down in space | up in space |
//! |---|---|---|---|---|
//! | VP8 | next picture | Y, one layer each | (another stream) | |
//! | VP9 | next picture | U | next picture | P is 0, one layer each; a keyframe |
//! | AV1 without descriptor | next picture | a keyframe | (all go out) | |
//! | with descriptor | next picture | a switch | next picture, if all that the lower layer needs went out; else a switch | a switch |
//!
//! A descriptor's switch counts only where all that the frame refers to went out to this receiver. So L3T3 goes down at once, and L3T3_KEY, of
//! which a receiver has one layer only, at a keyframe.
//!
//! Every decision holds for a whole frame: it is made at the first packet of one, and kept as "from this sequence number on", so that what
//! comes late is judged as its neighbours were. Nothing is numbered here: `rewrite.rs` closes what is left out. The descriptor itself goes out
//! as it came, its mask of active decode targets too: libwebrtc's receiver orders frames by their references and dav1d shows the highest layer
//! that it got, so neither waits for layers that are left out here.

use std::collections::VecDeque;

use super::facts::{Facts, Layer};
use super::head::{Head, Place};
use super::packet::{Codec, Kind, Packet};
use super::targets::{Serving, Target, Targets};

/// Rules that are remembered for what comes late. More within the packets that anybody waits for: what came before them is left out.
const RULES_MAX: usize = 16;

/// Pictures that pass without one where the receiver could go up in time. Encoders have one every eight; after this many a keyframe is the
/// only way.
const PATIENCE: u16 = 32;

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// It goes out.
    Send {
        /// It is the last packet of its picture for this receiver.
        marker: bool,
    },
    /// It does not, and is to be skipped by the rewriter.
    Skip,
}

/// Chooses for one receiver (slot) from one stream. `begin` at a keyframe, then `choose` for every packet, from that one on, which goes out;
/// `aim` at any time.
#[derive(Clone, Debug, Default)]
pub struct Selector {
    aim: Layer,
    rule: Rule,
    /// The rule in force and those before it, the newest last.
    rules: VecDeque<Since>,
    /// Sequence number of the first packet.
    first: u64,
    head: Option<Head>,
    /// The highest layer seen since the last keyframe.
    highest: Layer,
    /// Which decode target serves what, lately.
    serving: Option<Serving>,
    frames: Frames,
    /// Pictures that passed while the aim was not reached.
    waited: u16,
}

/// What goes out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Rule {
    /// This layer and those below, unless a frame tells its decode targets.
    layer: Layer,
    /// Of frames that do, those of this one; and the structure that it is part of.
    target: Option<(Target, u32)>,
}

/// A rule and the sequence number from which it holds.
#[derive(Clone, Copy, Debug)]
struct Since {
    seq: u64,
    rule: Rule,
}

impl Selector {
    /// A new stream, or the old one anew: its first packet, which starts a keyframe, and what is wanted of it.
    pub fn begin(&mut self, facts: &Facts, target: Layer) {
        let mut rules = std::mem::take(&mut self.rules);
        rules.clear();
        *self = Selector { aim: target, rules, ..Selector::default() };
        self.rule = self.enter(facts).unwrap_or(Rule { layer: target, target: None });
    }

    /// Wanted from now on.
    pub fn aim(&mut self, target: Layer) {
        if self.aim != target {
            self.aim = target;
            self.waited = 0;
        }
    }

    /// What goes out: nothing above it. The stream may have less.
    pub fn current(&self) -> Layer {
        self.rule.layer
    }

    /// The stream has what is wanted, and only a keyframe leads there. True at once where nothing else can help; in time, after a while
    /// without a frame where one could have gone up.
    pub fn needs_keyframe(&self) -> bool {
        if let (Some((current, _)), Some(wanted)) = (self.rule.target, self.serving.and_then(|serving| serving.get(self.aim))) {
            let comes = wanted == current || wanted.is_in(self.frames.intact);
            return !comes && (wanted.layer.spatial != current.layer.spatial || self.waited >= PATIENCE);
        }
        let (aim, current) = (self.aim.min_each(self.highest), self.rule.layer);
        aim.spatial > current.spatial || aim.temporal > current.temporal && self.waited >= PATIENCE
    }

    /// What becomes of this packet. It may change what goes out from here on.
    pub fn choose(&mut self, facts: &Facts, packet: &Packet) -> Choice {
        if packet.codec.kind() == Kind::Audio {
            return Choice::Send { marker: packet.marker }; // sound has no layers
        }
        if packet.payload.is_empty() {
            return Choice::Skip; // padding: part of no picture
        }
        let first = self.head.is_none();
        match self.head.map(|head| (head.place(packet, packet.received), head.timestamp())) {
            None => self.advance(facts, packet, true),
            Some((Place::Newer, timestamp)) => self.advance(facts, packet, packet.timestamp != timestamp),
            Some((Place::Older, _)) if packet.seq >= self.first => {}
            // Not of this stream as it began, or of nobody's interest: the rewriter says which.
            Some((Place::Older | Place::TooOld | Place::Restart, _)) => return Choice::Send { marker: packet.marker },
        }
        let Some(rule) = self.rule_at(packet.seq) else { return Choice::Skip };
        // A keyframe that claims to be of a higher layer than wanted is against every format; still the stream has begun with it.
        let goes = first || rule.takes(facts);
        if let (Some(descriptor), Some(targets)) = (facts.descriptor, &facts.targets) {
            self.frames.note(descriptor.frame_number, targets, goes);
        }
        if !goes {
            return Choice::Skip;
        }
        Choice::Send { marker: packet.marker || facts.frame_end && facts.layer.spatial == rule.layer.spatial }
    }

    /// The newest packet: here the rule may change. `another`: no packet of its picture came before.
    fn advance(&mut self, facts: &Facts, packet: &Packet, another: bool) {
        self.head = Some(Head::of(packet, packet.received));
        let opens = another && facts.frame_start;
        if opens && facts.keyframe {
            self.highest = Layer::default();
        }
        self.highest = self.highest.max_each(facts.layer);
        let rule = match &facts.targets {
            Some(targets) => {
                self.serving = Some(targets.serving);
                self.frames.within(targets.structure);
                self.step_by_targets(facts, targets, opens)
            }
            // A descriptor that could not be read changes nothing; a keyframe without any begins anew.
            None if self.rule.target.is_some() && !(opens && facts.keyframe) => self.rule,
            None => Rule { layer: self.step_by_layers(facts, packet.codec, opens), target: None },
        };
        if opens && facts.layer.temporal > self.rule.layer.temporal {
            self.waited = self.waited.saturating_add(1);
        }
        if self.rules.is_empty() {
            self.first = packet.seq;
        } else if rule == self.rule {
            return;
        }
        if self.rules.len() == RULES_MAX {
            self.rules.pop_front();
        }
        self.rules.push_back(Since { seq: packet.seq, rule });
        self.rule = rule;
        self.waited = 0;
    }

    /// The layer from here on, where the payload tells the layers: down at once with the next picture, since what a lower layer needs went
    /// out with the higher one; up where the frame allows it.
    fn step_by_layers(&self, facts: &Facts, codec: Codec, opens: bool) -> Layer {
        let (aim, mut next) = (self.aim, self.rule.layer);
        if opens && facts.keyframe {
            return aim;
        }
        if opens {
            next = next.min_each(aim);
            let frame = facts.layer.temporal;
            // VP9 says it of all that follows this frame; VP8 of this frame, which is then the first of its layer.
            let reach = match codec {
                Codec::Vp9 { .. } if frame <= next.temporal => aim.temporal,
                Codec::Vp9 { .. } => next.temporal,
                _ if frame == next.temporal + 1 => frame.min(aim.temporal),
                _ => next.temporal,
            };
            if facts.sync {
                next.temporal = reach;
            }
        }
        if facts.frame_start && facts.spatial_sync && facts.layer.spatial == next.spatial + 1 && facts.layer.spatial <= aim.spatial {
            next.spatial = facts.layer.spatial;
        }
        next
    }

    /// The decode target from here on: what is wanted or, where that is not to be had yet, at least the wanted temporal layer.
    fn step_by_targets(&self, facts: &Facts, targets: &Targets, opens: bool) -> Rule {
        if !facts.frame_start {
            return self.rule;
        }
        let Some((current, _)) = self.rule.target.filter(|(_, structure)| *structure == targets.structure) else {
            return self.enter(facts).unwrap_or(self.rule);
        };
        for layer in [self.aim, Layer { spatial: current.layer.spatial, ..self.aim }] {
            let Some(wanted) = targets.serving.get(layer) else { continue };
            if wanted == current {
                return self.rule;
            }
            if opens && wanted.is_in(self.frames.intact) || wanted.is_in(targets.switch) && self.frames.have(facts, targets) {
                return Rule { layer: wanted.layer, target: Some((wanted, targets.structure)) };
            }
        }
        self.rule
    }

    /// The best decode target that one can begin with here.
    fn enter(&self, facts: &Facts) -> Option<Rule> {
        let targets = facts.targets.as_ref().filter(|targets| self.frames.have(facts, targets))?;
        let best = (0..=self.aim.spatial).rev().find_map(|spatial| {
            let target = targets.serving.get(Layer { spatial, ..self.aim })?;
            target.is_in(targets.switch).then_some(target)
        })?;
        Some(Rule { layer: best.layer, target: Some((best, targets.structure)) })
    }

    /// The rule that held then, unless it is forgotten.
    fn rule_at(&self, seq: u64) -> Option<Rule> {
        self.rules.iter().rev().find(|since| since.seq <= seq).map(|since| since.rule)
    }
}

impl Rule {
    fn takes(&self, facts: &Facts) -> bool {
        match (self.target, &facts.targets) {
            (Some((target, structure)), Some(targets)) if structure == targets.structure => target.is_in(targets.present),
            _ => facts.layer.within(self.layer),
        }
    }
}

/// Frames that tell their decode targets: which of them went to this receiver.
#[derive(Clone, Copy, Debug, Default)]
struct Frames {
    structure: u32,
    newest: Option<u16>,
    /// Bit n: frame `newest - n` went out.
    sent: u64,
    /// Decode targets of which all went out that was needed, since a frame at which one could switch to them.
    intact: u32,
}

impl Frames {
    /// Decode targets are those of this structure from now on.
    fn within(&mut self, structure: u32) {
        if self.structure != structure {
            (self.structure, self.intact) = (structure, 0);
        }
    }

    /// Whether all went out that the frame refers to.
    fn have(&self, facts: &Facts, targets: &Targets) -> bool {
        let Some(descriptor) = facts.descriptor else { return false };
        targets.references & !self.sent_before(descriptor.frame_number) == 0
    }

    /// Bit n: the frame n + 1 before `number` went out. A number that is not newer has nothing before it that is known.
    fn sent_before(&self, number: u16) -> u64 {
        let Some(newest) = self.newest else { return 0 };
        match number.wrapping_sub(newest) {
            ahead @ 1..=64 => self.sent << (ahead - 1),
            _ => 0,
        }
    }

    /// A packet of frame `number` goes out or not, as all of that frame do.
    fn note(&mut self, number: u16, targets: &Targets, goes: bool) {
        let ahead = self.newest.map_or(i16::MAX, |newest| number.wrapping_sub(newest) as i16);
        if ahead <= 0 {
            let behind = u32::from(ahead.unsigned_abs());
            if behind < u64::BITS {
                self.sent |= u64::from(goes) << behind;
            }
            if !goes {
                // Something that went out or will may refer to it. A keyframe too many is better than a picture that cannot be decoded.
                self.intact &= !(targets.present & !targets.discardable);
            }
            return;
        }
        let before = self.sent_before(number);
        if !goes {
            self.intact &= !(targets.present & !targets.discardable);
        } else if targets.references & !before == 0 {
            self.intact |= targets.switch;
        }
        self.sent = before << 1 | u64::from(goes);
        self.newest = Some(number);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::super::packet::Extensions;
    use super::*;

    fn packet(codec: Codec, seq: u64, timestamp: u32, payload: &[u8]) -> Packet {
        let (extensions, received) = (Extensions::default(), Instant::now());
        Packet { seq, timestamp, marker: seq % 2 == 1, codec, extensions, payload: payload.into(), red: None, captured: received, received }
    }

    #[test]
    fn what_has_no_layers_goes_out_as_it_is() {
        let mut selector = Selector::default();
        let key = Facts { keyframe: true, frame_start: true, frame_end: true, ..Facts::default() };
        selector.begin(&key, Layer::default());
        for seq in 1..4 {
            let marker = seq % 2 == 1;
            assert_eq!(selector.choose(&key, &packet(Codec::Opus, seq, 0, &[])), Choice::Send { marker });
        }
        // Padding of a video stream is nobody's picture.
        assert_eq!(selector.choose(&Facts::default(), &packet(Codec::Vp8, 4, 0, &[])), Choice::Skip);
    }

    #[test]
    fn the_first_packet_goes_out_and_strangers_are_left_to_the_rewriter() {
        let mut selector = Selector::default();
        let facts = |keyframe, temporal| Facts { keyframe, frame_start: true, layer: Layer { spatial: 0, temporal }, ..Facts::default() };
        selector.begin(&facts(true, 2), Layer::default());
        let mut sends = |seq, timestamp, facts: &Facts| selector.choose(facts, &packet(Codec::Vp8, seq, timestamp, &[1])) != Choice::Skip;
        assert!(sends(10_000, 0, &facts(true, 2)), "against every format, but it is the first");
        assert!(!sends(10_001, 3_000, &facts(false, 1)));
        assert!(sends(10_003, 6_000, &facts(false, 0)));
        assert!(!sends(10_002, 3_000, &facts(false, 1)), "late, and judged as its neighbours");
        for (seq, timestamp) in [(9_999, 0), (8_000, 0), (50_000, 0), (10_004, 2_000_000_000)] {
            assert!(sends(seq, timestamp, &facts(false, 1)), "{seq}");
        }
        assert!(!sends(10_004, 9_000, &facts(false, 1)), "a stray does no harm");
    }

    #[test]
    fn only_so_many_rules_are_remembered() {
        let mut selector = Selector::default();
        let facts = Facts { frame_start: true, ..Facts::default() };
        selector.begin(&Facts { keyframe: true, ..facts }, Layer::MAX);
        for step in 0..40 {
            let sync = Facts { sync: true, layer: Layer { spatial: 0, temporal: (step % 2) as u8 }, ..facts };
            selector.aim(Layer { spatial: 0, temporal: (step % 2) as u8 });
            selector.choose(&sync, &packet(Codec::Vp8, 2 * step, 3_000 * step as u32, &[1]));
        }
        assert_eq!(selector.rules.len(), RULES_MAX);
        assert_eq!(selector.choose(&Facts::default(), &packet(Codec::Vp8, 3, 0, &[1])), Choice::Skip, "forgotten");
        assert!(selector.choose(&Facts::default(), &packet(Codec::Vp8, 77, 0, &[1])) != Choice::Skip, "remembered");
    }

    #[test]
    fn what_came_late_and_did_not_go_out_is_missing_above() {
        let (key, delta) = (Targets { present: 0b11, switch: 0b11, ..Targets::default() }, Targets { present: 0b10, ..Targets::default() });
        let mut frames = Frames::default();
        frames.note(10, &key, true);
        frames.note(12, &Targets { present: 0b01, ..delta }, true);
        assert_eq!(frames.intact, 0b11);
        frames.note(11, &delta, false);
        assert_eq!(frames.intact, 0b01);
    }
}
