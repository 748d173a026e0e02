//! Tests of policies.

use super::*;

#[test]
fn jitter_only_takes_off_and_never_all() {
    let day = Duration::from_secs(86_400);
    let mut policy = Policy::new(Duration::from_secs(10));
    for jitter in [0.0, 0.1, 1.0] {
        policy.jitter = jitter;
        for _ in 0..200 {
            let drawn = policy.draw(policy.ttl, day).unwrap();
            assert!((1..=10_000).contains(&drawn), "{jitter} {drawn}");
        }
    }
    policy.jitter = 0.1;
    assert!(policy.draw(policy.ttl, day).unwrap() >= 9_000);
    assert!(policy.draw(policy.ttl, Duration::from_secs(1)).unwrap() <= 1_000);
    assert_eq!(policy.draw(Duration::ZERO, day), None);
    policy.jitter = 1.0;
    for _ in 0..200 {
        assert_eq!(
            policy.draw(Duration::from_nanos(1), day),
            Some(1),
            "a life of nothing is an error to Redis"
        );
    }
    policy.jitter = 0.0;
    assert_eq!(
        policy.draw(Duration::from_micros(1_001), day),
        Some(2),
        "a part of a millisecond is a whole one"
    );
}

#[test]
fn what_cannot_be_meant_is_refused() {
    let wrong = |change: fn(&mut Policy)| {
        let mut policy = Policy::default();
        change(&mut policy);
        policy.check(&StoreConfig::default()).unwrap_err().kind() == ErrorKind::Config
    };
    assert!(wrong(|p| p.jitter = 1.1) && wrong(|p| p.jitter = f64::NAN));
    assert!(
        wrong(|p| p.refresh = Refresh::At { share: -0.1 })
            && wrong(|p| p.refresh = Refresh::At { share: 1.1 })
    );
    assert!(
        wrong(|p| p.refresh = Refresh::Early { beta: 0.0 })
            && wrong(|p| p.refresh = Refresh::Early { beta: f64::INFINITY })
    );
    assert!(wrong(|p| p.hard_timeout = Duration::ZERO));
    assert!(wrong(|p| p.tags = (0..17_u32).map(|n| Tag::new("t", &n)).collect()));
    assert!(Policy::default().check(&StoreConfig::default()).is_ok());
}

/// `P(refresh with t to live) = exp(-t / (β·Δ))`, the paper's own figure.
#[test]
fn early_refresh_has_the_papers_odds() {
    let early = Refresh::Early { beta: 1.0 };
    for (left, odds) in [(0, 1.0), (100, 0.367_9), (200, 0.135_3), (400, 0.018_3)] {
        let due = (0..20_000).filter(|_| early.is_due(left, 100)).count();
        #[allow(clippy::cast_precision_loss, reason = "a count of thousands")]
        let share = due as f64 / 20_000.0;
        assert!((share - odds).abs() < 0.02, "{left} {share}");
    }
    assert_eq!(early.starts(10_000, 100), 8_500);
    assert_eq!(early.starts(1_000, 100), 0, "a load as long as a life");
    assert_eq!(Refresh::At { share: 0.8 }.starts(10_000, 0), 8_000);
    assert_eq!(Refresh::Off.starts(10_000, 100), 10_000);
}
