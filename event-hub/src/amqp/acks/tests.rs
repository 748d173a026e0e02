//! Tests of the acknowledgements.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

fn sent(sends: impl Iterator<Item = Send>) -> Vec<Send> {
    sends.collect()
}

#[tokio::test(start_paused = true)]
async fn only_the_finished_prefix_is_acknowledged_together() {
    let mut acks = Acks::new(100);
    (1..=4).for_each(|tag| acks.deliver(tag));
    let now = Instant::now();
    for tag in [1, 2, 4] {
        assert!(acks.finish(tag, now));
    }
    assert!(!acks.is_due(now), "it waits for company");
    assert!(acks.is_due(now + WAIT));
    assert_eq!(sent(acks.flush(now + WAIT, false)), [Send::UpTo(2)]);
    assert_eq!(
        sent(acks.flush(now + STALLED, false)),
        [Send::One(4)],
        "an unfinished one does not stall it for ever"
    );
    assert!(acks.finish(3, now));
    assert!(!acks.finish(3, now) && !acks.finish(9, now) && !acks.take(9));
    assert_eq!(sent(acks.flush(now, false)), [Send::UpTo(3)]);
    assert_eq!(acks.next_look(), None);
}

#[tokio::test(start_paused = true)]
async fn a_tenth_of_the_window_waits_for_nothing() {
    let (mut acks, now) = (Acks::new(20), Instant::now());
    (7..=9).for_each(|tag| acks.deliver(tag));
    assert!(acks.finish(7, now));
    assert!(!acks.is_due(now));
    assert!(acks.finish(8, now));
    assert!(acks.is_due(now));
    assert_eq!(sent(acks.flush(now, false)), [Send::UpTo(8)]);
}

#[tokio::test(start_paused = true)]
async fn the_rest_goes_back_in_order_and_in_batches() {
    let (mut acks, now) = (Acks::new(100), Instant::now());
    (1..=9).for_each(|tag| acks.deliver(tag));
    assert!(acks.finish(1, now) && acks.finish(5, now) && acks.take(6));
    assert_eq!(sent(acks.flush(now, true)), [Send::UpTo(1), Send::One(5)]);
    assert_eq!(acks.rest(3), [4, 9], "2 3 4, then 7 8 9");
    assert_eq!(acks.rest(4), [7, 9], "2 3 4 7, then 8 9");
}

/// Behind one that takes its time, as much as the broker has out and no more is kept of all that passes it.
#[tokio::test(start_paused = true)]
async fn what_is_settled_leaves_no_trace() {
    let (mut acks, mut now) = (Acks::new(10), Instant::now());
    acks.deliver(1);
    for tag in 2..1000 {
        acks.deliver(tag);
        if tag % 3 == 0 {
            assert!(acks.take(tag));
        } else {
            assert!(acks.finish(tag, now));
        }
        now += STALLED;
        acks.flush(now, false).for_each(drop);
        assert!(acks.out.len() <= 2, "{}", acks.out.len());
    }
    assert!(acks.finish(1, now));
    assert_eq!(acks.flush(now, false).last(), Some(Send::UpTo(1)));
    assert!(acks.out.is_empty());
}

proptest! {
    /// Whatever finishes in whatever order: no unfinished delivery is ever acknowledged, and in the end all are.
    #[test]
    fn no_unfinished_delivery_is_acknowledged(order in Just((1..=30_u64).collect::<Vec<_>>()).prop_shuffle(), every in 1..5_usize) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let _inside = runtime.enter();
        let mut acks = Acks::new(10);
        (1..=30).for_each(|tag| acks.deliver(tag));
        let (mut out, mut finished): (BTreeSet<u64>, BTreeSet<u64>) = ((1..=30).collect(), BTreeSet::new());
        let now = Instant::now();
        for (i, tag) in order.into_iter().enumerate() {
            acks.finish(tag, now);
            finished.insert(tag);
            if i % every == 0 {
                let late = now + if i % 2 == 0 { STALLED } else { Duration::ZERO };
                for send in acks.flush(late, false) {
                    let gone: Vec<u64> = match send {
                        Send::One(tag) => vec![tag],
                        Send::UpTo(tag) => out.range(..=tag).copied().collect(),
                    };
                    for tag in gone {
                        prop_assert!(finished.contains(&tag) && out.remove(&tag));
                    }
                }
            }
        }
        for send in acks.flush(now, true) {
            match send {
                Send::One(tag) => { out.remove(&tag); }
                Send::UpTo(tag) => out.retain(|other| *other > tag),
            }
        }
        prop_assert!(out.is_empty());
    }
}
