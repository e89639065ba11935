//! The servers that bots can go to, each behind its own signalling. A bot goes in, hears, says and leaves; what differs stands in one file each.
//!
//! ```text
//! ninefold   our own WebSocket: rosters, slots, actions
//! whip       POST an offer to send (RFC 9725, WHIP) or to watch (WHEP), DELETE to leave: any server that has it
//! janus      the VideoRoom of Janus by its WebSocket
//!
//! Entrance ── enter ──► Link (hear · say · leave), Client, Carrier
//! ```
//!
//! The others have neither slots nor actions, and a bot there either sends or watches. Its slots are judged by what the payload says.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use ::ninefold::api::protocol::{ClientMessage, ErrorBody, RoomMode, ServerMessage};

use crate::carrier::{Carrier, candidates, choose};
use crate::client::{BotKit, Client, Path};
use crate::http::{HttpError, Target};
use crate::signal::{Gone, Signal, SignalError};

mod janus;
mod ninefold;
mod whip;

pub use janus::JanusPlace;
pub use whip::WhipPlace;

/// An answer of the server that takes longer is none.
pub(crate) const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Why a bot is not in the room.
#[derive(Debug, thiserror::Error)]
pub enum BotError {
    /// The WebSocket could not be opened.
    #[error(transparent)]
    Signal(#[from] SignalError),
    /// There is no response.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// The server refused the join.
    #[error("the server refuses the join ({}): {}", .0.code, .0.message)]
    Refused(ErrorBody),
    /// The WebSocket ended before the answer.
    #[error("there was no answer to the join: {0}")]
    Gone(Gone),
    /// The server does not answer.
    #[error("there was no answer to the join in {} s", ANSWER_TIMEOUT.as_secs())]
    Silent,
    /// The answer cannot be used.
    #[error("the answer cannot be used: {0}")]
    BadAnswer(String),
    /// This server has no such thing.
    #[error("{0}")]
    Unable(String),
    /// No socket for media.
    #[error("no socket for media: {0} (each bot takes two file descriptors: `ulimit -n` says how many there may be)")]
    Socket(#[from] io::Error),
}

/// Where a bot goes on a Ninefold server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The server.
    pub target: Target,
    /// The room.
    pub room: String,
    /// Its mode, if the bot begins it.
    pub mode: RoomMode,
}

/// Where a bot goes, and how it speaks there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entrance {
    /// A Ninefold server.
    Ninefold(Place),
    /// WHIP and WHEP of any server.
    Whip(WhipPlace),
    /// A VideoRoom of Janus.
    Janus(JanusPlace),
}

/// The kinds of servers, as people choose them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// A Ninefold server, http://host:port
    #[default]
    Ninefold,
    /// Any server with WHIP, http://host:port/path, and WHEP
    Whip,
    /// The VideoRoom of Janus, ws://host:port
    Janus,
}

/// A bot that is in.
pub(crate) struct Entered {
    pub(crate) link: Link,
    pub(crate) client: Client,
    pub(crate) carrier: Carrier,
}

/// What a bot that is in speaks through.
pub(crate) enum Link {
    Ninefold(Box<Signal>),
    Whip(whip::Session),
    Janus(Box<janus::Session>),
}

impl Kind {
    /// The entrance of a room. `watch`: where WHEP is, if it is not where WHIP is.
    pub fn entrance(self, url: &str, watch: Option<&str>, room: &str, mode: RoomMode) -> Result<Entrance, String> {
        Ok(match self {
            Kind::Ninefold => Entrance::Ninefold(Place { target: url.parse()?, room: room.to_owned(), mode }),
            Kind::Whip => Entrance::Whip(WhipPlace { whip: url.parse()?, whep: watch.unwrap_or(url).parse()? }),
            Kind::Janus => Entrance::Janus(JanusPlace::new(url, room)?),
        })
    }
}

impl Entrance {
    pub(crate) async fn enter(&self, kit: &BotKit, began: Instant) -> Result<Entered, BotError> {
        if let Entrance::Whip(_) | Entrance::Janus(_) = self
            && sends(kit) == watches(kit)
        {
            return Err(BotError::Unable("with WHIP or Janus a bot either sends or watches: make two of it".into()));
        }
        match self {
            Entrance::Ninefold(place) => ninefold::enter(place, kit, began).await,
            Entrance::Whip(place) => whip::enter(place, kit, began).await,
            Entrance::Janus(place) => janus::enter(place, kit, began).await,
        }
    }

    pub(crate) fn can_ask(&self) -> Result<(), ErrorBody> {
        match self {
            Entrance::Ninefold(_) => Ok(()),
            Entrance::Whip(_) | Entrance::Janus(_) => Err(ErrorBody { code: "unable".into(), message: self.cannot("do this") }),
        }
    }

    pub(crate) fn cannot(&self, what: &str) -> String {
        let here = match self {
            Entrance::Ninefold(_) => "here",
            Entrance::Whip(_) => "with WHIP and WHEP",
            Entrance::Janus(_) => "with Janus",
        };
        format!("a bot cannot {what} {here}; it can on a Ninefold server")
    }
}

impl Link {
    /// What the server says next. Cancel-safe.
    pub(crate) async fn hear(&mut self) -> Result<ServerMessage, Gone> {
        match self {
            Link::Ninefold(signal) => signal.hear().await,
            // Its end shows in the media.
            Link::Whip(_) => std::future::pending().await,
            Link::Janus(session) => Err(session.hear().await),
        }
    }

    pub(crate) async fn say(&mut self, message: &ClientMessage) -> Result<(), Gone> {
        match self {
            Link::Ninefold(signal) => signal.say(message).await,
            Link::Whip(_) | Link::Janus(_) => Err(Gone::Refused("it is not a Ninefold server".into())),
        }
    }

    /// Says goodbye. `Ok`: the server will close, and it is heard. An error: nothing more will come.
    pub(crate) async fn leave(&mut self) -> Result<(), Gone> {
        match self {
            Link::Ninefold(signal) => signal.say(&ClientMessage::Leave {}).await,
            Link::Whip(session) => Err(session.leave().await),
            Link::Janus(session) => Err(session.leave().await),
        }
    }
}

fn sends(kit: &BotKit) -> bool {
    kit.camera.is_some() || kit.microphone
}

fn watches(kit: &BotKit) -> bool {
    kit.video_slots + kit.audio_slots > 0
}

/// The way that a description of the server names.
async fn open(kit: &BotKit, description: &str) -> Result<(Carrier, Path), BotError> {
    let remote = choose(&candidates(description, kit.transport));
    let remote = remote.ok_or_else(|| BotError::BadAnswer(format!("it has no candidates for {}", kit.transport.name())))?;
    let carrier = Carrier::open(kit.transport, remote).await?;
    let path = Path { transport: kit.transport, local: carrier.local()?, remote };
    Ok((carrier, path))
}

/// What the server says of itself, with the relay of the kit in its place.
fn described(kit: &BotKit, description: &str) -> String {
    kit.relay.map_or_else(|| description.to_owned(), |relay| redirected(description, relay))
}

/// The answer with a relay's address in the place of all of the server's.
fn redirected(answer: &str, relay: SocketAddr) -> String {
    let is_candidate = |line: &str| line.starts_with("a=candidate:");
    let candidate = format!("a=candidate:1 1 udp 2130706431 {} {} typ host", relay.ip(), relay.port());
    let Some(first) = answer.lines().position(is_candidate) else { return answer.to_owned() };
    let mut lines: Vec<&str> = answer.lines().filter(|line| !is_candidate(line)).collect();
    lines.insert(first, &candidate);
    lines.join("\r\n") + "\r\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relay_takes_the_place_of_all_candidates() {
        let answer = "v=0\r\na=candidate:1 1 udp 2130706431 192.0.2.1 10000 typ host\r\na=candidate:2 1 tcp 1 192.0.2.1 10000 typ host\r\n\
                      a=end-of-candidates\r\n";
        let redirected = redirected(answer, "127.0.0.1:20000".parse().expect("an address"));
        assert_eq!(redirected, "v=0\r\na=candidate:1 1 udp 2130706431 127.0.0.1 20000 typ host\r\na=end-of-candidates\r\n");
    }
}
