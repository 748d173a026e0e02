//! A subscription of the embedded broker.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::{Notify, mpsc};
use tokio::time::{Duration, sleep};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::driver::{Settlement, Source, Subscribe, Subscription, SubscriptionState, Verdict};
use crate::feed::Place;
use crate::memory::Broker;
use crate::memory::queue::Stored;
use crate::message::{Delivery, Token};
use crate::topology::{Binding, Queue, Topology};

/// How long to wait before asking again for a queue that is not there.
const ABSENT: Duration = Duration::from_millis(200);

pub(super) fn start(broker: Broker, subscribe: Subscribe) -> Subscription {
    let prefetch = usize::from(subscribe.prefetch).max(1);
    let (sender, deliveries) = mpsc::channel(prefetch);
    let (settlements, receiver) = mpsc::channel(prefetch + subscribe.concurrency + 1);
    let stop = CancellationToken::new();
    let state = Arc::new(SubscriptionState::default());
    let owner = Owner {
        broker,
        subscribe,
        prefetch,
        deliveries: sender,
        settlements: receiver,
        stop: stop.clone(),
        state: Arc::clone(&state),
        made: None,
    };
    Subscription { deliveries, settlements, stop, state, owner: tokio::spawn(owner.run()) }
}

struct Owner {
    broker: Broker,
    subscribe: Subscribe,
    prefetch: usize,
    deliveries: mpsc::Sender<Delivery>,
    settlements: mpsc::Receiver<Settlement>,
    stop: CancellationToken,
    state: Arc<SubscriptionState>,
    /// The feed's queue that was made by a look that found no exchange: the next one finds it, and it is new.
    made: Option<String>,
}

/// A place at a queue. Dropping it leaves, and gives back what is held.
struct Seat {
    broker: Broker,
    queue: String,
    consumer: u64,
    wake: Arc<Notify>,
    held: HashSet<u64>,
    /// How the rest goes back: as a failure when this task is dropped.
    leaving: Verdict,
}

// === impl Owner ===

impl Owner {
    async fn run(mut self) {
        let mut opened = false;
        loop {
            let Some(seat) = self.open(opened) else {
                tokio::select! {
                    () = self.stop.cancelled() => return,
                    () = self.deliveries.closed() => return,
                    () = sleep(ABSENT) => continue,
                }
            };
            opened = true;
            self.state.active.store(true, Ordering::Release);
            let again = self.serve(seat).await;
            self.state.active.store(false, Ordering::Release);
            if !again {
                return;
            }
        }
    }

    /// Sits down at the queue, making it first when it is a feed.
    fn open(&mut self, reopened: bool) -> Option<Seat> {
        let generation = self.state.generation.fetch_add(1, Ordering::AcqRel) + 1;
        match &self.subscribe.source {
            Source::Queue(queue) => Seat::take(&self.broker, queue, false),
            Source::Feed { feed, exchange, place } => {
                let mut name = feed.name.clone();
                loop {
                    let topology = feed
                        .keys
                        .iter()
                        .map(|key| Binding::new(exchange, key, &name))
                        .fold(Topology::new(), Topology::binding)
                        .queue(Queue::feed(&name, feed.expires, feed.max_length));
                    let declared = self.broker.declare(&topology, &topology).ok()?;
                    if declared.made(&name) {
                        self.made = Some(name.clone());
                    }
                    if declared.conflicts.iter().any(|conflict| conflict.name != name) {
                        return None; // The exchange is not there yet.
                    }
                    let ours = declared.conflicts.is_empty().then(|| Seat::take(&self.broker, &name, true));
                    let Some(seat) = ours.flatten() else {
                        // In use by another process's worth of us: a place of our own.
                        name = format!("{}.{}", feed.name, &Uuid::new_v4().simple().to_string()[..8]);
                        continue;
                    };
                    let full = self.broker.stats(&name)?.messages >= feed.max_length as u64;
                    tracing::debug!(queue = name, generation, reopened, "feed opened");
                    let made = self.made.take().is_some_and(|made| made == name);
                    place(match (made, full) {
                        (true, _) => Place::Made { queue: name },
                        (false, true) => Place::Full { queue: name },
                        (false, false) => Place::Kept { queue: name },
                    });
                    return Some(seat);
                }
            }
        }
    }

    /// Delivers and settles. True when the queue is gone and the seat must be taken anew.
    async fn serve(&mut self, mut seat: Seat) -> bool {
        let generation = self.state.generation.load(Ordering::Acquire);
        let wake = Arc::clone(&seat.wake);
        let mut stopped = false;
        loop {
            // ORDER: listen first, then look, or a message could come in between.
            let woken = wake.notified();
            let room = !stopped && seat.held.len() < self.prefetch;
            if room {
                match seat.next(generation) {
                    Next::Delivery(delivery) => {
                        // INVARIANT: at most `prefetch` are held, so there is room in the channel unless
                        // deliveries of an older seat still wait in it.
                        let tag = delivery.token.tag;
                        if self.deliveries.send(delivery).await.is_err() {
                            // The worker drains: it takes nothing more, but still settles.
                            stopped = true;
                            seat.held.remove(&tag);
                            seat.give_back(&[tag], Verdict::Return);
                        }
                        // Settle what is there, so that a busy queue cannot starve its acknowledgements.
                        while let Ok(settlement) = self.settlements.try_recv() {
                            seat.settle(settlement, generation);
                        }
                        continue;
                    }
                    Next::Empty => {}
                    Next::Gone => return true,
                }
            }
            tokio::select! {
                biased;
                settlement = self.settlements.recv() => match settlement {
                    Some(settlement) => seat.settle(settlement, generation),
                    None => {
                        // What is out now was never begun, or is nobody's failure: what was is settled.
                        seat.leaving = Verdict::Return;
                        return false;
                    }
                },
                () = self.stop.cancelled(), if !stopped => stopped = true,
                () = woken, if room => {}
            }
        }
    }
}

#[allow(clippy::large_enum_variant, reason = "moved once, straight into a channel")]
enum Next {
    Delivery(Delivery),
    Empty,
    Gone,
}

// === impl Seat ===

impl Seat {
    fn take(broker: &Broker, name: &str, exclusive: bool) -> Option<Self> {
        let mut state = broker.shared.state();
        let consumer = state.next_consumer();
        let queue = state.queues.get_mut(name)?;
        if queue.exclusive || (exclusive && queue.has_consumers()) {
            return None;
        }
        queue.enter(consumer);
        queue.exclusive = exclusive;
        let wake = Arc::clone(&queue.wake);
        Some(Self {
            broker: broker.clone(),
            queue: name.to_owned(),
            consumer,
            wake,
            held: HashSet::new(),
            leaving: Verdict::Fail,
        })
    }

    fn next(&mut self, generation: u64) -> Next {
        let mut state = self.broker.shared.state();
        let Some(queue) = state.queues.get_mut(&self.queue) else { return Next::Gone };
        let Some((tag, stored)) = queue.take(self.consumer) else { return Next::Empty };
        let delivery = delivery(&self.queue, Token { generation, tag }, stored);
        self.held.insert(tag);
        Next::Delivery(delivery)
    }

    fn settle(&mut self, settlement: Settlement, generation: u64) {
        if settlement.token.generation != generation || !self.held.remove(&settlement.token.tag) {
            return;
        }
        match settlement.verdict {
            Verdict::Ack => {
                let mut state = self.broker.shared.state();
                if let Some(queue) = state.queues.get_mut(&self.queue) {
                    queue.acknowledge(settlement.token.tag);
                }
            }
            verdict @ (Verdict::Fail | Verdict::Return) => self.give_back(&[settlement.token.tag], verdict),
        }
    }

    fn give_back(&self, tags: &[u64], verdict: Verdict) {
        let mut sooner = false;
        {
            let mut state = self.broker.shared.state();
            for tag in tags {
                let over = state.queues.get_mut(&self.queue).and_then(|queue| queue.give_back(*tag, verdict));
                if let Some(stored) = over {
                    sooner |= state.dead_letter(&self.queue, stored, "delivery_limit");
                }
            }
        }
        if sooner {
            self.broker.shared.sooner.notify_one();
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let held = {
            let mut state = self.broker.shared.state();
            let Some(queue) = state.queues.get_mut(&self.queue) else { return };
            queue.exclusive = false;
            queue.held_by(self.consumer)
        };
        // ORDER: what is held is back before the next consumer may take.
        self.give_back(&held, self.leaving);
        if let Some(queue) = self.broker.shared.state().queues.get_mut(&self.queue) {
            queue.leave(self.consumer);
        }
        self.broker.shared.sooner.notify_one();
    }
}

fn delivery(queue: &str, token: Token, stored: &Stored) -> Delivery {
    Delivery {
        message: crate::message::Message::clone(&stored.message),
        queue: queue.to_owned(),
        redelivered: stored.redelivered,
        returns: stored.returns,
        token,
    }
}
