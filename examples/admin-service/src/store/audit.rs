//! The audit log: appended to by one at a time, read by page, erased only in what is personal.

use chassis::args;
use chassis::db::{DbError, Row, SqlBuilder, Tx};
use chassis::origin::Origin;
use contracts::{AuditCreated, ResourceType};
use jiff::Timestamp;
use serde_json::{Map, Value as Json};
use tramline_event_hub::Event;
use uuid::Uuid;

use super::{SOURCE, Store};
use crate::domain::Fact;
use crate::domain::chain::{self, Entry};

/// Which entries.
#[derive(Clone, Debug, Default)]
pub(crate) struct AuditQuery {
    pub(crate) action: Option<String>,
    pub(crate) user_id: Option<Uuid>,
    pub(crate) resource_type: Option<ResourceType>,
    pub(crate) resource_id: Option<String>,
    pub(crate) from: Option<Timestamp>,
    pub(crate) to: Option<Timestamp>,
    /// The sequence number of the last entry seen.
    pub(crate) after: Option<i64>,
}

/// An entry as it is shown.
#[derive(Clone, Debug)]
pub(crate) struct AuditRow {
    pub(crate) seq: i64,
    pub(crate) id: Uuid,
    pub(crate) event_id: String,
    pub(crate) action: String,
    pub(crate) user_id: Option<Uuid>,
    pub(crate) resource_type: ResourceType,
    pub(crate) resource_id: String,
    pub(crate) correlation_id: Option<String>,
    pub(crate) at: Timestamp,
    pub(crate) recorded_at: Timestamp,
    pub(crate) data: Map<String, Json>,
}

/// Appends the entry of an event, and the event that tells of it.
pub(super) async fn append(tx: &mut Tx, event: &Event, fact: &Fact) -> Result<(), DbError> {
    // ORDER: the head first. Whoever holds it appends alone, so that the chain has no fork.
    let sql = tx.dialect().pick(
        "SELECT seq, hash FROM audit_head WHERE id = 1 FOR UPDATE",
        "SELECT seq, hash FROM audit_head WHERE id = 1",
    );
    let head = tx.query_one(sql, args![]).await?;
    let seq = head.get::<i64>("seq")? + 1;
    let (id, event_id) = (Uuid::now_v7(), event.id.to_string());
    let entry = Entry {
        seq,
        id,
        event_id: &event_id,
        action: &event.event_type,
        user_id: fact.user_id,
        resource_type: fact.resource_type,
        resource_id: &fact.resource_id,
        at: event.time,
        details: &fact.details,
    };
    let entry = serde_json::to_string(&entry).map_err(DbError::foreign)?;
    let hash = chain::link(&head.get::<Vec<u8>>("hash")?, &entry);
    // ORDER: after the head, which a deletion holds, too: an event that comes late must not bring back what was
    // erased.
    let erased = match fact.person_id {
        Some(person) => is_erased(tx, person).await?,
        None => false,
    };
    let personal = (!fact.personal.is_empty() && !erased)
        .then(|| serde_json::to_string(&fact.personal))
        .transpose()
        .map_err(DbError::foreign)?;
    let now = Timestamp::now();
    tx.execute(
        "INSERT INTO audit_logs (seq, id, event_id, action, user_id, resource_type, resource_id, correlation_id, \
             at, recorded_at, entry, personal, person_id, hash) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
        args![
            seq,
            id,
            &event_id,
            &event.event_type,
            fact.user_id,
            fact.resource_type.as_str(),
            &fact.resource_id,
            &event.correlation_id,
            event.time,
            now,
            &entry,
            &personal,
            fact.person_id,
            &hash[..],
        ],
    )
    .await?;
    tx.execute("UPDATE audit_head SET seq = $1, hash = $2 WHERE id = 1", args![seq, &hash[..]]).await?;
    let told = AuditCreated {
        audit_id: id,
        action: event.event_type.clone(),
        user_id: fact.user_id,
        resource_type: fact.resource_type,
        resource_id: fact.resource_id.clone(),
        at: now,
    };
    let told = contracts::wrap(SOURCE, &told).map_err(DbError::foreign)?;
    tx.enqueue(&Origin::caused_by(event).stamp(told)).await
}

async fn is_erased(tx: &mut Tx, person: Uuid) -> Result<bool, DbError> {
    let row = tx.query_opt("SELECT deleted FROM users WHERE id = $1", args![person]).await?;
    row.map_or(Ok(false), |row| row.get("deleted"))
}

/// Erases what is personal in a user's entries; the chain does not notice.
pub(super) async fn erase(tx: &mut Tx, user: Uuid) -> Result<(), DbError> {
    tx.execute("UPDATE audit_logs SET personal = NULL WHERE person_id = $1", args![user]).await.map(drop)
}

impl Store {
    /// At most `limit` entries, newest first.
    pub(crate) async fn audit_logs(&self, query: &AuditQuery, limit: i64) -> Result<Vec<AuditRow>, DbError> {
        let mut sql = SqlBuilder::new(
            "SELECT seq, id, event_id, action, user_id, resource_type, resource_id, correlation_id, at, \
                 recorded_at, entry, personal FROM audit_logs WHERE seq > 0",
        );
        if let Some(action) = &query.action {
            sql = sql.push(" AND action = ").bind(action);
        }
        if let Some(user) = query.user_id {
            sql = sql.push(" AND user_id = ").bind(user);
        }
        if let Some(resource_type) = query.resource_type {
            sql = sql.push(" AND resource_type = ").bind(resource_type.as_str());
        }
        if let Some(resource_id) = &query.resource_id {
            sql = sql.push(" AND resource_id = ").bind(resource_id);
        }
        if let Some(from) = query.from {
            sql = sql.push(" AND at >= ").bind(from);
        }
        if let Some(to) = query.to {
            sql = sql.push(" AND at < ").bind(to);
        }
        if let Some(after) = query.after {
            sql = sql.push(" AND seq < ").bind(after);
        }
        let (text, args) = sql.push(" ORDER BY seq DESC LIMIT ").bind(limit).finish();
        self.db.query(text, args).await?.iter().map(row).collect()
    }

    /// The actions that the log has, in the order of the alphabet.
    pub(super) async fn load_actions(&self) -> Result<Vec<String>, DbError> {
        let rows = self
            .db
            .query("SELECT DISTINCT action FROM dashboard_hours ORDER BY action LIMIT 1000", args![])
            .await?;
        rows.iter().map(|row| row.get("action")).collect()
    }
}

fn row(row: &Row) -> Result<AuditRow, DbError> {
    let entry: Json = serde_json::from_str(&row.get::<String>("entry")?).map_err(DbError::foreign)?;
    let mut data = match entry {
        Json::Object(mut entry) => match entry.remove("details") {
            Some(Json::Object(details)) => details,
            _ => Map::new(),
        },
        _ => Map::new(),
    };
    if let Some(personal) = row.get::<Option<String>>("personal")? {
        data.extend(serde_json::from_str::<Map<String, Json>>(&personal).map_err(DbError::foreign)?);
    }
    Ok(AuditRow {
        seq: row.get("seq")?,
        id: row.get("id")?,
        event_id: row.get("event_id")?,
        action: row.get("action")?,
        user_id: row.get("user_id")?,
        resource_type: row.parse("resource_type")?,
        resource_id: row.get("resource_id")?,
        correlation_id: row.get("correlation_id")?,
        at: row.get("at")?,
        recorded_at: row.get("recorded_at")?,
        data,
    })
}
