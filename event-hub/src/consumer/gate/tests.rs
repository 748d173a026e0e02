//! Tests of the breaker, on paused time.

use super::*;

fn breaker(trip: Trip) -> Breaker {
    Breaker { trip, first_pause: Duration::from_secs(1), max_pause: Duration::from_secs(8) }
}

fn gate(trip: Trip) -> Gate {
    Gate::new(Some(breaker(trip)), "test".to_owned(), metrics::Gauge::noop())
}

async fn pass(gate: &Gate) -> Pass<'_> {
    match gate.pass(None, &CancellationToken::new()).await {
        Entry::Pass(pass) => pass,
        Entry::Late | Entry::Stopped => panic!("nobody stopped it"),
    }
}

async fn report(gate: &Gate, tried: Tried) -> bool {
    pass(gate).await.report(tried)
}

/// Reports once the pause is over, and tells how long that took.
async fn probe(gate: &Gate, tried: Tried) -> Duration {
    let began = Instant::now();
    assert!(report(gate, tried).await, "a probe does not count");
    began.elapsed()
}

#[tokio::test(start_paused = true)]
async fn only_failures_in_a_row_open_it() {
    let gate = gate(Trip::Consecutive(3));
    for tried in [Tried::Badly, Tried::Badly, Tried::Well, Tried::Badly, Tried::Neither, Tried::Badly] {
        assert!(!report(&gate, tried).await);
        assert_eq!(gate.state(), BreakerState::Closed);
    }
    assert!(!report(&gate, Tried::Badly).await, "the last that counts");
    assert_eq!(gate.state(), BreakerState::Open);
}

#[tokio::test(start_paused = true)]
async fn a_share_of_the_last_tries_opens_it() {
    let gate = gate(Trip::Share { failed: 0.75, of: 8 });
    let well = [true, false, false, false, true, false, false];
    for well in well {
        report(&gate, if well { Tried::Well } else { Tried::Badly }).await;
    }
    assert_eq!(gate.state(), BreakerState::Closed, "five of seven");
    report(&gate, Tried::Badly).await;
    assert_eq!(gate.state(), BreakerState::Open, "six of eight");
    probe(&gate, Tried::Well).await;
    for _ in 0..7 {
        report(&gate, Tried::Badly).await;
        assert_eq!(gate.state(), BreakerState::Closed, "what was before counts no more");
    }
}

#[tokio::test(start_paused = true)]
async fn pauses_double_up_to_their_bound_and_begin_anew() {
    let gate = gate(Trip::Consecutive(1));
    report(&gate, Tried::Badly).await;
    for bound in [1, 2, 4, 8, 8, 8] {
        let waited = probe(&gate, Tried::Badly).await;
        let bound = Duration::from_secs(bound);
        // Timers have milliseconds.
        assert!(waited >= bound / 2 && waited <= bound + Duration::from_millis(1), "{waited:?} of {bound:?}");
    }
    probe(&gate, Tried::Well).await;
    assert_eq!(gate.state(), BreakerState::Closed);
    report(&gate, Tried::Badly).await;
    assert!(probe(&gate, Tried::Well).await <= Duration::from_millis(1001));
}

#[tokio::test(start_paused = true)]
async fn one_at_a_time_and_in_turn_while_it_is_open() {
    let gate = std::sync::Arc::new(gate(Trip::Consecutive(1)));
    report(&gate, Tried::Badly).await;
    let first = pass(&gate).await;
    assert_eq!(gate.state(), BreakerState::HalfOpen);
    let (order, mut came) = tokio::sync::mpsc::channel(10);
    for n in 0..3 {
        let (gate, order) = (std::sync::Arc::clone(&gate), order.clone());
        tokio::spawn(async move {
            let pass = pass(&gate).await;
            order.send(n).await.unwrap();
            pass.report(if n == 1 { Tried::Well } else { Tried::Badly });
        });
        tokio::task::yield_now().await;
    }
    tokio::time::advance(Duration::from_secs(60)).await;
    assert!(came.try_recv().is_err(), "they wait for the first");
    drop(first);
    let mut all = Vec::new();
    for _ in 0..3 {
        all.push(came.recv().await.unwrap());
    }
    assert_eq!(all, [0, 1, 2]);
}

#[tokio::test(start_paused = true)]
async fn what_says_nothing_makes_room_for_the_next_at_once() {
    let gate = gate(Trip::Consecutive(1));
    report(&gate, Tried::Badly).await;
    probe(&gate, Tried::Neither).await;
    assert_eq!(gate.state(), BreakerState::HalfOpen);
    assert!(probe(&gate, Tried::Well).await <= Duration::from_millis(1));
    assert_eq!(gate.state(), BreakerState::Closed);
}

#[tokio::test(start_paused = true)]
async fn what_was_let_in_before_changes_nothing_after() {
    let gate = gate(Trip::Consecutive(1));
    let (one, two, three) = (pass(&gate).await, pass(&gate).await, pass(&gate).await);
    one.report(Tried::Badly);
    let until = gate.pause_left();
    two.report(Tried::Badly);
    assert_eq!(gate.pause_left(), until, "one outage, one pause");
    three.report(Tried::Well);
    assert_eq!(gate.state(), BreakerState::Open);
}

#[tokio::test(start_paused = true)]
async fn waiting_ends_at_its_bound_and_at_the_stop() {
    let gate = gate(Trip::Consecutive(1));
    report(&gate, Tried::Hopeless).await;
    let soon = Instant::now() + Duration::from_millis(10);
    assert!(matches!(gate.pass(Some(soon), &CancellationToken::new()).await, Entry::Late));
    let stop = CancellationToken::new();
    stop.cancel();
    assert!(matches!(gate.pass(None, &stop).await, Entry::Stopped));
    assert!(probe(&gate, Tried::Well).await <= Duration::from_secs(1), "nobody holds the turn");
}

#[tokio::test(start_paused = true)]
async fn without_a_breaker_it_is_always_open() {
    let gate = Gate::new(None, "test".to_owned(), metrics::Gauge::noop());
    for _ in 0..1000 {
        assert!(!report(&gate, Tried::Badly).await);
    }
    assert_eq!(gate.state(), BreakerState::Closed);
}
