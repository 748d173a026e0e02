//! What the crate counts. Labels are fixed words.

use metrics::{Counter, counter};

use crate::session::Reason;

/// The counters of a [`Sessions`](crate::Sessions) handle, found once.
#[derive(Clone)]
pub(crate) struct SessionMetrics {
    pub(crate) opened: Counter,
    pub(crate) rotated: Counter,
    pub(crate) repeated: Counter,
    pub(crate) refused: Counter,
    pub(crate) reused: Counter,
}

/// The counters of a [`Verifier`](crate::Verifier), found once.
#[derive(Clone)]
pub(crate) struct VerifierMetrics {
    pub(crate) cached: Counter,
    pub(crate) verified: Counter,
    pub(crate) invalid: Counter,
    pub(crate) expired: Counter,
    pub(crate) revoked: Counter,
    pub(crate) unavailable: Counter,
    pub(crate) fetched: Counter,
    pub(crate) fetch_failed: Counter,
}

// === impl SessionMetrics ===

impl SessionMetrics {
    pub(crate) fn new() -> Self {
        let refresh = |outcome: &'static str| counter!("session_sync_refreshes_total", "outcome" => outcome);
        Self {
            opened: counter!("session_sync_sessions_opened_total"),
            rotated: refresh("rotated"),
            repeated: refresh("repeated"),
            refused: refresh("refused"),
            reused: refresh("reused"),
        }
    }

    pub(crate) fn ended(&self, reason: Reason) {
        counter!("session_sync_sessions_ended_total", "reason" => reason.as_str()).increment(1);
    }
}

// === impl VerifierMetrics ===

impl VerifierMetrics {
    pub(crate) fn new() -> Self {
        let token =
            |outcome: &'static str| counter!("session_sync_tokens_checked_total", "outcome" => outcome);
        let fetch = |outcome: &'static str| counter!("session_sync_key_fetches_total", "outcome" => outcome);
        Self {
            cached: token("cached"),
            verified: token("verified"),
            invalid: token("invalid"),
            expired: token("expired"),
            revoked: token("revoked"),
            unavailable: token("unavailable"),
            fetched: fetch("ok"),
            fetch_failed: fetch("failed"),
        }
    }
}
