//! `POST /api/payments`.

use axum::extract::{OriginalUri, State as Shared};
use axum::response::{IntoResponse, Response};
use chassis::auth::User;
use chassis::extract::Json;
use chassis::origin::Origin;
use chassis::problem::{Code, MEDIA_TYPE, Problem};
use chassis::request_id::CorrelationId;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};
use jiff::Timestamp;
use serde_json::Value;
use tracing::Instrument;

use super::State;
use super::view::PaymentView;
use crate::domain;
use crate::domain::order::{Order, OrderBody};
use crate::store::{Answer, Claim, Claimed, KeyedRequest, Party, Shown, Store};

/// The route of the idempotency keys of this endpoint.
const ROUTE: &str = "POST /api/payments";

/// The longest key of the contract.
const KEY_CHARS: usize = 255;

pub(crate) async fn create(
    user: User,
    Shared(state): Shared<State>,
    origin: Origin,
    OriginalUri(uri): OriginalUri,
    CorrelationId(request_id): CorrelationId,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Result<Response, Problem> {
    // Before any rule, as the contract wants it of what is not built yet.
    if matches!(body.get("type").and_then(Value::as_str), Some("scheduled" | "recurring")) {
        return Err(Problem::new(Code::NOT_IMPLEMENTED, "only instant payments are made so far"));
    }
    // Written by one writer, so that the same JSON is the same body whatever its white space and order.
    let body = body.to_string();
    let Some(key) = key(&headers)? else {
        let answer = pay(&state, &user, &origin, &body, None).await?;
        return Ok(render(answer));
    };
    let request = KeyedRequest::new(user.id, ROUTE, key, body.as_bytes());
    // A task of its own: a client that goes away half-way must not leave its key leased, since it comes back
    // with the same one.
    let work = async move { keyed(&state, &user, &origin, &body, request).await };
    let (answer, first) = tokio::spawn(work.in_current_span()).await.map_err(|_| Problem::internal())??;
    Ok(render(if first { answer } else { answer.again(uri.path(), request_id.as_deref()) }))
}

/// The answer of a key, and whether it is its first.
async fn keyed(
    state: &State,
    user: &User,
    origin: &Origin,
    body: &str,
    request: KeyedRequest,
) -> Result<(Answer, bool), Problem> {
    match request.claim(state.store.db(), Timestamp::now()).await? {
        Claimed::Answered(answer) => Ok((answer, false)),
        Claimed::Mismatch => {
            Err(Problem::new(Code::IDEMPOTENCY_MISMATCH, "this key was used with another body"))
        }
        Claimed::InFlight => Err(in_flight()),
        Claimed::Ours(claim) => Ok((claimed(state, user, origin, body, claim).await?, true)),
    }
}

/// Does the work of a key: its answer is kept with it, and a fault of ours frees the key.
async fn claimed(
    state: &State,
    user: &User,
    origin: &Origin,
    body: &str,
    claim: Claim,
) -> Result<Answer, Problem> {
    match pay(state, user, origin, body, Some(&claim)).await {
        Ok(answer) => Ok(answer),
        Err(problem) if problem.status().is_server_error() || problem.status() == StatusCode::CONFLICT => {
            if let Err(error) = claim.release(state.store.db()).await {
                tracing::warn!(%error, "a key stays leased until its lease ends");
            }
            Err(problem)
        }
        Err(problem) => {
            // A final refusal is an answer too. Kept without instance and request id: those are of one request,
            // and [`Answer::again`] gives it those of the next.
            let answer = Answer { status: problem.status().as_u16(), body: problem.to_json(None, None) };
            let mut tx = state.store.db().begin().await?;
            claim.answer(&mut tx, &answer).await?;
            tx.commit().await?;
            Err(problem)
        }
    }
}

/// One transaction: the payment, its event, the provider's job, and the key's answer.
async fn pay(
    state: &State,
    user: &User,
    origin: &Origin,
    body: &str,
    claim: Option<&Claim>,
) -> Result<Answer, Problem> {
    let body: OrderBody = Json::from_bytes(body.as_bytes())?;
    let order = Order::parse(body)?;
    let mut tx = state.store.db().begin().await?;
    Store::meet(&mut tx, &Party { id: user.id, email: &user.claims.email, name: &user.claims.name }).await?;
    let Some(recipient) = Store::recipient(&mut tx, &order.recipient).await? else {
        return Err(Problem::new(Code::UNKNOWN_RECIPIENT, "there is no such recipient, or none yet"));
    };
    if recipient.id == user.id {
        return Err(Problem::new(Code::SELF_PAYMENT, "sender and recipient are the same"));
    }
    let payment = Store::insert(&mut tx, order, user.id, recipient.id, origin, domain::now()).await?;
    let (id, parties) = (payment.id, payment.parties());
    let shown = Shown { payment, sender_name: user.claims.name.clone(), recipient_name: recipient.name };
    let answer = Answer {
        status: StatusCode::CREATED.as_u16(),
        body: serde_json::to_string(&PaymentView::from(shown)).map_err(|_| Problem::internal())?,
    };
    if let Some(claim) = claim
        && !claim.answer(&mut tx, &answer).await?
    {
        return Err(in_flight());
    }
    tx.commit().await?;
    state.store.forget_payment(id, parties).await;
    state.work.notify_one();
    Ok(answer)
}

fn in_flight() -> Problem {
    Problem::conflict(Code::IDEMPOTENCY_IN_FLIGHT, "the first request with this key still runs")
        .retry_after(1)
}

fn key(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    let fault = || Problem::invalid("", "Idempotency-Key must have 1 to 255 visible characters");
    let key = value.to_str().map_err(|_| fault())?.trim();
    if key.is_empty() || key.len() > KEY_CHARS { Err(fault()) } else { Ok(Some(key)) }
}

fn render(Answer { status, body }: Answer) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let media_type = if status.is_success() { "application/json" } else { MEDIA_TYPE };
    (status, [(CONTENT_TYPE, media_type)], body).into_response()
}
