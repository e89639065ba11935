//! The front end over a real door: what strangers may send, and what a client sees of a room. Media does not flow here.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

mod rights;

use super::extract::unix_now;
use super::listen::Edge;
use super::{App, answers};
use crate::auth::{Claims, Keys, mint};
use crate::config::Config;
use crate::id::RoomName;
use crate::limits::{
    ANSWER_TIMEOUT, AWAY_AFTER, CHAT_CHARS_MAX, CONNECTIONS_REFUSED_MAX, FIRST_MESSAGES, PING_EVERY, PONG_TIMEOUT, REQUEST_BODY_TIMEOUT,
    REQUEST_HEAD_TIMEOUT, SIGNAL_BYTES_MAX, SIGNAL_BYTES_READ_MAX, VIEW_TRACKS_MAX,
};
use crate::metrics::Metrics;
use crate::net::crowd::Crowd;
use crate::sfu::Sfu;

/// One audio slot of a client that never connects its media.
const OFFER: &str = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 0.0.0.0\r\n\
                     a=ice-ufrag:abcd\r\na=ice-pwd:0123456789abcdefghijklmn\r\na=fingerprint:sha-256 \
                     00:01:02:03:04:05:06:07:08:09:0A:0B:0C:0D:0E:0F:10:11:12:13:14:15:16:17:18:19:1A:1B:1C:1D:1E:1F\r\na=setup:actpass\r\n\
                     a=mid:0\r\na=recvonly\r\na=rtcp-mux\r\na=rtpmap:111 opus/48000/2\r\na=fmtp:111 minptime=10;useinbandfec=1\r\n";

/// A server on free ports, gone with the test's runtime.
struct Server {
    app: App,
    address: SocketAddr,
}

impl Server {
    async fn start() -> Server {
        Server::start_with("").await
    }

    /// With these settings besides.
    async fn start_with(settings: &str) -> Server {
        let settings = format!("[media]\nport = 0\nadvertise = [\"127.0.0.1\"]\nshards = 1\n{settings}");
        let config = Config::parse(&settings, []).expect("good settings");
        let metrics = Metrics::new();
        let sfu = Sfu::start(&config, &metrics).expect("free ports");
        let app = App::new(Arc::new(sfu), metrics, &config);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let crowd = (!config.http.behind_proxy).then(|| Crowd::new(config.limits.connections_per_address));
        // It goes on when the app has stopped, so that what it says then can be read.
        let (_, stop) = watch::channel(false);
        let edge = Edge { listener, tls: None, crowd, refused: Crowd::new(CONNECTIONS_REFUSED_MAX) };
        tokio::spawn(edge.serve(answers(app.clone()), stop));
        Server { app, address }
    }

    async fn dial(&self, room: &str) -> Client {
        let (socket, _) = connect_async(format!("ws://{}/api/v1/rooms/{room}/socket", self.address)).await.expect("it is taken");
        Client { socket }
    }

    /// The same as a proxy would that names this address.
    async fn dial_from(&self, room: &str, address: &str) -> Client {
        let mut request = format!("ws://{}/api/v1/rooms/{room}/socket", self.address).into_client_request().expect("an address");
        request.headers_mut().insert("x-forwarded-for", address.parse().expect("a header"));
        let (socket, _) = connect_async(request).await.expect("it is taken");
        Client { socket }
    }

    /// Somebody who is in the room, with their number.
    async fn join(&self, room: &str, name: &str) -> (Client, u64) {
        let mut client = self.dial(room).await;
        client.say(json!({ "type": "join", "id": 1, "name": name, "offer": OFFER })).await;
        let joined = client.hear().await;
        assert_eq!(joined["type"], "joined", "{joined}");
        (client, joined["participant"].as_u64().expect("a number"))
    }

    async fn http(&self, method: &str, path: &str, headers: &str, body: &str) -> (u16, String, String) {
        let mut stream = TcpStream::connect(self.address).await.expect("it listens");
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}",
            self.address
        );
        stream.write_all(request.as_bytes()).await.expect("it reads");
        let mut response = String::new();
        stream.read_to_string(&mut response).await.expect("it answers with text");
        let (head, body) = response.split_once("\r\n\r\n").expect("a head and a body");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        (status, head.to_owned(), body.to_owned())
    }

    async fn json(&self, method: &str, path: &str, body: &str) -> (u16, Value) {
        let (status, _, body) = self.http(method, path, "Content-Type: application/json\r\n", body).await;
        (status, serde_json::from_str(&body).unwrap_or_default())
    }
}

struct Client {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

impl Client {
    async fn send(&mut self, message: impl Into<Message>) {
        self.socket.send(message.into()).await.expect("the line stands");
    }

    async fn say(&mut self, message: Value) {
        self.send(message.to_string()).await;
    }

    /// The next message; `Null` when the server has closed.
    async fn hear(&mut self) -> Value {
        loop {
            match self.socket.next().await {
                Some(Ok(Message::Text(text))) => return serde_json::from_str(&text).expect("the server says JSON"),
                Some(Ok(Message::Close(_))) | None => return Value::Null,
                Some(Ok(_)) => {}
                Some(Err(error)) => panic!("{error}"),
            }
        }
    }

    async fn refused(&mut self) -> (Value, Value) {
        let error = self.hear().await;
        assert_eq!(error["type"], "error", "{error}");
        assert!(error["error"]["message"].is_string(), "{error}");
        (error["id"].clone(), error["error"]["code"].clone())
    }
}

#[tokio::test]
async fn a_bad_first_message_is_answered_and_the_socket_closed() {
    let server = Server::start().await;
    let long = "x".repeat(65);
    for (message, id, code) in [
        ("nonsense".to_owned(), Value::Null, "bad_message"),
        (r#"{"type":"dance","id":4}"#.to_owned(), json!(4), "bad_message"),
        (json!({ "type": "chat", "id": 2, "text": "hello" }).to_string(), json!(2), "join_first"),
        (json!({ "type": "join", "id": 3, "name": "Ada", "offer": "garbage" }).to_string(), json!(3), "bad_offer"),
        (json!({ "type": "join", "id": 3, "name": " ", "offer": OFFER }).to_string(), json!(3), "bad_name"),
        (json!({ "type": "join", "id": 3, "name": long, "offer": OFFER }).to_string(), json!(3), "bad_name"),
    ] {
        let mut client = server.dial("a").await;
        client.send(message.clone()).await;
        assert_eq!(client.refused().await, (id, json!(code)), "{message}");
        assert_eq!(client.hear().await, Value::Null, "{message}");
    }
    let mut client = server.dial("a").await;
    client.send(vec![1, 2, 3]).await;
    assert_eq!(client.refused().await.1, "bad_message");
    assert_eq!(client.hear().await, Value::Null);
}

#[tokio::test]
async fn after_joining_a_bad_message_is_answered_and_the_socket_stays() {
    let server = Server::start().await;
    let (mut client, me) = server.join("a", "  Ada ").await;
    let many: Vec<usize> = (0..=VIEW_TRACKS_MAX).collect();
    for (message, id, code) in [
        ("{".to_owned(), Value::Null, "bad_message"),
        (json!({ "type": "hand", "id": 5, "raised": true, "more": 1 }).to_string(), json!(5), "bad_message"),
        (json!({ "type": "join", "id": 6, "name": "Ada", "offer": OFFER }).to_string(), json!(6), "joined_already"),
        (json!({ "type": "mute", "id": 7, "track": 99, "muted": true }).to_string(), json!(7), "no_track"),
        (json!({ "type": "chat", "id": 8, "text": "" }).to_string(), json!(8), "bad_text"),
        (json!({ "type": "chat", "id": 9, "text": "psst", "to": 4_000_000 }).to_string(), json!(9), "no_participant"),
        (json!({ "type": "view", "id": 10, "view": { "mode": "tracks", "tracks": many } }).to_string(), json!(10), "bad_view"),
        (json!({ "type": "offer", "id": 11, "offer": "garbage" }).to_string(), json!(11), "bad_offer"),
        (json!({ "type": "update", "id": 12, "name": "" }).to_string(), json!(12), "bad_name"),
    ] {
        client.send(message.clone()).await;
        assert_eq!(client.refused().await, (id, json!(code)), "{message}");
    }
    client.send(vec![0; 100]).await;
    assert_eq!(client.refused().await.1, "bad_message");

    client.say(json!({ "type": "chat", "id": 13, "text": "still here" })).await;
    let heard = [client.hear().await, client.hear().await];
    assert!(heard.contains(&json!({ "type": "done", "id": 13 })), "{heard:?}");
    assert!(heard.iter().any(|message| message["event"]["text"] == "still here" && message["event"]["from"] == me), "{heard:?}");
    let (_, participants) = server.json("GET", "/api/v1/rooms/a/participants", "").await;
    assert_eq!(participants[0]["name"], "Ada");
}

#[tokio::test]
async fn a_message_that_is_too_long_closes_the_socket() {
    let server = Server::start().await;
    let (mut other, _) = server.join("a", "Bo").await;
    let (mut client, me) = server.join("a", "Ada").await;
    client.send(" ".repeat(SIGNAL_BYTES_MAX + 1)).await;
    assert_eq!(client.refused().await, (Value::Null, json!("too_large")));
    assert_eq!(client.hear().await, Value::Null);
    assert_eq!(other.hear().await["event"]["kind"], "participant_joined");
    assert_eq!(other.hear().await["event"], json!({ "kind": "participant_left", "participant": me, "reason": "disconnected" }));

    let (mut client, me) = server.join("a", "Ada").await;
    // Half of it may be refused by the kernel, since the server stops reading.
    let _ = client.socket.send(" ".repeat(SIGNAL_BYTES_READ_MAX + 1).into()).await;
    assert_eq!(other.hear().await["event"]["kind"], "participant_joined");
    // It was not read to its end, so that nobody knows whether it was a message at all: the line is lost.
    assert_eq!(other.hear().await["event"], json!({ "kind": "participants_away", "participants": [me], "away": true }));
}

#[tokio::test]
async fn the_others_are_told_why_somebody_left() {
    let server = Server::start().await;
    let (mut other, _) = server.join("产品", "Bo").await;
    for (how, reason) in [("leave", "left"), ("close the page", "left"), ("close", "away"), ("vanish", "away"), ("DELETE", "removed")] {
        let (mut client, me) = server.join("%E4%BA%A7%E5%93%81", "Ada").await;
        assert_eq!(other.hear().await["event"]["participant"]["participant"], me, "{how}");
        match how {
            "leave" => {
                client.say(json!({ "type": "leave" })).await;
                assert_eq!(client.hear().await, Value::Null);
            }
            "close the page" => {
                let frame = CloseFrame { code: CloseCode::Away, reason: "".into() };
                client.socket.close(Some(frame)).await.expect("the line stands");
            }
            "close" => client.socket.close(None).await.expect("the line stands"),
            "vanish" => drop(client),
            _ => {
                let path = format!("/api/v1/rooms/%E4%BA%A7%E5%93%81/participants/{me}");
                assert_eq!(server.json("GET", &path, "").await.1["name"], "Ada");
                assert_eq!(server.json("DELETE", &path, "").await.0, 204);
                assert_eq!(client.hear().await, json!({ "type": "closed", "reason": "removed" }));
                assert_eq!(client.hear().await, Value::Null);
                assert_eq!(
                    server.json("DELETE", &path, "").await,
                    (404, json!({ "error": { "code": "no_participant", "message": format!("participant {me} is not in the room") } }))
                );
            }
        }
        let told = match reason {
            "away" => json!({ "kind": "participants_away", "participants": [me], "away": true }),
            reason => json!({ "kind": "participant_left", "participant": me, "reason": reason }),
        };
        assert_eq!(other.hear().await["event"], told, "{how}");
    }
}

#[tokio::test]
async fn who_does_not_read_is_sent_out_and_holds_up_nobody() {
    let server = Server::start_with("[limits]\nmessages_per_second = 10_000").await;
    let (mut writer, _) = server.join("a", "Ada").await;
    let (_idle, slow) = server.join("a", "Bo").await;
    assert_eq!(writer.hear().await["event"]["kind"], "participant_joined");
    // 8 kB each, some at once: the kernel keeps megabytes for a reader before anybody waits.
    let text = "🙂".repeat(CHAT_CHARS_MAX);
    for _ in 0..300 {
        for id in 0..32 {
            writer.say(json!({ "type": "chat", "id": id, "text": text })).await;
        }
        for _ in 0..64 {
            let message = writer.hear().await;
            if message["event"]["kind"] == "participant_left" {
                assert_eq!(message["event"], json!({ "kind": "participant_left", "participant": slow, "reason": "too_slow" }));
                return;
            }
        }
    }
    panic!("the one who does not read is still there");
}

#[tokio::test]
async fn sockets_are_for_rooms_and_for_our_own_page() {
    let server = Server::start().await;
    let url = |room: &str| format!("ws://{}/api/v1/rooms/{room}/socket", server.address);
    for (room, origin, status) in [
        ("a%20b", None, 400),
        ("%FF", None, 400),
        (&*"x".repeat(65), None, 400),
        ("a", Some("http://evil.example".to_owned()), 403),
        ("a", Some("null".to_owned()), 403),
        ("a", Some(format!("http://{}", server.address)), 101),
    ] {
        let mut request = url(room).into_client_request().expect("an address");
        if let Some(origin) = &origin {
            request.headers_mut().insert("origin", origin.parse().expect("a header"));
        }
        let got = match connect_async(request).await {
            Ok((_, response)) => response.status(),
            Err(Error::Http(response)) => response.status(),
            Err(error) => panic!("{error}"),
        };
        assert_eq!(got.as_u16(), status, "{room} {origin:?}");
    }
    let (status, error) = server.json("GET", "/api/v1/rooms/a/socket", "").await;
    assert_eq!((status, &error["error"]["code"]), (426, &json!("not_websocket")));
}

#[tokio::test]
async fn rooms_as_resources() {
    let server = Server::start().await;
    let new = json!({ "name": "产品", "mode": "broadcast", "video_codec": "vp9" }).to_string();
    let (status, head, body) = server.http("POST", "/api/v1/rooms", "Content-Type: application/json\r\n", &new).await;
    assert_eq!(status, 201, "{body}");
    assert!(head.contains("\r\nlocation: /api/v1/rooms/%E4%BA%A7%E5%93%81\r\n"), "{head}");
    let settings = json!({ "locked": false, "lobby": false, "publish": ["camera", "microphone", "screen"] });
    let room = json!({
        "name": "产品", "mode": "broadcast", "video_codec": "vp9", "participants": 0, "viewers": 0, "tracks": 0, "permanent": true,
        "settings": settings, "waiting": 0,
    });
    assert_eq!(serde_json::from_str::<Value>(&body).expect("JSON"), room);

    let (_client, _) = server.join("b", "Ada").await;
    let begun = json!({
        "name": "b", "mode": "conference", "video_codec": "vp8", "participants": 1, "viewers": 0, "tracks": 0, "permanent": false,
        "settings": settings, "waiting": 0,
    });
    assert_eq!(server.json("GET", "/api/v1/rooms", "").await, (200, json!([begun, room])));
    assert_eq!(server.json("GET", "/api/v1/rooms/%E4%BA%A7%E5%93%81", "").await, (200, room));

    for (method, path, body, status, code) in [
        ("POST", "/api/v1/rooms", &*new, 409, "room_exists"),
        ("POST", "/api/v1/rooms", r#"{"name":"a b"}"#, 400, "bad_room_name"),
        ("POST", "/api/v1/rooms", r#"{"name":"a","more":1}"#, 400, "bad_message"),
        ("POST", "/api/v1/rooms", "{", 400, "bad_message"),
        ("POST", "/api/v1/rooms", &" ".repeat(70_000), 413, "too_large"),
        ("PATCH", "/api/v1/rooms", "", 405, "bad_method"),
        ("GET", "/api/v1/rooms/none", "", 404, "no_room"),
        ("GET", "/api/v1/rooms/a%2Fb", "", 400, "bad_room_name"),
        ("GET", "/api/v1/rooms/b/participants/99", "", 404, "no_participant"),
        ("GET", "/api/v1/rooms/b/participants/x", "", 404, "no_participant"),
        ("DELETE", "/api/v1/rooms/none", "", 404, "no_room"),
        ("DELETE", "/api/v1/rooms/none/participants/1", "", 404, "no_room"),
        ("GET", "/api/v2/rooms", "", 404, "not_found"),
    ] {
        let (got, error) = server.json(method, path, body).await;
        assert_eq!((got, &error["error"]["code"]), (status, &json!(code)), "{method} {path} {error}");
    }
    let (status, _, body) = server.http("POST", "/api/v1/rooms", "Content-Type: text/plain\r\n", &new).await;
    assert!(status == 415 && body.contains("not_json"), "{body}");
}

#[tokio::test]
async fn a_room_that_is_closed_sends_everybody_out() {
    let server = Server::start().await;
    let (mut client, _) = server.join("a", "Ada").await;
    assert_eq!(server.json("DELETE", "/api/v1/rooms/a", "").await.0, 204);
    assert_eq!(client.hear().await, json!({ "type": "closed", "reason": "room_closed" }));
    assert_eq!(client.hear().await, Value::Null);
    assert_eq!(server.json("GET", "/api/v1/rooms/a", "").await.0, 404);
}

#[tokio::test]
async fn a_server_that_stops_says_so_to_everybody_first() {
    let server = Server::start().await;
    let (mut client, _) = server.join("a", "Ada").await;
    let mut late = server.dial("a").await;
    assert_eq!(server.http("GET", "/readyz", "", "").await.0, 200);
    let reading = async {
        assert_eq!(client.hear().await, json!({ "type": "closed", "reason": "server_stopping" }));
        assert_eq!(client.hear().await, Value::Null);
        assert_eq!(late.refused().await.1, "stopping");
        assert_eq!(late.hear().await, Value::Null);
        // The client's side of closing is sent by reading on.
        while client.socket.next().await.is_some() {}
        while late.socket.next().await.is_some() {}
    };
    tokio::join!(server.app.stop(), reading);
    let (status, head, _) = server.http("GET", "/readyz", "", "").await;
    assert!(status == 503 && head.contains("cache-control: no-store"), "{head}");
    assert_eq!(server.http("GET", "/livez", "", "").await.0, 200);
}

#[tokio::test]
async fn what_operators_read() {
    let server = Server::start().await;
    let (status, head, body) = server.http("GET", "/metrics", "", "").await;
    assert!(status == 200 && head.contains("content-type: text/plain; version=0.0.4"), "{head}");
    assert!(body.contains("ninefold_rooms 0\n"), "{body}");
    let (status, document) = server.json("GET", "/api/v1/openapi.json", "").await;
    assert_eq!((status, &document["info"]["title"]), (200, &json!("Ninefold")));
}

#[tokio::test]
async fn the_page_is_at_its_addresses() {
    let server = Server::start().await;
    for path in ["/", "/r/8848", "/watch/8848"] {
        let (status, head, body) = server.http("GET", path, "", "").await;
        assert!(head.contains("x-content-type-options: nosniff") && head.contains("referrer-policy: no-referrer"), "{head}");
        // Built with the page or without.
        match status {
            200 => assert!(
                head.contains("content-security-policy: default-src 'self'; script-src 'self'; ")
                    && head.contains("cache-control: no-cache")
            ),
            503 => assert!(body.contains("make run"), "{body}"),
            other => panic!("{path}: {other}"),
        }
    }
    for path in ["/nothing", "/assets/nothing.js", "/../Cargo.toml", "/admin"] {
        assert_eq!(server.http("GET", path, "", "").await.0, 404, "{path}");
    }
}

const SECRET: &str = "main:HS256:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE";

/// A token for an admin, or for members of the room `a`.
fn token(admin: bool) -> String {
    let keys = Keys::parse([SECRET]).expect("a key");
    let claims = Claims { room: Some("a".into()), admin: Some(admin), exp: unix_now() + 60, ..Claims::default() };
    mint(&claims, &keys.find(None).and_then(|key| key.signer()).expect("a secret signs")).expect("a token")
}

#[tokio::test]
async fn who_is_admitted() {
    let keys = format!("[auth]\nkeys = [\"{SECRET}\"]");
    let guests = "[auth]\nguests = \"join\"\n[limits]\nguest_joins_per_minute = 2";
    let here = IpAddr::from([127, 0, 0, 1]);
    let (member, mut tampered) = (token(false), token(false));
    tampered.truncate(tampered.len() - 2);
    for (settings, token, in_a, in_b) in [
        ("", None, None, None),
        ("", Some(&member), Some("bad_token"), Some("bad_token")),
        (&*keys, None, Some("token_needed"), Some("token_needed")),
        (&*keys, Some(&member), None, Some("wrong_room")),
        (&*keys, Some(&tampered), Some("bad_token"), Some("bad_token")),
        (guests, Some(&member), Some("bad_token"), Some("bad_token")),
        (guests, None, None, None),
    ] {
        let app = Server::start_with(settings).await.app;
        let refused = |room| {
            let admitted = app.admit(token.map(String::as_str), here, &RoomName::parse(room).expect("a name"));
            admitted.err().map(|error| error.code().text())
        };
        assert_eq!((refused("a"), refused("b")), (in_a, in_b), "{settings} {token:?}");
        // The third guest of a minute; whoever has a token, or an open server, is not counted.
        let third = if settings == guests && token.is_none() { Some("too_many_requests") } else { in_a };
        assert_eq!(refused("a"), third, "{settings} {token:?}");
        let elsewhere = app.admit(None, IpAddr::from([192, 0, 2, 1]), &RoomName::parse("a").expect("a name"));
        assert_eq!(elsewhere.is_err(), settings == keys, "another address has its own rate");
    }
}

#[tokio::test]
async fn metrics_are_for_admins_and_for_this_machine() {
    let bearer = |token: &str| format!("Authorization: Bearer {token}\r\n");
    let (admin, member) = (bearer(&token(true)), bearer(&token(false)));
    let keys = format!("[auth]\nkeys = [\"{SECRET}\"]\n");
    let proxy = format!("{keys}[http]\nbehind_proxy = true");
    for (settings, header, status) in [
        ("", "", 200),
        ("", "Authorization: Bearer x\r\n", 401),
        (&*keys, "", 200),
        (&*keys, &*member, 403),
        (&*keys, &*admin, 200),
        (&*proxy, "", 401),
        (&*proxy, "X-Forwarded-For: 127.0.0.1\r\n", 401),
        (&*proxy, &*member, 403),
        (&*proxy, &*admin, 200),
    ] {
        let server = Server::start_with(settings).await;
        assert_eq!(server.http("GET", "/metrics", header, "").await.0, status, "{settings} {header}");
    }
}

#[tokio::test]
async fn another_name_for_this_machine_is_refused() {
    let behind_proxy = "[auth]\nguests = \"join\"\n[http]\nbehind_proxy = true";
    for (settings, host, status) in [
        ("", "localhost:1", 200),
        ("", "[::1]", 200),
        ("", "evil.example", 403),
        ("", "192.0.2.1:8080", 403),
        (behind_proxy, "meet.example", 200),
    ] {
        let server = Server::start_with(settings).await;
        let mut stream = TcpStream::connect(server.address).await.expect("it listens");
        let request = format!("GET /livez HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("it reads");
        let mut response = String::new();
        stream.read_to_string(&mut response).await.expect("it answers with text");
        assert!(response.starts_with(&format!("HTTP/1.1 {status} ")), "{host}: {response}");
        assert!(status != 403 || response.contains("foreign_host"), "{response}");
    }
}

#[tokio::test]
async fn a_proxy_that_the_settings_do_not_know_is_refused() {
    let keys = format!("[auth]\nkeys = [\"{SECRET}\"]");
    let announced = "[auth]\nguests = \"join\"\n[http]\nbehind_proxy = true";
    for settings in ["", &keys, announced] {
        let server = Server::start_with(settings).await;
        let expected = if settings == announced { 200 } else { 403 };
        for header in [
            "Forwarded: for=192.0.2.1",
            "X-Forwarded-For: 192.0.2.1",
            "x-forwarded-host: meet.example",
            "X-Forwarded-Proto: https",
            "X-Real-IP: 192.0.2.1",
            "Via: 1.1 proxy",
        ] {
            let (status, _, body) = server.http("GET", "/livez", &format!("{header}\r\n"), "").await;
            assert_eq!(status, expected, "{settings} {header}");
            assert!(status == 200 || (body.contains("foreign_host") && body.contains("http.behind_proxy")), "{body}");
        }
    }
}

#[tokio::test]
async fn first_messages_have_a_rate_and_bad_tokens_cost_more() {
    let app = Server::start_with(&format!("[auth]\nkeys = [\"{SECRET}\"]")).await.app;
    let (member, room) = (token(false), RoomName::parse("a").expect("a name"));
    let code = |result: Result<(), super::Error>| result.err().map(|error| error.code().text());
    let joins = |address: [u8; 4], token: &str| code(app.admit(Some(token), IpAddr::from(address), &room).map(drop));
    let burst = FIRST_MESSAGES.burst as usize;
    let mut taken = (0..burst).filter(|_| joins([192, 0, 2, 1], &member).is_none()).count();
    assert_eq!(taken, burst, "a school");
    // Some more flow in while this runs.
    taken += (0..10_000).take_while(|_| joins([192, 0, 2, 1], &member).is_none()).count();
    assert!(taken < 2 * burst, "{taken}");
    assert_eq!(code(app.admit_resume(IpAddr::from([192, 0, 2, 1]))), Some("too_many_requests"), "resumes are counted with them");
    assert_eq!((joins([192, 0, 2, 2], &member), code(app.admit_resume(IpAddr::from([192, 0, 2, 2])))), (None, None));
    let guesses = (0..10_000).take_while(|_| joins([192, 0, 2, 3], "x.y.z") == Some("bad_token")).count();
    assert!((burst / 10..burst / 5).contains(&guesses), "{guesses}");
    assert_eq!(joins([192, 0, 2, 3], &member), Some("too_many_requests"));

    let open = Server::start().await.app;
    let all = (0..2 * burst).all(|_| open.admit(None, IpAddr::from([127, 0, 0, 1]), &room).is_ok());
    assert!(all, "an open server is for its own machine");
}

#[tokio::test]
async fn one_address_has_so_many_connections() {
    let server = Server::start_with("[limits]\nconnections_per_address = 2").await;
    let (first, _) = server.join("a", "Ada").await;
    let (_second, _) = server.join("a", "Bo").await;
    let url = format!("ws://{}/api/v1/rooms/a/socket", server.address);
    assert!(connect_async(&url).await.is_err(), "the third");
    let (status, head, body) = server.http("GET", "/livez", "", "").await;
    assert!(status == 429 && body.contains("too_many_requests") && head.contains("connection: close"), "{head} {body}");
    // So many are told so at a time; the next is dropped, and the one that says nothing does not hold its place for long.
    let mut told = vec![];
    for _ in 0..CONNECTIONS_REFUSED_MAX {
        told.push(TcpStream::connect(server.address).await.expect("it listens"));
    }
    let mut dropped = TcpStream::connect(server.address).await.expect("the kernel takes it");
    let (mut answer, get) = (vec![], b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let _ = dropped.write_all(get).await;
    let _ = dropped.read_to_end(&mut answer).await;
    assert!(answer.is_empty(), "{}", String::from_utf8_lossy(&answer));
    let mut last = told.pop().expect("there are some");
    last.write_all(get).await.expect("it reads");
    last.read_to_end(&mut answer).await.expect("it closes in order");
    assert!(answer.starts_with(b"HTTP/1.1 429 "), "{}", String::from_utf8_lossy(&answer));
    drop((told, first));
    // The server sees in its own time that the first has gone.
    let again = async { while connect_async(&url).await.is_err() {} };
    timeout(Duration::from_secs(10), again).await.expect("the place is free again");
}

#[tokio::test]
async fn behind_a_proxy_sockets_are_counted_by_client() {
    let settings = "[auth]\nguests = \"join\"\n[http]\nbehind_proxy = true\n[limits]\nconnections_per_address = 1";
    let server = Server::start_with(settings).await;
    let mut open = vec![];
    for (forwarded, status) in [
        ("192.0.2.1", 101),
        ("192.0.2.1", 429),
        ("192.0.2.9, 192.0.2.1", 429),
        ("192.0.2.2", 101),
        ("2001:db8::1", 101),
        ("2001:db8::2", 429),
    ] {
        let mut request = format!("ws://{}/api/v1/rooms/a/socket", server.address).into_client_request().expect("an address");
        request.headers_mut().insert("x-forwarded-for", forwarded.parse().expect("a header"));
        let got = match connect_async(request).await {
            Ok((socket, response)) => {
                open.push(socket);
                response.status()
            }
            Err(Error::Http(response)) => response.status(),
            Err(error) => panic!("{error}"),
        };
        assert_eq!(got.as_u16(), status, "{forwarded}");
    }
}

#[tokio::test]
async fn a_request_that_does_not_come_is_not_waited_for() {
    let server = Server::start().await;
    let json = "Host: localhost\r\nContent-Type: application/json\r\nContent-Length: 50\r\n\r\n{";
    let begun = [
        (String::new(), ""),
        ("GET / HT".to_owned(), ""),
        ("GET /livez HTTP/1.1\r\nHost: localhost\r\n".to_owned(), ""),
        (format!("POST /api/v1/rooms HTTP/1.1\r\n{json}"), "HTTP/1.1 408 "),
    ];
    // Side by side, since each takes as long as the server waits.
    let closed = begun.map(async |(begun, answer)| {
        let mut stream = TcpStream::connect(server.address).await.expect("it listens");
        stream.write_all(begun.as_bytes()).await.expect("it reads");
        let mut response = vec![];
        stream.read_to_end(&mut response).await.expect("it closes in order");
        let response = String::from_utf8_lossy(&response);
        assert!(response.starts_with(answer) && !response.contains("200 OK"), "{begun:?}: {response}");
    });
    timeout(REQUEST_HEAD_TIMEOUT + REQUEST_BODY_TIMEOUT, join_all(closed)).await.expect("all are closed");
}

#[tokio::test]
async fn who_does_not_read_answers_is_not_kept() {
    let server = Server::start().await;
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4096).expect("a small buffer");
    let mut stream = socket.connect(server.address).await.expect("it listens");
    let gets = b"GET /api/v1/openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(100);
    let begun = Instant::now();
    // The server stops reading when its answers do not go, and what is unread when it closes the connection breaks it here.
    let broken = async { while stream.write_all(&gets).await.is_ok() {} };
    timeout(2 * ANSWER_TIMEOUT, broken).await.expect("it is closed");
    assert!(begun.elapsed() >= ANSWER_TIMEOUT, "a slow reader has its time");
}

/// A tokio-tungstenite client answers pings only when it is asked for messages.
#[tokio::test]
async fn who_does_not_answer_a_ping_is_away_soon() {
    let server = Server::start().await;
    let (mut other, _) = server.join("a", "Bo").await;
    let (_silent, silent) = server.join("a", "Ada").await;
    assert_eq!(other.hear().await["event"]["kind"], "participant_joined");
    let begun = Instant::now();
    let noticed = PING_EVERY + PONG_TIMEOUT + AWAY_AFTER;
    let told = timeout(noticed + Duration::from_secs(5), other.hear()).await.expect("it is noticed");
    assert_eq!(told["event"], json!({ "kind": "participants_away", "participants": [silent], "away": true }));
    assert!(begun.elapsed() >= PONG_TIMEOUT, "{:?}", begun.elapsed());
    // And who does answer stays: `other` did nothing else for three pings.
    other.say(json!({ "type": "chat", "id": 1, "text": "still here" })).await;
    let heard = [other.hear().await, other.hear().await];
    assert!(heard.contains(&json!({ "type": "done", "id": 1 })), "{heard:?}");
}
