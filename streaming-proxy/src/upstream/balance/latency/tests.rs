//! Tests of [`Latency`].

use proptest::prelude::*;

use super::*;

fn seconds(latency: &Latency) -> f64 {
    latency.cost(Instant::now(), 0)
}

#[tokio::test(start_paused = true)]
async fn a_peak_counts_at_once_and_goes_slowly() {
    let latency = Latency::new();
    latency.answered(Duration::from_millis(10));
    latency.answered(Duration::from_secs(2));
    assert!((seconds(&latency) - 2.0).abs() < 1e-9);
    // Fast answers at the same moment do not hide it.
    for _ in 0..100 {
        latency.answered(Duration::from_millis(10));
    }
    assert!(seconds(&latency) > 1.9);
    tokio::time::advance(Duration::from_secs(10)).await;
    latency.answered(Duration::from_millis(10));
    assert!((0.5..0.8).contains(&seconds(&latency)), "{}", seconds(&latency));
    tokio::time::advance(Duration::from_secs(200)).await;
    assert!(seconds(&latency) < 1e-6, "it is tried again");
}

#[tokio::test(start_paused = true)]
async fn who_has_not_answered_yet_gets_one_request_and_no_herd() {
    let (new, known) = (Latency::new(), Latency::new());
    known.answered(Duration::from_millis(50));
    let now = Instant::now();
    assert!(new.cost(now, 0) < known.cost(now, 0));
    assert!(new.cost(now, 1) > known.cost(now, 20));
}

#[tokio::test(start_paused = true)]
async fn an_error_does_not_make_it_fast() {
    let latency = Latency::new();
    latency.answered(Duration::from_millis(300));
    for _ in 0..50 {
        latency.at_least(Duration::from_millis(1));
    }
    assert!((seconds(&latency) - 0.3).abs() < 1e-9);
    latency.at_least(Duration::from_secs(5));
    assert!((seconds(&latency) - 5.0).abs() < 1e-9);
}

proptest! {
    /// It is never above the slowest answer, never below zero, and grows with the load.
    #[test]
    fn it_stays_within_what_was_seen(steps in prop::collection::vec((0..5_000_u64, 0..20_000_u64, any::<bool>()), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let latency = Latency::new();
            let mut slowest = 0.0_f64;
            for (took, pause, known) in steps {
                let took = Duration::from_millis(took);
                slowest = slowest.max(took.as_secs_f64());
                if known { latency.answered(took) } else { latency.at_least(took) }
                tokio::time::advance(Duration::from_millis(pause)).await;
                let now = Instant::now();
                let cost = latency.cost(now, 0);
                prop_assert!((0.0..=slowest + 1e-9).contains(&cost), "{} {}", cost, slowest);
                prop_assert!(latency.cost(now, 2) >= latency.cost(now, 1));
            }
            Ok(())
        })?;
    }
}
