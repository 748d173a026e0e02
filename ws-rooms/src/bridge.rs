//! From an event hub into rooms.

use std::fmt;

use tramline_event_hub::handler::{BoxError, Received};
use tramline_event_hub::{Event, Handler, Outcome};

use crate::error::Error;
use crate::protocol::{GapReason, RoomId};
use crate::publication::Publication;
use crate::rooms::Rooms;

/// Handles a hub's events by publishing them into rooms; which ones is the route's word.
///
/// Consume with one queue per node and a concurrency of one: order holds within a room only if
/// events come in order. An event is acknowledged after the backplane has it, and counts once
/// however often it is delivered, among the newest ids that the backplane remembers of the room.
pub struct Bridge<R> {
    rooms: Rooms,
    route: R,
}

// === impl Bridge ===

impl<R> Bridge<R>
where
    R: Fn(&Event) -> Vec<RoomId> + Send + Sync + 'static,
{
    /// A bridge into these rooms. The route names an event's rooms in order: a connection gets
    /// the event in the first that it is in. No rooms: the event is acknowledged and ends here.
    #[must_use]
    pub fn new(rooms: Rooms, route: R) -> Self {
        metrics::describe_counter!("ws.bridge.refused", "Events that no room could take");
        Self { rooms, route }
    }

    /// Publishes one event into its rooms, for a handler that does more than that.
    ///
    /// One that no room can take, being too large, for too many rooms or for a local one, is rejected, which a feed drops. Its rooms are
    /// told: members get a `gap` in its place, reason `source`.
    pub async fn carry(&self, event: &Event) -> Outcome {
        let rooms = (self.route)(event);
        if rooms.is_empty() {
            return Outcome::Ack;
        }
        match self.pass(event, rooms.clone()).await {
            Ok(()) => Outcome::Ack,
            Err(error) if error.is_retryable() => Outcome::retry(&error),
            Err(error) => {
                metrics::counter!("ws.bridge.refused").increment(1);
                match self.rooms.skip(event.id.as_str(), &rooms, GapReason::Source).await {
                    Ok(()) => Outcome::reject(&error),
                    Err(error) => Outcome::retry(&error),
                }
            }
        }
    }

    async fn pass(&self, event: &Event, rooms: Vec<RoomId>) -> Result<(), Error> {
        let publication = Publication::new(event.id.as_str(), rooms, event.to_json())?;
        self.rooms.publish(publication).await.map(drop)
    }
}

impl<R> Handler for Bridge<R>
where
    R: Fn(&Event) -> Vec<RoomId> + Send + Sync + 'static,
{
    async fn handle(&self, mut received: Received) -> Result<Outcome, BoxError> {
        Ok(self.carry(received.event()?).await)
    }
}

impl<R> fmt::Debug for Bridge<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bridge").finish_non_exhaustive()
    }
}
