//! A slot: one outgoing place of a peer. It decides for each packet of its source whether this is the packet to begin with, one to go on
//! with, or none of its business.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::cache::Kept;
use super::event::{SlotReason, SlotSpec, SlotState, Wish};
use crate::id::{LayerIndex, PeerId, SlotIndex, TrackId};
use crate::limits::{PAUSED_MIN, RISE_PAUSE, RISE_PAUSE_MAX, RISE_TRIAL, SQUEEZE_MAX, STARVE_MAX, WARY_MAX, WISH_EXPECTED};
use crate::metrics::DropReason;
use crate::rtp::{Choice, Codec, Facts, Kind, Layer, Packet, Refused, Rewriter, Rewritten, Selector, Starts};

/// One outgoing place.
pub(super) struct Slot {
    pub(super) peer: PeerId,
    pub(super) index: SlotIndex,
    pub(super) kind: Kind,
    codecs: Vec<Codec>,
    /// Stopped by the receiver.
    pub(super) closed: bool,
    /// What it shows, as told or about to be told.
    pub(super) state: SlotState,
    /// The state stands in the room's output.
    pub(super) queued: bool,
    /// How the receiver shows it.
    pub(super) wish: Wish,
    /// Nothing was said of how its source is shown, and until then it may be yet.
    pub(super) unsaid: Option<Instant>,
    /// What it is to send: the encoding, and the layer within. `None`: nothing, or nothing is known yet.
    pub(super) aim: Option<(LayerIndex, Layer)>,
    /// The encoding that it has is too dear even with the fewest frames: nothing of it goes out until the next keyframe.
    pub(super) held: bool,
    /// The way does not carry even its lowest step, since then.
    pub(super) starved: Option<Instant>,
    /// It goes on with the fewest frames, since then, and the step that it had before.
    pub(super) squeezed: Option<(Instant, Layer)>,
    /// The encoding that is being forwarded; `None` while it waits for a keyframe, which the rewriter then takes for a new source.
    pub(super) encoding: Option<LayerIndex>,
    selector: Selector,
    rewriter: Rewriter,
    pub(super) patience: Patience,
}

/// A way is another one if what it carried is at most this share of what it carries.
const OTHER_WAY_PERCENT: u64 = 75;

/// When a slot that had to fall may rise again.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Patience {
    rose: Option<Instant>,
    until: Option<Instant>,
    pause: Duration,
    /// What the way carried when it fell. `None`: it was paused, and a pause lasts, whatever comes.
    budget: Option<u64>,
}

impl Patience {
    /// It rose.
    pub(super) fn rose(&mut self, now: Instant) {
        self.rose = Some(now);
    }

    /// It had to fall for want of bandwidth. If it rose only lately, that was too early, and the next time it waits longer.
    pub(super) fn fell(&mut self, paused: bool, budget: u64, now: Instant) {
        self.budget = (!paused).then_some(budget);
        let lately = self.rose.take().is_some_and(|at| now.saturating_duration_since(at) < RISE_TRIAL);
        if paused {
            // A picture that comes and goes is worse than one that is gone.
            self.until = Some(now + PAUSED_MIN);
        } else if lately {
            self.pause = (self.pause * 2).clamp(RISE_PAUSE, RISE_PAUSE_MAX);
            self.until = Some(now + self.pause);
        } else {
            self.pause = Duration::ZERO;
        }
    }

    /// It may not rise before then, unless the way carries much more than when it fell.
    pub(super) fn until(&self, budget: u64, now: Instant) -> Option<Instant> {
        let same = self.budget.is_none_or(|fell| budget / 100 * OTHER_WAY_PERCENT < fell);
        self.until.filter(|until| *until > now && same)
    }

    /// The last time that it rose was too early, and that was not long ago.
    pub(super) fn is_wary(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| !self.pause.is_zero() && now < until + WARY_MAX)
    }

    /// It shows nothing until then.
    pub(super) fn is_paused(&self, now: Instant) -> bool {
        self.budget.is_none() && self.until.is_some_and(|until| until > now)
    }
}

/// A packet on its way to the slots, with what was found out about it once.
pub(super) struct Arrival<'a> {
    pub(super) packet: &'a Packet,
    pub(super) facts: Facts,
    pub(super) encoding: LayerIndex,
    /// The newest packet of its encoding.
    pub(super) newest: bool,
    pub(super) now: Instant,
}

impl Arrival<'_> {
    /// Slots may begin with it: the newest packet, and a keyframe starts here. A keyframe that comes late (sent again) is none to begin with,
    /// because what followed it was not kept and would be missing for ever.
    fn begins(&self) -> bool {
        self.newest && self.facts.keyframe
    }
}

/// What a slot makes of a packet.
pub(super) enum Verdict {
    /// It goes out.
    Send(Rewritten),
    /// It goes out as the first packet of its source: the state changed.
    SendFirst(Rewritten),
    /// It was meant for this slot and does not go out.
    Drop(DropReason),
    /// A layer that this slot does not have.
    Other,
}

impl Slot {
    pub(super) fn new(peer: PeerId, index: SlotIndex, spec: SlotSpec, starts: Starts) -> Slot {
        let SlotSpec { kind, codecs } = spec;
        Slot {
            peer,
            index,
            kind,
            codecs,
            closed: false,
            state: SlotState::default(),
            queued: false,
            wish: Wish::default(),
            unsaid: None,
            aim: None,
            held: false,
            squeezed: None,
            starved: None,
            encoding: None,
            selector: Selector::default(),
            rewriter: Rewriter::new(kind, starts),
            patience: Patience::default(),
        }
    }

    /// Open (again), for these codecs. The numbers go on: they belong to the stream.
    pub(super) fn open(&mut self, codecs: Vec<Codec>) {
        self.closed = false;
        self.codecs = codecs;
    }

    /// The track it shows.
    pub(super) fn source(&self) -> Option<TrackId> {
        self.state.source.map(|(track, _)| track)
    }

    /// Gives it another source or none. The wish was for the one before.
    pub(super) fn set_source(&mut self, source: Option<(TrackId, PeerId)>, now: Instant) {
        self.state = SlotState { source, first_timestamp: None, reason: None };
        self.wish = Wish::default();
        self.unsaid = Some(now + WISH_EXPECTED);
        self.patience = Patience::default();
        (self.aim, self.encoding, self.held) = (None, None, false);
        (self.squeezed, self.starved) = (None, None);
    }

    /// Whether the track's state keeps anything from being sent.
    pub(super) fn obstacle(&self, muted: bool, codec: Option<Codec>) -> Option<SlotReason> {
        let undecodable = codec.is_some_and(|codec| !self.codecs.contains(&codec));
        match (muted, undecodable) {
            (true, _) => Some(SlotReason::Muted),
            (false, true) => Some(SlotReason::Codec),
            (false, false) if !self.wish.visible || self.wish.paused => Some(SlotReason::Paused),
            (false, false) => None,
        }
    }

    /// Says why nothing can be sent, or that it can. True if that is news.
    pub(super) fn judge(&mut self, reason: Option<SlotReason>) -> bool {
        if reason == self.state.reason {
            return false;
        }
        self.state.reason = reason;
        self.state.first_timestamp = None;
        (self.encoding, self.held) = (None, false);
        true
    }

    /// What it is to send from now on, where it can. While it waits for a keyframe of a lower encoding, the present one goes on with as few
    /// frames as it has; while it waits for a higher one, with all.
    pub(super) fn aim(&mut self, aim: Option<(LayerIndex, Layer)>) {
        self.aim = aim;
        let (Some((encoding, layer)), Some(present)) = (aim, self.encoding) else { return };
        self.selector.aim(match encoding.cmp(&present) {
            std::cmp::Ordering::Less => Layer { temporal: 0, ..layer },
            std::cmp::Ordering::Equal => layer,
            std::cmp::Ordering::Greater => Layer::MAX,
        });
    }

    /// The way does not carry its step: for a moment it goes on with the fewest frames of the encoding that it has, since a dip is no reason for a
    /// keyframe. True as long as that moment lasts.
    pub(super) fn squeeze(&mut self, step: Layer, now: Instant) -> bool {
        let (since, _) = *self.squeezed.get_or_insert((now, step));
        now.saturating_duration_since(since) < SQUEEZE_MAX
    }

    /// The way does not carry even its lowest step: for a moment it gets that all the same. True as long as that moment lasts.
    pub(super) fn starve(&mut self, now: Instant) -> bool {
        now.saturating_duration_since(*self.starved.get_or_insert(now)) < STARVE_MAX
    }

    /// Stops the encoding that it has until a keyframe comes, of whichever it may go on with.
    pub(super) fn hold(&mut self) {
        self.held = true;
    }

    /// What is being sent: the encoding, and the layer within.
    pub(super) fn sent(&self) -> Option<(LayerIndex, Layer)> {
        self.encoding.filter(|_| !self.held).map(|encoding| (encoding, self.selector.current()))
    }

    /// The encoding of which it needs a keyframe.
    pub(super) fn waits_for(&self) -> Option<LayerIndex> {
        let (encoding, _) = self.aim.filter(|_| self.state.source.is_some() && self.state.reason.is_none())?;
        (self.encoding != Some(encoding) || self.held || self.selector.needs_keyframe()).then_some(encoding)
    }

    /// It needs its keyframe soon: it shows nothing, or more than its way carries.
    pub(super) fn is_urgent(&self) -> bool {
        let falls = self.aim.zip(self.encoding).is_some_and(|((aim, _), present)| aim <= present);
        self.encoding.is_none() || self.held || falls
    }

    /// Decides about a packet of its source.
    pub(super) fn offer(&mut self, arrival: &Arrival<'_>) -> Verdict {
        let Arrival { packet, facts, encoding, now, .. } = arrival;
        match self.state.reason {
            Some(SlotReason::Codec) if encoding.0 == 0 => return Verdict::Drop(DropReason::Codec),
            Some(_) => return Verdict::Other,
            None => {}
        }
        let Some((wanted, _)) = self.aim else { return Verdict::Other };
        if self.encoding == Some(*encoding) && !self.held {
            return self.go_on(arrival);
        }
        // With nothing to show yet, a smaller picture is better than none.
        if arrival.begins() && (*encoding == wanted || ((self.encoding.is_none() || self.held) && *encoding < wanted)) {
            let header = self.begin(*encoding, packet, facts, *now);
            if self.state.first_timestamp.is_some() {
                return Verdict::Send(header);
            }
            self.state.first_timestamp = Some(header.timestamp);
            return Verdict::SendFirst(header);
        }
        if self.encoding == Some(*encoding) {
            return self.rewriter.skip(packet, facts).map_or(Verdict::Other, Verdict::Send);
        }
        if self.encoding.is_none() && *encoding == wanted {
            return Verdict::Drop(if facts.keyframe { DropReason::Late } else { DropReason::WaitKeyframe });
        }
        Verdict::Other
    }

    /// A keyframe of an encoding that it did not have.
    fn begin(&mut self, encoding: LayerIndex, packet: &Packet, facts: &Facts, now: Instant) -> Rewritten {
        (self.encoding, self.held) = (Some(encoding), false);
        self.selector.begin(facts, Layer::MAX);
        self.aim(self.aim);
        let header = self.rewriter.switch(packet, facts, now);
        match self.selector.choose(facts, packet) {
            Choice::Send { marker } => Rewritten { marker, ..header },
            Choice::Skip => header, // a keyframe is what everybody needs
        }
    }

    /// A further packet of the encoding that it has.
    fn go_on(&mut self, arrival: &Arrival<'_>) -> Verdict {
        let Arrival { packet, facts, encoding, now, .. } = arrival;
        let rewritten = match self.selector.choose(facts, packet) {
            // A packet that is not sent closes its own hole, if others went on with it.
            Choice::Skip => return self.rewriter.skip(packet, facts).map_or(Verdict::Other, Verdict::Send),
            Choice::Send { marker } => self.rewriter.rewrite(packet, facts, *now).map(|header| Rewritten { marker, ..header }),
        };
        match rewritten {
            Ok(header) => Verdict::Send(header),
            // The publisher started anew, and here it can be followed.
            Err(Refused::WaitKeyframe) if arrival.begins() => Verdict::Send(self.begin(*encoding, packet, facts, *now)),
            Err(Refused::WaitKeyframe) => Verdict::Drop(DropReason::WaitKeyframe),
            Err(Refused::Late) => Verdict::Drop(DropReason::Late),
        }
    }

    /// Begins with pictures that were kept, the lowest temporal layer of them, shown in no time: their time is over. Adds what goes out.
    pub(super) fn replay(&mut self, kept: &[Kept], now: Instant, mut out: impl FnMut(Rewritten, &Arc<Packet>)) {
        let shown = || kept.iter().filter(|(_, facts)| facts.layer == Layer::default());
        let pictures = shown().filter(|(_, facts)| facts.frame_start).count() as u32;
        let (Some(((first, facts), rest)), Some((newest, _))) = (kept.split_first(), shown().next_back()) else { return };
        let header = self.rewriter.switch_kept(first, facts, pictures, newest.captured, now);
        (self.encoding, self.held) = (Some(LayerIndex(0)), false);
        self.selector.begin(facts, Layer::default());
        if let Choice::Send { marker } = self.selector.choose(facts, first) {
            out(Rewritten { marker, ..header }, first);
        }
        self.state.first_timestamp = Some(header.timestamp);
        for (packet, facts) in rest {
            match self.selector.choose(facts, packet) {
                Choice::Skip => drop(self.rewriter.skip(packet, facts)),
                Choice::Send { marker } => {
                    if let Ok(header) = self.rewriter.hurry(packet, facts, now) {
                        out(Rewritten { marker, ..header }, packet);
                    }
                }
            }
        }
        self.aim(self.aim);
    }
}
