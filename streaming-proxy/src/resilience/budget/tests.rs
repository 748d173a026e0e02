//! Tests of [`Budget`].

use std::time::Duration;

use proptest::prelude::*;

use super::*;

fn budget(percent: u32, per_second: u32) -> Budget {
    let mut config = RetryBudget::default();
    (config.percent, config.per_second) = (percent, per_second);
    Budget::new(&config)
}

fn granted(budget: &Budget, of: usize) -> usize {
    (0..of).filter(|_| budget.withdraw()).count()
}

#[tokio::test(start_paused = true)]
async fn an_outage_gets_the_share_and_the_floor_and_no_more() {
    // Scenario: every request fails, and every one wants to go out again.
    let budget = budget(20, 10);
    assert_eq!(granted(&budget, 1000), 100, "what adds up in ten seconds");
    let mut again = 0;
    for _ in 0..1000 {
        budget.deposit();
        again += usize::from(budget.withdraw());
    }
    assert_eq!(again, 200);
    tokio::time::advance(Duration::from_secs(3)).await;
    assert_eq!(granted(&budget, 1000), 30);
    tokio::time::advance(Duration::from_secs(3600)).await;
    assert_eq!(granted(&budget, 1000), 100, "quiet times are not saved up for ever");
}

#[tokio::test(start_paused = true)]
async fn what_requests_bring_is_bounded() {
    let budget = budget(100, 0);
    (0..100_000).for_each(|_| budget.deposit());
    assert_eq!(granted(&budget, 100_000), 1000);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_nothing() {
    let budget = budget(0, 0);
    (0..100).for_each(|_| budget.deposit());
    tokio::time::advance(Duration::from_secs(60)).await;
    assert_eq!(granted(&budget, 10), 0);
}

proptest! {
    /// Whatever comes in whatever order: never more than the share of all requests, the floor of all time, and what
    /// had added up before.
    #[test]
    fn the_bound_holds(percent in 0..100_u32, per_second in 0..20_u32, steps in prop::collection::vec((0..3_u8, 1..400_u64), 1..200)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let budget = budget(percent, per_second);
            let (mut requests, mut retries, mut millis) = (0_u64, 0_u64, 0_u64);
            for (what, count) in steps {
                match what {
                    0 => (0..count).for_each(|_| { requests += 1; budget.deposit(); }),
                    1 => (0..count).for_each(|_| retries += u64::from(budget.withdraw())),
                    _ => { millis += count; tokio::time::advance(Duration::from_millis(count)).await; }
                }
                let floor = u64::from(per_second) * (10_000 + millis) / 1000;
                let share = requests * u64::from(percent) / 100;
                prop_assert!(retries <= share + floor + 1, "{} > {} + {}", retries, share, floor);
            }
            Ok(())
        })?;
    }
}
