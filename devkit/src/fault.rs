//! A TCP proxy that misbehaves on demand.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::time::Duration;

use anyhow::Context;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time;

/// How much one read takes when nothing is throttled.
const CHUNK: usize = 16 * 1024;

/// Chunks on their way in one direction. Small, so that a throttled receiver is felt by the sender.
const IN_FLIGHT: usize = 16;

/// A throttled connection moves about this often a second.
const STEPS: u32 = 20;

/// A TCP proxy on loopback in front of one server. Passes everything through until told otherwise.
///
/// Settings apply at once, to open and to new connections, and add up until [`heal`](Self::heal).
/// Its address stays the same. Dropping it closes every connection.
#[derive(Debug)]
pub struct Fault {
    addr: SocketAddr,
    weather: watch::Sender<Weather>,
    owner: JoinHandle<()>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Weather {
    /// Counts cuts, so that one that is healed at once still ends what was open.
    cuts: u64,
    refusing: bool,
    silent: bool,
    answers_held: bool,
    delay: Duration,
    bytes_per_second: Option<NonZeroU32>,
}

// === impl Fault ===

impl Fault {
    /// Starts a proxy in front of `upstream`, which need not be there yet.
    ///
    /// # Errors
    ///
    /// If no port is free.
    ///
    /// # Cancel safety
    ///
    /// If dropped, nothing stays.
    pub async fn new(upstream: SocketAddr) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let addr = listener.local_addr()?;
        let (weather, seen) = watch::channel(Weather::default());
        let owner = tokio::spawn(run(listener, upstream, seen));
        Ok(Self { addr, weather, owner })
    }

    /// Starts a proxy in front of the host and port of `url`, and returns it with the URL to use.
    ///
    /// # Errors
    ///
    /// If the URL names no host and port, or no port is free.
    ///
    /// # Cancel safety
    ///
    /// If dropped, nothing stays.
    pub async fn in_front_of(url: &str) -> anyhow::Result<(Self, String)> {
        let (start, end) = host_range(url).context("a URL without a host")?;
        let upstream = tokio::net::lookup_host(&url[start..end])
            .await
            .with_context(|| format!("{url} needs a host and a port"))?
            .next()
            .context("no such host")?;
        let fault = Self::new(upstream).await?;
        let through = fault.url(url);
        Ok((fault, through))
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The same URL, through this proxy.
    #[must_use]
    pub fn url(&self, url: &str) -> String {
        match host_range(url) {
            Some((start, end)) => format!("{}{}{}", &url[..start], self.addr, &url[end..]),
            None => url.to_owned(),
        }
    }

    /// Holds every byte for `delay`, in each direction. The rate stays the same.
    pub fn delay(&self, delay: Duration) {
        self.weather.send_modify(|weather| weather.delay = delay);
    }

    /// Resets every connection, and each new one as soon as it is made.
    pub fn cut(&self) {
        self.weather.send_modify(|weather| {
            weather.cuts += 1;
            weather.refusing = true;
        });
    }

    /// Resets every connection that is open now; new ones are welcome.
    pub fn cut_once(&self) {
        self.weather.send_modify(|weather| weather.cuts += 1);
    }

    /// Lets nothing through any more, without closing anything: as when a cable is pulled.
    ///
    /// New connections are accepted, and hear nothing. What is sent meanwhile arrives after
    /// [`heal`](Self::heal), as it would with TCP.
    pub fn half_open(&self) {
        self.weather.send_modify(|weather| weather.silent = true);
    }

    /// Lets everything through to the server, and nothing back: what is asked is done, and nobody hears of it.
    ///
    /// Answers arrive after [`heal`](Self::heal), unless their connection has been cut by then.
    pub fn hold_answers(&self) {
        self.weather.send_modify(|weather| weather.answers_held = true);
    }

    /// Lets so many bytes a second through, for each connection and direction. Zero counts as one.
    pub fn throttle(&self, bytes_per_second: u32) {
        let rate = NonZeroU32::new(bytes_per_second).unwrap_or(NonZeroU32::MIN);
        self.weather.send_modify(|weather| weather.bytes_per_second = Some(rate));
    }

    /// Passes everything through again. Connections that were cut stay cut.
    pub fn heal(&self) {
        self.weather.send_modify(|weather| {
            *weather = Weather { cuts: weather.cuts, ..Weather::default() };
        });
    }
}

impl Drop for Fault {
    fn drop(&mut self) {
        self.owner.abort();
    }
}

/// Where `host:port` stands in a URL.
fn host_range(url: &str) -> Option<(usize, usize)> {
    let authority = url.find("://")? + 3;
    let end = url[authority..].find(['/', '?', '#']).map_or(url.len(), |at| authority + at);
    let start = url[authority..end].rfind('@').map_or(authority, |at| authority + at + 1);
    Some((start, end))
}

/// Owns the listener and every connection.
async fn run(listener: TcpListener, upstream: SocketAddr, weather: watch::Receiver<Weather>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((client, _)) => {
                    connections.spawn(connection(client, upstream, weather.clone()));
                }
                // Out of descriptors, or the client left before we came: go on.
                Err(_) => time::sleep(Duration::from_millis(10)).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connection(client: TcpStream, upstream: SocketAddr, mut weather: watch::Receiver<Weather>) {
    let now = *weather.borrow_and_update();
    if now.refusing {
        reset(&client);
        return;
    }
    let mut cut = weather.clone();
    let ended = tokio::select! {
        ended = relay(client, upstream, weather) => ended,
        // The relay's sockets are dropped with it; it has set them to reset.
        _ = cut.wait_for(|weather| weather.cuts != now.cuts) => return,
    };
    // Both sides have been told what there was to tell.
    let _ = ended;
}

async fn relay(
    mut client: TcpStream,
    upstream: SocketAddr,
    mut weather: watch::Receiver<Weather>,
) -> io::Result<()> {
    // Whatever ends this early, a cut included, is a reset. In good order both sides were shut
    // down before, and the setting is taken back.
    reset(&client);
    audible(&mut weather, Way::ToServer).await;
    let mut server = TcpStream::connect(upstream).await?;
    reset(&server);
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    {
        let (client_read, client_write) = client.split();
        let (server_read, server_write) = server.split();
        tokio::try_join!(
            pump(client_read, server_write, weather.clone(), Way::ToServer),
            pump(server_read, client_write, weather.clone(), Way::Back),
        )?;
    }
    gentle(&client);
    gentle(&server);
    Ok(())
}

/// Closing will reset the connection.
fn reset(socket: &TcpStream) {
    // It fails only when the socket is closed already.
    let _ = socket.set_zero_linger();
}

/// Closing will be in good order again.
fn gentle(socket: &TcpStream) {
    let _ = socket2::SockRef::from(socket).set_linger(None);
}

/// Where bytes are going.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Way {
    ToServer,
    Back,
}

/// Returns once bytes may pass.
async fn audible(weather: &mut watch::Receiver<Weather>, way: Way) {
    let passes = |weather: &Weather| !(weather.silent || weather.answers_held && way == Way::Back);
    if weather.wait_for(passes).await.is_err() {
        // The proxy is being dropped, and we with it.
        std::future::pending::<()>().await;
    }
}

/// Moves one direction: a reader that stamps chunks, a writer that lets them out when they are due.
async fn pump(
    reader: ReadHalf<'_>,
    writer: WriteHalf<'_>,
    weather: watch::Receiver<Weather>,
    way: Way,
) -> io::Result<()> {
    let (chunks, due) = mpsc::channel(IN_FLIGHT);
    tokio::try_join!(take_in(reader, chunks, weather.clone(), way), let_out(writer, due, weather, way))?;
    Ok(())
}

struct Chunk {
    due: time::Instant,
    /// Empty for the end of the stream.
    bytes: Vec<u8>,
}

async fn take_in(
    mut reader: ReadHalf<'_>,
    chunks: mpsc::Sender<Chunk>,
    mut weather: watch::Receiver<Weather>,
    way: Way,
) -> io::Result<()> {
    let mut buffer = vec![0; CHUNK];
    loop {
        audible(&mut weather, way).await;
        let now = *weather.borrow_and_update();
        let step = now
            .bytes_per_second
            .map_or(CHUNK, |rate| usize::try_from(rate.get() / STEPS).unwrap_or(CHUNK).clamp(1, CHUNK));
        let length = tokio::select! {
            biased;
            // ORDER: a change wins over bytes that are there, which then see the new weather.
            Ok(()) = weather.changed() => continue,
            length = reader.read(&mut buffer[..step]) => length?,
        };
        let chunk = Chunk { due: time::Instant::now() + now.delay, bytes: buffer[..length].to_vec() };
        if chunks.send(chunk).await.is_err() || length == 0 {
            return Ok(());
        }
    }
}

async fn let_out(
    mut writer: WriteHalf<'_>,
    mut chunks: mpsc::Receiver<Chunk>,
    mut weather: watch::Receiver<Weather>,
    way: Way,
) -> io::Result<()> {
    // When a throttled line is free again. A late timer does not make the line slower: it goes on from when it was due.
    let mut free = time::Instant::now();
    while let Some(chunk) = chunks.recv().await {
        time::sleep_until(chunk.due).await;
        audible(&mut weather, way).await;
        if chunk.bytes.is_empty() {
            return writer.shutdown().await;
        }
        writer.write_all(&chunk.bytes).await?;
        let rate = weather.borrow().bytes_per_second;
        if let Some(rate) = rate {
            let seconds = chunk.bytes.len() as f64 / f64::from(rate.get());
            free = free.max(chunk.due) + Duration::from_secs_f64(seconds);
            time::sleep_until(free).await;
        }
    }
    Ok(())
}
