//! Tests of [`Stall`] on paused time, over a peer that takes what it is told to.

use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

use super::*;

const LIMIT: Duration = Duration::from_secs(60);

/// How long it takes until a writer of much is given up, whose reader takes `bytes` every `pause`.
async fn given_up(rate: Option<MinRate>, bytes: usize, pause: Duration) -> Option<Duration> {
    let (ours, mut theirs) = duplex(1);
    let mut ours = Stall::new(ours, LIMIT, rate);
    let reader = async {
        let mut piece = vec![0; bytes];
        loop {
            tokio::time::sleep(pause).await;
            if theirs.read_exact(&mut piece).await.is_err() {
                return;
            }
        }
    };
    let start = Instant::now();
    let writer = ours.write_all(&[0; 500]);
    tokio::select! {
        result = writer => {
            let error = result.err()?;
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
            Some(start.elapsed())
        }
        () = reader => unreachable!("the writer outlives it"),
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_read_is_a_stall() {
    assert_eq!(given_up(None, 1, LIMIT * 2).await, Some(LIMIT));
}

#[tokio::test(start_paused = true)]
async fn a_drip_is_no_stall_but_too_slow() {
    let second = Duration::from_secs(1);
    assert_eq!(given_up(None, 1, second).await, None, "without a rate it may");
    let rate = |bytes| Some(MinRate::new(bytes, second * 10));
    assert_eq!(given_up(rate(2), 1, second).await, Some(second * 10), "a byte a second, of two");
    assert_eq!(given_up(rate(2), 3, second).await, None, "three of two");
}

#[tokio::test(start_paused = true)]
async fn a_window_ends_also_in_silence() {
    let rate = Some(MinRate::new(1, Duration::from_secs(10)));
    assert_eq!(given_up(rate, 1, Duration::from_secs(30)).await, Some(Duration::from_secs(10)));
}
