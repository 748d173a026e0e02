//! A payment as it is answered.

use contracts::{PaymentStatus, PaymentType};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value as Json;
use uuid::Uuid;

use crate::store::{Shown, Transaction};

/// A payment, by the contract's field list.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PaymentView {
    id: Uuid,
    sender: PartyView,
    recipient: PartyView,
    amount: String,
    currency: String,
    #[serde(rename = "type")]
    payment_type: PaymentType,
    status: PaymentStatus,
    description: String,
    metadata: Option<Json>,
    failure_reason: Option<String>,
    psp_reference: Option<String>,
    /// Filled by the scheduler, which is not built yet.
    scheduled_for: Option<Timestamp>,
    completed_at: Option<Timestamp>,
    created_at: Timestamp,
    updated_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    transactions: Option<Vec<TransactionView>>,
}

#[derive(Debug, Serialize)]
struct PartyView {
    id: Uuid,
    name: String,
}

#[derive(Debug, Serialize)]
struct TransactionView {
    id: Uuid,
    status: PaymentStatus,
    at: Timestamp,
}

// === impl PaymentView ===

impl PaymentView {
    pub(crate) fn with_transactions(mut self, transactions: Vec<Transaction>) -> Self {
        let view = |Transaction { id, status, at }| TransactionView { id, status, at };
        self.transactions = Some(transactions.into_iter().map(view).collect());
        self
    }
}

impl From<Shown> for PaymentView {
    fn from(Shown { payment, sender_name, recipient_name }: Shown) -> Self {
        Self {
            id: payment.id,
            sender: PartyView { id: payment.sender_id, name: sender_name },
            recipient: PartyView { id: payment.recipient_id, name: recipient_name },
            amount: payment.amount.to_string(),
            currency: payment.currency,
            payment_type: payment.payment_type,
            status: payment.status,
            description: payment.description,
            metadata: payment.metadata,
            failure_reason: payment.failure_reason,
            psp_reference: payment.psp_reference,
            scheduled_for: None,
            completed_at: payment.completed_at,
            created_at: payment.created_at,
            updated_at: payment.updated_at,
            transactions: None,
        }
    }
}
