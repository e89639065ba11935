//! The ways for the fuzz targets (`loadtest/fuzz`) to what is private here. Compiled with `--cfg fuzzing` only.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Once, OnceLock};
use std::time::{Duration, Instant};

use super::bwe::{ESTIMATE_MAX_BPS, ESTIMATE_MIN_BPS, Estimator};
use super::feedback::{self, Feedback};
use super::header::{self, ExtensionIds, Fixed, HEADER_BYTES_MAX, Hop};
use super::ledger::Ledger;
use super::sctp::Gate;
use super::{Offer, Path, Peer, PeerConfig, VideoCodec, certificate};
use crate::limits::{Limits, MEDIA_BYTES_MAX, NACKS_PER_PACKET_MAX, TOLD_PER_PACKET_MAX};
use crate::rtp::{self, CaptureTime, Choice, Codec, Extensions, Facts, Kind, Layer, Packet, Red, Rewriter, Selector, Starts, red};

/// An offer as Chromium writes it.
const OFFER: &str = include_str!("../../loadtest/fuzz/corpus/offer/chromium");

/// Bytes that are read from the front; zeros behind the end.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn byte(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or(0)
    }

    fn take(&mut self, len: usize) -> &'a [u8] {
        let (head, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        head
    }

    fn word(&mut self) -> u32 {
        self.take(4).iter().fold(0, |word, byte| word << 8 | u32::from(*byte))
    }
}

fn config() -> &'static PeerConfig {
    static CONFIG: OnceLock<PeerConfig> = OnceLock::new();
    CONFIG.get_or_init(|| PeerConfig {
        certificate: certificate().expect("a certificate"),
        addresses: vec!["192.0.2.1:10000".parse().expect("an address")],
        tcp: true,
        limits: Limits::default(),
    })
}

fn start() -> Instant {
    static START: OnceLock<Instant> = OnceLock::new();
    *START.get_or_init(Instant::now)
}

/// Parses an offer and answers it, twice: the second time as a further offer. A panic of str0m is found only if it is not contained.
pub fn offer(text: &str) {
    static QUIET: Once = Once::new();
    QUIET.call_once(|| std::panic::set_hook(Box::new(|_| ())));
    let Ok(first) = Offer::parse(text) else { return };
    let epoch = (start(), 3_900_000_000 << 32);
    let Ok((mut peer, answer, _)) = Peer::accept(config(), first, VideoCodec::default(), epoch, start()) else { return };
    answer.print();
    if let Ok(again) = Offer::parse(text) {
        // As the shard does.
        let _ = catch_unwind(AssertUnwindSafe(|| peer.offer(again, VideoCodec::Av1, start()).is_ok()));
    }
}

/// A run of packets of one track through the facts, a slot's rewriter, and the header.
pub fn media(bytes: &[u8]) {
    let mut r = Reader(bytes);
    let mut rng = fastrand::Rng::with_seed(1);
    let codecs = [Codec::Opus, Codec::Vp8, Codec::Vp9 { profile: 0 }, Codec::H264 { profile: 0x42e0, mode: 1 }, Codec::Av1 { profile: 0 }];
    let codec = codecs[usize::from(r.byte()) % codecs.len()];
    let mut rewriter = Rewriter::new(codec.kind(), Starts::random(&mut rng));
    let ids = ExtensionIds {
        mid: r.byte() % 17,
        transport: r.byte() % 17,
        audio_level: 3,
        orientation: 4,
        capture_time: 5,
        descriptor: r.byte() % 17,
        ..ExtensionIds::default()
    };
    let (mut now, mut seq, mut begun) = (start(), 1_000u64, false);
    while !r.0.is_empty() {
        let flags = r.byte();
        seq = seq.wrapping_add_signed(i64::from(r.byte().cast_signed())).clamp(1, 1 << 40);
        now += Duration::from_millis(u64::from(r.byte()));
        let packet = packet(&mut r, codec, seq, now, flags);
        if let Some(red) = Red::parse(&packet.payload) {
            assert!(red.missing(u64::from(flags), packet.timestamp).all(|(back, _)| back <= u64::from(flags)));
            red::renumber(&mut packet.payload.to_vec(), flags);
        }
        let facts = Facts::parse(codec, &packet.payload, packet.extensions.descriptor.as_deref());
        let rewritten =
            if begun && flags & 1 == 0 { rewriter.rewrite(&packet, &facts, now).ok() } else { Some(rewriter.switch(&packet, &facts, now)) };
        begun = true;
        let Some(rewritten) = rewritten else { continue };
        let mut buf = vec![0; HEADER_BYTES_MAX];
        let fixed = Fixed { pt: 96, marker: packet.marker, seq: rewritten.seq as u16, timestamp: rewritten.timestamp, ssrc: 1, csrc: 2 };
        let hop = Hop { mid: Some(b"12"), transport: 3, abs_send_time: 4 };
        let len = header::write(&mut buf, fixed, &ids, hop, &packet.extensions, &rewritten.patch);
        assert!(len <= HEADER_BYTES_MAX && len % 4 == 0, "{len}");
        let mut payload = packet.payload.to_vec();
        rewritten.patch.apply(&mut payload);
    }
}

/// A run of packets of one video stream as a slot meets them: what they say, whether they go out, and by which numbers. No number is given to two
/// packets, and none has two.
pub fn layers(bytes: &[u8]) {
    let mut r = Reader(bytes);
    let mut rng = fastrand::Rng::with_seed(1);
    let codecs = [Codec::Vp8, Codec::Vp9 { profile: 0 }, Codec::H264 { profile: 0x42e0, mode: 1 }, Codec::Av1 { profile: 0 }];
    let codec = codecs[usize::from(r.byte()) % codecs.len()];
    let (mut reader, mut selector) = (rtp::Reader::default(), Selector::default());
    let mut rewriter = Rewriter::new(codec.kind(), Starts::random(&mut rng));
    let (mut now, mut seq, mut run) = (start(), 1_000u64, 0);
    let (mut names, mut numbers) = (HashMap::new(), HashMap::new());
    while !r.0.is_empty() {
        let flags = r.byte();
        if flags & 1 > 0 {
            selector.aim(layer(r.byte()));
        }
        seq = seq.wrapping_add_signed(i64::from(r.byte().cast_signed())).clamp(1, 1 << 40);
        now += Duration::from_millis(u64::from(r.byte()));
        let packet = packet(&mut r, codec, seq, now, flags);
        let facts = reader.read(&packet);
        assert!(facts.layer.within(Layer::MAX) && reader.layers().within(Layer::MAX));
        let begins = facts.keyframe && (run == 0 || flags & 4 > 0);
        if begins {
            run += 1;
            selector.begin(&facts, layer(flags >> 6));
        }
        let choice = if run > 0 { selector.choose(&facts, &packet) } else { Choice::Skip };
        assert!(selector.current().within(Layer::MAX));
        let out = match choice {
            Choice::Send { .. } if begins => Some((rewriter.switch(&packet, &facts, now), true)),
            Choice::Send { .. } => rewriter.rewrite(&packet, &facts, now).ok().map(|out| (out, true)),
            Choice::Skip => rewriter.skip(&packet, &facts).map(|out| (out, false)),
        };
        if let Some((out, whole)) = out {
            assert_eq!(*names.entry((run, seq)).or_insert((out.seq, whole)), (out.seq, whole));
            assert_eq!(*numbers.entry(out.seq).or_insert((run, seq)), (run, seq));
            let mut payload = packet.payload.to_vec();
            out.patch.apply(&mut payload);
        }
    }
}

fn layer(bits: u8) -> Layer {
    Layer { spatial: bits % 3, temporal: bits / 3 % 3 }
}

fn packet(r: &mut Reader<'_>, codec: Codec, seq: u64, now: Instant, flags: u8) -> Packet {
    let descriptor = (flags & 2 > 0).then(|| {
        let len = usize::from(r.byte());
        Arc::from(r.take(len))
    });
    let extensions = Extensions {
        audio_level: (codec.kind() == Kind::Audio).then(|| r.byte() & 127),
        voice: flags & 4 > 0,
        orientation: (flags & 8 > 0).then(|| r.byte()),
        capture_time: (flags & 16 > 0).then(|| CaptureTime { ntp: u64::from(r.word()) << 16, offset: Some(i64::from(r.word())) }),
        descriptor,
    };
    let (timestamp, len) = (r.word(), usize::from(r.byte()) % MEDIA_BYTES_MAX);
    Packet {
        seq,
        timestamp,
        marker: flags & 32 > 0,
        codec,
        extensions,
        payload: Arc::from(r.take(len)),
        red: None,
        received: now,
        captured: now,
    }
}

/// Plain RTCP, and the same bytes as SCTP.
pub fn feedback(bytes: &[u8]) {
    let (mut nacks, mut told) = (0, 0);
    let (mut ledger, mut estimator) = (Ledger::default(), Estimator::new(start()));
    estimator.want(10_000_000, start());
    for number in 0..300u64 {
        let now = start() + Duration::from_millis(number);
        estimator.on_media(now);
        let probe = estimator.poll_cluster().map_or(0, |cluster| cluster.id);
        estimator.on_sent(1_000, probe, now);
        ledger.note(1_000, probe, now);
    }
    let now = start() + Duration::from_millis(400);
    feedback::read(bytes, |said| match said {
        Feedback::Nack { .. } => nacks += 1,
        Feedback::Told { number, reference, quarters } => {
            told += 1;
            ledger.on_told(number, reference, quarters);
        }
        Feedback::Remb { bps } => estimator.on_remb(bps),
        Feedback::Report { fraction_lost, .. } => estimator.on_report(fraction_lost, now),
        Feedback::Keyframe { .. } => {}
    });
    ledger.settle(|fates| estimator.on_feedback(fates, now));
    assert!(nacks <= NACKS_PER_PACKET_MAX && told <= TOLD_PER_PACKET_MAX);
    assert!((ESTIMATE_MIN_BPS..=ESTIMATE_MAX_BPS).contains(&estimator.bps()));
    Gate::default().admit(bytes);
}

/// Datagrams, each after a byte for its length in eights and one for the time in between, for one who offered and has not connected.
pub fn datagrams(bytes: &[u8]) {
    let (mut r, mut now) = (Reader(bytes), start());
    let offer = Offer::parse(OFFER).expect("the offer is a good one");
    let epoch = (now, 3_900_000_000 << 32);
    let (mut peer, _, _) = Peer::accept(config(), offer, VideoCodec::default(), epoch, now).expect("it is answered");
    let path = Path::udp("192.0.2.9:9".parse().expect("an address"), config().addresses[0]);
    while !r.0.is_empty() {
        let len = 8 * usize::from(r.byte());
        now += Duration::from_millis(u64::from(r.byte()));
        peer.handle_datagram(path, r.take(len), now);
        peer.handle_timeout(now);
        while peer.poll().is_some() {}
        peer.take_datagrams(64, |_, _, _| ());
    }
}
