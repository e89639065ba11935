//! The command line: what is wrong with settings is said, tokens are made and taken, and nothing of them is in a log.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use futures_util::{SinkExt, StreamExt};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;

use crate::server::{Server, binary};

/// A folder of one test, gone with it.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("ninefold-e2e-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a folder");
        Folder(path)
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, text).expect("written");
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn run(arguments: &[&str], settings: &[(&str, &str)]) -> Output {
    let mut command = Command::new(binary());
    command.args(arguments).envs(settings.iter().copied()).output().expect("the binary is built: make build")
}

fn check(file: &Path) -> (bool, String) {
    let output = run(&["check", "--config", file.to_str().expect("a path of text")], &[]);
    let said = if output.status.success() { output.stdout } else { output.stderr };
    (output.status.success(), String::from_utf8(said).expect("it says text"))
}

#[test]
fn wrong_files_are_explained() {
    let folder = Folder::new("wrong");
    for (text, key, value, right) in [
        ("[http]\nlisten = \"localhost\"", "http.listen", "localhost", "an address and a port, such as \"127.0.0.1:8080\""),
        (
            "[http]\nlisten = \"0.0.0.0:8080\"",
            "http.listen",
            "0.0.0.0:8080",
            "auth.guests = \"join\" if everybody may join, and with http.tls",
        ),
        ("[http]\nbehind_proxy = true", "http.behind_proxy", "true", "or come with auth.keys, or auth.guests"),
        ("[http]\ntls_cert = \"cert.pem\"", "http.tls_cert", "cert.pem", "set together with http.tls_key"),
        (
            "[http]\ntls_cert = \"/nowhere/cert.pem\"\ntls_key = \"/nowhere/key.pem\"",
            "http.tls_cert",
            "/nowhere/cert.pem",
            "a PEM file with the certificate",
        ),
        ("[media]\nport = 70000", "media.port", "70000", "a port from 1 to 65"),
        ("[media]\nadvertise = [\"example.org\"]", "media.advertise", "example.org", "at most 8 addresses that a client can send to"),
        ("[media]\nshards = 1000", "media.shards", "1000", "a number from 1 to 256"),
        ("[auth]\nkeys = [\"main:HS256:c2hvcnQ=\"]", "auth.keys", "(not shown)", "key 1 (main): a secret has 32 to 1024 bytes"),
        ("[auth]\nguests = \"all\"", "auth.guests", "all", "\"none\" (only with a token) or \"join\""),
        ("[limits]\nparticipants = 5000", "limits.participants", "5000", "a number from 1 to 1000"),
        ("[log]\nlevel = \"loud\"", "log.level", "loud", "a level (off, error, warn"),
        ("[media]\nprot = 1", "media.prot", "", "there are http.listen, "),
        ("[auth]\nkeys = [\"main:HS256:c2hvcnQ=]", "the settings are not TOML", "line 2", "unclosed array"),
    ] {
        let (good, said) = check(&folder.file("wrong.toml", text));
        assert!(!good, "{text}");
        assert!(said.contains(key) && said.contains(value) && said.contains(right), "{text}\n{said}");
        assert!(!said.contains("c2hvcnQ"), "a secret: {said}");
    }
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/config.example.toml");
    assert_eq!(check(&example), (true, "the settings are good\n".to_owned()));
}

#[tokio::test]
async fn tokens_are_made_taken_and_in_no_log() {
    let folder = Folder::new("tokens");
    let line = String::from_utf8(run(&["token", "--new-key"], &[]).stdout).expect("text").trim().to_owned();
    let keys = [("NINEFOLD_AUTH__KEYS", &*line)];
    let token = |arguments: &[&str]| {
        let output = run(&[&["token"], arguments].concat(), &keys);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).expect("text").trim().to_owned()
    };
    let (admin, member) = (token(&["--admin", "--ttl", "5m"]), token(&["--room", "a", "--identity", "ada", "--publish", "none"]));

    let log = folder.0.join("log");
    let server = Server::start_logging(&[keys[0], ("NINEFOLD_LOG__LEVEL", "trace")], &log);
    let broken = format!("{member}x");
    for (token, status) in [(&admin, 200), (&member, 403), (&broken, 401)] {
        assert_eq!(get_with(&server, "/metrics", token).await, status);
        get_with(&server, "/api/v1/rooms/a", token).await;
        get_with(&server, "/nothing", token).await;
        // Whatever the join lacks, it had the token in it.
        let url = format!("ws://{}/api/v1/rooms/a/socket", server.target.authority());
        let (mut socket, _) = connect_async(url).await.expect("it is taken");
        let join = json!({ "type": "join", "id": 1, "name": "Ada", "offer": "v=0", "token": token });
        socket.send(Message::text(join.to_string())).await.expect("the line stands");
        while socket.next().await.is_some_and(|heard| heard.is_ok()) {}
    }
    server.stop().await;
    let log = std::fs::read_to_string(&log).expect("a log");
    assert!(log.contains("stopping"), "{log}");
    let secret = line.rsplit(':').next().expect("a secret");
    for part in [secret, &admin, &member].into_iter().chain(admin.split('.').skip(1)).chain(member.split('.').skip(1)) {
        assert!(!log.contains(part), "{part} is in the log:\n{log}");
    }
}

/// The status.
async fn get_with(server: &Server, path: &str, token: &str) -> u16 {
    let mut stream = TcpStream::connect(server.target.authority()).await.expect("it listens");
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n", server.target.authority());
    stream.write_all(request.as_bytes()).await.expect("it reads");
    let mut response = String::new();
    stream.read_to_string(&mut response).await.expect("text");
    assert!(!response.contains(token), "nothing of a token comes back: {response}");
    response.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status")
}
