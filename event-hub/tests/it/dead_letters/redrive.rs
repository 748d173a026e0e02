//! Back into the queue they died in.

use std::collections::BTreeMap;

use tokio::time::Instant;
use tramline_event_hub::ErrorKind;
use tramline_event_hub::dead_letters::Selection;

use super::*;

on_all!(
    a_letter_goes_back_to_its_own_queue_alone_and_begins_anew,
    what_dies_again_keeps_its_history,
    several_at_once_send_each_letter_once,
    a_letter_whose_queue_is_gone_stays_and_is_told,
    it_keeps_the_pace,
    only_what_is_selected_goes,
    what_no_inbox_would_know_goes_only_if_told,
);

async fn a_letter_goes_back_to_its_own_queue_alone_and_begins_anew(bed: Bed) {
    let mut other = bed.acknowledge("other");
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let dead = event("orders.order.placed", 1).with_trace(Some(trace.to_owned()), None);
    let failing = bed.consume("work", |_, _| Outcome::Retry { reason: "broken".to_owned() });
    bed.publish(&dead).await;
    assert_eq!(other.next().await.0.id, dead.id);
    bed.drain(1).await;
    failing.stop().await;

    let mut work = bed.acknowledge("work");
    let redriven = soon("the redrive", bed.letters.redrive(&bed.hub, &Selection::All, fast(), |_| {})).await;
    let redriven = redriven.unwrap();
    assert_eq!((redriven.sent, redriven.left, redriven.busy), (1, 0, 0));
    let (event, cx) = work.next().await;
    assert_eq!((event.id.clone(), event.traceparent.as_deref()), (dead.id.clone(), Some(trace)));
    assert_eq!((cx.attempt, cx.redelivered, cx.dead_letter), (1, false, None));
    assert_eq!(cx.routing_key, "orders.order.placed");
    assert_eq!(bed.letters.count(&Filter::new()).await.unwrap(), 0);
    // Again: there is nothing to do.
    let again = bed.letters.redrive(&bed.hub, &Selection::All, fast(), |_| {}).await.unwrap();
    assert_eq!((again.sent, again.left, again.busy), (0, 0, 0));
    bed.until_gone("other").await;
    assert!(other.seen.try_recv().is_err(), "the other queue has had it");
    work.stop().await;
    other.stop().await;
}

async fn what_dies_again_keeps_its_history(bed: Bed) {
    bed.dead(1).await;
    let first = bed.all().await.remove(0);
    let failing = bed.consume("work", |_, _| Outcome::Retry { reason: "broken".to_owned() });
    let drain = {
        let (letters, hub, dlq) = (bed.letters.clone(), bed.hub.clone(), bed.name("dlq"));
        tokio::spawn(async move {
            letters.drain(&hub, &dlq, DrainConfig::default(), |_| {}, std::future::pending()).await
        })
    };
    soon("the redrive", bed.letters.redrive(&bed.hub, &Selection::All, fast(), |_| {})).await.unwrap();
    let second = soon("the second death", async {
        loop {
            match bed.all().await.pop() {
                Some(letter) if letter.id != first.id => return letter,
                _ => tokio::task::yield_now().await,
            }
        }
    })
    .await;
    drain.abort();
    assert_eq!((second.reason.as_str(), second.attempts, second.redrives), ("attempts", 2, 1));
    assert_eq!(second.previous_reason.as_deref(), Some("rejected"));
    assert_eq!((&second.event_id, &second.queue), (&first.event_id, &first.queue));
    assert_eq!((&second.exchange, &second.routing_key), (&first.exchange, &first.routing_key));
    assert!(second.first_failed_at > first.last_failed_at, "a life of its own");
    failing.stop().await;
}

async fn several_at_once_send_each_letter_once(bed: Bed) {
    let dead = bed.dead(120).await;
    let mut work = bed.acknowledge("work");
    let redrive = || bed.letters.redrive(&bed.hub, &Selection::All, fast(), |_| {});
    let (a, b, c) =
        Box::pin(soon("the redrives", async { tokio::join!(redrive(), redrive(), redrive()) })).await;
    let all = [a.unwrap(), b.unwrap(), c.unwrap()];
    assert_eq!(all.iter().map(|redriven| redriven.sent).sum::<u64>(), 120);
    assert_eq!(bed.letters.count(&Filter::new()).await.unwrap(), 0);
    let mut seen = BTreeMap::<_, u32>::new();
    for _ in 0..120 {
        *seen.entry(work.next().await.0.id).or_default() += 1;
    }
    bed.until_gone("work").await;
    assert!(work.seen.try_recv().is_err());
    assert!(dead.iter().all(|event| seen[&event.id] == 1));
    work.stop().await;
}

async fn a_letter_whose_queue_is_gone_stays_and_is_told(bed: Bed) {
    let dead = bed.dead(3).await;
    let gone = bed.all().await.remove(1);
    // As if its queue had been deleted since.
    bed.db.execute(&format!("UPDATE tramline_dead_letters SET queue = 'gone' WHERE id = {}", gone.id)).await;
    let mut work = bed.acknowledge("work");
    let mut told = Vec::new();
    let redriven = bed.letters.redrive(&bed.hub, &Selection::All, fast(), |one| told.push(one.clone()));
    let redriven = soon("the redrive", redriven).await.unwrap();
    assert_eq!((redriven.sent, redriven.left, redriven.busy), (2, 1, 0));
    assert_eq!(told.len(), 3);
    let failed = told.iter().find(|one| one.error.is_some()).unwrap();
    assert_eq!((failed.id, failed.queue.as_deref()), (gone.id, Some("gone")));
    let [left] = &bed.all().await[..] else { panic!("one letter") };
    assert_eq!((left.id, left.redrive_error.as_deref()), (gone.id, Some("its queue is gone")));
    for _ in 0..2 {
        work.next().await;
    }
    // Its queue is there again: nothing of it was lost.
    bed.db.execute(&format!("UPDATE tramline_dead_letters SET queue = '{}'", bed.name("work"))).await;
    let selection = Selection::Ids(vec![gone.id, 999_999]);
    let redriven = bed.letters.redrive(&bed.hub, &selection, fast(), |_| {});
    let redriven = soon("the redrive", redriven).await.unwrap();
    assert_eq!((redriven.sent, redriven.unknown), (1, vec![999_999]));
    let (event, _) = work.next().await;
    assert_eq!(Some(event.id.as_str()), gone.event_id.as_deref());
    assert!(dead.iter().any(|dead| dead.to_json() == event.to_json()));
    work.stop().await;
}

async fn it_keeps_the_pace(bed: Bed) {
    bed.dead(6).await;
    let _work = bed.acknowledge("work");
    let mut config = fast();
    config.per_second = 10.0;
    let started = Instant::now();
    let redriven = soon("the redrive", bed.letters.redrive(&bed.hub, &Selection::All, config, |_| {})).await;
    assert_eq!(redriven.unwrap().sent, 6);
    // The first goes at once; never faster, whatever the machine is like.
    assert!(started.elapsed() >= Duration::from_millis(500), "{:?}", started.elapsed());
    for rate in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let mut config = fast();
        config.per_second = rate;
        let refused = bed.letters.redrive(&bed.hub, &Selection::All, config, |_| {}).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Config);
    }
}

async fn only_what_is_selected_goes(bed: Bed) {
    bed.dead(4).await;
    let mut work = bed.acknowledge("work");
    let all = bed.all().await;
    let refused = bed.letters.redrive(&bed.hub, &Selection::Matching(Filter::new()), fast(), |_| {}).await;
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Config);
    let mut filter = Filter::new();
    filter.event_id.clone_from(&all[0].event_id);
    for selection in [Selection::Ids(vec![all[2].id]), Selection::Matching(filter)] {
        let redriven = soon("it", bed.letters.redrive(&bed.hub, &selection, fast(), |_| {})).await.unwrap();
        assert_eq!((redriven.sent, redriven.left), (1, 0));
    }
    let mut seen = [work.next().await.0.id.to_string(), work.next().await.0.id.to_string()];
    seen.sort();
    let mut wanted = [all[0].event_id.clone().unwrap(), all[2].event_id.clone().unwrap()];
    wanted.sort();
    assert_eq!(seen, wanted);
    assert_eq!(bed.letters.count(&Filter::new()).await.unwrap(), 2);
    work.stop().await;
}

/// An event that had its effect and died of crashes would have it again, once the inbox has forgotten it.
async fn what_no_inbox_would_know_goes_only_if_told(bed: Bed) {
    bed.dead(2).await;
    let [young, old] = &bed.all().await[..] else { panic!("two letters") };
    let week = "UPDATE tramline_dead_letters SET first_failed_at = first_failed_at - 604800000000";
    bed.db.execute(&format!("{week} WHERE id = {}", old.id)).await;
    let mut work = bed.acknowledge("work");
    let redriven = soon("the young", bed.letters.redrive(&bed.hub, &Selection::All, fast(), |_| {})).await;
    assert_eq!((redriven.as_ref().unwrap().sent, redriven.unwrap().left), (1, 1));
    let [left] = &bed.all().await[..] else { panic!("one letter") };
    assert_eq!(left.id, old.id);
    assert!(left.redrive_error.as_ref().unwrap().contains("it failed 7 days ago"), "{left:?}");
    assert_ne!(left.id, young.id);
    let mut all = fast();
    all.max_age = None;
    let redriven =
        soon("the old", bed.letters.redrive(&bed.hub, &Selection::All, all, |_| {})).await.unwrap();
    assert_eq!((redriven.sent, redriven.left), (1, 0));
    let _both = (work.next().await, work.next().await);
    work.stop().await;
}
