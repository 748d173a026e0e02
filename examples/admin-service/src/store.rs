//! The admin database: what an event writes, all of it in one transaction.

mod audit;
mod caches;
mod dashboard;
mod users;

use chassis::db::{Db, DbError, Migration};
use contracts::{ADMIN_QUEUE, Payload, UserCreated, UserDeleted, UserUpdated};
use tramline_event_hub::Event;
use tramline_event_hub::dead_letters::Filter;

pub(crate) use self::audit::{AuditQuery, AuditRow};
use self::caches::Caches;
pub(crate) use self::dashboard::{Hour, digits};
pub(crate) use self::users::{Position as UserPosition, UserQuery, UserRow};

use crate::domain::Fact;

/// The service's own schema, step by step.
const MIGRATIONS: &[Migration] =
    &[chassis::migration!("0001_admin"), chassis::migration!("0002_dead_letters")];

/// The source of our events.
const SOURCE: &str = "/admin-service";

/// The store. Clones share the database and the caches in front of it.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    db: Db,
    caches: Caches,
}

impl Store {
    /// # Errors
    ///
    /// A cache that has its users already.
    pub(crate) fn new(db: Db, cache: &tramline_cache::Store) -> Result<Self, tramline_cache::Error> {
        Ok(Self { db, caches: Caches::new(cache)? })
    }

    /// One transaction: inbox mark, audit row and its event, users and dashboard.
    pub(crate) async fn take(&self, event: &Event, fact: Fact) -> Result<(), DbError> {
        let mut tx = self.db.begin().await?;
        if !tx.first_time(ADMIN_QUEUE, &event.id).await? {
            return Ok(());
        }
        audit::append(&mut tx, event, &fact).await?;
        dashboard::count(&mut tx, event).await?;
        match event.event_type.as_str() {
            UserCreated::TYPE | UserUpdated::TYPE => {
                users::keep(&mut tx, &event.data().map_err(DbError::foreign)?).await?;
            }
            UserDeleted::TYPE => {
                let user: UserDeleted = event.data().map_err(DbError::foreign)?;
                users::bury(&mut tx, &user).await?;
                audit::erase(&mut tx, user.user_id).await?;
            }
            other if other.starts_with("payments.payment.") => {
                dashboard::keep(&mut tx, &event.data().map_err(DbError::foreign)?).await?;
            }
            _ => {}
        }
        tx.commit().await
    }

    /// How many dead letters there are.
    pub(crate) async fn dead_letters(&self) -> Result<u64, DbError> {
        self.db.dead_letters().count(&Filter::new()).await.map_err(DbError::foreign)
    }
}

/// Makes or upgrades the schema.
pub(crate) async fn migrate(db: &Db) -> Result<(), DbError> {
    // ORDER: the hub's table of dead letters first; ours are moved into it.
    db.migrate_dead_letters().await?;
    db.migrate(MIGRATIONS).await
}
