//! A shard without its thread, clients without sockets, and a clock that only this file turns: what the shard takes of the processor, and nothing else,
//! is counted.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use ninefold::api::protocol::Role;
use ninefold::auth::{Rights, Secret};
use ninefold::id::{PeerId, RoomName};
use ninefold::limits::Limits;
use ninefold::people::{Profile, Source};
use ninefold::room::Filler;
use ninefold::shard::Core;
use ninefold::shard::command::{Arrival, Declared, Entry, RoomOptions};
use ninefold::webrtc::{self, Offer, Peer, PeerConfig, VideoCodec};

use crate::bot::Transport;
use crate::client::{BotKit, Client, Path};
use crate::media::Camera;

const STEP: Duration = Duration::from_millis(1);
/// Datagrams of one run, as the kernel takes them.
const RUN_MAX: usize = 64;
const SERVER: ([u8; 4], u16) = ([10, 255, 0, 1], 10_000);
/// NTP time of the beginning; any will do.
const NTP: u64 = 3_900_000_000 << 32;

/// Who is in the hall.
#[derive(Clone, Copy, Debug)]
pub struct Crowd {
    /// They send a camera and a microphone.
    pub publishers: usize,
    /// They only watch.
    pub viewers: usize,
    /// What each camera makes.
    pub camera: Camera,
    /// Publishers see so many of each other.
    pub sees: usize,
}

/// What the shard did in some time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Work {
    /// Processor time.
    pub time: Duration,
    /// Media packets that it sent.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Runs of datagrams: each would be a system call.
    pub runs: u64,
}

impl Work {
    /// Nanoseconds for each packet.
    pub fn cost(&self) -> f64 {
        self.time.as_nanos() as f64 / self.packets as f64
    }
}

/// Everything.
pub struct Hall {
    core: Core,
    now: Instant,
    clients: Vec<(SocketAddr, Client)>,
    by_address: HashMap<SocketAddr, usize>,
    /// Datagrams of the shard since the last step: to whom, where they end, of which size.
    sent: Vec<(SocketAddr, usize, usize)>,
    arena: Vec<u8>,
    work: Work,
}

impl Hall {
    /// Everybody joins, and it runs until all are connected.
    pub fn new(crowd: Crowd) -> Result<Hall, String> {
        let now = Instant::now();
        let mut hall = Hall {
            core: Core::new((now, NTP), Limits::default(), fastrand::Rng::with_seed(1)),
            now,
            clients: vec![],
            by_address: HashMap::new(),
            sent: vec![],
            arena: vec![],
            work: Work::default(),
        };
        let certificate = webrtc::certificate().ok_or("there is no certificate")?;
        let config = PeerConfig { certificate, addresses: vec![SERVER.into()], tcp: false, limits: Limits::default() };
        for index in 0..crowd.publishers + crowd.viewers {
            hall.join(index, &config, &crowd).map_err(|error| format!("client {}: {error}", index + 1))?;
            hall.run(STEP * 3);
        }
        for _ in 0..10_000 {
            if hall.clients.iter().all(|(_, client)| client.seen.is_connected()) {
                return Ok(hall);
            }
            hall.step();
        }
        Err("not everybody is connected after 10 s".into())
    }

    fn join(&mut self, index: usize, config: &PeerConfig, crowd: &Crowd) -> Result<(), String> {
        let now = self.now;
        let publishes = index < crowd.publishers;
        let kit = BotKit {
            role: if publishes { Role::Participant } else { Role::Viewer },
            camera: publishes.then_some(crowd.camera),
            microphone: publishes,
            video_slots: if publishes { crowd.sees } else { 1 },
            audio_slots: if publishes { crowd.sees.min(3) } else { 1 },
            light: true,
            ..BotKit::person(&format!("bot {}", index + 1))
        };
        let (mut client, offer) = Client::new(&kit, now);
        let offer = Offer::parse(&offer).map_err(|error| error.to_string())?;
        let accepted = Peer::accept(config, offer, VideoCodec::default(), (now, NTP), now);
        let (media, answer, negotiated) = accepted.map_err(|error| error.to_string())?;
        let section = |mid: String, video| Declared { mid, source: if video { Source::Camera } else { Source::Microphone }, muted: false };
        let is_video = |source| source == ninefold::api::protocol::Source::Camera;
        let declared = client.sections().into_iter().map(|sent| section(sent.mid, is_video(sent.source))).collect();
        let profile = Profile { identity: kit.name.clone(), name: kit.name, metadata: String::new() };
        let options =
            RoomOptions { filler: if crowd.sees == 0 { Filler::Broadcast } else { Filler::Conference }, ..RoomOptions::default() };
        let entry = Entry { profile, viewer: !publishes, rights: Rights::MODERATOR, address: None, options };
        let arrival = Arrival { media: Box::new(media), negotiated, declared, secret: Secret::from_random((index as u128).to_be_bytes()) };
        let room = RoomName::parse("bench").map_err(|error| error.to_string())?;
        let joined = self.core.join(&room, PeerId(index as u32 + 1), entry, arrival, now);
        joined.map_err(|refusal| refusal.to_string())?;
        let address = SocketAddr::from(([10, 0, (index >> 8) as u8, index as u8], 4_000));
        let path = Path { transport: Transport::Udp, local: address, remote: SERVER.into() };
        client.handle_answer(&answer.print(), Some(path), now)?;
        self.by_address.insert(address, index);
        self.clients.push((address, client));
        Ok(())
    }

    /// Lets time pass.
    pub fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.step();
        }
    }

    /// What the shard did since this was last asked.
    pub fn take_work(&mut self) -> Work {
        std::mem::take(&mut self.work)
    }

    /// Packets that clients miss for good, and what they complain about.
    pub fn complaints(&self) -> Vec<String> {
        let lost: u64 = self.clients.iter().map(|(_, client)| client.seen.lost()).sum();
        let lost = (lost > 0).then(|| format!("{lost} packets are missing"));
        self.clients.iter().flat_map(|(_, client)| client.seen.faults.clone()).take(5).chain(lost).collect()
    }

    /// One millisecond: the shard's tick, then the clients.
    fn step(&mut self) {
        self.now += STEP;
        let now = self.now;
        let mut incoming = vec![];
        for (address, client) in &mut self.clients {
            if client.timeout() <= now {
                client.handle_timeout(now);
            }
            while let Some(datagram) = client.poll_datagram() {
                incoming.push((*address, datagram));
            }
        }
        let Hall { core, sent, arena, work, .. } = self;
        let before = (Instant::now(), core.counters.packets_sent, core.counters.bytes_sent);
        core.handle_timeout(now);
        for (address, datagram) in &incoming {
            core.handle_datagram(webrtc::Path::udp(*address, SERVER.into()), datagram, now);
        }
        core.take_datagrams(RUN_MAX, |path, bytes, segment| {
            arena.extend_from_slice(bytes);
            sent.push((path.remote, arena.len(), segment));
        });
        work.time += before.0.elapsed();
        work.packets += core.counters.packets_sent - before.1;
        work.bytes += core.counters.bytes_sent - before.2;
        work.runs += sent.len() as u64;
        while core.poll_notice().is_some() {}
        self.deliver();
    }

    fn deliver(&mut self) {
        let mut from = 0;
        for (address, end, segment) in self.sent.drain(..) {
            let bytes = &self.arena[from..end];
            from = end;
            let Some((_, client)) = self.by_address.get(&address).and_then(|index| self.clients.get_mut(*index)) else { continue };
            bytes.chunks(segment).for_each(|datagram| client.handle_datagram(SERVER.into(), datagram, self.now));
        }
        self.arena.clear();
    }
}
