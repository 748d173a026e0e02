//! A proxy on sockets of this machine, a client before it and an origin behind it, all on one thread.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tower::ServiceBuilder;
use tramline_streaming_proxy::layer::respond::RespondLayer;
use tramline_streaming_proxy::server::{ServerConfig, serve};
use tramline_streaming_proxy::{Forwarder, ProxyConfig, Route, Routes, Upstream, UpstreamConfig};

use crate::strict::{self, Kind, Message, Read};

/// All of it.
#[derive(Debug)]
pub struct Bed {
    runtime: Runtime,
    front: SocketAddr,
    behind: Arc<Behind>,
}

/// What the origin has seen and is to say.
#[derive(Debug, Default)]
struct Behind {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    seen: Vec<Message>,
    /// Bytes for the next requests, and whether the connection is closed after them.
    script: Option<(Vec<u8>, bool)>,
    /// Grows whenever something arrives.
    moved: u64,
}

/// What came of one connection.
#[derive(Debug)]
pub struct Came {
    /// What the client got, to the end of its connection.
    pub answered: Vec<u8>,
    /// What the origin got whole.
    pub seen: Vec<Message>,
}

/// The body of the origin's own answers.
pub const PLAIN: &[u8] = b"the origin's own words";

/// How often everybody gets a turn without anything arriving before there is peace. A byte passes the loopback at
/// once, and the longest way (client, proxy, origin and back) is a few turns.
const PEACE: u32 = 48;

/// What does not end in this time hangs. Nothing is expected to take a thousandth of it.
const HANG: Duration = Duration::from_secs(8);

// === impl Bed ===

impl Bed {
    /// Starts it.
    ///
    /// # Panics
    ///
    /// If the machine has no sockets left.
    #[must_use]
    pub fn start() -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let behind = Arc::new(Behind::default());
        let front = runtime.block_on(async {
            let origin = TcpListener::bind("127.0.0.1:0").await.expect("the origin's listener");
            let address = origin.local_addr().expect("its address").to_string();
            tokio::spawn(accept(origin, behind.clone()));
            let upstream = Upstream::new("origin", [address], UpstreamConfig::default());
            let routes = Routes::new([Route::new("/", upstream.expect("an upstream"))]).expect("routes");
            let forwarder = Forwarder::new(ProxyConfig::default(), routes);
            let service = ServiceBuilder::new().layer(RespondLayer::new()).service(forwarder);
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("the proxy's listener");
            let front = listener.local_addr().expect("its address");
            tokio::spawn(serve(listener, service, ServerConfig::default(), std::future::pending()));
            front
        });
        Self { runtime, front, behind }
    }

    /// Sends `bytes` on a connection of their own, waits until nothing moves any more, and ends it.
    ///
    /// Requests whose path is `/script` are answered with `script`, after which the origin closes its connection if it
    /// says so; all others with [`PLAIN`]. What `then` makes of what was answered is sent too: hyper does not see that
    /// a client has left while another request of its lies unread, so a request behind one that hangs would hang too.
    ///
    /// # Panics
    ///
    /// If the origin gets what is no request, the proxy does not close, or the answer is lost by a reset.
    pub fn send(
        &self,
        bytes: &[u8],
        script: Option<(Vec<u8>, bool)>,
        then: impl FnOnce(&[u8]) -> &'static [u8],
    ) -> Came {
        *self.behind.lock() = State { script, ..State::default() };
        let answered = self.runtime.block_on(async {
            let exchange = tokio::time::timeout(HANG, self.exchange(bytes, then));
            exchange.await.expect("the proxy does not end").expect("the client's connection broke")
        });
        Came { answered, seen: std::mem::take(&mut self.behind.lock().seen) }
    }

    async fn exchange(
        &self,
        bytes: &[u8],
        then: impl FnOnce(&[u8]) -> &'static [u8],
    ) -> std::io::Result<Vec<u8>> {
        let mut stream = TcpStream::connect(self.front).await?;
        stream.set_nodelay(true)?;
        stream.write_all(bytes).await?;
        let mut answered = Vec::new();
        self.peace(Some((&stream, &mut answered))).await?;
        let more = then(&answered);
        if !more.is_empty() {
            stream.write_all(more).await?;
            self.peace(Some((&stream, &mut answered))).await?;
        }
        // A client that leaves cancels what is under way: nothing is, or it never ends.
        stream.shutdown().await?;
        stream.read_to_end(&mut answered).await?;
        drop(stream);
        self.peace(None).await?;
        Ok(answered)
    }

    /// Returns when everybody waits for somebody else.
    async fn peace(&self, mut client: Option<(&TcpStream, &mut Vec<u8>)>) -> std::io::Result<()> {
        let (mut turns, mut moved) = (0, 0);
        while turns < PEACE {
            turns += 1;
            if let Some((stream, answered)) = &mut client {
                match stream.try_read_buf(*answered) {
                    Ok(0) => return Ok(()),
                    Ok(_) => turns = 0,
                    Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                    Err(error) => return Err(error),
                }
            }
            let now = self.behind.lock().moved;
            if now != moved {
                (moved, turns) = (now, 0);
            }
            // Looks at all sockets before this task goes on.
            tokio::task::yield_now().await;
        }
        Ok(())
    }
}

// === impl Behind ===

impl Behind {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What to answer, and whether to close then.
    fn answer(&self, request: Message) -> (Vec<u8>, bool) {
        let mut state = self.lock();
        let scripted = request.word(1) == "/script";
        let head = request.word(0) == "HEAD";
        state.seen.push(request);
        match &state.script {
            Some(script) if scripted => script.clone(),
            _ => {
                let mut answer =
                    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", PLAIN.len()).into_bytes();
                answer.extend_from_slice(if head { b"" } else { PLAIN });
                (answer, false)
            }
        }
    }
}

async fn accept(listener: TcpListener, behind: Arc<Behind>) {
    loop {
        let (stream, _) = listener.accept().await.expect("the origin cannot accept");
        tokio::spawn(answer(stream, behind.clone()));
    }
}

/// Answers the requests of one connection, in their order.
async fn answer(mut stream: TcpStream, behind: Arc<Behind>) {
    let mut bytes = Vec::new();
    loop {
        match strict::read(Kind::Request, &bytes) {
            Read::Whole(request, rest) => {
                let rest = rest.to_vec();
                let (answer, close) = behind.answer(request);
                bytes = rest;
                if stream.write_all(&answer).await.is_err() || close {
                    return;
                }
            }
            Read::Part => match stream.read_buf(&mut bytes).await {
                Ok(0) | Err(_) => return,
                Ok(_) => behind.lock().moved += 1,
            },
            Read::Wrong(why) => panic!("the origin got {:?}: {why}", String::from_utf8_lossy(&bytes)),
        }
    }
}
