//! What a publish answers.

use crate::config::ConsumerConfig;
use crate::conformance::{Bed, n, number};
use crate::handler::Outcome;
use crate::publish::PublishErrorKind;

/// Each queue gets what its binding matches, once.
pub async fn routes_by_topic(bed: &Bed) {
    bed.declare(&[("all", "#"), ("users", "auth.user.*"), ("auth", "auth.#")]).await;
    let mut all = bed.consume("all", ConsumerConfig::default(), async |_, _| Outcome::Ack);
    let mut users = bed.consume("users", ConsumerConfig::default(), async |_, _| Outcome::Ack);
    let mut auth = bed.consume("auth", ConsumerConfig::default(), async |_, _| Outcome::Ack);
    for (i, kind) in ["auth.user.created", "auth.session.revoked", "pay.made"].iter().enumerate() {
        bed.publish(kind, i as u64).await;
    }
    for (running, expected) in [(&mut all, vec![0, 1, 2]), (&mut users, vec![0]), (&mut auth, vec![0, 1])] {
        let mut got = Vec::new();
        for _ in &expected {
            let (event, cx) = running.next().await;
            assert_eq!(cx.routing_key, event.event_type);
            assert_eq!((cx.attempt, cx.redelivered, cx.dead_letter), (1, false, None));
            got.push(n(&event));
        }
        got.sort_unstable();
        assert_eq!(got, expected);
        running.nothing().await;
    }
}

/// What no queue wants is returned, with the event.
pub async fn tells_what_is_returned(bed: &Bed) {
    bed.declare(&[("work", "known.#")]).await;
    let event = number("unknown.thing", 1);
    let error = bed.hub.publish(&event).await.expect_err("nobody wants it");
    let PublishErrorKind::Returned { code, key, .. } = error.kind() else { panic!("{error:?}") };
    assert_eq!((*code, key.as_str()), (312, "unknown.thing"));
    assert_eq!(error.into_event().id, event.id);
    bed.publish("known.thing", 2).await;
}

/// Among many at once, each publish gets its own answer.
pub async fn answers_each_of_many(bed: &Bed) {
    bed.declare(&[("work", "known.#")]).await;
    let events: Vec<_> =
        (0..500).map(|n| number(if n % 3 == 0 { "unknown.x" } else { "known.x" }, n)).collect();
    let ids: Vec<_> = events.iter().map(|event| event.id.clone()).collect();
    let answers = bed.hub.publish_all(events).await;
    assert_eq!(answers.len(), 500);
    for (n, answer) in answers.into_iter().enumerate() {
        match answer {
            Ok(_) => assert_ne!(n % 3, 0, "event {n} went nowhere and was confirmed"),
            Err(error) => {
                assert_eq!(n % 3, 0, "event {n}: {error}");
                assert!(error.is_returned(), "{error}");
                assert_eq!(error.event().id, ids[n]);
            }
        }
    }
    let mut work =
        bed.consume("work", ConsumerConfig { concurrency: 1, ..ConsumerConfig::default() }, async |_, _| {
            Outcome::Ack
        });
    for expected in (0..500).filter(|n| n % 3 != 0) {
        assert_eq!(n(&work.next().await.0), expected, "in order");
    }
    work.nothing().await;
}

/// An exchange that was not declared is told, and harms nothing else.
pub async fn refuses_an_undeclared_exchange(bed: &Bed) {
    let error = bed.hub.publish(&number("a.b", 1)).await.expect_err("there is no exchange");
    assert!(matches!(error.kind(), PublishErrorKind::Returned { code: 404, .. }), "{error}");
    bed.declare(&[("work", "#")]).await;
    bed.publish("a.b", 2).await;
}
