//! The door: the only way from front ends into shards.
//!
//! It knows which room is on which shard (the process's one concurrent map), places new rooms, counts peers, and does what an offer costs
//! before it reaches a shard: checking its size, parsing it, building the `Rtc` and the answer.

use std::io;
use std::sync::Arc;

use tokio::sync::mpsc;

use crate::config::Config;
use crate::id::{PeerId, RoomName};
use crate::metrics::Metrics;
use crate::people::LeaveReason;
use crate::room::Filler;
pub use crate::shard::command::{Action, Declared, Entry, Joined, Notice, NumberedSection, Refusal, RoomInfo};

/// What can be asked of a room.
#[derive(Clone, Debug)]
pub enum Request {
    /// Make it, to stay. Refused if it exists. Answered by [`Response::Done`].
    Create {
        /// Its policy.
        filler: Filler,
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
}

/// The door.
pub struct Sfu {}

impl Sfu {
    /// Binds the media sockets and starts the shards.
    pub fn start(_config: &Config, _metrics: Arc<Metrics>) -> io::Result<Sfu> {
        unimplemented!()
    }

    /// Enters a room by an SDP offer; the room begins if it is not there.
    pub async fn open(&self, _room: &RoomName, _entry: Entry, _offer: &str, _declared: Vec<Declared>) -> Result<Opened, Refusal> {
        unimplemented!()
    }

    /// Asks something of a room.
    pub async fn command(&self, _room: &RoomName, _request: Request) -> Result<Response, Refusal> {
        unimplemented!()
    }

    /// The names of all rooms, sorted.
    pub fn list(&self) -> Vec<RoomName> {
        unimplemented!()
    }

    /// No new rooms and participants from now on (`/readyz` says 503); those who are in stay.
    pub fn drain(&self) {
        unimplemented!()
    }

    /// Whether it drains.
    pub fn is_draining(&self) -> bool {
        unimplemented!()
    }

    /// Sends everybody out with [`LeaveReason::ServerStopping`] and ends the shards.
    pub async fn stop(&self) {
        unimplemented!()
    }
}
