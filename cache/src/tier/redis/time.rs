//! What time it is in Redis, by our own clock.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

/// Redis's time is somewhere between two bounds. Each answer narrows them; as time goes by they widen, since no two clocks
/// go alike.
///
/// The wall clocks of processes do not matter.
#[derive(Debug)]
pub(super) struct Time {
    start: Instant,
    known: Mutex<Option<Bounds>>,
    /// The middle of the bounds, for those who ask what time it is; [`UNKNOWN`].
    ahead: AtomicI64,
}

/// What Redis's clock is ahead of ours by, in µs; and when that was so, by ours.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    low: i64,
    high: i64,
    at: i64,
    /// It may be another clock by now. Until it has said what time it is, this is the best guess.
    doubtful: bool,
}

/// A clock that is set right is slewed by no more than 500 µs a second.
const DRIFT: i64 = 2_000;

/// What no clock is ahead by.
const UNKNOWN: i64 = i64::MIN;

// === impl Time ===

impl Time {
    pub(super) fn new() -> Self {
        Self { start: Instant::now(), known: Mutex::default(), ahead: AtomicI64::new(UNKNOWN) }
    }

    /// In ms; 0 as long as nothing is known.
    pub(super) fn now(&self) -> u64 {
        let ahead = self.ahead.load(Ordering::Acquire);
        if ahead == UNKNOWN {
            return 0;
        }
        u64::try_from(self.micros(Instant::now()).saturating_add(ahead) / 1000).unwrap_or_default()
    }

    /// It was `time` in µs at some moment between question and answer.
    pub(super) fn learn(&self, asked: Instant, answered: Instant, time: u64) {
        let time = i64::try_from(time).unwrap_or(i64::MAX / 2);
        let at = self.micros(answered);
        let new = Bounds { low: time - at, high: time - self.micros(asked), at, doubtful: false };
        let mut known = self.lock();
        let bounds = match *known {
            Some(old) if !old.doubtful => old.grown(at).narrowed(new),
            _ => new,
        };
        *known = Some(bounds);
        self.ahead.store(bounds.middle(), Ordering::Release);
    }

    /// It may be another Redis, with another clock.
    pub(super) fn doubt(&self) {
        if let Some(known) = &mut *self.lock() {
            known.doubtful = true;
        }
    }

    fn micros(&self, instant: Instant) -> i64 {
        i64::try_from(instant.saturating_duration_since(self.start).as_micros()).unwrap_or(i64::MAX / 2)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Bounds>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Bounds ===

impl Bounds {
    fn middle(self) -> i64 {
        self.low + (self.high - self.low) / 2
    }

    fn grown(self, at: i64) -> Self {
        let by = (at - self.at).max(0) / DRIFT;
        Self { low: self.low - by, high: self.high + by, at, ..self }
    }

    fn narrowed(self, new: Self) -> Self {
        let both = Self { low: self.low.max(new.low), high: self.high.min(new.high), ..new };
        // Its clock was set: what we knew is worth nothing.
        if both.low > both.high { new } else { both }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const THERE: u64 = 1_700_000_000_000_000;

    struct Asking {
        time: Time,
        begin: Instant,
    }

    impl Asking {
        fn new() -> Self {
            Self { time: Time::new(), begin: Instant::now() }
        }

        /// A question that takes `there` µs to Redis, and `back` µs back.
        async fn ask(&self, there: u64, back: u64) {
            let asked = Instant::now();
            tokio::time::advance(Duration::from_micros(there)).await;
            let time = THERE + u64::try_from(self.begin.elapsed().as_micros()).unwrap();
            tokio::time::advance(Duration::from_micros(back)).await;
            self.time.learn(asked, Instant::now(), time);
        }

        fn error(&self) -> i64 {
            let true_time = THERE / 1000 + u64::try_from(self.begin.elapsed().as_millis()).unwrap();
            i64::try_from(self.time.now()).unwrap() - i64::try_from(true_time).unwrap()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn half_a_round_trip_at_most_and_the_best_one_counts() {
        let asking = Asking::new();
        assert_eq!(asking.time.now(), 0);
        asking.ask(0, 200_000).await;
        assert!((-101..=-99).contains(&asking.error()), "{}", asking.error());
        asking.ask(500, 500).await;
        assert!(asking.error().abs() <= 1);
        for _ in 0..20 {
            tokio::time::advance(Duration::from_secs(1)).await;
            asking.ask(0, 200_000).await;
            asking.ask(200_000, 0).await;
            assert!(asking.error().abs() <= 12, "slow answers do not spoil what a fast one said");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_is_set_is_believed() {
        let mut asking = Asking::new();
        asking.ask(100, 100).await;
        asking.begin -= Duration::from_secs(30);
        asking.ask(100, 100).await;
        assert!(asking.error().abs() <= 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_doubtful_clock_is_believed_until_there_is_another() {
        let mut asking = Asking::new();
        asking.time.doubt();
        assert_eq!(asking.time.now(), 0);
        asking.ask(100, 100).await;
        asking.time.doubt();
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(asking.error().abs() <= 1, "what lies there would have no age else");
        // What was known would fit this answer, and is not what counts.
        asking.begin += Duration::from_millis(200);
        asking.ask(1_000_000, 0).await;
        assert!((499..=501).contains(&asking.error()), "{}", asking.error());
    }
}
