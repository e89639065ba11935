//! One WebSocket of a client with our times and limits around it: JSON texts in and out, pings, silence, slow readers.
//!
//! ```text
//! reads:  pings every 4 s; who says nothing for 5 s after one is lost; a text over the maximum ends the line
//! writes: one message at a time; what is not taken within 10 s ends the line
//! close:  says so, then waits 2 s for the other side, so that what was said last is not cut off by a reset
//! ```
//!
//! It knows no message; front ends that speak over WebSockets use it.

use axum::body::Bytes;
use axum::extract::ws::{CloseCode, CloseFrame, Message, Utf8Bytes, WebSocket, close_code};
use serde::Serialize;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, sleep_until, timeout};

use super::arriving::Arriving;
use crate::limits::{CLOSE_TIMEOUT, PING_EVERY, PONG_TIMEOUT, WRITE_TIMEOUT};

/// A message of the client.
#[derive(Debug)]
pub enum Heard {
    /// Text.
    Text(Utf8Bytes),
    /// Bytes, which none of our protocols has.
    Binary,
}

/// Why nothing more is heard or said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The client closed it; browsers send [`close_code::AWAY`] when the page is closed.
    Closed(Option<CloseCode>),
    /// The connection broke, or what came was no WebSocket, or a message beyond all measure.
    Lost,
    /// Nothing came for too long after a ping, not even its pong.
    Silent,
    /// A message is longer than allowed. It can still be told so.
    TooLarge,
    /// The client does not read.
    TooSlow,
}

/// A client's WebSocket.
#[derive(Debug)]
pub struct Line {
    socket: WebSocket,
    ping: Interval,
    /// When the ping was sent after which nothing was heard.
    pinged: Option<Instant>,
    bytes_max: usize,
    /// Until the first message is whole.
    arriving: Option<Arriving>,
}

impl Line {
    /// Takes over an open socket. `bytes_max`: of one message.
    pub fn new(socket: WebSocket, bytes_max: usize) -> Line {
        let mut ping = interval_at(Instant::now() + PING_EVERY, PING_EVERY);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Line { socket, ping, pinged: None, bytes_max, arriving: None }
    }

    /// Counts what comes until the first message is whole.
    pub fn weigh(&mut self, arriving: Arriving) {
        arriving.begin();
        self.arriving = Some(arriving);
    }

    /// The next message. Cancel-safe: nothing is lost when it is dropped before it is ready.
    pub async fn hear(&mut self) -> Result<Heard, End> {
        loop {
            let silent_at = self.pinged.map(|at| at + PONG_TIMEOUT);
            let message = tokio::select! {
                // First what has come: while a request was carried out nobody listened, and a pong may have waited.
                biased;
                message = self.socket.recv() => message,
                () = sleep_until(silent_at.unwrap_or_else(Instant::now)), if silent_at.is_some() => return Err(End::Silent),
                _ = self.ping.tick(), if silent_at.is_none() => {
                    self.send(Message::Ping(Bytes::new())).await?;
                    self.pinged = Some(Instant::now());
                    continue;
                }
            };
            self.pinged = None;
            if let Some(Ok(Message::Text(_) | Message::Binary(_))) = &message
                && let Some(arriving) = self.arriving.take()
            {
                arriving.end();
            }
            match message {
                Some(Ok(Message::Text(text))) if text.len() > self.bytes_max => return Err(End::TooLarge),
                Some(Ok(Message::Text(text))) => return Ok(Heard::Text(text)),
                Some(Ok(Message::Binary(_))) => return Ok(Heard::Binary),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(Message::Close(frame))) => return Err(End::Closed(frame.map(|frame| frame.code))),
                Some(Err(_)) | None => return Err(End::Lost),
            }
        }
    }

    /// Sends `message` as JSON.
    pub async fn say(&mut self, message: &impl Serialize) -> Result<(), End> {
        let text = serde_json::to_string(message).expect("wire types have only text keys, so they can be written");
        self.send(Message::Text(text.into())).await
    }

    /// Closes from our side and waits a little for the other.
    pub async fn close(mut self) {
        let frame = CloseFrame { code: close_code::NORMAL, reason: Utf8Bytes::default() };
        if self.send(Message::Close(Some(frame))).await.is_ok() {
            let emptied = async { while let Some(Ok(_)) = self.socket.recv().await {} };
            // Whoever does not close in time loses the socket all the same.
            let _ = timeout(CLOSE_TIMEOUT, emptied).await;
        }
    }

    async fn send(&mut self, message: Message) -> Result<(), End> {
        match timeout(WRITE_TIMEOUT, self.socket.send(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(End::Lost),
            Err(_) => Err(End::TooSlow),
        }
    }
}
