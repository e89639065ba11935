//! Rooms and participants as resources. What they mean is in the OpenAPI document, which `openapi` collects from the attributes here.
//!
//! A handler asks the door once (the list: once a room) and translates; every failure is an [`Error`].

use axum::extract::Query;
use axum::extract::rejection::QueryRejection;
use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::response::IntoResponse;
use axum::routing::{MethodRouter, any, delete, get, patch, post};
use axum::{Json, Router, extract::State};
use futures_util::{StreamExt, stream};
use serde::Deserialize;
use utoipa::IntoParams;

use super::App;
use super::error::{Code, Error, ErrorResponse};
use super::extract::{Caller, InRoom, JsonBody, OfParticipant};
use super::layers::received_layers;
use super::protocol::{MuteRequest, NewRoom, NewSettings, Participant, ParticipantChange, ReceivedLayers, Room, Waiting};
use super::translate::{publish, room_options, settings_change, wire_participant, wire_room, wire_waiting};
use crate::id::{RoomName, TrackId};
use crate::limits::LIST_ROOMS_AT_ONCE;
use crate::people::Snapshot;
use crate::sfu::{Moderation, Refusal, Request, Response, RoomInfo, Sfu};

const ROOMS: &str = "/api/v1/rooms";
const ROOM: &str = "/api/v1/rooms/{room}";
const PARTICIPANTS: &str = "/api/v1/rooms/{room}/participants";
const PARTICIPANT: &str = "/api/v1/rooms/{room}/participants/{participant}";
const LAYERS: &str = "/api/v1/rooms/{room}/participants/{participant}/layers";
const MUTE: &str = "/api/v1/rooms/{room}/participants/{participant}/mute";
const LOBBY: &str = "/api/v1/rooms/{room}/lobby";
const WAITING: &str = "/api/v1/rooms/{room}/lobby/{participant}";

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
        ("patch", ROOM, patch(change_room)),
        ("delete", ROOM, delete(close_room)),
        ("get", PARTICIPANTS, get(list_participants)),
        ("get", PARTICIPANT, get(show_participant)),
        ("patch", PARTICIPANT, patch(change_participant)),
        ("delete", PARTICIPANT, delete(remove_participant)),
        ("get", LAYERS, get(show_layers)),
        ("post", MUTE, post(mute_participant)),
        ("get", LOBBY, get(list_lobby)),
        ("post", WAITING, post(admit)),
        ("delete", WAITING, delete(refuse)),
    ]
}

/// List the rooms
///
/// Sorted by name. A room that begins or ends while the list is made may be in it or not.
#[utoipa::path(get, path = ROOMS, tag = "rooms", responses((status = 200, description = "All rooms", body = Vec<Room>)))]
pub(super) async fn list_rooms(State(app): State<App>, caller: Caller) -> Result<Json<Vec<Room>>, Error> {
    caller.require_admin()?;
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
pub(super) async fn create_room(
    State(app): State<App>,
    caller: Caller,
    JsonBody(new): JsonBody<NewRoom>,
) -> Result<impl IntoResponse, Error> {
    caller.require_admin()?;
    let name = RoomName::parse(&new.name)?;
    let options = room_options(new.mode, new.video_codec, &new.settings);
    app.sfu.command(&name, Request::Create { options }).await?;
    let settings = options.settings;
    let room = RoomInfo { name: name.clone(), options, permanent: true, settings, participants: 0, viewers: 0, tracks: 0, waiting: 0 };
    let room = wire_room(&room);
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
pub(super) async fn show_room(State(app): State<App>, caller: Caller, InRoom(name): InRoom) -> Result<Json<Room>, Error> {
    caller.require_moderator(&name)?;
    Ok(Json(wire_room(&inspect(&app.sfu, &name).await?)))
}

/// Change a room
///
/// Lock it, put a lobby before it, say what those who are no moderators may publish. Tracks that are not allowed any more end.
#[utoipa::path(
    patch, path = ROOM, tag = "rooms", params(("room" = String, Path, description = "Its name")), request_body = NewSettings,
    responses(
        (status = 200, description = "The room as it is now", body = Room),
        (status = 400, description = "`bad_message`, `bad_room_name`", body = ErrorResponse),
        (status = 404, description = "`no_room`", body = ErrorResponse),
        (status = 413, description = "`too_large`", body = ErrorResponse),
        (status = 415, description = "`not_json`", body = ErrorResponse),
    )
)]
pub(super) async fn change_room(
    State(app): State<App>,
    caller: Caller,
    InRoom(name): InRoom,
    JsonBody(change): JsonBody<NewSettings>,
) -> Result<Json<Room>, Error> {
    caller.require_moderator(&name)?;
    moderate(&app.sfu, &name, Moderation::Settings(settings_change(&change))).await?;
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
pub(super) async fn close_room(State(app): State<App>, caller: Caller, InRoom(name): InRoom) -> Result<StatusCode, Error> {
    caller.require_moderator(&name)?;
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
pub(super) async fn list_participants(
    State(app): State<App>,
    caller: Caller,
    InRoom(name): InRoom,
) -> Result<Json<Vec<Participant>>, Error> {
    caller.require_moderator(&name)?;
    Ok(Json(roster(&app.sfu, &name).await?.participants.iter().map(wire_participant).collect()))
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
    caller: Caller,
    InRoom(name): InRoom,
    OfParticipant(peer): OfParticipant,
) -> Result<Json<Participant>, Error> {
    caller.require_moderator(&name)?;
    let snapshot = roster(&app.sfu, &name).await?;
    let participant = snapshot.participants.iter().find(|participant| participant.peer == peer);
    let participant = participant.ok_or_else(|| Error::new(Code::NoParticipant, format!("participant {peer} is not in the room")))?;
    Ok(Json(wire_participant(participant)))
}

/// See what is sent to a participant
///
/// Each of their slots with a source: the layer that is sent, the one that is wished, and why it is not more.
#[utoipa::path(
    get, path = LAYERS, tag = "participants",
    params(("room" = String, Path, description = "The room's name"), ("participant" = u32, Path, description = "The participant's number")),
    responses(
        (status = 200, description = "What is sent", body = ReceivedLayers),
        (status = 400, description = "`bad_room_name`", body = ErrorResponse),
        (status = 404, description = "`no_room`, `no_participant`", body = ErrorResponse),
    )
)]
pub(super) async fn show_layers(
    State(app): State<App>,
    caller: Caller,
    InRoom(name): InRoom,
    OfParticipant(peer): OfParticipant,
) -> Result<Json<ReceivedLayers>, Error> {
    caller.require_moderator(&name)?;
    match app.sfu.command(&name, Request::Layers { peer }).await? {
        Response::Layers(report) => Ok(Json(received_layers(report))),
        Response::Done | Response::Answered { .. } | Response::Roster(_) | Response::Room(_) => Err(Refusal::Broken.into()),
    }
}

/// Change what a participant may publish
///
/// Tracks that are not allowed any more end, whatever is still sent.
#[utoipa::path(
    patch, path = PARTICIPANT, tag = "participants",
    params(("room" = String, Path, description = "The room's name"), ("participant" = u32, Path, description = "The participant's number")),
    request_body = ParticipantChange,
    responses(
        (status = 204, description = "It is so"),
        (status = 400, description = "`bad_message`, `bad_room_name`", body = ErrorResponse),
        (status = 403, description = "`viewer_cannot`", body = ErrorResponse),
        (status = 404, description = "`no_room`, `no_participant`", body = ErrorResponse),
        (status = 413, description = "`too_large`", body = ErrorResponse),
        (status = 415, description = "`not_json`", body = ErrorResponse),
    )
)]
pub(super) async fn change_participant(
    State(app): State<App>,
    caller: Caller,
    InRoom(name): InRoom,
    OfParticipant(peer): OfParticipant,
    JsonBody(change): JsonBody<ParticipantChange>,
) -> Result<StatusCode, Error> {
    caller.require_moderator(&name)?;
    if let Some(allowed) = change.publish {
        moderate(&app.sfu, &name, Moderation::Permit { peer, publish: publish(&allowed) }).await?;
    }
    Ok(StatusCode::NO_CONTENT)
}

/// Mute a participant
///
/// One track, or all that they publish. They may unmute themselves again; what they may publish is another question.
#[utoipa::path(
    post, path = MUTE, tag = "participants",
    params(("room" = String, Path, description = "The room's name"), ("participant" = u32, Path, description = "The participant's number")),
    request_body = MuteRequest,
    responses(
        (status = 204, description = "They are muted"),
        (status = 400, description = "`bad_message`, `bad_room_name`", body = ErrorResponse),
        (status = 404, description = "`no_room`, `no_participant`, `no_track`", body = ErrorResponse),
        (status = 413, description = "`too_large`", body = ErrorResponse),
        (status = 415, description = "`not_json`", body = ErrorResponse),
    )
)]
pub(super) async fn mute_participant(
    State(app): State<App>,
    caller: Caller,
    InRoom(name): InRoom,
    OfParticipant(peer): OfParticipant,
    JsonBody(request): JsonBody<MuteRequest>,
) -> Result<StatusCode, Error> {
    caller.require_moderator(&name)?;
    moderate(&app.sfu, &name, Moderation::Mute { peer, track: request.track.map(TrackId) }).await
}

/// How somebody is sent out.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct Removal {
    /// Not to be let in again while the room lives: a guest by address, others by identity.
    #[serde(default)]
    ban: bool,
}

/// Send a participant or a viewer out
///
/// Without `ban`, nothing keeps them from joining again.
#[utoipa::path(
    delete, path = PARTICIPANT, tag = "participants",
    params(
        ("room" = String, Path, description = "The room's name"), ("participant" = u32, Path, description = "The participant's number"),
        Removal,
    ),
    responses(
        (status = 204, description = "They are out"),
        (status = 400, description = "`bad_message`, `bad_room_name`", body = ErrorResponse),
        (status = 404, description = "`no_room`, `no_participant`", body = ErrorResponse),
    )
)]
pub(super) async fn remove_participant(
    State(app): State<App>,
    caller: Caller,
    InRoom(name): InRoom,
    OfParticipant(peer): OfParticipant,
    removal: Result<Query<Removal>, QueryRejection>,
) -> Result<StatusCode, Error> {
    caller.require_moderator(&name)?;
    let Query(Removal { ban }) = removal.map_err(|rejection| Error::bad_message(rejection.body_text()))?;
    moderate(&app.sfu, &name, Moderation::Remove { peer, ban }).await
}

/// List who waits in the lobby
///
/// In the order in which they came.
#[utoipa::path(
    get, path = LOBBY, tag = "lobby", params(("room" = String, Path, description = "The room's name")),
    responses(
        (status = 200, description = "All who wait", body = Vec<Waiting>),
        (status = 400, description = "`bad_room_name`", body = ErrorResponse),
        (status = 404, description = "`no_room`", body = ErrorResponse),
    )
)]
pub(super) async fn list_lobby(State(app): State<App>, caller: Caller, InRoom(name): InRoom) -> Result<Json<Vec<Waiting>>, Error> {
    caller.require_moderator(&name)?;
    Ok(Json(roster(&app.sfu, &name).await?.lobby.iter().map(wire_waiting).collect()))
}

/// Let somebody in who waits
#[utoipa::path(
    post, path = WAITING, tag = "lobby",
    params(("room" = String, Path, description = "The room's name"), ("participant" = u32, Path, description = "Their number in the lobby")),
    responses(
        (status = 204, description = "They are let in"),
        (status = 400, description = "`bad_room_name`", body = ErrorResponse),
        (status = 404, description = "`no_room`, `no_participant`", body = ErrorResponse),
    )
)]
pub(super) async fn admit(
    State(app): State<App>,
    caller: Caller,
    InRoom(name): InRoom,
    OfParticipant(peer): OfParticipant,
) -> Result<StatusCode, Error> {
    caller.require_moderator(&name)?;
    moderate(&app.sfu, &name, Moderation::Admit { peer, admit: true }).await
}

/// Send somebody away who waits
#[utoipa::path(
    delete, path = WAITING, tag = "lobby",
    params(("room" = String, Path, description = "The room's name"), ("participant" = u32, Path, description = "Their number in the lobby")),
    responses(
        (status = 204, description = "They are sent away"),
        (status = 400, description = "`bad_room_name`", body = ErrorResponse),
        (status = 404, description = "`no_room`, `no_participant`", body = ErrorResponse),
    )
)]
pub(super) async fn refuse(
    State(app): State<App>,
    caller: Caller,
    InRoom(name): InRoom,
    OfParticipant(peer): OfParticipant,
) -> Result<StatusCode, Error> {
    caller.require_moderator(&name)?;
    moderate(&app.sfu, &name, Moderation::Admit { peer, admit: false }).await
}

async fn moderate(sfu: &Sfu, room: &RoomName, what: Moderation) -> Result<StatusCode, Error> {
    sfu.command(room, Request::Moderate { by: None, what }).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn roster(sfu: &Sfu, room: &RoomName) -> Result<Snapshot, Refusal> {
    match sfu.command(room, Request::Roster).await? {
        Response::Roster(snapshot) => Ok(snapshot),
        Response::Done | Response::Answered { .. } | Response::Layers(_) | Response::Room(_) => Err(Refusal::Broken),
    }
}

async fn inspect(sfu: &Sfu, room: &RoomName) -> Result<RoomInfo, Refusal> {
    match sfu.command(room, Request::Inspect).await? {
        Response::Room(info) => Ok(info),
        Response::Done | Response::Answered { .. } | Response::Layers(_) | Response::Roster(_) => Err(Refusal::Broken),
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
