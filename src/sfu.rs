//! The door: the only way from front ends into shards.
//!
//! It knows which room is on which shard (the process's one concurrent map), places new rooms, numbers peers, and does what an offer costs
//! before it reaches a shard: checking its size, parsing it, building the `Rtc` and the answer.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Instant, SystemTime};

use dashmap::{DashMap, Entry as MapEntry};
use tokio::sync::{mpsc, oneshot};

use crate::config::Config;
use crate::id::{PeerId, RoomName};
use crate::limits::{NOTICES_MAX, ROOMS_ENDED_MAX, ROOMS_MAX};
use crate::metrics::Metrics;
use crate::net::interfaces;
use crate::people::LeaveReason;
pub use crate::shard::command::{Action, Declared, Entry, Joined, Notice, NumberedSection, Refusal, RoomInfo, RoomOptions};
use crate::shard::command::{Arrival, Command};
use crate::shard::{self, ShardConfig, ShardHandle};
pub use crate::webrtc::VideoCodec;
use crate::webrtc::{self, Offer, Peer, PeerConfig};

/// What can be asked of a room.
#[derive(Clone, Debug)]
pub enum Request {
    /// Make it, to stay. Refused if it exists. Answered by [`Response::Done`].
    Create {
        /// What it is like.
        options: RoomOptions,
    },
    /// Send everybody out and end it. Answered by [`Response::Done`].
    Close,
    /// A further offer of a participant. Answered by [`Response::Answered`].
    Offer {
        /// Whose.
        peer: PeerId,
        /// SDP.
        offer: String,
        /// What all the send sections carry.
        declared: Vec<Declared>,
    },
    /// A participant does something. Answered by [`Response::Done`].
    Act {
        /// Who.
        peer: PeerId,
        /// What.
        action: Action,
    },
    /// A participant leaves or is sent out. Answered by [`Response::Done`].
    Leave {
        /// Who.
        peer: PeerId,
        /// Why.
        reason: LeaveReason,
    },
    /// Look at it. Answered by [`Response::Room`].
    Inspect,
}

/// What a room answers.
#[derive(Clone, Debug)]
pub enum Response {
    /// Carried out.
    Done,
    /// To an offer.
    Answered {
        /// SDP.
        answer: String,
        /// The participant's tracks, all of them.
        tracks: Vec<NumberedSection>,
    },
    /// To an inspection.
    Room(RoomInfo),
}

/// Somebody has entered.
#[derive(Debug)]
pub struct Opened {
    /// What they find.
    pub joined: Joined,
    /// SDP.
    pub answer: String,
    /// What they are told from now on. Dropping it means to leave.
    pub notices: mpsc::Receiver<Notice>,
    _hold: Hold,
}

/// The door.
pub struct Sfu {
    shards: Vec<Shard>,
    /// Which shard a room is on. Everybody in it, or on the way into it, holds a place, so that it cannot move while it is wanted.
    rooms: Arc<DashMap<RoomName, Place>>,
    next_peer: AtomicU32,
    epoch: (Instant, u64),
    draining: AtomicBool,
}

struct Shard {
    commands: mpsc::Sender<Command>,
    media: PeerConfig,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    shard: usize,
    /// What its participants are asked to publish: the answer to an offer is made before a shard sees it.
    publish: VideoCodec,
    /// Participants, and those who are just entering.
    holders: usize,
    /// The shard has had the room; it will say when it is over.
    begun: bool,
    /// It stays when it is empty.
    permanent: bool,
}

/// Keeps a room where it is while somebody is in it or on the way into it.
#[derive(Debug)]
struct Hold {
    rooms: Arc<DashMap<RoomName, Place>>,
    room: RoomName,
    shard: usize,
    publish: VideoCodec,
}

impl Drop for Hold {
    fn drop(&mut self) {
        if let MapEntry::Occupied(mut place) = self.rooms.entry(self.room.clone()) {
            let p = place.get_mut();
            p.holders -= 1;
            if p.holders == 0 && !p.begun && !p.permanent {
                place.remove();
            }
        }
    }
}

impl Sfu {
    /// Binds the media sockets and starts the shards. Called within a tokio runtime.
    pub fn start(config: &Config, metrics: &Arc<Metrics>) -> io::Result<Sfu> {
        let certificate = webrtc::certificate().ok_or_else(|| io::Error::other("no DTLS certificate could be made"))?;
        let epoch = (Instant::now(), webrtc::ntp_time(SystemTime::now()));
        let addresses = if config.media.advertise.is_empty() { interfaces::usable_addresses(config.is_local())? } else { vec![] };
        let rooms: Arc<DashMap<RoomName, Place>> = Arc::default();
        let (ended, has_ended) = mpsc::channel(ROOMS_ENDED_MAX);
        tokio::spawn(forget_ended(has_ended, Arc::clone(&rooms)));
        let limits = &config.limits;
        let mut shards = vec![];
        for index in 0..config.media.shards {
            let step = index as u16;
            let config = ShardConfig {
                index,
                port: if config.media.port == 0 { 0 } else { config.media.port + step },
                addresses: addresses.clone(),
                advertised: config.media.advertise.iter().map(|a| (a.ip, a.port.map(|port| port + step))).collect(),
                epoch,
                seed: fastrand::u64(..),
                metrics: metrics.shard(index),
                ended: ended.clone(),
            };
            let port = config.port;
            let ShardHandle { commands, announced } =
                shard::spawn(config).map_err(|e| io::Error::new(e.kind(), format!("media port {port} (UDP): {e}")))?;
            shards.push(Shard {
                commands,
                media: PeerConfig { certificate: certificate.clone(), addresses: announced, limits: limits.clone() },
            });
        }
        Ok(Sfu { shards, rooms, next_peer: AtomicU32::new(1), epoch, draining: AtomicBool::new(false) })
    }

    /// Enters a room by an SDP offer; the room begins if it is not there.
    pub async fn open(&self, room: &RoomName, entry: Entry, offer: &str, declared: Vec<Declared>) -> Result<Opened, Refusal> {
        if self.is_draining() {
            return Err(Refusal::Stopping);
        }
        let hold = self.hold(room, entry.options)?;
        let shard = &self.shards[hold.shard];
        let offer = Offer::parse(offer)?;
        let (media, answer, negotiated) = Peer::accept(&shard.media, offer, hold.publish, self.epoch, Instant::now())?;
        let arrival = Arrival { media: Box::new(media), negotiated, declared };
        let (notices, reader) = mpsc::channel(NOTICES_MAX);
        let peer = PeerId(self.next_peer.fetch_add(1, Ordering::Relaxed));
        let room = room.clone();
        let name = room.clone();
        let joined = self.ask(hold.shard, |reply| Command::Join { room, peer, entry, arrival, notices, reply }).await??;
        self.change(&name, |place| place.begun = true);
        Ok(Opened { joined, answer: answer.print(), notices: reader, _hold: hold })
    }

    /// Asks something of a room.
    pub async fn command(&self, room: &RoomName, request: Request) -> Result<Response, Refusal> {
        let room = room.clone();
        match request {
            Request::Create { options } => self.create(room, options).await,
            Request::Close => {
                let shard = self.find(&room)?;
                self.change(&room, |place| place.permanent = false);
                self.ask(shard, |reply| Command::Close { room, reply }).await??;
                Ok(Response::Done)
            }
            Request::Offer { peer, offer, declared } => {
                let offer = Offer::parse(&offer)?;
                let asked = self.ask(self.find(&room)?, |reply| Command::Offer { room, peer, offer, declared, reply });
                let (answer, tracks) = asked.await??;
                Ok(Response::Answered { answer: answer.print(), tracks })
            }
            Request::Act { peer, action } => {
                self.ask(self.find(&room)?, |reply| Command::Act { room, peer, action, reply }).await??;
                Ok(Response::Done)
            }
            Request::Leave { peer, reason } => {
                self.ask(self.find(&room)?, |reply| Command::Leave { room, peer, reason, reply }).await??;
                Ok(Response::Done)
            }
            Request::Inspect => Ok(Response::Room(self.ask(self.find(&room)?, |reply| Command::Inspect { room, reply }).await??)),
        }
    }

    /// The names of all rooms, sorted.
    pub fn list(&self) -> Vec<RoomName> {
        let mut names: Vec<RoomName> = self.rooms.iter().map(|place| place.key().clone()).collect();
        names.sort();
        names
    }

    /// No new rooms and participants from now on (`/readyz` says 503); those who are in stay.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Whether it drains.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Sends everybody out with [`LeaveReason::ServerStopping`] and ends the shards.
    pub async fn stop(&self) {
        self.drain();
        for shard in 0..self.shards.len() {
            let _ = self.ask(shard, |reply| Command::Stop { reply }).await;
        }
    }

    async fn create(&self, room: RoomName, options: RoomOptions) -> Result<Response, Refusal> {
        if self.is_draining() {
            return Err(Refusal::Stopping);
        }
        let hold = self.hold(&room, options)?;
        let name = room.clone();
        self.ask(hold.shard, |reply| Command::Create { room, options, reply }).await??;
        self.change(&name, |place| (place.begun, place.permanent) = (true, true));
        Ok(Response::Done)
    }

    async fn ask<T>(&self, shard: usize, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Result<T, Refusal> {
        let (reply, answer) = oneshot::channel();
        self.shards[shard].commands.send(command(reply)).await.map_err(|_| Refusal::Stopping)?;
        answer.await.map_err(|_| Refusal::Stopping)
    }

    fn find(&self, room: &RoomName) -> Result<usize, Refusal> {
        self.rooms.get(room).map(|place| place.shard).ok_or(Refusal::NoRoom)
    }

    fn change(&self, room: &RoomName, change: impl FnOnce(&mut Place)) {
        if let Some(mut place) = self.rooms.get_mut(room) {
            change(&mut place);
        }
    }

    fn hold(&self, room: &RoomName, options: RoomOptions) -> Result<Hold, Refusal> {
        // Asked before the entry is locked, since counting locks every part of the map.
        let full = self.rooms.len() >= ROOMS_MAX;
        let (shard, publish) = match self.rooms.entry(room.clone()) {
            MapEntry::Occupied(mut place) => {
                place.get_mut().holders += 1;
                (place.get().shard, place.get().publish)
            }
            MapEntry::Vacant(_) if full => return Err(Refusal::TooManyRooms),
            MapEntry::Vacant(free) => {
                let shard = self.place(room);
                free.insert(Place { shard, publish: options.publish, holders: 1, begun: false, permanent: false });
                (shard, options.publish)
            }
        };
        Ok(Hold { rooms: Arc::clone(&self.rooms), room: room.clone(), shard, publish })
    }

    /// By name, so that whoever comes back within the life of an empty room finds it where it was.
    fn place(&self, room: &RoomName) -> usize {
        let mut hasher = DefaultHasher::new();
        room.hash(&mut hasher);
        (hasher.finish() % self.shards.len() as u64) as usize
    }
}

/// Takes rooms that are over off the map, unless somebody is on the way into them again.
async fn forget_ended(mut ended: mpsc::Receiver<RoomName>, rooms: Arc<DashMap<RoomName, Place>>) {
    while let Some(room) = ended.recv().await {
        if let MapEntry::Occupied(mut place) = rooms.entry(room) {
            (place.get_mut().begun, place.get_mut().permanent) = (false, false);
            if place.get().holders == 0 {
                place.remove();
            }
        }
    }
}
