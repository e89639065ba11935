//! str0m behind our words.

/// A parsed SDP offer.
#[derive(Debug)]
pub struct Offer;
/// An answer, ready to be printed.
#[derive(Debug)]
pub struct Answer;
/// A WebRTC peer.
#[derive(Debug)]
pub struct Peer;
