//! Reports: the daily sums of a range of days, a part at a time.

use chassis::db::{DbError, Row, SqlBuilder};
use contracts::{PaymentStatus, PaymentType};
use jiff::civil::Date;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};
use uuid::Uuid;

use super::Store;

/// Which sums.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(crate) struct ReportQuery {
    /// Of whose payments, sent or received; `None` is everyone's.
    pub(crate) of: Option<Uuid>,
    /// The first day.
    pub(crate) from: Date,
    /// The day after the last one.
    pub(crate) to: Date,
    pub(crate) currency: Option<String>,
    pub(crate) status: Option<PaymentStatus>,
    pub(crate) payment_type: Option<PaymentType>,
}

/// The payments of one currency and type that entered one state on one day (UTC).
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct DailySum {
    pub(crate) day: Date,
    pub(crate) currency: String,
    pub(crate) status: PaymentStatus,
    pub(crate) payment_type: PaymentType,
    pub(crate) payments: i64,
    /// Minor units of the currency.
    pub(crate) minor: i64,
}

/// The last sum of a part: what tells it from the others of its report. It comes back from outside.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct SumPosition(
    Date,
    #[serde(deserialize_with = "currency")] String,
    PaymentStatus,
    PaymentType,
);

// === impl DailySum ===

impl DailySum {
    pub(crate) fn position(&self) -> SumPosition {
        SumPosition(self.day, self.currency.clone(), self.status, self.payment_type)
    }
}

impl Store {
    /// At most `limit` sums after the position: the newest day first, and each day's in the order of their names.
    pub(super) async fn sums(
        &self,
        query: &ReportQuery,
        after: Option<&SumPosition>,
        limit: i64,
    ) -> Result<Vec<DailySum>, DbError> {
        let ReportQuery { of, from, to, currency, status, payment_type } = query;
        // Where the index begins: of two ends SQLite takes the first, however far that is.
        let end = match after {
            Some(SumPosition(day, ..)) if day < to => (" AND day <= ", day),
            _ => (" AND day < ", to),
        };
        // The writer counts everyone's under the nil id.
        let mut sql = SqlBuilder::new(
            "SELECT day, currency, status, payment_type, payments, amount FROM daily_aggregates WHERE user_id = ",
        )
        .bind(of.unwrap_or_default())
        .push(" AND day >= ")
        .bind(from.to_string())
        .push(end.0)
        .bind(end.1.to_string());
        if let Some(currency) = currency {
            sql = sql.push(" AND currency = ").bind(currency);
        }
        if let Some(status) = status {
            sql = sql.push(" AND status = ").bind(status.as_str());
        }
        if let Some(payment_type) = payment_type {
            sql = sql.push(" AND payment_type = ").bind(payment_type.as_str());
        }
        if let Some(SumPosition(day, currency, status, payment_type)) = after {
            let day = day.to_string();
            sql = sql.push(" AND (day < ").bind(&day).push(" OR (day = ").bind(&day);
            sql = sql.push(" AND (currency, status, payment_type) > (").bind(currency);
            sql = sql.push(", ").bind(status.as_str()).push(", ").bind(payment_type.as_str()).push(")))");
        }
        sql = sql.push(" ORDER BY day DESC, currency, status, payment_type LIMIT ").bind(limit);
        let (text, args) = sql.finish();
        self.db().query(text, args).await?.iter().map(sum).collect()
    }
}

/// Of a currency's form: the database takes no other text for one, and some not at all. Whether it still is one does not
/// matter to where a report goes on.
fn currency<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let currency = String::deserialize(deserializer)?;
    let sound = currency.len() == 3 && currency.bytes().all(|byte| byte.is_ascii_uppercase());
    if sound { Ok(currency) } else { Err(D::Error::custom("no currency")) }
}

fn sum(row: &Row) -> Result<DailySum, DbError> {
    Ok(DailySum {
        day: row.parse("day")?,
        currency: row.get("currency")?,
        status: row.parse("status")?,
        payment_type: row.parse("payment_type")?,
        payments: row.get("payments")?,
        minor: row.get("amount")?,
    })
}
