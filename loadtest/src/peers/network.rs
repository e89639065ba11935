//! Two networks with a cable between them: one for the server, one for the bots. Servers such as Janus take no media on loopback.
//!
//! It takes root, and what was made is gone when the value is dropped.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::process::Command;

/// Where servers are reached.
pub const SERVER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const BOTS: &str = "192.0.2.2/24";

/// A pair of network namespaces.
#[derive(Debug)]
pub struct Network {
    names: Vec<String>,
}

impl Network {
    /// Makes them, or says why it cannot.
    pub fn make() -> Result<Network, String> {
        let mut network = Network { names: vec![] };
        let stem = format!("ninefold-peers-{}-{:04x}", std::process::id(), fastrand::u16(..));
        // Each is noted when it is there, so that an error takes down what there is.
        for end in ["server", "bots"] {
            let name = format!("{stem}-{end}");
            ip(&["netns", "add", &name])?;
            network.names.push(name);
        }
        let [server, bots] = [&network.names[0], &network.names[1]];
        ip(&["-n", server, "link", "add", "nf0", "type", "veth", "peer", "name", "nf0", "netns", bots])?;
        for (name, address) in [(server, format!("{SERVER}/24")), (bots, BOTS.to_owned())] {
            ip(&["-n", name, "link", "set", "lo", "up"])?;
            ip(&["-n", name, "address", "add", &address, "dev", "nf0"])?;
            ip(&["-n", name, "link", "set", "nf0", "up"])?;
        }
        Ok(network)
    }

    /// Runs a program where servers are.
    pub fn server(&self, program: &Path) -> Command {
        self.inside(0, program)
    }

    /// Runs a program where bots are.
    pub fn bots(&self, program: &Path) -> Command {
        self.inside(1, program)
    }

    /// `ip` becomes the program, so its number is the program's.
    fn inside(&self, end: usize, program: &Path) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.names[end]]).arg(program);
        command
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for name in &self.names {
            if let Err(error) = ip(&["netns", "delete", name]) {
                eprintln!("the network namespace {name} is still there: {error}");
            }
        }
    }
}

fn ip(arguments: &[&str]) -> Result<(), String> {
    let failed =
        |why: &str| format!("no network of its own can be made here (ip {}): {why}. It takes root and iproute2", arguments.join(" "));
    let output = Command::new("ip").args(arguments).output().map_err(|error| failed(&error.to_string()))?;
    if output.status.success() { Ok(()) } else { Err(failed(String::from_utf8_lossy(&output.stderr).trim())) }
}
