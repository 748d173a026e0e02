//! The handle that users hold.

use std::future::Future;
use std::time::Duration;

use crate::dead_letters::config::{DrainConfig, RedriveConfig};
use crate::dead_letters::drain::{Drain, Drained};
use crate::dead_letters::filter::{Filter, Selection};
use crate::dead_letters::letter::{Content, Cursor, Letter, Page};
use crate::dead_letters::redrive::{Redrive, Redriven, Returned};
use crate::dead_letters::store::{Database, failed};
use crate::error::Error;
#[allow(unused_imports, reason = "the docs below name its kinds")]
use crate::error::ErrorKind;
use crate::hub::Hub;

/// The dead letters of one database, from [`postgres::open`](crate::dead_letters::postgres::open) or
/// [`sqlite::open`](crate::dead_letters::sqlite::open). Clones share its pool.
#[derive(Clone, Debug)]
pub struct DeadLetters {
    pub(crate) database: Database,
}

/// What became of a deletion.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Deleted {
    /// Letters that are gone.
    pub deleted: u64,
    /// Letters that stay, since someone is sending them back, or was cut off at that less than a lease ago.
    pub busy: u64,
    /// Of the numbers asked for, those that were not in the store.
    pub unknown: Vec<i64>,
}

/// What to do about tables that may not be there.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Tables {
    /// Make or upgrade them.
    Make,
    /// Fail without them.
    Expect,
}

/// The connections of a pool of our own: one that works, one that is asked meanwhile.
pub(crate) const CONNECTIONS: u32 = 2;

/// How many letters one statement deletes: a long delete would hold up the drain.
const BATCH: i64 = 1_000;

/// The longest page.
const PAGE: usize = 1_000;

impl DeadLetters {
    /// Sets how long one statement may take before its connection counts as dead. Default 30 s.
    #[must_use]
    pub fn with_statement_timeout(self, limit: Duration) -> Self {
        Self { database: self.database.limited(limit) }
    }

    /// Moves letters from a queue into the database until `shutdown` completes, or the queue is empty if so
    /// configured. `progress` is told after every batch.
    ///
    /// Broker or database away: it waits and goes on. What cannot be stored is told, stays unacknowledged with
    /// growing pauses, and after [`DrainConfig::hold`] goes to the end of its queue.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Closed`] when the hub is shut down first; with [`DrainConfig::until_empty`] also
    /// [`ErrorKind::UnknownQueue`] when there is no such queue, and [`ErrorKind::Broker`] or
    /// [`ErrorKind::Timeout`] when the broker cannot be asked.
    ///
    /// # Cancel safety
    ///
    /// When dropped, letters that are not acknowledged are delivered again; none is lost, and none that has a name is
    /// stored twice. One without may be, if it was just being given one; `shutdown` waits for that.
    pub async fn drain(
        &self,
        hub: &Hub,
        queue: &str,
        config: DrainConfig,
        progress: impl FnMut(&Drained) + Send,
        shutdown: impl Future<Output = ()> + Send,
    ) -> Result<Drained, Error> {
        Drain::new(self.database.clone(), hub.clone(), queue, config).run(progress, shutdown).await
    }

    /// Lists letters, the latest first, some at a time (at most 1000).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Store`] when the database fails.
    pub async fn list(&self, filter: &Filter, from: Option<Cursor>, limit: usize) -> Result<Page, Error> {
        let limit = limit.clamp(1, PAGE);
        let below = from.map_or(i64::MAX, |cursor| cursor.0);
        let wanted = i64::try_from(limit).unwrap_or(BATCH) + 1;
        let mut letters =
            self.database.list(filter, below, wanted).await.map_err(|e| failed("listing", e))?;
        let more = letters.len() > limit;
        letters.truncate(limit);
        let next = letters.last().filter(|_| more).map(|letter| Cursor(letter.id));
        Ok(Page { letters, next })
    }

    /// How many letters fit.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Store`] when the database fails.
    pub async fn count(&self, filter: &Filter) -> Result<u64, Error> {
        let depth = self.database.depth(filter, i64::MAX, now()).await.map_err(|e| failed("counting", e))?;
        Ok(depth.letters.unsigned_abs())
    }

    /// One letter with its content; none when it is not there.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Store`] when the database fails.
    pub async fn show(&self, id: i64) -> Result<Option<(Letter, Content)>, Error> {
        self.database.show(id).await.map_err(|e| failed("showing", e))
    }

    /// Sends letters back into the queues they died in, those that died first first. `progress` is told of each.
    ///
    /// Safe to repeat, and with several at once: each takes letters for itself, for the time of
    /// [`RedriveConfig::lease`]. Letters that are stored after the start are not touched. One that cannot go stays,
    /// with its reason in [`Letter::redrive_error`].
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Store`] when the database fails; [`ErrorKind::Config`] when the rate is not a positive
    /// number, or a filter says nothing. Without any answer from the broker it stops, see [`Redriven::stopped`].
    ///
    /// # Cancel safety
    ///
    /// When dropped, what is confirmed is gone from the store but for the last few, which are sent again by the
    /// next redrive after the lease.
    pub async fn redrive(
        &self,
        hub: &Hub,
        selection: &Selection,
        config: RedriveConfig,
        progress: impl FnMut(&Returned) + Send,
    ) -> Result<Redriven, Error> {
        Redrive::new(self.database.clone(), hub.clone(), selection, &config)?.run(progress).await
    }

    /// Deletes letters for good. One that is being sent back at this moment stays. `progress` is told how many are
    /// gone after every thousand.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Store`] when the database fails, what was deleted before stays deleted; [`ErrorKind::Config`]
    /// when a filter says nothing.
    ///
    /// # Cancel safety
    ///
    /// When dropped, some are deleted.
    pub async fn delete(
        &self,
        selection: &Selection,
        mut progress: impl FnMut(u64) + Send,
    ) -> Result<Deleted, Error> {
        let store = |error| failed("deleting", error);
        let filter = selection.filter()?;
        let upto = self.database.top().await.map_err(store)?;
        let mut deleted = Deleted::default();
        if let Some(ids) = &filter.ids {
            let all = i64::try_from(ids.len()).unwrap_or(i64::MAX);
            let by_id = Filter { ids: Some(ids.clone()), ..Filter::default() };
            let there = self.database.list(&by_id, i64::MAX, all).await.map_err(store)?;
            let missing = ids.iter().filter(|id| !there.iter().any(|letter| letter.id == **id));
            deleted.unknown = missing.copied().collect();
        }
        loop {
            let rows = self.database.delete(&filter, upto, now(), BATCH).await.map_err(store)?;
            deleted.deleted += rows;
            if rows < BATCH.unsigned_abs() {
                break;
            }
            progress(deleted.deleted);
        }
        let left = self.database.depth(&filter, upto, now()).await.map_err(store)?;
        deleted.busy = left.letters.unsigned_abs();
        Ok(deleted)
    }
}

/// The clock of the table: microseconds since the epoch.
pub(crate) fn now() -> i64 {
    jiff::Timestamp::now().as_microsecond()
}
