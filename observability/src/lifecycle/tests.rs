//! Tests of [`Lifecycle`].

use std::future::pending;

use tokio::time::sleep;

use super::*;

type Log = Arc<Mutex<Vec<&'static str>>>;

fn say(log: &Log, word: &'static str) {
    log.lock().unwrap().push(word);
}

/// A task that takes `rest` to finish what it has.
fn worker(lifecycle: &Lifecycle, log: &Log, phase: Phase, name: &'static str, rest: Duration) {
    let log = Arc::clone(log);
    lifecycle.spawn(phase, name, |stop| async move {
        stop.cancelled().await;
        sleep(rest).await;
        say(&log, name);
    });
}

#[tokio::test(start_paused = true)]
async fn phases_come_in_their_order_and_wait_for_each_other() {
    let log = Log::default();
    let lifecycle = Lifecycle::new();
    let second = Duration::from_secs(1);
    // Added in any order.
    worker(&lifecycle, &log, Phase::Sockets, "sockets", second);
    worker(&lifecycle, &log, Phase::Consumers, "consumers", second);
    worker(&lifecycle, &log, Phase::Accept, "accept", second);
    worker(&lifecycle, &log, Phase::Relays, "relays", second);
    for (phase, name) in [(Phase::Flush, "flush"), (Phase::Ready, "ready")] {
        let log = Arc::clone(&log);
        lifecycle.on(phase, name, move || async move { say(&log, name) });
    }
    let report = lifecycle.drain(Duration::from_secs(20)).await;
    assert!(report.finished());
    assert_eq!(report.took, 4 * second);
    assert_eq!(*log.lock().unwrap(), ["ready", "accept", "consumers", "relays", "sockets", "flush"]);
    assert_eq!(report.phases[1].phase, Phase::Accept);
    assert_eq!(report.phases[1].took, second);
}

#[tokio::test(start_paused = true)]
async fn a_later_phase_is_not_told_before_its_turn() {
    let lifecycle = Lifecycle::new();
    let (accept, relays) = (lifecycle.stopping(Phase::Accept), lifecycle.stopping(Phase::Relays));
    let relays_then = relays.clone();
    lifecycle.on(Phase::Accept, "look", move || async move {
        assert!(accept.is_cancelled());
        assert!(!relays_then.is_cancelled());
    });
    assert!(lifecycle.drain(Duration::from_secs(1)).await.finished());
    assert!(relays.is_cancelled());
}

/// A request hangs. The phases behind it get their share all the same, the flush above all, and the limit holds.
#[tokio::test(start_paused = true)]
async fn who_hangs_takes_no_time_from_the_others_and_is_named() {
    let log = Log::default();
    let lifecycle = Lifecycle::new();
    let limit = Duration::from_secs(10);
    lifecycle.spawn(Phase::Accept, "hangs", |_stop| pending());
    lifecycle.on(Phase::Sockets, "stuck", pending);
    worker(&lifecycle, &log, Phase::Consumers, "consumers", limit / 10);
    worker(&lifecycle, &log, Phase::Flush, "flush", limit / 20);
    let report = lifecycle.drain(limit).await;
    assert_eq!(report.took, limit);
    assert_eq!(report.aborted, ["hangs", "stuck"]);
    assert_eq!(report.phases[1].late, ["hangs"]);
    // Three later phases have something to do: a tenth for each.
    assert_eq!(report.phases[1].took, limit / 10 * 7);
    assert_eq!(*log.lock().unwrap(), ["consumers", "flush"]);
}

/// What is late in its phase, but over before the end, is late and not aborted.
#[tokio::test(start_paused = true)]
async fn the_late_may_finish_beside_the_later_phases() {
    let log = Log::default();
    let lifecycle = Lifecycle::new();
    worker(&lifecycle, &log, Phase::Accept, "late", Duration::from_millis(9_500));
    worker(&lifecycle, &log, Phase::Flush, "flush", Duration::from_millis(10));
    let report = lifecycle.drain(Duration::from_secs(10)).await;
    assert_eq!(report.phases[1].late, ["late"]);
    assert!(report.finished());
    assert_eq!(*log.lock().unwrap(), ["flush", "late"]);
}

#[tokio::test(start_paused = true)]
async fn tasks_that_end_before_their_time_are_told_of() {
    let lifecycle = Lifecycle::new();
    lifecycle.spawn(Phase::Consumers, "stays", |stop| async move { stop.cancelled().await });
    lifecycle.spawn(Phase::Consumers, "falls", |_| async {
        assert!(std::hint::black_box(false), "falls");
    });
    let end = lifecycle.ended_early().await;
    assert_eq!((end.name, end.panicked), ("falls", true));
    // Asked again, it tells the same.
    assert_eq!(lifecycle.ended_early().await.name, "falls");
    // A task that is over is not waited for.
    let report = lifecycle.drain(Duration::from_secs(5)).await;
    assert!(report.finished());
    assert_eq!(report.took, Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_second_drain_and_a_panicking_hook_do_no_harm() {
    let lifecycle = Lifecycle::new();
    lifecycle.on(Phase::Relays, "falls", || async {
        assert!(std::hint::black_box(false), "falls");
    });
    assert!(lifecycle.drain(Duration::from_secs(1)).await.finished());
    let report = lifecycle.drain(Duration::from_secs(1)).await;
    assert_eq!((report.finished(), report.took), (true, Duration::ZERO));
    // What starts after the drain is told to stop at once.
    lifecycle.spawn(Phase::Consumers, "late", |stop| async move { stop.cancelled().await });
    assert!(lifecycle.drain(Duration::from_secs(1)).await.finished());
}
