//! Our own signalling: one WebSocket per participant. `protocol.md` beside this file is the text to write a client from.
//!
//! ```text
//! upgrade ─► enter: first message is `join` (perhaps wait in the lobby) or `resume` ─► converse: requests in order, notices as they come
//!            anything else: `error`, closed                                            anything unreadable: `error`, stays
//! leave, page closed, sent out ─► gone            line lost ─► the participant stays for a while, and may resume
//! ```
//!
//! A request is answered before the next is read, so one client cannot have more than one command under way. Nothing is queued here: notices
//! wait in the door's bounded queue, and who does not read is sent out by the shard or by the line's write timeout.

use std::net::IpAddr;

use axum::Extension;
use axum::extract::State;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{WebSocketUpgrade, close_code};
use axum::response::Response;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};

use super::App;
use super::arriving::Arriving;
use super::error::{Code, Error, ErrorResponse};
use super::extract::{ClientAddress, InRoom, OwnOrigin};
use super::layers::wire_layers;
use super::line::{End, Heard, Line};
use super::protocol::ServerMessage;
use super::translate::{Said, Unfit, Wish, said, wire_answered, wire_joined, wire_notice};
use crate::auth::Secret;
use crate::id::{PeerId, RoomName};
use crate::limits::{DEAF_TIME, JOIN_TIMEOUT, POST_COST, SIGNAL_BYTES_READ_MAX, SIGNAL_READ_BYTES};
use crate::metrics::Metrics;
use crate::people::{LeaveReason, PeopleError, Profile};
use crate::rate::Bucket;
use crate::sfu::{Declared, Entry, Knocked, Notice, Opened, Refusal, Request, Response as Answer, Resumed, Sfu};

/// Where it is.
pub const PATH: &str = "/api/v1/rooms/{room}/socket";

/// Join a room
///
/// A WebSocket; what is said over it is described in `src/api/protocol.md`.
#[utoipa::path(
    get, path = PATH, tag = "signalling", params(("room" = String, Path, description = "The room's name")),
    responses(
        (status = 101, description = "The WebSocket is open"),
        (status = 400, description = "`bad_room_name`", body = ErrorResponse),
        (status = 403, description = "`foreign_origin`", body = ErrorResponse),
        (status = 426, description = "`not_websocket`", body = ErrorResponse),
        (status = 429, description = "`too_many_requests`", body = ErrorResponse),
        (status = 503, description = "`too_many_sockets`", body = ErrorResponse),
    )
)]
pub async fn connect(
    State(app): State<App>,
    _: OwnOrigin,
    ClientAddress(address): ClientAddress,
    InRoom(room): InRoom,
    Extension(arriving): Extension<Arriving>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Error> {
    let upgrade = upgrade.map_err(|_| Error::new(Code::NotWebSocket, "this address speaks WebSocket only"))?;
    let place = app.take_socket(address)?;
    let upgrade = upgrade.read_buffer_size(SIGNAL_READ_BYTES);
    Ok(upgrade.max_message_size(SIGNAL_BYTES_READ_MAX).max_frame_size(SIGNAL_BYTES_READ_MAX).on_upgrade(async move |socket| {
        let mut line = Line::new(socket, app.sfu.limits().message_bytes);
        line.weigh(arriving);
        serve(line, At { app: &app, room: &room, address }).await;
        drop(place);
    }))
}

/// Where somebody is at the door, and from where.
#[derive(Clone, Copy)]
struct At<'a> {
    app: &'a App,
    room: &'a RoomName,
    address: IpAddr,
}

/// Somebody who is in the room.
struct Participant<'a> {
    sfu: &'a Sfu,
    room: &'a RoomName,
    peer: PeerId,
    /// Which connection of theirs this is.
    attachment: u32,
    notices: mpsc::Receiver<Notice>,
    messages: Bucket,
}

/// Why nobody entered.
enum Turned {
    /// The line ended.
    Gone(End),
    /// What was asked cannot be; to be told, then closed.
    Away(Unfit),
}

/// How a conversation ends while the line stands.
enum Parting {
    /// The client said `leave`.
    Goodbye,
    /// The door sent the participant out.
    SentOut,
}

impl From<End> for Turned {
    fn from(end: End) -> Turned {
        Turned::Gone(end)
    }
}

impl From<Unfit> for Turned {
    fn from(unfit: Unfit) -> Turned {
        Turned::Away(unfit)
    }
}

async fn serve(mut line: Line, at: At<'_>) {
    let entered = tokio::select! {
        entered = enter(&mut line, at) => entered,
        () = at.app.stopping() => Err(turned(None, Code::Stopping, "the server is stopping")),
    };
    let end = match entered {
        Ok((mut participant, greeting)) => {
            let parting = converse(&mut line, &mut participant, &greeting, &at.app.metrics).await;
            participant.part(&parting).await;
            parting.err()
        }
        Err(Turned::Gone(end)) => Some(end),
        Err(Turned::Away(Unfit { id, error })) => {
            at.app.metrics.count_refused(error.code().text());
            line.say(&error.to_message(id)).await.err()
        }
    };
    match end {
        None | Some(End::Closed(_)) => line.close().await,
        Some(End::TooLarge) => {
            let bytes = at.app.sfu.limits().message_bytes;
            let error = Error::new(Code::TooLarge, format!("a message has at most {bytes} bytes"));
            if line.say(&error.to_message(None)).await.is_ok() {
                line.close().await;
            }
        }
        Some(End::Lost | End::Silent | End::TooSlow) => {}
    }
}

fn turned(id: Option<u32>, code: Code, message: &str) -> Turned {
    Turned::Away(Unfit { id, error: Error::new(code, message) })
}

/// Hears the first message and enters the room, or comes back to it; the greeting is to be said first.
async fn enter<'a>(line: &mut Line, at: At<'a>) -> Result<(Participant<'a>, ServerMessage), Turned> {
    let first = timeout(JOIN_TIMEOUT, line.hear()).await.map_err(|_| turned(None, Code::JoinTimeout, "no join came in time"))?;
    let (sfu, room) = (&*at.app.sfu, at.room);
    let (peer, attachment, notices, greeting) = match said(&text_of(&first?)?)? {
        Said::Join { id, wish, offer, declared } => {
            let opened = join(line, at, id, wish, &offer, declared).await?;
            let greeting = wire_joined(id, &opened);
            (opened.joined.peer, 0, opened.notices, greeting)
        }
        Said::Resume { id, earlier, seq } => {
            at.app.admit_resume(at.address).map_err(|error| Unfit { id: Some(id), error })?;
            let unfit = |refusal: Refusal| Unfit { id: Some(id), error: refusal.into() };
            let earlier = earlier.ok_or_else(|| unfit(PeopleError::CannotResume.into()))?;
            let peer = earlier.peer;
            let Resumed { attachment, notices } = sfu.resume(room, earlier, seq).await.map_err(unfit)?;
            (peer, attachment, notices, ServerMessage::Resumed { id })
        }
        Said::Offer { id, .. } | Said::Act { id, .. } | Said::Layers { id } | Said::Moderate { id, .. } => {
            return Err(turned(Some(id), Code::JoinFirst, "the first message must be a join or a resume"));
        }
        Said::Leave => return Err(Turned::Gone(End::Closed(None))),
    };
    Ok((Participant { sfu, room, peer, attachment, notices, messages: Bucket::default() }, greeting))
}

/// Enters, after waiting in the lobby where there is one.
async fn join(line: &mut Line, at: At<'_>, id: u32, wish: Wish, offer: &str, declared: Vec<Declared>) -> Result<Opened, Turned> {
    let At { app, room, address } = at;
    let unfit = |error: Error| Unfit { id: Some(id), error };
    let grants = app.admit(wish.token.as_deref(), address, room).map_err(unfit)?;
    let Wish { name, metadata, viewer, options, token: _, earlier } = wish;
    let is_guest = grants.identity.is_none();
    let profile = Profile {
        identity: grants.identity.map_or_else(guest_identity, Ok).map_err(unfit)?,
        name: grants.name.unwrap_or(name),
        metadata: grants.metadata.unwrap_or(metadata),
    };
    let entry = Entry { profile, viewer, rights: grants.rights, address: is_guest.then_some(address), options };
    let mut knocked = app.sfu.knock(room, entry, earlier).await.map_err(|refusal| unfit(refusal.into()))?;
    if knocked.waits {
        let admitted = wait(line, &mut knocked, id).await;
        if admitted.is_err() {
            // Refused when the outcome was told in this very moment.
            let leave = Request::Leave { peer: knocked.peer, attachment: 0, reason: LeaveReason::Left };
            let _ = app.sfu.command(room, leave).await;
        }
        admitted?;
    }
    let secret = Secret::from_random(random_bytes().map_err(unfit)?);
    Ok(app.sfu.enter(knocked, offer, declared, secret).await.map_err(|refusal| unfit(refusal.into()))?)
}

/// Waits in the lobby for a moderator.
async fn wait(line: &mut Line, knocked: &mut Knocked, id: u32) -> Result<(), Turned> {
    line.say(&ServerMessage::Waiting { id }).await?;
    loop {
        tokio::select! {
            heard = line.hear() => match said(&text_of(&heard?)?)? {
                Said::Leave => return Err(Turned::Gone(End::Closed(None))),
                _ => return Err(turned(None, Code::JoinFirst, "nothing can be asked before one is admitted")),
            },
            notice = knocked.notices.recv() => match notice {
                Some(Notice::Admitted) => return Ok(()),
                Some(Notice::Event(_) | Notice::Slots(_) | Notice::Encodings(_) | Notice::Speakers(_)) => {}
                Some(Notice::NotAdmitted | Notice::Closed(_)) | None => {
                    return Err(turned(Some(id), Code::NotAdmitted, "you were not let in"));
                }
            }
        }
    }
}

async fn converse(line: &mut Line, participant: &mut Participant<'_>, greeting: &ServerMessage, metrics: &Metrics) -> Result<Parting, End> {
    line.say(greeting).await?;
    // One who asks too often is not listened to for a moment: a refusal costs more than what it refuses.
    let mut deaf_until: Option<Instant> = None;
    loop {
        tokio::select! {
            heard = line.hear(), if deaf_until.is_none() => match participant.answer(&heard?).await {
                Some(answer) => {
                    if let ServerMessage::Error { error, .. } = &answer {
                        metrics.count_refused(&error.code);
                        deaf_until = (error.code == Code::TooManyRequests.text()).then(|| Instant::now() + DEAF_TIME);
                    }
                    line.say(&answer).await?;
                }
                None => return Ok(Parting::Goodbye),
            },
            () = sleep_until(deaf_until.unwrap_or_else(Instant::now)), if deaf_until.is_some() => deaf_until = None,
            notice = participant.notices.recv() => {
                // The shard drops its end when the queue is full; there is no room left in it to say why.
                let notice = notice.unwrap_or(Notice::Closed(LeaveReason::TooSlow));
                let is_last = matches!(notice, Notice::Closed(_));
                if let Some(message) = wire_notice(notice) {
                    line.say(&message).await?;
                }
                if is_last {
                    return Ok(Parting::SentOut);
                }
            }
        }
    }
}

impl Participant<'_> {
    /// Carries out what was said. `None`: it was a goodbye.
    async fn answer(&mut self, heard: &Heard) -> Option<ServerMessage> {
        let said = text_of(heard).and_then(|text| said(&text));
        let cost = said.as_ref().map_or(POST_COST, Said::cost);
        let in_time = self.messages.take(cost, self.sfu.limits().messages(), std::time::Instant::now());
        let by = Some(self.peer);
        let (id, request) = match said {
            Ok(Said::Leave) => return None,
            Ok(Said::Offer { id, offer, declared }) => (id, Request::Offer { peer: self.peer, offer, declared }),
            Ok(Said::Act { id, action }) => (id, Request::Act { peer: self.peer, action }),
            Ok(Said::Layers { id }) => (id, Request::Layers { peer: self.peer }),
            Ok(Said::Moderate { id, what }) => (id, Request::Moderate { by, what }),
            Ok(Said::Join { id, .. } | Said::Resume { id, .. }) => {
                return Some(Error::new(Code::JoinedAlready, "this connection has joined already").to_message(Some(id)));
            }
            Err(Unfit { id, .. }) if !in_time => return Some(too_many(id)),
            Err(Unfit { id, error }) => return Some(error.to_message(id)),
        };
        if !in_time {
            return Some(too_many(Some(id)));
        }
        Some(match self.sfu.command(self.room, request).await {
            Ok(Answer::Done) => ServerMessage::Done { id },
            Ok(Answer::Answered { answer, tracks }) => wire_answered(id, answer, &tracks),
            Ok(Answer::Layers(report)) => wire_layers(id, report),
            // Nothing above asks for a room.
            Ok(Answer::Room(_) | Answer::Roster(_)) => {
                Error::new(Code::ServerError, "the answer is to another question").to_message(Some(id))
            }
            Err(refusal) => Error::from(refusal).to_message(Some(id)),
        })
    }

    /// Tells the door, unless it is the door that ended it.
    async fn part(&self, parting: &Result<Parting, End>) {
        let peer = self.peer;
        let attachment = self.attachment;
        let leave = |reason| Request::Leave { peer, attachment, reason };
        let request = match parting {
            Ok(Parting::SentOut) => return,
            Ok(Parting::Goodbye) | Err(End::Closed(Some(close_code::NORMAL | close_code::AWAY))) => leave(LeaveReason::Left),
            Err(End::TooLarge) => leave(LeaveReason::Disconnected),
            // A dead network does not read either.
            Err(End::Closed(_) | End::Lost | End::Silent | End::TooSlow) => Request::Lost { peer, attachment },
        };
        // Refused when the room sent the participant out in this very moment.
        if let Err(refusal) = self.sfu.command(self.room, request).await {
            tracing::debug!(room = %self.room, %peer, %refusal, "had left already");
        }
    }
}

fn too_many(id: Option<u32>) -> ServerMessage {
    Error::new(Code::TooManyRequests, "too much was asked in too short a time").to_message(id)
}

fn text_of(heard: &Heard) -> Result<String, Unfit> {
    match heard {
        Heard::Text(text) => Ok(text.to_string()),
        Heard::Binary => Err(Unfit { id: None, error: Error::bad_message("messages are text") }),
    }
}

/// A name that nobody can guess, so that a guest cannot be replaced by another who claims to be the same.
fn guest_identity() -> Result<String, Error> {
    // 32 letters and digits without look-alikes, so each random byte gives one without bias: 60 bits in all.
    const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
    let bytes: [u8; 12] = random_bytes()?;
    let letters = bytes.iter().map(|byte| char::from(ALPHABET[usize::from(byte % 32)]));
    Ok("guest-".chars().chain(letters).collect())
}

fn random_bytes<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| Error::new(Code::ServerError, "the system gives no random numbers"))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn guests_differ() {
        let identities: HashSet<String> = (0..1000).map(|_| guest_identity().expect("random numbers")).collect();
        assert_eq!(identities.len(), 1000);
        assert!(identities.iter().all(|identity| identity.len() == 18 && identity.starts_with("guest-")));
    }
}
