//! What a limiter says about one request, and how headers say it.

use std::sync::Arc;
use std::time::Duration;

use http::header::RETRY_AFTER;
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::layer::rate_limit::quota::Quota;

/// What a [`Limiter`](super::Limiter) says about one request.
#[derive(Clone, Debug)]
pub struct Decision {
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    /// There is no limit.
    Unlimited,
    Limited(Limited),
    /// Nobody could tell; to be asked again after this time.
    #[cfg_attr(not(feature = "redis"), expect(dead_code, reason = "the process's own memory never fails"))]
    Failed(Duration),
}

#[derive(Clone, Debug)]
struct Limited {
    name: Arc<str>,
    quota: Quota,
    bucket: Bucket,
}

/// A key's bucket after the request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Bucket {
    /// So many are left.
    Left(u32),
    /// None was left; the next comes after this time.
    Empty(Duration),
}

const RATELIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATELIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

// === impl Decision ===

impl Decision {
    pub(crate) fn new(name: Arc<str>, quota: Quota, bucket: Bucket) -> Self {
        Self { kind: Kind::Limited(Limited { name, quota, bucket }) }
    }

    pub(crate) fn unlimited() -> Self {
        Self { kind: Kind::Unlimited }
    }

    #[cfg(feature = "redis")]
    pub(crate) fn failed(again: Duration) -> Self {
        Self { kind: Kind::Failed(again) }
    }

    /// Whether the request may go on.
    #[must_use]
    pub fn is_allowed(&self) -> bool {
        self.retry_after().is_none()
    }

    /// When a refused request may be tried again.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match &self.kind {
            Kind::Unlimited | Kind::Limited(Limited { bucket: Bucket::Left(_), .. }) => None,
            Kind::Limited(Limited { bucket: Bucket::Empty(wait), .. }) | Kind::Failed(wait) => Some(*wait),
        }
    }

    /// Whether the request is refused because nobody could tell how much is left
    /// ([`OnFailure::Closed`](super::OnFailure::Closed)): 503 is then truer than 429.
    #[must_use]
    pub fn is_failure(&self) -> bool {
        matches!(self.kind, Kind::Failed(_))
    }

    /// How many more are allowed at this moment, if there is a limit and it is known.
    #[must_use]
    pub fn remaining(&self) -> Option<u32> {
        match &self.kind {
            Kind::Unlimited | Kind::Failed(_) => None,
            Kind::Limited(Limited { bucket: Bucket::Left(left), .. }) => Some(*left),
            Kind::Limited(Limited { bucket: Bucket::Empty(_), .. }) => Some(0),
        }
    }

    /// Writes `RateLimit-Policy`, `RateLimit` (draft-ietf-httpapi-ratelimit-headers) and, for a refused request,
    /// `Retry-After`, replacing what is there. Without a limit it writes nothing, and without knowledge of what is left
    /// only the last.
    ///
    /// `t` is the time to the next one when none is left, else the time until all are back.
    pub fn write(&self, headers: &mut HeaderMap) {
        if let Kind::Limited(Limited { name, quota, bucket }) = &self.kind {
            let (left, wait) = match *bucket {
                Bucket::Left(left) => (left, quota.interval() * quota.limit().saturating_sub(left)),
                Bucket::Empty(wait) => (0, wait),
            };
            let wait = ceil_seconds(wait);
            insert(headers, RATELIMIT_POLICY, &policy(name, *quota));
            insert(headers, RATELIMIT, &format!("{};r={left};t={wait}", quoted(name)));
        }
        if let Some(wait) = self.retry_after() {
            headers.insert(RETRY_AFTER, HeaderValue::from(ceil_seconds(wait).max(1)));
        }
    }
}

fn policy(name: &str, quota: Quota) -> String {
    format!("{};q={};w={}", quoted(name), quota.limit(), ceil_seconds(quota.window()).max(1))
}

/// A structured field string. What such a string cannot hold is left out.
fn quoted(name: &str) -> String {
    let mut text = String::with_capacity(name.len() + 2);
    text.push('"');
    for char in name.chars().filter(|char| matches!(char, ' '..='~')) {
        if matches!(char, '"' | '\\') {
            text.push('\\');
        }
        text.push(char);
    }
    text.push('"');
    text
}

fn ceil_seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

fn insert(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}
