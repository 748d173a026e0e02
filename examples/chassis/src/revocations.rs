//! What makes good tokens bad before their end, kept current in every process that checks tokens.
//!
//! A process hears of revocations by a feed of its own, from the moment that the feed is open. What came before it
//! loads: Redis when there is one, else (or when Redis holds nothing) the auth service's snapshot. It is not ready
//! before; and loads again whenever the feed's place is lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use contracts::{Payload, RevokeReason, SessionRevoked, UserDeleted, UserStatus, UserUpdated};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tramline_event_hub::{ConsumerConfig, Context, Event, Outcome};
use tramline_observability::health::Need;
use tramline_observability::lifecycle::Phase;
use tramline_session_sync::Revocations;
use tramline_session_sync::revocation::{RevocationEntry, RevocationKind, RevocationsConfig};

use crate::auth::{Auth, Snapshot};
use crate::shell::{PAUSES, Shell};

/// The document at `/.well-known/revocations`.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[expect(clippy::exhaustive_structs, reason = "the auth service builds it")]
pub struct RevocationSnapshot {
    /// The sessions and users whose tokens are bad before their end.
    pub revocations: Vec<RevocationEntry>,
}

/// What the loader and the feed share.
#[derive(Debug)]
struct Keeper {
    revocations: Revocations,
    snapshot: Snapshot,
    loaded: AtomicBool,
    /// Wakes the loader: the feed's place was lost.
    lost: Notify,
}

/// What an event means for tokens that are out. `life` is how long a token may live.
///
/// # Errors
///
/// The event's data is not what its type says.
pub fn entries(event: &Event, life: Duration) -> Result<Vec<RevocationEntry>, tramline_event_hub::Error> {
    let until = |at: Timestamp| at.saturating_add(life).unwrap_or(Timestamp::MAX);
    Ok(match event.event_type.as_str() {
        SessionRevoked::TYPE => {
            let data: SessionRevoked = event.data()?;
            if matches!(data.reason, RevokeReason::Role) {
                // The session goes on with its next token. Which tokens are too old the change of the user says.
                return Ok(Vec::new());
            }
            let (user, session) = (data.user_id.to_string(), data.session_id.to_string());
            vec![RevocationEntry::session(user, session, data.at, until(data.at))]
        }
        UserDeleted::TYPE => {
            let data: UserDeleted = event.data()?;
            let at = data.deleted_at;
            vec![RevocationEntry::user(data.user_id.to_string(), RevocationKind::Deleted, at, until(at))]
        }
        UserUpdated::TYPE => {
            let UserUpdated(data) = event.data()?;
            let (user, at) = (data.user_id.to_string(), data.updated_at);
            // Tokens that have the role already stay good: another change of the user costs nobody a renewal.
            let role = RevocationEntry::role(user.clone(), data.role.as_str(), at, until(at));
            let suspended = RevocationEntry::user(user, RevocationKind::Suspended, at, until(at));
            if data.status == UserStatus::Active { vec![role] } else { vec![role, suspended] }
        }
        _ => Vec::new(),
    })
}

/// Starts the feed and the loader, and the check that waits for it.
pub(crate) fn keep(shell: &Shell, auth: &Auth, snapshot: Snapshot) {
    let keeper = Arc::new(Keeper {
        revocations: auth.revocations().clone(),
        snapshot,
        loaded: AtomicBool::new(false),
        lost: Notify::new(),
    });
    let checked = Arc::clone(&keeper);
    shell.health().check("revocations", Need::Required, move || {
        let loaded = checked.loaded.load(Ordering::Acquire);
        async move { if loaded { Ok(()) } else { Err("the revocations are not loaded yet") } }
    });
    let loader = Arc::clone(&keeper);
    shell.lifecycle().spawn(
        Phase::Consumers,
        "revocations",
        move |stop| async move { loader.run(&stop).await },
    );
    let feed = contracts::revocation_feed(shell.common().name, &shell.common().instance_id);
    let owner = shell.clone();
    shell.lifecycle().spawn(Phase::Consumers, "revocations-feed", move |stop| async move {
        if owner.declared(&stop).await {
            let mut config = ConsumerConfig::default();
            config.name = Some("revocations".to_owned());
            // Each waits for Redis for a moment at most; many sessions that end at once must not wait for each other.
            config.concurrency = 64;
            let (handler, placed) = (Arc::clone(&keeper), keeper);
            let handle = move |event: Event, _: Context| {
                let keeper = Arc::clone(&handler);
                async move { keeper.hear(&event).await }
            };
            let place = move |place: tramline_event_hub::feed::Place| {
                if place.is_lost() {
                    placed.lost.notify_one();
                }
            };
            let run = owner.hub().consume_feed(feed, config, handle, place, stop.cancelled());
            if let Err(error) = run.await {
                tracing::warn!(%error, "the feed of revocations ended");
            }
        }
    });
}

// === impl Keeper ===

impl Keeper {
    /// Loads at the start and whenever the feed's place was lost.
    async fn run(&self, stop: &CancellationToken) {
        loop {
            self.load(stop).await;
            if stop.run_until_cancelled(self.lost.notified()).await.is_none() {
                return;
            }
            tracing::info!(
                "the feed of revocations lost its place, or is new: loading what it may have missed"
            );
        }
    }

    /// Redis first, for it is near; the snapshot in any case, for Redis may have been away when it was told.
    async fn load(&self, stop: &CancellationToken) {
        let mut pause = PAUSES.0;
        loop {
            match self.revocations.load().await {
                Ok(Some(count)) => {
                    tracing::debug!(count, "revocations loaded from Redis");
                    self.loaded.store(true, Ordering::Release);
                }
                Ok(None) => {}
                Err(error) => tracing::warn!(%error, "Redis did not give the revocations"),
            }
            match self.snapshot.entries().await {
                Ok(entries) => {
                    tracing::debug!(count = entries.len(), "revocations loaded from the snapshot");
                    self.revocations.apply_snapshot(entries);
                    self.loaded.store(true, Ordering::Release);
                    return;
                }
                Err(error) => tracing::warn!(error = &*error, "no snapshot of the revocations yet"),
            }
            let waited =
                stop.run_until_cancelled(tokio::time::sleep(pause.mul_f64(rand::random_range(0.5..=1.0))));
            if waited.await.is_none() {
                return;
            }
            pause = (pause * 2).min(PAUSES.1);
        }
    }

    async fn hear(&self, event: &Event) -> Outcome {
        let entries = match entries(event, RevocationsConfig::default().token_life) {
            Ok(entries) => entries,
            Err(error) => return Outcome::reject(&error),
        };
        // In force here first: a Redis that hangs must not make the tokens of this one wait.
        self.revocations.apply_snapshot(entries.clone());
        for entry in entries {
            // In force here in any case; other processes hear it themselves, and one that starts later asks the
            // snapshot too. So a Redis that is away does not hold up the next revocation.
            if let Err(error) = self.revocations.apply(entry).await {
                tracing::warn!(%error, "Redis did not take a revocation");
            }
        }
        Outcome::Ack
    }
}

#[cfg(test)]
mod tests;
