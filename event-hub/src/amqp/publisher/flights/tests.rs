//! Tests of [`Flights`], with futures that land on command.

use std::future::pending;

use futures_util::FutureExt as _;
use tokio::sync::oneshot;

use super::*;

type Flying = Flights<Result<u32, oneshot::error::RecvError>>;

async fn landed(flights: &mut Flying) -> Vec<u64> {
    let mut landed = Vec::new();
    flights.landed(&mut landed).await;
    let mut numbers: Vec<u64> = landed.into_iter().map(|(number, _)| number).collect();
    numbers.sort_unstable();
    numbers
}

#[tokio::test]
async fn everything_that_has_landed_is_taken_at_once() {
    let mut flights = Flying::new();
    let mut senders = Vec::new();
    // Below tokio's own budget of 128 a turn, which lapin's promises do not know.
    for number in 0..50 {
        let (sender, receiver) = oneshot::channel();
        flights.start(number, receiver);
        senders.push(sender);
    }
    assert!(landed(&mut flights).now_or_never().is_none(), "nothing has landed");
    let rest = senders.split_off(30);
    for sender in senders {
        sender.send(7).unwrap();
    }
    assert_eq!(landed(&mut flights).await, (0..30).collect::<Vec<_>>());
    for sender in rest {
        sender.send(7).unwrap();
    }
    assert_eq!(landed(&mut flights).await, (30..50).collect::<Vec<_>>());
}

#[tokio::test]
async fn what_lands_as_it_starts_comes_with_the_next_look() {
    let mut flights = Flights::<u32>::new();
    flights.start(0, async { 7 });
    flights.start(1, pending());
    let mut landed = Vec::new();
    flights.landed(&mut landed).await;
    assert_eq!(landed, [(0, 7)]);
}

#[tokio::test]
async fn places_are_used_again_and_late_calls_do_no_harm() {
    let mut flights = Flying::new();
    for number in 0..1000 {
        let (sender, receiver) = oneshot::channel();
        flights.start(number, receiver);
        let late = flights.slots[0].waker.clone();
        sender.send(7).unwrap();
        assert_eq!(landed(&mut flights).await, [number]);
        late.wake();
        assert!(landed(&mut flights).now_or_never().is_none());
    }
    assert_eq!(flights.slots.len(), 1);
}

#[tokio::test]
async fn a_landing_wakes_the_one_who_waits() {
    let mut flights = Flying::new();
    let (sender, receiver) = oneshot::channel();
    flights.start(0, receiver);
    let waiting = tokio::spawn(async move { landed(&mut flights).await });
    tokio::task::yield_now().await;
    sender.send(7).unwrap();
    assert_eq!(waiting.await.unwrap(), [0]);
}
