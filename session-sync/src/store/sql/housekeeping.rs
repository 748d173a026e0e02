//! Marks of users, and what the sweep deletes, in SQL.

use crate::store::rows::MarkRow;
use crate::store::sql::{SqlTx, args};

impl SqlTx {
    pub(crate) async fn put_mark(&mut self, row: &MarkRow) -> sqlx::Result<()> {
        let sql = "INSERT INTO session_user_marks (user_id, kind, role, marked_at) \
            VALUES ($1, $2, $3, $4) ON CONFLICT (user_id) DO UPDATE SET \
            kind = excluded.kind, role = excluded.role, marked_at = excluded.marked_at";
        self.run(sql, args![&row.user_id, &row.kind, &row.role, row.at]).await.map(drop)
    }

    pub(crate) async fn marks_since(&mut self, since: i64, limit: i64) -> sqlx::Result<Vec<MarkRow>> {
        let sql = "SELECT user_id, kind, role, marked_at FROM session_user_marks \
            WHERE marked_at > $1 ORDER BY marked_at DESC LIMIT $2";
        let rows = self.rows(sql, args![since, limit]).await?;
        rows.iter()
            .map(|row| {
                Ok(MarkRow {
                    user_id: row.text(0)?,
                    kind: row.text(1)?,
                    role: row.maybe_text(2)?,
                    at: row.int(3)?,
                })
            })
            .collect()
    }

    pub(crate) async fn delete_marks(&mut self, before: i64) -> sqlx::Result<()> {
        let sql = "DELETE FROM session_user_marks WHERE marked_at < $1";
        self.run(sql, args![before]).await.map(drop)
    }

    pub(crate) async fn delete_ended(&mut self, before: i64, limit: i64) -> sqlx::Result<u64> {
        // The tokens first and by name: SQLite's cascades depend on a connection's setting.
        let ended = "SELECT id FROM sessions WHERE ended_at < $1 ORDER BY ended_at, id LIMIT $2";
        let sql = format!("DELETE FROM refresh_tokens WHERE session_id IN ({ended})");
        self.run(&sql, args![before, limit]).await?;
        let sql = format!("DELETE FROM sessions WHERE id IN ({ended})");
        self.run(&sql, args![before, limit]).await
    }

    pub(crate) async fn delete_devices(&mut self, before: i64, limit: i64) -> sqlx::Result<u64> {
        let sql = "DELETE FROM devices WHERE (user_id, id) IN (\
            SELECT d.user_id, d.id FROM devices d WHERE d.last_seen_at < $1 AND NOT EXISTS (\
            SELECT 1 FROM sessions s WHERE s.user_id = d.user_id AND s.device_id = d.id) LIMIT $2)";
        self.run(sql, args![before, limit]).await
    }
}
