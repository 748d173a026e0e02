//! RFC 6455, rule by rule, against the echo of the example: bytes made by hand, on a real socket. The tables go through what
//! protocol test suites do, in their order.

mod bytes;
mod close;
mod fragments;
mod frames;
mod handshake;
mod utf8;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use http::{Request, Response};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tramline_ws_rooms::{Limits, conformance};

use self::bytes::{Frame, close, frames};

/// For an answer that does not come.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a client sends, and all that it gets, in order.
type Row = (&'static str, Vec<u8>, Vec<Frame>);

/// As the example has them.
fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.bytes_per_second = u32::MAX;
    limits.control_frames_per_second = u32::MAX;
    limits.fragments = u32::MAX;
    limits
}

async fn serve() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let service = service_fn(|request| async move { Ok::<_, Infallible>(answer(request)) });
            let http = http1::Builder::new().serve_connection(TokioIo::new(stream), service).with_upgrades();
            tokio::spawn(http);
        }
    });
    addr
}

fn answer(request: Request<Incoming>) -> Response<Full<Bytes>> {
    match conformance::echo(request, &limits(), std::future::pending()) {
        Ok((response, connection)) => {
            tokio::spawn(connection);
            response.map(|()| Full::default())
        }
        Err(refusal) => {
            let mut response = Response::new(Full::default());
            *response.status_mut() = refusal.status;
            refusal.apply_headers(response.headers_mut());
            response
        }
    }
}

/// An open WebSocket.
async fn open(addr: SocketAddr) -> TcpStream {
    let (mut stream, head) = handshake::ask(addr, "GET / HTTP/1.1", &handshake::UPGRADE).await;
    assert!(head.starts_with("http/1.1 101 "), "{head}");
    stream.set_nodelay(true).unwrap();
    stream.flush().await.unwrap();
    stream
}

/// Plays each row, once in one piece and once byte by byte. What has no end of its own ends with a close frame.
async fn play(rows: Vec<Row>) {
    let addr = serve().await;
    for (name, sent, wanted) in rows {
        let closes = wanted.last().is_some_and(|frame| frame.0 == bytes::CLOSE);
        let (mut sent, mut wanted) = (sent, wanted);
        if !closes {
            sent.extend(close(1000, ""));
            wanted.push(Frame::close(1000, ""));
        }
        for piece in [sent.len(), 1] {
            if piece == 1 && sent.len() > 2_000 {
                // A long message is no other than a short one, byte by byte.
                continue;
            }
            let mut stream = open(addr).await;
            let (mut reads, mut writes) = stream.split();
            let mut all = Vec::new();
            let write = async {
                for piece in sent.chunks(piece) {
                    // The server may have had enough before it has all.
                    if writes.write_all(piece).await.is_err() {
                        return;
                    }
                    tokio::task::yield_now().await;
                }
            };
            let both = async { tokio::join!(write, reads.read_to_end(&mut all)).1 };
            let read = tokio::time::timeout(PATIENCE, both).await;
            let read = read.unwrap_or_else(|_| panic!("{name}, in pieces of {piece}: no end"));
            read.unwrap_or_else(|error| panic!("{name}, in pieces of {piece}: {error}"));
            assert_eq!(frames(&all), wanted, "{name}, in pieces of {piece}");
        }
    }
}
