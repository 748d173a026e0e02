//! The issuer's side: sessions opened, renewed, listed and ended.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use uuid::Uuid;

use crate::clock::{after, between};
use crate::config::SessionsConfig;
use crate::device::{ClientInfo, Device};
use crate::error::Error;
use crate::journal::{Journal, Journals, NoJournal, SessionChange};
use crate::metrics::SessionMetrics;
use crate::revocation::{RevocationEntry, RevocationKind};
use crate::session::{Grant, Reason, SessionView, User};
use crate::store::rows::{DeviceRow, SessionRow, TokenRow};
use crate::store::{Store, Tx};
use crate::token::access::{Claims, token_id};
use crate::token::keys::KeyRing;
use crate::token::refresh::RefreshToken;

mod ending;
mod refresh;
mod sweep;

pub use self::ending::UserChange;
pub use self::sweep::Swept;

/// A handle to the sessions of an issuer. Clones share them.
#[derive(Clone)]
pub struct Sessions(Arc<Shared>);

struct Shared {
    config: SessionsConfig,
    store: Store,
    keys: KeyRing,
    journal: Journals,
    metrics: SessionMetrics,
}

// === impl Sessions ===

impl Sessions {
    /// Sessions in `store`, whose tokens `keys` sign.
    #[must_use]
    pub fn new(config: SessionsConfig, store: Store, keys: KeyRing) -> Self {
        Self::with_journal(config, store, keys, NoJournal::new())
    }

    /// Sessions whose changes `journal` writes down in the same transactions.
    #[must_use]
    pub fn with_journal(config: SessionsConfig, store: Store, keys: KeyRing, journal: impl Journal) -> Self {
        Self(Arc::new(Shared {
            config,
            store,
            keys,
            journal: Journals::new(journal),
            metrics: SessionMetrics::new(),
        }))
    }

    /// Opens a session for a user who has proved who they are. Its id is always new.
    ///
    /// A user at the limit loses the session used longest ago.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Store`](crate::ErrorKind::Store) when the database fails,
    /// [`ErrorKind::Journal`](crate::ErrorKind::Journal) when the journal refuses.
    ///
    /// # Cancel safety
    ///
    /// One transaction: dropped, the session is there or not; unused it ends by itself.
    pub async fn open(&self, user: User, device: Device, client: ClientInfo) -> Result<Grant, Error> {
        let shared = &*self.0;
        shared.keys.freshen().await;
        let now = shared.config.clock.now();
        let ends_at = after(now, shared.config.session_life);
        let row = SessionRow {
            id: Uuid::now_v7().to_string(),
            user_id: user.id.clone(),
            device,
            ip: client.ip,
            user_agent: client.user_agent,
            created_at: now.as_microsecond(),
            last_seen_at: now.as_microsecond(),
            expires_at: after(now, shared.config.refresh_idle).min(ends_at).as_microsecond(),
            ends_at: ends_at.as_microsecond(),
            generation: 1,
            ended_at: None,
            end_reason: None,
        };
        let token = RefreshToken::draw();

        let mut tx = shared.store.write().await?;
        tx.lock_user(&user.id).await?;
        let live = tx.live_sessions(&user.id).await?;
        let keep = shared.config.max_sessions_per_user.saturating_sub(1);
        for old in live.into_iter().skip(keep) {
            self.end(&mut tx, old, Reason::Expired, now).await?;
        }
        tx.upsert_device(&DeviceRow {
            user_id: user.id.clone(),
            device: row.device.clone(),
            seen_at: now.as_microsecond(),
        })
        .await?;
        tx.insert_session(&row).await?;
        tx.insert_token(&TokenRow {
            hash: token.hash(),
            session_id: row.id.clone(),
            generation: row.generation,
            created_at: now.as_microsecond(),
            superseded_at: None,
            sealed: None,
        })
        .await?;
        let change = SessionChange::Opened { session: row.view(Some(&row.id)), user: user.clone() };
        tx.record(&shared.journal, &change).await?;
        // Signed before the commit: a key that is away must not leave a session nobody can use.
        let grant = self.grant(&row, &user, &token, now)?;
        tx.commit().await?;
        shared.metrics.opened.increment(1);
        Ok(grant)
    }

    /// A user's live sessions, the latest used first; `current` is the one that asks.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Store`](crate::ErrorKind::Store) when the database fails.
    pub async fn list(&self, user_id: &str, current: Option<&str>) -> Result<Vec<SessionView>, Error> {
        let now = self.0.config.clock.now();
        let rows = self.0.store.read().await?.live_sessions(user_id).await?;
        Ok(rows.iter().filter(|row| row.is_live(now)).map(|row| row.view(current)).collect())
    }

    /// The revocations within a token's life: what a starting verifier must know.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Store`](crate::ErrorKind::Store) when the database fails.
    pub async fn revoked_snapshot(&self) -> Result<Vec<RevocationEntry>, Error> {
        let since = crate::clock::before(self.0.config.clock.now(), self.token_life());
        let since = since.as_microsecond();
        let mut tx = self.0.store.read().await?;
        let sessions = tx.ended_since(since, SNAPSHOT_LIMIT).await?;
        let marks = tx.marks_since(since, SNAPSHOT_LIMIT).await?;
        let sessions = sessions.iter().map(|row| {
            let at = crate::clock::from_micros(row.ended_at.unwrap_or_default());
            RevocationEntry::session(&row.user_id, &row.id, at, self.tokens_end(at))
        });
        let marks = marks.iter().map(|row| {
            let at = crate::clock::from_micros(row.at);
            let kind = match &*row.kind {
                "role" => RevocationKind::Role,
                "suspended" => RevocationKind::Suspended,
                _ => RevocationKind::Deleted,
            };
            RevocationEntry {
                role: row.role.clone(),
                ..RevocationEntry::user(&row.user_id, kind, at, self.tokens_end(at))
            }
        });
        Ok(sessions.chain(marks).collect())
    }

    /// When the last token that was issued until `at` ends, clocks considered.
    #[must_use]
    pub fn tokens_end(&self, at: Timestamp) -> Timestamp {
        after(at, self.token_life())
    }

    /// The keys that sign this issuer's tokens.
    #[must_use]
    pub fn keys(&self) -> &KeyRing {
        &self.0.keys
    }

    fn token_life(&self) -> std::time::Duration {
        self.0.config.access_life + self.0.config.clock_skew
    }

    /// The tokens of a session as it is now, issued as of `at`.
    fn grant(
        &self,
        row: &SessionRow,
        user: &User,
        token: &RefreshToken,
        at: Timestamp,
    ) -> Result<Grant, Error> {
        let config = &self.0.config;
        let ends_at = crate::clock::from_micros(row.ends_at);
        let exp = after(at, config.access_life).min(ends_at).as_second();
        let claims = Claims {
            iss: config.issuer.clone(),
            aud: config.audience.clone(),
            sub: user.id.clone(),
            sid: row.id.clone(),
            jti: token_id(at),
            role: user.role.clone(),
            email: user.email.clone(),
            name: user.name.clone(),
            iat: at.as_second(),
            exp,
        };
        Ok(Grant {
            access_token: self.0.keys.sign(&claims)?,
            expires_in: u64::try_from(exp - config.clock.now().as_second()).unwrap_or_default(),
            refresh_token: token.text(),
            refresh_expires_in: between(at, crate::clock::from_micros(row.expires_at)).as_secs(),
            session: row.view(Some(&row.id)),
        })
    }

    /// Ends a session inside a transaction, and lets the journal say so.
    async fn end(
        &self,
        tx: &mut Tx,
        mut row: SessionRow,
        reason: Reason,
        at: Timestamp,
    ) -> Result<(), Error> {
        let session = row.view(None);
        row.ended_at = Some(at.as_microsecond());
        row.end_reason = Some(reason.as_str().to_owned());
        tx.update_session(&row).await?;
        let change = SessionChange::Revoked { session, reason, at };
        tx.record(&self.0.journal, &change).await?;
        self.0.metrics.ended(reason);
        Ok(())
    }
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions").field("store", &self.0.store).finish_non_exhaustive()
    }
}

/// A verifier keeps 100,000 entries by default; one more tells it that it cannot keep all.
const SNAPSHOT_LIMIT: i64 = 100_001;
