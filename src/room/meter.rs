//! What the layers of one encoding take, measured over the last two seconds: long enough that a keyframe, five times a frame, does not look like
//! a better layer, short enough to follow an encoder that is turned up.

use std::time::{Duration, Instant};

use crate::rtp::{Facts, Layer};

/// Spatial and temporal layers that are told apart.
pub(super) const LAYERS: usize = 3;
const BUCKET: Duration = Duration::from_millis(250);
const BUCKETS: usize = 8;
/// With less than this nothing is said: the first keyframe alone would be all of the rate.
const LEAST: Duration = Duration::from_millis(500);
/// What a datagram has beside its payload: RTP header with one source, extensions, tag, UDP and IP.
const OVERHEAD: u64 = 16 + 12 + 16 + 28;

/// By layer what one gets who has it, with all that it needs.
type Bytes = [[u64; LAYERS]; LAYERS];
/// Layers of which something came.
type Seen = [[bool; LAYERS]; LAYERS];

/// Bits a second by layer.
#[derive(Clone, Debug, Default)]
pub(super) struct Meter {
    buckets: [(Bytes, Seen); BUCKETS],
    /// Where the present bucket is, and when it began.
    at: usize,
    began: Option<Instant>,
    /// When measuring began, if that is not longer ago than all buckets.
    since: Option<Instant>,
    /// The last that was measured; stays while nothing comes.
    rates: Option<(Bytes, Seen)>,
    /// Over the time of all buckets.
    settled: bool,
}

impl Meter {
    /// It was off, however short, and begins again. What it took before is the best guess of what it will take.
    pub(super) fn restart(&mut self) {
        *self = Meter { rates: self.rates, settled: self.settled, ..Meter::default() };
    }

    /// A packet with so many bytes of payload.
    #[inline]
    pub(super) fn count(&mut self, facts: &Facts, payload: usize, now: Instant) {
        let began = *self.began.get_or_insert(now);
        if now >= began + BUCKET {
            self.turn(began, now);
        }
        let (bytes, seen) = &mut self.buckets[self.at];
        for (layer, bytes) in layers().zip(bytes.iter_mut().flatten()) {
            *bytes += if facts.serves(layer) { payload as u64 + OVERHEAD } else { 0 };
        }
        let Layer { spatial, temporal } = facts.layer.min_each(Layer::MAX);
        seen[usize::from(spatial)][usize::from(temporal)] = true;
    }

    /// A bucket is full: measures, and begins the next.
    fn turn(&mut self, began: Instant, now: Instant) {
        if now >= began + BUCKET * BUCKETS as u32 {
            self.restart();
            self.began = Some(now);
            return;
        }
        let since = *self.since.get_or_insert(began);
        let measured = (now - since).min(BUCKET * BUCKETS as u32);
        if measured >= LEAST {
            let (mut rates, mut seen) = (Bytes::default(), Seen::default());
            for (bytes, came) in &self.buckets {
                rates.iter_mut().flatten().zip(bytes.iter().flatten()).for_each(|(sum, bytes)| *sum += bytes);
                seen.iter_mut().flatten().zip(came.iter().flatten()).for_each(|(seen, came)| *seen |= came);
            }
            rates.iter_mut().flatten().for_each(|rate| *rate = (*rate as f64 * 8.0 / measured.as_secs_f64()) as u64);
            // An encoder that begins again begins with a keyframe, and pays for it with small frames: what it took before is the better guess until
            // both are in the measure.
            let settled = measured == BUCKET * BUCKETS as u32;
            if settled || !self.settled {
                (self.rates, self.settled) = (Some((rates, seen)), settled);
            }
        }
        let mut next = began;
        while now >= next + BUCKET {
            next += BUCKET;
            self.at = (self.at + 1) % BUCKETS;
            self.buckets[self.at] = Default::default();
        }
        self.began = Some(next);
    }

    /// What a layer takes with all that it needs, in bits a second; `None`: not measured yet.
    pub(super) fn rate(&self, layer: Layer) -> Option<u64> {
        let (rates, _) = self.rates.as_ref()?;
        let Layer { spatial, temporal } = layer.min_each(Layer::MAX);
        Some(rates[usize::from(spatial)][usize::from(temporal)])
    }

    /// The highest layer of which something comes.
    pub(super) fn highest(&self) -> Option<Layer> {
        let (_, seen) = self.rates.as_ref()?;
        layers().zip(seen.iter().flatten()).filter(|(_, seen)| **seen).map(|(layer, _)| layer).reduce(Layer::max_each)
    }
}

/// All of them, in the order of [`Bytes`].
fn layers() -> impl Iterator<Item = Layer> {
    (0..LAYERS as u8).flat_map(|spatial| (0..LAYERS as u8).map(move |temporal| Layer { spatial, temporal }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtp::{Serving, Targets};

    fn layer(spatial: u8, temporal: u8) -> Layer {
        Layer { spatial, temporal }
    }

    /// Thirty frames a second in the pattern 0 2 1 2, of so many bytes.
    fn feed(meter: &mut Meter, now: &mut Instant, seconds: f64, bytes: usize) {
        let frames = (seconds * 30.0) as usize;
        for frame in 0..frames {
            meter.count(&Facts { layer: layer(0, [0, 2, 1, 2][frame % 4]), ..Facts::default() }, bytes, *now);
            *now += Duration::from_micros(33_333);
        }
    }

    #[test]
    fn layers_add_up() {
        let (mut meter, mut now) = (Meter::default(), Instant::now());
        feed(&mut meter, &mut now, 0.4, 1_000);
        assert_eq!((meter.rate(layer(0, 2)), meter.highest()), (None, None), "too little to say");
        feed(&mut meter, &mut now, 3.0, 1_000);
        let near = |bps: Option<u64>, want: f64| assert!((bps.unwrap() as f64 / want - 1.0).abs() < 0.08, "{bps:?} for {want}");
        let full = 30.0 * (1_000 + OVERHEAD) as f64 * 8.0;
        near(meter.rate(layer(0, 2)), full);
        near(meter.rate(layer(0, 1)), full / 2.0);
        near(meter.rate(layer(0, 0)), full / 4.0);
        near(meter.rate(layer(2, 2)), full);
        assert_eq!(meter.highest(), Some(layer(0, 2)));
    }

    #[test]
    fn it_follows_and_remembers() {
        let (mut meter, mut now) = (Meter::default(), Instant::now());
        feed(&mut meter, &mut now, 4.0, 200);
        feed(&mut meter, &mut now, 2.3, 2_000);
        let before = meter.rate(layer(0, 2)).unwrap();
        assert!(before > 30 * 2_000 * 8 * 9 / 10);
        now += Duration::from_secs(60);
        assert_eq!(meter.rate(layer(0, 2)), Some(before), "off");
        feed(&mut meter, &mut now, 0.3, 20);
        assert_eq!(meter.rate(layer(0, 2)), Some(before), "on again, and too little to say");
        feed(&mut meter, &mut now, 0.5, 20);
        assert_eq!(meter.rate(layer(0, 2)), Some(before), "an encoder that begins again is judged late");
        feed(&mut meter, &mut now, 2.0, 20);
        assert!(meter.rate(layer(0, 2)).unwrap() < before / 5);
    }

    #[test]
    fn a_short_time_off_is_no_lower_rate() {
        let (mut meter, mut now) = (Meter::default(), Instant::now());
        feed(&mut meter, &mut now, 4.0, 1_000);
        let before = meter.rate(layer(0, 2)).unwrap();
        now += Duration::from_secs(1);
        meter.restart();
        feed(&mut meter, &mut now, 0.1, 9_000);
        for _ in 0..9 {
            feed(&mut meter, &mut now, 0.2, 800);
            assert_eq!(meter.rate(layer(0, 2)), Some(before), "neither the pause nor the keyframe");
        }
        feed(&mut meter, &mut now, 2.5, 800);
        assert!(meter.rate(layer(0, 2)).unwrap() < before);
    }

    #[test]
    fn who_has_one_layer_in_space_pays_for_that_one() {
        let (mut meter, mut now) = (Meter::default(), Instant::now());
        let serving = Serving::new([(0, (0, 0)), (1, (1, 0)), (2, (2, 0))].into_iter());
        for frame in 0..100 {
            for spatial in 0..3 {
                // L3T1_KEY: a keyframe's layers refer to each other, the others to their own.
                let present = if frame == 0 { 0b111 << spatial & 0b111 } else { 1 << spatial };
                let targets = Some(Targets { present, serving, ..Targets::default() });
                meter.count(&Facts { layer: layer(spatial, 0), targets, ..Facts::default() }, 1_000 << spatial, now);
            }
            now += Duration::from_millis(40);
        }
        let rates: Vec<u64> = (0..3).map(|spatial| meter.rate(layer(spatial, 2)).unwrap() / 25 / 8).collect();
        assert!(rates.iter().zip([1_000, 2_000, 4_000]).all(|(rate, bytes)| (bytes..bytes + 150).contains(rate)), "{rates:?}");
        assert_eq!(meter.highest(), Some(layer(2, 0)));
    }
}
