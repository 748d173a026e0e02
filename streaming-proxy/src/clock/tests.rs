//! Tests of [`Clock`].

use std::future::poll_fn;
use std::time::Duration;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn a_wait_ends_at_its_time_whatever_the_timer_was_armed_for() {
    // Scenario: waits that were given up, for earlier and for later times, and then one that goes to its end.
    for given_up in [0, 1, 4, 5, 6, 60] {
        let mut clock = Clock::default();
        let start = Instant::now();
        let mut waker = Context::from_waker(std::task::Waker::noop());
        if given_up > 0 {
            assert!(clock.poll_at(&mut waker, start + given_up * SECOND).is_pending());
        }
        poll_fn(|cx| clock.poll_at(cx, start + 5 * SECOND)).await;
        assert_eq!(start.elapsed().as_secs(), 5, "after one for {given_up} s");
    }
}

#[tokio::test(start_paused = true)]
async fn one_timer_serves_wait_after_wait() {
    let mut clock = Clock::default();
    for _ in 0..5 {
        let start = Instant::now();
        poll_fn(|cx| clock.poll_at(cx, start + SECOND)).await;
        assert_eq!(start.elapsed().as_secs(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_time_that_is_over_is_over_at_once() {
    let mut clock = Clock::default();
    let mut waker = Context::from_waker(std::task::Waker::noop());
    assert!(clock.poll_at(&mut waker, Instant::now() + SECOND).is_pending());
    assert!(clock.poll_at(&mut waker, Instant::now()).is_ready());
}
