//! 64 MiB each way through buffers that stay small, counted by who produces and who consumes.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Bytes, Frame, Incoming};
use tokio::io::AsyncReadExt;
use tokio::sync::Semaphore;
use tower::Service;
use tramline_streaming_proxy::Forwarder;

use crate::client::{Client, read_head};
use crate::origin::{Front, real, soon};

const TOTAL: u64 = 64 * 1024 * 1024;
const PIECE: usize = 16 * 1024;
/// What may be under way: this crate holds one piece, hyper some 400 KiB a connection, the kernel up to 4 MiB for each
/// of the four socket ends. Far below the total.
const BOUND: u64 = 24 * 1024 * 1024;

/// Pieces whose bytes say where they are, counted as they are taken.
struct Pieces {
    made: Arc<AtomicU64>,
    left: u64,
}

impl Pieces {
    fn new(made: &Arc<AtomicU64>) -> Self {
        Self { made: made.clone(), left: TOTAL }
    }
}

fn piece(at: u64) -> Bytes {
    vec![u8::try_from(at / PIECE as u64 % 251).unwrap(); PIECE].into()
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let at = TOTAL - self.left;
        self.left -= PIECE as u64;
        self.made.fetch_add(PIECE as u64, Ordering::SeqCst);
        Poll::Ready(Some(Ok(Frame::data(piece(at)))))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn down_with_a_reader_that_pauses() {
    let made = Arc::new(AtomicU64::new(0));
    let upstream = real({
        let made = made.clone();
        move |_| {
            let body = Pieces::new(&made);
            async move { Response::builder().header("content-length", TOTAL).body(body).unwrap() }
        }
    })
    .await;
    let front = Front::new(upstream).await;
    let mut client = Client::connect(front.addr).await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let mut buffer = Vec::new();
    read_head(&mut client.stream, &mut buffer).await.unwrap();
    let mut taken = 0;
    let mut most = 0;
    let mut block = vec![0; PIECE];
    while taken < TOTAL {
        // What came with the head comes first.
        let early = buffer.len().min(PIECE);
        block[..early].copy_from_slice(&buffer[..early]);
        buffer.drain(..early);
        soon("read", client.stream.read_exact(&mut block[early..])).await.unwrap();
        assert_eq!(block, piece(taken), "at {taken}");
        taken += PIECE as u64;
        // The producer gets every chance to run ahead.
        for _ in 0..4 {
            tokio::task::yield_now().await;
        }
        most = most.max(made.load(Ordering::SeqCst) - taken);
    }
    assert!(most <= BOUND, "{most} bytes were under way");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn up_with_an_upstream_that_pauses() {
    let made = Arc::new(AtomicU64::new(0));
    let most = Arc::new(AtomicU64::new(0));
    let upstream = real({
        let (made, most) = (made.clone(), most.clone());
        move |request: Request<Incoming>| {
            let (made, most) = (made.clone(), most.clone());
            async move {
                let mut body = request.into_body();
                let mut taken = 0_u64;
                while let Some(frame) = body.frame().await {
                    // By the piece: byte for byte is most of this test's time.
                    let mut data = frame.unwrap().into_data().unwrap();
                    while !data.is_empty() {
                        let left = PIECE - usize::try_from(taken % PIECE as u64).unwrap();
                        let part = data.split_to(left.min(data.len()));
                        assert!(piece(taken).starts_with(&part), "at {taken}");
                        taken += part.len() as u64;
                    }
                    for _ in 0..4 {
                        tokio::task::yield_now().await;
                    }
                    most.fetch_max(made.load(Ordering::SeqCst) - taken, Ordering::SeqCst);
                }
                Response::new(Full::new(Bytes::from(taken.to_string())))
            }
        }
    })
    .await;
    let front = Front::new(upstream).await;
    // The service itself, as a layer of another server would call it: the body is not hyper's.
    let mut forwarder: Forwarder = front.forwarder.clone();
    let request = Request::post("/").header("host", "a").body(Pieces::new(&made)).unwrap();
    let response = soon("answer", forwarder.call(request)).await.unwrap();
    let answer = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(answer, TOTAL.to_string());
    let most = most.load(Ordering::SeqCst);
    assert!(most <= BOUND, "{most} bytes were under way");
}

#[tokio::test]
async fn pieces_pass_at_once_in_both_directions() {
    // Scenario: server-sent events. A piece must not wait for the next.
    let next = Arc::new(Semaphore::new(0));
    struct Gated(Arc<Semaphore>, u32, Option<Pin<Box<dyn Future<Output = ()> + Send>>>);
    impl Body for Gated {
        type Data = Bytes;
        type Error = Infallible;
        fn poll_frame(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            let gate = self.0.clone();
            let waiting = self
                .2
                .get_or_insert_with(|| Box::pin(async move { gate.acquire_owned().await.unwrap().forget() }));
            std::task::ready!(waiting.as_mut().poll(cx));
            self.2 = None;
            self.1 += 1;
            let text = format!("data: {}\n\n", self.1);
            Poll::Ready(Some(Ok(Frame::data(text.into()))))
        }
    }
    let upstream = real({
        let next = next.clone();
        move |_| {
            let next = next.clone();
            async move { Response::new(Gated(next, 0, None)) }
        }
    })
    .await;
    let front = Front::new(upstream).await;
    let mut client = Client::connect(front.addr).await;
    client.send("GET /events HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let mut buffer = Vec::new();
    read_head(&mut client.stream, &mut buffer).await.unwrap();
    for n in 1..=5 {
        next.add_permits(1);
        let wanted = format!("9\r\ndata: {n}\n\n\r\n");
        while buffer.len() < wanted.len() {
            soon("event", client.stream.read_buf(&mut buffer)).await.unwrap();
        }
        assert_eq!(String::from_utf8_lossy(&buffer), wanted);
        buffer.clear();
    }
}
