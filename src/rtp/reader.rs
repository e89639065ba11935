//! Reads one received stream (one SSRC): the facts of each packet, with what earlier packets said.

use std::time::{Duration, Instant};

use super::av1;
use super::descriptor::{Extended, Structure};
use super::facts::{Facts, Layer};
use super::head::{Head, Place};
use super::packet::{Codec, Packet};
use super::targets::Serving;

/// A layer of which nothing came for so long (twice this at most) is not there.
const LAYERS_PERIOD: Duration = Duration::from_secs(1);

/// What a stream said so far. Bounded: the structure of its descriptors, and no packets.
#[derive(Clone, Debug, Default)]
pub struct Reader {
    head: Option<Head>,
    /// Timestamp and layer of the last packet that told one: AV1 fragments do not.
    last: Option<(u32, Layer)>,
    known: Option<Known>,
    seen: Seen,
}

/// The structure in force.
#[derive(Clone, Debug)]
struct Known {
    structure: Structure,
    /// Counts the structures.
    count: u32,
    /// The newest packet that brought it.
    seq: u64,
    /// The decode targets that are filled at present.
    active: u32,
    serving: Serving,
}

impl Reader {
    /// The facts of a packet. Called for each packet, in the order of arrival.
    pub fn read(&mut self, packet: &Packet) -> Facts {
        let mut facts = Facts::parse(packet.codec, &packet.payload, packet.extensions.descriptor.as_deref());
        facts.frame_end |= packet.marker;
        if packet.payload.is_empty() {
            return facts;
        }
        let newest = match self.head.map(|head| head.place(packet, packet.received)) {
            None | Some(Place::Newer | Place::Restart) => true,
            Some(Place::Older | Place::TooOld) => false,
        };
        if newest {
            self.head = Some(Head::of(packet, packet.received));
        }
        if self.describe(&mut facts, packet, newest).is_none()
            && matches!(packet.codec, Codec::Av1 { .. })
            && av1::continues(&packet.payload)
        {
            facts.layer = self.last.filter(|(timestamp, _)| *timestamp == packet.timestamp).map_or(facts.layer, |(_, layer)| layer);
        }
        self.last = Some((packet.timestamp, facts.layer));
        self.seen.note(facts.layer, packet.received);
        facts
    }

    /// The highest layer that came lately and that the encoder has not turned off since.
    pub fn layers(&self) -> Layer {
        let filled = self.known.as_ref().and_then(|known| known.serving.get(Layer::MAX));
        self.seen.highest().min_each(filled.map_or(Layer::MAX, |target| target.layer))
    }

    /// What the dependency descriptor says, if there is one that can be read. Not for VP8: libwebrtc marks every frame of it as a switch point
    /// for every target, whatever it refers to (`rtp_payload_params.cc`), so there the payload tells.
    fn describe(&mut self, facts: &mut Facts, packet: &Packet, newest: bool) -> Option<()> {
        if packet.codec == Codec::Vp8 {
            return None;
        }
        let (descriptor, bytes) = (facts.descriptor?, packet.extensions.descriptor.as_deref()?);
        let mut extended = Extended::parse(bytes)?;
        if let Some(structure) = extended.take_structure() {
            self.adopt(structure, packet.seq, newest);
        }
        let known = self.known.as_mut()?;
        if let Some(active) = extended.active(&known.structure)
            && newest
            && active != known.active
        {
            known.active = active;
            known.serving = known.structure.serving(active);
        }
        let frame = extended.frame(&known.structure)?;
        let mut targets = frame.targets;
        (targets.structure, targets.serving) = (known.count, known.serving);
        facts.frame_start = descriptor.start;
        facts.frame_end = descriptor.end || packet.marker;
        facts.layer = Layer::clamped(frame.layer.0, frame.layer.1);
        facts.size = facts.size.or(frame.size);
        // Of layers that do not depend on each other each has its own keyframe, and brings the structure; one begins with the lowest.
        let lowest = known.serving.get(Layer::default()).is_none_or(|target| target.layer.spatial == facts.layer.spatial);
        facts.keyframe &= lowest;
        facts.sync = facts.keyframe || targets.switch != 0;
        facts.targets = Some(targets);
        Some(())
    }

    /// A structure came. One that came late does not replace a later one.
    fn adopt(&mut self, structure: Structure, seq: u64, newest: bool) {
        if !newest && self.known.as_ref().is_some_and(|known| known.seq > seq) {
            return;
        }
        let before = self.known.take();
        let count = before.as_ref().map_or(0, |known| known.count.wrapping_add(u32::from(known.structure != structure)));
        let active = structure.all();
        let serving = structure.serving(active);
        self.known = Some(Known { structure, count, seq, active, serving });
    }
}

/// The highest layers of this period and of the one before.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    since: Option<Instant>,
    now: Layer,
    before: Layer,
}

impl Seen {
    fn note(&mut self, layer: Layer, now: Instant) {
        let age = self.since.map(|since| now.saturating_duration_since(since));
        if age.is_none_or(|age| age >= LAYERS_PERIOD) {
            let quiet = age.is_none_or(|age| age >= 2 * LAYERS_PERIOD);
            self.before = if quiet { Layer::default() } else { self.now };
            self.now = Layer::default();
            self.since = Some(now);
        }
        self.now = self.now.max_each(layer);
    }

    fn highest(self) -> Layer {
        self.now.max_each(self.before)
    }
}
