//! The one place that knows which refusal has which code and which HTTP status.
//!
//! ```text
//! Refusal, RoomError, PeopleError ┐               ┌─ REST: status + {"error":{"code","message"}}
//! what the front ends find wrong  ┴─► Error(Code) ┴─ socket: {"type":"error","id",…}
//! ```
//!
//! Codes are stable and for programs; messages are for persons and may change. `protocol.md` has the table of all codes, which a test compares
//! with this file.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::protocol::{ErrorBody, ServerMessage};
use crate::auth::Denied;
use crate::id::BadRoomName;
use crate::limits::COMPLAINT_CHARS_MAX;
use crate::people::PeopleError;
use crate::room::RoomError;
use crate::sfu::Refusal;

/// Something that was asked and not done, ready to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    code: Code,
    message: String,
}

/// What the body of an unsuccessful response looks like.
#[derive(Debug, Serialize, ToSchema)]
pub struct ErrorResponse {
    /// What is wrong.
    pub error: ErrorBody,
}

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $status:ident, $text:literal;)*) => {
        /// Every code there is.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Code {
            $($(#[$doc])* $name,)*
        }

        impl Code {
            /// All of them.
            pub const ALL: &[Code] = &[$(Code::$name,)*];

            /// As programs read it.
            pub fn text(self) -> &'static str {
                match self {
                    $(Code::$name => $text,)*
                }
            }

            /// Its HTTP status.
            pub fn status(self) -> StatusCode {
                match self {
                    $(Code::$name => StatusCode::$status,)*
                }
            }
        }
    };
}

codes! {
    /// Not JSON, not one of our messages, or a binary frame.
    BadMessage = BAD_REQUEST, "bad_message";
    /// The body does not say that it is JSON.
    NotJson = UNSUPPORTED_MEDIA_TYPE, "not_json";
    /// Longer than allowed.
    TooLarge = PAYLOAD_TOO_LARGE, "too_large";
    /// The first message was no `join`.
    JoinFirst = CONFLICT, "join_first";
    /// A second `join`.
    JoinedAlready = CONFLICT, "joined_already";
    /// No `join` came in time.
    JoinTimeout = REQUEST_TIMEOUT, "join_timeout";
    /// The body of a request did not come in time.
    RequestTimeout = REQUEST_TIMEOUT, "request_timeout";
    /// No WebSocket handshake on a socket's address.
    NotWebSocket = UPGRADE_REQUIRED, "not_websocket";
    /// A page of another site.
    ForeignOrigin = FORBIDDEN, "foreign_origin";
    /// This server is for its own machine, and was asked for by another name.
    ForeignHost = FORBIDDEN, "foreign_host";
    /// Without a token nobody does this.
    TokenNeeded = UNAUTHORIZED, "token_needed";
    /// The token is none, or not signed by a key of this server.
    BadToken = UNAUTHORIZED, "bad_token";
    /// The token is over.
    TokenExpired = UNAUTHORIZED, "token_expired";
    /// The token is not valid yet.
    TokenEarly = UNAUTHORIZED, "token_early";
    /// The token is for another room.
    WrongRoom = FORBIDDEN, "wrong_room";
    /// The token does not allow this.
    NotAllowed = FORBIDDEN, "not_allowed";
    /// Too often.
    TooManyRequests = TOO_MANY_REQUESTS, "too_many_requests";
    /// No room can have this name.
    BadRoomName = BAD_REQUEST, "bad_room_name";
    /// Nobody can have this name.
    BadName = BAD_REQUEST, "bad_name";
    /// Metadata is too long.
    BadMetadata = BAD_REQUEST, "bad_metadata";
    /// A chat message is empty or too long.
    BadText = BAD_REQUEST, "bad_text";
    /// A view names more tracks than there are slots.
    BadView = BAD_REQUEST, "bad_view";
    /// The offer cannot be used.
    BadOffer = BAD_REQUEST, "bad_offer";
    /// More tracks than one participant may publish.
    TooManyTracks = BAD_REQUEST, "too_many_tracks";
    /// More slots than one participant may have.
    TooManySlots = BAD_REQUEST, "too_many_slots";
    /// Nobody may enter.
    RoomLocked = FORBIDDEN, "room_locked";
    /// Sent out for good.
    Banned = FORBIDDEN, "banned";
    /// A moderator said no.
    NotAdmitted = FORBIDDEN, "not_admitted";
    /// Too many wait already.
    LobbyFull = SERVICE_UNAVAILABLE, "lobby_full";
    /// The participation is over, or too much was missed.
    CannotResume = GONE, "cannot_resume";
    /// A viewer tried what only participants do.
    ViewerCannot = FORBIDDEN, "viewer_cannot";
    /// No such address.
    NotFound = NOT_FOUND, "not_found";
    /// Not with this method.
    BadMethod = METHOD_NOT_ALLOWED, "bad_method";
    /// No such room.
    NoRoom = NOT_FOUND, "no_room";
    /// No such participant in the room.
    NoParticipant = NOT_FOUND, "no_participant";
    /// No such track in the room, or not one's own.
    NoTrack = NOT_FOUND, "no_track";
    /// The room is there already.
    RoomExists = CONFLICT, "room_exists";
    /// The room has all the participants or viewers it may have.
    RoomFull = SERVICE_UNAVAILABLE, "room_full";
    /// The server has all the rooms it may have.
    TooManyRooms = SERVICE_UNAVAILABLE, "too_many_rooms";
    /// The server has all the sockets it may have.
    TooManySockets = SERVICE_UNAVAILABLE, "too_many_sockets";
    /// The server is going down.
    Stopping = SERVICE_UNAVAILABLE, "stopping";
    /// A defect of the server.
    ServerError = INTERNAL_SERVER_ERROR, "server_error";
}

impl Error {
    /// With a message of one's own.
    pub fn new(code: Code, message: impl Into<String>) -> Error {
        Error { code, message: message.into() }
    }

    /// What was sent is not what it should be; `complaint` is the parser's and may quote the stranger.
    pub fn bad_message(complaint: impl std::fmt::Display) -> Error {
        let complaint: String = complaint.to_string().chars().take(COMPLAINT_CHARS_MAX).collect();
        Error::new(Code::BadMessage, format!("the message cannot be read: {complaint}"))
    }

    /// Its code.
    pub fn code(&self) -> Code {
        self.code
    }

    /// As the signalling says it; `id` is the request's if it could be read.
    pub fn to_message(self, id: Option<u32>) -> ServerMessage {
        ServerMessage::Error { id, error: self.into() }
    }
}

impl From<Error> for ErrorBody {
    fn from(error: Error) -> ErrorBody {
        ErrorBody { code: error.code.text().to_owned(), message: error.message }
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let code = self.code;
        let mut response = (code.status(), Json(ErrorResponse { error: self.into() })).into_response();
        // For who counts refusals.
        response.extensions_mut().insert(code);
        response
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Error {
        let code = match &refusal {
            Refusal::NoRoom => Code::NoRoom,
            Refusal::RoomExists => Code::RoomExists,
            Refusal::TooManyRooms => Code::TooManyRooms,
            Refusal::Offer(_) => Code::BadOffer,
            Refusal::ViewerPublishes => Code::ViewerCannot,
            Refusal::Room(error) => code_of_room(*error),
            Refusal::People(error) => code_of_people(*error),
            Refusal::Stopping => Code::Stopping,
            Refusal::Broken => Code::ServerError,
        };
        Error::new(code, refusal.to_string())
    }
}

impl From<Denied> for Error {
    fn from(denied: Denied) -> Error {
        let code = match &denied {
            Denied::NoToken => Code::TokenNeeded,
            Denied::Malformed(_) | Denied::UnknownKey | Denied::BadSignature | Denied::BadClaims(_) => Code::BadToken,
            Denied::Expired => Code::TokenExpired,
            Denied::NotYet => Code::TokenEarly,
        };
        Error::new(code, denied.to_string())
    }
}

impl From<BadRoomName> for Error {
    fn from(error: BadRoomName) -> Error {
        Error::new(Code::BadRoomName, error.to_string())
    }
}

fn code_of_room(error: RoomError) -> Code {
    match error {
        // The door numbers peers and clients never name slots, so both are a defect of ours.
        RoomError::PeerExists(_) | RoomError::NoSlot(_) => Code::ServerError,
        RoomError::NoPeer(_) => Code::NoParticipant,
        RoomError::NoTrack(_) => Code::NoTrack,
        RoomError::TooManyTracks(_) => Code::TooManyTracks,
        RoomError::TooManySlots(_) => Code::TooManySlots,
    }
}

fn code_of_people(error: PeopleError) -> Code {
    match error {
        PeopleError::NoParticipant(_) => Code::NoParticipant,
        PeopleError::Viewer => Code::ViewerCannot,
        PeopleError::NoTrack(_) => Code::NoTrack,
        PeopleError::BadName => Code::BadName,
        PeopleError::BadMetadata(_) => Code::BadMetadata,
        PeopleError::NotAllowed | PeopleError::NotPublishable(_) => Code::NotAllowed,
        PeopleError::Locked => Code::RoomLocked,
        PeopleError::Banned => Code::Banned,
        PeopleError::LobbyFull => Code::LobbyFull,
        PeopleError::CannotResume => Code::CannotResume,
        PeopleError::BadText => Code::BadText,
        PeopleError::Full => Code::RoomFull,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::id::{PeerId, SlotIndex, TrackId};

    #[test]
    fn refusals() {
        let cases = [
            (Refusal::NoRoom, 404, "no_room", "there is no such room"),
            (Refusal::RoomExists, 409, "room_exists", "the room exists already"),
            (Refusal::TooManyRooms, 503, "too_many_rooms", "the server has no place for another room"),
            (Refusal::Offer("no ICE".into()), 400, "bad_offer", "the offer cannot be used: no ICE"),
            (Refusal::ViewerPublishes, 403, "viewer_cannot", "a viewer cannot publish"),
            (Refusal::Stopping, 503, "stopping", "the server is stopping"),
            (Refusal::Broken, 500, "server_error", "a defect of the server ended this"),
            (RoomError::NoPeer(PeerId(3)).into(), 404, "no_participant", "peer 3 is not in the room"),
            (RoomError::NoTrack(TrackId(4)).into(), 404, "no_track", "track 4 is not in the room"),
            (RoomError::NoSlot(SlotIndex(5)).into(), 500, "server_error", "there is no slot 5"),
            (RoomError::TooManyTracks(8).into(), 400, "too_many_tracks", "a participant may publish at most 8 tracks"),
            (RoomError::TooManySlots(64).into(), 400, "too_many_slots", "a participant may have at most 64 slots"),
            (PeopleError::BadText.into(), 400, "bad_text", "a message has 1 to 2000 characters"),
            (PeopleError::Full.into(), 503, "room_full", "the room is full"),
        ];
        for (refusal, status, code, message) in cases {
            let error = Error::from(refusal);
            assert_eq!(error.code().status().as_u16(), status, "{code}");
            assert_eq!(ErrorBody::from(error), ErrorBody { code: code.into(), message: message.into() });
        }
    }

    #[test]
    fn denials() {
        for (denied, status, code) in [
            (Denied::NoToken, 401, "token_needed"),
            (Denied::Malformed("x"), 401, "bad_token"),
            (Denied::UnknownKey, 401, "bad_token"),
            (Denied::BadSignature, 401, "bad_token"),
            (Denied::BadClaims("x".into()), 401, "bad_token"),
            (Denied::Expired, 401, "token_expired"),
            (Denied::NotYet, 401, "token_early"),
        ] {
            let error = Error::from(denied);
            assert_eq!((error.code().status().as_u16(), error.code().text()), (status, code));
        }
    }

    #[test]
    fn codes_are_words_and_differ() {
        let texts: HashSet<&str> = Code::ALL.iter().map(|code| code.text()).collect();
        assert_eq!(texts.len(), Code::ALL.len());
        assert!(texts.iter().all(|text| text.chars().all(|c| c.is_ascii_lowercase() || c == '_')));
        assert!(Code::ALL.iter().all(|code| code.status().is_client_error() || code.status().is_server_error()));
    }

    #[test]
    fn a_long_complaint_is_cut() {
        let error = Error::bad_message("x".repeat(500_000));
        assert!(error.message.len() < 300);
    }
}
