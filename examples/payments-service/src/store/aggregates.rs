//! Daily sums, kept by our own events: what the reports are read from.

use chassis::args;
use chassis::db::{DbError, Tx};
use contracts::{Amount, PaymentChanged};
use jiff::tz::TimeZone;
use uuid::Uuid;

use super::Store;
use crate::domain;

impl Store {
    /// Counts a payment into the day (UTC) on which it entered its state: for its sender, its recipient, and
    /// everyone (the nil id).
    pub(crate) async fn count(tx: &mut Tx, payment: &PaymentChanged) -> Result<(), DbError> {
        let digits = domain::digits(&payment.currency).unwrap_or(domain::SCALED_DIGITS);
        let amount = Amount::parse(&payment.amount, digits).map_err(DbError::foreign)?;
        let day = TimeZone::UTC.to_datetime(payment.occurred_at).date().to_string();
        for user in [Uuid::nil(), payment.sender_id, payment.recipient_id] {
            tx.execute(
                "INSERT INTO daily_aggregates (day, user_id, currency, status, payment_type, payments, amount) \
                 VALUES ($1, $2, $3, $4, $5, 1, $6) \
                 ON CONFLICT (day, user_id, currency, status, payment_type) DO UPDATE SET \
                     payments = daily_aggregates.payments + 1, amount = daily_aggregates.amount + excluded.amount",
                args![
                    &day,
                    user,
                    &payment.currency,
                    payment.status.as_str(),
                    payment.payment_type.as_str(),
                    amount.minor
                ],
            )
            .await?;
        }
        Ok(())
    }
}
