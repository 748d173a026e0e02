//! The auth service's own tables; sessions, devices and keys are the session library's.

use std::sync::Arc;
use std::time::Duration;

use chassis::args;
use chassis::db::{Db, DbError, Migration, Row};
use chassis::origin::Origin;
use contracts::{UserChanged, UserCreated, UserUpdated};
use jiff::Timestamp;
use tramline_cache::{Cache, CacheConfig, Policy};
use uuid::Uuid;

/// The schema, step by step.
pub(crate) const MIGRATIONS: &[Migration] = &[chassis::migration!("0001_auth")];

/// The source of our events.
pub(crate) const SOURCE: &str = "/auth-service";

/// The store. Clones share the database, and the cache of who looked at themselves.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    db: Db,
    users: Cache<Uuid, UserChanged>,
}

/// What is written is forgotten; this only bounds what a forgetting that was lost can do.
const KEPT: Duration = Duration::from_secs(60);

/// Someone who may sign in, with what proves it.
pub(crate) struct Credentials {
    pub(crate) user: UserChanged,
    pub(crate) phc: String,
}

impl Store {
    /// # Errors
    ///
    /// A cache that has its users already.
    pub(crate) fn new(db: Db, cache: &tramline_cache::Store) -> Result<Self, tramline_cache::Error> {
        let mut config = CacheConfig::new("auth-user");
        config.policy = Policy::new(KEPT);
        Ok(Self { db, users: cache.cache(config)? })
    }

    pub(crate) fn db(&self) -> &Db {
        &self.db
    }

    /// Writes a user, their credentials and their event. `false`: the e-mail is taken.
    pub(crate) async fn create(
        &self,
        user: &UserChanged,
        phc: &str,
        origin: &Origin,
    ) -> Result<bool, DbError> {
        let mut tx = self.db.begin().await?;
        let made = tx
            .execute(
                "INSERT INTO users (id, version, email, email_folded, name, role, status, created_at, updated_at) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8) ON CONFLICT (email_folded) DO NOTHING",
                args![
                    user.user_id,
                    user.version,
                    &user.email,
                    folded(&user.email),
                    &user.name,
                    user.role.as_str(),
                    user.status.as_str(),
                    user.created_at,
                ],
            )
            .await?;
        if made == 0 {
            return Ok(false);
        }
        tx.execute(
            "INSERT INTO credentials (user_id, phc, updated_at) VALUES ($1, $2, $3)",
            args![user.user_id, phc, user.created_at],
        )
        .await?;
        let event = contracts::wrap(SOURCE, &UserCreated(user.clone())).map_err(DbError::foreign)?;
        tx.enqueue(&origin.stamp(event)).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Renames a user, with the event. `None`: there is no such user.
    pub(crate) async fn rename(
        &self,
        id: Uuid,
        name: &str,
        origin: &Origin,
    ) -> Result<Option<UserChanged>, DbError> {
        let mut tx = self.db.begin().await?;
        let row = tx
            .query_opt(
                "UPDATE users SET name = $2, version = version + 1, updated_at = $3 WHERE id = $1 \
                 RETURNING id, version, email, name, role, status, created_at, updated_at",
                args![id, name, now()],
            )
            .await?;
        let Some(row) = row else { return Ok(None) };
        let user = user(&row)?;
        let event = contracts::wrap(SOURCE, &UserUpdated(user.clone())).map_err(DbError::foreign)?;
        tx.enqueue(&origin.stamp(event)).await?;
        tx.commit().await?;
        self.forget_user(id).await;
        Ok(Some(user))
    }

    /// A user as they see themselves, from the cache if they are there. Who decides by what it says asks
    /// [`find`](Self::find).
    pub(crate) async fn seen(&self, id: Uuid) -> Result<Option<Arc<UserChanged>>, DbError> {
        let store = self.clone();
        let load = move || async move { store.find(id).await };
        self.users.get_or_find(&id, load).await.map_err(DbError::foreign)
    }

    /// Forgets what was read of a user.
    pub(crate) async fn forget_user(&self, id: Uuid) {
        self.users.invalidate(&id).await;
    }

    /// A user, as the database has them.
    pub(crate) async fn find(&self, id: Uuid) -> Result<Option<UserChanged>, DbError> {
        let sql =
            "SELECT id, version, email, name, role, status, created_at, updated_at FROM users WHERE id = $1";
        self.db.query_opt(sql, args![id]).await?.as_ref().map(user).transpose()
    }

    /// Who signs in with this e-mail, whatever its letters' case.
    pub(crate) async fn by_email(&self, email: &str) -> Result<Option<Credentials>, DbError> {
        let row = self
            .db
            .query_opt(
                "SELECT u.id, u.version, u.email, u.name, u.role, u.status, u.created_at, u.updated_at, c.phc \
                 FROM users u JOIN credentials c ON c.user_id = u.id WHERE u.email_folded = $1",
                args![folded(email)],
            )
            .await?;
        row.map(|row| Ok(Credentials { user: user(&row)?, phc: row.get("phc")? })).transpose()
    }

    /// Whether the demo accounts are there.
    pub(crate) async fn knows_demo_accounts(&self) -> bool {
        let [admin, vendor, customer] = contracts::DEMO_EMAILS;
        let sql = "SELECT COUNT(*) AS known FROM users WHERE email_folded IN ($1, $2, $3)";
        let row = self.db.query_one(sql, args![admin, vendor, customer]).await;
        row.and_then(|row| row.get::<i64>("known")).is_ok_and(|known| known == 3)
    }
}

/// The time as databases keep it: what is told now must be what is read later.
pub(crate) fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now)
}

/// An e-mail as it is compared.
pub(crate) fn folded(email: &str) -> String {
    email.trim().to_lowercase()
}

fn user(row: &Row) -> Result<UserChanged, DbError> {
    Ok(UserChanged {
        user_id: row.get("id")?,
        version: row.get("version")?,
        email: row.get("email")?,
        name: row.get("name")?,
        role: row.parse("role")?,
        status: row.parse("status")?,
        created_at: row.get("created_at")?,
        updated_at: row.get("updated_at")?,
    })
}
