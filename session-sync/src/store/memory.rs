//! The store in memory: one lock, writes applied at commit.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::device::Device;
use crate::error::Error;
use crate::store::rows::{DeviceRow, KeyRow, MarkRow, SessionRow, TokenRow};

#[derive(Clone, Default)]
pub(crate) struct MemoryStore(Arc<Mutex<State>>);

/// Holds the store's only lock, so transactions run one after the other.
///
/// A transaction does not see its own writes: they are applied together at commit.
pub(crate) struct MemoryTx {
    state: OwnedMutexGuard<State>,
    writes: Vec<Write>,
}

type Write = Box<dyn FnOnce(&mut State) + Send>;

#[derive(Default)]
struct State {
    /// By id; UUID v7 sorts by age.
    sessions: BTreeMap<String, SessionRow>,
    tokens: HashMap<Vec<u8>, TokenRow>,
    devices: HashMap<(String, String), DeviceRow>,
    marks: HashMap<String, MarkRow>,
    keys: Vec<KeyRow>,
}

// === impl MemoryStore ===

impl MemoryStore {
    pub(crate) async fn begin(&self) -> MemoryTx {
        MemoryTx { state: Arc::clone(&self.0).lock_owned().await, writes: Vec::new() }
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MemoryStore")
    }
}

// === impl MemoryTx ===

#[allow(
    clippy::unnecessary_wraps,
    clippy::needless_pass_by_ref_mut,
    clippy::unused_self,
    reason = "the operations have the shape that fallible engines need"
)]
impl MemoryTx {
    pub(crate) fn commit(mut self) {
        for write in self.writes {
            write(&mut self.state);
        }
    }

    pub(crate) fn lock_user(&mut self, _user_id: &str) -> Result<(), Error> {
        Ok(())
    }

    pub(crate) fn session(&mut self, id: &str) -> Result<Option<SessionRow>, Error> {
        Ok(self.state.sessions.get(id).map(|row| self.state.named(row)))
    }

    pub(crate) fn live_sessions(&mut self, user_id: &str) -> Result<Vec<SessionRow>, Error> {
        let mut rows = self.state.select(|row| row.user_id == user_id && row.ended_at.is_none(), i64::MAX);
        rows.sort_by_key(|row| std::cmp::Reverse(row.last_seen_at));
        Ok(rows)
    }

    pub(crate) fn overdue_sessions(&mut self, now: i64, limit: i64) -> Result<Vec<SessionRow>, Error> {
        Ok(self.state.select(|row| row.ended_at.is_none() && row.expires_at <= now, limit))
    }

    pub(crate) fn ended_since(&mut self, since: i64, limit: i64) -> Result<Vec<SessionRow>, Error> {
        let mut rows = self.state.select(|row| row.ended_at.is_some_and(|at| at > since), i64::MAX);
        rows.sort_by_key(|row| std::cmp::Reverse(row.ended_at));
        rows.truncate(usize::try_from(limit).unwrap_or_default());
        Ok(rows)
    }

    pub(crate) fn insert_session(&mut self, row: &SessionRow) -> Result<(), Error> {
        self.update_session(row)
    }

    pub(crate) fn update_session(&mut self, row: &SessionRow) -> Result<(), Error> {
        let row = row.clone();
        self.push(move |state| {
            state.sessions.insert(row.id.clone(), row);
        })
    }

    pub(crate) fn upsert_device(&mut self, row: &DeviceRow) -> Result<(), Error> {
        let mut row = row.clone();
        self.push(move |state| {
            let key = (row.user_id.clone(), row.device.id.clone());
            if let Some(known) = state.devices.remove(&key) {
                row.device.name = row.device.name.or(known.device.name);
                row.device.kind = row.device.kind.or(known.device.kind);
            }
            state.devices.insert(key, row);
        })
    }

    pub(crate) fn token(&mut self, hash: &[u8]) -> Result<Option<TokenRow>, Error> {
        Ok(self.state.tokens.get(hash).cloned())
    }

    pub(crate) fn insert_token(&mut self, row: &TokenRow) -> Result<(), Error> {
        let row = row.clone();
        self.push(move |state| {
            state.tokens.insert(row.hash.clone(), row);
        })
    }

    pub(crate) fn supersede_token(&mut self, row: &TokenRow) -> Result<(), Error> {
        let row = row.clone();
        self.push(move |state| {
            for token in state.tokens.values_mut() {
                if token.session_id == row.session_id && token.generation < row.generation {
                    token.sealed = None;
                }
            }
            state.tokens.insert(row.hash.clone(), row);
        })
    }

    pub(crate) fn forget_tokens(&mut self, session_id: &str, below: i64) -> Result<(), Error> {
        let session_id = session_id.to_owned();
        self.push(move |state| {
            state.tokens.retain(|_, token| token.session_id != session_id || token.generation >= below);
        })
    }

    pub(crate) fn drop_sealed(&mut self, before: i64) -> Result<(), Error> {
        self.push(move |state| {
            for token in state.tokens.values_mut() {
                if token.superseded_at.is_some_and(|at| at < before) {
                    token.sealed = None;
                }
            }
        })
    }

    pub(crate) fn delete_ended(&mut self, before: i64, limit: i64) -> Result<u64, Error> {
        let ended = self.state.select(|row| row.ended_at.is_some_and(|at| at < before), limit);
        let count = ended.len() as u64;
        self.push(move |state| {
            for row in &ended {
                state.sessions.remove(&row.id);
            }
            state.tokens.retain(|_, token| !ended.iter().any(|row| row.id == token.session_id));
        })?;
        Ok(count)
    }

    pub(crate) fn delete_devices(&mut self, before: i64, limit: i64) -> Result<u64, Error> {
        let named = |device: &DeviceRow| {
            self.state
                .sessions
                .values()
                .any(|row| row.user_id == device.user_id && row.device.id == device.device.id)
        };
        let stale: Vec<_> = self
            .state
            .devices
            .iter()
            .filter(|(_, device)| device.seen_at < before && !named(device))
            .take(usize::try_from(limit).unwrap_or_default())
            .map(|(key, _)| key.clone())
            .collect();
        let count = stale.len() as u64;
        self.push(move |state| {
            for key in &stale {
                state.devices.remove(key);
            }
        })?;
        Ok(count)
    }

    pub(crate) fn put_mark(&mut self, row: &MarkRow) -> Result<(), Error> {
        let row = row.clone();
        self.push(move |state| {
            state.marks.insert(row.user_id.clone(), row);
        })
    }

    pub(crate) fn marks_since(&mut self, since: i64, limit: i64) -> Result<Vec<MarkRow>, Error> {
        let mut rows: Vec<_> = self.state.marks.values().filter(|row| row.at > since).cloned().collect();
        rows.sort_by_key(|row| std::cmp::Reverse(row.at));
        rows.truncate(usize::try_from(limit).unwrap_or_default());
        Ok(rows)
    }

    pub(crate) fn delete_marks(&mut self, before: i64) -> Result<(), Error> {
        self.push(move |state| state.marks.retain(|_, row| row.at >= before))
    }

    pub(crate) fn keys(&mut self) -> Result<Vec<KeyRow>, Error> {
        Ok(self.state.keys.clone())
    }

    pub(crate) fn insert_key(&mut self, row: &KeyRow) -> Result<(), Error> {
        let row = row.clone();
        self.push(move |state| {
            if !state.keys.iter().any(|key| key.kid == row.kid) {
                state.keys.push(row);
            }
        })
    }

    pub(crate) fn retire_key(&mut self, kid: &str, at: i64) -> Result<(), Error> {
        let kid = kid.to_owned();
        self.push(move |state| {
            for key in state.keys.iter_mut().filter(|key| key.kid == kid) {
                key.retired_at = Some(at);
            }
        })
    }

    pub(crate) fn delete_keys(&mut self, before: i64) -> Result<(), Error> {
        self.push(move |state| {
            state.keys.retain(|key| key.retired_at.is_none_or(|at| at >= before));
        })
    }

    fn push(&mut self, write: impl FnOnce(&mut State) + Send + 'static) -> Result<(), Error> {
        self.writes.push(Box::new(write));
        Ok(())
    }
}

// === impl State ===

impl State {
    fn select(&self, wanted: impl Fn(&SessionRow) -> bool, limit: i64) -> Vec<SessionRow> {
        self.sessions
            .values()
            .filter(|row| wanted(row))
            .take(usize::try_from(limit).unwrap_or(usize::MAX))
            .map(|row| self.named(row))
            .collect()
    }

    /// The session with its device's present name, as the join of the other engines gives it.
    fn named(&self, row: &SessionRow) -> SessionRow {
        let known = self.devices.get(&(row.user_id.clone(), row.device.id.clone()));
        SessionRow {
            device: known.map_or_else(
                || Device { id: row.device.id.clone(), name: None, kind: None },
                |known| known.device.clone(),
            ),
            ..row.clone()
        }
    }
}
