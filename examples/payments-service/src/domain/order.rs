//! What a client asks for, parsed: once an [`Order`] exists it meets every rule of the contract that
//! can be checked without a database.

use chassis::problem::{Code, Problem};
use chassis::validate::Faults;
use contracts::{Amount, PaymentType};
use serde::Deserialize;
use serde_json::Value as Json;
use uuid::Uuid;

use crate::domain::{self, DESCRIPTION_CHARS, METADATA_BYTES};

/// The body of `POST /api/payments`, as it is written.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct OrderBody {
    amount: String,
    currency: String,
    #[serde(rename = "type")]
    payment_type: PaymentType,
    recipient_email: Option<String>,
    recipient_id: Option<Uuid>,
    description: String,
    metadata: Option<Json>,
}

/// A payment asked for.
#[derive(Debug, PartialEq)]
pub(crate) struct Order {
    pub(crate) amount: Amount,
    pub(crate) currency: String,
    pub(crate) recipient: Recipient,
    pub(crate) description: String,
    pub(crate) metadata: Option<Json>,
}

/// Whom to pay.
#[derive(Debug, PartialEq)]
pub(crate) enum Recipient {
    Email(String),
    Id(Uuid),
}

impl Order {
    /// Checks a body against the rules; all faults are told at once.
    pub(crate) fn parse(body: OrderBody) -> Result<Self, Problem> {
        if body.payment_type != PaymentType::Instant {
            return Err(Problem::new(Code::NOT_IMPLEMENTED, "only instant payments are made so far"));
        }
        let mut faults = Faults::new();
        let amount = match domain::digits(&body.currency) {
            Some(digits) => faults.take("/amount", Amount::parse(&body.amount, digits)),
            None => {
                faults.add("/currency", "is no currency of ISO 4217 that payments are made in");
                None
            }
        };
        let description = faults.text("/description", &body.description, 1..=DESCRIPTION_CHARS).to_owned();
        let recipient = match (body.recipient_email, body.recipient_id) {
            (Some(email), None) => {
                Some(Recipient::Email(domain::folded(faults.email("/recipientEmail", &email))))
            }
            (None, Some(id)) => Some(Recipient::Id(id)),
            (None, None) => {
                faults.add("/recipientEmail", "either this or recipientId is needed");
                None
            }
            (Some(_), Some(_)) => {
                faults.add("/recipientId", "only one of this and recipientEmail is taken");
                None
            }
        };
        if let Some(metadata) = &body.metadata {
            faults.check(metadata.is_object(), "/metadata", "must be an object");
            faults.check(
                metadata.to_string().len() <= METADATA_BYTES,
                "/metadata",
                "must have at most 4 KiB as JSON",
            );
        }
        faults.finish()?;
        let (Some(amount), Some(recipient)) = (amount, recipient) else {
            return Err(Problem::internal());
        };
        Ok(Self { amount, currency: body.currency, recipient, description, metadata: body.metadata })
    }
}

#[cfg(test)]
mod tests;
