//! The rules of the people, by table; and the promise that snapshot and events give the server's picture, by thousands of seeds.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::*;
use crate::limits::{AWAY_AFTER, AWAY_PERIOD, EVENT_LOG_MAX, LOBBY_MAX, PARTICIPANTS_MAX, RESUME_TIME, VIEWERS_MAX};

fn profile(name: &str, identity: u32) -> Profile {
    Profile { identity: format!("id-{identity}"), name: name.to_owned(), metadata: String::new() }
}

fn join(peer: u32, viewer: bool) -> Input {
    joining(peer, peer, viewer)
}

fn joining(peer: u32, identity: u32, viewer: bool) -> Input {
    Input::Join { peer: PeerId(peer), profile: profile("Ada", identity), viewer, rights: Rights::MEMBER, address: None }
}

fn chat(peer: u32, to: Option<u32>, text: &str) -> Input {
    Input::Chat { peer: PeerId(peer), to: to.map(PeerId), text: text.to_owned(), time_ms: 5 }
}

fn leave(peer: u32) -> Input {
    Input::Leave { peer: PeerId(peer), reason: LeaveReason::Left }
}

fn camera(track: u32) -> TrackInfo {
    TrackInfo { track: TrackId(track), source: Source::Camera, muted: false }
}

fn drain(people: &mut People) -> Vec<Numbered> {
    std::iter::from_fn(|| people.poll()).collect()
}

/// Two participants (1, 2) and a viewer (3).
fn three() -> (People, Instant) {
    let (mut people, now) = (People::new(Settings::default(), Limits::default()), Instant::now());
    for input in [join(1, false), join(2, false), join(3, true)] {
        people.handle(input, now).unwrap();
    }
    drain(&mut people);
    (people, now)
}

#[test]
fn names() {
    let long = "x".repeat(65);
    for (name, viewer, kept) in [
        ("  Ada ", false, Ok("Ada")),
        ("艾达 🙂", false, Ok("艾达 🙂")),
        ("", false, Err(PeopleError::BadName)),
        ("   ", false, Err(PeopleError::BadName)),
        ("", true, Ok("")),
        ("a\u{7}b", false, Err(PeopleError::BadName)),
        ("a\nb", true, Err(PeopleError::BadName)),
        (&long, false, Err(PeopleError::BadName)),
    ] {
        let got = roster::checked(profile(name, 1), viewer, &Limits::default());
        assert_eq!(got.as_ref().map(|p| p.name.as_str()).map_err(|e| *e), kept, "{name:?}");
    }
}

#[test]
fn refusals_change_nothing() {
    let (mut people, now) = three();
    let before = people.snapshot();
    let nobody = PeopleError::NoParticipant(PeerId(9));
    let metadata = Some("m".repeat(4097));
    for (input, error) in [
        (leave(9), nobody),
        (chat(9, None, "hi"), nobody),
        (chat(1, Some(9), "hi"), nobody),
        (chat(3, None, "hi"), PeopleError::Viewer),
        (chat(1, Some(3), "hi"), PeopleError::Viewer),
        (chat(1, None, " \n"), PeopleError::BadText),
        (chat(1, None, &"x".repeat(2001)), PeopleError::BadText),
        (Input::Hand { peer: PeerId(3), raised: true }, PeopleError::Viewer),
        (Input::Publish { peer: PeerId(3), track: camera(1) }, PeopleError::Viewer),
        (Input::Publish { peer: PeerId(9), track: camera(1) }, nobody),
        (Input::Unpublish { track: TrackId(1) }, PeopleError::NoTrack(TrackId(1))),
        (Input::Mute { track: TrackId(1), muted: true, by: None }, PeopleError::NoTrack(TrackId(1))),
        (Input::Update { peer: PeerId(1), name: Some(String::new()), metadata: None }, PeopleError::BadName),
        (Input::Update { peer: PeerId(1), name: None, metadata }, PeopleError::BadMetadata(4096)),
    ] {
        assert_eq!(people.handle(input.clone(), now), Err(error), "{input:?}");
        assert_eq!(people.snapshot(), before);
        assert_eq!(people.poll(), None);
    }
}

#[test]
fn who_hears_what() {
    let (mut people, now) = three();
    for (input, audience) in [
        (join(4, false), Audience::AllBut(PeerId(4))),
        (chat(1, None, "hi"), Audience::All),
        (chat(1, Some(2), "hi"), Audience::Only(vec![PeerId(1), PeerId(2)])),
        (chat(1, Some(1), "hi"), Audience::Only(vec![PeerId(1)])),
        (Input::Publish { peer: PeerId(1), track: camera(7) }, Audience::All),
        (leave(1), Audience::AllBut(PeerId(1))),
    ] {
        people.handle(input, now).unwrap();
        let events = drain(&mut people);
        assert_eq!(events.len(), 1);
        assert_eq!(events[0].audience, audience);
    }
}

#[test]
fn hands_keep_their_order_and_fall_when_one_leaves() {
    let (mut people, now) = three();
    people.handle(join(4, false), now).unwrap();
    for peer in [4, 1, 2, 4] {
        people.handle(Input::Hand { peer: PeerId(peer), raised: true }, now).unwrap();
    }
    assert_eq!(people.snapshot().raised, [PeerId(4), PeerId(1), PeerId(2)]);
    assert_eq!(people.participant(PeerId(2)).unwrap().hand, Some(3));
    drain(&mut people);
    people.handle(leave(4), now).unwrap();
    let events: Vec<Event> = drain(&mut people).into_iter().map(|e| e.event).collect();
    let left = Event::Left { peer: PeerId(4), reason: LeaveReason::Left };
    assert_eq!(events, [left, Event::Hands(vec![PeerId(1), PeerId(2)])]);
    assert_eq!(people.participant(PeerId(1)).unwrap().hand, Some(1));
}

#[test]
fn what_does_not_change_is_not_told() {
    let (mut people, now) = three();
    people.handle(Input::Publish { peer: PeerId(1), track: camera(1) }, now).unwrap();
    drain(&mut people);
    for input in [
        Input::Mute { track: TrackId(1), muted: false, by: None },
        Input::Hand { peer: PeerId(1), raised: false },
        Input::Update { peer: PeerId(1), name: Some(" Ada ".into()), metadata: None },
    ] {
        people.handle(input, now).unwrap();
    }
    assert_eq!(people.poll(), None);
}

#[test]
fn viewers_are_told_once_a_second() {
    let (mut people, mut now) = (People::new(Settings::default(), Limits::default()), Instant::now());
    for peer in 1..=100 {
        people.handle(join(peer, true), now).unwrap();
        now += Duration::from_millis(5);
    }
    let told = |people: &mut People| drain(people).into_iter().map(|e| e.event).collect::<Vec<_>>();
    assert_eq!(told(&mut people), [Event::Viewers(1)]);
    let due = people.timeout().unwrap();
    people.handle_timeout(due - Duration::from_millis(1));
    assert_eq!(people.poll(), None);
    people.handle_timeout(due);
    assert_eq!(told(&mut people), [Event::Viewers(100)]);
    assert_eq!(people.timeout(), None);
    people.handle(leave(1), due).unwrap();
    people.handle(join(101, true), due).unwrap();
    assert_eq!(people.timeout(), None, "the number is what was told");
}

#[test]
fn the_newer_connection_wins_and_rooms_are_full_some_time() {
    let (mut people, now) = (People::new(Settings::default(), Limits::default()), Instant::now());
    for peer in 1..=PARTICIPANTS_MAX as u32 {
        people.handle(join(peer, false), now).unwrap();
    }
    assert_eq!(people.handle(join(9_999, false), now), Err(PeopleError::Full));
    people.handle(joining(5_000, 7, false), now).unwrap();
    assert_eq!(people.find_identity("id-7"), Some(PeerId(5_000)));
    assert_eq!(people.participant(PeerId(7)), None);
    for peer in 0..VIEWERS_MAX as u32 {
        people.roster.add_viewer(PeerId(100_000 + peer), String::new(), Rights::MEMBER);
    }
    assert_eq!(people.handle(join(9_999, true), now), Err(PeopleError::Full));
}

#[test]
fn what_was_missed_is_told_again_if_it_is_kept() {
    let (mut people, now) = three();
    let seq = people.snapshot().seq;
    people.handle(chat(1, None, "all"), now).unwrap();
    people.handle(chat(1, Some(1), "me"), now).unwrap();
    people.handle(chat(2, Some(1), "two"), now).unwrap();
    let texts = |people: &People, seq: u64, peer: u32| {
        people.events_since(seq, PeerId(peer)).map(|events| events.into_iter().map(|e| e.seq - seq).collect::<Vec<_>>())
    };
    assert_eq!(texts(&people, seq, 1), Some(vec![1, 2, 3]));
    assert_eq!(texts(&people, seq, 2), Some(vec![1, 3]));
    assert_eq!(texts(&people, seq + 3, 2), Some(vec![]));
    assert_eq!(texts(&people, seq + 4, 2), None, "never happened");
    for _ in 0..EVENT_LOG_MAX {
        people.handle(chat(1, None, "x"), now).unwrap();
        people.poll();
    }
    assert_eq!(texts(&people, seq + 3, 2).map(|t| t.len()), Some(EVENT_LOG_MAX));
    assert_eq!(texts(&people, seq + 2, 2), None, "forgotten");
}

/// What a client makes of a snapshot and the events after it.
fn apply(picture: &mut Snapshot, numbered: &Numbered) {
    picture.seq = numbered.seq;
    let of = |list: &mut Vec<Participant>, peer: PeerId| list.iter().position(|p| p.peer == peer).expect("known");
    let list = &mut picture.participants;
    match numbered.event.clone() {
        Event::Joined(participant) => list.push(participant),
        Event::Left { peer, .. } => {
            let at = of(list, peer);
            list.remove(at);
            picture.raised.retain(|other| *other != peer);
        }
        Event::Updated { peer, name, metadata } => {
            let at = of(list, peer);
            list[at].profile.name = name;
            list[at].profile.metadata = metadata;
        }
        Event::Published { peer, track } => {
            let at = of(list, peer);
            list[at].tracks.push(track);
        }
        Event::Unpublished { peer, track } => {
            let at = of(list, peer);
            list[at].tracks.retain(|info| info.track != track);
        }
        Event::Muted { peer, track, muted, by: _ } => {
            let at = of(list, peer);
            list[at].tracks.iter_mut().find(|info| info.track == track).expect("published").muted = muted;
        }
        Event::Away { peers, away } => {
            for peer in peers {
                let at = of(list, peer);
                list[at].away = away;
            }
        }
        Event::Ended(tracks) => {
            for (peer, track) in tracks {
                let at = of(list, peer);
                list[at].tracks.retain(|info| info.track != track);
            }
        }
        Event::Permitted { peer, publish } => {
            let at = of(list, peer);
            list[at].rights.publish = publish;
        }
        Event::Settings(settings) => picture.settings = settings,
        Event::Lobby(_) | Event::Chat { .. } => {}
        Event::Hands(raised) => {
            for participant in list.iter_mut() {
                participant.hand = raised.iter().position(|peer| *peer == participant.peer).map(|at| at as u32 + 1);
            }
            picture.raised = raised;
        }
        Event::Viewers(count) => picture.viewers = count,
    }
}

fn random_input(rng: &mut fastrand::Rng, people: &People, next: &mut u32) -> Input {
    let peer = PeerId(rng.u32(1..=(*next).max(1)));
    let track = TrackId(rng.u32(1..40));
    match rng.u8(..21) {
        16 => Input::Lost { peer },
        17 | 18 => Input::Resumed { peer },
        19 => Input::Permit { peer, publish: some_publish(rng) },
        20 => Input::Settings(SettingsChange { locked: None, lobby: None, publish: rng.bool().then(|| some_publish(rng)) }),
        0..4 => {
            *next += 1;
            let identity = if rng.u8(..8) == 0 { rng.u32(1..=*next) } else { *next };
            joining(*next, identity, rng.u8(..3) == 0)
        }
        4..7 => match people.participants() {
            [] => Input::Leave { peer, reason: LeaveReason::Left },
            list => Input::Leave { peer: list[rng.usize(..list.len())].peer, reason: LeaveReason::Disconnected },
        },
        7 => Input::Leave { peer, reason: LeaveReason::Left },
        8 | 9 => Input::Publish { peer, track: TrackInfo { track, source: Source::Camera, muted: rng.bool() } },
        10 => Input::Unpublish { track },
        11 => Input::Mute { track, muted: rng.bool(), by: None },
        12 => Input::Chat { peer, to: rng.bool().then_some(PeerId(1)), text: "x".into(), time_ms: 0 },
        13 | 14 => Input::Hand { peer, raised: rng.u8(..3) > 0 },
        _ => Input::Update { peer, name: Some(format!("n{}", rng.u8(..3))), metadata: rng.bool().then(String::new) },
    }
}

fn some_publish(rng: &mut fastrand::Rng) -> Publish {
    Publish { camera: rng.bool(), microphone: rng.bool(), screen: rng.bool() }
}

fn knock(peer: u32, rights: Rights, address: Option<[u8; 4]>) -> Knock {
    Knock { peer: PeerId(peer), profile: profile("Kim", peer), viewer: false, rights, address: address.map(IpAddr::from) }
}

fn settings(people: &mut People, change: SettingsChange) {
    people.handle(Input::Settings(change), Instant::now()).unwrap();
}

#[test]
fn a_lock_and_a_lobby_let_moderators_in() {
    let (mut people, now) = three();
    let host = Input::Join { peer: PeerId(7), profile: profile("Host", 7), viewer: true, rights: Rights::MODERATOR, address: None };
    people.handle(host, now).unwrap();
    settings(&mut people, SettingsChange { lobby: Some(true), ..SettingsChange::default() });
    drain(&mut people);
    assert_eq!(people.knock(&knock(8, Rights::MEMBER, None)), Ok(Doorway::Lobby));
    assert_eq!(people.knock(&knock(9, Rights::MODERATOR, None)), Ok(Doorway::Open));
    let told = drain(&mut people);
    let waiting = vec![Waiting { peer: PeerId(8), identity: "id-8".into(), name: "Kim".into() }];
    assert_eq!(told.len(), 1);
    assert_eq!((&told[0].audience, &told[0].event), (&Audience::Only(vec![PeerId(7)]), &Event::Lobby(waiting)));
    assert!(people.take_waiting(PeerId(8)) && !people.take_waiting(PeerId(8)));
    assert_eq!(drain(&mut people)[0].event, Event::Lobby(vec![]));
    for peer in 0..LOBBY_MAX as u32 {
        assert_eq!(people.knock(&knock(100 + peer, Rights::MEMBER, None)), Ok(Doorway::Lobby));
    }
    assert_eq!(people.knock(&knock(10, Rights::MEMBER, None)), Err(PeopleError::LobbyFull));
    settings(&mut people, SettingsChange { locked: Some(true), ..SettingsChange::default() });
    assert_eq!(people.knock(&knock(10, Rights::MEMBER, None)), Err(PeopleError::Locked));
    assert_eq!(people.knock(&knock(10, Rights::MODERATOR, None)), Ok(Doorway::Open));
}

#[test]
fn a_ban_holds_by_identity_and_a_guest_by_address() {
    let (mut people, now) = three();
    for (peer, address) in [(10, Some([192, 0, 2, 7])), (11, Some([127, 0, 0, 1])), (12, None)] {
        let address = address.map(IpAddr::from);
        let join = Input::Join { peer: PeerId(peer), profile: profile("Ada", peer), viewer: false, rights: Rights::MEMBER, address };
        people.handle(join, now).unwrap();
        people.ban(PeerId(peer));
        people.handle(leave(peer), now).unwrap();
    }
    for (peer, address, outcome) in [
        (10, None, Err(PeopleError::Banned)),
        (20, Some([192, 0, 2, 7]), Err(PeopleError::Banned)),
        (20, Some([192, 0, 2, 8]), Ok(Doorway::Open)),
        (12, None, Err(PeopleError::Banned)),
        (21, Some([127, 0, 0, 1]), Ok(Doorway::Open)),
    ] {
        assert_eq!(people.knock(&knock(peer, Rights::MEMBER, address)), outcome, "{peer} {address:?}");
    }
    let v6 = |text: &str| Knock { address: Some(text.parse().unwrap()), ..knock(30, Rights::MEMBER, None) };
    people.gate.ban("x".into(), Some("2001:db8::1".parse().unwrap()));
    assert_eq!(people.knock(&v6("2001:db8::ffff:2")), Err(PeopleError::Banned), "one household");
    assert_eq!(people.knock(&v6("2001:db8:0:1::1")), Ok(Doorway::Open));
}

#[test]
fn who_is_lost_is_away_and_then_gone_unless_they_come_back() {
    let (mut people, now) = three();
    for peer in [1, 2, 3] {
        people.handle(Input::Lost { peer: PeerId(peer) }, now).unwrap();
    }
    assert_eq!(people.handle(Input::Lost { peer: PeerId(9) }, now), Err(PeopleError::NoParticipant(PeerId(9))));
    assert_eq!(people.timeout(), Some(now + AWAY_AFTER));
    people.handle(Input::Resumed { peer: PeerId(2) }, now + Duration::from_secs(1)).unwrap();
    people.handle_timeout(now + AWAY_AFTER);
    let events = |people: &mut People| drain(people).into_iter().map(|e| e.event).collect::<Vec<_>>();
    assert_eq!(events(&mut people), [Event::Away { peers: vec![PeerId(1)], away: true }], "2 came back before anybody knew, 3 is a viewer");
    assert_eq!(people.timeout(), Some(now + RESUME_TIME));
    assert_eq!(people.gone(now + RESUME_TIME - Duration::from_millis(1)), []);
    people.handle(Input::Resumed { peer: PeerId(1) }, now + Duration::from_secs(9)).unwrap();
    assert_eq!(events(&mut people), [Event::Away { peers: vec![PeerId(1)], away: false }]);
    assert_eq!(people.gone(now + RESUME_TIME), [PeerId(3)]);
    people.handle(leave(3), now + RESUME_TIME).unwrap();
    assert_eq!((people.gone(now + RESUME_TIME), people.presence.timeout()), (vec![], None));
}

#[test]
fn what_may_be_published_is_what_token_and_room_allow() {
    let (mut people, now) = three();
    let screen = TrackInfo { track: TrackId(5), source: Source::ScreenAudio, muted: false };
    let host = Input::Join { peer: PeerId(7), profile: profile("Host", 7), viewer: false, rights: Rights::MODERATOR, address: None };
    people.handle(host, now).unwrap();
    people.handle(Input::Publish { peer: PeerId(1), track: screen }, now).unwrap();
    people.handle(Input::Publish { peer: PeerId(7), track: TrackInfo { track: TrackId(6), ..screen } }, now).unwrap();
    assert_eq!(people.forbidden(), []);
    let no_screen = Publish { screen: false, ..Publish::ALL };
    settings(&mut people, SettingsChange { publish: Some(no_screen), ..SettingsChange::default() });
    assert_eq!(people.forbidden(), [(PeerId(1), TrackId(5))], "a moderator is not bound");
    let only_sound = Publish { microphone: true, ..Publish::NOTHING };
    people.handle(Input::Permit { peer: PeerId(1), publish: only_sound }, now).unwrap();
    assert_eq!(people.publishable(PeerId(1)), only_sound);
    assert_eq!(people.publishable(PeerId(2)), no_screen);
    assert_eq!(people.publishable(PeerId(99)), Publish::NOTHING);
    assert!(people.may_moderate(PeerId(7)) && !people.may_moderate(PeerId(1)) && !people.may_moderate(PeerId(99)));
}

#[test]
fn snapshot_and_events_give_the_servers_picture() {
    for seed in 0..3_000 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let (mut people, mut now) = (People::new(Settings::default(), Limits::default()), Instant::now());
        let mut clients: Vec<(PeerId, Snapshot)> = Vec::new();
        let mut next = 0;
        for step in 0..60 {
            now += Duration::from_millis(rng.u64(..400));
            people.handle_timeout(now);
            let input = random_input(&mut rng, &people, &mut next);
            let joined = matches!(input, Input::Join { .. });
            let result = people.handle(input.clone(), now);
            for event in drain(&mut people) {
                for (peer, picture) in &mut clients {
                    if event.audience.includes(*peer) {
                        apply(picture, &event);
                    }
                }
            }
            if joined && result.is_ok() {
                clients.push((PeerId(next), people.snapshot()));
            }
            clients.retain(|(peer, _)| people.participant(*peer).is_some() || people.is_viewer(*peer));
            let server = people.snapshot();
            for (peer, picture) in &clients {
                // Not every event is for everybody, so numbers may differ.
                let picture = Snapshot { seq: server.seq, ..picture.clone() };
                assert_eq!(picture, server, "seed {seed} step {step} client {peer} after {input:?}");
            }
            if people.viewers_due.is_none() {
                assert_eq!(server.viewers as usize, people.viewer_count(), "seed {seed} step {step}");
            }
        }
    }
}

#[test]
fn the_log_is_bounded_in_bytes_too() {
    let (mut people, now) = three();
    for round in 0..EVENT_LOG_MAX {
        let metadata = Some(format!("{round:4096}"));
        people.handle(Input::Update { peer: PeerId(1), name: None, metadata }, now).unwrap();
        people.poll();
    }
    let kept = people.events_since(people.snapshot().seq - 900, PeerId(2)).expect("some are kept");
    assert_eq!(kept.len(), 900);
    assert!(people.events_since(people.snapshot().seq - 1_100, PeerId(2)).is_none(), "4 MiB hold no more than 1,024 of them");
}

#[test]
fn a_thousand_who_are_lost_are_told_in_one_event() {
    let (mut people, now) = (People::new(Settings::default(), Limits::default()), Instant::now());
    for peer in 1..=1_000 {
        people.handle(join(peer, false), now).unwrap();
    }
    drain(&mut people);
    for peer in 1..=999 {
        people.handle(Input::Lost { peer: PeerId(peer) }, now).unwrap();
    }
    people.handle_timeout(now + AWAY_AFTER);
    let told = drain(&mut people);
    assert_eq!(told.len(), 1);
    assert!(matches!(&told[0].event, Event::Away { peers, away: true } if peers.len() == 999));
    let mut then = now + AWAY_AFTER;
    for peer in 1..=999 {
        then += Duration::from_millis(1);
        people.handle(Input::Resumed { peer: PeerId(peer) }, then).unwrap();
        if people.timeout().is_some_and(|at| at <= then) {
            people.handle_timeout(then);
        }
    }
    people.handle_timeout(then + AWAY_PERIOD);
    let told = drain(&mut people);
    assert!(told.len() <= 6, "{} events", told.len());
    assert!(people.participants().iter().all(|participant| !participant.away));
    assert_eq!(people.timeout(), None);
}
