//! Three people: what they say and do reaches the others, and how they leave is told.

use std::time::{Duration, Instant};

use ninefold::api::protocol::{ClientMessage, LeaveReason, Role, RoomEvent, RoomMode, ServerMessage, Source};
use ninefold_loadtest::bot::{Bot, BotKit};
use ninefold_loadtest::client::Client;
use ninefold_loadtest::media::Camera;
use ninefold_loadtest::seen::Seen;
use ninefold_loadtest::signal::Signal;

use crate::server::{Server, expect, expect_clean, expect_within};

fn chats(seen: &Seen) -> Vec<(u32, Option<u32>, String)> {
    let chat = |event: &RoomEvent| match event {
        RoomEvent::Chat { from, to, text, .. } => Some((*from, *to, text.clone())),
        _ => None,
    };
    seen.events().filter_map(chat).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chat_hands_and_names() {
    let server = Server::start();
    let bots = server.trio("talk").await;
    let [ada, bo, cy] = [&bots[0], &bots[1], &bots[2]];
    let number = [ada, bo, cy].map(Bot::participant);

    ada.chat("Hello, 大家好!", None).await.expect("chat");
    bo.chat("psst", Some(number[2])).await.expect("chat");
    bo.chat("done", None).await.expect("chat");
    let public = [(number[0], None, "Hello, 大家好!".to_owned()), (number[1], None, "done".to_owned())];
    let private = (number[1], Some(number[2]), "psst".to_owned());
    expect(ada, "the public messages only", |seen| chats(seen) == public).await;
    for bot in [bo, cy] {
        expect(bot, "all messages", |seen| chats(seen) == [public[0].clone(), private.clone(), public[1].clone()]).await;
    }
    assert_eq!(ada.chat("", None).await.expect_err("empty").code, "bad_text");
    assert_eq!(ada.chat("?", Some(999)).await.expect_err("nobody").code, "no_participant");

    cy.hand(true).await.expect("a hand");
    ada.hand(true).await.expect("a hand");
    expect(bo, "two hands in order", |seen| seen.raised == [number[2], number[0]]).await;
    cy.hand(false).await.expect("a hand");
    expect(ada, "one hand", |seen| seen.raised == [number[0]]).await;

    bo.update(Some("Bo B."), None).await.expect("an update");
    bo.update(None, Some("{\"x\":1}")).await.expect("an update");
    let changed = |seen: &Seen| seen.roster[&number[1]].name == "Bo B." && seen.roster[&number[1]].metadata == "{\"x\":1}";
    expect(cy, "the new name and metadata", changed).await;
    assert_eq!(bo.update(Some("\n"), None).await.expect_err("no name").code, "bad_name");

    // Who comes later finds the same room.
    let late = server.join("talk", &BotKit::person("Di")).await;
    late.look(|seen| assert!(changed(seen) && seen.raised == [number[0]] && seen.roster.len() == 4));
    expect_clean(&bots).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn muted_tracks_are_not_forwarded() {
    let server = Server::start();
    let bots = server.trio("mute").await;
    let [ada, bo, _] = &bots[..] else { panic!("three") };
    let (number, microphone) = (ada.participant(), ada.track(Source::Microphone).expect("a microphone"));
    let heard = |seen: &Seen| seen.audio_slot_of(number).map_or(0, |slot| slot.packets);

    ada.mute(microphone, true).await.expect("mute");
    expect(bo, "told that it is muted", |seen| seen.roster[&number].tracks.iter().any(|track| track.track == microphone && track.muted))
        .await;
    // The bot sends on: what the server drops shows that time has passed.
    let (before, dropped) = (bo.look(heard), server.metrics().await.dropped("muted"));
    server.expect_metrics("30 muted packets", |metrics| metrics.dropped("muted") > dropped + 30.0).await;
    // What was under way at the moment of the answer may have come after it.
    let after = bo.look(heard);
    assert!(after <= before + 2, "{before} packets before, {after} after");

    ada.mute(microphone, false).await.expect("unmute");
    expect(bo, "sound again", |seen| heard(seen) > after + 10).await;
    assert_eq!(bo.mute(microphone, false).await.expect_err("not one's own").code, "not_allowed");
    assert_eq!(bo.mute(999, false).await.expect_err("nobody's").code, "no_track");

    let camera = ada.track(Source::Camera).expect("a camera");
    ada.mute(camera, true).await.expect("mute");
    expect(bo, "the picture is gone", |seen| !seen.shown().contains(&number)).await;
    ada.mute(camera, false).await.expect("unmute");
    expect(bo, "the picture is back", |seen| seen.shown().contains(&number)).await;
    expect_clean(&bots).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_screen_is_published_by_a_further_offer() {
    let server = Server::start();
    let bots = server.trio("screen").await;
    let [ada, bo, cy] = &bots[..] else { panic!("three") };
    ada.publish(Source::Screen, Camera { layers: 1, fps: 15, bitrate_bps: 300_000 }).await.expect("an answer");
    let screen = ada.track(Source::Screen).expect("a number");
    for bot in [bo, cy] {
        let published = |seen: &Seen| {
            seen.events().any(|event| {
                matches!(event, RoomEvent::TrackPublished { participant, track } if *participant == ada.participant()
                && track.track == screen && track.source == Source::Screen)
            })
        };
        expect(bot, "told of the screen", published).await;
        let shown = |seen: &Seen| seen.slots.values().any(|slot| slot.is_right() && slot.last.is_some_and(|last| last.track == screen));
        expect(bot, "the screen", shown).await;
        assert_eq!(bot.look(|seen| seen.offers), 1);
    }
    expect_clean(&bots).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leaving_is_told_with_its_reason() {
    let server = Server::start();
    let mut bots = server.trio("leave").await;
    let (cy, bo) = (bots.pop().expect("Cy"), bots.pop().expect("Bo"));
    let (ada, numbers) = (&bots[0], (bo.participant(), cy.participant()));
    assert!(bo.leave().await);
    assert_eq!(bo.look(|seen| seen.closed), None, "a goodbye is not answered");
    expect(ada, "Bo has left", |seen| seen.left.get(&numbers.0) == Some(&LeaveReason::Left)).await;
    drop(cy);
    expect(ada, "Cy's connection was lost", |seen| seen.roster.get(&numbers.1).is_some_and(|cy| cy.away)).await;
    let gone = |seen: &Seen| seen.left.get(&numbers.1) == Some(&LeaveReason::Disconnected);
    expect_within(Duration::from_secs(45), ada, "Cy did not come back", gone).await;
    expect(ada, "nobody is shown", |seen| seen.slots.values().all(|slot| slot.told.as_ref().is_none_or(|told| told.track.is_none()))).await;
    expect_clean(&bots).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_never_connects_is_sent_out() {
    let server = Server::start();
    let ada = server.join("ghost", &BotKit::person("Ada")).await;
    let (began, mut signal) = (Instant::now(), Signal::connect(&server.target, "ghost", None).await.expect("a socket"));
    let (client, offer) = Client::new(&BotKit::person("ghost"), began);
    let (tracks, name) = (client.sections(), "ghost".to_owned());
    let join = ClientMessage::Join {
        id: 1,
        name,
        role: Role::Participant,
        metadata: String::new(),
        mode: RoomMode::Conference,
        offer,
        tracks,
        token: None,
        rejoin: None,
    };
    signal.say(&join).await.expect("said");
    let ServerMessage::Joined { participant, .. } = signal.hear().await.expect("an answer") else { panic!("not joined") };

    let reason = |seen: &Seen| seen.left.get(&participant) == Some(&LeaveReason::MediaLost);
    // Pings are answered only while somebody listens.
    let told = async {
        loop {
            if let ServerMessage::Closed { reason } = signal.hear().await.expect("it says why") {
                return reason;
            }
        }
    };
    let (closed, ()) = tokio::join!(told, expect_within(Duration::from_secs(25), &ada, "the ghost is gone", reason));
    assert!(began.elapsed() > Duration::from_secs(14), "after {:?}", began.elapsed());
    assert_eq!(closed, LeaveReason::MediaLost);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn viewers_are_counted_and_never_listed() {
    let server = Server::start();
    let ada = server.join("show", &BotKit::person("Ada")).await;
    let mut viewers = vec![];
    for _ in 0..3 {
        viewers.push(server.join("show", &BotKit::viewer()).await);
    }
    expect(&ada, "three viewers", |seen| seen.viewers == 3).await;
    for viewer in &viewers {
        expect(viewer, "Ada", |seen| seen.shown() == [ada.participant()]).await;
        assert_eq!(viewer.look(|seen| seen.roster.keys().copied().collect::<Vec<_>>()), [ada.participant()]);
        assert_eq!(viewer.chat("hi", None).await.expect_err("viewers cannot write").code, "viewer_cannot");
        assert_eq!(viewer.hand(true).await.expect_err("viewers have no hands").code, "viewer_cannot");
    }
    assert_eq!(ada.look(|seen| seen.roster.len()), 1);
    assert_eq!(server.get("/api/v1/rooms/show").await.json()["viewers"], 3);
    let metrics = server.metrics().await;
    assert_eq!((metrics.get("ninefold_participants"), metrics.get("ninefold_viewers")), (Some(1.0), Some(3.0)));
    assert!(viewers.pop().expect("a viewer").leave().await);
    expect(&ada, "two viewers", |seen| seen.viewers == 2 && seen.left.is_empty()).await;
    viewers.push(ada);
    expect_clean(&viewers).await;
    server.stop().await;
}
