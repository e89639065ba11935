//! What each receiver gets: wishes and estimates come in, slots are told which layer to aim for, publishers which encodings anybody watches.
//!
//! ```text
//! wishes, sources ─┐
//! what layers take ┼─ stir(peer) ─► settle: ladder → allocate → aims ─► keyframes to ask for, encodings to turn on or off, what is wanted
//! estimate ────────┘
//! ```
//!
//! A receiver is looked at when something of it changed, at the end of the call that changed it, and nobody else is.

use std::time::Instant;

use super::allocate::{Demand, allocate, to_rise_to};
use super::encoding::Step;
use super::event::{LayerInfo, LayerLimit, SlotLayers, SlotReason, Wish};
use super::ladder::ladder;
use super::{News, Room, RoomError, sooner, tell_slot};
use crate::id::{LayerIndex, PeerId, SlotIndex, TrackId};
use crate::limits::{CACHE_REPLAY_MAX, LAYERS_PERIOD, NEWCOMER_EXPECTED, NEWCOMER_GRACE, SHORT_MAX, SQUEEZE_MAX, STARVE_MAX};
use crate::rtp::{Kind, Layer};

/// Screens and pinned tracks come before whatever the receiver's own priority says.
const RANK_FIRST: u16 = 256;
/// A way that carries so much less than what is sent may be right again in a moment: what is sent, in per cent of what it carries.
const SHORT_PERCENT: u64 = 120;
/// What a voice is taken to need before it was measured.
const VOICE_BPS: u64 = 40_000;
/// What a way is taken to carry before anything is known of it, where that matters.
const WAY_UNKNOWN_BPS: u64 = 300_000;

/// A slot with a ladder to climb.
struct Climber {
    key: usize,
    track: TrackId,
    steps: Vec<Step>,
    /// The one that it has.
    current: Option<usize>,
}

impl Room {
    pub(super) fn wish(&mut self, id: PeerId, index: SlotIndex, track: TrackId, wish: Wish, now: Instant) -> Result<(), RoomError> {
        let key = self.slot_key(id, index)?;
        if let Some(slot) = self.slots[key].as_mut().filter(|slot| slot.kind == Kind::Video && slot.source() == Some(track)) {
            (slot.wish, slot.unsaid) = (wish, None);
            self.judge_slot(key, now);
            self.stir(id);
        }
        Ok(())
    }

    pub(super) fn estimate(&mut self, id: PeerId, bps: u64) -> Result<(), RoomError> {
        self.peers.get_mut(&id).ok_or(RoomError::NoPeer(id))?.estimate = Some(bps);
        self.stir(id);
        Ok(())
    }

    /// This receiver is to be looked at.
    pub(super) fn stir(&mut self, id: PeerId) {
        if let Some(peer) = self.peers.get_mut(&id)
            && !peer.stirred
        {
            peer.stirred = true;
            self.stirred.push(id);
        }
    }

    /// Looks at all receivers that were stirred, then at the tracks whose watchers changed.
    pub(super) fn settle(&mut self, now: Instant) {
        while let Some(id) = self.stirred.pop() {
            self.adapt(id, now);
        }
        while let Some(id) = self.rewatched.pop() {
            self.activate(id, now);
        }
    }

    /// One who is about to watch: their tracks are turned on, and a keyframe will be there when they are.
    pub(super) fn expect(&mut self, id: PeerId, now: Instant) {
        let Some(peer) = self.peers.get(&id).filter(|peer| !peer.connected) else { return };
        let places = peer.slots.iter().filter(|key| self.slots[**key].as_ref().is_some_and(|slot| slot.kind == Kind::Video)).count();
        for id in self.candidates(now).video(&peer.view, id, places) {
            let Some(track) = self.tracks.get_mut(&id) else { continue };
            track.expected = Some(now + NEWCOMER_EXPECTED);
            self.rewatched.push(id);
            if track.cache.pictures(now).is_none() {
                track.need(LayerIndex(0), true);
                self.ask(id, LayerIndex(0), now);
            }
        }
        sooner(&mut self.wake, now + NEWCOMER_EXPECTED);
    }

    /// Allocates for one receiver.
    fn adapt(&mut self, id: PeerId, now: Instant) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        peer.stirred = false;
        peer.again = None;
        let (estimate, connected, wanted) = (peer.estimate, peer.connected, peer.want);
        let keys = peer.slots.clone();
        let fresh = connected.then_some(peer.since).flatten().filter(|since| now.saturating_duration_since(*since) < NEWCOMER_GRACE);
        let voices: u64 = keys.iter().filter_map(|key| self.voice_bps(*key)).sum();
        let budget = estimate.map_or(u64::MAX, |estimate| estimate.saturating_sub(voices));
        let (climbers, demands): (Vec<Climber>, Vec<Demand>) = keys.iter().filter_map(|key| self.climber(*key, budget, now)).unzip();
        let budget = self.bear(id, budget, &demands, now);
        let mut given = allocate(budget, &demands);
        if fresh.is_some() {
            given.iter_mut().for_each(|step| *step = Some(step.unwrap_or(0)));
        }
        let want = demands.iter().filter_map(|demand| Some(to_rise_to(*demand.costs.last()?, demand.wary))).sum::<u64>() + voices;
        let used: u64 = climbers.iter().zip(&given).filter_map(|(climber, step)| Some(climber.steps[(*step)?].bps)).sum();
        for (climber, step) in climbers.iter().zip(given) {
            self.give(climber, step, budget, budget.saturating_sub(used), now);
        }
        let waiting = |climber: &Climber| {
            let slot = self.slots[climber.key].as_ref()?;
            let squeezed = slot.squeezed.map(|(since, _)| since + SQUEEZE_MAX);
            let starved = slot.starved.map(|since| since + STARVE_MAX);
            [slot.patience.until(budget, now), squeezed, starved, slot.unsaid].into_iter().flatten().filter(|at| *at > now).min()
        };
        let short = self.peers.get(&id).and_then(|peer| peer.short).map(|since| since + SHORT_MAX).filter(|at| *at > now);
        let again = climbers.iter().filter_map(waiting).chain(fresh.map(|since| since + NEWCOMER_GRACE)).chain(short).min();
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.again = again;
            if want != wanted {
                peer.want = want;
                if !std::mem::replace(&mut peer.queued, true) {
                    self.news.push_back(News::Want(id));
                }
            }
        }
        if let Some(again) = again {
            sooner(&mut self.wake, again);
        }
    }

    /// The budget, or for a moment the little more that is being sent.
    fn bear(&mut self, id: PeerId, budget: u64, demands: &[Demand], now: Instant) -> u64 {
        let present: u64 = demands.iter().filter_map(|demand| Some(demand.costs[demand.current?])).sum();
        let Some(peer) = self.peers.get_mut(&id) else { return budget };
        if present <= budget || present > budget / 100 * SHORT_PERCENT {
            peer.short = None;
            return budget;
        }
        let until = *peer.short.get_or_insert(now) + SHORT_MAX;
        if until > now { present } else { budget }
    }

    /// What the sound in a slot takes, if there is any.
    fn voice_bps(&self, key: usize) -> Option<u64> {
        let slot = self.slots[key].as_ref().filter(|slot| slot.kind == Kind::Audio)?;
        let track = self.tracks.get(&slot.source()?)?;
        Some(track.encodings[0].meter.rate(Layer::MAX).unwrap_or(VOICE_BPS))
    }

    /// A video slot that can send, with what could be sent in it and what it asks for.
    fn climber(&self, key: usize, budget: u64, now: Instant) -> Option<(Climber, Demand)> {
        let slot = self.slots[key].as_ref().filter(|slot| slot.kind == Kind::Video)?;
        let id = slot.source()?;
        let track = self.tracks.get(&id)?;
        if slot.obstacle(track.muted, track.codec).is_some() {
            return None;
        }
        let mut steps = ladder(track, &slot.wish, now);
        if slot.unsaid.is_some_and(|until| until > now) {
            // What is off would be turned on, perhaps for a picture as small as a stamp.
            let is_on = |encoding: LayerIndex| encoding.0 == 0 || track.encodings[usize::from(encoding.0)].active;
            steps.retain(|step| is_on(track.place(step.layer).0));
        }
        if steps.is_empty() {
            return None;
        }
        let paused = slot.state.reason == Some(SlotReason::Bandwidth);
        let aim = slot.aim.filter(|_| !paused).map(|(encoding, layer)| track.layer(encoding, layer));
        let aim = slot.squeezed.map(|(_, step)| step).or(aim);
        let current = aim.and_then(|aim| steps.iter().rposition(|step| step.layer <= aim));
        let pinned = self.peers.get(&slot.peer).is_some_and(|peer| peer.view.pins(id));
        let rank = u16::from(slot.wish.priority) + if track.screen || pinned { RANK_FIRST } else { 0 };
        let held = slot.patience.until(budget, now).is_some();
        let demand = Demand {
            costs: steps.iter().map(|step| step.bps).collect(),
            rank,
            current,
            held,
            wary: slot.patience.is_wary(now),
            paused: slot.patience.is_paused(now),
        };
        Some((Climber { key, track: id, steps, current }, demand))
    }

    /// Gives a slot its step. `spare`: what nobody uses of the budget.
    fn give(&mut self, climber: &Climber, step: Option<usize>, budget: u64, spare: u64, now: Instant) {
        let (Some(slot), Some(track)) = (self.slots[climber.key].as_mut(), self.tracks.get(&climber.track)) else { return };
        let starves = step.is_none() && climber.current.is_some();
        slot.starved = slot.starved.filter(|_| starves);
        let step = if starves && slot.starve(now) { Some(0) } else { step };
        let aim = step.map(|step| track.place(climber.steps[step].layer));
        // A slot that has to fall to a lower encoding waits for its keyframe. Until then the one that it has goes on with few frames, if the way
        // carries those; then it need not fall at once, either.
        let falls = slot.encoding.filter(|present| !slot.held && aim.is_some_and(|(aim, _)| aim < *present));
        let least = falls.and_then(|present| track.encodings[usize::from(present.0)].meter.rate(Layer::default()));
        let fits = step.zip(least).is_some_and(|(step, least)| least <= climber.steps[step].bps + spare);
        if let (true, Some(present), Some(current)) = (fits, falls, climber.current)
            && track.place(climber.steps[current].layer).0 == present
            && slot.squeeze(climber.steps[current].layer, now)
        {
            return self.set_aim(climber.key, Some((present, Layer::default())), now);
        }
        slot.squeezed = None;
        let best = climber.steps.len() - 1;
        match (climber.current, step) {
            (Some(current), Some(step)) if step > current => slot.patience.rose(now),
            (None, Some(_)) if slot.state.reason == Some(SlotReason::Bandwidth) => slot.patience.rose(now),
            (Some(current), step) if step.is_none_or(|step| step < current) && step != Some(best) => {
                slot.patience.fell(step.is_none(), budget, now);
            }
            _ => {}
        }
        let reason = if aim.is_none() { Some(SlotReason::Bandwidth) } else { None };
        if slot.judge(reason) {
            tell_slot(&mut self.news, climber.key, slot);
        }
        if falls.is_some() && !fits {
            slot.hold();
        }
        self.set_aim(climber.key, aim, now);
    }

    /// Whether the track or the wish keeps a slot from sending. What its way carries is judged when it is settled.
    pub(super) fn judge_slot(&mut self, key: usize, now: Instant) {
        let Some(slot) = self.slots[key].as_mut() else { return };
        let Some(track) = slot.source().and_then(|id| self.tracks.get(&id)) else { return };
        let obstacle = slot.obstacle(track.muted, track.codec);
        let reason = obstacle.or(slot.state.reason.filter(|reason| *reason == SlotReason::Bandwidth));
        if slot.judge(reason) {
            tell_slot(&mut self.news, key, slot);
        }
        let is_voice = slot.kind == Kind::Audio;
        if obstacle.is_some() {
            self.set_aim(key, None, now);
        } else if is_voice {
            self.set_aim(key, Some((LayerIndex(0), Layer::MAX)), now);
        }
    }

    /// Lets a slot aim for a layer, keeps count of who watches what, and asks for what is missing.
    pub(super) fn set_aim(&mut self, key: usize, aim: Option<(LayerIndex, Layer)>, now: Instant) {
        let Some(slot) = self.slots[key].as_mut() else { return };
        let before = slot.aim.map(|(encoding, _)| encoding);
        slot.aim(aim);
        let Some(id) = slot.source() else { return };
        let Some(track) = self.tracks.get_mut(&id) else { return };
        let after = aim.map(|(encoding, _)| encoding);
        if before != after {
            for (encoding, more) in [(before, false), (after, true)] {
                let Some(encoding) = encoding.and_then(|encoding| track.encodings.get_mut(usize::from(encoding.0))) else { continue };
                encoding.watchers = if more { encoding.watchers + 1 } else { encoding.watchers.saturating_sub(1) };
            }
            self.rewatched.push(id);
        }
        if slot.kind == Kind::Audio {
            return;
        }
        let begins = slot.encoding.is_none() && aim.is_some() && slot.state.reason.is_none();
        if begins {
            self.replay(key, now);
        }
        let waits = self.slots[key].as_ref().and_then(|slot| Some((slot.waits_for()?, slot.is_urgent())));
        if let Some((encoding, urgent)) = waits
            && let Some(track) = self.tracks.get_mut(&id)
        {
            track.need(encoding, urgent);
            self.ask(id, encoding, now);
        }
    }

    /// Shows a slot that begins what is kept of its track, if its way carries it soon enough.
    fn replay(&mut self, key: usize, now: Instant) {
        let Room { slots, tracks, peers, news, counters, .. } = self;
        let Some(slot) = slots[key].as_mut() else { return };
        let Some(id) = slot.source() else { return };
        let Some((pictures, bytes)) = tracks.get(&id).and_then(|track| track.cache.pictures(now)) else { return };
        let way = peers.get(&slot.peer).map_or(0, |peer| peer.estimate.unwrap_or(WAY_UNKNOWN_BPS));
        if bytes as f64 * 8.0 > way as f64 * CACHE_REPLAY_MAX.as_secs_f64() {
            return;
        }
        let (peer, index) = (slot.peer, slot.index);
        let mut packets = Vec::with_capacity(pictures.len());
        slot.replay(pictures, now, |header, packet| {
            packets.push((super::Forward { peer, slot: index, track: id, header }, packet.clone()));
        });
        counters.replayed += packets.len() as u64;
        news.push_back(News::Replay(packets));
        tell_slot(news, key, slot);
    }

    /// Tells the publisher which encodings of a track anybody watches, if that changed.
    fn activate(&mut self, id: TrackId, now: Instant) {
        let Some(track) = self.tracks.get_mut(&id) else { return };
        if track.expected.is_some_and(|until| until <= now) {
            track.expected = None;
        }
        let heard = track.kind == Kind::Audio && self.listeners.iter().any(|peer| *peer != track.owner);
        let best = track.encodings.iter().rposition(|encoding| encoding.watchers > 0);
        let best = best.or((heard || track.expected.is_some()).then_some(0));
        let mut changed = false;
        for (index, encoding) in track.encodings.iter_mut().enumerate() {
            let (news, again) = encoding.activate(best.is_some_and(|best| index <= best), now);
            changed |= news;
            if let Some(again) = again {
                track.again = Some(track.again.map_or(again, |old| old.min(again)));
                sooner(&mut self.wake, again);
            }
        }
        if changed && !track.queued {
            track.queued = true;
            self.news.push_back(News::Encodings(id));
        }
    }

    /// Looks at all layers and at those whose time has come.
    pub(super) fn look_at_layers(&mut self, now: Instant) {
        let mut stirred = Vec::new();
        let mut live = false;
        for (id, track) in &mut self.tracks {
            // Encoders stop the highest first, and a noisy picture may cost the small one frames that the large one keeps.
            let (mut changed, mut newest) = (false, None);
            for encoding in &mut track.encodings {
                changed |= encoding.judge(newest, now);
                newest = newest.max(encoding.head.map(|head| head.at()).filter(|_| !track.screen));
            }
            live |= track.kind == Kind::Video && track.encodings.iter().any(|encoding| encoding.live);
            let due = track.again.take_if(|again| *again <= now).is_some();
            if changed || due {
                stirred.extend(track.receivers.iter().filter_map(|key| Some(self.slots[*key].as_ref()?.peer)));
            }
            if due || track.expected.is_some_and(|until| until <= now) {
                self.rewatched.push(*id);
            }
        }
        stirred.extend(self.peers.iter().filter(|(_, peer)| peer.again.is_some_and(|again| again <= now)).map(|(id, _)| *id));
        stirred.into_iter().for_each(|peer| self.stir(peer));
        if live {
            sooner(&mut self.wake, now + LAYERS_PERIOD);
        }
    }

    /// What is sent to a receiver, by slot, and why it is not more.
    pub fn layers(&self, id: PeerId, now: Instant) -> Vec<SlotLayers> {
        let keys = self.peers.get(&id).map(|peer| peer.slots.as_slice()).unwrap_or_default();
        keys.iter().filter_map(|key| self.slot_layers(*key, now)).collect()
    }

    /// Which encodings of a publisher's tracks anybody watches.
    pub fn encodings(&self, id: PeerId) -> Vec<(TrackId, Vec<bool>)> {
        let tracks = self.peers.get(&id).map(|peer| peer.tracks.as_slice()).unwrap_or_default();
        tracks.iter().filter_map(|id| Some((*id, self.tracks.get(id)?.active()))).collect()
    }

    /// What a receiver's way is estimated to carry.
    pub fn estimate_of(&self, id: PeerId) -> Option<u64> {
        self.peers.get(&id)?.estimate
    }

    fn slot_layers(&self, key: usize, now: Instant) -> Option<SlotLayers> {
        let slot = self.slots[key].as_ref()?;
        let id = slot.source()?;
        let track = self.tracks.get(&id)?;
        let all = ladder(track, &Wish::default(), now);
        let worth = ladder(track, &slot.wish, now);
        let info = |step: &Step| LayerInfo { layer: step.layer, size: step.size, bps: step.bps };
        let wished = if slot.kind == Kind::Video { worth.last() } else { all.last() };
        let sent = slot.sent().map(|(encoding, layer)| {
            let layer = track.layer(encoding, layer);
            let step = all.iter().rev().find(|step| step.layer <= layer).or(all.first());
            LayerInfo {
                layer: step.map_or(layer, |step| step.layer.min_each(layer)),
                size: step.and_then(|step| step.size),
                bps: step.map_or(0, |step| step.bps),
            }
        });
        let best = track.is_simulcast().then(|| track.encodings.len() as u8 - 1);
        let limit = match (slot.state.reason, sent, wished, all.last()) {
            (Some(reason), ..) => Some(LayerLimit::Slot(reason)),
            (None, sent, Some(wished), _) if sent.is_none_or(|sent| sent.layer < wished.layer) => Some(LayerLimit::Bandwidth),
            (None, _, Some(wished), Some(best)) if wished.layer < best.layer => Some(LayerLimit::Size),
            (None, _, Some(wished), _) if best.is_some_and(|best| wished.layer.spatial < best) => Some(LayerLimit::NotPublished),
            (None, _, None, _) => Some(LayerLimit::NotPublished),
            _ => None,
        };
        Some(SlotLayers { slot: slot.index, track: id, codec: track.codec, sent, wished: wished.map(info), limit })
    }
}
