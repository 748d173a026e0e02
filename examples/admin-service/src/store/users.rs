//! The copy of the users: newer versions only, and a tombstone that nothing undoes.

use chassis::args;
use chassis::db::{DbError, Row, SqlBuilder, Tx};
use contracts::{Role, UserChanged, UserDeleted, UserStatus};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Store;

/// Which users.
#[derive(Clone, Debug, Default)]
pub(crate) struct UserQuery {
    /// A part of the name or e-mail.
    pub(crate) search: Option<String>,
    pub(crate) role: Option<Role>,
    pub(crate) status: Option<UserStatus>,
    pub(crate) after: Option<Position>,
}

/// The last user of a page.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub(crate) struct Position(pub(crate) i64, pub(crate) Uuid);

/// A user as it is shown.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct UserRow {
    pub(crate) id: Uuid,
    pub(crate) email: String,
    pub(crate) name: String,
    pub(crate) role: Role,
    pub(crate) status: UserStatus,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
}

/// A tombstone's version is the deletion's own, so that no late update is newer.
const UPSERT: &str = "INSERT INTO users (id, version, email, name, folded, role, status, deleted, created_at, updated_at) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) \
     ON CONFLICT (id) DO UPDATE SET version = excluded.version, email = excluded.email, name = excluded.name, \
         folded = excluded.folded, role = excluded.role, status = excluded.status, deleted = excluded.deleted, \
         updated_at = excluded.updated_at \
     WHERE users.version < excluded.version AND NOT users.deleted";

/// Takes over a user as auth tells of them.
pub(super) async fn keep(tx: &mut Tx, user: &UserChanged) -> Result<(), DbError> {
    let folded = format!("{} {}", user.name, user.email).to_lowercase();
    tx.execute(
        UPSERT,
        args![
            user.user_id,
            user.version,
            &user.email,
            &user.name,
            folded,
            user.role.as_str(),
            user.status.as_str(),
            false,
            user.created_at,
            user.updated_at,
        ],
    )
    .await
    .map(drop)
}

/// Forgets a user, but not that there was one.
pub(super) async fn bury(tx: &mut Tx, user: &UserDeleted) -> Result<(), DbError> {
    let (role, status) = (Role::Customer.as_str(), UserStatus::Suspended.as_str());
    let at = user.deleted_at;
    tx.execute(UPSERT, args![user.user_id, user.version, "", "", "", role, status, true, at, at])
        .await
        .map(drop)
}

impl Store {
    /// At most `limit` users, newest first.
    pub(super) async fn load_users(&self, query: &UserQuery, limit: i64) -> Result<Vec<UserRow>, DbError> {
        let mut sql = SqlBuilder::new(
            "SELECT id, email, name, role, status, created_at, updated_at FROM users WHERE NOT deleted",
        );
        if let Some(search) = &query.search {
            sql = sql.push(" AND folded LIKE ").bind(contains(search)).push(" ESCAPE '!'");
        }
        if let Some(role) = query.role {
            sql = sql.push(" AND role = ").bind(role.as_str());
        }
        if let Some(status) = query.status {
            sql = sql.push(" AND status = ").bind(status.as_str());
        }
        if let Some(Position(created_at, id)) = query.after {
            sql = sql.push(" AND (created_at, id) < (").bind(created_at).push(", ").bind(id).push(")");
        }
        let (text, args) = sql.push(" ORDER BY created_at DESC, id DESC LIMIT ").bind(limit).finish();
        self.db.query(text, args).await?.iter().map(row).collect()
    }

    /// One user.
    pub(super) async fn load_user(&self, id: Uuid) -> Result<Option<UserRow>, DbError> {
        let sql = "SELECT id, email, name, role, status, created_at, updated_at FROM users \
             WHERE id = $1 AND NOT deleted";
        self.db.query_opt(sql, args![id]).await?.as_ref().map(row).transpose()
    }

    /// Whether the demo accounts have arrived.
    pub(crate) async fn knows_demo_accounts(&self) -> bool {
        let [admin, vendor, customer] = contracts::DEMO_EMAILS;
        let sql = "SELECT COUNT(*) AS known FROM users WHERE email IN ($1, $2, $3)";
        let row = self.db.query_one(sql, args![admin, vendor, customer]).await;
        row.and_then(|row| row.get::<i64>("known")).is_ok_and(|known| known == 3)
    }
}

/// A pattern that finds the text anywhere; what `LIKE` would read as a wildcard stands for itself.
fn contains(search: &str) -> String {
    let mut pattern = String::from("%");
    for character in search.trim().to_lowercase().chars() {
        if matches!(character, '%' | '_' | '!') {
            pattern.push('!');
        }
        pattern.push(character);
    }
    pattern.push('%');
    pattern
}

fn row(row: &Row) -> Result<UserRow, DbError> {
    Ok(UserRow {
        id: row.get("id")?,
        email: row.get("email")?,
        name: row.get("name")?,
        role: row.parse("role")?,
        status: row.parse("status")?,
        created_at: row.get("created_at")?,
        updated_at: row.get("updated_at")?,
    })
}
