//! Lists of payments: filters, two orders, and a position to go on from.

use chassis::db::{DbError, SqlBuilder};
use contracts::{PaymentStatus, PaymentType};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Shown, Store, shown};

/// Which payments, and in which order.
#[derive(Clone, Debug, Default)]
pub(crate) struct ListQuery {
    /// Whose, sent or received; `None` is everyone's.
    pub(crate) of: Option<Uuid>,
    pub(crate) status: Option<PaymentStatus>,
    pub(crate) payment_type: Option<PaymentType>,
    pub(crate) currency: Option<String>,
    /// Created at this time or later.
    pub(crate) from: Option<Timestamp>,
    /// Created before this time.
    pub(crate) to: Option<Timestamp>,
    /// Amounts scaled to four digits.
    pub(crate) min_amount: Option<i64>,
    pub(crate) max_amount: Option<i64>,
    pub(crate) sort: Sort,
    pub(crate) order: Order,
    pub(crate) after: Option<Position>,
}

/// What a list is sorted by.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Hash, PartialEq)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Sort {
    #[default]
    CreatedAt,
    Amount,
}

/// Which way.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Hash, PartialEq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Order {
    Asc,
    #[default]
    Desc,
}

/// The last payment of a page: the value that it was sorted by, and its id for those that share it.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub(crate) struct Position(pub(crate) i64, pub(crate) Uuid);

// === impl Sort ===

impl Sort {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::CreatedAt => "created_at",
            Self::Amount => "amount",
        }
    }
}

// === impl Order ===

impl Order {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Asc => "asc",
            Self::Desc => "desc",
        }
    }
}

impl Store {
    /// At most `limit` payments, sorted, after the position.
    pub(crate) async fn list(&self, query: &ListQuery, limit: i64) -> Result<Vec<Shown>, DbError> {
        let mut sql = SqlBuilder::new(
            "SELECT p.id, p.version, p.sender_id, p.recipient_id, p.amount, p.digits, p.currency, \
                 p.payment_type, p.status, p.description, p.metadata, p.failure_reason, p.psp_reference, \
                 p.completed_at, p.created_at, p.updated_at, \
                 s.name AS sender_name, s.deleted AS sender_deleted, \
                 r.name AS recipient_name, r.deleted AS recipient_deleted \
             FROM payments p LEFT JOIN users s ON s.id = p.sender_id \
                 LEFT JOIN users r ON r.id = p.recipient_id WHERE p.version > 0",
        );
        if let Some(user) = query.of {
            sql = sql
                .push(" AND (p.sender_id = ")
                .bind(user)
                .push(" OR p.recipient_id = ")
                .bind(user)
                .push(")");
        }
        if let Some(status) = query.status {
            sql = sql.push(" AND p.status = ").bind(status.as_str());
        }
        if let Some(payment_type) = query.payment_type {
            sql = sql.push(" AND p.payment_type = ").bind(payment_type.as_str());
        }
        if let Some(currency) = &query.currency {
            sql = sql.push(" AND p.currency = ").bind(currency);
        }
        if let Some(from) = query.from {
            sql = sql.push(" AND p.created_at >= ").bind(from);
        }
        if let Some(to) = query.to {
            sql = sql.push(" AND p.created_at < ").bind(to);
        }
        if let Some(min) = query.min_amount {
            sql = sql.push(" AND p.scaled >= ").bind(min);
        }
        if let Some(max) = query.max_amount {
            sql = sql.push(" AND p.scaled <= ").bind(max);
        }
        let (column, forward) = match (query.sort, query.order) {
            (Sort::CreatedAt, Order::Asc) => ("p.created_at", true),
            (Sort::CreatedAt, Order::Desc) => ("p.created_at", false),
            (Sort::Amount, Order::Asc) => ("p.scaled", true),
            (Sort::Amount, Order::Desc) => ("p.scaled", false),
        };
        if let Some(Position(value, id)) = query.after {
            let compare = if forward { ", p.id) > (" } else { ", p.id) < (" };
            sql = sql.push(" AND (").push(column).push(compare).bind(value).push(", ").bind(id).push(")");
        }
        sql = sql.push(" ORDER BY ").push(column);
        sql = sql.push(if forward { ", p.id LIMIT " } else { " DESC, p.id DESC LIMIT " });
        let (text, args) = sql.bind(limit).finish();
        self.db().query(text, args).await?.iter().map(shown).collect()
    }
}
