//! Who gets in, with a token and without one.
//!
//! ```text
//!                    token                       no token
//! open server        judged                      everything (only this machine reaches it)
//! guests may join    judged                      a member of every room, no moderator, no admin
//! otherwise          judged                      refused
//! ```
//!
//! A token that is shown is judged, whatever the server would grant without one: a page that brings an expired token is told so and does not
//! find itself a guest.

use super::grants::{Grants, Rights, Rooms};
use super::keys::Keys;
use super::token::{self, Denied};

/// What somebody without a token may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unknown {
    /// Nothing.
    Refused,
    /// Join rooms.
    Guest,
    /// Everything: the server is reached from its own machine only.
    Anything,
}

/// The door's book: keys, and what is granted without one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    keys: Keys,
    unknown: Unknown,
}

impl Access {
    /// With these keys, and this for those without a token.
    pub fn new(keys: Keys, unknown: Unknown) -> Access {
        Access { keys, unknown }
    }

    /// What is granted without a token.
    pub fn unknown(&self) -> Unknown {
        self.unknown
    }

    /// What whoever brings this may do at this time, in seconds since 1970.
    pub fn grants(&self, token: Option<&str>, unix_s: u64) -> Result<Grants, Denied> {
        let nameless = |rights, admin| Grants { identity: None, name: None, metadata: None, rooms: Rooms::Any, rights, admin };
        match (token, self.unknown) {
            (Some(token), _) => token::verify(token, &self.keys, unix_s),
            (None, Unknown::Refused) => Err(Denied::NoToken),
            (None, Unknown::Guest) => Ok(nameless(Rights::MEMBER, false)),
            (None, Unknown::Anything) => Ok(nameless(Rights::MODERATOR, true)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::keys::secret_line;
    use super::super::token::{Claims, mint};
    use super::*;

    const NOW: u64 = 1_800_000_000;

    #[test]
    fn with_a_token_and_without() {
        let keys = Keys::parse([&*secret_line("main", &[1; 32])]).expect("a key");
        let signer = keys.find(None).and_then(|key| key.signer()).expect("a secret signs");
        let claims = |exp| Claims { room: Some("a".into()), publish: Some(vec![]), exp, ..Claims::default() };
        let good = mint(&claims(NOW + 60), &signer).expect("a token");
        let old = mint(&claims(NOW - 60), &signer).expect("a token");
        let granted = claims(NOW).grants().expect("good claims");
        let guest = Grants { identity: None, name: None, metadata: None, rooms: Rooms::Any, rights: Rights::MEMBER, admin: false };
        let anybody = Grants { rights: Rights::MODERATOR, admin: true, ..guest.clone() };
        for (unknown, without) in [(Unknown::Refused, Err(Denied::NoToken)), (Unknown::Guest, Ok(guest)), (Unknown::Anything, Ok(anybody))]
        {
            let access = Access::new(keys.clone(), unknown);
            assert_eq!(access.grants(None, NOW), without, "{unknown:?}");
            assert_eq!(access.grants(Some(&good), NOW), Ok(granted.clone()), "{unknown:?}");
            assert_eq!(access.grants(Some(&old), NOW), Err(Denied::Expired), "{unknown:?}");
            assert!(matches!(access.grants(Some(""), NOW), Err(Denied::Malformed(_))), "{unknown:?}");
            let keyless = Access::new(Keys::default(), unknown);
            assert_eq!(keyless.grants(Some(&good), NOW), Err(Denied::UnknownKey), "{unknown:?}");
        }
    }
}
