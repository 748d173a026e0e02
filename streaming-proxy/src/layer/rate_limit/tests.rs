//! Tests of [`Limiter`].

use std::time::Duration;

use proptest::prelude::*;

use super::*;

#[test]
fn quotas_parse_or_say_no() {
    assert_eq!(Quota::parse(" off ").unwrap(), None);
    for (text, limit, seconds) in
        [("100/min", 100, 60), ("10/m", 10, 60), ("5/s", 5, 1), ("6000 / min", 6000, 60), ("7/day", 7, 86400)]
    {
        let quota = Quota::parse(text).unwrap().unwrap();
        assert_eq!((quota.limit(), quota.window()), (limit, Duration::from_secs(seconds)), "{text}");
        assert_eq!(quota.to_string().parse::<Quota>().unwrap(), quota);
    }
    for text in ["", "0/min", "-1/min", "100", "100/", "100/week", "min/100", "4294967296/s", "OFF"] {
        assert_eq!(Quota::parse(text).unwrap_err().kind(), crate::ErrorKind::Config, "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_full_number_at_once_then_evenly() {
    let limiter = Limiter::memory("api", Quota::parse("100/min").unwrap(), LimiterConfig::default());
    for left in (0..100).rev() {
        assert_eq!(limiter.check("k").await.remaining(), Some(left));
    }
    assert_eq!(limiter.check("k").await.retry_after(), Some(Duration::from_millis(600)));
    tokio::time::advance(Duration::from_millis(599)).await;
    assert!(!limiter.check("k").await.is_allowed());
    tokio::time::advance(Duration::from_millis(1)).await;
    assert!(limiter.check("k").await.is_allowed());
    assert!(!limiter.check("k").await.is_allowed());
    tokio::time::advance(Duration::from_secs(60)).await;
    assert_eq!(limiter.check("k").await.remaining(), Some(99));
}

#[tokio::test]
async fn off_is_off() {
    let limiter = Limiter::memory("api", Quota::parse("off").unwrap(), LimiterConfig::default());
    assert!(limiter.is_off());
    let decision = limiter.check("k").await;
    let mut headers = http::HeaderMap::new();
    decision.write(&mut headers);
    assert!(decision.is_allowed() && headers.is_empty());
}

proptest! {
    /// However requests are spread, no stretch of time has more than its share and the burst.
    #[test]
    fn never_more_than_the_share(limit in 1_u32..20, waits in prop::collection::vec(0_u64..3000, 1..80)) {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let quota = Quota::new(limit.try_into().unwrap(), Duration::from_secs(10));
            let limiter = Limiter::memory("p", Some(quota), LimiterConfig::default());
            let start = tokio::time::Instant::now();
            let mut allowed = 0_u32;
            for wait in waits {
                tokio::time::advance(Duration::from_millis(wait)).await;
                let decision = limiter.check("k").await;
                allowed += u32::from(decision.is_allowed());
                let share = start.elapsed().as_secs_f64() / 10.0 * f64::from(limit);
                assert!(f64::from(allowed) <= share + f64::from(limit) + 1e-6);
                if let Some(wait) = decision.retry_after() {
                    tokio::time::advance(wait).await;
                    assert!(limiter.check("k").await.is_allowed(), "refused when it said to come");
                    allowed += 1;
                }
            }
        });
    }
}
