//! How much a core remembers, by its maps and queues: what a test compares before and after. Test code.

use super::Core;
use crate::id::{PeerId, RoomName};

/// Lengths of all that grows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Footprint {
    pub halls: usize,
    pub names: usize,
    pub members: usize,
    pub demux: usize,
    pub timers: usize,
    pub notices: usize,
    pub ended: usize,
    pub touched: usize,
    pub leaving: usize,
    pub broken: usize,
    /// Events, datagrams, channels and SSRCs of all connections.
    pub connections: usize,
}

impl Core {
    /// Now.
    pub fn footprint(&self) -> Footprint {
        Footprint {
            halls: self.halls.iter().flatten().count(),
            names: self.names.len(),
            members: self.members.len(),
            demux: self.demux.len(),
            timers: self.timers.len(),
            notices: self.notices.len(),
            ended: self.ended.len(),
            touched: self.touched.len(),
            leaving: self.leaving.len(),
            broken: self.broken.len(),
            connections: self.members.values().map(|member| member.media.footprint()).sum(),
        }
    }

    /// What a check for this peer begins its name with.
    pub fn ufrag(&self, peer: PeerId) -> String {
        self.members[&peer].media.ufrag().to_string()
    }

    /// The numbers of the events after `seq` that are for this peer.
    pub fn events_for(&self, room: &RoomName, peer: PeerId, seq: u64) -> Option<Vec<u64>> {
        let hall = self.halls[*self.names.get(room)?].as_ref()?;
        Some(hall.people.events_since(seq, peer)?.into_iter().map(|event| event.seq).collect())
    }

    /// Which connection of a peer's signalling it has now.
    pub fn attachment(&self, peer: PeerId) -> u32 {
        self.members.get(&peer).map_or(0, |member| member.attachment)
    }

    /// How many data channels of a peer are open.
    pub fn channels(&self, peer: PeerId) -> usize {
        self.members[&peer].media.open_channels()
    }
}
