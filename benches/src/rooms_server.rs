//! Our rooms as a service has them: tokens, an authority that is asked for each room, numbers, history, and the recorder of
//! metrics. Only the limits of an address are wider, since all members come from this machine.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;
use tramline_observability::metrics::{Recorder, RecorderConfig};
use tramline_ws_rooms::{
    Access, Authority, Backplane, Credential, Identity, PeerInfo, Publication, Refusal, RoomId, RoomRule,
    Rooms, RoomsConfig, SlowPolicy,
};

#[derive(Debug, Parser)]
struct Args {
    /// Where to listen for members
    listen: SocketAddr,
    /// Where to listen for what is published: a line each of `ROOM ID EVENT`
    control: SocketAddr,
}

/// More than any row has.
const CONNECTIONS: usize = 100_000;

/// Bytes that the kernel may hold unsent, as the reference system's gateway has it.
#[cfg(target_os = "linux")]
const UNSENT: u32 = 32 * 1024;

/// A token's life.
const QUARTER: Duration = Duration::from_secs(900);

/// Runs it on one thread until it is killed.
///
/// # Errors
///
/// If it cannot listen.
pub fn run() -> anyhow::Result<()> {
    let args = Args::parse();
    let _recorder = Recorder::global(&RecorderConfig::default()).context("the recorder")?;
    Builder::new_current_thread().enable_all().build()?.block_on(async {
        let rooms = Rooms::new(config(), Tokens, Backplane::memory());
        let members = TcpListener::bind(args.listen).await.context("cannot listen")?;
        let control = TcpListener::bind(args.control).await.context("cannot listen")?;
        tokio::spawn(publishers(control, rooms.clone()));
        loop {
            let (stream, from) = members.accept().await.context("cannot accept")?;
            stream.set_nodelay(true)?;
            #[cfg(target_os = "linux")]
            socket2::SockRef::from(&stream).set_tcp_notsent_lowat(UNSENT)?;
            let rooms = rooms.clone();
            let service = service_fn(move |request| {
                let rooms = rooms.clone();
                async move { answer(&rooms, request, from).await }
            });
            tokio::spawn(
                http1::Builder::new().serve_connection(TokioIo::new(stream), service).with_upgrades(),
            );
        }
    })
}

fn config() -> RoomsConfig {
    let mut config = RoomsConfig::default();
    config.limits.connections = CONNECTIONS;
    config.limits.connections_per_address = CONNECTIONS;
    config.rules = vec![RoomRule::prefix("slow:").on_slow(SlowPolicy::DropOldest)];
    config
}

async fn answer(
    rooms: &Rooms,
    request: Request<Incoming>,
    from: SocketAddr,
) -> Result<Response<String>, http::Error> {
    match rooms.upgrade(request, PeerInfo::new(from.ip())).await {
        Ok(response) => Ok(response.map(|()| String::new())),
        Err(refusal) => Response::builder().status(refusal.status).body(refusal.code.to_owned()),
    }
}

async fn publishers(listener: TcpListener, rooms: Rooms) -> anyhow::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(publish(stream, rooms.clone()));
    }
}

async fn publish(stream: TcpStream, rooms: Rooms) -> anyhow::Result<()> {
    let mut lines = BufReader::new(stream).lines();
    while let Some(line) = lines.next_line().await? {
        let mut parts = line.splitn(3, ' ');
        let mut next = || parts.next().context("a short line");
        let (room, id, event) = (RoomId::parse(next()?)?, next()?, next()?);
        rooms.publish(Publication::new(id, vec![room], event)?).await?;
    }
    Ok(())
}

/// Tokens are user ids.
struct Tokens;

impl Authority for Tokens {
    async fn authenticate(&self, credential: Credential, _: &PeerInfo) -> Result<Identity, Refusal> {
        let Credential::Bearer(user) = credential else { return Err(Refusal::unauthenticated()) };
        let mut identity = Identity::new(&user, &user, Timestamp::now() + QUARTER);
        identity.token = user;
        Ok(identity)
    }

    async fn may_join(&self, _: &Identity, room: &RoomId) -> Access {
        let known = ["room:", "slow:"].iter().any(|prefix| room.as_str().starts_with(prefix));
        if known { Access::Allowed } else { Access::Forbidden }
    }
}
