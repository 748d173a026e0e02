//! A connection that goes back into its pool only when its work came to an end.

use std::ops::{Deref, DerefMut};

use sqlx::pool::PoolConnection;
use sqlx::{PgConnection, PgPool, Postgres};

/// Closed when dropped without [`Lease::back`]: a statement that was cut short may never be answered, and the pool
/// would wait for it, with a place less, until the network gives up.
pub(crate) struct Lease(Option<PoolConnection<Postgres>>);

// === impl Lease ===

impl Lease {
    pub(crate) async fn of(pool: &PgPool) -> Result<Self, sqlx::Error> {
        pool.acquire().await.map(|conn| Self(Some(conn)))
    }

    /// The last answer was read.
    pub(crate) fn back(mut self) {
        drop(self.0.take());
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(conn) = &mut self.0 {
            conn.close_on_drop();
        }
    }
}

impl Deref for Lease {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        self.0.as_ref().expect("it is there until `back`, which takes the lease")
    }
}

impl DerefMut for Lease {
    fn deref_mut(&mut self) -> &mut PgConnection {
        self.0.as_mut().expect("it is there until `back`, which takes the lease")
    }
}
