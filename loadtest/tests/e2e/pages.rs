//! Ten people and pages of four: whoever turns a page sees the right faces within a second, and nobody makes another offer.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use ninefold::api::protocol::{Source, View};
use ninefold_loadtest::bot::{Bot, BotKit};
use ninefold_loadtest::seen::Seen;

use crate::server::{Server, expect, expect_clean, expect_within};

const PEOPLE: usize = 10;
const PAGE: usize = 4;
/// From the request to the right pictures in all slots.
const TURNED_WITHIN: Duration = Duration::from_secs(1);

/// Ten people. They are silent: who speaks would get a place on first pages.
async fn ten(server: &Server) -> Vec<Bot> {
    let mut bots = vec![];
    for index in 0..PEOPLE {
        let kit = BotKit { microphone: false, audio_slots: 0, ..BotKit::person(&format!("n{index}")) };
        bots.push(server.join("pages", &kit).await);
    }
    for bot in &bots {
        expect(bot, "a full first page", |seen| seen.shown().len() == PAGE).await;
    }
    bots
}

/// Turns a page and measures how long it takes until everything shown is what was asked for and agrees with signalling.
async fn turn(bot: &Bot, view: View, wanted: &BTreeSet<u32>) {
    let asked = Instant::now();
    bot.view(view.clone()).await.expect("a view");
    let right = |seen: &Seen| seen.shown().into_iter().collect::<BTreeSet<_>>() == *wanted && fresh(seen, asked);
    expect_within(TURNED_WITHIN, bot, &format!("{wanted:?} after {view:?}"), right).await;
}

/// What is shown came after this moment, so it is no picture from before.
fn fresh(seen: &Seen, since: Instant) -> bool {
    let videos = seen.slots.values().filter(|slot| slot.video && slot.told.as_ref().is_some_and(|told| told.track.is_some()));
    videos.into_iter().all(|slot| slot.last_at.is_some_and(|at| at > since))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn turned_pages_show_the_right_people_within_a_second() {
    let server = Server::start();
    let bots = ten(&server).await;
    let people: Vec<u32> = bots.iter().map(Bot::participant).collect();
    let camera = |index: usize| bots[index].track(Source::Camera).expect("a camera");

    for (turning, bot) in bots.iter().enumerate().step_by(3) {
        // In order of joining, without oneself.
        let others: Vec<u32> = people.iter().copied().filter(|other| *other != people[turning]).collect();
        for offset in [4, 8, 1, 5] {
            let wanted = others.iter().copied().skip(offset).take(PAGE).collect();
            turn(bot, View::Auto { offset: offset as u32, limit: None, pinned: vec![] }, &wanted).await;
        }
        let named: Vec<usize> = [7, 2, 9, 5].into_iter().filter(|index| *index != turning).collect();
        let wanted = named.iter().map(|index| people[*index]).collect();
        turn(bot, View::Tracks { tracks: named.iter().map(|index| camera(*index)).collect() }, &wanted).await;
    }
    let limited = others_of(&people, 1).into_iter().take(2).collect();
    turn(&bots[1], View::Auto { offset: 0, limit: Some(2), pinned: vec![] }, &limited).await;
    let pinned = [vec![people[9]], others_of(&people, 1)].concat().into_iter().take(2).collect();
    turn(&bots[1], View::Auto { offset: 0, limit: Some(2), pinned: vec![camera(9)] }, &pinned).await;

    expect_clean(&bots).await;
    for bot in &bots {
        assert_eq!(bot.look(|seen| seen.offers), 1, "an offer too many by {}", bot.participant());
    }
    server.stop().await;
}

fn others_of(people: &[u32], index: usize) -> Vec<u32> {
    people.iter().copied().filter(|other| *other != people[index]).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_leaves_makes_place_and_who_comes_is_seen() {
    let server = Server::start();
    let mut bots = ten(&server).await;
    let gone = bots.remove(1);
    assert!(gone.leave().await);
    let number = gone.participant();
    for bot in &bots {
        expect(bot, "the place is taken", |seen| seen.shown().len() == PAGE && !seen.shown().contains(&number)).await;
    }
    bots.push(server.join("pages", &BotKit::person("late")).await);
    let newest = bots[9].participant();
    turn(&bots[0], View::Auto { offset: 8, limit: None, pinned: vec![] }, &BTreeSet::from([newest])).await;
    expect_clean(&bots).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn simulcast_is_forwarded_in_one_layer() {
    let server = Server::start();
    let camera = ninefold_loadtest::media::Camera { layers: 3, fps: 25, bitrate_bps: 800_000 };
    let sender = server.join("layers", &BotKit { camera: Some(camera), ..BotKit::person("Ada") }).await;
    let watcher = server.join("layers", &BotKit::person("Bo")).await;
    expect(&watcher, "50 frames", |seen| seen.slots.values().any(|slot| slot.video && slot.frames > 50)).await;
    let bots = [sender, watcher];
    expect_clean(&bots).await;
    let metrics = server.metrics().await;
    assert!(metrics.dropped("layer") > 0.0, "layers that nobody gets are counted");
    server.stop().await;
}
