//! What a database says no with.

use std::borrow::Cow;
use std::fmt;

use crate::problem::Problem;

/// An error of the database.
#[derive(Debug)]
pub struct DbError(Box<Kind>);

#[derive(Debug)]
enum Kind {
    Driver(sqlx::Error),
    Foreign(Box<dyn std::error::Error + Send + Sync>),
    NoRow,
    Column { name: String, fault: &'static str },
    Migration { name: &'static str },
}

// === impl DbError ===

impl DbError {
    pub(super) fn no_row() -> Self {
        Self(Box::new(Kind::NoRow))
    }

    pub(super) fn column(name: &str, fault: &'static str) -> Self {
        Self(Box::new(Kind::Column { name: name.to_owned(), fault }))
    }

    pub(super) fn migration(name: &'static str) -> Self {
        Self(Box::new(Kind::Migration { name }))
    }

    /// Wraps the error of a library that used our connection.
    pub fn foreign(error: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self(Box::new(Kind::Foreign(Box::new(error))))
    }

    /// Whether a row with this key is there already.
    #[must_use]
    pub fn is_unique_violation(&self) -> bool {
        self.driver().and_then(sqlx::Error::as_database_error).is_some_and(|e| e.is_unique_violation())
    }

    /// Whether a row with this key is there already, and the constraint's name or columns contain `part`. Name a
    /// unique index after its column, and `part` is the column in both databases.
    #[must_use]
    pub fn is_unique_violation_of(&self, part: &str) -> bool {
        let Some(error) = self.driver().and_then(sqlx::Error::as_database_error) else { return false };
        // PostgreSQL names the constraint, SQLite the columns, in its message.
        let named = error.constraint().map_or_else(|| error.message().to_owned(), str::to_owned);
        error.is_unique_violation() && named.contains(part)
    }

    /// Whether a row refers to one that is not there.
    #[must_use]
    pub fn is_foreign_key_violation(&self) -> bool {
        self.driver().and_then(sqlx::Error::as_database_error).is_some_and(|e| e.is_foreign_key_violation())
    }

    /// Whether the database is away or busy: the same may work later.
    #[must_use]
    pub fn is_unavailable(&self) -> bool {
        match &*self.0 {
            Kind::Driver(error) => is_unavailable(error),
            Kind::Foreign(error) => foreign_is_unavailable(&**error),
            Kind::NoRow | Kind::Column { .. } | Kind::Migration { .. } => false,
        }
    }

    /// Whether the transaction lost against another one, and would work if it ran again.
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        // Serialization failure and deadlock in PostgreSQL.
        self.sqlstate().is_some_and(|code| code == "40001" || code == "40P01")
    }

    fn sqlstate(&self) -> Option<Cow<'_, str>> {
        self.driver()?.as_database_error()?.code()
    }

    fn driver(&self) -> Option<&sqlx::Error> {
        match &*self.0 {
            Kind::Driver(error) => Some(error),
            _ => None,
        }
    }
}

/// The one place that says which driver errors mean «away».
fn is_unavailable(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => true,
        sqlx::Error::Database(error) => {
            let code = error.code().unwrap_or_default();
            // PostgreSQL: connection exceptions, too many connections, shutting down or starting, statement
            // and lock time-outs, no such database yet. SQLite: busy (5, also 261 and 517) and locked (6).
            let away =
                ["53300", "57P01", "57P02", "57P03", "57014", "55P03", "3D000", "5", "261", "517", "6"];
            code.starts_with("08") || away.contains(&&*code)
        }
        _ => false,
    }
}

fn foreign_is_unavailable(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(driver) = error.downcast_ref::<sqlx::Error>() {
            return is_unavailable(driver);
        }
        next = error.source();
    }
    false
}

impl From<sqlx::Error> for DbError {
    fn from(error: sqlx::Error) -> Self {
        Self(Box::new(Kind::Driver(error)))
    }
}

impl fmt::Display for DbError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.0 {
            Kind::Driver(_) | Kind::Foreign(_) => f.write_str("the database refused"),
            Kind::NoRow => f.write_str("there is no such row"),
            Kind::Column { name, fault } => write!(f, "column {name} {fault}"),
            Kind::Migration { name } => write!(f, "migration {name} was changed after it ran"),
        }
    }
}

impl std::error::Error for DbError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &*self.0 {
            Kind::Driver(error) => Some(error),
            Kind::Foreign(error) => Some(&**error),
            Kind::NoRow | Kind::Column { .. } | Kind::Migration { .. } => None,
        }
    }
}

impl From<DbError> for Problem {
    /// 503 when the database is away, else 500; the reason goes to the log.
    fn from(error: DbError) -> Self {
        let reason = std::error::Error::source(&error).map(ToString::to_string);
        if error.is_unavailable() || error.is_conflict() {
            tracing::warn!(error = %error, reason, "the database is away or busy");
            Self::unavailable("the service's database is away or busy")
        } else {
            tracing::error!(error = %error, reason, "a statement failed");
            Self::internal()
        }
    }
}
