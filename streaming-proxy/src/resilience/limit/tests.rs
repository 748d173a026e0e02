//! Tests of [`Limit`]: a model of a server that has places, and gets slower beyond them.

use proptest::prelude::*;

use super::*;

/// A server that serves `places` requests at once in `time` each; more share the places.
struct Model {
    limit: Arc<Limit>,
    places: usize,
    time: Duration,
    /// How long every fifth takes, if not as long as the others.
    fifth: Option<Duration>,
    begun: usize,
    there: Vec<(Instant, Instant, Slot)>,
    shed: usize,
    served: usize,
}

const STEP: Duration = Duration::from_millis(5);

impl Model {
    fn new(places: usize) -> Self {
        let limit = Limit::new(1000, Gauge::noop());
        Self {
            limit,
            places,
            time: Duration::from_millis(50),
            fifth: None,
            begun: 0,
            there: Vec::new(),
            shed: 0,
            served: 0,
        }
    }

    /// Lets `seconds` pass, with up to `wanted` requests there at once.
    async fn run(&mut self, seconds: u64, wanted: usize) {
        (self.shed, self.served) = (0, 0);
        for _ in 0..seconds * 200 {
            tokio::time::advance(STEP).await;
            let now = Instant::now();
            let due = self.there.iter().filter(|(_, due, _)| *due <= now).count();
            // They are in the order in which they end only while the time is the same: near enough for a model.
            self.there.sort_by_key(|(_, due, _)| *due);
            for (start, _, slot) in self.there.drain(..due) {
                slot.answered(now - start);
                self.served += 1;
            }
            while self.there.len() < wanted {
                let Some(slot) = self.limit.admit(Priority::Critical) else {
                    self.shed += 1;
                    break;
                };
                let crowd = float(self.there.len() + 1) / float(self.places);
                self.begun += 1;
                let time = self.fifth.filter(|_| self.begun.is_multiple_of(5)).unwrap_or(self.time);
                self.there.push((now, now + time.mul_f64(crowd.max(1.0)), slot));
            }
        }
    }

    fn now(&self) -> usize {
        self.limit.now.load(Ordering::Relaxed)
    }
}

#[tokio::test(start_paused = true)]
async fn a_crowd_is_held_at_what_the_server_bears_and_stays_there() {
    for places in [20, 60] {
        let mut model = Model::new(places);
        // It was never without the crowd, whose time is taken for the usual one until it is measured anew.
        model.run(35, 500).await;
        let within = places..places * 5 / 2;
        assert!(within.contains(&model.now()), "{} of {places}", model.now());
        // Also after a long time, in which all that was known is long forgotten.
        model.run(240, 500).await;
        assert!(within.contains(&model.now()), "{} of {places}", model.now());
        assert!(model.shed > 0);
        // What it can do is done: 20 a second at each place.
        let most = places * 20 * 240;
        assert!(model.served > most * 9 / 10, "{} of {most}", model.served);
    }
}

#[tokio::test(start_paused = true)]
async fn who_has_room_is_never_refused() {
    let mut model = Model::new(100);
    model.run(120, 12).await;
    assert_eq!(model.shed, 0);
    assert!(model.now() >= 64, "it was not tried out: {}", model.now());
}

#[tokio::test(start_paused = true)]
async fn fast_and_slow_requests_in_one_are_no_sign_of_a_crowd() {
    let mut model = Model::new(1000);
    (model.time, model.fifth) = (Duration::from_millis(5), Some(Duration::from_millis(500)));
    model.run(60, 100).await;
    model.run(120, 100).await;
    assert!(model.now() > 100, "{}", model.now());
    assert!(model.shed * 20 < model.served, "{} of {}", model.shed, model.served);
}

#[tokio::test(start_paused = true)]
async fn nor_are_they_in_the_first_moment_or_after_a_pause() {
    // Scenario: what has ended first is what was fast. If that were what is usual, all that is slow would be a crowd.
    for (time, fifth) in [(5, 500), (20, 300), (5, 1500)] {
        let mut model = Model::new(1000);
        (model.time, model.fifth) = (Duration::from_millis(time), Some(Duration::from_millis(fifth)));
        for round in 0..2 {
            for second in 0..30 {
                model.run(1, 60).await;
                assert!(model.now() >= 48, "{} in {second} of {round}, {fifth} ms", model.now());
            }
            model.run(5, 0).await;
            tokio::time::advance(2 * BEST_FOR).await;
            // As few as come in the night.
            model.run(60, 3).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn who_hangs_or_leaves_does_not_keep_it_from_being_found_out() {
    let limit = Limit::new(1000, Gauge::noop());
    let hangs = limit.admit(Priority::Normal).unwrap();
    drop(limit.admit(Priority::Normal));
    let answer = || limit.admit(Priority::Normal).unwrap().answered(Duration::from_millis(10));
    (0..60).for_each(|_| answer());
    tokio::time::advance(WINDOW).await;
    answer();
    assert!(limit.lock().best == 0.0, "one is waited for");
    tokio::time::advance(cohort::LAST).await;
    answer();
    // Sixty of 10 ms, and one of at least five seconds.
    let best = limit.lock().best;
    assert!((best - (0.6 + 5.0) / 61.0).abs() < 1e-9, "{best}");
    drop(hangs);
    // Of nobody who was answered nothing is known, and the next ones are asked.
    let limit = Limit::new(1000, Gauge::noop());
    for _ in 0..2 {
        (0..60).for_each(|_| drop(limit.admit(Priority::Normal)));
        tokio::time::advance(WINDOW).await;
    }
    (0..60).for_each(|_| limit.admit(Priority::Normal).unwrap().answered(Duration::from_millis(10)));
    tokio::time::advance(WINDOW).await;
    limit.admit(Priority::Normal).unwrap().answered(Duration::from_millis(10));
    assert!((limit.lock().best - 0.01).abs() < 1e-9, "{}", limit.lock().best);
}

#[tokio::test(start_paused = true)]
async fn a_late_one_counts_once() {
    let limit = Limit::new(1000, Gauge::noop());
    let mut slots: Vec<_> = (0..50).map(|_| limit.admit(Priority::Critical).unwrap()).collect();
    let late = slots.pop().unwrap();
    tokio::time::advance(WINDOW).await;
    for slot in slots {
        slot.answered(Duration::from_millis(10));
    }
    // From here on nobody joins them.
    drop(limit.admit(Priority::Critical));
    tokio::time::advance(cohort::LAST + Duration::from_secs(1)).await;
    late.answered(Duration::from_secs(6));
    let best = limit.lock().best;
    assert!((best - (49.0 * 0.01 + 6.0) / 50.0).abs() < 1e-6, "{best}");
}

#[tokio::test(start_paused = true)]
async fn it_follows_a_server_that_can_do_less_and_then_more() {
    let mut model = Model::new(80);
    model.run(20, 500).await;
    let before = model.now();
    model.places = 20;
    model.run(60, 500).await;
    assert!(model.now() < before / 2, "{} after {before}", model.now());
    model.places = 80;
    model.run(90, 500).await;
    assert!(model.now() > before / 2, "{} after {before}", model.now());
}

#[tokio::test(start_paused = true)]
async fn failures_bring_it_down_and_no_further_than_that() {
    let limit = Limit::new(1000, Gauge::noop());
    for _ in 0..100 {
        tokio::time::advance(WINDOW).await;
        // Those that failed together are one window's.
        for _ in 0..5 {
            limit.admit(Priority::Critical).unwrap().failed();
        }
    }
    assert_eq!(limit.now.load(Ordering::Relaxed), MIN);
}

#[tokio::test(start_paused = true)]
async fn the_crowd_is_shed_before_sign_ins_and_those_before_health() {
    let limit = Limit::new(20, Gauge::noop());
    let fill = |priority| std::iter::from_fn(|| limit.admit(priority)).collect::<Vec<_>>();
    let normal = fill(Priority::Normal);
    assert_eq!(normal.len(), 16);
    let high = fill(Priority::High);
    assert_eq!(high.len(), 2);
    assert!(limit.admit(Priority::Normal).is_none());
    let critical = fill(Priority::Critical);
    assert_eq!(critical.len(), 2);
    assert!(limit.admit(Priority::Critical).is_none());
    drop((normal, high, critical));
    assert_eq!(fill(Priority::Critical).len(), 20, "refusals keep nothing");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever happens: within its bounds, and every slot comes back.
    #[test]
    fn it_stays_within_its_bounds(max in 1..200_usize, steps in prop::collection::vec((0..4_u8, 0..3000_u64), 1..300)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let limit = Limit::new(max, Gauge::noop());
            let mut slots = Vec::new();
            for (what, number) in steps {
                match what {
                    0 => slots.extend((0..number % 50).filter_map(|_| limit.admit(Priority::Normal))),
                    1 => tokio::time::advance(Duration::from_millis(number)).await,
                    2 => if let Some(slot) = slots.pop() { Slot::answered(slot, Duration::from_millis(number)) },
                    _ => if let Some(slot) = slots.pop() && number % 2 == 0 { slot.failed() },
                }
                let now = limit.now.load(Ordering::Relaxed);
                prop_assert!((MIN.min(max)..=max).contains(&now), "{} of {}", now, max);
                prop_assert_eq!(limit.in_flight.load(Ordering::Relaxed), slots.len());
            }
            Ok(())
        })?;
    }
}
