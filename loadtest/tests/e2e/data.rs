//! Data channels: to everybody or to one, reliable or lossy, with the sender named by the server.

use ninefold_loadtest::bot::{Bot, BotKit};
use ninefold_loadtest::seen::{Data, Seen};

use crate::server::{Server, expect, expect_clean};

/// The largest payload (protocol.md, "Limits").
const LARGEST: usize = 16_384;

fn open(seen: &Seen) -> bool {
    seen.channels == (true, true)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_reach_all_or_one_and_name_their_sender() {
    let server = Server::start();
    let mut bots = server.trio("data").await;
    bots.push(server.join("data", &BotKit::viewer()).await);
    for bot in &bots {
        expect(bot, "open channels", open).await;
    }
    let number: Vec<u32> = bots.iter().map(Bot::participant).collect();
    let message = |reliable, from, payload: &[u8]| Data { reliable, from, payload: payload.to_vec() };
    for reliable in [true, false] {
        assert!(bots[0].data(reliable, 0, b"to all").await);
        assert!(bots[1].data(reliable, number[2], b"to Cy").await);
        for bot in &bots[1..] {
            expect(bot, "the message to all", |seen| seen.data.contains(&message(reliable, number[0], b"to all"))).await;
        }
        expect(&bots[2], "the message to Cy", |seen| seen.data.contains(&message(reliable, number[1], b"to Cy"))).await;
        // To a viewer as well.
        assert!(bots[2].data(reliable, number[3], b"").await);
        expect(&bots[3], "an empty message", |seen| seen.data.contains(&message(reliable, number[2], b""))).await;
    }
    assert_eq!(bots[0].look(|seen| seen.data.len()), 0, "nobody gets what they sent, or what was for another");
    assert_eq!(bots[1].look(|seen| seen.data.len()), 2);
    expect_clean(&bots).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_for_nobody_or_of_a_viewer_is_dropped_and_counted() {
    let server = Server::start();
    let mut bots = server.trio("nobody").await;
    bots.push(server.join("nobody", &BotKit::viewer()).await);
    for bot in &bots {
        expect(bot, "open channels", open).await;
    }
    let cases: [(&Bot, u32, &[u8]); 2] = [(&bots[0], 4_000_000, b"nobody"), (&bots[3], 0, b"a viewer's")];
    for ((bot, to, payload), dropped) in cases.into_iter().zip([1.0, 2.0]) {
        assert!(bot.data(true, to, payload).await);
        server.expect_metrics(&format!("{dropped} dropped"), |metrics| metrics.dropped("data") == dropped).await;
    }
    assert!(bots[0].data(true, 0, b"after").await);
    for bot in &bots[1..] {
        expect(bot, "the message after them", |seen| !seen.data.is_empty()).await;
        assert_eq!(bot.look(|seen| seen.data.iter().map(|data| data.payload.clone()).collect::<Vec<_>>()), [b"after"]);
    }
    expect_clean(&bots).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_too_long_is_dropped_and_counted() {
    let server = Server::start();
    let bots = server.trio("long").await;
    for bot in &bots {
        expect(bot, "open channels", open).await;
    }
    let [ada, bo] = [&bots[0], &bots[1]];
    let largest = vec![7; LARGEST];
    assert!(ada.data(true, bo.participant(), &largest).await);
    expect(bo, "the largest message", |seen| seen.data.iter().any(|data| data.payload == largest)).await;
    assert_eq!(server.metrics().await.dropped("data"), 0.0);
    assert!(ada.data(true, 0, &[7; LARGEST + 1]).await);
    server.expect_metrics("it is dropped", |metrics| metrics.dropped("data") == 1.0).await;
    assert!(ada.data(true, 0, b"after").await);
    expect(bo, "the message after it", |seen| seen.data.back().is_some_and(|data| data.payload == b"after")).await;
    assert_eq!(bo.look(|seen| seen.data.len()), 2);
    expect_clean(&bots).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_arrives_in_order() {
    const MESSAGES: u32 = 500;
    let server = Server::start();
    let bots = server.trio("burst").await;
    for bot in &bots {
        expect(bot, "open channels", open).await;
    }
    for number in 0..MESSAGES {
        assert!(bots[0].data(true, 0, &number.to_be_bytes()).await);
    }
    for bot in &bots[1..] {
        expect(bot, "all of them", |seen| seen.data.len() == MESSAGES as usize).await;
        let numbers: Vec<Vec<u8>> = bot.look(|seen| seen.data.iter().map(|data| data.payload.clone()).collect());
        assert_eq!(numbers, (0..MESSAGES).map(|number| number.to_be_bytes().to_vec()).collect::<Vec<_>>());
    }
    expect_clean(&bots).await;
    server.stop().await;
}
