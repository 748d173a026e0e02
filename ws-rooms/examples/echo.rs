//! Sends back what it gets, for protocol test suites: the codec and the limits of the rooms' own connections, with nothing
//! around them.
//!
//! ```sh
//! cargo run --release -p tramline-ws-rooms --example echo -- 127.0.0.1:9001
//! ```
//!
//! Any path; no token and no subprotocol, though a client may name some. Messages of up to 65,536 bytes come back, in as
//! many frames as the client likes; there are no limits of rates, which a suite would reach. Prints one line when it
//! listens. Ctrl-C or SIGTERM closes all connections with 1001. Exits with 0, or 64 when called wrongly.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for the command line")]

use std::convert::Infallible;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tramline_ws_rooms::{Limits, conformance};

/// How long a client may take for the head of its request.
const HEAD_WITHIN: Duration = Duration::from_secs(10);
/// How long connections may take to close at the end.
const CLOSE_WITHIN: Duration = Duration::from_secs(8);
/// Bytes that the kernel may hold unsent.
#[cfg(target_os = "linux")]
const UNSENT: u32 = 32 * 1024;
/// Another attempt at accepting, when there are no files left.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

#[tokio::main]
async fn main() -> ExitCode {
    let Some(addr) = std::env::args().nth(1) else {
        eprintln!("usage: echo LISTEN_ADDR");
        return ExitCode::from(64);
    };
    let listener = match TcpListener::bind(&addr).await {
        Ok(listener) => listener,
        Err(error) => {
            eprintln!("cannot listen on {addr}: {error}");
            return ExitCode::from(64);
        }
    };
    let addr = listener.local_addr().expect("it is bound");
    println!("listening on ws://{addr}/");
    let server = Server::new();
    tokio::select! {
        () = server.accept(listener) => {}
        () = told_to_end() => {}
    }
    server.end().await;
    ExitCode::SUCCESS
}

#[derive(Clone)]
struct Server {
    limits: Arc<Limits>,
    places: Arc<Semaphore>,
    tasks: TaskTracker,
    end: CancellationToken,
}

// === impl Server ===

impl Server {
    fn new() -> Self {
        let mut limits = Limits::default();
        // A suite pings ten times at once, and cuts a message into single bytes.
        limits.bytes_per_second = u32::MAX;
        limits.control_frames_per_second = u32::MAX;
        limits.fragments = u32::MAX;
        Self {
            places: Arc::new(Semaphore::new(limits.connections)),
            limits: Arc::new(limits),
            tasks: TaskTracker::new(),
            end: CancellationToken::new(),
        }
    }

    /// Accepts connections, as many at a time as a node would.
    async fn accept(&self, listener: TcpListener) {
        loop {
            // Nobody closes it.
            let Ok(place) = Arc::clone(&self.places).acquire_owned().await else { return };
            let (stream, _) = match listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    eprintln!("cannot accept: {error}");
                    sleep(ACCEPT_AGAIN).await;
                    continue;
                }
            };
            let server = self.clone();
            self.tasks.spawn(async move { server.serve(stream, Arc::new(place)).await });
        }
    }

    /// Answers the requests of one client; what is opened is served beside.
    async fn serve(&self, stream: TcpStream, place: Arc<OwnedSemaphorePermit>) {
        // An answer does not wait for the client's acknowledgement of the one before.
        let _ = stream.set_nodelay(true);
        // Nor does the kernel take megabytes for a client that reads nothing.
        #[cfg(target_os = "linux")]
        let _ = socket2::SockRef::from(&stream).set_tcp_notsent_lowat(UNSENT);
        let service = service_fn(|request| {
            let answer = self.answer(request, &place);
            async move { Ok::<_, Infallible>(answer) }
        });
        let http = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_WITHIN)
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades();
        tokio::select! {
            _ = http => {}
            () = self.end.cancelled() => {}
        }
    }

    fn answer(&self, request: Request<Incoming>, place: &Arc<OwnedSemaphorePermit>) -> Response<Full<Bytes>> {
        let (end, place) = (self.end.clone(), Arc::clone(place));
        match conformance::echo(request, &self.limits, end.cancelled_owned()) {
            Ok((response, connection)) => {
                self.tasks.spawn(async move {
                    connection.await;
                    drop(place);
                });
                response.map(|()| Full::default())
            }
            Err(refusal) => {
                let mut response = Response::new(Full::from(format!("{refusal}\n")));
                *response.status_mut() = refusal.status;
                refusal.apply_headers(response.headers_mut());
                response
            }
        }
    }

    /// Closes what is open.
    async fn end(&self) {
        self.end.cancel();
        self.tasks.close();
        let _ = timeout(CLOSE_WITHIN, self.tasks.wait()).await;
    }
}

async fn told_to_end() {
    let mut term = signal(SignalKind::terminate()).expect("a handler of signals");
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = term.recv() => {}
    }
}
