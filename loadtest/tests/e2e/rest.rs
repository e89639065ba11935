//! Rooms and participants as resources, and the document about them.

use ninefold::api::protocol::LeaveReason;
use ninefold_loadtest::bot::BotKit;
use serde_json::{Value, json};

use crate::server::{Server, expect};

fn code(body: &Value) -> &str {
    assert!(body["error"]["message"].is_string(), "{body}");
    body["error"]["code"].as_str().unwrap_or_default()
}

/// Those fields of an object that are expected of it: later versions may add others.
fn pick(value: &Value, expected: &Value) -> Value {
    let keys = expected.as_object().expect("an object").keys();
    keys.map(|key| (key.clone(), value[key].clone())).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rooms_and_participants() {
    let server = Server::start();
    assert_eq!(server.get("/api/v1/rooms").await.json(), json!([]));
    let bots = server.trio("one").await;
    let rooms = server.get("/api/v1/rooms").await.json();
    let expected = json!({"name": "one", "mode": "conference", "participants": 3, "viewers": 0, "tracks": 6, "permanent": false});
    assert_eq!((rooms.as_array().map(Vec::len), pick(&rooms[0], &expected)), (Some(1), expected));
    assert_eq!(server.get("/api/v1/rooms/one").await.json(), rooms[0]);

    let people = server.get("/api/v1/rooms/one/participants").await.json();
    let names: Vec<&str> = people.as_array().expect("a list").iter().filter_map(|person| person["name"].as_str()).collect();
    assert_eq!(names, ["Ada", "Bo", "Cy"]);
    let bo = &bots[1];
    let address = format!("/api/v1/rooms/one/participants/{}", bo.participant());
    assert_eq!(server.get(&address).await.json()["identity"], json!(bo.look(|seen| seen.identity.clone())));

    assert_eq!(server.request("DELETE", &address, None).await.status, 204);
    expect(bo, "told that it was removed", |seen| seen.ended && seen.closed == Some(LeaveReason::Removed)).await;
    for bot in [&bots[0], &bots[2]] {
        expect(bot, "told why", |seen| seen.left.get(&bo.participant()) == Some(&LeaveReason::Removed)).await;
    }
    let again = server.request("DELETE", &address, None).await;
    assert_eq!((again.status, code(&again.json())), (404, "no_participant"));

    assert_eq!(server.request("DELETE", "/api/v1/rooms/one", None).await.status, 204);
    for bot in [&bots[0], &bots[2]] {
        expect(bot, "told that the room is closed", |seen| seen.ended && seen.closed == Some(LeaveReason::RoomClosed)).await;
    }
    assert_eq!(server.get("/api/v1/rooms").await.json(), json!([]));
    let gone = server.get("/api/v1/rooms/one").await;
    assert_eq!((gone.status, code(&gone.json())), (404, "no_room"));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_permanent_room_stays_when_it_is_empty() {
    let server = Server::start();
    let made = server.request("POST", "/api/v1/rooms", Some(json!({"name": "产品", "mode": "broadcast"}))).await;
    let room = json!({"name": "产品", "mode": "broadcast", "participants": 0, "viewers": 0, "tracks": 0, "permanent": true});
    assert_eq!((made.status, pick(&made.json(), &room)), (201, room));
    assert!(made.head.iter().any(|line| line == "location: /api/v1/rooms/%E4%BA%A7%E5%93%81"), "{:?}", made.head);
    assert_eq!(server.get("/api/v1/rooms/%E4%BA%A7%E5%93%81").await.json(), made.json());

    let ada = server.join("产品", &BotKit::person("Ada")).await;
    assert_eq!(server.get("/api/v1/rooms/%E4%BA%A7%E5%93%81").await.json()["participants"], 1);
    assert!(ada.leave().await);
    let empty = server.get("/api/v1/rooms/%E4%BA%A7%E5%93%81").await.json();
    assert_eq!(empty, made.json());

    for (body, status, expected) in [
        (json!({"name": "产品"}), 409, "room_exists"),
        (json!({"name": "no room"}), 400, "bad_room_name"),
        (json!({"name": "x", "mode": "party"}), 400, "bad_message"),
        (json!({"name": "x", "colour": 1}), 400, "bad_message"),
        (json!({"name": "x".repeat(70_000)}), 413, "too_large"),
    ] {
        let refused = server.request("POST", "/api/v1/rooms", Some(body)).await;
        assert_eq!((refused.status, code(&refused.json())), (status, expected));
    }
    for (method, path, status, expected) in [
        ("POST", "/api/v1/rooms", 415, "not_json"),
        ("PUT", "/api/v1/rooms", 405, "bad_method"),
        ("GET", "/api/v1/nothing", 404, "not_found"),
        ("GET", "/api/v1/rooms/nobody/participants", 404, "no_room"),
        ("GET", "/api/v1/rooms/%E4%BA%A7%E5%93%81/participants/99", 404, "no_participant"),
        ("GET", "/api/v1/rooms/%E4%BA%A7%E5%93%81/participants/x", 404, "no_participant"),
        ("GET", "/api/v1/rooms/%FF", 400, "bad_room_name"),
    ] {
        let refused = server.request(method, path, None).await;
        assert_eq!((refused.status, code(&refused.json())), (status, expected), "{method} {path}");
    }
    server.stop().await;
}

#[tokio::test]
async fn the_document_describes_it() {
    let server = Server::start();
    let document = server.get("/api/v1/openapi.json").await;
    assert!(document.head.iter().any(|line| line.starts_with("content-type: application/json")), "{:?}", document.head);
    let document = document.json();
    assert!(document["openapi"].as_str().is_some_and(|version| version.starts_with("3.1")), "{}", document["openapi"]);
    for path in ["/api/v1/rooms", "/api/v1/rooms/{room}", "/api/v1/rooms/{room}/participants", "/api/v1/rooms/{room}/socket"] {
        assert!(document["paths"][path].is_object(), "{path}");
    }
    server.stop().await;
}
