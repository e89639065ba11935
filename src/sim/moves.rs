//! Clients whose address changes, is taken, or falls silent.

use std::time::Duration;

use super::client::Kit;
use super::common::{LAN, PERSON, seconds};
use super::world::World;
use crate::id::{ConnectionId, PeerId};
use crate::limits::CONSENT_LIFE;
use crate::metrics::DropReason;
use crate::people::LeaveReason;
use crate::room::Filler;

/// Media is at the new address so long after the first check from there was answered.
const FOLLOW_MAX: Duration = Duration::from_millis(200);
const FRESH: Duration = Duration::from_millis(300);

fn peer(index: usize) -> PeerId {
    PeerId(index as u32)
}

/// Moves a client and waits until everybody sees everybody: how long media took to follow the check, and all of it.
fn follow(w: &mut World, people: &[usize], mover: usize, within: Duration) -> (Duration, Duration) {
    w.rebind(mover);
    let moved_at = w.now;
    let whole = w
        .run_until(within, |w| {
            let followed = w.moves[&mover].media.is_some();
            let sees = |a: &usize, b: &usize| a == b || w.clients[a].sees(peer(*b), w.now, FRESH.min(w.now - moved_at));
            followed && people.iter().all(|a| people.iter().all(|b| sees(a, b)))
        })
        .unwrap_or_else(|| panic!("not recovered: {:?}", w.moves[&mover]));
    let found = w.moves[&mover];
    (found.media.unwrap() - found.answered.unwrap(), whole)
}

seeds! {
    /// A NAT gives a client another address in the middle of a call: media follows its first check, in both directions.
    media_follows_a_client_that_moves(seed) {
        let mut w = World::new(seed, LAN);
        let mut people = vec![];
        for _ in 0..3 {
            let pause = Duration::from_millis(w.rng.u64(0..50));
            w.run(pause);
            people.push(w.join(PERSON, Filler::Conference).unwrap());
        }
        let pause = Duration::from_millis(2_000 + w.rng.u64(0..3_000));
        w.run(pause);
        let mover = people[w.rng.usize(0..3)];
        let old = w.outside(mover);
        let (followed, whole) = follow(&mut w, &people, mover, seconds(10));
        println!("seed {seed}: media followed after {} ms, both directions after {} ms", followed.as_millis(), whole.as_millis());
        assert!(followed <= FOLLOW_MAX, "seed {seed}: {followed:?}");
        w.run(Duration::from_millis(100));
        let lost = |w: &World| w.to_nobody.get(&old).copied().unwrap_or(0);
        let before = lost(&w);
        w.run(seconds(20));
        assert_eq!(lost(&w), before, "seed {seed}: still sent to the old address");
        assert_eq!(w.core.present().participants, 3);
        w.check();
    }
}

seeds! {
    /// A client's UDP is blocked in the middle of a call, and it goes on by TCP; its connection ends, and it is by UDP again.
    media_follows_a_client_to_a_connection_and_back(seed) {
        let mut w = World::new(seed, LAN);
        let people: Vec<usize> = (0..3).map(|_| w.join(PERSON, Filler::Conference).unwrap()).collect();
        let pause = Duration::from_millis(2_000 + w.rng.u64(0..3_000));
        w.run(pause);
        let mover = people[w.rng.usize(0..3)];
        let others: Vec<usize> = people.iter().copied().filter(|index| *index != mover).collect();
        let sees_all = |w: &World| others.iter().all(|other| w.clients[&mover].sees(peer(*other), w.now, FRESH));
        let connection = ConnectionId(7);
        w.carry(mover, Some(connection));
        let by_tcp = w.path(mover);
        w.run(FRESH + Duration::from_millis(1));
        let followed = w.run_until(seconds(10), |w| w.moves[&mover].media.is_some() && sees_all(w)).expect("media by TCP");
        let found = w.moves[&mover];
        println!("seed {seed}: media came by TCP {} ms after a check did", (found.media.unwrap() - found.answered.unwrap()).as_millis());
        assert!(found.media.unwrap() - found.answered.unwrap() <= FOLLOW_MAX, "seed {seed}: {followed:?}");
        assert_eq!(w.core.take_proven(), Some(connection));
        w.run(seconds(1));

        w.carry(mover, None);
        let now = w.now;
        w.core.handle_closed(by_tcp, now);
        w.run(FRESH + Duration::from_millis(1));
        assert!(sees_all(&w), "seed {seed}: the path that was proven before carries media at once");
        w.run(seconds(5));
        assert!(sees_all(&w) && others.iter().all(|other| w.clients[other].sees(peer(mover), w.now, FRESH)));
        // What came by the connection that is over is nobody's.
        let before = w.core.counters.drops.get(DropReason::UnprovenAddress);
        w.core.handle_datagram(by_tcp, &[0x80; 40], now);
        assert_eq!(w.core.counters.drops.get(DropReason::UnprovenAddress), before + 1);
        w.check();
    }
}

/// Two hundred moves of one client, a few seconds apart: it goes on working, and messages go both ways.
#[test]
fn a_client_that_moves_for_hours_goes_on() {
    let mut w = World::new(1, LAN);
    let kit = Kit { video_slots: 2, audio_slots: 0, microphone: false, ..PERSON };
    let people: Vec<usize> = (0..2).map(|_| w.join(kit, Filler::Conference).unwrap()).collect();
    w.run(seconds(2));
    let mut worst = Duration::ZERO;
    for turn in 0..200 {
        let (followed, _) = follow(&mut w, &people, people[0], seconds(10));
        worst = worst.max(followed);
        w.run_sparse(seconds(2));
        let (now, text) = (w.now, format!("{turn}"));
        w.clients.get_mut(&people[0]).unwrap().send_data(0, &text, now);
        w.clients.get_mut(&people[1]).unwrap().send_data(0, &text, now);
        w.run_sparse(seconds(2));
    }
    println!("200 moves, media followed after at most {} ms", worst.as_millis());
    assert!(worst <= FOLLOW_MAX, "{worst:?}");
    for index in people {
        assert_eq!(w.clients[&index].seen.data.len(), 200);
    }
    assert_eq!(w.core.counters.drops.get(DropReason::Address), 0);
    w.check();
}

/// A participant signs a check of its own with the source address of another: that one loses nothing, and is sent nothing that is not its own.
#[test]
fn an_address_is_not_taken_from_its_owner() {
    let mut w = World::new(1, LAN);
    let people: Vec<usize> = (0..3).map(|_| w.join(PERSON, Filler::Conference).unwrap()).collect();
    w.run(seconds(2));
    w.recorded.0 = people[0];
    w.run(seconds(10));
    let checks: Vec<Vec<u8>> = w.recorded.1.iter().filter(|d| d[..2] == [0, 1]).cloned().collect();
    assert!(checks.len() >= 2, "{}", checks.len());
    let (victim, attacker) = (w.outside(people[1]), w.outside(people[0]));
    for _ in 0..50 {
        checks.iter().for_each(|check| w.throw(victim, check));
        w.run(Duration::from_millis(100));
    }
    assert!(w.core.counters.drops.get(DropReason::Address) >= 100);
    assert!(!w.to_nobody.contains_key(&attacker));
    for index in &people {
        for other in people.iter().filter(|other| *other != index) {
            assert!(w.clients[index].sees(peer(*other), w.now, FRESH), "{index} does not see {other}");
        }
        assert_eq!(w.clients[index].missing(), 0);
    }
    w.check();
}

/// A client that says nothing any more is sent nothing half a minute later (RFC 7675), and is out soon after.
#[test]
fn media_ends_without_consent() {
    let mut w = World::new(1, LAN);
    let people: Vec<usize> = (0..3).map(|_| w.join(PERSON, Filler::Conference).unwrap()).collect();
    w.run(seconds(5));
    w.silence(people[0]);
    let received = |w: &World| w.clients[&people[0]].seen.video.values().sum::<u64>();
    let before = received(&w);
    // The last check may have come up to a few seconds ago.
    w.run(CONSENT_LIFE - seconds(8));
    assert!(received(&w) > before + 100, "it is sent media as long as it may come back");
    w.run(seconds(9));
    let ended = received(&w);
    w.run(seconds(1));
    assert_eq!(received(&w), ended, "no consent, no media");
    assert_eq!(w.closed(people[0]), None, "it may come back");
    let gone = w.run_until(seconds(20), |w| w.closed(people[0]).is_some());
    assert_eq!((gone.is_some(), w.closed(people[0])), (true, Some(LeaveReason::MediaLost)));
    assert!(w.clients[&people[1]].sees(peer(people[2]), w.now, FRESH));
    assert_eq!(w.clients[&people[1]].missing_of(peer(people[2])), 0);
    w.check();
}
