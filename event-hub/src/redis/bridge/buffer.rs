//! What has come from Redis and waits for the hub.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc::{self, error::TrySendError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::redis::bridge::status::Figures;

/// One message.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) channel: String,
    pub(super) pattern: Option<String>,
    pub(super) body: Bytes,
}

/// A message with its place.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) message: Message,
    /// Its bytes of the bound, given back with it.
    _room: OwnedSemaphorePermit,
}

/// The listener's end. It never waits: Redis cannot be made to, and the driver would keep without a bound what is
/// not taken from it.
#[derive(Debug)]
pub(super) struct Sender {
    queue: mpsc::Sender<Waiting>,
    room: Arc<Semaphore>,
    /// Messages lost in a row.
    lost: u64,
    figures: Figures,
}

pub(super) type Receiver = mpsc::Receiver<Waiting>;

pub(super) fn new(messages: usize, bytes: usize, figures: Figures) -> (Sender, Receiver) {
    let (queue, receiver) = mpsc::channel(messages.min(Semaphore::MAX_PERMITS));
    let room = Arc::new(Semaphore::new(bytes.min(Semaphore::MAX_PERMITS)));
    (Sender { queue, room, lost: 0, figures }, receiver)
}

// === impl Sender ===

impl Sender {
    /// Puts a message in, or loses it: the newest goes, what has been taken stays.
    pub(super) fn put(&mut self, message: Message) {
        let (channel, bytes) = (message.channel.clone(), message.body.len());
        let kept = u32::try_from(bytes).ok().and_then(|bytes| {
            let room = Arc::clone(&self.room).try_acquire_many_owned(bytes).ok()?;
            match self.queue.try_send(Waiting { message, _room: room }) {
                Ok(()) => Some(()),
                Err(TrySendError::Full(_) | TrySendError::Closed(_)) => None,
            }
        });
        if kept.is_some() {
            self.figures.came();
            self.told();
            return;
        }
        self.lost += 1;
        self.figures.overflowed();
        // The first of a row is told at once, and the more, the seldomer.
        if self.lost.is_power_of_two() {
            let lost = self.lost;
            tracing::error!(channel, bytes, lost, "the hub is slower than Redis: messages are lost");
        }
    }

    fn told(&mut self) {
        let lost = std::mem::take(&mut self.lost);
        if lost > 0 {
            tracing::error!(lost, "there is room again: so many messages from Redis were lost");
        }
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.told();
    }
}
