//! The VideoRoom of Janus by its WebSocket: a session, a handle, and a room that is made if it is not there.
//!
//! ```text
//! who sends     create · attach · create room · joinandconfigure (offer → answer) · trickle
//! who watches   create · attach · listparticipants · join (offer ← Janus) · start (answer → Janus) · trickle
//! ```
//!
//! A viewer takes whole feeds, picture and sound, as many as it has slots, and leaves out who has its own name. The room's bitrate is set beyond what
//! any bot sends, since Janus is measured and not its caps. <https://janus.conf.meetecho.com/docs/videoroom.html>

use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use ninefold::api::protocol::ErrorBody;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::{sleep_until, timeout};
use tokio_tungstenite::tungstenite::{Error, Message};

use super::{ANSWER_TIMEOUT, BotError, Entered, Link, described, open, sends};
use crate::carrier::Carrier;
use crate::client::{BotKit, Client};
use crate::http::Url;
use crate::signal::{Gone, Socket, open as open_socket};
use crate::slot::Face;

const PLUGIN: &str = "janus.plugin.videoroom";
/// Janus ends a session that is silent for a minute.
const KEEPALIVE: Duration = Duration::from_secs(30);
/// More than any bot sends.
const BITRATE_BPS: u32 = 50_000_000;
/// More than any scenario has.
const PUBLISHERS: u32 = 1_000;
/// The error of the plugin for a room that is there already.
const ROOM_EXISTS: &str = "427";

/// A room of a Janus server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JanusPlace {
    url: Url,
    room: u64,
}

/// A bot's session.
pub(crate) struct Session {
    socket: Socket,
    token: Option<String>,
    id: u64,
    handle: u64,
    room: u64,
    /// Who made the room takes it down.
    made_room: bool,
    transactions: u64,
    keepalive_at: Instant,
}

/// What Janus says, as far as a bot listens.
#[derive(Debug, PartialEq)]
enum Heard {
    /// The answer to the request with this number.
    Answer(u64, Result<Answer, ErrorBody>),
    /// It is over.
    Ended(String),
    /// Something that a bot need not know.
    Notice,
}

/// What a request brings.
#[derive(Debug, Default, PartialEq)]
struct Answer {
    /// The session or handle that was made.
    id: Option<u64>,
    /// What the plugin says.
    data: Value,
    /// The offer or answer.
    sdp: Option<String>,
}

#[derive(Deserialize)]
struct Wire {
    janus: String,
    transaction: Option<String>,
    data: Option<Made>,
    plugindata: Option<PluginData>,
    jsep: Option<Jsep>,
    error: Option<Failure>,
    reason: Option<String>,
}

#[derive(Deserialize)]
struct Made {
    id: u64,
}

#[derive(Deserialize)]
struct PluginData {
    data: Value,
}

#[derive(Deserialize)]
struct Jsep {
    sdp: String,
}

#[derive(Deserialize)]
struct Failure {
    code: u64,
    reason: String,
}

impl JanusPlace {
    /// `url` is `ws://host:port`. A room that is no number gets one of its own, since rooms of Janus are numbers.
    pub fn new(url: &str, room: &str) -> Result<JanusPlace, String> {
        let rest = url.strip_prefix("ws://").ok_or("the address of a Janus server begins with ws://, such as ws://127.0.0.1:8188")?;
        Ok(JanusPlace { url: format!("http://{rest}").parse()?, room: room_number(room) })
    }
}

pub(super) async fn enter(place: &JanusPlace, kit: &BotKit, began: Instant) -> Result<Entered, BotError> {
    let mut session = Session::open(place, kit).await?;
    let (client, carrier) = if sends(kit) { session.publish(kit, began).await? } else { session.watch(kit, began).await? };
    Ok(Entered { link: Link::Janus(Box::new(session)), client, carrier })
}

impl Session {
    async fn open(place: &JanusPlace, kit: &BotKit) -> Result<Session, BotError> {
        let protocol = ("sec-websocket-protocol", "janus-protocol");
        let socket = open_socket(&place.url.target, &place.url.path, Some(protocol)).await?;
        let (token, room, keepalive_at) = (kit.token.clone(), place.room, Instant::now() + KEEPALIVE);
        let mut session = Session { socket, token, id: 0, handle: 0, room, made_room: false, transactions: 0, keepalive_at };
        session.id = made(session.ask(json!({ "janus": "create" })).await?)?;
        session.handle = made(session.ask(json!({ "janus": "attach", "plugin": PLUGIN })).await?)?;
        Ok(session)
    }

    async fn publish(&mut self, kit: &BotKit, began: Instant) -> Result<(Client, Carrier), BotError> {
        let room = json!({
            "request": "create", "room": self.room, "publishers": PUBLISHERS, "bitrate": BITRATE_BPS, "audiocodec": "opus", "videocodec": "vp8",
        });
        match self.message(room, None).await {
            Ok(_) => self.made_room = true,
            Err(BotError::Refused(error)) if error.code == ROOM_EXISTS => {}
            Err(error) => return Err(error),
        }
        // The number of the feed is in what it sends, so that viewers know whose it is.
        let owner = fastrand::u32(1..);
        let (mut client, offer) = Client::plain(kit, owner, began);
        let join = json!({
            "request": "joinandconfigure", "ptype": "publisher", "room": self.room, "id": owner, "display": kit.name, "bitrate": BITRATE_BPS,
            "audio": kit.microphone, "video": kit.camera.is_some(),
        });
        let answer = self.message(join, Some(("offer", offer))).await?;
        let answer = described(kit, &answer.sdp.ok_or_else(|| missing("SDP"))?);
        client.seen.times.joined = Some(began.elapsed());
        let (carrier, path) = open(kit, &answer).await?;
        client.handle_answer(&answer, Some(path), Instant::now()).map_err(BotError::BadAnswer)?;
        self.trickle(&carrier, &answer).await?;
        Ok((client, carrier))
    }

    async fn watch(&mut self, kit: &BotKit, began: Instant) -> Result<(Client, Carrier), BotError> {
        let listed = self.message(json!({ "request": "listparticipants", "room": self.room }), None).await?;
        let feeds = feeds(&listed.data, &kit.name, kit.video_slots.max(kit.audio_slots));
        if feeds.is_empty() {
            let message = "nobody sends in this room of Janus, so there is nothing to watch: let who sends join first".into();
            return Err(BotError::Refused(ErrorBody { code: "no_feed".into(), message }));
        }
        let streams: Vec<Value> = feeds.iter().map(|feed| json!({ "feed": feed })).collect();
        let join = json!({ "request": "join", "ptype": "subscriber", "room": self.room, "streams": streams });
        let Answer { data, sdp, .. } = self.message(join, None).await?;
        let offer = described(kit, &sdp.ok_or_else(|| missing("SDP"))?);
        let (carrier, path) = open(kit, &offer).await?;
        let (mut client, answer) = Client::answering(kit, &offer, path, began).map_err(BotError::BadAnswer)?;
        for (mid, feed) in faces(&data) {
            if let Some(slot) = client.seen.slots.get_mut(&mid) {
                slot.face = Face::Always(feed);
            }
        }
        client.seen.times.joined = Some(began.elapsed());
        self.message(json!({ "request": "start", "room": self.room }), Some(("answer", answer))).await?;
        self.trickle(&carrier, &offer).await?;
        Ok((client, carrier))
    }

    /// Tells our only address; Janus wants one before it begins, with the first section of the description, since all share one way.
    async fn trickle(&mut self, carrier: &Carrier, description: &str) -> Result<(), BotError> {
        let mid = description.lines().find_map(|line| line.strip_prefix("a=mid:")).unwrap_or("0");
        let local = carrier.local()?;
        let candidate = format!("candidate:1 1 udp 2130706431 {} {} typ host", local.ip(), local.port());
        for candidate in [json!({ "candidate": candidate, "sdpMid": mid, "sdpMLineIndex": 0 }), json!({ "completed": true })] {
            self.say(json!({ "janus": "trickle", "candidate": candidate })).await.map_err(BotError::Gone)?;
        }
        Ok(())
    }

    /// Asks the plugin.
    async fn message(&mut self, body: Value, jsep: Option<(&str, String)>) -> Result<Answer, BotError> {
        let mut request = json!({ "janus": "message", "body": body });
        if let Some((kind, sdp)) = jsep {
            request["jsep"] = json!({ "type": kind, "sdp": sdp });
        }
        self.ask(request).await
    }

    /// Asks, and waits for the answer.
    async fn ask(&mut self, request: Value) -> Result<Answer, BotError> {
        let asked = self.say(request).await.map_err(BotError::Gone)?;
        let answered = timeout(ANSWER_TIMEOUT, async {
            loop {
                match self.next().await? {
                    Heard::Answer(number, answer) if number == asked => return Ok(answer),
                    Heard::Ended(why) => return Err(Gone::Lost(why)),
                    Heard::Answer(..) | Heard::Notice => {}
                }
            }
        });
        answered.await.map_err(|_| BotError::Silent)?.map_err(BotError::Gone)?.map_err(BotError::Refused)
    }

    /// Sends a request and gives its number.
    async fn say(&mut self, mut request: Value) -> Result<u64, Gone> {
        self.transactions += 1;
        request["transaction"] = json!(self.transactions.to_string());
        for (name, id) in [("session_id", self.id), ("handle_id", self.handle)] {
            if id != 0 {
                request[name] = json!(id);
            }
        }
        if let Some(token) = &self.token {
            request["token"] = json!(token);
        }
        let sent = self.socket.send(Message::text(request.to_string())).await;
        sent.map_err(|error| Gone::Lost(error.to_string()))?;
        Ok(self.transactions)
    }

    async fn next(&mut self) -> Result<Heard, Gone> {
        loop {
            match self.socket.next().await {
                Some(Ok(Message::Text(text))) => return parse(&text).map_err(Gone::Strange),
                Some(Ok(Message::Binary(_))) => return Err(Gone::Strange("a binary frame".into())),
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                Some(Ok(Message::Close(_)) | Err(Error::ConnectionClosed)) | None => return Err(Gone::Lost("Janus closed it".into())),
                Some(Err(error)) => return Err(Gone::Lost(error.to_string())),
            }
        }
    }

    /// Keeps the session alive until it ends, and says why it did. Cancel-safe: a keepalive that was cut short is sent again.
    pub(crate) async fn hear(&mut self) -> Gone {
        loop {
            let keepalive_at = self.keepalive_at.into();
            let heard = tokio::select! {
                heard = self.next() => heard,
                () = sleep_until(keepalive_at) => {
                    let said = self.say(json!({ "janus": "keepalive" })).await;
                    self.keepalive_at = Instant::now() + KEEPALIVE;
                    said.map(|_| Heard::Notice)
                }
            };
            match heard {
                Ok(Heard::Ended(why)) => return Gone::Lost(why),
                Ok(Heard::Answer(_, Err(error))) => return Gone::Refused(format!("{} ({})", error.message, error.code)),
                Ok(Heard::Answer(_, Ok(_)) | Heard::Notice) => {}
                Err(gone) => return gone,
            }
        }
    }

    /// Leaves the room, takes it down if it is ours, and ends the session.
    pub(crate) async fn leave(&mut self) -> Gone {
        match self.end().await {
            Ok(()) => Gone::Closed(None),
            Err(BotError::Gone(gone)) => gone,
            Err(error) => Gone::Refused(error.to_string()),
        }
    }

    async fn end(&mut self) -> Result<(), BotError> {
        self.message(json!({ "request": "leave" }), None).await?;
        if self.made_room {
            self.message(json!({ "request": "destroy", "room": self.room }), None).await?;
        }
        self.handle = 0;
        self.ask(json!({ "janus": "destroy" })).await.map(drop)
    }
}

fn parse(text: &str) -> Result<Heard, String> {
    let strange = || text.chars().take(200).collect::<String>();
    let wire: Wire = serde_json::from_str(text).map_err(|_| strange())?;
    let data = wire.plugindata.map_or(Value::Null, |plugin| plugin.data);
    let answer = match &*wire.janus {
        "success" | "event" => {
            if data["videoroom"] == "destroyed" {
                return Ok(Heard::Ended("the room was destroyed".into()));
            }
            match data["error_code"].as_u64() {
                Some(code) => Err(failure(code, data["error"].as_str().unwrap_or_default())),
                None => Ok(Answer { id: wire.data.map(|made| made.id), data, sdp: wire.jsep.map(|jsep| jsep.sdp) }),
            }
        }
        "error" => wire.error.map(|error| Err(failure(error.code, &error.reason))).ok_or_else(strange)?,
        "timeout" => return Ok(Heard::Ended("Janus let the session time out".into())),
        "hangup" => return Ok(Heard::Ended(format!("Janus hung up: {}", wire.reason.as_deref().unwrap_or("no reason given")))),
        // `ack`, `webrtcup`, `media`, `slowlink`, `trickle`, `detached` and what other versions have.
        _ => return Ok(Heard::Notice),
    };
    // Without a number it is news of the room, or an error that nobody can be told of but the log.
    match wire.transaction {
        Some(number) => number.parse().map(|number| Heard::Answer(number, answer)).map_err(|_| strange()),
        None => Ok(answer.map_or_else(|error| Heard::Ended(error.message), |_| Heard::Notice)),
    }
}

fn failure(code: u64, message: &str) -> ErrorBody {
    ErrorBody { code: code.to_string(), message: message.into() }
}

fn missing(what: &str) -> BotError {
    BotError::BadAnswer(format!("Janus answers without {what}"))
}

fn made(answer: Answer) -> Result<u64, BotError> {
    answer.id.ok_or_else(|| missing("a number"))
}

/// The feeds of a list of participants, without those of `own` name.
fn feeds(data: &Value, own: &str, max: usize) -> Vec<u64> {
    let participants = data["participants"].as_array().map_or(&[][..], Vec::as_slice);
    let others = participants.iter().filter(|one| one["publisher"] == true && (own.is_empty() || one["display"] != own));
    others.filter_map(|one| one["id"].as_u64()).take(max).collect()
}

/// Which feed comes in which section. Feeds of strangers may have greater numbers than ours; what they send is no media of ours anyway.
fn faces(data: &Value) -> Vec<(String, u32)> {
    let streams = data["streams"].as_array().map_or(&[][..], Vec::as_slice);
    let face = |stream: &Value| Some((stream["mid"].as_str()?.to_owned(), u32::try_from(stream["feed_id"].as_u64()?).ok()?));
    streams.iter().filter_map(face).collect()
}

/// FNV-1a, so that the same name is the same room in every process.
fn room_number(room: &str) -> u64 {
    let hash = |hash: u32, byte: u8| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    room.parse().unwrap_or_else(|_| u64::from(room.bytes().fold(0x811c_9dc5, hash)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_janus_says() {
        let answer = |number, answer| Ok(Heard::Answer(number, answer));
        let refused = |number, code, message: &str| answer(number, Err(failure(code, message)));
        let joined = json!({ "videoroom": "joined", "id": 5 });
        for (text, heard) in [
            (r#"{"janus":"ack","session_id":1,"transaction":"3"}"#, Ok(Heard::Notice)),
            (r#"{"janus":"webrtcup","session_id":1,"sender":2}"#, Ok(Heard::Notice)),
            (r#"{"janus":"success","transaction":"1","data":{"id":77}}"#, answer(1, Ok(Answer { id: Some(77), ..Answer::default() }))),
            (
                r#"{"janus":"event","transaction":"4","plugindata":{"plugin":"p","data":{"videoroom":"joined","id":5}},"jsep":{"type":"answer","sdp":"v=0"}}"#,
                answer(4, Ok(Answer { id: None, data: joined, sdp: Some("v=0".into()) })),
            ),
            (r#"{"janus":"event","plugindata":{"plugin":"p","data":{"videoroom":"event","publishers":[]}}}"#, Ok(Heard::Notice)),
            (
                r#"{"janus":"event","transaction":"2","plugindata":{"data":{"videoroom":"event","error_code":426,"error":"No such room"}}}"#,
                refused(2, 426, "No such room"),
            ),
            (r#"{"janus":"error","transaction":"9","error":{"code":403,"reason":"Unauthorized"}}"#, refused(9, 403, "Unauthorized")),
            (r#"{"janus":"error","error":{"code":454,"reason":"Invalid JSON"}}"#, Ok(Heard::Ended("Invalid JSON".into()))),
            (r#"{"janus":"hangup","reason":"ICE failed"}"#, Ok(Heard::Ended("Janus hung up: ICE failed".into()))),
            (r#"{"janus":"event","plugindata":{"data":{"videoroom":"destroyed"}}}"#, Ok(Heard::Ended("the room was destroyed".into()))),
            (r#"{"janus":"timeout","session_id":1}"#, Ok(Heard::Ended("Janus let the session time out".into()))),
        ] {
            assert_eq!(parse(text), heard, "{text}");
        }
    }

    #[test]
    fn what_no_janus_says() {
        let transaction = r#"{"janus":"success","transaction":"of another"}"#;
        let numbers = r#"{"janus":"success","transaction":"1","data":{"id":-1}}"#;
        for garbage in ["", "[]", "{}", "null", "<html>", r#"{"janus":1}"#, r#"{"janus":"error"}"#, transaction, numbers] {
            assert_eq!(parse(garbage), Err(garbage.to_owned()));
        }
        assert_eq!(parse(&"x".repeat(9_999)), Err("x".repeat(200)));
    }

    #[test]
    fn feeds_and_faces() {
        let list = json!({ "participants": [
            { "id": 1, "display": "Ada", "publisher": true }, { "id": 2, "display": "Bo", "publisher": true },
            { "id": 3, "publisher": false }, { "id": "text", "publisher": true }, { "id": 4, "publisher": true },
        ] });
        assert_eq!(feeds(&list, "", 9), [1, 2, 4]);
        assert_eq!(feeds(&list, "Ada", 9), [2, 4]);
        assert_eq!(feeds(&list, "", 1), [1]);
        assert!(feeds(&json!("garbage"), "", 9).is_empty());
        let attached =
            json!({ "streams": [{ "mid": "0", "feed_id": 7 }, { "mid": 1, "feed_id": 7 }, { "mid": "2", "feed_id": 5_000_000_000_u64 }] });
        assert_eq!(faces(&attached), [("0".to_owned(), 7)]);
        assert!(faces(&Value::Null).is_empty());
    }

    #[test]
    fn places() {
        let place = JanusPlace::new("ws://127.0.0.1:8188", "1234").expect("a place");
        assert_eq!((place.url.target.authority(), place.room), ("127.0.0.1:8188", 1234));
        assert_eq!(room_number("load"), room_number("load"));
        assert_ne!(room_number("load"), room_number("lead"));
        for wrong in ["http://127.0.0.1:8188", "wss://a", "ws://", "127.0.0.1"] {
            assert!(JanusPlace::new(wrong, "x").is_err(), "{wrong}");
        }
    }
}
