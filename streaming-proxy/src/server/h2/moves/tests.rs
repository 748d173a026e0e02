//! Tests of [`Moves`].

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout};

use super::*;

const LIMIT: Duration = Duration::from_secs(2);
const EVER: Duration = Duration::from_secs(3600);

#[tokio::test(start_paused = true)]
async fn who_says_nothing_is_silent() {
    let start = Instant::now();
    Moves::default().silent(LIMIT, || true).await;
    assert_eq!(start.elapsed(), LIMIT);
}

#[tokio::test(start_paused = true)]
async fn who_says_something_is_not_however_little_it_is() {
    let (ours, mut theirs) = tokio::io::duplex(16);
    let moves = Moves::default();
    let mut ours = Counted::new(ours, moves.clone());
    let silent = tokio::spawn({
        let moves = moves.clone();
        async move { timeout(EVER, moves.silent(LIMIT, || true)).await }
    });
    tokio::task::yield_now().await;
    theirs.write_all(b"a").await.unwrap();
    ours.read_exact(&mut [0]).await.unwrap();
    assert!(silent.await.unwrap().is_err());
    // Anew, it is asked again.
    moves.silent(LIMIT, || true).await;
}

#[tokio::test(start_paused = true)]
async fn who_still_takes_something_or_waits_for_an_answer_is_not_silent_yet() {
    let (ours, mut theirs) = tokio::io::duplex(16);
    let moves = Moves::default();
    let mut ours = Counted::new(ours, moves.clone());
    let start = Instant::now();
    let silent = tokio::spawn(async move {
        // Answered after five seconds.
        moves.silent(LIMIT, || start.elapsed() > Duration::from_secs(5)).await;
        start.elapsed()
    });
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        ours.write_all(b"a").await.unwrap();
        theirs.read_exact(&mut [0]).await.unwrap();
    }
    let took = silent.await.unwrap();
    assert!((11..=14).contains(&took.as_secs()), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn who_takes_nothing_is_waited_for_by_others() {
    let (ours, _theirs) = tokio::io::duplex(16);
    let moves = Moves::default();
    let mut ours = Counted::new(ours, moves.clone());
    let writing = tokio::spawn(async move { ours.write_all(&[0; 17]).await });
    tokio::task::yield_now().await;
    assert!(timeout(EVER, moves.silent(LIMIT, || true)).await.is_err());
    writing.abort();
}
