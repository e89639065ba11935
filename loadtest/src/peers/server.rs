//! The servers that are compared, each in its best setting: a process of its own for every run.

use std::fmt;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::child::Running;
use super::network::{Network, SERVER};

/// Both listen here; nobody else is in their network.
const PORT: u16 = 8188;
/// A server that takes longer does not start.
const START_TIMEOUT: Duration = Duration::from_secs(10);
/// Between two looks at whether it listens.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Bytes of its log that an error shows.
const LOG_TAIL: usize = 2_000;

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// Ours.
    Ninefold,
    /// Janus with two event loops, one for each core of the machine where it was found best; without them it has a thread for each connection.
    Janus,
}

/// A running server. Dropped, it is killed, and its folder removed.
#[derive(Debug)]
pub struct Server {
    peer: Peer,
    child: Running,
    /// Last, so that it goes after the process.
    folder: Folder,
}

#[derive(Debug)]
struct Folder(PathBuf);

impl Peer {
    /// As the bots' command line has it.
    pub fn target(self) -> &'static str {
        match self {
            Peer::Ninefold => "ninefold",
            Peer::Janus => "janus",
        }
    }

    /// Where bots go.
    pub fn url(self) -> String {
        let scheme = match self {
            Peer::Ninefold => "http",
            Peer::Janus => "ws",
        };
        format!("{scheme}://{}", SocketAddr::new(SERVER, PORT))
    }

    /// It is installed, as far as one can tell.
    pub fn is_here(self) -> bool {
        self == Peer::Ninefold || janus().is_some()
    }

    fn command(self, network: &Network, ninefold: &Path, folder: &Path) -> Result<Command, String> {
        match self {
            Peer::Ninefold => Ok(ninefold_command(network, ninefold)),
            Peer::Janus => janus_command(network, folder),
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Peer::Ninefold => "Ninefold",
            Peer::Janus => "Janus",
        })
    }
}

impl Server {
    /// Starts one and waits until it listens.
    pub async fn start(peer: Peer, network: &Network, ninefold: &Path) -> Result<Server, String> {
        let folder = Folder::make()?;
        let log = folder.0.join("log");
        let file = || File::create(&log).and_then(|file| Ok((file.try_clone()?, file)));
        let (out, err) = file().map_err(|error| format!("cannot write {}: {error}", log.display()))?;
        let mut command = peer.command(network, ninefold, &folder.0)?;
        let child = Running::start(command.stdin(Stdio::null()).stdout(out).stderr(err));
        let child = child.map_err(|error| format!("{peer} cannot be started: {error}"))?;
        let pid = child.pid();
        let mut server = Server { peer, child, folder };
        let deadline = Instant::now() + START_TIMEOUT;
        while !listens(pid) {
            if server.child.has_ended() || Instant::now() > deadline {
                return Err(server.failure("it does not start"));
            }
            sleep(LOOK_EVERY).await;
        }
        Ok(server)
    }

    /// The number of its process.
    pub fn pid(&self) -> u32 {
        self.child.pid()
    }

    /// What went wrong, with the end of its log.
    pub fn failure(&self, what: &str) -> String {
        let log = fs::read_to_string(self.folder.0.join("log")).unwrap_or_default();
        let from = log.char_indices().rev().nth(LOG_TAIL).map_or(0, |(at, _)| at);
        format!("{}: {what}. The end of its log:\n{}", self.peer, &log[from..])
    }
}

impl Folder {
    fn make() -> Result<Folder, String> {
        let path = std::env::temp_dir().join(format!("ninefold-peers-{}-{:08x}", std::process::id(), fastrand::u32(..)));
        fs::create_dir(&path).map_err(|error| format!("cannot make {}: {error}", path.display()))?;
        Ok(Folder(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left of it is in the system's folder for such things.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Everybody may join, all bots come from one address, and as many sounds are heard as Janus sends: all.
fn ninefold_command(network: &Network, ninefold: &Path) -> Command {
    let mut command = network.server(ninefold);
    command.arg("serve").envs([
        ("NINEFOLD_HTTP__LISTEN", SocketAddr::new(SERVER, PORT).to_string()),
        ("NINEFOLD_HTTP__BEHIND_PROXY", "true".to_owned()),
        ("NINEFOLD_MEDIA__ADVERTISE", SERVER.to_string()),
        ("NINEFOLD_AUTH__GUESTS", "join".to_owned()),
        ("NINEFOLD_LIMITS__GUEST_JOINS_PER_MINUTE", "100000".to_owned()),
        ("NINEFOLD_LIMITS__CONNECTIONS_PER_ADDRESS", "10000".to_owned()),
        ("NINEFOLD_LIMITS__VOICES", "9".to_owned()),
        ("NINEFOLD_LOG__LEVEL", "warn".to_owned()),
    ]);
    command
}

fn janus_command(network: &Network, folder: &Path) -> Result<Command, String> {
    furnish_janus(folder).map_err(|error| format!("the settings of Janus cannot be written: {error}"))?;
    let janus = janus().ok_or("there is no Janus on this machine: `bash .ci/packages janus=janus` installs it")?;
    let mut command = network.server(janus);
    command.arg(format!("--configs-folder={}", folder.display()));
    Ok(command)
}

fn janus() -> Option<&'static Path> {
    Some(Path::new("/usr/bin/janus")).filter(|path| path.exists())
}

/// Settings, and folders with nothing in them but one transport and one plugin.
fn furnish_janus(folder: &Path) -> std::io::Result<()> {
    for (kind, library) in [("transports", "libjanus_websockets.so"), ("plugins", "libjanus_videoroom.so"), ("events", ""), ("loggers", "")]
    {
        fs::create_dir(folder.join(kind))?;
        if !library.is_empty() {
            symlink(library_folder()?.join(kind).join(library), folder.join(kind).join(library))?;
        }
    }
    let folder_of = |kind: &str| folder.join(kind).display().to_string();
    let (plugins, transports, events, loggers) = (folder_of("plugins"), folder_of("transports"), folder_of("events"), folder_of("loggers"));
    let general = format!(
        "general: {{\n configs_folder = \"{}\"\n plugins_folder = \"{plugins}\"\n transports_folder = \"{transports}\"\n \
         events_folder = \"{events}\"\n loggers_folder = \"{loggers}\"\n debug_level = 2\n event_loops = 2\n}}\n",
        folder.display()
    );
    fs::write(folder.join("janus.jcfg"), general)?;
    let websockets =
        format!("general: {{\n json = \"compact\"\n ws = true\n ws_port = {PORT}\n wss = false\n}}\nadmin: {{ admin_ws = false }}\n");
    fs::write(folder.join("janus.transport.websockets.jcfg"), websockets)?;
    fs::write(folder.join("janus.plugin.videoroom.jcfg"), "general: { }\n")
}

/// Where the package has its libraries: the folder's name has the machine's kind in it.
fn library_folder() -> std::io::Result<PathBuf> {
    let folders = fs::read_dir("/usr/lib")?.flatten().map(|entry| entry.path().join("janus"));
    let found = folders.filter(|path| path.join("plugins").is_dir()).last();
    found.ok_or_else(|| {
        std::io::Error::new(std::io::ErrorKind::NotFound, "there is no /usr/lib/*/janus: `bash .ci/packages janus=janus` installs it")
    })
}

/// Whether a socket listens on our port in the network of this process.
fn listens(pid: u32) -> bool {
    let listening = |file: &str| {
        let sockets = fs::read_to_string(format!("/proc/{pid}/net/{file}")).unwrap_or_default();
        sockets.lines().any(|line| is_listening(line, PORT))
    };
    listening("tcp") || listening("tcp6")
}

fn is_listening(line: &str, port: u16) -> bool {
    let mut words = line.split_ascii_whitespace().skip(1);
    let (local, state) = (words.next(), words.nth(1));
    state == Some("0A") && local.is_some_and(|local| local.ends_with(&format!(":{port:04X}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_that_listen() {
        let line = "   0: 010200C0:1FFC 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0";
        assert!(is_listening(line, 8188));
        assert!(!is_listening(line, 8189));
        assert!(!is_listening(&line.replace(" 0A ", " 01 "), 8188));
        assert!(!is_listening("  sl  local_address rem_address   st", 8188));
    }
}
