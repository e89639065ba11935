//! When a sample was captured, on our clock.
//!
//! ```text
//! camera      ──► RTP clock 1 ─┐ sender reports          least of (arrival − capture)
//! microphone  ──► RTP clock 2 ─┴────────────► NTP clock ─────────────────────────────► our clock
//! ```
//!
//! A publisher's sender reports tie the RTP clock of each of its streams to one NTP clock (RFC 3550 6.4.1), which has nothing to do with ours. The
//! offset between the two is one for the whole connection: the least of arrival − capture over the last seconds, whatever the stream. So the
//! quickest packet is taken to have needed no time, and what camera and microphone captured at once has one time here, however late either comes.
//! The way that all packets have in common stays unknown, and is of no use: it is the same for both.
//!
//! What it says runs on as evenly as the publisher's RTP clock does, and is pulled slowly towards what the reports say, because a browser fits a
//! line through the last twenty of our own reports (libwebrtc's `rtp_to_ntp_estimator`), and a step takes it that many seconds to forget.
//!
//! All input is a stranger's: any values give a time that is at most [`LAG_MAX`] before the arrival and never after it.

use std::time::{Duration, Instant};

use crate::limits::{LAYERS_PER_TRACK_MAX, TRACKS_PER_PEER_MAX};

/// No sample is taken to have needed longer. To wait more for the other half of a pair would disturb a talk more than lips that are late.
pub const LAG_MAX: Duration = Duration::from_millis(500);
/// The offset is the least of the last [`SPANS`] spans of this length: long enough to meet a packet that did not queue, short enough that two
/// clocks that are 200 ppm apart differ by 2 ms.
const SPAN: Duration = Duration::from_secs(2);
const SPANS: usize = 5;
/// The time that is said approaches what the reports say by a fiftieth of the time that goes by: 20 ms a second.
const SLEW: i64 = 50;
/// RTP time that runs backwards by less is a packet that comes late; by more, a publisher that began anew.
const LATE_MAX: Duration = Duration::from_secs(5);
const STREAMS_MAX: usize = TRACKS_PER_PEER_MAX * LAYERS_PER_TRACK_MAX;

/// What a publisher's sender report says of one of its streams: these two are the same moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SenderReport {
    /// The publisher's NTP time (32.32 fixed-point seconds).
    pub ntp: u64,
    /// The stream's RTP time.
    pub timestamp: u32,
}

/// A packet, as far as its times go.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    /// SSRC of its stream: each encoding of a simulcast counts from a beginning of its own.
    pub stream: u32,
    /// Its RTP timestamp.
    pub timestamp: u32,
    /// Ticks a second of that.
    pub clock_rate: u32,
    /// When it came.
    pub received: Instant,
}

/// One publisher's clock.
#[derive(Clone, Debug)]
pub struct CaptureClock {
    /// Our times count from here.
    start: Instant,
    /// The publisher's times count from here: its first report.
    first_ntp: Option<u64>,
    quickest: Quickest,
    lines: Vec<Line>,
}

/// The newest packet of a stream: RTP time goes on from here.
#[derive(Clone, Copy, Debug)]
struct Line {
    stream: u32,
    timestamp: u32,
    /// Nanoseconds since the start.
    received: i64,
    /// Nanoseconds from capture to arrival, as said.
    lag: i64,
}

impl CaptureClock {
    /// Knows nothing yet; `now` is not after the first packet.
    pub fn new(now: Instant) -> CaptureClock {
        CaptureClock { start: now, first_ntp: None, quickest: Quickest::default(), lines: Vec::new() }
    }

    /// When the packet's first sample was captured. `report` is the last one of its stream; without any, the packet that came soonest counts as
    /// one that needed no time.
    pub fn captured(&mut self, arrival: Arrival, report: Option<SenderReport>) -> Instant {
        let received = nanos(arrival.received.saturating_duration_since(self.start));
        let late = report.map_or(0, |report| self.late(&arrival, report, received));
        let late = late.clamp(0, nanos(LAG_MAX));
        let lag = match self.lines.iter_mut().find(|line| line.stream == arrival.stream) {
            Some(line) => line.advance(&arrival, received, late),
            None => {
                if self.lines.len() == STREAMS_MAX {
                    self.lines.remove(0); // a client that changes SSRCs for ever
                }
                self.lines.push(Line { stream: arrival.stream, timestamp: arrival.timestamp, received, lag: late });
                late
            }
        };
        arrival.received.checked_sub(Duration::from_nanos(lag.unsigned_abs())).unwrap_or(arrival.received)
    }

    /// Nanoseconds that the packet was slower than the quickest one.
    fn late(&mut self, arrival: &Arrival, report: SenderReport, received: i64) -> i64 {
        let first = *self.first_ntp.get_or_insert(report.ntp);
        let reported = (i128::from(report.ntp.wrapping_sub(first).cast_signed()) * 1_000_000_000) >> 32;
        let since = ticks_to_nanos(arrival.timestamp.wrapping_sub(report.timestamp).cast_signed(), arrival.clock_rate);
        let way = received.saturating_sub((reported as i64).saturating_add(since));
        way.saturating_sub(self.quickest.note(way, received))
    }
}

impl Line {
    /// Goes on to the packet, and from where the RTP clock says it is towards `late`. A packet that comes out of order changes nothing.
    fn advance(&mut self, arrival: &Arrival, received: i64, late: i64) -> i64 {
        let ahead = ticks_to_nanos(arrival.timestamp.wrapping_sub(self.timestamp).cast_signed(), arrival.clock_rate);
        let elapsed = received.saturating_sub(self.received);
        let even = self.lag.saturating_add(elapsed).saturating_sub(ahead);
        let max = nanos(LAG_MAX);
        if ahead < 0 && ahead > -nanos(LATE_MAX) {
            return even.clamp(0, max);
        }
        let step = elapsed.max(0) / SLEW;
        // Further off than any lag may be: numbers began anew, or a clock was set.
        let is_anew = even.saturating_sub(late).saturating_abs() > max;
        let lag = if is_anew { late } else { late.clamp(even - step, even + step).clamp(0, max) };
        *self = Line { timestamp: arrival.timestamp, received, lag, ..*self };
        lag
    }
}

/// The least of what was noted in the last seconds.
#[derive(Clone, Debug)]
struct Quickest {
    /// The span of now first; `i64::MAX`: nothing was noted.
    spans: [i64; SPANS],
    /// When the first one began.
    begun: i64,
}

impl Default for Quickest {
    fn default() -> Quickest {
        Quickest { spans: [i64::MAX; SPANS], begun: 0 }
    }
}

impl Quickest {
    fn note(&mut self, way: i64, now: i64) -> i64 {
        let gone = now.saturating_sub(self.begun) / nanos(SPAN);
        for _ in 0..gone.min(SPANS as i64) {
            self.turn();
        }
        self.begun = self.begun.saturating_add(gone.saturating_mul(nanos(SPAN)));
        self.spans[0] = self.spans[0].min(way);
        self.least()
    }

    /// A new span begins. One in which no packet came near the least of before is of a clock that was set back, or of another way: what was
    /// before says nothing any more.
    fn turn(&mut self) {
        let [newest, before @ ..] = &mut self.spans;
        let least = before.iter().copied().min().unwrap_or(i64::MAX);
        if *newest != i64::MAX && newest.saturating_sub(least) > nanos(LAG_MAX) {
            before.fill(i64::MAX);
        }
        self.spans.rotate_right(1);
        self.spans[0] = i64::MAX;
    }

    fn least(&self) -> i64 {
        self.spans.iter().copied().min().unwrap_or(i64::MAX)
    }
}

fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

fn ticks_to_nanos(ticks: i32, clock_rate: u32) -> i64 {
    i64::from(ticks) * 1_000_000_000 / i64::from(clock_rate.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: f64 = 1.0;

    /// A stream of a publisher: an RTP clock, and how long its packets are on the way.
    struct Stream {
        ssrc: u32,
        rate: u32,
        first: u32,
        report: Option<SenderReport>,
    }

    /// A publisher whose clock runs by `ppm` too fast and shows `ntp` seconds at the start.
    struct Publisher {
        start: Instant,
        ntp: f64,
        ppm: f64,
        clock: CaptureClock,
    }

    impl Publisher {
        fn new(ntp: f64, ppm: f64) -> Publisher {
            let start = Instant::now();
            Publisher { start, ntp, ppm, clock: CaptureClock::new(start) }
        }

        fn its_time(&self, seconds: f64) -> f64 {
            seconds * (1.0 + self.ppm / 1e6)
        }

        fn timestamp(&self, stream: &Stream, seconds: f64) -> u32 {
            let ticks = (self.its_time(seconds) * f64::from(stream.rate)).round() as i64;
            stream.first.wrapping_add(ticks as u32)
        }

        fn report(&self, stream: &mut Stream, seconds: f64) {
            let ntp = ((self.ntp + self.its_time(seconds)) * (1u64 << 32) as f64) as u64;
            stream.report = Some(SenderReport { ntp, timestamp: self.timestamp(stream, seconds) });
        }

        /// What is said of a sample that was captured at `seconds` and arrived `way` later: how far from the capture that is, in ms.
        fn send(&mut self, stream: &Stream, seconds: f64, way: f64) -> f64 {
            let received = self.start + Duration::from_secs_f64(seconds + way);
            let arrival = Arrival { stream: stream.ssrc, timestamp: self.timestamp(stream, seconds), clock_rate: stream.rate, received };
            let captured = self.clock.captured(arrival, stream.report);
            assert!(captured <= received && received - captured <= LAG_MAX, "never after the arrival, nor long before");
            let said = captured.duration_since(self.start).as_secs_f64();
            (said - seconds) * 1_000.0
        }
    }

    fn voice() -> Stream {
        Stream { ssrc: 1, rate: 48_000, first: u32::MAX - 48_000 * 20, report: None }
    }

    fn picture(ssrc: u32) -> Stream {
        Stream { ssrc, rate: 90_000, first: ssrc.wrapping_mul(0x9e37_79b9), report: None }
    }

    /// Sends both for a while, reports once a second; the last two errors, of voice and picture.
    fn talk(p: &mut Publisher, (voice, picture): (&mut Stream, &mut Stream), (from, until): (f64, f64), ways: (f64, f64)) -> (f64, f64) {
        let mut errors = (0.0, 0.0);
        let mut rng = fastrand::Rng::with_seed(5);
        let (mut at, mut next_report) = (from, from + 0.5);
        while at < until {
            if at >= next_report {
                p.report(voice, at);
                p.report(picture, at);
                next_report += SECOND;
            }
            errors.0 = p.send(voice, at, ways.0 + rng.f64() * 0.004);
            errors.1 = p.send(picture, at, ways.1 + rng.f64() * 0.004);
            at += 0.02;
        }
        errors
    }

    #[test]
    fn what_was_captured_at_once_has_one_time_however_late_the_picture_is() {
        let mut p = Publisher::new(3.9e9, 0.0);
        let (mut a, mut v) = (voice(), picture(2));
        // 30 ms of way for both, and 120 ms of encoding for pictures; timestamps of the voice wrap after 20 s.
        let (sound, sight) = talk(&mut p, (&mut a, &mut v), (0.0, 30.0), (0.03, 0.15));
        assert!((sound - 30.0).abs() < 3.0 && (sight - sound).abs() < 3.0, "{sound} {sight}");
    }

    #[test]
    fn an_hour_of_drift_changes_nothing() {
        for ppm in [200.0, -200.0] {
            let mut p = Publisher::new(1e6, ppm);
            let (mut a, mut v) = (voice(), picture(2));
            let (sound, sight) = talk(&mut p, (&mut a, &mut v), (0.0, 3_600.0), (0.03, 0.08));
            assert!((sound - 30.0).abs() < 6.0 && (sight - sound).abs() < 6.0, "{ppm} ppm: {sound} {sight}");
        }
    }

    #[test]
    fn a_clock_that_is_set_is_followed() {
        for step in [-7_200.0, -2.0, 2.0, 86_400.0] {
            let mut p = Publisher::new(3.9e9, 0.0);
            let (mut a, mut v) = (voice(), picture(2));
            talk(&mut p, (&mut a, &mut v), (0.0, 20.0), (0.03, 0.1));
            p.ntp += step;
            let (sound, sight) = talk(&mut p, (&mut a, &mut v), (20.0, 60.0), (0.03, 0.1));
            assert!((sight - sound).abs() < 5.0, "{step}: {sound} {sight}");
        }
    }

    #[test]
    fn the_first_report_moves_the_time_slowly_and_no_packet_moves_it_at_once() {
        let mut p = Publisher::new(3.9e9, 0.0);
        let (mut a, mut v) = (voice(), picture(2));
        let mut last: Option<f64> = None;
        for step in 0..1_000u32 {
            let at = f64::from(step) * 0.02;
            if step == 200 {
                p.report(&mut a, at);
                p.report(&mut v, at);
            }
            p.send(&a, at, 0.03);
            let sight = p.send(&v, at, 0.15);
            // 20 ms a second are 0.4 ms a packet.
            assert!(last.is_none_or(|last| (sight - last).abs() < 0.41), "{last:?} {sight} at {at}");
            last = Some(sight);
        }
        assert!(last.is_some_and(|last| (last - 30.0).abs() < 1.0), "{last:?}");
    }

    #[test]
    fn without_reports_the_packet_that_came_soonest_counts() {
        let mut p = Publisher::new(0.0, 0.0);
        let v = picture(2);
        let mut rng = fastrand::Rng::with_seed(7);
        let errors: Vec<f64> = (0..500u32).map(|i| p.send(&v, f64::from(i) * 0.033, 0.02 + rng.f64() * 0.03)).collect();
        let (low, high) = errors[100..].iter().fold((f64::MAX, f64::MIN), |(low, high), e| (low.min(*e), high.max(*e)));
        assert!(low >= 20.0 && high < 36.0, "jitter of 30 ms leaves {low}..{high}");
    }

    #[test]
    fn encodings_of_one_camera_agree_though_they_count_from_elsewhere() {
        let mut p = Publisher::new(3.9e9, 0.0);
        let (mut a, mut low, mut high) = (voice(), picture(2), picture(3));
        talk(&mut p, (&mut a, &mut low), (0.0, 10.0), (0.03, 0.05));
        // The report of the high one comes before its first packet.
        p.report(&mut high, 10.0);
        let (one, other) = (p.send(&low, 10.1, 0.05), p.send(&high, 10.1, 0.2));
        assert!((one - other).abs() < 3.0, "{one} {other}");
    }

    #[test]
    fn late_packets_fall_into_line() {
        let mut p = Publisher::new(3.9e9, 0.0);
        let (mut a, mut v) = (voice(), picture(2));
        talk(&mut p, (&mut a, &mut v), (0.0, 10.0), (0.03, 0.05));
        let before = p.send(&v, 10.0, 0.05);
        let late = p.send(&v, 9.8, 0.3);
        let after = p.send(&v, 10.02, 0.29);
        assert!((before - late).abs() < 1.0 && (before - after).abs() < 6.0, "{before} {late} {after}");
    }

    #[test]
    fn any_values_give_a_time_in_bounds() {
        let mut rng = fastrand::Rng::with_seed(11);
        for _ in 0..200 {
            let start = Instant::now();
            let mut clock = CaptureClock::new(start);
            let mut now = start;
            for _ in 0..200 {
                let pause = [2, 100, 100_000_000][rng.usize(..3)];
                now += Duration::from_millis(rng.u64(..pause));
                let stream = rng.u32(..60);
                let clock_rate = [0, 1, 8_000, 48_000, 90_000][rng.usize(..5)];
                let timestamp = [rng.u32(..), 0, u32::MAX][rng.usize(..3)];
                let ntp = [rng.u64(..), 0, u64::MAX, 1 << 63][rng.usize(..4)];
                let report = rng.bool().then_some(SenderReport { ntp, timestamp: rng.u32(..) });
                let captured = clock.captured(Arrival { stream, timestamp, clock_rate, received: now }, report);
                assert!(captured <= now && now - captured <= LAG_MAX);
                assert!(clock.lines.len() <= STREAMS_MAX);
            }
        }
    }
}
