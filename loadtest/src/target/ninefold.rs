//! Our own signalling: join by WebSocket with an offer, and stay there.

use std::time::Instant;

use ninefold::api::protocol::{ClientMessage, ServerMessage};
use tokio::time::timeout;

use super::{ANSWER_TIMEOUT, BotError, Entered, Link, Place, described, open};
use crate::client::{BotKit, Client};
use crate::signal::Signal;

/// Joins. When this returns, the server has answered; media connects from then on.
pub(super) async fn enter(place: &Place, kit: &BotKit, began: Instant) -> Result<Entered, BotError> {
    let mut signal = Signal::connect(&place.target, &place.room, None).await?;
    let (mut client, offer) = Client::new(kit, began);
    let (name, role, tracks) = (kit.name.clone(), kit.role, client.sections());
    let (metadata, token, rejoin) = (String::new(), kit.token.clone(), kit.rejoin.clone());
    let join = ClientMessage::Join { id: 1, name, role, metadata, mode: place.mode, offer, tracks, token, rejoin };
    signal.say(&join).await.map_err(BotError::Gone)?;
    let joined = loop {
        match timeout(ANSWER_TIMEOUT, signal.hear()).await.map_err(|_| BotError::Silent)?.map_err(BotError::Gone)? {
            ServerMessage::Waiting { .. } => {}
            answer => break answer,
        }
    };
    let answer = match &joined {
        ServerMessage::Joined { answer, .. } => described(kit, answer),
        ServerMessage::Error { error, .. } => return Err(BotError::Refused(error.clone())),
        other => return Err(BotError::BadAnswer(format!("{other:?} instead of joined"))),
    };
    client.handle_message(joined, Instant::now());
    let (carrier, path) = open(kit, &answer).await?;
    client.handle_answer(&answer, Some(path), Instant::now()).map_err(BotError::BadAnswer)?;
    Ok(Entered { link: Link::Ninefold(Box::new(signal)), client, carrier })
}
