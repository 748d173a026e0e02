//! Signing keys in SQL.

use crate::store::rows::KeyRow;
use crate::store::sql::{SqlTx, args};

impl SqlTx {
    pub(crate) async fn keys(&mut self) -> sqlx::Result<Vec<KeyRow>> {
        let sql = format!(
            "SELECT kid, sealed, created_at, active_at, retired_at FROM signing_keys \
            ORDER BY active_at, kid{}",
            self.lock("signing_keys")
        );
        let rows = self.rows(&sql, args![]).await?;
        rows.iter()
            .map(|row| {
                Ok(KeyRow {
                    kid: row.text(0)?,
                    sealed: row.bytes(1)?,
                    created_at: row.int(2)?,
                    active_at: row.int(3)?,
                    retired_at: row.maybe_int(4)?,
                })
            })
            .collect()
    }

    pub(crate) async fn insert_key(&mut self, row: &KeyRow) -> sqlx::Result<()> {
        let sql = "INSERT INTO signing_keys (kid, sealed, created_at, active_at, retired_at) \
            VALUES ($1, $2, $3, $4, $5) ON CONFLICT (kid) DO NOTHING";
        let args = args![&row.kid, &row.sealed, row.created_at, row.active_at, row.retired_at];
        self.run(sql, args).await.map(drop)
    }

    pub(crate) async fn retire_key(&mut self, kid: &str, at: i64) -> sqlx::Result<()> {
        let sql = "UPDATE signing_keys SET retired_at = $2 WHERE kid = $1 AND retired_at IS NULL";
        self.run(sql, args![kid, at]).await.map(drop)
    }

    pub(crate) async fn delete_keys(&mut self, before: i64) -> sqlx::Result<()> {
        let sql = "DELETE FROM signing_keys WHERE retired_at < $1";
        self.run(sql, args![before]).await.map(drop)
    }
}
