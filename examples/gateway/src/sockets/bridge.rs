//! From the hub into the rooms: which event goes where, and what an ended session means for its sockets.

use std::time::Duration;

use chassis::{Shell, revocations};
use contracts::{Payload, RevokeReason, SessionRevoked, UserChanged, UserDeleted, UserStatus, UserUpdated};
use jiff::Timestamp;
use tramline_event_hub::handler::{BoxError, Received};
use tramline_event_hub::{Event, Handler, Outcome};
use tramline_observability::lifecycle::Phase;
use tramline_session_sync::Revocations;
use tramline_session_sync::revocation::RevocationsConfig;
use tramline_ws_rooms::{Bridge, BridgeRule, Close, Revocation, Rooms, Target};

/// From an event's own time to the moment it reaches this node.
pub(crate) const LAG: &str = "gateway.event.lag";
/// From that moment to its last room.
pub(crate) const DELIVERY: &str = "gateway.event.delivery";

/// Starts the feed of this process: every event, in order.
pub(super) fn spawn(shell: &Shell, rooms: Rooms, revocations: Revocations) {
    metrics::describe_histogram!(LAG, metrics::Unit::Seconds, "From an event's time to this gateway");
    metrics::describe_histogram!(DELIVERY, metrics::Unit::Seconds, "From the feed to the last room");
    let feed = contracts::gateway_feed(&shell.common().instance_id);
    let shell = shell.clone();
    let lifecycle = shell.lifecycle().clone();
    lifecycle.spawn(Phase::Consumers, "gateway-feed", move |stop| async move {
        if !shell.started(&stop).await {
            return;
        }
        let bridge = Bridge::new(rooms.clone(), rules());
        let carrier = Carrier {
            bridge: bridge.clone(),
            rooms,
            revocations,
            lag: metrics::histogram!(LAG),
            delivery: metrics::histogram!(DELIVERY),
        };
        let place = move |place: tramline_event_hub::feed::Place| {
            if place.is_lost() {
                bridge.lose_source();
            }
        };
        if let Err(error) =
            shell.hub().consume_feed(feed, Bridge::consumer(), carrier, place, stop.cancelled()).await
        {
            tracing::error!(%error, "the feed of events ended");
        }
    });
}

struct Carrier {
    bridge: Bridge,
    rooms: Rooms,
    revocations: Revocations,
    lag: metrics::Histogram,
    delivery: metrics::Histogram,
}

impl Handler for Carrier {
    async fn handle(&self, mut received: Received) -> Result<Outcome, BoxError> {
        let event: Event = received.extract()?;
        let lag = Timestamp::now().duration_since(event.time);
        self.lag.record(Duration::try_from(lag).unwrap_or_default().as_secs_f64());
        let started = tokio::time::Instant::now();
        // ORDER: in force before the sockets close. The feed of revocations is another queue and may be later; its
        // tokens would open new sockets until then, which nothing would close.
        let life = RevocationsConfig::default().token_life;
        self.revocations.apply_snapshot(revocations::entries(&event, life).unwrap_or_default());
        let outcome = self.bridge.carry(&event).await;
        // After the event itself, so that its reader learns why.
        if let Some(session) = has_another_role(&event) {
            self.rooms.close(&Target::Session(session), &Close::TOKEN_ENDED);
        }
        for connection in of_another_role(&event, &self.rooms) {
            self.rooms.close(&Target::Connection(connection), &Close::TOKEN_ENDED);
        }
        if let Some(revocation) = revocation(&event, life)
            && let Err(error) = self.rooms.revoke(revocation).await
        {
            // In force here; every other gateway has a feed of its own.
            tracing::warn!(%error, "a revocation was not told to other nodes");
        }
        self.delivery.record(started.elapsed().as_secs_f64());
        Ok(outcome?)
    }
}

/// The session whose tokens end though it goes on, since its user has another role. Whoever renews is welcome, and which
/// tokens are older is for the check of tokens to say, which looks at their role: two processes' clocks do not tell.
fn has_another_role(event: &Event) -> Option<String> {
    let revoked =
        (event.event_type.as_str() == SessionRevoked::TYPE).then(|| event.data::<SessionRevoked>().ok());
    let SessionRevoked { session_id, reason, .. } = revoked.flatten()?;
    matches!(reason, RevokeReason::Role).then(|| session_id.to_string())
}

/// Connections of a user that came with another role than they have now. Any other change of the user costs nobody
/// a renewal.
fn of_another_role(event: &Event, rooms: &Rooms) -> Vec<String> {
    let updated = (event.event_type.as_str() == UserUpdated::TYPE).then(|| event.data::<UserChanged>().ok());
    let Some(user) = updated.flatten() else { return Vec::new() };
    let there = rooms.connections_of(&Target::User(user.user_id.to_string()));
    let others = there.into_iter().filter(|connection| connection.role != user.role.as_str());
    others.map(|connection| connection.id).collect()
}

/// Whose sockets an event ends, and whose tokens open none any more. `life` is how long a token may live.
fn revocation(event: &Event, life: Duration) -> Option<Revocation> {
    let until = |at: Timestamp| at.saturating_add(life).unwrap_or(Timestamp::MAX);
    match event.event_type.as_str() {
        SessionRevoked::TYPE => {
            let SessionRevoked { session_id, reason, at, .. } = event.data().ok()?;
            // Another role ends the tokens and not the sign-in, see `has_another_role`.
            let ended = !matches!(reason, RevokeReason::Role);
            ended.then(|| Revocation::session(session_id.to_string(), until(at)))
        }
        UserDeleted::TYPE => {
            let UserDeleted { user_id, deleted_at: at, .. } = event.data().ok()?;
            Some(Revocation::user(user_id.to_string(), until(at)).at(until(at)))
        }
        UserUpdated::TYPE => {
            let user: UserChanged = event.data().ok()?;
            let at = user.updated_at;
            let suspended = user.status != UserStatus::Active;
            suspended.then(|| Revocation::user(user.user_id.to_string(), until(at)).at(at))
        }
        _ => None,
    }
}

/// The contract's table, in its order: a connection gets the event in the first of its rooms.
fn rules() -> Vec<BridgeRule> {
    let payment = ["user:{senderId}", "user:{recipientId}", "role:admin", "payment:{paymentId}"];
    let rule = |pattern, rooms: &[&str]| BridgeRule::new(pattern, rooms).expect("names of rooms and fields");
    vec![
        rule("payments.payment.*", &payment),
        rule("auth.user.*", &["user:{userId}", "role:admin"]),
        rule("auth.session.*", &["user:{userId}", "role:admin"]),
        rule("profile.#", &["user:{userId}"]),
        rule("admin.#", &["role:admin"]),
    ]
}

#[cfg(test)]
mod tests;
