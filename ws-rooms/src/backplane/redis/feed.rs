//! What Redis says on the channels, on its way to the reader.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use ::redis::{PushInfo, PushKind, Value};
use metrics::Counter;
use tokio::sync::{Notify, mpsc};

/// Messages that may wait: a second of what one Redis passes on.
const WAITING: usize = 65_536;
/// Bytes of them.
const WAITING_BYTES: usize = 16 * 1024 * 1024;
/// Rooms of which something was dropped. Beyond it, all rooms count as dropped.
const DROPPED_ROOMS: usize = 4_096;

/// The reader's end. Ends with the connection.
pub(super) struct Feed {
    messages: mpsc::Receiver<Said>,
    shared: Arc<Shared>,
}

/// A message of a channel.
pub(super) struct Said {
    pub(super) channel: String,
    pub(super) text: Vec<u8>,
}

/// Of which channels something was dropped.
pub(super) enum Dropped {
    These(HashSet<String>),
    Any,
}

struct Shared {
    bytes: AtomicUsize,
    dropped: Mutex<HashSet<String>>,
    overrun: Notify,
    count: Counter,
}

// === impl Feed ===

impl Feed {
    /// A feed, and where the driver puts what comes. That must not wait, and the connection cannot be held up: what
    /// finds no place is dropped, and its room is read from its stream.
    pub(super) fn new() -> (Self, impl Fn(PushInfo) -> Result<(), ()> + Send + Sync + 'static) {
        Self::bounded(WAITING, WAITING_BYTES)
    }

    fn bounded(
        waiting: usize,
        bound: usize,
    ) -> (Self, impl Fn(PushInfo) -> Result<(), ()> + Send + Sync + 'static) {
        let (sender, messages) = mpsc::channel(waiting);
        let shared = Arc::new(Shared {
            bytes: AtomicUsize::new(0),
            dropped: Mutex::default(),
            overrun: Notify::new(),
            count: metrics::counter!("ws.backplane.dropped"),
        });
        let feed = Self { messages, shared: Arc::clone(&shared) };
        let put = move |push: PushInfo| {
            let Some(said) = message(push) else { return Ok(()) };
            let size = said.text.len();
            let full = shared.bytes.fetch_add(size, Ordering::AcqRel) + size > bound;
            let said =
                if full { Err(said) } else { sender.try_send(said).map_err(|error| error.into_inner()) };
            if let Err(said) = said {
                shared.bytes.fetch_sub(size, Ordering::AcqRel);
                shared.count.increment(1);
                let mut dropped = shared.dropped.lock().unwrap_or_else(PoisonError::into_inner);
                if dropped.len() <= DROPPED_ROOMS {
                    dropped.insert(said.channel);
                }
                drop(dropped);
                shared.overrun.notify_one();
            }
            Ok(())
        };
        (feed, put)
    }

    /// The next message; `None` when the connection has ended.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when dropped.
    pub(super) async fn next(&mut self) -> Option<Said> {
        let said = self.messages.recv().await?;
        self.shared.bytes.fetch_sub(said.text.len(), Ordering::AcqRel);
        Some(said)
    }

    /// Waits until something was dropped.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when dropped.
    pub(super) fn overrun(&self) -> impl Future<Output = Dropped> + Send + use<> {
        let shared = Arc::clone(&self.shared);
        async move {
            shared.overrun.notified().await;
            let mut dropped = shared.dropped.lock().unwrap_or_else(PoisonError::into_inner);
            let taken = std::mem::take(&mut *dropped);
            if taken.len() > DROPPED_ROOMS { Dropped::Any } else { Dropped::These(taken) }
        }
    }
}

fn message(push: PushInfo) -> Option<Said> {
    if !matches!(push.kind, PushKind::Message | PushKind::SMessage) {
        return None;
    }
    let mut parts = push.data.into_iter();
    let (Some(Value::BulkString(channel)), Some(Value::BulkString(text))) = (parts.next(), parts.next())
    else {
        return None;
    };
    Some(Said { channel: String::from_utf8(channel).ok()?, text })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(channel: &str, text: &str) -> PushInfo {
        let part = |part: &str| Value::BulkString(part.as_bytes().to_vec());
        PushInfo { kind: PushKind::SMessage, data: vec![part(channel), part(text)] }
    }

    /// A reader that is busy: what finds no place is told by its channel, once there is place again all is well.
    #[tokio::test]
    async fn what_finds_no_place_is_told() {
        let (mut feed, put) = Feed::bounded(2, 100);
        for channel in ["a", "b", "c", "d"] {
            put(push(channel, "x")).unwrap();
        }
        put(PushInfo { kind: PushKind::Disconnection, data: Vec::new() }).unwrap();
        let Dropped::These(dropped) = feed.overrun().await else { panic!("a few") };
        assert_eq!(dropped, HashSet::from(["c".to_owned(), "d".to_owned()]));
        assert_eq!(feed.next().await.unwrap().channel, "a");
        put(push("e", &"x".repeat(200))).unwrap();
        let Dropped::These(dropped) = feed.overrun().await else { panic!("one") };
        assert_eq!(dropped, HashSet::from(["e".to_owned()]), "too many bytes");
        put(push("f", "x")).unwrap();
        assert_eq!(feed.next().await.unwrap().channel, "b");
        assert_eq!(feed.next().await.unwrap().channel, "f");
        drop(put);
        assert!(feed.next().await.is_none(), "the connection's end");
    }

    #[tokio::test]
    async fn more_rooms_than_can_be_named_are_all_rooms() {
        let (feed, put) = Feed::bounded(1, 100);
        for number in 0..DROPPED_ROOMS + 10 {
            put(push(&number.to_string(), "x")).unwrap();
        }
        assert!(matches!(feed.overrun().await, Dropped::Any));
    }
}
