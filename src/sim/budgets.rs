//! What one participant may send and have: the others notice nothing of one who takes more.

use std::time::Duration;

use super::client::Kit;
use super::common::{LAN, PERSON, seconds};
use super::world::World;
use crate::id::PeerId;
use crate::limits::Limits;
use crate::metrics::DropReason;
use crate::room::{Filler, RoomError};
use crate::shard::command::{Notice, Refusal};

fn peer(index: usize) -> PeerId {
    PeerId(index as u32)
}

/// One publishes ten times what is allowed. Of its packets a tenth is forwarded; everybody else's arrive, all of them.
#[test]
fn a_publisher_at_ten_times_its_rate_disturbs_nobody() {
    let mut w = World::new(1, LAN);
    w.limits.publish_kbps = 300;
    let people: Vec<usize> = (0..4).map(|_| w.join(PERSON, Filler::Conference).unwrap()).collect();
    w.clients.get_mut(&people[0]).unwrap().surplus = 37; // ten frames a second, a kilobyte each: 3 Mbit/s
    w.run(seconds(20));
    let drops = w.core.counters.drops.get(DropReason::Rate);
    assert!(drops > 4_000, "{drops}");
    for index in &people[1..] {
        let client = &w.clients[index];
        for other in people[1..].iter().filter(|other| *other != index) {
            assert!(client.sees(peer(*other), w.now, Duration::from_millis(300)), "{index} does not see {other}");
            assert_eq!(client.missing_of(peer(*other)), 0, "{index} misses packets of {other}");
        }
        assert!(client.seen.video[&peer(people[0])] < 1_500, "{:?}", client.seen.video);
    }
    w.core.check_invariants();
}

/// A thousand messages a second: what is too much is dropped and counted, and the connection stays.
#[test]
fn data_messages_have_a_rate() {
    let mut w = World::new(1, LAN);
    w.limits = Limits { data_messages_per_second: 20, ..Limits::default() };
    let people: Vec<usize> = (0..3).map(|_| w.join(PERSON, Filler::Conference).unwrap()).collect();
    w.run(seconds(2));
    for turn in 0..3_000 {
        let now = w.now;
        w.clients.get_mut(&people[0]).unwrap().send_data(0, "spam", now);
        if turn % 500 == 0 {
            w.clients.get_mut(&people[1]).unwrap().send_data(0, "word", now);
        }
        w.run(Duration::from_millis(1));
    }
    w.run(seconds(5));
    let data = &w.clients[&people[2]].seen.data;
    let of = |index: usize| data.iter().filter(|(_, from, _)| *from == index as u32).count();
    assert!((40..=110).contains(&of(people[0])), "{}", of(people[0]));
    assert_eq!(of(people[1]), 6);
    assert!(w.core.counters.drops.get(DropReason::Rate) >= 2_890);
    assert_eq!(w.core.present().participants, 3);
    w.check();
}

/// Whoever is sent more than they read loses messages, and nothing is kept for them without end.
#[test]
fn messages_for_one_who_does_not_read_are_bounded() {
    let mut w = World::new(1, LAN);
    let people: Vec<usize> = (0..3).map(|_| w.join(PERSON, Filler::Conference).unwrap()).collect();
    w.run(seconds(2));
    w.silence(people[2]);
    let text = "x".repeat(8_000);
    for _ in 0..300 {
        let now = w.now;
        w.clients.get_mut(&people[0]).unwrap().send_data(0, &text, now);
        w.run(Duration::from_millis(10));
    }
    w.run(seconds(1));
    assert_eq!(w.clients[&people[1]].seen.data.len(), 300);
    // 128 kB are buffered, and its window was read before it fell silent.
    assert!(w.core.counters.drops.get(DropReason::Data) >= 200, "{:?}", w.core.counters.drops);
    w.check();
}

/// More data channels than anybody needs are closed as they open, and the call goes on.
#[test]
fn data_channels_are_few() {
    let mut w = World::new(1, LAN);
    let people: Vec<usize> = (0..3).map(|_| w.join(PERSON, Filler::Conference).unwrap()).collect();
    w.run(seconds(2));
    let now = w.now;
    w.clients.get_mut(&people[0]).unwrap().open_channels(20, now);
    w.run(seconds(2));
    assert_eq!(w.core.counters.drops.get(DropReason::Data), 13, "seven places were left");
    assert_eq!(w.core.channels(peer(people[0])), 8);
    let now = w.now;
    w.clients.get_mut(&people[0]).unwrap().send_data(0, "still here", now);
    w.clients.get_mut(&people[0]).unwrap().open_channels(200, now);
    w.run(seconds(2));
    assert_eq!(w.core.channels(peer(people[0])), 8);
    assert_eq!(w.clients[&people[1]].seen.data.len(), 1);
    assert_eq!(w.core.present().participants, 3);
    w.check();
}

/// A publisher that changes its codec with every frame: its receivers are told once a second, and nobody else is touched.
#[test]
fn changes_of_codec_are_told_once_a_second() {
    let mut w = World::new(1, LAN);
    let both = Kit { both_codecs: true, ..PERSON };
    let people: Vec<usize> = (0..3).map(|_| w.join(both, Filler::Conference).unwrap()).collect();
    let reader = w.join(PERSON, Filler::Conference).unwrap();
    w.run(seconds(2));
    w.clients.get_mut(&people[0]).unwrap().flips = true;
    let notices = |w: &World| w.told[&reader].iter().filter(|notice| matches!(notice, Notice::Slots(_))).count();
    let before = notices(&w);
    w.run(seconds(20));
    let told = notices(&w) - before;
    assert!((10..=45).contains(&told), "{told} notices in twenty seconds");
    assert!(w.core.counters.drops.get(DropReason::Rate) > 50);
    assert_eq!(w.clients[&reader].missing_of(peer(people[1])), 0);
    assert!(w.clients[&reader].sees(peer(people[1]), w.now, Duration::from_millis(300)));
    w.core.check_invariants();
}

/// The setting's numbers count, and stand in the refusal.
#[test]
fn tracks_and_slots_are_those_of_the_setting() {
    let mut w = World::new(1, LAN);
    w.limits = Limits { tracks: 2, slots: 12, ..Limits::default() };
    w.join(PERSON, Filler::Conference).unwrap();
    let many = w.join(Kit { video_slots: 10, ..PERSON }, Filler::Conference);
    assert_eq!(many, Err(Refusal::Room(RoomError::TooManySlots(12))));
    w.limits.tracks = 1;
    let refused = w.join(PERSON, Filler::Conference).unwrap_err();
    assert_eq!(refused.to_string(), "a participant may publish at most 1 tracks");
}
