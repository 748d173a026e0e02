//! The profile database, with the cache in front of what is read.

use std::time::Duration;

use chassis::args;
use chassis::db::{Db, DbError, Migration, Row};
use chassis::origin::Origin;
use contracts::{ProfileUpdated, UserChanged, UserDeleted};
use jiff::Timestamp;
use tramline_cache::{Cache, CacheConfig, Policy};
use tramline_event_hub::EventId;
use uuid::Uuid;

use crate::domain::{Change, Known, Profile};

/// The schema, step by step.
pub(crate) const MIGRATIONS: &[Migration] = &[chassis::migration!("0001_profiles")];

/// The source of our events.
const SOURCE: &str = "/profile-service";

/// A write invalidates; this only bounds what a lost invalidation can do.
const KEPT: Duration = Duration::from_secs(60);

/// The store. Clones share the database and the cache.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    db: Db,
    profiles: Cache<Uuid, Known>,
}

impl Store {
    /// # Errors
    ///
    /// A cache that has its profiles already.
    pub(crate) fn new(db: Db, cache: &tramline_cache::Store) -> Result<Self, tramline_cache::Error> {
        let mut config = CacheConfig::new("profile");
        config.policy = Policy::new(KEPT);
        Ok(Self { db, profiles: cache.cache(config)? })
    }

    /// What is known of the user's profile.
    pub(crate) async fn find(&self, user: Uuid) -> Result<Known, DbError> {
        let db = self.db.clone();
        let known = self.profiles.get_or_load(&user, move || async move { load(&db, user).await }).await;
        known.map(|known| Known::clone(&known)).map_err(DbError::foreign)
    }

    /// Applies a change in one transaction with its event; a user whose creation has not arrived yet gets a row.
    /// `None`: the user is gone.
    pub(crate) async fn change(
        &self,
        user: Uuid,
        email: &str,
        change: Change,
        origin: &Origin,
    ) -> Result<Option<Profile>, DbError> {
        let now = now();
        let mut tx = self.db.begin().await?;
        tx.execute(
            "INSERT INTO profiles (user_id, version, email, deleted, created_at, updated_at) \
             VALUES ($1, 0, $2, $3, $4, $4) ON CONFLICT (user_id) DO NOTHING",
            args![user, email, false, now],
        )
        .await?;
        let sql = tx.dialect().pick(
            "SELECT user_id, phone, address, bio, created_at, updated_at FROM profiles \
             WHERE user_id = $1 AND NOT deleted FOR UPDATE",
            "SELECT user_id, phone, address, bio, created_at, updated_at FROM profiles \
             WHERE user_id = $1 AND NOT deleted",
        );
        let Some(row) = tx.query_opt(sql, args![user]).await? else { return Ok(None) };
        let mut profile = profile(&row)?;
        let fields = change.apply(&mut profile, now);
        if !fields.is_empty() {
            tx.execute(
                "UPDATE profiles SET phone = $2, address = $3, bio = $4, updated_at = $5 WHERE user_id = $1",
                args![user, &profile.phone, &profile.address, &profile.bio, now],
            )
            .await?;
            let told = ProfileUpdated { user_id: user, fields, at: now };
            let event = contracts::wrap(SOURCE, &told).map_err(DbError::foreign)?;
            tx.enqueue(&origin.stamp(event)).await?;
        }
        tx.commit().await?;
        self.forget_profile(user).await;
        Ok(Some(profile))
    }

    /// Takes over a user as auth tells of them: a newer version only, and never one that is gone.
    pub(crate) async fn take(&self, consumer: &str, id: &EventId, user: &UserChanged) -> Result<(), DbError> {
        let mut tx = self.db.begin().await?;
        if tx.first_time(consumer, id).await? {
            tx.execute(
                "INSERT INTO profiles (user_id, version, email, deleted, created_at, updated_at) \
                 VALUES ($1, $2, $3, $4, $5, $5) \
                 ON CONFLICT (user_id) DO UPDATE SET version = excluded.version, email = excluded.email \
                 WHERE profiles.version < excluded.version AND NOT profiles.deleted",
                args![user.user_id, user.version, &user.email, false, user.created_at],
            )
            .await?;
            tx.commit().await?;
        }
        Ok(())
    }

    /// Purges a profile; a tombstone stays.
    pub(crate) async fn purge(
        &self,
        consumer: &str,
        id: &EventId,
        user: &UserDeleted,
    ) -> Result<(), DbError> {
        let mut tx = self.db.begin().await?;
        if tx.first_time(consumer, id).await? {
            tx.execute(
                "INSERT INTO profiles (user_id, version, email, deleted, created_at, updated_at) \
                 VALUES ($1, $2, '', $3, $4, $4) \
                 ON CONFLICT (user_id) DO UPDATE SET version = excluded.version, email = '', phone = NULL, \
                     address = NULL, bio = NULL, deleted = excluded.deleted, updated_at = excluded.updated_at",
                args![user.user_id, user.version, true, user.deleted_at],
            )
            .await?;
            tx.commit().await?;
        }
        Ok(())
    }

    /// Whether the demo accounts have arrived.
    pub(crate) async fn knows_demo_accounts(&self) -> bool {
        let [admin, vendor, customer] = contracts::DEMO_EMAILS;
        let sql = "SELECT COUNT(*) AS known FROM profiles WHERE email IN ($1, $2, $3)";
        let row = self.db.query_one(sql, args![admin, vendor, customer]).await;
        row.and_then(|row| row.get::<i64>("known")).is_ok_and(|known| known == 3)
    }

    /// Forgets what was read of the user's profile.
    pub(crate) async fn forget_profile(&self, user: Uuid) {
        self.profiles.invalidate(&user).await;
    }
}

async fn load(db: &Db, user: Uuid) -> Result<Known, DbError> {
    let sql = "SELECT user_id, phone, address, bio, created_at, updated_at, deleted FROM profiles WHERE user_id = $1";
    let Some(row) = db.query_opt(sql, args![user]).await? else { return Ok(Known::Nothing) };
    if row.get("deleted")? { Ok(Known::Purged) } else { profile(&row).map(Known::Profile) }
}

/// The time as databases keep it: what is told now must be what is read later.
pub(crate) fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now)
}

fn profile(row: &Row) -> Result<Profile, DbError> {
    Ok(Profile {
        user_id: row.get("user_id")?,
        phone: row.get("phone")?,
        address: row.get("address")?,
        bio: row.get("bio")?,
        created_at: row.get("created_at")?,
        updated_at: row.get("updated_at")?,
    })
}
