//! The part of [`Egress`] that goes by the clock: what waited for the receiver's bandwidth, padding for probes, the wish and the estimate.

use std::sync::Arc;
use std::time::Instant;

use super::bwe::Estimate;
use super::egress::{Egress, abs_send_time};
use super::header::{self, Fixed, HEADER_BYTES_MAX, Hop};
use super::pacer::{Release, Waiting};
use super::srtp::TAG_MAX;
use crate::id::SlotIndex;
use crate::limits::{NEWCOMER_BPS, NEWCOMER_GRACE};
use crate::metrics::DropReason;
use crate::room::Forward;
use crate::rtp::{Extensions, Kind, Packet, Patch};

/// The padding of one packet (RFC 3550 5.1): its length is its last byte.
const PADDING_MAX: usize = 255;

impl Egress {
    /// What the room would like to send to this receiver, in bits a second. From the first call on packets are paced by the estimate: before,
    /// nobody follows it, and pacing would only lose what comes. 0: nothing is sent that is not media.
    pub fn want(&mut self, bps: u64, now: Instant) {
        if bps > 0 {
            self.wanted_since.get_or_insert(now);
        }
        self.estimator.want(bps, now);
        self.pace(now);
    }

    /// What is known of the way to the receiver.
    pub fn estimate(&self) -> Estimate {
        let estimate = self.estimator.estimate();
        Estimate { rtt: self.rtt.or(estimate.rtt), ..estimate }
    }

    /// What the way carries beside repetitions, in bits a second, when it is worth telling.
    pub fn poll_estimate(&mut self, now: Instant) -> Option<u64> {
        self.session.as_ref()?;
        self.estimator.poll_estimate(self.repeats.share(), now)
    }

    /// The set of slots whose video was dropped on the way, and needs a keyframe, since the last call.
    #[inline]
    pub fn take_broken(&mut self) -> u64 {
        std::mem::take(&mut self.broken)
    }

    /// One packet has to wait, in the order of its slot.
    pub(super) fn wait(&mut self, forward: &Forward, packet: &Arc<Packet>, now: Instant) -> Result<(), DropReason> {
        let stream = self.streams.get(usize::from(forward.slot.0)).ok_or(DropReason::NoTrack)?;
        if !stream.config.codecs.iter().any(|c| c.codec == packet.codec) {
            return Err(DropReason::Codec);
        }
        stream.history.admit(forward.header.seq)?;
        self.pacer.push(Waiting { forward: *forward, packet: packet.clone(), since: now });
        self.release(now);
        Ok(())
    }

    /// Lets go what the budget allows now.
    pub(super) fn release(&mut self, now: Instant) {
        while let Some(next) = self.pacer.pop(now) {
            match next {
                Release::Video(Waiting { forward, packet, .. }) => {
                    if let Err(reason) = self.seal(&forward, &packet, now) {
                        self.drops.count(reason);
                    }
                }
                Release::Repeat(slot, sent) => self.counters.rtx += u64::from(self.seal_repeat(slot, &sent, now).is_some()),
                Release::Padding(bytes) => match self.pad(bytes, now) {
                    Some(len) => self.counters.padding += len as u64,
                    None => self.pacer.stop_padding(),
                },
            }
        }
        let (dropped, broken) = self.pacer.take_dropped();
        self.drops.count_many(DropReason::Paced, dropped);
        self.broken |= broken;
    }

    /// A datagram left.
    #[inline]
    pub(super) fn on_left(&mut self, len: usize, is_numbered: bool, now: Instant) {
        let probe = if is_numbered { self.pacer.cluster() } else { 0 };
        if is_numbered {
            self.ledger.note(len as u32, probe, now);
        } else {
            self.ledger.note_unnumbered(len as u32);
        }
        self.estimator.on_sent(len as u32, probe, now);
        self.pacer.charge(len as u32, probe != 0, now);
    }

    /// It was media, so there may be a probe to think of.
    #[inline]
    pub(super) fn on_media(&mut self, now: Instant) {
        self.estimator.on_media(now);
        self.probe(now);
    }

    /// The estimate may have changed.
    pub(super) fn pace(&mut self, now: Instant) {
        if self.estimator.wanted().is_some() {
            // A newcomer gets base layers before anything is known of the way; those must not wait for it to be known.
            let is_new = self.wanted_since.is_none_or(|since| now.saturating_duration_since(since) < NEWCOMER_GRACE);
            let bps = self.estimator.bps();
            self.pacer.set_estimate(if is_new { bps.max(NEWCOMER_BPS) } else { bps }, now);
            self.repeats.set_way(bps, self.estimator.estimate().loss, self.estimator.is_queued());
        }
        self.probe(now);
    }

    #[inline]
    fn probe(&mut self, now: Instant) {
        if let Some(cluster) = self.estimator.poll_cluster() {
            let pads = self.padding_slot().is_some();
            self.pacer.start(cluster, pads, now);
        }
    }

    /// The slot of the newest picture that takes padding; before there is a picture, any that does.
    fn padding_slot(&self) -> Option<usize> {
        let takes = |slot: &usize| {
            let config = &self.streams[*slot].config;
            config.kind == Kind::Video && config.rtx.is_some() && config.ids.transport > 0 && config.codecs.iter().any(|c| c.rtx.is_some())
        };
        (0..self.streams.len()).filter(takes).max_by_key(|slot| self.streams[*slot].history.newest().map(|sent| sent.packet.received))
    }

    /// About so many bytes for a probe: a packet again, which is of use, or nothing but padding. Returns the datagram's length.
    fn pad(&mut self, bytes: usize, now: Instant) -> Option<usize> {
        let (slot, again) = (self.padding_slot()?, self.again());
        match self.streams[slot].history.repeat_any(bytes, now, again) {
            Some(sent) => self.seal_repeat(SlotIndex(slot as u16), &sent, now),
            None => self.seal_padding(slot, bytes.clamp(1, PADDING_MAX), now),
        }
    }

    /// A packet of padding only, on the stream for retransmissions.
    fn seal_padding(&mut self, slot: usize, padding: usize, now: Instant) -> Option<usize> {
        let session = self.session.as_ref()?;
        let stream = &mut self.streams[slot];
        let newest = stream.history.newest();
        let (timestamp, csrc) = newest.map_or((0, 0), |sent| (sent.header.timestamp, sent.track.0));
        let (ssrc, pt) = (stream.config.rtx?, stream.config.codecs.iter().find_map(|c| c.rtx)?);
        let index = stream.rtx_index;
        let buf = self.outbox.reserve(HEADER_BYTES_MAX + PADDING_MAX + TAG_MAX)?;
        let fixed = Fixed { pt, marker: false, seq: index as u16, timestamp, ssrc, csrc };
        let hop =
            Hop { mid: Some(stream.config.mid.as_bytes()), transport: self.ledger.next(), abs_send_time: abs_send_time(self.epoch.0, now) };
        let from = header::write(buf, fixed, &stream.config.ids, hop, &Extensions::default(), &Patch::default());
        buf[0] |= 0x20;
        buf[from..from + padding].fill(0);
        buf[from + padding - 1] = padding as u8;
        let len = from + padding + session.local.tag_len();
        let sealed = session.local.seal_rtp(&mut buf[..len], from, ssrc, index).is_ok();
        self.outbox.commit(if sealed { len } else { 0 });
        if !sealed {
            return None;
        }
        stream.rtx_index += 1;
        self.counters.bytes += len as u64;
        self.on_left(len, true, now);
        Some(len)
    }
}
