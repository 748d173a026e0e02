//! `GET /api/admin/dashboard`.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State as Shared;
use chassis::auth::Admin;
use chassis::problem::Problem;
use contracts::Amount;
use serde::Serialize;

use super::audit::AuditView;
use crate::store::{Hour, Store, digits};

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DashboardView {
    users_by_role: BTreeMap<String, i64>,
    payments_by_status: BTreeMap<String, i64>,
    volume_by_currency: BTreeMap<String, String>,
    events_per_hour: Vec<Hour>,
    last_events: Vec<AuditView>,
    /// From the last event's own time to its entry in the log; absent before the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    event_lag_ms: Option<i64>,
    dead_letters: u64,
}

pub(crate) async fn dashboard(
    _: Admin,
    Shared(store): Shared<Store>,
) -> Result<Json<DashboardView>, Problem> {
    let dashboard = store.dashboard().await?;
    let lag = |row: &crate::store::AuditRow| row.recorded_at.as_millisecond() - row.at.as_millisecond();
    let figures = &*dashboard.figures;
    let amount = |(currency, &minor): (&String, &i64)| {
        (currency.clone(), Amount::from_minor(minor, digits(currency)).to_string())
    };
    Ok(Json(DashboardView {
        event_lag_ms: dashboard.last.first().map(lag),
        users_by_role: figures.users_by_role.clone(),
        payments_by_status: figures.payments_by_status.clone(),
        volume_by_currency: figures.volume.iter().map(amount).collect(),
        events_per_hour: dashboard.hours,
        last_events: dashboard.last.into_iter().map(AuditView::from).collect(),
        dead_letters: store.dead_letters().await?,
    }))
}
