//! `POST /api/payments/{id}/cancel`.

use axum::Json;
use axum::extract::State as Shared;
use chassis::auth::User;
use chassis::extract::Path;
use chassis::origin::Origin;
use chassis::problem::{Code, Problem};
use uuid::Uuid;

use super::State;
use super::view::PaymentView;
use crate::domain::Change;
use crate::store::ChangeError;

pub(crate) async fn cancel(
    user: User,
    Shared(state): Shared<State>,
    Path(id): Path<Uuid>,
    origin: Origin,
) -> Result<Json<PaymentView>, Problem> {
    let shown = state.store.find(id).await?.ok_or_else(Problem::not_found)?;
    let admin = user.is_admin();
    if !shown.payment.concerns(user.id) && !admin {
        return Err(Problem::not_found());
    }
    if shown.payment.sender_id != user.id && !admin {
        return Err(Problem::forbidden());
    }
    let (_, changed) = state.store.change(id, &Change::Cancelled, &origin).await.map_err(refusal)?;
    if !changed {
        // Cancelled before: by the contract a payment is cancelled from `pending` alone.
        return Err(Problem::conflict(Code::INVALID_TRANSITION, "the payment is cancelled already"));
    }
    let shown = state.store.find(id).await?.ok_or_else(Problem::not_found)?;
    Ok(Json(shown.into()))
}

/// The answer to a change that was not made.
pub(super) fn refusal(error: ChangeError) -> Problem {
    match error {
        ChangeError::NotFound => Problem::not_found(),
        ChangeError::Refused(refused) => Problem::conflict(
            Code::INVALID_TRANSITION,
            format!("a payment that is {} cannot become {}", refused.from, refused.to),
        ),
        ChangeError::Db(error) => error.into(),
    }
}
