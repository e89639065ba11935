//! What is said wrongly gets the code that protocol.md names, and the connection survives where it says so.

use std::time::Instant;

use ninefold::api::protocol::{ClientMessage, PublishedSection, Role, RoomMode, ServerMessage, Source, View};
use ninefold_loadtest::bot::BotKit;
use ninefold_loadtest::client::Client;
use ninefold_loadtest::media::Camera;
use ninefold_loadtest::signal::{Gone, Signal, SignalError};
use serde_json::json;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;

use crate::server::{SOON, Server};

pub(crate) async fn connect(server: &Server) -> Signal {
    Signal::connect(&server.target, "words", None).await.unwrap_or_else(|error| panic!("{error}"))
}

pub(crate) async fn hear(signal: &mut Signal) -> Result<ServerMessage, Gone> {
    timeout(SOON, signal.hear()).await.expect("it says something in time")
}

/// The code of the error that comes next but news; with the number of the request.
pub(crate) async fn code(signal: &mut Signal) -> (String, Option<u32>) {
    loop {
        match hear(signal).await.unwrap_or_else(|gone| panic!("{gone}")) {
            ServerMessage::Error { id, error } => {
                assert!(!error.message.is_empty());
                return (error.code, id);
            }
            ServerMessage::Event { .. }
            | ServerMessage::Slots { .. }
            | ServerMessage::Encodings { .. }
            | ServerMessage::Speakers { .. } => {}
            other => panic!("{other:?} instead of an error"),
        }
    }
}

/// Nothing more is said, and the socket is closed.
pub(crate) async fn expect_closed(signal: &mut Signal) {
    let end = hear(signal).await;
    assert!(matches!(end, Err(Gone::Closed(_))), "{end:?}");
}

fn join(offer: String, tracks: Vec<PublishedSection>) -> ClientMessage {
    let (name, metadata) = ("Ada".to_owned(), String::new());
    ClientMessage::Join {
        id: 1,
        name,
        role: Role::Participant,
        metadata,
        mode: RoomMode::Conference,
        offer,
        tracks,
        token: None,
        rejoin: None,
    }
}

/// A good `join`.
pub(crate) fn good_join() -> ClientMessage {
    let (client, offer) = Client::new(&BotKit::person("Ada"), Instant::now());
    join(offer, client.sections())
}

async fn joined(server: &Server) -> Signal {
    let mut signal = connect(server).await;
    signal.say(&good_join()).await.expect("said");
    let answer = hear(&mut signal).await;
    assert!(matches!(answer, Ok(ServerMessage::Joined { .. })), "{answer:?}");
    signal
}

#[tokio::test]
async fn a_wrong_first_message_ends_the_connection() {
    let server = Server::start();
    let long_name = json!({"type": "join", "id": 5, "name": "x".repeat(65), "offer": ""});
    let no_name = json!({"type": "join", "id": 5, "offer": ""});
    let garbage = json!({"type": "join", "id": 5, "name": "x", "offer": "v=0\r\nthis is no SDP\r\n"});
    let cut = json!({"type": "join", "id": 5, "name": "x", "offer": "v=0\r\nm=video 9 X 1\r\na=mid:1\r\n"});
    let table = [
        (Message::text("hello"), "bad_message", None),
        (Message::text("{\"type\":\"dance\",\"id\":5}"), "bad_message", Some(5)),
        (Message::text("{\"type\":\"hand\",\"id\":5,\"raised\":true}"), "join_first", Some(5)),
        (Message::text("{\"type\":\"offer\",\"id\":5,\"offer\":\"v=0\"}"), "join_first", Some(5)),
        (Message::binary(vec![1, 2, 3]), "bad_message", None),
        (Message::text(garbage.to_string()), "bad_offer", Some(5)),
        (Message::text(cut.to_string()), "bad_offer", Some(5)),
        (Message::text("x".repeat(600_000)), "too_large", None),
    ];
    for (message, expected, id) in table {
        let mut signal = connect(&server).await;
        let shown: String = format!("{message:?}").chars().take(100).collect();
        // A message over the maximum may be cut off before it is all sent.
        let _ = signal.send(message).await;
        assert_eq!(code(&mut signal).await, (expected.to_owned(), id), "{shown}");
        expect_closed(&mut signal).await;
    }
    for (message, expected) in [(long_name, "bad_name"), (no_name, "bad_name")] {
        let ClientMessage::Join { offer, .. } = good_join() else { unreachable!("it is a join") };
        let mut signal = connect(&server).await;
        let message = json!({"offer": offer, "type": message["type"], "id": message["id"], "name": message["name"].as_str().unwrap_or("")});
        signal.send(Message::text(message.to_string())).await.expect("sent");
        assert_eq!(code(&mut signal).await, (expected.to_owned(), Some(5)));
    }
    assert_eq!(server.metrics().await.get("ninefold_joins_total"), Some(0.0));
    assert_eq!(server.get("/api/v1/rooms/words/participants").await.json().as_array().map_or(0, Vec::len), 0, "nobody is left behind");
    server.stop().await;
}

#[tokio::test]
async fn a_viewer_cannot_publish() {
    let server = Server::start();
    let mut signal = connect(&server).await;
    let ClientMessage::Join { id, name, metadata, mode, offer, tracks, .. } = good_join() else { unreachable!("it is a join") };
    signal
        .say(&ClientMessage::Join { id, name, role: Role::Viewer, metadata, mode, offer, tracks, token: None, rejoin: None })
        .await
        .expect("said");
    assert_eq!(code(&mut signal).await, ("viewer_cannot".to_owned(), Some(1)));
    expect_closed(&mut signal).await;
    server.stop().await;
}

#[tokio::test]
async fn later_mistakes_leave_the_connection_open() {
    let server = Server::start();
    let mut signal = joined(&server).await;
    let ClientMessage::Join { offer, .. } = good_join() else { unreachable!("it is a join") };
    let two = "v=0\r\nm=video 9 X 1\r\na=mid:1\r\nm=video 9 X 1\r\na=mid:1\r\n".to_owned();
    let wrong: Vec<(ClientMessage, &str)> = vec![
        (join(offer, vec![]), "joined_already"),
        (ClientMessage::Offer { id: 1, offer: "nonsense".into(), tracks: vec![] }, "bad_offer"),
        (ClientMessage::Offer { id: 1, offer: two, tracks: vec![] }, "bad_offer"),
        (ClientMessage::Mute { id: 1, track: 999, muted: true }, "no_track"),
        (ClientMessage::View { id: 1, view: View::Tracks { tracks: vec![1; 65] } }, "bad_view"),
        (ClientMessage::Chat { id: 1, text: "x".repeat(2_001), to: None }, "bad_text"),
        (ClientMessage::Chat { id: 1, text: "x".into(), to: Some(77) }, "no_participant"),
        (ClientMessage::Update { id: 1, name: Some("  ".into()), metadata: None }, "bad_name"),
        (ClientMessage::Update { id: 1, name: None, metadata: Some("x".repeat(4_097)) }, "bad_metadata"),
    ];
    for (message, expected) in wrong {
        signal.say(&message).await.expect("said");
        assert_eq!(code(&mut signal).await, (expected.to_owned(), Some(1)), "{message:?}");
    }
    let unreadable = [
        (Message::text("{\"type\":\"hand\",\"id\":8}"), Some(8)),
        (Message::text("{\"type\":\"leave\",\"why\":1}"), None),
        (Message::text("[]"), None),
        (Message::binary(vec![0]), None),
    ];
    for (message, id) in unreadable {
        signal.send(message.clone()).await.expect("sent");
        assert_eq!(code(&mut signal).await, ("bad_message".to_owned(), id), "{message:?}");
    }
    signal.say(&ClientMessage::Hand { id: 9, raised: true }).await.expect("said");
    loop {
        match hear(&mut signal).await.expect("an answer") {
            ServerMessage::Done { id: 9 } => break,
            ServerMessage::Event { .. }
            | ServerMessage::Slots { .. }
            | ServerMessage::Encodings { .. }
            | ServerMessage::Speakers { .. } => {}
            other => panic!("{other:?} instead of done"),
        }
    }
    let _ = signal.send(Message::text("x".repeat(600_000))).await;
    assert_eq!(code(&mut signal).await, ("too_large".to_owned(), None));
    expect_closed(&mut signal).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_much_in_one_offer_is_refused() {
    let server = Server::start();
    let slots = BotKit { video_slots: 60, audio_slots: 5, ..BotKit::person("Ada") };
    let sections = BotKit { video_slots: 70, audio_slots: 5, ..BotKit::person("Ada") };
    for (kit, expected) in [(slots, ["too_many_slots", "bad_offer"]), (sections, ["bad_offer", "bad_offer"])] {
        let (client, offer) = Client::new(&kit, Instant::now());
        let mut signal = connect(&server).await;
        signal.say(&join(offer, client.sections())).await.expect("said");
        let (code, _) = code(&mut signal).await;
        assert!(expected.contains(&code.as_str()), "{code}");
    }
    let bot = server.join("words", &BotKit::person("Ada")).await;
    let small = Camera { layers: 1, fps: 1, bitrate_bps: 8_000 };
    for _ in 2..8 {
        bot.publish(Source::Camera, small).await.expect("up to eight tracks");
    }
    assert_eq!(bot.publish(Source::Camera, small).await.expect_err("nine").code, "too_many_tracks");
    bot.chat("still here", None).await.expect("chat");
    server.stop().await;
}

#[tokio::test]
async fn handshakes_that_are_refused() {
    let server = Server::start();
    let own = format!("http://{}", server.target.authority());
    Signal::connect(&server.target, "words", Some(&own)).await.expect("our own page");
    for (room, origin, status, expected) in [
        ("words", Some("http://evil.example"), 403, "foreign_origin"),
        ("words", Some("null"), 403, "foreign_origin"),
        ("no room", None, 400, "bad_room_name"),
        ("a/b", None, 400, "bad_room_name"),
        ("\u{1F600}", None, 400, "bad_room_name"),
    ] {
        match Signal::connect(&server.target, room, origin).await {
            Err(SignalError::Refused { status: refused, error, .. }) => {
                assert_eq!((refused, error.code.as_str()), (status, expected), "{room}")
            }
            other => panic!("{room:?} {origin:?}: {other:?}"),
        }
    }
    let plain = server.get("/api/v1/rooms/words/socket").await;
    assert_eq!((plain.status, &plain.json()["error"]["code"]), (426, &json!("not_websocket")));
    Signal::connect(&server.target, "产品-1_é", None).await.expect("letters of any script");
    server.stop().await;
}
