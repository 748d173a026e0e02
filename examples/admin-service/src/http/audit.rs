//! `GET /api/admin/audit-logs` and `/audit-logs/actions`.

use axum::extract::State as Shared;
use chassis::auth::Admin;
use chassis::extract::Query;
use chassis::page::{Page, PageRequest};
use chassis::problem::Problem;
use contracts::ResourceType;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};
use uuid::Uuid;

use crate::store::{AuditQuery, AuditRow, Store};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Filter {
    action: Option<String>,
    user_id: Option<Uuid>,
    resource_type: Option<ResourceType>,
    resource_id: Option<String>,
    from: Option<Timestamp>,
    to: Option<Timestamp>,
}

/// An entry as it is answered.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AuditView {
    id: Uuid,
    event_id: String,
    action: String,
    user_id: Option<Uuid>,
    resource_type: ResourceType,
    resource_id: String,
    correlation_id: Option<String>,
    at: Timestamp,
    recorded_at: Timestamp,
    data: Map<String, Json>,
}

pub(crate) async fn list(
    _: Admin,
    Shared(store): Shared<Store>,
    Query(filter): Query<Filter>,
    page: PageRequest,
) -> Result<Page<AuditView>, Problem> {
    let name = format!("audit {filter:?}");
    let query = AuditQuery {
        action: filter.action,
        user_id: filter.user_id,
        resource_type: filter.resource_type,
        resource_id: filter.resource_id,
        from: filter.from,
        to: filter.to,
        after: page.after::<i64>(&name)?,
    };
    let rows = store.audit_logs(&query, page.fetch()).await?;
    Ok(Page::new(&page, &name, rows, |row| row.seq).map(AuditView::from))
}

pub(crate) async fn actions(_: Admin, Shared(store): Shared<Store>) -> Result<Page<String>, Problem> {
    Ok(Page::whole(Vec::clone(&*store.actions().await?)))
}

impl From<AuditRow> for AuditView {
    fn from(row: AuditRow) -> Self {
        Self {
            id: row.id,
            event_id: row.event_id,
            action: row.action,
            user_id: row.user_id,
            resource_type: row.resource_type,
            resource_id: row.resource_id,
            correlation_id: row.correlation_id,
            at: row.at,
            recorded_at: row.recorded_at,
            data: row.data,
        }
    }
}
