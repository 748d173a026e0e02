//! Tests of [`Settlements`].

use std::sync::atomic::AtomicUsize;
use std::task::{Context, Wake, Waker};

use super::*;
use crate::driver::Verdict;
use crate::message::Token;

/// Counts how often a task would have been woken.
#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn settlement(tag: u64) -> Settlement {
    Settlement { token: Token { generation: 1, tag }, verdict: Verdict::Ack }
}

fn tags(settled: &Settled) -> Vec<u64> {
    let mut all = Vec::new();
    settled.try_take(&mut all);
    all.iter().map(|settlement| settlement.token.tag).collect()
}

/// How often the owner was woken after each of these.
fn wakes(settled: &Settled, steps: &[&dyn Fn()]) -> Vec<usize> {
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(Arc::clone(&wakes));
    let mut into = Vec::new();
    let mut take = Box::pin(settled.take(&mut into));
    assert!(take.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    steps
        .iter()
        .map(|step| {
            step();
            wakes.0.load(Ordering::Relaxed)
        })
        .collect()
}

#[tokio::test]
async fn the_owner_is_woken_for_enough_of_them_or_when_told() {
    let (settlements, settled) = settlements(3);
    let put = |tag| move |settlements: &Settlements| settlements.put(settlement(tag));
    let few = wakes(&settled, &[&|| put(1)(&settlements), &|| put(2)(&settlements), &|| settlements.flush()]);
    assert_eq!(few, [0, 0, 1]);
    assert_eq!(tags(&settled), [1, 2]);
    let enough =
        wakes(&settled, &[&|| put(3)(&settlements), &|| put(4)(&settlements), &|| put(5)(&settlements)]);
    assert_eq!(enough, [0, 0, 1]);
    assert_eq!(tags(&settled), [3, 4, 5]);
    assert_eq!(wakes(&settled, &[&|| settlements.send(settlement(6))]), [1]);
    assert_eq!(tags(&settled), [6]);
    assert_eq!(wakes(&settled, &[&|| settlements.flush()]), [0], "there is nothing that it does not know");
}

#[tokio::test]
async fn each_end_hears_of_the_other_s() {
    let (settlements, settled) = settlements(3);
    settlements.put(settlement(1));
    drop(settlements);
    let mut all = Vec::new();
    assert!(settled.take(&mut all).await);
    assert_eq!(all.len(), 1, "what was put in before is there");
    assert!(!settled.take(&mut all).await);

    let (settlements, settled) = super::settlements(3);
    settlements.put(settlement(1));
    let shared = Arc::clone(&settled.0);
    drop(settled);
    settlements.send(settlement(2));
    assert!(shared.list().items.is_empty(), "nobody would take it");
}
