//! Every maximum of the server, each with the reason for its size and with what happens when it is reached.
//!
//! A queue, map, loop or buffer that has no line here is a defect. Limits that an operator may want to change are defaults of a setting in
//! `config`; the others are constants because nothing good comes from changing them.

use std::time::Duration;

use crate::rate::Rate;

/// The limits that an operator may choose, each within its constant below. The defaults are those of the settings `limits.*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Participants of one room, viewers not counted. More: refused, `room_full`.
    pub participants: usize,
    /// Viewers of one room. More: refused, `room_full`.
    pub viewers: usize,
    /// Tracks of one participant. More: refused, `too_many_tracks`.
    pub tracks: usize,
    /// Slots of one participant. More: refused, `too_many_slots`.
    pub slots: usize,
    /// Sounds that one receiver hears at once, the loudest, whatever slots it has. More: not forwarded.
    pub voices: usize,
    /// Signalling messages of one participant in a second, see [`Limits::messages`]. More: refused, `too_many_requests`.
    pub messages_per_second: u32,
    /// Bytes of one signalling message. More: `too_large`, and the socket is closed.
    pub message_bytes: usize,
    /// Bytes of one participant's metadata. More: refused, `bad_metadata`.
    pub metadata_bytes: usize,
    /// Data channel messages of one participant in a second. More: dropped, counted.
    pub data_messages_per_second: u32,
    /// What one participant may send in kbit/s, all tracks and layers together. More: dropped, counted.
    pub publish_kbps: u32,
    /// Connections of one address at a time (IPv6: of one /64). More: refused.
    pub connections_per_address: usize,
    /// Joins without a token from one address in a minute. More: refused, `too_many_requests`.
    pub guest_joins_per_minute: u32,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            participants: PARTICIPANTS_MAX,
            viewers: VIEWERS_MAX,
            tracks: TRACKS_PER_PEER_MAX,
            slots: SLOTS_PER_PEER_MAX,
            // Nobody follows a fourth who talks at the same time.
            voices: 3,
            messages_per_second: 50,
            message_bytes: SIGNAL_BYTES_MAX,
            metadata_bytes: METADATA_BYTES_MAX,
            // Several pointers and drawings that follow the screen, and files in pieces of 16 KiB.
            data_messages_per_second: 300,
            // Three layers of camera and a detailed screen are about 6,000.
            publish_kbps: 20_000,
            // A school behind one address: two for each of a few hundred people.
            connections_per_address: 1_000,
            guest_joins_per_minute: 120,
        }
    }
}

impl Limits {
    /// The rate of signalling messages. Plain messages cost [`MESSAGE_COST`]; what is told to everybody [`POST_COST`], offers [`OFFER_COST`].
    pub fn messages(&self) -> Rate {
        let per_second = f64::from(self.messages_per_second);
        Rate { per_second, burst: per_second * 5.0 }
    }

    /// The rate of data channel messages.
    pub fn data_messages(&self) -> Rate {
        let per_second = f64::from(self.data_messages_per_second);
        Rate { per_second, burst: per_second * 2.0 }
    }

    /// The rate of received media in bytes; a keyframe of every layer comes at once.
    pub fn publish_bytes(&self) -> Rate {
        let per_second = f64::from(self.publish_kbps) * 125.0;
        Rate { per_second, burst: per_second }
    }

    /// The rate of joins without a token from one address; the first minute's may come at once.
    pub fn guest_joins(&self) -> Rate {
        let per_minute = f64::from(self.guest_joins_per_minute);
        Rate { per_second: per_minute / 60.0, burst: per_minute }
    }
}

/// A data channel message costs one more of [`Limits::data_messages`] for each so many receivers, since each is encrypted anew.
pub const DATA_RECEIVERS_PER_COST: usize = 50;
/// And one more for each so many bytes that go out.
pub const DATA_BYTES_PER_COST: usize = 64 * 1024;
/// What a plain signalling message takes of [`Limits::messages`].
pub const MESSAGE_COST: f64 = 1.0;
/// What a message takes that is told to everybody: chat, a hand, a name, mute.
pub const POST_COST: f64 = 10.0;
/// What an offer takes: milliseconds of a core.
pub const OFFER_COST: f64 = 25.0;

/// Characters of a room's name. Longer: refused.
pub const ROOM_NAME_CHARS_MAX: usize = 64;
/// Characters of a display name. Longer: refused.
pub const DISPLAY_NAME_CHARS_MAX: usize = 64;
/// Characters of an identity. Longer: refused.
pub const IDENTITY_CHARS_MAX: usize = 128;
/// Bytes of a participant's metadata (opaque to us, in every roster). Longer: refused.
pub const METADATA_BYTES_MAX: usize = 4096;
/// Characters of one chat message. Longer: refused.
pub const CHAT_CHARS_MAX: usize = 2000;
/// Bytes of one data channel message without our header. One SCTP message of 16 KiB passes every browser. Longer: dropped, counted.
pub const DATA_BYTES_MAX: usize = 16 * 1024;
/// Bytes of a data channel message that SCTP reassembles: enough to see that one is too long, drop it and go on. Beyond: refused by SCTP.
pub const DATA_BYTES_READ_MAX: usize = 64 * 1024;

/// Keys that tokens may be signed with: one for each application, and one that replaces it. More in the settings: refused.
pub const KEYS_MAX: usize = 16;
/// Characters of a key's id. Longer in the settings: refused.
pub const KEY_ID_CHARS_MAX: usize = 64;
/// Bytes of a key's secret; more make it no safer. More in the settings: refused.
pub const KEY_BYTES_MAX: usize = 1024;
/// Bytes of a token: the longest metadata as base64, a name and some claims that we ignore. Longer: refused unread.
pub const TOKEN_BYTES_MAX: usize = 8 * 1024;

/// Rooms of one process. More: refused.
pub const ROOMS_MAX: usize = 10_000;
/// Participants (viewers not counted) of one room. More: refused.
pub const PARTICIPANTS_MAX: usize = 1_000;
/// Viewers of one room. More: refused.
pub const VIEWERS_MAX: usize = 10_000;
/// Tracks that one participant publishes: camera, microphone, screen with its sound, and as much again. More: refused.
pub const TRACKS_PER_PEER_MAX: usize = 8;
/// Slots of one peer, audio and video together: a page of 49 and its sound. More in an offer: refused.
pub const SLOTS_PER_PEER_MAX: usize = 64;
/// Layers of one track (WebRTC simulcast uses three). More: the further ones are ignored.
pub const LAYERS_PER_TRACK_MAX: usize = 3;
/// Sections of an SDP offer. More: refused before str0m sees it.
pub const OFFER_SECTIONS_MAX: usize = SLOTS_PER_PEER_MAX + TRACKS_PER_PEER_MAX + 1;
/// Bytes of an SDP offer: 64 slots with every codec of Chromium are about 250 kB. Longer: refused.
pub const OFFER_BYTES_MAX: usize = 384 * 1024;
/// Bytes of one WebSocket message: an offer and its JSON escapes. Longer: the client is told so and the socket closed.
pub const SIGNAL_BYTES_MAX: usize = 512 * 1024;
/// Bytes of one WebSocket message that are read at all: what is a little too long can be answered. Longer: the socket is dropped, unread.
pub const SIGNAL_BYTES_READ_MAX: usize = 2 * SIGNAL_BYTES_MAX;
/// Bytes that are read of a WebSocket at once. Each socket keeps a buffer of this size for as long as it is open; tungstenite's own choice, 128
/// KiB, would be 2.6 GB for [`SOCKETS_MAX`]. Larger messages take more turns.
pub const SIGNAL_READ_BYTES: usize = 16 * 1024;
/// Tracks named in one `view` message: one for each slot. More: refused.
pub const VIEW_TRACKS_MAX: usize = SLOTS_PER_PEER_MAX;
/// Bytes of a REST request's body: a name and a few settings. Longer: refused.
pub const REST_BODY_BYTES_MAX: usize = 64 * 1024;
/// Rooms that one listing looks at side by side. The others wait their turn, so a listing does not fill the shards' queues.
pub const LIST_ROOMS_AT_ONCE: usize = 32;
/// Signalling sockets of one process: as many as it may have participants and viewers on one machine. More: refused with 503.
pub const SOCKETS_MAX: usize = 20_000;
/// Bytes of first messages, of all sockets together, that have come and are not whole: a thousand joins with the longest offers at once. More:
/// the socket that brings more is dropped.
pub const ARRIVING_BYTES_MAX: usize = 512 * 1024 * 1024;
/// One who asks too often is not listened to for so long: ten refusals a second are all that a flood brings about.
pub const DEAF_TIME: Duration = Duration::from_millis(100);
/// Connections of one process, whatever they are used for: a signalling socket for each participant, and as many again that load the page.
/// More: they wait unaccepted in the kernel's queue.
pub const CONNECTIONS_MAX: usize = 2 * SOCKETS_MAX;
/// Connections beyond those that an address may have which are only told so, at one time: a whole school behind one NAT shall see a reason.
/// More: dropped without a word.
pub const CONNECTIONS_REFUSED_MAX: usize = 16;
/// A connection that takes nothing of its answers for so long is broken. Longer than [`WRITE_TIMEOUT`], which knows who it is that does not read.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);
/// A request's head that has not come by then closes its connection; so does a connection that asks for nothing more.
pub const REQUEST_HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// The same for a request's body.
pub const REQUEST_BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of a request's head: a token and what browsers and proxies add. More: 431.
pub const REQUEST_HEAD_BYTES_MAX: usize = 32 * 1024;
/// A TLS handshake that is not done by then is dropped: it takes three round trips at most.
pub const TLS_HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// The files of a certificate are looked at this often.
pub const TLS_LOOK_EVERY: Duration = Duration::from_secs(5);
/// After an error of the system that will not be gone at once (no more files), nothing is accepted for this long.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Joins and resumes from one address, with a token or without: a school behind one NAT comes at nine o'clock, and again when its line was
/// gone. One costs up to 2 ms of a core. More: refused, `too_many_requests`.
pub const FIRST_MESSAGES: Rate = Rate { per_second: 20.0, burst: 300.0 };
/// What a join takes of [`FIRST_MESSAGES`] whose token is none, or is for another room: two a second is nobody's mistake any more.
pub const FAILED_TOKEN_COST: f64 = 10.0;
/// Addresses whose joins are remembered, and again of guests. More: the one that was seen longest ago is forgotten.
pub const JOIN_ADDRESSES_MAX: usize = 16_384;
/// A socket whose first message has not come by then is closed.
pub const JOIN_TIMEOUT: Duration = Duration::from_secs(10);
/// Sockets are pinged this often, so that a network that vanished without a word is noticed while others still wonder; and proxies cut
/// connections that are silent for a minute.
pub const PING_EVERY: Duration = Duration::from_secs(4);
/// A socket from which nothing came for so long after a ping, not even a pong, is taken for lost. Browsers answer pings at once, in background
/// tabs too. One that was only slow comes back within [`RESUME_TIME`] and has lost nothing.
pub const PONG_TIMEOUT: Duration = Duration::from_secs(5);
/// A message that a client has not taken by then closes its socket.
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// A client that was told the end has this long to close its side, and one that is half through a request when the server stops has this long
/// for the other half; then its socket is dropped.
pub const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// Characters of a parser's complaint that an error repeats: it may quote what the stranger sent. Longer: cut.
pub const COMPLAINT_CHARS_MAX: usize = 200;
/// After a signal to stop, the process ends within this time, whatever still hangs.
pub const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// Events that one room keeps for those who resume; 4,096 of them are about 1 MB in a room of 100. Older: forgotten, such a client joins anew.
pub const EVENT_LOG_MAX: usize = 4096;
/// Bytes that these events may take: metadata and chat are what people write. More: the oldest are forgotten.
pub const EVENT_LOG_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Guests of one address who wait in the lobby of one room: a household. More: refused, `lobby_full`.
pub const LOBBY_PER_ADDRESS_MAX: usize = 8;
/// Permits by identity that one room remembers for those who come back. More: the oldest is forgotten.
pub const PERMITS_MAX: usize = 1_000;
/// Who is away and who is back is told once in this time, all together: a network or a proxy loses many at once.
pub const AWAY_PERIOD: Duration = Duration::from_millis(250);
/// People who wait in the lobby of one room. More: refused, `lobby_full`.
pub const LOBBY_MAX: usize = 100;
/// Bans of one room. More: the oldest is forgotten.
pub const BANS_MAX: usize = 1_000;
/// Whose signalling is lost for so long is shown as away: shorter losses nobody needs to see.
pub const AWAY_AFTER: Duration = Duration::from_secs(3);
/// Whose signalling is lost for so long is out.
pub const RESUME_TIME: Duration = Duration::from_secs(30);
/// Events that one who comes back may have missed; half of [`NOTICES_MAX`], so that they fit into the queue at once. More: joins anew.
pub const MISSED_EVENTS_MAX: usize = NOTICES_MAX / 2;
/// Notices waiting for one participant's signalling. A reader slower than this is closed with a reason.
pub const NOTICES_MAX: usize = 1024;
/// Rooms that are over and not yet off the door's map. Full: said in a later tick.
pub const ROOMS_ENDED_MAX: usize = 1024;
/// Commands waiting for one shard. Full: the front end waits, which slows the one who asks.
pub const SHARD_COMMANDS_MAX: usize = 1024;

/// Packets kept for retransmission per slot: 3 s of a 2.5 Mbit/s stream. Older: forgotten, the NACK stays unanswered.
pub const HISTORY_PACKETS_MAX: usize = 1024;
/// The same for an audio slot, which is not retransmitted today; the ring guards against sequence numbers used twice.
pub const HISTORY_AUDIO_PACKETS_MAX: usize = 64;
/// Older packets are not repeated.
pub const HISTORY_AGE_MAX: Duration = Duration::from_secs(3);
/// SSRCs by which one peer may send feedback: one for each section, the data section's place for the connection itself, and as many again after
/// they changed. More: not listened to.
pub const RTCP_SENDERS_MAX: usize = 2 * OFFER_SECTIONS_MAX;
/// Entries read from one NACK. More: ignored, the receiver asks again.
pub const NACKS_PER_PACKET_MAX: usize = 256;
/// Bytes of repetitions to one peer that are always allowed in a second: a keyframe on a bad network. Beyond: as many as media went there, which
/// repairs half of all packets lost; more are not repeated, counted.
pub const REPEATED_BYTES_MIN: u64 = 64 * 1024;
/// Packets of one connection whose fate feedback may still tell: two seconds of 10 Mbit/s. More: the oldest is forgotten, which says nothing of it.
pub const PACKETS_ON_THE_WAY_MAX: usize = 2_048;
/// Statuses read from one datagram of transport-wide feedback: more than was on the way. More: ignored.
pub const TOLD_PER_PACKET_MAX: usize = 2 * PACKETS_ON_THE_WAY_MAX;
/// Packets of video that wait for one receiver's bandwidth: [`PACER_TIME_MAX`] of 12 Mbit/s at 1,200 bytes. Full: what the slot with most of
/// them has waiting is dropped, counted, and a keyframe asked for.
pub const PACER_PACKETS_MAX: usize = 640;
/// Repetitions that wait there. Full: not repeated, the receiver asks again.
pub const PACER_REPEATS_MAX: usize = 256;
/// Video that waited so long there comes too late. Then: as when it is full.
pub const PACER_TIME_MAX: Duration = Duration::from_millis(500);
/// Data channels of one peer that are open at once: our two, and what a client keeps for itself. More: closed as they open.
pub const DATA_CHANNELS_MAX: usize = 8;
/// SCTP stream numbers that are read; browsers count them up from 0 or 1. A packet with a higher one is dropped, so that streams stay bounded
/// which no channel was opened on.
pub const SCTP_STREAMS_MAX: u16 = 64;
/// SCTP packets of one connection that begin an association; browsers send one, and repeat it at most eight times. More: dropped.
pub const SCTP_INITS_MAX: u32 = 16;
/// Packets noted for all receivers of a shard within a tick; a large keyframe for ten thousand viewers is half of it. More: dropped, counted.
pub const OUTGOING_MAX: usize = 1 << 20;
/// Bytes waiting to leave for one peer within a tick. More: dropped, counted.
pub const OUTBOX_BYTES_MAX: usize = 1024 * 1024;
/// Bytes of one received RTP payload: a full Ethernet frame holds less. Longer: dropped before a slot has numbered it, counted.
pub const MEDIA_BYTES_MAX: usize = 1_500;
/// Bytes of one UDP datagram that we build: the longest payload with every extension. Publishers make packets of about 1,200, so that none of
/// ours is fragmented.
pub const DATAGRAM_BYTES_MAX: usize = 2_048;
/// Attributes of one connectivity check; browsers send at most ten. More: dropped, counted.
pub const STUN_ATTRIBUTES_MAX: usize = 16;
/// Connectivity checks that name one peer, from its proven addresses and again from all others. Browsers send at most one every 20 ms. More:
/// dropped unread, counted; a client repeats its checks.
pub const CHECKS: Rate = Rate { per_second: 100.0, burst: 200.0 };
/// DTLS datagrams of one peer that are no data. A handshake has about ten, repeated a few times; whoever forges them from the client's own
/// address must not use all of it up at once. More: dropped unread, counted; DTLS repeats its flights.
pub const HANDSHAKE_DATAGRAMS: Rate = Rate { per_second: 500.0, burst: 1_000.0 };
/// Addresses known for one peer: each of its networks, by UDP and by a TCP connection to each of ours, and where it moved lately. More: the one not heard from for longest is forgotten.
pub const ADDRESSES_PER_PEER_MAX: usize = 32;
/// Addresses that one peer may prove anew in a minute, and at once: all of them, twice where it has two networks. More: checks from there are dropped, counted.
pub const NEW_ADDRESSES: Rate = Rate { per_second: ADDRESSES_PER_PEER_MAX as f64 / 60.0, burst: ADDRESSES_PER_PEER_MAX as f64 };
/// Addresses that one peer may prove between two ICE restarts. str0m remembers each until then; this many are 0.3 MB, and hours of a train
/// ride. More: checks from there are dropped, counted.
pub const ADDRESSES_PER_CREDENTIALS_MAX: usize = 1_024;
/// An address belongs to the peer that proved it until it has not checked from there for so long; three checks of the slowest browser. Before:
/// nobody else can prove it.
pub const ADDRESS_LIFE: Duration = Duration::from_secs(15);
/// Without a check from the nominated address for so long nothing is sent there any more (RFC 7675).
pub const CONSENT_LIFE: Duration = Duration::from_secs(30);
/// ICE names (ufrags) known for one peer: one for each restart. More: the oldest is forgotten.
pub const NAMES_PER_PEER_MAX: usize = 4;
/// Bytes of one datagram on a TCP connection: none of a WebRTC client is longer, nor of ours. Longer: the connection is closed.
pub const TCP_FRAME_BYTES_MAX: usize = DATAGRAM_BYTES_MAX;
/// Bytes waiting to leave by one TCP connection, beside what the kernel has: the keyframe of a screen. More: dropped, counted.
pub const TCP_OUT_BYTES_MAX: usize = 128 * 1024;
/// TCP connections of one shard. Clients try several and keep one or two, and few need them at all. More: the oldest that is nobody's is closed,
/// or if there is none, the newest.
pub const TCP_CONNECTIONS_MAX: usize = 8_192;
/// Those of them that no check has made somebody's. A client's first check comes with the connection, so to push a client out one has to make
/// this many within a round trip. More: the oldest is closed.
pub const TCP_UNPROVEN_MAX: usize = 1_024;
/// TCP connections to one shard from one address (IPv6: from one /64): some for each of a few hundred people behind one NAT. More: closed.
pub const TCP_CONNECTIONS_PER_ADDRESS_MAX: usize = 1_000;
/// Bytes that a TCP connection may bring before it is somebody's: checks for all of [`TCP_PROOF_TIMEOUT`], twenty a second. More: closed.
pub const TCP_UNPROVEN_BYTES_MAX: usize = 32 * 1024;
/// A TCP connection that is nobody's by then is closed. One that was somebody's is closed [`CONSENT_LIFE`] after its last check.
pub const TCP_PROOF_TIMEOUT: Duration = Duration::from_secs(10);
/// A TCP connection that takes nothing of what it is sent for so long is closed: what waits for it is old.
pub const TCP_STALL_TIMEOUT: Duration = Duration::from_secs(10);
/// Addresses that a node announces in its answers, default route first. More: the rest is not announced.
pub const MEDIA_ADDRESSES_MAX: usize = 8;

/// One keyframe is asked for per layer in this time; what comes in between is served by the same one.
pub const KEYFRAME_DEBOUNCE: Duration = Duration::from_millis(500);
/// And in this time while all who wait have a lower encoding to show: many who come at once rise at many moments.
pub const KEYFRAME_GATHER: Duration = Duration::from_secs(2);
/// A request that brought no keyframe is repeated after this time (in the first second the encoder is not warm).
pub const KEYFRAME_REPEAT: Duration = Duration::from_millis(300);
/// A track changes its codec at most once in this time: each change is told to every receiver. Packets of another one: dropped, counted.
pub const CODEC_CHANGE_PAUSE: Duration = Duration::from_secs(1);
/// A peer that is not connected by then is closed.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// A room that nobody is in ends after this time.
pub const EMPTY_ROOM_LIFE: Duration = Duration::from_secs(60);

/// Shards of one process: more threads than any machine's cores gain nothing, and each takes a port. More in the settings: refused.
pub const SHARDS_MAX: usize = 256;
/// A packet so far behind the newest of its stream is dropped as late: no receiver's history reaches back that far.
pub const LATE_PACKETS_MAX: u64 = 1_000;
/// A jump of sequence numbers beyond this, forward or back, is a publisher that started anew and not loss: the next keyframe is a switch.
pub const JUMP_PACKETS_MAX: u64 = 3_000;
/// RTP time and real time of a stream may differ by so much from packet to packet; more is a publisher that started anew.
pub const JUMP_TIME_MAX: Duration = Duration::from_secs(10);
/// A layer without packets for so long is not being received any more; its receivers fall back to a lower one.
pub const LAYER_LIFE: Duration = Duration::from_secs(1);
/// An encoding of a camera is not being received any more when the others are ahead of it by so much: encoders stop the highest first.
pub const LAYER_BEHIND: Duration = Duration::from_millis(400);
/// Layers are looked at once in this time: whether they still come, what they take, who waited long enough.
pub const LAYERS_PERIOD: Duration = Duration::from_millis(250);
/// An encoding that was turned on shows its first packet within this time, or the publisher does not send it.
pub const ENCODING_START: Duration = Duration::from_secs(2);
/// An encoding that nobody has watched for so long is turned off: turning pages back and forth costs no keyframes.
pub const ENCODING_LINGER: Duration = Duration::from_secs(4);
/// A newcomer whose offer was accepted is expected to watch within this time.
pub const NEWCOMER_EXPECTED: Duration = Duration::from_secs(5);
/// A newcomer gets lowest layers for so long whatever the estimate says: it has to see something before it can tell what its network carries.
pub const NEWCOMER_GRACE: Duration = Duration::from_secs(2);
/// Bits a second at which a newcomer is sent to in that time, at least.
pub const NEWCOMER_BPS: u64 = 3_000_000;
/// A slot that falls for want of bandwidth within this time after it rose has risen too early.
pub const RISE_TRIAL: Duration = Duration::from_secs(3);
/// It waits for so long before it rises again; each time twice as long, up to the maximum.
pub const RISE_PAUSE: Duration = Duration::from_secs(5);
/// See [`RISE_PAUSE`].
pub const RISE_PAUSE_MAX: Duration = Duration::from_secs(60);
/// It needs more of its way for so long after that pause.
pub const WARY_MAX: Duration = Duration::from_secs(30);
/// A way that carries a little less than what is sent on it is given so much time to carry it again: an estimate falls below what the way carries so that
/// a queue drains, and is up again when it has.
pub const SHORT_MAX: Duration = Duration::from_secs(2);
/// A slot whose way does not carry its step goes on with few frames for so long before it falls to a smaller picture: estimates dip.
pub const SQUEEZE_MAX: Duration = Duration::from_secs(1);
/// A slot whose way does not carry even its lowest layer gets that for so long before it is paused: estimates fall too low when a queue was full.
pub const STARVE_MAX: Duration = Duration::from_millis(1_500);
/// A slot that was paused for want of bandwidth stays so for at least this time.
pub const PAUSED_MIN: Duration = Duration::from_secs(2);
/// A page says how it shows a new picture within this time; until then no encoding is turned on for it that was off.
pub const WISH_EXPECTED: Duration = Duration::from_millis(400);
/// Age of a keyframe whose pictures are kept for newcomers. Older: a new keyframe is asked for.
pub const CACHE_AGE_MAX: Duration = Duration::from_millis(1_500);
/// Bytes of one track that are kept for newcomers. More: nothing is kept until the next keyframe.
pub const CACHE_BYTES_MAX: usize = 150_000;
/// A newcomer is given what is kept only if its way carries it within this time.
pub const CACHE_REPLAY_MAX: Duration = Duration::from_millis(300);
/// Speakers are judged, and told, once in this time.
pub const SPEAKERS_PERIOD: Duration = Duration::from_millis(200);
/// Who begins to speak is heard at once, as long as that was judged no sooner than this before: filling the slots of a large room takes a
/// millisecond.
pub const VOICES_PERIOD: Duration = Duration::from_millis(20);
/// Speakers are judged once in this time while more talk than one receiver hears.
pub const CROWD_PERIOD: Duration = Duration::from_millis(60);
/// Speakers named at once, loudest first. More: not named.
pub const SPEAKERS_MAX: usize = 8;
/// The number of viewers is told at most once in this time: they come in crowds.
pub const VIEWERS_PERIOD: Duration = Duration::from_secs(1);
