//! What a client sends: sound, tiny pictures, or the frames of an encoder.

use std::time::{Duration, Instant};

use str0m::Input;
use str0m::format::Codec;
use str0m::media::{Mid, Rid};
use str0m::rtp::{ExtensionValues, RtpWrite};

use super::{Client, Encoder, Frame, Media, OPUS_BYTES, RIDS, payload};

impl Client {
    /// As many repetitions as pictures; libwebrtc allows more, as much as its estimate of the way. str0m's limit is 15 %: of ten packets in a
    /// second two that are lost are more than that, and it forgets that it was asked.
    pub(super) fn allow_repetitions(&mut self) {
        let Some(mid) = self.camera else { return };
        let rids = RIDS.iter().take(self.kit.layers).map(|rid| (self.kit.layers > 1).then(|| Rid::from(*rid)));
        for rid in rids {
            if let Some(tx) = self.rtc.direct_api().stream_tx_by_mid(mid, rid) {
                tx.set_rtx_cache(1_024, Duration::from_secs(3), Some(0.5));
            }
        }
    }

    /// Media that is due.
    pub(super) fn publish(&mut self, now: Instant) {
        let mut wrote = false;
        if let Some(mid) = self.microphone
            && self.next_audio <= now
        {
            self.next_audio += self.pace.1;
            wrote |= self.publish_sound(mid);
        }
        match (self.camera, &mut self.encoder) {
            (Some(mid), Some(encoder)) => {
                let frames = encoder.poll(now);
                wrote |= !frames.is_empty();
                for frame in &frames {
                    self.publish_encoded(mid, frame);
                    self.sent_at[usize::from(frame.layer)] = Some(now);
                }
            }
            (Some(mid), None) if self.next_frame <= now => {
                self.next_frame += self.pace.0;
                self.frame += 1;
                (0..self.kit.layers).for_each(|layer| self.publish_frame(mid, layer));
                wrote = true;
            }
            _ => {}
        }
        if wrote {
            let _ = self.rtc.handle_input(Input::Timeout(now));
            self.drain(now);
        }
    }

    /// Silence is not sent (DTX), and has its time.
    fn publish_sound(&mut self, mid: Mid) -> bool {
        self.audio_count += 1;
        if self.speaking {
            self.audio_seq += 1;
            let len = if self.kit.media == Media::Encoded { OPUS_BYTES } else { 60 };
            let level = ExtensionValues { audio_level: Some(self.level), voice_activity: Some(true), ..ExtensionValues::default() };
            let (sound, time) = (payload::sound(self.server, self.audio_seq as u32, len), self.audio_count.wrapping_mul(960));
            let payload = match payload::redundancy(self.rtc.codec_config().params()) {
                Some((_, pt)) => payload::redundant(*pt, time, self.last_sound.as_ref(), &sound),
                None => sound.clone(),
            };
            self.last_sound = Some((time, sound));
            self.write(mid, None, Codec::Opus, self.audio_seq, time, true, payload, level);
        }
        self.speaking
    }

    fn publish_encoded(&mut self, mid: Mid, frame: &Frame) {
        let (layer, packets) = (usize::from(frame.layer), payload::packets(frame, self.server));
        let last = packets.len() - 1;
        for (part, packet) in packets.into_iter().enumerate() {
            self.video_seq[layer] += 1;
            let (seq, time) = (self.video_seq[layer], Encoder::timestamp(frame));
            self.write(mid, Some(Rid::from(RIDS[layer])), Codec::Vp8, seq, time, part == last, packet, ExtensionValues::default());
        }
    }

    /// One frame of one layer: a keyframe has three packets, another one.
    fn publish_frame(&mut self, mid: Mid, layer: usize) {
        let key = std::mem::take(&mut self.keyframe_wanted[layer]);
        let codec = if self.flips && self.frame % 2 == 1 { Codec::Vp9 } else { self.kit.video };
        let parts = if key { 3 } else { 1 } + self.surplus;
        let len = if self.surplus > 0 { 1_000 } else { 100 + 60 * layer };
        let rid = (self.kit.layers > 1).then(|| Rid::from(RIDS[layer]));
        let time = self.frame.wrapping_mul(9_000).wrapping_add(layer as u32 * 77_777);
        for part in 0..parts {
            self.video_seq[layer] += 1;
            let place = (part == 0, part == parts - 1);
            let payload = payload::tiny(codec, self.server, self.frame, place, key, len);
            let seq = self.video_seq[layer];
            self.write(mid, rid, codec, seq, time, place.1, payload, ExtensionValues::default());
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the fields of one packet")]
    fn write(
        &mut self,
        mid: Mid,
        rid: Option<Rid>,
        codec: Codec,
        seq: u64,
        time: u32,
        marker: bool,
        payload: Vec<u8>,
        ext: ExtensionValues,
    ) {
        let params = self.rtc.codec_config().params().iter().find(|p| p.spec().codec == codec);
        let Some(pt) = params.map(|p| p.red().unwrap_or(p.pt())) else { return };
        let at = self.start;
        let mut direct = self.rtc.direct_api();
        let tx = match self.forged {
            Some(ssrc) if codec != Codec::Opus => direct.stream_tx(&ssrc),
            _ => direct.stream_tx_by_mid(mid, rid),
        };
        if let Some(tx) = tx {
            tx.write_rtp(RtpWrite::new(pt, seq.into(), time, at, payload).marker(marker).ext_vals(ext).nackable(codec != Codec::Opus));
        }
    }
}
