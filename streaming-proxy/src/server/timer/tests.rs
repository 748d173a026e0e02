//! Tests of [`HeadTimer`].

use hyper::rt::Timer as _;

use super::*;

const LIMIT: Duration = Duration::from_secs(30);

fn wait(timer: &HeadTimer) -> Pin<Box<dyn hyper::rt::Sleep>> {
    timer.sleep_until(timer.now() + LIMIT)
}

fn is_over(wait: &mut Pin<Box<dyn hyper::rt::Sleep>>) -> bool {
    wait.as_mut().poll(&mut Context::from_waker(std::task::Waker::noop())).is_ready()
}

#[tokio::test(start_paused = true)]
async fn each_wait_ends_at_its_own_time() {
    let timer = HeadTimer::new(LIMIT);
    let start = Instant::now();
    // Scenario: a head that came in time, and one that does not come.
    let mut first = wait(&timer);
    assert!(!is_over(&mut first));
    drop(first);
    tokio::time::advance(Duration::from_secs(20)).await;
    wait(&timer).await;
    assert_eq!(start.elapsed().as_secs(), 50);
    let timer = HeadTimer::new(Duration::from_secs(1));
    timer.sleep(Duration::from_secs(1)).await;
    assert_eq!(start.elapsed().as_secs(), 51);
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_lasts_is_a_silence_once() {
    let timer = HeadTimer::new(LIMIT);
    let start = Instant::now();
    let mut first = wait(&timer);
    assert!(!is_over(&mut first));
    assert!(!timer.is_silent());
    tokio::time::advance(SILENCE).await;
    assert!(!is_over(&mut first));
    assert!(timer.is_silent());
    drop(first);
    assert!(!timer.is_silent());

    // Somebody else waits, and then it is put together again: the time is what was left.
    timer.go_on();
    let mut rest = wait(&timer);
    assert!(!is_over(&mut rest));
    tokio::time::advance(SILENCE * 2).await;
    assert!(!is_over(&mut rest));
    assert!(!timer.is_silent());
    rest.await;
    assert_eq!(start.elapsed(), LIMIT);

    // And from then on as before.
    let mut next = wait(&timer);
    tokio::time::advance(SILENCE).await;
    assert!(!is_over(&mut next));
    assert!(timer.is_silent());
}
