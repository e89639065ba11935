//! Media by TCP, for those whose UDP is blocked, and strangers at that port.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use ninefold_loadtest::bot::{Bot, BotKit, Transport};
use ninefold_loadtest::carrier::candidates;
use ninefold_loadtest::seen::Seen;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::server::{SOON, Server, expect, expect_clean, expect_within};

/// Limits of the server (`src/limits.rs`): what is nobody's is closed, and what is closed is noticed, within this time.
const LET_GO: Duration = Duration::from_secs(25);

fn by_tcp(name: &str) -> BotKit {
    BotKit { transport: Transport::Tcp, ..BotKit::person(name) }
}

fn server() -> Server {
    Server::start_with(&[("NINEFOLD_MEDIA__ADVERTISE", "127.0.0.1"), ("NINEFOLD_MEDIA__SHARDS", "1")])
}

/// Ada by UDP, Bo and Cy by TCP, who see and hear each other.
async fn call(server: &Server) -> Vec<Bot> {
    let kits = [BotKit::person("Ada"), by_tcp("Bo"), by_tcp("Cy")];
    let mut bots = vec![];
    for kit in &kits {
        bots.push(server.join("tcp", kit).await);
    }
    for bot in &bots {
        expect(bot, "two others in pictures", |seen| seen.shown().len() == 2).await;
    }
    bots
}

/// Nobody misses anything.
async fn goes_on(bots: &[Bot]) {
    for bot in bots {
        let packets = bot.look(|seen| seen.packets());
        expect(bot, "pictures and sound go on", |seen| seen.packets() > packets + 100 && seen.shown().len() == 2).await;
        assert_eq!(bot.look(Seen::freezes), 0);
    }
    expect_clean(bots).await;
}

async fn connections(server: &Server) -> f64 {
    server.metrics().await.get("ninefold_tcp_connections").expect("it is counted")
}

fn address(bots: &[Bot]) -> SocketAddr {
    bots[0].look(|seen| seen.media_address.expect("a server"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_between_udp_and_tcp() {
    let server = server();
    let bots = call(&server).await;
    for bot in &bots {
        expect(bot, "300 packets", |seen| seen.packets() > 300).await;
        let answer = bot.look(|seen| seen.answer.clone());
        assert_eq!(candidates(&answer, Transport::Tcp), candidates(&answer, Transport::Udp), "the same numbers");
    }
    goes_on(&bots).await;
    assert!(bots[1].data(true, 0, b"by tcp").await);
    expect(&bots[0], "a message", |seen| seen.data.iter().any(|data| data.payload == b"by tcp")).await;
    let metrics = server.metrics().await;
    assert_eq!(metrics.get("ninefold_tcp_connections"), Some(2.0));
    assert_eq!(metrics.dropped("tcp_full"), 0.0);
    for bot in &bots {
        assert!(bot.leave().await);
    }
    drop(bots);
    server.expect_metrics("they are gone", |metrics| metrics.get("ninefold_tcp_connections") == Some(0.0)).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn media_goes_by_tcp_over_ipv6() {
    if let Err(error) = std::net::TcpListener::bind("[::1]:0") {
        return println!("SKIPPED: this machine has no IPv6 loopback: {error}");
    }
    let server = Server::start_with(&[("NINEFOLD_MEDIA__ADVERTISE", "::1"), ("NINEFOLD_HTTP__LISTEN", "[::1]:0")]);
    let bots = call(&server).await;
    assert!(bots.iter().all(|bot| bot.look(|seen| seen.media_address.is_some_and(|address| address.is_ipv6()))));
    goes_on(&bots).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_turns_it_off_has_no_such_port() {
    let server = Server::start_with(&[("NINEFOLD_MEDIA__ADVERTISE", "127.0.0.1"), ("NINEFOLD_MEDIA__TCP", "false")]);
    let ada = server.join("off", &BotKit::person("Ada")).await;
    assert_eq!(ada.look(|seen| candidates(&seen.answer, Transport::Tcp)), []);
    let address = ada.look(|seen| seen.media_address.expect("a server"));
    assert!(TcpStream::connect(address).await.is_err());
    server.stop().await;
}

/// A connection that breaks is replaced by the client; checks by the new one make it the participant's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn media_follows_to_another_connection() {
    let server = server();
    let bots = call(&server).await;
    let began = Instant::now();
    bots[1].change_address().await.expect("another connection");
    let frames = bots[1].look(|seen| seen.packets());
    expect_within(Duration::from_secs(15), &bots[1], "media by the new one", |seen| seen.packets() > frames + 300).await;
    println!("media followed to another TCP connection, 300 packets of it after {:.1} s", began.elapsed().as_secs_f64());
    for bot in &bots {
        let packets = bot.look(|seen| seen.packets());
        expect(bot, "pictures and sound go on", |seen| seen.packets() > packets + 100 && seen.shown().len() == 2).await;
    }
    server.stop().await;
}

/// Frames of noise, frames that are too long, and what other servers are asked.
async fn garbage(address: SocketAddr, round: u8) -> std::io::Result<TcpStream> {
    let mut stream = TcpStream::connect(address).await?;
    let noise: Vec<u8> = (0..30_u8).flat_map(|n| [0, 40].into_iter().chain(std::iter::repeat_n(n.wrapping_mul(round), 40))).collect();
    let said: &[u8] = match round % 4 {
        0 => b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        1 => &[0xff, 0xff, 1, 2, 3],
        2 => &[0, 200, 0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42],
        _ => &noise,
    };
    stream.write_all(said).await?;
    Ok(stream)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_at_the_tcp_port_disturb_nobody() {
    let server = server();
    let bots = call(&server).await;
    let address = address(&bots);
    let before = server.metrics().await;
    let fds = |metrics: &ninefold_loadtest::server::Metrics| metrics.get("process_open_fds").expect("on Linux");
    let memory = |metrics: &ninefold_loadtest::server::Metrics| metrics.get("process_resident_memory_bytes").expect("on Linux");
    let mut held = std::collections::VecDeque::new();
    for n in 0..5_000_u32 {
        // Half-open, and with something to say; only so many are kept on this side, since a process may have no more.
        let stream = if n % 2 == 0 { TcpStream::connect(address).await } else { garbage(address, (n / 2) as u8).await };
        held.extend(stream.ok());
        if held.len() > 700 {
            held.pop_front();
        }
        if n % 1_000 == 999 {
            goes_on(&bots).await;
            // A newcomer finds a place among them.
            let newcomer = server.join("others", &by_tcp("Dan")).await;
            assert!(newcomer.leave().await);
        }
    }
    let most = connections(&server).await;
    assert!((100.0..=1_002.0).contains(&most), "they were held for a while, and not too many: {most}");
    println!("{most} TCP connections at the end of the flood");
    let deadline = Instant::now() + LET_GO;
    while connections(&server).await > 2.0 {
        assert!(Instant::now() < deadline, "strangers' connections stay");
        goes_on(&bots).await;
    }
    drop(held);
    let after = server.expect_metrics("files are closed", |metrics| fds(metrics) < fds(&before) + 20.0).await;
    println!("memory {:.1} MB before, {:.1} MB after", memory(&before) / 1e6, memory(&after) / 1e6);
    assert!(memory(&after) < memory(&before) + 30e6, "{} {}", memory(&before), memory(&after));
    assert_eq!(after.get("ninefold_peer_panics_total"), Some(0.0));
    goes_on(&bots).await;
    server.stop().await;
}

/// A participant that sends and answers checks, and reads nothing: media for it is dropped, its connection ends, and nobody else waits.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_participant_that_does_not_read_costs_nobody_anything() {
    let server = server();
    let bots = call(&server).await;
    let slow = server.join("tcp", &by_tcp("Dan")).await;
    expect(&slow, "three others in pictures", |seen| seen.shown().len() == 3).await;
    slow.deafen().await;
    server.expect_metrics("media for it is dropped", |metrics| metrics.dropped("tcp_full") > 100.0).await;
    let deadline = Instant::now() + LET_GO;
    while connections(&server).await > 2.0 {
        assert!(Instant::now() < deadline, "its connection stays");
        sleep(Duration::from_millis(100)).await;
    }
    for bot in &bots {
        assert_eq!(bot.look(Seen::freezes), 0);
    }
    drop(slow);
    server.stop().await;
}

/// Whoever is refused is told so by the end of the connection and not by silence.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frame_that_is_too_long_ends_its_connection() {
    let server = server();
    let bots = call(&server).await;
    let mut stream = garbage(address(&bots), 1).await.expect("a connection");
    let end = timeout(SOON, stream.read(&mut [0; 10])).await.expect("it ends");
    assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");
    goes_on(&bots).await;
    server.stop().await;
}
