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

use crate::auth::Secret;
use crate::config::Config;
use crate::id::{PeerId, RoomName};
use crate::limits::{Limits, NOTICES_MAX, ROOMS_ENDED_MAX, ROOMS_MAX};
use crate::metrics::Metrics;
use crate::net::interfaces;
use crate::people::{Doorway, Knock, LeaveReason, Snapshot};
pub use crate::shard::command::{
    Action, Declared, Earlier, Entry, Joined, LayerReport, Moderation, Notice, NumberedSection, Refusal, RoomInfo, RoomOptions,
};
use crate::shard::command::{Answered, Arrival, Command};
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
    /// A moderator does something, or (`None`) the API. Answered by [`Response::Done`].
    Moderate {
        /// Who.
        by: Option<PeerId>,
        /// What.
        what: Moderation,
    },
    /// A participant's signalling is lost. Answered by [`Response::Done`].
    Lost {
        /// Whose.
        peer: PeerId,
        /// Which connection of theirs.
        attachment: u32,
    },
    /// A participant leaves, in the lobby or in the room. Answered by [`Response::Done`].
    Leave {
        /// Who.
        peer: PeerId,
        /// Which connection of theirs says so; 0 for one who waits.
        attachment: u32,
        /// Why.
        reason: LeaveReason,
    },
    /// See what is sent to a participant. Answered by [`Response::Layers`].
    Layers {
        /// To whom.
        peer: PeerId,
    },
    /// Look at it. Answered by [`Response::Room`].
    Inspect,
    /// See who is in it. Answered by [`Response::Roster`].
    Roster,
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
    /// What is sent.
    Layers(LayerReport),
    /// To an inspection.
    Room(RoomInfo),
    /// Who is in it, and in its lobby.
    Roster(Snapshot),
}

/// Somebody has knocked and was not refused. If they have to wait, [`Notice::Admitted`] or [`Notice::NotAdmitted`] comes.
#[derive(Debug)]
pub struct Knocked {
    /// The number they will have.
    pub peer: PeerId,
    /// They have to wait in the lobby.
    pub waits: bool,
    /// What they are told. Whoever does not want to wait any longer is taken out of the lobby by [`Request::Leave`].
    pub notices: mpsc::Receiver<Notice>,
    entry: Entry,
    told: mpsc::Sender<Notice>,
    hold: Hold,
}

/// Somebody has entered.
#[derive(Debug)]
pub struct Opened {
    /// What they find.
    pub joined: Joined,
    /// SDP.
    pub answer: String,
    /// With which they resume.
    pub secret: Secret,
    /// What they are told from now on. Dropping it means that signalling is lost.
    pub notices: mpsc::Receiver<Notice>,
}

/// Somebody is back.
#[derive(Debug)]
pub struct Resumed {
    /// Which connection of theirs it is; the one that entered is 0.
    pub attachment: u32,
    /// What they are told from now on, beginning with what they missed.
    pub notices: mpsc::Receiver<Notice>,
}

/// The door.
pub struct Sfu {
    shards: Vec<Shard>,
    /// Which shard a room is on. Everybody in it, or on the way into it, holds a place, so that it cannot move while it is wanted.
    rooms: Arc<DashMap<RoomName, Place>>,
    next_peer: AtomicU32,
    limits: Limits,
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
    /// Those who are just entering.
    holders: usize,
    /// The newest room of this name that the shard has told of; the shard says when it is over. Rooms of a name are counted upwards, since
    /// the end of one and the beginning of the next are told on different ways.
    begun: u64,
    /// The newest that is over.
    ended: u64,
}

impl Place {
    fn is_wanted(&self) -> bool {
        self.holders > 0 || self.begun > self.ended
    }
}

/// Keeps a room where it is while somebody is on the way into it.
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
            if !p.is_wanted() {
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
        let mut shards = vec![];
        for index in 0..config.media.shards {
            let step = index as u16;
            let shard_config = ShardConfig {
                index,
                port: if config.media.port == 0 { 0 } else { config.media.port + step },
                tcp: config.media.tcp,
                addresses: addresses.clone(),
                advertised: config.media.advertise.iter().map(|a| (a.ip, a.port.map(|port| port + step))).collect(),
                epoch,
                limits: config.limits.clone(),
                seed: fastrand::u64(..),
                metrics: metrics.shard(index),
                ended: ended.clone(),
            };
            let port = shard_config.port;
            let ShardHandle { commands, announced } =
                shard::spawn(shard_config).map_err(|e| io::Error::new(e.kind(), format!("media port {port}, {e}")))?;
            shards.push(Shard {
                commands,
                media: PeerConfig {
                    certificate: certificate.clone(),
                    addresses: announced,
                    tcp: config.media.tcp,
                    limits: config.limits.clone(),
                },
            });
        }
        Ok(Sfu { shards, rooms, next_peer: AtomicU32::new(1), limits: config.limits.clone(), epoch, draining: AtomicBool::new(false) })
    }

    /// Asks to be let into a room. What is refused here has cost nothing yet: no offer was read. `earlier`: who one was before.
    pub async fn knock(&self, room: &RoomName, mut entry: Entry, earlier: Option<Earlier>) -> Result<Knocked, Refusal> {
        if self.is_draining() {
            return Err(Refusal::Stopping);
        }
        let hold = self.hold(room, entry.options)?;
        let (told, notices) = mpsc::channel(NOTICES_MAX);
        let peer = PeerId(self.next_peer.fetch_add(1, Ordering::Relaxed));
        let Entry { profile, viewer, rights, address, options: _ } = entry.clone();
        let knock = Knock { peer, profile, viewer, rights, address };
        let (room, teller) = (room.clone(), told.clone());
        let answered = self.ask(hold.shard, |reply| Command::Knock { room, knock, earlier, notices: teller, reply }).await??;
        let Answered { doorway, identity } = answered;
        if let Some(identity) = identity {
            entry.profile.identity = identity;
        }
        Ok(Knocked { peer, waits: doorway == Doorway::Lobby, notices, entry, told, hold })
    }

    /// Enters a room by an SDP offer, as one who was let in; the room begins if it is not there.
    pub async fn enter(&self, knocked: Knocked, offer: &str, declared: Vec<Declared>, secret: Secret) -> Result<Opened, Refusal> {
        let Knocked { peer, waits: _, notices, entry, told, hold } = knocked;
        let shard = &self.shards[hold.shard];
        let offer = Offer::parse(offer)?;
        let (media, answer, negotiated) = Peer::accept(&shard.media, offer, hold.publish, self.epoch, Instant::now())?;
        let arrival = Arrival { media: Box::new(media), negotiated, declared, secret: secret.clone() };
        let room = hold.room.clone();
        let command = |reply| Command::Join { room, peer, entry, arrival, notices: told, reply };
        let joined = self.ask(hold.shard, command).await??;
        self.change(&hold.room, |place| place.begun = place.begun.max(joined.life));
        Ok(Opened { joined, answer: answer.print(), secret, notices })
    }

    /// Takes up signalling that was lost. `seq`: the last event that was heard.
    pub async fn resume(&self, room: &RoomName, earlier: Earlier, seq: u64) -> Result<Resumed, Refusal> {
        let shard = self.find(room)?;
        let (told, notices) = mpsc::channel(NOTICES_MAX);
        let room = room.clone();
        let attachment = self.ask(shard, |reply| Command::Resume { room, earlier, seq, notices: told, reply }).await??;
        Ok(Resumed { attachment, notices })
    }

    /// Asks something of a room.
    pub async fn command(&self, room: &RoomName, request: Request) -> Result<Response, Refusal> {
        let room = room.clone();
        match request {
            Request::Create { options } => self.create(room, options).await,
            Request::Close => {
                let shard = self.find(&room)?;
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
            Request::Moderate { by, what } => {
                self.ask(self.find(&room)?, |reply| Command::Moderate { room, by, what, reply }).await??;
                Ok(Response::Done)
            }
            Request::Lost { peer, attachment } => {
                self.ask(self.find(&room)?, |reply| Command::Lost { room, peer, attachment, reply }).await??;
                Ok(Response::Done)
            }
            Request::Leave { peer, attachment, reason } => {
                self.ask(self.find(&room)?, |reply| Command::Leave { room, peer, attachment, reason, reply }).await??;
                Ok(Response::Done)
            }
            Request::Layers { peer } => {
                Ok(Response::Layers(self.ask(self.find(&room)?, |reply| Command::Layers { room, peer, reply }).await??))
            }
            Request::Roster => Ok(Response::Roster(self.ask(self.find(&room)?, |reply| Command::Roster { room, reply }).await??)),
            Request::Inspect => Ok(Response::Room(self.ask(self.find(&room)?, |reply| Command::Inspect { room, reply }).await??)),
        }
    }

    /// What an operator allows.
    pub fn limits(&self) -> &Limits {
        &self.limits
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
        let life = self.ask(hold.shard, |reply| Command::Create { room, options, reply }).await??;
        self.change(&name, |place| place.begun = place.begun.max(life));
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
                free.insert(Place { shard, publish: options.publish, holders: 1, begun: 0, ended: 0 });
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
async fn forget_ended(mut ended: mpsc::Receiver<(RoomName, u64)>, rooms: Arc<DashMap<RoomName, Place>>) {
    while let Some((room, life)) = ended.recv().await {
        if let MapEntry::Occupied(mut place) = rooms.entry(room) {
            place.get_mut().ended = place.get().ended.max(life);
            if !place.get().is_wanted() {
                place.remove();
            }
        }
    }
}
