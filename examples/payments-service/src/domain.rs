//! What a payment is, and what may happen to it; no database, no HTTP.

pub(crate) mod order;

use contracts::{Amount, PaymentStatus, PaymentType};
use iso_currency::Currency;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use uuid::Uuid;

/// The largest `metadata`, as the bytes of its JSON: the contract's 4 KiB.
pub(crate) const METADATA_BYTES: usize = 4 * 1024;

/// The longest description, in characters.
pub(crate) const DESCRIPTION_CHARS: usize = 500;

/// The digits that amounts of all currencies are scaled to, to be sorted and filtered together:
/// no currency of ISO 4217 has more than four.
pub(crate) const SCALED_DIGITS: u32 = 4;

/// A payment as it is stored.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Payment {
    pub(crate) id: Uuid,
    pub(crate) version: i64,
    pub(crate) sender_id: Uuid,
    pub(crate) recipient_id: Uuid,
    #[serde(with = "minor_units")]
    pub(crate) amount: Amount,
    pub(crate) currency: String,
    pub(crate) payment_type: PaymentType,
    pub(crate) status: PaymentStatus,
    pub(crate) description: String,
    pub(crate) metadata: Option<Json>,
    pub(crate) failure_reason: Option<String>,
    pub(crate) psp_reference: Option<String>,
    pub(crate) completed_at: Option<Timestamp>,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
}

/// A state change that the state machine refuses.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct InvalidTransition {
    pub(crate) from: PaymentStatus,
    pub(crate) to: PaymentStatus,
}

/// How a change of state came about.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Change {
    /// The provider has taken it up.
    TakenUp,
    /// The provider has paid it.
    Completed { psp_reference: String },
    /// The provider has refused it.
    Failed { psp_reference: String, reason: Option<String> },
    /// Its sender, or an admin, has taken it back.
    Cancelled,
}

// === impl Payment ===

impl Payment {
    /// Applies a change. `Ok(false)` says that this very change was made before.
    pub(crate) fn apply(&mut self, change: &Change, now: Timestamp) -> Result<bool, InvalidTransition> {
        let to = change.status();
        if self.status == to && self.psp_reference.as_deref() == change.psp_reference() {
            return Ok(false);
        }
        if !self.status.may_become(to) {
            return Err(InvalidTransition { from: self.status, to });
        }
        self.status = to;
        self.version += 1;
        self.updated_at = now;
        if let Some(reference) = change.psp_reference() {
            self.psp_reference = Some(reference.to_owned());
        }
        match change {
            Change::Completed { .. } => self.completed_at = Some(now),
            Change::Failed { reason, .. } => self.failure_reason = reason.clone(),
            Change::TakenUp | Change::Cancelled => {}
        }
        Ok(true)
    }

    /// Its sender and its recipient.
    pub(crate) fn parties(&self) -> [Uuid; 2] {
        [self.sender_id, self.recipient_id]
    }

    /// Whether the user is one of its parties.
    pub(crate) fn concerns(&self, user: Uuid) -> bool {
        self.parties().contains(&user)
    }
}

// === impl Change ===

impl Change {
    pub(crate) fn status(&self) -> PaymentStatus {
        match self {
            Self::TakenUp => PaymentStatus::Processing,
            Self::Completed { .. } => PaymentStatus::Completed,
            Self::Failed { .. } => PaymentStatus::Failed,
            Self::Cancelled => PaymentStatus::Cancelled,
        }
    }

    fn psp_reference(&self) -> Option<&str> {
        match self {
            Self::Completed { psp_reference } | Self::Failed { psp_reference, .. } => Some(psp_reference),
            Self::TakenUp | Self::Cancelled => None,
        }
    }
}

/// An amount as it is cached: what the edge writes as a decimal string stays two integers inside.
mod minor_units {
    use contracts::Amount;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(amount: &Amount, serializer: S) -> Result<S::Ok, S::Error> {
        (amount.minor, amount.digits).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Amount, D::Error> {
        let (minor, digits) = Deserialize::deserialize(deserializer)?;
        Ok(Amount::from_minor(minor, digits))
    }
}

/// The digits after the point of an ISO 4217 currency that has a minor unit.
pub(crate) fn digits(currency: &str) -> Option<u32> {
    let currency = Currency::from_code(currency)?;
    currency.exponent().map(u32::from)
}

/// An amount scaled so that amounts of currencies with different digits sort together.
pub(crate) fn scaled(amount: Amount) -> i64 {
    amount.minor * 10_i64.pow(SCALED_DIGITS.saturating_sub(amount.digits))
}

/// Now, as exact as it is stored: what is answered and told at once is what is read later.
pub(crate) fn now() -> Timestamp {
    Timestamp::from_microsecond(Timestamp::now().as_microsecond()).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// A text as it is compared: folded, so that a search finds what a person would call the same.
pub(crate) fn folded(text: &str) -> String {
    text.trim().to_lowercase()
}

#[cfg(test)]
mod tests;
