//! From an event hub into rooms.

mod rule;

pub use self::rule::BridgeRule;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tramline_event_hub::handler::{Action, BoxError, ErrorTable, Received, TimedOut, find};
use tramline_event_hub::{ConsumerConfig, Event, Handler, Outcome};

use crate::error::Error;
use crate::protocol::{GapReason, RoomId};
use crate::publication::Publication;
use crate::rooms::Rooms;

/// Handles a hub's events by publishing them into rooms; which ones is said by rules. Clones are the same bridge.
///
/// Consume with one queue per node, and as [`consumer`](Self::consumer) says. An event is acknowledged after the backplane
/// has it, and counts once however often it is delivered, among the newest ids that the backplane remembers of the room.
#[derive(Clone)]
pub struct Bridge {
    shared: Arc<Shared>,
}

struct Shared {
    rooms: Rooms,
    rules: Vec<BridgeRule>,
    /// How often the source was lost, and up to which of these the rooms' members were told.
    lost: AtomicU64,
    told: AtomicU64,
    /// Held while they are told.
    telling: tokio::sync::Mutex<()>,
}

// === impl Bridge ===

impl Bridge {
    /// A bridge into these rooms. The first rule that matches an event's type counts; without one, or without a room,
    /// the event is acknowledged and ends here.
    #[must_use]
    pub fn new(rooms: Rooms, rules: Vec<BridgeRule>) -> Self {
        metrics::describe_counter!("ws.bridge.refused", "Events that no room could take");
        metrics::describe_counter!("ws.bridge.unplaced", "Rooms that an event had no fields for");
        let shared = Shared {
            rooms,
            rules,
            lost: AtomicU64::new(0),
            told: AtomicU64::new(0),
            telling: tokio::sync::Mutex::default(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// How a bridge consumes: one event at a time, since order holds within a room only if events come in order; and
    /// while the backplane is away the consumer pauses, without an attempt counted, since a feed drops what was tried too
    /// often. Then the queue fills, and when it is full its place is lost, which [`lose_source`](Self::lose_source) tells.
    #[must_use]
    pub fn consumer() -> ConsumerConfig {
        let away =
            |error: &(dyn std::error::Error + 'static)| find::<Error>(error).is_some_and(Error::is_retryable);
        let mut config = ConsumerConfig::default();
        config.name = Some("bridge".to_owned());
        config.concurrency = 1;
        config.errors =
            ErrorTable::new().when("backplane away", away, Action::Pause).on::<TimedOut>(Action::Pause);
        config
    }

    /// The rooms that an event goes to, in order.
    #[must_use]
    pub fn rooms_of(&self, event: &Event) -> Vec<RoomId> {
        let rule = self.shared.rules.iter().find(|rule| rule.matches(event.event_type.as_str()));
        rule.map_or_else(Vec::new, |rule| rule.rooms(event))
    }

    /// Publishes one event into its rooms, for a handler that does more than that.
    ///
    /// One that no room can take, being too large, for too many rooms or for a local one, is rejected, which a feed drops.
    /// Its rooms are told: members get a `gap` in its place, reason `source`.
    ///
    /// # Errors
    ///
    /// One that passes ([`Error::is_retryable`]): the event is to be carried again, before any other.
    ///
    /// # Cancel safety
    ///
    /// As [`Rooms::publish`].
    pub async fn carry(&self, event: &Event) -> Result<Outcome, Error> {
        // ORDER: a loss before what came after it.
        self.shared.tell().await;
        let rooms = self.rooms_of(event);
        if rooms.is_empty() {
            return Ok(Outcome::Ack);
        }
        match self.pass(event, rooms.clone()).await {
            Ok(()) => Ok(Outcome::Ack),
            Err(error) if error.is_retryable() => Err(error),
            Err(error) => {
                metrics::counter!("ws.bridge.refused").increment(1);
                self.shared.rooms.skip(event.id.as_str(), &rooms, GapReason::Source).await?;
                Ok(Outcome::reject(&error))
            }
        }
    }

    /// What feeds this bridge has lost its place: the rooms' members are told ([`Rooms::lose_source`]), before any event
    /// that is carried from now on, and soon if none is. To be called inside a Tokio runtime; does not wait.
    pub fn lose_source(&self) {
        self.shared.lost.fetch_add(1, Ordering::AcqRel);
        let shared = Arc::clone(&self.shared);
        // Whoever carries an event next, or this.
        tokio::spawn(async move { shared.tell().await });
    }

    async fn pass(&self, event: &Event, rooms: Vec<RoomId>) -> Result<(), Error> {
        let publication = Publication::new(event.id.as_str(), rooms, event.to_json())?;
        self.shared.rooms.publish(publication).await.map(drop)
    }
}

impl Handler for Bridge {
    async fn handle(&self, mut received: Received) -> Result<Outcome, BoxError> {
        Ok(self.carry(received.event()?).await?)
    }
}

impl fmt::Debug for Bridge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bridge").field("rules", &self.shared.rules).finish_non_exhaustive()
    }
}

// === impl Shared ===

impl Shared {
    /// Tells of the losses that nobody has been told of. When dropped, the next one does.
    async fn tell(&self) {
        if self.is_told() {
            return;
        }
        let _telling = self.telling.lock().await;
        // ORDER: read before they are told. A loss that comes meanwhile is another one.
        let lost = self.lost.load(Ordering::Acquire);
        if self.told.load(Ordering::Acquire) < lost {
            self.rooms.lose_source().await;
            self.told.store(lost, Ordering::Release);
        }
    }

    fn is_told(&self) -> bool {
        self.told.load(Ordering::Acquire) == self.lost.load(Ordering::Acquire)
    }
}
