//! Sessions ended: one, the others, all.

use jiff::Timestamp;

use crate::error::Error;
use crate::session::Reason;
use crate::sessions::Sessions;
use crate::store::rows::{MarkRow, SessionRow};

/// What happened to a user that makes their older tokens worth less.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum UserChange {
    /// The account is gone: its sessions end.
    Deleted,
    /// The role is another one: older tokens have to be renewed, sessions go on.
    Role(String),
    /// The account is suspended: its sessions end.
    Suspended,
}

impl Sessions {
    /// Ends one session of a user. `false`: that user has no such live session.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Store`](crate::ErrorKind::Store) when the database fails,
    /// [`ErrorKind::Journal`](crate::ErrorKind::Journal) when the journal refuses.
    ///
    /// # Cancel safety
    ///
    /// One transaction: dropped, the session has ended or not. Ending it again is no fault.
    pub async fn revoke(&self, user_id: &str, session_id: &str, reason: Reason) -> Result<bool, Error> {
        let now = self.0.config.clock.now();
        let mut tx = self.0.store.write().await?;
        let Some(row) = tx.session(session_id).await? else {
            return Ok(false);
        };
        if row.user_id != user_id || !row.is_live(now) {
            return Ok(false);
        }
        self.end(&mut tx, row, reason, now).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Ends all sessions of a user but one. Returns how many ended.
    ///
    /// # Errors
    ///
    /// As for [`revoke`](Self::revoke).
    ///
    /// # Cancel safety
    ///
    /// One transaction: dropped, all have ended or none.
    pub async fn revoke_others(&self, user_id: &str, keep: &str) -> Result<u64, Error> {
        self.end_many(user_id, Reason::Others, None, |row| row.id != keep).await
    }

    /// Ends all sessions of a user but one, saying why. Returns how many ended.
    ///
    /// # Errors
    ///
    /// As for [`revoke`](Self::revoke).
    ///
    /// # Cancel safety
    ///
    /// One transaction: dropped, all have ended or none.
    pub async fn revoke_others_for(&self, user_id: &str, keep: &str, reason: Reason) -> Result<u64, Error> {
        self.end_many(user_id, reason, None, |row| row.id != keep).await
    }

    /// Ends all sessions of a user. Returns how many ended.
    ///
    /// # Errors
    ///
    /// As for [`revoke`](Self::revoke).
    ///
    /// # Cancel safety
    ///
    /// One transaction: dropped, all have ended or none.
    pub async fn revoke_all(&self, user_id: &str, reason: Reason) -> Result<u64, Error> {
        self.end_many(user_id, reason, None, |_| true).await
    }

    /// Makes a change of the user count for their older tokens, and ends sessions if it must.
    /// Returns how many ended.
    ///
    /// Call it after the change was committed, so that whoever looks the user up now sees it.
    /// It belongs into [`revoked_snapshot`](Self::revoked_snapshot) from then on.
    ///
    /// # Errors
    ///
    /// As for [`revoke`](Self::revoke).
    ///
    /// # Cancel safety
    ///
    /// One transaction: dropped, it counts or not.
    pub async fn user_changed(&self, user_id: &str, change: UserChange) -> Result<u64, Error> {
        let (kind, role, reason) = match change {
            UserChange::Deleted => ("deleted", None, Some(Reason::Deleted)),
            UserChange::Role(role) => ("role", Some(role), None),
            UserChange::Suspended => ("suspended", None, Some(Reason::Suspended)),
        };
        let mark = |at: Timestamp| MarkRow {
            user_id: user_id.to_owned(),
            kind: kind.to_owned(),
            role,
            at: at.as_microsecond(),
        };
        let ends = reason.is_some();
        let mark = mark(self.0.config.clock.now());
        self.end_many(user_id, reason.unwrap_or(Reason::Role), Some(mark), |_| ends).await
    }

    async fn end_many(
        &self,
        user_id: &str,
        reason: Reason,
        mark: Option<MarkRow>,
        ends: impl Fn(&SessionRow) -> bool + Send,
    ) -> Result<u64, Error> {
        let now = self.0.config.clock.now();
        let mut tx = self.0.store.write().await?;
        // A sign-in of this user at the same time comes wholly before or wholly after.
        tx.lock_user(user_id).await?;
        if let Some(mark) = mark {
            tx.put_mark(&mark).await?;
        }
        let mut ended = 0;
        for row in tx.live_sessions(user_id).await? {
            if ends(&row) {
                self.end(&mut tx, row, reason, now).await?;
                ended += 1;
            }
        }
        tx.commit().await?;
        Ok(ended)
    }
}
