//! The revocations in memory, asked at every request.

use std::collections::HashMap;
use std::fmt;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use jiff::Timestamp;

use crate::clock::after;
use crate::revocation::{RevocationEntry, RevocationKind, RevocationsConfig};
use crate::token::{Claims, TokenError};

pub(crate) struct Memory {
    config: RevocationsConfig,
    state: RwLock<State>,
    entries: metrics::Gauge,
    overflows: metrics::Counter,
}

#[derive(Default)]
struct State {
    sessions: HashMap<String, Timestamp>,
    users: HashMap<String, UserEntry>,
    /// Tokens issued until then have expired, because entries about them may have been dropped.
    floor: Option<Timestamp>,
    /// When ended entries are dropped next.
    sweep_at: Option<Timestamp>,
}

/// What happened to a user. Role and account are apart: one does not replace the other.
#[derive(Default)]
struct UserEntry {
    account: Option<RevocationEntry>,
    role: Option<RevocationEntry>,
}

// === impl Memory ===

impl Memory {
    pub(crate) fn new(config: RevocationsConfig) -> Self {
        Self {
            config,
            state: RwLock::default(),
            entries: metrics::gauge!("session_sync_revocations"),
            overflows: metrics::counter!("session_sync_revocation_overflows_total"),
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.config.clock.now()
    }

    pub(crate) fn insert(&self, entry: &RevocationEntry) {
        let now = self.now();
        // No token lives longer, whatever the entry says: the bound holds for foreign entries too.
        let until = entry.until.min(after(now, self.config.token_life));
        if until <= now {
            return;
        }
        let mut state = self.write();
        if state.sweep_at.is_none_or(|at| at <= now) || state.len() >= self.config.capacity {
            state.drop_ended(now);
            state.sweep_at = Some(after(now, SWEEP_EVERY));
        }
        if state.len() >= self.config.capacity {
            tracing::warn!(
                capacity = self.config.capacity,
                "too many revocations: every older token counts as expired"
            );
            self.overflows.increment(1);
            *state = State { floor: Some(now), ..State::default() };
        }
        state.insert(entry, until);
        self.entries.set(count(state.len()));
    }

    pub(crate) fn check(&self, claims: &Claims) -> Result<(), TokenError> {
        let state = self.read();
        if state.sessions.contains_key(&claims.sid) {
            return Err(TokenError::Revoked);
        }
        if let Some(user) = state.users.get(&claims.sub) {
            user.check(claims)?;
        }
        match state.floor {
            Some(floor) if claims.issued_at() <= floor => Err(TokenError::Expired),
            _ => Ok(()),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.read().len()
    }

    // A panic between two map operations leaves at worst one entry out: poison is no reason to stop.
    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory").field("len", &self.len()).finish()
    }
}

// === impl State ===

impl State {
    fn len(&self) -> usize {
        self.sessions.len() + self.users.len()
    }

    fn insert(&mut self, entry: &RevocationEntry, until: Timestamp) {
        if let (RevocationKind::Session, Some(session)) = (entry.kind, &entry.session_id) {
            let known = self.sessions.entry(session.clone()).or_insert(until);
            *known = until.max(*known);
            return;
        }
        let user = self.users.entry(entry.user_id.clone()).or_default();
        let place = match entry.kind {
            RevocationKind::Role => &mut user.role,
            _ => &mut user.account,
        };
        // A deletion is for good; otherwise the latest word counts, in whatever order they come.
        let replaces = place.as_ref().is_none_or(|known| {
            known.kind != RevocationKind::Deleted
                && (entry.kind == RevocationKind::Deleted || known.at <= entry.at)
        });
        if replaces {
            *place = Some(RevocationEntry { until, ..entry.clone() });
        }
    }

    fn drop_ended(&mut self, now: Timestamp) {
        self.sessions.retain(|_, until| *until > now);
        self.users.retain(|_, user| {
            user.account.take_if(|entry| entry.until <= now);
            user.role.take_if(|entry| entry.until <= now);
            user.account.is_some() || user.role.is_some()
        });
    }
}

// === impl UserEntry ===

impl UserEntry {
    fn check(&self, claims: &Claims) -> Result<(), TokenError> {
        if let Some(entry) = &self.account
            && (entry.kind == RevocationKind::Deleted || claims.issued_at() <= entry.at)
        {
            return Err(TokenError::Revoked);
        }
        if let Some(entry) = &self.role
            && entry.role.as_deref() != Some(&*claims.role)
            && claims.issued_at() <= entry.at
        {
            return Err(TokenError::Expired);
        }
        Ok(())
    }
}

#[allow(clippy::cast_precision_loss, reason = "a gauge of at most a few hundred thousand")]
fn count(len: usize) -> f64 {
    len as f64
}

/// Ended entries cost only memory: twice a token's life would do as well.
const SWEEP_EVERY: std::time::Duration = std::time::Duration::from_secs(60);
