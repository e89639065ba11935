//! What the layers of one encoding take, measured over the last two seconds: long enough that a keyframe, five times a frame, does not look like
//! a better layer, short enough to follow an encoder that is turned up.

use std::time::{Duration, Instant};

use crate::rtp::Layer;

/// Spatial and temporal layers that are told apart.
pub(super) const LAYERS: usize = 3;
const BUCKET: Duration = Duration::from_millis(250);
const BUCKETS: usize = 8;
/// With less than this nothing is said: the first keyframe alone would be all of the rate.
const LEAST: Duration = Duration::from_millis(500);
/// What a datagram has beside its payload: RTP header with one source, extensions, tag, UDP and IP.
const OVERHEAD: u64 = 16 + 12 + 16 + 28;

type Bytes = [[u64; LAYERS]; LAYERS];

/// Bits a second by layer.
#[derive(Clone, Debug, Default)]
pub(super) struct Meter {
    buckets: [Bytes; BUCKETS],
    /// Where the present bucket is, and when it began.
    at: usize,
    began: Option<Instant>,
    /// When measuring began, if that is not longer ago than all buckets.
    since: Option<Instant>,
    /// The last that was measured; stays while nothing comes.
    rates: Option<Bytes>,
    /// Over the time of all buckets.
    settled: bool,
}

impl Meter {
    /// It was off, however short, and begins again. What it took before is the best guess of what it will take.
    pub(super) fn restart(&mut self) {
        *self = Meter { rates: self.rates, settled: self.settled, ..Meter::default() };
    }

    /// A packet of a layer with so many bytes of payload.
    #[inline]
    pub(super) fn count(&mut self, layer: Layer, payload: usize, now: Instant) {
        let began = *self.began.get_or_insert(now);
        if now >= began + BUCKET {
            self.turn(began, now);
        }
        let (spatial, temporal) = (usize::from(layer.spatial).min(LAYERS - 1), usize::from(layer.temporal).min(LAYERS - 1));
        self.buckets[self.at][spatial][temporal] += payload as u64 + OVERHEAD;
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
            let mut rates = Bytes::default();
            for (spatial, rates) in rates.iter_mut().enumerate() {
                for (temporal, rate) in rates.iter_mut().enumerate() {
                    let bytes: u64 = self.buckets.iter().map(|bucket| bucket[spatial][temporal]).sum();
                    *rate = (bytes as f64 * 8.0 / measured.as_secs_f64()) as u64;
                }
            }
            // An encoder that begins again begins with a keyframe, and pays for it with small frames: what it took before is the better guess until
            // both are in the measure.
            let settled = measured == BUCKET * BUCKETS as u32;
            if settled || !self.settled {
                (self.rates, self.settled) = (Some(rates), settled);
            }
        }
        let mut next = began;
        while now >= next + BUCKET {
            next += BUCKET;
            self.at = (self.at + 1) % BUCKETS;
            self.buckets[self.at] = Bytes::default();
        }
        self.began = Some(next);
    }

    /// What a layer takes together with those below it, in bits a second; `None`: not measured yet.
    pub(super) fn rate(&self, layer: Layer) -> Option<u64> {
        let rates = self.rates.as_ref()?;
        let spatial = rates.iter().take(usize::from(layer.spatial) + 1);
        Some(spatial.map(|rates| rates.iter().take(usize::from(layer.temporal) + 1).sum::<u64>()).sum())
    }

    /// The highest layer that takes something.
    pub(super) fn highest(&self) -> Option<Layer> {
        let rates = self.rates.as_ref()?;
        let spatial = rates.iter().rposition(|rates| rates.iter().any(|rate| *rate > 0))?;
        let temporal = rates.iter().filter_map(|rates| rates.iter().rposition(|rate| *rate > 0)).max()?;
        Some(Layer { spatial: spatial as u8, temporal: temporal as u8 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(spatial: u8, temporal: u8) -> Layer {
        Layer { spatial, temporal }
    }

    /// Thirty frames a second in the pattern 0 2 1 2, of so many bytes.
    fn feed(meter: &mut Meter, now: &mut Instant, seconds: f64, bytes: usize) {
        let frames = (seconds * 30.0) as usize;
        for frame in 0..frames {
            meter.count(layer(0, [0, 2, 1, 2][frame % 4]), bytes, *now);
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
}
