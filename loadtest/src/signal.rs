//! The WebSocket of one participant: the wire types of the server, one message at a time.

use std::fmt;

use futures_util::{SinkExt, StreamExt};
use ninefold::api::protocol::{ClientMessage, ErrorBody, ServerMessage};
use serde::Deserialize;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::http::Target;

/// Why nobody could be reached, in words for who gave the address.
#[derive(Debug, thiserror::Error)]
pub enum SignalError {
    /// Nobody answers there.
    #[error("nobody answers at {target}: {error}")]
    Unreachable {
        /// The address.
        target: Target,
        /// What the system says.
        error: Box<Error>,
    },
    /// The server wants no WebSocket there.
    #[error("{target} refuses ({status}): {}", error.message)]
    Refused {
        /// The address.
        target: Target,
        /// HTTP status.
        status: u16,
        /// Why.
        error: ErrorBody,
    },
}

/// Nothing more will be heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Gone {
    /// The server closed in order, with this code.
    Closed(Option<u16>),
    /// The connection broke.
    Lost(String),
    /// The server said what is no message of it.
    Strange(String),
    /// It does not want us any more, or not what we want.
    Refused(String),
}

impl fmt::Display for Gone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Gone::Closed(_) => f.write_str("the server closed the connection"),
            Gone::Lost(why) => write!(f, "the connection broke: {why}"),
            Gone::Strange(text) => write!(f, "this is no message of such a server: {text}"),
            Gone::Refused(why) => write!(f, "the server refuses: {why}"),
        }
    }
}

/// An open WebSocket.
#[derive(Debug)]
pub struct Signal(Socket);

/// Messages both ways, whatever they say.
pub(crate) type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

impl Signal {
    /// Opens the socket of a room. `origin`: as the page of that origin would.
    pub async fn connect(target: &Target, room: &str, origin: Option<&str>) -> Result<Signal, SignalError> {
        let path = format!("/api/v1/rooms/{}/socket", crate::http::percent_encoded(room));
        open(target, &path, origin.map(|origin| ("origin", origin))).await.map(Signal)
    }

    /// Says something.
    pub async fn say(&mut self, message: &ClientMessage) -> Result<(), Gone> {
        let text = serde_json::to_string(message).expect("wire types can be written");
        self.send(Message::text(text)).await
    }

    /// Sends any frame.
    pub async fn send(&mut self, message: Message) -> Result<(), Gone> {
        self.0.send(message).await.map_err(|error| Gone::Lost(error.to_string()))
    }

    /// The next message. Cancel-safe.
    pub async fn hear(&mut self) -> Result<ServerMessage, Gone> {
        loop {
            match self.0.next().await {
                Some(Ok(Message::Text(text))) => return serde_json::from_str(&text).map_err(|_| Gone::Strange(text.to_string())),
                Some(Ok(Message::Close(frame))) => {
                    // The server waits for the answer that the library has prepared; it may be gone already.
                    let _ = self.0.flush().await;
                    return Err(Gone::Closed(frame.map(|CloseFrame { code, .. }| code.into())));
                }
                // Pings are answered by the library when it reads on.
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                Some(Ok(Message::Binary(_))) => return Err(Gone::Strange("a binary frame".into())),
                Some(Err(error)) => return Err(Gone::Lost(error.to_string())),
                None => return Err(Gone::Closed(None)),
            }
        }
    }
}

/// Opens a WebSocket, with one more line in the head of the request.
pub(crate) async fn open(target: &Target, path: &str, header: Option<(&'static str, &str)>) -> Result<Socket, SignalError> {
    let unreachable = |error| SignalError::Unreachable { target: target.clone(), error: Box::new(error) };
    let mut request = format!("ws://{}{path}", target.authority()).into_client_request().map_err(unreachable)?;
    if let Some((name, value)) = header
        && let Ok(value) = HeaderValue::from_str(value)
    {
        request.headers_mut().insert(name, value);
    }
    match connect_async(request).await {
        Ok((stream, _)) => Ok(stream),
        Err(Error::Http(response)) => {
            let (parts, body) = response.into_parts();
            let error = refusal(&body.unwrap_or_default());
            Err(SignalError::Refused { target: target.clone(), status: parts.status.as_u16(), error })
        }
        Err(error) => Err(unreachable(error)),
    }
}

/// `{"error":{"code","message"}}`, or what else stands there.
fn refusal(body: &[u8]) -> ErrorBody {
    #[derive(Deserialize)]
    struct Refusal {
        error: ErrorBody,
    }
    let strange = || ErrorBody { code: String::new(), message: String::from_utf8_lossy(body).chars().take(200).collect() };
    serde_json::from_slice(body).map_or_else(|_| strange(), |Refusal { error }| error)
}
