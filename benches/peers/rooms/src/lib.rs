//! What the room servers share: their command line, and the port where events are published.

use std::net::SocketAddr;

use anyhow::Context;
use clap::Parser;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// What each of them takes.
#[derive(Clone, Debug, Parser)]
pub struct Args {
    /// Where to listen for members
    pub listen: SocketAddr,
    /// Where to listen for what is published: a line each of `ROOM ID EVENT`
    pub control: SocketAddr,
}

/// Runs a server on one thread, with what comes to its ports.
///
/// # Errors
///
/// If it cannot listen, or `serve` ends with an error.
pub fn run<F>(serve: impl FnOnce(TcpListener, TcpListener) -> F) -> anyhow::Result<()>
where
    F: Future<Output = anyhow::Result<()>>,
{
    let args = Args::parse();
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let members = TcpListener::bind(args.listen).await.context("cannot listen")?;
        let control = TcpListener::bind(args.control).await.context("cannot listen")?;
        serve(members, control).await
    })
}

/// Hands each event over that is published, with its room.
///
/// # Errors
///
/// If the port is gone.
pub async fn publishers<F>(control: TcpListener, publish: F) -> anyhow::Result<()>
where
    F: AsyncFn(&str, &str),
{
    loop {
        let (stream, _) = control.accept().await?;
        // One at a time: there is one, after whoever asked whether the port is there.
        if let Err(error) = lines(stream, &publish).await {
            eprintln!("a publisher: {error:#}");
        }
    }
}

async fn lines<F: AsyncFn(&str, &str)>(stream: TcpStream, publish: &F) -> anyhow::Result<()> {
    let mut lines = BufReader::new(stream).lines();
    while let Some(line) = lines.next_line().await? {
        let mut parts = line.splitn(3, ' ');
        let (room, event) = (parts.next().context("no room")?, parts.nth(1).context("no event")?);
        publish(room, event).await;
    }
    Ok(())
}
