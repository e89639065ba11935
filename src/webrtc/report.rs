//! What one slot tells of its times: the sender reports (RFC 3550 6.4.1), by which a browser plays the two slots of a pair in step.
//!
//! A report says which of the slot's RTP times is now. That follows from the newest packet: what it carries was captured at a moment of our clock
//! (`rtp/clock.rs`), and RTP time has run on since. The rewriter counts a slot's timestamps by the time of capture, so all reports of a slot lie on
//! one line, through every change of source. That matters: Chromium and Firefox fit a line through the last twenty reports, one a second
//! (libwebrtc's `rtp_to_ntp_estimator`), and a step would lead them astray for as long.
//!
//! Nothing here encrypts or counts SRTCP: that is the egress's.

use std::time::{Duration, Instant};

use crate::id::TrackId;
use crate::rtp::Packet;

/// Browsers begin to synchronise with the first reports; one more comes with the first packet of each source.
const EVERY: Duration = Duration::from_secs(1);
/// A slot that sent nothing for so long writes no reports.
const WHILE_SENT: Duration = Duration::from_secs(5);

/// A moment of our clock and its NTP time (32.32 fixed-point seconds since 1900): the wall clock is the caller's.
pub type Epoch = (Instant, u64);

/// NTP time of a moment; before the epoch it stands still.
pub fn ntp_at(epoch: Epoch, at: Instant) -> u64 {
    let since = at.saturating_duration_since(epoch.0);
    let fraction = (u64::from(since.subsec_nanos()) << 32) / 1_000_000_000;
    epoch.1.wrapping_add((since.as_secs() << 32) + fraction)
}

/// What a slot has sent, and when the next report is due.
#[derive(Debug, Default)]
pub struct Reports {
    packets: u32,
    octets: u32,
    newest: Option<Newest>,
    due: Option<Instant>,
}

/// The packet that was sent last.
#[derive(Clone, Copy, Debug)]
struct Newest {
    track: TrackId,
    /// In the slot.
    timestamp: u32,
    clock_rate: u32,
    captured: Instant,
    sent: Instant,
}

impl Reports {
    /// Media packets so far, modulo 2^32.
    pub fn packets(&self) -> u32 {
        self.packets
    }

    /// When the next report is due.
    pub fn due(&self) -> Option<Instant> {
        self.due
    }

    /// A packet of `track` left with this timestamp.
    pub fn on_sent(&mut self, track: TrackId, timestamp: u32, packet: &Packet, now: Instant) {
        self.packets = self.packets.wrapping_add(1);
        self.octets = self.octets.wrapping_add(packet.payload.len() as u32);
        // The first packet of a source, and the first one after a silence.
        if self.due.is_none() || self.newest.is_none_or(|newest| newest.track != track) {
            self.due = Some(now);
        }
        self.newest = Some(Newest { track, timestamp, clock_rate: packet.codec.kind().clock_rate(), captured: packet.captured, sent: now });
    }

    /// The due report with its source description, to be sealed; `None` from a slot that has fallen silent: the next packet wakes it.
    pub fn write(&mut self, ssrc: u32, cname: &str, epoch: Epoch, now: Instant) -> Option<Vec<u8>> {
        self.due = None;
        let newest = self.newest.filter(|newest| now.saturating_duration_since(newest.sent) <= WHILE_SENT)?;
        self.due = Some(now + EVERY);
        let since = now.saturating_duration_since(newest.captured).as_micros() as u64;
        let ticks = (since * u64::from(newest.clock_rate) / 1_000_000) as u32;
        let mut plain = vec![0x80, 200, 0, 6];
        plain.extend_from_slice(&ssrc.to_be_bytes());
        plain.extend_from_slice(&ntp_at(epoch, now).to_be_bytes());
        plain.extend_from_slice(&newest.timestamp.wrapping_add(ticks).to_be_bytes());
        plain.extend_from_slice(&self.packets.to_be_bytes());
        plain.extend_from_slice(&self.octets.to_be_bytes());
        describe(&mut plain, ssrc, cname);
        Some(plain)
    }
}

/// RFC 3550 6.5: one chunk with the canonical name, ended by at least one zero.
fn describe(plain: &mut Vec<u8>, ssrc: u32, cname: &str) {
    let cname = &cname.as_bytes()[..cname.len().min(255)];
    let chunk = (4 + 2 + cname.len() + 1).next_multiple_of(4);
    let end = plain.len() + 4 + chunk;
    plain.extend_from_slice(&[0x81, 202, 0, (chunk / 4) as u8]);
    plain.extend_from_slice(&ssrc.to_be_bytes());
    plain.extend_from_slice(&[1, cname.len() as u8]);
    plain.extend_from_slice(cname);
    plain.resize(end, 0);
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::sync::Arc;

    use super::*;
    use crate::rtp::{Arrival, CaptureClock, Codec, Extensions, Facts, Rewriter, SenderReport, Starts};
    use crate::webrtc::feedback::word;

    const MS: Duration = Duration::from_millis(1);

    fn packet(codec: Codec, timestamp: u32, captured: Instant, received: Instant) -> Packet {
        let payload = Arc::from([1u8, 2]);
        Packet { seq: 1, timestamp, marker: true, codec, extensions: Extensions::default(), payload, red: None, received, captured }
    }

    #[test]
    fn a_report_says_which_rtp_time_is_now() {
        let now = Instant::now();
        let mut reports = Reports::default();
        assert!(reports.due().is_none() && reports.write(10, "c", (now, 0), now).is_none(), "nothing was sent");
        reports.on_sent(TrackId(1), u32::MAX, &packet(Codec::Vp8, 0, now + MS * 60, now + MS * 100), now + MS * 100);
        assert_eq!(reports.due(), Some(now + MS * 100));
        let plain = reports.write(10, "cname", (now, 7 << 32), now + MS * 560).unwrap();
        assert_eq!([4, 8, 12, 16, 20, 24].map(|at| word(&plain, at)), [10, 7, 2_405_181_685, 44_999, 1, 2]);
        assert_eq!(plain[28..], [0x81, 202, 0, 3, 0, 0, 0, 10, 1, 5, b'c', b'n', b'a', b'm', b'e', 0]);
    }

    #[test]
    fn a_report_comes_with_each_source_then_every_second_until_silence() {
        let now = Instant::now();
        let mut reports = Reports::default();
        let send = |reports: &mut Reports, track, at| {
            reports.on_sent(TrackId(track), 0, &packet(Codec::Opus, 0, now, at), at);
            reports.due()
        };
        assert_eq!(send(&mut reports, 1, now), Some(now));
        assert!(reports.write(1, "", (now, 0), now).is_some());
        assert_eq!(send(&mut reports, 1, now + MS * 20), Some(now + EVERY));
        assert_eq!(send(&mut reports, 2, now + MS * 40), Some(now + MS * 40), "another source");
        assert!(reports.write(1, "", (now, 0), now + MS * 40).is_some());
        assert!(reports.write(1, "", (now, 0), now + WHILE_SENT + MS * 41).is_none() && reports.due().is_none());
        let later = now + WHILE_SENT * 2;
        assert_eq!(send(&mut reports, 2, later), Some(later), "after the silence");
    }

    /// The receiving side of one slot as browsers have it: a line by least squares through the last twenty reports, of which the newest is looked
    /// at once a second (libwebrtc's `rtp_to_ntp_estimator` and `rtp_streams_synchronizer`).
    #[derive(Default)]
    struct Fit {
        reports: VecDeque<(f64, f64)>,
        told: Option<(f64, f64)>,
    }

    impl Fit {
        fn look(&mut self) {
            if let Some(report) = self.told.take() {
                self.reports.push_front(report);
                self.reports.truncate(20);
            }
        }

        /// Seconds of the server's clock for an RTP time, in seconds.
        fn time(&self, rtp: f64) -> Option<f64> {
            let n = self.reports.len() as f64;
            let mean = |of: fn(&(f64, f64)) -> f64| self.reports.iter().map(of).sum::<f64>() / n;
            let (rtp_mean, ntp_mean) = (mean(|r| r.0), mean(|r| r.1));
            let product: f64 = self.reports.iter().map(|r| (r.0 - rtp_mean) * (r.1 - ntp_mean)).sum();
            let square: f64 = self.reports.iter().map(|r| (r.0 - rtp_mean).powi(2)).sum();
            (n >= 2.0).then(|| ntp_mean + product / square * (rtp - rtp_mean))
        }
    }

    /// A slot and what its receiver makes of it.
    struct Slot {
        codec: Codec,
        seq: u64,
        /// Whose packets it carries, and since the beginning of which second.
        source: Option<u32>,
        rewriter: Rewriter,
        reports: Reports,
        fit: Fit,
        first: u32,
        /// By how much the browser is wrong about the capture of the last packet, in ms.
        error: Option<f64>,
    }

    /// Somebody who publishes: how long all of it is on the way, and how much longer the picture takes.
    struct Person {
        track: u32,
        clock: CaptureClock,
        way: Duration,
        picture: Duration,
    }

    struct Scene {
        start: Instant,
        mapped: bool,
        people: [Person; 2],
        slots: [Slot; 2],
    }

    impl Scene {
        fn new(mapped: bool) -> Scene {
            let start = Instant::now();
            let person = |track, way, picture| Person { track, clock: CaptureClock::new(start), way: MS * way, picture: MS * picture };
            let slot = |codec: Codec| {
                let starts = Starts::random(&mut fastrand::Rng::with_seed(4));
                let rewriter = Rewriter::new(codec.kind(), starts);
                let first = starts.timestamp;
                Slot { codec, seq: 0, source: None, rewriter, reports: Reports::default(), fit: Fit::default(), first, error: None }
            };
            let people = [person(1, 20, 40), person(2, 250, 200)];
            Scene { start, mapped, people, slots: [slot(Codec::Opus), slot(Codec::Vp8)] }
        }

        /// One packet that `who` captured at `ms`, which arrives here, and goes on into the slot of its kind or not.
        fn publish(&mut self, kind: usize, who: usize, ms: u64, forwarded: bool) {
            let (start, mapped) = (self.start, self.mapped);
            let (person, slot) = (&mut self.people[who], &mut self.slots[kind]);
            let rate = u64::from(slot.codec.kind().clock_rate());
            let captured = start + MS * ms as u32;
            let received = captured + person.way + if kind == 1 { person.picture } else { Duration::ZERO };
            let timestamp = (ms * rate / 1_000) as u32;
            // A report each second, of a clock that has nothing to do with ours.
            let report = SenderReport { ntp: (9 + ms / 1_000) << 32, timestamp: (ms / 1_000 * rate) as u32 };
            let arrival = Arrival { stream: kind as u32, timestamp, clock_rate: rate as u32, received };
            let said = person.clock.captured(arrival, Some(report));
            if !forwarded {
                return;
            }
            slot.seq += 1;
            let packet = Packet { seq: slot.seq, ..packet(slot.codec, timestamp, if mapped { said } else { received }, received) };
            let facts = Facts::default();
            let header = if slot.source.replace(person.track) == Some(person.track) {
                slot.rewriter.rewrite(&packet, &facts, received).unwrap()
            } else {
                slot.rewriter.switch(&packet, &facts, received)
            };
            slot.reports.on_sent(TrackId(person.track), header.timestamp, &packet, received);
            let seconds = |timestamp: u32| f64::from(timestamp.wrapping_sub(slot.first)) / rate as f64;
            if slot.reports.due().is_some_and(|due| due <= received)
                && let Some(plain) = slot.reports.write(1, "c", (start, 0), received)
            {
                let ntp = f64::from(word(&plain, 8)) + f64::from(word(&plain, 12)) / 4_294_967_296.0;
                slot.fit.told = Some((seconds(word(&plain, 16)), ntp));
            }
            // What nobody can know, the way that is common to all of a person's packets, is left out.
            let truth = (captured + person.way).duration_since(start).as_secs_f64();
            slot.error = slot.fit.time(seconds(header.timestamp)).map(|time| (time - truth) * 1_000.0);
        }

        /// Runs through the moments when something goes over into other hands; the worst disagreement after the first seconds, in ms.
        fn worst(&mut self) -> f64 {
            let mut worst: f64 = 0.0;
            for ms in (20..60_000u64).step_by(20) {
                // Sound changes hands after 40 s. The picture is gone from 20 to 25 s, then another's: until 40 s it is with a stranger's voice.
                let (voice, picture, pause) = (usize::from(ms >= 40_000), usize::from(ms >= 25_000), (20_000..25_000).contains(&ms));
                for who in [0, 1] {
                    self.publish(0, who, ms, who == voice);
                    self.publish(1, who, ms, who == picture && !pause);
                }
                if ms % 1_000 == 0 {
                    self.slots.iter_mut().for_each(|slot| slot.fit.look());
                }
                if let ([Some(sound), Some(picture)], true) = (self.slots.each_ref().map(|slot| slot.error), ms > 5_000) {
                    worst = worst.max((picture - sound).abs());
                }
            }
            worst
        }
    }

    /// A picture that pauses and comes back from somebody else, beside a voice that runs on: a line that steps leads the browser astray for
    /// twenty seconds.
    #[test]
    fn browsers_keep_pace_through_pauses_and_other_sources() {
        let (by_arrival, by_capture) = (Scene::new(false).worst(), Scene::new(true).worst());
        assert!(by_capture < 25.0 && by_arrival > 150.0, "worst {by_capture} ms by capture, {by_arrival} ms by arrival");
    }
}
