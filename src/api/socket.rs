//! Our own signalling: one WebSocket per participant. `protocol.md` beside this file is the text to write a client from.
//!
//! ```text
//! upgrade ─► enter: first message must be `join` ─► converse: requests one after the other, notices as they come ─► leave, close
//!            anything else: `error`, closed            anything unreadable: `error`, stays
//! ```
//!
//! A request is answered before the next is read, so one client cannot have more than one command under way. Nothing is queued here: notices
//! wait in the door's bounded queue, and who does not read is sent out by the shard or by the line's write timeout.

use axum::extract::State;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{WebSocketUpgrade, close_code};
use axum::response::Response;
use tokio::time::timeout;

use super::App;
use super::error::{Code, Error, ErrorResponse};
use super::extract::{ClientAddress, InRoom, OwnOrigin};
use super::line::{End, Heard, Line};
use super::protocol::ServerMessage;
use super::translate::{Said, Unfit, said, wire_answered, wire_joined, wire_notice};
use crate::id::{PeerId, RoomName};
use crate::limits::{JOIN_TIMEOUT, SIGNAL_BYTES_MAX, SIGNAL_BYTES_READ_MAX};
use crate::people::LeaveReason;
use crate::sfu::{Notice, Opened, Request, Response as Answer, Sfu};

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
    client: ClientAddress,
    InRoom(room): InRoom,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Error> {
    let upgrade = upgrade.map_err(|_| Error::new(Code::NotWebSocket, "this address speaks WebSocket only"))?;
    let place = app.take_socket(client.0)?;
    Ok(upgrade.max_message_size(SIGNAL_BYTES_READ_MAX).max_frame_size(SIGNAL_BYTES_READ_MAX).on_upgrade(async move |socket| {
        serve(Line::new(socket), &app, &room).await;
        drop(place);
    }))
}

/// Somebody who is in the room.
struct Participant<'a> {
    sfu: &'a Sfu,
    room: &'a RoomName,
    peer: PeerId,
    opened: Opened,
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

async fn serve(mut line: Line, app: &App, room: &RoomName) {
    let entered = tokio::select! {
        entered = enter(&mut line, &app.sfu, room) => entered,
        () = app.stopping() => Err(Turned::Away(Unfit { id: None, error: Error::new(Code::Stopping, "the server is stopping") })),
    };
    let end = match entered {
        Ok((mut participant, greeting)) => {
            let parting = converse(&mut line, &mut participant, &greeting).await;
            participant.leave(&parting).await;
            parting.err()
        }
        Err(Turned::Gone(end)) => Some(end),
        Err(Turned::Away(Unfit { id, error })) => line.say(&error.to_message(id)).await.err(),
    };
    match end {
        None | Some(End::Closed(_)) => line.close().await,
        Some(End::TooLarge) => {
            let error = Error::new(Code::TooLarge, format!("a message has at most {SIGNAL_BYTES_MAX} bytes"));
            if line.say(&error.to_message(None)).await.is_ok() {
                line.close().await;
            }
        }
        Some(End::Lost | End::Silent | End::TooSlow) => {}
    }
}

/// Hears the first message and enters the room; the greeting is to be said first.
async fn enter<'a>(line: &mut Line, sfu: &'a Sfu, room: &'a RoomName) -> Result<(Participant<'a>, ServerMessage), Turned> {
    let refuse = |id, code, message: &str| Turned::Away(Unfit { id, error: Error::new(code, message) });
    let first = timeout(JOIN_TIMEOUT, line.hear()).await.map_err(|_| refuse(None, Code::JoinTimeout, "no join came in time"))?;
    let identity = guest_identity().map_err(|error| Unfit { id: None, error })?;
    let (id, entry, offer, declared) = match said(&text_of(&first?)?, &identity)? {
        Said::Join { id, entry, offer, declared } => (id, entry, offer, declared),
        Said::Offer { id, .. } | Said::Act { id, .. } => return Err(refuse(Some(id), Code::JoinFirst, "the first message must be a join")),
        Said::Leave => return Err(Turned::Gone(End::Closed(None))),
    };
    let opened = sfu.open(room, entry, &offer, declared).await;
    let mut opened = opened.map_err(|refusal| Unfit { id: Some(id), error: refusal.into() })?;
    let greeting = wire_joined(id, &opened.joined, std::mem::take(&mut opened.answer));
    Ok((Participant { sfu, room, peer: opened.joined.peer, opened }, greeting))
}

async fn converse(line: &mut Line, participant: &mut Participant<'_>, greeting: &ServerMessage) -> Result<Parting, End> {
    line.say(greeting).await?;
    loop {
        tokio::select! {
            heard = line.hear() => match participant.answer(&heard?).await {
                Some(answer) => line.say(&answer).await?,
                None => return Ok(Parting::Goodbye),
            },
            notice = participant.opened.notices.recv() => {
                // The shard drops its end when the queue is full; there is no room left in it to say why.
                let notice = notice.unwrap_or(Notice::Closed(LeaveReason::TooSlow));
                let is_last = matches!(notice, Notice::Closed(_));
                line.say(&wire_notice(notice)).await?;
                if is_last {
                    return Ok(Parting::SentOut);
                }
            }
        }
    }
}

impl Participant<'_> {
    /// Carries out what was said. `None`: it was a goodbye.
    async fn answer(&self, heard: &Heard) -> Option<ServerMessage> {
        let said = text_of(heard).and_then(|text| said(&text, &self.opened.joined.identity));
        let (id, request) = match said {
            Ok(Said::Offer { id, offer, declared }) => (id, Request::Offer { peer: self.peer, offer, declared }),
            Ok(Said::Act { id, action }) => (id, Request::Act { peer: self.peer, action }),
            Ok(Said::Join { id, .. }) => {
                return Some(Error::new(Code::JoinedAlready, "this connection has joined already").to_message(Some(id)));
            }
            Ok(Said::Leave) => return None,
            Err(Unfit { id, error }) => return Some(error.to_message(id)),
        };
        Some(match self.sfu.command(self.room, request).await {
            Ok(Answer::Done) => ServerMessage::Done { id },
            Ok(Answer::Answered { answer, tracks }) => wire_answered(id, answer, &tracks),
            // Nothing above asks for a room.
            Ok(Answer::Room(_)) => Error::new(Code::ServerError, "the answer is to another question").to_message(Some(id)),
            Err(refusal) => Error::from(refusal).to_message(Some(id)),
        })
    }

    /// Tells the door, unless it is the door that ended it.
    async fn leave(&self, parting: &Result<Parting, End>) {
        let reason = match parting {
            Ok(Parting::SentOut) => return,
            Ok(Parting::Goodbye) | Err(End::Closed(Some(close_code::AWAY))) => LeaveReason::Left,
            Err(End::TooSlow) => LeaveReason::TooSlow,
            Err(End::Closed(_) | End::Lost | End::Silent | End::TooLarge) => LeaveReason::Disconnected,
        };
        // Refused when the room sent the participant out in this very moment.
        if let Err(refusal) = self.sfu.command(self.room, Request::Leave { peer: self.peer, reason }).await {
            tracing::debug!(room = %self.room, peer = %self.peer, %refusal, "had left already");
        }
    }
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
    let mut bytes = [0; 12];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| Error::new(Code::ServerError, "the system gives no random numbers"))?;
    let letters = bytes.iter().map(|byte| char::from(ALPHABET[usize::from(byte % 32)]));
    Ok("guest-".chars().chain(letters).collect())
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
