//! Values that the cache cannot keep, and why.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::config::CacheConfig;
use crate::metrics::CacheMetrics;

/// Why a value is not kept.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Reason {
    /// What lies in the shared tier is of another type or codec.
    Unreadable,
    /// Its codec cannot write it.
    Unwritable,
    /// Larger than `max_value`.
    TooLarge,
    TooManyTags,
    /// It has no place in memory, with its key and tags.
    TooHeavy,
}

/// Which of them were said.
#[derive(Debug, Default)]
pub(super) struct Said([AtomicBool; Reason::ALL.len()]);

// === impl Reason ===

impl Reason {
    pub(crate) const ALL: [Self; 5] =
        [Self::Unreadable, Self::Unwritable, Self::TooLarge, Self::TooManyTags, Self::TooHeavy];

    /// As the figure's label says it.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Unreadable => "unreadable",
            Self::Unwritable => "unwritable",
            Self::TooLarge => "too_large",
            Self::TooManyTags => "too_many_tags",
            Self::TooHeavy => "too_heavy",
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Unreadable => "a value in the shared tier cannot be read; it is a miss",
            Self::Unwritable => "its codec cannot write a value; it is loaded each time",
            Self::TooLarge => "a value is larger than `max_value`; it is loaded each time",
            Self::TooManyTags => "a value has too many tags; it is loaded each time",
            Self::TooHeavy => {
                "a value has no place in memory with its key and tags; `max_weight` is too small"
            }
        }
    }
}

// === impl Said ===

impl Said {
    /// Counts it, and says it the first time: the others are alike. Not in the codec's words, which may quote the value.
    pub(super) fn of(&self, reason: Reason, metrics: &CacheMetrics, config: &CacheConfig) {
        metrics.unusable(reason).add();
        if !self.0[reason as usize].swap(true, Ordering::Relaxed) {
            let CacheConfig { name, version, codec, .. } = config;
            tracing::warn!(cache = name, version, ?codec, reason = reason.label(), "{}", reason.words());
        }
    }
}
