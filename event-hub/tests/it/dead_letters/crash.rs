//! Drains and redrives that end in the middle of their work.

use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::task::Poll;

use futures_util::FutureExt as _;
use tramline_event_hub::dead_letters::Selection;

use super::*;

on_all!(
    a_drain_cut_off_between_commit_and_acknowledgement_stores_no_second_row,
    drains_cut_off_anywhere_lose_nothing_and_double_nothing,
    redrives_cut_off_anywhere_lose_nothing,
);

/// The row is committed, the letter is not acknowledged, and the process is gone; then it is given out again.
async fn a_drain_cut_off_between_commit_and_acknowledgement_stores_no_second_row(bed: Bed) {
    let rejecting = bed.reject("work");
    for n in 0..5 {
        bed.publish(&event("orders.order.placed", n)).await;
    }
    // Whoever is told stands between the two, see `DeadLetters::drain`.
    let fall = |drained: &dead_letters::Drained| assert!(drained.stored < 5, "a fall on purpose");
    let dlq = bed.name("dlq");
    let drain = bed.letters.drain(&bed.hub, &dlq, DrainConfig::default(), fall, std::future::pending());
    assert!(soon("the fall", AssertUnwindSafe(drain).catch_unwind()).await.is_err());
    assert_eq!(bed.letters.count(&Filter::new()).await.unwrap(), 5);
    // Deleted or sent back meanwhile, it is still known.
    let ids: Vec<_> = bed.all().await.iter().take(2).map(|letter| letter.id).collect();
    bed.letters.delete(&Selection::Ids(ids), |_| {}).await.unwrap();

    // The broker gives back what the first one held.
    bed.until_waiting("dlq").await;
    let mut config = DrainConfig::default();
    config.until_empty = true;
    let drained = bed.letters.drain(&bed.hub, &dlq, config, |_| {}, std::future::pending());
    let drained = soon("the second drain", drained).await.unwrap();
    assert_eq!(drained.stored, 0);
    assert!(drained.repeated >= 1, "the last batch was not acknowledged");
    assert_eq!(bed.letters.count(&Filter::new()).await.unwrap(), 3);
    bed.until_gone("dlq").await;
    rejecting.stop().await;
}

async fn drains_cut_off_anywhere_lose_nothing_and_double_nothing(bed: Bed) {
    let rejecting = bed.reject("work");
    let events: Vec<_> = (0..60).map(|n| event("orders.order.placed", n)).collect();
    for event in &events {
        bed.publish(event).await;
    }
    let mut config = DrainConfig::default();
    (config.batch, config.prefetch) = (3, 7);
    let dlq = bed.name("dlq");
    for polls in 1..40 {
        let drain = bed.letters.drain(&bed.hub, &dlq, config.clone(), |_| {}, std::future::pending());
        cut_off(drain, polls).await;
    }
    let mut rest = config;
    rest.until_empty = true;
    soon("the rest", bed.letters.drain(&bed.hub, &dlq, rest, |_| {}, std::future::pending())).await.unwrap();
    // What the cut-off ones held comes back when the broker sees them gone.
    bed.drain(60).await;
    let stored: Vec<_> = bed.all().await.into_iter().filter_map(|letter| letter.event_id).collect();
    assert_eq!(stored.len(), 60);
    let distinct: BTreeSet<_> = stored.into_iter().collect();
    assert!(events.iter().all(|event| distinct.contains(event.id.as_str())));
    rejecting.stop().await;
}

async fn redrives_cut_off_anywhere_lose_nothing(bed: Bed) {
    let events = bed.dead(40).await;
    let mut work = bed.acknowledge("work");
    for polls in 1..40 {
        let mut config = fast();
        config.per_second = 100.0;
        cut_off(bed.letters.redrive(&bed.hub, &Selection::All, config, |_| {}), polls).await;
        // As if its lease were over.
        bed.db.execute("UPDATE tramline_dead_letters SET claimed_until = 0").await;
    }
    let rest = async {
        loop {
            let redriven = bed.letters.redrive(&bed.hub, &Selection::All, fast(), |_| {}).await.unwrap();
            assert_eq!(redriven.left, 0);
            if redriven.busy == 0 {
                return;
            }
            // The database may have carried out a claim whose redrive was gone already.
            bed.db.execute("UPDATE tramline_dead_letters SET claimed_until = 0").await;
        }
    };
    soon("the rest", rest).await;
    assert_eq!(bed.letters.count(&Filter::new()).await.unwrap(), 0);
    let mut seen = BTreeSet::new();
    while seen.len() < 40 {
        seen.insert(work.next().await.0.id);
    }
    assert!(events.iter().all(|event| seen.contains(&event.id)));
    work.stop().await;
}

/// Drops a future after so many polls, wherever it stands then, if it is not done.
async fn cut_off<T>(future: impl Future<Output = T>, polls: u32) {
    let mut future = pin!(future);
    let mut left = polls;
    let cut = std::future::poll_fn(|cx| {
        if left == 0 || future.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        left -= 1;
        Poll::Pending
    });
    // It may wait for what never comes.
    let _ = tokio::time::timeout(Duration::from_millis(500), cut).await;
}
