//! TCP connections to the relay's address pass to the server as they are: media by ICE-TCP has the same numbers, and is what is left when UDP is
//! blocked. No condition is about them.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};

use super::CLIENTS_MAX;

/// A running passage. It ends, with its connections, when this is dropped.
#[derive(Debug)]
pub struct Passage {
    /// Where it is.
    pub address: SocketAddr,
    task: JoinHandle<()>,
}

impl Passage {
    /// Passes what connects to `listen` to the server at `to`. Port 0: any that is free.
    pub async fn start(listen: SocketAddr, to: SocketAddr) -> io::Result<Passage> {
        let listener = TcpListener::bind(listen).await?;
        let address = listener.local_addr()?;
        Ok(Passage { address, task: tokio::spawn(accept(listener, to)) })
    }
}

impl Drop for Passage {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, to: SocketAddr) {
    let places = Arc::new(Semaphore::new(CLIENTS_MAX));
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        // Who finds no place waits in the system's queue.
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else { continue };
        connections.spawn(async move {
            // Either side may end it in any way; the other one is told by the end.
            let _ = pass(stream, to).await;
            drop(place);
        });
    }
}

async fn pass(mut client: TcpStream, to: SocketAddr) -> io::Result<()> {
    let mut server = TcpStream::connect(to).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    copy_bidirectional(&mut client, &mut server).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test]
    async fn bytes_and_ends_pass_both_ways() {
        let server = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let to = server.local_addr().expect("an address");
        let passage = Passage::start(([127, 0, 0, 1], 0).into(), to).await.expect("a passage");
        let mut client = TcpStream::connect(passage.address).await.expect("a connection");
        let (mut accepted, _) = server.accept().await.expect("the other end");
        let mut four = [0; 4];
        client.write_all(b"ping").await.expect("it can");
        accepted.read_exact(&mut four).await.expect("it comes");
        accepted.write_all(b"pong").await.expect("it can");
        client.read_exact(&mut four).await.expect("it comes");
        assert_eq!(&four, b"pong");
        drop(accepted);
        assert_eq!(client.read(&mut four).await.expect("an end"), 0);
        drop(server);
        let mut refused = TcpStream::connect(passage.address).await.expect("a connection");
        assert_eq!(refused.read(&mut four).await.unwrap_or(0), 0, "nobody is there");
    }
}
