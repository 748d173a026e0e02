//! `GET /api/payments` and `GET /api/payments/{id}`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State as Shared;
use axum::response::IntoResponse;
use chassis::auth::User;
use chassis::cache::server_timing;
use chassis::extract::{Path, Query};
use chassis::page::{Page, PageRequest};
use chassis::problem::Problem;
use chassis::validate::Faults;
use contracts::{Amount, InvalidAmount, PaymentStatus, PaymentType};
use jiff::Timestamp;
use serde::Deserialize;
use uuid::Uuid;

use super::State;
use super::view::PaymentView;
use crate::domain::{self, SCALED_DIGITS};
use crate::store::{Detail, ListOrder, ListQuery, Position, Shown, Sort};

/// The filters of a list.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Filter {
    status: Option<PaymentStatus>,
    #[serde(rename = "type")]
    payment_type: Option<PaymentType>,
    currency: Option<String>,
    from: Option<Timestamp>,
    to: Option<Timestamp>,
    min_amount: Option<String>,
    max_amount: Option<String>,
    #[serde(default)]
    sort: Sort,
    #[serde(default)]
    order: ListOrder,
}

pub(crate) async fn list(
    user: User,
    Shared(state): Shared<State>,
    Query(filter): Query<Filter>,
    page: PageRequest,
) -> Result<impl IntoResponse, Problem> {
    let of = (!user.is_admin()).then_some(user.id);
    // A cursor goes on in the list that it is of, not in one with another order or filter.
    let name = format!("payments {of:?} {filter:?}");
    let sort = filter.sort;
    let query = filter.parse(of, page.after::<Position>(&name)?)?;
    let (rows, outcome) = state.store.list_for((user.id, user.role), query, page.fetch()).await?;
    let position = |shown: &Shown| match sort {
        Sort::CreatedAt => Position(shown.payment.created_at.as_microsecond(), shown.payment.id),
        Sort::Amount => Position(domain::scaled(shown.payment.amount), shown.payment.id),
    };
    Ok((outcome.map(server_timing), Page::new(&page, &name, rows, position).map(PaymentView::from)))
}

pub(crate) async fn find(
    user: User,
    Shared(state): Shared<State>,
    Path(id): Path<Uuid>,
) -> Result<impl IntoResponse, Problem> {
    let answer = state.store.detail(id).await?;
    let detail = answer.value.ok_or_else(Problem::not_found)?;
    // To others it does not exist: a 403 would tell that it does.
    if !detail.shown.payment.concerns(user.id) && !user.is_admin() {
        return Err(Problem::not_found());
    }
    let Detail { shown, transactions } = Arc::unwrap_or_clone(detail);
    let view = PaymentView::from(shown).with_transactions(transactions);
    Ok((server_timing(answer.outcome), Json(view)))
}

// === impl Filter ===

impl Filter {
    fn parse(self, of: Option<Uuid>, after: Option<Position>) -> Result<ListQuery, Problem> {
        let mut faults = Faults::new();
        let min_amount =
            faults.take("?minAmount", self.min_amount.as_deref().map(bound).transpose()).flatten();
        let max_amount =
            faults.take("?maxAmount", self.max_amount.as_deref().map(bound).transpose()).flatten();
        if let Some(currency) = &self.currency {
            faults.check(domain::digits(currency).is_some(), "?currency", "is no currency of ISO 4217");
        }
        faults.finish()?;
        Ok(ListQuery {
            of,
            status: self.status,
            payment_type: self.payment_type,
            currency: self.currency,
            from: self.from,
            to: self.to,
            min_amount,
            max_amount,
            sort: self.sort,
            order: self.order,
            after,
        })
    }
}

/// A bound of a filter, scaled. No payment is of nothing, but a range may begin there.
fn bound(text: &str) -> Result<i64, InvalidAmount> {
    if text == "0" {
        return Ok(0);
    }
    Amount::parse(text, SCALED_DIGITS).map(|amount| amount.minor)
}
