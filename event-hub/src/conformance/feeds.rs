//! Feeds, and how they tell that something was missed.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::config::ConsumerConfig;
use crate::conformance::{Bed, n, number, soon, until};
use crate::envelope::Event;
use crate::error::Error;
use crate::feed::{Feed, Place};
use crate::handler::{Context, Outcome};

/// What a feed's process sees, in one order.
#[derive(Debug)]
enum Seen {
    Place(Place),
    Event(u64),
}

struct Listener {
    seen: mpsc::Receiver<Seen>,
    gate: Arc<Semaphore>,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<Result<(), Error>>,
}

impl Listener {
    fn start(bed: &Bed, feed: Feed, open: usize) -> Self {
        let (sender, seen) = mpsc::channel(10_000);
        let gate = Arc::new(Semaphore::new(open));
        let place = {
            let sender = sender.clone();
            move |place: Place| sender.try_send(Seen::Place(place)).expect("room for a place")
        };
        let handler = {
            let gate = Arc::clone(&gate);
            move |event: Event, _: Context| {
                let (sender, gate) = (sender.clone(), Arc::clone(&gate));
                async move {
                    gate.acquire().await.expect("open").forget();
                    let _ = sender.send(Seen::Event(n(&event))).await;
                    Outcome::Ack
                }
            }
        };
        let (stop, stopped) = oneshot::channel::<()>();
        let hub = bed.hub.clone();
        let task = tokio::spawn(async move {
            let config = ConsumerConfig { prefetch: 1, concurrency: 1, ..ConsumerConfig::default() };
            let shutdown = async {
                let _ = stopped.await;
            };
            hub.consume_feed(feed, config, handler, place, shutdown).await
        });
        Self { seen, gate, stop: Some(stop), task }
    }

    async fn place(&mut self) -> Place {
        match soon("the place", self.seen.recv()).await.expect("it runs") {
            Seen::Place(place) => place,
            Seen::Event(n) => panic!("event {n} before its place"),
        }
    }

    async fn event(&mut self) -> u64 {
        loop {
            if let Seen::Event(n) = soon("an event", self.seen.recv()).await.expect("it runs") {
                return n;
            }
        }
    }

    async fn stop(mut self) {
        self.stop.take();
        soon("the stop", self.task).await.expect("no panic").expect("drained");
    }
}

/// A feed that comes back finds what it missed, and is told which of both it was.
pub async fn a_feed_keeps_its_place(bed: &Bed) {
    bed.declare(&[("work", "#")]).await;
    let feed = Feed::new(bed.name("feed"), ["a.#"]);
    let mut listener = Listener::start(bed, feed.clone(), Semaphore::MAX_PERMITS);
    assert_eq!(listener.place().await, Place::Made { queue: bed.name("feed") });
    bed.publish("a.b", 1).await;
    bed.publish("z.z", 2).await;
    assert_eq!(listener.event().await, 1);
    listener.stop().await;
    bed.publish("a.b", 3).await;
    let mut listener = Listener::start(bed, feed, Semaphore::MAX_PERMITS);
    assert_eq!(listener.place().await, Place::Kept { queue: bed.name("feed") });
    assert_eq!(listener.event().await, 3);
    listener.stop().await;
}

/// Two processes of one name get a feed each.
pub async fn a_feed_in_use_is_left_alone(bed: &Bed) {
    bed.declare(&[("work", "#")]).await;
    let feed = Feed::new(bed.name("feed"), ["#"]);
    let mut one = Listener::start(bed, feed.clone(), Semaphore::MAX_PERMITS);
    assert_eq!(one.place().await.queue(), bed.name("feed"));
    let mut two = Listener::start(bed, feed, Semaphore::MAX_PERMITS);
    let place = two.place().await;
    assert!(matches!(&place, Place::Made { queue } if queue.starts_with(&bed.name("feed."))), "{place:?}");
    bed.publish("a.b", 5).await;
    assert_eq!((one.event().await, two.event().await), (5, 5));
    one.stop().await;
    two.stop().await;
}

/// A full feed drops the oldest, tells so, and never holds its publishers.
pub async fn a_full_feed_tells(bed: &Bed) {
    bed.declare(&[("work", "work.#")]).await;
    let feed = Feed {
        max_length: 3,
        check_every: Duration::from_millis(50),
        ..Feed::new(bed.name("feed"), ["a.#"])
    };
    let mut listener = Listener::start(bed, feed, 1);
    assert!(matches!(listener.place().await, Place::Made { .. }));
    // One is delivered and handled, one is out with the waiting handler, the rest is more than the feed holds.
    bed.publish("a.b", 0).await;
    assert_eq!(listener.event().await, 0);
    bed.publish("a.b", 1).await;
    let name = bed.name("feed");
    until("the handler's", || async {
        bed.hub.queue(&name).await.is_ok_and(|q| q.is_some_and(|q| q.messages == 0))
    })
    .await;
    let answers = bed.hub.publish_all((2..10).map(|n| number("a.b", n)).collect()).await;
    assert!(answers.iter().all(Result::is_ok));
    assert_eq!(listener.place().await, Place::Full { queue: name });
    listener.gate.add_permits(100);
    let mut got = Vec::new();
    for _ in 0..4 {
        got.push(listener.event().await);
    }
    assert_eq!(got, [1, 7, 8, 9], "the oldest were dropped");
    listener.stop().await;
}
