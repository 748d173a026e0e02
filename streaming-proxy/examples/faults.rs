//! What clients see of one bad address among three, with and without passing it over.
//!
//! `cargo run --release -p tramline-streaming-proxy --example faults [SECONDS]`
//!
//! Three origins in this process, of which the third is well, hung (takes requests and says nothing), dead (refuses
//! connections) or slow (answers after 200 ms); 32 clients, each with one request after the other; a second as the limit
//! for a head. «Without» is in turns, with nothing passed over; «with» is what an upstream does by default.

use std::convert::Infallible;
use std::future::pending;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Parser;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;
use tower::Layer;
use tramline_streaming_proxy::config::{Balance, Timeouts};
use tramline_streaming_proxy::layer::respond::RespondLayer;
use tramline_streaming_proxy::server::{RequestBody, ServerConfig, serve};
use tramline_streaming_proxy::{Forwarder, ProxyConfig, Route, Routes, Upstream, UpstreamConfig};

/// Compares the two, fault by fault.
#[derive(Debug, Parser)]
struct Args {
    /// How long each run takes
    #[arg(default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=60))]
    seconds: u64,
}

const CLIENTS: usize = 32;
const SLOW: Duration = Duration::from_millis(200);

#[derive(Clone, Copy, Debug)]
enum Third {
    Well,
    Hung,
    Dead,
    Slow,
}

/// What the clients of one run have seen.
#[derive(Default)]
struct Seen {
    millis: Vec<f64>,
    failed: usize,
}

#[tokio::main]
#[expect(clippy::print_stdout, reason = "its output")]
async fn main() -> anyhow::Result<()> {
    let Args { seconds } = Args::parse();
    println!("| third address | passed over | answered | failed | p50 ms | p99 ms | slowest ms |");
    println!("|---|---|---|---|---|---|---|");
    for third in [Third::Well, Third::Hung, Third::Dead, Third::Slow] {
        for with in [false, true] {
            let Seen { mut millis, failed } = run(third, with, Duration::from_secs(seconds)).await?;
            millis.sort_by(f64::total_cmp);
            let at = |part: f64| at(&millis, part);
            println!(
                "| {} | {} | {} | {failed} | {:.2} | {:.2} | {:.0} |",
                format!("{third:?}").to_lowercase(),
                if with { "yes" } else { "no" },
                millis.len() - failed,
                at(0.5),
                at(0.99),
                at(1.0)
            );
        }
    }
    Ok(())
}

async fn run(third: Third, with: bool, time: Duration) -> anyhow::Result<Seen> {
    let mut tasks = Vec::new();
    let mut addresses = Vec::new();
    for third in [Third::Well, Third::Well, third] {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        addresses.push(listener.local_addr()?.to_string());
        tasks.extend(origin(listener, third));
    }
    let mut config = UpstreamConfig::default();
    if !with {
        config.balance = Balance::RoundRobin;
        config.failures = u32::MAX;
        (config.avoid, config.avoid_max) = (Duration::ZERO, Duration::ZERO);
    }
    let mut timeouts = Timeouts::default();
    timeouts.response_header = Some(Duration::from_secs(1));
    let upstream = Upstream::new("origins", addresses, config)?;
    let routes = Routes::new([Route::new("/", upstream).with_timeouts(timeouts)])?;
    let proxy = RespondLayer::new().layer(Forwarder::new(ProxyConfig::default(), routes));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let front = listener.local_addr()?;
    tasks.push(tokio::spawn(serve(listener, proxy, ServerConfig::default(), pending())).abort_handle());
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        clients.spawn(client(front, Instant::now() + time));
    }
    let mut all = Seen::default();
    while let Some(seen) = clients.join_next().await {
        let Seen { millis, failed } = seen??;
        all.millis.extend(millis);
        all.failed += failed;
    }
    tasks.iter().for_each(AbortHandle::abort);
    Ok(all)
}

fn origin(listener: TcpListener, third: Third) -> Option<AbortHandle> {
    let pause = match third {
        Third::Well => Some(Duration::ZERO),
        Third::Slow => Some(SLOW),
        Third::Hung => None,
        // Its port is closed with the listener.
        Third::Dead => return None,
    };
    let service = tower::service_fn(move |_: Request<RequestBody>| async move {
        match pause {
            Some(Duration::ZERO) => {}
            Some(pause) => tokio::time::sleep(pause).await,
            None => pending().await,
        }
        Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(b"ok"))))
    });
    Some(tokio::spawn(serve(listener, service, ServerConfig::default(), pending())).abort_handle())
}

async fn client(front: SocketAddr, end: Instant) -> anyhow::Result<Seen> {
    let mut stream = TcpStream::connect(front).await?;
    stream.set_nodelay(true)?;
    let (mut seen, mut buffer) = (Seen::default(), Vec::new());
    while Instant::now() < end {
        let start = Instant::now();
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await?;
        let status = answer(&mut stream, &mut buffer).await?;
        seen.millis.push(start.elapsed().as_secs_f64() * 1000.0);
        seen.failed += usize::from(status != *b"200");
    }
    Ok(seen)
}

/// Reads one answer, all of which have a length.
async fn answer(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> anyhow::Result<[u8; 3]> {
    loop {
        if let Some(end) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8(buffer.drain(..end + 4).collect())?.to_ascii_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            let length: usize = length.context("a length")?.parse()?;
            while buffer.len() < length {
                more(stream, buffer).await?;
            }
            buffer.drain(..length);
            return head.as_bytes().get(9..12).and_then(|status| status.try_into().ok()).context("a status");
        }
        more(stream, buffer).await?;
    }
}

async fn more(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> anyhow::Result<()> {
    if stream.read_buf(buffer).await? == 0 {
        bail!("the proxy closed the connection");
    }
    Ok(())
}

/// The value below which this part of them is, which are in order.
fn at(values: &[f64], part: f64) -> f64 {
    let last = u32::try_from(values.len().saturating_sub(1)).unwrap_or(u32::MAX);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a part of a length")]
    let index = (f64::from(last) * part) as usize;
    values.get(index).copied().unwrap_or_default()
}
