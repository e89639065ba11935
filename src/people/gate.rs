//! Who may come in: the settings that moderators change, the lobby, the bans.
//!
//! Limits: `LOBBY_MAX` wait, of them `LOBBY_PER_ADDRESS_MAX` guests of one address; `BANS_MAX` bans and `PERMITS_MAX` permits are remembered.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;

use super::event::{Doorway, Knock, PeopleError, Profile, Settings, SettingsChange, Waiting};
use crate::auth::{Publish, Rights};
use crate::id::PeerId;
use crate::limits::{BANS_MAX, LOBBY_MAX, LOBBY_PER_ADDRESS_MAX, PERMITS_MAX};

/// The room's gate.
#[derive(Debug, Default)]
pub(super) struct Gate {
    settings: Settings,
    lobby: Vec<Waiting>,
    /// Guests who wait, by their networks.
    addresses: BTreeMap<PeerId, IpAddr>,
    bans: VecDeque<Ban>,
    /// What moderators allowed to whom: it holds for one who comes back, too.
    permits: VecDeque<(String, Publish)>,
}

/// Who is not let in again. A guest's identity is made anew each time, so a guest is known by the address, if that tells people apart.
#[derive(Debug, PartialEq, Eq)]
enum Ban {
    Identity(String),
    Address(IpAddr),
}

impl Gate {
    pub(super) fn new(settings: Settings) -> Gate {
        Gate { settings, ..Gate::default() }
    }

    pub(super) fn settings(&self) -> Settings {
        self.settings
    }

    pub(super) fn lobby(&self) -> &[Waiting] {
        &self.lobby
    }

    /// True if that changed anything.
    pub(super) fn change(&mut self, change: SettingsChange) -> bool {
        let SettingsChange { locked, lobby, publish } = change;
        let old = self.settings;
        self.settings =
            Settings { locked: locked.unwrap_or(old.locked), lobby: lobby.unwrap_or(old.lobby), publish: publish.unwrap_or(old.publish) };
        self.settings != old
    }

    /// What somebody with these rights may publish now.
    pub(super) fn publishable(&self, rights: Rights) -> Publish {
        if rights.moderate { rights.publish } else { rights.publish.and(self.settings.publish) }
    }

    /// Lets in, lets wait (the caller tells the moderators), or refuses.
    pub(super) fn knock(&mut self, knock: &Knock) -> Result<Doorway, PeopleError> {
        if knock.rights.moderate {
            return Ok(Doorway::Open);
        }
        if self.settings.locked {
            return Err(PeopleError::Locked);
        }
        if !self.settings.lobby {
            return Ok(Doorway::Open);
        }
        // Behind an address of this machine everybody is the same.
        let from = knock.address.map(network).filter(|address| !address.is_loopback());
        let neighbours = self.addresses.values().filter(|address| Some(**address) == from).count();
        if self.lobby.len() >= LOBBY_MAX || neighbours >= LOBBY_PER_ADDRESS_MAX {
            return Err(PeopleError::LobbyFull);
        }
        let Profile { identity, name, metadata: _ } = knock.profile.clone();
        self.lobby.push(Waiting { peer: knock.peer, identity, name });
        if let Some(address) = from {
            self.addresses.insert(knock.peer, address);
        }
        Ok(Doorway::Lobby)
    }

    /// Takes somebody out of the lobby. `false`: nobody of that number waits.
    pub(super) fn take(&mut self, peer: PeerId) -> bool {
        let before = self.lobby.len();
        self.lobby.retain(|waiting| waiting.peer != peer);
        self.addresses.remove(&peer);
        self.lobby.len() < before
    }

    /// `address`: of a guest.
    pub(super) fn ban(&mut self, identity: String, address: Option<IpAddr>) {
        // Behind an address of this machine everybody is the same.
        let address = address.filter(|address| !address.to_canonical().is_loopback());
        for ban in [Some(Ban::Identity(identity)), address.map(|address| Ban::Address(network(address)))].into_iter().flatten() {
            if self.bans.len() == BANS_MAX {
                self.bans.pop_front();
            }
            self.bans.push_back(ban);
        }
    }

    /// Identity and network of one who waits.
    pub(super) fn traits(&self, peer: PeerId) -> Option<(String, Option<IpAddr>)> {
        let waiting = self.lobby.iter().find(|waiting| waiting.peer == peer)?;
        Some((waiting.identity.clone(), self.addresses.get(&peer).copied()))
    }

    /// A moderator has said what this identity may publish.
    pub(super) fn remember_permit(&mut self, identity: String, publish: Publish) {
        self.permits.retain(|(known, _)| *known != identity);
        if self.permits.len() == PERMITS_MAX {
            self.permits.pop_front();
        }
        self.permits.push_back((identity, publish));
    }

    /// The rights of somebody who enters: their own, but for what a moderator has said of them before.
    pub(super) fn permitted(&self, identity: &str, rights: Rights) -> Rights {
        let permit = self.permits.iter().find(|(known, _)| known == identity);
        Rights { publish: permit.map_or(rights.publish, |(_, publish)| *publish), ..rights }
    }

    pub(super) fn is_banned(&self, identity: &str, address: Option<IpAddr>) -> bool {
        let address = address.map(network);
        self.bans.iter().any(|ban| match ban {
            Ban::Identity(banned) => banned == identity,
            Ban::Address(banned) => address == Some(*banned),
        })
    }
}

/// What one household has: an IPv4 address, or an IPv6 network of 64 bits.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6((u128::from(v6) >> 64 << 64).into()),
        v4 @ IpAddr::V4(_) => v4,
    }
}
