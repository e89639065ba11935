//! What handlers take from a request, checked: the room's name, a participant's number, a JSON body, the page's origin, the client's address,
//! and who the client is.
//!
//! Each fails with our own [`Error`], so no text of the framework reaches a client.

use std::net::{IpAddr, SocketAddr};
use std::time::SystemTime;

use axum::body::to_bytes;
use axum::extract::{ConnectInfo, FromRequest, FromRequestParts, RawPathParams, Request};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::error::{Code, Error};
use super::{App, client};
use crate::auth::Grants;
use crate::id::{BadRoomName, PeerId, RoomName};
use crate::limits::{REQUEST_BODY_TIMEOUT, REST_BODY_BYTES_MAX};

/// The `{room}` of the path.
#[derive(Debug)]
pub struct InRoom(pub RoomName);

impl<S: Send + Sync> FromRequestParts<S> for InRoom {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<InRoom, Error> {
        let name = path_param(parts, state, "room").await.ok_or(BadRoomName)?;
        Ok(InRoom(RoomName::parse(&name)?))
    }
}

/// The `{participant}` of the path.
#[derive(Debug)]
pub struct OfParticipant(pub PeerId);

impl<S: Send + Sync> FromRequestParts<S> for OfParticipant {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<OfParticipant, Error> {
        let number = path_param(parts, state, "participant").await.and_then(|text| text.parse().ok());
        let number = number.ok_or_else(|| Error::new(Code::NoParticipant, "participants are numbers"))?;
        Ok(OfParticipant(PeerId(number)))
    }
}

/// One part of the path, percent-decoded. `None`: what is encoded is no UTF-8.
async fn path_param<S: Send + Sync>(parts: &mut Parts, state: &S, name: &str) -> Option<String> {
    let params = RawPathParams::from_request_parts(parts, state).await.ok()?;
    params.iter().find(|(key, _)| *key == name).map(|(_, value)| value.to_owned())
}

/// A body of JSON. It must say so: a form of another site can send text to us without asking, but not with this content type.
#[derive(Debug)]
pub struct JsonBody<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for JsonBody<T> {
    type Rejection = Error;

    async fn from_request(request: Request, _state: &S) -> Result<JsonBody<T>, Error> {
        if !is_json(request.headers()) {
            return Err(Error::new(Code::NotJson, "the body must be JSON, with the content type application/json"));
        }
        let too_large = || Error::new(Code::TooLarge, format!("a body has at most {REST_BODY_BYTES_MAX} bytes"));
        let late = || Error::new(Code::RequestTimeout, "the body did not come in time");
        let read = timeout(REQUEST_BODY_TIMEOUT, to_bytes(request.into_body(), REST_BODY_BYTES_MAX));
        let body = read.await.map_err(|_| late())?.map_err(|_| too_large())?;
        serde_json::from_slice(&body).map(JsonBody).map_err(Error::bad_message)
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let essence = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).and_then(|value| value.split(';').next());
    essence.is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/json"))
}

/// The request comes from our own page or from no page. Browsers let any site open a WebSocket to us, so a foreign `Origin` is refused; programs
/// that are no browsers send none.
#[derive(Debug)]
pub struct OwnOrigin;

impl FromRequestParts<App> for OwnOrigin {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<OwnOrigin, Error> {
        if !client::is_own_origin(&parts.headers, app.behind_proxy) {
            return Err(Error::new(Code::ForeignOrigin, "the page comes from another site"));
        }
        Ok(OwnOrigin)
    }
}

/// Where the client is: the other end of the connection, or what the proxy of the settings says.
#[derive(Clone, Copy, Debug)]
pub struct ClientAddress(pub IpAddr);

impl FromRequestParts<App> for ClientAddress {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<ClientAddress, Error> {
        let connection = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        let ConnectInfo(address) = connection.ok_or_else(|| Error::new(Code::ServerError, "the connection has no address"))?;
        let forwarded = client::forwarded_for(&parts.headers).filter(|_| app.behind_proxy);
        Ok(ClientAddress(forwarded.unwrap_or_else(|| address.ip().to_canonical())))
    }
}

/// Who asks, by the token in `Authorization: Bearer …` or without one. Another scheme is somebody else's, such as a proxy's.
#[derive(Clone, Debug)]
pub struct Caller {
    grants: Grants,
    has_token: bool,
}

impl FromRequestParts<App> for Caller {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Caller, Error> {
        let token = bearer(&parts.headers)?;
        Ok(Caller { grants: app.access.grants(token, unix_now())?, has_token: token.is_some() })
    }
}

impl Caller {
    /// May do everything through the API.
    pub fn require_admin(self) -> Result<Grants, Error> {
        if self.grants.admin { Ok(self.grants) } else { Err(self.refused("this is for admins")) }
    }

    /// May moderate this room.
    pub fn require_moderator(&self, room: &RoomName) -> Result<(), Error> {
        if self.grants.admin || (self.grants.rights.moderate && self.grants.rooms.include(room)) {
            return Ok(());
        }
        let code = if self.grants.rooms.include(room) { Code::NotAllowed } else { Code::WrongRoom };
        let message = if code == Code::WrongRoom { "the token is for another room" } else { "this is for moderators of the room" };
        Err(if self.has_token { Error::new(code, message) } else { self.refused(message) })
    }

    /// Whoever has a token has the wrong one; whoever has none may find one.
    fn refused(&self, message: &str) -> Error {
        Error::new(if self.has_token { Code::NotAllowed } else { Code::TokenNeeded }, message)
    }
}

/// The token, if one is shown.
fn bearer(headers: &HeaderMap) -> Result<Option<&str>, Error> {
    let mut shown = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (shown.next(), shown.next()) else {
        return if headers.contains_key(AUTHORIZATION) { Err(Error::new(Code::BadToken, "there are two tokens")) } else { Ok(None) };
    };
    let text = value.to_str().map_err(|_| Error::new(Code::BadToken, "the token is no text"))?;
    Ok(text.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).map(|(_, token)| token.trim()))
}

/// Seconds since 1970, for what a token says about times.
pub fn unix_now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::{Rights, Rooms};

    fn headers(pairs: &[(axum::http::HeaderName, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), value.parse().expect("a header value"))).collect()
    }

    #[test]
    fn tokens_in_headers() {
        for (values, token) in [
            (&[][..], Ok(None)),
            (&["Bearer abc.def"], Ok(Some("abc.def"))),
            (&["bearer  abc "], Ok(Some("abc"))),
            (&["Bearer "], Ok(Some(""))),
            (&["Basic abc"], Ok(None)),
            (&["Bearer abc", "Bearer def"], Err(Code::BadToken)),
        ] {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(AUTHORIZATION, value.parse().expect("a header value"));
            }
            assert_eq!(bearer(&headers).map_err(|error| error.code()), token, "{values:?}");
        }
    }

    #[test]
    fn what_callers_may() {
        let room = |name| RoomName::parse(name).expect("a name");
        let member =
            Grants { identity: None, name: None, metadata: None, rooms: Rooms::One(room("a")), rights: Rights::MEMBER, admin: false };
        let moderator = Grants { rights: Rights::MODERATOR, ..member.clone() };
        let admin = Grants { rooms: Rooms::Any, rights: Rights::MODERATOR, admin: true, ..member.clone() };
        let guest = Grants { rooms: Rooms::Any, ..member.clone() };
        let (forbidden, elsewhere, needed) = (Err(Code::NotAllowed), Err(Code::WrongRoom), Err(Code::TokenNeeded));
        for (grants, has_token, as_admin, in_a, in_b) in [
            (admin, true, Ok(()), Ok(()), Ok(())),
            (moderator, true, forbidden, Ok(()), elsewhere),
            (member, true, forbidden, forbidden, elsewhere),
            (guest, false, needed, needed, needed),
        ] {
            let caller = Caller { grants, has_token };
            assert_eq!(caller.require_moderator(&room("a")).map_err(|error| error.code()), in_a, "{caller:?}");
            assert_eq!(caller.require_moderator(&room("b")).map_err(|error| error.code()), in_b, "{caller:?}");
            assert_eq!(caller.clone().require_admin().map(drop).map_err(|error| error.code()), as_admin, "{caller:?}");
        }
    }

    #[test]
    fn content_types() {
        for (value, json) in [("application/json", true), ("Application/JSON; charset=utf-8", true), ("text/plain", false), ("", false)] {
            assert_eq!(is_json(&headers(&[(CONTENT_TYPE, value)])), json, "{value}");
        }
        assert!(!is_json(&HeaderMap::new()));
    }
}
