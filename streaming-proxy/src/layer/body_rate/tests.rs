//! Tests of [`PacedBody`] on paused time.

use bytes::Bytes;
use http_body_util::BodyExt;

use super::*;

/// A body that gives `bytes` every `pause`, `times` times.
struct Drip {
    bytes: usize,
    pause: Duration,
    times: usize,
    sleep: Pin<Box<Sleep>>,
}

impl Body for Drip {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if self.times == 0 {
            return Poll::Ready(None);
        }
        std::task::ready!(self.sleep.as_mut().poll(cx));
        let next = Instant::now() + self.pause;
        self.sleep.as_mut().reset(next);
        self.times -= 1;
        Poll::Ready(Some(Ok(Frame::data(Bytes::from(vec![0; self.bytes])))))
    }
}

fn drip(bytes: usize, pause: u64, times: usize) -> PacedBody<Drip> {
    let pause = Duration::from_secs(pause);
    let inner = Drip { bytes, pause, times, sleep: Box::pin(tokio::time::sleep(pause)) };
    let rate = MinRate::new(10, Duration::from_secs(10));
    PacedBody { inner, pace: Pace::new(rate), waiting: None }
}

/// After how long the body failed; `None` if it came whole.
async fn failed_after(body: PacedBody<Drip>) -> Option<Duration> {
    let start = Instant::now();
    let error = body.collect().await.err()?;
    let error = error.downcast::<ProxyError>().expect("ours");
    assert_eq!(error.kind(), ErrorKind::ClientTimeout);
    Some(start.elapsed())
}

#[tokio::test(start_paused = true)]
async fn slower_than_the_rate_fails_at_the_windows_end() {
    assert_eq!(failed_after(drip(9, 1, 100)).await, Some(Duration::from_secs(10)));
    assert_eq!(failed_after(drip(10, 1, 100)).await, None);
    assert_eq!(failed_after(drip(50, 3, 100)).await, None, "in bursts");
    assert_eq!(failed_after(drip(1000, 30, 2)).await, Some(Duration::from_secs(10)), "silence");
    assert_eq!(failed_after(drip(1, 1, 9)).await, None, "a body that is over before the window is");
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_waits_makes_no_client_slow() {
    let mut body = std::pin::pin!(drip(10, 1, 100));
    while let Some(frame) = body.as_mut().frame().await {
        frame.unwrap();
        tokio::time::advance(Duration::from_secs(60)).await;
    }
}
