//! The rules of chat: who may write, to whom, how much. Nothing is kept but the log of events.

use super::event::{Audience, Event, PeopleError};
use super::roster::Roster;
use crate::id::PeerId;
use crate::limits::CHAT_CHARS_MAX;

/// The event for a message, or why it is refused. Both ends must be in the roster: a viewer has no name to show beside the words.
pub(super) fn chat(
    roster: &Roster,
    from: PeerId,
    to: Option<PeerId>,
    text: String,
    time_ms: u64,
) -> Result<(Audience, Event), PeopleError> {
    for peer in [Some(from), to].into_iter().flatten() {
        if roster.is_viewer(peer) {
            return Err(PeopleError::Viewer);
        }
        roster.get(peer).ok_or(PeopleError::NoParticipant(peer))?;
    }
    if text.trim().is_empty() || text.chars().count() > CHAT_CHARS_MAX {
        return Err(PeopleError::BadText);
    }
    let audience = match to {
        None => Audience::All,
        Some(to) if to == from => Audience::Only(vec![from]),
        Some(to) => Audience::Only(vec![from, to]),
    };
    Ok((audience, Event::Chat { from, to, text, time_ms }))
}
