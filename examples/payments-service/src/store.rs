//! The payments database: what is written together, and what is read.

mod aggregates;
mod caches;
mod idempotency;
mod jobs;
mod list;
mod reports;
mod users;

use std::time::Duration;

use chassis::args;
use chassis::db::{Db, DbError, Migration, Row, Tx};
use chassis::origin::Origin;
use contracts::{Amount, PaymentChanged, PaymentEvent, PaymentStatus};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use self::caches::Caches;
pub(crate) use self::caches::Detail;
pub(crate) use self::idempotency::{Answer, Claim, Claimed, KeyedRequest};
pub(crate) use self::jobs::{Job, Step};
pub(crate) use self::list::{ListQuery, Order as ListOrder, Position, Sort};
pub(crate) use self::reports::{DailySum, ReportQuery};
pub(crate) use self::users::{Party, Recipient};

use crate::domain::order::Order;
use crate::domain::{self, Change, InvalidTransition, Payment};

/// The schema, step by step.
pub(crate) const MIGRATIONS: &[Migration] = &[
    chassis::migration!("0001_payments"),
    chassis::migration!("0002_job_origin"),
    chassis::migration!("0003_reports", both),
];

/// The source of our events.
pub(crate) const SOURCE: &str = "/payments-service";

/// The columns that [`payment`] reads.
const COLUMNS: &str = "p.id, p.version, p.sender_id, p.recipient_id, p.amount, p.digits, p.currency, \
    p.payment_type, p.status, p.description, p.metadata, p.failure_reason, p.psp_reference, \
    p.completed_at, p.created_at, p.updated_at";

/// The store. Clones share the database and the caches in front of it.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    db: Db,
    caches: Caches,
}

/// A payment with the names of its parties.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Shown {
    pub(crate) payment: Payment,
    pub(crate) sender_name: String,
    pub(crate) recipient_name: String,
}

/// A state that a payment entered.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Transaction {
    pub(crate) id: Uuid,
    pub(crate) status: PaymentStatus,
    pub(crate) at: Timestamp,
}

/// Why a payment did not change.
#[derive(Debug)]
pub(crate) enum ChangeError {
    /// There is no such payment.
    NotFound,
    /// The state machine refuses.
    Refused(InvalidTransition),
    /// The database refuses.
    Db(DbError),
}

// === impl Store ===

impl Store {
    /// # Errors
    ///
    /// A cache that has its payments already.
    pub(crate) fn new(db: Db, cache: tramline_cache::Store) -> Result<Self, tramline_cache::Error> {
        Ok(Self { db, caches: Caches::new(cache)? })
    }

    pub(crate) fn db(&self) -> &Db {
        &self.db
    }

    /// Writes a payment, its first transaction, its event and the provider's job into `tx`. The caller
    /// [forgets](Self::forget_payment) it after the commit: its parties' lists have one more.
    pub(crate) async fn insert(
        tx: &mut Tx,
        order: Order,
        sender_id: Uuid,
        recipient_id: Uuid,
        origin: &Origin,
        now: Timestamp,
    ) -> Result<Payment, DbError> {
        let payment = Payment {
            id: Uuid::now_v7(),
            version: 1,
            sender_id,
            recipient_id,
            amount: order.amount,
            currency: order.currency,
            payment_type: contracts::PaymentType::Instant,
            status: PaymentStatus::Pending,
            description: order.description,
            metadata: order.metadata,
            failure_reason: None,
            psp_reference: None,
            completed_at: None,
            created_at: now,
            updated_at: now,
        };
        tx.execute(
            "INSERT INTO payments (id, version, sender_id, recipient_id, amount, digits, scaled, currency, \
                 payment_type, status, description, metadata, created_at, updated_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $13)",
            args![
                payment.id,
                payment.version,
                payment.sender_id,
                payment.recipient_id,
                payment.amount.minor,
                payment.amount.digits,
                domain::scaled(payment.amount),
                &payment.currency,
                payment.payment_type.as_str(),
                payment.status.as_str(),
                &payment.description,
                payment.metadata.as_ref().map(ToString::to_string),
                now,
            ],
        )
        .await?;
        jobs::insert(tx, payment.id, origin, now).await?;
        record(tx, &payment, origin).await?;
        Ok(payment)
    }

    /// Applies a change to a payment in one transaction with its event. `Ok(false)`: it was made before.
    pub(crate) async fn change(
        &self,
        id: Uuid,
        change: &Change,
        origin: &Origin,
    ) -> Result<(Payment, bool), ChangeError> {
        let mut tx = self.db.begin().await?;
        let (payment, changed) = Self::change_in(&mut tx, id, change, origin).await?;
        tx.commit().await?;
        self.forget_payment(payment.id, payment.parties()).await;
        Ok((payment, changed))
    }

    /// [`change`](Self::change) in a transaction of the caller's, who [forgets](Self::forget_payment) the payment after
    /// its commit.
    pub(crate) async fn change_in(
        tx: &mut Tx,
        id: Uuid,
        change: &Change,
        origin: &Origin,
    ) -> Result<(Payment, bool), ChangeError> {
        let sql = format!("SELECT {COLUMNS} FROM payments p WHERE p.id = $1{}", tx.for_update());
        let row = tx.query_opt(sqlx::AssertSqlSafe(sql), args![id]).await?.ok_or(ChangeError::NotFound)?;
        let mut payment = payment(&row)?;
        if !payment.apply(change, domain::now()).map_err(ChangeError::Refused)? {
            return Ok((payment, false));
        }
        tx.execute(
            "UPDATE payments SET version = $2, status = $3, failure_reason = $4, psp_reference = $5, \
                 completed_at = $6, updated_at = $7 WHERE id = $1",
            args![
                payment.id,
                payment.version,
                payment.status.as_str(),
                &payment.failure_reason,
                &payment.psp_reference,
                payment.completed_at,
                payment.updated_at,
            ],
        )
        .await?;
        record(tx, &payment, origin).await?;
        Ok((payment, true))
    }

    /// The payment with the names of its parties, as the database has it: for who decides or writes.
    pub(crate) async fn find(&self, id: Uuid) -> Result<Option<Shown>, DbError> {
        let sql = format!("SELECT {COLUMNS}, {NAMES} FROM payments p {JOINS} WHERE p.id = $1");
        self.db.query_opt(sqlx::AssertSqlSafe(sql), args![id]).await?.as_ref().map(shown).transpose()
    }

    /// The states that a payment entered, oldest first.
    async fn transactions(&self, id: Uuid) -> Result<Vec<Transaction>, DbError> {
        let rows = self
            .db
            .query(
                "SELECT id, status, at FROM payment_transactions WHERE payment_id = $1 ORDER BY at, id LIMIT 10",
                args![id],
            )
            .await?;
        rows.iter()
            .map(|row| {
                Ok(Transaction { id: row.get("id")?, status: row.parse("status")?, at: row.get("at")? })
            })
            .collect()
    }
}

// === impl ChangeError ===

impl From<DbError> for ChangeError {
    fn from(error: DbError) -> Self {
        Self::Db(error)
    }
}

/// Forgets idempotency keys past their day, once an hour, until dropped.
pub(crate) async fn forget_old_keys(db: Db) {
    db.migrated().await;
    loop {
        if let Err(error) = idempotency::prune(&db, Timestamp::now()).await {
            tracing::warn!(%error, "old idempotency keys stay for now");
        }
        tokio::time::sleep(PRUNE_EVERY).await;
    }
}

/// The transaction row and the event of the state that `payment` has just entered.
async fn record(tx: &mut Tx, payment: &Payment, origin: &Origin) -> Result<(), DbError> {
    tx.execute(
        "INSERT INTO payment_transactions (id, payment_id, status, at) VALUES ($1, $2, $3, $4)",
        args![Uuid::now_v7(), payment.id, payment.status.as_str(), payment.updated_at],
    )
    .await?;
    let told = PaymentChanged {
        payment_id: payment.id,
        version: payment.version,
        sender_id: payment.sender_id,
        recipient_id: payment.recipient_id,
        amount: payment.amount.to_string(),
        currency: payment.currency.clone(),
        status: payment.status,
        payment_type: payment.payment_type,
        description: payment.description.clone(),
        failure_reason: payment.failure_reason.clone(),
        occurred_at: payment.updated_at,
    };
    let event = told.wrap(SOURCE, PaymentEvent::entering(payment.status)).map_err(DbError::foreign)?;
    tx.enqueue(&origin.stamp(event)).await
}

/// The parties' names; a user that is gone, or not heard of yet, has none.
const NAMES: &str = "s.name AS sender_name, s.deleted AS sender_deleted, \
    r.name AS recipient_name, r.deleted AS recipient_deleted";
const JOINS: &str = "LEFT JOIN users s ON s.id = p.sender_id LEFT JOIN users r ON r.id = p.recipient_id";

/// Keys live for a day; an hour more of them is no burden.
const PRUNE_EVERY: Duration = Duration::from_secs(3_600);

/// What a deleted user is called, by the contract.
const DELETED_USER: &str = "deleted user";

fn payment(row: &Row) -> Result<Payment, DbError> {
    let metadata: Option<String> = row.get("metadata")?;
    Ok(Payment {
        id: row.get("id")?,
        version: row.get("version")?,
        sender_id: row.get("sender_id")?,
        recipient_id: row.get("recipient_id")?,
        amount: Amount::from_minor(row.get("amount")?, row.get("digits")?),
        currency: row.get("currency")?,
        payment_type: row.parse("payment_type")?,
        status: row.parse("status")?,
        description: row.get("description")?,
        metadata: metadata.map(|text| serde_json::from_str(&text)).transpose().map_err(DbError::foreign)?,
        failure_reason: row.get("failure_reason")?,
        psp_reference: row.get("psp_reference")?,
        completed_at: row.get("completed_at")?,
        created_at: row.get("created_at")?,
        updated_at: row.get("updated_at")?,
    })
}

fn shown(row: &Row) -> Result<Shown, DbError> {
    let name = |name: &str, deleted: &str| -> Result<String, DbError> {
        let gone = row.get::<Option<bool>>(deleted)?.unwrap_or(false);
        let known: Option<String> = row.get(name)?;
        Ok(if gone { DELETED_USER.to_owned() } else { known.unwrap_or_default() })
    };
    Ok(Shown {
        payment: payment(row)?,
        sender_name: name("sender_name", "sender_deleted")?,
        recipient_name: name("recipient_name", "recipient_deleted")?,
    })
}
