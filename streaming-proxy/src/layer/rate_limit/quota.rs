//! How many in which time.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

use crate::error::ProxyError;

/// So many in such a time, the full number at once: `100/min`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Quota {
    limit: NonZeroU32,
    window: Duration,
}

// === impl Quota ===

impl Quota {
    /// A quota, or [`None`] for the word `off`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if `text` is neither `off` nor a number, a slash, and one of
    /// `s sec min m h hour d day`.
    pub fn parse(text: &str) -> Result<Option<Self>, ProxyError> {
        if text.trim() == "off" { Ok(None) } else { text.parse().map(Some) }
    }

    /// `limit` in `window`. A window is at least a millisecond, and at most a year.
    #[must_use]
    pub fn new(limit: NonZeroU32, window: Duration) -> Self {
        const YEAR: Duration = Duration::from_secs(366 * 24 * 3600);
        Self { limit, window: window.clamp(Duration::from_millis(1), YEAR) }
    }

    /// The full number.
    #[must_use]
    pub fn limit(&self) -> u32 {
        self.limit.get()
    }

    pub(crate) fn limit_non_zero(&self) -> NonZeroU32 {
        self.limit
    }

    /// The time in which an empty bucket is full again.
    #[must_use]
    pub fn window(&self) -> Duration {
        self.window
    }

    /// The same window with `times` the number.
    #[must_use]
    pub fn times(&self, times: NonZeroU32) -> Self {
        Self { limit: self.limit.saturating_mul(times), window: self.window }
    }

    /// The time in which one comes back.
    pub(crate) fn interval(&self) -> Duration {
        (self.window / self.limit.get()).max(Duration::from_nanos(1))
    }
}

impl FromStr for Quota {
    type Err = ProxyError;

    fn from_str(text: &str) -> Result<Self, ProxyError> {
        let wrong = || ProxyError::config("a quota looks like 100/min");
        let (limit, unit) = text.trim().split_once('/').ok_or_else(wrong)?;
        let limit: NonZeroU32 = limit.trim().parse().map_err(|cause| wrong().with(cause))?;
        let seconds = match unit.trim() {
            "s" | "sec" => 1,
            "m" | "min" => 60,
            "h" | "hour" => 3600,
            "d" | "day" => 24 * 3600,
            _ => return Err(wrong()),
        };
        Ok(Self::new(limit, Duration::from_secs(seconds)))
    }
}

impl fmt::Display for Quota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let limit = self.limit;
        match self.window.as_secs() {
            1 => write!(f, "{limit}/s"),
            60 => write!(f, "{limit}/min"),
            3600 => write!(f, "{limit}/hour"),
            86400 => write!(f, "{limit}/day"),
            _ => write!(f, "{limit}/{:?}", self.window),
        }
    }
}
