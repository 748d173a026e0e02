//! Tests of [`HeadTimer`].

use hyper::rt::Timer as _;

use super::*;

#[tokio::test(start_paused = true)]
async fn each_wait_ends_at_its_own_time() {
    let timer = HeadTimer::default();
    let start = Instant::now();
    // Scenario: a head that came in time, and one that does not come.
    let mut first = timer.sleep_until(timer.now() + Duration::from_secs(30));
    assert!(first.as_mut().poll(&mut Context::from_waker(std::task::Waker::noop())).is_pending());
    drop(first);
    tokio::time::advance(Duration::from_secs(20)).await;
    timer.sleep_until(timer.now() + Duration::from_secs(30)).await;
    assert_eq!(start.elapsed().as_secs(), 50);
    timer.sleep(Duration::from_secs(1)).await;
    assert_eq!(start.elapsed().as_secs(), 51);
}
