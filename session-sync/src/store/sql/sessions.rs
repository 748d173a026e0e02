//! Sessions and devices in SQL.

use crate::device::Device;
use crate::store::rows::{DeviceRow, SessionRow};
use crate::store::sql::{Arg, Row, SqlTx, args};

impl SqlTx {
    pub(crate) async fn lock_user(&mut self, user_id: &str) -> sqlx::Result<()> {
        match self {
            #[cfg(feature = "postgres")]
            Self::Postgres { .. } => {
                let sql = "SELECT pg_advisory_xact_lock(hashtextextended($1, 7472616))";
                self.rows(sql, args![user_id]).await.map(drop)
            }
            #[cfg(feature = "sqlite")]
            // The writing transaction has the database to itself.
            Self::Sqlite(_) => {
                let _ = user_id;
                Ok(())
            }
        }
    }

    pub(crate) async fn session(&mut self, id: &str) -> sqlx::Result<Option<SessionRow>> {
        let rows = self.sessions("s.id = $1", args![id]).await?;
        Ok(rows.into_iter().next())
    }

    pub(crate) async fn live_sessions(&mut self, user_id: &str) -> sqlx::Result<Vec<SessionRow>> {
        // Locks are taken in the order of ids, so that two transactions cannot wait for each other.
        let wanted = "s.user_id = $1 AND s.ended_at IS NULL ORDER BY s.id";
        let mut rows = self.sessions(wanted, args![user_id]).await?;
        rows.sort_by_key(|row| std::cmp::Reverse(row.last_seen_at));
        Ok(rows)
    }

    pub(crate) async fn overdue_sessions(&mut self, now: i64, limit: i64) -> sqlx::Result<Vec<SessionRow>> {
        let wanted = "s.ended_at IS NULL AND s.expires_at <= $1 ORDER BY s.id LIMIT $2";
        self.sessions(wanted, args![now, limit]).await
    }

    pub(crate) async fn ended_since(&mut self, since: i64, limit: i64) -> sqlx::Result<Vec<SessionRow>> {
        let wanted = "s.ended_at > $1 ORDER BY s.ended_at DESC LIMIT $2";
        self.sessions(wanted, args![since, limit]).await
    }

    pub(crate) async fn insert_session(&mut self, row: &SessionRow) -> sqlx::Result<()> {
        let sql = "INSERT INTO sessions (id, user_id, device_id, ip, user_agent, created_at, \
            last_seen_at, expires_at, ends_at, generation, ended_at, end_reason) \
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)";
        let args = args![
            &row.id,
            &row.user_id,
            &row.device.id,
            &row.ip,
            &row.user_agent,
            row.created_at,
            row.last_seen_at,
            row.expires_at,
            row.ends_at,
            row.generation,
            row.ended_at,
            &row.end_reason,
        ];
        self.run(sql, args).await.map(drop)
    }

    pub(crate) async fn update_session(&mut self, row: &SessionRow) -> sqlx::Result<()> {
        let sql = "UPDATE sessions SET device_id = $2, ip = $3, user_agent = $4, \
            last_seen_at = $5, expires_at = $6, generation = $7, ended_at = $8, end_reason = $9 \
            WHERE id = $1";
        let args = args![
            &row.id,
            &row.device.id,
            &row.ip,
            &row.user_agent,
            row.last_seen_at,
            row.expires_at,
            row.generation,
            row.ended_at,
            &row.end_reason,
        ];
        self.run(sql, args).await.map(drop)
    }

    pub(crate) async fn upsert_device(&mut self, row: &DeviceRow) -> sqlx::Result<()> {
        let sql = "INSERT INTO devices (user_id, id, name, kind, first_seen_at, last_seen_at) \
            VALUES ($1, $2, $3, $4, $5, $5) \
            ON CONFLICT (user_id, id) DO UPDATE SET \
            name = COALESCE(excluded.name, devices.name), \
            kind = COALESCE(excluded.kind, devices.kind), \
            last_seen_at = excluded.last_seen_at";
        let device = &row.device;
        let args = args![&row.user_id, &device.id, &device.name, &device.kind, row.seen_at];
        self.run(sql, args).await.map(drop)
    }

    pub(super) async fn sessions(&mut self, wanted: &str, args: Vec<Arg>) -> sqlx::Result<Vec<SessionRow>> {
        let sql = format!(
            "SELECT s.id, s.user_id, s.device_id, d.name, d.kind, s.ip, s.user_agent, \
            s.created_at, s.last_seen_at, s.expires_at, s.ends_at, s.generation, s.ended_at, \
            s.end_reason FROM sessions s \
            LEFT JOIN devices d ON d.user_id = s.user_id AND d.id = s.device_id \
            WHERE {wanted}{}",
            self.lock("s")
        );
        let rows = self.rows(&sql, args).await?;
        rows.iter().map(session).collect()
    }
}

fn session(row: &Row) -> sqlx::Result<SessionRow> {
    Ok(SessionRow {
        id: row.text(0)?,
        user_id: row.text(1)?,
        device: Device { id: row.text(2)?, name: row.maybe_text(3)?, kind: row.maybe_text(4)? },
        ip: row.maybe_text(5)?,
        user_agent: row.maybe_text(6)?,
        created_at: row.int(7)?,
        last_seen_at: row.int(8)?,
        expires_at: row.int(9)?,
        ends_at: row.int(10)?,
        generation: row.int(11)?,
        ended_at: row.maybe_int(12)?,
        end_reason: row.maybe_text(13)?,
    })
}
