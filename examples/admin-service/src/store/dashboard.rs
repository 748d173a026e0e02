//! The dashboard's tables: counters and states that events keep, read without looking at every row.

use std::collections::BTreeMap;
use std::sync::Arc;

use chassis::args;
use chassis::db::{DbError, Tx};
use contracts::{Amount, PaymentChanged, PaymentStatus};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tramline_event_hub::Event;

use super::{AuditQuery, AuditRow, Store};

/// What the dashboard shows.
#[derive(Debug)]
pub(crate) struct Dashboard {
    pub(crate) figures: Arc<Figures>,
    pub(crate) hours: Vec<Hour>,
    pub(crate) last: Vec<AuditRow>,
}

/// Sums over all users and all payments.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Figures {
    pub(crate) users_by_role: BTreeMap<String, i64>,
    pub(crate) payments_by_status: BTreeMap<String, i64>,
    /// Completed payments, minor units; currencies are never added.
    pub(crate) volume: BTreeMap<String, i64>,
}

/// Events of one hour.
#[derive(Debug, Serialize)]
pub(crate) struct Hour {
    pub(crate) hour: Timestamp,
    pub(crate) events: i64,
}

const HOUR_MICROS: i64 = 3_600_000_000;
/// The series is a day long.
const HOURS: i64 = 24;
/// The contract's number of last events.
const LAST_EVENTS: i64 = 20;

/// Counts an event into its hour.
pub(super) async fn count(tx: &mut Tx, event: &Event) -> Result<(), DbError> {
    let hour = event.time.as_microsecond().div_euclid(HOUR_MICROS) * HOUR_MICROS;
    tx.execute(
        "INSERT INTO dashboard_hours (hour, action, events) VALUES ($1, $2, 1) \
         ON CONFLICT (hour, action) DO UPDATE SET events = dashboard_hours.events + 1",
        args![hour, &event.event_type],
    )
    .await
    .map(drop)
}

/// Keeps where a payment stands; an older version changes nothing.
pub(super) async fn keep(tx: &mut Tx, payment: &PaymentChanged) -> Result<(), DbError> {
    let amount = Amount::parse(&payment.amount, digits(&payment.currency)).map_err(DbError::foreign)?;
    tx.execute(
        "INSERT INTO dashboard_payments (payment_id, version, status, currency, amount) VALUES ($1, $2, $3, $4, $5) \
         ON CONFLICT (payment_id) DO UPDATE SET version = excluded.version, status = excluded.status, \
             currency = excluded.currency, amount = excluded.amount \
         WHERE dashboard_payments.version < excluded.version",
        args![payment.payment_id, payment.version, payment.status.as_str(), &payment.currency, amount.minor],
    )
    .await
    .map(drop)
}

impl Store {
    /// All of the dashboard. What changes with every event is read each time.
    pub(crate) async fn dashboard(&self) -> Result<Dashboard, DbError> {
        let figures = self.figures().await?;
        let since = Timestamp::now().as_microsecond().div_euclid(HOUR_MICROS) - (HOURS - 1);
        let rows = self
            .db
            .query(
                "SELECT hour, CAST(SUM(events) AS BIGINT) AS n FROM dashboard_hours WHERE hour >= $1 \
                 GROUP BY hour ORDER BY hour",
                args![since * HOUR_MICROS],
            )
            .await?;
        let hours = rows
            .iter()
            .map(|row| Ok(Hour { hour: row.get("hour")?, events: row.get("n")? }))
            .collect::<Result<_, DbError>>()?;
        let last = self.audit_logs(&AuditQuery::default(), LAST_EVENTS).await?;
        Ok(Dashboard { figures, hours, last })
    }

    /// The sums, of every row there is.
    pub(super) async fn load_figures(&self) -> Result<Figures, DbError> {
        let counted = |sql: &'static str| async move {
            let rows = self.db.query(sql, args![]).await?;
            rows.iter()
                .map(|row| Ok((row.get("name")?, row.get("n")?)))
                .collect::<Result<BTreeMap<String, i64>, DbError>>()
        };
        let users_by_role =
            counted("SELECT role AS name, COUNT(*) AS n FROM users WHERE NOT deleted GROUP BY role").await?;
        let payments_by_status =
            counted("SELECT status AS name, COUNT(*) AS n FROM dashboard_payments GROUP BY status").await?;
        let rows = self
            .db
            .query(
                "SELECT currency AS name, CAST(SUM(amount) AS BIGINT) AS n FROM dashboard_payments \
                 WHERE status = $1 GROUP BY currency",
                args![PaymentStatus::Completed.as_str()],
            )
            .await?;
        let volume =
            rows.iter().map(|row| Ok((row.get("name")?, row.get("n")?))).collect::<Result<_, DbError>>()?;
        Ok(Figures { users_by_role, payments_by_status, volume })
    }
}

/// The digits of a currency; an event with a currency that nobody knows does not exist.
pub(crate) fn digits(currency: &str) -> u32 {
    iso_currency::Currency::from_code(currency)
        .and_then(iso_currency::Currency::exponent)
        .map_or(2, u32::from)
}
