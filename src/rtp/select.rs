//! Which packets of one stream go to one receiver.
//!
//! ```text
//! L1T3, T2 and T1 left out:    T0  ·  ·  ·  T0  ·  ·  ·
//! and taken again:             T0  ·  T1*·  T0  T2*T1 T2    * where the frame says that one may go up
//! ```
//!
//! Every decision holds for a whole frame: it is made at the first packet of one, and kept as "from this sequence number on", so that what
//! comes late is judged as its neighbours were. It does not number; `rewrite.rs` does, and closes what is left out here.

use std::collections::VecDeque;

use super::facts::{Facts, Layer};
use super::head::{Head, Place};
use super::packet::{Codec, Packet};

/// Rules that are remembered for what comes late. More within the packets that anybody waits for: what came before them is left out.
const RULES_MAX: usize = 16;

/// Pictures of a higher layer that pass without one where the receiver could go up. Encoders have one every eight; after this many a keyframe
/// is the only way.
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

/// Chooses for one receiver (slot) from one stream. `begin` at a keyframe, then `choose` for every packet, from that one on; `aim` at any time.
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
    /// Pictures that passed while the aim was not reached.
    waited: u16,
}

/// What goes out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Rule {
    /// This layer and those below.
    layer: Layer,
}

/// A rule and the sequence number from which it holds.
#[derive(Clone, Copy, Debug)]
struct Since {
    seq: u64,
    rule: Rule,
}

impl Selector {
    /// A new stream, or the old one anew: its first packet, which starts a keyframe, and what is wanted of it.
    pub fn begin(&mut self, _facts: &Facts, target: Layer) {
        let mut rules = std::mem::take(&mut self.rules);
        rules.clear();
        *self = Selector { aim: target, rule: Rule { layer: target }, rules, ..Selector::default() };
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
        let (aim, current) = (self.aim.min_each(self.highest), self.rule.layer);
        aim.spatial > current.spatial || aim.temporal > current.temporal && self.waited >= PATIENCE
    }

    /// What becomes of this packet. It may change what goes out from here on.
    pub fn choose(&mut self, facts: &Facts, packet: &Packet) -> Choice {
        if packet.payload.is_empty() {
            return Choice::Skip; // padding: part of no picture
        }
        match self.head.map(|head| (head.place(packet, packet.received), head.timestamp())) {
            None => self.advance(facts, packet, true),
            Some((Place::Newer, timestamp)) => self.advance(facts, packet, packet.timestamp != timestamp),
            Some((Place::Older, _)) if packet.seq >= self.first => {}
            // Not of this stream as it began, or of nobody's interest: the rewriter says which.
            Some((Place::Older | Place::TooOld | Place::Restart, _)) => return Choice::Send { marker: packet.marker },
        }
        let Some(rule) = self.rule_at(packet.seq) else { return Choice::Skip };
        if !facts.layer.within(rule.layer) {
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
        if opens && self.aim.temporal > self.rule.layer.temporal && facts.layer.temporal > self.rule.layer.temporal {
            self.waited = self.waited.saturating_add(1);
        }
        let rule = Rule { layer: self.step(facts, packet.codec, opens) };
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
    fn step(&self, facts: &Facts, codec: Codec, opens: bool) -> Layer {
        let (aim, mut next) = (self.aim, self.rule.layer);
        if opens && facts.keyframe {
            return aim;
        }
        if opens {
            next = next.min_each(aim);
            // VP9 says it of what follows, VP8 of this frame, which is then the first of its layer.
            let reached = match codec {
                Codec::Vp9 { .. } => aim.temporal,
                _ => facts.layer.temporal.min(aim.temporal),
            };
            let within_reach = match codec {
                Codec::Vp9 { .. } => facts.layer.temporal <= next.temporal,
                _ => facts.layer.temporal == next.temporal + 1,
            };
            if facts.sync && within_reach {
                next.temporal = next.temporal.max(reached);
            }
        }
        if facts.frame_start && facts.spatial_sync && facts.layer.spatial == next.spatial + 1 && facts.layer.spatial <= aim.spatial {
            next.spatial = facts.layer.spatial;
        }
        next
    }

    /// The rule that held then, unless it is forgotten.
    fn rule_at(&self, seq: u64) -> Option<Rule> {
        self.rules.iter().rev().find(|since| since.seq <= seq).map(|since| since.rule)
    }
}
