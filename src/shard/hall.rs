//! One room as the shard keeps it: the media (`room`), the people (`people`), and who is in it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::command::{Declared, Entry, NumberedSection, Refusal, RoomInfo, RoomOptions};
use crate::id::{PeerId, RoomName, TrackId};
use crate::limits::EMPTY_ROOM_LIFE;
use crate::people::{self, Audience, LeaveReason, Numbered, People, Source, TrackInfo};
use crate::room::{self, Room, RoomConfig, TrackSpec};
use crate::rtp::Kind;
use crate::webrtc::{Negotiated, Published};

/// A room with its people.
pub struct Hall {
    /// Its name.
    pub name: RoomName,
    /// The media.
    pub room: Room,
    /// Names, chat, hands, events.
    pub people: People,
    /// Everybody who is told things, viewers included, in order of joining.
    pub members: Vec<PeerId>,
    /// Stays when it is empty.
    pub permanent: bool,
    options: RoomOptions,
    empty_since: Option<Instant>,
    /// The next packet panics: how a defect is made for a test.
    #[cfg(test)]
    pub poisoned: bool,
}

impl Hall {
    /// An empty room.
    pub fn new(name: RoomName, options: RoomOptions, permanent: bool, rng: fastrand::Rng, now: Instant) -> Hall {
        let room = Room::new(RoomConfig { filler: options.filler }, rng);
        Hall {
            name,
            room,
            people: People::new(),
            members: vec![],
            permanent,
            options,
            empty_since: Some(now),
            #[cfg(test)]
            poisoned: false,
        }
    }

    /// What it is like.
    pub fn options(&self) -> RoomOptions {
        self.options
    }

    /// From outside.
    pub fn info(&self) -> RoomInfo {
        RoomInfo { name: self.name.clone(), options: self.options, permanent: self.permanent, snapshot: self.people.snapshot() }
    }

    /// Somebody enters, with what their offer brought. Nothing remains of a refusal. They are told things only from [`Hall::listen`] on.
    pub fn join(
        &mut self,
        peer: PeerId,
        entry: Entry,
        offer: &Negotiated,
        declared: &[Declared],
        now: Instant,
    ) -> Result<Vec<NumberedSection>, Refusal> {
        if entry.viewer && !offer.published.is_empty() {
            return Err(Refusal::ViewerPublishes);
        }
        self.people.handle(people::Input::Join { peer, profile: entry.profile, viewer: entry.viewer }, now)?;
        if let Err(refused) = self.room.handle(room::Input::Join { peer }, now) {
            self.leave(peer, LeaveReason::Left, now);
            return Err(refused.into());
        }
        match self.negotiate(peer, offer, declared, &[], now) {
            Ok(tracks) => Ok(tracks),
            Err(refused) => {
                self.leave(peer, LeaveReason::Left, now);
                Err(refused)
            }
        }
    }

    /// From now on this peer is told what happens: what happened before is in the snapshot that it got.
    pub fn listen(&mut self, peer: PeerId) {
        self.members.push(peer);
        self.empty_since = None;
    }

    /// What an offer of a peer changed. `before`: the tracks it had. Returns those it has now.
    pub fn negotiate(
        &mut self,
        peer: PeerId,
        offer: &Negotiated,
        declared: &[Declared],
        before: &[NumberedSection],
        now: Instant,
    ) -> Result<Vec<NumberedSection>, Refusal> {
        for old in before.iter().filter(|old| !offer.published.iter().any(|p| p.mid == old.mid)) {
            self.room.handle(room::Input::Unpublish { track: old.track }, now)?;
            self.people.handle(people::Input::Unpublish { track: old.track }, now)?;
        }
        let mut tracks = vec![];
        for published in &offer.published {
            let track = match before.iter().find(|old| old.mid == published.mid) {
                Some(old) => old.track,
                None => self.publish(peer, published, declared.iter().find(|d| d.mid == published.mid), now)?,
            };
            tracks.push(NumberedSection { mid: published.mid.clone(), track });
        }
        if !offer.new_slots.is_empty() {
            self.room.handle(room::Input::AddSlots { peer, slots: offer.new_slots.clone() }, now)?;
        }
        for slot in &offer.closed_slots {
            self.room.handle(room::Input::CloseSlot { peer, slot: *slot }, now)?;
        }
        Ok(tracks)
    }

    fn publish(&mut self, peer: PeerId, section: &Published, declared: Option<&Declared>, now: Instant) -> Result<TrackId, Refusal> {
        let source = match (declared.map(|d| d.source), section.kind) {
            (Some(source @ (Source::Microphone | Source::ScreenAudio)), Kind::Audio) => source,
            (Some(source @ (Source::Camera | Source::Screen)), Kind::Video) => source,
            (_, Kind::Audio) => Source::Microphone,
            (_, Kind::Video) => Source::Camera,
        };
        let muted = declared.is_some_and(|d| d.muted);
        let screen = matches!(source, Source::Screen | Source::ScreenAudio);
        let track = self.room.new_track_id();
        let spec = TrackSpec { kind: section.kind, screen, layers: section.layers, muted };
        self.room.handle(room::Input::Publish { peer, track, spec }, now)?;
        self.people.handle(people::Input::Publish { peer, track: TrackInfo { track, source, muted } }, now)?;
        Ok(track)
    }

    /// Somebody is out, wherever they were.
    pub fn leave(&mut self, peer: PeerId, reason: LeaveReason, now: Instant) {
        // Either may not know the peer: a join that was refused half-way leaves through here too.
        let _ = self.room.handle(room::Input::Leave { peer }, now);
        let _ = self.people.handle(people::Input::Leave { peer, reason }, now);
        self.members.retain(|member| *member != peer);
        if self.members.is_empty() {
            self.empty_since.get_or_insert(now);
        }
    }

    /// A track of this peer changes its mute state.
    pub fn mute(&mut self, peer: PeerId, track: TrackId, muted: bool, now: Instant) -> Result<(), Refusal> {
        let owns = self.people.participant(peer).is_some_and(|p| p.tracks.iter().any(|t| t.track == track));
        if !owns {
            return Err(people::PeopleError::NoTrack(track).into());
        }
        self.room.handle(room::Input::Mute { track, muted }, now)?;
        self.people.handle(people::Input::Mute { track, muted }, now)?;
        Ok(())
    }

    /// Who hears of an event.
    pub fn audience(&self, event: Numbered) -> (Arc<Numbered>, Vec<PeerId>) {
        let members = self.members.iter().copied();
        let who = match &event.audience {
            Audience::All => members.collect(),
            Audience::AllBut(one) => members.filter(|m| m != one).collect(),
            Audience::Only(list) => members.filter(|m| list.contains(m)).collect(),
        };
        (Arc::new(event), who)
    }

    /// When there is something to do.
    pub fn timeout(&self) -> Option<Instant> {
        [self.room.timeout(), self.people.timeout(), self.end()].into_iter().flatten().min()
    }

    /// Lets time pass.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.room.handle_timeout(now);
        self.people.handle_timeout(now);
    }

    /// Nobody came back in time.
    pub fn is_over(&self, now: Instant) -> bool {
        self.end().is_some_and(|end| end <= now)
    }

    fn end(&self) -> Option<Instant> {
        let life: Duration = EMPTY_ROOM_LIFE;
        self.empty_since.filter(|_| !self.permanent).map(|since| since + life)
    }
}
