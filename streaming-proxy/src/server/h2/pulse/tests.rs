//! Tests of [`Pulse`].

use std::convert::Infallible;

use http_body_util::{BodyExt, Full};
use tokio::sync::{Notify, oneshot};

use super::*;

const LIMIT: Duration = Duration::from_secs(60);

/// A stream that gives a piece whenever it is told to, as hyper asks for the next when the last was taken.
fn stream(rate: Option<MinRate>, size: usize) -> (tokio::task::JoinHandle<()>, Arc<Notify>) {
    let next = Arc::new(Notify::new());
    let told = next.clone();
    let task = tokio::spawn(Pulse::new(LIMIT, rate).watch(async move {
        loop {
            let mut body = Pulsing::new(Some(Full::new(Bytes::from(vec![0; size]))));
            if body.frame().await.unwrap().is_err() {
                return;
            }
            told.notified().await;
        }
    }));
    (task, next)
}

async fn settle() {
    for _ in 0..8 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_piece_that_nobody_takes_ends_the_stream() {
    let (task, next) = stream(None, 1);
    for _ in 0..5 {
        settle().await;
        tokio::time::advance(LIMIT - Duration::from_millis(2)).await;
        settle().await;
        assert!(!task.is_finished(), "each piece has its own time");
        next.notify_one();
    }
    settle().await;
    tokio::time::advance(LIMIT + Duration::from_millis(2)).await;
    settle().await;
    assert!(task.is_finished());
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_drips_ends_the_stream() {
    // Scenario: one byte every ten seconds never stalls, and never ends.
    for (size, is_cut) in [(1, true), (10_000, false)] {
        let (task, next) = stream(Some(MinRate::new(240, Duration::from_secs(60))), size);
        for _ in 0..8 {
            settle().await;
            tokio::time::advance(Duration::from_secs(10)).await;
            next.notify_one();
        }
        settle().await;
        assert_eq!(task.is_finished(), is_cut, "{size}");
        task.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn while_the_answer_is_not_there_the_client_owes_nothing() {
    struct Never(oneshot::Receiver<Infallible>);
    impl Body for Never {
        type Data = Bytes;
        type Error = Infallible;
        fn poll_frame(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            Pin::new(&mut self.0).poll(cx).map(|_| None)
        }
    }
    let (_keep, never) = oneshot::channel();
    let task = tokio::spawn(Pulse::new(LIMIT, Some(MinRate::default())).watch(async move {
        let _ = Pulsing::new(Some(Never(never))).frame().await;
    }));
    for _ in 0..10 {
        settle().await;
        tokio::time::advance(LIMIT).await;
    }
    settle().await;
    assert!(!task.is_finished());
    task.abort();
}
