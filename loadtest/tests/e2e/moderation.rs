//! What moderators decide holds where media passes, and everybody concerned is told.

use ninefold::api::protocol::{LeaveReason, NewSettings, Publishable, RoomEvent, ServerMessage, Source};
use ninefold_loadtest::bot::{Bot, BotError, BotKit};
use ninefold_loadtest::media::Camera;
use ninefold_loadtest::seen::Seen;
use ninefold_loadtest::slot::Slot;
use serde_json::json;

use crate::server::{Server, expect, expect_clean};

/// How many pictures are fresh is no question of time here: packets of a source go on coming, or do not.
fn packets_from(seen: &Seen, participant: u32) -> u64 {
    let from = |slot: &&Slot| slot.video && slot.last.is_some_and(|last| last.owner == participant);
    seen.slots.values().filter(from).map(|slot| slot.packets).sum()
}

fn events<'a>(seen: &'a Seen, wanted: impl Fn(&RoomEvent) -> bool + 'a) -> usize {
    seen.events().filter(|event| wanted(event)).count()
}

async fn refused(server: &Server, room: &str, kit: &BotKit) -> String {
    match Bot::join(&server.place(room), kit).await {
        Err(BotError::Refused(error)) => error.code,
        other => panic!("{other:?} instead of a refusal"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mute_and_take_away() {
    let server = Server::start();
    let bots = server.trio("order").await;
    let [ada, bo, cy] = [&bots[0], &bots[1], &bots[2]];
    let number = bo.participant();
    let (camera, microphone) = (bo.track(Source::Camera).expect("a camera"), bo.track(Source::Microphone).expect("a microphone"));

    // Muted by somebody else: not forwarded any more, told with the name of who did it, undone by the owner only.
    ada.mute(microphone, true).await.expect("a moderator mutes");
    let by = ada.participant();
    let told = |seen: &Seen| {
        events(seen, |e| matches!(e, RoomEvent::TrackMuted { track, muted: true, by: Some(who), .. } if *track == microphone && *who == by))
            == 1
    };
    for bot in &bots {
        expect(bot, "who was muted, and by whom", told).await;
    }
    assert_eq!(ada.mute(microphone, false).await.expect_err("only the owner").code, "not_allowed");
    bo.mute(microphone, false).await.expect("the owner unmutes");

    // The same through REST, all at once.
    let path = format!("/api/v1/rooms/order/participants/{number}");
    assert_eq!(server.request("POST", &format!("{path}/mute"), Some(json!({}))).await.status, 204);
    let both = |seen: &Seen| seen.roster[&number].tracks.iter().all(|track| track.muted);
    expect(cy, "both tracks muted", both).await;
    bo.mute(camera, false).await.expect("the owner unmutes");
    bo.mute(microphone, false).await.expect("the owner unmutes");
    let seen_again = cy.look(|seen| packets_from(seen, number));
    expect(cy, "the picture is back", |seen| packets_from(seen, number) > seen_again + 20).await;

    // What may not be published any more ends, whatever is still sent.
    ada.permit(number, &[Publishable::Microphone]).await.expect("a moderator decides");
    for bot in &bots {
        expect(bot, "the camera has ended", |seen| !seen.roster[&number].tracks.iter().any(|track| track.source == Source::Camera)).await;
        expect(bot, "what may be published", |seen| seen.roster[&number].publish == [Publishable::Microphone]).await;
    }
    expect(cy, "no slot shows it", |seen| {
        !seen.slots.values().any(|slot| slot.told.as_ref().is_some_and(|told| told.track == Some(camera)))
    })
    .await;
    let dropped = server.metrics().await.dropped("no_track");
    server.expect_metrics("what is still sent is dropped", |metrics| metrics.dropped("no_track") > dropped + 20.0).await;
    assert_eq!(bo.publish(Source::Screen, Camera::default()).await.expect_err("no screen").code, "not_allowed");
    expect_clean(&bots).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lock_remove_and_ban() {
    let server = Server::start();
    let bots = server.trio("gate").await;
    let [ada, bo, cy] = [&bots[0], &bots[1], &bots[2]];
    ada.settings(NewSettings { locked: Some(true), ..NewSettings::default() }).await.expect("a lock");
    expect(cy, "the lock", |seen| seen.settings.as_ref().is_some_and(|settings| settings.locked)).await;

    let number = bo.participant();
    ada.remove(number, false).await.expect("out");
    expect(bo, "told why", |seen| seen.closed == Some(LeaveReason::Removed) && seen.ended).await;
    expect(cy, "told why", |seen| seen.left.get(&number) == Some(&LeaveReason::Removed)).await;
    let banned = cy.participant();
    let response = server.request("DELETE", &format!("/api/v1/rooms/gate/participants/{banned}?ban=true"), None).await;
    assert_eq!(response.status, 204);
    expect(cy, "told why", |seen| seen.closed == Some(LeaveReason::Banned) && seen.ended).await;
    expect(ada, "told why", |seen| seen.left.get(&banned) == Some(&LeaveReason::Banned)).await;
    assert_eq!(ada.remove(banned, true).await.expect_err("gone").code, "no_participant");
    assert_eq!(ada.admit(banned, true).await.expect_err("nobody waits").code, "no_participant");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn full_is_full() {
    let server = Server::start_with(&[("NINEFOLD_LIMITS__PARTICIPANTS", "2"), ("NINEFOLD_LIMITS__VIEWERS", "1")]);
    let _in: Vec<Bot> = [server.join("small", &BotKit::person("Ada")).await, server.join("small", &BotKit::person("Bo")).await].into();
    assert_eq!(refused(&server, "small", &BotKit::person("Cy")).await, "room_full");
    let viewer = server.join("small", &BotKit::viewer()).await;
    assert_eq!(refused(&server, "small", &BotKit::viewer()).await, "room_full");
    assert!(viewer.leave().await);
    server.join("small", &BotKit::viewer()).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_line_costs_no_frame_and_no_event() {
    let server = Server::start();
    let bots = server.trio("back").await;
    let [ada, bo, cy] = [&bots[0], &bots[1], &bots[2]];
    let number = bo.participant();
    for round in 0..3 {
        let before: Vec<u64> = bots.iter().map(|bot| bot.look(Seen::packets)).collect();
        bo.cut().await;
        ada.chat(&format!("missed {round}"), None).await.expect("chat");
        cy.hand(round % 2 == 0).await.expect("a hand");
        if round == 2 {
            expect(ada, "away", |seen| seen.roster[&number].away).await;
        }
        for (bot, before) in bots.iter().zip(before) {
            expect(bot, "media goes on", |seen| seen.packets() > before + 100).await;
        }
        bo.resume().await.unwrap_or_else(|error| panic!("{error}"));
        let text = format!("missed {round}");
        expect(bo, "the missed words", |seen| events(seen, |e| matches!(e, RoomEvent::Chat { text: t, .. } if *t == text)) == 1).await;
        expect(ada, "back", |seen| !seen.roster[&number].away).await;
        bo.hand(true).await.expect("what is asked over the new line is answered");
        bo.hand(false).await.expect("a hand");
    }
    assert!(bo.look(|seen| seen.heard.iter().filter(|message| matches!(message, ServerMessage::Slots { .. })).count() > 3));
    for bot in &bots {
        assert_eq!(bot.look(Seen::freezes), 0);
    }
    expect_clean(&bots).await;

    // One who does not come back is out after half a minute; this one left for good and says so by closing the page.
    assert!(bo.leave().await);
    expect(ada, "gone", |seen| seen.left.contains_key(&number)).await;
    let late = bo.resume().await;
    assert!(matches!(&late, Err(BotError::Refused(error)) if error.code == "cannot_resume"), "{late:?}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_changes_in_mid_call() {
    let server = Server::start();
    let bots = server.trio("move").await;
    let bo = &bots[1];
    for _ in 0..3 {
        let before: Vec<u64> = bots.iter().map(|bot| bot.look(Seen::packets)).collect();
        bo.change_address().await.unwrap_or_else(|error| panic!("{error}"));
        for (bot, before) in bots.iter().zip(before) {
            expect(bot, "media goes on", |seen| seen.packets() > before + 200).await;
        }
    }
    server.stop().await;
}
