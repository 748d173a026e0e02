//! What the bare proxies share: their command line, their threads, and the header work that every proxy of the
//! measurement does.

mod headers;

use std::future::Future;
use std::net::SocketAddr;
use std::thread;

use anyhow::Context;
use clap::Parser;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime;
use tokio::task::LocalSet;

pub use crate::headers::{request, response};

/// What each of them takes.
#[derive(Clone, Debug, Parser)]
pub struct Args {
    /// Where to listen
    pub listen: SocketAddr,
    /// Where to forward to
    pub upstream: SocketAddr,
    /// How many threads
    #[arg(long, default_value_t = 1)]
    pub threads: u16,
}

/// Runs `each` for every connection, with what `state` made for its thread: each thread has a runtime and a
/// listener of its own on the shared port.
pub fn run<S, F, Fut>(state: impl Fn(&Args) -> S + Copy + Send + 'static, each: F) -> anyhow::Result<()>
where
    S: Clone + 'static,
    F: Fn(TcpStream, SocketAddr, S) -> Fut + Copy + Send + 'static,
    Fut: Future<Output = ()> + 'static,
{
    let args = Args::parse();
    let mut threads = Vec::new();
    for _ in 0..args.threads.max(1) {
        let (args, listener) = (args.clone(), listen(args.listen).context("cannot listen")?);
        threads.push(thread::spawn(move || work(listener, state(&args), each)));
    }
    for thread in threads {
        thread.join().map_err(|_| anyhow::anyhow!("a thread panicked"))??;
    }
    Ok(())
}

fn work<S, F, Fut>(listener: std::net::TcpListener, state: S, each: F) -> anyhow::Result<()>
where
    S: Clone + 'static,
    F: Fn(TcpStream, SocketAddr, S) -> Fut,
    Fut: Future<Output = ()> + 'static,
{
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, async move {
        let listener = TcpListener::from_std(listener)?;
        loop {
            let (stream, peer) = listener.accept().await?;
            stream.set_nodelay(true)?;
            tokio::task::spawn_local(each(stream, peer, state.clone()));
        }
    })
}

fn listen(addr: SocketAddr) -> anyhow::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    socket.listen(4096)?;
    Ok(socket.into())
}
