//! How long an answer may be used, and what is done when it may not.

use std::time::Duration;

use crate::clock::millis;
use crate::config::StoreConfig;
use crate::error::{Error, ErrorKind};
use crate::key::Tag;

/// How entries are kept.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Policy {
    /// The longest time that an answer is used as a fresh one, unless its load says another
    /// ([`Loaded::with_ttl`](crate::Loaded::with_ttl)). Default one minute.
    ///
    /// Together with `stale_for` no longer than [`StoreConfig::max_ttl`], a day unless you raise it: a cache with a
    /// policy that wants more is refused, or gets that, by [`StoreConfig::cut_policies`].
    pub ttl: Duration,
    /// The share of `ttl` that may be taken off by chance, between 0 and 1.
    ///
    /// The default, 0.1, spreads what was filled together over a tenth of its life.
    pub jitter: f64,
    /// How long [`get_or_find`](crate::Cache::get_or_find) keeps that there is nothing.
    ///
    /// None by default: nothing is not kept, and the next caller asks again. The same bound as for `ttl`.
    pub negative_ttl: Option<Duration>,
    /// For how long after `ttl` an answer may still be given when the load fails, or takes longer than `soft_timeout`.
    ///
    /// None by default: nothing old is ever answered. What was invalidated is not answered either way. So while others are
    /// not heard, Redis being away, it is for [`detached_age`](crate::StoreConfig::detached_age) at most: they may have
    /// ended it. The bound of both is that of `ttl`.
    pub stale_for: Option<Duration>,
    /// How long callers wait for a load before they get the stale answer, if there is one; the load goes on.
    ///
    /// None by default: they wait for the load. Zero: they never wait («stale while revalidate»). Without `stale_for` it does
    /// nothing.
    pub soft_timeout: Option<Duration>,
    /// How long a load may take; then it is ended. Default 30 s, as long as a request waits.
    ///
    /// Who asks may wait longer: for another process that loads the same ([`StoreConfig::lease_wait`], 2 s), and for the trips
    /// to Redis before and after the load.
    pub hard_timeout: Duration,
    /// How long a load or a refresh that failed is not tried again while there is something to answer, and how long one that
    /// another process runs is left to that one. Default 1 s.
    pub retry_after: Duration,
    /// Whether an answer is loaded anew before its life ends, behind the callers' backs. Default not.
    pub refresh: Refresh,
    /// The tags of every entry. A load can add some, see [`Loaded::with_tags`](crate::Loaded::with_tags).
    pub tags: Vec<Tag>,
}

/// When an answer is loaded anew before its life ends.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Refresh {
    /// Never.
    Off,
    /// By the first who asks after a share of its life.
    At {
        /// Between 0 and 1.
        share: f64,
    },
    /// By chance, the likelier the nearer the end and the longer a load takes: XFetch (Vattani, Chierichetti,
    /// Lowenstein, «Optimal Probabilistic Cache Stampede Prevention», VLDB 2015).
    Early {
        /// Their β: 1 is theirs, more is earlier.
        beta: f64,
    },
}

// === impl Policy ===

impl Policy {
    /// How many tags an entry may have: each is looked at on every read.
    pub const MAX_TAGS: usize = 16;

    /// A policy with this life and everything else as usual.
    #[must_use]
    pub fn new(ttl: Duration) -> Self {
        Self { ttl, ..Self::default() }
    }

    pub(crate) fn check(&self, store: &StoreConfig) -> Result<(), Error> {
        let wrong = |detail: String| Err(Error::new(ErrorKind::Config, detail));
        let jitter = self.jitter;
        if !(0.0..=1.0).contains(&jitter) {
            return wrong(format!("`jitter` must be between 0 and 1, and is {jitter}"));
        }
        match self.refresh {
            Refresh::At { share } if !(0.0..=1.0).contains(&share) => {
                return wrong(format!("the share of `Refresh::At` must be between 0 and 1, and is {share}"));
            }
            Refresh::Early { beta } if !(beta > 0.0 && beta.is_finite()) => {
                return wrong(format!("the β of `Refresh::Early` must be more than 0, and is {beta}"));
            }
            _ => {}
        }
        if self.hard_timeout.is_zero() {
            return wrong("`hard_timeout` must be more than zero".to_owned());
        }
        let (max, ttl, negative) = (store.max_ttl, self.ttl, self.negative_ttl.unwrap_or_default());
        let both = ttl.saturating_add(self.stale_for.unwrap_or_default());
        if both > max && !store.cut_policies {
            let sum = if both > ttl { "`ttl` and `stale_for` together" } else { "`ttl`" };
            let detail =
                format!("{sum} must be no longer than `StoreConfig::max_ttl`, {max:?}, and is {both:?}");
            return wrong(detail);
        }
        if negative > max && !store.cut_policies {
            let detail = "`negative_ttl` must be no longer than `StoreConfig::max_ttl`";
            return wrong(format!("{detail}, {max:?}, and is {negative:?}"));
        }
        let tags = self.tags.len();
        let max = Self::MAX_TAGS;
        if tags > max {
            return wrong(format!("an entry must have no more than {max} tags, and these are {tags}"));
        }
        Ok(())
    }

    /// The longest that an answer is a fresh one, in ms; `some`: one that there is something.
    pub(crate) fn limit(&self, some: bool) -> u64 {
        let life = if some { self.ttl } else { self.negative_ttl.unwrap_or_default() };
        // As long as the shortest that is drawn.
        if life.is_zero() { 0 } else { millis(life).max(1) }
    }

    /// Whether what is fresh by this one is fresh by the other.
    pub(crate) fn is_within(&self, other: &Self) -> bool {
        [true, false].into_iter().all(|some| self.limit(some) <= other.limit(some))
    }

    /// For how long an answer may be given after its life, in ms, if its load says for how long at most.
    pub(crate) fn stale(&self, bound: Option<Duration>) -> u64 {
        self.stale_for.map_or(0, |stale| millis(bound.map_or(stale, |bound| bound.min(stale))))
    }

    /// A life for one entry in ms, drawn; none when it is not to be kept.
    pub(crate) fn draw(&self, ttl: Duration, max: Duration) -> Option<u64> {
        // Taken off, never added: `ttl` is a promise.
        let drawn = ttl.min(max).mul_f64(1.0 - self.jitter * rand::random_range(0.0..=1.0));
        // A life of 0 is an error to Redis.
        (!ttl.is_zero()).then(|| millis(drawn).max(1))
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            ttl: Duration::from_secs(60),
            jitter: 0.1,
            negative_ttl: None,
            stale_for: None,
            soft_timeout: None,
            hard_timeout: Duration::from_secs(30),
            retry_after: Duration::from_secs(1),
            refresh: Refresh::Off,
            tags: Vec::new(),
        }
    }
}

// === impl Refresh ===

impl Refresh {
    /// From when on, in ms of `life`, it may be time to load anew; its end for never.
    pub(crate) fn starts(self, life: u64, load: u32) -> u64 {
        match self {
            Self::Off => life,
            #[allow(
                clippy::cast_precision_loss,
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a share of a life in ms, between 0 and it"
            )]
            Self::At { share } => (life as f64 * share) as u64,
            // Before it, the chance is below one in three million.
            Self::Early { beta } => life.saturating_sub(scaled(load, beta, 15.0)),
        }
    }

    /// Whether it is time, with `left` ms to live, for an answer that took `load` ms.
    pub(crate) fn is_due(self, left: u64, load: u32) -> bool {
        match self {
            Self::Off => false,
            Self::At { .. } => true,
            Self::Early { beta } => {
                let drawn: f64 = rand::random_range(f64::MIN_POSITIVE..1.0);
                scaled(load, beta, -drawn.ln()) >= left
            }
        }
    }
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a time in ms, of numbers above zero; what is too long is as long as can be"
)]
fn scaled(load: u32, beta: f64, by: f64) -> u64 {
    (f64::from(load) * beta * by) as u64
}

#[cfg(test)]
mod tests;
