//! The further offers of a client: more slots, fewer senders, new ICE credentials.

use str0m::media::{Direction, MediaKind};

use super::{Client, Slot};

impl Client {
    /// One slot more, without ICE or media being disturbed.
    pub fn offer_more(&mut self) -> String {
        let mut changes = self.rtc.sdp_api();
        let mid = changes.add_media(MediaKind::Video, Direction::RecvOnly, None, None, None);
        let (offer, pending) = changes.apply().expect("something to offer");
        self.pending = Some(pending);
        let number = self.slots.len();
        self.slots.insert(mid, Slot { video: true, number, ..Slot::default() });
        offer.to_sdp_string()
    }

    /// The camera's section stops sending.
    pub fn offer_without_camera(&mut self) -> String {
        let mut changes = self.rtc.sdp_api();
        changes.set_direction(self.camera.take().expect("a camera"), Direction::Inactive);
        let (offer, pending) = changes.apply().expect("something to offer");
        self.pending = Some(pending);
        offer.to_sdp_string()
    }

    /// The first video slot stops, or receives again.
    pub fn offer_slot(&mut self, open: bool) -> String {
        let mid = *self.slots.iter().filter(|(_, s)| s.video).map(|(mid, _)| mid).min().expect("a slot");
        let mut changes = self.rtc.sdp_api();
        changes.set_direction(mid, if open { Direction::RecvOnly } else { Direction::Inactive });
        let (offer, pending) = changes.apply().expect("something to offer");
        self.pending = Some(pending);
        offer.to_sdp_string()
    }

    /// New ICE credentials.
    pub fn offer_restart(&mut self) -> String {
        let mut changes = self.rtc.sdp_api();
        changes.ice_restart(true);
        let (offer, pending) = changes.apply().expect("something to offer");
        self.pending = Some(pending);
        offer.to_sdp_string()
    }
}
