//! Statements whose shape depends on the request.

use sqlx::AssertSqlSafe;

use super::{Args, Bind};

/// Builds a statement of fixed pieces and bound values: no text of a client's can get into it.
///
/// ```
/// use chassis::db::SqlBuilder;
///
/// let mut sql = SqlBuilder::new("SELECT id FROM payments WHERE sender = ").bind("a");
/// if let Some(status) = Some("failed") {
///     sql = sql.push(" AND status = ").bind(status);
/// }
/// let (text, args) = sql.push(" LIMIT ").bind(20).finish();
/// assert_eq!(text.0, "SELECT id FROM payments WHERE sender = $1 AND status = $2 LIMIT $3");
/// assert_eq!(args.len(), 3);
/// ```
#[derive(Clone, Debug)]
pub struct SqlBuilder {
    text: String,
    args: Args,
}

// === impl SqlBuilder ===

impl SqlBuilder {
    /// Begins with a fixed piece.
    #[must_use]
    pub fn new(piece: &'static str) -> Self {
        Self { text: piece.to_owned(), args: Args::new() }
    }

    /// Adds a fixed piece.
    #[must_use]
    pub fn push(mut self, piece: &'static str) -> Self {
        self.text.push_str(piece);
        self
    }

    /// Adds a placeholder and its value.
    #[must_use]
    pub fn bind(mut self, value: impl Bind) -> Self {
        self.args.push(value.bind());
        self.text.push('$');
        self.text.push_str(&self.args.len().to_string());
        self
    }

    /// The statement and its values, for [`Db::query`](super::Db::query) and its kin.
    #[must_use]
    pub fn finish(self) -> (AssertSqlSafe<String>, Args) {
        (AssertSqlSafe(self.text), self.args)
    }
}
