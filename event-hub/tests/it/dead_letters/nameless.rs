//! Letters without a name get one, once.

use std::pin::Pin;
use std::task::{Context as Task, Poll};

use devkit::Fault;
use tramline_event_hub::dead_letters::Drained;

use super::*;

/// Completes when it has been looked at so often.
struct Looks(u32);

impl Future for Looks {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, task: &mut Task<'_>) -> Poll<()> {
        if self.0 == 0 {
            return Poll::Ready(());
        }
        self.0 -= 1;
        task.waker().wake_by_ref();
        Poll::Pending
    }
}

/// The end may come between any two steps: no letter may be in the queue in two forms by then, which nobody could
/// know for one.
#[tokio::test]
async fn a_letter_without_a_name_is_stored_once_wherever_the_drain_ends() {
    let Some(db) = Database::sqlite().await else { return };
    let bed = Bed::memory(db).await;
    let straight = Topology::new().binding(Binding::new(bed.name("events"), "straight", bed.name("dlq")));
    bed.hub.declare(&straight).await.unwrap();
    let mut expected = 0;
    for looks in 0..80 {
        for n in 0..3 {
            bed.publish(&event("straight", n)).await;
            expected += 1;
        }
        let config = DrainConfig::default();
        bed.letters.drain(&bed.hub, &bed.name("dlq"), config, |_| {}, Looks(looks)).await.unwrap();
    }
    let mut config = DrainConfig::default();
    config.until_empty = true;
    let dlq = bed.name("dlq");
    let rest = bed.letters.drain(&bed.hub, &dlq, config, |_| {}, std::future::pending());
    soon("the rest", rest).await.unwrap();
    assert_eq!(bed.letters.count(&Filter::new()).await.unwrap(), expected);
}

/// A database that takes statements and answers none: told, and over once it is back.
#[tokio::test]
async fn a_database_that_falls_silent_is_told() {
    let Some(url) = devkit::engines::fresh_database().await else { return };
    let (fault, through) = Fault::in_front_of(&url).await.unwrap();
    let bed = Bed::memory(Database::at(&url).await).await;
    let silent = Database::at(&through).await;
    let limit = Duration::from_millis(500);
    let letters = open(&silent).await.with_statement_timeout(limit);
    let rejecting = bed.reject("work");
    bed.publish(&event("orders.order.placed", 0)).await;
    let (progress, mut told) = mpsc::channel::<Drained>(1_000);
    let stop = CancellationToken::new();
    let drain = tokio::spawn({
        let (hub, dlq, stop) = (bed.hub.clone(), bed.name("dlq"), stop.clone());
        let letters = letters.clone();
        let mut config = DrainConfig::default();
        config.first_pause = Duration::from_millis(1);
        config.max_pause = Duration::from_millis(1);
        let progress = move |drained: &Drained| drop(progress.try_send(drained.clone()));
        async move { letters.drain(&hub, &dlq, config, progress, stop.cancelled_owned()).await }
    });
    soon("a letter", async { while told.recv().await.unwrap().stored < 1 {} }).await;

    fault.half_open();
    bed.publish(&event("orders.order.placed", 1)).await;
    let held = soon("the silence", async {
        loop {
            let drained = told.recv().await.unwrap();
            if drained.held == 1 {
                return drained;
            }
        }
    });
    assert!(held.await.error.unwrap().contains("timed out"));
    let error = soon("an answer", letters.count(&Filter::new())).await.unwrap_err();
    assert_eq!(error.kind(), tramline_event_hub::ErrorKind::Store);

    fault.heal();
    let other = async {
        loop {
            let drained = told.recv().await.unwrap();
            if drained.stored + drained.repeated >= 2 {
                return;
            }
        }
    };
    soon("the other letter", other).await;
    assert_eq!(bed.letters.count(&Filter::new()).await.unwrap(), 2);
    stop.cancel();
    drain.await.unwrap().unwrap();
    rejecting.stop().await;
}
