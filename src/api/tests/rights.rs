//! Who may do what over the wires: tokens, guests, moderators, the lobby; and how one comes back.

use serde_json::{Value, json};

use super::super::extract::unix_now;
use super::{Client, OFFER, SECRET, Server};
use crate::auth::{Claims, Keys, Publish, Rights, Secret, Source, mint};
use crate::id::RoomName;
use crate::people::{LeaveReason, PeopleError, Profile, SettingsChange};
use crate::sfu::{Entry, Moderation, Notice, Refusal, Request, RoomOptions};

/// A token with these claims, good for a minute unless they say otherwise.
fn token(claims: Claims) -> String {
    let keys = Keys::parse([SECRET]).expect("a key");
    let exp = if claims.exp == 0 { unix_now() + 60 } else { claims.exp };
    mint(&Claims { exp, ..claims }, &keys.find(None).and_then(|key| key.signer()).expect("a secret signs")).expect("a token")
}

fn of(room: &str, moderate: bool) -> Claims {
    Claims { room: Some(room.into()), moderate: Some(moderate), ..Claims::default() }
}

/// A server that wants tokens from everybody.
async fn closed() -> Server {
    Server::start_with(&format!("[auth]\nkeys = [\"{SECRET}\"]")).await
}

/// A server that lets guests in, and knows tokens.
async fn with_guests(more: &str) -> Server {
    Server::start_with(&format!("[auth]\nkeys = [\"{SECRET}\"]\nguests = \"join\"\n{more}")).await
}

/// Says `join`, and what came of it.
async fn try_join(server: &Server, room: &str, token: Option<&str>) -> (Client, Value) {
    join_as(server, room, token.map_or(json!({}), |token| json!({ "token": token }))).await
}

#[tokio::test]
async fn rest_asks_for_the_right_token() {
    let server = closed().await;
    let (_member, joined) = try_join(&server, "a", Some(&token(of("a", false)))).await;
    assert_eq!(joined["type"], "joined", "{joined}");
    let number = &joined["participant"];
    let tokens = [
        None,
        Some(token(of("a", false))),
        Some(token(of("b", true))),
        Some(token(of("a", true))),
        Some(token(Claims { admin: Some(true), ..Claims::default() })),
    ];
    let participant = format!("/api/v1/rooms/a/participants/{number}");
    let mute = format!("{participant}/mute");
    let (needed, may_not, elsewhere) = ((401, "token_needed"), (403, "not_allowed"), (403, "wrong_room"));
    // Nobody, a member, a moderator of another room, a moderator of this one, an admin.
    for (method, path, body, outcomes) in [
        ("GET", "/api/v1/rooms", "", [needed, may_not, may_not, may_not, (200, "")]),
        ("POST", "/api/v1/rooms", r#"{"name":"a"}"#, [needed, may_not, may_not, may_not, (409, "room_exists")]),
        ("GET", "/api/v1/rooms/a", "", [needed, may_not, elsewhere, (200, ""), (200, "")]),
        ("PATCH", "/api/v1/rooms/a", "{}", [needed, may_not, elsewhere, (200, ""), (200, "")]),
        ("GET", "/api/v1/rooms/a/participants", "", [needed, may_not, elsewhere, (200, ""), (200, "")]),
        ("GET", &participant, "", [needed, may_not, elsewhere, (200, ""), (200, "")]),
        ("PATCH", &participant, "{}", [needed, may_not, elsewhere, (204, ""), (204, "")]),
        ("POST", &mute, "{}", [needed, may_not, elsewhere, (204, ""), (204, "")]),
        ("GET", "/api/v1/rooms/a/lobby", "", [needed, may_not, elsewhere, (200, ""), (200, "")]),
        ("POST", "/api/v1/rooms/a/lobby/9", "", [needed, may_not, elsewhere, (404, "no_participant"), (404, "no_participant")]),
        ("DELETE", "/api/v1/rooms/a/lobby/9", "", [needed, may_not, elsewhere, (404, "no_participant"), (404, "no_participant")]),
        ("DELETE", &participant, "", [needed, may_not, elsewhere, (204, ""), (404, "no_participant")]),
        ("DELETE", "/api/v1/rooms/a", "", [needed, may_not, elsewhere, (204, ""), (404, "no_room")]),
    ] {
        for (token, (status, code)) in tokens.iter().zip(outcomes) {
            let authorization = token.as_ref().map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
            let headers = format!("Content-Type: application/json\r\n{authorization}");
            let (got, _, text) = server.http(method, path, &headers, body).await;
            let error: Value = serde_json::from_str(&text).unwrap_or_default();
            assert_eq!((got, error["error"]["code"].as_str().unwrap_or("")), (status, code), "{method} {path} {token:?}");
        }
    }
    let (_, _, metrics) = server.http("GET", "/metrics", "", "").await;
    assert!(metrics.contains("ninefold_refused_total{code=\"token_needed\"} 13"), "{metrics}");
}

#[tokio::test]
async fn a_token_says_where_who_and_what() {
    let server = closed().await;
    let hour = 3_600;
    for (claims, code) in [
        (None, "token_needed"),
        (Some(of("b", true)), "wrong_room"),
        (Some(Claims { exp: unix_now() - hour, ..of("a", false) }), "token_expired"),
        (Some(Claims { nbf: Some(unix_now() + hour), exp: unix_now() + 2 * hour, ..of("a", false) }), "token_early"),
    ] {
        let token = claims.map(token);
        let (mut client, answer) = try_join(&server, "a", token.as_deref()).await;
        assert_eq!((&answer["id"], &answer["error"]["code"]), (&json!(1), &json!(code)));
        assert_eq!(client.hear().await, Value::Null);
    }
    let (_, answer) = try_join(&server, "a", Some("a.b.c")).await;
    assert_eq!(answer["error"]["code"], "bad_token");

    let (sub, name, metadata) = (Some("ada".into()), Some("Ada L.".into()), Some("{}".into()));
    let publish = Some(vec![Source::Microphone]);
    let ada = token(Claims { sub, name, metadata, publish, ..of("a", false) });
    let (mut first, joined) = try_join(&server, "a", Some(&ada)).await;
    let me = &joined["participants"][0];
    assert_eq!((&me["identity"], &me["name"], &me["metadata"]), (&json!("ada"), &json!("Ada L."), &json!("{}")));
    assert_eq!(joined["rights"], json!({ "publish": ["microphone"], "subscribe": true, "moderate": false }));
    first.say(json!({ "type": "settings", "id": 2, "locked": true })).await;
    assert_eq!(first.refused().await, (json!(2), json!("not_allowed")));

    // The same identity again: the newer connection wins, the older is told.
    let (_second, joined) = try_join(&server, "a", Some(&ada)).await;
    assert_eq!(joined["participants"].as_array().map(Vec::len), Some(1));
    assert_eq!(first.hear().await, json!({ "type": "closed", "reason": "replaced" }));
}

#[tokio::test]
async fn a_guest_comes_in_and_moderates_nothing() {
    let server = with_guests("[limits]\nguest_joins_per_minute = 4").await;
    let host = token(Claims { sub: Some("host".into()), ..of("a", true) });
    let (mut host, _) = try_join(&server, "a", Some(&host)).await;
    let (mut guest, joined) = try_join(&server, "a", None).await;
    assert_eq!(joined["rights"]["moderate"], false);
    let number = joined["participant"].clone();
    for (id, message) in [
        json!({ "type": "settings", "lobby": true }),
        json!({ "type": "remove", "participant": 1 }),
        json!({ "type": "permit", "participant": number, "publish": [] }),
        json!({ "type": "admit", "participant": 9, "admit": true }),
    ]
    .into_iter()
    .enumerate()
    {
        let mut message = message;
        message["id"] = json!(id);
        guest.say(message.clone()).await;
        assert_eq!(guest.refused().await, (json!(id), json!("not_allowed")), "{message}");
    }
    assert_eq!(server.json("GET", "/api/v1/rooms/a", "").await.0, 401);

    host.say(json!({ "type": "settings", "id": 2, "lobby": true })).await;
    let (mut kim, waiting) = try_join(&server, "a", None).await;
    assert_eq!(waiting, json!({ "type": "waiting", "id": 1 }));
    let lobby = loop {
        let told = host.hear().await;
        if told["event"]["kind"] == "lobby" {
            break told["event"]["waiting"].clone();
        }
    };
    host.say(json!({ "type": "admit", "id": 3, "participant": lobby[0]["participant"], "admit": true })).await;
    let admitted = kim.hear().await;
    assert_eq!((&admitted["type"], &admitted["participant"], &admitted["lobby"]), (&json!("joined"), &lobby[0]["participant"], &json!([])));

    let (mut lee, _) = try_join(&server, "a", None).await;
    let second = loop {
        let told = host.hear().await;
        if told["event"]["waiting"][0]["name"] == "Kim" {
            break told["event"]["waiting"][0]["participant"].clone();
        }
    };
    host.say(json!({ "type": "admit", "id": 4, "participant": second, "admit": false })).await;
    assert_eq!(lee.refused().await, (json!(1), json!("not_admitted")));
    assert_eq!(lee.hear().await, Value::Null);

    host.say(json!({ "type": "settings", "id": 5, "lobby": false, "locked": true })).await;
    while host.hear().await["event"]["settings"]["locked"] != json!(true) {}
    let (_, locked) = try_join(&server, "a", None).await;
    assert_eq!(locked["error"]["code"], "room_locked");
    let (_, often) = try_join(&server, "a", None).await;
    assert_eq!(often["error"]["code"], "too_many_requests");
}

#[tokio::test]
async fn who_leaves_the_lobby_is_not_in_it() {
    let server = with_guests("").await;
    let host = token(of("a", true));
    let (mut host, _) = try_join(&server, "a", Some(&host)).await;
    host.say(json!({ "type": "settings", "id": 2, "lobby": true })).await;
    for how in ["leave", "vanish", "say more"] {
        let (mut kim, waiting) = try_join(&server, "a", None).await;
        assert_eq!(waiting["type"], "waiting");
        match how {
            "leave" => kim.say(json!({ "type": "leave" })).await,
            "vanish" => drop(kim),
            _ => {
                kim.say(json!({ "type": "hand", "id": 7, "raised": true })).await;
                assert_eq!(kim.refused().await.1, "join_first", "{how}");
            }
        }
        let mut sizes = vec![];
        while sizes != [1, 0] {
            let told = host.hear().await;
            sizes.extend(told["event"]["waiting"].as_array().map(Vec::len));
        }
    }
}

#[tokio::test]
async fn a_lost_line_is_resumed_with_all_that_was_missed() {
    let server = Server::start().await;
    let (mut other, number) = server.join("a", "Bo").await;
    let mut client = server.dial("a").await;
    client.say(json!({ "type": "join", "id": 1, "name": "Ada", "offer": OFFER })).await;
    let joined = client.hear().await;
    let (me, resume, seq) = (joined["participant"].clone(), joined["resume"].clone(), joined["seq"].clone());
    assert_eq!(other.hear().await["event"]["kind"], "participant_joined");
    drop(client);
    other.say(json!({ "type": "chat", "id": 5, "text": "one" })).await;
    other.say(json!({ "type": "chat", "id": 6, "text": "two" })).await;
    for _ in 0..4 {
        other.hear().await; // two answers, two events
    }
    assert_eq!(other.hear().await["event"], json!({ "kind": "participants_away", "participants": [me], "away": true }));

    let dial = async |resume: &Value, seq: &Value| {
        let mut client = server.dial("a").await;
        client.say(json!({ "type": "resume", "id": 7, "resume": resume, "seq": seq })).await;
        client
    };
    let wrong = json!(format!("{me}-{}", "0".repeat(32)));
    let others = json!(resume.as_str().expect("a text").replacen(&me.to_string(), &number.to_string(), 1));
    for (resume, seq) in [(&wrong, &seq), (&others, &seq), (&json!("x"), &seq), (&resume, &json!(99))] {
        let mut client = dial(resume, seq).await;
        assert_eq!(client.refused().await, (json!(7), json!("cannot_resume")));
        assert_eq!(client.hear().await, Value::Null);
    }

    let mut client = dial(&resume, &seq).await;
    assert_eq!(client.hear().await, json!({ "type": "resumed", "id": 7 }));
    let missed: Vec<Value> = vec![client.hear().await, client.hear().await, client.hear().await];
    assert_eq!((&missed[0]["event"]["text"], &missed[1]["event"]["text"]), (&json!("one"), &json!("two")));
    assert_eq!(missed[2]["event"]["kind"], "participants_away");
    assert_eq!(client.hear().await, json!({ "type": "slots", "slots": [{ "mid": "0" }] }));
    assert_eq!(client.hear().await, json!({ "type": "speakers", "speakers": [] }));
    for reader in [&mut client, &mut other] {
        assert_eq!(reader.hear().await["event"], json!({ "kind": "participants_away", "participants": [me], "away": false }));
    }
    // A second line takes the first one's place, lost or not.
    let mut newer = dial(&resume, &missed[2]["seq"]).await;
    assert_eq!(newer.hear().await["type"], "resumed");
    assert_eq!(client.hear().await, json!({ "type": "closed", "reason": "replaced" }));
    assert_eq!(client.hear().await, Value::Null);
    newer.say(json!({ "type": "hand", "id": 9, "raised": true })).await;
    assert_eq!(other.hear().await["event"], json!({ "kind": "hands", "raised": [me] }));
}

#[tokio::test]
async fn one_who_cannot_resume_takes_the_old_place_by_joining_anew() {
    let server = Server::start().await;
    let (mut other, _) = server.join("a", "Bo").await;
    let mut client = server.dial("a").await;
    client.say(json!({ "type": "join", "id": 1, "name": "Ada", "offer": OFFER })).await;
    let joined = client.hear().await;
    assert_eq!(other.hear().await["event"]["kind"], "participant_joined");
    other.say(json!({ "type": "settings", "id": 2, "locked": true, "lobby": true })).await;
    drop(client);
    let mut again = server.dial("a").await;
    again.say(json!({ "type": "join", "id": 1, "name": "Ada", "offer": OFFER, "rejoin": joined["resume"] })).await;
    let rejoined = again.hear().await;
    assert_eq!((&rejoined["type"], &rejoined["identity"]), (&json!("joined"), &joined["identity"]));
    assert_ne!(rejoined["participant"], joined["participant"]);
    assert_eq!(rejoined["participants"].as_array().expect("a list").len(), 2);
}

#[tokio::test]
async fn who_asks_too_often_is_refused_and_goes_on() {
    let server = Server::start_with("[limits]\nmessages_per_second = 10").await;
    let (mut client, _) = server.join("a", "Ada").await;
    for id in 0..8 {
        client.say(json!({ "type": "update", "id": id, "metadata": "" })).await;
    }
    let mut answers = vec![];
    for _ in 0..8 {
        let answer = client.hear().await;
        answers.push(if answer["type"] == "done" { json!("done") } else { answer["error"]["code"].clone() });
    }
    assert_eq!(answers.iter().filter(|answer| **answer == "done").count(), 5, "{answers:?}");
    assert_eq!(answers.iter().filter(|answer| **answer == "too_many_requests").count(), 3, "{answers:?}");
}

#[tokio::test]
async fn one_waits_in_the_lobby_until_somebody_opens() {
    let server = Server::start().await;
    let new = json!({ "name": "a", "settings": { "lobby": true } }).to_string();
    assert_eq!(server.json("POST", "/api/v1/rooms", &new).await.0, 201);
    // On an open server everybody moderates, and moderators pass; so a guest is made by the door's own words.
    let knock = async |name: &str| {
        let profile = Profile { identity: name.into(), name: name.into(), metadata: String::new() };
        let entry = Entry { profile, viewer: false, rights: Rights::MEMBER, address: None, options: RoomOptions::default() };
        server.app.sfu.knock(&RoomName::parse("a").expect("a name"), entry, None).await
    };
    let (mut host, _) = server.join("a", "Host").await;
    let mut kim = knock("Kim").await.expect("she may wait");
    assert!(kim.waits);
    let told = host.hear().await;
    assert_eq!(told["event"], json!({ "kind": "lobby", "waiting": [{ "participant": kim.peer.0, "identity": "Kim", "name": "Kim" }] }));
    let mut lee = knock("Lee").await.expect("he may wait");
    let (_, waiting) = server.json("GET", "/api/v1/rooms/a/lobby", "").await;
    assert_eq!(waiting.as_array().map(Vec::len), Some(2));
    assert_eq!(server.json("GET", "/api/v1/rooms/a", "").await.1["waiting"], 2);
    assert_eq!(host.hear().await["event"]["kind"], "lobby");
    host.say(json!({ "type": "admit", "id": 3, "participant": kim.peer.0, "admit": true })).await;
    assert_eq!(kim.notices.recv().await, Some(Notice::Admitted));
    assert_eq!(server.json("DELETE", &format!("/api/v1/rooms/a/lobby/{}", lee.peer), "").await.0, 204);
    assert_eq!(lee.notices.recv().await, Some(Notice::NotAdmitted));
    let secret = Secret::from_random([1; 16]);
    let opened = server.app.sfu.enter(kim, OFFER, vec![], secret).await.expect("she was let in");
    assert_eq!(opened.joined.snapshot.participants.len(), 2);
    assert!(opened.joined.snapshot.lobby.is_empty());
    assert_eq!(server.json("POST", "/api/v1/rooms/a/lobby/99", "").await.0, 404);
}

#[tokio::test]
async fn moderators_decide_and_others_do_not() {
    let server = Server::start().await;
    let name = RoomName::parse("a").expect("a name");
    let (mut host, _) = server.join("a", "Host").await;
    let profile = Profile { identity: "kim".into(), name: "Kim".into(), metadata: String::new() };
    let entry = Entry { profile, viewer: false, rights: Rights::MEMBER, address: None, options: RoomOptions::default() };
    let knocked = server.app.sfu.knock(&name, entry.clone(), None).await.expect("it is open");
    let mut kim = server.app.sfu.enter(knocked, OFFER, vec![], Secret::from_random([1; 16])).await.expect("it is open");
    let number = kim.joined.peer;
    assert_eq!(host.hear().await["event"]["kind"], "participant_joined");
    for what in [
        Moderation::Settings(SettingsChange { locked: Some(true), ..SettingsChange::default() }),
        Moderation::Remove { peer: number, ban: true },
        Moderation::Admit { peer: number, admit: true },
        Moderation::Permit { peer: number, publish: Publish::ALL },
    ] {
        let refused = server.app.sfu.command(&name, Request::Moderate { by: Some(number), what }).await;
        assert!(matches!(refused, Err(Refusal::People(PeopleError::NotAllowed))), "{refused:?}");
    }
    host.say(json!({ "type": "permit", "id": 4, "participant": number.0, "publish": ["microphone"] })).await;
    let heard = [host.hear().await, host.hear().await];
    let event = json!({ "kind": "publish_changed", "participant": number.0, "publish": ["microphone"] });
    assert!(heard.iter().any(|message| message["event"] == event), "{heard:?}");
    let changed = json!({ "locked": true, "publish": ["camera"] }).to_string();
    let (status, room) = server.json("PATCH", "/api/v1/rooms/a", &changed).await;
    assert_eq!((status, &room["settings"]), (200, &json!({ "locked": true, "lobby": false, "publish": ["camera"] })));
    let refused =
        server.app.sfu.knock(&name, Entry { profile: Profile { identity: "x".into(), ..entry.profile.clone() }, ..entry.clone() }, None);
    assert!(matches!(refused.await, Err(Refusal::People(PeopleError::Locked))));
    assert_eq!(server.json("PATCH", "/api/v1/rooms/a", r#"{"locked":false}"#).await.0, 200);
    assert_eq!(server.json("DELETE", &format!("/api/v1/rooms/a/participants/{number}?bann=true"), "").await.0, 400);
    assert_eq!(server.json("DELETE", &format!("/api/v1/rooms/a/participants/{number}?ban=true"), "").await.0, 204);
    while let Some(notice) = kim.notices.recv().await {
        if let Notice::Closed(reason) = notice {
            assert_eq!(reason, LeaveReason::Banned);
        }
    }
    let refused = server.app.sfu.knock(&name, entry, None).await;
    assert!(matches!(refused, Err(Refusal::People(PeopleError::Banned))), "{refused:?}");
}

/// The same with a camera that is sent.
fn with_camera() -> String {
    let video = "m=video 9 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 0.0.0.0\r\na=mid:1\r\na=sendonly\r\na=rtcp-mux\r\na=rtpmap:96 VP8/90000\r\n\
                 a=ice-ufrag:abcd\r\na=ice-pwd:0123456789abcdefghijklmn\r\na=fingerprint:sha-256 00:01:02:03:04:05:06:07:08:09:0A:0B:0C:0D:0E:0F:10:11:12:13:14:15:16:17:18:19:1A:1B:1C:1D:1E:1F\r\na=setup:actpass\r\n";
    format!("{}{video}", OFFER.replace("BUNDLE 0", "BUNDLE 0 1"))
}

/// Says `join` with more fields.
async fn join_as(server: &Server, room: &str, more: Value) -> (Client, Value) {
    say_join(server.dial(room).await, more).await
}

async fn say_join(mut client: Client, more: Value) -> (Client, Value) {
    let mut join = json!({ "type": "join", "id": 1, "name": "Kim", "offer": OFFER });
    for (key, value) in more.as_object().expect("an object") {
        join[key] = value.clone();
    }
    client.say(join).await;
    let answer = client.hear().await;
    (client, answer)
}

async fn ask(client: &mut Client, message: Value) {
    let id = message["id"].clone();
    client.say(message).await;
    loop {
        let heard = client.hear().await;
        if heard["id"] == id {
            assert_eq!(heard["type"], "done", "{heard}");
            return;
        }
    }
}

async fn roster(server: &Server, admin: &str) -> Value {
    let (_, _, text) = server.http("GET", "/api/v1/rooms/a/participants", &format!("Authorization: Bearer {admin}\r\n"), "").await;
    serde_json::from_str(&text).expect("JSON")
}

#[tokio::test]
async fn a_refused_rejoin_leaves_the_old_participation_as_it_was() {
    let server = with_guests("").await;
    let admin = token(Claims { admin: Some(true), ..Claims::default() });
    let (mut host, _) = try_join(&server, "a", Some(&token(of("a", true)))).await;
    ask(&mut host, json!({ "type": "settings", "id": 2, "publish": ["microphone"] })).await;
    let (mut kim, joined) = try_join(&server, "a", None).await;
    let (_, refused) = join_as(&server, "a", json!({ "rejoin": joined["resume"], "offer": with_camera() })).await;
    assert_eq!(refused["error"]["code"], "not_allowed", "{refused}");
    assert_eq!(roster(&server, &admin).await.as_array().map(Vec::len), Some(2));
    ask(&mut kim, json!({ "type": "hand", "id": 3, "raised": true })).await;
    let (_, rejoined) = join_as(&server, "a", json!({ "rejoin": joined["resume"] })).await;
    assert_eq!(rejoined["identity"], joined["identity"]);
    assert_eq!(roster(&server, &admin).await.as_array().map(Vec::len), Some(2));
}

#[tokio::test]
async fn what_was_said_before_one_came_is_not_told_by_a_resume() {
    let server = with_guests("").await;
    let (mut host, _) = try_join(&server, "a", Some(&token(of("a", true)))).await;
    ask(&mut host, json!({ "type": "chat", "id": 2, "text": "before you came" })).await;
    let (kim, joined) = try_join(&server, "a", None).await;
    drop(kim);
    for (seq, outcome) in [(json!(0), "error"), (joined["seq"].clone(), "resumed")] {
        let mut client = server.dial("a").await;
        client.say(json!({ "type": "resume", "id": 1, "resume": joined["resume"], "seq": seq })).await;
        assert_eq!(client.hear().await["type"], outcome, "{seq}");
    }
}

#[tokio::test]
async fn a_permit_holds_for_one_who_comes_back() {
    let server = with_guests("").await;
    let (mut host, _) = try_join(&server, "a", Some(&token(of("a", true)))).await;
    let (_kim, joined) = try_join(&server, "a", None).await;
    ask(&mut host, json!({ "type": "permit", "id": 2, "participant": joined["participant"], "publish": ["microphone"] })).await;
    let (_, again) = join_as(&server, "a", json!({ "rejoin": joined["resume"] })).await;
    assert_eq!(again["rights"]["publish"], json!(["microphone"]), "{again}");
    let (_, refused) = join_as(&server, "a", json!({ "rejoin": again["resume"], "offer": with_camera() })).await;
    assert_eq!(refused["error"]["code"], "not_allowed");
}

#[tokio::test]
async fn a_ban_finds_every_connection_and_outlives_a_rejoin() {
    let server = with_guests("[http]\nbehind_proxy = true").await;
    // Each from an address that the proxy names.
    let dial = async |from: &str, more: Value| say_join(server.dial_from("a", from).await, more).await;
    let (mut host, _) = dial("192.0.2.1", json!({ "token": token(of("a", true)) })).await;
    let (mut eve, joined) = dial("203.0.113.5", json!({})).await;
    let (mut watching, viewer) = dial("203.0.113.5", json!({ "role": "viewer" })).await;
    let (_bo, other) = dial("203.0.113.6", json!({})).await;
    assert_eq!(viewer["type"], "joined", "{viewer}");
    ask(&mut host, json!({ "type": "remove", "id": 2, "participant": joined["participant"], "ban": true })).await;
    for client in [&mut eve, &mut watching] {
        while client.hear().await != json!({ "type": "closed", "reason": "banned" }) {}
    }
    for more in [json!({}), json!({ "rejoin": viewer["resume"] }), json!({ "rejoin": joined["resume"] }), json!({ "role": "viewer" })] {
        let (_, refused) = dial("203.0.113.5", more.clone()).await;
        assert_eq!(refused["error"]["code"], "banned", "{more}");
    }
    // A viewer's secret opens no locked room to a participant; a participant's own does.
    ask(&mut host, json!({ "type": "settings", "id": 3, "locked": true })).await;
    let (_, again) = dial("203.0.113.6", json!({ "rejoin": other["resume"], "role": "viewer" })).await;
    assert_eq!(again["error"]["code"], "room_locked");
    let (_, again) = dial("203.0.113.6", json!({ "rejoin": other["resume"] })).await;
    assert_eq!(again["type"], "joined");
}

#[tokio::test]
async fn a_lobby_that_is_turned_off_lets_in() {
    let server = with_guests("").await;
    let (mut host, _) = try_join(&server, "a", Some(&token(of("a", true)))).await;
    ask(&mut host, json!({ "type": "settings", "id": 2, "lobby": true })).await;
    let (mut kim, waiting) = try_join(&server, "a", None).await;
    assert_eq!(waiting["type"], "waiting");
    ask(&mut host, json!({ "type": "settings", "id": 3, "lobby": false })).await;
    assert_eq!(kim.hear().await["type"], "joined");
}

#[tokio::test]
async fn an_operator_may_allow_less() {
    let server = Server::start_with("[limits]\nmessage_bytes = 2000\nmetadata_bytes = 10\nslots = 1\nviewers = 1").await;
    let (mut client, _) = join_as(&server, "a", json!({ "metadata": "x".repeat(10) })).await;
    client.say(json!({ "type": "update", "id": 2, "metadata": "x".repeat(11) })).await;
    assert_eq!(client.refused().await, (json!(2), json!("bad_metadata")));
    client.send(" ".repeat(2_001)).await;
    assert_eq!(client.refused().await, (Value::Null, json!("too_large")));
    let (_, refused) = join_as(&server, "a", json!({ "metadata": "x".repeat(11) })).await;
    assert_eq!(refused["error"]["code"], "bad_metadata");
    let (_viewer, joined) = join_as(&server, "a", json!({ "role": "viewer" })).await;
    assert_eq!(joined["type"], "joined");
    let (_, refused) = join_as(&server, "a", json!({ "role": "viewer" })).await;
    assert_eq!(refused["error"]["code"], "room_full");
    let two_slots = format!(
        "{}{}",
        OFFER.replace("BUNDLE 0", "BUNDLE 0 1"),
        OFFER[OFFER.find("m=audio").expect("a section")..].replace("a=mid:0", "a=mid:1")
    );
    let (_, refused) = join_as(&server, "a", json!({ "offer": two_slots })).await;
    assert_eq!(refused["error"]["code"], "too_many_slots");
}
