//! How long an answer may be used, and what ends it before.

use std::time::Duration;

use crate::error::{Error, ErrorKind};
use crate::key::Tag;

/// How an entry is kept. Use the same policy for all calls with one key.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Policy {
    /// The longest time that an answer is used.
    pub ttl: Duration,
    /// The share of `ttl` that may be taken off by chance, between 0 and 1.
    ///
    /// The default, 0.1, spreads what was filled together over a tenth of its life.
    pub jitter: f64,
    /// How long an answer that is nothing (`None`, or whatever else is `null` in JSON) is used.
    ///
    /// None by default: nothing is not kept, and the next caller asks again.
    pub negative_ttl: Option<Duration>,
    /// The version of the value's type: raise it when old values can no longer be read, or no longer mean
    /// the same. Values of another version are misses.
    pub version: u32,
    tags: Vec<Tag>,
}

/// How many tags an entry may have: each is looked at on every read from Redis.
pub const MAX_TAGS: usize = 16;

// === impl Policy ===

impl Policy {
    /// A policy without tags.
    #[must_use]
    pub fn new(ttl: Duration) -> Self {
        Self { ttl, jitter: 0.1, negative_ttl: None, version: 1, tags: Vec::new() }
    }

    /// Adds tags.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::TooManyTags`] when they are more than [`MAX_TAGS`].
    pub fn with_tags(mut self, tags: impl IntoIterator<Item = Tag>) -> Result<Self, Error> {
        self.tags.extend(tags);
        // Sorted: the order of the calls must not matter.
        self.tags.sort();
        self.tags.dedup();
        if self.tags.len() > MAX_TAGS {
            return Err(Error::new(
                ErrorKind::TooManyTags,
                format!("{} of at most {MAX_TAGS}", self.tags.len()),
            ));
        }
        Ok(self)
    }

    /// Keeps «nothing» as an answer too, for `ttl`.
    #[must_use]
    pub fn with_negative_ttl(mut self, ttl: Duration) -> Self {
        self.negative_ttl = Some(ttl);
        self
    }

    /// The tags, sorted.
    #[must_use]
    pub fn tags(&self) -> &[Tag] {
        &self.tags
    }

    /// A life for one entry, drawn; none when it is not to be kept.
    pub(crate) fn draw_ttl(&self, negative: bool, max: Duration) -> Option<Duration> {
        let ttl = if negative { self.negative_ttl? } else { self.ttl };
        // Taken off, never added: `ttl` is a promise.
        let jitter = if self.jitter.is_finite() { self.jitter.clamp(0.0, 1.0) } else { 0.0 };
        let drawn = ttl.min(max).mul_f64(1.0 - jitter * rand::random_range(0.0..=1.0));
        // A life of 0 is an error to Redis.
        (!ttl.is_zero()).then(|| drawn.max(Duration::from_millis(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_only_takes_off_and_never_all() {
        let mut policy = Policy::new(Duration::from_secs(10));
        let day = Duration::from_secs(86_400);
        for jitter in [0.0, 0.1, 1.0, 7.0, -3.0, f64::NAN] {
            policy.jitter = jitter;
            for _ in 0..200 {
                let drawn = policy.draw_ttl(false, day).unwrap();
                assert!(drawn >= Duration::from_millis(1) && drawn <= policy.ttl, "{jitter} {drawn:?}");
            }
        }
        policy.jitter = 0.1;
        assert!(policy.draw_ttl(false, day).unwrap() >= Duration::from_secs(9));
        assert!(policy.draw_ttl(false, Duration::from_secs(1)).unwrap() <= Duration::from_secs(1));
        assert_eq!(policy.draw_ttl(true, day), None);
        assert_eq!(Policy::new(Duration::ZERO).draw_ttl(false, day), None);
    }

    #[test]
    fn tags_are_a_set_with_a_bound() {
        let tag = |n: usize| Tag::new("t", &[n.to_string()]).unwrap();
        let policy = Policy::new(Duration::from_secs(1)).with_tags([tag(2), tag(1), tag(2)]).unwrap();
        assert_eq!(policy.tags(), [tag(1), tag(2)]);
        assert_eq!(policy.with_tags((0..17).map(tag)).unwrap_err().kind(), ErrorKind::TooManyTags);
    }
}
