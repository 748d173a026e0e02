//! Tests of the time that a handler has.

use tokio::time::timeout;

use super::*;

#[tokio::test]
async fn a_handler_that_always_has_work_is_late_too() {
    // Scenario: it reads from something that is always ready, so that its task has never budget left for a timer.
    let busy = async {
        loop {
            coop::consume_budget().await;
        }
    };
    let late = in_time(Duration::from_millis(10), Instant::now(), busy);
    assert!(timeout(Duration::from_secs(10), late).await.expect("it ends").is_err());
}
