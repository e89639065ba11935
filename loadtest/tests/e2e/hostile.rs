//! Strangers at the media port while people talk: nobody loses a packet, and what was thrown away is counted.

use std::net::{SocketAddr, UdpSocket};

use ninefold_loadtest::bot::Bot;
use ninefold_loadtest::seen::Seen;

use crate::server::{Server, expect, expect_clean};

const ROUNDS: usize = 40;

/// A STUN binding request for `username`, with a signature that nobody made.
fn check(username: &str, rng: &mut fastrand::Rng) -> Vec<u8> {
    let attribute = |kind: u16, value: &[u8]| {
        let mut bytes = [kind.to_be_bytes(), (value.len() as u16).to_be_bytes()].concat();
        bytes.extend(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    };
    let signature: Vec<u8> = (0..20).map(|_| rng.u8(..)).collect();
    let body = [attribute(6, username.as_bytes()), attribute(0x25, &[]), attribute(8, &signature)].concat();
    let mut bytes = vec![0, 1];
    bytes.extend((body.len() as u16).to_be_bytes());
    bytes.extend([0x21, 0x12, 0xa4, 0x42]);
    bytes.extend((0..12).map(|_| rng.u8(..)));
    bytes.extend(body);
    bytes
}

/// Something like RTP (payload type 96) or RTCP (200) of this SSRC.
fn media(kind: u8, ssrc: u32, rng: &mut fastrand::Rng) -> Vec<u8> {
    let mut bytes = vec![0x80, kind, rng.u8(..), rng.u8(..)];
    if kind < 200 {
        bytes.extend(rng.u32(..).to_be_bytes());
    }
    bytes.extend(ssrc.to_be_bytes());
    bytes.extend((0..rng.usize(10..400)).map(|_| rng.u8(..)));
    bytes
}

fn noise(rng: &mut fastrand::Rng) -> Vec<u8> {
    (0..rng.usize(0..1_500)).map(|_| rng.u8(..)).collect()
}

/// DTLS: a first fragment of a ClientHello and then nothing that fits it.
fn hello(rng: &mut fastrand::Rng) -> Vec<u8> {
    let mut bytes = vec![22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 40, 1, 0, 0, 28];
    bytes.extend((0..36).map(|_| rng.u8(..)));
    bytes
}

struct Victim {
    address: SocketAddr,
    ufrag: String,
    ssrcs: Vec<u32>,
}

impl Victim {
    fn of(bot: &Bot) -> Victim {
        let (address, ufrag) = bot.look(|seen| {
            let ufrag = seen.answer.lines().find_map(|line| line.strip_prefix("a=ice-ufrag:")).expect("a ufrag").trim().to_owned();
            (seen.media_address.expect("a server"), ufrag)
        });
        Victim { address, ufrag, ssrcs: bot.client().ssrcs() }
    }

    /// One of everything.
    fn attack(&self, stranger: &UdpSocket, rng: &mut fastrand::Rng) {
        let mut datagrams =
            vec![noise(rng), noise(rng), hello(rng), check("nobody:x", rng), check(&format!("{}:x", self.ufrag), rng), check("", rng)];
        for ssrc in &self.ssrcs {
            datagrams.extend([media(96, *ssrc, rng), media(111, *ssrc, rng), media(200, *ssrc, rng), media(206, *ssrc, rng)]);
        }
        // Checks with a broken length, and a check that says it is longer than it is.
        let mut broken = check("nobody:x", rng);
        broken[3] = 200;
        datagrams.push(broken);
        for datagram in datagrams {
            // The system may refuse an empty one or one too many; enough are sent.
            let _ = stranger.send_to(&datagram, self.address);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_disturb_nobody() {
    let server = Server::start_with(&[("NINEFOLD_MEDIA__ADVERTISE", "127.0.0.1")]);
    let bots = server.trio("safe").await;
    let victims: Vec<Victim> = bots.iter().map(Victim::of).collect();
    assert!(victims.iter().all(|victim| victim.ssrcs.len() == 2));
    let strangers: Vec<UdpSocket> =
        ["127.0.0.1:0", "127.0.0.9:0"].iter().map(|address| UdpSocket::bind(address).expect("a socket")).collect();
    let before = server.metrics().await;
    let mut rng = fastrand::Rng::with_seed(9);
    for _ in 0..ROUNDS {
        // Each round waits for a packet of the call, so the attack lasts as long as some hundred packets.
        let packets = bots[0].look(|seen| seen.packets());
        for (victim, stranger) in victims.iter().flat_map(|victim| strangers.iter().map(move |stranger| (victim, stranger))) {
            victim.attack(stranger, &mut rng);
        }
        expect(&bots[0], "packets go on", |seen| seen.packets() > packets).await;
    }
    let moved = |reason: &str, metrics: &ninefold_loadtest::server::Metrics| metrics.dropped(reason) - before.dropped(reason);
    let expected = ROUNDS as f64 * 2.0;
    server.expect_metrics("unknown checks are counted", |metrics| moved("unknown_address", metrics) > expected).await;
    server.expect_metrics("media of strangers is counted", |metrics| moved("unproven_address", metrics) > expected).await;
    for bot in &bots {
        let packets = bot.look(|seen| seen.packets());
        expect(bot, "pictures and sound go on", |seen| seen.packets() > packets + 100 && seen.shown().len() == 2).await;
        assert_eq!(bot.look(Seen::freezes), 0);
    }
    expect_clean(&bots).await;
    let metrics = server.metrics().await;
    assert_eq!(metrics.get("ninefold_peer_panics_total"), Some(0.0));
    assert_eq!(metrics.get("ninefold_participants"), Some(3.0));
    server.stop().await;
}
