//! Tests of [`Health`].

use std::future::pending;
use std::io;
use std::sync::atomic::AtomicUsize;

use tokio::time::advance;

use super::*;

fn ok() -> impl Future<Output = Result<(), io::Error>> + Send {
    std::future::ready(Ok(()))
}

async fn away() -> Result<(), io::Error> {
    Err(io::Error::other("postgres://user:secret@host refused"))
}

#[tokio::test(start_paused = true)]
async fn a_service_is_as_ready_as_what_it_needs() {
    let health = Health::new("test");
    assert_eq!(health.ready().await.status, Status::Ready);

    let health = Health::new("test");
    health.check("database", Need::Required, ok);
    health.check("cache", Need::Optional, away);
    let report = health.ready().await;
    assert_eq!(report.status, Status::Degraded);
    assert!(report.is_ready());
    assert_eq!(report.checks[1].outcome, Outcome::Failed);

    let health = Health::new("test");
    health.check("database", Need::Required, away);
    let report = health.ready().await;
    assert_eq!(report.status, Status::NotReady);
    let text = serde_json::to_string(&report).unwrap();
    assert_eq!(
        text,
        r#"{"service":"test","status":"notReady","checks":[{"name":"database","need":"required","outcome":"failed"}]}"#
    );
}

/// The slow check costs its time-out, once; the others are not waited for one after the other.
#[tokio::test(start_paused = true)]
async fn slow_checks_time_out_side_by_side() {
    let health = Health::new("test");
    for name in ["a", "b", "c"] {
        health.check(name, Need::Required, pending::<Result<(), io::Error>>);
    }
    health.check("good", Need::Required, ok);
    let begin = Instant::now();
    let report = health.ready().await;
    assert_eq!(begin.elapsed(), Duration::from_millis(800));
    let outcomes: Vec<_> = report.checks.iter().map(|check| check.outcome).collect();
    assert_eq!(outcomes, [Outcome::TimedOut, Outcome::TimedOut, Outcome::TimedOut, Outcome::Ok]);
}

#[tokio::test(start_paused = true)]
async fn checks_run_once_a_second_however_many_ask() {
    let asked = Arc::new(AtomicUsize::new(0));
    let health = Health::new("test");
    health.check("database", Need::Required, {
        let asked = Arc::clone(&asked);
        move || {
            // It flaps: the first and third answer are good.
            let good = asked.fetch_add(1, Ordering::Relaxed).is_multiple_of(2);
            async move {
                tokio::time::sleep(Duration::from_millis(10)).await;
                if good { Ok(()) } else { Err("away") }
            }
        }
    });
    let all = join_all((0..50).map(|_| health.ready())).await;
    assert_eq!(asked.load(Ordering::Relaxed), 1);
    assert!(all.iter().all(Report::is_ready));

    advance(Duration::from_millis(999)).await;
    assert!(health.ready().await.is_ready());
    assert_eq!(asked.load(Ordering::Relaxed), 1);
    advance(Duration::from_millis(1)).await;
    assert!(!health.ready().await.is_ready());
    advance(Duration::from_secs(1)).await;
    assert!(health.ready().await.is_ready());
    assert_eq!(asked.load(Ordering::Relaxed), 3);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_goes_away_leaves_no_lock_behind() {
    let health = Health::new("test");
    health.check("slow", Need::Required, || async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        Ok::<_, io::Error>(())
    });
    assert!(timeout(Duration::from_millis(100), health.ready()).await.is_err());
    assert!(health.ready().await.is_ready());
}

#[tokio::test(start_paused = true)]
async fn draining_counts_at_once_and_panics_are_answers() {
    let health = Health::new("test");
    health.check("broken", Need::Optional, || async {
        assert!(std::hint::black_box(false), "the check's own fault");
        Ok::<_, io::Error>(())
    });
    let report = health.ready().await;
    assert_eq!(report.checks[0].outcome, Outcome::Panicked);
    assert!(report.is_ready());
    // The answer is fresh still, and not given.
    health.clone().set_draining();
    let report = health.ready().await;
    assert_eq!(report.status, Status::Draining);
    assert!(!report.is_ready());
}
