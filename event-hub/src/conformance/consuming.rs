//! Prefetch, sharing, drain and giving back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Semaphore;

use crate::config::ConsumerConfig;
use crate::conformance::{Bed, n, soon, until};
use crate::error::ErrorKind;
use crate::handler::Outcome;

/// A queue collects before its consumer comes, and gives out in order.
pub async fn keeps_for_a_late_consumer(bed: &Bed) {
    bed.declare(&[("work", "#")]).await;
    for i in 0..50 {
        bed.publish("a.b", i).await;
    }
    let name = bed.name("work");
    until("the count", || async {
        bed.hub.queue(&name).await.is_ok_and(|q| q.is_some_and(|q| q.messages == 50))
    })
    .await;
    let config = ConsumerConfig { concurrency: 1, ..ConsumerConfig::default() };
    let mut work = bed.consume("work", config, async |_, _| Outcome::Ack);
    for i in 0..50 {
        assert_eq!(n(&work.next().await.0), i);
    }
    work.stop().await;
    until("an empty queue", || async {
        bed.hub.queue(&name).await.is_ok_and(|q| q.is_some_and(|q| q.messages == 0 && q.consumers == 0))
    })
    .await;
    assert!(bed.hub.queue("no such queue").await.expect("the broker answers").is_none());
}

/// No more than the prefetch are out: the rest stays in the queue.
pub async fn holds_the_prefetch(bed: &Bed) {
    bed.declare(&[("work", "#")]).await;
    for i in 0..10 {
        bed.publish("a.b", i).await;
    }
    let gate = Arc::new(Semaphore::new(0));
    let config = ConsumerConfig { prefetch: 3, concurrency: 3, ..ConsumerConfig::default() };
    let mut work = bed.consume("work", config, {
        let gate = Arc::clone(&gate);
        move |_, _| {
            let gate = Arc::clone(&gate);
            async move {
                gate.acquire().await.expect("open").forget();
                Outcome::Ack
            }
        }
    });
    for _ in 0..3 {
        work.next().await;
    }
    work.nothing().await;
    let name = bed.name("work");
    until("seven in the queue", || async {
        bed.hub.queue(&name).await.is_ok_and(|q| q.is_some_and(|q| q.messages == 7))
    })
    .await;
    gate.add_permits(1);
    work.next().await;
    work.nothing().await;
    gate.add_permits(9);
    for _ in 0..6 {
        work.next().await;
    }
    work.nothing().await;
}

/// Two consumers of one queue get each event once between them.
pub async fn shares_work(bed: &Bed) {
    bed.declare(&[("work", "#")]).await;
    let config = ConsumerConfig { prefetch: 2, concurrency: 2, ..ConsumerConfig::default() };
    let mut one = bed.consume("work", config.clone(), async |_, _| Outcome::Ack);
    let mut two = bed.consume("work", config, async |_, _| Outcome::Ack);
    let name = bed.name("work");
    until("two consumers", || async {
        bed.hub.queue(&name).await.is_ok_and(|q| q.is_some_and(|q| q.consumers == 2))
    })
    .await;
    for i in 0..100 {
        bed.publish("a.b", i).await;
    }
    let mut got = Vec::new();
    for _ in 0..100 {
        let next = async {
            tokio::select! {
                (event, _) = one.next() => event,
                (event, _) = two.next() => event,
            }
        };
        got.push(n(&next.await));
    }
    got.sort_unstable();
    assert_eq!(got, (0..100).collect::<Vec<_>>());
    one.nothing().await;
    two.nothing().await;
}

/// A drain lets the running handler finish, acknowledges it, and gives back the rest untouched.
pub async fn drains(bed: &Bed) {
    bed.declare(&[("work", "#")]).await;
    // More than a quorum queue takes back in order with one command.
    for i in 0..60 {
        bed.publish("a.b", i).await;
    }
    let gate = Arc::new(Semaphore::new(0));
    let config = ConsumerConfig { concurrency: 1, ..ConsumerConfig::default() };
    let mut work = bed.consume("work", config, {
        let gate = Arc::clone(&gate);
        move |_, _| {
            let gate = Arc::clone(&gate);
            async move {
                gate.acquire().await.expect("open").forget();
                Outcome::Ack
            }
        }
    });
    assert_eq!(n(&work.next().await.0), 0);
    work.stop.take();
    work.nothing().await;
    gate.add_permits(1);
    work.stop().await;
    let name = bed.name("work");
    until("the rest", || async {
        bed.hub.queue(&name).await.is_ok_and(|q| q.is_some_and(|q| q.messages == 59))
    })
    .await;
    let config = ConsumerConfig { concurrency: 1, ..ConsumerConfig::default() };
    let mut rest = bed.consume("work", config, async |_, _| Outcome::Ack);
    for i in 1..60 {
        assert_eq!(n(&rest.next().await.0), i, "in their old order");
    }
    rest.nothing().await;
}

/// A consumer that is simply gone loses nothing.
pub async fn gives_back_when_dropped(bed: &Bed) {
    bed.declare(&[("work", "#")]).await;
    bed.publish("a.b", 7).await;
    let mut work = bed.consume("work", ConsumerConfig::default(), async |_, _| std::future::pending().await);
    work.next().await;
    work.task.abort();
    let mut other = bed.consume("work", ConsumerConfig::default(), async |_, _| Outcome::Ack);
    let (event, cx) = other.next().await;
    assert_eq!(n(&event), 7);
    assert!(cx.redelivered);
    other.nothing().await;
}

/// What a handler returns comes again, and is no failure.
pub async fn gives_back_on_return(bed: &Bed) {
    bed.declare(&[("work", "#")]).await;
    let first = Arc::new(AtomicBool::new(true));
    let mut work = bed.consume("work", ConsumerConfig::default(), move |_, _| {
        let outcome = if first.swap(false, Ordering::SeqCst) { Outcome::Return } else { Outcome::Ack };
        async move { outcome }
    });
    bed.publish("a.b", 1).await;
    assert!(!work.next().await.1.redelivered);
    let (event, cx) = work.next().await;
    assert_eq!(n(&event), 1);
    assert!(cx.redelivered && cx.attempt == 1, "no failure: {cx:?}");
    work.nothing().await;
}

/// A queue that was never declared is told at once.
pub async fn refuses_an_unknown_queue(bed: &Bed) {
    let handler = async || Outcome::Ack;
    let result = bed.hub.consume("never declared", ConsumerConfig::default(), handler, async {}).await;
    assert_eq!(result.expect_err("unknown").kind(), ErrorKind::UnknownQueue);
}

/// Health knows each consumer, and forgets it when it has ended.
pub async fn reports_its_health(bed: &Bed) {
    bed.declare(&[("work", "#")]).await;
    assert!(bed.hub.health().ready());
    let mut work = bed.consume("work", ConsumerConfig::default(), async |_, _| Outcome::Ack);
    until("an active consumer", || async {
        let health = bed.hub.health();
        health.ready() && health.consumers.len() == 1 && health.consumers[0].queue == bed.name("work")
    })
    .await;
    soon("the stop", work.stop()).await;
    until("no consumer", || async { bed.hub.health().consumers.is_empty() }).await;
}
