//! One participant's connection: str0m for ICE, DTLS, SDP, data channels and what is received; [`Egress`] for what slots send.
//!
//! ```text
//! handle_datagram(path, bytes, now) ┐                ┌ poll() → PeerEvent (packets, keyframe requests, data, connected, closed)
//! handle_timeout(now)               ├→ drive (drain) ┤
//! send · request_keyframe · …       ┘                └ transmits and outbox → datagrams, taken at the end of the tick
//! ```
//!
//! Every method that changes the `Rtc` drains it before it returns (`drive.rs`), because str0m keeps one pending packet only.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use str0m::channel::ChannelId;
use str0m::config::DtlsCert;
use str0m::error::IceError;
use str0m::media::{KeyframeRequestKind, MediaKind, Mid, Rid};
use str0m::net::TcpType;
use str0m::rtp::Ssrc;
use str0m::{Candidate, Rtc};

use super::egress::{Egress, StreamConfig};
use super::offer::{Answer, Offer, OfferError, OfferedSection, VideoCodec};
use super::outbox::Outbox;
use super::path::Path;
use super::redundancy::Redundancy;
use super::route::Route;
use super::{tap, translate};
use crate::id::{ConnectionId, LayerIndex, SlotIndex, TrackId};
use crate::limits::{CONNECT_TIMEOUT, DATA_BYTES_MAX, Limits};
use crate::metrics::{Drops, ShardCounters};
use crate::rate::Bucket;
use crate::room::SlotSpec;
use crate::rtp::{CaptureClock, Codec, Kind, Packet};

/// Lost for so long means gone: the client resumes before, or joins anew.
pub(super) const LOST_FOR_GOOD: Duration = Duration::from_secs(30);

/// What every peer of a node is built with.
#[derive(Clone, Debug)]
pub struct PeerConfig {
    /// One for the process.
    pub certificate: DtlsCert,
    /// The addresses that answers announce, of the shard where the peer will live.
    pub addresses: Vec<SocketAddr>,
    /// They take TCP connections too (RFC 6544), and answers say so.
    pub tcp: bool,
    /// What one participant may have and send.
    pub limits: Limits,
}

/// A send section of the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// `a=mid`.
    pub mid: String,
    /// Audio or video.
    pub kind: Kind,
    /// How many layers it may have, at least 1.
    pub layers: u8,
}

/// What an offer changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Negotiated {
    /// The send sections that are active now, all of them.
    pub published: Vec<Published>,
    /// Slots that came with this offer, numbered on from those before.
    pub new_slots: Vec<SlotSpec>,
    /// Slots that the client gave up, for now.
    pub closed_slots: Vec<SlotIndex>,
    /// Slots that are open again, or decode something else than before.
    pub opened_slots: Vec<(SlotIndex, Vec<Codec>)>,
}

/// What a peer tells its shard.
#[derive(Debug)]
pub enum PeerEvent {
    /// Media may flow.
    Connected,
    /// An authenticated check came over this path. Whoever knows whose its address is says [`Peer::prove`].
    Checked {
        /// The path.
        path: Path,
        /// With USE-CANDIDATE: media shall go there.
        nominates: bool,
    },
    /// A packet of a published track.
    Packet {
        /// Which track.
        track: TrackId,
        /// Which of its layers.
        layer: LayerIndex,
        /// The packet.
        packet: Packet,
    },
    /// The client wants a keyframe in a slot.
    KeyframeRequest(SlotIndex),
    /// Bits a second that media may use for this receiver, as whole datagrams: sound, pictures and repetitions together.
    Estimate(u64),
    /// A data channel message; the first four bytes, the destination, are taken off.
    Data {
        /// On the reliable channel.
        reliable: bool,
        /// A participant's number, or 0 for everybody.
        to: u32,
        /// The rest.
        payload: Vec<u8>,
    },
    /// The connection is over.
    Closed(CloseReason),
}

/// Why a connection is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// The client said so.
    Client,
    /// It did not connect in time.
    NotConnected,
    /// Nothing came from it for too long.
    Lost,
    /// DTLS agreed on nothing that we encrypt with.
    NoProfile,
    /// The handshake failed, or the certificate is not the offer's.
    Failed,
}

#[derive(Debug)]
pub(super) struct Section {
    pub(super) mid: Mid,
    pub(super) rids: Vec<Rid>,
    pub(super) track: Option<TrackId>,
}

#[derive(Debug)]
struct SlotEntry {
    mid: Mid,
    open: bool,
}

/// A WebRTC peer.
pub struct Peer {
    pub(super) rtc: Rtc,
    pub(super) keys: tap::KeySlot,
    pub(super) egress: Egress,
    pub(super) sections: Vec<Section>,
    slots: Vec<SlotEntry>,
    /// Which track and layer a received SSRC is; learnt from str0m, which learns it from the mid and rid extensions.
    pub(super) sources: Vec<(u32, TrackId, LayerIndex)>,
    pub(super) codecs: Vec<(u8, Codec)>,
    pub(super) redundancy: Redundancy,
    /// When what it publishes was captured.
    pub(super) clock: CaptureClock,
    pub(super) channels: Channels,
    pub(super) events: VecDeque<PeerEvent>,
    /// Where to, and what; `None`: to where the client is when it is sent.
    pub(super) transmits: VecDeque<(Option<Path>, Vec<u8>)>,
    pub(super) connected: bool,
    pub(super) closed: bool,
    pub(super) route: Route,
    pub(super) timeout: Instant,
    pub(super) born: Instant,
    /// Not connected by then: closed.
    pub(super) deadline: Option<Instant>,
    /// The path of the datagram that is handled now, and whether it was a check that str0m answered with success.
    pub(super) handled: Option<(Path, bool)>,
    pub(super) drops: Drops,
    pub(super) limits: Limits,
    /// Received media, in bytes.
    pub(super) media_budget: Bucket,
    pub(super) data_budget: Bucket,
    pub(super) handshake_budget: Bucket,
    ufrag: String,
    /// The next datagram panics: how a defect is made for a test.
    #[cfg(test)]
    pub(super) poisoned: bool,
}

/// The data channels that the client opened: two that are ours by label, and others.
#[derive(Debug, Default)]
pub(super) struct Channels {
    pub(super) open: Vec<ChannelId>,
    pub(super) reliable: Option<ChannelId>,
    pub(super) lossy: Option<ChannelId>,
}

impl std::fmt::Debug for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Peer").field("connected", &self.connected).field("slots", &self.slots.len()).finish_non_exhaustive()
    }
}

impl Peer {
    /// Builds a connection from a first offer; the client is asked to publish `publish`. `epoch`: a moment and its NTP time. The error is for the one who wrote the offer.
    pub fn accept(
        config: &PeerConfig,
        offer: Offer,
        publish: VideoCodec,
        epoch: (Instant, u64),
        now: Instant,
    ) -> Result<(Peer, Answer, Negotiated), OfferError> {
        let (mut rtc, keys) = tap::build(translate::config(config.certificate.clone()), now);
        for candidate in candidates(config).map_err(|e| OfferError::Bad(e.to_string()))? {
            rtc.add_local_candidate(candidate);
        }
        let ufrag = rtc.direct_api().local_ice_credentials().ufrag;
        let mut peer = Peer {
            rtc,
            keys,
            egress: Egress::new(epoch),
            sections: vec![],
            slots: vec![],
            sources: vec![],
            codecs: vec![],
            redundancy: Redundancy::default(),
            clock: CaptureClock::new(now),
            channels: Channels::default(),
            events: VecDeque::new(),
            transmits: VecDeque::new(),
            connected: false,
            closed: false,
            route: Route::default(),
            timeout: now,
            born: now,
            deadline: Some(now + CONNECT_TIMEOUT),
            handled: None,
            drops: Drops::default(),
            limits: config.limits.clone(),
            media_budget: Bucket::default(),
            data_budget: Bucket::default(),
            handshake_budget: Bucket::default(),
            ufrag,
            #[cfg(test)]
            poisoned: false,
        };
        // str0m panics over some offers, as over one payload type that suits two codecs. The shard contains that for further offers.
        let answered = catch_unwind(AssertUnwindSafe(|| peer.offer(offer, publish, now)));
        let (answer, negotiated) = answered.unwrap_or_else(|_| Err(OfferError::Bad("no answer to it could be made".into())))?;
        Ok((peer, answer, negotiated))
    }

    /// Accepts an offer, the first or a further one; the client is asked to publish `publish`. An error leaves what was there before.
    pub fn offer(&mut self, offer: Offer, publish: VideoCodec, now: Instant) -> Result<(Answer, Negotiated), OfferError> {
        self.check(&offer)?;
        // str0m's answer lists the send streams it knows, and it must know none at any other time (facts/egress, rules 1 and 2).
        self.lend_streams();
        let answered = self.rtc.sdp_api().accept_offer(offer.sdp);
        let mut mids: Vec<Mid> = offer.sections.iter().map(|s| s.mid.as_str().into()).collect();
        // What was lent is taken back even where a hostile offer leaves its section out.
        mids.extend(
            self.slots.iter().map(|slot| slot.mid).filter(|mid| !offer.sections.iter().any(|s| s.mid == **mid)).collect::<Vec<_>>(),
        );
        let configs = self.take_streams(&mids, &offer.sections);
        let answer = answered.map_err(|e| OfferError::Bad(e.to_string()))?;
        let known = self.slots.len();
        let mut negotiated = Negotiated::default();
        self.update_slots(configs, &mut negotiated);
        self.update_sections(&offer.sections, &mut negotiated);
        let params = self.rtc.codec_config().params();
        self.codecs = params.iter().filter_map(|p| Some((*p.pt(), translate::codec(p)?))).collect();
        self.redundancy.negotiate(translate::redundancy(params));
        debug_assert_eq!(self.slots.len(), known + negotiated.new_slots.len());
        let ufrag = self.rtc.direct_api().local_ice_credentials().ufrag;
        if std::mem::replace(&mut self.ufrag, ufrag) != self.ufrag {
            self.route.on_restart();
        }
        self.drain(now);
        let published = negotiated.published.iter().map(|p| p.mid.clone()).collect();
        Ok((Answer { sdp: answer, publish, published, slots: self.numbered_slots() }, negotiated))
    }

    /// The `a=mid` of each slot, and how many slots of its kind are before it.
    fn numbered_slots(&self) -> Vec<(String, usize)> {
        let mut numbers = [0, 0];
        let kinds = (0..self.slots.len()).map(|index| self.egress.config(SlotIndex(index as u16)).map(|config| config.kind));
        let number = |kind: Option<Kind>| {
            let next = &mut numbers[usize::from(kind == Some(Kind::Video))];
            *next += 1;
            *next - 1
        };
        self.slots.iter().map(|slot| slot.mid.to_string()).zip(kinds.map(number)).collect()
    }

    /// All that could refuse an offer, before anything changes.
    fn check(&self, offer: &Offer) -> Result<(), OfferError> {
        let publishes = offer.sections.iter().filter(|s| s.publishes).count();
        if publishes > self.limits.tracks {
            return Err(OfferError::TooManyTracks(self.limits.tracks));
        }
        let is_new = |mid: &str| !self.slots.iter().any(|slot| *slot.mid == *mid);
        let slots = self.slots.len() + offer.sections.iter().filter(|s| s.receives && is_new(&s.mid)).count();
        if slots > self.limits.slots {
            return Err(OfferError::TooManySlots(self.limits.slots));
        }
        Ok(())
    }

    /// Tells str0m of our streams, so that the answer keeps their SSRCs, those of closed slots too: they may open again.
    fn lend_streams(&mut self) {
        for (index, slot) in self.slots.iter().enumerate() {
            if let Some(stream) = self.egress.config(SlotIndex(index as u16)) {
                self.rtc.direct_api().declare_stream_tx(stream.ssrc.into(), stream.rtx.map(Ssrc::from), slot.mid, None);
            }
        }
    }

    /// Takes every send stream back, and returns how the m-lines' streams were negotiated.
    fn take_streams(&mut self, mids: &[Mid], offered: &[OfferedSection]) -> Vec<(Mid, StreamConfig)> {
        let params = self.rtc.codec_config().params().to_vec();
        let mut configs = vec![];
        for mid in mids {
            let Some(media) = self.rtc.media(*mid) else { continue };
            let kind = kind(media.kind());
            let red = offered.iter().find(|section| section.mid == **mid).and_then(|section| section.red);
            let (codecs, ids) = (translate::payload_types(media, &params, red), translate::extension_ids(media));
            let (sending, cname) = (media.direction().is_sending(), media.cname().to_string());
            let mut direct = self.rtc.direct_api();
            let Some(stream) = direct.stream_tx_by_mid(*mid, None) else { continue };
            let (ssrc, rtx) = (stream.ssrc(), stream.rtx());
            direct.remove_stream_tx(ssrc);
            if sending {
                let config = StreamConfig { kind, mid: mid.to_string(), ssrc: *ssrc, rtx: rtx.map(|s| *s), codecs, ids, cname };
                configs.push((*mid, config));
            }
        }
        configs
    }

    fn update_slots(&mut self, configs: Vec<(Mid, StreamConfig)>, negotiated: &mut Negotiated) {
        for (index, slot) in self.slots.iter_mut().enumerate().filter(|(_, slot)| slot.open) {
            if !configs.iter().any(|(mid, _)| *mid == slot.mid) {
                slot.open = false;
                self.egress.forget(SlotIndex(index as u16));
                negotiated.closed_slots.push(SlotIndex(index as u16));
            }
        }
        for (mid, config) in configs {
            let codecs: Vec<Codec> = config.codecs.iter().map(|c| c.codec).collect();
            if let Some(index) = self.slots.iter().position(|slot| slot.mid == mid) {
                let slot = SlotIndex(index as u16);
                let was_open = std::mem::replace(&mut self.slots[index].open, true);
                let same = self.egress.config(slot).is_some_and(|old| old.codecs.iter().map(|c| c.codec).eq(codecs.iter().copied()));
                if !was_open || !same {
                    negotiated.opened_slots.push((slot, codecs));
                }
                self.egress.renegotiate(slot, config.codecs, config.ids);
                continue;
            }
            negotiated.new_slots.push(SlotSpec { kind: config.kind, codecs });
            self.slots.push(SlotEntry { mid, open: true });
            self.egress.add_stream(config);
        }
    }

    fn update_sections(&mut self, offered: &[OfferedSection], negotiated: &mut Negotiated) {
        let before = std::mem::take(&mut self.sections);
        for section in offered {
            let mid: Mid = section.mid.as_str().into();
            let Some(media) = self.rtc.media(mid).filter(|m| m.direction().is_receiving() && !m.disabled()) else { continue };
            let kind = kind(media.kind());
            let rids: Vec<Rid> = section.rids.iter().map(|rid| rid.as_str().into()).collect();
            negotiated.published.push(Published { mid: section.mid.clone(), kind, layers: rids.len().max(1) as u8 });
            let track = before.iter().find(|s| s.mid == mid).and_then(|s| s.track);
            self.sections.push(Section { mid, rids, track });
        }
        self.sources.retain(|(_, track, _)| self.sections.iter().any(|s| s.track == Some(*track)));
    }

    /// The room's number for a send section (by its `a=mid`); `None`: no track any more.
    pub fn set_track(&mut self, mid: &str, track: Option<TrackId>) {
        let mid: Mid = mid.into();
        if let Some(section) = self.sections.iter_mut().find(|s| s.mid == mid) {
            let old = std::mem::replace(&mut section.track, track);
            self.sources.retain(|(_, t, _)| Some(*t) != old);
        }
    }

    /// The tracks of the send sections, by `a=mid`.
    pub fn tracks(&self) -> impl Iterator<Item = (String, TrackId)> + '_ {
        self.sections.iter().filter_map(|s| Some((s.mid.to_string(), s.track?)))
    }

    /// The `a=mid` of the send sections without a track.
    pub fn trackless(&self) -> impl Iterator<Item = String> + '_ {
        self.sections.iter().filter(|s| s.track.is_none()).map(|s| s.mid.to_string())
    }

    /// A track is over; what still comes for it is dropped.
    pub fn end_track(&mut self, track: TrackId) {
        if let Some(section) = self.sections.iter_mut().find(|s| s.track == Some(track)) {
            section.track = None;
            self.sources.retain(|(_, t, _)| *t != track);
        }
    }

    /// The `a=mid` of a slot.
    pub fn slot_mid(&self, slot: SlotIndex) -> Option<&str> {
        self.slots.get(usize::from(slot.0)).map(|s| &*s.mid)
    }

    /// The slot with this `a=mid`.
    pub fn slot(&self, mid: &str) -> Option<SlotIndex> {
        self.slots.iter().position(|slot| *slot.mid == *mid).map(|index| SlotIndex(index as u16))
    }

    /// Entries of all its queues and lists.
    #[cfg(test)]
    pub fn footprint(&self) -> usize {
        let media = self.sections.len() + self.slots.len() + self.sources.len() + self.codecs.len();
        media + self.egress.pacer.len() + self.events.len() + self.transmits.len() + self.channels.open.len()
    }

    /// How many data channels are open.
    #[cfg(test)]
    pub fn open_channels(&self) -> usize {
        self.channels.open.len()
    }

    /// Makes the next datagram panic.
    #[cfg(test)]
    pub fn poison(&mut self) {
        self.poisoned = true;
    }

    /// The address of a [`PeerEvent::Checked`] is this peer's and nobody else's: media may go there, and does if that was nominated.
    pub fn prove(&mut self, path: Path, nominates: bool, now: Instant) {
        self.route.prove(path);
        if nominates {
            self.route.nominate(path, now);
        }
    }

    /// A TCP connection is over: media takes another way, if there is one.
    pub fn handle_closed(&mut self, connection: ConnectionId, now: Instant) {
        self.route.on_closed(connection, now);
    }

    /// What a connectivity check for this peer begins its USERNAME with.
    pub fn ufrag(&self) -> &str {
        &self.ufrag
    }

    /// Where to write datagrams for now: memory that is at hand already. One who has some waiting goes on with its own.
    pub fn lend_outbox(&mut self, outbox: &mut Outbox) {
        if self.egress.outbox.is_empty() {
            std::mem::swap(&mut self.egress.outbox, outbox);
        }
    }

    /// Nothing waits any more: a peer keeps no memory for it.
    pub fn return_outbox(&mut self, outbox: &mut Outbox) {
        outbox.keep_larger(std::mem::take(&mut self.egress.outbox));
    }

    /// Adds what the send side counted, and the drops, since the last call.
    pub fn add_counters(&mut self, sum: &mut ShardCounters) {
        self.egress.counters.add_to(sum);
        for drops in [&mut self.drops, &mut self.egress.drops] {
            drops.move_to(&mut sum.drops);
        }
    }

    /// Asks the client for a keyframe of a layer.
    pub fn request_keyframe(&mut self, track: TrackId, layer: LayerIndex, now: Instant) {
        let Some(section) = self.sections.iter().find(|s| s.track == Some(track)) else { return };
        let (mid, rid) = (section.mid, section.rids.get(usize::from(layer.0)).copied());
        if let Some(stream) = self.rtc.direct_api().stream_rx_by_mid(mid, rid) {
            stream.request_keyframe(KeyframeRequestKind::Pli);
            self.wake(now);
        }
    }

    /// Sends a data channel message: the sender's number, then the payload. A client that does not read loses lossy messages, and reliable ones
    /// beyond SCTP's buffer. `false`: not sent.
    pub fn send_data(&mut self, reliable: bool, from: u32, payload: &[u8], now: Instant) -> bool {
        debug_assert!(payload.len() <= DATA_BYTES_MAX);
        let id = if reliable { self.channels.reliable } else { self.channels.lossy };
        let Some(mut channel) = id.and_then(|id| self.rtc.channel(id)) else { return false };
        let message: Vec<u8> = from.to_be_bytes().into_iter().chain(payload.iter().copied()).collect();
        let sent = channel.write(true, &message).unwrap_or(false);
        self.drain(now);
        sent
    }
}

/// UDP first: str0m prefers what comes first among its equals, and UDP to TCP (RFC 6544, 4.2), so that TCP carries media only where UDP does not.
fn candidates(config: &PeerConfig) -> Result<Vec<Candidate>, IceError> {
    let udp = config.addresses.iter().map(|address| Candidate::host(*address, "udp"));
    let listening = if config.tcp { config.addresses.as_slice() } else { &[] };
    let tcp = listening.iter().map(|address| Candidate::builder().tcp().host(*address).tcptype(TcpType::Passive).build());
    udp.chain(tcp).collect()
}

fn kind(kind: MediaKind) -> Kind {
    match kind {
        MediaKind::Audio => Kind::Audio,
        MediaKind::Video => Kind::Video,
    }
}
