//! A peer: what it publishes, the slots it has, and what it wants to see in them.

use std::time::Instant;

use super::event::View;
use crate::id::TrackId;

/// Somebody or something in the room.
pub(super) struct Peer {
    /// Place in the order of joining.
    pub(super) joined: u64,
    /// Its media path stands.
    pub(super) connected: bool,
    /// In order of publishing.
    pub(super) tracks: Vec<TrackId>,
    /// Keys of its slots, by slot index.
    pub(super) slots: Vec<usize>,
    pub(super) view: View,
    /// What its way carries, in bits a second; `None`: whatever is sent.
    pub(super) estimate: Option<u64>,
    /// Since when its way carries a little less than what it is sent.
    pub(super) short: Option<Instant>,
    /// What would be sent if its way carried everything.
    pub(super) want: u64,
    /// That stands in the room's output.
    pub(super) queued: bool,
    /// Since when its media path stands.
    pub(super) since: Option<Instant>,
    /// It is to be looked at when the room settles.
    pub(super) stirred: bool,
    /// It is to be looked at again then.
    pub(super) again: Option<Instant>,
}

impl Peer {
    pub(super) fn new(joined: u64) -> Peer {
        let view = View::Auto { offset: 0, limit: None, pinned: Vec::new() };
        Peer {
            joined,
            connected: false,
            tracks: Vec::new(),
            slots: Vec::new(),
            view,
            estimate: None,
            short: None,
            want: 0,
            queued: false,
            since: None,
            stirred: false,
            again: None,
        }
    }
}
