//! Tests of the gate.

use std::future::poll_fn;
use std::task::Waker;

use super::*;

/// One poll.
fn now(gate: &mut Gate) -> Poll<()> {
    gate.poll_open(&mut Context::from_waker(Waker::noop()))
}

#[tokio::test(start_paused = true)]
async fn it_opens_when_asked_and_stays_open() {
    let (mut gate, key) = Gate::new(None);
    assert_eq!(now(&mut gate), Poll::Pending);
    key.open();
    key.open();
    drop(key);
    assert_eq!(now(&mut gate), Poll::Ready(()));
    assert_eq!(now(&mut gate), Poll::Ready(()));
}

#[tokio::test(start_paused = true)]
async fn it_opens_when_nobody_says_anything() {
    let (mut gate, key) = Gate::new(Some(Duration::from_secs(1)));
    let start = tokio::time::Instant::now();
    poll_fn(|cx| gate.poll_open(cx)).await;
    assert_eq!(start.elapsed(), Duration::from_secs(1));
    // An answer that comes later shuts nothing: the body is under way.
    drop(key);
    assert_eq!(now(&mut gate), Poll::Ready(()));
}

#[tokio::test(start_paused = true)]
async fn an_answer_shuts_it_for_good() {
    let (mut gate, key) = Gate::new(Some(Duration::from_secs(1)));
    assert_eq!(now(&mut gate), Poll::Pending);
    drop(key);
    let opened = tokio::time::timeout(Duration::from_secs(5), poll_fn(|cx| gate.poll_open(cx))).await;
    assert!(opened.is_err());
}
