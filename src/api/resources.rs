//! The wire types of REST alone; what it shares with signalling is in `protocol`, which has these too.

use serde::{Deserialize, Serialize};
use ts_rs::TS;
use utoipa::ToSchema;

use super::protocol::{Publishable, RoomMode, Settings, SlotLayers, VideoCodec};

/// A room in REST.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
pub struct Room {
    /// Its name.
    pub name: String,
    /// Who fills its slots.
    pub mode: RoomMode,
    /// What its participants are asked to publish.
    pub video_codec: VideoCodec,
    /// Participants, without viewers.
    pub participants: u32,
    /// Viewers.
    pub viewers: u32,
    /// Published tracks.
    pub tracks: u32,
    /// Whether it stays when it is empty.
    pub permanent: bool,
    /// What moderators have decided about it.
    pub settings: Settings,
    /// How many wait in its lobby.
    pub waiting: u32,
}

/// Makes a room in REST.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewRoom {
    /// Its name.
    pub name: String,
    /// Who fills its slots.
    #[serde(default)]
    pub mode: RoomMode,
    /// What its participants are asked to publish; VP8 if absent.
    #[serde(default)]
    pub video_codec: VideoCodec,
    /// How it begins; what is absent is open to everybody.
    #[serde(default)]
    pub settings: NewSettings,
}

/// Changes a room, or says how it begins; what is absent stays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewSettings {
    /// Nobody but moderators may enter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub locked: Option<bool>,
    /// Who enters waits to be admitted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub lobby: Option<bool>,
    /// What those who are no moderators may publish.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub publish: Option<Vec<Publishable>>,
}

/// Changes a participant in REST; what is absent stays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ParticipantChange {
    /// What they may publish. What they may not any more ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub publish: Option<Vec<Publishable>>,
}

/// Mutes in REST.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MuteRequest {
    /// One track; absent: all that the participant publishes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub track: Option<u32>,
}

/// What is sent to one participant, in REST.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
pub struct ReceivedLayers {
    /// What the way to them is estimated to carry, in kbit/s; absent: not known yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub estimate_kbps: Option<u32>,
    /// Every slot with a source.
    pub slots: Vec<SlotLayers>,
}
