//! Revocations: what makes a good access token bad before its end.

use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::token::{Claims, TokenError};

mod config;
mod memory;
#[cfg(feature = "redis")]
pub(crate) mod redis;

pub use self::config::RevocationsConfig;

/// The revocations that a verifier knows. Clones share them.
#[derive(Clone, Debug)]
pub struct Revocations {
    memory: Arc<memory::Memory>,
    #[cfg(feature = "redis")]
    redis: Option<Arc<redis::Shared>>,
}

/// One revocation. It is of no use after the end of the last token that it could be about.
#[derive(Clone, Debug, Eq, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct RevocationEntry {
    /// Whose tokens.
    pub user_id: String,
    /// The session, when it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<String>,
    /// What it does to the tokens.
    pub kind: RevocationKind,
    /// For [`RevocationKind::Role`]: the role from now on; tokens that have it already stay good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// When. User-wide entries concern the tokens issued until then.
    pub at: Timestamp,
    /// When the last token that it could be about ends.
    pub until: Timestamp,
}

/// What a revocation does to the tokens that it is about.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum RevocationKind {
    /// The user was deleted: all their tokens are revoked.
    Deleted,
    /// The user's role changed: their older tokens have expired, to be renewed.
    Role,
    /// The session ended: its tokens are revoked.
    Session,
    /// The user was suspended: their older tokens are revoked.
    Suspended,
}

// === impl Revocations ===

impl Revocations {
    /// Revocations of this process alone: feed them with [`apply`](Self::apply).
    #[must_use]
    pub fn memory(config: RevocationsConfig) -> Self {
        Self {
            memory: Arc::new(memory::Memory::new(config)),
            #[cfg(feature = "redis")]
            redis: None,
        }
    }

    /// Revocations that are also kept in Redis, for processes that start later.
    ///
    /// Connects in the background; [`load`](Self::load) reads what is there.
    ///
    /// TLS (`rediss://`) is rustls's, by the provider of the process. Where it has none yet, ring's is installed here: an
    /// application that wants another one installs that before.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) when `url` does not parse.
    #[cfg(feature = "redis")]
    pub fn redis(url: &str, config: RevocationsConfig) -> Result<Self, Error> {
        let shared = redis::Shared::connect(url, &config)?;
        Ok(Self { memory: Arc::new(memory::Memory::new(config)), redis: Some(Arc::new(shared)) })
    }

    /// Takes a revocation into force: here at once, then in Redis.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) when Redis did not take it. It is
    /// in force here all the same.
    ///
    /// # Cancel safety
    ///
    /// In force here once polled; dropped, Redis may not have it.
    pub async fn apply(&self, entry: RevocationEntry) -> Result<(), Error> {
        self.memory.insert(&entry);
        #[cfg(feature = "redis")]
        if let Some(redis) = &self.redis {
            redis.add(&entry).await?;
        }
        Ok(())
    }

    /// Takes many revocations into force here: a snapshot of the issuer.
    pub fn apply_snapshot(&self, entries: impl IntoIterator<Item = RevocationEntry>) {
        for entry in entries {
            self.memory.insert(&entry);
        }
    }

    /// Reads what Redis holds; without Redis there is nothing to read.
    ///
    /// Returns how many there were: `None` without Redis, or with one that was emptied and so
    /// cannot be told from one that never had any. The caller then loads the issuer's snapshot.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) when Redis does not answer.
    pub async fn load(&self) -> Result<Option<usize>, Error> {
        #[cfg(feature = "redis")]
        if let Some(redis) = &self.redis {
            let entries = redis.all(self.memory.now()).await?;
            let count = entries.len();
            self.apply_snapshot(entries);
            return Ok((count > 0).then_some(count));
        }
        #[cfg(not(feature = "redis"))]
        std::future::ready(()).await;
        Ok(None)
    }

    /// Whether a token is still good.
    ///
    /// # Errors
    ///
    /// [`TokenError::Revoked`], or [`TokenError::Expired`] when the user should renew it.
    pub fn check(&self, claims: &Claims) -> Result<(), TokenError> {
        self.memory.check(claims)
    }

    /// How many revocations are known.
    #[must_use]
    pub fn len(&self) -> usize {
        self.memory.len()
    }

    /// Whether none is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Default for Revocations {
    fn default() -> Self {
        Self::memory(RevocationsConfig::default())
    }
}

// === impl RevocationEntry ===

impl RevocationEntry {
    /// A session ended at `at`; no token of it lives beyond `until`.
    #[must_use]
    pub fn session(
        user_id: impl Into<String>,
        session_id: impl Into<String>,
        at: Timestamp,
        until: Timestamp,
    ) -> Self {
        Self {
            session_id: Some(session_id.into()),
            ..Self::user(user_id, RevocationKind::Session, at, until)
        }
    }

    /// Something happened to a user at `at`; no token issued until then lives beyond `until`.
    ///
    /// Take `at` after the change was committed: a token issued before it is the older one.
    #[must_use]
    pub fn user(user_id: impl Into<String>, kind: RevocationKind, at: Timestamp, until: Timestamp) -> Self {
        Self { user_id: user_id.into(), session_id: None, kind, role: None, at, until }
    }

    /// A user's role is `role` since `at`: tokens issued until then with another role have expired.
    #[must_use]
    pub fn role(
        user_id: impl Into<String>,
        role: impl Into<String>,
        at: Timestamp,
        until: Timestamp,
    ) -> Self {
        Self { role: Some(role.into()), ..Self::user(user_id, RevocationKind::Role, at, until) }
    }
}
