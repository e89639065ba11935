//! Reads one received stream (one SSRC): the facts of each packet, with what earlier packets said.

use std::time::{Duration, Instant};

use super::av1;
use super::facts::{Facts, Layer};
use super::packet::{Codec, Packet};

/// A layer of which nothing came for so long (twice this at most) is not there.
const LAYERS_PERIOD: Duration = Duration::from_secs(1);

/// What a stream said so far. Bounded: of its packets nothing is kept but their layers.
#[derive(Clone, Debug, Default)]
pub struct Reader {
    /// Timestamp and layer of the last packet that told one: AV1 fragments do not.
    last: Option<(u32, Layer)>,
    seen: Seen,
}

impl Reader {
    /// The facts of a packet. Called for each packet, in the order of arrival.
    pub fn read(&mut self, packet: &Packet) -> Facts {
        let mut facts = Facts::parse(packet.codec, &packet.payload, packet.extensions.descriptor.as_deref());
        facts.frame_end |= packet.marker;
        if matches!(packet.codec, Codec::Av1 { .. }) && av1::continues(&packet.payload) {
            facts.layer = self.last.filter(|(timestamp, _)| *timestamp == packet.timestamp).map_or(facts.layer, |(_, layer)| layer);
        }
        if !packet.payload.is_empty() {
            self.last = Some((packet.timestamp, facts.layer));
            self.seen.note(facts.layer, packet.received);
        }
        facts
    }

    /// The highest layer that came lately.
    pub fn layers(&self) -> Layer {
        self.seen.highest()
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
