//! What strangers and participants try, while three people talk: nobody loses a packet over it, nothing is remembered, and it is counted.

use std::net::SocketAddr;
use std::time::Duration;

use super::common::{LAN, PERSON, seconds};
use super::world::World;
use crate::id::PeerId;
use crate::limits::{ADDRESSES_PER_PEER_MAX, CHECKS, CONNECT_TIMEOUT};
use crate::metrics::DropReason;
use crate::people::LeaveReason;
use crate::room::Filler;

const FRESH: Duration = Duration::from_millis(300);

fn peer(index: usize) -> PeerId {
    PeerId(index as u32)
}

fn stranger() -> SocketAddr {
    SocketAddr::from(([203, 0, 113, 9], 9))
}

/// Three people who talk.
fn call(seed: u64) -> (World, Vec<usize>) {
    let mut w = World::new(seed, LAN);
    let people: Vec<usize> = (0..3).map(|_| w.join(PERSON, Filler::Conference).unwrap()).collect();
    w.run(seconds(2));
    (w, people)
}

/// Everybody sees everybody and has missed nothing.
fn expect_whole(w: &mut World, people: &[usize]) {
    w.run(seconds(1));
    for index in people {
        let client = &w.clients[index];
        for other in people.iter().filter(|other| *other != index) {
            assert!(client.sees(peer(*other), w.now, FRESH), "{index} does not see {other}");
        }
        assert_eq!(client.missing(), 0, "client {index}");
        assert_eq!(w.closed(*index), None);
    }
    w.check();
}

/// A binding request for `username` with USE-CANDIDATE and a signature that nobody made.
fn check(username: &str, rng: &mut fastrand::Rng) -> Vec<u8> {
    let attribute = |kind: u16, value: &[u8]| {
        let mut bytes = [kind.to_be_bytes(), (value.len() as u16).to_be_bytes()].concat();
        bytes.extend(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    };
    let signature: Vec<u8> = (0..20).map(|_| rng.u8(..)).collect();
    let body = [
        attribute(6, username.as_bytes()),
        attribute(0x24, &[0x6e, 0, 1, 0xff]),
        attribute(0x802a, &[7; 8]),
        attribute(0x25, &[]),
        attribute(8, &signature),
    ]
    .concat();
    let mut bytes = vec![0, 1];
    bytes.extend((body.len() as u16).to_be_bytes());
    bytes.extend([0x21, 0x12, 0xa4, 0x42]);
    bytes.extend((0..12).map(|_| rng.u8(..)));
    bytes.extend(body);
    bytes
}

/// A DTLS 1.2 record in plain text.
fn record(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0];
    bytes.extend((body.len() as u16).to_be_bytes());
    bytes.extend(body);
    bytes
}

/// A handshake message in one fragment of what it says is its length.
fn handshake(kind: u8, seq: u8, length: u8, body: &[u8]) -> Vec<u8> {
    let mut message = vec![kind, 0, 0, length, 0, seq, 0, 0, 0, 0, 0, body.len() as u8];
    message.extend(body);
    record(22, &message)
}

/// Alerts, records that mean nothing, pieces of handshakes: what anybody can write who knows an address.
///
/// Not among them: a piece of a ClientHello in the milliseconds before the client's own, from the client's own address. Nothing tells it from
/// the real one, DTLS puts the two together, and that client must join anew; the same is true of a ServerHello that is forged towards the client.
fn dtls_garbage(rng: &mut fastrand::Rng) -> Vec<Vec<u8>> {
    let mut noise = |len: usize| -> Vec<u8> { (0..len).map(|_| rng.u8(..)).collect() };
    let (a, b, c) = (noise(60), noise(40), noise(28));
    let mut encrypted = record(21, &a[..26]);
    encrypted[4] = 1; // epoch 1
    vec![
        record(21, &[1, 0]),  // close_notify
        record(21, &[2, 40]), // handshake_failure
        record(21, &[2]),
        encrypted,
        record(20, &[1]),
        record(23, &a),
        record(22, &b),
        handshake(20, 5, 28, &c), // a Finished
        handshake(11, 2, 28, &c), // a Certificate
        record(22, &[]),
        vec![22, 0xfe],
    ]
}

#[test]
fn checks_with_a_wrong_password_move_nothing() {
    let (mut w, people) = call(1);
    let mut rng = fastrand::Rng::with_seed(1);
    w.recorded.0 = people[0];
    w.run(seconds(5));
    let genuine = w.recorded.1.iter().rfind(|d| d[..2] == [0, 1]).unwrap().clone();
    let name = w.core.ufrag(peer(people[0]));
    let before = w.core.footprint();
    for port in 1..500u16 {
        let mut forged = genuine.clone();
        let at = rng.usize(20..forged.len() - 8); // what stands behind the signature is not signed
        forged[at] ^= 1 << rng.u8(..8);
        let from = SocketAddr::from(([203, 0, 113, 9], port));
        for bytes in [check(&format!("{name}:x"), &mut rng), check(&name, &mut rng), forged] {
            w.throw(from, &bytes);
            w.throw(w.outside(people[1]), &bytes);
        }
        w.run(Duration::from_millis(2));
    }
    assert_eq!(w.core.footprint().demux, before.demux);
    assert_eq!(w.to_nobody.len(), 0, "nobody was answered: {:?}", w.to_nobody);
    expect_whole(&mut w, &people);
    // And its owner's budget of addresses is whole: it may still move.
    w.rebind(people[0]);
    w.run(seconds(5));
    assert!(w.clients[&people[1]].sees(peer(people[0]), w.now, FRESH));
}

#[test]
fn checks_for_nobody_are_counted_and_forgotten() {
    let (mut w, people) = call(2);
    let mut rng = fastrand::Rng::with_seed(2);
    let (before, counted) = (w.core.footprint(), w.core.counters.drops.get(DropReason::UnknownAddress));
    for round in 0..20_000u32 {
        let name = format!("{:08x}:y", rng.u32(..));
        let [_, a, b, c] = round.to_be_bytes();
        w.throw(SocketAddr::from(([203, a, b, c], 1_000)), &check(&name, &mut rng));
        if round % 40 == 0 {
            w.run(Duration::from_millis(1));
        }
    }
    assert_eq!(w.core.counters.drops.get(DropReason::UnknownAddress), counted + 20_000);
    assert_eq!(w.core.footprint(), before);
    assert_eq!(w.to_nobody.len(), 0);
    expect_whole(&mut w, &people);
}

/// Datagrams by which str0m's ICE would write a line of log for each attribute, and checks without end, for somebody by name.
#[test]
fn checks_that_ice_does_not_send_are_dropped_and_others_have_a_rate() {
    let (mut w, people) = call(11);
    let mut rng = fastrand::Rng::with_seed(11);
    let before = w.core.footprint();
    let dropped = |w: &World, reason| w.core.counters.drops.get(reason);
    let name = format!("{}:x", w.core.ufrag(peer(people[0])));
    let (malformed, rate) = (dropped(&w, DropReason::Malformed), dropped(&w, DropReason::Rate));
    let mut loud = check(&name, &mut rng);
    (0..300).for_each(|_| loud.extend([0, 1, 0, 0]));
    let length = (loud.len() - 20) as u16;
    loud[2..4].copy_from_slice(&length.to_be_bytes());
    for _ in 0..1_000 {
        w.throw(stranger(), &loud);
        w.throw(w.outside(people[0]), &loud);
    }
    w.run(Duration::from_millis(1)); // drops are counted at the end of a tick
    assert_eq!(dropped(&w, DropReason::Malformed), malformed + 2_000);
    assert_eq!(dropped(&w, DropReason::Rate), rate);
    for _ in 0..1_000 {
        w.throw(stranger(), &check(&name, &mut rng));
    }
    w.run(Duration::from_millis(1));
    let bounded = 1_000 - CHECKS.burst as u64 - 1..=1_000 - CHECKS.burst as u64;
    assert!(bounded.contains(&(dropped(&w, DropReason::Rate) - rate)), "{:?}", w.core.counters.drops);
    assert_eq!((w.core.footprint().demux, w.to_nobody.len()), (before.demux, 0));
    expect_whole(&mut w, &people);
    // The flood goes on for longer than consent lives: checks from where the client is have a rate of their own.
    for _ in 0..400 {
        (0..20).for_each(|_| w.throw(stranger(), &check(&name, &mut rng)));
        w.run(Duration::from_millis(100));
    }
    expect_whole(&mut w, &people);
}

/// A check that its owner signed, sent again from elsewhere: one of the last is known and moves nothing. An old one may be believed from a few
/// addresses, and the owner keeps its own.
#[test]
fn a_check_that_is_sent_again_from_everywhere_is_bounded() {
    let (mut w, people) = call(3);
    w.recorded.0 = people[0];
    w.run(seconds(5));
    let checks = |w: &World| w.recorded.1.iter().filter(|d| d[..2] == [0, 1]).cloned().collect::<Vec<_>>();
    let (before, counted) = (w.core.footprint().demux, w.core.counters.drops.get(DropReason::Address));
    for check in checks(&w) {
        (1..400u16).for_each(|port| w.throw(SocketAddr::from(([203, 0, 113, 9], port)), &check));
    }
    let sent = checks(&w).len() as u64;
    w.run(Duration::from_millis(1)); // drops are counted at the end of a tick
    assert_eq!(w.core.counters.drops.get(DropReason::Address), counted + 399 * sent);
    assert_eq!((w.core.footprint().demux, w.to_nobody.len()), (before, 0));
    let old = checks(&w).remove(0);
    w.run(seconds(240));
    assert!(checks(&w).len() > 40);
    for port in 1..400u16 {
        w.throw(SocketAddr::from(([203, 0, 113, 9], port)), &old);
        w.run(Duration::from_millis(1));
    }
    assert!(w.core.footprint().demux <= before + 2 * ADDRESSES_PER_PEER_MAX);
    assert!((1..=ADDRESSES_PER_PEER_MAX).contains(&w.to_nobody.len()));
    w.run(seconds(5));
    for other in &people[1..] {
        assert!(w.clients[&people[0]].sees(peer(*other), w.now, FRESH), "its media is back");
        assert!(w.clients[other].sees(peer(people[0]), w.now, FRESH), "and it was heard all the time");
        assert_eq!(w.clients[other].missing(), 0);
    }
    w.check();
}

#[test]
fn media_of_strangers_and_by_other_peoples_ssrcs_reaches_nobody() {
    let (mut w, people) = call(4);
    w.recorded.0 = people[0];
    w.run(seconds(1));
    let genuine: Vec<Vec<u8>> = w.recorded.1.iter().filter(|d| (128..192).contains(&d[0])).cloned().collect();
    let counted = w.core.counters.drops.get(DropReason::UnprovenAddress);
    let mut rng = fastrand::Rng::with_seed(4);
    let received = w.core.counters.packets_received;
    let now = w.now;
    for bytes in &genuine {
        w.throw(stranger(), bytes);
        // The same headers with another body, from where the victim is.
        let mut forged = bytes.clone();
        forged[12..].iter_mut().for_each(|b| *b = rng.u8(..));
        w.throw(w.outside(people[0]), &forged);
        // And as they are, from where another participant is.
        w.throw(w.outside(people[1]), bytes);
    }
    assert_eq!(w.now, now);
    assert_eq!(w.core.counters.packets_received, received, "nothing was believed");
    assert_eq!(w.core.counters.drops.get(DropReason::UnprovenAddress), counted + genuine.len() as u64);
    expect_whole(&mut w, &people);
}

/// A participant sends by the SSRC of another, over its own connection and with its own keys: it is its own picture all the same.
#[test]
fn an_ssrc_belongs_to_its_connection() {
    let (mut w, people) = call(5);
    let ssrc = w.clients.get_mut(&people[0]).unwrap().camera_ssrc();
    w.clients.get_mut(&people[1]).unwrap().forge(ssrc);
    w.run(seconds(5));
    // Each received packet was checked against whom signalling said it is of.
    w.check();
    let reader = &w.clients[&people[2]];
    assert!(reader.sees(peer(people[0]), w.now, FRESH));
    assert_eq!(reader.missing_of(peer(people[0])), 0);
}

#[test]
fn packets_that_are_sent_again_are_forwarded_once() {
    let (mut w, people) = call(6);
    w.recorded.0 = people[0];
    w.run(seconds(3));
    let genuine: Vec<Vec<u8>> = w.recorded.1.iter().filter(|d| (128..192).contains(&d[0])).cloned().collect();
    assert!(genuine.len() > 100);
    let sent = w.core.counters.packets_sent;
    let from = w.outside(people[0]);
    let plis = w.core.counters.plis_received;
    for bytes in genuine.iter().chain(&genuine) {
        w.throw(from, bytes);
    }
    assert_eq!((w.core.counters.packets_sent, w.core.counters.plis_received), (sent, plis));
    expect_whole(&mut w, &people);
}

/// Forged DTLS, from strangers and from the very address of somebody who joins: before, while and after they shake hands.
#[test]
fn forged_dtls_does_not_hinder_a_handshake() {
    let (mut w, people) = call(7);
    let mut rng = fastrand::Rng::with_seed(7);
    let mut everybody = people.clone();
    for _ in 0..5 {
        let joiner = w.join(PERSON, Filler::Conference).unwrap();
        let from = w.outside(joiner);
        for ms in 0..2_000 {
            if ms < 200 || ms % 50 == 0 {
                for bytes in dtls_garbage(&mut rng) {
                    w.throw(from, &bytes);
                    w.throw(stranger(), &bytes);
                }
                let hello = handshake(1, 0, 90, &[7; 28]);
                w.throw(if ms > 200 { from } else { stranger() }, &hello);
            }
            w.run(Duration::from_millis(1));
        }
        everybody.push(joiner);
        assert!(w.clients[&joiner].sees(peer(people[0]), w.now, FRESH), "client {joiner} connected");
    }
    assert!(w.core.counters.drops.get(DropReason::UnprovenAddress) > 5_000);
    assert!(w.core.counters.drops.get(DropReason::Malformed) >= 100, "{:?}", w.core.counters.drops);
    expect_whole(&mut w, &everybody);
}

/// Whole ClientHellos of another client, from its own address and from the victim's, while the victim shakes hands.
#[test]
fn a_race_of_client_hellos_is_won_by_who_was_invited() {
    let (mut w, people) = call(8);
    w.recorded.0 = 4;
    let fourth = w.join(PERSON, Filler::Conference).unwrap();
    assert_eq!(fourth, 4);
    w.run(seconds(1));
    let hellos: Vec<Vec<u8>> = w.recorded.1.iter().filter(|d| d[0] == 22 && d[13] == 1).cloned().collect();
    assert!(!hellos.is_empty());
    let mut everybody = people;
    everybody.push(fourth);
    for _ in 0..5 {
        let joiner = w.join(PERSON, Filler::Conference).unwrap();
        for _ in 0..2_000 {
            for hello in &hellos {
                w.throw(stranger(), hello);
                w.throw(w.outside(fourth), hello);
            }
            w.run(Duration::from_millis(1));
        }
        everybody.push(joiner);
    }
    assert!(w.core.counters.drops.get(DropReason::UnprovenAddress) >= 10_000);
    expect_whole(&mut w, &everybody);
}

/// Whoever has another certificate than the offer says is closed, and was sent no media.
#[test]
fn another_certificate_than_the_offers_is_refused() {
    let (mut w, people) = call(9);
    let tamper = |offer: String| {
        let mut parts = offer.split("a=fingerprint:sha-256 ").map(str::to_string);
        let first = parts.next().unwrap();
        let swapped = parts.map(|part| format!("{}{}", if part.starts_with("00") { "01" } else { "00" }, &part[2..]));
        std::iter::once(first).chain(swapped).collect::<Vec<_>>().join("a=fingerprint:sha-256 ")
    };
    let impostor = w.join_with("impostor", PERSON, Filler::Conference, tamper).unwrap();
    w.run(CONNECT_TIMEOUT + seconds(1));
    assert_eq!(w.closed(impostor), Some(LeaveReason::MediaLost));
    assert_eq!(w.clients[&impostor].seen, super::client::Seen::default());
    assert!(people.iter().all(|index| !w.clients[index].seen.video.contains_key(&peer(impostor))));
    w.drop_client(impostor);
    expect_whole(&mut w, &people);
}

/// A thousand who offer and never connect: everything returns to what it was.
#[test]
fn a_thousand_offers_leave_nothing() {
    let (mut w, people) = call(10);
    let before = w.core.footprint();
    for _ in 0..9 {
        let idle: Vec<usize> = (0..110).map(|_| w.join(PERSON, Filler::Conference).unwrap()).collect();
        idle.iter().for_each(|index| w.drop_client(*index));
        w.run_sparse(seconds(1));
    }
    assert_eq!(w.core.present().participants, 993);
    w.run_sparse(CONNECT_TIMEOUT + seconds(1));
    assert_eq!(w.core.footprint(), before);
    expect_whole(&mut w, &people);
}
