//! Which of this machine's addresses are announced to clients.
//!
//! The naive way is to announce what a socket is bound to (`0.0.0.0` helps nobody) or only loopback (Firefox never sends media there). So the
//! interfaces are read, what no client can reach is left out, and the one with the default route comes first:
//!
//! ```text
//! the system ──► Interface (described) ──► usable() ──► at most MEDIA_ADDRESSES_MAX addresses
//! ```
//!
//! Left out: what is down, loopback (unless pages are on loopback too), link-local addresses, bridges, and the host's end of container links.
//! Who wants such an address names it in `media.advertise`, which replaces all of this.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use crate::limits::MEDIA_ADDRESSES_MAX;

/// The addresses to bind and announce, the best first. Those of loopback are among them while `http` is on loopback: then the page may run on
/// this machine. An error is the system's, which could not list its interfaces.
pub fn usable_addresses(http_is_loopback: bool) -> io::Result<Vec<IpAddr>> {
    Ok(usable(&read_interfaces()?, http_is_loopback))
}

/// All addresses of this machine, whoever reaches them: what a certificate of our own is for.
pub fn own_addresses() -> io::Result<Vec<IpAddr>> {
    Ok(read_interfaces()?.into_iter().flat_map(|interface| interface.addresses).collect())
}

/// One interface as the system describes it.
#[derive(Clone, Debug)]
struct Interface {
    name: String,
    is_up: bool,
    /// It is a bridge, or a port of one.
    is_bridged: bool,
    /// It has the default route of IPv4 or IPv6.
    is_default: bool,
    addresses: Vec<IpAddr>,
}

/// Beginnings of names that container engines and hypervisors give to what is theirs on the host.
const CONTAINER_NAMES: &[&str] =
    &["docker", "br-", "virbr", "vnet", "lxcbr", "lxdbr", "podman", "cni", "flannel", "cali", "vmnet", "vboxnet"];

fn usable(interfaces: &[Interface], with_loopback: bool) -> Vec<IpAddr> {
    let mut sorted: Vec<&Interface> = interfaces.iter().filter(|interface| interface.is_reached()).collect();
    sorted.sort_by_key(|interface| !interface.is_default);
    let found = sorted.iter().flat_map(|interface| interface.addresses.iter().copied()).filter(|ip| is_global_enough(*ip));

    // Loopback has its places kept, so that a machine with many addresses still serves its own pages.
    let loopback: Vec<IpAddr> = interfaces
        .iter()
        .filter(|interface| with_loopback && interface.is_up)
        .flat_map(|interface| interface.addresses.iter().copied())
        .filter(|ip| *ip == Ipv4Addr::LOCALHOST || *ip == Ipv6Addr::LOCALHOST)
        .collect();
    let mut addresses = Vec::new();
    for ip in found {
        if !addresses.contains(&ip) && addresses.len() + loopback.len() < MEDIA_ADDRESSES_MAX {
            addresses.push(ip);
        }
    }
    addresses.extend(loopback);
    addresses
}

impl Interface {
    fn is_reached(&self) -> bool {
        self.is_up && !self.is_bridged && !is_container_name(&self.name)
    }
}

fn is_container_name(name: &str) -> bool {
    // The host's end of a container link is veth and a number in hexadecimal. Inside the container, or in a namespace made by hand, the
    // other end has a name of its own and is the way out.
    let is_host_end = |rest: &str| rest.len() >= 6 && rest.chars().all(|c| c.is_ascii_hexdigit());
    name.strip_prefix("veth").is_some_and(is_host_end) || CONTAINER_NAMES.iter().any(|begin| name.starts_with(begin))
}

/// Not loopback, not link-local, not unspecified, not multicast: private networks are fine, that is where most offices are.
fn is_global_enough(ip: IpAddr) -> bool {
    let is_link_local = match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    !is_link_local && !ip.is_loopback() && !ip.is_unspecified() && !ip.is_multicast()
}

fn read_interfaces() -> io::Result<Vec<Interface>> {
    let defaults = default_interfaces(&read_or_empty("/proc/net/route"), &read_or_empty("/proc/net/ipv6_route"));
    let mut interfaces: Vec<Interface> = Vec::new();
    // The list has one entry for each address, in the system's order.
    for entry in if_addrs::get_if_addrs()? {
        let ip = entry.ip();
        if let Some(known) = interfaces.iter_mut().find(|interface| interface.name == entry.name) {
            known.addresses.push(ip);
            continue;
        }
        let system = Path::new("/sys/class/net").join(&entry.name);
        interfaces.push(Interface {
            is_up: entry.is_oper_up(),
            is_bridged: system.join("bridge").exists() || system.join("brport").exists(),
            is_default: defaults.contains(&entry.name),
            addresses: vec![ip],
            name: entry.name,
        });
    }
    Ok(interfaces)
}

/// Without the file (another system, a closed container) no interface is the default one, and the system's order stays.
fn read_or_empty(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// The interfaces of the default routes, from the kernel's tables: `route` has the destination in its second column and the flags in its
/// fourth, `ipv6_route` the destination first, its prefix length second, flags ninth and the interface last.
fn default_interfaces(route: &str, ipv6_route: &str) -> Vec<String> {
    // RTF_UP, and not RTF_REJECT: the kernel keeps an unreachable default for IPv6.
    let is_used = |flags: &str| u32::from_str_radix(flags, 16).is_ok_and(|flags| flags & 1 != 0 && flags & 0x200 == 0);
    let v4 = route.lines().skip(1).filter_map(|line| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let [name, destination, _, flags, ..] = columns[..] else { return None };
        (destination == "00000000" && is_used(flags)).then(|| name.to_owned())
    });
    let v6 = ipv6_route.lines().filter_map(|line| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let [destination, length, .., flags, name] = columns[..] else { return None };
        (destination.chars().all(|c| c == '0') && length == "00" && is_used(flags)).then(|| name.to_owned())
    });
    v4.chain(v6).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interface(name: &str, addresses: &[&str]) -> Interface {
        let addresses = addresses.iter().map(|text| text.parse().expect("an address")).collect();
        Interface { name: name.to_owned(), is_up: true, is_bridged: false, is_default: false, addresses }
    }

    fn lo() -> Interface {
        interface("lo", &["127.0.0.1", "::1"])
    }

    #[track_caller]
    fn gives(interfaces: &[Interface], with_loopback: bool, expected: &[&str]) {
        let found: Vec<String> = usable(interfaces, with_loopback).iter().map(IpAddr::to_string).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_laptop() {
        let wifi = interface("wlp2s0", &["192.168.1.7", "2001:db8::7", "fe80::1"]);
        gives(&[lo(), wifi.clone()], true, &["192.168.1.7", "2001:db8::7", "127.0.0.1", "::1"]);
        gives(&[lo(), wifi], false, &["192.168.1.7", "2001:db8::7"]);
    }

    #[test]
    fn no_network_leaves_loopback() {
        gives(&[lo()], true, &["127.0.0.1", "::1"]);
        gives(&[lo()], false, &[]);
        gives(&[interface("lo", &["127.0.0.1"])], true, &["127.0.0.1"]);
    }

    #[test]
    fn the_default_route_comes_first() {
        let lan = interface("eth0", &["10.0.0.1"]);
        let out = Interface { is_default: true, ..interface("eth1", &["192.0.2.1"]) };
        gives(&[lan, out], false, &["192.0.2.1", "10.0.0.1"]);
    }

    #[test]
    fn what_nobody_reaches_is_left_out() {
        gives(&[Interface { is_up: false, ..interface("eth0", &["10.0.0.1"]) }], false, &[]);
        gives(&[Interface { is_bridged: true, ..interface("lan", &["10.0.0.1"]) }], false, &[]);
        gives(&[interface("eth0", &["169.254.1.1", "fe80::1", "0.0.0.0", "ff02::1"])], false, &[]);
        for name in ["docker0", "br-0123456789ab", "veth12ab34f", "virbr0", "cni0", "flannel.1", "podman0", "cali0123"] {
            gives(&[interface(name, &["172.17.0.1"])], false, &[]);
        }
    }

    #[test]
    fn the_inner_end_of_a_link_is_the_way_out() {
        for name in ["eth0", "nf0", "veth0", "vethtest", "veth-server", "host0", "breeze0"] {
            gives(&[interface(name, &["192.0.2.1"])], false, &["192.0.2.1"]);
        }
    }

    #[test]
    fn there_is_a_maximum_with_places_for_loopback() {
        let many: Vec<String> = (1..20).map(|number| format!("192.0.2.{number}")).collect();
        let many = interface("eth0", &many.iter().map(String::as_str).collect::<Vec<_>>());
        let with = usable(&[lo(), many.clone()], true);
        assert_eq!(with.len(), MEDIA_ADDRESSES_MAX);
        assert_eq!(with.iter().filter(|ip| ip.is_loopback()).count(), 2);
        assert_eq!(usable(&[lo(), many], false).len(), MEDIA_ADDRESSES_MAX);
    }

    #[test]
    fn an_address_is_announced_once() {
        gives(&[interface("eth0", &["192.0.2.1"]), interface("macvlan0", &["192.0.2.1"])], false, &["192.0.2.1"]);
    }

    #[test]
    fn default_routes_are_read_from_the_kernel() {
        let route = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\n\
                     eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\n\
                     eth1\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\n\
                     eth2\t00000000\t010200C0\t0200\t0\t0\t0\t00000000\n";
        let zeros = "0".repeat(32);
        let line = |length: &str, flags: &str, name: &str| {
            format!("{zeros} {length} {zeros} 00 {zeros} 00000400 00000002 00000000 {flags} {name}\n")
        };
        let ipv6 = [line("00", "00000003", "wlan0"), line("00", "00200200", "lo"), line("40", "00000001", "eth3")].concat();
        assert_eq!(default_interfaces(route, &ipv6), ["eth0", "wlan0"]);
        assert_eq!(default_interfaces("", "nonsense"), [] as [&str; 0]);
    }

    #[test]
    fn this_machine_has_loopback() {
        let addresses = usable_addresses(true).expect("the system lists its interfaces");
        assert!(addresses.contains(&IpAddr::V4(Ipv4Addr::LOCALHOST)), "{addresses:?}");
        assert!(addresses.len() <= MEDIA_ADDRESSES_MAX);
    }
}
