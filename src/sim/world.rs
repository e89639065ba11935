//! The shard's core, its clients and the links between them, in steps of one millisecond.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use str0m::config::DtlsCert;

use super::client::{Client, Kit};
use super::link::{Conditions, Parcel, Way};
use super::wire::Audit;
use crate::auth::{Rights, Secret};
use crate::id::{ConnectionId, PeerId, RoomName, TrackId};
use crate::limits::Limits;
use crate::people::{LeaveReason, Profile, Source};
use crate::room::{Filler, View, Wish};
use crate::shard::Core;
use crate::shard::command::{Action, Arrival, Declared, Earlier, Entry, Moderation, Notice, Refusal, RoomOptions};
use crate::webrtc::{Offer, Path, Peer, PeerConfig, Transport, VideoCodec, certificate};

const STEP: Duration = Duration::from_millis(1);
/// Datagrams of one run, as the kernel takes them.
const RUN_MAX: usize = 64;

/// How a client's network is.
#[derive(Clone, Copy, Debug)]
pub struct Network {
    /// One way.
    pub delay: Duration,
    /// Each way, 0 to 1.
    pub loss: f32,
}

/// What the server did about a client that moved.
#[derive(Clone, Copy, Debug, Default)]
pub struct Move {
    /// It answered a check from the new address.
    pub answered: Option<Instant>,
    /// It sent media there.
    pub media: Option<Instant>,
}

/// A client's network.
pub struct Link {
    pub up: Way,
    pub down: Way,
    up_cut: bool,
}

/// A client's signalling.
struct Line {
    /// The last event that was told with the join.
    since: u64,
    /// `None`: lost.
    attachment: Option<u32>,
    /// Events that came.
    heard: Vec<u64>,
}

/// Everything.
pub struct World {
    pub core: Core,
    pub now: Instant,
    pub start: Instant,
    pub clients: BTreeMap<usize, Client>,
    pub audit: Audit,
    /// Events of the room as somebody was told, by client.
    pub told: BTreeMap<usize, Vec<Notice>>,
    /// Of which height a client wants its pictures.
    wished: BTreeMap<usize, u16>,
    lines: BTreeMap<usize, Line>,
    pub links: BTreeMap<usize, Link>,
    by_peer: BTreeMap<PeerId, usize>,
    /// Where a client is seen from outside, which is not where it is once it moved; and the other way round.
    outside: BTreeMap<usize, SocketAddr>,
    by_address: BTreeMap<SocketAddr, usize>,
    /// By what the server sees the clients that it does not see by UDP.
    connections: BTreeMap<usize, ConnectionId>,
    /// The last move of each client.
    pub moves: BTreeMap<usize, Move>,
    moved: u32,
    /// Whose datagrams to the server are written down, and they.
    pub recorded: (usize, Vec<Vec<u8>>),
    /// Datagrams that went to addresses where nobody is (any more).
    pub to_nobody: BTreeMap<SocketAddr, u64>,
    made: usize,
    seed: u64,
    network: Network,
    pub rng: fastrand::Rng,
    server: SocketAddr,
    room: RoomName,
    /// Of those who join from now on.
    pub limits: Limits,
}

impl World {
    pub fn new(seed: u64, network: Network) -> World {
        let now = Instant::now();
        World {
            core: Core::new((now, 3_900_000_000 << 32), Limits::default(), fastrand::Rng::with_seed(seed)),
            now,
            start: now,
            clients: BTreeMap::new(),
            audit: Audit::default(),
            told: BTreeMap::new(),
            wished: BTreeMap::new(),
            lines: BTreeMap::new(),
            links: BTreeMap::new(),
            by_peer: BTreeMap::new(),
            outside: BTreeMap::new(),
            by_address: BTreeMap::new(),
            connections: BTreeMap::new(),
            moves: BTreeMap::new(),
            moved: 0,
            recorded: (0, vec![]),
            to_nobody: BTreeMap::new(),
            made: 0,
            seed,
            network,
            rng: fastrand::Rng::with_seed(seed ^ 0x9e37_79b9),
            server: "10.255.0.1:10000".parse().expect("an address"),
            room: RoomName::parse("sim").expect("a name"),
            limits: Limits::default(),
        }
    }

    /// Somebody joins; returns their number here.
    pub fn join(&mut self, kit: Kit, filler: Filler) -> Result<usize, Refusal> {
        let identity = format!("i{}", self.made + 1);
        self.join_as(&identity, kit, filler)
    }

    pub fn join_as(&mut self, identity: &str, kit: Kit, filler: Filler) -> Result<usize, Refusal> {
        self.join_with(identity, kit, filler, |offer| offer)
    }

    /// Somebody joins with an offer that was tampered with.
    pub fn join_with(&mut self, identity: &str, kit: Kit, filler: Filler, tamper: impl FnOnce(String) -> String) -> Result<usize, Refusal> {
        self.made += 1;
        let index = self.made;
        let address = SocketAddr::from(([10, (index >> 8) as u8, index as u8, 1], 4_000));
        let (mut client, offer) = Client::new(address, kit, self.now);
        let config = PeerConfig { certificate: shared_certificate(), addresses: vec![self.server], tcp: true, limits: self.limits.clone() };
        let epoch = (self.start, 3_900_000_000 << 32);
        let offer = Offer::parse(&tamper(offer))?;
        let (media, answer, negotiated) = Peer::accept(&config, offer, VideoCodec::default(), epoch, self.now)?;
        let source = |video| if video { Source::Camera } else { Source::Microphone };
        let declared = client.sections().into_iter().map(|(mid, video)| Declared { mid, source: source(video), muted: false }).collect();
        let viewer = kit.layers == 0 && !kit.microphone;
        let name = if viewer { String::new() } else { format!("n{index}") };
        let profile = Profile { identity: identity.to_string(), name, metadata: String::new() };
        let arrival = Arrival { media: Box::new(media), negotiated, declared, secret: secret_of(index) };
        let peer = PeerId(index as u32);
        let joined = self.core.join(
            &self.room,
            peer,
            Entry { profile, viewer, rights: Rights::MODERATOR, address: None, options: RoomOptions { filler, ..RoomOptions::default() } },
            arrival,
            self.now,
        )?;
        client.accept(peer, &answer.print(), self.now);
        client.seed = self.seed << 32 | index as u64;
        self.by_peer.insert(peer, index);
        self.by_address.insert(address, index);
        self.outside.insert(index, address);
        self.links.insert(index, self.link(index));
        self.clients.insert(index, client);
        self.told.insert(index, vec![]);
        self.lines.insert(index, Line { since: joined.snapshot.seq, attachment: Some(0), heard: vec![] });
        Ok(index)
    }

    pub fn leave(&mut self, index: usize) {
        let peer = PeerId(index as u32);
        let attachment = self.core.attachment(peer);
        let _ = self.core.leave(&self.room, peer, attachment, LeaveReason::Left, self.now);
        self.drop_client(index);
    }

    /// The client is gone without a word.
    pub fn drop_client(&mut self, index: usize) {
        if let Some(client) = self.clients.remove(&index) {
            assert_eq!(client.faults, Vec::<String>::new(), "client {index}");
        }
        if let Some(address) = self.outside.remove(&index) {
            self.by_address.remove(&address);
        }
        self.moves.remove(&index);
        self.links.remove(&index);
        self.lines.remove(&index);
        self.by_peer.remove(&PeerId(index as u32));
    }

    /// The client's signalling is lost; its media is not.
    pub fn cut(&mut self, index: usize) {
        let line = self.lines.get_mut(&index).expect("a client");
        if let Some(attachment) = line.attachment.take() {
            // Refused where the room ended in the meantime.
            let _ = self.core.lost(&self.room, PeerId(index as u32), attachment, self.now);
        }
    }

    /// The client comes back, its signalling lost or not.
    pub fn resume(&mut self, index: usize) -> Result<(), Refusal> {
        let line = self.lines.get_mut(&index).expect("a client");
        let earlier = Earlier { peer: PeerId(index as u32), secret: secret_of(index) };
        let last = line.heard.last().copied().unwrap_or(line.since);
        line.attachment = Some(self.core.resume(&self.room, &earlier, last, self.now)?);
        Ok(())
    }

    pub fn moderate(&mut self, what: Moderation) -> Result<(), Refusal> {
        self.core.moderate(&self.room, None, what, self.now)
    }

    /// Whoever has signalling has heard of every event that was for them, once and in order.
    pub fn check_heard(&self) {
        for (index, line) in self.lines.iter().filter(|(_, line)| line.attachment.is_some()) {
            if let Some(events) = self.core.events_for(&self.room, PeerId(*index as u32), line.since) {
                assert_eq!(line.heard, events, "client {index}");
            }
        }
    }

    pub fn act(&mut self, index: usize, action: Action) -> Result<(), Refusal> {
        self.core.act(&self.room, PeerId(index as u32), action, self.now)
    }

    pub fn view(&mut self, index: usize, view: View) {
        self.act(index, Action::View(view)).expect("a view");
    }

    /// A further offer.
    pub fn renegotiate(&mut self, index: usize, offer: impl FnOnce(&mut Client) -> String) {
        let client = self.clients.get_mut(&index).expect("a client");
        let offer = Offer::parse(&offer(client)).expect("an offer");
        let peer = PeerId(index as u32);
        let (answer, _) = self.core.offer(&self.room, peer, offer, &[], self.now).expect("an answer");
        let client = self.clients.get_mut(&index).expect("a client");
        client.accept(peer, &answer.print(), self.now);
    }

    /// The client's NAT gives it another address: the old one is dead in both directions.
    pub fn rebind(&mut self, index: usize) {
        self.moved += 1;
        let [_, a, b, c] = self.moved.to_be_bytes();
        let new = SocketAddr::from(([11, a, b, c], 5_000));
        let old = self.outside.insert(index, new).expect("a client");
        self.by_address.remove(&old);
        self.by_address.insert(new, index);
        self.moves.insert(index, Move::default());
    }

    /// The client's datagrams go by this TCP connection from now on, or (`None`) by UDP again: what goes the other way does not arrive.
    pub fn carry(&mut self, index: usize, connection: Option<ConnectionId>) {
        match connection {
            Some(connection) => drop(self.connections.insert(index, connection)),
            None => drop(self.connections.remove(&index)),
        }
        self.moves.insert(index, Move::default());
    }

    /// Where the server sees a client, and by what.
    pub fn path(&self, index: usize) -> Path {
        let transport = transport(&self.connections, index);
        Path { transport, remote: self.outside[&index], local: self.server }
    }

    /// Where the server sees a client.
    pub fn outside(&self, index: usize) -> SocketAddr {
        self.outside[&index]
    }

    /// The client sends nothing any more, and hears.
    pub fn silence(&mut self, index: usize) {
        self.links.get_mut(&index).expect("a link").up_cut = true;
    }

    /// A datagram out of nowhere, or out of a client's own address.
    pub fn throw(&mut self, from: SocketAddr, bytes: &[u8]) {
        let path = Path::udp(from, self.server);
        self.core.handle_datagram(path, bytes, self.now);
    }

    pub fn poison_room(&mut self) {
        self.core.poison_room(&self.room);
    }

    pub fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.step();
        }
    }

    /// The same, where time in which nothing is due is passed over.
    pub fn run_sparse(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            let links = self.links.values().flat_map(|link| [&link.up, &link.down]).filter_map(Way::due);
            let clients = self.clients.values().map(Client::due);
            let due = links.chain(clients).chain(self.core.timeout()).min().unwrap_or(end);
            // One step before, since a step begins with time.
            self.now = self.now.max(due.min(end) - STEP);
            self.step();
        }
    }

    /// Runs until `done`, at most for `time`. Returns how long it took.
    pub fn run_until(&mut self, time: Duration, mut done: impl FnMut(&World) -> bool) -> Option<Duration> {
        let start = self.now;
        while self.now < start + time {
            if done(self) {
                return Some(self.now - start);
            }
            self.step();
        }
        None
    }

    /// Somebody's track from this source.
    pub fn track(&self, index: usize, source: Source) -> TrackId {
        let people = self.core.roster(&self.room).expect("the room").participants;
        let person = people.iter().find(|p| p.peer == PeerId(index as u32)).expect("somebody in the roster");
        person.tracks.iter().find(|t| t.source == source).expect("such a track").track
    }

    /// Why somebody was told that it is over.
    pub fn closed(&self, index: usize) -> Option<LeaveReason> {
        self.told[&index].iter().find_map(|notice| if let Notice::Closed(reason) = notice { Some(*reason) } else { None })
    }

    /// Everybody's faults and the wire's, and the core's invariants.
    pub fn check(&self) {
        self.core.check_invariants();
        for (index, client) in &self.clients {
            assert_eq!(client.faults, Vec::<String>::new(), "client {index}");
        }
        assert_eq!(self.audit.reused, [], "an index was used twice");
    }

    fn link(&self, index: usize) -> Link {
        let conditions = Conditions { loss: self.network.loss, ..Conditions::delay(self.network.delay) };
        let way = |way: u64| Way::new(conditions, self.seed << 32 | (index as u64 * 2 + way));
        Link { up: way(0), down: way(1), up_cut: false }
    }

    /// What the server believes that a client's way down carries, in bits per second.
    pub fn estimate(&self, index: usize) -> Option<u64> {
        self.core.layers(&self.room, PeerId(index as u32), self.now).ok()?.estimate
    }

    /// A client says of which height its pictures should be, those to come too; 0: it sees none of them.
    pub fn wish(&mut self, index: usize, height: u16) {
        self.wished.insert(index, height);
        self.say_wishes(index);
    }

    fn say_wishes(&mut self, index: usize) {
        let Some(height) = self.wished.get(&index).map(|height| u32::from(*height)) else { return };
        let Ok(report) = self.core.layers(&self.room, PeerId(index as u32), self.now) else { return };
        let wish = Wish { size: (Some(height * 16 / 9), Some(height)), visible: height > 0, ..Wish::default() };
        let wishes = report.slots.into_iter().map(|(mid, slot)| (mid, slot.track, wish)).collect();
        self.act(index, Action::Wishes(wishes)).expect("wishes");
    }

    fn step(&mut self) {
        self.now += STEP;
        let now = self.now;
        for (index, link) in &mut self.links {
            while let Some(Parcel(remote, bytes)) = link.up.poll(now) {
                if self.recorded.0 == *index {
                    self.recorded.1.push(bytes.clone());
                }
                let path = Path { transport: transport(&self.connections, *index), remote, local: self.server };
                self.core.handle_datagram(path, &bytes, now);
            }
        }
        if self.core.timeout().is_some_and(|at| at <= now) {
            self.core.handle_timeout(now);
        }
        let World { core, links, clients, by_address, connections, audit, moves, to_nobody, .. } = self;
        core.take_datagrams(RUN_MAX, |path, bytes, segment| {
            for datagram in bytes.chunks(segment) {
                // By client and not by address: the keys are the same wherever it is.
                let client = by_address.get(&path.remote).and_then(|index| clients.get(index));
                audit.note(client.map_or(path.remote, |client| client.address), datagram);
                let there = by_address.get(&path.remote).filter(|index| transport(connections, **index) == path.transport);
                let Some((index, link)) = there.and_then(|index| Some((index, links.get_mut(index)?))) else {
                    *to_nobody.entry(path.remote).or_default() += 1;
                    continue;
                };
                if let Some(last) = moves.get_mut(index) {
                    match datagram[0] {
                        1 => drop(last.answered.get_or_insert(now)),
                        128..192 if !(192..224).contains(&datagram[1]) => drop(last.media.get_or_insert(now)),
                        _ => {}
                    }
                }
                link.down.send(now, Parcel(path.remote, datagram.to_vec()));
            }
        });
        self.tell();
        for (index, link) in &mut self.links {
            let Some(client) = self.clients.get_mut(index) else { continue };
            while let Some(Parcel(_, bytes)) = link.down.poll(now) {
                client.handle_datagram(self.server, &bytes, now);
            }
            client.step(now);
            while let Some((_, bytes)) = client.poll_datagram() {
                if !link.up_cut {
                    link.up.send(now, Parcel(self.outside[index], bytes));
                }
            }
        }
    }

    fn tell(&mut self) {
        let mut wishing = vec![];
        while let Some((peer, notice)) = self.core.poll_notice() {
            let Some(index) = self.by_peer.get(&peer) else { continue };
            if let (Notice::Slots(slots), Some(client)) = (&notice, self.clients.get_mut(index)) {
                slots.iter().for_each(|(mid, state)| client.told(mid, *state));
            }
            if matches!(notice, Notice::Slots(_)) {
                wishing.push(*index);
            }
            if let (Notice::Encodings(tracks), Some(client)) = (&notice, self.clients.get_mut(index)) {
                tracks.iter().for_each(|(_, on)| client.set_encodings(on, self.now));
            }
            if let (Notice::Event(event), Some(line)) = (&notice, self.lines.get_mut(index))
                && line.attachment.is_some()
            {
                line.heard.push(event.seq);
            }
            if matches!(notice, Notice::Closed(_)) {
                self.lines.remove(index);
            }
            if !self.audit.off || matches!(notice, Notice::Closed(_)) {
                self.told.entry(*index).or_default().push(notice);
            }
        }
        wishing.into_iter().for_each(|index| self.say_wishes(index));
    }
}

/// What carries a client's datagrams now.
fn transport(connections: &BTreeMap<usize, ConnectionId>, index: usize) -> Transport {
    connections.get(&index).map_or(Transport::Udp, |connection| Transport::Tcp(*connection))
}

/// With which a client resumes.
fn secret_of(index: usize) -> Secret {
    Secret::from_random((index as u128).to_be_bytes())
}

/// Making one costs a millisecond and none of the tests is about it.
fn shared_certificate() -> DtlsCert {
    static SHARED: OnceLock<DtlsCert> = OnceLock::new();
    SHARED.get_or_init(|| certificate().expect("a certificate")).clone()
}
