//! The scenarios, each with fixed seeds.

use std::time::Duration;

use super::client::Kit;
use super::world::{Network, World};
use crate::room::{Filler, View};

const SEEDS: std::ops::RangeInclusive<u64> = 1..=20;
const LAN: Network = Network { delay: Duration::from_millis(5), loss: 0.0 };
const LOSSY: Network = Network { delay: Duration::from_millis(20), loss: 0.05 };
const PERSON: Kit = Kit { layers: 1, microphone: true, video_slots: 9, audio_slots: 3 };
const VIEWER: Kit = Kit { layers: 0, microphone: false, video_slots: 1, audio_slots: 1 };

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

#[test]
fn three_people_see_and_hear_each_other() {
    for layers in [1, 3] {
        let mut w = World::new(1, LAN);
        let people: Vec<usize> = (0..3).map(|_| w.join(Kit { layers, ..PERSON }, Filler::Conference).unwrap()).collect();
        w.run(seconds(5));
        w.check();
        for index in &people {
            let client = &w.clients[index];
            assert_eq!((client.seen.video.len(), client.seen.audio.len()), (2, 2), "client {index}, {layers} layers");
            assert!(client.seen.video.values().all(|n| *n > 30), "{:?}", client.seen);
            assert_eq!(client.fresh_videos(w.now, Duration::from_millis(300)), 2);
            assert_eq!(client.missing(), 0);
        }
        w.leave(people[0]);
        w.run(seconds(1));
        assert_eq!(w.clients[&people[1]].fresh_videos(w.now, Duration::from_millis(300)), 1);
        w.check();
    }
}
