//! What a bot brings to a room.

use std::net::SocketAddr;

use ninefold::api::protocol::Role;

use crate::carrier::Transport;
use crate::media::Camera;

/// What a bot brings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BotKit {
    /// Display name.
    pub name: String,
    /// Participant or viewer.
    pub role: Role,
    /// Camera, if there is one.
    pub camera: Option<Camera>,
    /// Microphone.
    pub microphone: bool,
    /// Receive slots.
    pub video_slots: usize,
    /// Receive slots.
    pub audio_slots: usize,
    /// Media goes to this relay instead of the addresses that the server names.
    pub relay: Option<SocketAddr>,
    /// Access token, where the server wants one.
    pub token: Option<String>,
    /// What an earlier participation was given to resume with; its place is taken over.
    pub rejoin: Option<String>,
    /// How media goes.
    pub transport: Transport,
    /// Packets that come are counted and not decrypted.
    pub light: bool,
}

impl BotKit {
    /// Somebody with a camera, a microphone, four video and three audio slots.
    pub fn person(name: &str) -> BotKit {
        let name = name.to_owned();
        BotKit {
            name,
            role: Role::Participant,
            camera: Some(Camera::default()),
            microphone: true,
            video_slots: 4,
            audio_slots: 3,
            relay: None,
            token: None,
            rejoin: None,
            transport: Transport::Udp,
            light: false,
        }
    }

    /// Somebody who watches one.
    pub fn viewer() -> BotKit {
        BotKit { role: Role::Viewer, camera: None, microphone: false, video_slots: 1, audio_slots: 1, ..BotKit::person("") }
    }
}
