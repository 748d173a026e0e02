//! Refresh tokens in SQL.

use crate::store::rows::TokenRow;
use crate::store::sql::{SqlTx, args};

impl SqlTx {
    pub(crate) async fn token(&mut self, hash: &[u8]) -> sqlx::Result<Option<TokenRow>> {
        let sql = "SELECT hash, session_id, generation, created_at, superseded_at, sealed \
            FROM refresh_tokens WHERE hash = $1";
        let rows = self.rows(sql, args![hash]).await?;
        rows.first()
            .map(|row| {
                Ok(TokenRow {
                    hash: row.bytes(0)?,
                    session_id: row.text(1)?,
                    generation: row.int(2)?,
                    created_at: row.int(3)?,
                    superseded_at: row.maybe_int(4)?,
                    sealed: row.maybe_bytes(5)?,
                })
            })
            .transpose()
    }

    pub(crate) async fn insert_token(&mut self, row: &TokenRow) -> sqlx::Result<()> {
        let sql = "INSERT INTO refresh_tokens \
            (hash, session_id, generation, created_at, superseded_at, sealed) \
            VALUES ($1, $2, $3, $4, $5, $6)";
        let args =
            args![&row.hash, &row.session_id, row.generation, row.created_at, row.superseded_at, &row.sealed];
        self.run(sql, args).await.map(drop)
    }

    pub(crate) async fn supersede_token(&mut self, row: &TokenRow) -> sqlx::Result<()> {
        let sql = "UPDATE refresh_tokens SET sealed = NULL \
            WHERE session_id = $1 AND generation = $2";
        self.run(sql, args![&row.session_id, row.generation - 1]).await?;
        let sql = "UPDATE refresh_tokens SET superseded_at = $2, sealed = $3 WHERE hash = $1";
        self.run(sql, args![&row.hash, row.superseded_at, &row.sealed]).await.map(drop)
    }

    pub(crate) async fn forget_tokens(&mut self, session_id: &str, below: i64) -> sqlx::Result<()> {
        let sql = "DELETE FROM refresh_tokens WHERE session_id = $1 AND generation < $2";
        self.run(sql, args![session_id, below]).await.map(drop)
    }

    pub(crate) async fn drop_sealed(&mut self, before: i64) -> sqlx::Result<()> {
        let sql = "UPDATE refresh_tokens SET sealed = NULL \
            WHERE sealed IS NOT NULL AND superseded_at < $1";
        self.run(sql, args![before]).await.map(drop)
    }
}
