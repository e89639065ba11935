//! The media of one bot: a str0m client that publishes made media and judges what it receives. Sans-IO: offers, answers, messages, datagrams and
//! `now` in; datagrams out. `bot` gives it a WebSocket, a UDP socket and a clock.
//!
//! ```text
//! handle_answer · handle_message · handle_datagram · handle_timeout  →  poll_datagram · seen
//! ```

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use ninefold::api::protocol::{PublishedSection, ServerMessage, Source};
use ninefold::webrtc::tap;
use str0m::change::{SdpAnswer, SdpOffer, SdpPendingOffer};
use str0m::channel::{ChannelConfig, ChannelId, Reliability};
use str0m::format::Codec;
use str0m::media::{Direction, KeyframeRequestKind, MediaKind, Mid, Rid, Simulcast, SimulcastLayer};
use str0m::net::{Protocol, Receive, TcpType};
use str0m::rtp::{ExtensionValues, RtpPacket, RtpWrite};
use str0m::{Candidate, Event, IceConnectionState, Input, Output, Rtc, RtcConfig};

use crate::carrier::{Transport, is_candidate};
use crate::light::{Heard, Light};
use crate::media::{self, Audio, Camera, Made, RIDS, Video};
use crate::seen::{Data, Seen};
use crate::slot::{Arrived, Face, Slot};

pub use crate::kit::BotKit;

/// Silence and speech in −dBov.
const SPEECH: i8 = -20;
/// Packets that can be repeated, for how long, and at most this share of what is sent.
const REPEATED_PACKETS: usize = 1_024;
const REPEATED_AGE: Duration = Duration::from_secs(3);
const REPEATED_SHARE: f32 = 0.5;

/// Which way media goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Path {
    /// By what.
    pub transport: Transport,
    /// Our socket.
    pub local: SocketAddr,
    /// The server's.
    pub remote: SocketAddr,
}

/// A participant without its sockets.
pub struct Client {
    /// All that it was told and received.
    pub seen: Seen,
    /// Sends media; a bot that is told not to stays connected.
    pub publishing: bool,
    rtc: Rtc,
    /// Takes the media that comes, in the place of `rtc`.
    light: Option<Light>,
    pending: Option<SdpPendingOffer>,
    path: Option<Path>,
    videos: Vec<Video>,
    microphone: Option<Audio>,
    /// Absent: the server has no data channels for us.
    channels: Option<[ChannelId; 2]>,
    /// What is said of the slots.
    face: Face,
    outbox: VecDeque<Vec<u8>>,
    timeout: Instant,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("participant", &self.seen.participant).finish_non_exhaustive()
    }
}

impl Client {
    /// A client and its first offer.
    pub fn new(kit: &BotKit, now: Instant) -> (Client, String) {
        Client::offering(kit, Client::empty(kit.light, Face::Told, now), now)
    }

    /// The same for a server that knows neither slots nor our data channels. `owner`: how its media is marked.
    pub fn plain(kit: &BotKit, owner: u32, now: Instant) -> (Client, String) {
        let mut client = Client::empty(kit.light, Face::First, now);
        client.seen.participant = owner;
        Client::offering(kit, client, now)
    }

    /// A client that only watches, and whose server makes the offer. It is answered; the slots are those of the offer.
    pub fn answering(kit: &BotKit, offer: &str, path: Path, now: Instant) -> Result<(Client, String), String> {
        let mut client = Client::empty(kit.light, Face::First, now);
        client.go(path)?;
        if let Some(light) = &mut client.light {
            light.learn(offer);
        }
        let offer = SdpOffer::from_sdp_string(&client.edit(offer)).map_err(|error| error.to_string())?;
        let answer = client.rtc.sdp_api().accept_offer(offer).map_err(|error| error.to_string())?;
        client.drain(now);
        Ok((client, answer.to_sdp_string()))
    }

    fn empty(light: bool, face: Face, now: Instant) -> Client {
        let config = RtcConfig::new().set_rtp_mode(true).clear_codecs().enable_opus(true, false).enable_vp8(true);
        let (rtc, keys) = tap::build(config, now);
        Client {
            seen: Seen::new(now),
            publishing: true,
            rtc,
            light: light.then(|| Light::new(keys, fastrand::u32(..))),
            pending: None,
            path: None,
            videos: vec![],
            microphone: None,
            channels: None,
            face,
            outbox: VecDeque::new(),
            timeout: now,
        }
    }

    fn offering(kit: &BotKit, mut client: Client, now: Instant) -> (Client, String) {
        let mut changes = client.rtc.sdp_api();
        client.microphone = kit.microphone.then(|| Audio::new(changes.add_media(MediaKind::Audio, Direction::SendOnly, None, None, None)));
        let camera = kit.camera.map(|camera| {
            let mid = changes.add_media(MediaKind::Video, Direction::SendOnly, None, None, simulcast(camera.layers));
            Video::new(mid, Source::Camera, camera)
        });
        client.videos.extend(camera);
        for (kind, count) in [(MediaKind::Audio, kit.audio_slots), (MediaKind::Video, kit.video_slots)] {
            for _ in 0..count {
                let mid = changes.add_media(kind, Direction::RecvOnly, None, None, None);
                client.seen.slots.insert(mid.to_string(), Slot::with_face(kind == MediaKind::Video, client.face));
            }
        }
        if client.face == Face::Told {
            let lossy = Reliability::MaxRetransmits { retransmits: 0 };
            let lossy = ChannelConfig { label: "lossy".into(), ordered: false, reliability: lossy, ..ChannelConfig::default() };
            client.channels = Some([changes.add_channel("reliable".into()), changes.add_channel_with_config(lossy)]);
        }
        let (offer, pending) = changes.apply().expect("a bot sends or watches, and both are changes");
        client.pending = Some(pending);
        client.seen.offers = 1;
        client.timeout = now;
        (client, offer.to_sdp_string())
    }

    /// A further offer, with one more track. Its section comes last in [`Client::sections`].
    pub fn offer_video(&mut self, source: Source, camera: Camera) -> String {
        let mut changes = self.rtc.sdp_api();
        let mid = changes.add_media(MediaKind::Video, Direction::SendOnly, None, None, simulcast(camera.layers));
        let (offer, pending) = changes.apply().expect("a section is a change");
        self.pending = Some(pending);
        self.videos.push(Video::new(mid, source, camera));
        self.seen.offers += 1;
        offer.to_sdp_string()
    }

    /// What the send sections carry.
    pub fn sections(&self) -> Vec<PublishedSection> {
        let section = |mid: Mid, source| PublishedSection { mid: mid.to_string(), source, muted: false };
        let microphone = self.microphone.as_ref().map(|audio| section(audio.mid, Source::Microphone));
        microphone.into_iter().chain(self.videos.iter().map(|video| section(video.mid, video.source))).collect()
    }

    /// The SSRCs that it sends.
    pub fn ssrcs(&mut self) -> Vec<u32> {
        let streams = self.streams();
        let mut direct = self.rtc.direct_api();
        streams.into_iter().filter_map(|(mid, rid)| direct.stream_tx_by_mid(mid, rid).map(|stream| *stream.ssrc())).collect()
    }

    fn streams(&self) -> Vec<(Mid, Option<Rid>)> {
        let layers = |camera: Camera| (0..camera.layers).map(move |layer| (camera.layers > 1).then(|| Rid::from(RIDS[layer])));
        let videos = self.videos.iter().flat_map(|video| layers(video.camera).map(|rid| (video.mid, rid)));
        self.microphone.iter().map(|audio| (audio.mid, None)).chain(videos).collect()
    }

    /// Browsers repeat as much as their way carries. str0m's limit is 15 % of what was sent in a second: of ten packets two that are lost are more than
    /// that, and it forgets that it was asked.
    fn allow_repetitions(&mut self) {
        for (mid, rid) in self.streams() {
            if let Some(stream) = self.rtc.direct_api().stream_tx_by_mid(mid, rid) {
                stream.set_rtx_cache(REPEATED_PACKETS, REPEATED_AGE, Some(REPEATED_SHARE));
            }
        }
    }

    /// The answer came. `path`, for the first one: where media goes; other addresses of the answer are left out.
    pub fn handle_answer(&mut self, answer: &str, path: Option<Path>, now: Instant) -> Result<(), String> {
        path.map_or(Ok(()), |path| self.go(path))?;
        if let Some(light) = &mut self.light {
            light.learn(answer);
        }
        let answer = SdpAnswer::from_sdp_string(&self.edit(answer)).map_err(|error| error.to_string())?;
        let pending = self.pending.take().ok_or("an answer without an offer")?;
        self.rtc.sdp_api().accept_answer(pending, answer).map_err(|error| error.to_string())?;
        self.allow_repetitions();
        if self.seen.is_connected() {
            self.videos.iter_mut().filter(|video| video.due().is_none()).for_each(|video| video.begin(now));
        }
        self.drain(now);
        Ok(())
    }

    fn go(&mut self, path: Path) -> Result<(), String> {
        let candidate = match path.transport {
            Transport::Udp => Candidate::host(path.local, "udp"),
            Transport::Tcp => Candidate::builder().tcp().host(path.local).tcptype(TcpType::Active).build(),
        };
        self.rtc.add_local_candidate(candidate.map_err(|error| error.to_string())?);
        self.seen.media_address = Some(path.remote);
        self.path = Some(path);
        Ok(())
    }

    /// The answer without the addresses that are not used. What it says of the size of data messages is left out too, so that the server's limit
    /// can be tried and not only the one in our own stack.
    fn edit(&self, answer: &str) -> String {
        let only = self.path.map(|path| format!(" {} {} ", path.remote.ip(), path.remote.port()));
        let is_used = |line: &str| {
            only.as_ref().is_none_or(|only| line.contains(only)) && self.path.is_none_or(|path| is_candidate(line, path.transport))
        };
        let other = |line: &str| line.starts_with("a=candidate:") && !is_used(line);
        let line = |line| if line_is_size(line) { "a=max-message-size:262144" } else { line };
        answer.lines().filter(|line| !other(line)).flat_map(|text| [line(text), "\r\n"]).collect()
    }

    /// The server said something. Answers are for [`Client::handle_answer`] too.
    pub fn handle_message(&mut self, message: ServerMessage, now: Instant) {
        self.seen.handle_message(message, now);
    }

    /// A datagram came.
    pub fn handle_datagram(&mut self, from: SocketAddr, bytes: &[u8], now: Instant) {
        let Some(path) = self.path else { return };
        if self.count(bytes, now) {
            return;
        }
        let protocol = match path.transport {
            Transport::Udp => Protocol::Udp,
            Transport::Tcp => Protocol::Tcp,
        };
        let Ok(receive) = Receive::new(protocol, from, path.local, bytes) else {
            return self.seen.fault("an unreadable datagram".into());
        };
        if let Err(error) = self.rtc.handle_input(Input::Receive(now, receive)) {
            self.seen.fault(format!("a datagram was refused: {error}"));
        }
        self.drain(now);
    }

    /// A light bot's media. `false`: it is for str0m.
    fn count(&mut self, bytes: &[u8], now: Instant) -> bool {
        let (Some(light), [128..192, kind, ..]) = (&mut self.light, bytes) else { return false };
        if (192..224).contains(kind) {
            light.handle_rtcp(bytes, now);
            // What is asked of those who send is answered by str0m.
            return self.videos.is_empty() && self.microphone.is_none();
        }
        match light.handle_rtp(bytes, now) {
            Heard::Packet(mid, counted) => {
                let Some(slot) = self.seen.slots.get_mut(&mid) else { return true };
                let fault = slot.handle_counted(counted, now);
                if slot.video && slot.frames > 0 {
                    self.seen.times.first_frame.get_or_insert(now - self.seen.began);
                }
                fault.into_iter().for_each(|fault| self.seen.fault(format!("slot {mid}: {fault}")));
            }
            Heard::Repaired(mid, seq) => {
                let slot = self.seen.slots.get_mut(&mid);
                slot.into_iter().for_each(|slot| slot.handle_repaired(seq));
            }
            Heard::Nothing => {}
        }
        true
    }

    /// Which way media goes, once there is an answer.
    pub fn path(&self) -> Option<Path> {
        self.path
    }

    /// When there is something to do.
    pub fn timeout(&self) -> Instant {
        let media = self.videos.iter().filter_map(Video::due).chain(self.microphone.as_ref().and_then(Audio::due));
        media.chain(self.light.as_ref().and_then(Light::timeout)).fold(self.timeout, Instant::min)
    }

    /// Lets time pass: media that is due, timers that are due.
    pub fn handle_timeout(&mut self, now: Instant) {
        let wrote = self.publish(now);
        if wrote || self.timeout <= now {
            self.wake(now);
        }
        self.outbox.extend(self.light.as_mut().and_then(|light| light.poll(now)));
        let Seen { slots, .. } = &mut self.seen;
        let faults: Vec<_> = slots.iter_mut().flat_map(|(mid, slot)| named(mid, slot.handle_timeout(now))).collect();
        let stuck = |slot: &mut Slot| slot.video && slot.pictures.poll_keyframe(now);
        let stuck: Vec<Mid> = slots.iter_mut().filter_map(|(mid, slot)| stuck(slot).then(|| Mid::from(mid.as_str()))).collect();
        faults.into_iter().for_each(|fault| self.seen.fault(fault));
        self.ask_keyframes(&stuck, now);
    }

    /// Asks as a browser does when a picture cannot go on.
    fn ask_keyframes(&mut self, stuck: &[Mid], now: Instant) {
        if stuck.is_empty() {
            return;
        }
        let mut direct = self.rtc.direct_api();
        for mid in stuck {
            if let Some(stream) = direct.stream_rx_by_mid(*mid, None) {
                stream.request_keyframe(KeyframeRequestKind::Pli);
            }
        }
        self.wake(now);
    }

    /// The next datagram to send, to the path's remote address.
    pub fn poll_datagram(&mut self) -> Option<Vec<u8>> {
        self.outbox.pop_front()
    }

    /// Speaks or is silent.
    pub fn speak(&mut self, speaking: bool) {
        if let Some(microphone) = &mut self.microphone {
            microphone.speaking = speaking;
        }
    }

    /// Sends through a data channel, to one participant or (0) to everybody. `false`: the channel is not open, or is full.
    pub fn send_data(&mut self, reliable: bool, to: u32, payload: &[u8], now: Instant) -> bool {
        let message: Vec<u8> = to.to_be_bytes().into_iter().chain(payload.iter().copied()).collect();
        let Some(channels) = self.channels else { return false };
        let sent =
            self.rtc.channel(channels[usize::from(!reliable)]).is_some_and(|mut channel| channel.write(true, &message).unwrap_or(false));
        self.drain(now);
        sent
    }

    /// Says goodbye to the server's media side.
    pub fn close(&mut self, now: Instant) {
        // It fails only when it is closed already.
        let _ = self.rtc.close();
        self.drain(now);
    }

    fn wake(&mut self, now: Instant) {
        if let Err(error) = self.rtc.handle_input(Input::Timeout(now)) {
            self.seen.fault(format!("a timeout was refused: {error}"));
        }
        self.drain(now);
    }

    fn publish(&mut self, now: Instant) -> bool {
        let owner = self.seen.participant;
        let mut made: Vec<(Mid, bool, Made)> = vec![];
        for video in &mut self.videos {
            if let Some(due) = video.due() {
                self.seen.late_max = self.seen.late_max.max(now.saturating_duration_since(due));
            }
            made.extend(video.make(owner, now).into_iter().map(|packet| (video.mid, true, packet)));
        }
        if let Some(audio) = &mut self.microphone {
            made.extend(audio.make(owner, now).map(|packet| (audio.mid, false, packet)));
        }
        if !self.publishing {
            return false;
        }
        let wrote = !made.is_empty();
        made.into_iter().for_each(|(mid, video, packet)| self.write(mid, video, packet, now));
        wrote
    }

    fn write(&mut self, mid: Mid, video: bool, made: Made, now: Instant) {
        let codec = if video { Codec::Vp8 } else { Codec::Opus };
        let Some(pt) = self.rtc.codec_config().params().iter().find(|p| p.spec().codec == codec).map(|p| p.pt()) else { return };
        let level = (!video).then_some(SPEECH);
        let extensions = ExtensionValues { audio_level: level, voice_activity: level.map(|_| true), ..ExtensionValues::default() };
        let Made { rid, seq, time, marker, payload } = made;
        self.seen.sent.0 += 1;
        self.seen.sent.1 += payload.len() as u64;
        if let Some(stream) = self.rtc.direct_api().stream_tx_by_mid(mid, rid) {
            stream.write_rtp(RtpWrite::new(pt, seq.into(), time, now, payload).marker(marker).ext_vals(extensions).nackable(video));
        }
    }

    fn drain(&mut self, now: Instant) {
        loop {
            match self.rtc.poll_output() {
                Ok(Output::Timeout(at)) if at > now => {
                    self.timeout = at;
                    return;
                }
                Ok(Output::Timeout(_)) => {
                    if let Err(error) = self.rtc.handle_input(Input::Timeout(now)) {
                        return self.seen.fault(format!("a timeout was refused: {error}"));
                    }
                }
                Ok(Output::Transmit(transmit)) => self.outbox.push_back(transmit.contents.to_vec()),
                Ok(Output::Event(event)) => self.on_event(event, now),
                Err(error) => return self.seen.fault(format!("the connection broke: {error}")),
            }
        }
    }

    fn on_event(&mut self, event: Event, now: Instant) {
        match event {
            Event::Connected => {
                self.seen.times.connected = Some(now - self.seen.began);
                self.videos.iter_mut().for_each(|video| video.begin(now));
                self.microphone.iter_mut().for_each(|audio| audio.begin(now));
            }
            Event::IceConnectionStateChange(IceConnectionState::Disconnected) if self.seen.closed.is_none() && !self.seen.ended => {
                self.seen.fault("the server stopped answering".into());
            }
            Event::KeyframeRequest(request) => {
                self.seen.keyframes_asked += 1;
                let layer = request.rid.and_then(|rid| RIDS.iter().position(|known| Rid::from(*known) == rid)).unwrap_or(0);
                let video = self.videos.iter_mut().find(|video| video.mid == request.mid);
                video.into_iter().for_each(|video| video.keyframe_wanted[layer] = true);
            }
            Event::ChannelOpen(id, _) => {
                let is_reliable = self.is_reliable(id);
                let (reliable, lossy) = &mut self.seen.channels;
                *(if is_reliable { reliable } else { lossy }) = true;
            }
            Event::ChannelData(data) => {
                let reliable = self.is_reliable(data.id);
                let Some((from, payload)) = data.data.split_first_chunk::<4>() else {
                    return self.seen.fault("a data message without its sender".into());
                };
                self.seen.keep_data(Data { reliable, from: u32::from_be_bytes(*from), payload: payload.to_vec() });
            }
            Event::RtpPacket(packet) => self.on_packet(&packet, now),
            // Sections of our own offer are known already.
            Event::MediaAdded(added) if added.direction.is_receiving() => {
                let (face, video) = (self.face, added.kind == MediaKind::Video);
                self.seen.slots.entry(added.mid.to_string()).or_insert_with(|| Slot::with_face(video, face));
            }
            // News about what we send; nothing here depends on it.
            _ => {}
        }
    }

    fn is_reliable(&self, id: ChannelId) -> bool {
        self.channels.is_some_and(|[reliable, _]| reliable == id)
    }

    fn on_packet(&mut self, packet: &RtpPacket, now: Instant) {
        let mid = self.rtc.direct_api().stream_rx(&packet.header.ssrc).map(|stream| stream.mid());
        let Some((mid, slot)) = mid.and_then(|mid| Some((mid, self.seen.slots.get_mut(&*mid)?))) else {
            return self.seen.fault("a packet of no slot".into());
        };
        let Some(read) = media::read(slot.video, &packet.payload) else {
            return self.seen.fault(format!("slot {mid}: a payload that nobody made"));
        };
        let arrived = Arrived {
            seq: *packet.seq_no,
            time: packet.header.timestamp,
            // Without a name for the track, another maker is another track.
            track: if slot.face == Face::Told { packet.header.csrc[0] } else { read.owner },
            owner: read.owner,
            start: read.start,
            keyframe: read.keyframe,
            marker: packet.header.marker,
            bytes: packet.payload.len(),
        };
        let faults = named(&mid, slot.handle_packet(arrived, now));
        if slot.video && slot.frames > 0 {
            self.seen.times.first_frame.get_or_insert(now - self.seen.began);
        }
        faults.into_iter().for_each(|fault| self.seen.fault(fault));
    }
}

fn line_is_size(line: &str) -> bool {
    line.starts_with("a=max-message-size:")
}

fn named(mid: &str, faults: Vec<String>) -> Vec<String> {
    faults.into_iter().map(|fault| format!("slot {mid}: {fault}")).collect()
}

fn simulcast(layers: usize) -> Option<Simulcast> {
    let layer = |rid: &&str| SimulcastLayer { rid: Rid::from(*rid), attributes: None };
    (layers > 1).then(|| Simulcast { send: RIDS.iter().take(layers).map(layer).collect(), recv: vec![] })
}
