//! The identifiers that every layer shares.
//!
//! All of them are plain values: a [`PeerId`] says nothing about whether the peer still exists. Rooms are named by people, everything else is
//! numbered by us. None is ever reused within its scope, so a late message about something that is gone finds nothing instead of the wrong thing.

use std::fmt;
use std::sync::Arc;

use crate::limits::ROOM_NAME_CHARS_MAX;

/// A peer of a room. Counted by the door from 1, unique in this process for its life. The API and the page say *participant* for a
/// peer that is a person or an app, and use the same number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PeerId(pub u32);

/// A published source. Counted by its room from 1, unique in the room for its life; slot packets carry it as CSRC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TrackId(pub u32);

/// One of a peer's outgoing places, in the order in which its offers brought them. Never reused, never removed while the peer lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SlotIndex(pub u16);

/// One encoding of a track: 0 is the smallest picture. A track without simulcast has only layer 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LayerIndex(pub u8);

/// A TCP connection that carries media. Counted by its shard from 1, unique there for the life of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(pub u64);

/// The name of a room: 1 to 64 letters (any script), digits, `-` and `_`. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RoomName(Arc<str>);

/// Why a text is no room name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a room name has 1 to 64 letters, digits, '-' or '_'")]
pub struct BadRoomName;

impl RoomName {
    /// Checks `text` and takes it as it is: names are case-sensitive.
    pub fn parse(text: &str) -> Result<RoomName, BadRoomName> {
        let chars = text.chars().count();
        let good = |c: char| c.is_alphanumeric() || c == '-' || c == '_';
        if chars == 0 || chars > ROOM_NAME_CHARS_MAX || !text.chars().all(good) {
            return Err(BadRoomName);
        }
        Ok(RoomName(text.into()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RoomName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

macro_rules! display_number {
    ($($name:ident),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )*};
}
display_number!(PeerId, TrackId, SlotIndex, LayerIndex);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_names() {
        for good in ["a", "8848", "产品周会", "team-1_b", &"x".repeat(64)] {
            assert_eq!(RoomName::parse(good).map(|n| n.to_string()), Ok(good.to_string()));
        }
        for bad in ["", "a b", "a/b", "a.b", "\u{0}", "🙂", &"x".repeat(65)] {
            assert_eq!(RoomName::parse(bad), Err(BadRoomName), "{bad:?}");
        }
    }
}
