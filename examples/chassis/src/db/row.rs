//! Rows that came out of a statement.

use jiff::Timestamp;
use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, TypeInfo, ValueRef};
use uuid::Uuid;

use super::DbError;

/// A row.
pub struct Row(Driver);

enum Driver {
    Postgres(PgRow),
    Sqlite(SqliteRow),
}

/// What a column can be read as. A NULL is an error for all but `Option`.
pub trait FromColumn: Sized {
    /// Reads the column called `name`.
    ///
    /// # Errors
    ///
    /// There is no such column, or it holds something else.
    fn from_column(row: &Row, name: &str) -> Result<Self, DbError>;
}

// === impl Row ===

impl Row {
    pub(super) fn postgres(row: PgRow) -> Self {
        Self(Driver::Postgres(row))
    }

    pub(super) fn sqlite(row: SqliteRow) -> Self {
        Self(Driver::Sqlite(row))
    }

    /// The column called `name`: `String`, `i64`, `i32`, `u32`, `f64`, `bool`, `Vec<u8>`, `Uuid`, `Timestamp`, or an
    /// `Option` of these.
    ///
    /// # Errors
    ///
    /// There is no such column, or it holds something else.
    pub fn get<T: FromColumn>(&self, name: &str) -> Result<T, DbError> {
        T::from_column(self, name)
    }

    /// The column as an enum or another type that its text names.
    ///
    /// # Errors
    ///
    /// There is no such column, or its text names nothing.
    pub fn parse<T: std::str::FromStr>(&self, name: &str) -> Result<T, DbError> {
        let text: String = self.get(name)?;
        text.parse().map_err(|_| DbError::column(name, "holds a text that names nothing"))
    }

    /// SQLite reads a NULL as 0, «» or false where PostgreSQL refuses: ask first.
    fn not_null(&self, name: &str) -> Result<&Driver, DbError> {
        if self.is_null(name)? {
            return Err(DbError::column(name, "holds NULL"));
        }
        Ok(&self.0)
    }

    fn is_null(&self, name: &str) -> Result<bool, DbError> {
        Ok(match &self.0 {
            Driver::Postgres(row) => row.try_get_raw(name)?.is_null(),
            Driver::Sqlite(row) => row.try_get_raw(name)?.is_null(),
        })
    }
}

impl std::fmt::Debug for Row {
    // Rows hold personal data.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Row").finish_non_exhaustive()
    }
}

// === impl FromColumn ===

macro_rules! same_in_both {
    ($($type:ty)*) => {
        $(impl FromColumn for $type {
            fn from_column(row: &Row, name: &str) -> Result<Self, DbError> {
                Ok(match row.not_null(name)? {
                    Driver::Postgres(row) => row.try_get(name)?,
                    Driver::Sqlite(row) => row.try_get(name)?,
                })
            }
        })*
    };
}

same_in_both! { String f64 bool Vec<u8> }

impl FromColumn for i64 {
    fn from_column(row: &Row, name: &str) -> Result<Self, DbError> {
        Ok(match row.not_null(name)? {
            // Literals and small columns are narrower there.
            Driver::Postgres(row) => match row.try_get_raw(name)?.type_info().name() {
                "INT4" => row.try_get::<i32, _>(name)?.into(),
                "INT2" => row.try_get::<i16, _>(name)?.into(),
                _ => row.try_get(name)?,
            },
            Driver::Sqlite(row) => row.try_get(name)?,
        })
    }
}

macro_rules! narrower {
    ($($type:ty)*) => {
        $(impl FromColumn for $type {
            fn from_column(row: &Row, name: &str) -> Result<Self, DbError> {
                let wide: i64 = row.get(name)?;
                Self::try_from(wide).map_err(|_| DbError::column(name, "holds a number out of range"))
            }
        })*
    };
}

narrower! { i32 u32 u16 u64 }

impl FromColumn for Uuid {
    fn from_column(row: &Row, name: &str) -> Result<Self, DbError> {
        match row.not_null(name)? {
            Driver::Postgres(row) => Ok(row.try_get(name)?),
            Driver::Sqlite(row) => {
                let text: String = row.try_get(name)?;
                text.parse().map_err(|_| DbError::column(name, "holds no UUID"))
            }
        }
    }
}

impl FromColumn for Timestamp {
    fn from_column(row: &Row, name: &str) -> Result<Self, DbError> {
        Self::from_microsecond(row.get(name)?).map_err(|_| DbError::column(name, "holds no time"))
    }
}

impl<T: FromColumn> FromColumn for Option<T> {
    fn from_column(row: &Row, name: &str) -> Result<Self, DbError> {
        if row.is_null(name)? { Ok(None) } else { row.get(name).map(Some) }
    }
}
