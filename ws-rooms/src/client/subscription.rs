//! A room's updates as a stream.

use std::fmt;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::Stream;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::Instant;

use super::mailbox::Mailbox;
use super::session::Handle;
use super::update::Update;
use crate::protocol::RoomId;

/// The updates of a room, or of all rooms, from [`Session::subscribe`](super::Session::subscribe) on. Events are read
/// as an `E` when they are taken.
///
/// Up to [`SessionConfig::queued_updates`](super::SessionConfig::queued_updates) wait; then the oldest go, and a gap
/// says so: a slow subscription keeps nobody waiting. Dropping it leaves the room, a second after the last one. It
/// keeps the session alive.
///
/// It ends after [`Update::Ended`].
pub struct Subscription<E = Value> {
    mailbox: Mailbox,
    seat: Seat,
    event: PhantomData<fn() -> E>,
}

/// What is given back when a subscription goes.
struct Seat {
    handle: Arc<Handle>,
    room: Option<RoomId>,
    key: u64,
}

// === impl Subscription ===

impl<E> Subscription<E> {
    pub(super) fn new(handle: Arc<Handle>, mailbox: Mailbox, room: Option<RoomId>, key: u64) -> Self {
        Self { mailbox, seat: Seat { handle, room, key }, event: PhantomData }
    }

    /// The room; `None` for all of them.
    #[must_use]
    pub fn room(&self) -> Option<&RoomId> {
        self.seat.room.as_ref()
    }

    /// The same, with events read as a `T`: the whole object, envelope included. What is no `T` comes as
    /// [`Update::Unreadable`].
    #[must_use]
    pub fn typed<T: DeserializeOwned>(self) -> Subscription<T> {
        Subscription { mailbox: self.mailbox, seat: self.seat, event: PhantomData }
    }
}

impl<E: DeserializeOwned> Subscription<E> {
    /// The next update; waits for it. `None` after [`Update::Ended`].
    ///
    /// # Cancel safety
    ///
    /// No update is lost when dropped.
    pub async fn next(&mut self) -> Option<Update<E>> {
        let mailbox = &self.mailbox;
        std::future::poll_fn(|cx| mailbox.poll_take(cx)).await.map(Update::read)
    }
}

impl<E: DeserializeOwned> Stream for Subscription<E> {
    type Item = Update<E>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.mailbox.poll_take(cx).map(|update| update.map(Update::read))
    }
}

impl<E> fmt::Debug for Subscription<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription").field("room", &self.seat.room).finish_non_exhaustive()
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let shared = self.handle.shared();
        shared.lock().book.ignore(self.room.as_ref(), self.key, Instant::now());
        // The owner counts the second.
        shared.wake.notify_one();
    }
}
