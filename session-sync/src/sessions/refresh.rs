//! The renewal: rotation, the grace for the direct parent, and theft.

use std::future::Future;

use jiff::Timestamp;

use crate::clock::{after, from_micros};
use crate::device::{ClientInfo, Device, clean_id};
use crate::error::{BoxError, Error, ErrorKind};
use crate::journal::SessionChange;
use crate::session::{Grant, Reason, RefreshError, User};
use crate::sessions::Sessions;
use crate::store::Tx;
use crate::store::rows::{DeviceRow, SessionRow, TokenRow};
use crate::token::refresh::RefreshToken;

/// What a presented token is to its session.
enum Standing {
    /// The current token: rotate it.
    Current,
    /// The direct parent, in time and from the same device: give the successor again.
    Parent { sealed: Vec<u8> },
    /// Anything older: theft.
    Older,
}

impl Sessions {
    /// Renews a session: a new access token, and the refresh token's successor.
    ///
    /// `device_id` is what the client says of itself; absent counts as the session's device.
    /// `lookup` gives the user as they are now, or `None` when they may not go on.
    ///
    /// # Errors
    ///
    /// [`RefreshError::Invalid`], [`RefreshError::Reused`] (the session has ended), or
    /// [`RefreshError::Failed`] when nothing could be decided.
    ///
    /// # Cancel safety
    ///
    /// One transaction: dropped, the token has been rotated or not. If it has, presenting it again
    /// within the grace gives the same successor.
    pub async fn refresh<F, Fut>(
        &self,
        token: &str,
        device_id: Option<&str>,
        client: ClientInfo,
        lookup: F,
    ) -> Result<Grant, RefreshError>
    where
        F: FnOnce(String) -> Fut + Send,
        Fut: Future<Output = Result<Option<User>, BoxError>> + Send,
    {
        let outcome = self.decide(token, device_id, client, lookup).await;
        let metrics = &self.0.metrics;
        match &outcome {
            Err(RefreshError::Invalid) => metrics.refused.increment(1),
            Err(RefreshError::Reused { .. }) => metrics.reused.increment(1),
            Ok(_) | Err(RefreshError::Failed(_)) => {}
        }
        outcome
    }

    /// The session that a refresh token belongs to, if it is alive: for limits and sign-out.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Store`] when the database fails.
    pub async fn session_of(&self, token: &str) -> Result<Option<(String, String)>, Error> {
        let Some(token) = RefreshToken::parse(token) else {
            return Ok(None);
        };
        let mut tx = self.0.store.read().await?;
        let Some(known) = tx.token(&token.hash()).await? else {
            return Ok(None);
        };
        let row = tx.session(&known.session_id).await?;
        Ok(row.filter(|row| row.is_live(self.0.config.clock.now())).map(|row| (row.user_id, row.id)))
    }

    async fn decide<F, Fut>(
        &self,
        token: &str,
        device_id: Option<&str>,
        client: ClientInfo,
        lookup: F,
    ) -> Result<Grant, RefreshError>
    where
        F: FnOnce(String) -> Fut + Send,
        Fut: Future<Output = Result<Option<User>, BoxError>> + Send,
    {
        let token = RefreshToken::parse(token).ok_or(RefreshError::Invalid)?;
        let hash = token.hash();
        let (user_id, session_id) = self.owner(&hash).await?.ok_or(RefreshError::Invalid)?;

        self.0.keys.freshen().await;
        // ORDER: the access token is dated before the look-up, and the look-up comes before the
        // transaction (which must not wait for another connection). A change of the user after
        // the look-up is later than the token, so its revocation is about this token too.
        let issued_at = self.0.config.clock.now();
        let user = lookup(user_id).await.map_err(|error| Error::with(ErrorKind::Lookup, error))?;

        let mut tx = self.0.store.write().await?;
        let now = self.0.config.clock.now();
        let row = tx.session(&session_id).await?;
        let row = row.filter(|row| row.is_live(now)).ok_or(RefreshError::Invalid)?;
        // Read under the session's lock: what a racing refresh did is seen whole.
        let known = tx.token(&hash).await?.ok_or(RefreshError::Invalid)?;
        let device_id = device_id.and_then(clean_id);
        match self.standing(&row, known.clone(), device_id.as_deref(), now) {
            Standing::Older => {
                let (user_id, session_id) = (row.user_id.clone(), row.id.clone());
                self.end(&mut tx, row, Reason::Reuse, now).await?;
                tx.commit().await?;
                tracing::warn!(user_id, session_id, "refresh token reused: session ended");
                Err(RefreshError::Reused { user_id, session_id })
            }
            Standing::Parent { sealed } => {
                let user = user.ok_or(RefreshError::Invalid)?;
                let successor = token.open_successor(&row.id, &sealed)?;
                let grant = self.grant(&row, &user, &successor, issued_at)?;
                self.0.metrics.repeated.increment(1);
                Ok(grant)
            }
            Standing::Current => {
                let user = user.ok_or(RefreshError::Invalid)?;
                let renewal = Renewal { row, known, device_id, client, now };
                let grant = self.rotate(&mut tx, renewal, &user, &token, issued_at).await?;
                tx.commit().await?;
                self.0.metrics.rotated.increment(1);
                Ok(grant)
            }
        }
    }

    async fn owner(&self, hash: &[u8]) -> Result<Option<(String, String)>, Error> {
        let mut tx = self.0.store.read().await?;
        let Some(token) = tx.token(hash).await? else {
            return Ok(None);
        };
        let row = tx.session(&token.session_id).await?;
        Ok(row.map(|row| (row.user_id, row.id)))
    }

    fn standing(
        &self,
        row: &SessionRow,
        token: TokenRow,
        device_id: Option<&str>,
        now: Timestamp,
    ) -> Standing {
        if token.generation == row.generation {
            return Standing::Current;
        }
        let parent = token.generation + 1 == row.generation;
        let same_device = device_id.is_none_or(|id| id == row.device.id);
        let in_time =
            token.superseded_at.is_some_and(|at| now <= after(from_micros(at), self.0.config.reuse_grace));
        match token.sealed {
            Some(sealed) if parent && same_device && in_time => Standing::Parent { sealed },
            _ => Standing::Older,
        }
    }

    async fn rotate(
        &self,
        tx: &mut Tx,
        renewal: Renewal,
        user: &User,
        token: &RefreshToken,
        issued_at: Timestamp,
    ) -> Result<Grant, Error> {
        let Renewal { mut row, mut known, device_id, client, now } = renewal;
        let config = &self.0.config;
        let successor = RefreshToken::draw();
        known.superseded_at = Some(now.as_microsecond());
        known.sealed = Some(token.seal_successor(&row.id, &successor)?);
        tx.supersede_token(&known).await?;

        row.generation += 1;
        row.last_seen_at = now.as_microsecond();
        row.expires_at = after(now, config.refresh_idle).as_microsecond().min(row.ends_at);
        row.ip = client.ip.or(row.ip);
        row.user_agent = client.user_agent.or(row.user_agent);
        if let Some(id) = device_id.filter(|id| *id != row.device.id) {
            // A cleared device id is a new device, not theft; the grace follows the new one.
            row.device = Device { id, ..row.device };
        }
        tx.upsert_device(&DeviceRow {
            user_id: row.user_id.clone(),
            device: row.device.clone(),
            seen_at: row.last_seen_at,
        })
        .await?;
        tx.update_session(&row).await?;
        tx.insert_token(&TokenRow {
            hash: successor.hash(),
            session_id: row.id.clone(),
            generation: row.generation,
            created_at: row.last_seen_at,
            superseded_at: None,
            sealed: None,
        })
        .await?;
        // Not at every turn: a range delete each time would cost more than the rows.
        let remembered = i64::from(config.remembered_tokens);
        if row.generation % FORGET_EVERY == 0 && row.generation > remembered {
            tx.forget_tokens(&row.id, row.generation - remembered).await?;
        }
        let change = SessionChange::Refreshed { session: row.view(Some(&row.id)), user: user.clone() };
        tx.record(&self.0.journal, &change).await?;
        self.grant(&row, user, &successor, issued_at)
    }
}

/// What a rotation works on.
struct Renewal {
    row: SessionRow,
    known: TokenRow,
    device_id: Option<String>,
    client: ClientInfo,
    now: Timestamp,
}

/// At most this many tokens more than configured are kept.
const FORGET_EVERY: i64 = 64;
