//! `POST /api/payments/webhooks/psp`: how the provider tells what became of a payment.

use axum::body::Bytes;
use axum::extract::State as Shared;
use chassis::extract::{BODY_LIMIT, Json};
use chassis::origin::Origin;
use chassis::problem::{Code, Problem};
use chassis::validate::Faults;
use http::{HeaderMap, StatusCode};
use jiff::Timestamp;
use serde::Deserialize;
use uuid::Uuid;

use super::State;
use super::change::refusal;
use crate::domain::Change;
use crate::psp::signature;

/// The longest reference and reason that a provider may give.
const TEXT_CHARS: usize = 255;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    payment_id: Uuid,
    status: Ending,
    psp_reference: String,
    failure_reason: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Ending {
    Completed,
    Failed,
}

/// Safe to repeat: the state machine takes the same report once.
pub(crate) async fn psp(
    Shared(state): Shared<State>,
    origin: Origin,
    headers: HeaderMap,
    body: Bytes,
) -> Result<StatusCode, Problem> {
    if body.len() > BODY_LIMIT {
        return Err(Problem::new(Code::BODY_TOO_LARGE, "a JSON body may have 64 KiB"));
    }
    let header = headers.get(signature::HEADER).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let secret = state.webhook_secret.expose().as_bytes();
    // The bytes as they came: the signature is over them, not over what they mean.
    signature::verify(secret, header, &body, Timestamp::now().as_second())
        .map_err(|fault| Problem::new(Code::UNAUTHENTICATED, fault.to_string()))?;
    let report: Report = Json::from_bytes(&body)?;
    let mut faults = Faults::new();
    let psp_reference = faults.text("/pspReference", &report.psp_reference, 1..=TEXT_CHARS).to_owned();
    let reason = faults
        .optional_text("/failureReason", report.failure_reason.as_deref(), 1..=TEXT_CHARS)
        .map(ToOwned::to_owned);
    faults.finish()?;
    let change = match report.status {
        Ending::Completed => Change::Completed { psp_reference },
        Ending::Failed => Change::Failed { psp_reference, reason },
    };
    state.store.change(report.payment_id, &change, &origin).await.map_err(refusal)?;
    Ok(StatusCode::NO_CONTENT)
}
