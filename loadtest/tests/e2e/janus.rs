//! Bots in a VideoRoom of Janus. Skipped, with the reason, where there is no Janus or no right to make networks.

use std::path::Path;
use std::process::{Output, Stdio};

use ninefold_loadtest::peers::{Figures, Network, Peer, Server};

use crate::server::binary;

async fn case(network: &Network, arguments: &[&str]) -> Output {
    let mut command = network.bots(Path::new(env!("CARGO_BIN_EXE_ninefold-peers")));
    command.arg("case").args(["--target", "janus"]).args(arguments).stdin(Stdio::null());
    tokio::task::spawn_blocking(move || command.output().expect("it starts")).await.expect("it ends")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn janus_forwards_to_bots_that_decrypt() {
    if !Peer::Janus.is_here() {
        return println!("skipped: there is no Janus on this machine; `bash .ci/packages janus=janus` installs it");
    }
    let network = match Network::make() {
        Ok(network) => network,
        Err(why) => return println!("skipped: {why}"),
    };
    let janus = Server::start(Peer::Janus, &network, &binary()).await.unwrap_or_else(|error| panic!("{error}"));
    let (url, pid) = (Peer::Janus.url(), janus.pid().to_string());
    let at = ["--url", &url, "--pid", &pid, "--bitrate", "300kbit", "--duration", "1s"];
    for crowd in [["--publishers", "1", "--viewers", "3"], ["--publishers", "3", "--viewers", "0"]] {
        let output = case(&network, &[&at[..], &crowd].concat()).await;
        let errors = String::from_utf8_lossy(&output.stderr);
        let figures: Figures = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", janus.failure(&errors)));
        assert!(figures.failures == 0 && figures.lost == 0.0 && figures.packets_per_s > 100.0, "{crowd:?}: {figures:?}");
        // Where pictures begin is its own affair. Whose they are is not.
        assert!(figures.faults.iter().all(|fault| fault.ends_with("begins without a keyframe")), "{crowd:?}: {figures:?}");
    }
    // Its room went with who made it, and nobody is where nothing listens.
    let nobody = case(&network, &["--url", "ws://192.0.2.1:1", "--pid", &pid]).await;
    let said = String::from_utf8_lossy(&nobody.stderr);
    assert!(nobody.status.code() == Some(2) && said.contains("nobody answers at"), "{said}");
}
