//! All bots of a run: their places, whether they are in, and what they have received together, those included that have gone.

use std::sync::Arc;
use std::time::Duration;

use ninefold::api::protocol::Role;

use crate::bot::{Bot, BotKit, Place, Transport};
use crate::histogram::Histogram;
use crate::http::Target;
use crate::scenario::{Group, RoomKind, Scenario};
use crate::seen::Seen;

/// A bot's place, whether it is in or not.
#[derive(Debug)]
pub struct Member {
    /// Its room.
    pub place: Place,
    /// What it brings.
    pub kit: BotKit,
    /// Its kind of room and its group in it.
    pub group: (usize, usize),
    /// Which room of its kind.
    pub room: usize,
    /// It is in.
    pub bot: Option<Arc<Bot>>,
    /// It has lost its WebSocket on purpose: nothing can be said.
    pub cut: bool,
    /// It is on its way in.
    pub joining: bool,
    /// It was connected and had a picture.
    pub was_ready: bool,
    /// It should be in, as far as nobody has sent it away.
    pub wanted: bool,
    /// What was missing when it was looked at last. What is missing still is lost, what has come to it since may be on its way.
    missing: u64,
}

/// All of them.
#[derive(Debug, Default)]
pub struct Crowd {
    /// Places.
    pub members: Vec<Member>,
    gone: Totals,
}

/// What some bots have sent and received.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    /// From opening the WebSocket to connected media.
    pub join: Vec<Duration>,
    /// From opening the WebSocket to the end of the first frame.
    pub first_frame: Vec<Duration>,
    /// Packets that came.
    pub packets: u64,
    /// Their payload bytes.
    pub bytes: u64,
    /// Packets that were sent.
    pub packets_sent: u64,
    /// Their payload bytes.
    pub bytes_sent: u64,
    /// Packets that did not come in their turn.
    pub missed: u64,
    /// Packets that have not come yet.
    pub lost: u64,
    /// Pictures that stood still.
    pub freezes: u64,
    /// Keyframes that senders were asked for.
    pub keyframes_asked: u64,
    /// What was wrong.
    pub faults: u64,
    /// The first of it.
    pub first_faults: Vec<String>,
    /// The latest that a bot made a frame after its time.
    pub late: Duration,
    /// Milliseconds from sender to receiver, where packets say when they were sent.
    pub delay_ms: Histogram,
    /// Milliseconds by which arrivals differ, where it is measured.
    pub jitter_ms: Histogram,
}

/// Faults that are told of.
const FAULTS_TOLD: usize = 10;

impl Crowd {
    /// Places for all of a scenario, in order of rooms.
    pub fn of(scenario: &Scenario, target: &Target, room: &str, transport: Transport) -> Crowd {
        let mut crowd = Crowd::default();
        for (kind_index, kind) in scenario.rooms.iter().enumerate() {
            for number in 0..kind.count {
                let place = Place { target: target.clone(), room: room_name(scenario, room, kind, number), mode: kind.mode };
                for (index, group) in kind.groups.iter().enumerate() {
                    crowd.add(&place, kind, (kind_index, index, number), group.count, transport);
                }
            }
        }
        crowd
    }

    /// More places of a group in a room: its kind, its group in it, and which of its kind. Returns which they are.
    pub fn add(&mut self, place: &Place, kind: &RoomKind, at: (usize, usize, usize), count: usize, transport: Transport) -> Vec<usize> {
        let (kind_index, index, room) = at;
        let first = self.members.len();
        let group = &kind.groups[index];
        self.members.extend((0..count).map(|number| Member {
            place: place.clone(),
            kit: kit(kind, group, number, transport),
            group: (kind_index, index),
            room,
            bot: None,
            cut: false,
            joining: false,
            was_ready: false,
            wanted: true,
            missing: 0,
        }));
        (first..self.members.len()).collect()
    }

    /// Who of a group is in one room of a kind.
    pub fn of_group(&self, group: (usize, usize), room: usize) -> Vec<usize> {
        let of = |member: &Member| member.group == group && member.room == room;
        self.members.iter().enumerate().filter(|(_, member)| of(member)).map(|(index, _)| index).collect()
    }

    /// Who is in.
    pub fn bots(&self) -> impl Iterator<Item = &Bot> {
        self.members.iter().filter_map(|member| member.bot.as_deref())
    }

    /// Takes a bot out, to say goodbye or to be dropped. What it has received stays counted.
    pub fn take(&mut self, index: usize) -> Option<Arc<Bot>> {
        let member = &mut self.members[index];
        let bot = member.bot.take()?;
        bot.look(|seen| self.gone.add(seen, seen.lost().min(member.missing)));
        (member.missing, member.cut) = (0, false);
        Some(bot)
    }

    /// All that was sent and received until now.
    pub fn totals(&mut self) -> Totals {
        let mut totals = self.gone.clone();
        for member in &mut self.members {
            if let Some(bot) = &member.bot {
                bot.look(|seen| {
                    member.missing = seen.lost();
                    totals.add(seen, member.missing);
                });
            }
        }
        totals
    }

    /// What was missing when it was looked at last and is missing still: no repair will bring it.
    pub fn lost_since_last_look(&self) -> u64 {
        let present = self.members.iter().filter_map(|member| Some((member.bot.as_ref()?, member.missing)));
        self.gone.lost + present.map(|(bot, missing)| bot.look(|seen| seen.lost().min(missing))).sum::<u64>()
    }

    /// Forgets how late bots were.
    pub fn forget_lateness(&mut self) {
        self.bots().for_each(|bot| bot.client().seen.late_max = Duration::ZERO);
    }
}

impl Totals {
    fn add(&mut self, seen: &Seen, lost: u64) {
        self.join.extend(seen.times.connected);
        self.first_frame.extend(seen.times.first_frame);
        self.packets += seen.packets();
        self.packets_sent += seen.sent.0;
        self.bytes_sent += seen.sent.1;
        for slot in seen.slots.values() {
            self.bytes += slot.bytes;
            self.missed += slot.missed;
        }
        self.lost += lost;
        self.freezes += seen.freezes();
        self.keyframes_asked += seen.keyframes_asked;
        self.faults += seen.faults_count;
        let told = seen.faults.iter().take(FAULTS_TOLD - self.first_faults.len().min(FAULTS_TOLD));
        self.first_faults.extend(told.take(3).map(|fault| format!("bot {}: {fault}", seen.participant)));
        self.late = self.late.max(seen.late_max);
    }

    /// What was counted since it was `before`. Times of joins, faults in words and lateness are those until now.
    pub fn since(self, before: &Totals) -> Totals {
        Totals {
            packets: self.packets - before.packets,
            bytes: self.bytes - before.bytes,
            packets_sent: self.packets_sent - before.packets_sent,
            bytes_sent: self.bytes_sent - before.bytes_sent,
            missed: self.missed - before.missed,
            // A repair may be of what was missing before.
            lost: self.lost.saturating_sub(before.lost),
            freezes: self.freezes - before.freezes,
            keyframes_asked: self.keyframes_asked - before.keyframes_asked,
            faults: self.faults - before.faults,
            delay_ms: self.delay_ms.since(&before.delay_ms),
            jitter_ms: self.jitter_ms.since(&before.jitter_ms),
            ..self
        }
    }
}

/// The only room of a scenario has the name that was given, others one each.
fn room_name(scenario: &Scenario, name: &str, kind: &RoomKind, number: usize) -> String {
    match (&scenario.rooms[..], kind.count) {
        ([_], 1) => name.to_owned(),
        ([_], _) => format!("{name}-{}", number + 1),
        _ => format!("{name}-{}-{}", kind.name, number + 1),
    }
}

fn kit(kind: &RoomKind, group: &Group, number: usize, transport: Transport) -> BotKit {
    let (video_slots, audio_slots) = kind.slots(group);
    BotKit {
        name: if group.role == Role::Participant { format!("{} {}", group.name, number + 1) } else { String::new() },
        role: group.role,
        camera: group.camera,
        microphone: group.speaks(),
        video_slots,
        audio_slots,
        transport,
        light: is_light(number, group.light),
        ..BotKit::person("")
    }
}

/// Whether this one of a group is light, so that such a share is, evenly spread.
pub fn is_light(number: usize, share: f64) -> bool {
    let until = |number: usize| (number as f64 * share).floor();
    until(number + 1) > until(number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preset::Preset;

    fn names(scenario: &Scenario) -> Vec<String> {
        let target = "http://127.0.0.1:1".parse().expect("an address");
        let crowd = Crowd::of(scenario, &target, "x", Transport::Udp);
        let mut names: Vec<_> = crowd.members.iter().map(|member| member.place.room.clone()).collect();
        names.dedup();
        names
    }

    #[test]
    fn rooms_have_names_of_their_own() {
        let mut conference = Preset::Conference.scenario();
        assert_eq!(names(&conference), ["x"]);
        conference.rooms[0].count = 2;
        assert_eq!(names(&conference), ["x-1", "x-2"]);
        assert_eq!(names(&Preset::Soak.scenario()), ["x-call-1", "x-call-2", "x-webinar-1", "x-hall-1"]);
    }

    #[test]
    fn everybody_gets_a_place_in_their_group() {
        let target = "http://127.0.0.1:1".parse().expect("an address");
        let crowd = Crowd::of(&Preset::Soak.scenario(), &target, "x", Transport::Udp);
        assert_eq!(crowd.members.len(), Preset::Soak.scenario().bots());
        assert_eq!(crowd.of_group((0, 0), 1), [4, 5, 6, 7]);
        let viewers = crowd.of_group((1, 1), 0);
        assert_eq!(viewers.len(), 8);
        assert!(viewers.iter().all(|index| crowd.members[*index].kit.role == Role::Viewer));
        assert_eq!(crowd.members[4].kit.name, "people 1");
    }

    #[test]
    fn a_share_is_light() {
        for (share, light) in [(0.0, 0), (0.5, 50), (0.9, 90), (1.0, 100)] {
            assert_eq!((0..100).filter(|number| is_light(*number, share)).count(), light);
        }
    }
}
