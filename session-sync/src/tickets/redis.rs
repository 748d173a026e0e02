//! Used tickets, in Redis.

use ::redis::aio::ConnectionManager;
use jiff::Timestamp;

use crate::clock::between;
use crate::error::Error;
use crate::revocation::redis::{connect, millis, within};
use crate::tickets::TicketsConfig;

pub(crate) struct Shared {
    conn: ConnectionManager,
    config: TicketsConfig,
}

// === impl Shared ===

impl Shared {
    pub(crate) fn connect(url: &str, config: &TicketsConfig) -> Result<Self, Error> {
        Ok(Self { conn: connect(url, config.redis_timeout)?, config: config.clone() })
    }

    /// Whether this is the ticket's first use, which it then was.
    pub(crate) async fn mark(&self, id: &str, ends_at: Timestamp, now: Timestamp) -> Result<bool, Error> {
        // A minute longer than the ticket: another node's clock may be that far behind, and the ticket good there.
        let life = millis(between(now, ends_at)).saturating_add(60_000);
        let mut command = ::redis::cmd("SET");
        command.arg(format!("{}ticket:{id}", self.config.prefix)).arg(1).arg("NX").arg("PX").arg(life);
        let mut conn = self.conn.clone();
        let set: Option<String> = within(self.config.redis_timeout, command.query_async(&mut conn)).await?;
        Ok(set.is_some())
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Redis")
    }
}
