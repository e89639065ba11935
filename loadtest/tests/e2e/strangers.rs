//! People and programs that nobody vouches for, at the signalling, while three people talk: each is refused with its code, nobody of the call
//! freezes, what was taken is given back.

use std::time::{Duration, Instant, SystemTime};

use ninefold::api::protocol::{ClientMessage, LeaveReason, NewSettings, ServerMessage};
use ninefold::auth::{Claims, Keys, mint};
use ninefold_loadtest::bot::{Bot, BotError, BotKit};
use ninefold_loadtest::client::Client;
use ninefold_loadtest::seen::Seen;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;

use crate::protocol::{code, connect, expect_closed, good_join, hear};
use crate::server::{Server, expect, expect_clean, expect_within};

/// A call that goes on, and what to look at when strangers have come and gone.
struct Call {
    bots: Vec<Bot>,
}

impl Call {
    async fn begin(server: &Server) -> Call {
        Call { bots: server.trio("words").await }
    }

    /// Everybody gets another 20 packets.
    async fn goes_on(&self, after: &str) {
        for bot in &self.bots {
            let before = bot.look(Seen::packets);
            expect(bot, after, |seen| seen.packets() > before + 20).await;
        }
    }

    async fn end(self, server: Server) {
        for bot in &self.bots {
            assert_eq!(bot.look(Seen::freezes), 0, "bot {}", bot.participant());
        }
        expect_clean(&self.bots).await;
        server.expect_metrics("only the call is left", |metrics| metrics.get("ninefold_participants") == Some(3.0)).await;
        let metrics = server.metrics().await;
        assert_eq!((metrics.get("ninefold_peer_panics_total"), metrics.get("ninefold_room_panics_total")), (Some(0.0), Some(0.0)));
        server.stop().await;
    }
}

/// A good `join` with its offer changed.
fn join_with(change: impl FnOnce(String) -> String) -> Value {
    let ClientMessage::Join { offer, .. } = good_join() else { unreachable!("it is a join") };
    json!({ "type": "join", "id": 5, "name": "Eve", "offer": change(offer) })
}

fn without(lines: &'static str) -> impl FnOnce(String) -> String {
    move |offer| offer.lines().filter(|line| !line.starts_with(lines)).flat_map(|line| [line, "\r\n"]).collect()
}

/// First messages that nobody should send, with the code that answers each.
fn first_messages() -> Vec<(&'static str, String, &'static str)> {
    let deep = |open: &str, close: &str| format!("{}{}", open.repeat(50_000), close.repeat(50_000));
    let named = |name: String| json!({ "type": "join", "id": 5, "name": name, "offer": "v=0" }).to_string();
    vec![
        ("no JSON", "{\"type\":".into(), "bad_message"),
        ("deep arrays", deep("[", "]"), "bad_message"),
        ("deep objects", deep("{\"a\":", "1}"), "bad_message"),
        ("deep within a field", format!("{{\"type\":\"join\",\"id\":5,\"tracks\":{}}}", deep("[", "]")), "bad_message"),
        ("keys twice", "{\"type\":\"leave\",\"type\":\"join\",\"id\":1,\"id\":2,\"offer\":\"\"}".into(), "bad_message"),
        ("a number beyond all", "{\"type\":\"hand\",\"id\":1e999,\"raised\":true}".into(), "bad_message"),
        ("an unknown message", json!({ "type": "sudo", "id": 5 }).to_string(), "bad_message"),
        ("an order before the join", json!({ "type": "remove", "id": 5, "participant": 1 }).to_string(), "join_first"),
        ("a resume of nobody", json!({ "type": "resume", "id": 5, "resume": "1-0", "seq": 0 }).to_string(), "cannot_resume"),
        ("too long", json!({ "type": "join", "id": 5, "name": "Eve", "offer": "x".repeat(600_000) }).to_string(), "too_large"),
        ("a name of 10 kB", named("x".repeat(10_000)), "bad_name"),
        ("a name that rings", named("a\u{7}b".into()), "bad_name"),
        ("a name that turns the text around", named("\u{202e}abc\u{0}".into()), "bad_name"),
        (
            "metadata of 5 kB",
            json!({ "type": "join", "id": 5, "name": "E", "metadata": "x".repeat(5_000), "offer": "" }).to_string(),
            "bad_metadata",
        ),
        ("no SDP", join_with(|_| "hello".into()).to_string(), "bad_offer"),
        (
            "SDP of 400 kB",
            join_with(|offer| format!("{offer}{}", format!("a={}\r\n", "x".repeat(1_000)).repeat(395))).to_string(),
            "bad_offer",
        ),
        ("10,000 sections", join_with(|_| format!("v=0\r\n{}", "m=audio 9 X 1\r\na=mid:1\r\n".repeat(10_000))).to_string(), "bad_offer"),
        ("10,000 candidates", join_with(|offer| format!("{offer}{}", "a=candidate:1\r\n".repeat(10_000))).to_string(), "bad_offer"),
        ("no ICE", join_with(without("a=ice-")).to_string(), "bad_offer"),
        ("no DTLS", join_with(without("a=fingerprint")).to_string(), "bad_offer"),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn first_messages_that_nobody_should_send() {
    let server = Server::start();
    let call = Call::begin(&server).await;
    for (what, message, expected) in first_messages() {
        let mut signal = connect(&server).await;
        // What is too long may be cut off before all of it is sent.
        let _ = signal.send(Message::text(message)).await;
        assert_eq!(code(&mut signal).await.0, expected, "{what}");
        expect_closed(&mut signal).await;
        call.goes_on(what).await;
    }
    // Beyond all measure: not even read.
    let mut signal = connect(&server).await;
    let _ = signal.send(Message::text("x".repeat(8_000_000))).await;
    assert!(hear(&mut signal).await.is_err());
    call.end(server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rooms_that_are_locked_or_not_there() {
    let server = Server::start();
    let call = Call::begin(&server).await;
    call.bots[0].settings(NewSettings { locked: Some(true), ..NewSettings::default() }).await.expect("a lock");
    // On an open server everybody moderates, so a lock holds nobody off; who is refused by it is tested with tokens.
    let paths = ["/api/v1/rooms/none", "/api/v1/rooms/none/participants", "/api/v1/rooms/none/lobby"];
    for path in paths {
        let response = server.get(path).await;
        assert_eq!((response.status, response.json()["error"]["code"].clone()), (404, json!("no_room")), "{path}");
    }
    call.goes_on("lock").await;
    call.end(server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_socket_that_never_says_anything_is_closed() {
    let server = Server::start();
    let call = Call::begin(&server).await;
    let began = Instant::now();
    let mut silent = connect(&server).await;
    let (said, after) = tokio::join!(
        async {
            let said = tokio::time::timeout(Duration::from_secs(20), silent.hear()).await.expect("it is told in time");
            (said, began.elapsed())
        },
        call.goes_on("silence")
    );
    let ((), (said, time)) = (after, said);
    assert!(matches!(&said, Ok(ServerMessage::Error { error, .. }) if error.code == "join_timeout"), "{said:?}");
    assert!(time >= Duration::from_secs(9), "{time:?}");
    expect_closed(&mut silent).await;
    call.end(server).await;
}

/// Requests that never end, from one address: a maximum of them is held, none for long, and the call and other requests go on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_half_open_sockets() {
    let server = Server::start();
    let call = Call::begin(&server).await;
    let before = server.metrics().await.get("process_open_fds").expect("on Linux");
    let mut held: std::collections::VecDeque<TcpStream> = std::collections::VecDeque::new();
    for n in 0..10_000 {
        // Only so many are kept on this side, since a process may have no more; the server must let go of them by itself.
        if let Ok(mut stream) = TcpStream::connect(server.target.authority()).await {
            let _ = stream.write_all(if n % 2 == 0 { b"GET / HTTP/1.1\r\nx: " } else { b"" }).await;
            held.push_back(stream);
        }
        if held.len() > 700 {
            held.pop_front();
        }
        if n % 2_000 == 1_999 {
            call.goes_on("half-open sockets").await;
            assert_eq!(server.get("/livez").await.status, 200);
        }
    }
    assert!(server.metrics().await.get("process_open_fds").expect("on Linux") > before + 300.0, "they were held for a while");
    // Within the time for a request's head they are let go, although this side holds on.
    let deadline = Instant::now() + Duration::from_secs(25);
    while server.metrics().await.get("process_open_fds").expect("on Linux") > before + 20.0 {
        assert!(Instant::now() < deadline, "half-open sockets stay");
        call.goes_on("half-open sockets").await;
    }
    drop(held);
    call.end(server).await;
}

/// Each costs the server a connection for a quarter of a minute, and then nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_who_offer_and_never_connect() {
    let server = Server::start();
    let call = Call::begin(&server).await;
    let mut memory = vec![];
    for round in 0..2 {
        for n in 0..500 {
            let mut signal = ninefold_loadtest::signal::Signal::connect(&server.target, "ghosts", None).await.expect("a socket");
            let (client, offer) = Client::new(&BotKit::viewer(), Instant::now());
            let join = json!({ "type": "join", "id": 1, "role": "viewer", "offer": offer, "tracks": client.sections() });
            signal.send(Message::text(join.to_string())).await.expect("said");
            assert!(matches!(hear(&mut signal).await, Ok(ServerMessage::Joined { .. })), "round {round}, {n}");
        }
        call.goes_on("those who never connect").await;
        let gone = |seen: &Seen| seen.participant > 0;
        expect_within(Duration::from_secs(1), &call.bots[0], "it is there", gone).await;
        let deadline = Instant::now() + Duration::from_secs(60);
        while server.metrics().await.get("ninefold_viewers") != Some(0.0) {
            assert!(Instant::now() < deadline, "they stay");
            call.goes_on("those who never connect").await;
        }
        memory.push(server.metrics().await.get("process_resident_memory_bytes").expect("on Linux"));
    }
    // The allocator keeps what the first round took; the second must not take as much again.
    assert!(memory[1] < memory[0] + 15e6, "{memory:?}");
    call.end(server).await;
}

/// One who asks and asks is refused, and nobody else waits for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_requests() {
    let server = Server::start();
    let call = Call::begin(&server).await;
    let mut flood = connect(&server).await;
    flood.say(&good_join()).await.expect("said");
    let Ok(ServerMessage::Joined { participant, .. }) = hear(&mut flood).await else { panic!("it may join") };
    for id in 0..2_000 {
        let chat = ClientMessage::Chat { id, text: "x".repeat(1_000), to: None };
        // The server stops listening for a while, so that the flood stands before its own door.
        if tokio::time::timeout(Duration::from_millis(200), flood.say(&chat)).await.is_err() {
            break;
        }
    }
    let mut refused = 0;
    while refused < 5 {
        match hear(&mut flood).await {
            Ok(ServerMessage::Error { error, .. }) if error.code == "too_many_requests" => refused += 1,
            Ok(_) => {}
            Err(gone) => panic!("{gone}"),
        }
    }
    call.goes_on("a flood").await;
    let chats =
        call.bots[0].look(|seen| seen.events().filter(|event| matches!(event, ninefold::api::protocol::RoomEvent::Chat { .. })).count());
    assert!(chats < 100, "{chats} chats of the flood came through");
    call.bots[0].remove(participant, true).await.expect("a moderator sends it out");
    call.end(server).await;
}

/// 32 bytes that sign, and an Ed25519 public key that anybody may know.
const KEYS: &str = "main:HS256:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE,app:EdDSA:11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";

/// A token for the room `words`, signed as HS256 by the secret in `line` (`ID:HS256:SECRET`).
fn token(line: &str, change: impl FnOnce(&mut Claims)) -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_secs();
    let mut claims = Claims { room: Some("words".into()), exp: now + 600, ..Claims::default() };
    change(&mut claims);
    let keys = Keys::parse([line]).expect("a key");
    mint(&claims, &keys.find(None).and_then(|key| key.signer()).expect("a secret signs")).expect("a token")
}

/// The parts of a token with another head, and with a signature or none.
fn reheaded(token: &str, head: &str, signature: &str) -> String {
    let claims = token.split('.').nth(1).expect("three parts");
    format!("{}.{claims}.{signature}", base64url(head.as_bytes()))
}

fn base64url(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let letter = |bits: u32| char::from(LETTERS[(bits & 63) as usize]);
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let bits = group.iter().fold(0, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        text.extend((0..=group.len()).map(|n| letter(bits >> (18 - 6 * n))));
    }
    text
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_that_are_none() {
    let server = Server::start_with(&[("NINEFOLD_AUTH__KEYS", KEYS), ("NINEFOLD_AUTH__GUESTS", "join")]);
    let call = Call::begin(&server).await;
    let main = "main:HS256:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE";
    let good = token(main, |_| {});
    // The public key's bytes as if they were a secret.
    let confused = token("app:HS256:11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", |_| {});
    let signature = good.rsplit('.').next().expect("three parts").to_owned();
    let table = [
        ("expired", token(main, |claims| claims.exp -= 3_600), "token_expired"),
        ("not yet valid", token(main, |claims| claims.nbf = Some(claims.exp)), "token_early"),
        ("for another room", token(main, |claims| claims.room = Some("other".into())), "wrong_room"),
        ("no algorithm", reheaded(&good, r#"{"alg":"none","kid":"main"}"#, ""), "bad_token"),
        ("no algorithm, signed", reheaded(&good, r#"{"alg":"none","kid":"main"}"#, &signature), "bad_token"),
        ("the public key as a secret", confused, "bad_token"),
        ("an unknown key", token("else:HS256:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE", |_| {}), "bad_token"),
        ("a key from the disk", reheaded(&good, r#"{"alg":"HS256","kid":"../../etc/passwd"}"#, &signature), "bad_token"),
        ("another signature", format!("{}x", good), "bad_token"),
        ("no token", "hello".into(), "bad_token"),
        ("a long one", "x".repeat(100_000), "bad_token"),
    ];
    for (what, token, code) in table {
        match Bot::join(&server.place("words"), &BotKit { token: Some(token), ..BotKit::person("Eve") }).await {
            Err(BotError::Refused(error)) => assert_eq!(error.code, code, "{what}"),
            other => panic!("{what}: {other:?}"),
        }
        call.goes_on(what).await;
    }
    // What guests may not, and what a lock does to them.
    let victim = call.bots[1].participant();
    assert_eq!(call.bots[0].remove(victim, true).await.expect_err("a guest").code, "not_allowed");
    let host = BotKit { token: Some(token(main, |claims| claims.moderate = Some(true))), ..BotKit::person("Host") };
    let host = server.join("words", &host).await;
    host.settings(NewSettings { locked: Some(true), ..NewSettings::default() }).await.expect("a moderator locks");
    let refused = Bot::join(&server.place("words"), &BotKit::person("Eve")).await;
    assert!(matches!(&refused, Err(BotError::Refused(error)) if error.code == "room_locked"), "{refused:?}");
    // One of the call who lost everything comes back in all the same.
    let resume = call.bots[2].look(|seen| seen.resume.clone());
    let identity = call.bots[2].look(|seen| seen.identity.clone());
    let again = server.join("words", &BotKit { rejoin: Some(resume), ..BotKit::person("Cy") }).await;
    assert_eq!(again.look(|seen| seen.identity.clone()), identity);
    expect(&call.bots[2], "replaced", |seen| seen.closed == Some(LeaveReason::Replaced)).await;
    assert!(host.leave().await);
    for bot in &call.bots[..2] {
        assert_eq!(bot.look(Seen::freezes), 0);
        expect(bot, "the one who came back", |seen| seen.shown().contains(&again.participant())).await;
    }
    server.stop().await;
}
