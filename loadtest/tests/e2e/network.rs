//! Addresses: IPv6, and what `media.advertise` makes of an answer.

use std::net::{SocketAddr, UdpSocket};

use ninefold_loadtest::bot::{BotKit, Transport};
use ninefold_loadtest::carrier::candidates;
use ninefold_loadtest::seen::Seen;

use crate::server::{Server, expect, expect_clean};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn media_goes_over_ipv6() {
    if let Err(error) = UdpSocket::bind("[::1]:0") {
        return println!("SKIPPED: this machine has no IPv6 loopback: {error}");
    }
    let server = Server::start_with(&[("NINEFOLD_MEDIA__ADVERTISE", "::1"), ("NINEFOLD_HTTP__LISTEN", "[::1]:0")]);
    assert!(server.target.authority().starts_with("[::1]:"));
    let bots = server.trio("six").await;
    for bot in &bots {
        assert!(bot.look(|seen| seen.media_address.is_some_and(|address| address.is_ipv6())));
        expect(bot, "300 packets", |seen| seen.packets() > 300).await;
    }
    expect_clean(&bots).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn loopback_and_the_machines_own_address_are_announced() {
    let server = Server::start();
    let ada = server.join("default", &BotKit::person("Ada")).await;
    let found = ada.look(|seen| candidates(&seen.answer, Transport::Udp));
    assert!(found.iter().any(|address| address.ip().is_loopback()), "{found:?}");
    let ports: Vec<u16> = found.iter().map(SocketAddr::port).collect();
    assert!(ports.windows(2).all(|pair| pair[0] == pair[1]), "one port for each shard: {found:?}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn advertised_addresses_replace_those_that_were_found() {
    let settings = [("NINEFOLD_MEDIA__ADVERTISE", "127.0.0.1, 192.0.2.7, [2001:db8::7]:30000"), ("NINEFOLD_MEDIA__SHARDS", "1")];
    let server = Server::start_with(&settings);
    let bots = [server.join("nat", &BotKit::person("Ada")).await, server.join("nat", &BotKit::person("Bo")).await];
    let found = bots[0].look(|seen| candidates(&seen.answer, Transport::Udp));
    let port = found[0].port();
    let expected = [format!("127.0.0.1:{port}"), format!("192.0.2.7:{port}"), "[2001:db8::7]:30000".into()];
    assert_eq!(found.iter().map(SocketAddr::to_string).collect::<Vec<_>>(), expected);
    for bot in &bots {
        expect(bot, "a picture", |seen: &Seen| seen.shown().len() == 1).await;
    }
    expect_clean(&bots).await;
    server.stop().await;
}
