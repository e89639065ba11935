//! One room as the shard keeps it: the media (`room`), the people (`people`), and who is in it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::command::{Declared, Entry, NumberedSection, Refusal, RoomInfo, RoomOptions};
use crate::auth::Publish;
use crate::id::{PeerId, RoomName, TrackId};
use crate::limits::{EMPTY_ROOM_LIFE, Limits};
use crate::people::{self, Audience, LeaveReason, Numbered, People, PeopleError, Source, TrackInfo};
use crate::room::{self, Room, RoomConfig, TrackSpec};
use crate::rtp::Kind;
use crate::webrtc::{Negotiated, Offer, Published};

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
    /// Which room of this name it is, counted by the shard.
    pub life: u64,
    options: RoomOptions,
    empty_since: Option<Instant>,
    /// The next packet panics: how a defect is made for a test.
    #[cfg(test)]
    pub poisoned: bool,
}

impl Hall {
    /// An empty room.
    pub fn new(name: RoomName, options: RoomOptions, life: u64, limits: &Limits, rng: fastrand::Rng, now: Instant) -> Hall {
        let room = Room::new(RoomConfig { filler: options.filler, voices: limits.voices }, rng);
        Hall {
            name,
            room,
            people: People::new(options.settings, limits.clone()),
            members: vec![],
            permanent: false,
            life,
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
        RoomInfo {
            name: self.name.clone(),
            options: self.options,
            permanent: self.permanent,
            settings: self.people.settings(),
            participants: self.people.participants().len(),
            viewers: self.people.viewer_count(),
            tracks: self.room.track_count(),
            waiting: self.people.lobby().len(),
        }
    }

    /// All that could refuse somebody who enters with what their offer brought. Nothing changes.
    pub fn check_join(&self, entry: &Entry, offer: &Negotiated, declared: &[Declared]) -> Result<(), Refusal> {
        let Entry { profile, viewer, rights, address, options: _ } = entry;
        if *viewer && !offer.published.is_empty() {
            return Err(Refusal::ViewerPublishes);
        }
        self.people.check(profile, *viewer, *address)?;
        let publishable = self.people.publishable_by(&profile.identity, *rights);
        for section in &offer.published {
            check_source(source_of(section.kind, declared, &section.mid), publishable)?;
        }
        Ok(())
    }

    /// Somebody enters, with what their offer brought; [`Hall::check_join`] was asked before. They are told things only from [`Hall::listen`] on.
    pub fn join(
        &mut self,
        peer: PeerId,
        entry: Entry,
        offer: &Negotiated,
        declared: &[Declared],
        now: Instant,
    ) -> Result<Vec<NumberedSection>, Refusal> {
        let Entry { profile, viewer, rights, address, options: _ } = entry;
        self.people.handle(people::Input::Join { peer, profile, viewer, rights, address }, now)?;
        if let Err(refused) = self.room.handle(room::Input::Join { peer }, now) {
            self.leave(peer, LeaveReason::Left, now);
            return Err(refused.into());
        }
        match self.negotiate(peer, offer, declared, Known::default(), now) {
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

    /// Whether somebody may publish all that an offer adds. Nothing changes.
    pub fn check_offer(&self, peer: PeerId, offer: &Offer, declared: &[Declared], known: Known) -> Result<(), Refusal> {
        let publishable = self.people.publishable(peer);
        let added = offer.sections.iter().filter(|s| s.publishes && !known.has(&s.mid));
        for section in added {
            let kind = if section.video { Kind::Video } else { Kind::Audio };
            check_source(source_of(kind, declared, &section.mid), publishable)?;
        }
        Ok(())
    }

    /// What an offer of a peer changed. `known`: the send sections it had. Returns the tracks it has now.
    pub fn negotiate(
        &mut self,
        peer: PeerId,
        offer: &Negotiated,
        declared: &[Declared],
        known: Known,
        now: Instant,
    ) -> Result<Vec<NumberedSection>, Refusal> {
        for old in known.tracks.iter().filter(|old| !offer.published.iter().any(|p| p.mid == old.mid)) {
            self.unpublish(old.track, now)?;
        }
        let mut tracks = vec![];
        for published in &offer.published {
            let track = match known.tracks.iter().find(|old| old.mid == published.mid) {
                Some(old) => old.track,
                None => match self.publish(peer, published, declared, now) {
                    // A moderator ended its track, and the client has not taken notice yet.
                    Err(Refusal::People(PeopleError::NotPublishable(_))) if known.has(&published.mid) => continue,
                    published => published?,
                },
            };
            tracks.push(NumberedSection { mid: published.mid.clone(), track });
        }
        for (slot, codecs) in &offer.opened_slots {
            self.room.handle(room::Input::OpenSlot { peer, slot: *slot, codecs: codecs.clone() }, now)?;
        }
        if !offer.new_slots.is_empty() {
            self.room.handle(room::Input::AddSlots { peer, slots: offer.new_slots.clone() }, now)?;
        }
        for slot in &offer.closed_slots {
            self.room.handle(room::Input::CloseSlot { peer, slot: *slot }, now)?;
        }
        Ok(tracks)
    }

    fn publish(&mut self, peer: PeerId, section: &Published, declared: &[Declared], now: Instant) -> Result<TrackId, Refusal> {
        let source = source_of(section.kind, declared, &section.mid);
        check_source(source, self.people.publishable(peer))?;
        let muted = declared.iter().any(|d| d.mid == section.mid && d.muted);
        let screen = matches!(source, Source::Screen | Source::ScreenAudio);
        let track = self.room.new_track_id();
        let spec = TrackSpec { kind: section.kind, screen, layers: section.layers, muted };
        self.room.handle(room::Input::Publish { peer, track, spec }, now)?;
        self.people.handle(people::Input::Publish { peer, track: TrackInfo { track, source, muted } }, now)?;
        Ok(track)
    }

    /// Tracks that may not be published any more end, all at once.
    pub fn end_forbidden(&mut self, now: Instant) -> Vec<(PeerId, TrackId)> {
        let forbidden = self.people.forbidden();
        if !forbidden.is_empty() {
            let tracks = forbidden.iter().map(|(_, track)| *track).collect();
            // Neither refuses what it has, and what one of them has not is gone already.
            let _ = self.room.handle(room::Input::UnpublishAll { tracks }, now);
            let _ = self.people.handle(people::Input::End { tracks: forbidden.clone() }, now);
        }
        forbidden
    }

    /// A track ends.
    fn unpublish(&mut self, track: TrackId, now: Instant) -> Result<(), Refusal> {
        self.room.handle(room::Input::Unpublish { track }, now)?;
        self.people.handle(people::Input::Unpublish { track }, now)?;
        Ok(())
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

    /// Somebody mutes or unmutes a track of their own; a moderator mutes any.
    pub fn mute(&mut self, by: PeerId, track: TrackId, muted: bool, now: Instant) -> Result<(), Refusal> {
        let owner = self.people.owner(track).ok_or(PeopleError::NoTrack(track))?;
        // Whether somebody is heard again is for themselves to say.
        if owner != by && !(muted && self.people.may_moderate(by)) {
            return Err(PeopleError::NotAllowed.into());
        }
        self.set_muted(track, muted, Some(by), now)
    }

    /// `by`: a moderator or the owner; `None`: the API.
    pub fn set_muted(&mut self, track: TrackId, muted: bool, by: Option<PeerId>, now: Instant) -> Result<(), Refusal> {
        self.room.handle(room::Input::Mute { track, muted }, now)?;
        self.people.handle(people::Input::Mute { track, muted, by }, now)?;
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

/// The send sections that a peer had before an offer.
#[derive(Clone, Copy, Debug, Default)]
pub struct Known<'a> {
    /// Those with a track.
    pub tracks: &'a [NumberedSection],
    /// The `a=mid` of those whose track was ended by a moderator.
    pub ended: &'a [String],
}

impl Known<'_> {
    fn has(&self, mid: &str) -> bool {
        self.tracks.iter().any(|old| old.mid == mid) || self.ended.iter().any(|old| old == mid)
    }
}

/// What a send section carries: what the client says, if it can be, else the usual.
fn source_of(kind: Kind, declared: &[Declared], mid: &str) -> Source {
    match (declared.iter().find(|d| d.mid == mid).map(|d| d.source), kind) {
        (Some(source @ (Source::Microphone | Source::ScreenAudio)), Kind::Audio) => source,
        (Some(source @ (Source::Camera | Source::Screen)), Kind::Video) => source,
        (_, Kind::Audio) => Source::Microphone,
        (_, Kind::Video) => Source::Camera,
    }
}

fn check_source(source: Source, publishable: Publish) -> Result<(), PeopleError> {
    if source.is_in(publishable) { Ok(()) } else { Err(PeopleError::NotPublishable(source.label())) }
}
