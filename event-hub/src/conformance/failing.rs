//! Retries, delays and dead letters.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use crate::config::ConsumerConfig;
use crate::conformance::{Bed, n, quick, until};
use crate::handler::{Outcome, RawDelivery};
use crate::message::{Message, Properties};

/// A failure comes back after its delay, counted, with its key; in the end it can succeed.
pub async fn retries_after_delays(bed: &Bed) {
    bed.declare(&[("work", "#"), ("other", "nothing")]).await;
    // When the handler was called, and when it answered: whoever listens to it may hear of both much later.
    let calls: Arc<Mutex<Vec<[Instant; 2]>>> = Arc::default();
    let mut work = bed.consume("work", quick(), {
        let calls = Arc::clone(&calls);
        move |_, cx| {
            let calls = Arc::clone(&calls);
            async move {
                calls.lock().expect("no panic").push([Instant::now(); 2]);
                let outcome = match cx.attempt {
                    1 => Outcome::Retry { reason: "not yet".to_owned() },
                    2 => Outcome::RetryAfter {
                        delay: Duration::from_millis(700),
                        reason: "still not".to_owned(),
                    },
                    _ => Outcome::Ack,
                };
                if let Some([_, answered]) = calls.lock().expect("no panic").last_mut() {
                    *answered = Instant::now();
                }
                outcome
            }
        }
    });
    let mut other = bed.consume("other", quick(), async |_, _| Outcome::Ack);
    let published = bed.publish("a.b", 1).await;
    for attempt in 1..=3 {
        let (event, cx) = work.next().await;
        assert_eq!((event.id, cx.attempt, cx.routing_key.as_str()), (published.id.clone(), attempt, "a.b"));
        assert_eq!(cx.redelivered, attempt > 1);
    }
    work.nothing().await;
    other.nothing().await;
    work.stop().await;
    let calls = calls.lock().expect("no panic");
    assert_eq!(calls.len(), 3);
    for (two, least) in calls.windows(2).zip([100, 700]) {
        let waited = two[1][0] - two[0][1];
        // A broker's clock has milliseconds, and its timers fire a little early.
        assert!(
            waited + Duration::from_millis(20) >= Duration::from_millis(least),
            "{waited:?} of {least} ms"
        );
    }
}

/// A short delay is not held up by a long one that began before it.
pub async fn delays_do_not_block_each_other(bed: &Bed) {
    bed.declare(&[("work", "#")]).await;
    let mut work = bed.consume("work", quick(), async |event, cx| {
        let delay = Duration::from_millis(if n(&event) == 0 { 5000 } else { 200 });
        if cx.attempt == 1 { Outcome::RetryAfter { delay, reason: "later".to_owned() } } else { Outcome::Ack }
    });
    bed.publish("a.b", 0).await;
    assert_eq!(n(&work.next().await.0), 0);
    bed.publish("a.b", 1).await;
    assert_eq!(n(&work.next().await.0), 1);
    assert_eq!(n(&work.next().await.0), 1, "the short one first");
    assert_eq!(n(&work.next().await.0), 0);
}

/// What is rejected, and what fails too often, is found in the dead letters with its story.
pub async fn dead_letters_keep_their_story(bed: &Bed) {
    bed.declare(&[("work", "#")]).await;
    let config = ConsumerConfig { name: Some("worker".to_owned()), ..quick() };
    let mut work = bed.consume("work", config, async |event, _| match n(&event) {
        0 => Outcome::Reject { reason: "never: because".to_owned() },
        _ => Outcome::Retry { reason: "broken".to_owned() },
    });
    let rejected = bed.publish("a.rejected", 0).await;
    work.next().await;
    let (raw, cx) = bed.next_dead_letter().await;
    let info = cx.dead_letter.expect("it is one");
    assert_eq!(raw.event().expect("an event").to_json(), rejected.to_json());
    assert_eq!((info.reason.as_str(), info.attempts), ("rejected", 1));
    assert_eq!(info.error.as_deref(), Some("never: because"));
    assert_eq!(info.handler.as_deref(), Some("worker"));
    assert_eq!(info.queue, Some(bed.name("work")));
    assert_eq!(info.routing_key.as_deref(), Some("a.rejected"));
    assert_eq!((cx.routing_key.as_str(), cx.attempt), ("a.rejected", 1));

    let failed = bed.publish("a.failed", 1).await;
    for attempt in 1..=3 {
        assert_eq!(work.next().await.1.attempt, attempt);
    }
    let (raw, cx) = bed.next_dead_letter().await;
    let info = cx.dead_letter.expect("it is one");
    assert_eq!(raw.message_id.as_deref(), Some(failed.id.as_str()));
    assert_eq!((info.reason.as_str(), info.attempts), ("attempts", 3));
    assert_eq!(info.error.as_deref(), Some("broken"));
    assert_eq!(info.routing_key.as_deref(), Some("a.failed"));
    assert!(info.first_failed_at < info.last_failed_at);
    work.nothing().await;
}

/// A body that is no event goes to the dead letters as it is, and its handler never sees it.
pub async fn poison_becomes_a_dead_letter(bed: &Bed) {
    bed.declare(&[("work", "#")]).await;
    let mut work = bed.consume("work", quick(), async |_, _| Outcome::Ack);
    for body in [&b"{not json"[..], b"", &[0xff, 0x00]] {
        let (exchange, bytes) = (bed.name("events").into(), Bytes::from_static(body).into());
        let (properties, headers) = (Properties::default(), crate::message::Headers::default());
        let message = Message::new(exchange, "a.poison".into(), bytes, properties, headers);
        bed.hub.send_raw(message).await.expect("confirmed");
        let (raw, cx) = bed.next_dead_letter().await;
        assert_eq!(raw.body, body);
        let info = cx.dead_letter.expect("it is one");
        assert_eq!((info.reason.as_str(), info.attempts), ("undecodable", 1));
        assert_eq!(info.routing_key.as_deref(), Some("a.poison"));
    }
    work.nothing().await;
}

/// A handler that panics, in its call or in its future, or takes too long, has failed; the consumer lives on.
pub async fn panics_and_hangs_are_failures(bed: &Bed) {
    bed.declare(&[("work", "#")]).await;
    let config = ConsumerConfig { handler_timeout: Duration::from_millis(100), ..quick() };
    let mut work = bed.consume("work", config, move |event, cx| {
        assert!(n(&event) != 0 || cx.attempt > 1, "a panic on purpose, in the call");
        async move {
            assert!(n(&event) != 1 || cx.attempt > 1, "a panic on purpose, in the future");
            if n(&event) == 2 && cx.attempt == 1 {
                std::future::pending::<()>().await;
            }
            Outcome::Ack
        }
    });
    for i in 0..3 {
        bed.publish("a.b", i).await;
    }
    let mut seen = Vec::new();
    for _ in 0..6 {
        let (event, cx) = work.next().await;
        seen.push((n(&event), cx.attempt));
    }
    seen.sort_unstable();
    assert_eq!(seen, [(0, 1), (0, 2), (1, 1), (1, 2), (2, 1), (2, 2)]);
    work.nothing().await;
}

/// A dead letter whose own handler fails is kept: there is nowhere else to put it.
pub async fn dead_letters_stay_until_handled(bed: &Bed) {
    bed.declare(&[("work", "#")]).await;
    let mut work = bed.consume("work", quick(), async |_, _| Outcome::Reject { reason: "no".to_owned() });
    bed.publish("a.b", 1).await;
    work.next().await;
    let calls = Arc::new(AtomicU32::new(0));
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let handler = {
        let (calls, stop) = (Arc::clone(&calls), Mutex::new(Some(stop)));
        move |_: RawDelivery, cx: crate::handler::Context| {
            assert!(cx.dead_letter.is_some_and(|info| info.reason == "rejected" && info.attempts == 1));
            let call = calls.fetch_add(1, Ordering::SeqCst);
            if call == 4 {
                stop.lock().expect("no panic").take();
            }
            async move {
                match call {
                    0 => Outcome::Reject { reason: "nor here".to_owned() },
                    1..4 => Outcome::Retry { reason: "nor here".to_owned() },
                    _ => Outcome::Ack,
                }
            }
        }
    };
    let queue = bed.name("dlq");
    let run = bed.hub.consume(&queue, quick(), handler, async {
        let _ = stopped.await;
    });
    crate::conformance::soon("the fifth try", run).await.expect("drained");
    assert_eq!(calls.load(Ordering::SeqCst), 5);
    until("an empty queue", || async {
        bed.hub.queue(&queue).await.is_ok_and(|q| q.is_some_and(|q| q.messages == 0))
    })
    .await;
}
