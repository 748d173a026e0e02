//! What the provider has yet to do: rows, leased while someone works on them, so that a process that dies
//! leaves its work to the next one.

use std::time::Duration;

use chassis::args;
use chassis::db::{Db, DbError, Tx};
use chassis::origin::Origin;
use jiff::Timestamp;
use uuid::Uuid;

/// A job that is ours until its lease ends.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub(crate) payment_id: Uuid,
    pub(crate) step: Step,
    pub(crate) attempts: u32,
    /// Of the request that made the payment.
    pub(crate) origin: Origin,
}

/// What is to be done next.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Step {
    /// Take the payment up.
    TakeUp,
    /// Tell how it ended.
    Report,
}

/// Longer than a webhook call may take, so that no job is worked on twice while all is well; a second call
/// would do no harm, since a webhook is safe to repeat.
const LEASE: Duration = Duration::from_secs(30);

// === impl Step ===

impl Step {
    fn as_str(self) -> &'static str {
        match self {
            Self::TakeUp => "take_up",
            Self::Report => "report",
        }
    }
}

impl std::str::FromStr for Step {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "take_up" => Ok(Self::TakeUp),
            "report" => Ok(Self::Report),
            _ => Err("is no step of a job"),
        }
    }
}

// === impl Job ===

impl Job {
    /// Leases the job that is due longest, if one is. Two who ask at once get different jobs, or none.
    pub(crate) async fn claim(db: &Db, now: Timestamp) -> Result<Option<Self>, DbError> {
        let mut tx = db.begin().await?;
        let sql = tx.dialect().pick(
            "UPDATE psp_jobs SET leased_until = $2, attempts = attempts + 1 WHERE payment_id = ( \
                 SELECT payment_id FROM psp_jobs WHERE due_at <= $1 AND leased_until <= $1 \
                 ORDER BY due_at LIMIT 1 FOR UPDATE SKIP LOCKED) \
             RETURNING payment_id, step, attempts, correlation_id, traceparent",
            "UPDATE psp_jobs SET leased_until = $2, attempts = attempts + 1 WHERE payment_id = ( \
                 SELECT payment_id FROM psp_jobs WHERE due_at <= $1 AND leased_until <= $1 \
                 ORDER BY due_at LIMIT 1) \
             RETURNING payment_id, step, attempts, correlation_id, traceparent",
        );
        let row = tx.query_opt(sql, args![now, now + LEASE]).await?;
        tx.commit().await?;
        row.map(|row| {
            let mut origin = Origin::default();
            origin.correlation_id = row.get("correlation_id")?;
            origin.traceparent = row.get("traceparent")?;
            Ok(Self {
                payment_id: row.get("payment_id")?,
                step: row.parse("step")?,
                attempts: row.get("attempts")?,
                origin,
            })
        })
        .transpose()
    }

    /// The job goes on with its next step at once.
    pub(crate) async fn advance(&self, tx: &mut Tx, step: Step, now: Timestamp) -> Result<(), DbError> {
        tx.execute(
            "UPDATE psp_jobs SET step = $2, due_at = $3, leased_until = 0, attempts = 0 WHERE payment_id = $1",
            args![self.payment_id, step.as_str(), now],
        )
        .await
        .map(drop)
    }

    /// The job is tried again later.
    pub(crate) async fn postpone(&self, db: &Db, until: Timestamp) -> Result<(), DbError> {
        db.execute(
            "UPDATE psp_jobs SET due_at = $2, leased_until = 0 WHERE payment_id = $1",
            args![self.payment_id, until],
        )
        .await
        .map(drop)
    }

    /// The job is done.
    pub(crate) async fn finish(&self, tx: &mut Tx) -> Result<(), DbError> {
        tx.execute("DELETE FROM psp_jobs WHERE payment_id = $1", args![self.payment_id]).await.map(drop)
    }
}

/// A new payment's first job, due at once.
pub(super) async fn insert(
    tx: &mut Tx,
    payment_id: Uuid,
    origin: &Origin,
    now: Timestamp,
) -> Result<(), DbError> {
    tx.execute(
        "INSERT INTO psp_jobs (payment_id, step, due_at, leased_until, attempts, correlation_id, traceparent) \
         VALUES ($1, $2, $3, 0, 0, $4, $5)",
        args![payment_id, Step::TakeUp.as_str(), now, &origin.correlation_id, &origin.traceparent],
    )
    .await
    .map(drop)
}
