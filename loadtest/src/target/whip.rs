//! WHIP to send (RFC 9725) and WHEP to watch (draft-ietf-wish-whep): an offer by POST, the answer in its response, DELETE to leave.
//!
//! No trickle: all candidates of the server are in its answer, and it learns ours from the first check. Whose media a viewer sees, nobody says.

use std::time::Instant;

use ninefold::api::protocol::ErrorBody;

use super::{BotError, Entered, Link, described, open, sends};
use crate::client::{BotKit, Client};
use crate::http::{Request, Response, Url};
use crate::signal::Gone;

const SDP: &str = "application/sdp";
/// A server may send us on so often (RFC 9725, 4.5).
const REDIRECTS_MAX: usize = 3;

/// Two endpoints of one stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WhipPlace {
    /// Where one sends.
    pub whip: Url,
    /// Where one watches.
    pub whep: Url,
}

/// What is left of the signalling: whom to tell that one leaves.
pub(crate) struct Session {
    resource: Url,
    token: Option<String>,
}

/// A response, as it is meant.
#[derive(Debug, PartialEq, Eq)]
enum Meant {
    /// The session is there, and this is the answer.
    Made(Url),
    /// Ask there.
    Elsewhere(Url),
}

pub(super) async fn enter(place: &WhipPlace, kit: &BotKit, began: Instant) -> Result<Entered, BotError> {
    // Made media says whose it is, and nobody here gives out numbers.
    let (mut client, offer) = Client::plain(kit, fastrand::u32(1..), began);
    let mut url = if sends(kit) { place.whip.clone() } else { place.whep.clone() };
    let (resource, answer) = post(&mut url, kit, &offer).await?;
    client.seen.times.joined = Some(began.elapsed());
    let answer = described(kit, &answer);
    let session = Session { resource, token: kit.token.clone() };
    let entered = async {
        let (carrier, path) = open(kit, &answer).await?;
        client.handle_answer(&answer, Some(path), Instant::now()).map_err(BotError::BadAnswer)?;
        Ok(carrier)
    };
    match entered.await {
        Ok(carrier) => Ok(Entered { link: Link::Whip(session), client, carrier }),
        Err(error) => {
            // The session must not stay behind; the error says more than how this went.
            session.leave().await;
            Err(error)
        }
    }
}

async fn post(url: &mut Url, kit: &BotKit, offer: &str) -> Result<(Url, String), BotError> {
    for _ in 0..=REDIRECTS_MAX {
        let request = Request { method: "POST", path: &url.path, bearer: kit.token.as_deref(), body: Some((SDP, offer)) };
        let response = url.target.send(&request).await?;
        match meant(url, &response)? {
            Meant::Made(resource) => return Ok((resource, response.body)),
            Meant::Elsewhere(there) => *url = there,
        }
    }
    Err(BotError::BadAnswer(format!("more than {REDIRECTS_MAX} redirections, the last to {url}")))
}

fn meant(url: &Url, response: &Response) -> Result<Meant, BotError> {
    let bad = |why: String| BotError::BadAnswer(format!("{url}: {why}"));
    let location = || response.header("location").ok_or_else(|| bad(format!("status {} without a Location", response.status)));
    let there = |location: &str| url.join(location).map_err(|why| bad(format!("its Location {location:?}: {why}")));
    let hint = match response.status {
        201 => {
            let kind = response.header("content-type").and_then(|kind| kind.split(';').next()).unwrap_or_default();
            if !kind.trim().eq_ignore_ascii_case(SDP) {
                return Err(bad(format!("an answer of the type {kind:?} instead of {SDP}")));
            }
            return there(location()?).map(Meant::Made);
        }
        307 | 308 => return there(location()?).map(Meant::Elsewhere),
        401 | 403 => "it wants another token",
        404 | 405 => "there is no such endpoint; is the path right?",
        406 => "it does not take our offer, and an offer of its own is not understood here",
        409 => "nobody sends there yet, or somebody does already",
        503 => "it is full or not ready",
        _ => "",
    };
    let message = [hint, &response.words()].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(": ");
    Err(BotError::Refused(ErrorBody { code: response.status.to_string(), message: format!("{url}: {message}") }))
}

impl Session {
    /// Ends the session.
    pub(crate) async fn leave(&self) -> Gone {
        let Session { resource, token } = self;
        let request = Request { method: "DELETE", path: &resource.path, bearer: token.as_deref(), body: None };
        match resource.target.send(&request).await {
            Ok(Response { status: 200..300, .. }) => Gone::Closed(None),
            Ok(response) => Gone::Refused(format!("DELETE {resource}: status {} {}", response.status, response.words())),
            Err(error) => Gone::Lost(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(status: u16, head: &[&str]) -> Response {
        Response { status, head: head.iter().map(|line| (*line).to_owned()).collect(), body: "no\n".into() }
    }

    #[test]
    fn what_responses_mean() {
        let url: Url = "http://a:1/whip/x".parse().expect("a resource");
        let meant = |status, head: &[&str]| meant(&url, &response(status, head)).map_err(|error| error.to_string());
        let there = |url: &str| url.parse::<Url>().expect("a resource");
        assert_eq!(meant(201, &["location: /s/A", "content-type: application/sdp"]), Ok(Meant::Made(there("http://a:1/s/A"))));
        assert_eq!(meant(201, &["location:s", "content-type:Application/SDP; charset=x"]), Ok(Meant::Made(there("http://a:1/whip/s"))));
        assert_eq!(meant(307, &["location: http://b:2/y"]), Ok(Meant::Elsewhere(there("http://b:2/y"))));
        let refused = |status, head: &[&str]| meant(status, head).expect_err("a refusal");
        for (status, head, said) in [
            (201, &["content-type: application/sdp"][..], "without a Location"),
            (201, &["location: /s"], "instead of application/sdp"),
            (201, &["location: https://b/s", "content-type: application/sdp"], "https is not supported"),
            (200, &[], "(200): http://a:1/whip/x: no"),
            (308, &[], "without a Location"),
            (401, &[], "it wants another token: no"),
            (404, &[], "is the path right?"),
            (406, &[], "does not take our offer"),
            (503, &[], "full or not ready"),
            (599, &[], "(599)"),
        ] {
            assert!(refused(status, head).contains(said), "{status}: {}", refused(status, head));
        }
    }
}
