//! From the hub into the rooms: which event goes where, and what an ended session means for its sockets.

use std::time::Duration;

use chassis::{Shell, revocations};
use contracts::{Payload, RevokeReason, SessionRevoked, UserChanged, UserDeleted, UserStatus, UserUpdated};
use jiff::Timestamp;
use serde::Deserialize;
use tramline_event_hub::handler::{BoxError, Received};
use tramline_event_hub::{ConsumerConfig, Event, Handler, Outcome};
use tramline_observability::lifecycle::Phase;
use tramline_session_sync::Revocations;
use tramline_session_sync::revocation::RevocationsConfig;
use tramline_ws_rooms::{Bridge, Close, RoomId, Rooms};
use uuid::Uuid;

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
        let carrier = Carrier {
            bridge: Bridge::new(rooms.clone(), route),
            rooms: rooms.clone(),
            revocations,
            lag: metrics::histogram!(LAG),
            delivery: metrics::histogram!(DELIVERY),
        };
        let mut config = ConsumerConfig::default();
        config.name = Some("bridge".to_owned());
        // Order within a room is the order of the feed.
        config.concurrency = 1;
        let place = move |place: tramline_event_hub::feed::Place| {
            if place.is_lost() {
                let rooms = rooms.clone();
                tokio::spawn(async move { rooms.lose_source().await });
            }
        };
        if let Err(error) = shell.hub().consume_feed(feed, config, carrier, place, stop.cancelled()).await {
            tracing::error!(%error, "the feed of events ended");
        }
    });
}

struct Carrier<R> {
    bridge: Bridge<R>,
    rooms: Rooms,
    revocations: Revocations,
    lag: metrics::Histogram,
    delivery: metrics::Histogram,
}

impl<R> Handler for Carrier<R>
where
    R: Fn(&Event) -> Vec<RoomId> + Send + Sync + 'static,
{
    async fn handle(&self, mut received: Received) -> Result<Outcome, BoxError> {
        let event: Event = received.extract()?;
        let lag = Timestamp::now().duration_since(event.time);
        self.lag.record(Duration::try_from(lag).unwrap_or_default().as_secs_f64());
        let started = tokio::time::Instant::now();
        let ended = Ended::of(&event);
        // ORDER: in force before the sockets close. The feed of revocations is another queue and may be later; its
        // tokens would open new sockets until then, which nothing would close.
        let life = RevocationsConfig::default().token_life;
        self.revocations.apply_snapshot(revocations::entries(&event, life).unwrap_or_default());
        let outcome = self.bridge.carry(&event).await;
        // After the event itself, so that its reader learns why.
        let closed = match ended {
            Some(Ended::Session(id, close)) => self.rooms.close_session(&id.to_string(), &close),
            Some(Ended::User(id)) => self.rooms.close_user(&id.to_string(), &Close::SESSION_REVOKED),
            None => 0,
        };
        if closed > 0 {
            tracing::debug!(closed, "sockets of an ended session");
        }
        self.delivery.record(started.elapsed().as_secs_f64());
        Ok(outcome)
    }
}

/// Whose sockets an event ends.
enum Ended {
    Session(Uuid, Close),
    User(Uuid),
}

impl Ended {
    fn of(event: &Event) -> Option<Self> {
        match event.event_type.as_str() {
            SessionRevoked::TYPE => {
                let revoked: SessionRevoked = event.data().ok()?;
                // Another role ends the tokens and not the sign-in: whoever renews is welcome.
                let close = match revoked.reason {
                    RevokeReason::Role => Close::TOKEN_ENDED,
                    _ => Close::SESSION_REVOKED,
                };
                Some(Self::Session(revoked.session_id, close))
            }
            UserDeleted::TYPE => Some(Self::User(event.data::<UserDeleted>().ok()?.user_id)),
            UserUpdated::TYPE => {
                let user: UserChanged = event.data().ok()?;
                (user.status != UserStatus::Active).then_some(Self::User(user.user_id))
            }
            _ => None,
        }
    }
}

/// The contract's table, in its order: a connection gets the event in the first of its rooms.
fn route(event: &Event) -> Vec<RoomId> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Ids {
        user_id: Option<Uuid>,
        sender_id: Option<Uuid>,
        recipient_id: Option<Uuid>,
        payment_id: Option<Uuid>,
    }
    let name = event.event_type.as_str();
    let Ok(ids) = event.data::<Ids>() else { return Vec::new() };
    let user = |id: Option<Uuid>| id.map(|id| format!("user:{id}"));
    let admins = || Some("role:admin".to_owned());
    let rooms = if name.starts_with("payments.payment.") {
        vec![
            user(ids.sender_id),
            user(ids.recipient_id),
            admins(),
            ids.payment_id.map(|id| format!("payment:{id}")),
        ]
    } else if name.starts_with("auth.user.") || name.starts_with("auth.session.") {
        vec![user(ids.user_id), admins()]
    } else if name.starts_with("profile.") {
        vec![user(ids.user_id)]
    } else if name.starts_with("admin.") {
        vec![admins()]
    } else {
        Vec::new()
    };
    rooms.into_iter().flatten().filter_map(|room| RoomId::parse(&room).ok()).collect()
}

#[cfg(test)]
mod tests;
