//! Housekeeping: what is over is ended, what is ended is deleted.

use std::future::Future;
use std::time::Duration;

use crate::clock::before;
use crate::error::Error;
use crate::session::Reason;
use crate::sessions::Sessions;

/// What a sweep did.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Swept {
    /// Sessions whose time was up.
    pub expired: u64,
    /// Ended sessions whose rows were deleted.
    pub deleted: u64,
    /// Devices forgotten.
    pub devices: u64,
}

impl Sessions {
    /// Ends the sessions whose time is up and deletes what nobody needs any more, a batch at a time.
    ///
    /// Replicas may run it together: each session ends once.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Store`](crate::ErrorKind::Store) when the database fails,
    /// [`ErrorKind::Journal`](crate::ErrorKind::Journal) when the journal refuses. What was swept
    /// before stays swept.
    ///
    /// # Cancel safety
    ///
    /// Each batch is one transaction: dropped, the rest is for the next time.
    pub async fn expire(&self) -> Result<Swept, Error> {
        let config = &self.0.config;
        let now = config.clock.now();
        let mut swept = Swept::default();
        loop {
            let mut tx = self.0.store.write().await?;
            let overdue = tx.overdue_sessions(now.as_microsecond(), BATCH).await?;
            let found = overdue.len() as u64;
            for row in overdue {
                self.end(&mut tx, row, Reason::Expired, now).await?;
            }
            tx.commit().await?;
            swept.expired += found;
            if found < BATCH.unsigned_abs() {
                break;
            }
        }
        let ended = before(now, config.ended_retention.max(self.token_life())).as_microsecond();
        loop {
            let mut tx = self.0.store.write().await?;
            let deleted = tx.delete_ended(ended, BATCH).await?;
            tx.commit().await?;
            swept.deleted += deleted;
            if deleted < BATCH.unsigned_abs() {
                break;
            }
        }
        let mut tx = self.0.store.write().await?;
        let unseen = before(now, DEVICE_RETENTION).as_microsecond();
        swept.devices = tx.delete_devices(unseen, BATCH).await?;
        tx.drop_sealed(before(now, config.reuse_grace).as_microsecond()).await?;
        tx.delete_marks(before(now, self.token_life()).as_microsecond()).await?;
        tx.commit().await?;
        Ok(swept)
    }

    /// Sweeps every `every` until `shutdown` completes. A failed sweep is logged and tried again.
    ///
    /// # Cancel safety
    ///
    /// As for [`expire`](Self::expire).
    pub async fn run_sweeps(&self, every: Duration, shutdown: impl Future<Output = ()> + Send) {
        let mut shutdown = std::pin::pin!(shutdown);
        loop {
            tokio::select! {
                // ORDER: shutdown first, or a sweep could begin during the drain.
                biased;
                () = &mut shutdown => return,
                () = tokio::time::sleep(every) => {}
            }
            if let Err(error) = self.expire().await {
                tracing::warn!(error = &error as &dyn std::error::Error, "sweep failed");
            }
        }
    }
}

/// One transaction's worth: SQLite's only writer is not held for long.
const BATCH: i64 = 200;

/// The user's list names a device's sessions only; a name is worth keeping a season.
const DEVICE_RETENTION: Duration = Duration::from_secs(90 * 24 * 60 * 60);
