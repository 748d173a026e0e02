//! `Idempotency-Key`: the first answer of a keyed request, kept for 24 hours.
//!
//! A key is claimed with a lease before the work begins, so that a second request at the same time is told so;
//! the answer is written in the transaction of the work itself. A process that dies in between leaves a lease
//! that ends.

use std::time::Duration;

use chassis::args;
use chassis::db::{Db, DbError, Tx};
use jiff::Timestamp;
use serde_json::Value as Json;
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// A request that carries a key.
#[derive(Clone, Debug)]
pub(crate) struct KeyedRequest {
    user_id: Uuid,
    route: &'static str,
    key: String,
    body_hash: Vec<u8>,
}

/// The right to do the work of a key. Who holds it answers or [releases](Claim::release) it; who dies with it
/// loses it when the lease ends.
#[derive(Debug)]
pub(crate) struct Claim {
    request: KeyedRequest,
    lease: Uuid,
}

/// What is known of a key.
#[derive(Debug)]
pub(crate) enum Claimed {
    /// Nothing: the work is ours.
    Ours(Claim),
    /// The same request was answered.
    Answered(Answer),
    /// The key came with another body.
    Mismatch,
    /// The same request is being worked on.
    InFlight,
}

/// An answer as it was given.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
}

/// Longer than the request itself may take at the gateway.
const LEASE: Duration = Duration::from_secs(60);

/// How long an answer is given again: the contract's 24 hours.
const KEPT: Duration = Duration::from_secs(24 * 3_600);

// === impl Answer ===

impl Answer {
    /// The answer for another request: a problem names the request that it answers, a payment does not.
    pub(crate) fn again(mut self, instance: &str, request_id: Option<&str>) -> Self {
        if self.status >= 400
            && let Ok(Json::Object(mut problem)) = serde_json::from_str(&self.body)
        {
            problem.insert("instance".to_owned(), instance.into());
            problem.insert("requestId".to_owned(), request_id.into());
            self.body = Json::Object(problem).to_string();
        }
        self
    }
}

// === impl KeyedRequest ===

impl KeyedRequest {
    pub(crate) fn new(user_id: Uuid, route: &'static str, key: &str, body: &[u8]) -> Self {
        Self { user_id, route, key: key.to_owned(), body_hash: Sha256::digest(body).to_vec() }
    }

    /// Claims the key, or says what is known of it.
    pub(crate) async fn claim(self, db: &Db, now: Timestamp) -> Result<Claimed, DbError> {
        let lease = Uuid::now_v7();
        let mut tx = db.begin().await?;
        // Taken anew when the row is past its day, or when its holder's lease ended without an answer.
        let taken = tx
            .execute(
                "INSERT INTO idempotency_keys (user_id, route, key, body_hash, lease, leased_until, created_at) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7) \
                 ON CONFLICT (user_id, route, key) DO UPDATE SET body_hash = excluded.body_hash, \
                     lease = excluded.lease, leased_until = excluded.leased_until, \
                     created_at = excluded.created_at, status = NULL, answer = NULL \
                 WHERE idempotency_keys.created_at <= $8 \
                     OR (idempotency_keys.status IS NULL AND idempotency_keys.leased_until <= $7 \
                         AND idempotency_keys.body_hash = excluded.body_hash)",
                args![
                    self.user_id,
                    self.route,
                    &self.key,
                    &self.body_hash,
                    lease,
                    now + LEASE,
                    now,
                    now - KEPT
                ],
            )
            .await?;
        if taken == 1 {
            tx.commit().await?;
            return Ok(Claimed::Ours(Claim { request: self, lease }));
        }
        let row = tx
            .query_one(
                "SELECT body_hash, status, answer FROM idempotency_keys \
                 WHERE user_id = $1 AND route = $2 AND key = $3",
                args![self.user_id, self.route, &self.key],
            )
            .await?;
        tx.rollback().await?;
        if row.get::<Vec<u8>>("body_hash")? != self.body_hash {
            return Ok(Claimed::Mismatch);
        }
        Ok(match (row.get::<Option<u16>>("status")?, row.get("answer")?) {
            (Some(status), Some(body)) => Claimed::Answered(Answer { status, body }),
            _ => Claimed::InFlight,
        })
    }
}

// === impl Claim ===

impl Claim {
    /// Writes the answer into the transaction of the work. `false`: the lease ended meanwhile and another holds
    /// the key, so the work must not be committed.
    pub(crate) async fn answer(&self, tx: &mut Tx, answer: &Answer) -> Result<bool, DbError> {
        let KeyedRequest { user_id, route, key, .. } = &self.request;
        let written = tx
            .execute(
                "UPDATE idempotency_keys SET status = $5, answer = $6 \
                 WHERE user_id = $1 AND route = $2 AND key = $3 AND lease = $4",
                args![*user_id, *route, key, self.lease, answer.status, &answer.body],
            )
            .await?;
        Ok(written == 1)
    }

    /// Frees the key: the work failed on our side and may be tried again.
    pub(crate) async fn release(self, db: &Db) -> Result<(), DbError> {
        let KeyedRequest { user_id, route, key, .. } = &self.request;
        db.execute(
            "DELETE FROM idempotency_keys WHERE user_id = $1 AND route = $2 AND key = $3 AND lease = $4 \
             AND status IS NULL",
            args![*user_id, *route, key, self.lease],
        )
        .await
        .map(drop)
    }
}

/// Forgets answers that are past their day.
pub(crate) async fn prune(db: &Db, now: Timestamp) -> Result<u64, DbError> {
    db.execute("DELETE FROM idempotency_keys WHERE created_at <= $1", args![now - KEPT]).await
}
