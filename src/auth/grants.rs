//! What somebody may do, whoever said so: a token, the settings for guests, or a server that is open.

use crate::id::RoomName;

/// What somebody brings and may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grants {
    /// Fixed by a token. `None`: the server makes one, as for every guest.
    pub identity: Option<String>,
    /// Display name, if the token fixes one; it wins over what the client says.
    pub name: Option<String>,
    /// Free text of the application, if the token fixes it; it wins over what the client says.
    pub metadata: Option<String>,
    /// Where.
    pub rooms: Rooms,
    /// What in the room.
    pub rights: Rights,
    /// Everything through the API: rooms, participants, metrics.
    pub admin: bool,
}

/// Which rooms may be entered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rooms {
    /// Every room.
    Any,
    /// One.
    One(RoomName),
    /// None: a token for the API only.
    None,
}

impl Rooms {
    /// Whether this room is among them.
    pub fn include(&self, room: &RoomName) -> bool {
        match self {
            Rooms::Any => true,
            Rooms::One(one) => one == room,
            Rooms::None => false,
        }
    }
}

/// What somebody may do in a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rights {
    /// What may be published.
    pub publish: Publish,
    /// May receive media.
    pub subscribe: bool,
    /// May mute, remove, lock, admit; enters a locked room and passes the lobby.
    pub moderate: bool,
}

impl Rights {
    /// Publish and receive everything, moderate nothing.
    pub const MEMBER: Rights = Rights { publish: Publish::ALL, subscribe: true, moderate: false };
    /// Everything.
    pub const MODERATOR: Rights = Rights { moderate: true, ..Rights::MEMBER };
}

/// What may be published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Publish {
    /// A camera.
    pub camera: bool,
    /// A microphone.
    pub microphone: bool,
    /// A screen with its sound.
    pub screen: bool,
}

impl Publish {
    /// Everything.
    pub const ALL: Publish = Publish { camera: true, microphone: true, screen: true };
    /// Nothing.
    pub const NOTHING: Publish = Publish { camera: false, microphone: false, screen: false };

    /// What both allow.
    pub fn and(self, other: Publish) -> Publish {
        Publish {
            camera: self.camera && other.camera,
            microphone: self.microphone && other.microphone,
            screen: self.screen && other.screen,
        }
    }
}
