//! Rooms and participants as resources. What they mean is in the OpenAPI document, which `openapi` collects from the attributes here.
//!
//! A handler asks the door once (the list: once a room) and translates; every failure is an [`Error`].

use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::response::IntoResponse;
use axum::routing::{MethodRouter, any, delete, get, post};
use axum::{Json, Router, extract::State};
use futures_util::{StreamExt, stream};

use super::App;
use super::error::{Code, Error, ErrorResponse};
use super::extract::{InRoom, JsonBody, OfParticipant};
use super::protocol::{NewRoom, Participant, Room};
use super::translate::{room_options, wire_participant, wire_room};
use crate::id::RoomName;
use crate::limits::LIST_ROOMS_AT_ONCE;
use crate::people::LeaveReason;
use crate::sfu::{Refusal, Request, Response, RoomInfo, Sfu};

const ROOMS: &str = "/api/v1/rooms";
const ROOM: &str = "/api/v1/rooms/{room}";
const PARTICIPANTS: &str = "/api/v1/rooms/{room}/participants";
const PARTICIPANT: &str = "/api/v1/rooms/{room}/participants/{participant}";

/// Everything below `/api` but sockets and the document.
pub fn router() -> Router<App> {
    let router = routes().into_iter().fold(Router::new(), |router, (_, path, handler)| router.route(path, handler));
    router.method_not_allowed_fallback(bad_method).route("/api", any(not_found)).route("/api/{*path}", any(not_found))
}

/// Method, path, handler: a table, so that a test can compare it with the document.
pub(super) fn routes() -> Vec<(&'static str, &'static str, MethodRouter<App>)> {
    vec![
        ("get", ROOMS, get(list_rooms)),
        ("post", ROOMS, post(create_room)),
        ("get", ROOM, get(show_room)),
        ("delete", ROOM, delete(close_room)),
        ("get", PARTICIPANTS, get(list_participants)),
        ("get", PARTICIPANT, get(show_participant)),
        ("delete", PARTICIPANT, delete(remove_participant)),
    ]
}

/// List the rooms
///
/// Sorted by name. A room that begins or ends while the list is made may be in it or not.
#[utoipa::path(get, path = ROOMS, tag = "rooms", responses((status = 200, description = "All rooms", body = Vec<Room>)))]
pub(super) async fn list_rooms(State(app): State<App>) -> Result<Json<Vec<Room>>, Error> {
    let sfu = &*app.sfu;
    let looks = stream::iter(sfu.list()).map(|name| async move { inspect(sfu, &name).await });
    let mut looks = looks.buffered(LIST_ROOMS_AT_ONCE);
    let mut rooms = Vec::new();
    while let Some(looked) = looks.next().await {
        match looked {
            Ok(room) => rooms.push(wire_room(&room)),
            // It ended in the meantime.
            Err(Refusal::NoRoom) => {}
            Err(refusal) => return Err(refusal.into()),
        }
    }
    Ok(Json(rooms))
}

/// Make a room that stays when it is empty
///
/// Rooms need not be made: the first join begins one, which ends a minute after the last participant left.
#[utoipa::path(
    post, path = ROOMS, tag = "rooms", request_body = NewRoom,
    responses(
        (status = 201, description = "The new room", body = Room, headers(("Location" = String, description = "Its address"))),
        (status = 400, description = "`bad_message`, `bad_room_name`", body = ErrorResponse),
        (status = 409, description = "`room_exists`", body = ErrorResponse),
        (status = 413, description = "`too_large`", body = ErrorResponse),
        (status = 415, description = "`not_json`", body = ErrorResponse),
        (status = 503, description = "`too_many_rooms`, `stopping`", body = ErrorResponse),
    )
)]
pub(super) async fn create_room(State(app): State<App>, JsonBody(new): JsonBody<NewRoom>) -> Result<impl IntoResponse, Error> {
    let name = RoomName::parse(&new.name)?;
    app.sfu.command(&name, Request::Create { options: room_options(new.mode, new.video_codec) }).await?;
    let NewRoom { name: text, mode, video_codec } = new;
    let room = Room { name: text, mode, video_codec, participants: 0, viewers: 0, tracks: 0, permanent: true };
    Ok((StatusCode::CREATED, [(LOCATION, format!("{ROOMS}/{}", percent_encoded(name.as_str())))], Json(room)))
}

/// Look at a room
#[utoipa::path(
    get, path = ROOM, tag = "rooms", params(("room" = String, Path, description = "Its name")),
    responses(
        (status = 200, description = "The room", body = Room),
        (status = 400, description = "`bad_room_name`", body = ErrorResponse),
        (status = 404, description = "`no_room`", body = ErrorResponse),
    )
)]
pub(super) async fn show_room(State(app): State<App>, InRoom(name): InRoom) -> Result<Json<Room>, Error> {
    Ok(Json(wire_room(&inspect(&app.sfu, &name).await?)))
}

/// Send everybody out and end a room
#[utoipa::path(
    delete, path = ROOM, tag = "rooms", params(("room" = String, Path, description = "Its name")),
    responses(
        (status = 204, description = "It is gone"),
        (status = 400, description = "`bad_room_name`", body = ErrorResponse),
        (status = 404, description = "`no_room`", body = ErrorResponse),
    )
)]
pub(super) async fn close_room(State(app): State<App>, InRoom(name): InRoom) -> Result<StatusCode, Error> {
    app.sfu.command(&name, Request::Close).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// List the participants of a room
///
/// In the order in which they joined. Viewers are counted in the room and never listed.
#[utoipa::path(
    get, path = PARTICIPANTS, tag = "participants", params(("room" = String, Path, description = "The room's name")),
    responses(
        (status = 200, description = "Everybody but viewers", body = Vec<Participant>),
        (status = 400, description = "`bad_room_name`", body = ErrorResponse),
        (status = 404, description = "`no_room`", body = ErrorResponse),
    )
)]
pub(super) async fn list_participants(State(app): State<App>, InRoom(name): InRoom) -> Result<Json<Vec<Participant>>, Error> {
    let room = inspect(&app.sfu, &name).await?;
    Ok(Json(room.snapshot.participants.iter().map(wire_participant).collect()))
}

/// Look at a participant
#[utoipa::path(
    get, path = PARTICIPANT, tag = "participants",
    params(("room" = String, Path, description = "The room's name"), ("participant" = u32, Path, description = "The participant's number")),
    responses(
        (status = 200, description = "The participant", body = Participant),
        (status = 400, description = "`bad_room_name`", body = ErrorResponse),
        (status = 404, description = "`no_room`, `no_participant`", body = ErrorResponse),
    )
)]
pub(super) async fn show_participant(
    State(app): State<App>,
    InRoom(name): InRoom,
    OfParticipant(peer): OfParticipant,
) -> Result<Json<Participant>, Error> {
    let room = inspect(&app.sfu, &name).await?;
    let participant = room.snapshot.participants.iter().find(|participant| participant.peer == peer);
    let participant = participant.ok_or_else(|| Error::new(Code::NoParticipant, format!("participant {peer} is not in the room")))?;
    Ok(Json(wire_participant(participant)))
}

/// Send a participant or a viewer out
///
/// Nothing keeps them from joining again.
#[utoipa::path(
    delete, path = PARTICIPANT, tag = "participants",
    params(("room" = String, Path, description = "The room's name"), ("participant" = u32, Path, description = "The participant's number")),
    responses(
        (status = 204, description = "They are out"),
        (status = 400, description = "`bad_room_name`", body = ErrorResponse),
        (status = 404, description = "`no_room`, `no_participant`", body = ErrorResponse),
    )
)]
pub(super) async fn remove_participant(
    State(app): State<App>,
    InRoom(name): InRoom,
    OfParticipant(peer): OfParticipant,
) -> Result<StatusCode, Error> {
    app.sfu.command(&name, Request::Leave { peer, reason: LeaveReason::Removed }).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn inspect(sfu: &Sfu, room: &RoomName) -> Result<RoomInfo, Refusal> {
    match sfu.command(room, Request::Inspect).await? {
        Response::Room(info) => Ok(info),
        Response::Done | Response::Answered { .. } => unreachable!("the door answers an inspection with the room"),
    }
}

/// Names of rooms have letters of any script, and headers only ASCII.
fn percent_encoded(name: &str) -> String {
    let encode = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    name.bytes().map(encode).collect()
}

async fn not_found() -> Error {
    Error::new(Code::NotFound, "there is nothing at this address")
}

async fn bad_method() -> Error {
    Error::new(Code::BadMethod, "this address does not know this method")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_addresses() {
        assert_eq!(percent_encoded("team-1_B"), "team-1_B");
        assert_eq!(percent_encoded("产品"), "%E4%BA%A7%E5%93%81");
    }
}
